/**
 * What one iteration does to several elements (a compiler may have unrolled the loop) as operators on vectors: values are taken in *packs*, one
 * for each element, whose definitions are the same operator on packs, down to loads from consecutive addresses and to invariants.
 *
 * A lane is as wide as the distance of elements. Where that is less than 32 bits, a lane holds the low bits of its scalar, and a pack knows whether
 * the scalar is the lane's zero-extension or sign-extension: what looks at upper bits (shifts to the right, comparisons) needs that.
 */
import type { Value } from '../ir/func.ts';
import { accessSize, MemKind, memIndex, memKind, OP_FLAGS, Op, OpFlag, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import { type CountedLoop, type Linear, sameTerms } from './counted-loop.ts';
import { signedWidth, unsignedWidth } from './known-bits.ts';

const MOST_NODES = 64;

/** Consecutive bytes, from one iteration to the next, that a pack of accesses loads or stores. */
export interface Stream {
  /** Of the first element. */
  readonly address: Linear;
  readonly offset: number;
  /** The accesses, one for each element. */
  readonly accesses: readonly Value[];
  readonly stores: boolean;
}

export type Shape = 'i8x16' | 'i16x8' | 'i32x4' | 'i64x2' | 'f32x4' | 'f64x2';

export interface Node {
  readonly kind: 'splat' | 'load' | 'unary' | 'binary' | 'shift' | 'blend';
  /** Of splat, unary, binary and shift. */
  readonly vec: VecOp;
  readonly operands: readonly Node[];
  /** What is splatted, or the count of a shift: outside of the loop, or a constant. */
  readonly scalar: Value;
  /** A splatted or counting constant that has no row. */
  readonly constant: number;
  readonly stream: Stream | null;
  /** Lanes are all ones or all zeros, for 1 and 0. */
  readonly mask: boolean;
  /** The scalar is the lane's zero-extension, sign-extension. */
  readonly zero: boolean;
  readonly sign: boolean;
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
/** Those that yield an f32 for each i32. */
const CONVERSIONS: Partial<Record<Op, VecOp>> = {
  [Op.ConvertS]: VecOp.f32x4_convert_i32x4_s,
  [Op.ConvertU]: VecOp.f32x4_convert_i32x4_u,
};

/** The vector operator of a name, if there is one. */
export function vecOp(shape: Shape, name: string): VecOp | undefined {
  return VecOp[`${shape}_${name}` as keyof typeof VecOp];
}

export class Packs {
  readonly streams: Stream[] = [];
  /** Instructions that the vector loop will have, about. */
  weight = 0;
  private readonly made = new Map<string, Node | null>();
  private readonly accessOf = new Map<Value, Linear>();

  /**
   * @param memory the only one that may be accessed
   * @param lanes elements in an iteration
   * @param pitch bytes from one element to the next: 1, 2, 4 or 8
   */
  constructor(
    readonly loop: CountedLoop,
    readonly memory: number,
    readonly lanes: number,
    readonly pitch: number,
  ) {}

  shape(type: Type): Shape | null {
    const { pitch } = this;
    if (pitch === 8) return type === Type.I64 ? 'i64x2' : type === Type.F64 ? 'f64x2' : null;
    if (pitch === 4) return type === Type.I32 ? 'i32x4' : type === Type.F32 ? 'f32x4' : null;
    return type === Type.I32 ? (pitch === 2 ? 'i16x8' : 'i8x16') : null;
  }

  /** Address of a load or store, without its offset. */
  address(access: Value): Linear | null {
    const known = this.accessOf.get(access);
    if (known) return known;
    const address = this.loop.linear(this.loop.f.a(access));
    if (address) this.accessOf.set(access, address);
    return address;
  }

  /**
   * The stream of accesses, one for each element. Addresses go up by the pitch from one to the next, either in the address or in the offset: so the i-th
   * iteration's bytes are those from `address + i * stride + offset` on without a gap, if no address wraps on the way.
   */
  stream(accesses: readonly Value[], stores: boolean): Stream | null {
    const { f } = this.loop;
    const first = accesses[0]!;
    const address = this.address(first);
    const offset = f.imm(first) >>> 0;
    if (!address || this.loop.stride(address) !== this.lanes * this.pitch) return null;
    let inAddress = true;
    let inOffset = true;
    for (let k = 0; k < accesses.length; k++) {
      const v = accesses[k]!;
      if (f.imm2(v) !== f.imm2(first) || memIndex(f.imm2(v)) !== this.memory) return null;
      const a = this.address(v);
      if (!a || !sameTerms(a, address)) return null;
      const ahead = (a.constant - address.constant) | 0;
      const further = (f.imm(v) >>> 0) - offset;
      inAddress &&= ahead === k * this.pitch && further === 0;
      inOffset &&= ahead === 0 && further === k * this.pitch;
    }
    if (!inAddress && !inOffset) return null;
    const stream = { address, offset, accesses, stores };
    this.streams.push(stream);
    return stream;
  }

  /** The pack of these values, or null: they can't be one. */
  pack(values: readonly Value[]): Node | null {
    const key = values.join();
    const known = this.made.get(key);
    if (known !== undefined) return known;
    // What is asked for while it is being made depends on itself: it does not, in SSA.
    const node = this.made.size < MOST_NODES ? this.build(values) : null;
    this.made.set(key, node);
    return node;
  }

  private build(values: readonly Value[]): Node | null {
    const { loop } = this;
    const { f } = loop;
    const v = values[0]!;
    const op = f.op(v);
    const type = f.type(v);
    if (loop.isInvariant(v)) return this.invariant(values);
    for (const u of values) if (f.op(u) !== op || f.type(u) !== type || !loop.isInside(u)) return null;
    if (op === Op.Load) return this.load(values);
    if (OP_FLAGS[op]! & OpFlag.Compare) return this.comparison(values);
    const shape = this.shape(type);
    if (!shape) return null;
    switch (op) {
      case Op.Shl:
      case Op.ShrS:
      case Op.ShrU:
        return this.shift(values, shape);
      case Op.Ext8S:
      case Op.Ext16S:
        return this.extension(values, shape, op === Op.Ext8S ? 8 : 16);
      case Op.Select:
        return this.select(values, shape);
      case Op.Bitcast: {
        const x = this.operand(values, 0);
        return x && !x.mask && this.shape(f.type(f.a(v))) ? x : null;
      }
      case Op.ConvertS:
      case Op.ConvertU: {
        if (shape !== 'f32x4' || f.type(f.a(v)) !== Type.I32) return null;
        const x = this.numberOperand(values, 0);
        return x && this.node('unary', CONVERSIONS[op]!, [x], { weight: op === Op.ConvertU ? 6 : 1 });
      }
    }
    const vec = BITWISE[op] ?? (ELEMENTWISE[op] === undefined ? undefined : vecOp(shape, ELEMENTWISE[op]));
    if (vec === undefined || vec === VecOp.i64x2_mul) return null;
    const operands: Node[] = [];
    const count = op >= Op.FAbs && op <= Op.FNearest ? 1 : 2;
    for (let i = 0; i < count; i++) {
      const x = this.numberOperand(values, i);
      if (!x) return null;
      operands.push(x);
    }
    return this.node(count === 1 ? 'unary' : 'binary', vec, operands, this.extents(values));
  }

  private operand(values: readonly Value[], i: number): Node | null {
    return this.pack(values.map(v => this.loop.f.operand(v, i)));
  }

  private numberOperand(values: readonly Value[], i: number): Node | null {
    return this.number(values.map(v => this.loop.f.operand(v, i)));
  }

  /** The pack of these values as numbers: a mask is 1 or 0. */
  number(values: readonly Value[]): Node | null {
    const x = this.pack(values);
    if (!x?.mask) return x;
    // A mask is an i32; in lanes of 64 bits there is none.
    if (this.pitch === 8) return null;
    return this.node('binary', VecOp.v128_and, [x, this.constant(1)], { zero: true, sign: true });
  }

  private node(
    kind: Node['kind'],
    vec: VecOp,
    operands: readonly Node[],
    more: {
      mask?: boolean;
      zero?: boolean;
      sign?: boolean;
      weight?: number;
      scalar?: Value;
      constant?: number;
    } = {},
  ): Node {
    this.weight += more.weight ?? 1;
    const wide = this.pitch >= 4;
    return {
      ...{ kind, vec, operands, stream: null, mask: more.mask ?? false },
      ...{ scalar: more.scalar ?? 0, constant: more.constant ?? 0 },
      zero: wide || (more.zero ?? false),
      sign: wide || (more.sign ?? false),
    };
  }

  private constant(n: number): Node {
    const vec = vecOp(this.shape(Type.I32)!, 'splat')!;
    return this.node('splat', vec, [], { constant: n, zero: n >= 0, sign: true, weight: 0 });
  }

  /** What is known of integers by their definitions. */
  private extents(values: readonly Value[]): { zero: boolean; sign: boolean } {
    const { f } = this.loop;
    const bits = this.pitch * 8;
    if (f.type(values[0]!) !== Type.I32) return { zero: true, sign: true };
    return {
      zero: values.every(v => unsignedWidth(f, v) <= bits),
      sign: values.every(v => signedWidth(f, v) <= bits),
    };
  }

  /** One value, or equal constants. */
  private invariant(values: readonly Value[]): Node | null {
    const { f } = this.loop;
    const v = values[0]!;
    const op = f.op(v);
    const isConstant = op === Op.IConst || op === Op.FConst;
    for (const u of values) {
      if (u === v) continue;
      if (!isConstant || f.op(u) !== op || f.type(u) !== f.type(v) || f.imm(u) !== f.imm(v)) return null;
      if (f.imm2(u) !== f.imm2(v)) return null;
    }
    const shape = this.shape(f.type(v));
    return (
      shape && this.node('splat', vecOp(shape, 'splat')!, [], { ...this.extents([v]), scalar: v, weight: 0 })
    );
  }

  private load(values: readonly Value[]): Node | null {
    const { loop, pitch } = this;
    const { f } = loop;
    const v = values[0]!;
    const type = f.type(v);
    const shape = this.shape(type);
    const kind = memKind(f.imm2(v));
    const size = accessSize(kind, type);
    if (!shape || size > pitch) return null;
    const stream = this.stream(values, false);
    if (!stream) return null;
    const signed = kind === MemKind.S8 || kind === MemKind.S16 || kind === MemKind.S32;
    const extents = { zero: !signed && kind !== MemKind.Full, sign: signed };
    const whole: Node = { ...this.node('load', 0 as VecOp, [], extents), stream };
    if (size === pitch) return whole;
    // An element of which only the low bytes are looked at. (The others lie within the bytes that are known to be there.)
    const bits = size * 8;
    if (signed) return pitch === 8 ? null : this.signExtended(whole, shape, bits);
    if (pitch === 8) return null;
    return this.node('binary', VecOp.v128_and, [whole, this.constant(2 ** bits - 1)], {
      zero: true,
      sign: true,
    });
  }

  private signExtended(x: Node, shape: Shape, bits: number): Node {
    const constant = this.pitch * 8 - bits;
    const up = this.node('shift', vecOp(shape, 'shl')!, [x], { constant });
    return this.node('shift', vecOp(shape, 'shr_s')!, [up], { constant, sign: true });
  }

  private extension(values: readonly Value[], shape: Shape, bits: number): Node | null {
    const x = this.numberOperand(values, 0);
    const width = this.pitch * 8;
    if (!x || (shape !== 'i32x4' && shape !== 'i16x8' && shape !== 'i8x16')) return null;
    if (bits < width) return this.signExtended(x, shape, bits);
    return bits === width ? { ...x, zero: false, sign: true } : x.sign ? x : null;
  }

  private shift(values: readonly Value[], shape: Shape): Node | null {
    const { loop, pitch } = this;
    const { f } = loop;
    const op = f.op(values[0]!);
    const x = this.numberOperand(values, 0);
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
    if (pitch >= 4) {
      // Counts are taken modulo the width of a lane, as of the scalar.
      const weight = shape === 'i64x2' && name === 'shr_s' ? 6 : 1;
      if (!isConstant)
        return this.node('shift', vecOp(shape, name)!, [x], { scalar: count, weight: weight + 1 });
      return this.node('shift', vecOp(shape, name)!, [x], {
        constant: f.imm(count) & (pitch * 8 - 1),
        weight,
      });
    }
    const constant = f.imm(count) & 31;
    if (!isConstant || constant >= pitch * 8) return null;
    if (op === Op.ShrU && !x.zero) return null;
    if (op === Op.ShrS) {
      // A zero-extension is not negative: it makes no difference.
      if (x.zero) name = 'shr_u';
      else if (!x.sign) return null;
    }
    const zero = op !== Op.Shl && x.zero;
    return this.node('shift', vecOp(shape, name)!, [x], {
      ...{ constant, zero, sign: op === Op.ShrS && !x.zero, weight: pitch === 1 ? 2 : 1 },
    });
  }

  private comparison(values: readonly Value[]): Node | null {
    const { f } = this.loop;
    const v = values[0]!;
    const type = f.type(f.a(v));
    const shape = this.shape(type);
    if (!shape || values.some(u => f.type(f.a(u)) !== type)) return null;
    const a = this.numberOperand(values, 0);
    const b = a && this.numberOperand(values, 1);
    if (!a || !b) return null;
    let name = COMPARISONS[f.op(v)];
    if (name === undefined) return null;
    const zero = a.zero && b.zero;
    const sign = a.sign && b.sign;
    if (this.pitch < 4) {
      if (name === 'eq' || name === 'ne') {
        if (!zero && !sign) return null;
      } else if (name.endsWith('_u')) {
        // Sign-extension keeps the unsigned order, too: it takes the lower half to the bottom, the upper one to the top.
        if (!zero && !sign) return null;
      } else if (!sign) {
        if (!zero) return null;
        // Neither is negative: the signed order is the unsigned one.
        name = name.replace('_s', '_u');
      }
    }
    const vec = vecOp(shape, name);
    const swapped = name.startsWith('g') || name.startsWith('l');
    return vec === undefined
      ? null
      : this.node('binary', vec, [a, b], { mask: true, weight: name.endsWith('_u') && swapped ? 3 : 1 });
  }

  private select(values: readonly Value[], shape: Shape): Node | null {
    const condition = this.operand(values, 0);
    const b = condition && this.numberOperand(values, 1);
    const c = b && this.numberOperand(values, 2);
    // A condition that is a number would have to be compared with 0 first; what compilers write is a comparison.
    if (!condition?.mask || !b || !c) return null;
    const extents = { zero: b.zero && c.zero, sign: b.sign && c.sign };
    const extreme = this.extreme(condition, b, c, shape);
    if (extreme !== undefined) return this.node('binary', extreme, [b, c], extents);
    return this.node('blend', VecOp.v128_bitselect, [b, c, condition], { ...extents, weight: 2 });
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
