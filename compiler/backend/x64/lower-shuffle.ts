/**
 * Selection of shuffles: the cheapest instruction that moves the bytes as asked.
 *
 * The indices are matched against shuffles of one operand (broadcasts, words by an immediate, rotation), of one operand
 * and zeros (extension, shifts by bytes), then of two (interleaving, concatenation, blends, one lane inserted), with
 * the operands either way round. Where one operand's words stay in their places the other is shuffled alone and the two
 * are blended. What matches nothing takes one PSHUFB for each operand, indices in rodata.
 */
import { F_A, F_B, F_C, ROW, type Value } from '../../ir/func.ts';
import { Op } from '../../ir/ops.ts';
import { RegClass } from '../mach.ts';
import { Ins } from './encode-table.ts';
import { X, xop } from './insts.ts';
import type { Selection } from './lower-base.ts';
import {
  constant,
  copy,
  fma,
  op1,
  op1i,
  op1r,
  op2,
  op2c,
  op2i,
  shift,
  type Words,
  wordsOf,
} from './simd-rows.ts';
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
    shuffleOne(s, bytes, s.val(first ? av : bv), d);
    return;
  }
  for (let i = 0; i < BYTES; i++) turned[i] = bytes[i]! ^ OTHER;
  if (isZero(s, bv)) {
    shuffleWithZeros(s, bytes, s.val(av), d);
    return;
  }
  if (isZero(s, av)) {
    shuffleWithZeros(s, turned, s.val(bv), d);
    return;
  }
  const a = s.val(av);
  const b = s.val(bv);
  if (shuffleTwo(s, bytes, a, b, d) || shuffleTwo(s, turned, b, a, d)) return;
  if (insertsLane(s, bytes, a, b, d) || insertsLane(s, turned, b, a, d)) return;
  if (blendsShuffled(s, bytes, a, b, d) || blendsShuffled(s, turned, b, a, d)) return;
  if (permutesWords(s, a, b, d)) return;
  const x = op2c(
    s,
    Ins.PSHUFB,
    a,
    indices(bytes, i => (i < OTHER ? i : 0x80)),
  );
  op2(
    s,
    Ins.POR,
    x,
    op2c(
      s,
      Ins.PSHUFB,
      b,
      indices(bytes, i => (i >= OTHER ? i - OTHER : 0x80)),
    ),
    d,
  );
}

