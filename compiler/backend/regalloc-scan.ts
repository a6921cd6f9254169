/**
 * Linear scan over bundles with lifetime holes and live-range splitting, after Wimmer and Franz, "Linear Scan Register
 * Allocation on SSA Form" (2010), and Wimmer and Mössenböck, "Optimized Interval Splitting in a Linear Scan Register
 * Allocator" (2005). Bundles are cut into *pieces*; each piece gets one register, or none (its values are then in the
 * spill slot, or rematerialised).
 *
 * Pieces are visited by start position. A piece takes a register that is free over all its ranges, by preference one
 * that a hint names. If there is none, these are weighed: the register that is free longest, with the rest split off; a
 * register taken from another piece, whose rest is spilled up to its next use; and leaving the piece itself in memory
 * up to its next use. A spill's cost is what its reload, its uses in memory and its store cost in block frequencies
 * (moved out of loops where that is possible), its gain is for how long the register becomes free (Belady's rule, when
 * all costs are the same).
 *
 * Where a piece may be cut: at Early, i.e. in the moves in front of an instruction; at the start of a block (the moves
 * are on the edges then); and where the bundle is not live across the cut. Within an instruction (Late, After) a cut is
 * possible if the rest is in memory and the value has been stored since its definition: such values are stored there
 * (see regalloc-resolve.ts), so the cut needs no code. That is why an instruction needs registers only for its own
 * operands, and the scan always succeeds: the *minimal* piece of a register operand covers only its instruction, and
 * takes its register from whatever else holds it.
 */
import { bug } from '../diagnostics.ts';
import type { Bundles } from './intervals.ts';
import {
  atLeast,
  EARLY,
  type Flow,
  GAP,
  type Liveness,
  POS,
  seek,
  USE_HINT_SHIFT,
  UseInfo,
  useEnd,
} from './liveness.ts';
import { FLOAT_BASE, type MachFunc, RegClass, type RegSet } from './mach.ts';
import { SpillCosts } from './regalloc-cost.ts';
import { Obstacles, REGS } from './regalloc-obstacles.ts';
import { PieceHeap, Pieces, SPILLED, UNASSIGNED } from './regalloc-pieces.ts';

/** Push and pop of a callee-saved register, in the units of regalloc-cost.ts. */
const SAVE_COST = 2;
/**
 * How much dearer a victim's spill may be than splitting, since a split value often has to change its register again.
 */
const VICTIM_BIAS = 1.3;
/** Bounds on what one decision looks at; an obstacle is assumed where looking ends. */
const MAX_HINTS = 32;
const MAX_STEPS = 1000;
/** Pieces are sorted as start * PIECE_LIMIT + piece, exact in a double. */
const PIECE_LIMIT = 2 ** 25;

export class LinearScan {
  readonly pieces = new Pieces();
  private readonly obstacles = new Obstacles();
  private readonly costs = new SpillCosts();
  private m!: MachFunc;
  private regs!: RegSet;
  private flow!: Flow;
  private live!: Liveness;
  private bundles!: Bundles;

  /** Registers of each class in order of preference. */
  private order: readonly number[][] = [[], []];
  private readonly active = new Int32Array(REGS);
  /** End of the active piece's current range. */
  private readonly activeEnd = new Int32Array(REGS);
  private readonly inactive = Array.from({ length: REGS }, () => new PieceHeap());
  private readonly queue = new PieceHeap();
  private sorted = new Float64Array(0);
  /** Registers given out so far. */
  private taken: [number, number] = [0, 0];
  private lastReg = new Int32Array(0);

  /**
   * For the piece at hand: up to where each register is free of fixed operands and clobbers; and of inactive pieces
   * too.
   */
  private readonly fixedLimit = new Int32Array(REGS);
  private readonly limit = new Int32Array(REGS);
  private readonly hint = new Float64Array(REGS);
  private steps = 0;
  private maxSteps = MAX_STEPS;

