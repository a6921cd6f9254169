/**
 * The x86-64 assembler: instructions to bytes, labels, branch relaxation.
 *
 * Registers are encodings 0..15 of either class. A memory operand is (base, index, scaleLog2, disp): base 0..15,
 * NO_REG, or RIP; index 0..15 but not 4 (rsp), or NO_REG. Sizes are 1, 2, 4, 8 bytes; vector instructions take 32 for
 * 256 bits (VEX) and otherwise look at `size` only where one side is an integer register.
 *
 * Positions. While code is appended, branches to labels have their long form and alignments their greatest length.
 * `finish` makes them short and moves the code together. A *position token* (`here()`, `lastDisp`) taken before is
 * valid after it through `map`.
 */
import { bug } from '../../diagnostics.ts';
import { Arena } from '../arena.ts';
import { CC, F_IMM, F_LOAD, F_STORE, F_UNARY, FORMS, Form, Ins, PLAIN } from './encode-table.ts';

export { CC, Ins };

export const NO_REG = -1;
export const RIP = -2;

/** Flags of forms for sizes 1, 2, 4 and 8. */
const ANY_SIZE = Form.Byte | Form.Size16 | Form.WBySize;

/** Longest instruction, and then some: room that each instruction checks for once. */
const ROOM = 24;

/** Items that finish() may shrink: [raw position, kind, argument, final length, bytes removed up to and with it]. */
const ITEM = 5;
const I_POS = 0;
const I_KIND = 1;
const I_ARG = 2;
const I_SIZE = 3;
const I_CUT = 4;
/** Kinds: CC of a conditional jump, or one of these. */
const KIND_JMP = 16;
const KIND_ALIGN = 17;

/** Passes of relaxation before it settles for a sufficient condition, so that no input makes it quadratic. */
const RELAX_PASSES = 8;

/** Recommended NOPs of 1..9 bytes (Intel SDM volume 2, NOP). */
const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/** The first four bytes of that of 8; the others are zero. */
const NOP8_START = 0x00841f0f;

/** What a displacement of one byte counts in: with EVEX, the size of the memory operand. */
function disp8Unit(form: number, size: number): number {
  if ((form & Form.Evex) === 0) return 1;
  const log2 = (form >> Form.Disp8Shift) & 7;
  return log2 === 0 ? size : 1 << log2;
}

function rawLength(kind: number, arg: number): number {
  return kind === KIND_ALIGN ? arg - 1 : kind === KIND_JMP ? 5 : 6;
}

export class Assembler {
  /**
   * @param relaxes make branches short that reach so. Without, those to labels behind them stay long: then every
   * position is final from the start, and `finish` has next to nothing to do.
   */
  constructor(readonly relaxes = true) {}

  private buf = new Uint8Array(4096);
  private pos = 0;
  private items = new Int32Array(ITEM * 64);
  private itemCount = 0;
  /** Raw position of each label, -1 while unbound. */
  private labels = new Int32Array(64);
  private labelCount = 0;
  /** For each label, the number of items that start before it. */
  private labelItems = new Int32Array(64);
  /** Item that `map` looked at last: questions come mostly in ascending order. */
  private cursor = 0;
  private finished = false;

  /** Token of the 4-byte displacement of the last RIP-relative operand or `callRel`. */
  lastDisp = 0;
  /** Bytes of the same instruction behind that displacement: a relocation's addend is less by this. */
  lastTail = 0;

  reset(): void {
    this.pos = 0;
    this.itemCount = 0;
    this.labelCount = 0;
    this.cursor = 0;
    this.finished = false;
  }

  // ---- Encoding

  private room(n: number): void {
    if (this.pos + n > this.buf.length) this.growBuffer(n);
  }

  private growBuffer(n: number): void {
    const grown = new Uint8Array(Math.max(this.buf.length * 2, this.pos + n));
    grown.set(this.buf.subarray(0, this.pos));
    this.buf = grown;
  }

  private u8(v: number): void {
    this.buf[this.pos++] = v;
  }

  private u16(v: number): void {
    this.buf[this.pos++] = v;
    this.buf[this.pos++] = v >> 8;
  }

