/** Selection of what goes between vectors and scalars: splats, lanes, tests. */
import { bug } from '../../diagnostics.ts';
import { F_A, F_B, F_IMM, F_IMM2, ROW, type Value } from '../../ir/func.ts';
import { MemKind, Op, Type } from '../../ir/ops.ts';
import { VEC_LANES, VecOp } from '../../ir/vec-ops.ts';
import { RegClass } from '../mach.ts';
import { CC, Ins } from './encode-table.ts';
import { X, xop } from './insts.ts';
import type { Selection } from './lower-base.ts';
import {
  all8,
  all16,
  all32,
  all64,
  constant,
  memRow,
  op1,
  op1i,
  op1r,
  op2,
  op2r,
  zero,
} from './simd-rows.ts';
import { EQ } from './simd-table.ts';

function vecOp(s: Selection, v: Value): VecOp {
  return s.func.rows[v * ROW + F_IMM2]!;
}

/** A load whose lowest bytes are all that the current root looks at. */
function narrowLoad(s: Selection, v: Value, signed: MemKind, unsigned: MemKind): boolean {
  if (!s.canSink(v)) return false;
  const kind = s.accessKind(v);
  return kind === signed || kind === unsigned;
}

export function selectSplat(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = vecOp(s, v);
  const av = r[v * ROW + F_A]!;
  const d = s.result(v);
  const scalar = s.opOf(av);
  if (scalar === Op.IConst || scalar === Op.FConst) {
    const lo = r[av * ROW + F_IMM]!;
    if (op === VecOp.i8x16_splat) constant(s, all8(lo), d);
    else if (op === VecOp.i16x8_splat) constant(s, all16(lo), d);
    else if (VEC_LANES[op] === 4) constant(s, all32(lo), d);
    else constant(s, all64(lo, r[av * ROW + F_IMM2]!), d);
    return;
  }
  const { avx, avx2 } = s.cpu;
  const fromMemory = (ins: Ins): void => {
    memRow(s, xop(X.Rm, ins, 16), av);
    s.def(d);
    s.addr();
  };
  switch (op) {
    case VecOp.i8x16_splat: {
      if (avx2 && narrowLoad(s, av, MemKind.S8, MemKind.U8)) {
        fromMemory(Ins.VPBROADCASTB);
        return;
      }
      const x = op1(s, Ins.MOVD_TO_X, s.val(av), s.fresh(RegClass.Vec), 4);
      if (avx2) op1r(s, Ins.VPBROADCASTB, x, d);
      else op2(s, Ins.PSHUFB, x, zero(s), d);
      return;
    }
    case VecOp.i16x8_splat: {
      if (avx2 && narrowLoad(s, av, MemKind.S16, MemKind.U16)) {
        fromMemory(Ins.VPBROADCASTW);
        return;
      }
      const x = op1(s, Ins.MOVD_TO_X, s.val(av), s.fresh(RegClass.Vec), 4);
      if (avx2) op1r(s, Ins.VPBROADCASTW, x, d);
      else op1i(s, Ins.PSHUFD, op1i(s, Ins.PSHUFLW, x, 0), 0, d);
      return;
    }
    case VecOp.i32x4_splat:
      if (avx && s.canFold(av, 4)) fromMemory(Ins.VBROADCASTSS);
      else op1i(s, Ins.PSHUFD, op1(s, Ins.MOVD_TO_X, s.val(av), s.fresh(RegClass.Vec), 4), 0, d);
      return;
    case VecOp.i64x2_splat:
      if (s.canFold(av, 8)) fromMemory(Ins.MOVDDUP);
      else op1i(s, Ins.PSHUFD, op1(s, Ins.MOVQ_TO_X, s.val(av), s.fresh(RegClass.Vec), 8), 0x44, d);
      return;
    case VecOp.f32x4_splat:
      if (avx && s.canFold(av, 4)) fromMemory(Ins.VBROADCASTSS);
      else op1i(s, Ins.PSHUFD, s.val(av), 0, d);
      return;
    case VecOp.f64x2_splat:
      if (s.canFold(av, 8)) fromMemory(Ins.MOVDDUP);
      else op1(s, Ins.MOVDDUP, s.val(av), d);
      return;
    default:
      bug(`no selection for the vector operator ${op}`);
  }
}

export function selectZext(s: Selection, v: Value): void {
  const av = s.func.rows[v * ROW + F_A]!;
  const f64 = s.typeOf(av) === Type.F64;
  const d = s.result(v);
  if (s.canFold(av, f64 ? 8 : 4)) {
    memRow(s, xop(X.Rm, f64 ? Ins.MOVSD : Ins.MOVSS, 16), av);
    s.def(d);
    s.addr();
    return;
  }
  const a = s.val(av);
  if (f64) op1r(s, Ins.MOVQ, a, d);
  else op2r(s, Ins.MOVSS, zero(s), a, d);
}

