/** Folding rules of loads and stores: constant parts of addresses, and what narrow stores don't need. */
import { F_A, F_B, F_IMM, F_IMM2, ROW, type Value } from '../ir/func.ts';
import { MemKind, memAccess, memIndex, memKind, Op, Type } from '../ir/ops.ts';
import { unsignedWidth } from './known-bits.ts';
import type { Rewriter } from './rewriter.ts';
import { Fired } from './tally.ts';

/** Offsets above this don't fit an address's displacement. */
const MAX_OFFSET = 0x7fffffff;

/**
 * Move a constant part of the address of a wasm access into its offset. The offset is added to the address *without
 * wrapping*, an i32.add (i64.add) before it wraps: so a sum may only move where it provably doesn't wrap. Returns
 * whether it changed the row.
 */
export function foldAddress(w: Rewriter, v: Value): boolean {
  const { f } = w;
  const a = f.a(v);
  const offset = f.imm(v) >>> 0;
  if (f.op(a) === Op.IConst) {
    // A constant address: all of it, so that accesses to static data share the base 0.
    const sum = (f.imm(a) >>> 0) + offset;
    if (f.imm(a) === 0 || w.hi(a) !== 0 || sum > MAX_OFFSET) return false;
    return moved(w, v, w.int(f.type(a), 0), sum);
  }
  if (f.op(a) !== Op.Add || f.op(f.b(a)) !== Op.IConst) return false;
  const c = f.b(a);
  if (w.hi(c) !== 0) return false;
  const constant = f.imm(c) >>> 0;
  // x < 2^width, so x + constant < 2^width + constant: no wrap where that is at most 2^32 (which is enough for i64,
  // too).
  const width = unsignedWidth(f, f.a(a));
  if (width > 32 || 2 ** width + constant > 2 ** 32 || constant + offset > MAX_OFFSET) return false;
  return moved(w, v, f.a(a), constant + offset);
}

function moved(w: Rewriter, v: Value, address: Value, offset: number): boolean {
  const { rows } = w.f;
  rows[v * ROW + F_A] = address;
  rows[v * ROW + F_IMM] = offset;
  w.fired(Fired.Address);
  return true;
}

/** The same for a raw access: pointers are 64 bits wide and so is the sum, there is nothing to prove. */
export function foldRawAddress(w: Rewriter, v: Value): boolean {
  const { f } = w;
  const a = f.a(v);
  if (f.op(a) !== Op.Add || f.op(f.b(a)) !== Op.IConst) return false;
  const c = f.b(a);
  const sum = f.imm(c) + f.imm(v);
  if (f.imm2(c) !== f.imm(c) >> 31 || sum !== (sum | 0)) return false;
  return moved(w, v, f.a(a), sum);
}

/** Of the value of a narrow store: drop what only computes bits that aren't stored. */
export function foldStoredValue(w: Rewriter, v: Value): boolean {
  const { f } = w;
  const access = f.imm2(v);
  const kind = memKind(access);
  if (kind === MemKind.Full) return false;
  const bits = kind <= MemKind.U8 ? 8 : kind <= MemKind.U16 ? 16 : 32;
  const x = f.b(v);
  const inner = f.op(x);
  const mask = bits === 32 ? -1 : (1 << bits) - 1;
  const kept =
    inner === Op.Ext8S
      ? 8
      : inner === Op.Ext16S
        ? 16
        : inner === Op.Ext32S || inner === Op.ExtendS || inner === Op.ExtendU
          ? 32
          : 0;
  const masked = inner === Op.And && w.isConst(f.b(x)) && (f.imm(f.b(x)) & mask) === mask;
  if (kept < bits && !masked) return false;
  const { rows } = f;
  const y = f.a(x);
  rows[v * ROW + F_B] = y;
  // All 32 bits of an i32 are a full store of it.
  if (bits === 32 && f.type(y) === Type.I32)
    rows[v * ROW + F_IMM2] = memAccess(MemKind.Full, memIndex(access));
  w.fired(Fired.StoreNarrow);
  return true;
}
