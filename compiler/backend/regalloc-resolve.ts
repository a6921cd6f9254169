/**
 * From pieces to code: spill slots, operand locations, and the moves that connect the pieces.
 *
 * Moves belong to a row and a phase; the phases of a row are executed in this order, each as one parallel move:
 *
 *     EdgeIn    start of a block: the moves of its only incoming edge
 *     Param     start of a block: parameters stored to their slots
 *     Gap       before the instruction: pieces that end here, fixed operands, inputs of Reuse results
 *     EdgeOut   before a block's last instruction: the moves of its only outgoing edge
 *     Behind    after the instruction: fixed results, results stored to their slots
 *
 * Stores. A vreg never changes, so its slot once written stays valid. Each vreg is either stored at its definition
 * (once; later cuts from register to memory need no code), or at each such cut: whichever costs less in block
 * frequencies. So a value that is spilled in a cold path only is stored there. Cuts within an instruction have no place
 * for code and force the former.
 */
import { bug } from '../diagnostics.ts';
import type { Bundles } from './intervals.ts';
import { AFTER, atLeast, EARLY, type Flow, grown, LATE, type Liveness, POS, seek } from './liveness.ts';
import {
  EDIT,
  EditKind,
  M_FLAGS,
  M_OPD,
  M_OPDS,
  type MachFunc,
  MROW,
  Opd,
  opdArg,
  RegClass,
  SLOT_BASE,
} from './mach.ts';
import { ParallelMoves, REMAT_SOURCE } from './moves.ts';
import { type BranchEdge, branchEdges } from './regalloc-branches.ts';
import { type Pieces, SPILLED } from './regalloc-pieces.ts';

const enum Phase {
  EdgeIn = 0,
  Param = 1,
  Gap = 2,
  EdgeOut = 3,
  Behind = 4,
}
const PHASES = 5;

export class Resolver {
  private m!: MachFunc;
  private flow!: Flow;
  private live!: Liveness;
  private bundles!: Bundles;

  /** Pieces of bundle b in position order: flat[b] .. flat[b + 1] - 1. */
  private flat = new Int32Array(0);
  private cutStart = new Int32Array(0);
  private cutEnd = new Int32Array(0);
  private cutReg = new Int32Array(0);
  /** First slot of each bundle, or -1. */
  private slot = new Int32Array(0);
  /** 1: a rematerialisable vreg that has to be in its slot nevertheless. */
  private slotted = new Uint8Array(0);
  /** What storing a vreg at its cuts would cost; Infinity: not possible. */
  private cutCost = new Float64Array(0);

  /** Moves, linked by row. */
  private head = new Int32Array(0);
  private next = new Int32Array(0);
  private from = new Int32Array(0);
  private to = new Int32Array(0);
  /** vreg << 4 | stores << 3 | phase; `stores`: a cut from register to memory. */
  private info = new Int32Array(0);
  private moveCount = 0;
  private readonly parallel = new ParallelMoves();
  private scratchUsed = 0;
  /** Edges whose moves go in front of their branch, at most one of each, in order. */
  early: readonly BranchEdge[] = [];

  run(m: MachFunc, flow: Flow, live: Liveness, bundles: Bundles, pieces: Pieces, eager: boolean): void {
    this.m = m;
    this.flow = flow;
    this.live = live;
    this.bundles = bundles;
    this.flatten(pieces);
    this.findSlotted();
    this.assignSlots();
    this.head = atLeast(this.head, m.count).fill(-1, 0, m.count);
    this.moveCount = 0;
    if (this.cutCost.length < m.vregCount) this.cutCost = new Float64Array(m.vregCount * 2);
    this.cutCost.fill(0, 0, m.vregCount);
    this.resolveOperands();
    for (let b = 0; b < m.vregCount; b++) {
      if (live.homed[b]) this.resolveHomed(b);
      else if (this.flat[b + 1] - this.flat[b] > 1) {
        this.resolveCuts(b);
        this.resolveEdges(b);
      }
    }
    this.resolveArguments();
    this.storeDefinitions();
    this.moveEarly(eager);
    this.writeEdits();
  }

