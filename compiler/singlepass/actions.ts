/**
 * What the single pass does for each operator: one look-up and one jump, where the opcode table has several columns to
 * ask.
 */
import { ValType } from '../wasm/module.ts';
import {
  Code,
  OPCODE_CLASS,
  OPCODE_OPERAND,
  OPCODE_RESULT,
  OpcodeClass,
  OpcodePage,
} from '../wasm/opcodes.ts';
import { isFloatType } from './x64/state.ts';

export const enum Action {
  /** It is not known here: the body is left to the other path. */
  Leave = 0,
  LocalSet,
  LocalTee,
  Load,
  Store,
  IntBinary,
  IntUnary,
  Eqz,
  I64Const,
  Block,
  Loop,
  If,
  Br,
  BrIf,
  Call,
  GlobalGet,
  GlobalSet,
  Drop,
  F32Const,
  F64Const,
  FloatBinary,
  FloatUnary,
  Conversion,
  Unreachable,
  Nop,
  BrTable,
  Return,
  CallIndirect,
  Select,
  MemorySize,
  MemoryGrow,
  MemoryCopy,
  MemoryFill,
  MiscPrefix,
}

/** Operators by their code. `local.get`, `i32.const`, `else` and `end` are seen before (compile.ts). */
const BY_CODE: readonly (readonly [Code, Action])[] = [
  [Code.LocalSet, Action.LocalSet],
  [Code.LocalTee, Action.LocalTee],
  [Code.I64Const, Action.I64Const],
  [Code.F32Const, Action.F32Const],
  [Code.F64Const, Action.F64Const],
  [Code.Unreachable, Action.Unreachable],
  [Code.Nop, Action.Nop],
  [Code.Block, Action.Block],
  [Code.Loop, Action.Loop],
  [Code.If, Action.If],
  [Code.Br, Action.Br],
  [Code.BrIf, Action.BrIf],
  [Code.BrTable, Action.BrTable],
  [Code.Return, Action.Return],
  [Code.Call, Action.Call],
  [Code.CallIndirect, Action.CallIndirect],
  [Code.Drop, Action.Drop],
  [Code.Select, Action.Select],
  [Code.GlobalGet, Action.GlobalGet],
  [Code.GlobalSet, Action.GlobalSet],
  [Code.MemorySize, Action.MemorySize],
  [Code.MemoryGrow, Action.MemoryGrow],
  [Code.MemoryCopy, Action.MemoryCopy],
  [Code.MemoryFill, Action.MemoryFill],
  [Code.MiscPrefix, Action.MiscPrefix],
];

/** Operators whose type is fixed. */
function byClass(code: number): Action {
  const operand = OPCODE_OPERAND[code]! as ValType;
  const result = OPCODE_RESULT[code]! as ValType;
  if (operand === ValType.V128 || result === ValType.V128) return Action.Leave;
  switch (OPCODE_CLASS[code]! as OpcodeClass) {
    case OpcodeClass.Binary:
      return isFloatType(operand) ? Action.FloatBinary : Action.IntBinary;
    case OpcodeClass.Unary:
      if (!isFloatType(operand) && !isFloatType(result)) return Action.IntUnary;
      return operand === result ? Action.FloatUnary : Action.Conversion;
    case OpcodeClass.Eqz:
      return Action.Eqz;
    case OpcodeClass.Load:
      return Action.Load;
    case OpcodeClass.Store:
      return Action.Store;
    default:
      return Action.Leave;
  }
}

/** By code below the page of vector operators. */
export const ACTIONS = Uint8Array.from({ length: OpcodePage.Simd }, (_, code) => byClass(code));
for (const [code, action] of BY_CODE) ACTIONS[code] = action;
