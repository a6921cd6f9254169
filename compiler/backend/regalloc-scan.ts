/**
 * Linear scan over bundles with lifetime holes and live-range splitting, after Wimmer and Franz, "Linear Scan Register Allocation on SSA Form" (2010), and Wimmer and
 * Mössenböck, "Optimized Interval Splitting in a Linear Scan Register Allocator" (2005). Bundles are cut into *pieces*; each piece gets one register, or none (its
 * values are then in the spill slot, or rematerialised).
 *
 * Pieces are visited by start position. A piece takes a register that is free over all its ranges, by preference one that a hint names. If there is none, these are weighed:
 * the register that is free longest, with the rest split off; a register taken from another piece, whose rest is spilled up to its next use; and leaving the piece itself
 * in memory up to its next use. A spill's cost is what its reload, its uses in memory and its store cost in block frequencies (moved out of loops where that is possible),
 * its gain is for how long the register becomes free (Belady's rule, when all costs are the same).
 *
 * Where a piece may be cut: at Early, i.e. in the moves in front of an instruction; at the start of a block (the moves are on the edges then); and where the bundle is
 * not live across the cut. Within an instruction (Late, After) a cut is possible if the rest is in memory and the value has been stored since its definition: such values
 * are stored there (see regalloc-resolve.ts), so the cut needs no code. That is why an instruction needs registers only for its own operands, and the scan always
 * succeeds: the *minimal* piece of a register operand covers only its instruction, and takes its register from whatever else holds it.
 */
import { bug } from '../diagnostics.ts';
import type { Bundles } from './intervals.ts';
import {
  AFTER,
  atLeast,
  EARLY,
  type Flow,
  GAP,
  grown,
  LATE,
  type Liveness,
  POS,
  seek,
  UseInfo,
} from './liveness.ts';
import {
  FLOAT_BASE,
  M_FLAGS,
  M_OPD,
  M_OPDS,
  type MachFunc,
  MROW,
  Opd,
  opdArg,
  RegClass,
  type RegSet,
} from './mach.ts';

/** Values of `Pieces.reg` besides physical registers. */
export const SPILLED = -1;
export const UNASSIGNED = -2;

const REGS = 64;
/** What a use in memory costs relative to a reload: an operand read from memory; a copy that becomes a load or store. */
const MEMORY_USE = 0.5;
const COPY_USE = 0.35;
const REMAT_RELOAD = 0.4;
const STORE = 0.8;
/** Push and pop of a callee-saved register. */
const SAVE_COST = 2;
/** Bounds on what one decision looks at; beyond them it is made on what was seen (always in the safe direction). */
const MAX_USES_WEIGHED = 24;
const MAX_HINT_USES = 16;
const MAX_STEPS = 400;

/** Cuts of bundles: parallel arrays. The pieces of one bundle are linked in position order. */
export class Pieces {
  count = 0;
  bundle = new Int32Array(1024);
  start = new Int32Array(1024);
  end = new Int32Array(1024);
  reg = new Int32Array(1024);
  next = new Int32Array(1024);
  prev = new Int32Array(1024);
  /** First range that ends behind the piece's start, and first use record not before its start. */
  range = new Int32Array(1024);
  use = new Int32Array(1024);
  /** First range that ends behind the scan position. */
  cursor = new Int32Array(1024);
  /** Where an inactive piece's next range starts. */
  wake = new Int32Array(1024);
  /** First piece of each bundle, or -1. */
  first = new Int32Array(0);

  reset(bundles: number): void {
    this.count = 0;
    this.first = atLeast(this.first, bundles).fill(-1, 0, bundles);
  }