  private u32(v: number): void {
    const at = this.pos;
    const b = this.buf;
    b[at] = v;
    b[at + 1] = v >> 8;
    b[at + 2] = v >> 16;
    b[at + 3] = v >>> 24;
    this.pos = at + 4;
  }

  /**
   * Prefixes and opcode of a legacy-encoded form. `reg`, `index`, `rm`: what REX.R, X, B are taken from (negative: 0).
   * `byteRegs`: one of the operands is a byte register spl, bpl, sil or dil, which only a REX prefix makes different
   * from ah, ch, dh, bh.
   */
  private head(form: number, size: number, reg: number, index: number, rm: number, byteRegs: boolean): void {
    this.room(ROOM);
    const b = this.buf;
    let at = this.pos;
    if (size === 2 && form & Form.Size16) b[at++] = 0x66;
    const prefix = form & Form.PrefixMask;
    if (prefix !== 0) b[at++] = prefix === Form.P66 ? 0x66 : prefix === Form.PF3 ? 0xf3 : 0xf2;
    let rex = form & Form.W || (size === 8 && form & Form.WBySize) ? 0x48 : 0;
    if (reg > 7) rex |= 0x44;
    if (index > 7) rex |= 0x42;
    if (rm > 7) rex |= 0x41;
    if (rex !== 0 || byteRegs) b[at++] = rex | 0x40;
    const map = form & Form.MapMask;
    if (map !== 0) {
      b[at++] = 0x0f;
      if (map !== Form.Map0F) b[at++] = map === Form.Map0F38 ? 0x38 : 0x3a;
    }
    const opcode = form & Form.Opcode;
    b[at] = size === 1 && form & Form.Byte ? opcode - 1 : opcode;
    this.pos = at + 1;
  }

  /** VEX or EVEX prefix, and opcode. */
  private vexHead(form: number, size: number, reg: number, vvvv: number, index: number, rm: number): void {
    this.room(ROOM);
    const w = form & Form.W || (size === 8 && form & Form.WBySize) ? 0x80 : 0;
    const r = reg > 7 ? 0 : 0x80;
    const source = ((~vvvv & 15) << 3) | ((form >> Form.PrefixShift) & 3);
    const rest = source | (size === 32 ? 4 : 0);
    if (form & Form.Evex) {
      this.u8(0x62);
      this.u8(r | (index > 7 ? 0 : 0x40) | (rm > 7 ? 0 : 0x20) | 0x10 | ((form >> Form.MapShift) & 3));
      this.u8(w | 4 | source);
      this.u8(8 | (size === 32 ? 0x20 : 0));
    } else if (w === 0 && index <= 7 && rm <= 7 && (form & Form.MapMask) === Form.Map0F) {
      this.u8(0xc5);
      this.u8(r | rest);
    } else {
      this.u8(0xc4);
      this.u8(r | (index > 7 ? 0 : 0x40) | (rm > 7 ? 0 : 0x20) | ((form >> Form.MapShift) & 3));
      this.u8(w | rest);
    }
    this.u8(form & Form.Opcode);
  }

  /**
   * modrm, SIB and displacement of a memory operand; `tail`: bytes of immediate that will follow. `unit`: what a
   * displacement of one byte counts in.
   */
  private memory(
    reg: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    tail: number,
    unit = 1,
  ): void {
    const r = (reg & 7) << 3;
    if (base === RIP) {
      this.u8(r | 5);
      this.lastDisp = this.pos;
      this.lastTail = tail;
      this.u32(disp);
      return;
    }
    if (base < 0) {
      // No base: SIB with base 101 under mod 00. (modrm 101 alone would be RIP-relative.)
      this.u8(r | 4);
      this.u8((scale << 6) | (index < 0 ? 0x25 : ((index & 7) << 3) | 5));
      this.u32(disp);
      return;
    }
    const b = base & 7;
    // mod 00 with base 101 (rbp, r13) means "no base": these take a zero disp8.
    const units = disp / unit;
    const mod = disp === 0 && b !== 5 ? 0 : units === (units << 24) >> 24 ? 0x40 : 0x80;
    const { buf } = this;
    let at = this.pos;
    if (index < 0 && b !== 4) {
      buf[at++] = mod | r | b;
    } else {
      // Base 100 (rsp, r12) in modrm means "SIB follows"; index 100 in SIB means "none".
      buf[at++] = mod | r | 4;
      buf[at++] = (scale << 6) | (index < 0 ? 0x20 : (index & 7) << 3) | b;
    }
    this.pos = at;
    if (mod === 0x40) this.u8(units);
    else if (mod === 0x80) this.u32(disp);
  }