/** The indices as PSHUFB takes them: bit 7 for zero. */
function indices(from: Uint8Array, map: (index: number) => number): Words {
  const out: [number, number, number, number] = [0, 0, 0, 0];
  for (let i = 0; i < BYTES; i++) out[i >> 2]! |= map(from[i]!) << ((i & 3) * 8);
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
function selector(from: Uint8Array, size: number, start: number, base: number): number {
  let imm = 0;
  for (let i = 0; i < 4; i++) {
    const lane = laneAt(from, start + i, size) - base;
    if (lane < 0 || lane > 3) return -1;
    imm |= lane << (2 * i);
  }
  return imm;
}

/** Eight bytes from `start` on are those of the same place. */
function inPlace(from: Uint8Array, start: number): boolean {
  for (let i = start; i < start + 8; i++) if (from[i] !== i) return false;
  return true;
}

function shuffleOne(s: Selection, from: Uint8Array, a: number, d: number): void {
  const words = selector(from, 4, 0, 0);
  if (words === 0xe4) {
    copy(s, a, d);
    return;
  }
  if (words >= 0) {
    op1i(s, Ins.PSHUFD, a, words, d);
    return;
  }
  if (s.cpu.avx2 && from.every(x => x === 0)) {
    op1r(s, Ins.VPBROADCASTB, a, d);
    return;
  }
  if (s.cpu.avx2 && from.every((x, i) => x === (i & 1))) {
    op1r(s, Ins.VPBROADCASTW, a, d);
    return;
  }
  const low = inPlace(from, 8) ? selector(from, 2, 0, 0) : -1;
  if (low >= 0) {
    op1i(s, Ins.PSHUFLW, a, low, d);
    return;
  }
  const high = inPlace(from, 0) ? selector(from, 2, 4, 4) : -1;
  if (high >= 0) {
    op1i(s, Ins.PSHUFHW, a, high, d);
    return;
  }
  if (interleaves(s, from, a, a, d, BYTES - 1)) return;
  const rotation = from[0]!;
  if (from.every((x, i) => x === ((i + rotation) & (BYTES - 1)))) op2i(s, Ins.PALIGNR, a, a, rotation, d);
  else
    op2c(
      s,
      Ins.PSHUFB,
      a,
      indices(from, i => i),
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
    blendWords(s, blend, a, b, d);
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

/** Words of b where `mask` has a bit, of a elsewhere. VPBLENDD runs on more ports of some processors. */
function blendWords(s: Selection, mask: number, a: number, b: number, d: number): void {
  const even = mask & 0x55;
  if (s.cpu.avx2 && even === ((mask >> 1) & 0x55)) {
    op2i(s, Ins.VPBLENDD, a, b, (even & 1) | ((even >> 1) & 2) | ((even >> 2) & 4) | ((even >> 3) & 8), d);
  } else op2i(s, Ins.PBLENDW, a, b, mask, d);
}

// ---- one operand and zeros

function isZero(s: Selection, v: Value): boolean {
  return s.opOf(v) === Op.VConst && wordsOf(s, v).every(w => w === 0);
}

/** Extension of the lowest lanes: instruction, bytes of a lane before and after. */
const EXTENSIONS = [
  [Ins.PMOVZXBW, 1, 2],
  [Ins.PMOVZXBD, 1, 4],
  [Ins.PMOVZXBQ, 1, 8],
  [Ins.PMOVZXWD, 2, 4],
  [Ins.PMOVZXWQ, 2, 8],
  [Ins.PMOVZXDQ, 4, 8],
] as const;

/** Indices from 16 on are zeros. */
function shuffleWithZeros(s: Selection, from: Uint8Array, a: number, d: number): void {
  const fits = (index: (i: number) => number): boolean =>
    from.every((x, i) => {
      const wanted = index(i);
      return wanted < 0 ? x >= OTHER : x === wanted;
    });
  for (const [ins, size, to] of EXTENSIONS) {
    if (!fits(i => (i % to < size ? Math.floor(i / to) * size + (i % to) : -1))) continue;
    op1(s, ins, a, d);
    return;
  }
  if (fits(i => (i < 8 ? i : -1))) {
    op1r(s, Ins.MOVQ, a, d);
    return;
  }
  for (let n = 1; n < BYTES; n++) {
    const left = fits(i => (i < n ? -1 : i - n));
    if (!left && !fits(i => (i + n < BYTES ? i + n : -1))) continue;
    shift(s, left ? Ins.PSLLDQ : Ins.PSRLDQ, a, n, d);
    return;
  }
  op2c(
    s,
    Ins.PSHUFB,
    a,
    indices(from, i => (i < OTHER ? i : 0x80)),
    d,
  );
}

// ---- two operands, one of which stays where it is

/** Lanes of 32 bits: three of a in their places, and one of b. */
function insertsLane(s: Selection, from: Uint8Array, a: number, b: number, d: number): boolean {
  let imm = -1;
  for (let i = 0; i < 4; i++) {
    const lane = laneAt(from, i, 4);
    if (lane === i) continue;
    if (lane < 4 || imm >= 0) return false;
    imm = ((lane - 4) << 6) | (i << 4);
  }
  if (imm < 0) return false;
  // In a register: from memory it would take the lane there.
  s.row(xop(s.cpu.avx ? X.VexI : X.AluRI, Ins.INSERTPS, 16), 0, imm);
  if (s.cpu.avx) s.def(d);
  else s.defReuse(d);
  s.use(a);
  s.use(b);
  return true;
}

const alone = new Uint8Array(BYTES);

/** Words of 16 bits of a in their places; the others are b's, shuffled. */
function blendsShuffled(s: Selection, from: Uint8Array, a: number, b: number, d: number): boolean {
  let mask = 0;
  for (let i = 0; i < BYTES; i += 2) {
    const low = from[i]!;
    const high = from[i + 1]!;
    if (low >= OTHER && high >= OTHER) {
      mask |= 1 << (i >> 1);
      alone[i] = low - OTHER;
      alone[i + 1] = high - OTHER;
    } else if (low === i && high === i + 1) {
      alone[i] = i;
      alone[i + 1] = i + 1;
    } else return false;
  }
  const x = s.fresh(RegClass.Vec);
  shuffleOne(s, alone, b, x);
  blendWords(s, mask, a, x, d);
  return true;
}

/** Whole lanes of 32 bits: by their numbers, or each operand's by an immediate. */
function permutesWords(s: Selection, a: number, b: number, d: number): boolean {
  const words: [number, number, number, number] = [0, 0, 0, 0];
  let mask = 0;
  let first = 0;
  let second = 0;
  for (let i = 0; i < 4; i++) {
    const lane = laneAt(bytes, i, 4);
    if (lane < 0) return false;
    words[i] = lane;
    if (lane < 4) first |= lane << (2 * i);
    else {
      second |= (lane - 4) << (2 * i);
      mask |= 3 << (2 * i);
    }
  }
  if (s.cpu.avx512vl) fma(s, Ins.VPERMT2D, constant(s, words), b, a, d);
  else blendWords(s, mask, op1i(s, Ins.PSHUFD, a, first), op1i(s, Ins.PSHUFD, b, second), d);
  return true;
}
