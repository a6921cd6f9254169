/**
 * The operators of WebAssembly, as data.
 *
 * An operator is named by a *code*: its byte, or 256 * page + its number for prefixed ones (`OpcodePage`). The table
 * below gives each code its name, the shape of its immediates, its type where the type is fixed, and the IR operator it
 * becomes; `OPCODES` has the records, the `OPCODE_*` arrays have the same by column for the walk over a body.
 *
 * A proposal's operators that are not there yet are ranges in `UNSUPPORTED`: supporting one means moving it up into the
 * table.
 */
import { MemKind, Op } from '../ir/ops.ts';
import { VEC_CLASS, VEC_NAMES, VEC_OP_COUNT } from '../ir/vec-ops.ts';
import { ValType } from './module.ts';

/** Where the operators behind a prefix byte start. */
export const enum OpcodePage {
  Plain = 0,
  /** Prefix 0xFC: saturating truncation, bulk memory, tables, wide arithmetic. */
  Misc = 256,
  /** Prefix 0xFD: vectors. A value operator's number is its VecOp. */
  Simd = 512,
}
const OPCODE_COUNT = OpcodePage.Simd + VEC_OP_COUNT;

/** Numbers of the operators that the walk handles one by one. */
export const enum Code {
  Unreachable = 0x00,
  Nop = 0x01,
  Block = 0x02,
  Loop = 0x03,
  If = 0x04,
  Else = 0x05,
  Throw = 0x08,
  ThrowRef = 0x0a,
  End = 0x0b,
  Br = 0x0c,
  BrIf = 0x0d,
  BrTable = 0x0e,
  Return = 0x0f,
  Call = 0x10,
  CallIndirect = 0x11,
  ReturnCall = 0x12,
  ReturnCallIndirect = 0x13,
  CallRef = 0x14,
  ReturnCallRef = 0x15,
  Drop = 0x1a,
  Select = 0x1b,
  SelectT = 0x1c,
  TryTable = 0x1f,
  LocalGet = 0x20,
  LocalSet = 0x21,
  LocalTee = 0x22,
  GlobalGet = 0x23,
  GlobalSet = 0x24,
  TableGet = 0x25,
  TableSet = 0x26,
  MemorySize = 0x3f,
  MemoryGrow = 0x40,
  I32Const = 0x41,
  I64Const = 0x42,
  F32Const = 0x43,
  F64Const = 0x44,
  RefNull = 0xd0,
  RefIsNull = 0xd1,
  RefFunc = 0xd2,
  RefEq = 0xd3,
  RefAsNonNull = 0xd4,
  BrOnNull = 0xd5,
  BrOnNonNull = 0xd6,
  /** In constant expressions only, as yet. */
  GcPrefix = 0xfb,
  MiscPrefix = 0xfc,
  SimdPrefix = 0xfd,
  // Prefix 0xFC: OpcodePage.Misc + number.
  MemoryInit = 0x108,
  DataDrop = 0x109,
  MemoryCopy = 0x10a,
  MemoryFill = 0x10b,
  TableInit = 0x10c,
  ElemDrop = 0x10d,
  TableCopy = 0x10e,
  TableGrow = 0x10f,
  TableSize = 0x110,
  TableFill = 0x111,
  I64Add128 = 0x113,
  I64Sub128 = 0x114,
  I64MulWideS = 0x115,
  I64MulWideU = 0x116,
  // Prefix 0xFD: OpcodePage.Simd + number.
  V128Const = 0x20c,
  Shuffle = 0x20d,
}

/** Shapes of immediates. */
export const enum Imm {
  None = 0,
  BlockType,
  /** One u32 index of any kind. */
  Index,
  /** Two u32 indices. */
  IndexPair,
  LabelTable,
  /** A block type, then a vector of catch clauses. */
  Catches,
  /** A vector of value types. */
  Types,
  HeapType,
  MemArg,
  I32,
  I64,
  F32,
  F64,
  /** 16 bytes: a v128, or the indices of a shuffle. */
  Bytes16,
  /** One byte. */
  Lane,
  MemArgLane,
}

/** How the walk treats an operator. */
export const enum OpcodeClass {
  /** No such operator. */
  None = 0,
  /** By its code: control, variables, tables, … */
  Special,
  /** One operand, one result, IR operator `op`. */
  Unary,
  Binary,
  /** `Eq` with zero. */
  Eqz,
  Load,
  Store,
  /** Vectors: operands and result by the IR operator. */
  Vector,
  /** Vector loads and stores other than those of all 16 bytes, by their code. */
  VectorMemory,
}