  // ---- The most frequent instructions of code for debuggers: no table is asked for their form.

  /**
   * An instruction between an integer register and `[rsp + disp]`.
   * @param opcode of a form without prefix and immediate
   * @param size 4 or 8
   */
  stack(opcode: number, size: number, reg: number, disp: number): void {
    this.room(ROOM);
    const b = this.buf;
    let at = this.pos;
    const rex = (size === 8 ? 0x48 : 0) | (reg > 7 ? 0x44 : 0);
    if (rex !== 0) b[at++] = rex;
    b[at] = opcode;
    const short = disp === (disp << 24) >> 24;
    b[at + 1] = (short ? 0x44 : 0x84) | ((reg & 7) << 3);
    b[at + 2] = 0x24;
    this.pos = at + 3;
    if (short) this.u8(disp);
    else this.u32(disp);
  }

  /** `opcode reg, rm` of two integer registers, likewise. */
  pair(opcode: number, size: number, reg: number, rm: number): void {
    this.room(ROOM);
    const b = this.buf;
    let at = this.pos;
    const rex = (size === 8 ? 0x48 : 0) | (reg > 7 ? 0x44 : 0) | (rm > 7 ? 0x41 : 0);
    if (rex !== 0) b[at++] = rex;
    b[at] = opcode;
    b[at + 1] = 0xc0 | ((reg & 7) << 3) | (rm & 7);
    this.pos = at + 2;
  }

  private encodeReg(form: number, size: number, reg: number, rm: number): void {
    const bytes =
      (size === 1 && form & Form.Byte && ((reg > 3 && reg < 8) || (rm > 3 && rm < 8))) ||
      (form & Form.Rm8 && rm > 3 && rm < 8);
    this.head(form, size, reg, NO_REG, rm, !!bytes);
    this.u8(0xc0 | ((reg & 7) << 3) | (rm & 7));
  }

  private encodeMem(
    form: number,
    size: number,
    reg: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    tail: number,
  ): void {
    const bytes = size === 1 && form & Form.Byte && reg > 3 && reg < 8;
    this.head(form, size, reg, index, base, !!bytes);
    this.memory(reg, base, index, scale, disp, tail);
  }

  private form(ins: number, column: number): number {
    return FORMS[ins * 4 + column]! || bug(`instruction ${ins} has no form ${column}`);
  }

  // ---- Two operands

  /** `ins dst, src` */
  rr(ins: Ins, size: number, dst: number, src: number): void {
    const form = FORMS[ins * 4 + F_LOAD]!;
    if (form === 0) this.encodeReg(this.form(ins, F_STORE), size, src, dst);
    else if (form & Form.Vex) this.vrr(ins, size, dst, 0, src);
    else this.encodeReg(form, size, dst, src);
  }

  /** `ins dst, [mem]` */
  rm(ins: Ins, size: number, dst: number, base: number, index: number, scale: number, disp: number): void {
    const form = this.form(ins, F_LOAD);
    if (form & Form.Vex) this.vrm(ins, size, dst, 0, base, index, scale, disp);
    else this.encodeMem(form, size, dst, base, index, scale, disp, 0);
  }

  /** `ins [mem], src` */
  mr(ins: Ins, size: number, base: number, index: number, scale: number, disp: number, src: number): void {
    this.encodeMem(this.form(ins, F_STORE), size, src, base, index, scale, disp, 0);
  }

  // ---- Immediates

  /** Bytes of immediate of the form that `immForm` chose. */
  private immBytes = 0;

