/**
 * Control-flow facts and liveness of a MachFunc: predecessors, block frequencies, loop extents, and for each vreg its
 * live ranges and use positions.
 *
 * Positions. Row i has four: Gap (4i: allocator-inserted moves in front of it), Early (4i+1: operands are read), Late
 * (4i+2: results are written) and After (4i+3: moves behind it). A range is half-open. What follows from the
 * constraints:
 *
 *     use, Reg or Any           live to Early            def, Reg or Any      live from Late
 *     use, Cross                live to Late             def, Cross           live from Early
 *     use, Fixed                live to Gap (copied)     def, Fixed           live from After (copied)
 *     input of a Reuse def      live to Gap (copied)     def, Reuse           live from Early
 *     edge argument             live to the block's end  block parameter      live from the block's start
 *
 * so that a value that dies in a copy and the copy's target never interfere, and the register named by a Fixed operand
 * is blocked only for the instruction itself.
 *
 * Ranges come from path exploration, one vreg at a time (Boissinot et al., "Computing Liveness Sets for SSA-Form
 * Programs", 2011): its cost is the number of (vreg, block) pairs with the vreg live into the block, and nothing of
 * that size is kept. A budget bounds it: once spent, vregs that live across blocks are *homed*: they live in their
 * spill slot, and only the instructions that touch them hold them in a register. So a hostile function costs quality,
 * not time.
 */
import { bug } from '../diagnostics.ts';
import { M_FLAGS, M_OPD, M_OPDS, type MachFunc, MFlag, MROW, Opd, opdArg, type RegSet } from './mach.ts';

export const POS = 4;
export const GAP = 0;
export const EARLY = 1;
export const LATE = 2;
export const AFTER = 3;

/** Use records: what a vreg needs at a position. */
export const enum UseInfo {
  /** A register is a must; otherwise only worth having. */
  Must = 1,
  Def = 2,
  /**
   * The value is only copied from or to another place here: in memory it costs a load or store in place of a register
   * move.
   */
  Copy = 4,
  /**
   * An operand that may be in memory, of an instruction with few operands: there a rematerialised value may as well
   * have a register.
   */
  Memory = 8,
}
/** Bits 4–6 of a use record: sub-position behind the last one at which the operand needs its place. */
const USE_END_SHIFT = 4;
/** Bits 8–15: preferred physical register + 1. */
export const USE_HINT_SHIFT = 8;
/** Where a use record at a position lets go of its place. */
export function useEnd(pos: number, info: number): number {
  return (pos & ~3) + ((info >>> USE_END_SHIFT) & 7);
}

/** Frequency of a loop body relative to what surrounds it, and of a cold block relative to its neighbours. */
export const LOOP_FACTOR = 8;
const COLD_FACTOR = 0.01;
const MAX_WEIGHED_DEPTH = 8;
/** How many enclosing loops are extended by one that crosses their end. */
const MAX_CROSSING = 64;
/**
 * An instruction with up to so many operands may turn those that can lie in memory into register operands (a
 * rematerialised value is in neither); a machine with few registers may not.
 */
const REMAT_OPERANDS = 4;

/** (vreg, block) visits of path exploration before vregs are homed. */
export function explorationBudget(m: MachFunc, tight: boolean): number {
  const budget = 4_000_000 + 64 * (m.vregCount + m.blockCount);
  return tight ? budget / 4 : budget;
}

export function atLeast(a: Int32Array<ArrayBuffer>, n: number): Int32Array<ArrayBuffer> {
  return a.length >= n ? a : new Int32Array(Math.max(n, a.length * 2));
}
export function grown(a: Int32Array<ArrayBuffer>, n: number): Int32Array<ArrayBuffer> {
  if (a.length >= n) return a;
  const b = new Int32Array(Math.max(n, a.length * 2));
  b.set(a);
  return b;
}

