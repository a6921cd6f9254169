/**
 * Machine code before and after register allocation: packed rows, like the IR, for any machine.
 *
 * The instruction selector (`<machine>/lower.ts`) fills a MachFunc; `regalloc.ts` reads only operands, clobbers, blocks
 * and edges, and writes `allocs` and `edits`; the emitter (`<machine>/emit.ts`) reads everything. What an instruction
 * *is* (`op`, `imm`, …) is the machine's own business; what registers it needs is said here in one way for all
 * machines.
 *
 * Registers. A *physical register* is 0..63: integer class 0..31, float/vector class 32..63. A *virtual register*
 * (vreg) is 0..vregCount-1. Blocks are numbered in layout order: instructions of block b are rows blockStart[b] ..
 * blockStart[b+1]-1; the last one of them is the only branch (it may be a call: its first edge is taken when it
 * returns, the second when it throws). Critical edges have been split, so each edge's moves have a place: at the end of
 * the predecessor if it has one successor (before its last instruction), else at the start of the successor.
 *
 * SSA: each vreg has one definition: an operand with Def, or a block parameter. Block 0 has no parameters: function
 * arguments are defined by an ordinary first instruction with fixed Def operands.
 */

/** Register class of a vreg; also how wide a spill slot it needs and which move it takes. */
export const enum RegClass {
  /** 64-bit integer. */
  Int = 0,
  /** f32/f64: 8-byte slot. */
  Float = 1,
  /** v128: 16-byte slot; same registers as Float. */
  Vec = 2,
}

export const FLOAT_BASE = 32;
export function isFloatReg(preg: number): boolean {
  return preg >= FLOAT_BASE;
}

/** Operand flags. */
export const enum Opd {
  Use = 0,
  Def = 1,
  /**
   * Position: an early use is read, and a late def written, at the natural point, so both may share a register. `Cross`
   * makes the operand live over the whole instruction: a use still needed when defs are written, or a def written
   * before all uses are read. (Temporaries: Def | Cross with a fresh vreg.)
   */
  Cross = 2,
  /** Constraint in bits 2–4. */
  Reg = 0 << 2,
  /** Register or spill slot: the emitter has a memory form for it. */
  Any = 1 << 2,
  /** The physical register in bits 8–15. */
  Fixed = 2 << 2,
  /**
   * Def only: the same register as use operand number (bits 8–15) of this instruction. That use is never `Any` or
   * `Fixed`.
   */
  Reuse = 3 << 2,
  ConstraintMask = 7 << 2,
}
export function fixed(preg: number, flags: number = Opd.Use): number {
  return flags | Opd.Fixed | (preg << 8);
}
export function reuse(operand: number): number {
  return Opd.Def | Opd.Reuse | (operand << 8);
}
export function opdArg(flags: number): number {
  return (flags >>> 8) & 0xff;
}

export const MROW = 8;
/** Machine opcode (bits 0–15); bits 16–31 free for the machine. */
export const M_OP = 0;
/** First operand in `operands` (counted in operands), and number of them. */
export const M_OPD = 1;
export const M_OPDS = 2;
/** Free for the machine: immediate, displacement, condition, target … */
export const M_IMM = 3;
export const M_IMM2 = 4;
export const M_AUX = 5;
/** Byte offset in the module of the wasm operator it comes from. */
export const M_LOC = 6;
/**
 * bits 0–7 MFlag; bits 8–15 trap code (0: does not trap); bits 16–23 clobber set (index into `clobberSets`, 0 = none)
 */
export const M_FLAGS = 7;

export const enum MFlag {
  None = 0,
  /**
   * A copy use0 -> def0 of the same class: the allocator may coalesce it away (the emitter drops it when both sides are
   * the same).
   */
  Move = 1,
  /**
   * Cheap, no uses, no effect on flags: may be re-emitted instead of being spilled and reloaded (defines operand 0).
   */
  Remat = 2,
  /** Ends a block. */
  Branch = 4,
  Call = 8,
  /** Return: needs no live-outs. */
  Ret = 16,
  /**
   * Of a row of three operands (result with Reuse, its input, a further use behind that): the allocator may exchange
   * the two inputs.
   */
  Commutes = 32,
  /**
   * First row of a block: its Fixed results are in their registers already when the block is entered, before any move
   * in front of the row. (What a call that ends a block leaves: its results, or what it has thrown.)
   */
  Arrives = 64,
}

/**
 * Where a value lies: 0..63 a physical register; >= 64: spill slot number (alloc - 64); -1: nowhere (an unused def may
 * still get a register).
 */
export const SLOT_BASE = 64;

/**
 * What the allocator may use; given by the machine (`regs.ts`). Masks: one bit for each register of the class, as [int,
 * float].
 */
