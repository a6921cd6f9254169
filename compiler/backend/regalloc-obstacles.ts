/**
 * What the instructions themselves forbid: registers blocked by Fixed operands and by clobbers.
 *
 * Both are looked at from the scan position onwards, for one piece at a time. The looking is bounded; when it is given
 * up, the answer errs on the safe side (a register counts as blocked from there).
 */
import type { Bundles } from './intervals.ts';
import { AFTER, atLeast, EARLY, GAP, grown, LATE, POS, seek } from './liveness.ts';
import {
  FLOAT_BASE,
  M_FLAGS,
  M_OPD,
  M_OPDS,
  type MachFunc,
  MFlag,
  MROW,
  Opd,
  opdArg,
  type RegSet,
} from './mach.ts';
import type { Pieces } from './regalloc-pieces.ts';

export const REGS = 64;
const MAX_STEPS = 1000;

export class Obstacles {
  private m!: MachFunc;
  private bundles!: Bundles;
  private pieces!: Pieces;
  private allocatable: readonly [number, number] = [0, 0];
  private steps = 0;
  /**
   * Blocked by Fixed operands: entries fixStart[r] .. fixStart[r + 1] - 1; the cursor is at the first that ends behind
   * the scan position.
   */
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

  collect(m: MachFunc, regs: RegSet, bundles: Bundles, pieces: Pieces): void {
    this.m = m;
    this.bundles = bundles;
    this.pieces = pieces;
    this.allocatable = regs.allocatable;
    this.collectFixed();
    this.collectClobbers();
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
      const arrives = insts[at + M_FLAGS] & MFlag.Arrives;
      for (let pass = 0; pass < 2; pass++) {
        for (let o = first; o < end; o++) {
          const f = operands[o * 2 + 1];
          if ((f & Opd.ConstraintMask) !== Opd.Fixed || (f & Opd.Def) !== pass) continue;
          const k = fixCursor[opdArg(f)]++;
          from[k] = i * POS + (arrives ? GAP : pass && !(f & Opd.Cross) ? LATE : EARLY);
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

  /** Leave behind what ends at or before the scan position. */
  advance(reg: number, pos: number): void {
    const { fixCursor, fixTo } = this;
    const end = this.fixStart[reg + 1];
    let f = fixCursor[reg];
    while (f < end && fixTo[f] <= pos) f++;
    fixCursor[reg] = f;
  }

  /** For each register of a class: where piece p first meets an obstacle, or p's end. */
  limits(p: number, order: readonly number[], c: number, limit: Int32Array): void {
    const end = this.pieces.end[p];
    for (let k = 0; k < order.length; k++) limit[order[k]] = end;
    this.steps = MAX_STEPS;
    if (this.clobberCount > 0) this.byClobbers(p, c, limit);
    for (let k = 0; k < order.length; k++) {
      if (this.fixCursor[order[k]] < this.fixStart[order[k] + 1]) this.byFixed(p, order[k], limit);
    }
  }

  private byClobbers(p: number, c: number, limit: Int32Array): void {
    const { pieces, bundles, clobberPos, clobberCount, m } = this;
    let open = this.clobberUnion[c] & this.allocatable[c];
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
          limit[c * FLOAT_BASE + bit] = clobberPos[k];
        }
        if (open === 0) return;
      }
      if (++r === rangeEnd || bundles.rangeFrom[r] >= end) return;
      from = bundles.rangeFrom[r];
      if (--this.steps < 0) {
        for (; open !== 0; open &= open - 1) limit[c * FLOAT_BASE + 31 - Math.clz32(open & -open)] = from;
        return;
      }
    }
  }

  private byFixed(p: number, reg: number, limit: Int32Array): void {
    const { pieces, bundles, fixFrom, fixTo, fixVreg } = this;
    const { rangeFrom, rangeTo } = bundles;
    const rangeEnd = bundles.endRange[pieces.bundle[p]];
    const fixEnd = this.fixStart[reg + 1];
    const start = pieces.start[p];
    let bound = limit[reg];
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
    limit[reg] = bound;
  }
}
