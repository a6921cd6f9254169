/** Binary codes of value types, block types, and their counterparts in the IR. */
import { CompileError } from '../diagnostics.ts';
import { needFeature, unsupported } from '../features.ts';
import { Type } from '../ir/ops.ts';
import { type FuncType, ValType } from './module.ts';
import type { Reader } from './reader.ts';

/** Indexed by ValType; 0 is the unknown type of unreachable code. */
export const VALTYPE_NAMES = ['unknown', 'i32', 'i64', 'f32', 'f64', 'v128', 'funcref', 'externref'] as const;

export function isRef(t: ValType | 0): boolean {
  return t >= ValType.FuncRef;
}

export function irType(t: ValType): Type {
  return t < ValType.FuncRef ? (t as number as Type) : Type.Ref;
}

/** [first, last, proposal] of type codes that exist but are not supported. */
const UNSUPPORTED: readonly (readonly [number, number, string])[] = [
  [0x74, 0x74, 'exception-handling'],
  [0x71, 0x73, 'gc'],
  [0x6a, 0x6e, 'gc'],
  [0x69, 0x69, 'exception-handling'],
  [0x68, 0x68, 'stack-switching'],
  [0x63, 0x64, 'function-references'],
];

function valTypeOf(byte: number): ValType | 0 {
  switch (byte) {
    case 0x7f:
      return ValType.I32;
    case 0x7e:
      return ValType.I64;
    case 0x7d:
      return ValType.F32;
    case 0x7c:
      return ValType.F64;
    case 0x7b:
      return ValType.V128;
    case 0x70:
      return ValType.FuncRef;
    case 0x6f:
      return ValType.ExternRef;
    default:
      return 0;
  }
}

function bad(r: Reader, byte: number, at: number, message: string): never {
  for (const [first, last, proposal] of UNSUPPORTED) {
    if (byte >= first && byte <= last) unsupported(proposal, `type 0x${byte.toString(16)}`, at, r.func);
  }
  return r.fail(message, at);
}

/** Refuse a value type of an extension that is off. */
function allow(r: Reader, t: ValType, at: number): void {
  if (isRef(t)) needFeature(r, 'reference-types', VALTYPE_NAMES[t], at);
  else if (t === ValType.V128) needFeature(r, 'simd', VALTYPE_NAMES[t], at);
}

export function readValType(r: Reader): ValType {
  const at = r.pos;
  const byte = r.u8();
  const t = valTypeOf(byte) || bad(r, byte, at, 'malformed value type');
  allow(r, t, at);
  return t;
}

export function readRefType(r: Reader): ValType {
  const at = r.pos;
  const byte = r.u8();
  const t = valTypeOf(byte);
  if (t === ValType.ExternRef) needFeature(r, 'reference-types', 'externref', at);
  return isRef(t) ? (t as ValType) : bad(r, byte, at, 'malformed reference type');
}

const NO_TYPES: readonly ValType[] = [];
/** Block types without parameters: no result (index 0), or one result of the value type. */
const SIMPLE: readonly FuncType[] = VALTYPE_NAMES.map((_, i) => ({
  params: NO_TYPES,
  results: i === 0 ? NO_TYPES : [i as ValType],
}));

/** A block type: empty, a value type, or (s33) a type index. */
export function readBlockType(r: Reader, types: readonly FuncType[]): FuncType {
  const at = r.pos;
  const byte = r.peek();
  if (byte === 0x40) {
    r.pos++;
    return SIMPLE[0]!;
  }
  const t = valTypeOf(byte);
  if (t !== 0) {
    r.pos++;
    allow(r, t, at);
    return SIMPLE[t]!;
  }
  // A negative number is a type that does not exist, or not here.
  if ((byte & 0xc0) === 0x40) bad(r, byte, at, 'malformed block type');
  needFeature(r, 'multi-value', 'a block type with parameters or several results', at);
  const index = r.s33();
  if (index < 0) r.fail('malformed block type', at);
  const type = types[index];
  if (!type) throw new CompileError(`unknown type ${index}`, at, 'invalid', r.func);
  return type;
}
