/** Selection of comparisons and of what consumes a condition: branches, selects, traps, setcc. */
import { F_A, F_B, F_C, F_IMM, F_IMM2, F_LOC, ROW, type Value } from '../../ir/func.ts';
import { MemKind, OP_FLAGS, Op, OpFlag, Type } from '../../ir/ops.ts';
import { Opd, RegClass } from '../mach.ts';
import { CC, Ins } from './encode-table.ts';
import { CC_FEQ, CC_FNE, X, xop } from './insts.ts';
import { intSize, isFloat, NAME_HOPS, type Selection, trapFlags } from './lower-base.ts';
import { isTruth, selectTruth } from './lower-lanes.ts';
import { blend, op1i, op1r } from './simd-rows.ts';

/** Condition of an integer comparison operator. */
function intCondition(op: Op): number {
  switch (op) {
    case Op.Eq:
      return CC.E;
    case Op.Ne:
      return CC.NE;
    case Op.LtS:
      return CC.L;
    case Op.LtU:
      return CC.B;
    case Op.GtS:
      return CC.G;
    case Op.GtU:
      return CC.A;
    case Op.LeS:
      return CC.LE;
    case Op.LeU:
      return CC.BE;
    case Op.GeS:
      return CC.GE;
    default:
      return CC.AE;
  }
}

/** The condition for exchanged operands. */
function mirror(cc: number): number {
  switch (cc) {
    case CC.L:
      return CC.G;
    case CC.G:
      return CC.L;
    case CC.LE:
      return CC.GE;
    case CC.GE:
      return CC.LE;
    case CC.B:
      return CC.A;
    case CC.A:
      return CC.B;
    case CC.BE:
      return CC.AE;
    case CC.AE:
      return CC.BE;
    default:
      return cc;
  }
}

/** Comparison of a load and an immediate, or of both kinds of `test`, in memory. */
function memImm(s: Selection, ins: Ins, size: number, imm: number): void {
  s.rowMem(xop(X.Mi, ins, size), trapFlags(s.foldTrap), imm, s.foldLoc);
  s.addr();
}

/** `test a, b` for a single-use And; leaves ZF and SF of the conjunction. */
function selectTest(s: Selection, and: Value, size: number): void {
  const r = s.func.rows;
  let a = r[and * ROW + F_A]!;
  let b = r[and * ROW + F_B]!;
  if (s.isConst(a)) {
    const t = a;
    a = b;
    b = t;
  }
  if (s.isImm32(b)) {
    const imm = s.imm(b);
    if (s.canFold(a, size)) {
      s.takeLoad(a);
      memImm(s, Ins.TEST, size, imm);
      return;
    }
    const x = s.val(a);
    // A mask without sign bits needs only as many bits: the shorter form, and SF is clear either way.
    const narrow = imm >= 0 ? 4 : size;
    s.row(xop(X.CmpI, Ins.TEST, narrow), 0, imm);
    s.useAny(x);
    return;
  }
  const x = s.val(a);
  const y = s.val(b);
  s.row(xop(X.Cmp, Ins.TEST, size));
  s.use(x);
  s.use(y);
}

