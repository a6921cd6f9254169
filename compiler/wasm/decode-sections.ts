/** The sections of a module: each is decoded, and validated as far as it can be without function bodies. */
import { CompileError } from '../diagnostics.ts';
import { needFeature, unsupported } from '../features.ts';
import { type ConstScope, readConstExpr } from './const-expr.ts';
import { IMPORT_VALUES_PER_BYTE, LIMITS, overLimit } from './limits.ts';
import {
  type ConstExpr,
  type DataSegment,
  type ElemSegment,
  type Export,
  ExternKind,
  type FieldType,
  type FuncBody,
  type Global,
  type GlobalType,
  type Import,
  type Limits,
  type MemoryType,
  type TableType,
  type TypeDef,
  TypeKind,
  ValType,
} from './module.ts';
import type { Reader } from './reader.ts';
import type { TableImage } from './table-images.ts';
import {
  baseOf,
  concreteRef,
  extendsType,
  isDefaultable,
  matches,
  readFieldType,
  readRefType,
  readValType,
  typeIndexOf,
  typeName,
} from './types.ts';

const EMPTY: ConstExpr = [];
const WASM_PAGE_LOG2 = 16;
const MAX_32 = 0xffffffffn;
const MAX_64 = 0xffffffffffffffffn;
const END_OPCODE = 0x0b;

const enum LimitsFlag {
  Max = 1,
  Shared = 2,
  Index64 = 4,
  PageSize = 8,
}

function indexType(type: { readonly index64: boolean }): ValType {
  return type.index64 ? ValType.I64 : ValType.I32;
}

function invalid(message: string, at: number): never {
  throw new CompileError(message, at, 'invalid');
}

/** First bytes of type definitions. */
const enum TypeForm {
  Rec = 0x4e,
  SubFinal = 0x4f,
  Sub = 0x50,
  Array = 0x5e,
  Struct = 0x5f,
  Func = 0x60,
}

/** The module while its sections are read. */
export class Sections implements ConstScope {
  readonly types: TypeDef[] = [];
  readonly imports: Import[] = [];
  readonly functions: number[] = [];
  importedFunctions = 0;
  readonly tables: TableType[] = [];
  importedTables = 0;
  readonly tableInits: (ConstExpr | null)[] = [];
  readonly memories: MemoryType[] = [];
  importedMemories = 0;
  readonly globalTypes: GlobalType[] = [];
  importedGlobals = 0;
  readonly globals: Global[] = [];
  readonly tags: number[] = [];
  importedTags = 0;
  readonly exports: Export[] = [];
  start: number | null = null;
  readonly elems: ElemSegment[] = [];
  dataCount = -1;
  readonly data: DataSegment[] = [];
  readonly bodies: FuncBody[] = [];
  codeStart = 0;
  readonly canonicalTypes: number[] = [];
  /** Number of types above each. */
  private readonly depths: number[] = [];
  private readonly canonicalByText = new Map<string, number>();
  private readonly exportNames = new Set<string>();
  /**
   * `ref.func` expressions by function. Exported functions have one too: these are the functions `ref.func` may name in
   * a body.
   */
  readonly refFuncs = new Map<number, ConstExpr>();
  /** Elements of all segments so far. */
  private elemItems = 0;
  private importValues = 0;

  constructor(private readonly r: Reader) {}

  /**
   * Module.escaping
   * @param images Module.tableImages
   * @param refFunc whether some body has a `ref.func`: it may name every function that anything outside of bodies names
   */
  escaping(images: readonly (TableImage | null)[], refFunc: boolean): Int32Array {
    const all = new Set<number>();
    if (this.start !== null) all.add(this.start);
    if (refFunc) {
      for (const f of this.refFuncs.keys()) all.add(f);
    } else {
      const add = (e: ConstExpr): void => {
        if (e[0]?.op === 'ref.func') all.add(e[0].index);
      };
      for (const e of this.exports) if (e.kind === ExternKind.Func) all.add(e.index);
      for (const g of this.globals) add(g.init);
      this.tableInits.forEach((e, i) => {
        if (e && !images[i + this.importedTables]) add(e);
      });
      for (const s of this.elems) if (s.mode !== 'active' || !images[s.table]) s.items.forEach(add);
    }
    return Int32Array.from(all).sort();
  }

