/**
 * Bundles: the units of register allocation. A bundle is one vreg, or several that never live at the same time and that
 * block edges or copies would have to move into one another: coalesced, they share a register and a spill slot, and
 * those moves vanish. A bundle's ranges and use records are contiguous, in position order.
 */
import { bug } from '../diagnostics.ts';
import { atLeast, EARLY, type Flow, grown, LATE, type Liveness, POS, seek } from './liveness.ts';
import { M_FLAGS, M_OPD, M_OPDS, type MachFunc, MFlag, MROW, Opd, opdArg, RegClass } from './mach.ts';

/** Merging copies lists; this bounds the copying, relative to what there is. */
const MERGE_BUDGET_FACTOR = 32;

export class Bundles {
  /** Bundle of each vreg (its representative vreg's number). */
  of = new Int32Array(0);
  cls = new Uint8Array(0);
  /** Ranges of bundle b: firstRange[b] .. endRange[b] - 1 in the pools; and use records. */
  firstRange = new Int32Array(0);
  endRange = new Int32Array(0);
  firstUse = new Int32Array(0);
  endUse = new Int32Array(0);
  rangeFrom = new Int32Array(0);
  rangeTo = new Int32Array(0);
  rangeVreg = new Int32Array(0);
  usePos = new Int32Array(0);
  useInfo = new Int32Array(0);
  /**
   * Affinities: lists of other vregs whose place at `affPos` (a position of theirs) this bundle would like at `affOwn`
   * (a position of its own).
   */
  affHead = new Int32Array(0);
  affNext = new Int32Array(0);
  affOther = new Int32Array(0);
  affOwn = new Int32Array(0);
  affWeight = new Float64Array(0);
  private affCount = 0;
  /** End of the room for ranges and use records behind the bundle's last one. */
  private roomEnd = new Int32Array(0);
  private useRoomEnd = new Int32Array(0);
  private ranges = 0;
  private uses = 0;
  private budget = 0;
  private edgeOrder = new Int32Array(0);

  build(m: MachFunc, flow: Flow, live: Liveness): void {
    const nv = m.vregCount;
    this.of = atLeast(this.of, nv);
    if (this.cls.length < nv) this.cls = new Uint8Array(nv * 2);
    this.firstRange = atLeast(this.firstRange, nv);
    this.endRange = atLeast(this.endRange, nv);
    this.firstUse = atLeast(this.firstUse, nv);
    this.endUse = atLeast(this.endUse, nv);
    this.roomEnd = atLeast(this.roomEnd, nv);
    this.useRoomEnd = atLeast(this.useRoomEnd, nv);
    this.affHead = atLeast(this.affHead, nv).fill(-1, 0, nv);
    this.affCount = 0;
    this.ranges = live.rangeCount;
    this.uses = live.useCount;
    this.rangeFrom = atLeast(this.rangeFrom, this.ranges);
    this.rangeTo = atLeast(this.rangeTo, this.ranges);
    this.rangeVreg = atLeast(this.rangeVreg, this.ranges);
    this.usePos = atLeast(this.usePos, this.uses);
    this.useInfo = atLeast(this.useInfo, this.uses);
    this.rangeFrom.set(live.rangeFrom.subarray(0, this.ranges));
    this.rangeTo.set(live.rangeTo.subarray(0, this.ranges));
    this.usePos.set(live.usePos.subarray(0, this.uses));
    this.useInfo.set(live.useInfo.subarray(0, this.uses));
    for (let v = 0; v < nv; v++) {
      this.of[v] = v;
      this.cls[v] = m.vregClass[v];
      this.firstRange[v] = live.rangeStart[v];
      this.endRange[v] = live.rangeStart[v + 1];
      this.firstUse[v] = live.useStart[v];
      this.endUse[v] = live.useStart[v + 1];
      for (let r = live.rangeStart[v]; r < live.rangeStart[v + 1]; r++) this.rangeVreg[r] = v;
      this.roomEnd[v] = live.rangeStart[v + 1];
      this.useRoomEnd[v] = live.useStart[v + 1];
    }
    this.budget = MERGE_BUDGET_FACTOR * (this.ranges + this.uses) + 10_000;
    this.joinEdges(m, flow, live);
    this.joinCopies(m, flow, live);
    for (let v = 0; v < nv; v++) this.of[v] = this.find(v);
  }

