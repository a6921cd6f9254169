/**
 * What it costs to have values in memory, and where to cut pieces so that it costs little.
 *
 * Costs are in units of one reload in a block that is executed once. Moves that a cut needs are placed outside of
 * loops, or in cold blocks, where the piece's uses allow it.
 */
import type { Bundles } from './intervals.ts';
import { EARLY, type Flow, type Liveness, LOOP_FACTOR, POS, seek, UseInfo, useEnd } from './liveness.ts';
import type { MachFunc } from './mach.ts';
import type { Pieces } from './regalloc-pieces.ts';

/** A use in memory relative to a reload: an operand read from memory; a copy that becomes a load or store. */
const MEMORY_USE = 0.5;
const COPY_USE = 0.5;
const REMAT_RELOAD = 0.3;
const STORE = 1;
const MOVE = 0.3;
/** Bounds on what one decision looks at; beyond them it is made on what was seen. */
const MAX_USES = 24;
const MAX_LOOPS = 64;
const MAX_PIECES = 8;

export class SpillCosts {
  private m!: MachFunc;
  private flow!: Flow;
  private live!: Liveness;
  private bundles!: Bundles;
  private pieces!: Pieces;
  /** 1: some piece of the bundle is in memory, so that a further one needs no further store. */
  stored = new Uint8Array(0);
  /** For how many positions the last `spillCost` frees a register. */
  gain = 0;

  reset(m: MachFunc, flow: Flow, live: Liveness, bundles: Bundles, pieces: Pieces): void {
    this.m = m;
    this.flow = flow;
    this.live = live;
    this.bundles = bundles;
    this.pieces = pieces;
    if (this.stored.length < m.vregCount) this.stored = new Uint8Array(m.vregCount * 2);
    this.stored.fill(0, 0, m.vregCount);
  }

  /** The piece that holds p's bundle at position `at`, before p, if it is not far away in the list. */
  pieceAt(p: number, at: number): number {
    const { pieces } = this;
    for (let n = MAX_PIECES; n > 0 && p >= 0; n--, p = pieces.prev[p])
      if (pieces.start[p] <= at) return pieces.end[p] > at ? p : -1;
    return -1;
  }

  /** How often use record u is executed. */
  blockFreq(u: number): number {
    const { flow } = this;
    return flow.freq[flow.rowBlock[this.bundles.usePos[u] >>> 2]];
  }

  /** What use record u costs when the value is in memory. */
  private useWeight(u: number): number {
    const info = this.bundles.useInfo[u];
    const f = this.blockFreq(u);
    if (info & UseInfo.Must) return info & UseInfo.Def ? 0 : f;
    return f * (info & UseInfo.Copy ? COPY_USE : MEMORY_USE);
  }

  /** What it costs never to have a register from here on, as far as it does not exceed `cap`. */
  totalCost(p: number, cap: number): number {
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

  /** What it costs to have piece x in memory from `pos` up to its next register operand. Sets `gain`. */
  spillCost(x: number, pos: number): number {
    const { bundles, pieces, flow, live } = this;
    const b = pieces.bundle[x];
    const end = pieces.end[x];
    const usesEnd = bundles.endUse[b];
    const v = bundles.rangeVreg[pieces.cursor[x]];
    const remat = live.rematRow[v] >= 0;
    const first = seek(bundles.usePos, pieces.use[x], usesEnd, pos);
    let cost = 0;
    let free = end;
    let n = MAX_USES;
    for (let u = first; u < usesEnd && bundles.usePos[u] < end && n-- > 0; u++) {
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
        // In a register at the loop's head, in memory at its end: a reload on the way back. A piece that is not used
        // before `pos` will be spilled before the loop.
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

  /** How often the reload for use record u is executed. */
  reloadFreq(from: number, u: number): number {
    const { flow } = this;
    const pos = this.reloadPos(from, u);
    const block = flow.rowBlock[pos >>> 2];
    const l = flow.loopOf[block];
    // At a loop's start it is on the edges into the loop.
    const outside = l >= 0 && flow.loopFirst[l] === block && pos === this.m.blockStart[block] * POS;
    return outside ? flow.freq[block] / LOOP_FACTOR : flow.freq[block];
  }

  /**
   * Where to have a value back in a register for use record u, when it is in memory from `from` on: outside of loops
   * that don't contain `from`.
   */
  reloadPos(from: number, u: number): number {
    const { bundles, flow, m } = this;
    if (bundles.useInfo[u] & UseInfo.Def) return bundles.usePos[u];
    const row = bundles.usePos[u] >>> 2;
    const block = flow.rowBlock[row];
    let pos = row * POS + EARLY;
    for (let l = flow.loopOf[block], n = MAX_LOOPS; l >= 0 && n > 0; l = flow.loopParent[l], n--) {
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
  splitPoint(p: number, pos: number): number {
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
        if (info & UseInfo.Must && useEnd(pos, info) > pos) held = true;
      }
      // Cut behind the inputs, unless one must be in its register for longer.
      if (used && !held) return pos;
      if (gap > start) q = gap;
    }
    const lower = u > pieces.use[p] ? Math.max(start, bundles.usePos[u - 1]) : start;
    if (q <= lower) return pos;
    const block = flow.rowBlock[q >>> 2];
    let best = q;
    for (let l = flow.loopOf[block], n = MAX_LOOPS; l >= 0 && n > 0; l = flow.loopParent[l], n--) {
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

  /**
   * What it costs to change a piece's register at `pos`: a move there, and one on the way back if it lives around a
   * loop.
   */
  moveCost(p: number, pos: number): number {
    const { m, flow, pieces } = this;
    const block = flow.rowBlock[pos >>> 2];
    const l = flow.loopOf[block];
    const around =
      l >= 0 &&
      pieces.start[p] <= m.blockStart[flow.loopFirst[l]] * POS &&
      pieces.end[p] >= m.blockStart[flow.loopLast[l] + 1] * POS;
    return flow.freq[block] * (around ? 2 * MOVE : MOVE);
  }
}
