/** Selection of integer arithmetic. */
import { F_A, F_B, F_IMM2, ROW, type Value } from '../../ir/func.ts';
import { MemKind, Op, Type } from '../../ir/ops.ts';
import { fixed, RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { Base, X, xop } from './insts.ts';
import { intSize, type Selection, trapFlags } from './lower-base.ts';
import { RCX } from './regs.ts';

/** `ins d, imm` on a copy of `a`. */
function aluImm(s: Selection, ins: Ins, size: number, d: number, a: Value, imm: number): void {
  const x = s.val(a);
  s.row(xop(X.AluI, ins, size), 0, imm);
  s.defReuse(d);
  s.use(x);
}

function unary(s: Selection, ins: Ins, size: number, d: number, x: number): void {
  s.row(xop(X.Un, ins, size));
  s.defReuse(d);
  s.use(x);
}

/**
 * `ins d, src` without reuse, src from a register, a spill slot or a folded load. `clear`: break the dependency on d's
 * old value.
 */
function convert(s: Selection, ins: Ins, size: number, d: number, a: Value, width: number, clear = 0): void {
  if (s.canFold(a, width)) {
    s.takeLoad(a);
    s.rowMem(xop(X.Rm, ins, size, clear), trapFlags(s.foldTrap), 0, s.foldLoc);
    s.def(d);
    s.addr();
    return;
  }
  const x = s.val(a);
  s.row(xop(X.Rm, ins, size, clear));
  s.def(d);
  s.useAny(x);
}

/** Two-operand arithmetic: memory or register second operand; the first one's register becomes the result. */
function alu(s: Selection, ins: Ins, size: number, d: number, a: Value, b: Value, commutes: boolean): void {
  if (commutes && !s.canFold(b, size)) {
    // The operand that is not needed any more should be the one overwritten.
    if (s.canFold(a, size) || (s.liveAfter(a) && !s.liveAfter(b))) {
      const t = a;
      a = b;
      b = t;
    }
  }
  const x = s.val(a);
  if (s.canFold(b, size)) {
    s.takeLoad(b);
    s.rowMem(xop(X.Alu, ins, size), trapFlags(s.foldTrap), 0, s.foldLoc);
    s.defReuse(d);
    s.use(x);
    s.addr();
    return;
  }
  const y = s.val(b);
  s.row(xop(X.Alu, ins, size));
  s.defReuse(d);
  s.use(x);
  s.useAny(y);
}

function lea(
  s: Selection,
  size: number,
  d: number,
  base: number,
  index: number,
  scale: number,
  disp: number,
): void {
  s.address(base >= 0 ? Base.Reg : Base.None, base, index, scale, disp);
  s.rowMem(xop(X.Lea, Ins.LEA, size), 0, 0, s.loc());
  s.def(d);
  s.addr();
}

export function selectAdd(s: Selection, v: Value): void {
  const r = s.func.rows;
  const size = intSize(s.typeOf(v));
  const d = s.result(v);
  let a = r[v * ROW + F_A]!;
  let b = r[v * ROW + F_B]!;
  if (s.isConst(a) && !s.isConst(b)) {
    const t = a;
    a = b;
    b = t;
  }
  let disp = 0;
  if (s.isImm32(b)) {
    disp = s.imm(b);
    if (s.isPart(a, Op.Add) && !s.isConst(r[a * ROW + F_B]!)) {
      b = r[a * ROW + F_B]!;
      a = r[a * ROW + F_A]!;
    } else {
      const k = s.scaleOf(a);
      if (k > 0) lea(s, size, d, -1, s.val(r[a * ROW + F_A]!), k, disp);
      else if (s.liveAfter(a)) lea(s, size, d, s.val(a), -1, 0, disp);
      else aluImm(s, Ins.ADD, size, d, a, disp);
      return;
    }
  }
  let k = s.scaleOf(b);
  if (k === 0 && (k = s.scaleOf(a)) > 0) {
    const t = a;
    a = b;
    b = t;
  }
  if (k > 0) {
    const index = s.val(r[b * ROW + F_A]!);
    lea(s, size, d, s.val(a), index, k, disp);
    return;
  }
  if (disp !== 0 || (s.liveAfter(a) && s.liveAfter(b) && !s.isConst(b))) {
    const x = s.val(a);
    lea(s, size, d, x, s.val(b), 0, disp);
    return;
  }
  alu(s, Ins.ADD, size, d, a, b, true);
}

export function selectSub(s: Selection, v: Value): void {
  const r = s.func.rows;
  const size = intSize(s.typeOf(v));
  const d = s.result(v);
  const a = r[v * ROW + F_A]!;
  const b = r[v * ROW + F_B]!;
  if (s.isZero(a)) {
    unary(s, Ins.NEG, size, d, s.val(b));
  } else if (s.isImm32(b)) {
    const imm = s.imm(b);
    if (s.liveAfter(a) && imm !== -(2 ** 31)) lea(s, size, d, s.val(a), -1, 0, -imm);
    else aluImm(s, Ins.SUB, size, d, a, imm);
  } else {
    alu(s, Ins.SUB, size, d, a, b, false);
  }
}

export function selectLogic(s: Selection, v: Value): void {
  const r = s.func.rows;
  const type = s.typeOf(v);
  const size = intSize(type);
  const d = s.result(v);
  let a = r[v * ROW + F_A]!;
  let b = r[v * ROW + F_B]!;
  const op = s.opOf(v);
  if (s.isConst(a) && !s.isConst(b)) {
    const t = a;
    a = b;
    b = t;
  }
  const ins = op === Op.And ? Ins.AND : op === Op.Or ? Ins.OR : Ins.XOR;
  if (s.isConst(b)) {
    const lo = s.imm(b);
    const hi = type === Type.I32 ? 0 : r[b * ROW + F_IMM2]!;
    if (op === Op.And && (type === Type.I32 || hi === 0)) {
      const narrow =
        lo === 255 ? Ins.MOVZX8 : lo === 65535 ? Ins.MOVZX16 : lo === -1 && size === 8 ? Ins.MOV : 0;
      if (narrow !== 0) {
        const x = s.val(a);
        s.row(xop(X.Rm, narrow, 4));
        s.def(d);
        s.useAny(x);
        return;
      }
      // The upper half becomes zero anyway.
      aluImm(s, ins, 4, d, a, lo);
      return;
    }
    if (op === Op.Xor && lo === -1 && s.isImm32(b)) {
      unary(s, Ins.NOT, size, d, s.val(a));
      return;
    }
    if (s.isImm32(b)) {
      aluImm(s, ins, size, d, a, lo);
      return;
    }
  }
  if (op === Op.And && s.cpu.bmi1 && selectAndNot(s, size, d, a, b)) return;
  alu(s, ins, size, d, a, b, true);
}

/** a & ~b in one instruction. */
function selectAndNot(s: Selection, size: number, d: number, a: Value, b: Value): boolean {
  const r = s.func.rows;
  let not = b;
  let other = a;
  if (!isNot(s, not)) {
    not = a;
    other = b;
    if (!isNot(s, not)) return false;
  }
  const x = s.val(r[not * ROW + F_A]!);
  const y = s.val(other);
  s.row(xop(X.Vex, Ins.ANDN, size));
  s.def(d);
  s.use(x);
  s.useAny(y);
  return true;
}

function isNot(s: Selection, v: Value): boolean {
  if (!s.isPart(v, Op.Xor)) return false;
  const c = s.func.rows[v * ROW + F_B]!;
  return s.isImm32(c) && s.imm(c) === -1;
}

export function selectMul(s: Selection, v: Value): void {
  // With its high half, by lower-wide.ts.
  if (s.folded[v] !== 0) return;
  const r = s.func.rows;
  const size = intSize(s.typeOf(v));
  const d = s.result(v);
  let a = r[v * ROW + F_A]!;
  let b = r[v * ROW + F_B]!;
  if (s.isConst(a) && !s.isConst(b)) {
    const t = a;
    a = b;
    b = t;
  }
  if (!s.isImm32(b)) {
    alu(s, Ins.IMUL, size, d, a, b, true);
    return;
  }
  const imm = s.imm(b);
  if (imm > 0 && (imm & (imm - 1)) === 0) {
    const k = 31 - Math.clz32(imm);
    aluImm(s, Ins.SHL, size, d, a, k);
  } else if (imm === 3 || imm === 5 || imm === 9) {
    const x = s.val(a);
    lea(s, size, d, x, x, imm === 3 ? 1 : imm === 5 ? 2 : 3, 0);
  } else if (s.canFold(a, size)) {
    s.takeLoad(a);
    s.rowMem(xop(X.RmI, Ins.IMUL, size), trapFlags(s.foldTrap), imm, s.foldLoc);
    s.def(d);
    s.addr();
  } else {
    const x = s.val(a);
    s.row(xop(X.RmI, Ins.IMUL, size), 0, imm);
    s.def(d);
    s.useAny(x);
  }
}

/** Shifts and rotations: counts are taken modulo the width by the machine as by wasm. */
export function selectShift(s: Selection, v: Value): void {
  const r = s.func.rows;
  const size = intSize(s.typeOf(v));
  const d = s.result(v);
  const a = r[v * ROW + F_A]!;
  const b = r[v * ROW + F_B]!;
  const op = s.opOf(v);
  const ins =
    op === Op.Shl
      ? Ins.SHL
      : op === Op.ShrS
        ? Ins.SAR
        : op === Op.ShrU
          ? Ins.SHR
          : op === Op.Rotl
            ? Ins.ROL
            : Ins.ROR;
  if (s.isConst(b)) {
    const k = s.imm(b) & (size * 8 - 1);
    if (op === Op.Shl && k >= 1 && k <= 3 && s.liveAfter(a)) {
      const x = s.val(a);
      if (k === 1) lea(s, size, d, x, x, 0, 0);
      else lea(s, size, d, -1, x, k, 0);
    } else if (s.cpu.bmi2 && (op === Op.Rotl || op === Op.Rotr) && s.liveAfter(a)) {
      const x = s.val(a);
      s.row(xop(X.RmI, Ins.RORX, size), 0, op === Op.Rotr ? k : (size * 8 - k) & (size * 8 - 1));
      s.def(d);
      s.useAny(x);
    } else {
      aluImm(s, ins, size, d, a, k);
    }
    return;
  }
  if (s.cpu.bmi2 && op !== Op.Rotl && op !== Op.Rotr) {
    const shiftx = op === Op.Shl ? Ins.SHLX : op === Op.ShrS ? Ins.SARX : Ins.SHRX;
    const count = s.val(b);
    if (s.canFold(a, size)) {
      s.takeLoad(a);
      s.rowMem(xop(X.Vex, shiftx, size), trapFlags(s.foldTrap), 0, s.foldLoc);
      s.def(d);
      s.use(count);
      s.addr();
      return;
    }
    const x = s.val(a);
    s.row(xop(X.Vex, shiftx, size));
    s.def(d);
    s.use(count);
    s.useAny(x);
    return;
  }
  const x = s.val(a);
  const count = s.val(b);
  s.row(xop(X.ShiftCl, ins, size));
  s.defReuse(d);
  s.use(x);
  s.m.opd(count, fixed(RCX));
}

export function selectReverse(s: Selection, v: Value): void {
  const d = s.result(v);
  unary(s, Ins.BSWAP, intSize(s.typeOf(v)), d, s.val(s.func.rows[v * ROW + F_A]!));
}

export function selectCount(s: Selection, v: Value): void {
  const size = intSize(s.typeOf(v));
  const d = s.result(v);
  const a = s.func.rows[v * ROW + F_A]!;
  switch (s.opOf(v)) {
    case Op.Clz:
      if (s.cpu.lzcnt) convert(s, Ins.LZCNT, size, d, a, size, 1);
      else bitScan(s, Ins.BSR, size, d, a);
      return;
    case Op.Ctz:
      if (s.cpu.bmi1) convert(s, Ins.TZCNT, size, d, a, size, 1);
      else bitScan(s, Ins.BSF, size, d, a);
      return;
    default:
      if (s.cpu.popcnt) convert(s, Ins.POPCNT, size, d, a, size, 1);
      else popcount(s, size, d, a);
  }
}

function bitScan(s: Selection, ins: Ins, size: number, d: number, a: Value): void {
  const x = s.val(a);
  s.row(xop(X.BitScan, ins, size));
  s.def(d);
  s.use(x);
  s.temp(RegClass.Int);
}

/** Number of ones by sums of ever wider fields (Warren, Hacker's Delight, 5-1). */
function popcount(s: Selection, size: number, d: number, a: Value): void {
  const shr = (x: number, k: number) => {
    const t = s.fresh(RegClass.Int);
    s.row(xop(X.AluI, Ins.SHR, size), 0, k);
    s.defReuse(t);
    s.use(x);
    return t;
  };
  const op = (ins: Ins, x: number, y: number) => {
    const t = s.fresh(RegClass.Int);
    s.row(xop(X.Alu, ins, size));
    s.defReuse(t);
    s.use(x);
    s.use(y);
    return t;
  };
  const mask = (bits: number) => s.int(bits, size === 8 ? bits : 0, size);
  const x0 = s.val(a);
  const x1 = op(Ins.SUB, x0, op(Ins.AND, shr(x0, 1), mask(0x55555555)));
  const x2 = op(Ins.ADD, op(Ins.AND, x1, mask(0x33333333)), op(Ins.AND, shr(x1, 2), mask(0x33333333)));
  const x3 = op(Ins.AND, op(Ins.ADD, x2, shr(x2, 4)), mask(0x0f0f0f0f));
  const x4 = op(Ins.IMUL, x3, mask(0x01010101));
  s.row(xop(X.AluI, Ins.SHR, size), 0, size * 8 - 8);
  s.defReuse(d);
  s.use(x4);
}

/** Sign extensions: of a register's low part, or as a sign-extending load. */
export function selectExtend(s: Selection, v: Value): void {
  const a = s.func.rows[v * ROW + F_A]!;
  const d = s.result(v);
  const size = intSize(s.typeOf(v));
  switch (s.opOf(v)) {
    case Op.Ext8S:
      signExtend(s, Ins.MOVSX8, size, d, a, MemKind.U8);
      return;
    case Op.Ext16S:
      signExtend(s, Ins.MOVSX16, size, d, a, MemKind.U16);
      return;
    case Op.Ext32S:
      signExtend(s, Ins.MOVSXD, size, d, a, MemKind.U32);
      return;
    default:
      if (s.canFold(a, 4)) {
        s.takeLoad(a);
        s.rowMem(xop(X.Rm, Ins.MOVSXD, 8), trapFlags(s.foldTrap), 0, s.foldLoc);
        s.def(d);
        s.addr();
        return;
      }
      signExtend(s, Ins.MOVSXD, 8, d, a, MemKind.Full);
  }
}

function signExtend(s: Selection, ins: Ins, size: number, d: number, a: Value, kind: MemKind): void {
  if (kind !== MemKind.Full && s.canSink(a) && s.accessKind(a) === kind) {
    s.takeLoad(a);
    s.rowMem(xop(X.Rm, ins, size), trapFlags(s.foldTrap), 0, s.foldLoc);
    s.def(d);
    s.addr();
    return;
  }
  const x = s.val(a);
  s.row(xop(X.Rm, ins, size));
  s.def(d);
  s.useAny(x);
}

/** ExtendU is a name for an extended vreg, unless a chain of names was too long to be followed. */
export function selectExtendU(s: Selection, v: Value): void {
  const x = s.ext(s.func.rows[v * ROW + F_A]!);
  s.row(xop(X.Rm, Ins.MOV, 4));
  s.def(s.result(v));
  s.use(x);
}

/** A Wrap is a row only for those who need the upper half zeroed. */
export function selectWrap(s: Selection, v: Value): void {
  if (s.vregZ[v]! < 0) return;
  s.extendRaw(v, s.val(s.func.rows[v * ROW + F_A]!));
}