  refFunc(index: number, at: number): ConstExpr {
    this.checkIndex('function', index, this.functions.length, at);
    let e = this.refFuncs.get(index);
    if (!e) this.refFuncs.set(index, (e = [{ op: 'ref.func', index }]));
    return e;
  }

  private checkIndex(what: string, index: number, count: number, at: number): void {
    if (index >= count) invalid(`unknown ${what} ${index}`, at);
  }

  /** Length of a vector. Elements are read one by one, so a length that is a lie costs nothing. */
  private count(what: string, limit: number, already = 0): number {
    const at = this.r.pos;
    const n = this.r.u32();
    if (n > this.r.end - this.r.pos) this.r.fail('length out of bounds', at);
    if (n + already > limit) overLimit(`too many ${what}`, limit, at);
    return n;
  }

  // ---- types
  typeSection(): void {
    const { r } = this;
    for (let n = this.count('types', LIMITS.types); n > 0; n--) {
      const at = r.pos;
      const form = r.peek();
      if (form !== TypeForm.Rec) {
        this.group(1);
        continue;
      }
      needFeature(r, 'gc', 'a recursion group', at);
      r.pos++;
      const size = this.count('types', LIMITS.types);
      if (size + this.types.length > LIMITS.types) overLimit('too many types', LIMITS.types, at);
      this.group(size);
    }
  }

  /** Types that may name each other. */
  private group(size: number): void {
    const { types } = this;
    const group = types.length;
    const offsets: number[] = [];
    for (let i = 0; i < size; i++) {
      offsets.push(this.r.pos);
      types.push(this.typeDef(group, size));
    }
    this.canonicalise(group, size);
    for (let i = 0; i < size; i++) this.checkSupertype(group + i, offsets[i]!);
  }

  private typeDef(group: number, groupSize: number): TypeDef {
    const { r } = this;
    const at = r.pos;
    const index = this.types.length;
    const typeCount = group + groupSize;
    let form = r.u8();
    let supertype = -1;
    let final = true;
    if (form === TypeForm.Sub || form === TypeForm.SubFinal) {
      needFeature(r, 'gc', 'a subtype', at);
      final = form === TypeForm.SubFinal;
      const count = this.count('supertypes', LIMITS.types);
      for (let k = 0; k < count; k++) {
        const superAt = r.pos;
        supertype = r.u32();
        if (supertype >= index) invalid(`unknown type ${supertype}`, superAt);
      }
      if (count > 1) invalid('sub type: more than one supertype', at);
      form = r.u8();
    }
    let kind = TypeKind.Func;
    let params: readonly ValType[] = [];
    let results: readonly ValType[] = [];
    let fields: FieldType[] = [];
    switch (form) {
      case TypeForm.Func:
        params = this.valTypes('parameters', LIMITS.params, typeCount);
        results = this.valTypes('results', LIMITS.results, typeCount);
        if (results.length > 1) needFeature(r, 'multi-value', 'a function with several results', at);
        break;
      case TypeForm.Struct:
        needFeature(r, 'gc', 'a structure', at);
        kind = TypeKind.Struct;
        for (let n = this.count('fields', LIMITS.fields); n > 0; n--)
          fields.push(readFieldType(r, typeCount));
        break;
      case TypeForm.Array:
        needFeature(r, 'gc', 'an array', at);
        kind = TypeKind.Array;
        fields = [readFieldType(r, typeCount)];
        break;
      default:
        r.fail(form & 0x80 ? 'integer representation too long' : 'malformed type form', at);
    }
    return { kind, params, results, fields, supertype, final, group, groupSize };
  }

