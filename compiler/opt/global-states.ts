/**
 * Branches on a small state that lies in a global.
 *
 * Asyncify (Binaryen's, which TinyGo uses for its scheduler) makes functions that can be left and entered again in
 * their midst: a global tells whether the program runs (0), unwinds (1) or rewinds (2), and each piece of a function is
 * behind a branch on it. The state changes in calls only, so between them all but the first branch is known; but each
 * comes behind a join of the ways on which the piece before was passed, or not, where nothing is.
 *
 * So what the global may be is found for each block's start, as a set of the constants it is compared with and all
 * other numbers, by the usual iteration over the graph. Then loads of what can be one number only are that number;
 * branches that can go one way only are jumps; and a block of few instructions that ends in a branch which some way in
 * decides is copied for that way in, with a jump at its end. Such copies decide further branches, so it is done over
 * again, a bounded number of times. Mueller and Whalley, "Avoiding Conditional Branches by Code Replication".
 *
 * A loop's header is never copied, so loops keep their only entry. What is copied has no effect but that it may trap,
 * as it would have there.
 */
import type { Cfg } from '../ir/cfg.ts';
import {
  type Block,
  type Edge,
  F_A,
  F_B,
  F_C,
  F_IMM,
  F_IMM2,
  type Func,
  NONE,
  ROW,
  type Value,
} from '../ir/func.ts';
import { MemKind, OP_FLAGS, Op, OpFlag, Region, rawKind, rawRegion, Type } from '../ir/ops.ts';
import { type Ints, sized } from '../ir/scratch.ts';
import { BlockCopier } from './copy-block.ts';
import { mayWriteGlobals } from './memory.ts';
import { SsaRepair } from './ssa-repair.ts';
import { Fired, type Tally } from './tally.ts';

/** A global that fewer branches ask is left alone, until some of them have been decided. */
const LEAST_BRANCHES = 2;
/** How often the graph is looked at again. */
const MOST_ROUNDS = 4;
/** Iterations over the graph until nothing changes; beyond, nothing is done. */
const MOST_ITERATIONS = 16;
/** Instructions of a block that is copied. */
const MOST_COPIED = 8;
/** Values that copies define, times the blocks that these may have to be handed through, in one round. */
const MOST_REPAIRS = 20_000_000;
/** Constants that are told apart: a set is a bit for each, and one for all other numbers. */
const MOST_CONSTANTS = 7;
const OTHERS = 1 << MOST_CONSTANTS;

export class GlobalStates {
  private readonly repair = new SsaRepair();
  private readonly copier = new BlockCopier(this.repair);
  /** The global: displacement in the vmctx. */
  private where = 0;
  private readonly constants: number[] = [];
  private all = OTHERS;
  /**
   * For each block: the set, and the value that is in the global (0: none that is known), at its start. No set: not
   * reached yet.
   */
  private setAt: Ints = new Int32Array(64);
  private valueAt: Ints = new Int32Array(64);
  /** For each block: the set that it leaves (0: what it found), and the value (0: the same; -1: none that is known). */
  private leavesSet: Ints = new Int32Array(64);
  private leavesValue: Ints = new Int32Array(64);

  /** @returns whether anything changed; the Cfg is stale then, and blocks may have become unreachable */
  run(f: Func, cfg: Cfg, counters: Tally): boolean {
    let changed = false;
    for (let round = 0; round < MOST_ROUNDS && this.choose(f, changed ? 1 : LEAST_BRANCHES); round++) {
      cfg.computeOrder(f);
      if (!this.solve(f, cfg)) break;
      const decided = this.decide(f, cfg, counters);
      if (decided) cfg.computeOrder(f);
      const threaded = this.thread(f, cfg, counters);
      if (!decided && !threaded) break;
      changed = true;
    }
    return changed;
  }

  // ---- Which global, and which constants
  private isState(f: Func, v: Value): boolean {
    if (f.op(v) !== Op.VmLoad || f.type(v) !== Type.I32) return false;
    return rawRegion(f.imm2(v)) === Region.Global && rawKind(f.imm2(v)) === MemKind.Full;
  }

  /** The value that a branch's condition asks about. */
  private asked(f: Func, condition: Value): Value {
    if (f.op(condition) !== Op.Eq && f.op(condition) !== Op.Ne) return condition;
    return f.op(f.b(condition)) === Op.IConst && f.type(f.a(condition)) === Type.I32 ? f.a(condition) : NONE;
  }