export function selectExtract(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = vecOp(s, v);
  const lane = r[v * ROW + F_IMM]!;
  const d = s.result(v);
  const a = s.val(r[v * ROW + F_A]!);
  switch (op) {
    case VecOp.i8x16_extract_lane_u:
      op1i(s, Ins.PEXTRB, a, lane, d, 4);
      return;
    case VecOp.i8x16_extract_lane_s:
      op1r(s, Ins.MOVSX8, op1i(s, Ins.PEXTRB, a, lane, s.fresh(RegClass.Int), 4), d, 4);
      return;
    case VecOp.i16x8_extract_lane_u:
      op1i(s, Ins.PEXTRW, a, lane, d, 4);
      return;
    case VecOp.i16x8_extract_lane_s:
      op1r(s, Ins.MOVSX16, op1i(s, Ins.PEXTRW, a, lane, s.fresh(RegClass.Int), 4), d, 4);
      return;
    case VecOp.i32x4_extract_lane:
      if (lane === 0) op1r(s, Ins.MOVD_FROM_X, a, d, 4);
      else op1i(s, Ins.PEXTRD, a, lane, d, 4);
      return;
    case VecOp.i64x2_extract_lane:
      if (lane === 0) op1r(s, Ins.MOVQ_FROM_X, a, d, 8);
      else op1i(s, Ins.PEXTRQ, a, lane, d, 8);
      return;
    case VecOp.f32x4_extract_lane:
      // What lies above a scalar in its register does not matter.
      if (lane === 0) op1r(s, Ins.MOVAPS, a, d);
      else op1i(s, Ins.PSHUFD, a, lane, d);
      return;
    case VecOp.f64x2_extract_lane:
      if (lane === 0) op1r(s, Ins.MOVAPS, a, d);
      else op1i(s, Ins.PSHUFD, a, 0xee, d);
      return;
    default:
      bug(`no selection for the vector operator ${op}`);
  }
}

export function selectReplace(s: Selection, v: Value): void {
  const r = s.func.rows;
  const op = vecOp(s, v);
  const lane = r[v * ROW + F_IMM]!;
  const d = s.result(v);
  const a = s.val(r[v * ROW + F_A]!);
  const bv = r[v * ROW + F_B]!;
  switch (op) {
    case VecOp.i8x16_replace_lane:
      insert(s, Ins.PINSRB, 4, narrowLoad(s, bv, MemKind.S8, MemKind.U8), a, bv, lane, d);
      return;
    case VecOp.i16x8_replace_lane:
      insert(s, Ins.PINSRW, 4, narrowLoad(s, bv, MemKind.S16, MemKind.U16), a, bv, lane, d);
      return;
    case VecOp.i32x4_replace_lane:
      insert(s, Ins.PINSRD, 4, s.canFold(bv, 4), a, bv, lane, d);
      return;
    case VecOp.i64x2_replace_lane:
      insert(s, Ins.PINSRQ, 8, s.canFold(bv, 8), a, bv, lane, d);
      return;
    case VecOp.f32x4_replace_lane:
      insert(s, Ins.INSERTPS, 16, s.canFold(bv, 4), a, bv, lane << 4, d);
      return;
    default: {
      if (s.canFold(bv, 8)) {
        memRow(s, xop(s.cpu.avx ? X.Vex : X.Alu, lane === 0 ? Ins.MOVLPS : Ins.MOVHPS, 16), bv);
        if (s.cpu.avx) s.def(d);
        else s.defReuse(d);
        s.use(a);
        s.addr();
        return;
      }
      const b = s.val(bv);
      op2r(s, lane === 0 ? Ins.MOVSD : Ins.MOVLHPS, a, b, d);
    }
  }
}

function insert(
  s: Selection,
  ins: Ins,
  size: number,
  fold: boolean,
  a: number,
  bv: Value,
  imm: number,
  d: number,
): void {
  const word = xop(s.cpu.avx ? X.VexI : X.AluRI, ins, size);
  let b = -1;
  if (fold) memRow(s, word, bv, imm);
  else {
    b = s.val(bv);
    s.row(word, 0, imm);
  }
  if (s.cpu.avx) s.def(d);
  else s.defReuse(d);
  s.use(a);
  if (fold) s.addr();
  else s.useAny(b);
}

/** any_true, all_true, bitmask. */
export function selectVectorTest(s: Selection, v: Value): void {
  const op = vecOp(s, v);
  const d = s.result(v);
  const a = s.val(s.func.rows[v * ROW + F_A]!);
  switch (op) {
    case VecOp.i8x16_bitmask:
      op1r(s, Ins.PMOVMSKB, a, d, 4);
      return;
    case VecOp.i16x8_bitmask:
      op1r(s, Ins.PMOVMSKB, op2(s, Ins.PACKSSWB, a, zero(s)), d, 4);
      return;
    case VecOp.i32x4_bitmask:
      op1r(s, Ins.MOVMSKPS, a, d, 4);
      return;
    case VecOp.i64x2_bitmask:
      op1r(s, Ins.MOVMSKPD, a, d, 4);
      return;
  }
  const none = s.int(0, 0, 4);
  const any = op === VecOp.v128_any_true;
  // Not all lanes are true if one is equal to zero.
  const x = any ? a : op2(s, EQ[4 - Math.log2(VEC_LANES[op]!)]!, zero(s), a);
  s.row(xop(X.Cmp, Ins.PTEST, 16));
  s.use(x);
  s.use(x);
  s.row(xop(X.Setcc, 0, 1, any ? CC.NE : CC.E));
  s.defReuse(d);
  s.use(none);
}
