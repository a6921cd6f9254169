/** Constant expressions (core specification 3.0, "Constant Expressions"): decoded and validated. */
import { CONST_DEPTH } from '../abi/artifact.ts';
import { CompileError } from '../diagnostics.ts';
import { needFeature, unsupported } from '../features.ts';
import { overLimit } from './limits.ts';
import { type ConstExpr, type ConstOp, type GlobalType, TypeKind, ValType } from './module.ts';
import { Code, OPCODE_CLASS, OpcodeClass, OpcodePage, unsupportedOpcode } from './opcodes.ts';
import type { Reader } from './reader.ts';
import {
  baseOf,
  concreteRef,
  isDefaultable,
  matches,
  readHeapType,
  type TypeSpace,
  typeName,
} from './types.ts';

/** What a constant expression may refer to. */
export interface ConstScope extends TypeSpace {
  /** All globals so far: a constant expression may read those before it that never change. */
  readonly globalTypes: readonly GlobalType[];
  readonly importedGlobals: number;
  /** Type of a reference to a function. */
  funcRefType(index: number): ValType;
  /**
   * Throws when there is no such function; notes that its address is taken. Returns the shared expression
   * `ref.func index`.
   */
  refFunc(index: number, offset: number): ConstExpr;
}

const bits = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

function mismatch(at: number): never {
  throw new CompileError('type mismatch in a constant expression', at, 'invalid');
}

/** i32.add … i32.mul, i64.add … i64.mul */
const enum Arithmetic {
  I32 = 0x6a,
  I64 = 0x7c,
}
const ARITHMETIC = ['add', 'sub', 'mul'] as const;

/** The arithmetic operator of a constant expression that a byte is, or null. */
function arithmetic(code: number): ConstOp | null {
  if (code >= Arithmetic.I32 && code < Arithmetic.I32 + 3)
    return { op: ARITHMETIC[code - Arithmetic.I32]!, type: ValType.I32 };
  if (code >= Arithmetic.I64 && code < Arithmetic.I64 + 3)
    return { op: ARITHMETIC[code - Arithmetic.I64]!, type: ValType.I64 };
  return null;
}

const NULLS = new Map<ValType, ConstExpr>();

/** Segments may be millions of nulls: those of abstract types are the same expression. */
function nullExpr(expr: ConstExpr): ConstExpr {
  const op = expr[0]!;
  if (op.op !== 'ref.null' || baseOf(op.type) === ValType.Concrete) return expr;
  const known = NULLS.get(op.type);
  if (known) return known;
  NULLS.set(op.type, expr);
  return expr;
}

