/**
 * Loop variables that gather something of all elements: integer sums, bit operations, minima and maxima. In any order
 * it is the same.
 */
import type { Value } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import type { Builder, CountedLoop, Linear } from './counted-loop.ts';
import { type Node, type Packs, vecOp } from './vector-packs.ts';

const MOST_LEAVES = 16;

/** By operator: the vector operator on lanes of 32 and of 64 bits, and what changes nothing. */
const GATHERING: Partial<
  Record<Op, { readonly narrow: VecOp; readonly wide: VecOp; readonly neutral: number }>
> = {
  [Op.Add]: { narrow: VecOp.i32x4_add, wide: VecOp.i64x2_add, neutral: 0 },
  [Op.Xor]: { narrow: VecOp.v128_xor, wide: VecOp.v128_xor, neutral: 0 },
  [Op.Or]: { narrow: VecOp.v128_or, wide: VecOp.v128_or, neutral: 0 },
  [Op.And]: { narrow: VecOp.v128_and, wide: VecOp.v128_and, neutral: -1 },
};

/** x relation y ? x : y, of i32s. */
const CHOICE: Partial<Record<Op, string>> = {
  [Op.LtS]: 'min_s',
  [Op.LeS]: 'min_s',
  [Op.GtS]: 'max_s',
  [Op.GeS]: 'max_s',
  [Op.LtU]: 'min_u',
  [Op.LeU]: 'min_u',
  [Op.GtU]: 'max_u',
  [Op.GeU]: 'max_u',
};
const OTHER: Readonly<Record<string, string>> = {
  min_s: 'max_s',
  max_s: 'min_s',
  min_u: 'max_u',
  max_u: 'min_u',
};

/** What is gathered in one iteration. */
interface Leaf {
  readonly value: Value;
  /** Subtracted from a sum rather than added. */
  readonly negative: boolean;
}

export class Reduction {
  readonly nodes: { readonly node: Node; readonly negative: boolean }[] = [];

  constructor(
    private readonly loop: CountedLoop,
    readonly param: Value,
    readonly vec: VecOp,
    /** The operator on scalars; Select: of a minimum or maximum. */
    readonly op: Op,
    readonly leaves: readonly Leaf[],
  ) {}

  get type(): Type {
    return this.loop.f.type(this.param);
  }

  /**
   * Take the leaves as packs, in the order of the addresses that they are loaded from, as the loop goes. Returns
   * whether they are such.
   */
  resolve(packs: Packs): boolean {
    const { lanes } = packs;
    if (this.leaves.length % lanes !== 0) return false;
    const sorted = this.leaves.map(leaf => {
      const place = placeOf(this.loop, leaf.value, 0);
      return { ...leaf, base: `${leaf.negative} ${place?.base}`, at: place?.at ?? 0 };
    });
    sorted.sort((x, y) => (x.base < y.base ? -1 : x.base > y.base ? 1 : x.at - y.at));
    for (let i = 0; i < sorted.length; i += lanes) {
      const together = sorted.slice(i, i + lanes);
      const { negative } = together[0]!;
      if (together.some(leaf => leaf.negative !== negative)) return false;
      const node = packs.number(
        together.map(leaf => leaf.value),
        this.type === Type.I64 ? 8 : 4,
      );
      if (!node) return false;
      this.nodes.push({ node, negative });
    }
    return true;
  }

  /** The accumulator before the first iteration. */
  begin(to: Builder, loop: CountedLoop): Value {
    const wide = this.type === Type.I64;
    const splat = wide ? VecOp.i64x2_splat : VecOp.i32x4_splat;
    const start =
      this.op === Op.Select ? loop.first(this.param) : to.int(this.type, GATHERING[this.op]!.neutral);
    return to.emit(Op.VSplat, Type.V128, start, 0, 0, 0, splat);
  }

  /** The operator by which a vector is added to the accumulator. */
  gather(negative: boolean): VecOp {
    if (!negative) return this.vec;
    return this.type === Type.I64 ? VecOp.i64x2_sub : VecOp.i32x4_sub;
  }
}

/**
 * Where the first load in an expression lies: the terms of its address, and the constant, in the direction in which the
 * loop goes.
 */
function placeOf(loop: CountedLoop, v: Value, depth: number): { base: string; at: number } | null {
  const { f } = loop;
  if (depth > 4 || loop.isInvariant(v)) return null;
  if (f.op(v) === Op.Load) {
    const address: Linear | null = loop.linear(f.a(v));
    if (!address) return null;
    const at = address.constant + (f.imm(v) >>> 0);
    return {
      base: `${address.values.join()} ${address.coefficients.join()}`,
      at: loop.stride(address) < 0 ? -at : at,
    };
  }
  if (f.op(v) === Op.Param) return null;
  for (let i = 0; i < f.operandCount(v); i++) {
    const at = placeOf(loop, f.operand(v, i), depth + 1);
    if (at !== null) return at;
  }
  return null;
}