  add(bundle: number, start: number, end: number, range: number, use: number): number {
    const p = this.count++;
    if (p >= this.bundle.length) {
      const n = p + 1;
      this.bundle = grown(this.bundle, n);
      this.start = grown(this.start, n);
      this.end = grown(this.end, n);
      this.reg = grown(this.reg, n);
      this.next = grown(this.next, n);
      this.prev = grown(this.prev, n);
      this.cursor = grown(this.cursor, n);
      this.range = grown(this.range, n);
      this.use = grown(this.use, n);
      this.wake = grown(this.wake, n);
    }
    this.bundle[p] = bundle;
    this.start[p] = start;
    this.end[p] = end;
    this.reg[p] = UNASSIGNED;
    this.next[p] = -1;
    this.prev[p] = -1;
    this.cursor[p] = range;
    this.range[p] = range;
    this.use[p] = use;
    return p;
  }
}

/** Binary heap of pieces by a key. */
class PieceHeap {
  readonly items: number[] = [];

  clear(): void {
    this.items.length = 0;
  }

  push(p: number, key: Int32Array): void {
    const { items } = this;
    let k = items.length;
    items.push(p);
    while (k > 0) {
      const up = (k - 1) >> 1;
      if (key[items[up]] <= key[p]) break;
      items[k] = items[up];
      k = up;
    }
    items[k] = p;
  }

  pop(key: Int32Array): number {
    const { items } = this;
    const top = items[0];
    const p = items.pop()!;
    const n = items.length;
    if (n === 0) return top;
    let k = 0;
    for (;;) {
      let c = 2 * k + 1;
      if (c >= n) break;
      if (c + 1 < n && key[items[c + 1]] < key[items[c]]) c++;
      if (key[items[c]] >= key[p]) break;
      items[k] = items[c];
      k = c;
    }
    items[k] = p;
    return top;
  }
}

export class LinearScan {
  readonly pieces = new Pieces();
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
  private stored = new Uint8Array(0);

  /** Blocked by Fixed operands: entries fixStart[r] .. fixStart[r + 1] - 1; the cursor is at the first that ends behind the scan position. */
  private readonly fixStart = new Int32Array(REGS + 1);
  private readonly fixCursor = new Int32Array(REGS);
  private fixFrom = new Int32Array(0);
  private fixTo = new Int32Array(0);
  private fixVreg = new Int32Array(0);
  /** Clobbers: position (Late) and set. */
  private clobberPos = new Int32Array(0);
  private clobberSet = new Int32Array(0);
  private clobberCount = 0;
  private clobberUnion: [number, number] = [0, 0];

  /** For the piece at hand: up to where each register is free of fixed operands and clobbers; and of inactive pieces too. */
  private readonly fixedLimit = new Int32Array(REGS);
  private readonly limit = new Int32Array(REGS);
  private readonly hint = new Float64Array(REGS);
  private steps = 0;
  /** Second result of spillCost. */
  private gain = 0;

  run(m: MachFunc, regs: RegSet, flow: Flow, live: Liveness, bundles: Bundles): void {
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
    this.collectFixed();
    this.collectClobbers();
    const count = this.createPieces();
    const { pieces, queue, sorted } = this;
    let k = 0;
    for (;;) {
      let p: number;
      const next = k < count ? Math.floor(sorted[k] / 0x2000000) : -1;
      if (queue.items.length > 0 && (next < 0 || pieces.start[queue.items[0]] <= next))
        p = queue.pop(pieces.start);
      else if (next >= 0) p = sorted[k++] % 0x2000000;
      else break;
      this.visit(p);
    }
  }

