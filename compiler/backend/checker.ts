/**
 * Symbolic checker of register allocation, in the manner of regalloc2's: an abstract interpretation that knows, for
 * each register and slot, which vregs' values it surely holds. Every operand must find its vreg in the place it was
 * given, on all paths, and its constraint must be met.
 *
 * It shares nothing with the allocator but the definition of machine code (mach.ts). States only shrink as paths meet,
 * so a failure found on the way is a failure.
 */
import { bug } from '../diagnostics.ts';
import {
  EDIT,
  EditKind,
  FLOAT_BASE,
  isFloatReg,
  M_FLAGS,
  M_OPD,
  M_OPDS,
  type MachFunc,
  MFlag,
  MROW,
  Opd,
  opdArg,
  RegClass,
  type RegSet,
  SLOT_BASE,
} from './mach.ts';

/** Vregs whose value a location holds. Never changed in place: states share them. */
type Held = readonly number[];
type State = Held[];
const NOTHING: Held = [];

/** Throws (a defect of the compiler) unless `m.allocs` and `m.edits` implement m's operands. */
export function checkAllocation(m: MachFunc, regs: RegSet): void {
  new Checker(m, regs).run();
}

class Checker {
  private readonly locations: number;
  /** First edit of each row (those before and behind it). */
  private readonly editStart: Int32Array;
  private row = 0;

  constructor(
    private readonly m: MachFunc,
    private readonly regs: RegSet,
  ) {
    this.locations = SLOT_BASE + m.spillSlots;
    this.editStart = new Int32Array(m.count + 2);
    let last = -1;
    for (let e = 0; e < m.editCount; e++) {
      const pos = m.edits[e * EDIT];
      if (pos < last || pos >= 2 * m.count) bug(`register allocation: edit ${e} is out of order`);
      last = pos;
      this.editStart[(pos >> 1) + 1]++;
    }
    for (let i = 0; i < m.count; i++) this.editStart[i + 1] += this.editStart[i];
  }

  run(): void {
    const { m } = this;
    const entry: (State | null)[] = new Array(m.blockCount).fill(null);
    const dirty = new Uint8Array(m.blockCount);
    entry[0] = new Array<Held>(this.locations).fill(NOTHING);
    dirty[0] = 1;
    for (let again = true; again; ) {
      again = false;
      for (let b = 0; b < m.blockCount; b++) {
        if (!dirty[b]) continue;
        dirty[b] = 0;
        const state = entry[b]!.slice();
        this.block(b, state);
        for (let e = m.succStart[b]; e < m.succStart[b + 1]; e++) {
          const t = m.edgeTarget[e];
          const out = this.rename(e, t, state);
          const known = entry[t];
          if (known === null) entry[t] = out === state ? out.slice() : out;
          else if (!meet(known, out)) continue;
          dirty[t] = 1;
          if (t <= b) again = true;
        }
      }
    }
    for (let b = 0; b < m.blockCount; b++)
      if (entry[b] === null) bug(`register allocation: block ${b} is unreachable`);
  }

  private fail(what: string): never {
    bug(`register allocation, row ${this.row}: ${what}`);
  }

  private show(loc: number): string {
    return loc >= SLOT_BASE ? `slot ${loc - SLOT_BASE}` : loc < 0 ? 'nowhere' : this.regs.name(loc);
  }

  private block(b: number, state: State): void {
    const { m, editStart } = this;
    for (let i = m.blockStart[b]; i < m.blockStart[b + 1]; i++) {
      this.row = i;
      let e = editStart[i];
      const arrives = (m.insts[i * MROW + M_FLAGS] & MFlag.Arrives) !== 0;
      if (arrives && i !== m.blockStart[b]) this.fail('what arrives is not at the start of its block');
      for (; e < editStart[i + 1] && m.edits[e * EDIT] === 2 * i; e++)
        this.edit(e, state, i === m.blockStart[b] ? b : -1, arrives ? i : -1);
      this.instruction(i, state);
      if (e < editStart[i + 1] && m.insts[i * MROW + M_FLAGS] & (MFlag.Branch | MFlag.Ret))
        this.fail('moves behind a branch');
      for (; e < editStart[i + 1]; e++) this.edit(e, state, -1);
    }
  }

  /** State at the edge's target: its parameters hold what the arguments hold, and no more what they held before. */
  private rename(e: number, target: number, state: State): State {
    const { m } = this;
    const params = m.blockParams[target];
    if (params.length === 0) return state;
    const first = m.edgeArgStart[e];
    if (m.edgeArgStart[e + 1] - first !== params.length)
      this.fail(`edge ${e} has a wrong number of arguments`);
    return state.map(held => {
      if (held.length === 0) return held;
      const result = held.filter(v => !params.includes(v));
      for (let k = 0; k < params.length; k++)
        if (held.includes(m.edgeArgs[first + k])) result.push(params[k]);
      return result;
    });
  }

