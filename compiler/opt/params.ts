/** Block parameters that need not be: those that are one value on every way in; and taking parameters out. */
import type { Cfg } from '../ir/cfg.ts';
import { type Edge, F_IMM, type Func, NONE, ROW, type Value } from '../ir/func.ts';
import { Op } from '../ir/ops.ts';
import { type Ints, sized } from '../ir/scratch.ts';
import { Fired, type Tally } from './tally.ts';
import { rewriteUses } from './uses.ts';

/**
 * Take parameters out of their blocks, and the arguments for them out of all edges. Nothing may use them any more.
 * Edges are changed in place, so the lists of a Cfg stay good.
 */
export function dropParams(f: Func, isDropped: (param: Value) => boolean): void {
  const { pool } = f;
  // Arguments first, as they are told by the parameters' positions.
  for (let b = 0; b < f.blockCount; b++) {
    if (f.first[b] === 0) continue;
    const term = f.terminator(b);
    const count = f.succCount(term);
    for (let i = 0; i < count; i++) {
      const edge: Edge = f.succEdge(term, i);
      const target = f.edgeTarget(edge);
      const n = f.paramCount(target);
      // An edge that stands in a br_table twice has been done at its first place.
      if (n === 0 || f.edgeArgCount(edge) !== n) continue;
      let kept = 0;
      for (let k = 0; k < n; k++)
        if (!isDropped(f.param(target, k))) pool[edge + 2 + kept++] = pool[edge + 2 + k]!;
      pool[edge] = 1 + kept;
    }
  }
  for (let b = 1; b < f.blockCount; b++) {
    const list = f.params[b]!;
    const n = f.paramCount(b);
    let kept = 0;
    for (let k = 0; k < n; k++) {
      const p = pool[list + 1 + k]!;
      if (isDropped(p)) continue;
      f.rows[p * ROW + F_IMM] = kept;
      pool[list + 1 + kept++] = p;
    }
    if (list !== NONE) pool[list] = kept;
    if (kept === 0) f.params[b] = NONE;
  }
}

/**
 * Replaces block parameters that are one and the same value (or themselves) on every way in, over and over until there
 * is none left: Braun et al., "Simple and Efficient Construction of Static Single Assignment Form", section 3.1, with a
 * queue of parameters to look at again in place of recursion. What is looked at again are only the parameters that were
 * given a replaced one.
 */
export class RedundantParams {
  /** What stands for a value; 0: itself. */
  private replacement: Ints = new Int32Array(256);
  /** For each value, its uses as an edge's argument: first and last of a list of uses. */
  private firstUse: Ints = new Int32Array(256);
  private lastUse: Ints = new Int32Array(256);
  /** A use: the parameter it is given to, and the next one. Use 0 is reserved. */
  private useParam: Ints = new Int32Array(256);
  private useNext: Ints = new Int32Array(256);
  private queue: Ints = new Int32Array(256);
  private queued = new Uint8Array(256);

  /** @returns whether any parameter was removed. cfg: orders and predecessors, which stay valid. */
  run(f: Func, cfg: Cfg, counters: Tally): boolean {
    let params = 0;
    let args = 0;
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      params += f.paramCount(b);
      args += f.paramCount(b) * cfg.predCount(b);
    }
    if (args === 0) return false;
    this.prepare(f, cfg, params, args);
    const removed = this.propagate(f, cfg, params);
    if (removed === 0) return false;
    counters.counts[Fired.Param]! += removed;
    dropParams(f, v => this.replacement[v] !== 0);
    this.rewrite(f);
    return true;
  }

  private prepare(f: Func, cfg: Cfg, params: number, args: number): void {
    this.replacement = sized(this.replacement, f.count);
    this.firstUse = sized(this.firstUse, f.count);
    this.lastUse = sized(this.lastUse, f.count);
    this.useParam = sized(this.useParam, args + 1);
    this.useNext = sized(this.useNext, args + 1);
    this.queue = sized(this.queue, params);
    if (this.queued.length < f.count) this.queued = new Uint8Array(f.count * 2);
    this.replacement.fill(0, 0, f.count);
    this.firstUse.fill(0, 0, f.count);
    this.lastUse.fill(0, 0, f.count);
    this.queued.fill(0, 0, f.count);
    let uses = 0;
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const n = f.paramCount(b);
      if (n === 0) continue;
      for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++) {
        for (let k = 0; k < n; k++) {
          const arg = f.edgeArg(cfg.predEdge[p]!, k);
          if (f.op(arg) !== Op.Param) continue;
          const use = ++uses;
          this.useParam[use] = f.param(b, k);
          this.useNext[use] = this.firstUse[arg]!;
          this.firstUse[arg] = use;
          if (this.lastUse[arg] === 0) this.lastUse[arg] = use;
        }
      }
    }
  }

  private resolve(v: Value): Value {
    const { replacement } = this;
    let root = v;
    while (replacement[root] !== 0) root = replacement[root]!;
    // Shorten the path.
    while (replacement[v] !== 0 && replacement[v] !== root) {
      const next = replacement[v]!;
      replacement[v] = root;
      v = next;
    }
    return root;
  }

  /** A ring of parameters to look at; each is in it once at most. */
  private propagate(f: Func, cfg: Cfg, size: number): number {
    const { queue, queued, replacement, firstUse, lastUse, useParam, useNext } = this;
    let head = 0;
    let length = 0;
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      for (let k = 0; k < f.paramCount(b); k++) {
        queue[length++] = f.param(b, k);
        queued[f.param(b, k)] = 1;
      }
    }
    let removed = 0;
    while (length > 0) {
      const param = queue[head]!;
      head = head + 1 === size ? 0 : head + 1;
      length--;
      queued[param] = 0;
      if (replacement[param] !== 0) continue;
      const same = this.onlyArgument(f, cfg, param);
      if (same === 0) continue;
      replacement[param] = same;
      removed++;
      for (let use = firstUse[param]!; use !== 0; use = useNext[use]!) {
        const user = useParam[use]!;
        if (queued[user] !== 0 || replacement[user] !== 0) continue;
        queued[user] = 1;
        let tail = head + length++;
        if (tail >= size) tail -= size;
        queue[tail] = user;
      }
      if (firstUse[param] === 0) continue;
      // Its uses are the replacement's now.
      useNext[lastUse[param]!] = firstUse[same]!;
      firstUse[same] = firstUse[param]!;
      if (lastUse[same] === 0) lastUse[same] = lastUse[param]!;
    }
    return removed;
  }

  /** The one value other than itself that a parameter is given, or 0. */
  private onlyArgument(f: Func, cfg: Cfg, param: Value): Value {
    const b = f.a(param);
    const k = f.imm(param);
    let same = 0;
    for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++) {
      const arg = this.resolve(f.edgeArg(cfg.predEdge[p]!, k));
      if (arg === param || arg === same) continue;
      if (same !== 0) return 0;
      same = arg;
    }
    return same;
  }

  private rewrite(f: Func): void {
    rewriteUses(f, v => this.resolve(v));
  }
}