  private collectFixed(): void {
    const { m, fixStart, fixCursor } = this;
    const { insts, operands } = m;
    fixStart.fill(0);
    let total = 0;
    for (let o = 0; o < m.operandCount; o++) {
      const f = operands[o * 2 + 1];
      if ((f & Opd.ConstraintMask) !== Opd.Fixed) continue;
      fixStart[opdArg(f) + 1]++;
      total++;
    }
    for (let r = 0; r < REGS; r++) {
      fixStart[r + 1] += fixStart[r];
      fixCursor[r] = fixStart[r];
    }
    const from = (this.fixFrom = atLeast(this.fixFrom, total));
    const to = (this.fixTo = atLeast(this.fixTo, total));
    const vreg = (this.fixVreg = atLeast(this.fixVreg, total));
    if (total === 0) return;
    for (let i = 0; i < m.count; i++) {
      const at = i * MROW;
      const first = insts[at + M_OPD];
      const end = first + insts[at + M_OPDS];
      for (let pass = 0; pass < 2; pass++) {
        for (let o = first; o < end; o++) {
          const f = operands[o * 2 + 1];
          if ((f & Opd.ConstraintMask) !== Opd.Fixed || (f & Opd.Def) !== pass) continue;
          const k = fixCursor[opdArg(f)]++;
          from[k] = i * POS + (pass && !(f & Opd.Cross) ? LATE : EARLY);
          to[k] = i * POS + (pass || f & Opd.Cross ? AFTER : LATE);
          // The value that is to be in this register does not conflict with itself.
          vreg[k] = pass ? -1 : operands[o * 2];
        }
      }
    }
    for (let r = 0; r < REGS; r++) fixCursor[r] = fixStart[r];
  }

  private collectClobbers(): void {
    const { m } = this;
    let n = 0;
    this.clobberUnion = [0, 0];
    for (let i = 0; i < m.count; i++) {
      const set = (m.insts[i * MROW + M_FLAGS] >>> 16) & 0xff;
      if (set === 0) continue;
      if (n >= this.clobberPos.length) {
        this.clobberPos = grown(this.clobberPos, n + 256);
        this.clobberSet = grown(this.clobberSet, n + 256);
      }
      this.clobberPos[n] = i * POS + LATE;
      this.clobberSet[n++] = set;
      this.clobberUnion[0] |= m.clobberSets[set][0];
      this.clobberUnion[1] |= m.clobberSets[set][1];
    }
    this.clobberCount = n;
  }

  private createPieces(): number {
    const { m, bundles, live, pieces } = this;
    const nv = m.vregCount;
    pieces.reset(nv);
    this.lastReg = atLeast(this.lastReg, nv).fill(-1, 0, nv);
    if (this.stored.length < nv) this.stored = new Uint8Array(nv * 2);
    this.stored.fill(0, 0, nv);
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
    if (n >= 0x2000000) bug('too many live intervals');
    if (this.sorted.length < n) this.sorted = new Float64Array(n * 2);
    for (let p = 0; p < n; p++) this.sorted[p] = pieces.start[p] * 0x2000000 + p;
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
      const end = (start & ~3) + ((useInfo[u] >>> UseInfo.EndShift) & 7);
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
    this.stored[b] = 1;
  }

  // ---- the scan