  /** The imm form with the shortest immediate: none for shifts by one, a sign-extended imm8 where there is one. */
  private immForm(form: number, size: number, imm: number): number {
    if (form & Form.Imm8) {
      // C0, C1 /digit ib -> D0, D1 /digit
      const byOne = imm === 1 && (form & Form.Byte) !== 0;
      this.immBytes = byOne ? 0 : 1;
      return byOne ? form + 0x10 : form;
    }
    if (form & Form.Short && size !== 1) {
      const v = size === 2 ? (imm << 16) >> 16 : imm;
      if (v === (v << 24) >> 24) {
        this.immBytes = 1;
        return form + 2;
      }
    }
    this.immBytes = size === 1 ? 1 : size === 2 ? 2 : 4;
    return form;
  }

  private immediate(imm: number): void {
    if (this.immBytes === 1) this.u8(imm);
    else if (this.immBytes === 2) this.u16(imm);
    else if (this.immBytes === 4) this.u32(imm);
  }

  /** `ins dst, imm`; size 8: imm is sign-extended. MOV takes the shortest encoding with that effect. */
  ri(ins: Ins, size: number, dst: number, imm: number): void {
    if (ins === Ins.IMUL) {
      this.rri(ins, size, dst, dst, imm);
      return;
    }
    if (ins === Ins.MOV && (size !== 8 || imm >= 0)) {
      // 8 bytes, not negative: the 32-bit form, which zero-extends.
      const byte = size === 1;
      this.head((byte ? 0xb0 : 0xb8) | (dst & 7) | Form.Size16, size, 0, NO_REG, dst, byte && dst > 3);
      this.immBytes = byte ? 1 : size === 2 ? 2 : 4;
    } else {
      const form = this.immForm(this.form(ins, F_IMM), size, imm);
      if (dst === 0 && this.immBytes === Math.min(size, 4) && (form & Form.Short || ins === Ins.TEST)) {
        // Accumulator form, without modrm: opcode 05 of the ALU group.
        const opcode = ins === Ins.TEST ? 0xa9 : (ins << 3) | 5;
        this.head(opcode | ANY_SIZE, size, 0, NO_REG, 0, false);
      } else {
        this.unaryReg(form, size, dst);
      }
    }
    this.immediate(imm);
  }

  /** `ins [mem], imm` */
  mi(ins: Ins, size: number, base: number, index: number, scale: number, disp: number, imm: number): void {
    const form = this.immForm(this.form(ins, F_IMM), size, imm);
    this.unaryMem(form, size, base, index, scale, disp, this.immBytes);
    this.immediate(imm);
  }

  /** Load a 64-bit constant: the shortest of `mov r32, imm32`, `mov r64, simm32` and `mov r64, imm64`. */
  movabs(dst: number, lo: number, hi: number): void {
    lo |= 0;
    hi |= 0;
    if (hi === 0) this.ri(Ins.MOV, 4, dst, lo);
    else if (hi === lo >> 31) this.ri(Ins.MOV, 8, dst, lo);
    else {
      this.head(0xb8 | (dst & 7) | Form.W, 8, 0, NO_REG, dst, false);
      this.u32(lo);
      this.u32(hi);
    }
  }

  /** The form that a register operand and an immediate go with: load, else store, else imm (IMUL). */
  private immColumn(ins: Ins): number {
    return FORMS[ins * 4 + F_LOAD]! & Form.Imm8
      ? F_LOAD
      : FORMS[ins * 4 + F_STORE]! & Form.Imm8
        ? F_STORE
        : F_IMM;
  }

  /** `ins dst, src, imm` */
  rri(ins: Ins, size: number, dst: number, src: number, imm: number): void {
    const column = this.immColumn(ins);
    const form = this.immForm(this.form(ins, column), size, imm);
    if (column === F_STORE) this.encodeReg(form, size, src, dst);
    else if (form & Form.Vex) {
      this.vexHead(form, size, dst, 0, NO_REG, src);
      this.u8(0xc0 | ((dst & 7) << 3) | (src & 7));
    } else this.encodeReg(form, size, dst, src);
    this.immediate(imm);
  }