  private flatten(pieces: Pieces): void {
    const nv = this.m.vregCount;
    const flat = (this.flat = atLeast(this.flat, nv + 1));
    this.cutStart = atLeast(this.cutStart, pieces.count);
    this.cutEnd = atLeast(this.cutEnd, pieces.count);
    this.cutReg = atLeast(this.cutReg, pieces.count);
    let n = 0;
    for (let b = 0; b < nv; b++) {
      flat[b] = n;
      for (let p = pieces.first[b]; p >= 0; p = pieces.next[p]) {
        this.cutStart[n] = pieces.start[p];
        this.cutEnd[n] = pieces.end[p];
        this.cutReg[n++] = pieces.reg[p];
      }
    }
    flat[nv] = n;
  }

  /** The register of v at a position, or SPILLED. */
  private regAt(v: number, pos: number): number {
    const { flat, cutStart } = this;
    const b = this.bundles.of[v];
    let lo = flat[b];
    let hi = flat[b + 1] - 1;
    if (lo > hi) return SPILLED;
    const first = lo;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (cutStart[mid] <= pos) lo = mid;
      else hi = mid - 1;
    }
    if (cutStart[lo] <= pos && pos < this.cutEnd[lo]) return this.cutReg[lo];
    if (!this.live.homed[b]) bug(`v${v} is nowhere at ${pos} (pieces ${first}..${lo})`);
    return SPILLED;
  }

  /** Where to read v at a position: register, slot, or rematerialisation. */
  private sourceAt(v: number, pos: number): number {
    const r = this.regAt(v, pos);
    if (r !== SPILLED) return r;
    const remat = this.live.rematRow[v];
    return remat >= 0 ? REMAT_SOURCE - remat : SLOT_BASE + this.slot[this.bundles.of[v]];
  }

  /** Where v has its place at a position: register, slot, or -1 when it is rematerialised instead. */
  private placeAt(v: number, pos: number): number {
    const r = this.regAt(v, pos);
    if (r !== SPILLED) return r;
    return this.live.rematRow[v] >= 0 && this.slotted[v] === 0
      ? -1
      : SLOT_BASE + this.slot[this.bundles.of[v]];
  }

  private isDead(v: number): boolean {
    return this.live.rangeStart[v] === this.live.rangeStart[v + 1];
  }

  /**
   * Rematerialisable vregs that something reads from memory while they have no register: operands that aren't
   * registers, parameters that lie in slots.
   */
  private findSlotted(): void {
    const { m, live, flow, bundles } = this;
    const { insts, operands } = m;
    const nv = m.vregCount;
    if (this.slotted.length < nv) this.slotted = new Uint8Array(nv * 2);
    this.slotted.fill(0, 0, nv);
    let any = false;
    for (let v = 0; v < nv && !any; v++) any = live.rematRow[v] >= 0;
    if (!any) return;
    for (let i = 0; i < m.count; i++) {
      const first = insts[i * MROW + M_OPD];
      const end = first + insts[i * MROW + M_OPDS];
      for (let o = first; o < end; o++) {
        const v = operands[o * 2];
        const f = operands[o * 2 + 1];
        if ((f & (Opd.ConstraintMask | Opd.Def)) === Opd.Any && live.rematRow[v] >= 0) {
          if (this.regAtRow(v, i * POS + (f & Opd.Cross ? LATE : EARLY)) === SPILLED) this.slotted[v] = 1;
        }
      }
    }
    for (let e = 0; e < m.succStart[m.blockCount]; e++) {
      const first = m.edgeArgStart[e];
      const params = m.blockParams[m.edgeTarget[e]];
      for (let k = 0; k < params.length; k++) {
        const a = m.edgeArgs[first + k];
        if (live.rematRow[a] < 0 || this.isDead(params[k])) continue;
        if (this.regAt(params[k], m.blockStart[m.edgeTarget[e]] * POS) !== SPILLED) continue;
        if (
          this.regAt(a, m.blockStart[flow.edgeSource[e] + 1] * POS - 1) === SPILLED ||
          bundles.of[a] === bundles.of[params[k]]
        )
          this.slotted[a] = 1;
      }
    }
  }

  /**
   * The register of v at a position, or SPILLED; at the gap before, if it is not live there (an operand that repeats a
   * reused input).
   */
  private regAtRow(v: number, pos: number): number {
    const { live } = this;
    const k = live.rangeAt(v, pos + 1);
    if (live.rangeFrom[k] <= pos && pos < live.rangeTo[k]) return this.regAt(v, pos);
    return this.regAt(v, pos & ~3);
  }

  private needsSlot(b: number): boolean {
    const { flat, cutReg, cutStart, cutEnd, bundles, live } = this;
    if (live.homed[b]) return true;
    let k = bundles.firstRange[b];
    for (let c = flat[b]; c < flat[b + 1]; c++) {
      if (cutReg[c] !== SPILLED) continue;
      k = seek(bundles.rangeTo, k, bundles.endRange[b], cutStart[c] + 1);
      for (let r = k; r < bundles.endRange[b] && bundles.rangeFrom[r] < cutEnd[c]; r++) {
        const v = bundles.rangeVreg[r];
        if (live.rematRow[v] < 0 || this.slotted[v]) return true;
      }
    }
    return false;
  }

  /** Bundles that are never live at the same time share slots: single slots for Int and Float, pairs for Vec. */
  private assignSlots(): void {
    const { m, bundles, live } = this;
    const nv = m.vregCount;
    const slot = (this.slot = atLeast(this.slot, nv).fill(-1, 0, nv));
    let count = 0;
    const spilled: number[] = [];
    for (let b = 0; b < nv; b++) {
      if (bundles.of[b] !== b || !this.needsSlot(b)) continue;
      if (live.homed[b]) {
        // It may be live anywhere: its slot is its own.
        const wide = bundles.cls[b] === RegClass.Vec;
        if (wide) count += count & 1;
        slot[b] = count;
        count += wide ? 2 : 1;
      } else spilled.push(b);
    }
    const { firstRange, endRange, rangeFrom, rangeTo } = bundles;
    spilled.sort((a, b) => rangeFrom[firstRange[a]] - rangeFrom[firstRange[b]] || a - b);
    // Slots in use, as a heap by the end of the bundle that has them; and free ones.
    const ends: number[] = [];
    const owners: number[] = [];
    const free: [number[], number[]] = [[], []];
    for (const b of spilled) {
      const wide = bundles.cls[b] === RegClass.Vec ? 1 : 0;
      const start = rangeFrom[firstRange[b]];
      while (ends.length > 0 && ends[0] <= start) {
        const o = owners[0];
        popHeap(ends, owners);
        free[bundles.cls[o] === RegClass.Vec ? 1 : 0].push(slot[o]);
      }
      if (free[wide].length > 0) slot[b] = free[wide].pop()!;
      else if (wide) {
        count += count & 1;
        slot[b] = count;
        count += 2;
      } else slot[b] = count++;
      pushHeap(ends, owners, rangeTo[endRange[b] - 1], b);
    }
    m.spillSlots = count;
  }

  // ---- moves

  private move(row: number, phase: Phase, from: number, to: number, v: number, stores: boolean): void {
    const k = this.moveCount++;
    if (k >= this.next.length) {
      this.next = grown(this.next, k + 256);
      this.from = grown(this.from, k + 256);
      this.to = grown(this.to, k + 256);
      this.info = grown(this.info, k + 256);
    }
    this.from[k] = from;
    this.to[k] = to;
    this.info[k] = (v << 4) | (stores ? 8 : 0) | phase;
    this.next[k] = this.head[row];
    this.head[row] = k;
    if (stores) this.cutCost[v] += this.flow.freq[this.flow.rowBlock[row]];
  }

  private resolveOperands(): void {
    const { m } = this;
    const { insts, operands } = m;
    const allocs = (m.allocs = atLeast(m.allocs as Int32Array<ArrayBuffer>, m.operandCount));
    for (let i = 0; i < m.count; i++) {
      const first = insts[i * MROW + M_OPD];
      const end = first + insts[i * MROW + M_OPDS];
      const pos = i * POS;
      let reused = -1;
      let place = -1;
      for (let o = first; o < end; o++) {
        const f = operands[o * 2 + 1];
        if ((f & Opd.ConstraintMask) !== Opd.Reuse) continue;
        place = this.regAt(operands[o * 2], pos + EARLY);
        reused = operands[(first + opdArg(f)) * 2];
        const from = this.sourceAt(reused, pos);
        if (from !== place) this.move(i, Phase.Gap, from, place, reused, false);
      }
      for (let o = first; o < end; o++) {
        const v = operands[o * 2];
        const f = operands[o * 2 + 1];
        const constraint = f & Opd.ConstraintMask;
        if (constraint === Opd.Fixed) {
          const r = opdArg(f);
          allocs[o] = r;
          if (!(f & Opd.Def)) {
            const from = this.sourceAt(v, pos);
            if (from !== r) this.move(i, Phase.Gap, from, r, v, false);
          } else if (!this.isDead(v)) {
            const to = this.placeAt(v, pos + AFTER);
            if (to !== r && to >= 0) this.move(i, Phase.Behind, r, to, v, false);
          }
        } else if (constraint === Opd.Reuse) allocs[o] = place;
        else if (f & Opd.Def) allocs[o] = this.placeAt(v, pos + (f & Opd.Cross ? EARLY : LATE));
        else if (v === reused && !(f & Opd.Cross)) allocs[o] = place;
        // In memory from Late on, it is in memory before, too: such cuts are for stored values only.
        else allocs[o] = this.placeAt(v, pos + (f & Opd.Cross ? LATE : EARLY));
        if (allocs[o] < 0 || (constraint !== Opd.Any && allocs[o] >= SLOT_BASE))
          bug(`operand ${o - first} of row ${i} (v${v}) has no register`);
      }
    }
  }

  /** Connect consecutive pieces within blocks. */
  private resolveCuts(b: number): void {
    const { flat, cutStart, cutReg, bundles, flow } = this;
    const { rangeFrom, rangeTo, rangeVreg } = bundles;
    let k = bundles.firstRange[b];
    for (let c = flat[b] + 1; c < flat[b + 1]; c++) {
      const q = cutStart[c];
      while (rangeTo[k] <= q) k++;
      if (rangeFrom[k] >= q) continue;
      const sub = q & 3;
      if (sub === 0) continue;
      const v = rangeVreg[k];
      const before = cutReg[c - 1];
      const after = cutReg[c];
      if (before === after) continue;
      const row = q >>> 2;
      // The piece before came from memory, in this block, so what is in the slot is still good.
      const start = cutStart[c - 1];
      const reloaded =
        before !== SPILLED &&
        c - 1 > flat[b] &&
        cutReg[c - 2] === SPILLED &&
        rangeFrom[k] < start &&
        (start & 3) === EARLY &&
        flow.rowBlock[start >>> 2] === flow.rowBlock[row];
      if (sub !== EARLY) {
        if (after !== SPILLED) bug(`v${v} changes its register within row ${row}`);
        if (!reloaded && this.live.rematRow[v] < 0) this.cutCost[v] = Infinity;
      } else if (after === SPILLED) {
        if (!reloaded) this.leaveRegister(row, Phase.Gap, before, v);
      } else this.move(row, Phase.Gap, before === SPILLED ? this.sourceOf(v) : before, after, v, false);
    }
  }

  private sourceOf(v: number): number {
    const remat = this.live.rematRow[v];
    return remat >= 0 ? REMAT_SOURCE - remat : SLOT_BASE + this.slot[this.bundles.of[v]];
  }

  private leaveRegister(row: number, phase: Phase, reg: number, v: number): void {
    if (this.live.rematRow[v] < 0)
      this.move(row, phase, reg, SLOT_BASE + this.slot[this.bundles.of[v]], v, true);
  }

  /** Connect pieces along block edges. */
  private resolveEdges(b: number): void {
    const { m, flow, bundles, live } = this;
    const { rangeFrom, rangeTo, rangeVreg } = bundles;
    const { predStart, predEdge, edgeSource, rowBlock } = flow;
    const { cutStart, cutEnd } = this;
    let c = this.flat[b];
    for (let k = bundles.firstRange[b]; k < bundles.endRange[b]; k++) {
      const v = rangeVreg[k];
      let block = rowBlock[rangeFrom[k] >>> 2];
      if (m.blockStart[block] * POS < rangeFrom[k]) block++;
      for (; block < m.blockCount && m.blockStart[block] * POS < rangeTo[k]; block++) {
        const start = m.blockStart[block] * POS;
        if (start === live.defPos[v]) continue;
        while (cutEnd[c] <= start) c++;
        const to = this.cutReg[c];
        for (let q = predStart[block]; q < predStart[block + 1]; q++) {
          const e = predEdge[q];
          const end = m.blockStart[edgeSource[e] + 1] * POS - 1;
          if (cutStart[c] <= end && end < cutEnd[c]) continue;
          const from = this.regAt(v, end);
          if (from === to) continue;
          const row = this.edgeRow(e);
          const phase = this.edgePhase(e);
          if (to === SPILLED) this.leaveRegister(row, phase, from, v);
          else this.move(row, phase, from === SPILLED ? this.sourceOf(v) : from, to, v, false);
        }
      }
    }
  }

  private resolveHomed(v: number): void {
    const { flat, cutStart, cutReg, live } = this;
    for (let c = flat[v]; c < flat[v + 1]; c++) {
      if (cutStart[c] !== live.defPos[v])
        this.move(cutStart[c] >>> 2, Phase.Gap, this.sourceOf(v), cutReg[c], v, false);
    }
    if (live.rematRow[v] < 0) this.cutCost[v] = Infinity;
  }

  private resolveArguments(): void {
    const { m, flow, bundles } = this;
    for (let e = 0; e < m.succStart[m.blockCount]; e++) {
      const first = m.edgeArgStart[e];
      if (first === m.edgeArgStart[e + 1]) continue;
      const target = m.edgeTarget[e];
      const params = m.blockParams[target];
      const end = m.blockStart[flow.edgeSource[e] + 1] * POS - 1;
      for (let k = 0; k < params.length; k++) {
        const p = params[k];
        const a = m.edgeArgs[first + k];
        if (this.isDead(p)) continue;
        const to = this.placeAt(p, m.blockStart[target] * POS);
        if (to < 0) bug(`parameter v${p} has no place`);
        const from = to >= SLOT_BASE ? this.placeAt(a, end) : this.sourceAt(a, end);
        if (from === to) continue;
        // Within one bundle the slot is the argument's own.
        const stores = to >= SLOT_BASE && from >= 0 && from < SLOT_BASE && bundles.of[a] === bundles.of[p];
        this.move(this.edgeRow(e), this.edgePhase(e), from, to, a, stores);
      }
    }
  }

  /**
   * An edge's moves are at its source's end if that has no other successor (and its last instruction reads nothing that
   * they could overwrite).
   */
  private atSource(e: number): boolean {
    const { m, flow } = this;
    const s = flow.edgeSource[e];
    if (m.succStart[s + 1] - m.succStart[s] > 1) return false;
    return m.insts[(m.blockStart[s + 1] - 1) * MROW + M_OPDS] === 0;
  }

  private edgeRow(e: number): number {
    const { m, flow } = this;
    if (this.atSource(e)) return m.blockStart[flow.edgeSource[e] + 1] - 1;
    const t = m.edgeTarget[e];
    if (flow.predStart[t + 1] - flow.predStart[t] !== 1)
      bug(`edge ${flow.edgeSource[e]} -> ${t} is critical`);
    return m.blockStart[t];
  }

  private edgePhase(e: number): Phase {
    return this.atSource(e) ? Phase.EdgeOut : Phase.EdgeIn;
  }

  /** Decide for each vreg that leaves its register where it is stored; write the stores at definitions. */
  private storeDefinitions(): void {
    const { m, live, flow, cutCost, bundles } = this;
    const { insts, operands } = m;
    for (let b = 0; b < m.blockCount; b++) {
      for (let i = m.blockStart[b]; i < m.blockStart[b + 1]; i++) {
        const first = insts[i * MROW + M_OPD];
        const end = first + insts[i * MROW + M_OPDS];
        for (let o = first; o < end; o++) {
          if (!(operands[o * 2 + 1] & Opd.Def)) continue;
          const v = operands[o * 2];
          if (this.isDead(v)) continue;
          if (this.regAt(v, live.defPos[v]) === SPILLED && live.rematRow[v] < 0) cutCost[v] = Infinity;
          else if (this.storedAtDef(v, flow.freq[b]))
            this.move(i, Phase.Behind, m.allocs[o], SLOT_BASE + this.slot[bundles.of[v]], v, false);
        }
      }
    }
    for (let b = 0; b < m.blockCount; b++) {
      for (const p of m.blockParams[b]) {
        if (!this.isDead(p) && this.regAt(p, live.defPos[p]) === SPILLED) cutCost[p] = Infinity;
      }
    }
    for (let b = 0; b < m.blockCount; b++) {
      const params = m.blockParams[b];
      for (let k = 0; k < params.length; k++)
        if (!this.isDead(params[k]) && cutCost[params[k]] !== 0) this.storeParameter(b, k);
    }
  }

  /**
   * A parameter that lies in a register at first is stored at the block's start, or on those edges that don't bring a
   * value already in this slot.
   */
  private storeParameter(b: number, k: number): void {
    const { m, live, flow, cutCost } = this;
    const p = m.blockParams[b][k];
    const reg = this.regAt(p, live.defPos[p]);
    if (reg === SPILLED) return;
    const { predStart, predEdge, edgeSource, freq } = flow;
    let onEdges = 0;
    for (let q = predStart[b]; q < predStart[b + 1]; q++) {
      if (this.bringsSlot(predEdge[q], k, p)) continue;
      // A rematerialised argument has no place to be stored from.
      onEdges += this.argumentPlace(predEdge[q], k) < 0 ? Infinity : freq[edgeSource[predEdge[q]]];
    }
    const cost = Math.min(onEdges, freq[b]);
    if (cutCost[p] < cost) return;
    cutCost[p] = Infinity;
    const slot = SLOT_BASE + this.slot[this.bundles.of[p]];
    if (onEdges >= freq[b]) {
      this.move(m.blockStart[b], Phase.Param, reg, slot, p, false);
      return;
    }
    for (let q = predStart[b]; q < predStart[b + 1]; q++) {
      const e = predEdge[q];
      if (this.bringsSlot(e, k, p)) continue;
      this.move(
        this.edgeRow(e),
        this.edgePhase(e),
        this.argumentPlace(e, k),
        slot,
        m.edgeArgs[m.edgeArgStart[e] + k],
        false,
      );
    }
  }

  /** Whether argument k of an edge already lies in the slot of parameter p. */
  private bringsSlot(e: number, k: number, p: number): boolean {
    const { m, bundles } = this;
    const a = m.edgeArgs[m.edgeArgStart[e] + k];
    if (bundles.of[a] !== bundles.of[p]) return false;
    return this.cutCost[a] === Infinity || this.argumentPlace(e, k) >= SLOT_BASE;
  }

  private argumentPlace(e: number, k: number): number {
    const { m, flow } = this;
    return this.placeAt(m.edgeArgs[m.edgeArgStart[e] + k], m.blockStart[flow.edgeSource[e] + 1] * POS - 1);
  }

  private storedAtDef(v: number, freq: number): boolean {
    const { cutCost } = this;
    if (this.slotted[v]) cutCost[v] = Infinity;
    else if (this.live.rematRow[v] >= 0) return false;
    if (cutCost[v] === 0 || cutCost[v] < freq) return false;
    cutCost[v] = Infinity;
    return true;
  }

  /** Find the edges whose moves go in front of their branch. */
  private moveEarly(eager: boolean): void {
    const { m, flow, head, flat, cutStart, cutEnd, cutReg } = this;
    this.early = branchEdges(m, flow, eager).filter(e => head[e.moves] >= 0 && this.mayBeEarly(e));
    const edges = this.early;
    if (edges.length === 0) return;
    // What lies in a register in front of the branch and is live behind its other edge, or goes along it.
    const branches = Int32Array.from(edges, e => e.branch * POS + AFTER);
    const wanted = new Uint8Array(edges.length);
    const want = (k: number, reg: number) => {
      if (edges[k].written[reg >>> 5] & (1 << (reg & 31))) wanted[k] = 1;
    };
    for (let b = 0; b < m.vregCount; b++) {
      for (let c = flat[b]; c < flat[b + 1]; c++) {
        if (cutReg[c] === SPILLED) continue;
        let k = seek(branches, 0, edges.length, cutStart[c]);
        for (; k < edges.length && branches[k] < cutEnd[c]; k++)
          if (this.isLiveAt(b, m.blockStart[edges[k].other] * POS)) want(k, cutReg[c]);
      }
    }
    edges.forEach(({ edge }, k) => {
      for (let i = m.edgeArgStart[edge]; i < m.edgeArgStart[edge + 1]; i++) {
        const reg = this.regAt(m.edgeArgs[i], branches[k]);
        if (reg !== SPILLED) want(k, reg);
      }
    });
    let last = -1;
    this.early = edges.filter((e, k) => {
      if (wanted[k] !== 0 || e.branch === last) return false;
      last = e.branch;
      return true;
    });
  }

  /**
   * Whether an edge's moves are such that they may go in front of their branch, if the other edge lets them; notes what
   * they write.
   */
  private mayBeEarly(e: BranchEdge): boolean {
    const { head, next, from, to, info } = this;
    let count = 0;
    for (let k = head[e.moves]; k >= 0; k = next[k]) {
      if (this.isDropped(k)) continue;
      if (to[k] >= SLOT_BASE || ((from[k] < 0 || from[k] >= SLOT_BASE) && !e.loads)) return false;
      if ((info[k] & 7) === Phase.Behind) return false;
      e.written[to[k] >>> 5] |= 1 << (to[k] & 31);
      count++;
    }
    return count > 0 && count <= e.burden;
  }

  /** Whether a range of a bundle holds a position. */
  private isLiveAt(b: number, pos: number): boolean {
    const { firstRange, endRange, rangeFrom, rangeTo } = this.bundles;
    const k = seek(rangeTo, firstRange[b], endRange[b], pos + 1);
    return k < endRange[b] && rangeFrom[k] <= pos;
  }

  /** Whether a move is none: the store of a vreg that has been stored at its definition. */
  private isDropped(k: number): boolean {
    return (this.info[k] & 8) !== 0 && this.cutCost[this.info[k] >>> 4] === Infinity;
  }

  /** Order the moves of each row and phase, and write them down as edits. */
  private writeEdits(): void {
    const { m, early } = this;
    const scratch = SLOT_BASE + m.spillSlots + (m.spillSlots & 1);
    this.scratchUsed = 0;
    m.editCount = 0;
    let at = 0;
    for (let i = 0; i < m.count; i++) {
      this.writeRow(i, i, scratch);
      if (at < early.length && early[at].branch === i) {
        const { moves } = early[at++];
        this.writeRow(moves, i, scratch);
        this.head[moves] = -1;
      }
    }
    if (this.scratchUsed > 0) m.spillSlots = scratch - SLOT_BASE + this.scratchUsed;
  }

  /** The moves of a row, at `place`. */
  private writeRow(row: number, place: number, scratch: number): void {
    const { m, head, next, from, to, info, parallel } = this;
    if (head[row] < 0) return;
    for (let phase = 0; phase < PHASES; phase++) {
      for (let k = head[row]; k >= 0; k = next[k]) {
        if ((info[k] & 7) !== phase || this.isDropped(k)) continue;
        parallel.add(from[k], to[k], m.vregClass[info[k] >>> 4]);
      }
      if (!parallel.pending) continue;
      parallel.resolve(scratch);
      this.scratchUsed = Math.max(this.scratchUsed, parallel.scratchUsed);
      this.append(phase === Phase.Behind ? place * 2 + 1 : place * 2);
    }
  }

  private append(position: number): void {
    const { m, parallel } = this;
    const { out, outCount } = parallel;
    const need = (m.editCount + outCount) * EDIT;
    if (need > m.edits.length) m.edits = grown(m.edits as Int32Array<ArrayBuffer>, need + 64);
    const { edits } = m;
    let at = m.editCount * EDIT;
    for (let k = 0; k < outCount; k++, at += EDIT) {
      edits[at] = position;
      edits[at + 1] = out[k * 3];
      edits[at + 2] = out[k * 3 + 1];
      edits[at + 3] = out[k * 3 + 2];
    }
    m.editCount += outCount;
  }
}