  private checkSupertype(index: number, at: number): void {
    const { types } = this;
    const { supertype } = types[index]!;
    const depth = supertype < 0 ? 0 : this.depths[supertype]! + 1;
    if (depth > LIMITS.subtypeDepth) overLimit('too many types above each other', LIMITS.subtypeDepth, at);
    this.depths.push(depth);
    if (supertype < 0) return;
    if (types[supertype]!.final || !extendsType(types[index]!, types[supertype]!, this)) {
      invalid(`sub type ${index} does not match super type ${supertype}`, at);
    }
  }

  /**
   * Find the first group that is equal, and with it the first type that is equal to each. Groups are equal if they are
   * after each reference to a type of the group itself is replaced by its position there ("Type Equivalence"): so a
   * type of another group stands in the key as the first one equal to it, and a type of the group as a number from
   * LIMITS.types on.
   */
  private canonicalise(group: number, size: number): void {
    let text = '';
    for (let i = 0; i < size; i++) text += this.typeText(group, this.types[group + i]!);
    const first = this.canonicalByText.get(text);
    if (first === undefined) this.canonicalByText.set(text, group);
    for (let i = 0; i < size; i++) this.canonicalTypes.push((first ?? group) + i);
  }

  private typeText(group: number, t: TypeDef): string {
    const own = (index: number) =>
      index >= group ? LIMITS.types + index - group : this.canonicalTypes[index]!;
    const code = (t: ValType): ValType =>
      baseOf(t) === ValType.Concrete ? (t & ValType.NonNull) | concreteRef(own(typeIndexOf(t))) : t;
    const named = (t: ValType) => baseOf(t) === ValType.Concrete;
    const { kind, params, results, fields, supertype, final, groupSize } = t;
    if (kind === TypeKind.Func && final && supertype < 0 && groupSize === 1) {
      if (!params.some(named) && !results.some(named)) return String.fromCharCode(...params, 0, ...results);
    }
    const head = `${'fsa'[kind]}${final ? '' : '*'}${supertype < 0 ? '' : own(supertype)}(`;
    const field = (f: FieldType) => `${f.mutable ? 'm' : ''}${code(f.type)}`;
    return `${head}${params.map(code).join()}:${results.map(code).join()}:${fields.map(field).join()})`;
  }

  funcRefType(index: number): ValType {
    return concreteRef(this.functions[index]!) | ValType.NonNull;
  }

  private valTypes(what: string, limit: number, typeCount: number): ValType[] {
    const types: ValType[] = [];
    for (let n = this.count(what, limit); n > 0; n--) types.push(readValType(this.r, typeCount));
    return types;
  }

  private typeIndex(): number {
    const at = this.r.pos;
    const index = this.r.u32();
    this.checkIndex('type', index, this.types.length, at);
    if (this.types[index]!.kind !== TypeKind.Func)
      invalid(`type mismatch: type ${index} is no function type`, at);
    return index;
  }

  private limits(flags: number): Limits {
    const { r } = this;
    const at = r.pos;
    const min = r.bigU64();
    const max = flags & LimitsFlag.Max ? r.bigU64() : null;
    if (max !== null && min > max) invalid('size minimum must not be greater than maximum', at);
    return { min, max };
  }

  private tableType(): TableType {
    const { r } = this;
    const element = readRefType(r, this.types.length);
    const at = r.pos;
    const flags = r.u8();
    if ((flags & ~(LimitsFlag.Max | LimitsFlag.Index64)) !== 0) r.fail('malformed limits flags', at);
    if (flags & LimitsFlag.Index64) needFeature(r, 'memory64', 'a table with 64-bit indices', at);
    const limits = this.limits(flags);
    const index64 = (flags & LimitsFlag.Index64) !== 0;
    if (!index64 && (limits.min > MAX_32 || (limits.max ?? 0n) > MAX_32)) {
      invalid('table size must be at most 4294967295', at);
    }
    return { element, limits, index64 };
  }

