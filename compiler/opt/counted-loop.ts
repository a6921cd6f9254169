/**
 * Loops of one block, seen as counted: which variables go up by a constant each time round, what addresses and limits
 * are in terms of them, and how often the loop is certain to go round.
 *
 * All arithmetic on 32-bit numbers is modulo 2^32, as the guest's is: `start + i * stride` is what a linear form is in
 * the i-th iteration, whether that wraps or not.
 */
import { type Block, type Edge, type Func, NONE, type Value } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { unsignedWidth } from './known-bits.ts';

/** Definitions looked through. */
const DEPTH = 12;
const MOST_TERMS = 6;

/**
 * A sum: constant + Σ coefficient * value, modulo 2^32. The values are loop variables or stand outside of the loop;
 * they ascend, none twice.
 */
export interface Linear {
  readonly values: readonly Value[];
  readonly coefficients: readonly number[];
  readonly constant: number;
}

/** The condition under which the loop goes round again. */
export interface Counter {
  readonly relation: Op;
  /** What is compared, a linear form of a stride other than 0, and with what, of stride 0. */
  readonly counted: Linear;
  readonly limit: Linear;
  /** Of `counted`; its magnitude is 1 << shift. */
  readonly stride: number;
  readonly shift: number;
}

const SWAPPED: Partial<Record<Op, Op>> = {
  [Op.Ne]: Op.Ne,
  [Op.Eq]: Op.Eq,
  [Op.LtS]: Op.GtS,
  [Op.LtU]: Op.GtU,
  [Op.GtS]: Op.LtS,
  [Op.GtU]: Op.LtU,
  [Op.LeS]: Op.GeS,
  [Op.LeU]: Op.GeU,
  [Op.GeS]: Op.LeS,
  [Op.GeU]: Op.LeU,
};
const INVERTED: Partial<Record<Op, Op>> = {
  [Op.Ne]: Op.Eq,
  [Op.Eq]: Op.Ne,
  [Op.LtS]: Op.GeS,
  [Op.LtU]: Op.GeU,
  [Op.GtS]: Op.LeS,
  [Op.GtU]: Op.LeU,
  [Op.LeS]: Op.GtS,
  [Op.LeU]: Op.GtU,
  [Op.GeS]: Op.LtS,
  [Op.GeU]: Op.LtU,
};
const UPWARDS: readonly Op[] = [Op.LtS, Op.LtU, Op.LeS, Op.LeU];
const DOWNWARDS: readonly Op[] = [Op.GtS, Op.GtU, Op.GeS, Op.GeU];

export function sameTerms(x: Linear, y: Linear): boolean {
  return (
    x.values.length === y.values.length &&
    x.values.every((v, i) => v === y.values[i] && x.coefficients[i] === y.coefficients[i])
  );
}

function plus(x: Linear, y: Linear, factor: number): Linear | null {
  const values: Value[] = [];
  const coefficients: number[] = [];
  const add = (value: Value, coefficient: number) => {
    if (coefficient === 0) return;
    values.push(value);
    coefficients.push(coefficient);
  };
  let i = 0;
  let j = 0;
  while (i < x.values.length || j < y.values.length) {
    const v = x.values[i] ?? Number.MAX_SAFE_INTEGER;
    const u = y.values[j] ?? Number.MAX_SAFE_INTEGER;
    if (v < u) add(v, x.coefficients[i++]!);
    else if (u < v) add(u, Math.imul(y.coefficients[j++]!, factor));
    else add(v, (x.coefficients[i++]! + Math.imul(y.coefficients[j++]!, factor)) | 0);
  }
  if (values.length > MOST_TERMS) return null;
  return { values, coefficients, constant: (x.constant + Math.imul(y.constant, factor)) | 0 };
}

const ZERO: Linear = { values: [], coefficients: [], constant: 0 };

export class CountedLoop {
  /** Step of each loop variable that goes up (or down) by a constant. */
  readonly steps = new Map<Value, number>();
  /** What each parameter of the block is when the loop begins, and next time round. */
  readonly initial: readonly Value[];
  readonly next: readonly Value[];
  private readonly indexOf = new Map<Value, number>();
  private readonly forms = new Map<Value, Linear | null>();