/** Rows of the loop's block that use a value, its branch's edge back included (as the terminator). */
function usersOf(loop: CountedLoop, v: Value): Value[] {
  const { f, block } = loop;
  const users: Value[] = [];
  for (let u = f.first[block]!; u !== 0; u = f.next[u]!) {
    for (let i = 0; i < f.operandCount(u); i++) {
      if (f.operand(u, i) !== v) continue;
      users.push(u);
      break;
    }
  }
  for (const next of loop.next) if (next === v) users.push(f.terminator(block));
  return users;
}

/**
 * The reduction that the parameter p is, from its way through the block to `next`, what it is next time round. Nothing
 * but the chain of operators may look at a value on that way; behind the loop it may be looked at, since the loop
 * itself has the last iteration.
 */
export function findReduction(loop: CountedLoop, p: Value, next: Value): Reduction | null {
  const { f, block } = loop;
  const type = f.type(p);
  if ((type !== Type.I32 && type !== Type.I64) || !loop.isInside(next)) return null;
  const leaves: Leaf[] = [];
  let vec: VecOp | undefined;
  let op = Op.Nop;
  let at = p;
  while (at !== next) {
    if (leaves.length > MOST_LEAVES) return null;
    const users = usersOf(loop, at);
    const last = users.at(-1);
    if (last === undefined || last === f.terminator(block)) return null;
    const step =
      users.length === 1 ? gathered(loop, at, last) : users.length === 2 ? chosen(loop, at, users) : null;
    if (!step || (vec !== undefined && step.vec !== vec)) return null;
    ({ vec, op } = step);
    if (op === Op.Select) leaves.push({ value: step.leaf, negative: false });
    else flatten(loop, op, step.leaf, step.negative, leaves);
    at = step.next;
  }
  // The value that goes round is looked at by nothing else.
  if (vec === undefined || leaves.length > MOST_LEAVES || usersOf(loop, next).length !== 1) return null;
  return new Reduction(loop, p, vec, op, leaves);
}

/** The leaves of a leaf that is a sum (or whatever is gathered) itself, if nothing else looks at it. */
function flatten(loop: CountedLoop, op: Op, v: Value, negative: boolean, leaves: Leaf[]): void {
  const { f } = loop;
  const subtracts = op === Op.Add && f.op(v) === Op.Sub;
  if (
    leaves.length <= MOST_LEAVES &&
    loop.isInside(v) &&
    (f.op(v) === op || subtracts) &&
    usersOf(loop, v).length === 1
  ) {
    flatten(loop, op, f.a(v), negative, leaves);
    flatten(loop, op, f.b(v), negative !== subtracts, leaves);
  } else {
    leaves.push({ value: v, negative });
  }
}

interface Step {
  readonly vec: VecOp;
  readonly op: Op;
  readonly leaf: Value;
  readonly negative: boolean;
  readonly next: Value;
}

function gathered(loop: CountedLoop, at: Value, user: Value): Step | null {
  const { f } = loop;
  const negative = f.op(user) === Op.Sub && f.a(user) === at;
  const op = negative ? Op.Add : f.op(user);
  const by = GATHERING[op];
  if (!by || f.a(user) === f.b(user)) return null;
  const leaf = f.a(user) === at ? f.b(user) : f.a(user);
  return { vec: f.type(user) === Type.I64 ? by.wide : by.narrow, op, leaf, negative, next: user };
}

/** A comparison and a select of the same two. */
function chosen(loop: CountedLoop, at: Value, [compare, select]: readonly Value[]): Step | null {
  const { f } = loop;
  if (compare === undefined || select === undefined || f.type(at) !== Type.I32) return null;
  if (f.op(select) !== Op.Select || f.a(select) !== compare) return null;
  const users = usersOf(loop, compare);
  if (users.length !== 1) return null;
  const name = CHOICE[f.op(compare)];
  const [x, y] = [f.a(compare), f.b(compare)];
  if (name === undefined || x === y || f.type(x) !== Type.I32) return null;
  const isFirst = f.b(select) === x && f.c(select) === y;
  if (!isFirst && !(f.b(select) === y && f.c(select) === x)) return null;
  const vec = vecOp('i32x4', isFirst ? name : OTHER[name]!);
  return vec === undefined
    ? null
    : { vec, op: Op.Select, leaf: x === at ? y : x, negative: false, next: select };
}

/** The lanes of an accumulator together, and with what the variable was at first. */
export function reduceVector(to: Builder, r: Reduction, sum: Value, start: Value): Value {
  const wide = r.type === Type.I64;
  const halves = [0x0b0a0908, 0x0f0e0d0c, 0x0b0a0908, 0x0f0e0d0c];
  const odd = [0x07060504, 0x07060504, 0x07060504, 0x07060504];
  const fold = (v: Value, bytes: readonly number[]): Value => {
    const other = to.emit(Op.VShuffle, Type.V128, v, v, to.vector(bytes));
    return to.emit(Op.VBinary, Type.V128, v, other, 0, 0, r.vec);
  };
  let all = fold(sum, halves);
  if (!wide) all = fold(all, odd);
  const lane = wide ? VecOp.i64x2_extract_lane : VecOp.i32x4_extract_lane;
  const total = to.emit(Op.VExtract, r.type, all, 0, 0, 0, lane);
  // Minima and maxima began with it.
  return r.op === Op.Select ? total : to.emit(r.op, r.type, total, start);
}
