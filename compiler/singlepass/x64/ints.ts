/** Integer operators. */
import { TrapCode } from '../../abi/traps.ts';
import { CC, Ins, NO_REG } from '../../backend/x64/encode.ts';
import { R11, RAX, RCX, RDX, RSP } from '../../backend/x64/regs.ts';
import { Op } from '../../ir/ops.ts';
import { ValType } from '../../wasm/module.ts';
import { Code } from '../../wasm/opcodes.ts';
import { FREE, intBytes, Kind, type Operand, type State } from './state.ts';

/** Whether the next operator takes a condition as it is in the flags. */
function wantsCondition(s: State): boolean {
  const { r } = s.w;
  switch (r.bytes[r.pos]) {
    case Code.BrIf:
    case Code.If:
    case Code.Select:
    case I32_EQZ:
      return true;
    default:
      return false;
  }
}
const I32_EQZ = 0x45;

/** Push a condition that the flags hold now. */
export function pushCondition(s: State, cc: number): void {
  if (wantsCondition(s)) {
    s.pushCond(cc);
    return;
  }
  const r = s.allocInt();
  s.setCond(r, cc);
  s.pushReg(ValType.I32, r);
}

export function intBinary(s: State, op: Op, type: ValType): void {
  const { a, b } = s;
  s.take(type, b);
  s.take(type, a);
  switch (op) {
    case Op.Add:
      arithmetic(s, Ins.ADD, type, true);
      return;
    case Op.Sub:
      arithmetic(s, Ins.SUB, type, false);
      return;
    case Op.Mul:
      arithmetic(s, Ins.IMUL, type, true);
      return;
    case Op.And:
      arithmetic(s, Ins.AND, type, true);
      return;
    case Op.Or:
      arithmetic(s, Ins.OR, type, true);
      return;
    case Op.Xor:
      arithmetic(s, Ins.XOR, type, true);
      return;
    case Op.Shl:
      shift(s, Ins.SHL, type);
      return;
    case Op.ShrS:
      shift(s, Ins.SAR, type);
      return;
    case Op.ShrU:
      shift(s, Ins.SHR, type);
      return;
    case Op.Rotl:
      shift(s, Ins.ROL, type);
      return;
    case Op.Rotr:
      shift(s, Ins.ROR, type);
      return;
    case Op.DivS:
      divide(s, Ins.IDIV, type, false);
      return;
    case Op.DivU:
      divide(s, Ins.DIV, type, false);
      return;
    case Op.RemS:
      divide(s, Ins.IDIV, type, true);
      return;
    case Op.RemU:
      divide(s, Ins.DIV, type, true);
      return;
    default:
      compare(s, CONDITIONS[op - Op.Eq]!, type);
  }
}

/** Of Eq, Ne, LtS, LtU, GtS, GtU, LeS, LeU, GeS, GeU. */
const CONDITIONS = [CC.E, CC.NE, CC.L, CC.B, CC.G, CC.A, CC.LE, CC.BE, CC.GE, CC.AE] as const;

function arithmetic(s: State, ins: Ins, type: ValType, commutes: boolean): void {
  let { a, b } = s;
  if (commutes && a.kind !== Kind.Reg && b.kind === Kind.Reg) {
    const t = a;
    a = b;
    b = t;
  }
  const d = s.ownInt(type, a);
  s.applyInt(ins, type, d, b);
  s.done(b);
  s.pushReg(type, d);
}

function shift(s: State, ins: Ins, type: ValType): void {
  const { a, b, asm } = s;
  const size = intBytes(type);
  const d = s.ownInt(type, a);
  if (b.kind === Kind.Const) {
    const n = b.val & (8 * size - 1);
    if (n !== 0) asm.ri(ins, size, d, n);
  } else {
    s.loadInt(type, b, RCX);
    asm.r(ins, size, d);
  }
  s.done(b);
  s.pushReg(type, d);
}

/** Which trap a division is, zero or overflow, is read off the divisor's register (runtime/native/divide_x64.c). */
function divide(s: State, ins: Ins, type: ValType, remainder: boolean): void {
  const { a, b, asm } = s;
  const size = intBytes(type);
  s.loadInt(type, b, RCX);
  s.done(b);
  if (a.kind === Kind.Reg && a.val === RDX) {
    asm.rr(Ins.MOV, size, R11, RDX);
    a.val = R11;
  }
  s.vacate(RAX);
  s.vacate(RDX);
  s.loadInt(type, a, RAX);
  if (a.val !== R11) s.done(a);
  s.owner[RAX] = FREE;
  s.owner[RDX] = FREE;
  const end = asm.newLabel();
  if (remainder && ins === Ins.IDIV) {
    // The lowest number divided by -1 would overflow.
    const go = asm.newLabel();
    asm.ri(Ins.CMP, size, RCX, -1);
    asm.jcc(CC.NE, go);
    asm.rr(Ins.XOR, 4, RDX, RDX);
    asm.jmp(end);
    asm.bind(go);
  }
  if (ins === Ins.DIV) asm.rr(Ins.XOR, 4, RDX, RDX);
  else asm.plain(size === 8 ? Ins.CQO : Ins.CDQ);
  s.traps(TrapCode.IntegerDivision);
  asm.r(ins, size, RCX);
  asm.bind(end);
  s.pushReg(type, remainder ? RDX : RAX);
}

