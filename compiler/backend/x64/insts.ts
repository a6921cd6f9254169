/**
 * The machine instructions of x86-64, as rows of a MachFunc.
 *
 * A row's opcode word says the *shape* (X: which operands there are and how they are encoded), the assembler
 * instruction (Ins), its operand size and a small `sub` field (condition code or variant):
 *
 *     M_OP    bits 0–7 X, bits 8–15 sub, bits 16–25 Ins, bits 26–29 size in bytes (0 for 16)
 *     M_IMM   immediate
 *     M_IMM2  displacement of the address, if any
 *     M_AUX   the address: Base, index flag, scale (0: the row has no memory operand)
 *
 * Registers of an address are the last operands of the row: base (Base.Reg only), then index. Definitions come first.
 */
import { Rodata } from './emit-rodata.ts';
import type { Ins } from './encode-table.ts';

/** Shapes. In brackets: operands; `d` a definition, `mem` the address's registers; `any` a register or a spill slot. */
export const enum X {
  /** [d…] function arguments in their registers. */
  Args,
  /**
   * [d] constant: size 4: IMM zero-extended; size 8: IMM low, IMM2 high. sub 1: flags are dead, so zero may be made by
   * `xor`.
   */
  Imm,
  /** [d] xmm zero */
  FZero,
  /**
   * [d, any|mem] `ins d, src`. sub 1: `d` is zeroed before, to break the dependency on its old value (flags must be
   * dead if it is a gpr).
   */
  Rm,
  /** [d, any|mem] `ins d, src, IMM`; sub as in Rm. */
  RmI,
  /** [d, xmm any] gpr from xmm, same bits. */
  MovFromX,
  /** [d reuse 1, a, any|mem] `ins d, src` */
  Alu,
  /** [d reuse 1, a] `ins d, IMM` */
  AluI,
  /** [d reuse 1, a] `ins d` */
  Un,
  /** [d reuse 1, a, count in rcx] `ins d, cl` */
  ShiftCl,
  /** [d, v, any|mem] VEX `ins d, v, src` */
  Vex,
  /** [d, mem] */
  Lea,
  /** [a, any|mem] `ins a, b`, flags only */
  Cmp,
  /** [any] `ins a, IMM`, flags only */
  CmpI,
  /** [src, mem] `ins [mem], src`: stores, read-modify-write, compares with memory first */
  Mr,
  /** [mem] `ins [mem], IMM` */
  Mi,
  /** [d reuse 1, zero] (and [tmp] if sub is a double condition) d = sub ? 1 : 0 */
  Setcc,
  /** [d reuse 1, a, any] d = sub ? any : a */
  Cmov,
  /** The same for xmm registers, by a branch. */
  SelectF,
  /** [d rax, d rdx, a rax, divisor] DIV or IDIV. IMM 1: a divisor of -1 gives remainder 0 without dividing. */
  Div,
  /** [d rdx, d rax, a rax, any] MUL or IMUL1 */
  MulWide,
  /** [d reuse 1, a, b, x, y] `cmp x, y; ins d, b`; ins ADC or SBB */
  Carry,
  /** [d, src, tmp] leading/trailing zeros by BSR/BSF */
  BitScan,
  /** [d reuse 1, a, b] sub 0: minimum, 1: maximum */
  FMinMax,
  /** [d, src, tmp] unsigned 64-bit to float; ins CVTSI2SS or CVTSI2SD */
  CvtFromU64,
  /** [d, src] (and [tmp] for unsigned 32 bit): float of `size` to integer; sub: TruncSub bits */
  Trunc,
  /** [d…, args…] IMM = function index, IMM2 = bytes that the callee pops */
  Call,
  /** [d…, args…] IMM = displacement of the import's entry from the base, IMM2 = bytes that the callee pops */
  CallImport,
  /** [d…, args…, any vmctx if sub 1, any|mem code] IMM = bytes that the callee pops */
  CallIndirect,
  /** [d…, args…] IMM = value for eax, IMM2 = displacement of the stub's address from the base */
  CallStub,
  /** sub = condition; trap code in the flags word */
  TrapIf,
  // -- Branches: targets are the block's edges
  /** Edge 0. */
  Jmp,
  /** Edge 0 if sub, else edge 1. */
  Jcc,
  /** [d, tmp, index] `d` and `tmp` are scratch. IMM = place in Unit.tables */
  Table,
  /** [index] IMM = place in Unit.tables: compared one by one */
  Chain,
  /** [results…] */
  Ret,
  Trap,
  /**
   * [args…] (and [code in rax] if sub 1) IMM = function index, IMM2 = bytes of stack arguments: they lie at the start
   * of the outgoing area
   */
  TailCall,
  // -- Vectors
  /** [d] all bits one */
  VOnes,
  /** [d reuse 1, a, any|mem] `ins d, src, IMM` */
  AluRI,
  /** [d, v, any|mem] VEX `ins d, v, src, IMM` */
  VexI,
  /** [d, a] VEX `ins d, a, IMM`: shifts */
  VexShift,
  /** [d, v, src, mask] VEX `ins d, v, src, mask`: blends */
  Vex4,
  /** [d reuse 1, c, v, any] VEX `ins d, v, src`: multiply and add to c */
  Fma,
  /** [d reuse 1, c, v, any] EVEX `ins d, v, src, IMM`: d is an operand as well */
  Ternary,
  // -- Debug code
  /** IMM = point */
  Point,
}

