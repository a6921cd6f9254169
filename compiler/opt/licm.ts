/**
 * Loop-invariant code motion, with restraint: a hoisted value takes a register all through the loop, so it must be
 * worth one.
 *
 * - What can't trap and has no effect moves, so it does not matter that it may run where it did not before. Of loads
 *   those from vmctx fields, and through pointers held in read-only ones (an imported global's, say), and only when the
 *   loop writes none of that. Other raw loads may stand behind a check of their own and stay. Loads of memories, and
 *   bounds checks, move only from where a loop begins: see takeBeginning().
 * - Only from blocks that every iteration runs through.
 * - Never what its user folds: constants, addresses, small shifts, extensions, comparisons. Taking the sum out of a
 *   loop's `load [base + i*4]` costs far more than it saves.
 * - Only so many values for each loop; fewer where the loop carries many variables itself; and only dear ones where the
 *   loop calls, as they would be spilled around each call.
 *
 * An instruction moves out of as many loops at once as its operands allow.
 */
import { TrapCode } from '../abi/traps.ts';
import type { Cfg } from '../ir/cfg.ts';
import { type Block, F_A, type Func, ROW, type Value } from '../ir/func.ts';
import { OP_FLAGS, OP_OPERANDS, Op, OpFlag, Region, rawRegion, rawTrap, Type } from '../ir/ops.ts';
import { type Ints, sized } from '../ir/scratch.ts';
import { isSafeDivision } from './dce.ts';
import { Memory } from './memory.ts';
import { Fired, type Tally } from './tally.ts';

/** Registers of each class that a loop's own variables and hoisted values may take together. */
const INT_BUDGET = 9;
const FLOAT_BUDGET = 11;
/** Most values of one class hoisted out of one loop. */
const MAX_HOISTED = 6;
/** Steps up the dominator tree for the block that dominates two ways back; beyond, the header is taken. */
const MAX_CLIMB = 1000;
/** Values that the address of a load is computed from, or the condition of a check. */
const MOST_STEPS = 8;
/** Loops left at once. */
const MAX_LEVELS = 8;

function isFloatClass(type: Type): boolean {
  return type === Type.F32 || type === Type.F64 || type === Type.V128;
}

const enum Worth {
  Never,
  /** A cycle or two. */
  Cheap,
  /** Several cycles: worth a reload. */
  Dear,
}

export class Licm {
  private readonly memory = new Memory();
  /** For each value: whether it is the address of some access. */
  private isAddress = new Uint8Array(256);
  /** For each loop: its preheader (0: none), registers left of each class, whether it calls. */
  private preheader: Ints = new Int32Array(16);
  private ints: Ints = new Int32Array(16);
  private floats: Ints = new Int32Array(16);
  private calls = new Uint8Array(16);
  private latches: Ints = new Int32Array(16);
  private steps = 0;

  /**
   * Give each loop a preheader: a block that only jumps to the header and is the only way into the loop.
   * @returns whether blocks were added; the Cfg is stale then
   */
  addPreheaders(f: Func, cfg: Cfg): boolean {
    let added = false;
    for (let loop = 0; loop < cfg.loopCount; loop++) {
      const header = cfg.loopHeader[loop]!;
      if (this.findPreheader(f, cfg, header) !== 0) continue;
      added = true;
      const block = f.newBlock();
      f.copyParams(header, block);
      const params = Array.from({ length: f.paramCount(block) }, (_, k) => f.param(block, k));
      f.loc = f.locOf(f.first[header]!);
      f.append(block, f.make(Op.Jump, Type.None, 0, f.newEdge(header, params), 0, 0, 0));
      for (let p = cfg.predStart[header]!; p < cfg.predStart[header + 1]!; p++) {
        if (!cfg.dominates(header, cfg.predBlock[p]!)) f.pool[cfg.predEdge[p]! + 1] = block;
      }
    }
    return added;
  }

  /**
   * The block that is the only way into a loop and goes nowhere else, or 0. (The entry may be one; as block 0 it reads
   * as none.)
   */
  private findPreheader(f: Func, cfg: Cfg, header: Block): Block {
    let found = 0;
    for (let p = cfg.predStart[header]!; p < cfg.predStart[header + 1]!; p++) {
      const from = cfg.predBlock[p]!;
      if (cfg.dominates(header, from)) continue;
      if (found !== 0 || f.op(f.terminator(from)) !== Op.Jump) return 0;
      found = from;
    }
    return found;
  }

