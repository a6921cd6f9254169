/**
 * Clean-up of the control flow graph: edges through empty blocks, blocks in a row, blocks that can't be reached,
 * numbering.
 */
import type { Cfg } from '../ir/cfg.ts';
import {
  type Block,
  type Edge,
  F_A,
  F_BLOCK,
  F_C,
  F_IMM,
  type Func,
  NONE,
  ROW,
  type Value,
} from '../ir/func.ts';
import { Op } from '../ir/ops.ts';
import { type Ints, sized } from '../ir/scratch.ts';
import { Fired, type Tally } from './tally.ts';
import { countUses, rewriteUses } from './uses.ts';

/** Empty blocks that an edge is led through, at most; there may be rings of them. */
const MAX_HOPS = 8;
/**
 * An edge led through an empty block may get so many arguments more: each predecessor of the block gets its own copy of
 * them.
 */
const MAX_MORE_ARGS = 4;

export class Branches {
  /** For each value: uses, as far as they are counted. */
  private uses: Ints = new Int32Array(256);
  private replacement: Ints = new Int32Array(256);
  /** For each block: its only edge, where it is empty but for that and may be led through; else 0. */
  private through: Ints = new Int32Array(64);
  private renumbered: Ints = new Int32Array(64);

  /**
   * Lead edges through blocks that only jump. Such a block's parameters may be used by its jump only.
   * @returns whether anything changed; the Cfg is stale then, and blocks may have become unreachable
   */
  thread(f: Func, cfg: Cfg, counters: Tally): boolean {
    if (!this.findEmpty(f, cfg)) return false;
    const lead = (edge: Edge): Edge => this.lead(f, edge, counters);
    let changed = false;
    for (let i = 0; i < cfg.orderCount; i++) {
      const term = f.terminator(cfg.order[i]!);
      if (f.mapEdges(term, lead)) changed = true;
      if (changed && f.op(term) === Op.BrIf) this.joinEqualEdges(f, term, counters);
    }
    return changed;
  }

  private joinEqualEdges(f: Func, term: Value, counters: Tally): void {
    const { pool } = f;
    const yes = f.b(term);
    const no = f.c(term);
    const n = pool[yes]!;
    for (let i = 0; i <= n; i++) if (pool[yes + i] !== pool[no + i]) return;
    const at = term * ROW;
    f.rows[at] = Op.Jump;
    f.rows[at + F_A] = NONE;
    f.rows[at + F_C] = NONE;
    f.rows[at + F_IMM] = 0;
    counters.counts[Fired.Branch]!++;
  }