  /** `ins dst, [mem], imm` */
  rmi(
    ins: Ins,
    size: number,
    dst: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    imm: number,
  ): void {
    const column = FORMS[ins * 4 + F_LOAD]! & Form.Imm8 ? F_LOAD : F_IMM;
    const form = this.immForm(this.form(ins, column), size, imm);
    if (form & Form.Vex) {
      this.vexHead(form, size, dst, 0, index, base);
      this.memory(dst, base, index, scale, disp, 1, disp8Unit(form, size));
    } else this.encodeMem(form, size, dst, base, index, scale, disp, this.immBytes);
    this.immediate(imm);
  }

  /** `ins [mem], src, imm` */
  mri(
    ins: Ins,
    size: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    src: number,
    imm: number,
  ): void {
    this.encodeMem(this.form(ins, F_STORE), size, src, base, index, scale, disp, 1);
    this.u8(imm);
  }

  // ---- One operand

  private unaryReg(form: number, size: number, reg: number): void {
    const byte = reg > 3 && reg < 8 && ((size === 1 && form & Form.Byte) || form & Form.Rm8);
    this.head(form, size, 0, NO_REG, reg, !!byte);
    this.u8(0xc0 | (((form >> Form.DigitShift) & 7) << 3) | (reg & 7));
  }

  private unaryMem(
    form: number,
    size: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    tail: number,
  ): void {
    this.head(form, size, 0, index, base, false);
    this.memory((form >> Form.DigitShift) & 7, base, index, scale, disp, tail);
  }

  /** `ins reg`; shifts: by CL. PUSH, POP, CALL and JMP are 64-bit, whatever `size` is. */
  r(ins: Ins, size: number, reg: number): void {
    if (ins === Ins.PUSH || ins === Ins.POP)
      this.head((ins === Ins.PUSH ? 0x50 : 0x58) | (reg & 7), 4, 0, NO_REG, reg, false);
    else if (ins === Ins.BSWAP)
      this.head(0xc8 | (reg & 7) | Form.Map0F | Form.WBySize, size, 0, NO_REG, reg, false);
    else this.unaryReg(this.form(ins, F_UNARY), size, reg);
  }

  /** `ins [mem]` */
  m(ins: Ins, size: number, base: number, index: number, scale: number, disp: number): void {
    this.unaryMem(this.form(ins, F_UNARY), size, base, index, scale, disp, 0);
  }

  plain(ins: Ins): void {
    this.room(ROOM);
    let v = PLAIN[ins]! || bug(`instruction ${ins} has operands`);
    for (let n = v >>> 24; n > 0; n--, v >>= 8) this.u8(v);
  }

  /** One byte. */
  nop(): void {
    this.room(ROOM);
    this.buf[this.pos++] = 0x90;
  }

  /** LOCK prefix for the next instruction, which must be one with a memory destination. */
  lock(): void {
    this.room(ROOM);
    this.u8(0xf0);
  }

  /** The memory operand of the next instruction counts from the thread pointer: FS, as the x86-64 ABI has it. */
  threadPointer(): void {
    this.room(ROOM);
    this.u8(0x64);
  }

  // ---- Conditions

  cmov(cc: CC, size: number, dst: number, src: number): void {
    this.encodeReg(this.form(Ins.CMOV, F_LOAD) + cc, size, dst, src);
  }

  cmovm(cc: CC, size: number, dst: number, base: number, index: number, scale: number, disp: number): void {
    this.encodeMem(this.form(Ins.CMOV, F_LOAD) + cc, size, dst, base, index, scale, disp, 0);
  }

  /** The low byte of `reg`; the rest stays. */
  setcc(cc: CC, reg: number): void {
    this.unaryReg(this.form(Ins.SET, F_UNARY) + cc, 1, reg);
  }

  // ---- VEX: three operands. Two-operand instructions leave vvvv unused: pass 0.

  /** `ins dst, vvvv, src` */
  vrr(ins: Ins, size: number, dst: number, vvvv: number, src: number): void {
    const form = this.form(ins, F_LOAD);
    this.vex(form, size, dst, vvvv, src);
  }

  private vex(form: number, size: number, dst: number, vvvv: number, src: number): void {
    if (form & Form.DigitDst) {
      vvvv = dst;
      dst = (form >> Form.DigitShift) & 7;
    }
    this.vexHead(form, size, dst, vvvv, NO_REG, src);
    this.u8(0xc0 | ((dst & 7) << 3) | (src & 7));
  }

