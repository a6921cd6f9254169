/**
 * Vectors.
 *
 * The loads and stores of parts of a vector become a scalar access and a vector operator each, so that all that is
 * known about accesses holds for them; the backend puts the two together again.
 */
import { accessSize, MemKind, memAccess, Op, Type } from '../ir/ops.ts';
import { VEC_LANES, VEC_SCALAR, VecOp } from '../ir/vec-ops.ts';
import { checkedAddress } from './bounds.ts';
import { canonicalNans } from './canonical-nans.ts';
import { memArg } from './lower-memory.ts';
import { ValType } from './module.ts';
import { Code, OPCODE_ALIGN, OPCODE_CLASS, OPCODE_OP, OpcodeClass, OpcodePage } from './opcodes.ts';
import { irType } from './types.ts';
import type { Walk } from './walk.ts';

/**
 * By number behind the prefix: what is loaded or stored as a scalar, and the operator that makes a vector of it, or
 * takes it out of one.
 */
type Part = readonly [number: number, type: Type, kind: MemKind, op: VecOp | 0];
const PARTS: Part[] = [];
for (const part of [
  [0x01, Type.F64, MemKind.Full, VecOp.i16x8_extend_low_i8x16_s],
  [0x02, Type.F64, MemKind.Full, VecOp.i16x8_extend_low_i8x16_u],
  [0x03, Type.F64, MemKind.Full, VecOp.i32x4_extend_low_i16x8_s],
  [0x04, Type.F64, MemKind.Full, VecOp.i32x4_extend_low_i16x8_u],
  [0x05, Type.F64, MemKind.Full, VecOp.i64x2_extend_low_i32x4_s],
  [0x06, Type.F64, MemKind.Full, VecOp.i64x2_extend_low_i32x4_u],
  [0x07, Type.I32, MemKind.U8, VecOp.i8x16_splat],
  [0x08, Type.I32, MemKind.U16, VecOp.i16x8_splat],
  [0x09, Type.F32, MemKind.Full, VecOp.f32x4_splat],
  [0x0a, Type.F64, MemKind.Full, VecOp.f64x2_splat],
  [0x54, Type.I32, MemKind.U8, VecOp.i8x16_replace_lane],
  [0x55, Type.I32, MemKind.U16, VecOp.i16x8_replace_lane],
  [0x56, Type.I32, MemKind.Full, VecOp.i32x4_replace_lane],
  [0x57, Type.I64, MemKind.Full, VecOp.i64x2_replace_lane],
  [0x58, Type.I32, MemKind.U8, VecOp.i8x16_extract_lane_u],
  [0x59, Type.I32, MemKind.U16, VecOp.i16x8_extract_lane_u],
  [0x5a, Type.I32, MemKind.Full, VecOp.i32x4_extract_lane],
  [0x5b, Type.I64, MemKind.Full, VecOp.i64x2_extract_lane],
  [0x5c, Type.F32, MemKind.Full, 0],
  [0x5d, Type.F64, MemKind.Full, 0],
] satisfies Part[]) {
  PARTS[part[0]] = part;
}
/**
 * The ranges of operators in PARTS begin here: loads that splat, loads of a lane, stores of a lane, loads with zeros in
 * the other lanes.
 */
const SPLAT = 0x07;
const REPLACE = 0x54;
const STORE = 0x58;
const ZERO = 0x5c;

const words = new Int32Array(4);

/** An operator behind the prefix 0xFD; false: there is none of this code. */
export function simd(w: Walk, code: number): boolean {
  switch (OPCODE_CLASS[code]! as OpcodeClass) {
    case OpcodeClass.Vector:
      vector(w, code - OpcodePage.Simd);
      return true;
    case OpcodeClass.VectorMemory:
      access(w, code);
      return true;
    case OpcodeClass.Special:
      if (code === Code.V128Const) {
        w.r.v128(words);
        w.push(ValType.V128, w.ssa.live ? constant(w) : 0);
      } else {
        shuffle(w);
      }
      return true;
    default:
      return false;
  }
}

