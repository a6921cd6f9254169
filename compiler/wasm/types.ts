/** Binary codes of value types, block types, and their counterparts in the IR. */
import { CompileError } from '../diagnostics.ts';
import { needFeature, unsupported } from '../features.ts';
import { Type } from '../ir/ops.ts';
import {
  BASE_MASK,
  type FieldType,
  type FuncType,
  TYPE_INDEX_SHIFT,
  type TypeDef,
  TypeKind,
  ValType,
} from './module.ts';
import type { Reader } from './reader.ts';

const NAMES: Readonly<Record<number, string>> = {
  0: 'unknown',
  [ValType.I32]: 'i32',
  [ValType.I64]: 'i64',
  [ValType.F32]: 'f32',
  [ValType.F64]: 'f64',
  [ValType.V128]: 'v128',
  [ValType.FuncRef]: 'func',
  [ValType.ExternRef]: 'extern',
  [ValType.NoFunc]: 'nofunc',
  [ValType.NoExtern]: 'noextern',
  [ValType.AnyRef]: 'any',
  [ValType.EqRef]: 'eq',
  [ValType.I31Ref]: 'i31',
  [ValType.StructRef]: 'struct',
  [ValType.ArrayRef]: 'array',
  [ValType.None]: 'none',
  [ValType.ExnRef]: 'exn',
  [ValType.NoExn]: 'noexn',
};

/** As the text format has it. */
export function typeName(t: ValType | 0): string {
  if (!isRef(t)) return NAMES[t as number]!;
  if (
    t === ValType.FuncRef ||
    t === ValType.ExternRef ||
    t === ValType.ExnRef ||
    (t >= ValType.AnyRef && t <= ValType.ArrayRef)
  )
    return `${NAMES[t as number]}ref`;
  const base = baseOf(t);
  const heap =
    base === ValType.Concrete
      ? typeIndexOf(t as ValType)
      : base === ValType.Bottom
        ? 'bottom'
        : NAMES[base as number];
  return `(ref ${t & ValType.NonNull ? '' : 'null '}${heap})`;
}

/** The bits of a value (at most 128) as its type has them: a decimal number, or in hex a vector or reference. */
export function bitsText(bits: bigint, type: ValType): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt.asUintN(64, bits), true);
  switch (type) {
    case ValType.I32:
      return `${view.getInt32(0, true)}`;
    case ValType.I64:
      return `${view.getBigInt64(0, true)}`;
    case ValType.F32:
      return `${view.getFloat32(0, true)}`;
    case ValType.F64:
      return `${view.getFloat64(0, true)}`;
    default:
      return `0x${bits.toString(16)}`;
  }
}