/** First index in [lo, hi) with a[index] >= x, else hi; fast when it is near lo. */
export function seek(a: Int32Array, lo: number, hi: number, x: number): number {
  let step = 1;
  while (lo < hi && a[lo] < x) {
    const probe = lo + step;
    if (probe >= hi || a[probe] >= x) {
      let l = lo + 1;
      let h = Math.min(probe, hi);
      while (l < h) {
        const mid = (l + h) >> 1;
        if (a[mid] < x) l = mid + 1;
        else h = mid;
      }
      return l;
    }
    lo = probe;
    step *= 2;
  }
  return lo;
}

/** Predecessors, frequencies and loops. One object serves all functions in turn. */
export class Flow {
  blockCount = 0;
  /** Incoming edges of block b: predEdge[predStart[b] .. predStart[b + 1] - 1]. */
  predStart = new Int32Array(0);
  predEdge = new Int32Array(0);
  edgeSource = new Int32Array(0);
  /** Block of each row. */
  rowBlock = new Int32Array(0);
  freq = new Float64Array(0);
  /**
   * Loops as extents of the layout order: blocks loopFirst..loopLast, from a backward edge's target to its source. A
   * heuristic's view (where splits are placed); no decision about correctness rests on it. Edges out of cold blocks
   * don't count: sunk to the function's end, they all lead backwards.
   */
  loopCount = 0;
  loopFirst = new Int32Array(0);
  loopLast = new Int32Array(0);
  loopParent = new Int32Array(0);
  /** Innermost loop of each block, or -1. */
  loopOf = new Int32Array(0);
  /** First block of the run of equally cold or not cold blocks that a block belongs to. */
  runStart = new Int32Array(0);
  private extent = new Int32Array(0);

  build(m: MachFunc): void {
    const nb = (this.blockCount = m.blockCount);
    const edges = m.succStart[nb];
    this.predStart = atLeast(this.predStart, nb + 2).fill(0, 0, nb + 2);
    this.predEdge = atLeast(this.predEdge, edges);
    this.edgeSource = atLeast(this.edgeSource, edges);
    this.rowBlock = atLeast(this.rowBlock, m.count);
    if (this.freq.length < nb) this.freq = new Float64Array(nb * 2);
    const { predStart, predEdge, edgeSource, rowBlock, freq } = this;
    for (let e = 0; e < edges; e++) predStart[m.edgeTarget[e] + 2]++;
    for (let b = 0; b < nb; b++) predStart[b + 2] += predStart[b + 1];
    this.runStart = atLeast(this.runStart, nb);
    for (let b = 0; b < nb; b++) {
      this.runStart[b] = b > 0 && m.cold[b] === m.cold[b - 1] ? this.runStart[b - 1] : b;
      for (let e = m.succStart[b]; e < m.succStart[b + 1]; e++) {
        edgeSource[e] = b;
        predEdge[predStart[m.edgeTarget[e] + 1]++] = e;
      }
      rowBlock.fill(b, m.blockStart[b], m.blockStart[b + 1]);
      freq[b] = LOOP_FACTOR ** Math.min(m.loopDepth[b], MAX_WEIGHED_DEPTH) * (m.cold[b] ? COLD_FACTOR : 1);
    }
    this.findLoops(m);
  }

  private findLoops(m: MachFunc): void {
    const nb = this.blockCount;
    const extent = (this.extent = atLeast(this.extent, nb).fill(-1, 0, nb));
    const loopOf = (this.loopOf = atLeast(this.loopOf, nb).fill(-1, 0, nb));
    let count = 0;
    for (let b = 0; b < nb; b++) {
      if (m.cold[b]) continue;
      for (let e = m.succStart[b]; e < m.succStart[b + 1]; e++) {
        const h = m.edgeTarget[e];
        if (h > b) continue;
        if (extent[h] < 0) count++;
        if (extent[h] < b) extent[h] = b;
      }
    }
    this.loopFirst = atLeast(this.loopFirst, count);
    this.loopLast = atLeast(this.loopLast, count);
    this.loopParent = atLeast(this.loopParent, count);
    const { loopFirst, loopLast, loopParent } = this;
    this.loopCount = 0;
    let open = -1;
    for (let b = 0; b < nb; b++) {
      while (open >= 0 && loopLast[open] < b) open = loopParent[open];
      if (extent[b] >= 0) {
        const l = this.loopCount++;
        loopFirst[l] = b;
        loopLast[l] = extent[b];
        loopParent[l] = open;
        // Extents that cross (possible in an arranged layout) are made to nest.
        for (
          let o = open, n = MAX_CROSSING;
          o >= 0 && n > 0 && loopLast[o] < extent[b];
          o = loopParent[o], n--
        )
          loopLast[o] = extent[b];
        open = l;
      }
      loopOf[b] = open;
    }
  }
}