export interface RegSet {
  readonly allocatable: readonly [number, number];
  /** Registers that a function must save if it writes them. */
  readonly calleeSaved: readonly [number, number];
  /**
   * Preferred order in which free registers are taken (caller-saved first, cheap encodings first), physical numbers.
   */
  readonly order: readonly [readonly number[], readonly number[]];
  readonly name: (preg: number) => string;
}

/** Kinds of allocator-inserted code. */
export const enum EditKind {
  /** Copy `from` to `to`: registers and slots in any mix; slot-to-slot included. */
  Move = 0,
  /** Exchange two registers of one class. */
  Swap = 1,
  /** Re-emit instruction row `from` with its def in register `to`. */
  Remat = 2,
}
/** An edit: [position, kind | class << 8, from, to]. position = 2 * row (before it) or 2 * row + 1 (behind it). */
export const EDIT = 4;

function grow(a: Int32Array, need: number): Int32Array<ArrayBuffer> {
  const n = new Int32Array(Math.max(need, a.length * 2));
  n.set(a);
  return n;
}

export class MachFunc {
  insts = new Int32Array(MROW * 256);
  count = 0;
  /** [vreg, flags] for each operand. */
  operands = new Int32Array(2 * 1024);
  operandCount = 0;
  vregClass = new Uint8Array(256);
  vregCount = 0;
  /** [int mask, float mask] of clobbered registers; set 0 is empty. */
  clobberSets: [number, number][] = [[0, 0]];

  blockCount = 0;
  /** blockCount + 1 entries. */
  blockStart = new Int32Array(32);
  /**
   * Successor edges of each block, in one array: edges of block b are succStart[b] .. succStart[b+1]-1. Edge e goes to
   * block edgeTarget[e] with arguments edgeArgs[edgeArgStart[e] .. edgeArgStart[e+1]-1] (vregs), one for each parameter
   * of the target.
   */
  succStart: number[] = [];
  edgeTarget: number[] = [];
  edgeArgStart: number[] = [];
  edgeArgs: number[] = [];
  /** Parameters (vregs) of each block. */
  blockParams: number[][] = [];
  /** Loop depth of each block (0 = none) and whether it is cold (ends in a trap, or hinted unlikely). */
  loopDepth: number[] = [];
  cold: boolean[] = [];

  // ---- filled by the allocator
  /** Parallel to operands. */
  allocs = new Int32Array(0);
  /** EDIT ints each, sorted by position; those of one position are in the order to be emitted. */
  edits = new Int32Array(0);
  editCount = 0;
  /** Spill slots in units of 8 bytes; a Vec takes two, 16-aligned (even number). */
  spillSlots = 0;
  /** Registers written anywhere (operands, edits, clobbers): the emitter saves those that are callee-saved. */
  usedRegs: [number, number] = [0, 0];

  reset(): void {
    this.count = 0;
    this.operandCount = 0;
    this.vregCount = 0;
    this.clobberSets.length = 1;
    this.blockCount = 0;
    this.succStart.length = 0;
    this.edgeTarget.length = 0;
    this.edgeArgStart.length = 0;
    this.edgeArgs.length = 0;
    this.blockParams.length = 0;
    this.loopDepth.length = 0;
    this.cold.length = 0;
    this.editCount = 0;
    this.spillSlots = 0;
    this.usedRegs = [0, 0];
  }

  newVreg(cls: RegClass): number {
    const v = this.vregCount++;
    if (v >= this.vregClass.length) {
      const n = new Uint8Array(this.vregClass.length * 2);
      n.set(this.vregClass);
      this.vregClass = n;
    }
    this.vregClass[v] = cls;
    return v;
  }

  /** Append an instruction without operands; operands are added by `opd` directly afterwards. */
  inst(op: number, flags: number, imm = 0, imm2 = 0, aux = 0, loc = 0): number {
    const i = this.count++;
    if ((i + 1) * MROW > this.insts.length) this.insts = grow(this.insts, (i + 1) * MROW);
    const r = this.insts;
    const at = i * MROW;
    r[at] = op;
    r[at + M_OPD] = this.operandCount;
    r[at + M_OPDS] = 0;
    r[at + M_IMM] = imm;
    r[at + M_IMM2] = imm2;
    r[at + M_AUX] = aux;
    r[at + M_LOC] = loc;
    r[at + M_FLAGS] = flags;
    return i;
  }

  /** Add an operand to the instruction appended last. */
  opd(vreg: number, flags: number): void {
    const o = this.operandCount++;
    if ((o + 1) * 2 > this.operands.length) this.operands = grow(this.operands, (o + 1) * 2);
    this.operands[o * 2] = vreg;
    this.operands[o * 2 + 1] = flags;
    const at = (this.count - 1) * MROW + M_OPDS;
    this.insts[at] = this.insts[at]! + 1;
  }
}