  /**
   * @param block its own successor
   * @param preheader jumps to the block, and is the only other way into it
   * @param back the edge from the block to itself
   * @param before the only edge to the preheader, or NONE
   */
  constructor(
    readonly f: Func,
    readonly block: Block,
    readonly preheader: Block,
    back: Edge,
    before: Edge,
  ) {
    const into = f.succEdge(f.terminator(preheader), 0);
    const n = f.paramCount(block);
    this.initial = Array.from({ length: n }, (_, i) => {
      const v = f.edgeArg(into, i);
      // A block that was made as a preheader hands parameters on.
      return before !== NONE && f.op(v) === Op.Param && f.blockOf(v) === preheader
        ? f.edgeArg(before, f.imm(v))
        : v;
    });
    this.next = Array.from({ length: n }, (_, i) => f.edgeArg(back, i));
    for (let i = 0; i < n; i++) {
      const p = f.param(block, i);
      this.indexOf.set(p, i);
      const step = this.stepOf(p, this.next[i]!, 0);
      if (step !== 0 && f.type(p) === Type.I32) this.steps.set(p, step);
    }
  }

  /** What `v` adds to the parameter `p`: 0 if it is not such a sum. */
  private stepOf(p: Value, v: Value, depth: number): number {
    const { f } = this;
    if (depth > DEPTH || f.op(v) !== Op.Add || f.op(f.b(v)) !== Op.IConst) return 0;
    const c = f.imm(f.b(v));
    if (f.a(v) === p) return c;
    const inner = this.stepOf(p, f.a(v), depth + 1);
    return inner === 0 ? 0 : (inner + c) | 0;
  }

  /** Which of the block's parameters `v` is, if it is one that does not count. */
  variable(v: Value): number | undefined {
    return this.steps.has(v) ? undefined : this.indexOf.get(v);
  }

  isInside(v: Value): boolean {
    return this.f.blockOf(v) === this.block;
  }

  /** Whether `v` is the same in all iterations, and known before the first one. */
  isInvariant(v: Value): boolean {
    const op = this.f.op(v);
    return op === Op.IConst || op === Op.FConst || !this.isInside(v);
  }

  /** An i32 as a linear form, or null. */
  linear(v: Value, depth = 0): Linear | null {
    const known = this.forms.get(v);
    if (known !== undefined) return known;
    const form = this.f.type(v) === Type.I32 ? this.makeLinear(v, depth) : null;
    this.forms.set(v, form);
    return form;
  }

  private makeLinear(v: Value, depth: number): Linear | null {
    const { f } = this;
    const op = f.op(v);
    if (op === Op.IConst) return { values: [], coefficients: [], constant: f.imm(v) };
    const itself: Linear = { values: [v], coefficients: [1], constant: 0 };
    const inside = this.isInside(v);
    if (op === Op.Param) return inside && !this.steps.has(v) ? null : itself;
    if (depth > DEPTH) return inside ? null : itself;
    switch (op) {
      case Op.Add:
      case Op.Sub: {
        if (!inside && f.op(f.b(v)) !== Op.IConst) return itself;
        const a = this.linear(f.a(v), depth + 1);
        const b = a && this.linear(f.b(v), depth + 1);
        return b && plus(a, b, op === Op.Add ? 1 : -1);
      }
      case Op.Shl:
      case Op.Mul: {
        if (!inside) return itself;
        if (f.op(f.b(v)) !== Op.IConst) return null;
        const a = this.linear(f.a(v), depth + 1);
        const c = f.imm(f.b(v));
        return a && plus(ZERO, a, op === Op.Mul ? c : 1 << (c & 31));
      }
    }
    return inside ? null : itself;
  }

  /** What a linear form goes up by in each iteration, as a signed number. */
  stride(x: Linear): number {
    let sum = 0;
    x.values.forEach((v, i) => {
      sum = (sum + Math.imul(x.coefficients[i]!, this.steps.get(v) ?? 0)) | 0;
    });
    return sum;
  }

  /** What decides whether the loop goes round again; null: nothing that counts by a power of two. */
  counter(): Counter | null {
    const { f, block } = this;
    const branch = f.terminator(block);
    const onZero = f.edgeTarget(f.c(branch)) === block;
    const condition = f.a(branch);
    let relation: Op | undefined = f.op(condition);
    let x: Linear | null;
    let y: Linear | null;
    if (SWAPPED[relation] !== undefined) {
      if (f.type(f.a(condition)) !== Type.I32) return null;
      x = this.linear(f.a(condition));
      y = this.linear(f.b(condition));
    } else {
      relation = Op.Ne;
      x = this.linear(condition);
      y = ZERO;
    }
    if (!x || !y) return null;
    if (this.stride(x) === 0) {
      [x, y] = [y, x];
      relation = SWAPPED[relation];
    }
    if (onZero && relation !== undefined) relation = INVERTED[relation];
    const stride = this.stride(x);
    if (relation === undefined || stride === 0 || this.stride(y) !== 0) return null;
    if (relation !== Op.Ne && !(stride > 0 ? UPWARDS : DOWNWARDS).includes(relation)) return null;
    const magnitude = Math.abs(stride);
    const shift = 31 - Math.clz32(magnitude);
    if (magnitude !== 2 ** shift) return null;
    return { relation, counted: x, limit: y, stride, shift };
  }