  private choose(f: Func, least: number): boolean {
    const branches = new Map<number, number>();
    for (let b = 0; b < f.blockCount; b++) {
      const term = f.first[b] === 0 ? NONE : f.terminator(b);
      if (f.op(term) !== Op.BrIf) continue;
      const value = this.asked(f, f.a(term));
      if (value !== NONE && this.isState(f, value))
        branches.set(f.imm(value), (branches.get(f.imm(value)) ?? 0) + 1);
    }
    let most = least - 1;
    for (const [where, count] of branches) {
      if (count <= most) continue;
      most = count;
      this.where = where;
    }
    if (most < least) return false;
    this.constants.length = 0;
    this.constants.push(0);
    for (let b = 0; b < f.blockCount; b++) {
      const term = f.first[b] === 0 ? NONE : f.terminator(b);
      if (f.op(term) !== Op.BrIf) continue;
      const condition = f.a(term);
      const value = this.asked(f, condition);
      if (value === condition || value === NONE || !this.isState(f, value) || f.imm(value) !== this.where)
        continue;
      const n = f.imm(f.b(condition));
      if (!this.constants.includes(n) && this.constants.length < MOST_CONSTANTS) this.constants.push(n);
    }
    this.all = ((1 << this.constants.length) - 1) | OTHERS;
    return true;
  }

  private setOf(n: number): number {
    const k = this.constants.indexOf(n);
    return k < 0 ? OTHERS : 1 << k;
  }

  /** The set for which a branch that asks `value` goes its first way. 0: can't be told. */
  private taken(f: Func, term: Value, value: Value): number {
    const condition = f.a(term);
    if (value === condition) return this.all & ~this.setOf(0);
    const equal = this.setOf(f.imm(f.b(condition)));
    if (equal === OTHERS) return 0;
    return f.op(condition) === Op.Eq ? equal : this.all & ~equal;
  }

