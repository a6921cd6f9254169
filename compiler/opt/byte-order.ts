/**
 * Bytes in reverse: WebAssembly has no operator for it, so compilers write it as shifts, masks and disjunctions
 * (sixteen operators for 64 bits), and the machine does it in one. What counts is only which byte of which value each
 * byte of the result is, however it was put together.
 */
import type { Value } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import type { Rewriter } from './rewriter.ts';

/** Operators looked through, one within the other: three disjunctions, a shift and a mask make 64 bits. */
const DEPTH = 6;
/** A byte that is zero. */
const ZERO = -1;

/** The value whose bytes are looked at; 0 while none was found. */
let source: Value = 0;

/** Whether all eight bits are alike, byte by byte of a constant's 32 bits. */
function isByteMask(word: number): boolean {
  const low = word & 0x01010101;
  return low * 255 === word >>> 0;
}

/**
 * Write to `out` which byte of the source each byte of v is, the lowest first, or ZERO. False if that can't be said.
 * @param width bytes of v's type
 */
function trace(w: Rewriter, v: Value, width: number, depth: number, out: number[]): boolean {
  const { f } = w;
  const op = f.op(v);
  if (depth > 0 && op === Op.Or) {
    const other: number[] = [];
    if (!trace(w, f.a(v), width, depth - 1, out) || !trace(w, f.b(v), width, depth - 1, other)) return false;
    for (let i = 0; i < width; i++) {
      if (out[i] === ZERO) out[i] = other[i]!;
      else if (other[i] !== ZERO) return false;
    }
    return true;
  }
  if (depth > 0 && (op === Op.And || (op >= Op.Shl && op <= Op.Rotr)) && w.isConst(f.b(v))) {
    const c = f.b(v);
    if (op !== Op.And) {
      const n = f.imm(c) & (8 * width - 1);
      return (n & 7) === 0 && trace(w, f.a(v), width, depth - 1, out) && move(op, n >> 3, width, out);
    }
    if (!isByteMask(f.imm(c)) || !isByteMask(w.hi(c)) || !trace(w, f.a(v), width, depth - 1, out))
      return false;
    for (let i = 0; i < width; i++)
      if (((i < 4 ? f.imm(c) : w.hi(c)) & (1 << (8 * (i & 3)))) === 0) out[i] = ZERO;
    return true;
  }
  if (source !== 0 && source !== v) return false;
  source = v;
  for (let i = 0; i < width; i++) out[i] = i;
  return true;
}

/** Shift or rotate by n bytes. */
function move(op: Op, n: number, width: number, out: number[]): boolean {
  if (op === Op.ShrS) return false;
  const from = out.slice(0, width);
  for (let i = 0; i < width; i++) {
    const at = op === Op.Shl || op === Op.Rotl ? i - n : i + n;
    const inside = at >= 0 && at < width;
    if (op === Op.Rotl || op === Op.Rotr) out[i] = from[(at + width) % width]!;
    else out[i] = inside ? from[at]! : ZERO;
  }
  return true;
}

/** The value whose bytes in reverse the disjunction v is, or 0. */
export function reversedBytes(w: Rewriter, v: Value): Value {
  const { f } = w;
  const width = f.type(v) === Type.I64 ? 8 : 4;
  // The term that compilers write first is the lowest byte on its way to the top: nothing else is looked at any
  // further.
  let first = f.a(v);
  for (let hops = 0; hops < DEPTH && f.op(first) === Op.Or; hops++) first = f.a(first);
  if (f.op(first) !== Op.Shl || !w.isConst(f.b(first))) return 0;
  if ((f.imm(f.b(first)) & (8 * width - 1)) !== 8 * (width - 1)) return 0;
  source = 0;
  const bytes: number[] = [];
  if (!trace(w, v, width, DEPTH, bytes)) return 0;
  for (let i = 0; i < width; i++) if (bytes[i] !== width - 1 - i) return 0;
  return source;
}
