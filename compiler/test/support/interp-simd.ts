/**
 * What the vector operators of the IR mean, lane by lane, after the specification ("Vector instructions"). Relaxed
 * operators have no meaning of their own here.
 */
import { Op, Type } from '../../ir/ops.ts';
import { VEC_LANES, VEC_NAMES, type VecOp } from '../../ir/vec-ops.ts';
import { compareFloat, convert, float, type Val } from './interp.ts';

/** Unsigned lanes, the first one lowest. */
export function lanesOf(x: bigint, width: number): bigint[] {
  return Array.from({ length: 128 / width }, (_, i) => BigInt.asUintN(width, x >> BigInt(i * width)));
}
export function ofLanes(lanes: readonly bigint[], width: number): bigint {
  return lanes.reduce((x, lane, i) => x | (BigInt.asUintN(width, lane) << BigInt(i * width)), 0n);
}

const signed = (x: bigint, width: number): bigint => BigInt.asIntN(width, x);
function saturate(x: bigint, width: number, sign: boolean): bigint {
  const low = sign ? -(1n << BigInt(width - 1)) : 0n;
  const high = (1n << BigInt(sign ? width - 1 : width)) - 1n;
  return x < low ? low : x > high ? high : x;
}

/** A float lane as a scalar of the interpreter, and back. */
const scalarOf = (lane: bigint, width: number): Val =>
  width === 32 ? Number(signed(lane, 32)) : signed(lane, 64);
const laneOf = (x: Val, width: number): bigint => BigInt.asUintN(width, BigInt(x));

const FLOAT_OPS: Readonly<Record<string, Op>> = {
  add: Op.FAdd,
  sub: Op.FSub,
  mul: Op.FMul,
  div: Op.FDiv,
  min: Op.FMin,
  max: Op.FMax,
  abs: Op.FAbs,
  neg: Op.FNeg,
  sqrt: Op.FSqrt,
  ceil: Op.FCeil,
  floor: Op.FFloor,
  trunc: Op.FTrunc,
  nearest: Op.FNearest,
};
const FLOAT_COMPARISONS: Readonly<Record<string, Op>> = {
  eq: Op.FEq,
  ne: Op.FNe,
  lt: Op.FLt,
  gt: Op.FGt,
  le: Op.FLe,
  ge: Op.FGe,
};
const INT_COMPARISONS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  gt: (a, b) => a > b,
  le: (a, b) => a <= b,
  ge: (a, b) => a >= b,
};

/** Result of a vector operator; `imm` is the lane. Vectors are unsigned 128-bit numbers. */
export function vector(op: VecOp, imm: number, args: readonly Val[]): Val {
  const name = VEC_NAMES[op]!;
  const [shape, what] = name.split('.') as [string, string];
  if (what.includes('relaxed')) throw new Error(`operator ${name} is not modelled`);
  const [a, b, c] = args as [bigint, bigint, bigint];
  if (shape === 'v128') return bitwise(what, a, b, c);
  const width = 128 / VEC_LANES[op]!;
  if (what === 'splat') return ofLanes(Array(128 / width).fill(BigInt(a)), width);
  const x = lanesOf(a, width);
  const sign = !what.endsWith('_u');
  if (what.startsWith('extract_lane')) {
    const lane = x[imm]!;
    return width === 64 ? signed(lane, 64) : Number(sign || width === 32 ? signed(lane, width) : lane);
  }
  if (what === 'replace_lane') return ofLanes(x.with(imm, BigInt.asUintN(width, BigInt(b))), width);
  if (what === 'all_true') return x.every(lane => lane !== 0n) ? 1 : 0;
  if (what === 'bitmask') return x.reduce((m, lane, i) => m | (Number(lane >> BigInt(width - 1)) << i), 0);
  if (/^sh[lr]/.test(what)) {
    const n = BigInt.asUintN(32, BigInt(b)) % BigInt(width);
    return ofLanes(
      x.map(lane => (what === 'shl' ? lane << n : (sign ? signed(lane, width) : lane) >> n)),
      width,
    );
  }
  if (what === 'swizzle')
    return ofLanes(
      lanesOf(b, 8).map(i => x[Number(i)] ?? 0n),
      8,
    );
  if (/(convert|demote|promote|trunc_sat)_/.test(what)) return converted(what, shape, width, a, sign);
  if (shape.startsWith('f')) return floats(what, width, x, b);
  return integers(what, width, sign, a, b);
}

function bitwise(what: string, a: bigint, b: bigint, c: bigint): Val {
  const not = (x: bigint): bigint => BigInt.asUintN(128, ~x);
  switch (what) {
    case 'not':
      return not(a);
    case 'and':
      return a & b;
    case 'andnot':
      return a & not(b);
    case 'or':
      return a | b;
    case 'xor':
      return a ^ b;
    case 'bitselect':
      return (a & c) | (b & not(c));
    default:
      return a !== 0n ? 1 : 0;
  }
}