  /**
   * @param block whose start the edit is at, or -1
   * @param arriving row whose results are in their registers already, or -1
   */
  private edit(e: number, state: State, block: number, arriving = -1): void {
    const { m } = this;
    const kind = m.edits[e * EDIT + 1] & 0xff;
    const cls = m.edits[e * EDIT + 1] >> 8;
    const from = m.edits[e * EDIT + 2];
    const to = m.edits[e * EDIT + 3];
    this.location(to, cls, true);
    if (arriving >= 0) this.spares(arriving, to, kind === EditKind.Swap ? from : to);
    if (kind === EditKind.Remat) {
      const flags = m.insts[from * MROW + M_FLAGS];
      if (!(flags & MFlag.Remat)) this.fail(`row ${from} can't be rematerialised`);
      if (to >= SLOT_BASE) this.fail('rematerialisation into a slot');
      const v = m.operands[m.insts[from * MROW + M_OPD] * 2];
      if (m.vregClass[v] !== cls) this.fail('rematerialisation in a wrong class');
      state[to] = block >= 0 ? this.withParams(v, block) : [v];
      return;
    }
    this.location(from, cls, kind === EditKind.Swap);
    const moved = this.fitting(state[from], cls);
    if (kind === EditKind.Swap) {
      if (from >= SLOT_BASE || to >= SLOT_BASE) this.fail('exchange with a slot');
      state[from] = this.fitting(state[to], cls);
    } else if (kind !== EditKind.Move) this.fail(`edit of unknown kind ${kind}`);
    this.write(state, to, cls, moved);
  }

  /**
   * At the start of a block with one incoming edge (whose moves are there), the parameters that get v on that edge are
   * v.
   */
  private withParams(v: number, block: number): Held {
    const { m } = this;
    const e = m.edgeTarget.indexOf(block);
    if (m.edgeTarget.indexOf(block, e + 1) >= 0) return [v];
    return [v, ...m.blockParams[block].filter((_, k) => m.edgeArgs[m.edgeArgStart[e] + k] === v)];
  }

  /** What of the held values survives a move of class `cls`. */
  private fitting(held: Held, cls: number): Held {
    const { vregClass } = this.m;
    const fits = (v: number) =>
      vregClass[v] === cls || (cls === RegClass.Vec && vregClass[v] === RegClass.Float);
    return held.every(fits) ? held : held.filter(fits);
  }

  /** A register of the class that may be written, or a slot that exists. */
  private location(loc: number, cls: number, written: boolean): void {
    if (loc < 0 || loc >= this.locations) this.fail(`${this.show(loc)} does not exist`);
    if (loc >= SLOT_BASE) {
      if (cls !== RegClass.Vec) return;
      if ((loc - SLOT_BASE) & 1 || loc + 1 >= this.locations)
        this.fail(`${this.show(loc)} can't hold a vector`);
      return;
    }
    if (isFloatReg(loc) !== cls > RegClass.Int) this.fail(`${this.show(loc)} is of the wrong class`);
    if (!written) return;
    const bank = loc >= FLOAT_BASE ? 1 : 0;
    if (!((this.regs.allocatable[bank] >>> (loc & 31)) & 1))
      this.fail(`${this.show(loc)} is not for allocation`);
    this.used(loc);
  }

  /** An edit must not write what arrives in a register. */
  private spares(row: number, a: number, b: number): void {
    const { m } = this;
    const first = m.insts[row * MROW + M_OPD];
    for (let o = first; o < first + m.insts[row * MROW + M_OPDS]; o++) {
      if (m.allocs[o] === a || m.allocs[o] === b)
        this.fail(`${this.show(m.allocs[o])} is written before its value is taken`);
    }
  }

  private used(reg: number): void {
    if (!((this.m.usedRegs[reg >= FLOAT_BASE ? 1 : 0] >>> (reg & 31)) & 1))
      this.fail(`${this.show(reg)} is written, but not among the used registers`);
  }

  private write(state: State, loc: number, cls: number, held: Held): void {
    state[loc] = held;
    if (loc < SLOT_BASE) return;
    const { vregClass } = this.m;
    if (cls === RegClass.Vec) state[loc + 1] = NOTHING;
    if (loc > SLOT_BASE && state[loc - 1].some(v => vregClass[v] === RegClass.Vec)) {
      state[loc - 1] = state[loc - 1].filter(v => vregClass[v] !== RegClass.Vec);
    }
  }