  private memoryType(): MemoryType {
    const { r } = this;
    const at = r.pos;
    const flags = r.u8();
    if (flags > 0xf) r.fail('malformed limits flags', at);
    if (flags & LimitsFlag.Index64) needFeature(r, 'memory64', 'a memory with 64-bit addresses', at);
    if (flags & LimitsFlag.PageSize) needFeature(r, 'custom-page-sizes', 'a page size', at);
    if (flags & LimitsFlag.Shared) unsupported('threads', 'a shared memory', at);
    const limits = this.limits(flags);
    const index64 = (flags & LimitsFlag.Index64) !== 0;
    const pageSizeLog2 = flags & LimitsFlag.PageSize ? this.pageSizeLog2() : WASM_PAGE_LOG2;
    const most =
      pageSizeLog2 === 0 ? (index64 ? MAX_64 : MAX_32) : 1n << BigInt((index64 ? 64 : 32) - pageSizeLog2);
    if (limits.min > most || (limits.max ?? 0n) > most) {
      invalid(
        `memory size must be at most ${most} pages${pageSizeLog2 === 0 ? ' of 1 byte' : index64 ? '' : ' (4GiB)'}`,
        at,
      );
    }
    return { limits, index64, shared: false, pageSizeLog2 };
  }

  /** Of all page sizes, two are allowed. */
  private pageSizeLog2(): number {
    const { r } = this;
    const at = r.pos;
    const log2 = r.u32();
    if (log2 > 64) r.fail('invalid custom page size', at);
    if (log2 !== 0 && log2 !== WASM_PAGE_LOG2) invalid('invalid custom page size', at);
    return log2;
  }

  private addTable(table: TableType, at: number): void {
    const count = this.tables.push(table);
    if (count > 1) needFeature(this.r, 'reference-types', 'a second table', at);
    if (count > LIMITS.tables) overLimit('too many tables', LIMITS.tables, at);
  }

  private addMemory(memory: MemoryType, at: number): void {
    const count = this.memories.push(memory);
    if (count > 1) needFeature(this.r, 'multi-memory', 'a second memory', at);
    if (count > LIMITS.memories) overLimit('too many memories', LIMITS.memories, at);
  }

  private globalType(): GlobalType {
    const { r } = this;
    const type = readValType(r, this.types.length);
    const at = r.pos;
    const mutable = r.u8();
    if (mutable > 1) r.fail('malformed mutability', at);
    return { type, mutable: mutable === 1 };
  }

  // ---- imports
  importSection(): void {
    const { r } = this;
    const most = LIMITS.importValues + IMPORT_VALUES_PER_BYTE * (r.end - r.pos);
    for (let n = this.count('imports', LIMITS.imports); n > 0; n--) {
      const module = r.name();
      const name = r.name();
      const at = r.pos;
      const kind = r.u8();
      switch (kind) {
        case ExternKind.Func: {
          const typeIndex = this.typeIndex();
          this.imports.push({ module, name, desc: { kind, typeIndex } });
          this.functions.push(typeIndex);
          this.importedFunctions++;
          const { params, results } = this.types[typeIndex]!;
          this.importValues += params.length + results.length;
          if (this.importValues > most) overLimit('too many parameters of imports', most, at);
          break;
        }
        case ExternKind.Table: {
          const table = this.tableType();
          this.imports.push({ module, name, desc: { kind, table } });
          this.addTable(table, at);
          this.importedTables++;
          break;
        }
        case ExternKind.Memory: {
          const memory = this.memoryType();
          this.imports.push({ module, name, desc: { kind, memory } });
          this.addMemory(memory, at);
          this.importedMemories++;
          break;
        }
        case ExternKind.Global: {
          const global = this.globalType();
          this.imports.push({ module, name, desc: { kind, global } });
          this.globalTypes.push(global);
          this.importedGlobals++;
          break;
        }
        case ExternKind.Tag: {
          const typeIndex = this.tagType(at);
          this.imports.push({ module, name, desc: { kind, typeIndex } });
          this.tags.push(typeIndex);
          this.importedTags++;
          break;
        }
        default:
          r.fail('malformed import kind', at);
      }
    }
  }