  /** cfg: everything, of the function as it is, after addPreheaders(). */
  run(f: Func, cfg: Cfg, counters: Tally, importedMemories: number): void {
    if (cfg.loopCount === 0) return;
    this.memory.begin(f, cfg, importedMemories);
    this.prepare(f, cfg);
    let hoisted = 0;
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const loop = cfg.loopOf[b]!;
      if (loop < 0) continue;
      if (cfg.loopHeader[loop] === b && this.preheader[loop] !== 0)
        this.takeBeginning(f, cfg, loop, counters);
      for (let v = f.first[b]!; v !== 0; ) {
        const next = f.next[v]!;
        const to = this.destination(f, cfg, b, loop, v);
        if (to !== 0) {
          f.unlink(v);
          f.insertBefore(f.terminator(to), v);
          hoisted++;
        }
        v = next;
      }
    }
    counters.counts[Fired.Hoist]! += hoisted;
  }

  private prepare(f: Func, cfg: Cfg): void {
    const n = cfg.loopCount;
    this.preheader = sized(this.preheader, n);
    this.ints = sized(this.ints, n);
    this.floats = sized(this.floats, n);
    this.latches = sized(this.latches, n);
    if (this.calls.length < n) this.calls = new Uint8Array(n * 2);
    this.calls.fill(0, 0, n);
    for (let loop = 0; loop < n; loop++) {
      const header = cfg.loopHeader[loop]!;
      this.preheader[loop] = this.findPreheader(f, cfg, header);
      let ints = 0;
      let floats = 0;
      for (let k = 0; k < f.paramCount(header); k++) {
        if (isFloatClass(f.type(f.param(header, k)))) floats++;
        else ints++;
      }
      this.ints[loop] = Math.min(MAX_HOISTED, INT_BUDGET - ints);
      this.floats[loop] = Math.min(MAX_HOISTED, FLOAT_BUDGET - floats);
      // The nearest block that dominates all ways back; each iteration but the last one runs through what dominates it.
      let latch = -1;
      for (let p = cfg.predStart[header]!; p < cfg.predStart[header + 1]!; p++) {
        const from = cfg.predBlock[p]!;
        if (!cfg.dominates(header, from)) continue;
        if (latch < 0) latch = from;
        for (let steps = 0; !cfg.dominates(latch, from); steps++) {
          latch = steps < MAX_CLIMB ? cfg.idom[latch]! : header;
        }
      }
      this.latches[loop] = latch;
    }
    if (this.isAddress.length < f.count) this.isAddress = new Uint8Array(f.count * 2);
    this.isAddress.fill(0, 0, f.count);
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const loop = cfg.loopOf[b]!;
      for (let v = f.first[b]!; v !== 0; v = f.next[v]!) {
        const op = f.op(v);
        if (op === Op.Load || op === Op.Store || op === Op.RawLoad || op === Op.RawStore)
          this.isAddress[f.a(v)] = 1;
        else if (loop >= 0 && OP_FLAGS[op]! & OpFlag.Call) this.calls[loop] = 1;
      }
    }
    for (let loop = n - 1; loop >= 0; loop--) {
      const up = cfg.loopParent[loop]!;
      if (up >= 0) this.calls[up]! |= this.calls[loop]!;
    }
  }

  /**
   * Loads and bounds checks that a loop begins with, before anything else that can be seen, and which are the same each
   * time: done in front, they are done when they were, if only once. That they can't fail later: memories don't shrink,
   * and the loop does not write what is loaded. Not out of a loop that hands nothing on to its next iteration: it waits
   * for what an embedder writes while the guest is stopped.
   */
  private takeBeginning(f: Func, cfg: Cfg, loop: number, counters: Tally): void {
    const header = cfg.loopHeader[loop]!;
    if (f.paramCount(header) === 0) return;
    for (let v = f.first[header]!; v !== f.terminator(header); ) {
      const next = f.next[v]!;
      const op = f.op(v);
      const check = op === Op.TrapNz && f.imm(v) === TrapCode.HeapOutOfBounds;
      if (check || op === Op.Load) {
        const budget = isFloatClass(f.type(v)) ? this.floats : this.ints;
        if (!check && (budget[loop]! <= 0 || this.memory.loopWritesTo(loop, v))) return;
        this.steps = MOST_STEPS;
        if (!this.isSame(f, cfg, loop, f.a(v))) return;
        if (!check) budget[loop]!--;
        // First the value: rows that are made may move all of them.
        const operand = this.inFront(f, cfg, loop, f.a(v));
        f.rows[v * ROW + F_A] = operand;
        f.unlink(v);
        f.insertBefore(f.terminator(this.preheader[loop]!), v);
        counters.counts[check ? Fired.HoistCheck : Fired.HoistLoad]!++;
      } else if (!(OP_FLAGS[op]! & OpFlag.Pure) && op !== Op.VmLoad) {
        return;
      }
      v = next;
    }
  }

  /** Whether a value is the same in all iterations, by a few steps through what it is computed from. */
  private isSame(f: Func, cfg: Cfg, loop: number, v: Value): boolean {
    if (!cfg.dominates(cfg.loopHeader[loop]!, f.blockOf(v))) return true;
    const op = f.op(v);
    if (--this.steps < 0 || op === Op.Param || OP_FLAGS[op]! & OpFlag.ListB) return false;
    if (op === Op.VmLoad ? this.memory.loopWritesTo(loop, v) : !(OP_FLAGS[op]! & OpFlag.Pure)) return false;
    for (let i = 0; i < OP_OPERANDS[op]!; i++)
      if (!this.isSame(f, cfg, loop, f.rows[v * ROW + F_A + i]!)) return false;
    return true;
  }

  /** Such a value in front of the loop. What is in the loop stays for its other users, which fold it. */
  private inFront(f: Func, cfg: Cfg, loop: number, v: Value): Value {
    if (!cfg.dominates(cfg.loopHeader[loop]!, f.blockOf(v))) return v;
    const operands = [f.a(v), f.b(v), f.c(v)];
    for (let i = 0; i < OP_OPERANDS[f.op(v)]!; i++) operands[i] = this.inFront(f, cfg, loop, operands[i]!);
    f.loc = f.locOf(v);
    const copy = f.make(f.op(v), f.type(v), operands[0]!, operands[1]!, operands[2]!, f.imm(v), f.imm2(v));
    return f.insertBefore(f.terminator(this.preheader[loop]!), copy);
  }

  /** The preheader that v should move to, or 0. Registers are taken from each loop it leaves. */
  private destination(f: Func, cfg: Cfg, b: Block, loop: number, v: Value): Block {
    const worth = this.worth(f, v);
    if (worth === Worth.Never) return 0;
    const float = isFloatClass(f.type(v));
    const budget = float ? this.floats : this.ints;
    let to = 0;
    let at = b;
    for (let level = 0, l = loop; l >= 0 && level < MAX_LEVELS; level++, l = cfg.loopParent[l]!) {
      const header = cfg.loopHeader[l]!;
      if (this.preheader[l] === 0 || budget[l]! <= 0 || (this.calls[l] !== 0 && worth !== Worth.Dear)) break;
      // Latches of an inner loop's enclosing one are dominated by where the value goes, if that is run through each
      // time.
      if (!cfg.dominates(at, this.latches[l]!)) break;
      if (!this.isInvariant(f, cfg, header, l, v)) break;
      budget[l]!--;
      to = this.preheader[l]!;
      at = to;
    }
    return to;
  }

  /** Whether all that v reads is the same throughout the loop. */
  private isInvariant(f: Func, cfg: Cfg, header: Block, loop: number, v: Value): boolean {
    const n = OP_OPERANDS[f.op(v)]!;
    for (let i = 0; i < n; i++) {
      // A definition dominates its use. If the header does not dominate the definition, that stands before the loop; if
      // it does, the definition lies between the header and a block of the loop, and so in the loop.
      const x = f.rows[v * ROW + F_A + i]!;
      if (cfg.dominates(header, f.blockOf(x))) return false;
    }
    return !(OP_FLAGS[f.op(v)]! & OpFlag.Read) || !this.memory.loopWritesTo(loop, v);
  }

  private worth(f: Func, v: Value): Worth {
    const op = f.op(v);
    switch (op) {
      case Op.Mul:
      case Op.Popcnt:
      case Op.Clz:
      case Op.Ctz:
        return Worth.Dear;
      case Op.DivS:
      case Op.DivU:
      case Op.RemS:
      case Op.RemU:
        return isSafeDivision(f, v) ? Worth.Dear : Worth.Never;
      case Op.Shl:
        // Scaled indices are part of an address.
        return f.op(f.b(v)) === Op.IConst && (f.imm(f.b(v)) & 63) <= 3 ? Worth.Never : Worth.Cheap;
      case Op.Add:
        return this.isAddress[v] !== 0 || f.op(f.b(v)) === Op.IConst ? Worth.Never : Worth.Cheap;
      case Op.Sub:
      case Op.And:
      case Op.Or:
      case Op.Xor:
      case Op.ShrS:
      case Op.ShrU:
      case Op.Rotl:
      case Op.Rotr:
        return this.isAddress[v] !== 0 ? Worth.Never : Worth.Cheap;
      case Op.VmLoad:
      case Op.Select:
      case Op.Bitcast:
        return Worth.Cheap;
      case Op.RawLoad:
        return this.isSafeLoad(f, v) ? Worth.Cheap : Worth.Never;
    }
    if (op >= Op.FAdd && op <= Op.FNearest) return Worth.Dear;
    if (op >= Op.TruncSatS && op <= Op.Demote) return Worth.Dear;
    return Worth.Never;
  }

  /** A load through a pointer that the instance's own read-only fields hold: it is good at all times. */
  private isSafeLoad(f: Func, v: Value): boolean {
    const pointer = f.a(v);
    return (
      rawTrap(f.imm2(v)) === 0 &&
      f.op(pointer) === Op.VmLoad &&
      rawRegion(f.imm2(pointer)) === Region.ReadOnly
    );
  }
}