  /** `ins dst, vvvv, [mem]` */
  vrm(
    ins: Ins,
    size: number,
    dst: number,
    vvvv: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
  ): void {
    const form = this.form(ins, F_LOAD);
    if (form & Form.DigitDst) {
      vvvv = dst;
      dst = (form >> Form.DigitShift) & 7;
    }
    this.vexHead(form, size, dst, vvvv, index, base);
    this.memory(dst, base, index, scale, disp, 0, disp8Unit(form, size));
  }

  /** `ins [mem], src`: VEX form of a store */
  vmr(ins: Ins, size: number, base: number, index: number, scale: number, disp: number, src: number): void {
    this.vexHead(this.form(ins, F_STORE), size, src, 0, index, base);
    this.memory(src, base, index, scale, disp, 0);
  }

  /** `ins dst, src`: VEX form of what only has a store form (MOVD_FROM_X, MOVQ_FROM_X) */
  vstore(ins: Ins, size: number, dst: number, src: number): void {
    this.vex(this.form(ins, F_STORE), size, src, 0, dst);
  }

  /** `ins dst, vvvv, src, imm`; blends: imm = the fourth register << 4 */
  vrri(ins: Ins, size: number, dst: number, vvvv: number, src: number, imm: number): void {
    const load = FORMS[ins * 4 + F_LOAD]!;
    if (load & Form.Imm8) this.vex(load, size, dst, vvvv, src);
    else this.vex(this.form(ins, F_STORE), size, src, vvvv, dst);
    this.u8(imm);
  }

  /** `ins dst, vvvv, [mem], imm` */
  vrmi(
    ins: Ins,
    size: number,
    dst: number,
    vvvv: number,
    base: number,
    index: number,
    scale: number,
    disp: number,
    imm: number,
  ): void {
    const form = this.form(ins, F_LOAD);
    this.vexHead(form, size, dst, vvvv, index, base);
    this.memory(dst, base, index, scale, disp, 1, disp8Unit(form, size));
    this.u8(imm);
  }

  /** `ins dst, src, imm`: VEX form of a vector shift by an immediate */
  vri(ins: Ins, size: number, dst: number, src: number, imm: number): void {
    this.vex(this.form(ins, F_IMM), size, dst, 0, src);
    this.u8(imm);
  }

  // ---- Labels and positions

  here(): number {
    return this.pos;
  }

  newLabel(): number {
    const l = this.labelCount++;
    if (l >= this.labels.length) {
      const grown = new Int32Array(this.labels.length * 2);
      grown.set(this.labels);
      this.labels = grown;
    }
    this.labels[l] = -1;
    return l;
  }

  bind(label: number): void {
    if (this.labels[label] !== -1) bug(`label ${label} is bound twice`);
    this.labels[label] = this.pos;
  }

  /** Write 4 bytes over those at a position. */
  patch32(at: number, v: number): void {
    const b = this.buf;
    b[at] = v;
    b[at + 1] = v >> 8;
    b[at + 2] = v >> 16;
    b[at + 3] = v >>> 24;
  }

  /** Write a NOP over an instruction of 8 bytes. */
  patchNop8(at: number): void {
    this.patch32(at, NOP8_START);
    this.patch32(at + 4, 0);
  }

  isBound(label: number): boolean {
    return this.labels[label] !== -1;
  }

  /** Reserve the raw length of an item that finish() will write. */
  private item(kind: number, arg: number): void {
    const n = this.itemCount++;
    if ((n + 1) * ITEM > this.items.length) {
      const grown = new Int32Array(this.items.length * 2);
      grown.set(this.items);
      this.items = grown;
    }
    const at = n * ITEM;
    this.items[at + I_POS] = this.pos;
    this.items[at + I_KIND] = kind;
    this.items[at + I_ARG] = arg;
    const length = rawLength(kind, arg);
    this.room(length + ROOM);
    this.pos += length;
  }

  jmp(label: number): void {
    if (this.relaxes) this.item(KIND_JMP, label);
    else this.branch(KIND_JMP, label);
  }

  jcc(cc: CC, label: number): void {
    if (this.relaxes) this.item(cc, label);
    else this.branch(cc, label);
  }