  // ---- definitions
  functionSection(): void {
    for (let n = this.count('functions', LIMITS.functions, this.functions.length); n > 0; n--) {
      this.functions.push(this.typeIndex());
    }
  }

  tableSection(): void {
    const { r } = this;
    for (let n = this.count('tables', LIMITS.tables, this.tables.length); n > 0; n--) {
      const at = r.pos;
      const initialised = r.peek() === 0x40;
      if (initialised) {
        needFeature(r, 'function-references', 'a table with an initialiser', at);
        r.pos++;
        if (r.u8() !== 0) r.fail('malformed table', at);
      }
      const table = this.tableType();
      if (!initialised && !isDefaultable(table.element)) {
        invalid(`type mismatch: a table of ${typeName(table.element)} needs an initialiser`, at);
      }
      this.tableInits.push(initialised ? readConstExpr(r, this, table.element) : null);
      this.addTable(table, at);
    }
  }

  memorySection(): void {
    for (let n = this.count('memories', LIMITS.imports); n > 0; n--) {
      const at = this.r.pos;
      this.addMemory(this.memoryType(), at);
    }
  }

  tagSection(): void {
    const at = this.r.pos;
    needFeature(this.r, 'exceptions', 'the tag section', at);
    for (let n = this.count('tags', LIMITS.tags, this.tags.length); n > 0; n--)
      this.tags.push(this.tagType(this.r.pos));
  }

  /** Type index of a tag: an attribute (0: an exception) stands before it. */
  private tagType(at: number): number {
    const { r } = this;
    needFeature(r, 'exceptions', 'a tag', at);
    const attribute = r.pos;
    if (r.u8() !== 0) r.fail('malformed tag attribute', attribute);
    const typeAt = r.pos;
    const typeIndex = this.typeIndex();
    if (this.types[typeIndex]!.results.length > 0) invalid('non-empty tag result type', typeAt);
    return typeIndex;
  }

  globalSection(): void {
    for (let n = this.count('globals', LIMITS.globals, this.globalTypes.length); n > 0; n--) {
      const type = this.globalType();
      const init = readConstExpr(this.r, this, type.type);
      this.globalTypes.push(type);
      this.globals.push({ type, init });
    }
  }

  exportSection(): void {
    const { r } = this;
    for (let n = this.count('exports', LIMITS.exports); n > 0; n--) {
      const at = r.pos;
      const name = r.name();
      const kindAt = r.pos;
      const kind = r.u8();
      const index = r.u32();
      switch (kind) {
        case ExternKind.Func:
          this.checkIndex('function', index, this.functions.length, kindAt);
          break;
        case ExternKind.Table:
          this.checkIndex('table', index, this.tables.length, kindAt);
          break;
        case ExternKind.Memory:
          this.checkIndex('memory', index, this.memories.length, kindAt);
          break;
        case ExternKind.Global:
          this.checkIndex('global', index, this.globalTypes.length, kindAt);
          break;
        case ExternKind.Tag:
          this.checkIndex('tag', index, this.tags.length, kindAt);
          break;
        default:
          r.fail('malformed export kind', kindAt);
      }
      if (this.exportNames.has(name)) invalid('duplicate export name', at);
      this.exportNames.add(name);
      if (kind === ExternKind.Func) this.refFunc(index, kindAt);
      this.exports.push({ name, kind, index });
    }
  }

  startSection(): void {
    const at = this.r.pos;
    const index = this.r.u32();
    this.checkIndex('function', index, this.functions.length, at);
    const type = this.types[this.functions[index]!]!;
    if (type.params.length + type.results.length > 0) {
      invalid('start function must have no parameters and no results', at);
    }
    this.start = index;
  }

  // ---- segments
  elemSection(): void {
    for (let n = this.count('element segments', LIMITS.elemSegments); n > 0; n--)
      this.elems.push(this.elem());
  }