  /**
   * Parameters with their arguments, hottest edges first: where not all can be joined, the moves stay on the cold ones.
   */
  private joinEdges(m: MachFunc, flow: Flow, live: Liveness): void {
    const edges = m.succStart[m.blockCount];
    const order = (this.edgeOrder = atLeast(this.edgeOrder, edges));
    let count = 0;
    for (let e = 0; e < edges; e++) if (m.edgeArgStart[e + 1] > m.edgeArgStart[e]) order[count++] = e;
    const { edgeSource, freq } = flow;
    const edgeFreq = (e: number) => Math.min(freq[edgeSource[e]], freq[m.edgeTarget[e]]);
    const sorted = order.subarray(0, count).sort((a, b) => edgeFreq(b) - edgeFreq(a) || a - b);
    for (const e of sorted) {
      const target = m.edgeTarget[e];
      const params = m.blockParams[target];
      const first = m.edgeArgStart[e];
      if (m.edgeArgStart[e + 1] - first !== params.length)
        bug(`edge ${e} has not as many arguments as its target has parameters`);
      const end = m.blockStart[edgeSource[e] + 1] * POS - 1;
      const f = edgeFreq(e);
      for (let k = 0; k < params.length; k++) {
        this.join(params[k], m.blockStart[target] * POS, m.edgeArgs[first + k], end, f, live);
      }
    }
  }

  private joinCopies(m: MachFunc, flow: Flow, live: Liveness): void {
    const { insts, operands } = m;
    for (let i = 0; i < m.count; i++) {
      const at = i * MROW;
      const first = insts[at + M_OPD];
      if (insts[at + M_FLAGS] & MFlag.Move) {
        this.joinMove(m, i, first, flow, live);
        continue;
      }
      const end = first + insts[at + M_OPDS];
      for (let o = first; o < end; o++) {
        const f = operands[o * 2 + 1];
        if ((f & Opd.ConstraintMask) !== Opd.Reuse) continue;
        const input = operands[(first + opdArg(f)) * 2];
        this.join(operands[o * 2], i * POS + EARLY, input, i * POS, flow.freq[flow.rowBlock[i]], live);
      }
    }
  }

  private joinMove(m: MachFunc, i: number, first: number, flow: Flow, live: Liveness): void {
    let to = -1;
    let from = -1;
    for (let o = first; o < first + 2; o++) {
      const f = m.operands[o * 2 + 1];
      if ((f & Opd.ConstraintMask) === Opd.Fixed) return;
      if (f & Opd.Def) to = m.operands[o * 2];
      else from = m.operands[o * 2];
    }
    this.join(to, i * POS + LATE, from, i * POS + EARLY, flow.freq[flow.rowBlock[i]], live);
  }

  private join(
    to: number,
    toPos: number,
    from: number,
    fromPos: number,
    weight: number,
    live: Liveness,
  ): void {
    if (this.of[to] === this.of[from]) return;
    if (this.cls[to] > RegClass.Int !== this.cls[from] > RegClass.Int)
      bug(`v${from} and v${to} are of different classes`);
    if (
      this.cls[to] === this.cls[from] &&
      !live.homed[to] &&
      !live.homed[from] &&
      this.merge(this.find(to), this.find(from))
    )
      return;
    this.affine(to, toPos, from, fromPos, weight);
  }

  private affine(a: number, aPos: number, b: number, bPos: number, weight: number): void {
    this.addAffinity(a, aPos, b, weight);
    this.addAffinity(b, bPos, a, weight);
  }

  private addAffinity(owner: number, ownPos: number, other: number, weight: number): void {
    const k = this.affCount++;
    if (k >= this.affNext.length) {
      this.affNext = grown(this.affNext, k + 1024);
      this.affOther = grown(this.affOther, k + 1024);
      this.affOwn = grown(this.affOwn, k + 1024);
      const w = new Float64Array(this.affNext.length);
      w.set(this.affWeight);
      this.affWeight = w;
    }
    const bundle = this.find(owner);
    this.affOther[k] = other;
    this.affOwn[k] = ownPos;
    this.affWeight[k] = weight;
    this.affNext[k] = this.affHead[bundle];
    this.affHead[bundle] = k;
  }

  find(v: number): number {
    const { of } = this;
    while (of[v] !== of[of[v]]) of[v] = of[of[v]];
    return of[v];
  }

