/**
 * Relaxed vector operators: each result must be one of those that the specification permits ("Relaxed operations"),
 * lane by lane, over edge values and random ones. What is permitted is worked out here, with big integers where
 * floating point would round.
 */
import { afterAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { Op } from '../../compiler/ir/ops.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import {
  body,
  funcType,
  HEADER,
  leb,
  name,
  section,
  vec,
} from '../../compiler/test/support/module-builder.ts';
import { OPCODES, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import { Instance, type Memory, Module, Region } from '../index.ts';
import { F32S, F64S, INTS } from './support/edge-values.ts';
import { describeNative } from './support/guest.ts';

/** Lanes of a vector, the first one lowest, as unsigned integers. */
type Lanes = readonly bigint[];
/** Results that lane `i` may have; null: any NaN. */
type Permitted = (a: Lanes, b: Lanes, c: Lanes, i: number) => readonly (bigint | null)[];

interface Rule {
  /** Width of the operands' lanes and of the result's, in bits. */
  readonly from: number;
  readonly to: number;
  readonly permitted: Permitted;
}

const signed = (x: bigint, width: number) => BigInt.asIntN(width, x);
const unsigned = (x: bigint, width: number) => BigInt.asUintN(width, x);

// ---- floating point, as bits
const FORMAT = {
  32: { digits: 24, least: -149, most: 104 },
  64: { digits: 53, least: -1074, most: 971 },
} as const;
type Width = 32 | 64;
const exponentBits = (w: Width) => (w === 32 ? 8 : 11);
const isNan = (x: bigint, w: Width) => unsigned(x, w - 1) > INFINITY[w];
const INFINITY = { 32: 0x7f80_0000n, 64: 0x7ff0n << 48n } as const;
const isNumber = (x: bigint, w: Width) => unsigned(x, w - 1) < INFINITY[w];
const isNegative = (x: bigint, w: Width) => x >> BigInt(w - 1) === 1n;
const isZero = (x: bigint, w: Width) => unsigned(x, w - 1) === 0n;

function toNumber(x: bigint, w: Width): number {
  const view = new DataView(new ArrayBuffer(8));
  if (w === 32) {
    view.setUint32(0, Number(x));
    return view.getFloat32(0);
  }
  view.setBigUint64(0, x);
  return view.getFloat64(0);
}
function toBits(x: number, w: Width): bigint {
  const view = new DataView(new ArrayBuffer(8));
  if (w === 32) {
    view.setFloat32(0, x);
    return BigInt(view.getUint32(0));
  }
  view.setFloat64(0, x);
  return view.getBigUint64(0);
}

/** A finite number as m * 2^e. */
function exact(x: bigint, w: Width): { m: bigint; e: number } {
  const fraction = FORMAT[w].digits - 1;
  const exponent = Number(unsigned(x >> BigInt(fraction), exponentBits(w)));
  const low = unsigned(x, fraction);
  const m = exponent === 0 ? low : low | (1n << BigInt(fraction));
  return { m: isNegative(x, w) ? -m : m, e: FORMAT[w].least + Math.max(exponent - 1, 0) };
}

/** m * 2^e, not zero, rounded to nearest, ties to even. */
function rounded(m: bigint, e: number, w: Width): bigint {
  const { digits, least, most } = FORMAT[w];
  const sign = m < 0n ? 1n << BigInt(w - 1) : 0n;
  let n = m < 0n ? -m : m;
  const drop = Math.max(n.toString(2).length - digits, least - e);
  if (drop > 0) {
    const half = 1n << BigInt(drop - 1);
    const rest = n & ((half << 1n) - 1n);
    n >>= BigInt(drop);
    if (rest > half || (rest === half && (n & 1n) === 1n)) n++;
  } else n <<= BigInt(-drop);
  e += drop;
  if (n >> BigInt(digits) !== 0n) {
    n >>= 1n;
    e++;
  }
  if (e > most) return sign | INFINITY[w];
  const fraction = BigInt(digits - 1);
  // A number without the leading digit is subnormal: its exponent field is 0.
  return n >> fraction === 0n
    ? sign | n
    : sign | ((BigInt(e - least + 1) << fraction) + n - (1n << fraction));
}

function fused(a: bigint, b: bigint, c: bigint, w: Width): bigint | null {
  const unfused = toNumber(a, w) * toNumber(b, w) + toNumber(c, w);
  if (![a, b, c].every(x => isNumber(x, w))) return Number.isNaN(unfused) ? null : toBits(unfused, w);
  const x = exact(a, w);
  const y = exact(b, w);
  const z = exact(c, w);
  const e = Math.min(x.e + y.e, z.e);
  const sum = ((x.m * y.m) << BigInt(x.e + y.e - e)) + (z.m << BigInt(z.e - e));
  if (sum !== 0n) return rounded(sum, e, w);
  // Zeros of the same sign keep it; everything else that cancels is positive.
  const negative =
    isNegative(a, w) !== isNegative(b, w) &&
    isNegative(c, w) &&
    (isZero(a, w) || isZero(b, w)) &&
    isZero(c, w);
  return negative ? 1n << BigInt(w - 1) : 0n;
}

function twice(a: bigint, b: bigint, c: bigint, w: Width): bigint | null {
  const product = toNumber(toBits(toNumber(a, w) * toNumber(b, w), w), w);
  const sum = product + toNumber(c, w);
  return Number.isNaN(sum) ? null : toBits(sum, w);
}

const negated = (x: bigint, w: Width) => x ^ (1n << BigInt(w - 1));

// ---- the operators
const madd = (w: Width, negate: boolean): Rule => ({
  from: w,
  to: w,
  permitted: (as, bs, cs, i) => {
    const a = negate ? negated(as[i]!, w) : as[i]!;
    return [fused(a, bs[i]!, cs[i]!, w), twice(a, bs[i]!, cs[i]!, w)];
  },
});

const extreme = (w: Width, max: boolean): Rule => ({
  from: w,
  to: w,
  permitted: (as, bs, _, i) => {
    const [a, b] = [as[i]!, bs[i]!];
    if (isNan(a, w) || isNan(b, w)) return [null, a, b];
    if (isZero(a, w) && isZero(b, w)) return [a, b];
    return [toNumber(a, w) < toNumber(b, w) !== max ? a : b];
  },
});

const laneselect = (w: number): Rule => ({
  from: w,
  to: w,
  permitted: (as, bs, ms, i) => {
    const [a, b, m] = [as[i]!, bs[i]!, ms[i]!];
    const bitwise = (a & m) | (b & unsigned(~m, w));
    // By the highest bit of the lane; of bytes, too, as the instruction for them takes each byte's.
    const bytes = Array.from({ length: w / 8 }, (_, k) => {
      const shift = BigInt(8 * k);
      return ((((m >> (shift + 7n)) & 1n) === 1n ? a : b) & (0xffn << shift)) as bigint;
    }).reduce((x, y) => x | y);
    return [bitwise, m >> BigInt(w - 1) === 1n ? a : b, bytes];
  },
});

const trunc = (w: Width, sign: boolean): Rule => ({
  from: w,
  to: 32,
  permitted: (as, _b, _c, i) => {
    // Of two doubles, the upper two results are zero.
    if (i >= 128 / w) return [0n];
    const x = toNumber(as[i]!, w);
    const least = sign ? -(2 ** 31) : 0;
    const greatest = sign ? 2 ** 31 - 1 : 2 ** 32 - 1;
    const odd = sign ? 0x8000_0000n : 0xffff_ffffn;
    if (Number.isNaN(x)) return [0n, odd];
    const t = Math.trunc(x);
    if (t >= least && t <= greatest) return [unsigned(BigInt(t), 32)];
    return [unsigned(BigInt(t < least ? least : greatest), 32), odd];
  },
});

const clamp16 = (x: bigint) => (x > 32767n ? 32767n : x < -32768n ? -32768n : x);
/**
 * A product of i8 lanes 2k and 2k + 1, the second factor of 7 bits, or with a lane that isn't: signed or unsigned,
 * saturated or not.
 */
function dots(a: Lanes, b: Lanes, k: number): bigint[] {
  const at = (lanes: Lanes, i: number, sign: boolean) => (sign ? signed(lanes[i]!, 8) : lanes[i]!);
  return [true, false].flatMap(sign => {
    const sum = at(a, 2 * k, true) * at(b, 2 * k, sign) + at(a, 2 * k + 1, true) * at(b, 2 * k + 1, sign);
    return [unsigned(sum, 16), unsigned(clamp16(sum), 16)];
  });
}

const RULES: Readonly<Record<string, Rule>> = {
  'i8x16.relaxed_swizzle': {
    from: 8,
    to: 8,
    permitted: (a, s, _, i) => {
      const index = Number(s[i]!);
      return index < 16 ? [a[index]!] : index < 128 ? [0n, a[index % 16]!] : [0n];
    },
  },
  'i32x4.relaxed_trunc_f32x4_s': trunc(32, true),
  'i32x4.relaxed_trunc_f32x4_u': trunc(32, false),
  'i32x4.relaxed_trunc_f64x2_s_zero': trunc(64, true),
  'i32x4.relaxed_trunc_f64x2_u_zero': trunc(64, false),
  'f32x4.relaxed_madd': madd(32, false),
  'f32x4.relaxed_nmadd': madd(32, true),
  'f64x2.relaxed_madd': madd(64, false),
  'f64x2.relaxed_nmadd': madd(64, true),
  'i8x16.relaxed_laneselect': laneselect(8),
  'i16x8.relaxed_laneselect': laneselect(16),
  'i32x4.relaxed_laneselect': laneselect(32),
  'i64x2.relaxed_laneselect': laneselect(64),
  'f32x4.relaxed_min': extreme(32, false),
  'f32x4.relaxed_max': extreme(32, true),
  'f64x2.relaxed_min': extreme(64, false),
  'f64x2.relaxed_max': extreme(64, true),
  'i16x8.relaxed_q15mulr_s': {
    from: 16,
    to: 16,
    permitted: (a, b, _, i) => {
      const product = (signed(a[i]!, 16) * signed(b[i]!, 16) + 0x4000n) >> 15n;
      return [unsigned(clamp16(product), 16), unsigned(product, 16)];
    },
  },
  'i16x8.relaxed_dot_i8x16_i7x16_s': { from: 8, to: 16, permitted: (a, b, _, i) => dots(a, b, i) },
  'i32x4.relaxed_dot_i8x16_i7x16_add_s': {
    from: 8,
    to: 32,
    permitted: (a, b, c, i) => {
      const addend = c.slice(4 * i, 4 * i + 4).reduce((x, byte, k) => x | (byte << BigInt(8 * k)), 0n);
      const [low, high] = [dots(a, b, 2 * i), dots(a, b, 2 * i + 1)];
      return low.map((x, k) => unsigned(signed(x, 16) + signed(high[k]!, 16) + addend, 32));
    },
  },
};

const OPS = OPCODES.filter(o => o !== undefined && o.code >= OpcodePage.Simd + 0x100);
/** Operands lie at the address + 0, 16, 32; the result goes to + 48. */
const RESULT = 48;
const STRIDE = 64;
const ROUNDS = 200;

const load = (at: number) => [0x20, 0, 0xfd, 0, 0, at];
const bytes = Uint8Array.from(
  HEADER.concat(
    section(1, vec([funcType([0x7f], [])])),
    section(3, vec(OPS.map(() => [0]))),
    section(5, [1, 0, 1]),
    section(7, vec([[...name('memory'), 2, 0], ...OPS.map((_, i) => [...name(`f${i}`), 0, ...leb(i)])])),
    section(
      10,
      vec(
        OPS.map(o => {
          const operands = o!.op === Op.VUnary ? 1 : o!.op === Op.VBinary ? 2 : 3;
          const code = Array.from({ length: operands }, (_, k) => load(16 * k)).flat();
          return body([], [0x20, 0, ...code, 0xfd, ...leb(o!.code - OpcodePage.Simd), 0xfd, 11, 0, RESULT]);
        }),
      ),
    ),
  ),
);

let seed = 2024;
function random(n: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
}
const pick = (list: readonly number[]): number => list[random(list.length)]!;

/** Three vectors of one kind of lanes, now and then with one of them repeated or all ones. */
function operands(): Uint8Array {
  const view = new DataView(new ArrayBuffer(STRIDE));
  const kind = random(6);
  for (let at = 0; at < 48; ) {
    if (kind === 0) view.setUint8(at++, pick(INTS));
    else if (kind === 1) view.setUint8(at++, random(256));
    else if (kind === 2) {
      view.setUint16(at, pick(INTS), true);
      at += 2;
    } else if (kind === 3 || kind === 4) {
      view.setUint32(at, kind === 3 ? pick(F32S) : random(2 ** 32), true);
      at += 4;
    } else {
      view.setFloat64(at, pick(F64S), true);
      at += 8;
    }
  }
  if (random(4) === 0) for (let i = 32; i < 48; i += 4) view.setInt32(i, random(2) - 1, true);
  return new Uint8Array(view.buffer);
}

function lanes(block: Uint8Array, at: number, width: number): bigint[] {
  return Array.from({ length: 128 / width }, (_, i) =>
    Array.from(
      { length: width / 8 },
      (_, k) => BigInt(block[at + (i * width) / 8 + k]!) << BigInt(8 * k),
    ).reduce((x, y) => x | y),
  );
}

describeNative('relaxed operators', () => {
  const region = Region.create({ capacity: 4 });
  afterAll(() => region.dispose());
  const image = new Uint8Array(ROUNDS * STRIDE);
  for (let k = 0; k < ROUNDS; k++) image.set(operands(), k * STRIDE);

  it('all have a rule', () => {
    expect(OPS.map(o => o!.name)).toEqual(Object.keys(RULES));
  });

  it.each([
    ['baseline', 0, false],
    ['baseline', 2, false],
    ['native', 0, false],
    ['native', 2, false],
    ['native', 2, true],
  ] as const)('%s, level %i, canonical NaNs: %s', (cpu, optLevel, canonicalizeNans) => {
    const features = resolveFeatures(cpu, [], nativeFeatures());
    const module = Module.fromBytes(compile(bytes, { optLevel, features, canonicalizeNans, verify: true }));
    const instance = Instance.create(region, module);
    const memory = instance.export('memory') as Memory;
    const wrong: string[] = [];
    OPS.forEach((o, n) => {
      const { from, to, permitted } = RULES[o!.name]!;
      memory.write(0, image);
      const f = instance.func(`f${n}`);
      for (let k = 0; k < ROUNDS; k++) f.call(k * STRIDE);
      const after = memory.read(0, image.length);
      for (let k = 0; k < ROUNDS; k++) {
        const [a, b, c] = [0, 16, 32].map(at => lanes(after, k * STRIDE + at, from)) as [
          bigint[],
          bigint[],
          bigint[],
        ];
        lanes(after, k * STRIDE + RESULT, to).forEach((got, i) => {
          const allowed = permitted(a, b, c, i);
          const float = /^f(32|64)/.test(o!.name);
          const nan = float && isNan(got, to as Width);
          const canonical = to === 32 ? 0x7fc0_0000n : 0x7ff8n << 48n;
          const ok = nan
            ? allowed.some(x => x === null || x === got) && (!canonicalizeNans || got === canonical)
            : allowed.includes(got);
          if (!ok)
            wrong.push(
              `${o!.name} lane ${i} of ${[a, b, c].map(x => x[i]?.toString(16))}: ${got.toString(16)}`,
            );
        });
      }
    });
    instance.dispose();
    module.dispose();
    expect(wrong).toEqual([]);
  });
});
