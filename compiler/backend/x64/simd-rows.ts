/**
 * Rows of vector instructions: three operands with VEX where the machine has it, two otherwise.
 *
 * Mixing both encodings costs nothing: a VEX instruction on 128 bits zeroes the upper half of its register, so upper
 * halves are never dirty.
 *
 * **Memory operands.** Without VEX, a memory operand of 16 bytes must be aligned, and faults with a general protection
 * exception if it isn't, which wasm code must never see: only spill slots and rodata, which are aligned, may be such
 * operands. Loads of 16 bytes from elsewhere are folded into VEX instructions only (`foldable`). Operands of 8 bytes
 * and less may lie anywhere, in either encoding. A value of RegClass.Float has a spill slot of 8 bytes, so it must be
 * in a register wherever an instruction would read 16.
 */
import type { Value } from '../../ir/func.ts';
import { Op } from '../../ir/ops.ts';
import { MFlag, Opd, RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { Base, X, xop } from './insts.ts';
import { type Selection, trapFlags } from './lower-base.ts';

export type Words = readonly [number, number, number, number];
/** A constant with the same word, or the same pair of words, throughout. */
export const all32 = (w: number): Words => [w, w, w, w];
export const all64 = (lo: number, hi: number): Words => [lo, hi, lo, hi];
export const all16 = (h: number): Words => all32((h & 0xffff) | (h << 16));
export const all8 = (b: number): Words => all16((b & 0xff) | ((b & 0xff) << 8));

function fresh(s: Selection): number {
  return s.fresh(RegClass.Vec);
}

/** Destination and first operand of a binary instruction. */
function head(s: Selection, d: number, a: number): void {
  if (s.cpu.avx) s.def(d);
  else s.defReuse(d);
  s.use(a);
}

/** `d = a ins b`. `b` may lie in a spill slot, so it is a Vec. */
export function op2(s: Selection, ins: Ins, a: number, b: number, d = fresh(s)): number {
  s.row(xop(s.cpu.avx ? X.Vex : X.Alu, ins, 16));
  head(s, d, a);
  s.useAny(b);
  return d;
}

/** The same with `b` in a register. */
export function op2r(s: Selection, ins: Ins, a: number, b: number, d = fresh(s)): number {
  s.row(xop(s.cpu.avx ? X.Vex : X.Alu, ins, 16));
  head(s, d, a);
  s.use(b);
  return d;
}

export function op2i(s: Selection, ins: Ins, a: number, b: number, imm: number, d = fresh(s)): number {
  s.row(xop(s.cpu.avx ? X.VexI : X.AluRI, ins, 16), 0, imm);
  head(s, d, a);
  s.useAny(b);
  return d;
}

/** With a constant in rodata. */
export function op2c(s: Selection, ins: Ins, a: number, words: Words, d = fresh(s)): number {
  addressOfWords(s, words);
  s.rowMem(xop(s.cpu.avx ? X.Vex : X.Alu, ins, 16), 0, 0, s.loc());
  head(s, d, a);
  return d;
}

export function op2ci(s: Selection, ins: Ins, a: number, words: Words, imm: number, d = fresh(s)): number {
  addressOfWords(s, words);
  s.rowMem(xop(s.cpu.avx ? X.VexI : X.AluRI, ins, 16), 0, imm, s.loc());
  head(s, d, a);
  return d;
}

/** `ins d, a` */
export function op1(s: Selection, ins: Ins, a: number, d = fresh(s), size = 16): number {
  s.row(xop(X.Rm, ins, size));
  s.def(d);
  s.useAny(a);
  return d;
}

/** The same with `a` in a register. */
export function op1r(s: Selection, ins: Ins, a: number, d = fresh(s), size = 16): number {
  s.row(xop(X.Rm, ins, size));
  s.def(d);
  s.use(a);
  return d;
}

/** `ins d, a, imm`, `a` in a register. */
export function op1i(s: Selection, ins: Ins, a: number, imm: number, d = fresh(s), size = 16): number {
  s.row(xop(X.RmI, ins, size), 0, imm);
  s.def(d);
  s.use(a);
  return d;
}

/** Shift by a constant. */
export function shift(s: Selection, ins: Ins, a: number, n: number, d = fresh(s)): number {
  s.row(xop(s.cpu.avx ? X.VexShift : X.AluI, ins, 16), 0, n);
  head(s, d, a);
  return d;
}

export function copy(s: Selection, a: number, d: number): void {
  s.row(xop(X.Rm, Ins.MOVAPS, 16), MFlag.Move);
  s.def(d);
  s.use(a);
}

export function zero(s: Selection, d = fresh(s)): number {
  s.row(xop(X.FZero), MFlag.Remat);
  s.def(d);
  return d;
}

export function ones(s: Selection, d = fresh(s)): number {
  s.row(xop(X.VOnes), MFlag.Remat);
  s.def(d);
  return d;
}

function addressOfWords(s: Selection, [a, b, c, d]: Words): void {
  s.address(Base.Rodata, -1, -1, 0, s.rodata.const128(a, b, c, d));
}

/** A constant in a register. */
export function constant(s: Selection, words: Words, d = fresh(s)): number {
  const [a, b, c, e] = words;
  if (a === b && a === c && a === e && (a === 0 || a === -1)) return a === 0 ? zero(s, d) : ones(s, d);
  addressOfWords(s, words);
  s.rowMem(xop(X.Rm, Ins.MOVAPS, 16), MFlag.Remat, 0, s.loc());
  s.def(d);
  return d;
}

/** d = mask's top bit of each lane ? yes : no (VEX only). */
export function blend(s: Selection, ins: Ins, no: number, yes: number, mask: number, d: number): void {
  s.row(xop(X.Vex4, ins, 16));
  s.def(d);
  s.use(no);
  s.use(yes);
  s.use(mask);
}

/** d = ± a * b + c (VEX only). */
export function fma(s: Selection, ins: Ins, a: number, b: number, c: number, d: number): void {
  s.row(xop(X.Fma, ins, 16));
  s.defReuse(d);
  s.use(c);
  s.use(a);
  s.m.opd(b, Opd.Any);
}

/** `ins d, a, b, imm` where the destination's old value, c, is an operand too (EVEX only). */
export function ternary(
  s: Selection,
  ins: Ins,
  imm: number,
  c: number,
  a: number,
  b: number,
  d: number,
): void {
  s.row(xop(X.Ternary, ins, 16), 0, imm);
  s.defReuse(d);
  s.use(c);
  s.use(a);
  s.m.opd(b, Opd.Any);
}

/** Words of a vector constant. */
export function wordsOf(s: Selection, v: Value): Words {
  const { func } = s;
  const l = func.imm(v);
  return [func.listAt(l, 0), func.listAt(l, 1), func.listAt(l, 2), func.listAt(l, 3)];
}

/** May a load of 16 bytes become an operand? */
export function foldable(s: Selection, v: Value): boolean {
  return s.cpu.avx && s.canFold(v, 16);
}

/**
 * A row with the load `v` as its memory operand, which is the last one; the other operands come between `mem` and
 * `s.addr()`.
 */
export function memRow(s: Selection, word: number, v: Value, imm = 0): void {
  s.takeLoad(v);
  s.rowMem(word, trapFlags(s.foldTrap), imm, s.foldLoc);
}

/** `d = a ins b` for values of the IR: `b` from memory where that may be. */
export function binary(s: Selection, ins: Ins, imm: number, a: Value, b: Value, d: number): void {
  const x = s.val(a);
  const word = xop(s.cpu.avx ? (imm < 0 ? X.Vex : X.VexI) : imm < 0 ? X.Alu : X.AluRI, ins, 16);
  if (foldable(s, b)) {
    memRow(s, word, b, Math.max(imm, 0));
    head(s, d, x);
    s.addr();
  } else if (s.opOf(b) === Op.VConst) {
    addressOfWords(s, wordsOf(s, b));
    s.rowMem(word, 0, Math.max(imm, 0), s.loc());
    head(s, d, x);
  } else {
    const y = s.val(b);
    s.row(word, 0, Math.max(imm, 0));
    head(s, d, x);
    s.useAny(y);
  }
}