  run(m: MachFunc, regs: RegSet, flow: Flow, live: Liveness, bundles: Bundles, maxSteps = MAX_STEPS): void {
    this.maxSteps = maxSteps;
    this.m = m;
    this.regs = regs;
    this.flow = flow;
    this.live = live;
    this.bundles = bundles;
    this.order = [0, 1].map(c => regs.order[c].filter(r => (regs.allocatable[c] >>> (r & 31)) & 1));
    this.taken = [0, 0];
    this.active.fill(-1);
    for (const heap of this.inactive) heap.clear();
    this.queue.clear();
    this.obstacles.collect(m, regs, bundles, this.pieces);
    this.costs.reset(m, flow, live, bundles, this.pieces);
    const count = this.createPieces();
    const { pieces, queue, sorted } = this;
    let k = 0;
    for (;;) {
      let p: number;
      const next = k < count ? Math.floor(sorted[k] / PIECE_LIMIT) : -1;
      if (queue.items.length > 0 && (next < 0 || pieces.start[queue.items[0]] <= next))
        p = queue.pop(pieces.start);
      else if (next >= 0) p = sorted[k++] % PIECE_LIMIT;
      else break;
      this.visit(p);
    }
  }

  private createPieces(): number {
    const { m, bundles, live, pieces } = this;
    const nv = m.vregCount;
    pieces.reset(nv);
    this.lastReg = atLeast(this.lastReg, nv).fill(-1, 0, nv);
    for (let b = 0; b < nv; b++) {
      const r = bundles.firstRange[b];
      if (r === bundles.endRange[b]) continue;
      if (live.homed[b]) this.createHomedPieces(b);
      else
        pieces.first[b] = pieces.add(
          b,
          bundles.rangeFrom[r],
          bundles.rangeTo[bundles.endRange[b] - 1],
          r,
          bundles.firstUse[b],
        );
    }
    const n = pieces.count;
    if (n >= PIECE_LIMIT) bug('too many live intervals');
    if (this.sorted.length < n) this.sorted = new Float64Array(n * 2);
    for (let p = 0; p < n; p++) this.sorted[p] = pieces.start[p] * PIECE_LIMIT + p;
    this.sorted.subarray(0, n).sort();
    return n;
  }

  /** A homed vreg has a minimal piece for each instruction that needs it in a register. */
  private createHomedPieces(b: number): void {
    const { bundles, pieces } = this;
    const { usePos, useInfo } = bundles;
    let last = -1;
    let range = bundles.firstRange[b];
    for (let u = bundles.firstUse[b]; u < bundles.endUse[b]; u++) {
      if (!(useInfo[u] & UseInfo.Must)) continue;
      const start = usePos[u];
      const end = useEnd(start, useInfo[u]);
      if (last >= 0 && pieces.end[last] > start) {
        pieces.end[last] = Math.max(pieces.end[last], end);
        continue;
      }
      while (bundles.rangeTo[range] <= start) range++;
      const p = pieces.add(b, start, end, range, u);
      if (last < 0) pieces.first[b] = p;
      else {
        pieces.next[last] = p;
        pieces.prev[p] = last;
      }
      last = p;
    }
    this.costs.stored[b] = 1;
  }

  // ---- the scan

  private visit(p: number): void {
    const { pieces, active, limit, hint, taken, regs } = this;
    const pos = pieces.start[p];
    this.advance(pos);
    const c = this.bundles.cls[pieces.bundle[p]] === RegClass.Int ? 0 : 1;
    const order = this.order[c];
    const mustEnd = this.mustEnd(p, pos);
    if (mustEnd === 0 && this.idle(p, pos)) {
      this.spillFrom(p, pos);
      return;
    }
    this.computeLimits(p, order, c);
    this.collectHints(p, order);
    const end = pieces.end[p];
    let best = -1;
    let value = 0;
    let worth = -1;
    for (let k = 0; k < order.length; k++) {
      const r = order[k];
      if (active[r] >= 0 || limit[r] < end) continue;
      if (((regs.calleeSaved[c] & ~taken[c]) >>> (r & 31)) & 1) {
        if (worth < 0) worth = this.costs.totalCost(p, SAVE_COST) >= SAVE_COST ? 1 : 0;
        if (worth === 0) continue;
      }
      if (best < 0 || hint[r] > value) {
        best = r;
        value = hint[r];
      }
    }
    if (best >= 0) this.assign(p, best);
    else this.contend(p, pos, mustEnd, order, c, worth === 0);
  }