function selectIntCompare(s: Selection, v: Value): number {
  const r = s.func.rows;
  let a = r[v * ROW + F_A]!;
  let b = r[v * ROW + F_B]!;
  const size = intSize(s.typeOf(a));
  let cc = intCondition(s.opOf(v));
  if (s.isConst(a) && !s.isConst(b)) {
    const t = a;
    a = b;
    b = t;
    cc = mirror(cc);
  }
  if (s.isImm32(b)) {
    const imm = s.imm(b);
    if (imm === 0 && (cc === CC.E || cc === CC.NE) && s.isPart(a, Op.And)) {
      selectTest(s, a, size);
      return cc;
    }
    if (s.canFold(a, size)) {
      s.takeLoad(a);
      memImm(s, Ins.CMP, size, imm);
      return cc;
    }
    // A byte compared for equality is compared in memory.
    const byteKind = cc === CC.E || cc === CC.NE;
    if (byteKind && imm >= 0 && imm <= 255 && s.canSink(a) && s.accessKind(a) === MemKind.U8) {
      s.takeLoad(a);
      memImm(s, Ins.CMP, 1, (imm << 24) >> 24);
      return cc;
    }
    const x = s.val(a);
    if (imm === 0) {
      // `test` leaves the flags that `cmp` with zero would: CF and OF are clear. The sign alone is there behind an
      // addition, too (emit-flags.ts).
      s.row(xop(X.Cmp, Ins.TEST, size));
      s.use(x);
      s.use(x);
      return cc === CC.L ? CC.S : cc === CC.GE ? CC.NS : cc;
    }
    s.row(xop(X.CmpI, Ins.CMP, size), 0, imm);
    s.useAny(x);
    return cc;
  }
  if (s.canFold(b, size)) {
    const x = s.val(a);
    s.takeLoad(b);
    s.rowMem(xop(X.Cmp, Ins.CMP, size), trapFlags(s.foldTrap), 0, s.foldLoc);
    s.use(x);
    s.addr();
    return cc;
  }
  if (s.canFold(a, size)) {
    const y = s.val(b);
    s.takeLoad(a);
    s.rowMem(xop(X.Mr, Ins.CMP, size), trapFlags(s.foldTrap), 0, s.foldLoc);
    s.use(y);
    s.addr();
    return cc;
  }
  const x = s.val(a);
  const y = s.val(b);
  s.row(xop(X.Cmp, Ins.CMP, size));
  s.use(x);
  s.useAny(y);
  return cc;
}

/** `ucomis`: unordered sets ZF, PF and CF, so only `above` conditions are false for NaN. */
function selectFloatCompare(s: Selection, v: Value): number {
  const r = s.func.rows;
  let a = r[v * ROW + F_A]!;
  let b = r[v * ROW + F_B]!;
  let cc: number;
  switch (s.opOf(v)) {
    case Op.FEq:
      cc = CC_FEQ;
      break;
    case Op.FNe:
      cc = CC_FNE;
      break;
    case Op.FGt:
      cc = CC.A;
      break;
    case Op.FGe:
      cc = CC.AE;
      break;
    default: {
      cc = s.opOf(v) === Op.FLt ? CC.A : CC.AE;
      const t = a;
      a = b;
      b = t;
    }
  }
  const f32 = s.typeOf(a) === Type.F32;
  const size = f32 ? 4 : 8;
  const ins = f32 ? Ins.UCOMISS : Ins.UCOMISD;
  const x = s.val(a);
  if (s.canFold(b, size)) {
    s.takeLoad(b);
    s.rowMem(xop(X.Cmp, ins, size), trapFlags(s.foldTrap), 0, s.foldLoc);
    s.use(x);
    s.addr();
  } else if (s.opOf(b) === Op.FConst && !isPositiveZero(s, b)) {
    s.addressOfConst(b);
    s.rowMem(xop(X.Cmp, ins, size), 0, 0, s.loc());
    s.use(x);
  } else {
    const y = s.val(b);
    s.row(xop(X.Cmp, ins, size));
    s.use(x);
    s.useAny(y);
  }
  return cc;
}

function isPositiveZero(s: Selection, v: Value): boolean {
  const r = s.func.rows;
  return r[v * ROW + F_IMM]! === 0 && (s.typeOf(v) === Type.F32 || r[v * ROW + F_IMM2]! === 0);
}

function selectCompare(s: Selection, v: Value): number {
  if (s.opOf(v) === Op.VTest) return selectTruth(s, v);
  return isFloat(s.typeOf(s.func.rows[v * ROW + F_A]!)) ? selectFloatCompare(s, v) : selectIntCompare(s, v);
}

/**
 * Flags for an i32 condition, at the current root: the condition under which it is nonzero. Comparisons of this block
 * are made here, again if need be: a `cmp` for each consumer is no more than the `test` it would need instead.
 * Everything else that the root needs in registers must have been asked for before, as making constants and addresses
 * may change flags.
 */
export function selectCondition(s: Selection, v: Value): number {
  const r = s.func.rows;
  let negate = 0;
  s.shared = s.uses[v]! > 1;
  // Comparisons of comparisons with zero (i32.eqz) only turn the condition round.
  for (let hops = 0; hops < NAME_HOPS; hops++) {
    const op = s.opOf(v);
    if ((op !== Op.Eq && op !== Op.Ne) || !s.inBlock(v) || !s.isZero(r[v * ROW + F_B]!)) break;
    const a = r[v * ROW + F_A]!;
    if (!isCompare(s, a)) break;
    if (op === Op.Eq) negate ^= 1;
    v = a;
    if (s.uses[v]! > 1) s.shared = true;
  }
  const cc = isCompare(s, v) ? selectCompare(s, v) : selectNonzero(s, v);
  s.shared = false;
  return cc ^ negate;
}

