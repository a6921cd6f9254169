/**
 * What all parts of the emitter share: the function in hand, operands as the assembler takes them, relocations, and
 * what is put behind the function's code: slow paths and trap stubs.
 */
import { TrapCode } from '../../abi/traps.ts';
import { VMCTX } from '../../abi/vmctx.ts';
import { bug } from '../../diagnostics.ts';
import { grown } from '../../ir/scratch.ts';
import { Arena } from '../arena.ts';
import { RelocKind } from '../code.ts';
import { M_AUX, M_FLAGS, M_IMM2, M_LOC, M_OPD, M_OPDS, type MachFunc, MROW, SLOT_BASE } from '../mach.ts';
import { PcMapWriter } from './emit-pcmap.ts';
import { Assembler, CC, Ins, NO_REG, RIP } from './encode.ts';
import { Frame, PROBE_STEP } from './frame.ts';
import { ADDR_BASE_MASK, ADDR_INDEX, ADDR_SCALE_SHIFT, addressOperands, Base, type Unit } from './insts.ts';
import { BASE_REG, R10, R11, RAX, RSP } from './regs.ts';

/** [label, wasm offset, trap code] */
const STUB = 3;
/** [row, part, slow label, back label] */
const SLOW = 4;
/** [kind, position token (or offset in rodata), target, addend (or label)] */
const OPEN_RELOC = 4;

/** Frames of up to this many pages are probed without a loop. */
const PROBE_UNROLLED = 16;

export interface EmitOptions {
  /** Compare the stack pointer with the stack's limit: dense code. */
  readonly checksStack: boolean;
  /** Copy blocks that end in a jump through a table to where they are jumped to. */
  readonly copiesDispatch?: boolean;
  /** Leave out comparisons whose flags are there already. */
  readonly reusesFlags?: boolean;
  /** Take time to make branches short. */
  readonly relaxes?: boolean;
  /** Where results go. */
  readonly arena?: Arena;
}

export class EmitState {
  readonly asm: Assembler;
  readonly arena: Arena;
  readonly frame = new Frame();
  readonly pcMap: PcMapWriter;
  m!: MachFunc;
  unit!: Unit;

  private stubs = new Int32Array(STUB * 16);
  private stubCount = 0;
  private slow = new Int32Array(SLOW * 16);
  private slowCount = 0;
  private relocs = new Int32Array(OPEN_RELOC * 16);
  private relocCount = 0;

  // The memory operand in hand.
  mb = 0;
  mi = NO_REG;
  ms = 0;
  md = 0;
  private ripAt = -1;
  private ripKind = RelocKind.Rodata;

  constructor(protected readonly options: EmitOptions = { checksStack: false }) {
    this.asm = new Assembler(options.relaxes);
    this.pcMap = new PcMapWriter(this.asm.relaxes);
    this.arena = options.arena ?? new Arena();
  }

  start(m: MachFunc, unit: Unit): void {
    this.m = m;
    this.unit = unit;
    this.stubCount = 0;
    this.slowCount = 0;
    this.relocCount = 0;
    this.asm.reset();
    this.frame.compute(m, unit);
  }

  /**
   * Touch each page that `sub rsp` is about to skip, downwards, so that a frame of any size faults in the guard area
   * below the stack. r10 and r11 carry nothing at a function's start.
   */
  probe(bytes: number): void {
    const { asm } = this;
    const pages = Math.floor(bytes / PROBE_STEP);
    if (pages <= PROBE_UNROLLED) {
      for (let i = 1; i <= pages; i++) asm.mr(Ins.TEST, 4, RSP, NO_REG, 0, -i * PROBE_STEP, RAX);
      return;
    }
    asm.rm(Ins.LEA, 8, R11, RSP, NO_REG, 0, -pages * PROBE_STEP);
    asm.rr(Ins.MOV, 8, R10, RSP);
    const loop = asm.newLabel();
    asm.bind(loop);
    asm.ri(Ins.SUB, 8, R10, PROBE_STEP);
    asm.mr(Ins.TEST, 4, R10, NO_REG, 0, 0, RAX);
    asm.rr(Ins.CMP, 8, R10, R11);
    asm.jcc(CC.NE, loop);
  }

  // ---- operands
  /** Encoding of the register of an operand. */
  reg(operand: number): number {
    const a = this.m.allocs[operand]!;
    if (a < 0 || a >= SLOT_BASE) bug(`operand ${operand} has no register`);
    return a & 31;
  }
  isSlot(operand: number): boolean {
    return this.m.allocs[operand]! >= SLOT_BASE;
  }
  memSlot(operand: number): void {
    this.mb = RSP;
    this.mi = NO_REG;
    this.ms = 0;
    this.md = this.slotDisp(this.m.allocs[operand]!);
    this.ripAt = -1;
  }
  /** The address of a row. */
  memOf(row: number): void {
    const { insts } = this.m;
    const at = row * MROW;
    const aux = insts[at + M_AUX]!;
    const disp = insts[at + M_IMM2]!;
    let operand = insts[at + M_OPD]! + insts[at + M_OPDS]! - addressOperands(aux);
    this.ms = (aux >> ADDR_SCALE_SHIFT) & 3;
    this.md = disp;
    this.ripAt = -1;
    switch (aux & ADDR_BASE_MASK) {
      case Base.Ctx:
        this.mb = BASE_REG;
        break;
      case Base.Reg:
        this.mb = this.reg(operand++);
        break;
      case Base.Slot:
        this.mb = RSP;
        this.md = disp + this.frame.slots;
        break;
      case Base.Out:
        this.mb = RSP;
        break;
      case Base.In:
        this.mb = RSP;
        this.md = disp + this.frame.incoming;
        break;
      case Base.Rodata:
        this.memRodata(disp);
        return;
      case Base.Image:
        this.memRip(RelocKind.Image, disp);
        return;
      default:
        this.mb = NO_REG;
    }
    this.mi = (aux & ADDR_INDEX) !== 0 ? this.reg(operand) : NO_REG;
  }
  memRodata(offset: number): void {
    this.memRip(RelocKind.Rodata, offset);
  }
  private memRip(kind: RelocKind, offset: number): void {
    this.ripKind = kind;
    this.mb = RIP;
    this.mi = NO_REG;
    this.ms = 0;
    this.md = 0;
    this.ripAt = offset;
  }
  /** Call behind each instruction with the memory operand in hand. */
  memDone(): void {
    if (this.ripAt < 0) return;
    this.reloc(this.ripKind, this.asm.lastDisp, 0, this.ripAt - this.asm.lastTail);
  }
  /**
   * Operand `o` if the row has no address: a register (then the caller's turn: returns it) or its spill slot as the
   * memory in hand (-1).
   */
  source(row: number, o: number): number {
    if (this.m.insts[row * MROW + M_AUX] !== 0) {
      this.memOf(row);
      return -1;
    }
    if (this.isSlot(o)) {
      this.memSlot(o);
      return -1;
    }
    return this.m.allocs[o]!;
  }