  /** No register is free throughout: take one in part, take one from another piece, or stay in memory. */
  private contend(
    p: number,
    pos: number,
    mustEnd: number,
    order: readonly number[],
    c: number,
    sparing: boolean,
  ): void {
    const { pieces, active, limit, hint, regs, taken, costs } = this;
    const end = pieces.end[p];
    const needed = mustEnd !== 0 ? mustEnd : this.firstUseEnd(p, pos);
    let partial = -1;
    let victim = -1;
    let victimScore = Infinity;
    let victimCost = 0;
    for (let k = 0; k < order.length; k++) {
      const r = order[k];
      const l = limit[r];
      if (l < needed) continue;
      const x = active[r];
      if (x < 0) {
        if (sparing && ((regs.calleeSaved[c] & ~taken[c]) >>> (r & 31)) & 1) continue;
        if (partial < 0 || l > limit[partial] || (l === limit[partial] && hint[r] > hint[partial]))
          partial = r;
      } else if (this.coverMust(x, pos) === 0) {
        let cost = costs.spillCost(x, pos);
        const gain = costs.gain;
        if (l < end) cost += costs.spillCost(p, l);
        if (cost / gain < victimScore) {
          victim = r;
          victimScore = cost / gain;
          victimCost = cost;
        }
      }
    }
    if (partial >= 0) {
      const l = limit[partial];
      const rest = l < end ? costs.spillCost(p, l) + costs.moveCost(p, l) : 0;
      if (victim < 0 || limit[victim] <= l || victimCost >= rest * VICTIM_BIAS) {
        if (mustEnd !== 0 || this.worthPart(p)) this.take(p, partial);
        else this.spillFrom(p, pos);
        return;
      }
    }
    if (mustEnd === 0) {
      let own = costs.spillCost(p, pos);
      const { gain } = costs;
      // Going on in another register takes a move.
      if (pieces.prev[p] >= 0 && pieces.reg[pieces.prev[p]] >= 0) own -= costs.moveCost(p, pos);
      if (victim < 0 || own / gain <= victimScore) {
        this.spillFrom(p, pos);
        return;
      }
    }
    if (victim >= 0) {
      this.evict(active[victim], pos);
      this.take(p, victim);
    } else this.force(p, pos, mustEnd, order, c);
  }

  /** Last resort: cut down to the instruction, and take any register that its fixed operands leave. */
  private force(p: number, pos: number, mustEnd: number, order: readonly number[], c: number): void {
    const { pieces, active, fixedLimit } = this;
    if (mustEnd === 0) bug('a piece that needs no register asks for one');
    if (pieces.end[p] > mustEnd) {
      this.leave(this.split(p, mustEnd), mustEnd);
      this.computeLimits(p, order, c);
    }
    const end = pieces.end[p];
    let best = -1;
    let rank = 4;
    for (const r of order) {
      if (fixedLimit[r] < end) continue;
      const x = active[r];
      let k: number;
      if (x < 0) k = this.limit[r] >= end ? 0 : 1;
      else {
        const must = this.coverMust(x, pos);
        if (must < 0) continue;
        if (must === 0) k = 1;
        else if (pieces.end[x] > must) k = 2;
        else if (pieces.end[x] < end) k = 3;
        else continue;
      }
      if (k < rank) {
        best = r;
        rank = k;
      }
    }
    if (best < 0) bug(`row ${pos >> 2} needs more registers than there are`);
    if (active[best] >= 0) this.evict(active[best], pos);
    this.evictInactive(p, best);
    this.assign(p, best);
  }

  private assign(p: number, r: number): void {
    const { pieces, bundles } = this;
    if (this.active[r] >= 0) bug(`${this.regs.name(r)} is given twice`);
    const b = pieces.bundle[p];
    pieces.reg[p] = r;
    this.active[r] = p;
    this.activeEnd[r] = Math.min(bundles.rangeTo[pieces.range[p]], pieces.end[p]);
    this.lastReg[b] = r;
    this.taken[r >= FLOAT_BASE ? 1 : 0] |= 1 << (r & 31);
  }

  /** Take a register up to its limit; the rest is queued. */
  private take(p: number, r: number): void {
    const { pieces, limit } = this;
    if (limit[r] < pieces.end[p]) {
      const q = this.costs.splitPoint(p, limit[r]);
      this.leave(this.split(p, q), q);
    }
    this.assign(p, r);
  }

