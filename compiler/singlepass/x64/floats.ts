/**
 * Float operators. Those with a slow path are rows of machine code whose registers are given: the emitter's own code
 * writes them (backend/x64/emit-float.ts).
 */
import { emitCvtFromU64, emitMinMax, emitTrunc } from '../../backend/x64/emit-float.ts';
import { CC, Ins } from '../../backend/x64/encode.ts';
import { TruncSub, X, xop } from '../../backend/x64/insts.ts';
import { R10, R11, RCX } from '../../backend/x64/regs.ts';
import { Op } from '../../ir/ops.ts';
import { grown } from '../../ir/scratch.ts';
import { ValType } from '../../wasm/module.ts';
import { pushCondition } from './ints.ts';
import { FREE, intBytes, Kind, type Operand, type State, XMM15 } from './state.ts';

/** A row of `m` whose operands are in the registers given. */
function row(s: State, op: number, regs: readonly number[]): number {
  const { m } = s;
  const first = m.operandCount;
  const at = m.inst(op, 0, 0, 0, 0, s.w.at);
  m.allocs = grown(m.allocs, first + regs.length);
  for (let i = 0; i < regs.length; i++) {
    m.opd(0, 0);
    m.allocs[first + i] = regs[i]!;
  }
  return at;
}

export function floatBinary(s: State, op: Op, type: ValType): void {
  const { a, b } = s;
  const f64 = type === ValType.F64 ? 1 : 0;
  s.take(type, b);
  s.take(type, a);
  switch (op) {
    case Op.FAdd:
      arithmetic(s, Ins.ADDSS + f64, type);
      return;
    case Op.FSub:
      arithmetic(s, Ins.SUBSS + f64, type);
      return;
    case Op.FMul:
      arithmetic(s, Ins.MULSS + f64, type);
      return;
    case Op.FDiv:
      arithmetic(s, Ins.DIVSS + f64, type);
      return;
    case Op.FMin:
    case Op.FMax: {
      const d = s.ownFloat(type, a);
      const r = s.ownFloat(type, b);
      emitMinMax(s, row(s, xop(X.FMinMax, 0, f64 ? 8 : 4, op === Op.FMax ? 1 : 0), [d, d, r]));
      s.owner[r] = FREE;
      s.pushReg(type, d);
      return;
    }
    case Op.FCopysign:
      copysign(s, type);
      return;
    case Op.FEq:
    case Op.FNe:
      equal(s, op === Op.FEq, type, f64);
      return;
    case Op.FLt:
      less(s, b, a, CC.A, type, f64);
      return;
    case Op.FGt:
      less(s, a, b, CC.A, type, f64);
      return;
    case Op.FLe:
      less(s, b, a, CC.AE, type, f64);
      return;
    case Op.FGe:
      less(s, a, b, CC.AE, type, f64);
      return;
    default:
      s.leave();
  }
}

function arithmetic(s: State, ins: Ins, type: ValType): void {
  const { a, b } = s;
  const d = s.ownFloat(type, a);
  s.applyFloat(ins, type, d & 31, b);
  s.done(b);
  s.pushReg(type, d);
}

/** Flags of `x` against `y`: unordered is below. `cc`: A or AE. */
function less(s: State, x: Operand, y: Operand, cc: number, type: ValType, f64: number): void {
  const d = s.ownFloat(type, x);
  s.applyFloat(Ins.UCOMISS + f64, type, d & 31, y);
  s.owner[d] = FREE;
  s.done(y);
  pushCondition(s, cc);
}

function equal(s: State, isEqual: boolean, type: ValType, f64: number): void {
  const { a, b, asm } = s;
  const d = s.ownFloat(type, a);
  s.applyFloat(Ins.UCOMISS + f64, type, d & 31, b);
  s.owner[d] = FREE;
  s.done(b);
  const r = s.allocInt();
  asm.setcc(isEqual ? CC.NP : CC.P, R11);
  asm.setcc(isEqual ? CC.E : CC.NE, r);
  asm.rr(isEqual ? Ins.AND : Ins.OR, 1, r, R11);
  asm.rr(Ins.MOVZX8, 4, r, r);
  s.pushReg(ValType.I32, r);
}

/** Moves of bits between a float register's encoding and an integer register. */
function toInt(s: State, type: ValType, r: number, x: number): void {
  const wide = type === ValType.F64;
  s.asm.rr(wide ? Ins.MOVQ_FROM_X : Ins.MOVD_FROM_X, wide ? 8 : 4, r, x);
}
function toFloat(s: State, type: ValType, x: number, r: number): void {
  const wide = type === ValType.F64;
  s.asm.rr(wide ? Ins.MOVQ_TO_X : Ins.MOVD_TO_X, wide ? 8 : 4, x, r);
}

/** The bits of a float operand in r11. */
function bitsOf(s: State, type: ValType, o: Operand): void {
  if (o.kind === Kind.Reg) toInt(s, type, R11, o.val & 31);
  else s.loadInt(type === ValType.F64 ? ValType.I64 : ValType.I32, o, R11);
}