  /** A branch of its final length. Where to, is filled in by `finish`, if it isn't known yet. */
  private branch(kind: number, label: number): void {
    this.room(ROOM);
    const target = this.labels[label]!;
    if (target !== -1 && target - (this.pos + 2) >= -128) {
      this.u8(kind === KIND_JMP ? 0xeb : 0x70 | kind);
      this.u8(target - (this.pos + 1));
      return;
    }
    if (kind === KIND_JMP) this.u8(0xe9);
    else {
      this.u8(0x0f);
      this.u8(0x80 | kind);
    }
    if (target === -1) {
      const at = this.itemCount++ * ITEM;
      if (at + ITEM > this.items.length) {
        const grown = new Int32Array(this.items.length * 2);
        grown.set(this.items);
        this.items = grown;
      }
      this.items[at + I_POS] = this.pos;
      this.items[at + I_ARG] = label;
    }
    this.u32(target - (this.pos + 4));
  }

  private finishBranches(arena: Arena): Uint8Array<ArrayBuffer> {
    const { items, labels } = this;
    for (let i = 0, at = 0; i < this.itemCount; i++, at += ITEM) {
      const place = items[at + I_POS]!;
      const target = labels[items[at + I_ARG]!]!;
      if (target === -1) bug(`label ${items[at + I_ARG]} is not bound`);
      this.patch32(place, target - (place + 4));
    }
    this.finished = true;
    return arena.copyBytes(this.buf, this.pos);
  }

  /**
   * Pad with NOPs to a multiple of n, a power of two; functions start at multiples of 16, so more than that has no
   * effect.
   */
  align(n: number): void {
    if (!this.relaxes) bug('alignment without relaxation');
    if (n > 1) this.item(KIND_ALIGN, Math.min(n, 16));
  }

  /** `call rel32` to be relocated: `lastDisp` is its displacement. */
  callRel(): void {
    this.room(ROOM);
    this.u8(0xe8);
    this.lastDisp = this.pos;
    this.lastTail = 0;
    this.u32(0);
  }

  /** A jump to what a relocation says, as callRel. */
  jmpRel(): void {
    this.room(ROOM);
    this.u8(0xe9);
    this.lastDisp = this.pos;
    this.lastTail = 0;
    this.u32(0);
  }

  /** `jmp reg` of a tail call: marked by a superfluous REX.W. */
  jmpTail(reg: number): void {
    this.room(ROOM);
    this.u8(reg < 8 ? 0x48 : 0x49);
    this.u8(0xff);
    this.u8(0xe0 | (reg & 7));
  }

  /** `ret n` */
  retPop(n: number): void {
    this.room(ROOM);
    this.u8(0xc2);
    this.u8(n & 0xff);
    this.u8(n >>> 8);
  }

  /**
   * Resolve labels and alignments; the code is a copy in the arena. Branches start short, and those that don't reach
   * become long, until all reach: a branch never becomes short again, so this ends, and every short branch has been
   * checked against the layout returned.
   */
  finish(arena: Arena = new Arena()): Uint8Array<ArrayBuffer> {
    if (this.finished) bug('finish() called twice');
    if (!this.relaxes) return this.finishBranches(arena);
    for (let i = 0, at = 0; i < this.itemCount; i++, at += ITEM) {
      const kind = this.items[at + I_KIND]!;
      this.items[at + I_SIZE] = kind === KIND_ALIGN ? 0 : 2;
      if (kind !== KIND_ALIGN && this.labels[this.items[at + I_ARG]!] === -1)
        bug(`label ${this.items[at + I_ARG]} is not bound`);
    }
    this.finished = true;
    this.cursor = 0;
    if (this.labelItems.length < this.labelCount) this.labelItems = new Int32Array(this.labels.length);
    for (let l = 0; l < this.labelCount; l++) this.labelItems[l] = this.itemsBefore(this.labels[l]!);
    let pass = 0;
    do this.layout();
    while (this.lengthen(++pass > RELAX_PASSES));
    return this.compact(arena);
  }