  /** Bring active and inactive pieces up to the scan position. */
  private advance(pos: number): void {
    const { active, activeEnd, inactive, pieces, obstacles } = this;
    for (let c = 0; c < 2; c++) {
      const order = this.order[c];
      for (let k = 0; k < order.length; k++) {
        const r = order[k];
        const x = active[r];
        if (x >= 0 && activeEnd[r] <= pos) {
          active[r] = -1;
          this.wake(x, r, pos);
        }
        const heap = inactive[r];
        while (heap.items.length > 0 && pieces.wake[heap.items[0]] <= pos)
          this.wake(heap.pop(pieces.wake), r, pos);
        obstacles.advance(r, pos);
      }
    }
  }

  private wake(x: number, r: number, pos: number): void {
    const { pieces, bundles } = this;
    const end = bundles.endRange[pieces.bundle[x]];
    const k = seek(bundles.rangeTo, pieces.cursor[x], end, pos + 1);
    pieces.cursor[x] = k;
    if (k === end || bundles.rangeFrom[k] >= pieces.end[x] || pieces.end[x] <= pos) return;
    if (bundles.rangeFrom[k] > pos) {
      pieces.wake[x] = bundles.rangeFrom[k];
      this.inactive[r].push(x, pieces.wake);
      return;
    }
    if (this.active[r] >= 0) bug(`two pieces in ${this.regs.name(r)} at ${pos}`);
    this.active[r] = x;
    this.activeEnd[r] = Math.min(bundles.rangeTo[k], pieces.end[x]);
  }

  // ---- what is free, and what is liked

  private computeLimits(p: number, order: readonly number[], c: number): void {
    const { fixedLimit, limit, inactive } = this;
    this.obstacles.limits(p, order, c, fixedLimit);
    this.steps = this.maxSteps;
    for (let k = 0; k < order.length; k++) {
      const r = order[k];
      limit[r] = fixedLimit[r];
      if (inactive[r].items.length > 0) this.limitByInactive(p, r, 0);
    }
  }

  /** A heap's node wakes before all below it. */
  private limitByInactive(p: number, r: number, node: number): void {
    const { items } = this.inactive[r];
    const { pieces, limit } = this;
    if (node >= items.length) return;
    const x = items[node];
    if (pieces.wake[x] >= limit[r]) return;
    if (--this.steps < 0) {
      limit[r] = pieces.wake[x];
      return;
    }
    if (pieces.end[x] > pieces.wake[x]) limit[r] = this.firstIntersection(x, p, limit[r]);
    this.limitByInactive(p, r, 2 * node + 1);
    this.limitByInactive(p, r, 2 * node + 2);
  }

  /** Where the inactive piece x and p first are live together, if before `bound`. */
  private firstIntersection(x: number, p: number, bound: number): number {
    const { pieces, bundles } = this;
    const { rangeFrom, rangeTo } = bundles;
    const xEnd = bundles.endRange[pieces.bundle[x]];
    const pEnd = bundles.endRange[pieces.bundle[p]];
    const end = Math.min(bound, pieces.end[x]);
    let i = pieces.cursor[x];
    let j = pieces.range[p];
    while (i < xEnd && j < pEnd) {
      const from = Math.max(rangeFrom[i], rangeFrom[j], pieces.wake[x]);
      if (from >= end) return bound;
      if (from < rangeTo[i] && from < rangeTo[j]) return from;
      if (--this.steps < 0) return Math.max(from, pieces.wake[x]);
      if (rangeTo[i] <= rangeTo[j]) i++;
      else j++;
    }
    return bound;
  }

