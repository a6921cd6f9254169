/** Binary codes of value types, block types, and their counterparts in the IR. */
import { CompileError } from '../diagnostics.ts';
import { needFeature, unsupported } from '../features.ts';
import { Type } from '../ir/ops.ts';
import { BASE_MASK, type FuncType, TYPE_INDEX_SHIFT, ValType } from './module.ts';
import type { Reader } from './reader.ts';

const NAMES = [
  'unknown',
  'i32',
  'i64',
  'f32',
  'f64',
  'v128',
  'func',
  'extern',
  'nofunc',
  'noextern',
] as const;

/** As the text format has it. */
export function typeName(t: ValType | 0): string {
  if (!isRef(t)) return NAMES[t as number]!;
  if (t === ValType.FuncRef || t === ValType.ExternRef) return `${NAMES[t as number]}ref`;
  const base = baseOf(t);
  const heap =
    base === ValType.Concrete
      ? typeIndexOf(t as ValType)
      : base === ValType.Bottom
        ? 'bottom'
        : NAMES[base as number];
  return `(ref ${t & ValType.NonNull ? '' : 'null '}${heap})`;
}

export function isRef(t: ValType | 0): boolean {
  return t >= ValType.FuncRef;
}
export function baseOf(t: ValType | 0): ValType {
  return t & BASE_MASK;
}
/** Of a Concrete type. */
export function typeIndexOf(t: ValType): number {
  return t >> TYPE_INDEX_SHIFT;
}
/** `(ref null index)` */
export function concreteRef(index: number): ValType {
  return ValType.Concrete | (index << TYPE_INDEX_SHIFT);
}
/** Has values of the type a default? */
export function isDefaultable(t: ValType): boolean {
  return (t & ValType.NonNull) === 0;
}

/** How values of the type are handled: number types, `funcref` or `externref`. */
export function erased(t: ValType): ValType {
  if (!isRef(t)) return t;
  const base = baseOf(t);
  return base === ValType.ExternRef || base === ValType.NoExtern ? ValType.ExternRef : ValType.FuncRef;
}

/**
 * Subtyping (core specification 3.0, "Matching").
 * @param canonical Module.canonicalTypes
 */
export function matches(sub: ValType, sup: ValType, canonical: ArrayLike<number>): boolean {
  if (sub === sup) return true;
  if (!isRef(sub) || !isRef(sup) || ((sup & ValType.NonNull) !== 0 && (sub & ValType.NonNull) === 0))
    return false;
  const a = baseOf(sub);
  const b = baseOf(sup);
  if (a === ValType.Bottom) return true;
  switch (b) {
    case ValType.FuncRef:
      return a === b || a === ValType.NoFunc || a === ValType.Concrete;
    case ValType.ExternRef:
      return a === b || a === ValType.NoExtern;
    case ValType.Concrete:
      return a === ValType.NoFunc || (a === b && canonical[typeIndexOf(sub)] === canonical[typeIndexOf(sup)]);
    default:
      return a === b;
  }
}

export function irType(t: ValType): Type {
  return t < ValType.FuncRef ? (t as number as Type) : Type.Ref;
}

/** [first, last, proposal] of type codes that exist but are not supported. */
const UNSUPPORTED: readonly (readonly [number, number, string])[] = [
  [0x74, 0x74, 'exception-handling'],
  [0x71, 0x71, 'gc'],
  [0x6a, 0x6e, 'gc'],
  [0x69, 0x69, 'exception-handling'],
  [0x68, 0x68, 'stack-switching'],
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
    case 0x73:
      return ValType.NoFunc;
    case 0x72:
      return ValType.NoExtern;
    case 0x70:
      return ValType.FuncRef;
    case 0x6f:
      return ValType.ExternRef;
    default:
      return 0;
  }
}

const REF_NULL = 0x63;
const REF = 0x64;

function bad(r: Reader, byte: number, at: number, message: string): never {
  for (const [first, last, proposal] of UNSUPPORTED) {
    if (byte >= first && byte <= last) unsupported(proposal, `type 0x${byte.toString(16)}`, at, r.func);
  }
  return r.fail(message, at);
}

/** Refuse a value type of an extension that is off. */
function allow(r: Reader, t: ValType, at: number): void {
  if (t === ValType.V128) needFeature(r, 'simd', typeName(t), at);
  else if (t === ValType.FuncRef || t === ValType.ExternRef)
    needFeature(r, 'reference-types', typeName(t), at);
  else if (isRef(t)) needFeature(r, 'function-references', typeName(t), at);
}

/** A heap type, as the nullable reference type to it. */
export function readHeapType(r: Reader, typeCount: number): ValType {
  const at = r.pos;
  const byte = r.peek();
  if (byte >= 0x40 && byte < 0x80) {
    r.pos++;
    const t = valTypeOf(byte);
    if (!isRef(t)) bad(r, byte, at, 'malformed heap type');
    allow(r, t as ValType, at);
    return t as ValType;
  }
  needFeature(r, 'function-references', 'a reference to a type of the module', at);
  const index = r.s33();
  if (index < 0) r.fail('malformed heap type', at);
  if (index >= typeCount) throw new CompileError(`unknown type ${index}`, at, 'invalid', r.func);
  return concreteRef(index);
}

/** @param typeCount number of types that may be named */
export function readValType(r: Reader, typeCount: number): ValType {
  const at = r.pos;
  const byte = r.u8();
  if (byte === REF_NULL || byte === REF) {
    needFeature(r, 'function-references', 'a typed reference', at);
    return readHeapType(r, typeCount) | (byte === REF ? ValType.NonNull : 0);
  }
  const t = valTypeOf(byte) || bad(r, byte, at, 'malformed value type');
  allow(r, t, at);
  return t;
}

export function readRefType(r: Reader, typeCount: number): ValType {
  const at = r.pos;
  const byte = r.peek();
  if (byte === REF || byte === REF_NULL) return readValType(r, typeCount);
  r.pos++;
  const t = valTypeOf(byte);
  if (!isRef(t)) bad(r, byte, at, 'malformed reference type');
  // A table of functions is older than the proposal.
  if (t !== ValType.FuncRef) allow(r, t as ValType, at);
  return t as ValType;
}

const NO_TYPES: readonly ValType[] = [];
/** Block types without parameters: no result (index 0), or one result of the value type. */
const SIMPLE: readonly FuncType[] = NAMES.map((_, i) => ({
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
  if (byte === REF || byte === REF_NULL) return { params: NO_TYPES, results: [readValType(r, types.length)] };
  // A negative number is a type that does not exist, or not here.
  if ((byte & 0xc0) === 0x40) bad(r, byte, at, 'malformed block type');
  needFeature(r, 'multi-value', 'a block type with parameters or several results', at);
  const index = r.s33();
  if (index < 0) r.fail('malformed block type', at);
  const type = types[index];
  if (!type) throw new CompileError(`unknown type ${index}`, at, 'invalid', r.func);
  return type;
}