  rm(ins: Ins, size: number, dst: number): void {
    this.asm.rm(ins, size, dst, this.mb, this.mi, this.ms, this.md);
    this.memDone();
  }

  /** Three operands, VEX; the last is `source`'s. */
  vex(ins: Ins, size: number, d: number, v: number, row: number, operand: number): void {
    const src = this.source(row, operand);
    if (src >= 0) {
      this.asm.vrr(ins, size, d, v, src & 31);
      return;
    }
    this.asm.vrm(ins, size, d, v, this.mb, this.mi, this.ms, this.md);
    this.memDone();
  }

  reloc(kind: RelocKind, place: number, target: number, addend: number): void {
    const at = this.relocCount++ * OPEN_RELOC;
    this.relocs = grown(this.relocs, at + OPEN_RELOC);
    this.relocs[at] = kind;
    this.relocs[at + 1] = place;
    this.relocs[at + 2] = target;
    this.relocs[at + 3] = addend;
  }

  finalRelocs(): Int32Array {
    const { asm } = this;
    const out = this.arena.copyInts(this.relocs, this.relocCount * OPEN_RELOC);
    for (let at = 0; at < out.length; at += OPEN_RELOC) {
      if (out[at] === RelocKind.JumpTable) out[at + 3] = asm.labelPos(out[at + 3]!);
      else out[at + 1] = asm.map(out[at + 1]!);
    }
    return out;
  }

  /** Label of a new trap stub. */
  trapStub(loc: number, code: number): number {
    const at = this.stubCount++ * STUB;
    this.stubs = grown(this.stubs, at + STUB);
    const label = this.asm.newLabel();
    this.stubs[at] = label;
    this.stubs[at + 1] = loc;
    this.stubs[at + 2] = code;
    return label;
  }

  /**
   * A slow path of a row, emitted behind the code by emitSlowPath: its label. `back` is where it returns to; `part`
   * tells those of one row apart.
   */
  slowPath(row: number, part: number, back: number): number {
    const at = this.slowCount++ * SLOW;
    this.slow = grown(this.slow, at + SLOW);
    const label = this.asm.newLabel();
    this.slow[at] = row;
    this.slow[at + 1] = part;
    this.slow[at + 2] = label;
    this.slow[at + 3] = back;
    return label;
  }

  /** What comes next is where the row traps, if it does. */
  noteTrap(row: number): void {
    const { m, asm } = this;
    const at = row * MROW;
    this.pcMap.note(asm.here(), m.insts[at + M_LOC]!, (m.insts[at + M_FLAGS]! >>> 8) & 0xff);
  }

  /** Where a spill slot lies, from rsp. */
  slotDisp(alloc: number): number {
    return this.frame.spill + (alloc - SLOT_BASE) * 8;
  }

  /** Place the slow paths: `emit` makes one's code. */
  forSlowPaths(emit: (e: EmitState, row: number, part: number, back: number) => void): void {
    const { asm, pcMap, m } = this;
    for (let i = 0; i < this.slowCount; i++) {
      const at = i * SLOW;
      const row = this.slow[at]!;
      asm.bind(this.slow[at + 2]!);
      pcMap.note(asm.here(), m.insts[row * MROW + M_LOC]!, 0);
      emit(this, row, this.slow[at + 1]!, this.slow[at + 3]!);
    }
  }

  emitStubs(): void {
    const { pcMap, asm } = this;
    for (let i = 0; i < this.stubCount; i++) {
      const at = i * STUB;
      const code = this.stubs[at + 2]!;
      asm.bind(this.stubs[at]!);
      pcMap.note(asm.here(), this.stubs[at + 1]!, code);
      if (code === TrapCode.StackOverflow) this.halt();
      else this.trap();
    }
  }

  /**
   * A failed check or `unreachable`: nothing comes back from the call. Everywhere in a function's body, behind calls
   * that change it and at landing pads too, the base register is the instance's own; and there is room for the return
   * address (frame.ts).
   */
  trap(): void {
    this.asm.m(Ins.CALL, 8, BASE_REG, NO_REG, 0, -VMCTX.TRAP_STUB);
  }

  /** The same by a fault, which takes ten times as long, where there may be no stack left. */
  halt(): void {
    this.asm.plain(Ins.HLT);
  }
}