/** The 16 bytes read last. */
function constant(w: Walk): number {
  const { ssa } = w;
  return ssa.emit(Op.VConst, Type.V128, 0, 0, 0, ssa.func.listOf(words), 0);
}

function shuffle(w: Walk): void {
  const { ssa, r } = w;
  const at = r.pos;
  r.v128(words);
  for (let i = at; i < at + 16; i++) if (r.bytes[i]! >= 32) w.fail('invalid lane index');
  const b = w.pop(ValType.V128);
  const a = w.pop(ValType.V128);
  w.push(ValType.V128, ssa.live ? ssa.emit(Op.VShuffle, Type.V128, a, b, constant(w), 0, 0) : 0);
}

function lane(w: Walk, op: number): number {
  const n = w.r.u8();
  if (n >= VEC_LANES[op]!) w.fail('invalid lane index');
  return n;
}

/** Type of a scalar operand or result: the numbers of Type and ValType agree there. */
function scalarOf(op: number): ValType {
  return VEC_SCALAR[op]! as number as ValType;
}

function vector(w: Walk, op: VecOp): void {
  const { ssa } = w;
  const kind = OPCODE_OP[OpcodePage.Simd + op]! as Op;
  let imm = 0;
  let c = 0;
  let b = 0;
  let result = ValType.V128;
  let operand = ValType.V128;
  switch (kind) {
    case Op.VTernary:
      c = w.pop(ValType.V128);
      b = w.pop(ValType.V128);
      break;
    case Op.VBinary:
      b = w.pop(ValType.V128);
      break;
    case Op.VShift:
      b = w.pop(ValType.I32);
      break;
    case Op.VSplat:
      operand = scalarOf(op);
      break;
    case Op.VExtract:
      imm = lane(w, op);
      result = scalarOf(op);
      break;
    case Op.VReplace:
      imm = lane(w, op);
      b = w.pop(scalarOf(op));
      break;
    case Op.VTest:
      result = ValType.I32;
      break;
  }
  const a = w.pop(operand);
  w.push(result, ssa.live ? canonicalNans(w, op, ssa.emit(kind, irType(result), a, b, c, imm, op)) : 0);
}

function access(w: Walk, code: number): void {
  const { ssa } = w;
  const number = code - OpcodePage.Simd;
  const [, type, kind, op] = PARTS[number]!;
  const memory = memArg(w, OPCODE_ALIGN[code]!);
  const laned = number >= REPLACE && number < ZERO;
  const index = laned ? lane(w, op) : 0;
  const v = laned ? w.pop(ValType.V128) : 0;
  const base = w.pop(w.memoryIndexType(memory));
  const store = number >= STORE && number < ZERO;
  if (!ssa.live) {
    if (!store) w.push(ValType.V128, 0);
    return;
  }
  const address = checkedAddress(w, memory, base, accessSize(kind, type));
  const accessKind = memAccess(kind, memory);
  if (store) {
    const scalar = ssa.emit(Op.VExtract, type, v, 0, 0, index, op);
    ssa.emit(Op.Store, Type.None, address, scalar, 0, w.offset, accessKind);
    return;
  }
  const scalar = ssa.emit(Op.Load, type, address, 0, 0, w.offset, accessKind);
  let result: number;
  if (laned) result = ssa.emit(Op.VReplace, Type.V128, v, scalar, 0, index, op);
  else if (op !== 0 && number >= SPLAT) result = ssa.emit(Op.VSplat, Type.V128, scalar, 0, 0, 0, op);
  else {
    result = ssa.emit(Op.VZext, Type.V128, scalar, 0, 0, 0, 0);
    if (op !== 0) result = ssa.emit(Op.VUnary, Type.V128, result, 0, 0, 0, op);
  }
  w.push(ValType.V128, result);
}