/** Live ranges and use records of each vreg, in position order. */
export class Liveness {
  /** Position and block of each vreg's definition. */
  defPos = new Int32Array(0);
  defBlock = new Int32Array(0);
  /** Row of a rematerialisable definition, else -1. */
  rematRow = new Int32Array(0);
  /** Use records of vreg v: useStart[v] .. useStart[v + 1] - 1. */
  useStart = new Int32Array(0);
  usePos = new Int32Array(0);
  useInfo = new Int32Array(0);
  useCount = 0;
  /** Ranges of vreg v: rangeStart[v] .. rangeStart[v + 1] - 1. */
  rangeStart = new Int32Array(0);
  rangeFrom = new Int32Array(0);
  rangeTo = new Int32Array(0);
  rangeCount = 0;
  /** 1: lives in its slot (exploration budget spent); its ranges are only those of the instructions that touch it. */
  homed = new Uint8Array(0);

  private fill = new Int32Array(0);
  private inStamp = new Int32Array(0);
  private outStamp = new Int32Array(0);
  private endStamp = new Int32Array(0);
  private blockEnd = new Int32Array(0);
  private touched = new Int32Array(0);
  private stack = new Int32Array(0);
  private budget = 0;
  private rematOperands = 0;
  private commuting = false;
  private argumentOf = new Int32Array(0);

  build(m: MachFunc, flow: Flow, regs: RegSet, budget: number): void {
    this.budget = budget;
    this.rematOperands = regs.order.every(list => list.length >= 2 * REMAT_OPERANDS) ? REMAT_OPERANDS : 0;
    this.collectUses(m, flow);
    this.collectRanges(m, flow);
    if (this.commuting) this.commute(m);
  }

  private collectUses(m: MachFunc, flow: Flow): void {
    const nv = m.vregCount;
    const { operands } = m;
    this.defPos = atLeast(this.defPos, nv).fill(-1, 0, nv);
    this.defBlock = atLeast(this.defBlock, nv);
    this.rematRow = atLeast(this.rematRow, nv).fill(-1, 0, nv);
    const useStart = (this.useStart = atLeast(this.useStart, nv + 1).fill(0, 0, nv + 1));
    for (let o = 0; o < m.operandCount; o++) useStart[operands[o * 2] + 1]++;
    for (let a = 0; a < m.edgeArgs.length; a++) useStart[m.edgeArgs[a] + 1]++;
    for (let b = 0; b < m.blockCount; b++) for (const v of m.blockParams[b]) useStart[v + 1]++;
    for (let v = 0; v < nv; v++) useStart[v + 1] += useStart[v];
    const total = (this.useCount = useStart[nv]);
    this.usePos = atLeast(this.usePos, total);
    this.useInfo = atLeast(this.useInfo, total);
    this.fill = atLeast(this.fill, nv);
    this.fill.set(useStart.subarray(0, nv));

    this.commuting = false;
    for (let b = 0; b < m.blockCount; b++) {
      const first = m.blockStart[b];
      const last = m.blockStart[b + 1] - 1;
      const params = m.blockParams[b];
      for (let k = 0; k < params.length; k++) {
        this.define(params[k], first * POS, b);
        this.record(params[k], first * POS, UseInfo.Def | UseInfo.Copy | (EARLY << USE_END_SHIFT));
      }
      for (let i = first; i <= last; i++) this.collectRow(m, i, b);
      for (let e = m.succStart[b]; e < m.succStart[b + 1]; e++) {
        for (let a = m.edgeArgStart[e]; a < m.edgeArgStart[e + 1]; a++) {
          this.record(m.edgeArgs[a], last * POS + AFTER, UseInfo.Copy | (POS << USE_END_SHIFT));
        }
      }
    }
    for (let v = 0; v < nv; v++) if (this.defPos[v] < 0) bug(`v${v} has no definition`);
    if (flow.blockCount > 0 && m.blockParams[0].length > 0) bug('block 0 has parameters');
  }