function selectNonzero(s: Selection, v: Value): number {
  if (s.isPart(v, Op.And)) {
    selectTest(s, v, 4);
  } else if (s.canFold(v, 4)) {
    s.takeLoad(v);
    memImm(s, Ins.CMP, 4, 0);
  } else if (s.canSink(v) && s.accessKind(v) === MemKind.U8) {
    s.takeLoad(v);
    memImm(s, Ins.CMP, 1, 0);
  } else {
    const x = s.val(v);
    s.row(xop(X.Cmp, Ins.TEST, 4));
    s.use(x);
    s.use(x);
  }
  return CC.NE;
}

/** A comparison of the current block, or what is made like one. */
function isCompare(s: Selection, v: Value): boolean {
  return ((OP_FLAGS[s.opOf(v)]! & OpFlag.Compare) !== 0 || isTruth(s, v)) && s.inBlock(v);
}

/** A comparison whose value somebody needs in a register. */
export function selectSetcc(s: Selection, v: Value): void {
  const d = s.result(v);
  const zero = s.int(0, 0, 4);
  const cc = selectCondition(s, v);
  s.row(xop(X.Setcc, 0, 1, cc));
  s.defReuse(d);
  s.use(zero);
  if (cc >= CC_FEQ) s.temp(RegClass.Int);
}

export function selectSelect(s: Selection, v: Value): void {
  const r = s.func.rows;
  const at = v * ROW;
  const type = s.typeOf(v);
  const d = s.result(v);
  if (isFloat(type) && (selectLesser(s, v, d) || selectByComparison(s, v, d))) return;
  let yes = s.val(r[at + F_B]!);
  let no = s.val(r[at + F_C]!);
  if (type === Type.V128 && s.cpu.avx) {
    selectByMask(s, r[at + F_A]!, yes, no, d);
    return;
  }
  let cc = selectCondition(s, r[at + F_A]!);
  if (isFloat(type) || type === Type.V128) {
    s.row(xop(X.SelectF, Ins.MOVAPS, type === Type.V128 ? 16 : 8, cc));
    s.defReuse(d);
    s.use(no);
    s.use(yes);
    return;
  }
  if (cc === CC_FEQ) {
    // Two cmovs make a disjunction: not equal or unordered.
    cc = CC_FNE;
    const t = yes;
    yes = no;
    no = t;
  }
  s.row(xop(X.Cmov, Ins.CMOV, intSize(type), cc));
  s.defReuse(d);
  s.use(no);
  // The second of two cmovs still reads its operand.
  s.m.opd(yes, cc === CC_FNE ? Opd.Any | Opd.Cross : Opd.Any);
}

/** The comparison of this block, of floats of the type of `v`, that a select `v` goes by; 0: something else. */
function ownComparison(s: Selection, v: Value): Value {
  const r = s.func.rows;
  const c = r[v * ROW + F_A]!;
  const op = s.opOf(c);
  return op >= Op.FEq && op <= Op.FGe && s.inBlock(c) && s.typeOf(r[c * ROW + F_A]!) === s.typeOf(v) ? c : 0;
}

function sameValue(s: Selection, a: Value, b: Value): boolean {
  if (a === b) return true;
  const r = s.func.rows;
  return (
    s.opOf(a) === Op.FConst &&
    s.opOf(b) === Op.FConst &&
    s.typeOf(a) === s.typeOf(b) &&
    r[a * ROW + F_IMM] === r[b * ROW + F_IMM] &&
    (s.typeOf(a) === Type.F32 || r[a * ROW + F_IMM2] === r[b * ROW + F_IMM2])
  );
}

/**
 * `a < b ? a : b`, which is what MINSS is in every bit: its second operand if either is NaN, or if both are zeros.
 * MAXSS is so with `>`. (Not the minimum and maximum of wasm, and nothing with `<=`.)
 */
