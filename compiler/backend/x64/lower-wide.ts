/** Selection of wide arithmetic: sums and differences with a carry, and products of twice the width. */
import { F_A, F_B, F_C, ROW, type Value } from '../../ir/func.ts';
import { Op, Type } from '../../ir/ops.ts';
import { fixed, Opd, RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { X, xop } from './insts.ts';
import type { Selection } from './lower-base.ts';
import { RAX, RDX } from './regs.ts';

/** AddCarry, SubBorrow. */
export function selectCarry(s: Selection, v: Value): void {
  const r = s.func.rows;
  const add = s.opOf(v) === Op.AddCarry;
  const d = s.result(v);
  const c = r[v * ROW + F_C]!;
  const x = r[c * ROW + F_A]!;
  if (s.isPart(c, Op.LtU) && s.typeOf(x) === Type.I64) {
    // `cmp` leaves in the carry flag what LtU means. One row: nothing may come between the two.
    const operands = [r[v * ROW + F_A]!, r[v * ROW + F_B]!, x, r[c * ROW + F_B]!].map(o => s.val(o));
    s.row(xop(X.Carry, add ? Ins.ADC : Ins.SBB, 8));
    s.defReuse(d);
    for (const o of operands) s.use(o);
    return;
  }
  const a = s.val(r[v * ROW + F_A]!);
  const b = s.val(r[v * ROW + F_B]!);
  const carry = s.ext(c);
  const t = s.fresh(RegClass.Int);
  const op = xop(X.Alu, add ? Ins.ADD : Ins.SUB, 8);
  s.row(op);
  s.defReuse(t);
  s.use(a);
  s.useAny(b);
  s.row(op);
  s.defReuse(d);
  s.use(t);
  s.useAny(carry);
}

/** MulHighS, MulHighU; and the Mul of the same operands, if it stands directly before. */
export function selectMulHigh(s: Selection, v: Value): void {
  const r = s.func.rows;
  const a = r[v * ROW + F_A]!;
  const b = r[v * ROW + F_B]!;
  const d = s.result(v);
  const before = s.func.prev[v]!;
  let low: number;
  if (
    s.opOf(before) === Op.Mul &&
    s.vreg[before]! >= 0 &&
    r[before * ROW + F_A] === a &&
    r[before * ROW + F_B] === b
  ) {
    low = s.result(before);
    s.folded[before] = 1;
  } else {
    low = s.fresh(RegClass.Int);
  }
  const x = s.val(a);
  const y = s.val(b);
  s.row(xop(X.MulWide, s.opOf(v) === Op.MulHighS ? Ins.IMUL1 : Ins.MUL, 8));
  s.m.opd(d, fixed(RDX, Opd.Def));
  s.m.opd(low, fixed(RAX, Opd.Def));
  s.m.opd(x, fixed(RAX));
  s.useAny(y);
}
