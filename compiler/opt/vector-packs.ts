/**
 * What one iteration does to several elements (a compiler may have unrolled the loop) as operators on vectors: values
 * are taken in *packs*, one for each element, whose definitions are the same operator on packs, down to loads from
 * consecutive addresses, to invariants, to numbers that count, and to what the element before had.
 *
 * A pack is asked for with lanes of a certain size: that of the elements that it is stored to, more often than not.
 * Where that is less than 32 bits, a lane holds the low bits of its scalar, and a pack knows whether the scalar is the
 * lane's zero-extension or sign-extension: what looks at upper bits (shifts to the right, comparisons) needs that, and
 * gets wider lanes, of which the low bits are taken, if it does not find it. Elements in memory that are narrower or
 * wider than what is asked for are extended or cut.
 */
import type { Value } from '../ir/func.ts';
import { accessSize, MemKind, memIndex, memKind, OP_FLAGS, Op, OpFlag, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import { type CountedLoop, type Linear, sameTerms } from './counted-loop.ts';
import { signedWidth, unsignedWidth } from './known-bits.ts';

const MOST_NODES = 96;
/** Elements back that a value may be handed on from. */
const MOST_BACK = 4;

/** Consecutive bytes, from one iteration to the next, that a pack of accesses loads or stores. */
export interface Stream {
  /** Of the first element. */
  readonly address: Linear;
  readonly offset: number;
  /** Bytes from one element to the next, in either direction: 1, 2, 4 or 8. */
  readonly pitch: number;
  /** Each element lies in front of the one before. */
  readonly down: boolean;
  /** The accesses, one for each element. */
  readonly accesses: readonly Value[];
  readonly stores: boolean;
}

/** Of a node that needs no operator. */
export const NO_OP = 0 as VecOp;

export type Shape = 'i8x16' | 'i16x8' | 'i32x4' | 'i64x2' | 'f32x4' | 'f64x2';

/** Whether a scalar is the zero-extension, sign-extension of its lane. */
interface Extents {
  readonly zero: boolean;
  readonly sign: boolean;
}

export interface Node extends Extents {
  readonly kind:
    | 'splat'
    | 'load'
    | 'unary'
    | 'binary'
    | 'shift'
    | 'blend'
    /** Lanes of half the size: `vec` makes vectors of the lower halves. */
    | 'extend'
    /** Lanes of twice the size, of two vectors: by `vec`, or, where that is 0, their lower halves. */
    | 'narrow'
    /** Lanes of 64 bits that have their contents in the lower half of the vector. */
    | 'join'
    /** A linear form. */
    | 'count'
    /** For each element what its predecessor has in the operand. */
    | 'previous';
  /** Bytes of a lane. */
  readonly size: number;
  readonly vec: VecOp;
  readonly operands: readonly Node[];
  /**
   * What is splatted, or the count of a shift: outside of the loop, or a constant. What the first element's predecessor
   * has.
   */
  readonly scalar: Value;
  /** A splatted or counting constant that has no row. From one element to the next, of a linear form. */
  readonly constant: number;
  readonly stream: Stream | null;
  readonly linear: Linear | null;
  /** Lanes are all ones or all zeros, for 1 and 0. */
  readonly mask: boolean;
  /** The same of the last lane. */
  readonly last: Extents;
  /** Elements back. */
  readonly back: number;
  /** Instructions for one vector, about. */
  readonly weight: number;
}

/** By operator: the rest of the vector operator's name. */
const ELEMENTWISE: Partial<Record<Op, string>> = {
  [Op.Add]: 'add',
  [Op.Sub]: 'sub',
  [Op.Mul]: 'mul',
  [Op.FAdd]: 'add',
  [Op.FSub]: 'sub',
  [Op.FMul]: 'mul',
  [Op.FDiv]: 'div',
  [Op.FMin]: 'min',
  [Op.FMax]: 'max',
  [Op.FAbs]: 'abs',
  [Op.FNeg]: 'neg',
  [Op.FSqrt]: 'sqrt',
  [Op.FCeil]: 'ceil',
  [Op.FFloor]: 'floor',
  [Op.FTrunc]: 'trunc',
  [Op.FNearest]: 'nearest',
};
const BITWISE: Partial<Record<Op, VecOp>> = {
  [Op.And]: VecOp.v128_and,
  [Op.Or]: VecOp.v128_or,
  [Op.Xor]: VecOp.v128_xor,
};
const COMPARISONS: Partial<Record<Op, string>> = {
  [Op.Eq]: 'eq',
  [Op.Ne]: 'ne',
  [Op.LtS]: 'lt_s',
  [Op.LtU]: 'lt_u',
  [Op.GtS]: 'gt_s',
  [Op.GtU]: 'gt_u',
  [Op.LeS]: 'le_s',
  [Op.LeU]: 'le_u',
  [Op.GeS]: 'ge_s',
  [Op.GeU]: 'ge_u',
  [Op.FEq]: 'eq',
  [Op.FNe]: 'ne',
  [Op.FLt]: 'lt',
  [Op.FGt]: 'gt',
  [Op.FLe]: 'le',
  [Op.FGe]: 'ge',
};
/**
 * By operator: the type that it takes, the one that it yields, lanes being of the same size; how, and how many
 * instructions that takes, about.
 */
const CONVERSIONS: Partial<Record<Op, readonly (readonly [Type, Type, VecOp, number])[]>> = {
  [Op.ConvertS]: [[Type.I32, Type.F32, VecOp.f32x4_convert_i32x4_s, 1]],
  [Op.ConvertU]: [[Type.I32, Type.F32, VecOp.f32x4_convert_i32x4_u, 6]],
  [Op.TruncSatS]: [[Type.F32, Type.I32, VecOp.i32x4_trunc_sat_f32x4_s, 5]],
  [Op.TruncSatU]: [[Type.F32, Type.I32, VecOp.i32x4_trunc_sat_f32x4_u, 8]],
};
/** Those that take lanes of half the size. */
const WIDENING: Partial<Record<Op, readonly (readonly [Type, Type, VecOp, number])[]>> = {
  [Op.ExtendS]: [[Type.I32, Type.I64, VecOp.i64x2_extend_low_i32x4_s, 1]],
  [Op.ExtendU]: [[Type.I32, Type.I64, VecOp.i64x2_extend_low_i32x4_u, 1]],
  [Op.ConvertS]: [[Type.I32, Type.F64, VecOp.f64x2_convert_low_i32x4_s, 2]],
  [Op.ConvertU]: [[Type.I32, Type.F64, VecOp.f64x2_convert_low_i32x4_u, 5]],
  [Op.Promote]: [[Type.F32, Type.F64, VecOp.f64x2_promote_low_f32x4, 2]],
};

/** The vector operator of a name, if there is one. */
export function vecOp(shape: Shape, name: string): VecOp | undefined {
  return VecOp[`${shape}_${name}` as keyof typeof VecOp];
}

const INTEGERS: Readonly<Record<number, Shape>> = { 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' };

/** The lanes of this size that hold scalars of a type, if there are such. */
export function shapeOf(type: Type, size: number): Shape | null {
  switch (type) {
    case Type.I32:
      return size <= 4 ? INTEGERS[size]! : null;
    case Type.I64:
      return size === 8 ? 'i64x2' : null;
    case Type.F32:
      return size === 4 ? 'f32x4' : null;
    case Type.F64:
      return size === 8 ? 'f64x2' : null;
    default:
      return null;
  }
}

const sizeOf = (type: Type): number => (type === Type.I64 || type === Type.F64 ? 8 : 4);

export class Packs {
  readonly streams: Stream[] = [];
  private readonly made = new Map<string, Node | null>();
  private readonly accessOf = new Map<Value, Linear>();
  /** Nodes by the value of their last element. */
  private readonly lastOf = new Map<Value, Node[]>();

  /**
   * @param memory the only one that may be accessed
   * @param lanes elements in an iteration
   */
  constructor(
    readonly loop: CountedLoop,
    readonly memory: number,
    readonly lanes: number,
  ) {}

  /** Address of a load or store, without its offset. */
  address(access: Value): Linear | null {
    const known = this.accessOf.get(access);
    if (known) return known;
    const address = this.loop.linear(this.loop.f.a(access));
    if (address) this.accessOf.set(access, address);
    return address;
  }

  /** Nodes of which the last element has the value `v`. */
  endingIn(v: Value): readonly Node[] {
    return this.lastOf.get(v) ?? [];
  }

  /**
   * The stream of accesses, one for each element. Addresses go up (or all go down) by the pitch from one to the next,
   * either in the address or in the offset: so the i-th iteration's bytes are those from
   * `address + i * stride + offset` on without a gap (or those that end one element behind it), if no address wraps on
   * the way.
   */
  stream(accesses: readonly Value[], stores: boolean): Stream | null {
    const { f } = this.loop;
    const first = accesses[0]!;
    const address = this.address(first);
    const offset = f.imm(first) >>> 0;
    const step = address ? this.loop.stride(address) / this.lanes : 0;
    const pitch = Math.abs(step);
    if (!address || ![1, 2, 4, 8].includes(pitch)) return null;
    let inAddress = true;
    let inOffset = true;
    for (let k = 0; k < accesses.length; k++) {
      const v = accesses[k]!;
      if (f.imm2(v) !== f.imm2(first) || memIndex(f.imm2(v)) !== this.memory) return null;
      const a = this.address(v);
      if (!a || !sameTerms(a, address)) return null;
      const ahead = (a.constant - address.constant) | 0;
      const further = (f.imm(v) >>> 0) - offset;
      inAddress &&= ahead === k * step && further === 0;
      inOffset &&= ahead === 0 && further === k * step;
    }
    if (!inAddress && !inOffset) return null;
    const stream = { address, offset, pitch, down: step < 0, accesses, stores };
    this.streams.push(stream);
    return stream;
  }

  /** The pack of these values in lanes of this size, or null: they can't be one. */
  pack(values: readonly Value[], size: number): Node | null {
    const key = `${size}:${values.join()}`;
    const known = this.made.get(key);
    if (known !== undefined) return known;
    if (this.made.size >= MOST_NODES) return null;
    // What is asked for while it is being made depends on itself, from one iteration to the next: there are no vectors
    // of that.
    this.made.set(key, null);
    let node = this.build(values, size);
    if (!node && size < 4) {
      const wide = this.pack(values, size * 2);
      node = wide && this.cut(wide, this.extents(values, size));
    }
    this.made.set(key, node);
    if (node) {
      const last = values[values.length - 1]!;
      const ending = this.lastOf.get(last);
      if (ending) ending.push(node);
      else this.lastOf.set(last, [node]);
    }
    return node;
  }

  private build(values: readonly Value[], size: number): Node | null {
    const { loop } = this;
    const { f } = loop;
    const v = values[0]!;
    const op = f.op(v);
    const type = f.type(v);
    if (loop.isInvariant(v)) return this.invariant(values, size);
    const counting = type === Type.I32 && size <= 4 ? this.count(values, size) : null;
    if (counting) return counting;
    if (op === Op.Param) return this.previous(values, size);
    for (const u of values) if (f.op(u) !== op || f.type(u) !== type || !loop.isInside(u)) return null;
    if (op === Op.Load) return this.load(values, size);
    if (OP_FLAGS[op]! & OpFlag.Compare) return this.comparison(values, size);
    const bitwise = BITWISE[op];
    if (bitwise !== undefined && type === Type.I32) {
      const a = this.operand(values, 0, size);
      const b = a?.mask ? this.operand(values, 1, size) : null;
      if (a && b?.mask) return this.node('binary', size, bitwise, [a, b], { mask: true });
    }
    const shape = shapeOf(type, size);
    if (!shape) return null;
    switch (op) {
      case Op.Shl:
      case Op.ShrS:
      case Op.ShrU:
        return this.shift(values, shape, size);
      case Op.Ext8S:
      case Op.Ext16S:
        return type === Type.I32 ? this.extension(values, shape, size, op === Op.Ext8S ? 8 : 16) : null;
      case Op.Select:
        return this.select(values, shape, size);
      case Op.Bitcast: {
        const x = this.operand(values, 0, size);
        return x && !x.mask && shapeOf(f.type(f.a(v)), size) ? x : null;
      }
      case Op.Wrap: {
        const x = size === 4 ? this.operand(values, 0, 8) : null;
        return x && this.node('narrow', 4, NO_OP, [x]);
      }
      case Op.Demote: {
        const x = this.operand(values, 0, 8);
        const low = x && this.node('unary', 8, VecOp.f32x4_demote_f64x2_zero, [x]);
        return low && this.node('join', 4, NO_OP, [low]);
      }
    }
    return this.conversion(values, size) ?? this.elementwise(values, shape, size);
  }

  private elementwise(values: readonly Value[], shape: Shape, size: number): Node | null {
    const op = this.loop.f.op(values[0]!);
    const vec = BITWISE[op] ?? (ELEMENTWISE[op] === undefined ? undefined : vecOp(shape, ELEMENTWISE[op]));
    if (vec === undefined || vec === VecOp.i64x2_mul) return null;
    const operands: Node[] = [];
    const count = op >= Op.FAbs && op <= Op.FNearest ? 1 : 2;
    for (let i = 0; i < count; i++) {
      const x = this.numberOperand(values, i, size);
      if (!x) return null;
      operands.push(x);
    }
    return this.node(count === 1 ? 'unary' : 'binary', size, vec, operands, this.extents(values, size));
  }

  private conversion(values: readonly Value[], size: number): Node | null {
    const { f } = this.loop;
    const v = values[0]!;
    const op = f.op(v);
    for (const [table, kind, from] of [
      [CONVERSIONS, 'unary', size],
      [WIDENING, 'extend', size / 2],
    ] as const) {
      const way = table[op]?.find(([type, yields]) => type === f.type(f.a(v)) && yields === f.type(v));
      if (!way || size !== sizeOf(way[1])) continue;
      const x = this.numberOperand(values, 0, from);
      return x && this.node(kind, size, way[2], [x], { weight: way[3] });
    }
    return null;
  }

  private operand(values: readonly Value[], i: number, size: number): Node | null {
    return this.pack(
      values.map(v => this.loop.f.operand(v, i)),
      size,
    );
  }

  private numberOperand(values: readonly Value[], i: number, size: number): Node | null {
    return this.number(
      values.map(v => this.loop.f.operand(v, i)),
      size,
    );
  }

  /** The pack of these values as numbers: a mask is 1 or 0. */
  number(values: readonly Value[], size: number): Node | null {
    const x = this.pack(values, size);
    if (!x?.mask) return x;
    // A mask is an i32; in lanes of 64 bits there is none.
    if (size === 8) return null;
    return this.node('binary', size, VecOp.v128_and, [x, this.constant(1, size)], { zero: true, sign: true });
  }

  private node(
    kind: Node['kind'],
    size: number,
    vec: VecOp,
    operands: readonly Node[],
    more: Partial<Omit<Node, 'kind' | 'size' | 'vec' | 'operands'>> = {},
  ): Node {
    const wide = size >= 4;
    const extents = { zero: wide || (more.zero ?? false), sign: wide || (more.sign ?? false) };
    return {
      ...{ kind, size, vec, operands, stream: null, linear: null, mask: false, scalar: 0, constant: 0 },
      ...{ weight: 1, back: 0, last: extents, ...more, ...extents },
    };
  }

  private constant(n: number, size: number): Node {
    const vec = vecOp(INTEGERS[size]!, 'splat')!;
    return this.node('splat', size, vec, [], { constant: n, zero: n >= 0, sign: true, weight: 0 });
  }

  /** What is known of integers by their definitions. */
  private extents(values: readonly Value[], size: number): Extents {
    const { f } = this.loop;
    const bits = size * 8;
    if (f.type(values[0]!) !== Type.I32) return { zero: true, sign: true };
    return {
      zero: values.every(v => unsignedWidth(f, v) <= bits),
      sign: values.every(v => signedWidth(f, v) <= bits),
    };
  }

  /** One value, or equal constants. */
  private invariant(values: readonly Value[], size: number): Node | null {
    const { f } = this.loop;
    const v = values[0]!;
    const op = f.op(v);
    const isConstant = op === Op.IConst || op === Op.FConst;
    for (const u of values) {
      if (u === v) continue;
      if (!isConstant || f.op(u) !== op || f.type(u) !== f.type(v) || f.imm(u) !== f.imm(v)) return null;
      if (f.imm2(u) !== f.imm2(v)) return null;
    }
    const shape = shapeOf(f.type(v), size);
    if (!shape) return null;
    const extents = this.extents([v], size);
    return this.node('splat', size, vecOp(shape, 'splat')!, [], { ...extents, scalar: v, weight: 0 });
  }

  /** Numbers that go up by a constant from one element to the next. */
  private count(values: readonly Value[], size: number): Node | null {
    const { loop, lanes } = this;
    const linear = loop.linear(values[0]!);
    const stride = linear ? loop.stride(linear) : 0;
    if (!linear || stride === 0) return null;
    let step = stride;
    for (let k = 1; k < lanes; k++) {
      const other = loop.linear(values[k]!);
      if (!other || !sameTerms(other, linear)) return null;
      const ahead = (other.constant - linear.constant) | 0;
      if (k === 1) step = ahead;
      if (ahead !== Math.imul(step, k)) return null;
    }
    return Math.imul(step, lanes) === stride
      ? this.node('count', size, vecOp(INTEGERS[size]!, 'add')!, [], { linear, constant: step })
      : null;
  }

  /**
   * What the loop hands from each element to the next one: the first value is a variable of the loop, which gets the
   * last element's value next time round, and the others are those of the elements in between.
   */
  private previous(values: readonly Value[], size: number): Node | null {
    const { loop } = this;
    const { f } = loop;
    const index = loop.variable(values[0]!);
    if (index === undefined || !shapeOf(f.type(values[0]!), size)) return null;
    const x = this.number([...values.slice(1), loop.next[index]!], size);
    if (!x || x.back === MOST_BACK) return null;
    const scalar = loop.initial[index]!;
    const first = this.extents([scalar], size);
    return this.node('previous', size, NO_OP, [x], {
      ...{ scalar, zero: x.zero && first.zero, sign: x.sign && first.sign },
      // A vector of narrow lanes has more than MOST_BACK: the last one is never what there was before the loop.
      ...{ last: x.last, back: x.back + 1 },
    });
  }

  private load(values: readonly Value[], size: number): Node | null {
    const { f } = this.loop;
    const v = values[0]!;
    const type = f.type(v);
    const kind = memKind(f.imm2(v));
    const bytes = accessSize(kind, type);
    const stream = shapeOf(type, size) ? this.stream(values, false) : null;
    if (!stream) return null;
    const { pitch } = stream;
    const isFloat = type === Type.F32 || type === Type.F64;
    if (bytes > pitch || pitch > sizeOf(type) || (isFloat && pitch !== size)) return null;
    const signed = kind === MemKind.S8 || kind === MemKind.S16 || kind === MemKind.S32;
    const extents = { zero: !signed && kind !== MemKind.Full, sign: signed };
    let x: Node = this.node('load', pitch, NO_OP, [], { ...extents, stream });
    if (bytes < pitch) {
      // An element of which only the low bytes are looked at. (The others lie within the bytes that are known to be
      // there.)
      const bits = bytes * 8;
      if (pitch === 8) return null;
      x = signed
        ? this.signExtended(x, INTEGERS[pitch]!, bits)
        : this.node('binary', pitch, VecOp.v128_and, [x, this.constant(2 ** bits - 1, pitch)], {
            zero: true,
            sign: true,
          });
    }
    while (x.size < size) x = this.extended(x, signed);
    while (x.size > size) x = this.cut(x, this.extents(values, x.size / 2));
    return x;
  }

  /** Lanes of twice the size, of a pack that is known to be the extension of what it has. */
  private extended(x: Node, signed: boolean): Node {
    const from = INTEGERS[x.size]!;
    const vec = vecOp(INTEGERS[x.size * 2]!, `extend_low_${from}_${signed ? 's' : 'u'}`)!;
    return this.node('extend', x.size * 2, vec, [x], { zero: !signed, sign: true, mask: x.mask });
  }

  /** Lanes of half the size. @param extents of what is left */
  private cut(x: Node, { zero, sign }: Extents): Node {
    const extents = { zero, sign };
    const size = x.size / 2;
    if (size === 4) return this.node('narrow', size, NO_OP, [x], { mask: x.mask });
    const from = INTEGERS[x.size]!;
    const name = `narrow_${from}_`;
    // The operators saturate signed numbers.
    if (x.mask || (sign && !zero)) {
      const vec = vecOp(INTEGERS[size]!, `${name}s`)!;
      return this.node('narrow', size, vec, [x], { ...extents, mask: x.mask });
    }
    const vec = vecOp(INTEGERS[size]!, `${name}u`)!;
    if (zero) return this.node('narrow', size, vec, [x], extents);
    // What is cut twice is masked once, where it is widest.
    const cutBefore = x.kind === 'narrow' && !x.zero && !x.sign && x.vec !== NO_OP;
    const masked = (y: Node): Node =>
      this.node('binary', y.size, VecOp.v128_and, [y, this.constant(2 ** (size * 8) - 1, y.size)]);
    const small = cutBefore
      ? this.node('narrow', x.size, x.vec, [masked(x.operands[0]!.operands[0]!)])
      : masked(x);
    return this.node('narrow', size, vec, [small], extents);
  }

  /** A mask with lanes of another size. */
  private resized(mask: Node, size: number): Node {
    let x = mask;
    while (x.size < size) x = this.extended(x, true);
    while (x.size > size) x = this.cut(x, x);
    return x;
  }

  private signExtended(x: Node, shape: Shape, bits: number): Node {
    const constant = x.size * 8 - bits;
    const up = this.node('shift', x.size, vecOp(shape, 'shl')!, [x], { constant });
    return this.node('shift', x.size, vecOp(shape, 'shr_s')!, [up], { constant, sign: true });
  }

  private extension(values: readonly Value[], shape: Shape, size: number, bits: number): Node | null {
    const x = this.numberOperand(values, 0, size);
    const width = size * 8;
    if (!x) return null;
    if (bits < width) return this.signExtended(x, shape, bits);
    if (bits === width) return { ...x, zero: false, sign: true, last: { zero: false, sign: true } };
    return x.sign ? x : null;
  }

  private shift(values: readonly Value[], shape: Shape, size: number): Node | null {
    const { loop } = this;
    const { f } = loop;
    const op = f.op(values[0]!);
    const x = this.numberOperand(values, 0, size);
    if (!x) return null;
    // The same count for all, so that it is one scalar.
    const count = f.b(values[0]!);
    if (!loop.isInvariant(count)) return null;
    const isConstant = f.op(count) === Op.IConst;
    for (const v of values) {
      const c = f.b(v);
      if (c !== count && !(isConstant && f.op(c) === Op.IConst && f.imm(c) === f.imm(count))) return null;
    }
    let name = op === Op.Shl ? 'shl' : op === Op.ShrS ? 'shr_s' : 'shr_u';
    if (size >= 4) {
      // Counts are taken modulo the width of a lane, as of the scalar.
      const weight = shape === 'i64x2' && name === 'shr_s' ? 6 : 1;
      if (!isConstant)
        return this.node('shift', size, vecOp(shape, name)!, [x], { scalar: count, weight: weight + 1 });
      return this.node('shift', size, vecOp(shape, name)!, [x], {
        constant: f.imm(count) & (size * 8 - 1),
        weight,
      });
    }
    const constant = f.imm(count) & 31;
    if (!isConstant || constant >= size * 8) return null;
    if (op === Op.ShrU && !x.zero) return null;
    if (op === Op.ShrS) {
      // A zero-extension is not negative: it makes no difference.
      if (x.zero) name = 'shr_u';
      else if (!x.sign) return null;
    }
    const zero = op !== Op.Shl && x.zero;
    return this.node('shift', size, vecOp(shape, name)!, [x], {
      ...{ constant, zero, sign: op === Op.ShrS && !x.zero, weight: size === 1 ? 2 : 1 },
    });
  }

  /** A mask, with lanes of the size of what is compared at first, if that is more. */
  private comparison(values: readonly Value[], size: number): Node | null {
    const { f } = this.loop;
    const type = f.type(f.a(values[0]!));
    if (values.some(u => f.type(f.a(u)) !== type)) return null;
    const most = sizeOf(type);
    for (let s = type === Type.I32 ? Math.min(size, most) : most; s <= most; s *= 2) {
      const mask = this.compared(values, type, s);
      if (mask) return this.resized(mask, size);
    }
    return null;
  }

  private compared(values: readonly Value[], type: Type, size: number): Node | null {
    const { f } = this.loop;
    const v = values[0]!;
    const shape = shapeOf(type, size);
    let name = COMPARISONS[f.op(v)];
    if (!shape || name === undefined) return null;
    if (name === 'eq' && values.every(u => f.op(f.b(u)) === Op.IConst && f.imm(f.b(u)) === 0)) {
      const x = type === Type.I32 ? this.operand(values, 0, size) : null;
      if (x?.mask) return this.node('unary', size, VecOp.v128_not, [x], { mask: true });
    }
    const a = this.numberOperand(values, 0, size);
    const b = a && this.numberOperand(values, 1, size);
    if (!a || !b) return null;
    const zero = a.zero && b.zero;
    const sign = a.sign && b.sign;
    if (size < 4) {
      if (name === 'eq' || name === 'ne' || name.endsWith('_u')) {
        // Sign-extension keeps the unsigned order, too: it takes the lower half to the bottom, the upper one to the
        // top.
        if (!zero && !sign) return null;
      } else if (!sign) {
        if (!zero) return null;
        // Neither is negative: the signed order is the unsigned one.
        name = name.replace('_s', '_u');
      }
    }
    const vec = vecOp(shape, name);
    const swapped = name.startsWith('g') || name.startsWith('l');
    const weight = name.endsWith('_u') && swapped ? 3 : 1;
    return vec === undefined ? null : this.node('binary', size, vec, [a, b], { mask: true, weight });
  }

  /** The mask that is set where a condition is not 0. */
  private condition(values: readonly Value[], size: number): Node | null {
    const x = this.pack(values, size) ?? (size === 8 ? this.pack(values, 4) : null);
    if (!x || (!x.mask && !x.zero && !x.sign)) return null;
    if (x.mask) return this.resized(x, size);
    const vec = vecOp(INTEGERS[x.size]!, 'ne')!;
    const mask = this.node('binary', x.size, vec, [x, this.constant(0, x.size)], { mask: true, weight: 2 });
    return this.resized(mask, size);
  }

  private select(values: readonly Value[], shape: Shape, size: number): Node | null {
    const { f } = this.loop;
    const condition = this.condition(
      values.map(v => f.a(v)),
      size,
    );
    const b = condition && this.numberOperand(values, 1, size);
    const c = b && this.numberOperand(values, 2, size);
    if (!condition || !b || !c) return null;
    const extents = { zero: b.zero && c.zero, sign: b.sign && c.sign };
    const extreme = this.extreme(condition, b, c, shape);
    if (extreme !== undefined) return this.node('binary', size, extreme, [b, c], extents);
    return this.node('blend', size, VecOp.v128_bitselect, [b, c, condition], { ...extents, weight: 2 });
  }

  /** Of integers, x < y ? x : y is their minimum. */
  private extreme(condition: Node, b: Node, c: Node, shape: Shape): VecOp | undefined {
    const match = /^(i\d+x\d+)_([lg])[te]_([su])$/.exec(VecOp[condition.vec] ?? '');
    if (match?.[1] !== shape || shape === 'i64x2') return undefined;
    const [x, y] = condition.operands;
    const isLess = match[2] === 'l';
    if (x === b && y === c) return vecOp(shape, `${isLess ? 'min' : 'max'}_${match[3]}`);
    if (x === c && y === b) return vecOp(shape, `${isLess ? 'max' : 'min'}_${match[3]}`);
    return undefined;
  }
}