function selectLesser(s: Selection, v: Value, d: number): boolean {
  const r = s.func.rows;
  const c = ownComparison(s, v);
  if (c === 0 || (s.opOf(c) !== Op.FLt && s.opOf(c) !== Op.FGt)) return false;
  const yes = r[v * ROW + F_B]!;
  const no = r[v * ROW + F_C]!;
  const a = r[c * ROW + F_A]!;
  const b = r[c * ROW + F_B]!;
  const straight = sameValue(s, a, yes) && sameValue(s, b, no);
  if (!straight && !(sameValue(s, a, no) && sameValue(s, b, yes))) return false;
  // a < b ? b : a is b > a ? b : a.
  const least = (s.opOf(c) === Op.FLt) === straight;
  const f32 = s.typeOf(v) === Type.F32;
  const size = f32 ? 4 : 8;
  const ins = (least ? Ins.MINSS : Ins.MAXSS) + (f32 ? 0 : 1);
  const x = s.val(yes);
  const constant = s.opOf(no) === Op.FConst;
  const y = constant ? -1 : s.val(no);
  const word = xop(s.cpu.avx ? X.Vex : X.Alu, ins, size);
  if (constant) {
    s.addressOfConst(no);
    s.rowMem(word, 0, 0, s.loc());
  } else {
    s.row(word);
  }
  if (s.cpu.avx) s.def(d);
  else s.defReuse(d);
  s.use(x);
  if (!constant) s.useAny(y);
  return true;
}

/** Immediates of CMPSS. Greater is less with the operands exchanged; of NaN, only the last is true. */
const EQUAL = 0;
const LESS = 1;
const LESS_OR_EQUAL = 2;
const NOT_EQUAL = 4;

/** A float by a comparison of floats, without a branch: a mask, and a blend by it. */
function selectByComparison(s: Selection, v: Value, d: number): boolean {
  if (!s.cpu.avx) return false;
  const r = s.func.rows;
  const c = ownComparison(s, v);
  if (c === 0) return false;
  const f32 = s.typeOf(v) === Type.F32;
  const yes = s.val(r[v * ROW + F_B]!);
  const no = s.val(r[v * ROW + F_C]!);
  const op = s.opOf(c);
  const turned = op === Op.FGt || op === Op.FGe;
  const a = s.val(r[c * ROW + (turned ? F_B : F_A)]!);
  const b = s.val(r[c * ROW + (turned ? F_A : F_B)]!);
  const predicate =
    op === Op.FEq ? EQUAL : op === Op.FNe ? NOT_EQUAL : op === Op.FLt || op === Op.FGt ? LESS : LESS_OR_EQUAL;
  const mask = s.fresh(RegClass.Float);
  s.row(xop(X.VexI, f32 ? Ins.CMPSS : Ins.CMPSD, f32 ? 4 : 8), 0, predicate);
  s.def(mask);
  s.use(a);
  s.useAny(b);
  blend(s, f32 ? Ins.VBLENDVPS : Ins.VBLENDVPD, no, yes, mask, d);
  return true;
}

/**
 * A vector by the condition's bit in every lane's sign. A branch that is always guessed right costs half as much, one
 * that isn't four times as much: whoever wrote a select expects that.
 */
function selectByMask(s: Selection, condition: Value, yes: number, no: number, d: number): void {
  const none = s.int(0, 0, 4);
  const cc = selectCondition(s, condition);
  const bit = s.fresh(RegClass.Int);
  s.row(xop(X.Setcc, 0, 1, cc));
  s.defReuse(bit);
  s.use(none);
  if (cc >= CC_FEQ) s.temp(RegClass.Int);
  const word = s.fresh(RegClass.Int);
  s.row(xop(X.Un, Ins.NEG, 4));
  s.defReuse(word);
  s.use(bit);
  const mask = op1i(s, Ins.PSHUFD, op1r(s, Ins.MOVD_TO_X, word, s.fresh(RegClass.Vec), 4), 0);
  blend(s, Ins.VBLENDVPS, no, yes, mask, d);
}

export function selectTrapIf(s: Selection, v: Value): void {
  const r = s.func.rows;
  const cc = selectCondition(s, r[v * ROW + F_A]!);
  const negate = s.opOf(v) === Op.TrapZ ? 1 : 0;
  s.m.inst(xop(X.TrapIf, 0, 0, cc ^ negate), trapFlags(r[v * ROW + F_IMM]!), 0, 0, 0, r[v * ROW + F_LOC]!);
}
