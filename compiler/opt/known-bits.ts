/** How wide integer values can be: a bound from a few steps of their definitions. */
import type { Func, Value } from '../ir/func.ts';
import { MemKind, memKind, OP_FLAGS, Op, OpFlag, rawKind, Type } from '../ir/ops.ts';

/** Definitions looked through: with two operands each, at most 2^DEPTH. */
const DEPTH = 4;

export function typeWidth(type: Type): number {
  return type === Type.I32 ? 32 : 64;
}

function widthOfKind(kind: MemKind, full: number): number {
  return kind === MemKind.U8 ? 8 : kind === MemKind.U16 ? 16 : kind === MemKind.U32 ? 32 : full;
}

/** Number of bits of a constant. */
function constWidth(f: Func, v: Value): number {
  const lo = 32 - Math.clz32(f.imm(v));
  return f.type(v) === Type.I32 || f.imm2(v) === 0 ? lo : 64 - Math.clz32(f.imm2(v));
}

/** n such that 0 <= v < 2^n, v read as an unsigned integer. */
export function unsignedWidth(f: Func, v: Value, depth = DEPTH): number {
  const full = typeWidth(f.type(v));
  const op = f.op(v);
  if (op === Op.IConst) return constWidth(f, v);
  if (OP_FLAGS[op]! & OpFlag.Compare) return 1;
  switch (op) {
    case Op.Load:
      return widthOfKind(memKind(f.imm2(v)), full);
    case Op.RawLoad:
    case Op.VmLoad:
      return widthOfKind(rawKind(f.imm2(v)), full);
    case Op.Clz:
    case Op.Ctz:
    case Op.Popcnt:
      // At most 64 (32), which is 2^6 (2^5) itself.
      return full === 64 ? 7 : 6;
  }
  if (depth === 0) return op === Op.ExtendU ? 32 : full;
  const a = f.a(v);
  const b = f.b(v);
  switch (op) {
    case Op.And:
      return Math.min(unsignedWidth(f, a, depth - 1), unsignedWidth(f, b, depth - 1));
    case Op.Or:
    case Op.Xor:
      return Math.max(unsignedWidth(f, a, depth - 1), unsignedWidth(f, b, depth - 1));
    case Op.Add:
      return Math.min(full, Math.max(unsignedWidth(f, a, depth - 1), unsignedWidth(f, b, depth - 1)) + 1);
    case Op.Mul:
      return Math.min(full, unsignedWidth(f, a, depth - 1) + unsignedWidth(f, b, depth - 1));
    case Op.DivU:
      return unsignedWidth(f, a, depth - 1);
    case Op.RemU:
      // Less than the divisor, and not more than the dividend.
      return Math.min(unsignedWidth(f, a, depth - 1), unsignedWidth(f, b, depth - 1));
    case Op.ShrU: {
      const width = unsignedWidth(f, a, depth - 1);
      return f.op(b) === Op.IConst ? Math.max(0, width - (f.imm(b) & (full - 1))) : width;
    }
    case Op.Shl:
      return f.op(b) === Op.IConst
        ? Math.min(full, unsignedWidth(f, a, depth - 1) + (f.imm(b) & (full - 1)))
        : full;
    case Op.Select:
      return Math.max(unsignedWidth(f, b, depth - 1), unsignedWidth(f, f.c(v), depth - 1));
    case Op.ExtendU:
      return unsignedWidth(f, a, depth - 1);
    case Op.ExtendS: {
      const width = unsignedWidth(f, a, depth - 1);
      return width < 32 ? width : full;
    }
    case Op.Wrap:
      return Math.min(32, unsignedWidth(f, a, depth - 1));
    default:
      return full;
  }
}

/** n such that v is the sign extension of its low n bits. */
export function signedWidth(f: Func, v: Value): number {
  const full = typeWidth(f.type(v));
  switch (f.op(v)) {
    case Op.Ext8S:
      return 8;
    case Op.Ext16S:
      return 16;
    case Op.Ext32S:
      return 32;
    case Op.ExtendS:
      return Math.min(32, signedWidth(f, f.a(v)));
    case Op.Load:
      return signedKind(memKind(f.imm2(v)), f, v, full);
    case Op.RawLoad:
    case Op.VmLoad:
      return signedKind(rawKind(f.imm2(v)), f, v, full);
    case Op.ShrS:
      if (f.op(f.b(v)) === Op.IConst) return full - (f.imm(f.b(v)) & (full - 1));
      return full;
    default:
      return Math.min(full, unsignedWidth(f, v) + 1);
  }
}

function signedKind(kind: MemKind, f: Func, v: Value, full: number): number {
  if (kind === MemKind.S8) return 8;
  if (kind === MemKind.S16) return 16;
  if (kind === MemKind.S32) return 32;
  return Math.min(full, unsignedWidth(f, v) + 1);
}