  private visit(p: number): void {
    const { pieces, active, limit, hint, taken, regs } = this;
    const pos = pieces.start[p];
    this.advance(pos);
    const c = this.bundles.cls[pieces.bundle[p]] === RegClass.Int ? 0 : 1;
    const order = this.order[c];
    const mustEnd = this.mustEnd(p, pos);
    const homeless = mustEnd === 0 && this.idle(p, pos);
    if (homeless) {
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
        if (worth < 0) worth = this.totalCost(p, SAVE_COST) >= SAVE_COST ? 1 : 0;
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
    const { pieces, active, limit, hint, regs, taken } = this;
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
        let cost = this.spillCost(x, pos);
        const gain = this.gain;
        if (l < end) cost += this.spillCost(p, l);
        const score = cost / gain;
        if (score < victimScore) {
          victim = r;
          victimScore = score;
          victimCost = cost;
        }
      }
    }
    if (partial >= 0) {
      const rest =
        limit[partial] < end ? this.spillCost(p, limit[partial]) + this.carry(p, limit[partial]) : 0;
      if (victim < 0 || limit[victim] <= limit[partial] || victimCost >= rest * 1.3) {
        if (mustEnd !== 0 || this.worthPart(p)) this.take(p, partial);
        else this.spillFrom(p, pos);
        return;
      }
    }
    if (mustEnd === 0) {
      const own =
        this.spillCost(p, pos) / this.gain -
        (this.pieces.prev[p] >= 0 && this.pieces.reg[this.pieces.prev[p]] >= 0
          ? (0.3 * this.flow.freq[this.flow.rowBlock[pos >>> 2]]) / this.gain
          : 0);
      if (victim < 0 || own <= victimScore) {
        this.spillFrom(p, pos);
        return;
      }
    }
    if (victim >= 0) {
      this.evict(active[victim], pos);
      this.take(p, victim);
    } else this.force(p, pos, mustEnd, order, c);
  }

  private carry(p: number, pos: number): number {
    const { flow, pieces } = this;
    const l = flow.loopOf[flow.rowBlock[pos >>> 2]];
    if (l < 0) return 0;
    const { m } = this;
    if (
      pieces.start[p] > m.blockStart[flow.loopFirst[l]] * POS ||
      pieces.end[p] < m.blockStart[flow.loopLast[l] + 1] * POS
    )
      return 0;
    return 0.6 * flow.freq[flow.loopFirst[l]];
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
      const q = this.splitPoint(p, limit[r]);
      this.leave(this.split(p, q), q);
    }
    this.assign(p, r);
  }

  /** Bring active and inactive pieces up to the scan position. */
  private advance(pos: number): void {
    const { active, activeEnd, inactive, pieces, fixCursor, fixStart, fixTo } = this;
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
        let f = fixCursor[r];
        const end = fixStart[r + 1];
        while (f < end && fixTo[f] <= pos) f++;
        fixCursor[r] = f;
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
    const { pieces, fixedLimit, limit, inactive } = this;
    const end = pieces.end[p];
    for (let k = 0; k < order.length; k++) fixedLimit[order[k]] = end;
    if (this.clobberCount > 0) this.limitByClobbers(p, c);
    this.steps = MAX_STEPS;
    for (let k = 0; k < order.length; k++) {
      const r = order[k];
      if (this.fixCursor[r] < this.fixStart[r + 1]) this.limitByFixed(p, r);
      limit[r] = fixedLimit[r];
      if (inactive[r].items.length > 0) this.limitByInactive(p, r, 0);
    }
  }

  private limitByClobbers(p: number, c: number): void {
    const { pieces, bundles, clobberPos, clobberCount, fixedLimit, m } = this;
    let open = this.clobberUnion[c] & this.regs.allocatable[c];
    if (open === 0) return;
    const end = pieces.end[p];
    const rangeEnd = bundles.endRange[pieces.bundle[p]];
    let from = pieces.start[p];
    let k = 0;
    for (let r = pieces.range[p]; ; ) {
      const to = Math.min(bundles.rangeTo[r], end);
      k = seek(clobberPos, k, clobberCount, from);
      if (k === clobberCount) return;
      for (; k < clobberCount && clobberPos[k] < to; k++) {
        let mask = m.clobberSets[this.clobberSet[k]][c] & open;
        open &= ~mask;
        while (mask !== 0) {
          const bit = 31 - Math.clz32(mask);
          mask &= ~(1 << bit);
          fixedLimit[c * FLOAT_BASE + bit] = clobberPos[k];
        }
        if (open === 0) return;
      }
      if (++r === rangeEnd || bundles.rangeFrom[r] >= end) return;
      from = bundles.rangeFrom[r];
    }
  }

  private limitByFixed(p: number, reg: number): void {
    const { pieces, bundles, fixFrom, fixTo, fixVreg } = this;
    const { rangeFrom, rangeTo } = bundles;
    const rangeEnd = bundles.endRange[pieces.bundle[p]];
    const fixEnd = this.fixStart[reg + 1];
    const start = pieces.start[p];
    let bound = this.fixedLimit[reg];
    let r = pieces.range[p];
    for (let f = this.fixCursor[reg]; f < fixEnd && fixFrom[f] < bound; f++) {
      while (r < rangeEnd && rangeTo[r] <= fixFrom[f]) {
        r++;
        this.steps--;
      }
      if (r === rangeEnd) return;
      const at = Math.max(rangeFrom[r], fixFrom[f], start);
      if (at < fixTo[f] && at < bound && bundles.rangeVreg[r] !== fixVreg[f]) bound = at;
      else if (--this.steps < 0) bound = Math.min(bound, Math.max(at, start));
    }
    this.fixedLimit[reg] = bound;
  }

  private limitByInactive(p: number, r: number, node: number): void {
    const { items } = this.inactive[r];
    const { pieces, limit } = this;
    if (node >= items.length) return;
    const x = items[node];
    if (pieces.wake[x] >= limit[r]) return;
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
    const useEnd = Math.min(bundles.endUse[b], pieces.use[p] + MAX_HINT_USES);
    for (let u = pieces.use[p]; u < useEnd && bundles.usePos[u] < end; u++) {
      const r = (bundles.useInfo[u] >>> UseInfo.HintShift) - 1;
      if (r >= 0) hint[r] += flow.freq[flow.rowBlock[bundles.usePos[u] >>> 2]];
    }
    let n = MAX_HINT_USES;
    for (let a = bundles.affHead[b]; a >= 0 && n > 0; a = bundles.affNext[a], n--) {
      const r = lastReg[bundles.of[bundles.affOther[a]]];
      if (r >= 0 && bundles.affOwn[a] >= start && bundles.affOwn[a] <= end) hint[r] += bundles.affWeight[a];
    }
    const block = flow.rowBlock[start >>> 2];
    if (lastReg[b] >= 0) hint[lastReg[b]] += flow.freq[block];
    const l = flow.loopOf[block];
    if (l >= 0 && end >= this.m.blockStart[flow.loopLast[l] + 1] * POS) {
      const head = this.pieceAt(pieces.prev[p], this.m.blockStart[flow.loopFirst[l]] * POS);
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
      result = Math.max(result, (pos & ~3) + ((bundles.useInfo[u] >>> UseInfo.EndShift) & 7));
    }
    return result;
  }

  /**
   * Whether a register operand of the current instruction holds piece x's register at `pos`: 0 no; -1 yes, since an earlier position; else the end of the operand that
   * starts here.
   */
  private coverMust(x: number, pos: number): number {
    const { bundles, pieces } = this;
    const b = pieces.bundle[x];
    const end = bundles.endUse[b];
    let u = seek(bundles.usePos, pieces.use[x], end, Math.max(pos & ~3, pieces.start[x]));
    let result = 0;
    for (; u < end && bundles.usePos[u] <= pos && bundles.usePos[u] < pieces.end[x]; u++) {
      if (!(bundles.useInfo[u] & UseInfo.Must)) continue;
      const e = (pos & ~3) + ((bundles.useInfo[u] >>> UseInfo.EndShift) & 7);
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
      return Math.max(pos + 1, (bundles.usePos[u] & ~3) + ((bundles.useInfo[u] >>> UseInfo.EndShift) & 7));
    }
    return pieces.end[p];
  }

  /** Whether a piece has nothing to gain from a register: no more uses, and nothing to carry round a loop. */
  private idle(p: number, pos: number): boolean {
    const { bundles, pieces } = this;
    const u = pieces.use[p];
    if (u < bundles.endUse[pieces.bundle[p]] && bundles.usePos[u] < pieces.end[p]) return false;
    return this.spillCost(p, pos) === 0;
  }

  /** Whether a part of a piece, up to its next obstacle, is worth a register although its first use could do without. */
  private worthPart(p: number): boolean {
    const { bundles, pieces } = this;
    const u = this.firstUse(p);
    if (u >= bundles.endUse[pieces.bundle[p]] || bundles.usePos[u] >= pieces.end[p]) return false;
    return (bundles.useInfo[u] & UseInfo.Must) !== 0 || this.stored[pieces.bundle[p]] === 0;
  }

  /** The piece that holds p's bundle at position `at`, before p, if it is not far away in the list. */
  private pieceAt(p: number, at: number): number {
    const { pieces } = this;
    for (let n = 8; n > 0 && p >= 0; n--, p = pieces.prev[p])
      if (pieces.start[p] <= at) return pieces.end[p] > at ? p : -1;
    return -1;
  }

  private useWeight(u: number): number {
    const { bundles, flow } = this;
    const info = bundles.useInfo[u];
    const f = flow.freq[flow.rowBlock[bundles.usePos[u] >>> 2]];
    if (info & UseInfo.Must) return info & UseInfo.Def ? 0 : f;
    return f * (info & UseInfo.Copy ? COPY_USE : MEMORY_USE);
  }

  /** What it costs never to have a register from here on, as far as it does not exceed `cap`. */
  private totalCost(p: number, cap: number): number {
    const { bundles, pieces, flow, live } = this;
    const b = pieces.bundle[p];
    const end = bundles.endUse[b];
    const v = bundles.rangeVreg[pieces.range[p]];
    const remat = live.rematRow[v] >= 0;
    let cost = remat || this.stored[b] ? 0 : flow.freq[live.defBlock[v]] * STORE;
    for (let u = pieces.use[p]; u < end && bundles.usePos[u] < pieces.end[p] && cost < cap; u++)
      cost += this.useWeight(u) * (remat ? REMAT_RELOAD : 1);
    return cost;
  }

  /** What it costs to have piece x in memory from `pos` up to its next register operand. `this.gain` is for how long that frees its register. */
  private spillCost(x: number, pos: number): number {
    const { bundles, pieces, flow, live } = this;
    const b = pieces.bundle[x];
    const end = pieces.end[x];
    const useEnd = bundles.endUse[b];
    const v = bundles.rangeVreg[pieces.cursor[x]];
    const remat = live.rematRow[v] >= 0;
    const first = seek(bundles.usePos, pieces.use[x], useEnd, pos);
    let cost = 0;
    let free = end;
    let n = MAX_USES_WEIGHED;
    for (let u = first; u < useEnd && bundles.usePos[u] < end && n-- > 0; u++) {
      if (bundles.useInfo[u] & UseInfo.Must) {
        free = bundles.usePos[u];
        if (!(bundles.useInfo[u] & UseInfo.Def)) cost += this.reloadFreq(pos, u) * (remat ? REMAT_RELOAD : 1);
        break;
      }
      cost += this.useWeight(u);
    }
    const block = flow.rowBlock[pos >>> 2];
    const l = flow.loopOf[block];
    if (l >= 0) {
      const loopEnd = this.m.blockStart[flow.loopLast[l] + 1] * POS;
      const loopStart = this.m.blockStart[flow.loopFirst[l]] * POS;
      if (free >= loopEnd && end >= loopEnd) {
        const head = this.pieceAt(x, loopStart);
        // In a register at the loop's head, in memory at its end: a reload on the way back. A piece that is not used before `pos` will be spilled before the loop.
        const hoisted = head === x && (first === pieces.use[x] || bundles.usePos[first - 1] < loopStart);
        if (head >= 0 && !hoisted && (head === x || pieces.reg[head] >= 0)) {
          cost += flow.freq[flow.loopFirst[l]] * (remat ? REMAT_RELOAD : 1);
          free = loopEnd;
        }
      }
    }
    if (!remat && this.stored[b] === 0)
      cost += Math.min(flow.freq[live.defBlock[v]], flow.freq[block]) * STORE;
    this.gain = Math.max(1, free - pos);
    return cost;
  }

  private reloadFreq(from: number, u: number): number {
    const { flow } = this;
    const pos = this.reloadPos(from, u);
    const block = flow.rowBlock[pos >>> 2];
    // A reload at a loop's first block is on the edges into the loop.
    return (
      flow.freq[block] /
      (pos === this.m.blockStart[block] * POS &&
      flow.loopOf[block] >= 0 &&
      flow.loopFirst[flow.loopOf[block]] === block
        ? 8
        : 1)
    );
  }

  // ---- splitting

  /** Where to have a value back in a register for use record u, when it is in memory from `from` on: outside of loops that don't contain `from`. */
  private reloadPos(from: number, u: number): number {
    const { bundles, flow, m } = this;
    if (bundles.useInfo[u] & UseInfo.Def) return bundles.usePos[u];
    const row = bundles.usePos[u] >>> 2;
    const block = flow.rowBlock[row];
    let pos = row * POS + EARLY;
    for (let l = flow.loopOf[block]; l >= 0; l = flow.loopParent[l]) {
      const start = m.blockStart[flow.loopFirst[l]] * POS;
      if (start <= from) break;
      pos = start;
    }
    if (pos === row * POS + EARLY && !m.cold[block] && m.cold[flow.rowBlock[from >>> 2]]) {
      // Back from a cold path: reload at its end.
      const start = m.blockStart[flow.runStart[block]] * POS;
      if (start > from) pos = start;
    }
    return pos;
  }

  /** The best place to cut piece p so that it is out of its register at `pos`. */
  private splitPoint(p: number, pos: number): number {
    const { pieces, bundles, flow, m } = this;
    const b = pieces.bundle[p];
    const start = pieces.start[p];
    let q = pos;
    const sub = pos & 3;
    const gap = (pos & ~3) + EARLY;
    const u = seek(bundles.usePos, pieces.use[p], bundles.endUse[b], sub > EARLY ? gap : pos);
    if (sub > EARLY) {
      let used = false;
      let held = false;
      for (let k = u; k < bundles.endUse[b] && bundles.usePos[k] < pos; k++) {
        used = true;
        const info = bundles.useInfo[k];
        if (info & UseInfo.Must && gap - EARLY + ((info >>> UseInfo.EndShift) & 7) > pos) held = true;
      }
      // Cut behind the inputs, unless one must be in its register for longer.
      if (used && !held) return pos;
      if (gap > start) q = gap;
    }
    const lower = u > pieces.use[p] ? Math.max(start, bundles.usePos[u - 1]) : start;
    if (q <= lower) return pos;
    const block = flow.rowBlock[q >>> 2];
    let best = q;
    for (let l = flow.loopOf[block]; l >= 0; l = flow.loopParent[l]) {
      const s = m.blockStart[flow.loopFirst[l]] * POS;
      if (s <= lower) break;
      best = Math.min(best, s);
    }
    if (best === q && m.cold[block]) {
      const s = m.blockStart[Math.max(flow.runStart[block], flow.rowBlock[lower >>> 2] + 1)] * POS;
      if (s > lower) best = Math.min(best, s);
    }
    return best;
  }

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
    pieces.end[p] = start > q ? Math.min(q, bundles.rangeTo[k - 1]) : q;
    return c;
  }

  /** Deal with the rest of a piece that was cut at q: within an instruction it must be in memory, unless its value starts there. */
  private leave(c: number, q: number): void {
    const { pieces, bundles } = this;
    const start = pieces.start[c];
    if ((q & 3) > EARLY && start === q && bundles.rangeFrom[pieces.range[c]] < q) this.spillFrom(c, q);
    else this.queue.push(c, pieces.start);
  }

  /** Piece c is in memory from its start, past `from`, up to where its next use makes a register worth trying. */
  private spillFrom(c: number, from: number): void {
    const { pieces, bundles, flow } = this;
    const b = pieces.bundle[c];
    const useEnd = bundles.endUse[b];
    const end = pieces.end[c];
    pieces.reg[c] = SPILLED;
    if (this.live.rematRow[bundles.rangeVreg[pieces.range[c]]] < 0) this.stored[b] = 1;
    for (
      let u = seek(bundles.usePos, pieces.use[c], useEnd, from);
      u < useEnd && bundles.usePos[u] < end;
      u++
    ) {
      let q: number;
      if (bundles.useInfo[u] & UseInfo.Must) q = this.reloadPos(from, u);
      else {
        // Worth a reload of its own only outside of a loop.
        q = this.reloadPos(from, u);
        if (
          (q & 3) !== GAP ||
          q <= from ||
          this.reloadFreq(from, u) * 2 > flow.freq[flow.rowBlock[bundles.usePos[u] >>> 2]]
        )
          continue;
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
    const q = must > 0 ? pos : this.splitPoint(x, pos);
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