  /** Most iterations that certainRounds() can find, by what is known when compiling. */
  mostRounds(counter: Counter): number {
    const { counted, limit, stride, shift } = counter;
    const start = this.atStart(counted);
    if (start === null) return 2 ** (32 - shift);
    if (limit.values.length === 0) {
      const distance = stride > 0 ? limit.constant - start : start - limit.constant;
      return (distance >>> 0) >>> shift;
    }
    // Counting up to something small, as the remaining iterations behind an unrolled loop do.
    if (
      stride > 0 &&
      start >= 0 &&
      limit.values.length === 1 &&
      limit.constant === 0 &&
      limit.coefficients[0] === 1
    )
      return 2 ** unsignedWidth(this.f, limit.values[0]!) >= 2 ** 32
        ? 2 ** (32 - shift)
        : 2 ** unsignedWidth(this.f, limit.values[0]!) / 2 ** shift;
    return 2 ** (32 - shift);
  }

  /** The value of a linear form in the first iteration, if it is known when compiling. */
  private atStart(x: Linear): number | null {
    let sum = x.constant;
    for (let i = 0; i < x.values.length; i++) {
      const index = this.indexOf.get(x.values[i]!);
      const start = index === undefined ? 0 : this.initial[index]!;
      if (start === 0 || this.f.op(start) !== Op.IConst) return null;
      sum = (sum + Math.imul(x.coefficients[i]!, this.f.imm(start))) | 0;
    }
    return sum;
  }

  /** What stands for a loop variable in the first iteration; anything else is itself. */
  first(v: Value): Value {
    const index = this.indexOf.get(v);
    return index === undefined ? v : this.initial[index]!;
  }
}

/** Appends rows to blocks that are being made. */
export class Builder {
  block: Block = 0;
  /** Rows go in front of this one; 0: to the block's end. */
  before: Value = 0;

  constructor(readonly f: Func) {}

  emit(op: Op, type: Type, a: Value = 0, b: Value = 0, c: Value = 0, imm = 0, imm2 = 0): Value {
    const v = this.f.make(op, type, a, b, c, imm, imm2);
    return this.before === 0 ? this.f.append(this.block, v) : this.f.insertBefore(this.before, v);
  }

  int(type: Type, n: number): Value {
    return this.emit(Op.IConst, type, 0, 0, 0, n | 0, type === Type.I32 ? 0 : Math.floor(n / 2 ** 32));
  }

  /** A value of which a constant factor is a power of two more often than not. */
  times(type: Type, v: Value, factor: number): Value {
    if (factor === 1) return v;
    const shift = 31 - Math.clz32(factor);
    return factor > 0 && factor === 2 ** shift
      ? this.emit(Op.Shl, type, v, this.int(type, shift))
      : this.emit(Op.Mul, type, v, this.int(type, factor));
  }

  /** A linear form as it is in the first iteration. */
  linear(loop: CountedLoop, x: Linear): Value {
    let sum = 0;
    x.values.forEach((v, i) => {
      const term = this.times(Type.I32, loop.first(v), x.coefficients[i]!);
      sum = sum === 0 ? term : this.emit(Op.Add, Type.I32, sum, term);
    });
    if (sum === 0) return this.int(Type.I32, x.constant);
    return x.constant === 0 ? sum : this.emit(Op.Add, Type.I32, sum, this.int(Type.I32, x.constant));
  }

  /** A constant of 16 bytes: `bytes` again and again. */
  vector(words: readonly number[]): Value {
    return this.emit(Op.VConst, Type.V128, 0, 0, 0, this.f.listOf(words));
  }

  /** A value that stands outside of the loop, or a constant. */
  outside(loop: CountedLoop, v: Value): Value {
    if (!loop.isInside(v)) return v;
    const { f } = this;
    return this.emit(f.op(v), f.type(v), 0, 0, 0, f.imm(v), f.imm2(v));
  }
}