  private collectRow(m: MachFunc, i: number, block: number): void {
    const { insts, operands } = m;
    const at = i * MROW;
    const first = insts[at + M_OPD];
    const end = first + insts[at + M_OPDS];
    const pos = i * POS;
    const flags = insts[at + M_FLAGS];
    if (flags & MFlag.Commutes) this.commuting = true;
    let reuse = -1;
    for (let o = first; o < end; o++) {
      const f = operands[o * 2 + 1];
      if ((f & Opd.ConstraintMask) === Opd.Reuse) reuse = o;
    }
    const reused = reuse >= 0 ? operands[(first + opdArg(operands[reuse * 2 + 1])) * 2] : -1;
    for (let o = first; o < end; o++) {
      const v = operands[o * 2];
      const f = operands[o * 2 + 1];
      const constraint = f & Opd.ConstraintMask;
      if (f & Opd.Def) {
        let def: number;
        let info: number;
        if (constraint === Opd.Fixed) {
          def = pos + AFTER;
          info = UseInfo.Copy | ((opdArg(f) + 1) << USE_HINT_SHIFT) | (POS << USE_END_SHIFT);
        } else {
          def = pos + (constraint === Opd.Reuse || f & Opd.Cross ? EARLY : LATE);
          info = (constraint === Opd.Any ? 0 : UseInfo.Must) | (AFTER << USE_END_SHIFT);
        }
        this.define(v, def, block);
        this.record(v, def, info | UseInfo.Def);
        if (flags & MFlag.Remat && o === first) this.rematRow[v] = i;
      } else if (constraint === Opd.Fixed) {
        this.record(v, pos, UseInfo.Copy | ((opdArg(f) + 1) << USE_HINT_SHIFT) | (EARLY << USE_END_SHIFT));
      } else if (v === reused && !(f & Opd.Cross)) {
        // The reused input, and any further operand that reads the same value: all of them find it in the result's
        // register.
        this.record(v, pos, UseInfo.Copy | (EARLY << USE_END_SHIFT));
      } else {
        this.record(v, pos + EARLY, this.earlyUse(f, end - first));
      }
    }
  }

  private earlyUse(flags: number, operands: number): number {
    const end = (flags & Opd.Cross ? AFTER : LATE) << USE_END_SHIFT;
    if ((flags & Opd.ConstraintMask) !== Opd.Any) return end | UseInfo.Must;
    return operands <= this.rematOperands && !(flags & Opd.Cross) ? end | UseInfo.Memory : end;
  }

  private define(v: number, pos: number, block: number): void {
    if (this.defPos[v] >= 0) bug(`v${v} has two definitions`);
    this.defPos[v] = pos;
    this.defBlock[v] = block;
  }

  private record(v: number, pos: number, info: number): void {
    const { usePos, useInfo } = this;
    let k = this.fill[v]++;
    // Rows come in order; only records of one row may be out of it.
    for (; k > this.useStart[v] && usePos[k - 1] > pos; k--) {
      usePos[k] = usePos[k - 1];
      useInfo[k] = useInfo[k - 1];
    }
    usePos[k] = pos;
    useInfo[k] = info;
  }