function floats(what: string, width: number, x: readonly bigint[], b: bigint): bigint {
  const type = width === 32 ? Type.F32 : Type.F64;
  const comparison = FLOAT_COMPARISONS[what];
  const y = b === undefined ? x : lanesOf(b, width);
  const less = (p: bigint, q: bigint): boolean =>
    compareFloat(Op.FLt, type, scalarOf(p, width), scalarOf(q, width)) === 1;
  return ofLanes(
    x.map((lane, i) => {
      const other = y[i]!;
      if (what === 'pmin') return less(other, lane) ? other : lane;
      if (what === 'pmax') return less(lane, other) ? other : lane;
      const p = scalarOf(lane, width);
      const q = scalarOf(other, width);
      if (comparison !== undefined) return compareFloat(comparison, type, p, q) === 1 ? -1n : 0n;
      return laneOf(float(FLOAT_OPS[what]!, type, p, q), width);
    }),
    width,
  );
}

function converted(what: string, shape: string, width: number, a: bigint, sign: boolean): bigint {
  const from = /_([if]\d+)x/.exec(what)![1]!;
  const fromWidth = Number(from.slice(1));
  const fromType = from === 'f32' ? Type.F32 : from === 'f64' ? Type.F64 : Type.I32;
  const to = shape.startsWith('i') ? Type.I32 : width === 32 ? Type.F32 : Type.F64;
  const unsigned = /_u(_|$)/.test(what) || !sign;
  const op = what.startsWith('convert')
    ? unsigned
      ? Op.ConvertU
      : Op.ConvertS
    : what.startsWith('demote')
      ? Op.Demote
      : what.startsWith('promote')
        ? Op.Promote
        : unsigned
          ? Op.TruncSatU
          : Op.TruncSatS;
  const lanes = lanesOf(a, fromWidth).slice(0, 128 / width);
  return ofLanes(
    lanes.map(lane => laneOf(convert(op, fromType, to, scalarOf(lane, fromWidth)), width)),
    width,
  );
}

function integers(what: string, width: number, sign: boolean, a: bigint, b: bigint): bigint {
  const half = width / 2;
  const read = (v: bigint, w: number): bigint[] => lanesOf(v, w).map(lane => (sign ? signed(lane, w) : lane));
  const result = (lanes: readonly bigint[]): bigint => ofLanes(lanes, width);
  const part = (v: bigint): bigint[] => {
    const lanes = read(v, half);
    const n = lanes.length / 2;
    return what.includes('_low_') ? lanes.slice(0, n) : lanes.slice(n);
  };
  if (what.startsWith('extend_')) return result(part(a));
  if (what.startsWith('extmul_')) return result(part(a).map((lane, i) => lane * part(b)[i]!));
  if (what.startsWith('extadd_')) {
    const lanes = read(a, half);
    return result(lanesOf(a, width).map((_, i) => lanes[2 * i]! + lanes[2 * i + 1]!));
  }
  if (what === 'dot_i16x8_s') {
    const x = read(a, 16);
    const y = read(b, 16);
    return result([0, 2, 4, 6].map(i => x[i]! * y[i]! + x[i + 1]! * y[i + 1]!));
  }
  if (what.startsWith('narrow_')) {
    const wide = [...lanesOf(a, 2 * width), ...lanesOf(b, 2 * width)];
    return result(wide.map(lane => saturate(signed(lane, 2 * width), width, sign)));
  }
  const x = read(a, width);
  switch (what) {
    case 'abs':
      return result(x.map(lane => (lane < 0n ? -lane : lane)));
    case 'neg':
      return result(x.map(lane => -lane));
    case 'popcnt':
      return result(lanesOf(a, 8).map(lane => BigInt(lane.toString(2).replaceAll('0', '').length)));
  }
  const y = read(b, width);
  const each = (f: (p: bigint, q: bigint) => bigint): bigint => result(x.map((lane, i) => f(lane, y[i]!)));
  const stem = what.replace(/_[su]$/, '');
  const comparison = INT_COMPARISONS[stem];
  if (comparison !== undefined) return each((p, q) => (comparison(p, q) ? -1n : 0n));
  switch (stem) {
    case 'add':
      return each((p, q) => p + q);
    case 'sub':
      return each((p, q) => p - q);
    case 'mul':
      return each((p, q) => p * q);
    case 'add_sat':
      return each((p, q) => saturate(p + q, width, sign));
    case 'sub_sat':
      return each((p, q) => saturate(p - q, width, sign));
    case 'min':
      return each((p, q) => (p < q ? p : q));
    case 'max':
      return each((p, q) => (p > q ? p : q));
    case 'avgr':
      return each((p, q) => (p + q + 1n) >> 1n);
    case 'q15mulr_sat':
      return each((p, q) => saturate((p * q + 0x4000n) >> 15n, width, true));
    default:
      throw new Error(`operator ${what} is not modelled`);
  }
}

/** Bytes of a and b by the indices. */
export function shuffled(a: bigint, b: bigint, indices: bigint): bigint {
  const bytes = [...lanesOf(a, 8), ...lanesOf(b, 8)];
  return ofLanes(
    lanesOf(indices, 8).map(i => bytes[Number(i)]!),
    8,
  );
}
