/**
 * What the flags say while code is emitted, so that a comparison that would say the same again is left out: `test r, r`
 * behind the addition that made r, a comparison that several selects share.
 *
 * A block begins with nothing known. What is not listed here as leaving the flags alone is taken to change them, and
 * what is known of a register goes when anything writes it. (The allocator's edits leave the flags alone, emit.ts.)
 */
import { FLOAT_BASE, M_AUX, M_IMM, M_OP, M_OPD, type MachFunc, MROW, SLOT_BASE } from '../mach.ts';
import { CC, Ins } from './encode-table.ts';
import { CC_FEQ, X, xIns, xShape, xSize, xSub } from './insts.ts';

const enum Known {
  Nothing,
  /** ZF and SF are those of `test reg, reg`; CF and OF are not (of an addition, say). */
  ZeroAndSign,
  /** All are those of `test reg, reg`. */
  Test,
  /** They are those of comparison `row`, of `reg` and, where there is one, `other`. */
  Comparison,
}

/** Whether an instruction with a general register for its destination leaves the flags alone. */
function leavesFlags(ins: Ins): boolean {
  switch (ins) {
    case Ins.MOV:
    case Ins.MOVZX8:
    case Ins.MOVZX16:
    case Ins.MOVSX8:
    case Ins.MOVSX16:
    case Ins.MOVSXD:
    case Ins.SHLX:
    case Ins.SHRX:
    case Ins.SARX:
    case Ins.RORX:
    case Ins.NOT:
      return true;
    default:
      return false;
  }
}

export class KnownFlags {
  private known = Known.Nothing;
  private reg = -1;
  private other = -1;
  private size = 0;
  private row = -1;

  forget(): void {
    this.known = Known.Nothing;
  }

  /** Something that leaves the flags alone has written a place. */
  wrote(place: number): void {
    if (place === this.reg || place === this.other) this.known = Known.Nothing;
  }

  private say(known: Known, reg: number, size: number): void {
    this.known = known;
    this.reg = reg;
    this.other = -1;
    this.size = size;
  }

  /** Row `row` has been emitted. */
  after(m: MachFunc, row: number): void {
    const { insts, allocs } = m;
    const at = row * MROW;
    const word = insts[at + M_OP]!;
    const shape = xShape(word);
    const ins = xIns(word) as Ins;
    const first = allocs[insts[at + M_OPD]!]!;
    // What has a result in a vector register leaves the flags alone.
    const floats = first >= FLOAT_BASE;
    switch (shape) {
      case X.Alu:
      case X.AluI:
      case X.Un:
        if (floats) {
          this.wrote(first);
          return;
        }
        if (ins === Ins.ADD || ins === Ins.SUB || ins === Ins.NEG)
          this.say(Known.ZeroAndSign, first, xSize(word));
        else if (ins === Ins.AND || ins === Ins.OR || ins === Ins.XOR)
          this.say(Known.Test, first, xSize(word));
        else if (isShift(ins) && shape === X.AluI && insts[at + M_IMM] !== 0)
          this.say(Known.ZeroAndSign, first, xSize(word));
        else if (ins === Ins.NOT) this.wrote(first);
        else this.forget();
        return;
      case X.Vex:
        if (ins === Ins.ANDN) this.say(Known.Test, first, xSize(word));
        else if (floats || leavesFlags(ins)) this.wrote(first);
        else this.forget();
        return;
      case X.Rm:
      case X.RmI:
        // A cleared general register is cleared by `xor`.
        if (floats || (xSub(word) === 0 && leavesFlags(ins))) this.wrote(first);
        else this.forget();
        return;
      case X.Imm:
        if (insts[at + M_IMM] === 0 && xSize(word) !== 8) this.forget();
        else this.wrote(first);
        return;
      case X.Lea:
      case X.MovFromX:
      case X.FZero:
      case X.SelectF:
        this.wrote(first);
        return;
      case X.Setcc:
      case X.Cmov:
        if (xSub(word) < CC_FEQ) this.wrote(first);
        else this.forget();
        return;
      case X.TrapIf:
        return;
      case X.Mr:
        // A store, unless it is arithmetic in memory.
        if (!floats && ins !== Ins.MOV) this.forget();
        return;
      case X.Mi:
        if (ins !== Ins.MOV) this.forget();
        return;
      case X.Cmp:
      case X.CmpI:
        this.afterComparison(m, row);
        return;
      default:
        this.forget();
    }
  }

  private afterComparison(m: MachFunc, row: number): void {
    const { insts, allocs } = m;
    const at = row * MROW;
    const o = insts[at + M_OPD]!;
    const a = allocs[o]!;
    const b = xShape(insts[at + M_OP]!) === X.Cmp ? allocs[o + 1]! : -1;
    // Memory may change in many ways.
    if (insts[at + M_AUX] !== 0 || a >= SLOT_BASE || b >= SLOT_BASE) {
      this.forget();
      return;
    }
    if (isTestOfOne(m, row)) {
      this.say(Known.Test, a, xSize(insts[at + M_OP]!));
      return;
    }
    this.known = Known.Comparison;
    this.reg = a;
    this.other = b;
    this.row = row;
  }

  /** Whether a row would compute flags that are there already; `end` is where its block ends. */
  has(m: MachFunc, row: number, end: number): boolean {
    if (this.known === Known.Nothing) return false;
    const { insts, allocs } = m;
    const at = row * MROW;
    const word = insts[at + M_OP]!;
    const shape = xShape(word);
    if ((shape !== X.Cmp && shape !== X.CmpI) || insts[at + M_AUX] !== 0) return false;
    const o = insts[at + M_OPD]!;
    if (this.known === Known.Comparison) {
      const same = this.row * MROW;
      if (word !== insts[same + M_OP] || insts[at + M_IMM] !== insts[same + M_IMM]) return false;
      return allocs[o] === this.reg && (shape === X.CmpI || allocs[o + 1] === this.other);
    }
    if (!isTestOfOne(m, row) || allocs[o] !== this.reg) return false;
    const size = xSize(word);
    // A result of 32 bits has zeros above them, so that all 64 are zero when they are; their sign is another.
    if (size !== this.size && (size !== 8 || this.size !== 4)) return false;
    if (this.known === Known.Test && size === this.size) return true;
    const cc = row + 1 < end ? conditionOf(insts[at + MROW + M_OP]!) : -1;
    return cc === CC.E || cc === CC.NE || ((cc === CC.S || cc === CC.NS) && size === this.size);
  }
}

function isShift(ins: Ins): boolean {
  return ins === Ins.SHL || ins === Ins.SHR || ins === Ins.SAR;
}

/** `test r, r` */
function isTestOfOne(m: MachFunc, row: number): boolean {
  const at = row * MROW;
  const word = m.insts[at + M_OP]!;
  const o = m.insts[at + M_OPD]!;
  return (
    xShape(word) === X.Cmp &&
    xIns(word) === Ins.TEST &&
    m.allocs[o] === m.allocs[o + 1] &&
    m.allocs[o]! < SLOT_BASE
  );
}

/** What a comparison's consumer, which stands right behind it, asks for; -1: it isn't one. */
function conditionOf(word: number): number {
  switch (xShape(word)) {
    case X.Jcc:
    case X.TrapIf:
    case X.Setcc:
    case X.Cmov:
    case X.SelectF:
      return xSub(word);
    default:
      return -1;
  }
}