  private collectRanges(m: MachFunc, flow: Flow): void {
    const nv = m.vregCount;
    const nb = m.blockCount;
    this.rangeStart = atLeast(this.rangeStart, nv + 1);
    if (this.homed.length < nv) this.homed = new Uint8Array(nv * 2);
    this.homed.fill(0, 0, nv);
    this.inStamp = atLeast(this.inStamp, nb).fill(-1, 0, nb);
    this.outStamp = atLeast(this.outStamp, nb).fill(-1, 0, nb);
    this.endStamp = atLeast(this.endStamp, nb).fill(-1, 0, nb);
    this.blockEnd = atLeast(this.blockEnd, nb);
    this.touched = atLeast(this.touched, nb + 1);
    this.stack = atLeast(this.stack, nb + 1);
    this.rangeCount = 0;
    const { useStart, usePos, useInfo, defPos, defBlock, rangeStart } = this;
    const { rowBlock } = flow;
    for (let v = 0; v < nv; v++) {
      rangeStart[v] = this.rangeCount;
      const home = defBlock[v];
      if (this.rematRow[v] >= 0) {
        for (let k = useStart[v]; k < useStart[v + 1]; k++)
          if (useInfo[k] & UseInfo.Memory) useInfo[k] |= UseInfo.Must;
      }
      // A copied definition that nobody reads needs no place at all.
      if (useStart[v + 1] - useStart[v] === 1 && useInfo[useStart[v]] & UseInfo.Copy) continue;
      let end = defPos[v] + 1;
      let local = true;
      for (let k = useStart[v]; k < useStart[v + 1]; k++) {
        const row = usePos[k] >>> 2;
        if (rowBlock[row] !== home) {
          local = false;
          break;
        }
        const e = useEnd(usePos[k], useInfo[k]);
        if (e > end) end = e;
      }
      if (local) this.addRange(defPos[v], end);
      else if (this.budget < 0 || !this.explore(m, flow, v)) this.homeRanges(v);
    }
    rangeStart[nv] = this.rangeCount;
  }

  private addRange(from: number, to: number): void {
    const k = this.rangeCount++;
    if (k >= this.rangeFrom.length) {
      this.rangeFrom = grown(this.rangeFrom, k + 1024);
      this.rangeTo = grown(this.rangeTo, k + 1024);
    }
    this.rangeFrom[k] = from;
    this.rangeTo[k] = to;
  }

  /** Ranges of a vreg that is live across blocks. False: the budget ran out. */
  private explore(m: MachFunc, flow: Flow, v: number): boolean {
    const { useStart, usePos, useInfo, inStamp, outStamp, endStamp, blockEnd, touched, stack, defPos } = this;
    const { rowBlock, predStart, predEdge, edgeSource } = flow;
    const home = this.defBlock[v];
    let count = 0;
    let lowest = home;
    let highest = home;
    touched[count++] = home;
    endStamp[home] = v;
    blockEnd[home] = defPos[v] + 1;
    for (let k = useStart[v]; k < useStart[v + 1]; k++) {
      const row = usePos[k] >>> 2;
      const b = rowBlock[row];
      const e = useEnd(usePos[k], useInfo[k]);
      if (endStamp[b] !== v) {
        endStamp[b] = v;
        blockEnd[b] = e;
        if (inStamp[b] !== v) touched[count++] = b;
      } else if (e > blockEnd[b]) blockEnd[b] = e;
      if (b === home || inStamp[b] === v) continue;
      inStamp[b] = v;
      let top = 0;
      stack[top++] = b;
      while (top > 0) {
        const x = stack[--top];
        if (x < lowest) lowest = x;
        if (x > highest) highest = x;
        for (let q = predStart[x]; q < predStart[x + 1]; q++) {
          const p = edgeSource[predEdge[q]];
          this.budget--;
          outStamp[p] = v;
          if (p === home || inStamp[p] === v) continue;
          inStamp[p] = v;
          if (endStamp[p] !== v) touched[count++] = p;
          stack[top++] = p;
        }
      }
      if (this.budget < 0) return false;
    }
    if (inStamp[0] === v) bug(`v${v} is used where it is not defined`);
    if (count * 16 > highest - lowest) {
      for (let b = lowest; b <= highest; b++) {
        if (inStamp[b] === v || endStamp[b] === v) this.addBlock(m, v, b);
      }
    } else {
      if (count > 1) touched.subarray(0, count).sort();
      for (let k = 0; k < count; k++) this.addBlock(m, v, touched[k]);
    }
    return true;
  }

