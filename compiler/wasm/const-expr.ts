/** Constant expressions (core specification 2.0, "Constant Expressions"): decoded and validated. */
import { CompileError } from '../diagnostics.ts';
import { type ConstExpr, type ConstOp, type GlobalType, ValType } from './module.ts';
import { Code, OPCODE_CLASS, OpcodeClass, unsupportedOpcode } from './opcodes.ts';
import type { Reader } from './reader.ts';
import { matches, readHeapType, typeName, unsupported } from './types.ts';

/** What a constant expression may refer to. */
export interface ConstScope {
  /** Imported globals: the only ones that Wasm 2.0 lets a constant expression read. */
  readonly importedGlobals: number;
  readonly globalTypes: readonly GlobalType[];
  readonly types: ArrayLike<unknown>;
  /** Module.canonicalTypes so far. */
  readonly canonical: ArrayLike<number>;
  /** Type of a reference to a function. */
  funcRefType(index: number): ValType;
  /** Throws when there is no such function; notes that its address is taken. Returns the shared expression `ref.func index`. */
  refFunc(index: number, offset: number): ConstExpr;
}

const bits = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

function mismatch(at: number): never {
  throw new CompileError('type mismatch in a constant expression', at, 'invalid');
}

/** An expression and its `end`. It must have exactly one result, of type `expected`. */
export function readConstExpr(r: Reader, scope: ConstScope, expected: ValType): ConstExpr {
  const start = r.pos;
  let result: ConstOp | null = null;
  let shared: ConstExpr | null = null;
  let type: ValType | 0 = 0;
  // Constant operators of Wasm 2.0 take no operands: each adds a result.
  let results = 0;
  let index = 0;
  for (;;) {
    const at = r.pos;
    const code = r.u8();
    if (code === Code.End) break;
    results++;
    switch (code) {
      case Code.I32Const:
        type = ValType.I32;
        result = { op: 'const', type, bits: bits(r.s32(), 0) };
        break;
      case Code.I64Const:
        r.s64();
        type = ValType.I64;
        result = { op: 'const', type, bits: bits(r.lo, r.hi) };
        break;
      case Code.F32Const:
        type = ValType.F32;
        result = { op: 'const', type, bits: bits(r.f32(), 0) };
        break;
      case Code.F64Const:
        r.f64();
        type = ValType.F64;
        result = { op: 'const', type, bits: bits(r.lo, r.hi) };
        break;
      case Code.GlobalGet: {
        index = r.u32();
        if (index >= scope.importedGlobals) throw new CompileError(`unknown global ${index}`, at, 'invalid');
        const global = scope.globalTypes[index]!;
        if (global.mutable) {
          throw new CompileError('constant expression required: the global is mutable', at, 'invalid');
        }
        type = global.type;
        result = { op: 'global.get', index };
        break;
      }
      case Code.RefNull:
        type = readHeapType(r, scope.types.length);
        result = { op: 'ref.null', type };
        break;
      case Code.RefFunc:
        index = r.u32();
        shared = scope.refFunc(index, at);
        type = scope.funcRefType(index);
        result = shared[0]!;
        break;
      default: {
        const proposal = isExtended(code) ? 'extended-const' : unsupportedOpcode(code);
        if (proposal) unsupported(proposal, `constant operator 0x${code.toString(16)}`, at);
        if (OPCODE_CLASS[code] === OpcodeClass.None && code !== Code.MiscPrefix) {
          r.fail(`illegal opcode ${code.toString(16)}`, at);
        }
        throw new CompileError('constant expression required', at, 'invalid');
      }
    }
  }
  if (!result || results > 1) mismatch(start);
  if (type === 0 || !matches(type, expected, scope.canonical)) {
    throw new CompileError(
      `type mismatch: constant expression has type ${typeName(type)}, expected ${typeName(expected)}`,
      start,
      'invalid',
    );
  }
  return shared ?? [result];
}

/** i32 and i64 add, sub, mul. */
function isExtended(code: number): boolean {
  return (code >= 0x6a && code <= 0x6c) || (code >= 0x7c && code <= 0x7e);
}