  // ---- What it may be where
  private solve(f: Func, cfg: Cfg): boolean {
    const n = f.blockCount;
    this.setAt = sized(this.setAt, n);
    this.valueAt = sized(this.valueAt, n);
    this.leavesSet = sized(this.leavesSet, n);
    this.leavesValue = sized(this.leavesValue, n);
    for (let i = 0; i < cfg.orderCount; i++) this.summarize(f, cfg.order[i]!);
    this.setAt.fill(0, 0, n);
    this.setAt[0] = this.all;
    this.valueAt[0] = NONE;
    for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
      let changed = false;
      for (let i = 0; i < cfg.orderCount; i++) {
        const b = cfg.order[i]!;
        if (this.setAt[b] === 0) continue;
        const term = f.terminator(b);
        const count = f.succCount(term);
        for (let k = 0; k < count; k++) changed = this.flow(f, b, f.succEdge(term, k)) || changed;
      }
      if (!changed) return true;
    }
    return false;
  }

  private summarize(f: Func, b: Block): void {
    let set = 0;
    let value = 0;
    for (let v = f.first[b]!; v !== 0; v = f.next[v]!) {
      if (this.isState(f, v) && f.imm(v) === this.where) {
        value = v;
      } else if (
        f.op(v) === Op.VmStore &&
        rawRegion(f.imm2(v)) === Region.Global &&
        f.imm(v) === this.where
      ) {
        value = f.a(v);
        set = f.op(value) === Op.IConst && f.type(value) === Type.I32 ? this.setOf(f.imm(value)) : this.all;
      } else if (f.op(v) !== Op.VmStore && mayWriteGlobals(f, v)) {
        value = -1;
        set = this.all;
      }
    }
    this.leavesSet[b] = set;
    this.leavesValue[b] = value;
  }

  private valueBehind(b: Block): Value {
    const left = this.leavesValue[b]!;
    return left === 0 ? this.valueAt[b]! : Math.max(left, NONE);
  }

  /** What the global may be on an edge. */
  private setOn(f: Func, from: Block, edge: Edge): number {
    const set = this.leavesSet[from] || this.setAt[from]!;
    const term = f.terminator(from);
    if (f.op(term) !== Op.BrIf) return set;
    const value = this.asked(f, f.a(term));
    if (value === NONE || value !== this.valueBehind(from)) return set;
    const taken = this.taken(f, term, value);
    if (taken === 0) return set;
    return edge === f.b(term) ? set & taken : set & ~taken;
  }

  private flow(f: Func, from: Block, edge: Edge): boolean {
    const to = f.edgeTarget(edge);
    const set = this.setOn(f, from, edge);
    if (set === 0) return false;
    const value = this.valueBehind(from);
    const before = this.setAt[to]!;
    if (before === 0) {
      this.setAt[to] = set;
      this.valueAt[to] = value;
      return true;
    }
    const changed = (before | set) !== before || (this.valueAt[to] !== NONE && this.valueAt[to] !== value);
    this.setAt[to] = before | set;
    if (this.valueAt[to] !== value) this.valueAt[to] = NONE;
    return changed;
  }

  // ---- What follows from it
  private decide(f: Func, cfg: Cfg, counters: Tally): boolean {
    let changed = false;
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      if (this.setAt[b] === 0) continue;
      if (this.loadKnown(f, b)) {
        counters.counts[Fired.StateLoad]!++;
        changed = true;
      }
      const term = f.terminator(b);
      if (f.op(term) !== Op.BrIf) continue;
      const yes = this.setOn(f, b, f.b(term));
      const no = this.setOn(f, b, f.c(term));
      if (yes !== 0 && no !== 0) continue;
      const at = term * ROW;
      f.rows[at] = Op.Jump;
      f.rows[at + F_A] = NONE;
      if (yes === 0) f.rows[at + F_B] = f.c(term);
      f.rows[at + F_C] = NONE;
      f.rows[at + F_IMM] = 0;
      counters.counts[Fired.StateBranch]!++;
      changed = true;
    }
    return changed;
  }

  /**
   * Loads at a block's start, in front of anything that may write the global, of what can be one number only, become
   * it.
   */
  private loadKnown(f: Func, b: Block): boolean {
    const set = this.setAt[b]!;
    if (set === OTHERS || (set & (set - 1)) !== 0) return false;
    let changed = false;
    for (let v = f.first[b]!; v !== 0 && !mayWriteGlobals(f, v); v = f.next[v]!) {
      if (!this.isState(f, v) || f.imm(v) !== this.where) continue;
      const at = v * ROW;
      f.rows[at] = Op.IConst | (Type.I32 << 16);
      f.rows[at + F_IMM] = this.constants[31 - Math.clz32(set)]!;
      f.rows[at + F_IMM2] = 0;
      changed = true;
    }
    return changed;
  }

  private thread(f: Func, cfg: Cfg, counters: Tally): boolean {
    const blocks = f.blockCount;
    let repairs = 0;
    let threaded = 0;
    this.repair.begin(f);
    this.copier.begin(f);
    for (let i = 1; i < cfg.orderCount && repairs < MOST_REPAIRS; i++) {
      const b = cfg.order[i]!;
      const term = f.terminator(b);
      if (this.setAt[b] === 0 || f.op(term) !== Op.BrIf || !this.mayCopy(f, cfg, b)) continue;
      const value = this.asked(f, f.a(term));
      if (value === NONE || value !== this.valueBehind(b)) continue;
      const taken = this.taken(f, term, value);
      if (taken === 0) continue;
      const copies: [Block, Block] = [NONE, NONE];
      for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++) {
        const edge = cfg.predEdge[p]!;
        const from = cfg.predBlock[p]!;
        if (f.edgeTarget(edge) !== b || this.setAt[from] === 0) continue;
        const set = this.setOn(f, from, edge);
        if (set === 0 || ((set & taken) !== 0 && (set & ~taken) !== 0)) continue;
        const way = (set & taken) !== 0 ? 0 : 1;
        if (copies[way] === NONE) {
          copies[way] = this.copy(f, b, way === 0 ? f.b(term) : f.c(term));
          repairs += blocks * (f.paramCount(b) + MOST_COPIED);
        }
        f.pool[edge + 1] = copies[way];
        threaded++;
      }
    }
    if (threaded === 0) return false;
    counters.counts[Fired.StateThread]! += threaded;
    cfg.compute(f);
    this.repair.run(cfg);
    return true;
  }

  private mayCopy(f: Func, cfg: Cfg, b: Block): boolean {
    for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++)
      if (cfg.orderIndex[cfg.predBlock[p]!]! >= cfg.orderIndex[b]!) return false;
    let count = 0;
    for (let v = f.first[b]!; v !== f.terminator(b); v = f.next[v]!)
      if (++count > MOST_COPIED || (OP_FLAGS[f.op(v)]! & (OpFlag.Write | OpFlag.ListB)) !== 0) return false;
    return true;
  }

  /** A copy of a block that ends in a jump along (a copy of) one of its edges. */
  private copy(f: Func, b: Block, edge: Edge): Block {
    return this.copier.copy(b, to => {
      f.append(to, f.make(Op.Jump, Type.None, 0, this.copier.edge(edge), 0, 0, 0));
    });
  }
}