  /** Make one bundle of two, unless they are ever live at the same time. */
  private merge(x: number, y: number): boolean {
    if (x === y) return true;
    const { firstRange, endRange, firstUse, endUse, affHead, affNext } = this;
    // The smaller list goes into the larger one.
    const swap = endRange[x] - firstRange[x] < endRange[y] - firstRange[y];
    const a = swap ? y : x;
    const b = swap ? x : y;
    if (firstRange[b] === endRange[b] || this.budget < 0 || this.overlap(a, b)) return false;
    this.insertRanges(a, b);
    this.insertUses(a, b);
    this.of[b] = a;
    endRange[b] = firstRange[b];
    endUse[b] = firstUse[b];
    if (affHead[b] >= 0) {
      let last = affHead[b];
      for (; affNext[last] >= 0; last = affNext[last]) this.budget--;
      affNext[last] = affHead[a];
      affHead[a] = affHead[b];
      affHead[b] = -1;
    }
    return true;
  }

  private overlap(a: number, b: number): boolean {
    const { rangeFrom, rangeTo, firstRange, endRange } = this;
    const end = endRange[a];
    let i = firstRange[a];
    for (let j = firstRange[b]; j < endRange[b]; j++) {
      i = seek(rangeTo, i, end, rangeFrom[j] + 1);
      if (i === end) return false;
      if (rangeFrom[i] < rangeTo[j]) return true;
      this.budget--;
    }
    return false;
  }

  /** Merge b's ranges into a's, from the back, so that only what lies behind them moves. */
  private insertRanges(a: number, b: number): void {
    const { firstRange, endRange, roomEnd } = this;
    const add = endRange[b] - firstRange[b];
    if (endRange[a] + add > roomEnd[a]) this.moveRanges(a, add);
    const { rangeFrom, rangeTo, rangeVreg } = this;
    let i = endRange[a] - 1;
    let j = endRange[b] - 1;
    let k = endRange[a] + add;
    endRange[a] = k;
    const first = firstRange[a];
    while (j >= firstRange[b]) {
      k--;
      const s = i >= first && rangeFrom[i] > rangeFrom[j] ? i-- : j--;
      rangeFrom[k] = rangeFrom[s];
      rangeTo[k] = rangeTo[s];
      rangeVreg[k] = rangeVreg[s];
    }
    this.budget -= endRange[a] - k;
  }

  private insertUses(a: number, b: number): void {
    const { firstUse, endUse, useRoomEnd } = this;
    const add = endUse[b] - firstUse[b];
    if (endUse[a] + add > useRoomEnd[a]) this.moveUses(a, add);
    const { usePos, useInfo } = this;
    let i = endUse[a] - 1;
    let j = endUse[b] - 1;
    let k = endUse[a] + add;
    endUse[a] = k;
    const first = firstUse[a];
    while (j >= firstUse[b]) {
      k--;
      const s = i >= first && usePos[i] > usePos[j] ? i-- : j--;
      usePos[k] = usePos[s];
      useInfo[k] = useInfo[s];
    }
    this.budget -= endUse[a] - k;
  }

  /** Copy a's ranges to the pool's end, with as much room again. */
  private moveRanges(a: number, add: number): void {
    const { firstRange, endRange } = this;
    const n = endRange[a] - firstRange[a];
    const to = this.ranges;
    this.ranges += 2 * (n + add);
    this.rangeFrom = grown(this.rangeFrom, this.ranges).copyWithin(to, firstRange[a], endRange[a]);
    this.rangeTo = grown(this.rangeTo, this.ranges).copyWithin(to, firstRange[a], endRange[a]);
    this.rangeVreg = grown(this.rangeVreg, this.ranges).copyWithin(to, firstRange[a], endRange[a]);
    firstRange[a] = to;
    endRange[a] = to + n;
    this.roomEnd[a] = this.ranges;
  }

  private moveUses(a: number, add: number): void {
    const { firstUse, endUse } = this;
    const n = endUse[a] - firstUse[a];
    const to = this.uses;
    this.uses += 2 * (n + add);
    this.usePos = grown(this.usePos, this.uses).copyWithin(to, firstUse[a], endUse[a]);
    this.useInfo = grown(this.useInfo, this.uses).copyWithin(to, firstUse[a], endUse[a]);
    firstUse[a] = to;
    endUse[a] = to + n;
    this.useRoomEnd[a] = this.uses;
  }
}