  private collectHints(p: number, order: readonly number[]): void {
    const { hint, pieces, bundles, flow, lastReg } = this;
    for (let k = 0; k < order.length; k++) hint[order[k]] = 0;
    const b = pieces.bundle[p];
    const start = pieces.start[p];
    const end = pieces.end[p];
    const usesEnd = Math.min(bundles.endUse[b], pieces.use[p] + MAX_HINTS);
    for (let u = pieces.use[p]; u < usesEnd && bundles.usePos[u] < end; u++) {
      const r = (bundles.useInfo[u] >>> USE_HINT_SHIFT) - 1;
      if (r >= 0) hint[r] += flow.freq[flow.rowBlock[bundles.usePos[u] >>> 2]];
    }
    let n = MAX_HINTS;
    for (let a = bundles.affHead[b]; a >= 0 && n > 0; a = bundles.affNext[a], n--) {
      const r = lastReg[bundles.of[bundles.affOther[a]]];
      if (r >= 0 && bundles.affOwn[a] >= start && bundles.affOwn[a] <= end) hint[r] += bundles.affWeight[a];
    }
    const block = flow.rowBlock[start >>> 2];
    if (lastReg[b] >= 0) hint[lastReg[b]] += flow.freq[block];
    const l = flow.loopOf[block];
    if (l >= 0 && end >= this.m.blockStart[flow.loopLast[l] + 1] * POS) {
      const head = this.costs.pieceAt(pieces.prev[p], this.m.blockStart[flow.loopFirst[l]] * POS);
      if (head >= 0 && pieces.reg[head] >= 0) hint[pieces.reg[head]] += flow.freq[flow.loopFirst[l]];
    }
  }

  // ---- uses and costs

  /** End of the register operand that starts at `pos` in piece p, or 0. */
  private mustEnd(p: number, pos: number): number {
    const { bundles, pieces } = this;
    const end = bundles.endUse[pieces.bundle[p]];
    let result = 0;
    for (let u = pieces.use[p]; u < end && bundles.usePos[u] <= pos; u++) {
      if (bundles.usePos[u] !== pos || !(bundles.useInfo[u] & UseInfo.Must)) continue;
      result = Math.max(result, useEnd(pos, bundles.useInfo[u]));
    }
    return result;
  }

  /**
   * Whether a register operand of the current instruction holds piece x's register at `pos`: 0 no; -1 yes, since an
   * earlier position; else the end of the operand that starts here.
   */
  private coverMust(x: number, pos: number): number {
    const { bundles, pieces } = this;
    const b = pieces.bundle[x];
    const end = bundles.endUse[b];
    let u = seek(bundles.usePos, pieces.use[x], end, Math.max(pos & ~3, pieces.start[x]));
    let result = 0;
    for (; u < end && bundles.usePos[u] <= pos && bundles.usePos[u] < pieces.end[x]; u++) {
      if (!(bundles.useInfo[u] & UseInfo.Must)) continue;
      const e = useEnd(pos, bundles.useInfo[u]);
      if (e <= pos) continue;
      if (bundles.usePos[u] < pos) return -1;
      result = Math.max(result, e);
    }
    return result;
  }

  /** First use record that a register would serve: the copy that defines a value can as well write to memory. */
  private firstUse(p: number): number {
    const { bundles, pieces } = this;
    const u = pieces.use[p];
    const copied =
      u < bundles.endUse[pieces.bundle[p]] &&
      (bundles.useInfo[u] & UseInfo.Def) !== 0 &&
      (bundles.useInfo[u] & UseInfo.Copy) !== 0;
    return copied && bundles.usePos[u] === pieces.start[p] ? u + 1 : u;
  }

  private firstUseEnd(p: number, pos: number): number {
    const { bundles, pieces } = this;
    const u = this.firstUse(p);
    if (u < bundles.endUse[pieces.bundle[p]] && bundles.usePos[u] < pieces.end[p]) {
      return Math.max(pos + 1, useEnd(bundles.usePos[u], bundles.useInfo[u]));
    }
    return pieces.end[p];
  }

  /** Whether a piece has nothing to gain from a register: no more uses, and nothing to carry round a loop. */
  private idle(p: number, pos: number): boolean {
    const { bundles, pieces } = this;
    const u = pieces.use[p];
    if (u < bundles.endUse[pieces.bundle[p]] && bundles.usePos[u] < pieces.end[p]) return false;
    return this.costs.spillCost(p, pos) === 0;
  }

  /**
   * Whether a part of a piece, up to its next obstacle, is worth a register although its first use could do without.
   */
  private worthPart(p: number): boolean {
    const { bundles, pieces } = this;
    const u = this.firstUse(p);
    if (u >= bundles.endUse[pieces.bundle[p]] || bundles.usePos[u] >= pieces.end[p]) return false;
    return (bundles.useInfo[u] & UseInfo.Must) !== 0 || this.costs.stored[pieces.bundle[p]] === 0;
  }

