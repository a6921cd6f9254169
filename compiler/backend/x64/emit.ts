/**
 * Machine rows after register allocation to bytes.
 *
 * One pass over the blocks (emit-blocks.ts): the allocator's edits, the rows. Slow paths and trap stubs come behind the
 * last block. Every allocator edit leaves the flags alone (mov, xchg, xorps, loads), so edits may stand between a
 * compare and its consumer.
 */
import { TrapCode } from '../../abi/traps.ts';
import { VMCTX } from '../../abi/vmctx.ts';
import { bug } from '../../diagnostics.ts';
import { type Func, type FuncDebug, POINT } from '../../ir/func.ts';
import { type CompiledDebug, type CompiledFunc, LANDING, LOCAL, PLACED_POINT, RelocKind } from '../code.ts';
import {
  EDIT,
  EditKind,
  FLOAT_BASE,
  M_AUX,
  M_FLAGS,
  M_IMM,
  M_IMM2,
  M_LOC,
  M_OP,
  M_OPD,
  M_OPDS,
  type MachFunc,
  MFlag,
  MROW,
  RegClass,
  SLOT_BASE,
} from '../mach.ts';
import { BlockEmitter } from './emit-blocks.ts';
import { emitCvtFromU64, emitMinMax, emitSlowPath, emitTrunc } from './emit-float.ts';
import { emitVector } from './emit-simd.ts';
import { CC, Ins, NO_REG } from './encode.ts';
import { PROBE_LIMIT, UNCHECKED_SHIFT } from './frame.ts';
import { addressOperands, CC_FEQ, type Unit, X, xIns, xShape, xSize, xSub } from './insts.ts';
import { BASE_REG, R10, R11, RAX, RDX, RSP, XMM_SCRATCH } from './regs.ts';

const SCRATCH = XMM_SCRATCH - FLOAT_BASE;
export class Emitter extends BlockEmitter {
  /** Comparisons left out in all functions so far. */
  flagsReused = 0;
  /** Position of each sequence point, or -1: its code was dropped. */
  private pointPlaces: number[] = [];
  /** Positions behind calls whose callee pops. */
  private popSites: number[] = [];
  /** Position behind the last call. */
  private returnSite = 0;
  /** Of each call that may land in this function: position behind it, label of its landing pad, scope. */
  private landings: number[] = [];

  /** The bytes of a function whose registers have been allocated. `unit` is what lowering returned for it. */
  emit(func: Func, m: MachFunc, unit: Unit): CompiledFunc {
    const { asm, frame, pcMap, arena } = this;
    this.start(m, unit);
    this.pointPlaces = func.debug ? new Array<number>(func.debug.points.length / POINT).fill(-1) : [];
    this.popSites.length = 0;
    this.landings.length = 0;
    pcMap.start(this.firstLoc());
    this.startBlocks();

    this.prologue();
    this.blocks();
    this.forSlowPaths(emitSlowPath);
    this.emitStubs();
    const code = asm.finish(arena);
    return {
      index: func.index,
      code,
      relocs: this.finalRelocs(),
      rodata: unit.rodata.bytes(arena),
      pcMap: pcMap.finish(asm, arena),
      wasmStart: pcMap.wasmStart,
      frameSize: frame.size,
      argBytes: unit.argBytes,
      popped: frame.popped,
      landings: Int32Array.from(this.landings, (p, i) =>
        i % LANDING === 0 ? asm.map(p) : i % LANDING === 1 ? asm.labelPos(p) : p,
      ),
      scopes: func.scopes,
      saved: frame.saved,
      debug: func.debug ? this.debugOf(func.debug) : null,
      savesBase: unit.savesBase,
      popSites: Int32Array.from(this.popSites, p => asm.map(p)),
    };
  }