  private addBlock(m: MachFunc, v: number, b: number): void {
    const from = b === this.defBlock[v] ? this.defPos[v] : m.blockStart[b] * POS;
    const to = this.outStamp[b] === v ? m.blockStart[b + 1] * POS : this.blockEnd[b];
    if (this.rangeCount > this.rangeStart[v] && this.rangeTo[this.rangeCount - 1] === from)
      this.rangeTo[this.rangeCount - 1] = to;
    else this.addRange(from, to);
  }

  private homeRanges(v: number): void {
    const { useStart, usePos, useInfo } = this;
    this.rangeCount = this.rangeStart[v];
    this.homed[v] = 1;
    for (let k = useStart[v]; k < useStart[v + 1]; k++) {
      const pos = usePos[k];
      const end = useEnd(pos, useInfo[k]);
      const last = this.rangeCount - 1;
      if (last >= this.rangeStart[v] && this.rangeTo[last] >= pos) {
        if (this.rangeTo[last] < end) this.rangeTo[last] = end;
      } else this.addRange(pos, end);
    }
  }

  /**
   * Of two inputs that may be exchanged, let the result take the register of the one that dies; of two that die, that
   * of the block parameter which the result is the next value of (a sum in a loop).
   */
  private commute(m: MachFunc): void {
    const { insts, operands } = m;
    const argumentOf = (this.argumentOf = atLeast(this.argumentOf, m.vregCount).fill(-1, 0, m.vregCount));
    for (let e = 0; e < m.succStart[m.blockCount]; e++) {
      const params = m.blockParams[m.edgeTarget[e]];
      const first = m.edgeArgStart[e];
      for (let k = 0; k < params.length; k++) argumentOf[m.edgeArgs[first + k]] = params[k];
    }
    for (let i = 0; i < m.count; i++) {
      if (!(insts[i * MROW + M_FLAGS] & MFlag.Commutes)) continue;
      const first = insts[i * MROW + M_OPD];
      if (insts[i * MROW + M_OPDS] !== 3) bug(`row ${i} can't commute`);
      const result = operands[first * 2];
      const a = operands[first * 2 + 2];
      const b = operands[first * 2 + 4];
      if (a === b || this.homed[a] || this.homed[b]) continue;
      const aDies = this.diesAt(a, i * POS, EARLY);
      const bDies = this.diesAt(b, i * POS, LATE);
      if (!bDies || (aDies && argumentOf[result] !== b)) continue;
      const flags = operands[first * 2 + 5];
      if (flags & (Opd.Def | Opd.Cross) || (flags & Opd.ConstraintMask) === Opd.Fixed)
        bug(`row ${i} can't commute`);
      operands[first * 2 + 2] = b;
      operands[first * 2 + 4] = a;
      this.changeUse(b, i * POS, UseInfo.Copy | (EARLY << USE_END_SHIFT), EARLY);
      const info = this.earlyUse(flags, 3);
      this.changeUse(
        a,
        i * POS + EARLY,
        info & UseInfo.Memory && this.rematRow[a] >= 0 ? info | UseInfo.Must : info,
        aDies ? LATE : 0,
      );
    }
  }

  /** Index of v's last range that starts before a position. */
  rangeAt(v: number, pos: number): number {
    let lo = this.rangeStart[v];
    let hi = this.rangeStart[v + 1] - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (this.rangeFrom[mid] < pos) lo = mid;
      else hi = mid - 1;
    }
    return lo;
  }

  private diesAt(v: number, row: number, sub: number): boolean {
    return this.rangeTo[this.rangeAt(v, row + EARLY)] === row + sub;
  }

  /** Replace v's one use record of a row; `end`: where its range now ends, if it ends there. */
  private changeUse(v: number, pos: number, info: number, end: number): void {
    const row = pos & ~3;
    let k = seek(this.usePos, this.useStart[v], this.useStart[v + 1], row);
    // A parameter's definition may come before, at the same position.
    if (this.useInfo[k] & UseInfo.Def) k++;
    this.usePos[k] = pos;
    this.useInfo[k] = info;
    if (end !== 0) this.rangeTo[this.rangeAt(v, row + EARLY)] = row + end;
  }
}