function copysign(s: State, type: ValType): void {
  const { a, b, asm } = s;
  const size = type === ValType.F64 ? 8 : 4;
  bitsOf(s, type, b);
  asm.rr(Ins.MOV, size, RCX, R11);
  s.done(b);
  bitsOf(s, type, a);
  const d = a.kind === Kind.Reg ? a.val : s.allocFloat();
  // The sign of one above all but the sign of the other.
  asm.ri(Ins.SHR, size, RCX, 8 * size - 1);
  asm.ri(Ins.SHL, size, RCX, 8 * size - 1);
  asm.ri(Ins.BTR, size, R11, 8 * size - 1);
  asm.rr(Ins.OR, size, R11, RCX);
  toFloat(s, type, d & 31, R11);
  s.pushReg(type, d);
}

/** Rounding modes of ROUNDSx; 8: no precision exception. */
function round(s: State, type: ValType, mode: number): void {
  const { a, asm } = s;
  const d = s.ownFloat(type, a);
  asm.rri(Ins.ROUNDSS + (type === ValType.F64 ? 1 : 0), 8, d & 31, d & 31, 8 | mode);
  s.pushReg(type, d);
}

export function floatUnary(s: State, op: Op, type: ValType): void {
  const { a, asm } = s;
  s.take(type, a);
  switch (op) {
    case Op.FAbs:
    case Op.FNeg: {
      const size = type === ValType.F64 ? 8 : 4;
      bitsOf(s, type, a);
      const d = a.kind === Kind.Reg ? a.val : s.allocFloat();
      asm.ri(op === Op.FAbs ? Ins.BTR : Ins.BTC, size, R11, 8 * size - 1);
      toFloat(s, type, d & 31, R11);
      s.pushReg(type, d);
      return;
    }
    case Op.FSqrt: {
      const d = s.ownFloat(type, a);
      asm.rr(Ins.SQRTSS + (type === ValType.F64 ? 1 : 0), 8, d & 31, d & 31);
      s.pushReg(type, d);
      return;
    }
    case Op.FNearest:
      round(s, type, 0);
      return;
    case Op.FFloor:
      round(s, type, 1);
      return;
    case Op.FCeil:
      round(s, type, 2);
      return;
    default:
      round(s, type, 3);
  }
}

export function conversion(s: State, op: Op, from: ValType, to: ValType): void {
  const { a, asm } = s;
  s.take(from, a);
  switch (op) {
    case Op.Promote:
    case Op.Demote: {
      const d = s.ownFloat(from, a);
      asm.rr(op === Op.Promote ? Ins.CVTSS2SD : Ins.CVTSD2SS, 8, d & 31, d & 31);
      s.pushReg(to, d);
      return;
    }
    case Op.ConvertS:
    case Op.ConvertU: {
      const ins = to === ValType.F64 ? Ins.CVTSI2SD : Ins.CVTSI2SS;
      const x = s.ownInt(from, a);
      const d = s.allocFloat();
      if (op === Op.ConvertU && from === ValType.I64) {
        emitCvtFromU64(s, row(s, xop(X.CvtFromU64, ins, 8), [d, x, R11]));
      } else {
        // Every u32 is an i64, and zero-extended.
        asm.rr(Ins.XORPS, 16, d & 31, d & 31);
        asm.rr(ins, op === Op.ConvertU ? 8 : intBytes(from), d & 31, x);
      }
      s.owner[x] = FREE;
      s.pushReg(to, d);
      return;
    }
    case Op.Bitcast: {
      if (to === ValType.F32 || to === ValType.F64) {
        if (a.kind === Kind.Const) {
          s.pushConst(to, a.val, a.high);
          return;
        }
        const x = s.ownInt(from, a);
        const d = s.allocFloat();
        toFloat(s, to, d & 31, x);
        s.owner[x] = FREE;
        s.pushReg(to, d);
        return;
      }
      bitsOf(s, from, a);
      s.done(a);
      const r = s.allocInt();
      asm.rr(Ins.MOV, intBytes(to), r, R11);
      s.pushReg(to, r);
      return;
    }
    default:
      truncate(s, op, from, to);
  }
}

function truncate(s: State, op: Op, from: ValType, to: ValType): void {
  const { a } = s;
  const unsigned = op === Op.TruncU || op === Op.TruncSatU;
  const saturate = op === Op.TruncSatS || op === Op.TruncSatU;
  const sub =
    (to === ValType.I64 ? TruncSub.To64 : 0) |
    (unsigned ? TruncSub.Unsigned : 0) |
    (saturate ? TruncSub.Saturate : 0);
  const x = s.ownFloat(from, a);
  const d = s.allocInt();
  s.traps(0);
  emitTrunc(s, row(s, xop(X.Trunc, 0, from === ValType.F64 ? 8 : 4, sub), [d, x, R10]));
  s.owner[x] = FREE;
  s.pushReg(to, d);
}

/** condition ? a : b; the condition is in hand as `s.c`. */
export function selectFloat(s: State, type: ValType): void {
  const { a, b, c, asm } = s;
  const d = s.ownFloat(type, a);
  // Zeroing would leave the flags alone, but making a constant through r11 does too: so the order doesn't matter.
  s.loadFloat(type, b, XMM15);
  const cc = s.testInt(ValType.I32, c);
  const skip = asm.newLabel();
  asm.jcc(cc, skip);
  asm.rr(Ins.MOVAPS, 16, d & 31, XMM15);
  asm.bind(skip);
  s.done(b);
  s.done(c);
  s.pushReg(type, d);
}