  private debugOf(d: FuncDebug): CompiledDebug {
    const { asm, frame } = this;
    const { localTypes, localOffsets, points, operandTypes } = d;
    const placed = this.pointPlaces
      .map((place, i) => ({ place: place < 0 ? -1 : asm.map(place), at: i * POINT }))
      .filter(p => p.place >= 0)
      .sort((a, b) => a.place - b.place);
    const tables = new Int32Array(LOCAL * localTypes.length + PLACED_POINT * placed.length);
    localTypes.forEach((type, x) => {
      tables.set([type, localOffsets[x]! + frame.slots], LOCAL * x);
    });
    placed.forEach(({ place, at }, k) => {
      const to = LOCAL * localTypes.length + PLACED_POINT * k;
      tables[to] = place;
      tables.set(points.subarray(at, at + POINT), to + 1);
    });
    return { localCount: localTypes.length, tables, operands: d.operands + frame.slots, operandTypes };
  }

  private firstLoc(): number {
    const { m } = this;
    for (let row = 0; row < m.count; row++) {
      const loc = m.insts[row * MROW + M_LOC]!;
      if (loc !== 0) return loc;
    }
    return 0;
  }

  // ---- frame
  private prologue(): void {
    const { asm, frame } = this;
    const checks = this.options.checksStack && frame.needsCheck(this.unit.calls);
    if (checks && frame.shift > UNCHECKED_SHIFT) this.checkShift();
    if (frame.shift > 0) {
      asm.rm(Ins.MOV, 8, R11, RSP, NO_REG, 0, 0);
      asm.ri(Ins.SUB, 8, RSP, frame.shift);
      asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, 0, R11);
    }
    for (const r of frame.saved) asm.r(Ins.PUSH, 8, r);
    if (frame.sub > PROBE_LIMIT && !checks) this.probe(frame.sub);
    if (frame.sub > 0) asm.ri(Ins.SUB, 8, RSP, frame.sub);
    if (checks) {
      this.compareLimit(RSP);
      asm.jcc(CC.B, this.trapStub(this.pcMap.wasmStart, TrapCode.StackOverflow));
    }
    if (this.unit.savesBase) asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, frame.savedBase, BASE_REG);
  }

  /** Flags of `reg - limit`. r11 carries nothing at a function's start. */
  private compareLimit(reg: number): void {
    const { asm } = this;
    asm.rm(Ins.MOV, 8, R11, BASE_REG, NO_REG, 0, -VMCTX.STACK_LIMIT);
    asm.threadPointer();
    asm.rm(Ins.CMP, 8, reg, R11, NO_REG, 0, 0);
  }

  /**
   * Before a return address is moved down far: the trap stands in line, so that the unwinder tells by its place that
   * nothing has been moved yet.
   */
  private checkShift(): void {
    const { asm, frame, pcMap } = this;
    asm.rm(Ins.LEA, 8, R10, RSP, NO_REG, 0, -frame.shift);
    this.compareLimit(R10);
    const fits = asm.newLabel();
    asm.jcc(CC.AE, fits);
    pcMap.note(asm.here(), pcMap.wasmStart, TrapCode.StackOverflow);
    this.halt();
    asm.bind(fits);
  }

  private leaveFrame(): void {
    const { asm, frame } = this;
    if (frame.sub > 0) asm.ri(Ins.ADD, 8, RSP, frame.sub);
    for (let i = frame.saved.length - 1; i >= 0; i--) asm.r(Ins.POP, 8, frame.saved[i]!);
  }

  private epilogue(): void {
    this.leaveFrame();
    if (this.frame.popped > 0) this.asm.retPop(this.frame.popped);
    else this.asm.plain(Ins.RET);
  }

  /**
   * frame.ts has the picture. r11 and the scratch register carry no arguments, and all operands of the row are in
   * registers.
   */
  private tailCall(row: number): void {
    const { asm, frame, m } = this;
    const at = row * MROW;
    const n = m.insts[at + M_IMM2]!;
    const gap = frame.popped - n;
    // The outgoing area is part of the frame, so source and destination are apart, and the return address stays until
    // all is copied.
    const args = frame.size + 8 + gap;
    for (let i = 0; i < n; i += 16) {
      asm.rm(Ins.MOVUPS, 16, SCRATCH, RSP, NO_REG, 0, i);
      asm.mr(Ins.MOVUPS, 16, RSP, NO_REG, 0, args + i, SCRATCH);
    }
    if (gap > 0) {
      asm.rm(Ins.MOV, 8, R11, RSP, NO_REG, 0, frame.size);
      asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, frame.size + gap, R11);
    }
    this.leaveFrame();
    if (gap > 0) asm.rm(Ins.LEA, 8, RSP, RSP, NO_REG, 0, gap);
    if (xSub(m.insts[at + M_OP]!) === 1) {
      asm.jmpTail(RAX);
    } else {
      asm.jmpRel();
      this.reloc(RelocKind.CallFunc, asm.lastDisp, m.insts[at + M_IMM]!, 0);
    }
    if (gap > 0) asm.retPop(n);
  }

  /** Behind a call: the room for stack arguments that the callee has popped. */
  private afterCall(popped: number): void {
    this.returnSite = this.asm.here();
    if (popped === 0) return;
    this.popSites.push(this.asm.here());
    this.asm.ri(Ins.SUB, 8, RSP, popped);
  }

  // ---- the allocator's edits
  protected edits(position: number): void {
    const { m } = this;
    while (this.edit < m.editCount) {
      const at = this.edit * EDIT;
      if (m.edits[at]! > position) return;
      this.edit++;
      const kind = m.edits[at + 1]! & 0xff;
      const cls = m.edits[at + 1]! >>> 8;
      const from = m.edits[at + 2]!;
      const to = m.edits[at + 3]!;
      if (kind === EditKind.Move) this.move(cls, from, to);
      else if (kind === EditKind.Swap) this.swap(from, to);
      else this.inst(from, to);
      this.flags.wrote(to);
      if (kind === EditKind.Swap) this.flags.wrote(from);
    }
  }

  private move(cls: RegClass, from: number, to: number): void {
    const { asm } = this;
    if (from === to) return;
    if (from >= SLOT_BASE) {
      const disp = this.slotDisp(from);
      if (to >= SLOT_BASE) {
        const ins = cls === RegClass.Vec ? Ins.MOVAPS : Ins.MOVSD;
        asm.rm(ins, 16, SCRATCH, RSP, NO_REG, 0, disp);
        asm.mr(ins, 16, RSP, NO_REG, 0, this.slotDisp(to), SCRATCH);
      } else if (cls === RegClass.Int) asm.rm(Ins.MOV, 8, to, RSP, NO_REG, 0, disp);
      else asm.rm(cls === RegClass.Vec ? Ins.MOVAPS : Ins.MOVSD, 16, to & 31, RSP, NO_REG, 0, disp);
    } else if (to >= SLOT_BASE) {
      const disp = this.slotDisp(to);
      if (cls === RegClass.Int) asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, disp, from);
      else asm.mr(cls === RegClass.Vec ? Ins.MOVAPS : Ins.MOVSD, 16, RSP, NO_REG, 0, disp, from & 31);
    } else if (cls === RegClass.Int) asm.rr(Ins.MOV, 8, to, from);
    else asm.rr(Ins.MOVAPS, 16, to & 31, from & 31);
  }

  private swap(a: number, b: number): void {
    const { asm } = this;
    if (a < FLOAT_BASE) {
      asm.rr(Ins.XCHG, 8, a, b);
      return;
    }
    asm.rr(Ins.MOVAPS, 16, SCRATCH, a & 31);
    asm.rr(Ins.MOVAPS, 16, a & 31, b & 31);
    asm.rr(Ins.MOVAPS, 16, b & 31, SCRATCH);
  }

  // ---- rows
  protected row(row: number, b: number, end: number): void {
    const { m, asm, pcMap, flags } = this;
    const at = row * MROW;
    const word = m.insts[at + M_OP]!;
    const shape = xShape(word);
    // A TrapIf traps in its stub, a division at the divide.
    if (shape === X.TrapIf || shape === X.Div) pcMap.note(asm.here(), m.insts[at + M_LOC]!, 0);
    else this.noteTrap(row);
    switch (shape) {
      case X.Jmp:
        this.jump(b);
        return;
      case X.Jcc:
        this.branch(b, xSub(word));
        return;
      case X.Table:
        this.table(row, b);
        return;
      case X.Chain:
        this.chain(row, b);
        return;
      case X.Ret:
        this.epilogue();
        return;
      case X.TailCall:
        this.tailCall(row);
        return;
      case X.Trap:
        this.trap();
        return;
      case X.Point:
        this.pointPlaces[m.insts[at + M_IMM]!] = asm.here();
        asm.plain(Ins.NOP);
        return;
      default:
        if (this.options.reusesFlags) {
          if (flags.has(m, row, end)) {
            this.flagsReused++;
            return;
          }
          flags.after(m, row);
        }
        this.inst(row, -1);
    }
    if (m.insts[at + M_FLAGS]! & MFlag.Branch) this.landing(b);
  }

  /** Behind a call that ends its block: to where it returns; where it lands is told to the unwinder. */
  private landing(b: number): void {
    const { m } = this;
    const pad = this.succ(b, 1);
    const scope = m.insts[m.blockStart[m.edgeTarget[m.succStart[b]! + 1]!]! * MROW + M_IMM]!;
    this.landings.push(this.returnSite, this.label(pad), scope);
    this.jumpTo(b, this.succ(b, 0));
  }

  /**
   * Break the dependency of an instruction on what its destination held. The instruction itself, which may trap, comes
   * next.
   */
  private clear(row: number, alloc: number): void {
    const { asm, m } = this;
    if (alloc >= FLOAT_BASE) {
      asm.rr(Ins.XORPS, 16, alloc & 31, alloc & 31);
    } else {
      if (m.insts[row * MROW + M_AUX] !== 0 && (this.mb === alloc || this.mi === alloc)) return;
      asm.rr(Ins.XOR, 4, alloc, alloc);
    }
    this.noteTrap(row);
  }

  /** A row that is no branch. `to` >= 0: re-emission with that register as its definition. */
  private inst(row: number, to: number): void {
    const { m, asm } = this;
    const { insts } = m;
    const at = row * MROW;
    const word = insts[at + M_OP]!;
    const o = insts[at + M_OPD]!;
    const ins = xIns(word);
    const size = xSize(word);
    const sub = xSub(word);
    const imm = insts[at + M_IMM]!;
    switch (xShape(word)) {
      case X.Args:
        return;
      case X.Imm: {
        const d = to >= 0 ? to : this.reg(o);
        if (size === 8) asm.movabs(d, imm, insts[at + M_IMM2]!);
        else if (imm === 0 && to < 0 && sub === 1) asm.rr(Ins.XOR, 4, d, d);
        else asm.ri(Ins.MOV, 4, d, imm);
        return;
      }
      case X.FZero: {
        const d = to >= 0 ? to & 31 : this.reg(o);
        asm.rr(Ins.XORPS, 16, d, d);
        return;
      }
      case X.Rm: {
        const d = to >= 0 ? to : m.allocs[o]!;
        const src = this.source(row, o + 1);
        if (sub === 1 && src !== d) this.clear(row, d);
        if (src >= 0) asm.rr(ins, size, d & 31, src & 31);
        else this.rm(ins, size, d & 31);
        return;
      }
      case X.RmI: {
        const d = m.allocs[o]!;
        const src = this.source(row, o + 1);
        if (sub === 1 && src !== d) this.clear(row, d);
        if (src >= 0) {
          asm.rri(ins, size, d & 31, src & 31, imm);
        } else {
          asm.rmi(ins, size, d & 31, this.mb, this.mi, this.ms, this.md, imm);
          this.memDone();
        }
        return;
      }
      case X.MovFromX: {
        const src = this.source(row, o + 1);
        if (src >= 0) asm.rr(ins, size, this.reg(o), src & 31);
        else this.rm(Ins.MOV, size, this.reg(o));
        return;
      }
      case X.Alu: {
        const d = this.reg(o);
        const src = this.source(row, o + 2);
        if (src >= 0) asm.rr(ins, size, d, src & 31);
        else this.rm(ins, size, d);
        return;
      }
      case X.AluI:
        asm.ri(ins, size, this.reg(o), imm);
        return;
      case X.Un:
      case X.ShiftCl:
        asm.r(ins, size, this.reg(o));
        return;
      case X.Vex:
        this.vex(ins, size, this.reg(o), this.reg(o + 1), row, o + 2);
        return;
      case X.VOnes:
      case X.AluRI:
      case X.VexI:
      case X.VexShift:
      case X.Vex4:
      case X.Fma:
      case X.Ternary:
        emitVector(this, row, to);
        return;
      case X.Lea:
        this.memOf(row);
        this.rm(Ins.LEA, size, to >= 0 ? to : this.reg(o));
        return;
      case X.Cmp: {
        const a = this.reg(o);
        const src = this.source(row, o + 1);
        if (src >= 0) asm.rr(ins, size, a, src & 31);
        else this.rm(ins, size, a);
        return;
      }
      case X.CmpI: {
        const src = this.source(row, o);
        if (src >= 0) asm.ri(ins, size, src, imm);
        else asm.mi(ins, size, this.mb, this.mi, this.ms, this.md, imm);
        return;
      }
      case X.Mr:
        this.memOf(row);
        asm.mr(ins, size, this.mb, this.mi, this.ms, this.md, this.reg(o));
        return;
      case X.Mi:
        this.memOf(row);
        asm.mi(ins, size, this.mb, this.mi, this.ms, this.md, imm);
        return;
      case X.Setcc: {
        const d = this.reg(o);
        if (sub < CC_FEQ) {
          asm.setcc(sub, d);
          return;
        }
        const tmp = this.reg(o + 2);
        asm.setcc(sub === CC_FEQ ? CC.NP : CC.P, d);
        asm.setcc(sub === CC_FEQ ? CC.E : CC.NE, tmp);
        asm.rr(sub === CC_FEQ ? Ins.AND : Ins.OR, 1, d, tmp);
        return;
      }
      case X.Cmov: {
        const d = this.reg(o);
        const src = this.source(row, o + 2);
        // Selection leaves only the disjunctive double condition.
        for (const cc of sub < CC_FEQ ? [sub] : [CC.NE, CC.P]) {
          if (src >= 0) asm.cmov(cc, size, d, src);
          else asm.cmovm(cc, size, d, this.mb, this.mi, this.ms, this.md);
        }
        return;
      }
      case X.SelectF:
        this.selectF(o, sub);
        return;
      case X.Div:
        this.div(row, o, ins, size, imm !== 0);
        return;
      case X.MulWide: {
        const src = this.source(row, o + 3);
        if (src >= 0) asm.r(ins, size, src);
        else asm.m(ins, size, this.mb, this.mi, this.ms, this.md);
        return;
      }
      case X.Carry:
        asm.rr(Ins.CMP, size, this.reg(o + 3), this.reg(o + 4));
        asm.rr(ins, size, this.reg(o), this.reg(o + 2));
        return;
      case X.BitScan: {
        const d = this.reg(o);
        const tmp = this.reg(o + 2);
        const bits = size * 8;
        // The scan leaves ZF set for zero, for which the count is the width: 2 * width - 1 turned round, or the width
        // itself.
        asm.rr(ins, size, d, this.reg(o + 1));
        asm.ri(Ins.MOV, 4, tmp, ins === Ins.BSR ? 2 * bits - 1 : bits);
        asm.cmov(CC.E, size, d, tmp);
        if (ins === Ins.BSR) asm.ri(Ins.XOR, size, d, bits - 1);
        return;
      }
      case X.FMinMax:
        emitMinMax(this, row);
        return;
      case X.CvtFromU64:
        emitCvtFromU64(this, row);
        return;
      case X.Trunc:
        emitTrunc(this, row);
        return;
      case X.Call:
        asm.callRel();
        this.reloc(RelocKind.CallFunc, asm.lastDisp, imm, 0);
        this.afterCall(insts[at + M_IMM2]!);
        return;
      case X.CallImport:
        // rax holds the entry's address at the call (regs.ts).
        asm.rm(Ins.LEA, 8, RAX, BASE_REG, NO_REG, 0, imm);
        asm.rm(Ins.MOV, 8, BASE_REG, RAX, NO_REG, 0, 8);
        asm.m(Ins.CALL, 8, RAX, NO_REG, 0, 0);
        this.afterCall(insts[at + M_IMM2]!);
        asm.rm(Ins.MOV, 8, BASE_REG, RSP, NO_REG, 0, this.frame.savedBase);
        return;
      case X.CallIndirect:
        this.callIndirect(row, o, sub === 1);
        return;
      case X.CallStub:
        asm.ri(Ins.MOV, 4, RAX, imm);
        asm.m(Ins.CALL, 8, BASE_REG, NO_REG, 0, insts[at + M_IMM2]!);
        this.afterCall(0);
        return;
      case X.TrapIf: {
        const stub = this.trapStub(insts[at + M_LOC]!, (insts[at + M_FLAGS]! >>> 8) & 0xff);
        if (sub < CC_FEQ) {
          asm.jcc(sub, stub);
        } else if (sub === CC_FEQ) {
          const skip = asm.newLabel();
          asm.jcc(CC.NE, skip);
          asm.jcc(CC.NP, stub);
          asm.bind(skip);
        } else {
          asm.jcc(CC.NE, stub);
          asm.jcc(CC.P, stub);
        }
        return;
      }
      default:
        bug(`row ${row} has shape ${xShape(word)}`);
    }
  }

  private selectF(o: number, cc: number): void {
    const { asm } = this;
    const d = this.reg(o);
    const src = this.reg(o + 2);
    if (d === src) return;
    const skip = asm.newLabel();
    if (cc < CC_FEQ) {
      asm.jcc(cc ^ 1, skip);
    } else if (cc === CC_FEQ) {
      asm.jcc(CC.NE, skip);
      asm.jcc(CC.P, skip);
    } else {
      const take = asm.newLabel();
      asm.jcc(CC.NE, take);
      asm.jcc(CC.NP, skip);
      asm.bind(take);
    }
    asm.rr(Ins.MOVAPS, 16, d, src);
    asm.bind(skip);
  }

  private div(row: number, o: number, ins: Ins, size: number, guard: boolean): void {
    const { asm } = this;
    const divisor = this.reg(o + 3);
    const end = asm.newLabel();
    if (guard) {
      const divide = asm.newLabel();
      asm.ri(Ins.CMP, size, divisor, -1);
      asm.jcc(CC.NE, divide);
      asm.rr(Ins.XOR, 4, RDX, RDX);
      asm.jmp(end);
      asm.bind(divide);
    }
    if (ins === Ins.DIV) asm.rr(Ins.XOR, 4, RDX, RDX);
    else asm.plain(size === 8 ? Ins.CQO : Ins.CDQ);
    this.noteTrap(row);
    asm.r(ins, size, divisor);
    asm.bind(end);
  }

  private callIndirect(row: number, o: number, changesBase: boolean): void {
    const { asm, m } = this;
    const at = row * MROW;
    const aux = m.insts[at + M_AUX]!;
    const behind = o + m.insts[at + M_OPDS]! - (aux !== 0 ? addressOperands(aux) : 1);
    if (changesBase) {
      const base = behind - 1;
      if (this.isSlot(base)) {
        this.memSlot(base);
        this.rm(Ins.MOV, 8, BASE_REG);
      } else {
        asm.rr(Ins.MOV, 8, BASE_REG, this.reg(base));
      }
    }
    const code = this.source(row, behind);
    if (code >= 0) asm.r(Ins.CALL, 8, code);
    else asm.m(Ins.CALL, 8, this.mb, this.mi, this.ms, this.md);
    this.afterCall(m.insts[at + M_IMM]!);
    if (changesBase) asm.rm(Ins.MOV, 8, BASE_REG, RSP, NO_REG, 0, this.frame.savedBase);
  }
}