  private instruction(i: number, state: State): void {
    const { m } = this;
    const { operands, allocs, insts } = m;
    const first = insts[i * MROW + M_OPD];
    const end = first + insts[i * MROW + M_OPDS];
    const clobbers = m.clobberSets[(insts[i * MROW + M_FLAGS] >>> 16) & 0xff];
    for (let o = first; o < end; o++) {
      this.constraint(o, first, clobbers);
      const v = operands[o * 2];
      if (operands[o * 2 + 1] & Opd.Def) continue;
      if (!state[allocs[o]].includes(v)) {
        const holds = state[allocs[o]].map(x => `v${x}`).join(' ') || 'nothing known';
        this.fail(`operand ${o - first} reads v${v} from ${this.show(allocs[o])}, which holds ${holds}`);
      }
    }
    this.conflicts(first, end);
    for (let c = 0; c < 2; c++) {
      for (let bits = clobbers[c]; bits !== 0; bits &= bits - 1) {
        const r = c * FLOAT_BASE + 31 - Math.clz32(bits & -bits);
        state[r] = NOTHING;
        this.used(r);
      }
    }
    for (let o = first; o < end; o++) {
      if (!(operands[o * 2 + 1] & Opd.Def)) continue;
      const v = operands[o * 2];
      for (let l = 0; l < state.length; l++)
        if (state[l].includes(v)) state[l] = state[l].filter(x => x !== v);
    }
    for (let o = first; o < end; o++) {
      if (!(operands[o * 2 + 1] & Opd.Def)) continue;
      const v = operands[o * 2];
      this.write(state, allocs[o], m.vregClass[v], [v]);
    }
  }

  private constraint(o: number, first: number, clobbers: readonly [number, number]): void {
    const { m } = this;
    const v = m.operands[o * 2];
    const f = m.operands[o * 2 + 1];
    const loc = m.allocs[o];
    const constraint = f & Opd.ConstraintMask;
    const name = `operand ${o - first} (v${v})`;
    if (constraint === Opd.Fixed) {
      if (loc !== opdArg(f)) this.fail(`${name} must be in ${this.show(opdArg(f))}, not ${this.show(loc)}`);
      if (isFloatReg(loc) !== m.vregClass[v] > RegClass.Int)
        this.fail(`${name} is fixed to a register of the wrong class`);
      if (f & Opd.Def) this.used(loc);
      return;
    }
    this.location(loc, m.vregClass[v], true);
    if (constraint !== Opd.Any && loc >= SLOT_BASE)
      this.fail(`${name} must be in a register, not ${this.show(loc)}`);
    if (constraint === Opd.Reuse && m.allocs[first + opdArg(f)] !== loc)
      this.fail(`${name} must reuse ${this.show(m.allocs[first + opdArg(f)])}`);
    if (
      loc < SLOT_BASE &&
      f & (Opd.Def | Opd.Cross) &&
      (clobbers[loc >= FLOAT_BASE ? 1 : 0] >>> (loc & 31)) & 1
    )
      this.fail(`${name} is in ${this.show(loc)}, which is clobbered`);
  }

  /** No result may overwrite another, nor an input that is still needed when it is written. */
  private conflicts(first: number, end: number): void {
    const { m } = this;
    const { operands, allocs } = m;
    for (let d = first; d < end; d++) {
      const df = operands[d * 2 + 1];
      if (!(df & Opd.Def)) continue;
      const isReuse = (df & Opd.ConstraintMask) === Opd.Reuse;
      for (let o = first; o < end; o++) {
        const f = operands[o * 2 + 1];
        if (o === d || !this.overlap(d, o)) continue;
        const clash =
          (f & Opd.Def) !== 0
            ? true
            : (f & Opd.Cross) !== 0 || (df & Opd.Cross) !== 0
              ? true
              : isReuse && operands[o * 2] !== operands[(first + opdArg(df)) * 2];
        if (clash) this.fail(`operands ${d - first} and ${o - first} are both in ${this.show(allocs[o])}`);
      }
    }
  }

  private overlap(a: number, b: number): boolean {
    const { m } = this;
    const x = m.allocs[a];
    const y = m.allocs[b];
    if (x === y) return true;
    if (x < SLOT_BASE || y < SLOT_BASE) return false;
    const wide = (o: number) => (m.vregClass[m.operands[o * 2]] === RegClass.Vec ? 2 : 1);
    return x < y + wide(b) && y < x + wide(a);
  }
}

/** Intersect `into` with `other`; whether it changed. */
function meet(into: State, other: State): boolean {
  let changed = false;
  for (let l = 0; l < into.length; l++) {
    const a = into[l];
    const b = other[l];
    if (a === b || a.length === 0) continue;
    const both = a.filter(v => b.includes(v));
    if (both.length === a.length) continue;
    into[l] = both;
    changed = true;
  }
  return changed;
}