export function isRef(t: ValType | 0): boolean {
  return t >= ValType.FuncRef && t !== ValType.I8 && t !== ValType.I16;
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

/** How values of the type are handled: number types, `funcref`, `externref`, `exnref` or `anyref`. */
export function erased(t: ValType, types: TypeSpace): ValType {
  if (!isRef(t)) return t === ValType.I8 || t === ValType.I16 ? ValType.I32 : t;
  return topOf(t, types);
}

/** The types of a module, so far. */
export interface TypeSpace {
  readonly types: readonly TypeDef[];
  readonly canonicalTypes: ArrayLike<number>;
}

/** The greatest type of the hierarchy that a reference type belongs to. */
function topOf(t: ValType, { types }: TypeSpace): ValType {
  switch (baseOf(t)) {
    case ValType.FuncRef:
    case ValType.NoFunc:
      return ValType.FuncRef;
    case ValType.ExternRef:
    case ValType.NoExtern:
      return ValType.ExternRef;
    case ValType.ExnRef:
    case ValType.NoExn:
      return ValType.ExnRef;
    case ValType.Concrete:
      return types[typeIndexOf(t)]!.kind === TypeKind.Func ? ValType.FuncRef : ValType.AnyRef;
    default:
      return ValType.AnyRef;
  }
}

/** The abstract heap type directly above the types of a kind. */
function abstractOf(kind: TypeKind): ValType {
  return kind === TypeKind.Func
    ? ValType.FuncRef
    : kind === TypeKind.Struct
      ? ValType.StructRef
      : ValType.ArrayRef;
}

function concreteMatches(sub: number, sup: number, { types, canonicalTypes }: TypeSpace): boolean {
  const wanted = canonicalTypes[sup];
  for (let t = sub; t >= 0; t = types[t]!.supertype) if (canonicalTypes[t] === wanted) return true;
  return false;
}

/** Subtyping (core specification 3.0, "Matching"). */
export function matches(sub: ValType, sup: ValType, space: TypeSpace): boolean {
  if (sub === sup) return true;
  if (!isRef(sub) || !isRef(sup) || ((sup & ValType.NonNull) !== 0 && (sub & ValType.NonNull) === 0))
    return false;
  let a = baseOf(sub);
  const b = baseOf(sup);
  if (a === b && a !== ValType.Concrete) return true;
  switch (a) {
    case ValType.Bottom:
      return true;
    case ValType.NoFunc:
    case ValType.NoExtern:
    case ValType.NoExn:
    case ValType.None:
      return topOf(sub, space) === topOf(sup, space);
    case ValType.Concrete: {
      if (b === ValType.Concrete) return concreteMatches(typeIndexOf(sub), typeIndexOf(sup), space);
      a = abstractOf(space.types[typeIndexOf(sub)]!.kind);
      if (a === b) return true;
    }
  }
  switch (b) {
    case ValType.AnyRef:
      return a >= ValType.EqRef && a <= ValType.ArrayRef;
    case ValType.EqRef:
      return a >= ValType.I31Ref && a <= ValType.ArrayRef;
    default:
      return false;
  }
}

/** Whether a definition may name another one as its supertype. */
export function extendsType(sub: TypeDef, sup: TypeDef, space: TypeSpace): boolean {
  if (sub.kind !== sup.kind) return false;
  const match = (a: ValType, b: ValType) => matches(a, b, space);
  if (sub.kind === TypeKind.Func) {
    return (
      sub.params.length === sup.params.length &&
      sub.results.length === sup.results.length &&
      sup.params.every((p, i) => match(p, sub.params[i]!)) &&
      sub.results.every((r, i) => match(r, sup.results[i]!))
    );
  }
  return (
    sub.fields.length >= sup.fields.length &&
    sup.fields.every((f, i) => {
      const g = sub.fields[i]!;
      return f.mutable === g.mutable && match(g.type, f.type) && (!f.mutable || match(f.type, g.type));
    })
  );
}

export function irType(t: ValType): Type {
  return t < ValType.FuncRef ? (t as number as Type) : Type.Ref;
}

/** [first, last, proposal] of type codes that exist but are not supported. */
const UNSUPPORTED: readonly (readonly [number, number, string])[] = [[0x68, 0x68, 'stack-switching']];

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
    case 0x71:
      return ValType.None;
    case 0x6f:
      return ValType.ExternRef;
    case 0x6e:
      return ValType.AnyRef;
    case 0x6d:
      return ValType.EqRef;
    case 0x6c:
      return ValType.I31Ref;
    case 0x6b:
      return ValType.StructRef;
    case 0x6a:
      return ValType.ArrayRef;
    case 0x74:
      return ValType.NoExn;
    case 0x69:
      return ValType.ExnRef;
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
  else if (t >= ValType.AnyRef && t <= ValType.None) needFeature(r, 'gc', typeName(t), at);
  else if (t === ValType.ExnRef || t === ValType.NoExn) needFeature(r, 'exceptions', typeName(t), at);
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
const NOTHING: FuncType = { params: NO_TYPES, results: NO_TYPES };
/** Block types without parameters and with one result, by type. */
const SIMPLE: readonly FuncType[] = Array.from({ length: BASE_MASK }, (_, t) => ({
  params: NO_TYPES,
  results: [t as ValType],
}));

/** A block type: empty, a value type, or (s33) a type index. */
export function readBlockType(r: Reader, types: readonly TypeDef[]): FuncType {
  const at = r.pos;
  const byte = r.peek();
  if (byte === 0x40) {
    r.pos++;
    return NOTHING;
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
  if (type.kind !== TypeKind.Func)
    throw new CompileError(`type mismatch: type ${index} is no function type`, at, 'invalid', r.func);
  return type;
}

/** The type of a field or element: packed ones too. */
export function readFieldType(r: Reader, typeCount: number): FieldType {
  const byte = r.peek();
  let type: ValType;
  if (byte === 0x78 || byte === 0x77) {
    r.pos++;
    type = byte === 0x78 ? ValType.I8 : ValType.I16;
  } else type = readValType(r, typeCount);
  const at = r.pos;
  const mutable = r.u8();
  if (mutable > 1) r.fail('malformed mutability', at);
  return { type, mutable: mutable === 1 };
}