  // ---- splitting

  /** Cut piece p at q. The new piece starts where the bundle is next live. */
  private split(p: number, q: number): number {
    const { pieces, bundles } = this;
    const b = pieces.bundle[p];
    const rangeEnd = bundles.endRange[b];
    const end = pieces.end[p];
    const k = seek(bundles.rangeTo, pieces.range[p], rangeEnd, q + 1);
    const start = k < rangeEnd ? Math.max(q, bundles.rangeFrom[k]) : end;
    if (q <= pieces.start[p] || start >= end)
      bug(`piece of v${b} from ${pieces.start[p]} to ${end} can't be cut at ${q}`);
    const use = seek(bundles.usePos, pieces.use[p], bundles.endUse[b], start);
    const c = pieces.add(b, start, end, k, use);
    const next = pieces.next[p];
    pieces.next[c] = next;
    pieces.prev[c] = p;
    pieces.next[p] = c;
    if (next >= 0) pieces.prev[next] = c;
    // A piece ends where it was last live: whoever cuts it relies on that. (k is a range: `start` is below `end`.)
    pieces.end[p] = bundles.rangeFrom[k] >= q ? Math.min(q, bundles.rangeTo[k - 1]) : q;
    return c;
  }

  /**
   * Deal with the rest of a piece that was cut at q: within an instruction it must be in memory, unless its value
   * starts there.
   */
  private leave(c: number, q: number): void {
    const { pieces, bundles } = this;
    const start = pieces.start[c];
    if ((q & 3) > EARLY && start === q && bundles.rangeFrom[pieces.range[c]] < q) this.spillFrom(c, q);
    else this.queue.push(c, pieces.start);
  }

  /** Piece c is in memory from its start, past `from`, up to where its next use makes a register worth trying. */
  private spillFrom(c: number, from: number): void {
    const { pieces, bundles, costs } = this;
    const b = pieces.bundle[c];
    const usesEnd = bundles.endUse[b];
    const end = pieces.end[c];
    pieces.reg[c] = SPILLED;
    if (this.live.rematRow[bundles.rangeVreg[pieces.range[c]]] < 0) this.costs.stored[b] = 1;
    for (
      let u = seek(bundles.usePos, pieces.use[c], usesEnd, from);
      u < usesEnd && bundles.usePos[u] < end;
      u++
    ) {
      const q = costs.reloadPos(from, u);
      if (!(bundles.useInfo[u] & UseInfo.Must)) {
        // Worth a reload only outside of the use's loop.
        if ((q & 3) !== GAP || q <= from || costs.reloadFreq(from, u) * 2 > costs.blockFreq(u)) continue;
      }
      if (q <= pieces.start[c]) {
        pieces.reg[c] = UNASSIGNED;
        this.queue.push(c, pieces.start);
      } else this.queue.push(this.split(c, q), pieces.start);
      return;
    }
  }

  /** Take piece x out of its register at `pos`, the scan position. */
  private evict(x: number, pos: number): void {
    const { pieces } = this;
    this.active[pieces.reg[x]] = -1;
    const must = this.coverMust(x, pos);
    const q = must > 0 ? pos : this.costs.splitPoint(x, pos);
    if (q <= pieces.start[x]) {
      pieces.reg[x] = UNASSIGNED;
      if (must > 0) this.queue.push(x, pieces.start);
      else this.spillFrom(x, pos);
      return;
    }
    const c = this.split(x, q);
    if (must > 0 || pieces.start[c] > pos) this.queue.push(c, pieces.start);
    else this.spillFrom(c, pos);
  }

  /** Take inactive pieces that would become live within minimal piece p out of register r. */
  private evictInactive(p: number, r: number): void {
    const { pieces } = this;
    const heap = this.inactive[r];
    const end = pieces.end[p];
    while (heap.items.length > 0 && pieces.wake[heap.items[0]] < end) {
      const x = heap.pop(pieces.wake);
      if (pieces.end[x] <= pieces.wake[x]) continue;
      this.queue.push(this.split(x, pieces.wake[x]), pieces.start);
    }
  }
}