function compare(s: State, cc: number, type: ValType): void {
  const { a, b, asm } = s;
  const size = intBytes(type);
  if (a.kind === Kind.Reg) {
    s.applyInt(Ins.CMP, type, a.val, b);
  } else if (a.kind !== Kind.Const && b.kind === Kind.Const && (size === 4 || b.high === b.val >> 31)) {
    asm.mi(Ins.CMP, size, RSP, NO_REG, 0, s.disp(a), b.val);
  } else if (a.kind !== Kind.Const && b.kind === Kind.Reg) {
    asm.mr(Ins.CMP, size, RSP, NO_REG, 0, s.disp(a), b.val);
  } else {
    s.loadInt(type, a, RCX);
    s.applyInt(Ins.CMP, type, RCX, b);
  }
  s.done(a);
  s.done(b);
  pushCondition(s, cc);
}

/** Equal to zero. */
export function eqz(s: State, type: ValType): void {
  const { a } = s;
  s.take(type, a);
  const cc = s.testInt(type, a);
  s.done(a);
  pushCondition(s, cc ^ 1);
}

/** `ins d, o` where d is a new register, or the operand's own. */
function unaryInto(s: State, ins: Ins, size: number, from: ValType, to: ValType): void {
  const { a, asm } = s;
  if (a.kind === Kind.Const || a.kind === Kind.Cond) {
    s.loadInt(from, a, R11);
    a.kind = Kind.Reg;
    a.val = R11;
  }
  if (a.kind === Kind.Reg) {
    const d = a.val === R11 ? s.allocInt() : a.val;
    asm.rr(ins, size, d, a.val);
    s.pushReg(to, d);
    return;
  }
  const d = s.allocInt();
  asm.rm(ins, size, d, RSP, NO_REG, 0, s.disp(a));
  s.pushReg(to, d);
}

export function intUnary(s: State, op: Op, type: ValType, result: ValType): void {
  const { a } = s;
  s.take(type, a);
  const size = intBytes(type);
  switch (op) {
    case Op.Ext8S:
      unaryInto(s, Ins.MOVSX8, size, type, result);
      return;
    case Op.Ext16S:
      unaryInto(s, Ins.MOVSX16, size, type, result);
      return;
    case Op.Ext32S:
    case Op.ExtendS:
      unaryInto(s, Ins.MOVSXD, 8, type, result);
      return;
    case Op.Wrap:
      unaryInto(s, Ins.MOV, 4, ValType.I32, result);
      return;
    case Op.ExtendU:
      // In a register it is zero-extended already.
      s.pushReg(result, s.ownInt(type, a));
      return;
    case Op.Popcnt:
      if (!s.popcnt) s.leave();
      unaryInto(s, Ins.POPCNT, size, type, result);
      return;
    case Op.Clz:
      if (s.lzcnt) unaryInto(s, Ins.LZCNT, size, type, result);
      else bitScan(s, Ins.BSR, type);
      return;
    case Op.Ctz:
      bitScan(s, Ins.BSF, type);
      return;
    default:
      s.leave();
  }
}

/**
 * The scan leaves ZF set for zero, for which the count is the width: 2 * width - 1 turned round, or the width itself.
 */
function bitScan(s: State, ins: Ins, type: ValType): void {
  const { a, asm } = s;
  const size = intBytes(type);
  const bits = size * 8;
  const d = s.ownInt(type, a);
  asm.rr(ins, size, d, d);
  asm.ri(Ins.MOV, 4, R11, ins === Ins.BSR ? 2 * bits - 1 : bits);
  asm.cmov(CC.E, size, d, R11);
  if (ins === Ins.BSR) asm.ri(Ins.XOR, size, d, bits - 1);
  s.pushReg(type, d);
}

/** condition ? a : b, of integers or references; the condition is in hand as `s.c`. */
export function selectInt(s: State, type: ValType): void {
  const { a, b, c, asm } = s;
  const size = intBytes(type);
  // Loading the operands leaves the flags alone, if the condition is in them.
  const d = s.ownInt(type, a);
  const other: Operand = b;
  if (other.kind === Kind.Const || other.kind === Kind.Cond) {
    s.loadInt(type, other, RCX);
    other.kind = Kind.Reg;
    other.val = RCX;
  }
  const cc = s.testInt(ValType.I32, c);
  if (other.kind === Kind.Reg) asm.cmov(cc ^ 1, size, d, other.val);
  else asm.cmovm(cc ^ 1, size, d, RSP, NO_REG, 0, s.disp(other));
  s.done(other);
  s.done(c);
  s.pushReg(type, d);
}