  private findEmpty(f: Func, cfg: Cfg): boolean {
    const { through } = this;
    const n = f.blockCount;
    this.through = sized(through, n);
    this.through.fill(0, 0, n);
    let params = 0;
    let found = false;
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const term = f.first[b]!;
      if (f.op(term) !== Op.Jump || f.edgeTarget(f.b(term)) === b) continue;
      this.through[b] = f.b(term);
      params += f.paramCount(b);
      found = true;
    }
    if (!found || params === 0) return found;
    // Count all uses of parameters, take off those by the block's own jump: nothing may be left.
    this.uses = sized(this.uses, f.count);
    const uses = this.uses;
    countUses(f, uses);
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const edge = this.through[b]!;
      const k = f.paramCount(b);
      if (edge === 0 || k === 0) continue;
      const args = f.edgeArgCount(edge);
      for (let a = 0; a < args; a++) uses[f.edgeArg(edge, a)]!--;
      let others = false;
      for (let p = 0; p < k; p++) others ||= uses[f.param(b, p)] !== 0;
      for (let a = 0; a < args; a++) uses[f.edgeArg(edge, a)]!++;
      if (others) this.through[b] = 0;
    }
    return true;
  }

  /** The edge that does at once what `edge` and the jumps behind it do. */
  private lead(f: Func, edge: Edge, counters: Tally): Edge {
    let at = edge;
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      const b = f.edgeTarget(at);
      const onward = this.through[b]!;
      if (onward === 0) break;
      const n = f.edgeArgCount(onward);
      if (n > f.edgeArgCount(at) + MAX_MORE_ARGS) break;
      const to = f.newList(n + 1);
      f.pool[to + 1] = f.edgeTarget(onward);
      for (let i = 0; i < n; i++) {
        const arg = f.edgeArg(onward, i);
        f.pool[to + 2 + i] = f.op(arg) === Op.Param && f.a(arg) === b ? f.edgeArg(at, f.imm(arg)) : arg;
      }
      at = to;
      counters.counts[Fired.Thread]!++;
    }
    return at;
  }

  /**
   * Append blocks to their only predecessor where that only jumps to them.
   * @returns whether anything changed; the Cfg is stale then
   */
  merge(f: Func, cfg: Cfg, counters: Tally): boolean {
    let merged = 0;
    this.replacement = sized(this.replacement, f.count);
    const { replacement } = this;
    replacement.fill(0, 0, f.count);
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      if (f.first[b] === 0) continue;
      for (;;) {
        const term = f.terminator(b);
        if (f.op(term) !== Op.Jump) break;
        const edge = f.b(term);
        const target = f.edgeTarget(edge);
        if (target === b || target === 0 || cfg.predCount(target) !== 1) break;
        for (let k = 0; k < f.paramCount(target); k++) replacement[f.param(target, k)] = f.edgeArg(edge, k);
        f.unlink(term);
        this.append(f, b, target);
        merged++;
      }
    }
    if (merged === 0) return false;
    counters.counts[Fired.Merge]! += merged;
    // A parameter's argument may itself be a replaced parameter, of a block further up.
    const resolve = (v: Value): Value => {
      let root = v;
      while (replacement[root] !== 0) root = replacement[root]!;
      while (replacement[v] !== 0 && replacement[v] !== root) {
        const next = replacement[v]!;
        replacement[v] = root;
        v = next;
      }
      return root;
    };
    rewriteUses(f, resolve);
    return true;
  }

  private append(f: Func, b: Block, target: Block): void {
    const first = f.first[target]!;
    const last = f.last[b]!;
    for (let v = first; v !== 0; v = f.next[v]!) f.rows[v * ROW + F_BLOCK] = b;
    f.prev[first] = last;
    if (last === 0) f.first[b] = first;
    else f.next[last] = first;
    f.last[b] = f.last[target]!;
    f.first[target] = 0;
    f.last[target] = 0;
    f.params[target] = NONE;
  }

  /** Number the reachable blocks in reverse postorder and forget the others. The Cfg is stale afterwards. */
  renumber(f: Func, cfg: Cfg): void {
    const n = cfg.orderCount;
    let same = n === f.blockCount;
    for (let i = 0; i < n && same; i++) same = cfg.order[i] === i;
    if (same) return;
    this.renumbered = sized(this.renumbered, 3 * n);
    const saved = this.renumbered;
    for (let i = 0; i < n; i++) {
      const b = cfg.order[i]!;
      saved[3 * i] = f.first[b]!;
      saved[3 * i + 1] = f.last[b]!;
      saved[3 * i + 2] = f.params[b]!;
      // Each edge once, though a br_table may name it twice: its target is made negative until all are done.
      const term = f.terminator(b);
      const count = f.succCount(term);
      for (let k = 0; k < count; k++) {
        const at = f.succEdge(term, k) + 1;
        if (f.pool[at]! >= 0) f.pool[at] = ~cfg.orderIndex[f.pool[at]!]!;
      }
    }
    for (let i = 0; i < n; i++) {
      f.first[i] = saved[3 * i]!;
      f.last[i] = saved[3 * i + 1]!;
      f.params[i] = saved[3 * i + 2]!;
      const term = f.terminator(i);
      const count = f.succCount(term);
      for (let k = 0; k < count; k++) {
        const at = f.succEdge(term, k) + 1;
        if (f.pool[at]! < 0) f.pool[at] = ~f.pool[at]!;
      }
      for (let v = f.first[i]!; v !== 0; v = f.next[v]!) f.rows[v * ROW + F_BLOCK] = i;
      for (let k = 0; k < f.paramCount(i); k++) {
        const at = f.param(i, k) * ROW;
        f.rows[at + F_A] = i;
        f.rows[at + F_BLOCK] = i;
      }
    }
    f.blockCount = n;
  }
}
