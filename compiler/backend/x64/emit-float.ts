/**
 * Float operations that SSE does not have in the form wasm wants: minimum and maximum, conversions from and to
 * integers. The usual case is straight; the rest is a slow path behind the function's code.
 *
 * `ucomis` sets ZF, PF, CF for unordered operands. `cvtt` yields the integer indefinite value (the lowest number) for
 * what doesn't fit.
 */
import { TrapCode } from '../../abi/traps.ts';
import { bug } from '../../diagnostics.ts';
import { FLOAT_BASE, M_LOC, M_OP, M_OPD, MROW } from '../mach.ts';
import type { EmitState } from './emit-state.ts';
import { CC, Ins } from './encode.ts';
import { TruncSub, X, xIns, xShape, xSize, xSub } from './insts.ts';
import { XMM_SCRATCH } from './regs.ts';

const SCRATCH = XMM_SCRATCH - FLOAT_BASE;

/** Bounds as IEEE bits, [f32, f64 high half]; low halves are 0. */
const TWO_63: readonly [number, number] = [0x5f000000, 0x43e00000];
const MINUS_TWO_63: readonly [number, number] = [0xdf000000 | 0, 0xc3e00000 | 0];
const MINUS_TWO_31: readonly [number, number] = [0xcf000000 | 0, 0xc1e00000 | 0];

/** `ins dst, constant` */
function withConst(
  e: EmitState,
  ins: Ins,
  size: number,
  dst: number,
  bits: readonly [number, number],
  lo = 0,
): void {
  e.memRodata(size === 8 ? e.unit.rodata.const64(lo, bits[1]) : e.unit.rodata.const32(bits[0]));
  e.rm(ins, size, dst);
}

function operandOf(e: EmitState, row: number): number {
  return e.m.insts[row * MROW + M_OPD]!;
}
function wordOf(e: EmitState, row: number): number {
  return e.m.insts[row * MROW + M_OP]!;
}

/** d = min or max of d and b. */
export function emitMinMax(e: EmitState, row: number): void {
  const { asm } = e;
  const o = operandOf(e, row);
  const word = wordOf(e, row);
  const f64 = xSize(word) === 8 ? 1 : 0;
  const d = e.reg(o);
  const b = e.reg(o + 2);
  const back = asm.newLabel();
  const slow = e.slowPath(row, 0, back);
  // Equal (zeros of either sign among them) or unordered: ZF.
  asm.rr(Ins.UCOMISS + f64, 8, d, b);
  asm.jcc(CC.E, slow);
  asm.rr((xSub(word) === 1 ? Ins.MAXSS : Ins.MINSS) + f64, 8, d, b);
  asm.bind(back);
}

function slowMinMax(e: EmitState, row: number, back: number): void {
  const { asm } = e;
  const o = operandOf(e, row);
  const word = wordOf(e, row);
  const f64 = xSize(word) === 8 ? 1 : 0;
  const d = e.reg(o);
  const b = e.reg(o + 2);
  const nan = asm.newLabel();
  asm.jcc(CC.P, nan);
  // -0 is less than +0: the sign bit wins in the minimum, and must be in both for the maximum.
  asm.rr(xSub(word) === 1 ? Ins.ANDPS : Ins.ORPS, 16, d, b);
  asm.jmp(back);
  asm.bind(nan);
  asm.rr(Ins.ADDSS + f64, 8, d, b);
  asm.jmp(back);
}

export function emitCvtFromU64(e: EmitState, row: number): void {
  const { asm } = e;
  const o = operandOf(e, row);
  const d = e.reg(o);
  const x = e.reg(o + 1);
  const back = asm.newLabel();
  const slow = e.slowPath(row, 0, back);
  asm.rr(Ins.TEST, 8, x, x);
  asm.jcc(CC.S, slow);
  asm.rr(Ins.XORPS, 16, d, d);
  asm.rr(xIns(wordOf(e, row)), 8, d, x);
  asm.bind(back);
}

/** Half of the number, with the bit that is lost kept as a sticky one so that it rounds as the whole would, doubled. */
function slowCvtFromU64(e: EmitState, row: number, back: number): void {
  const { asm } = e;
  const o = operandOf(e, row);
  const d = e.reg(o);
  const tmp = e.reg(o + 2);
  const ins = xIns(wordOf(e, row));
  const even = asm.newLabel();
  asm.rr(Ins.MOV, 8, tmp, e.reg(o + 1));
  asm.ri(Ins.SHR, 8, tmp, 1);
  asm.jcc(CC.AE, even);
  asm.ri(Ins.OR, 8, tmp, 1);
  asm.bind(even);
  asm.rr(Ins.XORPS, 16, d, d);
  asm.rr(ins, 8, d, tmp);
  asm.rr(ins === Ins.CVTSI2SD ? Ins.ADDSD : Ins.ADDSS, 8, d, d);
  asm.jmp(back);
}