  /** Sizes of alignments, and what all items up to each have shrunk by. */
  private layout(): void {
    const items = this.items;
    let cut = 0;
    for (let i = 0, at = 0; i < this.itemCount; i++, at += ITEM) {
      const kind = items[at + I_KIND]!;
      const arg = items[at + I_ARG]!;
      if (kind === KIND_ALIGN) items[at + I_SIZE] = -(items[at + I_POS]! - cut) & (arg - 1);
      cut += rawLength(kind, arg) - items[at + I_SIZE]!;
      items[at + I_CUT] = cut;
    }
  }

  /**
   * Make branches long that don't reach; whether there were any. `last`: keep short only those that reach when
   * everything between has its raw length, which no further layout can undo.
   */
  private lengthen(last: boolean): boolean {
    const items = this.items;
    let changed = false;
    for (let i = 0, at = 0; i < this.itemCount; i++, at += ITEM) {
      const kind = items[at + I_KIND]!;
      if (kind === KIND_ALIGN || items[at + I_SIZE] !== 2) continue;
      const raw = items[at + I_POS]!;
      const target = this.labels[items[at + I_ARG]!]!;
      const length = rawLength(kind, 0);
      // The branch's own end, too, counts at its raw place when it is the greater distance.
      const distance = last
        ? target - (target > raw ? raw + 2 : raw + length)
        : this.labelPos(items[at + I_ARG]!) - (raw + length - items[at + I_CUT]!);
      if (distance === (distance << 24) >> 24) continue;
      items[at + I_SIZE] = length;
      changed = true;
    }
    return changed;
  }

  private compact(arena: Arena): Uint8Array<ArrayBuffer> {
    const items = this.items;
    const total = this.map(this.pos);
    const out = arena.bytes(total);
    let from = 0;
    let to = 0;
    for (let i = 0, at = 0; i < this.itemCount; i++, at += ITEM) {
      const raw = items[at + I_POS]!;
      const kind = items[at + I_KIND]!;
      const arg = items[at + I_ARG]!;
      const size = items[at + I_SIZE]!;
      if (raw > from) out.set(this.buf.subarray(from, raw), to);
      to += raw - from;
      from = raw + rawLength(kind, arg);
      if (kind === KIND_ALIGN) {
        for (let left = size; left > 0; ) {
          const nop = NOPS[Math.min(left, 9)]!;
          out.set(nop, to);
          to += nop.length;
          left -= nop.length;
        }
        continue;
      }
      const disp = this.labelPos(arg) - (to + size);
      if (size === 2) {
        out[to++] = kind === KIND_JMP ? 0xeb : 0x70 | kind;
        out[to++] = disp;
        continue;
      }
      if (kind === KIND_JMP) out[to++] = 0xe9;
      else {
        out[to++] = 0x0f;
        out[to++] = 0x80 | kind;
      }
      out[to++] = disp;
      out[to++] = disp >> 8;
      out[to++] = disp >> 16;
      out[to++] = disp >> 24;
    }
    out.set(this.buf.subarray(from, this.pos), to);
    return out;
  }

  /** Number of items that start before the token: one at an item's start stands before it. */
  private itemsBefore(token: number): number {
    const items = this.items;
    let lo = 0;
    let hi = this.itemCount;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (items[mid * ITEM + I_POS]! < token) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  private cutBefore(count: number): number {
    return count === 0 ? 0 : this.items[(count - 1) * ITEM + I_CUT]!;
  }

  /** Final position of a token, after finish(). */
  map(token: number): number {
    if (!this.relaxes) return token;
    // Questions come mostly in ascending order: first look from where the last one ended.
    const items = this.items;
    let i = this.cursor;
    if (i > 0 && items[(i - 1) * ITEM + I_POS]! >= token) i = this.itemsBefore(token);
    for (let steps = 0; i < this.itemCount && items[i * ITEM + I_POS]! < token; i++) {
      if (++steps > 4) {
        i = this.itemsBefore(token);
        break;
      }
    }
    this.cursor = i;
    return token - this.cutBefore(i);
  }

  /** Final position of a bound label, after finish(). */
  labelPos(label: number): number {
    const raw = this.labels[label]!;
    if (raw === -1) bug(`label ${label} is not bound`);
    if (!this.relaxes) return raw;
    return raw - this.cutBefore(this.labelItems[label]!);
  }
}