export interface Opcode {
  readonly code: number;
  readonly name: string;
  readonly imm: Imm;
  readonly class: OpcodeClass;
  /** Type of both operands, or of the value stored; 0 for Special. */
  readonly operand: ValType | 0;
  /** 0: none */
  readonly result: ValType | 0;
  readonly op: Op;
  /** Loads and stores. */
  readonly kind: MemKind;
  /** log2 of the natural alignment. */
  readonly align: number;
}

const I32 = ValType.I32;
const I64 = ValType.I64;
const F32 = ValType.F32;
const F64 = ValType.F64;
const V128 = ValType.V128;

/** Indexed by code; undefined: no such operator. */
export const OPCODES: readonly (Opcode | undefined)[] = table();

function table(): (Opcode | undefined)[] {
  const t: (Opcode | undefined)[] = new Array(OPCODE_COUNT).fill(undefined);
  const put = (
    code: number,
    name: string,
    cls: OpcodeClass,
    imm: Imm,
    operand: ValType | 0,
    result: ValType | 0,
    op: Op,
    kind: MemKind = MemKind.Full,
    align = 0,
  ) => {
    t[code] = { code, name, imm, class: cls, operand, result, op, kind, align };
  };
  const special = (code: number, name: string, imm: Imm) =>
    put(code, name, OpcodeClass.Special, imm, 0, 0, Op.Nop);

  special(Code.Unreachable, 'unreachable', Imm.None);
  special(Code.Nop, 'nop', Imm.None);
  special(Code.Block, 'block', Imm.BlockType);
  special(Code.Loop, 'loop', Imm.BlockType);
  special(Code.If, 'if', Imm.BlockType);
  special(Code.Else, 'else', Imm.None);
  special(Code.Throw, 'throw', Imm.Index);
  special(Code.ThrowRef, 'throw_ref', Imm.None);
  special(Code.TryTable, 'try_table', Imm.Catches);
  special(Code.End, 'end', Imm.None);
  special(Code.Br, 'br', Imm.Index);
  special(Code.BrIf, 'br_if', Imm.Index);
  special(Code.BrTable, 'br_table', Imm.LabelTable);
  special(Code.Return, 'return', Imm.None);
  special(Code.Call, 'call', Imm.Index);
  special(Code.CallIndirect, 'call_indirect', Imm.IndexPair);
  special(Code.ReturnCall, 'return_call', Imm.Index);
  special(Code.ReturnCallIndirect, 'return_call_indirect', Imm.IndexPair);
  special(Code.CallRef, 'call_ref', Imm.Index);
  special(Code.ReturnCallRef, 'return_call_ref', Imm.Index);
  special(Code.Drop, 'drop', Imm.None);
  special(Code.Select, 'select', Imm.None);
  special(Code.SelectT, 'select', Imm.Types);
  special(Code.LocalGet, 'local.get', Imm.Index);
  special(Code.LocalSet, 'local.set', Imm.Index);
  special(Code.LocalTee, 'local.tee', Imm.Index);
  special(Code.GlobalGet, 'global.get', Imm.Index);
  special(Code.GlobalSet, 'global.set', Imm.Index);
  special(Code.TableGet, 'table.get', Imm.Index);
  special(Code.TableSet, 'table.set', Imm.Index);
  special(Code.MemorySize, 'memory.size', Imm.Index);
  special(Code.MemoryGrow, 'memory.grow', Imm.Index);
  special(Code.I32Const, 'i32.const', Imm.I32);
  special(Code.I64Const, 'i64.const', Imm.I64);
  special(Code.F32Const, 'f32.const', Imm.F32);
  special(Code.F64Const, 'f64.const', Imm.F64);
  special(Code.RefNull, 'ref.null', Imm.HeapType);
  special(Code.RefIsNull, 'ref.is_null', Imm.None);
  special(Code.RefFunc, 'ref.func', Imm.Index);
  special(Code.RefEq, 'ref.eq', Imm.None);
  special(Code.RefAsNonNull, 'ref.as_non_null', Imm.None);
  special(Code.BrOnNull, 'br_on_null', Imm.Index);
  special(Code.BrOnNonNull, 'br_on_non_null', Imm.Index);
  special(Code.MemoryInit, 'memory.init', Imm.IndexPair);
  special(Code.DataDrop, 'data.drop', Imm.Index);
  special(Code.MemoryCopy, 'memory.copy', Imm.IndexPair);
  special(Code.MemoryFill, 'memory.fill', Imm.Index);
  special(Code.TableInit, 'table.init', Imm.IndexPair);
  special(Code.ElemDrop, 'elem.drop', Imm.Index);
  special(Code.TableCopy, 'table.copy', Imm.IndexPair);
  special(Code.TableGrow, 'table.grow', Imm.Index);
  special(Code.TableSize, 'table.size', Imm.Index);
  special(Code.TableFill, 'table.fill', Imm.Index);
  special(Code.I64Add128, 'i64.add128', Imm.None);
  special(Code.I64Sub128, 'i64.sub128', Imm.None);
  special(Code.I64MulWideS, 'i64.mul_wide_s', Imm.None);
  special(Code.I64MulWideU, 'i64.mul_wide_u', Imm.None);

  // Loads and stores, 0x28–0x3e: name, type, kind, log2 of the access size.
  const memory: [string, ValType, MemKind, number][] = [
    ['i32.load', I32, MemKind.Full, 2],
    ['i64.load', I64, MemKind.Full, 3],
    ['f32.load', F32, MemKind.Full, 2],
    ['f64.load', F64, MemKind.Full, 3],
    ['i32.load8_s', I32, MemKind.S8, 0],
    ['i32.load8_u', I32, MemKind.U8, 0],
    ['i32.load16_s', I32, MemKind.S16, 1],
    ['i32.load16_u', I32, MemKind.U16, 1],
    ['i64.load8_s', I64, MemKind.S8, 0],
    ['i64.load8_u', I64, MemKind.U8, 0],
    ['i64.load16_s', I64, MemKind.S16, 1],
    ['i64.load16_u', I64, MemKind.U16, 1],
    ['i64.load32_s', I64, MemKind.S32, 2],
    ['i64.load32_u', I64, MemKind.U32, 2],
    ['i32.store', I32, MemKind.Full, 2],
    ['i64.store', I64, MemKind.Full, 3],
    ['f32.store', F32, MemKind.Full, 2],
    ['f64.store', F64, MemKind.Full, 3],
    ['i32.store8', I32, MemKind.U8, 0],
    ['i32.store16', I32, MemKind.U16, 1],
    ['i64.store8', I64, MemKind.U8, 0],
    ['i64.store16', I64, MemKind.U16, 1],
    ['i64.store32', I64, MemKind.U32, 2],
  ];
  memory.forEach(([name, type, kind, align], i) => {
    if (name.includes('load'))
      put(0x28 + i, name, OpcodeClass.Load, Imm.MemArg, 0, type, Op.Load, kind, align);
    else put(0x28 + i, name, OpcodeClass.Store, Imm.MemArg, type, 0, Op.Store, kind, align);
  });

  const unary = (code: number, name: string, from: ValType, to: ValType, op: Op) =>
    put(code, name, OpcodeClass.Unary, Imm.None, from, to, op);
  const binary = (code: number, prefix: string, type: ValType, result: ValType, ops: [string, Op][]) => {
    ops.forEach(([name, op], i) => {
      put(code + i, `${prefix}.${name}`, OpcodeClass.Binary, Imm.None, type, result, op);
    });
  };
  const intCompare: [string, Op][] = [
    ['eq', Op.Eq],
    ['ne', Op.Ne],
    ['lt_s', Op.LtS],
    ['lt_u', Op.LtU],
    ['gt_s', Op.GtS],
    ['gt_u', Op.GtU],
    ['le_s', Op.LeS],
    ['le_u', Op.LeU],
    ['ge_s', Op.GeS],
    ['ge_u', Op.GeU],
  ];
  const floatCompare: [string, Op][] = [
    ['eq', Op.FEq],
    ['ne', Op.FNe],
    ['lt', Op.FLt],
    ['gt', Op.FGt],
    ['le', Op.FLe],
    ['ge', Op.FGe],
  ];
  const intBinary: [string, Op][] = [
    ['add', Op.Add],
    ['sub', Op.Sub],
    ['mul', Op.Mul],
    ['div_s', Op.DivS],
    ['div_u', Op.DivU],
    ['rem_s', Op.RemS],
    ['rem_u', Op.RemU],
    ['and', Op.And],
    ['or', Op.Or],
    ['xor', Op.Xor],
    ['shl', Op.Shl],
    ['shr_s', Op.ShrS],
    ['shr_u', Op.ShrU],
    ['rotl', Op.Rotl],
    ['rotr', Op.Rotr],
  ];
  const intUnary: [string, Op][] = [
    ['clz', Op.Clz],
    ['ctz', Op.Ctz],
    ['popcnt', Op.Popcnt],
  ];
  const floatUnary: [string, Op][] = [
    ['abs', Op.FAbs],
    ['neg', Op.FNeg],
    ['ceil', Op.FCeil],
    ['floor', Op.FFloor],
    ['trunc', Op.FTrunc],
    ['nearest', Op.FNearest],
    ['sqrt', Op.FSqrt],
  ];
  const floatBinary: [string, Op][] = [
    ['add', Op.FAdd],
    ['sub', Op.FSub],
    ['mul', Op.FMul],
    ['div', Op.FDiv],
    ['min', Op.FMin],
    ['max', Op.FMax],
    ['copysign', Op.FCopysign],
  ];
  const each = (code: number, prefix: string, type: ValType, ops: [string, Op][]) => {
    ops.forEach(([name, op], i) => {
      unary(code + i, `${prefix}.${name}`, type, type, op);
    });
  };

  put(0x45, 'i32.eqz', OpcodeClass.Eqz, Imm.None, I32, I32, Op.Eq);
  binary(0x46, 'i32', I32, I32, intCompare);
  put(0x50, 'i64.eqz', OpcodeClass.Eqz, Imm.None, I64, I32, Op.Eq);
  binary(0x51, 'i64', I64, I32, intCompare);
  binary(0x5b, 'f32', F32, I32, floatCompare);
  binary(0x61, 'f64', F64, I32, floatCompare);
  each(0x67, 'i32', I32, intUnary);
  binary(0x6a, 'i32', I32, I32, intBinary);
  each(0x79, 'i64', I64, intUnary);
  binary(0x7c, 'i64', I64, I64, intBinary);
  each(0x8b, 'f32', F32, floatUnary);
  binary(0x92, 'f32', F32, F32, floatBinary);
  each(0x99, 'f64', F64, floatUnary);
  binary(0xa0, 'f64', F64, F64, floatBinary);

  const conversions: [string, ValType, ValType, Op][] = [
    ['i32.wrap_i64', I64, I32, Op.Wrap],
    ['i32.trunc_f32_s', F32, I32, Op.TruncS],
    ['i32.trunc_f32_u', F32, I32, Op.TruncU],
    ['i32.trunc_f64_s', F64, I32, Op.TruncS],
    ['i32.trunc_f64_u', F64, I32, Op.TruncU],
    ['i64.extend_i32_s', I32, I64, Op.ExtendS],
    ['i64.extend_i32_u', I32, I64, Op.ExtendU],
    ['i64.trunc_f32_s', F32, I64, Op.TruncS],
    ['i64.trunc_f32_u', F32, I64, Op.TruncU],
    ['i64.trunc_f64_s', F64, I64, Op.TruncS],
    ['i64.trunc_f64_u', F64, I64, Op.TruncU],
    ['f32.convert_i32_s', I32, F32, Op.ConvertS],
    ['f32.convert_i32_u', I32, F32, Op.ConvertU],
    ['f32.convert_i64_s', I64, F32, Op.ConvertS],
    ['f32.convert_i64_u', I64, F32, Op.ConvertU],
    ['f32.demote_f64', F64, F32, Op.Demote],
    ['f64.convert_i32_s', I32, F64, Op.ConvertS],
    ['f64.convert_i32_u', I32, F64, Op.ConvertU],
    ['f64.convert_i64_s', I64, F64, Op.ConvertS],
    ['f64.convert_i64_u', I64, F64, Op.ConvertU],
    ['f64.promote_f32', F32, F64, Op.Promote],
    ['i32.reinterpret_f32', F32, I32, Op.Bitcast],
    ['i64.reinterpret_f64', F64, I64, Op.Bitcast],
    ['f32.reinterpret_i32', I32, F32, Op.Bitcast],
    ['f64.reinterpret_i64', I64, F64, Op.Bitcast],
    ['i32.extend8_s', I32, I32, Op.Ext8S],
    ['i32.extend16_s', I32, I32, Op.Ext16S],
    ['i64.extend8_s', I64, I64, Op.Ext8S],
    ['i64.extend16_s', I64, I64, Op.Ext16S],
    ['i64.extend32_s', I64, I64, Op.Ext32S],
  ];
  conversions.forEach(([name, from, to, op], i) => {
    unary(0xa7 + i, name, from, to, op);
  });
  const saturating: [string, ValType, ValType, Op][] = [
    ['i32.trunc_sat_f32_s', F32, I32, Op.TruncSatS],
    ['i32.trunc_sat_f32_u', F32, I32, Op.TruncSatU],
    ['i32.trunc_sat_f64_s', F64, I32, Op.TruncSatS],
    ['i32.trunc_sat_f64_u', F64, I32, Op.TruncSatU],
    ['i64.trunc_sat_f32_s', F32, I64, Op.TruncSatS],
    ['i64.trunc_sat_f32_u', F32, I64, Op.TruncSatU],
    ['i64.trunc_sat_f64_s', F64, I64, Op.TruncSatS],
    ['i64.trunc_sat_f64_u', F64, I64, Op.TruncSatU],
  ];
  saturating.forEach(([name, from, to, op], i) => {
    unary(OpcodePage.Misc + i, name, from, to, op);
  });

  // Vectors.
  const simd = OpcodePage.Simd;
  put(simd + 0x00, 'v128.load', OpcodeClass.Load, Imm.MemArg, 0, V128, Op.Load, MemKind.Full, 4);
  put(simd + 0x0b, 'v128.store', OpcodeClass.Store, Imm.MemArg, V128, 0, Op.Store, MemKind.Full, 4);
  special(Code.V128Const, 'v128.const', Imm.Bytes16);
  special(Code.Shuffle, 'i8x16.shuffle', Imm.Bytes16);
  // First code, log2 of the first access size and its step from one to the next, names.
  const vectorMemory: [number, number, number, Imm, string][] = [
    [0x01, 3, 0, Imm.MemArg, 'load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u'],
    [0x07, 0, 1, Imm.MemArg, 'load8_splat load16_splat load32_splat load64_splat'],
    [0x54, 0, 1, Imm.MemArgLane, 'load8_lane load16_lane load32_lane load64_lane'],
    [0x58, 0, 1, Imm.MemArgLane, 'store8_lane store16_lane store32_lane store64_lane'],
    [0x5c, 2, 1, Imm.MemArg, 'load32_zero load64_zero'],
  ];
  for (const [first, align, step, imm, names] of vectorMemory) {
    names.split(' ').forEach((name, i) => {
      const code = simd + first + i;
      const at = align + step * i;
      put(code, `v128.${name}`, OpcodeClass.VectorMemory, imm, V128, V128, Op.Nop, MemKind.Full, at);
    });
  }
  VEC_CLASS.forEach((op, n) => {
    if (op === Op.Nop) return;
    const imm = op === Op.VExtract || op === Op.VReplace ? Imm.Lane : Imm.None;
    put(simd + n, VEC_NAMES[n]!, OpcodeClass.Vector, imm, V128, V128, op);
  });
  return t;
}