export const X_NAMES =
  'args imm fzero rm rmi movfromx alu alui un shiftcl vex lea cmp cmpi mr mi setcc cmov selectf div mulwide carry bitscan fminmax cvtfromu64 trunc call callimport callindirect callstub trapif jmp jcc table chain ret trap tailcall vones aluri vexi vexshift vex4 fma ternary point'.split(
    ' ',
  );

/** Variants of X.Trunc. */
export const enum TruncSub {
  To64 = 1,
  Unsigned = 2,
  Saturate = 4,
  /** There are the instructions of AVX-512. */
  Evex = 8,
}

/**
 * Conditions beyond the sixteen of x86, for float equality: `equal and not unordered`, and its negation. `cc ^ 1`
 * negates any condition.
 */
export const CC_FEQ = 16;
export const CC_FNE = 17;

/** What an address starts from. */
export const enum Base {
  None = 0,
  /** r15 */
  Ctx = 1,
  /** A register operand. */
  Reg = 2,
  /** The function's stack slots. */
  Slot = 3,
  /** Area for outgoing stack arguments. */
  Out = 4,
  /** Incoming stack arguments: what the caller calls its outgoing area. */
  In = 5,
  /** The function's rodata (RIP-relative). */
  Rodata = 6,
  /** The module's table images (RIP-relative). */
  Image = 7,
}
export const ADDR_BASE_MASK = 15;
export const ADDR_INDEX = 16;
export const ADDR_SCALE_SHIFT = 5;

export function xop(x: X, ins: Ins | 0 = 0, size = 0, sub = 0): number {
  return x | (sub << 8) | (ins << 16) | ((size & 15) << 26);
}
export function xShape(word: number): X {
  return word & 0xff;
}
export function xSub(word: number): number {
  return (word >>> 8) & 0xff;
}
export function xIns(word: number): Ins {
  return (word >>> 16) & 0x3ff;
}
export function xSize(word: number): number {
  const s = (word >>> 26) & 15;
  return s === 0 ? 16 : s;
}

/** Number of register operands of an address. */
export function addressOperands(aux: number): number {
  return ((aux & ADDR_BASE_MASK) === Base.Reg ? 1 : 0) + ((aux & ADDR_INDEX) !== 0 ? 1 : 0);
}

/**
 * What belongs to one function's code besides its rows: filled by selection, read by the emitter. Reused from function
 * to function.
 */
export class Unit {
  readonly rodata = new Rodata();
  /** Bytes of the outgoing area (stack arguments and results of calls). */
  outgoing = 0;
  /** Some call changes r15: the frame keeps a copy. */
  savesBase = false;
  /** There are calls: rsp must be 16-aligned. */
  calls = false;
  /** Bytes of the stack slots. */
  slotBytes = 0;
  /** Bytes of the function's own stack arguments, 16-aligned. */
  argBytes = 0;
  /**
   * Bytes by which the prologue moves the return address down, so that the stack arguments of all tail calls find room
   * above it.
   */
  shift = 0;
  /** Switches: n, successor index of each of the n entries, successor index of the default. */
  tables: number[] = [];

  reset(): void {
    this.rodata.reset();
    this.outgoing = 0;
    this.savesBase = false;
    this.calls = false;
    this.slotBytes = 0;
    this.argBytes = 0;
    this.shift = 0;
    // Setting a length is a call into the engine, even when it is what it was.
    if (this.tables.length > 0) this.tables.length = 0;
  }
}
