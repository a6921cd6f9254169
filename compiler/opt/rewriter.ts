/**
 * What the folding rules work with: the function, the replacements made so far, and new rows in front of the
 * instruction being looked at.
 */
import { F_A, F_B, F_C, F_IMM, F_IMM2, type Func, ROW, type Value } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { grown, type Ints, sized } from '../ir/scratch.ts';
import { type Fired, Tally } from './tally.ts';
import { countUses } from './uses.ts';
import { ValueTable } from './value-table.ts';

export class Rewriter {
  f!: Func;
  counters = new Tally();
  readonly values = new ValueTable();
  /** What stands for a value: 0 is the value itself. Always resolved: what stands for it stands for itself. */
  private replacement: Ints = new Int32Array(256);
  /** Uses of each value, counted before the walk and not exactly kept since: only what is worth doing depends on it. */
  private uses: Ints = new Int32Array(256);
  /** The instruction that is looked at: new rows stand before it. */
  at: Value = 0;

  begin(f: Func, counters: Tally): void {
    this.f = f;
    this.counters = counters;
    this.values.begin(f);
    this.replacement = sized(this.replacement, f.count);
    this.replacement.fill(0, 0, f.count);
    this.uses = sized(this.uses, f.count);
    countUses(f, this.uses);
  }

  /**
   * Whether v is used in one place only. A rule that looks through v then makes it dead; where v lives on, looking
   * through it would only keep its operands alive as well (of `i1 = i + 1; i1 == n`, a test of i against n - 1 takes
   * one more register all through a loop).
   */
  hasOneUse(v: Value): boolean {
    return v < this.uses.length && this.uses[v] === 1;
  }

  fired(rule: Fired): void {
    this.counters.counts[rule]!++;
  }

  resolve(v: Value): Value {
    // A row made during the walk may lie behind the array's end.
    return this.replacement[v] || v;
  }
  /** Let `to` (resolved) stand for `v` from here on. */
  replace(v: Value, to: Value): void {
    if (v >= this.replacement.length) this.replacement = grown(this.replacement, v + 1);
    this.replacement[v] = to;
    if (v < this.uses.length && to < this.uses.length) this.uses[to]! += this.uses[v]!;
  }
  isReplaced(v: Value): boolean {
    return v < this.replacement.length && this.replacement[v] !== 0;
  }

  // ---- new rows
  /** A pure operator on available values: one that is there already, or a new row. */
  emit(op: Op, type: Type, a: Value, b: Value = 0, c: Value = 0, imm = 0, imm2 = 0): Value {
    const { f, at } = this;
    const there = this.values.find(op | (type << 16), a, b, c, imm, imm2);
    if (there !== 0) return there;
    f.loc = f.locOf(at);
    const v = f.insertBefore(at, f.make(op, type, a, b, c, imm, imm2));
    if (v < this.replacement.length) this.replacement[v] = 0;
    if (v < this.uses.length) this.uses[v] = 0;
    this.values.insert(v);
    return v;
  }
  iconst(type: Type, lo: number, hi: number): Value {
    return this.emit(Op.IConst, type, 0, 0, 0, lo, type === Type.I32 ? 0 : hi);
  }
  /** An integer constant of a small value, sign-extended to the type. */
  int(type: Type, n: number): Value {
    return this.iconst(type, n, n >> 31);
  }

  // ---- rewriting the row looked at
  /** Make `v` another operator of the same type. */
  set(v: Value, op: Op, a: Value, b: Value = 0, c: Value = 0, imm = 0, imm2 = 0): void {
    const { rows } = this.f;
    const i = v * ROW;
    rows[i] = op | (rows[i]! & 0xff0000);
    rows[i + F_A] = a;
    rows[i + F_B] = b;
    rows[i + F_C] = c;
    rows[i + F_IMM] = imm;
    rows[i + F_IMM2] = imm2;
  }
  /** Make `v` a constant of its type. */
  setConst(v: Value, lo: number, hi: number): void {
    const type = this.f.type(v);
    const float = type === Type.F32 || type === Type.F64;
    const narrow = type === Type.I32 || type === Type.F32;
    this.set(v, float ? Op.FConst : Op.IConst, 0, 0, 0, lo, narrow ? 0 : hi);
  }

  // ---- questions about values
  isConst(v: Value): boolean {
    return this.f.op(v) === Op.IConst;
  }
  /** Upper half of an integer constant: 0 for an I32. */
  hi(v: Value): number {
    return this.f.type(v) === Type.I32 ? 0 : this.f.imm2(v);
  }
  /** v is the constant n (an int32, sign-extended to its type). */
  isInt(v: Value, n: number): boolean {
    const { f } = this;
    return f.op(v) === Op.IConst && f.imm(v) === n && (f.type(v) === Type.I32 || f.imm2(v) === n >> 31);
  }
  /** k where v is the constant 2^k, else -1. */
  log2(v: Value): number {
    if (!this.isConst(v)) return -1;
    const lo = this.f.imm(v);
    const hi = this.hi(v);
    if (hi === 0 && lo !== 0 && (lo & (lo - 1)) === 0) return 31 - Math.clz32(lo);
    if (lo === 0 && hi !== 0 && (hi & (hi - 1)) === 0) return 63 - Math.clz32(hi);
    return -1;
  }
}