export function emitTrunc(e: EmitState, row: number): void {
  const { asm } = e;
  const o = operandOf(e, row);
  const word = wordOf(e, row);
  const size = xSize(word);
  const sub = xSub(word);
  const f64 = size === 8 ? 1 : 0;
  const cvt = Ins.CVTTSS2SI + f64;
  const d = e.reg(o);
  const x = e.reg(o + 1);
  const back = asm.newLabel();
  if ((sub & TruncSub.Unsigned) === 0) {
    const bytes = (sub & TruncSub.To64) !== 0 ? 8 : 4;
    asm.rr(cvt, bytes, d, x);
    // Only the lowest number overflows when 1 is taken from it.
    asm.ri(Ins.CMP, bytes, d, 1);
    asm.jcc(CC.O, e.slowPath(row, 0, back));
  } else if ((sub & TruncSub.To64) === 0) {
    // As a signed 64-bit number: whatever is not below 2^32 has something in its upper half, negative numbers and NaN
    // too.
    const tmp = e.reg(o + 2);
    asm.rr(cvt, 8, d, x);
    asm.rr(Ins.MOV, 8, tmp, d);
    asm.ri(Ins.SHR, 8, tmp, 32);
    asm.jcc(CC.NE, e.slowPath(row, 0, back));
  } else if ((sub & TruncSub.Evex) !== 0) {
    // All ones for NaN and what is out of range; no number that is in range becomes that.
    asm.vrr(Ins.VCVTTSS2USI + f64, 8, d, 0, x);
    asm.ri(Ins.CMP, 8, d, -1);
    asm.jcc(CC.E, e.slowPath(row, 0, back));
  } else {
    withConst(e, Ins.UCOMISS + f64, size, x, TWO_63);
    asm.jcc(CC.AE, e.slowPath(row, BIG, back));
    // NaN compares as below, and becomes a negative number like those that are out of range.
    asm.rr(cvt, 8, d, x);
    asm.rr(Ins.TEST, 8, d, d);
    asm.jcc(CC.S, e.slowPath(row, 0, back));
  }
  asm.bind(back);
}

/** Part of a 64-bit unsigned truncation: the number is 2^63 or more. */
const BIG = 1;

function slowTrunc(e: EmitState, row: number, part: number, back: number): void {
  const { asm } = e;
  const o = operandOf(e, row);
  const word = wordOf(e, row);
  const size = xSize(word);
  const sub = xSub(word);
  const f64 = size === 8 ? 1 : 0;
  const d = e.reg(o);
  const x = e.reg(o + 1);
  const loc = e.m.insts[row * MROW + M_LOC]!;
  const to64 = (sub & TruncSub.To64) !== 0;
  const saturate = (sub & TruncSub.Saturate) !== 0;
  const ucomis = Ins.UCOMISS + f64;

  if (part === BIG) {
    asm.rr(Ins.MOVAPS, 16, SCRATCH, x);
    withConst(e, Ins.SUBSS + f64, size, SCRATCH, TWO_63);
    asm.rr(Ins.CVTTSS2SI + f64, 8, d, SCRATCH);
    asm.rr(Ins.TEST, 8, d, d);
    if (saturate) {
      const fits = asm.newLabel();
      asm.jcc(CC.NS, fits);
      asm.ri(Ins.MOV, 8, d, -1);
      asm.jmp(back);
      asm.bind(fits);
    } else {
      asm.jcc(CC.S, e.trapStub(loc, TrapCode.IntegerOverflow));
    }
    asm.ri(Ins.BTC, 8, d, 63);
    asm.jmp(back);
    return;
  }

  if ((sub & TruncSub.Unsigned) !== 0) {
    if (saturate) {
      // 64 bit: NaN or negative. 32 bit, and 64 bit by AVX-512: so, or too large.
      asm.ri(Ins.MOV, 4, d, 0);
      if (!to64 || (sub & TruncSub.Evex) !== 0) {
        asm.rr(Ins.XORPS, 16, SCRATCH, SCRATCH);
        asm.rr(ucomis, size, x, SCRATCH);
        asm.jcc(CC.BE, back);
        asm.ri(Ins.MOV, to64 ? 8 : 4, d, -1);
      }
      asm.jmp(back);
      return;
    }
    asm.rr(ucomis, size, x, x);
    asm.jcc(CC.P, e.trapStub(loc, TrapCode.BadConversionToInteger));
    asm.jmp(e.trapStub(loc, TrapCode.IntegerOverflow));
    return;
  }

  // Signed, and the result is the lowest number: rightly so only from a small range.
  asm.rr(ucomis, size, x, x);
  if (saturate) {
    const nan = asm.newLabel();
    asm.jcc(CC.P, nan);
    asm.rr(Ins.XORPS, 16, SCRATCH, SCRATCH);
    asm.rr(ucomis, size, x, SCRATCH);
    asm.jcc(CC.B, back);
    if (to64) asm.movabs(d, -1, 0x7fffffff);
    else asm.ri(Ins.MOV, 4, d, 0x7fffffff);
    asm.jmp(back);
    asm.bind(nan);
    asm.ri(Ins.MOV, 4, d, 0);
    asm.jmp(back);
    return;
  }
  asm.jcc(CC.P, e.trapStub(loc, TrapCode.BadConversionToInteger));
  const overflow = e.trapStub(loc, TrapCode.IntegerOverflow);
  if (to64) {
    withConst(e, ucomis, size, x, MINUS_TWO_63);
    asm.jcc(CC.B, overflow);
  } else if (f64 === 1) {
    // -2^31 - 1 is the first that is too low: what lies between is truncated upwards.
    withConst(e, ucomis, size, x, MINUS_TWO_31, 0x00200000);
    asm.jcc(CC.BE, overflow);
  } else {
    withConst(e, ucomis, size, x, MINUS_TWO_31);
    asm.jcc(CC.B, overflow);
  }
  asm.rr(Ins.XORPS, 16, SCRATCH, SCRATCH);
  asm.rr(ucomis, size, x, SCRATCH);
  asm.jcc(CC.B, back);
  asm.jmp(overflow);
}

export function emitSlowPath(e: EmitState, row: number, part: number, back: number): void {
  switch (xShape(wordOf(e, row))) {
    case X.FMinMax:
      slowMinMax(e, row, back);
      return;
    case X.CvtFromU64:
      slowCvtFromU64(e, row, back);
      return;
    case X.Trunc:
      slowTrunc(e, row, part, back);
      return;
    default:
      bug(`row ${row} has no slow path`);
  }
}