  private elem(): ElemSegment {
    const { r } = this;
    const at = r.pos;
    const flags = r.u32();
    if (flags > 7) r.fail('malformed elements segment kind', at);
    if (flags !== 0) needFeature(r, 'bulk-memory', 'an element segment of another kind', at);
    // Bit 0: not active; bit 1: declarative, or, if active, an explicit table; bit 2: items are expressions.
    const active = (flags & 1) === 0;
    const table = active && flags & 2 ? r.u32() : 0;
    if (active) this.checkIndex('table', table, this.tables.length, at);
    const offset = active ? readConstExpr(r, this, indexType(this.tables[table]!)) : EMPTY;
    // Functions by their indices are never null.
    let type: ValType = flags & 4 ? ValType.FuncRef : ValType.FuncRef | ValType.NonNull;
    if (flags & 3) {
      const typeAt = r.pos;
      if (flags & 4) type = readRefType(r, this.types.length);
      else if (r.u8() !== 0) r.fail('malformed element kind', typeAt);
    }
    if (active && !matches(type, this.tables[table]!.element, this)) {
      const element = typeName(this.tables[table]!.element);
      invalid(`type mismatch: a segment of ${typeName(type)} for a table of ${element}`, at);
    }
    const count = this.count('elements', LIMITS.elemItems, this.elemItems);
    this.elemItems += count;
    const items: ConstExpr[] = [];
    for (let i = 0; i < count; i++) {
      if (flags & 4) items.push(readConstExpr(r, this, type));
      else {
        const itemAt = r.pos;
        items.push(this.refFunc(r.u32(), itemAt));
      }
    }
    const mode = active ? 'active' : flags & 2 ? 'declarative' : 'passive';
    return { mode, table, offset, type, items };
  }

  dataCountSection(): void {
    const at = this.r.pos;
    needFeature(this.r, 'bulk-memory', 'the data count section', at);
    this.dataCount = this.r.u32();
    if (this.dataCount > LIMITS.dataSegments) overLimit('too many data segments', LIMITS.dataSegments, at);
  }

  dataSection(): void {
    const { r } = this;
    for (let n = this.count('data segments', LIMITS.dataSegments); n > 0; n--) {
      const at = r.pos;
      const flags = r.u32();
      if (flags > 2) r.fail('malformed data segment kind', at);
      if (flags !== 0) needFeature(r, 'bulk-memory', 'a data segment of another kind', at);
      const active = flags !== 1;
      const memory = flags === 2 ? r.u32() : 0;
      if (active) this.checkIndex('memory', memory, this.memories.length, at);
      const offset = active ? readConstExpr(r, this, indexType(this.memories[memory]!)) : EMPTY;
      const length = r.u32();
      const start = r.skip(length);
      this.data.push({ mode: active ? 'active' : 'passive', memory, offset, start, end: start + length });
    }
  }

  // ---- code
  codeSection(): void {
    const { r } = this;
    this.codeStart = r.pos;
    const at = r.pos;
    const count = this.count('functions', LIMITS.functions);
    if (count !== this.functions.length - this.importedFunctions) this.inconsistentCode(at);
    for (let i = 0; i < count; i++) this.bodies.push(this.body());
  }

  private body(): FuncBody {
    const { r } = this;
    const at = r.pos;
    const size = r.u32();
    if (size > LIMITS.bodySize) overLimit('function body too large', LIMITS.bodySize, at);
    const start = r.skip(size);
    if (size === 0) r.fail('unexpected end of function', start);
    const end = r.pos;
    if (r.bytes[end - 1] !== END_OPCODE) r.fail('END opcode expected', end - 1);
    return { start, end };
  }

  private inconsistentCode(at: number): never {
    return this.r.fail('function and code section have inconsistent lengths', at);
  }

  /** What can be checked only when all sections are there. */
  finish(): void {
    const { r } = this;
    if (this.bodies.length !== this.functions.length - this.importedFunctions) this.inconsistentCode(r.pos);
    if (this.dataCount >= 0 && this.dataCount !== this.data.length) {
      r.fail('data count and data section have inconsistent lengths', r.pos);
    }
  }
}
