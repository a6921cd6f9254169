/** Rows of shapes that only vector instructions have. */
import { bug } from '../../diagnostics.ts';
import { M_IMM, M_OP, M_OPD, MROW } from '../mach.ts';
import type { Emitter } from './emit.ts';
import { Ins } from './encode.ts';
import { X, xIns, xShape, xSize } from './insts.ts';

/** `to` >= 0: re-emission with that register as its definition. */
export function emitVector(e: Emitter, row: number, to: number): void {
  const { asm } = e;
  const { insts } = e.m;
  const at = row * MROW;
  const word = insts[at + M_OP]!;
  const o = insts[at + M_OPD]!;
  const ins = xIns(word);
  const size = xSize(word);
  const imm = insts[at + M_IMM]!;
  const d = to >= 0 ? to & 31 : e.reg(o);
  switch (xShape(word)) {
    case X.VOnes:
      asm.rr(Ins.PCMPEQD, 16, d, d);
      return;
    case X.AluRI: {
      const src = e.source(row, o + 2);
      if (src >= 0) {
        asm.rri(ins, size, d, src & 31, imm);
      } else {
        asm.rmi(ins, size, d, e.mb, e.mi, e.ms, e.md, imm);
        e.memDone();
      }
      return;
    }
    case X.VexI:
      threeAndImm(e, ins, size, d, e.reg(o + 1), row, o + 2, imm);
      return;
    case X.VexShift:
      asm.vri(ins, size, d, e.reg(o + 1), imm);
      return;
    case X.Vex4:
      asm.vrri(ins, size, d, e.reg(o + 1), e.reg(o + 2), e.reg(o + 3) << 4);
      return;
    case X.Fma:
      e.vex(ins, size, d, e.reg(o + 2), row, o + 3);
      return;
    case X.Ternary:
      threeAndImm(e, ins, size, d, e.reg(o + 2), row, o + 3, imm);
      return;
    default:
      bug(`row ${row} has shape ${xShape(word)}`);
  }
}

function threeAndImm(
  e: Emitter,
  ins: Ins,
  size: number,
  d: number,
  v: number,
  row: number,
  operand: number,
  imm: number,
): void {
  const src = e.source(row, operand);
  if (src >= 0) {
    e.asm.vrri(ins, size, d, v, src & 31, imm);
    return;
  }
  e.asm.vrmi(ins, size, d, v, e.mb, e.mi, e.ms, e.md, imm);
  e.memDone();
}