function column<T extends Uint8Array>(into: T, field: (o: Opcode) => number): T {
  for (const o of OPCODES) if (o) into[o.code] = field(o);
  return into;
}
/** The same by column. */
export const OPCODE_CLASS = column(new Uint8Array(OPCODE_COUNT), o => o.class);
export const OPCODE_IMM = column(new Uint8Array(OPCODE_COUNT), o => o.imm);
export const OPCODE_OPERAND = column(new Uint8Array(OPCODE_COUNT), o => o.operand);
export const OPCODE_RESULT = column(new Uint8Array(OPCODE_COUNT), o => o.result);
export const OPCODE_OP = column(new Uint8Array(OPCODE_COUNT), o => o.op);
export const OPCODE_KIND = column(new Uint8Array(OPCODE_COUNT), o => o.kind);
export const OPCODE_ALIGN = column(new Uint8Array(OPCODE_COUNT), o => o.align);

/** 1: it has to do with floating-point numbers. Their names say so, of vectors' operators, too. */
export const OPCODE_FLOAT = column(new Uint8Array(OPCODE_COUNT), o => (/f(32|64)/.test(o.name) ? 1 : 0));

/** First bytes of operators of proposals that are not supported: [first, last, proposal]. */
const UNSUPPORTED: readonly (readonly [number, number, string])[] = [
  [0x06, 0x07, 'legacy-exceptions'],
  [0x09, 0x09, 'legacy-exceptions'],
  [0x18, 0x19, 'legacy-exceptions'],
  [Code.GcPrefix, Code.GcPrefix, 'gc'],
  [0xfe, 0xfe, 'threads'],
];
/** The proposal that an operator's first byte belongs to, or null: no such operator. */
export function unsupportedOpcode(byte: number): string | null {
  for (const [first, last, proposal] of UNSUPPORTED) if (byte >= first && byte <= last) return proposal;
  return null;
}