/** Registers written anywhere: by results, clobbers and edits. */
export function collectUsedRegs(m: MachFunc): [number, number] {
  const used: [number, number] = [0, 0];
  const add = (r: number) => {
    if (r >= 0 && r < SLOT_BASE) used[r >>> 5] |= 1 << (r & 31);
  };
  for (let o = 0; o < m.operandCount; o++) add(m.allocs[o]);
  for (let i = 0; i < m.count; i++) {
    const set = m.clobberSets[(m.insts[i * MROW + M_FLAGS] >>> 16) & 0xff];
    used[0] |= set[0];
    used[1] |= set[1];
  }
  for (let e = 0; e < m.editCount; e++) {
    const kind = m.edits[e * EDIT + 1] & 0xff;
    add(m.edits[e * EDIT + 3]);
    if (kind === EditKind.Swap) add(m.edits[e * EDIT + 2]);
  }
  return used;
}

function pushHeap(keys: number[], values: number[], key: number, value: number): void {
  let k = keys.length;
  keys.push(key);
  values.push(value);
  while (k > 0) {
    const up = (k - 1) >> 1;
    if (keys[up] <= key) break;
    keys[k] = keys[up];
    values[k] = values[up];
    k = up;
  }
  keys[k] = key;
  values[k] = value;
}

function popHeap(keys: number[], values: number[]): void {
  const key = keys.pop()!;
  const value = values.pop()!;
  const n = keys.length;
  if (n === 0) return;
  let k = 0;
  for (;;) {
    let c = 2 * k + 1;
    if (c >= n) break;
    if (c + 1 < n && keys[c + 1] < keys[c]) c++;
    if (keys[c] >= key) break;
    keys[k] = keys[c];
    values[k] = values[c];
    k = c;
  }
  keys[k] = key;
  values[k] = value;
}
