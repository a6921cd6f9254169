/** Selection of loads and stores. */

import { bug } from '../../diagnostics.ts';
import { F_A, F_B, F_IMM, F_IMM2, F_LOC, ROW, type Value } from '../../ir/func.ts';
import { accessSize, MemKind, Op, Region, rawRegion, Type } from '../../ir/ops.ts';
import { MFlag } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { X, xop } from './insts.ts';
import { type Selection, trapFlags } from './lower-base.ts';

/** Opcode word of a load. Narrow unsigned loads and those of i32 zero the upper half. */
function loadOp(kind: MemKind, type: Type): number {
  switch (kind) {
    case MemKind.Full:
      switch (type) {
        case Type.I32:
          return xop(X.Rm, Ins.MOV, 4);
        case Type.F32:
          return xop(X.Rm, Ins.MOVSS, 4);
        case Type.F64:
          return xop(X.Rm, Ins.MOVSD, 8);
        case Type.V128:
          return xop(X.Rm, Ins.MOVUPS, 16);
        default:
          return xop(X.Rm, Ins.MOV, 8);
      }
    case MemKind.S8:
      return xop(X.Rm, Ins.MOVSX8, type === Type.I32 ? 4 : 8);
    case MemKind.U8:
      return xop(X.Rm, Ins.MOVZX8, 4);
    case MemKind.S16:
      return xop(X.Rm, Ins.MOVSX16, type === Type.I32 ? 4 : 8);
    case MemKind.U16:
      return xop(X.Rm, Ins.MOVZX16, 4);
    case MemKind.S32:
      return type === Type.I32 ? xop(X.Rm, Ins.MOV, 4) : xop(X.Rm, Ins.MOVSXD, 8);
    case MemKind.U32:
      return xop(X.Rm, Ins.MOV, 4);
    default:
      return bug(`load kind ${kind}`);
  }
}

/** Load, RawLoad, VmLoad with a row of its own. */
export function selectLoad(s: Selection, v: Value): void {
  if (s.folded[v] !== 0) return;
  const trap = s.accessTrap(v);
  if (s.vreg[v]! < 0 && trap === 0) return;
  const d = s.result(v);
  const remat = s.opOf(v) === Op.VmLoad && rawRegion(s.func.rows[v * ROW + F_IMM2]!) === Region.ReadOnly;
  s.accessAddress(v);
  s.rowMem(loadOp(s.accessKind(v), s.typeOf(v)), trapFlags(trap) | (remat ? MFlag.Remat : 0), 0, s.loc());
  s.def(d);
  s.addr();
}

function storeIns(type: Type): Ins {
  switch (type) {
    case Type.F32:
      return Ins.MOVSS;
    case Type.F64:
      return Ins.MOVSD;
    case Type.V128:
      return Ins.MOVUPS;
    default:
      return Ins.MOV;
  }
}

export function selectStore(s: Selection, v: Value): void {
  const r = s.func.rows;
  const value = s.opOf(v) === Op.VmStore ? r[v * ROW + F_A]! : r[v * ROW + F_B]!;
  const type = s.typeOf(value);
  const size = accessSize(s.accessKind(v), type);
  const trap = trapFlags(s.accessTrap(v));
  if (s.isConst(value) && (size < 8 || s.isImm32(value))) {
    s.accessAddress(v);
    const imm = s.imm(value);
    const short = size === 1 ? (imm << 24) >> 24 : size === 2 ? (imm << 16) >> 16 : imm;
    s.rowMem(xop(X.Mi, Ins.MOV, size), trap, short, s.loc());
    s.addr();
    return;
  }
  if (selectModify(s, v, value, size)) return;
  const x = s.val(value);
  s.accessAddress(v);
  s.rowMem(xop(X.Mr, storeIns(type), size), trap, 0, s.loc());
  s.use(x);
  s.addr();
}

/** Ins.COUNT: the operator has no form with a memory destination. */
function modifyIns(op: Op): Ins {
  switch (op) {
    case Op.Add:
      return Ins.ADD;
    case Op.Sub:
      return Ins.SUB;
    case Op.And:
      return Ins.AND;
    case Op.Or:
      return Ins.OR;
    case Op.Xor:
      return Ins.XOR;
    default:
      return Ins.COUNT;
  }
}

/**
 * Read-modify-write of one place: its low bytes depend on the operands' low bytes only, so narrow accesses qualify too.
 */
function selectModify(s: Selection, store: Value, value: Value, size: number): boolean {
  const ins = modifyIns(s.opOf(value));
  if (ins === Ins.COUNT || s.uses[value] !== 1 || !s.inBlock(value)) return false;
  const r = s.func.rows;
  let a = r[value * ROW + F_A]!;
  let b = r[value * ROW + F_B]!;
  if (!samePlace(s, store, a, size)) {
    if (ins === Ins.SUB || !samePlace(s, store, b, size)) return false;
    const t = a;
    a = b;
    b = t;
  }
  s.folded[a] = 1;
  const trap = trapFlags(s.accessTrap(store));
  const loc = r[a * ROW + F_LOC]!;
  if (s.isImm32(b) || (s.isConst(b) && size < 8)) {
    const imm = s.imm(b);
    const short = size === 1 ? (imm << 24) >> 24 : size === 2 ? (imm << 16) >> 16 : imm;
    s.accessAddress(store);
    s.rowMem(xop(X.Mi, ins, size), trap, short, loc);
    s.addr();
    return true;
  }
  const x = s.val(b);
  s.accessAddress(store);
  s.rowMem(xop(X.Mr, ins, size), trap, 0, loc);
  s.use(x);
  s.addr();
  return true;
}

/** A load of exactly what the store writes, which may happen at the store. */
function samePlace(s: Selection, store: Value, load: Value, size: number): boolean {
  if (!s.canSink(load)) return false;
  const r = s.func.rows;
  const op = s.opOf(load);
  const storeOp = s.opOf(store);
  if (op === Op.Load) {
    if (storeOp !== Op.Store || r[load * ROW + F_IMM2]! >>> 8 !== r[store * ROW + F_IMM2]! >>> 8)
      return false;
  } else if (op === Op.RawLoad ? storeOp !== Op.RawStore : storeOp !== Op.VmStore) {
    return false;
  }
  if (op !== Op.VmLoad && r[load * ROW + F_A] !== r[store * ROW + F_A]) return false;
  return (
    r[load * ROW + F_IMM] === r[store * ROW + F_IMM] &&
    accessSize(s.accessKind(load), s.typeOf(load)) === size &&
    s.typeOf(load) !== Type.V128
  );
}
