/**
 * Selection of shuffles: the cheapest instruction that moves the bytes as asked.
 *
 * The indices are matched against shuffles of one operand (words by an immediate, rotation), then of two (interleaving, concatenation,
 * blends), with the operands either way round; what matches nothing takes one PSHUFB for each operand, indices in rodata.
 */
import { F_A, F_B, F_C, ROW, type Value } from '../../ir/func.ts';
import { Ins } from './encode-table.ts';
import type { Selection } from './lower-base.ts';
import { copy, op1i, op2, op2c, op2i, type Words, wordsOf } from './simd-rows.ts';
import { UNPACK_HIGH, UNPACK_LOW } from './simd-table.ts';

const BYTES = 16;
const OTHER = BYTES;
const bytes = new Uint8Array(BYTES);
const turned = new Uint8Array(BYTES);

export function selectShuffle(s: Selection, v: Value): void {
  const r = s.func.rows;
  const d = s.result(v);
  const av = r[v * ROW + F_A]!;
  const bv = r[v * ROW + F_B]!;
  const words = wordsOf(s, r[v * ROW + F_C]!);
  let first = false;
  let second = false;
  for (let i = 0; i < BYTES; i++) {
    let index = (words[i >> 2]! >>> ((i & 3) * 8)) & 31;
    if (av === bv) index &= BYTES - 1;
    bytes[i] = index;
    if (index < OTHER) first = true;
    else second = true;
  }
  if (!first || !second) {
    for (let i = 0; i < BYTES; i++) bytes[i]! &= BYTES - 1;
    shuffleOne(s, s.val(first ? av : bv), d);
    return;
  }
  const a = s.val(av);
  const b = s.val(bv);
  for (let i = 0; i < BYTES; i++) turned[i] = bytes[i]! ^ OTHER;
  if (shuffleTwo(s, bytes, a, b, d) || shuffleTwo(s, turned, b, a, d)) return;
  const x = op2c(
    s,
    Ins.PSHUFB,
    a,
    indices(i => (i < OTHER ? i : 0x80)),
  );
  op2(
    s,
    Ins.POR,
    x,
    op2c(
      s,
      Ins.PSHUFB,
      b,
      indices(i => (i >= OTHER ? i - OTHER : 0x80)),
    ),
    d,
  );
}

/** The indices as PSHUFB takes them: bit 7 for zero. */
function indices(map: (index: number) => number): Words {
  const out: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < BYTES; i++) out[i >> 2]! |= map(bytes[i]!) << ((i & 3) * 8);
  return out;
}

/** Index of the lane of `size` bytes that lane `i` is, as a whole, or -1. */
function laneAt(from: Uint8Array, i: number, size: number): number {
  const at = from[i * size]!;
  if (at % size !== 0) return -1;
  for (let k = 1; k < size; k++) if (from[i * size + k] !== at + k) return -1;
  return at / size;
}

/** Two bits for each of four lanes from `start` on that come from among lanes `base`..`base` + 3; -1 if one doesn't. */
function selector(size: number, start: number, base: number): number {
  let imm = 0;
  for (let i = 0; i < 4; i++) {
    const lane = laneAt(bytes, start + i, size) - base;
    if (lane < 0 || lane > 3) return -1;
    imm |= lane << (2 * i);
  }
  return imm;
}

/** Bytes from `from` on are those of the same place. */
function inPlace(from: number): boolean {
  for (let i = from; i < from + 8; i++) if (bytes[i] !== i) return false;
  return true;
}

function shuffleOne(s: Selection, a: number, d: number): void {
  const words = selector(4, 0, 0);
  if (words === 0xe4) {
    copy(s, a, d);
    return;
  }
  if (words >= 0) {
    op1i(s, Ins.PSHUFD, a, words, d);
    return;
  }
  const low = inPlace(8) ? selector(2, 0, 0) : -1;
  if (low >= 0) {
    op1i(s, Ins.PSHUFLW, a, low, d);
    return;
  }
  const high = inPlace(0) ? selector(2, 4, 4) : -1;
  if (high >= 0) {
    op1i(s, Ins.PSHUFHW, a, high, d);
    return;
  }
  if (interleaves(s, bytes, a, a, d, BYTES - 1)) return;
  const rotation = bytes[0]!;
  if (bytes.every((x, i) => x === ((i + rotation) & (BYTES - 1)))) op2i(s, Ins.PALIGNR, a, a, rotation, d);
  else
    op2c(
      s,
      Ins.PSHUFB,
      a,
      indices(i => i),
      d,
    );
}

/** PUNPCK of any width; `mask` is 15 when both operands are one. */
function interleaves(s: Selection, from: Uint8Array, a: number, b: number, d: number, mask: number): boolean {
  for (let width = 0; width < 4; width++) {
    const size = 1 << width;
    for (let half = 0; half < 2; half++) {
      let fits = true;
      for (let i = 0; i < BYTES && fits; i++) {
        const lane = i >> width;
        const at = half * 8 + (lane >> 1) * size + (i & (size - 1)) + (lane & 1) * OTHER;
        fits = from[i] === (at & mask);
      }
      if (!fits) continue;
      op2(s, (half === 0 ? UNPACK_LOW : UNPACK_HIGH)[width]!, a, b, d);
      return true;
    }
  }
  return false;
}

function shuffleTwo(s: Selection, from: Uint8Array, a: number, b: number, d: number): boolean {
  if (interleaves(s, from, a, b, d, 31)) return true;
  // Bytes n.. of a followed by the first ones of b.
  const n = from[0]!;
  if (n > 0 && n < BYTES && from.every((x, i) => x === i + n)) {
    op2i(s, Ins.PALIGNR, b, a, n, d);
    return true;
  }
  let blend = 0;
  for (let i = 0; i < 8 && blend >= 0; i++) {
    const lane = laneAt(from, i, 2);
    if (lane === i + 8) blend |= 1 << i;
    else if (lane !== i) blend = -1;
  }
  if (blend >= 0) {
    op2i(s, Ins.PBLENDW, a, b, blend, d);
    return true;
  }
  let imm = 0;
  for (let i = 0; i < 4 && imm >= 0; i++) {
    const lane = laneAt(from, i, 4) - (i < 2 ? 0 : 4);
    if (lane < 0 || lane > 3) imm = -1;
    else imm |= lane << (2 * i);
  }
  if (imm < 0) return false;
  op2i(s, Ins.SHUFPS, a, b, imm, d);
  return true;
}