/** An expression and its `end`. It must have exactly one result, of type `expected`. */
export function readConstExpr(r: Reader, scope: ConstScope, expected: ValType): ConstExpr {
  const start = r.pos;
  const ops: ConstOp[] = [];
  const types: ValType[] = [];
  let shared: ConstExpr | null = null;
  for (;;) {
    const at = r.pos;
    const code = r.u8();
    if (code === Code.End) break;
    switch (code) {
      case Code.I32Const:
        ops.push({ op: 'const', type: ValType.I32, bits: bits(r.s32(), 0) });
        types.push(ValType.I32);
        break;
      case Code.I64Const:
        r.s64();
        ops.push({ op: 'const', type: ValType.I64, bits: bits(r.lo, r.hi) });
        types.push(ValType.I64);
        break;
      case Code.F32Const:
        ops.push({ op: 'const', type: ValType.F32, bits: bits(r.f32(), 0) });
        types.push(ValType.F32);
        break;
      case Code.F64Const:
        r.f64();
        ops.push({ op: 'const', type: ValType.F64, bits: bits(r.lo, r.hi) });
        types.push(ValType.F64);
        break;
      case Code.SimdPrefix: {
        if (OpcodePage.Simd + r.u32() !== Code.V128Const) {
          throw new CompileError('constant expression required', at, 'invalid');
        }
        r.f64();
        const low = bits(r.lo, r.hi);
        r.f64();
        ops.push({ op: 'const', type: ValType.V128, bits: low | (bits(r.lo, r.hi) << 64n) });
        types.push(ValType.V128);
        break;
      }
      case Code.GlobalGet: {
        const index = r.u32();
        const global = scope.globalTypes[index];
        if (!global) throw new CompileError(`unknown global ${index}`, at, 'invalid');
        if (global.mutable) {
          throw new CompileError('constant expression required: the global is mutable', at, 'invalid');
        }
        if (index >= scope.importedGlobals) {
          needFeature(r, 'extended-const', "a global of the module's own in a constant expression", at);
        }
        ops.push({ op: 'global.get', index });
        types.push(global.type);
        break;
      }
      case Code.RefNull: {
        const type = readHeapType(r, scope.types.length);
        ops.push({ op: 'ref.null', type });
        types.push(type);
        break;
      }
      case Code.RefFunc: {
        const index = r.u32();
        shared = scope.refFunc(index, at);
        ops.push(shared[0]!);
        types.push(scope.funcRefType(index));
        break;
      }
      case Code.GcPrefix: {
        const index = arrayNewDefault(r, scope, at);
        if (types.pop() !== ValType.I32) mismatch(at);
        ops.push({ op: 'array.new_default', index });
        types.push(concreteRef(index) | ValType.NonNull);
        break;
      }
      default: {
        const op = arithmetic(code);
        if (!op) notConstant(r, code, at);
        needFeature(r, 'extended-const', 'arithmetic in a constant expression', at);
        const { type } = op as { type: ValType };
        if (types.pop() !== type || types.pop() !== type) mismatch(at);
        ops.push(op);
        types.push(type);
      }
    }
    if (types.length > CONST_DEPTH) overLimit('constant expression too deep', CONST_DEPTH, at);
  }
  if (types.length !== 1) mismatch(start);
  if (!matches(types[0]!, expected, scope)) {
    throw new CompileError(
      `type mismatch: constant expression has type ${typeName(types[0]!)}, expected ${typeName(expected)}`,
      start,
      'invalid',
    );
  }
  if (ops.length > 1) return ops;
  return shared ?? nullExpr(ops);
}

/** The operators behind GcPrefix that the specification allows in constant expressions. */
const enum GcConstant {
  StructNew = 0,
  StructNewDefault = 1,
  ArrayNew = 6,
  ArrayNewDefault = 7,
  ArrayNewFixed = 8,
  AnyConvertExtern = 26,
  ExternConvertAny = 27,
  RefI31 = 28,
}
const UNSUPPORTED_GC: ReadonlySet<number> = new Set([
  GcConstant.StructNew,
  GcConstant.StructNewDefault,
  GcConstant.ArrayNew,
  GcConstant.ArrayNewFixed,
  GcConstant.AnyConvertExtern,
  GcConstant.ExternConvertAny,
  GcConstant.RefI31,
]);

/** Reads `array.new_default`, the only operator behind its prefix that is implemented. @returns its type index */
function arrayNewDefault(r: Reader, scope: ConstScope, at: number): number {
  const number = r.u32();
  if (number !== GcConstant.ArrayNewDefault) {
    if (UNSUPPORTED_GC.has(number)) unsupported('gc', `constant operator 0xfb ${number}`, at);
    throw new CompileError('constant expression required', at, 'invalid');
  }
  needFeature(r, 'gc', 'array.new_default in a constant expression', at);
  const index = r.u32();
  const type = scope.types[index];
  if (!type) throw new CompileError(`unknown type ${index}`, at, 'invalid');
  if (type.kind !== TypeKind.Array)
    throw new CompileError(`type mismatch: type ${index} is no array type`, at, 'invalid');
  if (!isDefaultable(type.fields[0]!.type))
    throw new CompileError(`array type ${index} has elements without a default`, at, 'invalid');
  return index;
}

function notConstant(r: Reader, code: number, at: number): never {
  const proposal = unsupportedOpcode(code);
  if (proposal) unsupported(proposal, `constant operator 0x${code.toString(16)}`, at);
  if (OPCODE_CLASS[code] === OpcodeClass.None && code !== Code.MiscPrefix) {
    r.fail(`illegal opcode ${code.toString(16)}`, at);
  }
  throw new CompileError('constant expression required', at, 'invalid');
}
