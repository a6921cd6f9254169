/** Builds the section `.lucet.module` (abi/artifact.ts): all that is known about a module beside its code. */
import {
  ARTIFACT_HEADER,
  ARTIFACT_MAGIC,
  ARTIFACT_VERSION,
  CATCH_CLAUSE_RECORD,
  ConstCode,
  ConstKind,
  CPU_FEATURES,
  DATA_RECORD,
  DIRECTORY_ENTRY,
  ELEM_ITEM,
  ELEM_RECORD,
  ESCAPING_RECORD,
  EXPORT_RECORD,
  FIELD_MUTABLE,
  FUNCTION_RECORD,
  GLOBAL_RECORD,
  IMPORT_RECORD,
  LANDING_RECORD,
  MEMORY_MODES,
  MEMORY_RECORD,
  ModuleFlag,
  PART_COUNT,
  Part,
  recordLayout,
  SegmentMode,
  TABLE_RECORD,
  TAG_RECORD,
  TableFlag,
  TRY_SCOPE_RECORD,
  TYPE_RECORD,
} from '../abi/artifact.ts';
import type { VmctxLayout } from '../abi/vmctx.ts';
import { type CompiledFunc, LANDING } from '../backend/code.ts';
import { BASE_REG } from '../backend/x64/regs.ts';
import { bug } from '../diagnostics.ts';
import type { CompileOptions } from '../options.ts';
import { hasFloats } from '../wasm/bodies.ts';
import {
  type ConstExpr,
  ExternKind,
  type MemoryType,
  type Module,
  type TableType,
  TypeKind,
  ValType,
} from '../wasm/module.ts';
import { erased } from '../wasm/types.ts';
import { ByteWriter } from './bytes.ts';
import type { CodeLayout } from './code-layout.ts';
import { debugTableBytes, type PartWriter, writeDebugTables } from './debug-tables.ts';

const HEADER = recordLayout(ARTIFACT_HEADER);
const DIRECTORY = recordLayout(DIRECTORY_ENTRY);
const TYPE = recordLayout(TYPE_RECORD);
const FUNCTION = recordLayout(FUNCTION_RECORD);
const IMPORT = recordLayout(IMPORT_RECORD);
const EXPORT = recordLayout(EXPORT_RECORD);
const MEMORY = recordLayout(MEMORY_RECORD);
const TABLE = recordLayout(TABLE_RECORD);
const GLOBAL = recordLayout(GLOBAL_RECORD);
const ELEM = recordLayout(ELEM_RECORD);
const ITEM = recordLayout(ELEM_ITEM);
const DATA = recordLayout(DATA_RECORD);
const ESCAPING = recordLayout(ESCAPING_RECORD);
const TAG = recordLayout(TAG_RECORD);
const LANDING_PAD = recordLayout(LANDING_RECORD);
const TRY_SCOPE = recordLayout(TRY_SCOPE_RECORD);
const CATCH_CLAUSE = recordLayout(CATCH_CLAUSE_RECORD);

/** "No index" of u32 fields, "no maximum" of u64 fields. */
export const NO_INDEX = 0xffffffff;
const NO_MAX = 0xffffffffffffffffn;

const PART_ALIGN = 16;

/** Everything of a module that is not in the module. */
export interface Linked {
  readonly module: Module;
  readonly options: CompileOptions;
  readonly layout: VmctxLayout;
  /** By function and thunk index; null: no code. */
  readonly funcs: readonly (CompiledFunc | null)[];
  readonly code: CodeLayout;
  /** Type index that a record's code has. */
  readonly typeIndices: Int32Array;
  /** Record of the entry thunk for a canonical type, or NO_INDEX. */
  readonly entryThunk: (canonicalType: number) => number;
  readonly machine: number;
  /** SHA-256 of the module. */
  readonly digest: Uint8Array;
}

/** Addresses, known when sections have their places: equal to file offsets. */
interface Addresses {
  readonly text: number;
  readonly textSize: number;
  readonly rodata: number;
  readonly rodataSize: number;
}

export interface Metadata {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offset of the checksum field in the section. */
  readonly checksumAt: number;
  place(addresses: Addresses): void;
}

/** Part Strings: equal strings are stored once. */
class Strings {
  readonly w = new ByteWriter(4096);
  private readonly offsets = new Map<string, number>();

  constructor() {
    this.add('');
  }

  add(s: string): number {
    const known = this.offsets.get(s);
    if (known !== undefined) return known;
    const at = this.w.length;
    this.w.u32(0);
    const n = this.w.utf8(s);
    this.w.view.setUint32(at, n, true);
    this.offsets.set(s, at);
    return at;
  }
}

/** A constant expression as the format has it. */
interface Const {
  readonly kind: ConstKind;
  readonly bits: bigint;
  readonly index: number;
}

const ARITHMETIC = {
  add: [ConstCode.I32Add, ConstCode.I64Add],
  sub: [ConstCode.I32Sub, ConstCode.I64Sub],
  mul: [ConstCode.I32Mul, ConstCode.I64Mul],
} as const;

/** Append an expression to part ConstCode; where it starts. */
function writeConstCode(w: ByteWriter, expr: ConstExpr): number {
  const at = w.length;
  for (const op of expr) {
    switch (op.op) {
      case 'const':
        if (op.type === ValType.I32) {
          w.u8(ConstCode.I32Const);
          w.u32(Number(op.bits));
        } else {
          w.u8(ConstCode.I64Const);
          w.u64(op.bits);
        }
        break;
      case 'global.get':
        w.u8(ConstCode.GlobalGet);
        w.u32(op.index);
        break;
      case 'add':
      case 'sub':
      case 'mul':
        w.u8(ARITHMETIC[op.op][op.type === ValType.I32 ? 0 : 1]);
        break;
      case 'array.new_default':
        w.u8(ConstCode.ArrayNewDefault);
        w.u32(op.index);
        break;
      default:
        bug(`${op.op} among several constant operators`);
    }
  }
  w.u8(ConstCode.End);
  return at;
}

function constant(expr: ConstExpr, code: ByteWriter): Const {
  const op = expr[0]!;
  if (expr.length > 1) return { kind: ConstKind.Code, bits: 0n, index: writeConstCode(code, expr) };
  switch (op.op) {
    case 'const':
      return { kind: ConstKind.Bits, bits: op.bits, index: 0 };
    case 'global.get':
      return { kind: ConstKind.GlobalGet, bits: 0n, index: op.index };
    case 'ref.null':
      return { kind: ConstKind.RefNull, bits: 0n, index: 0 };
    case 'ref.func':
      return { kind: ConstKind.RefFunc, bits: 0n, index: op.index };
    default:
      return bug(`${op.op} without operands`);
  }
}

function savedMask(f: CompiledFunc): number {
  let mask = f.savesBase ? 1 << BASE_REG : 0;
  for (const r of f.saved) mask |= 1 << r;
  return mask;
}

/** Part Functions, and the pc maps. */
class Functions {
  private readonly words: Uint32Array;
  private readonly bytes: Uint8Array;
  /** Where the next pc map goes. */
  private pcMap: number;

  constructor(
    buffer: ArrayBuffer,
    private readonly at: number,
    private readonly pcMaps: number,
  ) {
    this.words = new Uint32Array(buffer, 0, buffer.byteLength >> 2);
    this.bytes = new Uint8Array(buffer);
    this.pcMap = pcMaps;
  }

  /** A method of its own, so that the engine compiles it early. */
  add(index: number, type: number, name: number, code: number, func: CompiledFunc | null): void {
    const { words, pcMap } = this;
    const f = FUNCTION.offsets;
    const at = this.at + index * FUNCTION.size;
    words[(at + f.type!) >> 2] = type;
    words[(at + f.name!) >> 2] = name;
    words[(at + f.code!) >> 2] = code;
    words[(at + f.pc_map!) >> 2] = pcMap - this.pcMaps;
    if (!func) return;
    words[(at + f.length!) >> 2] = func.code.length;
    words[(at + f.frame_size!) >> 2] = func.frameSize;
    words[(at + f.popped!) >> 2] = func.popped;
    words[(at + f.saved!) >> 2] = savedMask(func);
    words[(at + f.pc_map_length!) >> 2] = func.pcMap.length;
    words[(at + f.wasm_start!) >> 2] = func.wasmStart;
    this.bytes.set(func.pcMap, pcMap);
    this.pcMap = pcMap + func.pcMap.length;
  }
}

const NULL: Const = { kind: ConstKind.RefNull, bits: 0n, index: 0 };
const ZERO: Const = { kind: ConstKind.Bits, bits: 0n, index: 0 };

function memoryFlags(m: MemoryType): number {
  return (m.index64 ? 1 : 0) | (m.shared ? 2 : 0);
}

function tableFlags(t: TableType, image = false, written = false): number {
  return (
    (t.index64 ? TableFlag.Index64 : 0) | (image ? TableFlag.Image : 0) | (written ? TableFlag.Written : 0)
  );
}

class Builder implements PartWriter {
  readonly w: ByteWriter;
  private readonly strings = new Strings();
  private readonly constCode = new ByteWriter(64);
  private readonly l: Linked;
  private readonly m: Module;
  private parts = 0;

  constructor(l: Linked) {
    this.l = l;
    this.m = l.module;
    const tables = l.code.pcMapBytes + debugTableBytes(l.code);
    this.w = new ByteWriter(4096 + l.funcs.length * 128 + l.module.bytes.length + tables);
    this.w.reserve(HEADER.size + PART_COUNT * DIRECTORY.size);
  }

  /** Starts a part; `records` of `size` bytes each are reserved. Returns where it starts. */
  part(kind: Part, records: number, size: number): number {
    this.w.align(PART_ALIGN);
    const at = this.w.reserve(records * size);
    this.entry(kind, at, records * size, records);
    return at;
  }

  /** Starts a part of n bytes; returns where. */
  bytePart(kind: Part, n: number): number {
    this.w.align(PART_ALIGN);
    const at = this.w.reserve(n);
    this.entry(kind, at, n, 0);
    return at;
  }

  words(): Uint32Array {
    return new Uint32Array(this.w.bytes.buffer, 0, this.w.length >> 2);
  }

  bytes(at: number, bytes: Uint8Array): void {
    this.w.bytes.set(bytes, at);
  }

  private whole(kind: Part, bytes: Uint8Array): void {
    const at = this.bytePart(kind, bytes.length);
    this.w.bytes.set(bytes, at);
  }

  private entry(kind: Part, offset: number, size: number, count: number): void {
    const at = HEADER.size + this.parts++ * DIRECTORY.size;
    this.u32(at + DIRECTORY.offsets.kind!, kind);
    this.u32(at + DIRECTORY.offsets.offset!, offset);
    this.u32(at + DIRECTORY.offsets.size!, size);
    this.u32(at + DIRECTORY.offsets.count!, count);
  }

  private u32(at: number, v: number): void {
    this.w.view.setUint32(at, v, true);
  }

  private u64(at: number, v: bigint): void {
    this.w.view.setBigUint64(at, v, true);
  }

  build(): void {
    this.types();
    this.functions();
    this.imports();
    this.exports();
    this.memories();
    this.tables();
    this.globals();
    this.elems();
    this.data();
    this.escaping();
    const name = this.strings.add(this.m.names.module ?? '');
    this.whole(Part.Strings, this.strings.w.done());
    this.whole(Part.Options, optionsText(this.l.options));
    this.whole(Part.ConstCode, this.constCode.done());
    this.exceptions();
    this.debugTables();
    this.w.align(PART_ALIGN);
    this.header(name);
  }

  private types(): void {
    const { types, canonicalTypes } = this.m;
    const at = this.part(Part.Types, types.length, TYPE.size);
    const f = TYPE.offsets;
    const bytes = new ByteWriter(types.length * 8);
    types.forEach((t, i) => {
      const r = at + i * TYPE.size;
      this.u32(r + f.bytes!, bytes.length);
      this.w.view.setUint16(r + f.params!, t.params.length + t.fields.length, true);
      this.w.view.setUint16(r + f.results!, t.results.length, true);
      this.u32(r + f.canonical!, canonicalTypes[i]!);
      this.u32(r + f.entry_thunk!, this.l.entryThunk(canonicalTypes[i]!));
      this.u32(r + f.supertype!, t.supertype < 0 ? NO_INDEX : t.supertype);
      this.u32(r + f.group!, t.group);
      this.u32(r + f.group_size!, t.groupSize);
      this.w.view.setUint16(r + f.kind!, t.kind, true);
      this.w.view.setUint16(r + f.final!, t.final ? 1 : 0, true);
      const all = t.kind === TypeKind.Func ? [...t.params, ...t.results] : t.fields.map(field => field.type);
      for (const v of all) bytes.u8(erased(v, this.m));
      const exact = t.kind === TypeKind.Func && all.every(v => erased(v, this.m) === v);
      this.u32(r + f.codes!, exact ? NO_INDEX : bytes.length);
      if (!exact) {
        all.forEach((v, k) => {
          bytes.u32((t.fields[k]?.mutable ? FIELD_MUTABLE : 0) + v);
        });
      }
    });
    this.whole(Part.TypeBytes, bytes.done());
  }

  private functions(): void {
    const { funcs, code, typeIndices } = this.l;
    const { functions: names } = this.m.names;
    const at = this.part(Part.Functions, funcs.length, FUNCTION.size);
    const pcMaps = this.bytePart(Part.PcMap, code.pcMapBytes);
    const functions = new Functions(this.w.bytes.buffer, at, pcMaps);
    for (let i = 0; i < funcs.length; i++)
      functions.add(i, typeIndices[i]!, this.functionName(names, i), code.code[i]!, funcs[i]!);
  }

  /** The string; 0: none. */
  private functionName(names: ReadonlyMap<number, string>, index: number): number {
    if (index >= this.m.functions.length) return 0;
    const name = names.get(index);
    return name === undefined ? 0 : this.strings.add(name);
  }

  private imports(): void {
    const { imports } = this.m;
    const { bindings } = this.l.options;
    const at = this.part(Part.Imports, imports.length, IMPORT.size);
    const f = IMPORT.offsets;
    const next = [0, 0, 0, 0, 0];
    imports.forEach((i, n) => {
      const r = at + n * IMPORT.size;
      const kind = i.desc.kind;
      this.u32(r + f.module!, this.strings.add(i.module));
      this.u32(r + f.name!, this.strings.add(i.name));
      this.u32(r + f.symbol!, this.strings.add(bindings.get(i.module)?.get(i.name) ?? ''));
      this.u32(r + f.kind!, kind);
      this.u32(r + f.index!, next[kind]!++);
      switch (i.desc.kind) {
        case ExternKind.Func:
        case ExternKind.Tag:
          this.u32(r + f.type!, i.desc.typeIndex);
          break;
        case ExternKind.Global:
          this.u32(r + f.type!, erased(i.desc.global.type, this.m) | (i.desc.global.mutable ? 0x100 : 0));
          break;
        case ExternKind.Table: {
          const t = i.desc.table;
          this.u32(r + f.type!, erased(t.element, this.m) | (tableFlags(t) << 8));
          this.limits(r, f, t.limits);
          break;
        }
        case ExternKind.Memory: {
          const m = i.desc.memory;
          this.u32(r + f.type!, memoryFlags(m) | (m.pageSizeLog2 << 8));
          this.limits(r, f, m.limits);
          break;
        }
      }
    });
  }

  private limits(
    r: number,
    f: Record<string, number>,
    limits: { readonly min: bigint; readonly max: bigint | null },
  ): void {
    this.u64(r + f.min!, limits.min);
    this.u64(r + f.max!, limits.max ?? NO_MAX);
  }

  private exports(): void {
    const { exports } = this.m;
    const at = this.part(Part.Exports, exports.length, EXPORT.size);
    const f = EXPORT.offsets;
    exports.forEach((e, i) => {
      const r = at + i * EXPORT.size;
      this.u32(r + f.name!, this.strings.add(e.name));
      this.u32(r + f.kind!, e.kind);
      this.u32(r + f.index!, e.index);
    });
  }

  private memories(): void {
    const { memories } = this.m;
    const at = this.part(Part.Memories, memories.length, MEMORY.size);
    memories.forEach((m, i) => {
      const r = at + i * MEMORY.size;
      this.limits(r, MEMORY.offsets, m.limits);
      this.u32(r + MEMORY.offsets.flags!, memoryFlags(m));
      this.u32(r + MEMORY.offsets.page_size_log2!, m.pageSizeLog2);
    });
  }

  private tables(): void {
    const { tables, tableInits, importedTables } = this.m;
    const at = this.part(Part.Tables, tables.length, TABLE.size);
    tables.forEach((t, i) => {
      const r = at + i * TABLE.size;
      this.limits(r, TABLE.offsets, t.limits);
      this.u32(r + TABLE.offsets.element!, erased(t.element, this.m));
      this.u32(r + TABLE.offsets.code!, t.element);
      const init = tableInits[i - importedTables];
      const start = init ? constant(init, this.constCode) : NULL;
      this.u32(r + TABLE.offsets.init!, start.kind);
      this.u32(r + TABLE.offsets.index!, start.index);
      this.u32(
        r + TABLE.offsets.flags!,
        tableFlags(t, this.m.tableImages[i] != null, i >= importedTables && this.m.tablesWritten[i]),
      );
    });
  }

  private globals(): void {
    const { globalTypes, globals, importedGlobals } = this.m;
    const at = this.part(Part.Globals, globalTypes.length, GLOBAL.size);
    const f = GLOBAL.offsets;
    globalTypes.forEach((g, i) => {
      const r = at + i * GLOBAL.size;
      const init = i < importedGlobals ? ZERO : constant(globals[i - importedGlobals]!.init, this.constCode);
      this.u64(r + f.value!, BigInt.asUintN(64, init.bits));
      this.u64(r + f.value! + 8, BigInt.asUintN(64, init.bits >> 64n));
      this.u32(r + f.type!, erased(g.type, this.m));
      this.u32(r + f.code!, g.type);
      this.u32(r + f.mutable!, g.mutable ? 1 : 0);
      this.u32(r + f.init!, init.kind);
      this.u32(r + f.index!, init.index);
    });
  }

  private elems(): void {
    const { elems } = this.m;
    const at = this.part(Part.Elems, elems.length, ELEM.size);
    const f = ELEM.offsets;
    const modes = {
      active: SegmentMode.Active,
      passive: SegmentMode.Passive,
      declarative: SegmentMode.Declarative,
    };
    const items: Const[] = [];
    let values = 0;
    elems.forEach((e, i) => {
      const r = at + i * ELEM.size;
      const offset = e.mode === 'active' ? constant(e.offset, this.constCode) : ZERO;
      this.u64(r + f.offset!, offset.bits);
      this.u32(r + f.mode!, modes[e.mode]);
      this.u32(r + f.table!, e.table);
      this.u32(r + f.offset_kind!, offset.kind);
      this.u32(r + f.offset_index!, offset.index);
      this.u32(r + f.type!, erased(e.type, this.m));
      this.u32(r + f.first!, items.length);
      this.u32(r + f.count!, e.items.length);
      let code = false;
      for (const expr of e.items) {
        const item = constant(expr, this.constCode);
        code ||= item.kind === ConstKind.Code;
        items.push(item);
      }
      this.u32(r + f.values!, code ? values : NO_INDEX);
      if (code) values += e.items.length;
    });
    let to = this.part(Part.ElemItems, items.length, ITEM.size);
    for (const item of items) {
      this.u32(to + ITEM.offsets.kind!, item.kind);
      this.u32(to + ITEM.offsets.index!, item.index);
      to += ITEM.size;
    }
  }

  private data(): void {
    const { data, bytes } = this.m;
    const at = this.part(Part.Data, data.length, DATA.size);
    const f = DATA.offsets;
    let first = 0;
    data.forEach((d, i) => {
      const r = at + i * DATA.size;
      const offset = d.mode === 'active' ? constant(d.offset, this.constCode) : ZERO;
      this.u64(r + f.offset!, offset.bits);
      this.u32(r + f.mode!, d.mode === 'active' ? SegmentMode.Active : SegmentMode.Passive);
      this.u32(r + f.memory!, d.memory);
      this.u32(r + f.offset_kind!, offset.kind);
      this.u32(r + f.offset_index!, offset.index);
      this.u32(r + f.first!, first);
      this.u32(r + f.length!, d.end - d.start);
      first += d.end - d.start;
    });
    let to = this.bytePart(Part.DataBytes, first);
    for (const d of data) {
      this.w.bytes.set(bytes.subarray(d.start, d.end), to);
      to += d.end - d.start;
    }
  }

  private escaping(): void {
    const { escaping } = this.m;
    const at = this.part(Part.Escaping, escaping.length, ESCAPING.size);
    escaping.forEach((index, i) => {
      this.u32(at + i * ESCAPING.size + ESCAPING.offsets.function!, index);
    });
  }

  /** Tags, and what the unwinder must know of try_tables. */
  private exceptions(): void {
    const { landing } = this.l.code;
    const { tags } = this.m;
    let at = this.part(Part.Tags, tags.length, TAG.size);
    for (const type of tags) {
      this.u32(at + TAG.offsets.type!, type);
      at += TAG.size;
    }
    let landings = 0;
    let scopes = 0;
    let clauses = 0;
    for (const func of landing) {
      landings += func.landings.length / LANDING;
      scopes += func.scopes.length;
      for (const s of func.scopes) clauses += s.tags.length;
    }
    this.landings(this.part(Part.Landings, landings, LANDING_PAD.size));
    this.tryScopes(this.part(Part.TryScopes, scopes, TRY_SCOPE.size));
    at = this.part(Part.CatchClauses, clauses, CATCH_CLAUSE.size);
    for (const func of landing) {
      let number = 0;
      for (const s of func.scopes) {
        for (const tag of s.tags) {
          this.u32(at + CATCH_CLAUSE.offsets.tag!, tag < 0 ? NO_INDEX : tag);
          this.u32(at + CATCH_CLAUSE.offsets.number!, number++);
          at += CATCH_CLAUSE.size;
        }
      }
    }
  }

  private landings(at: number): void {
    const f = LANDING_PAD.offsets;
    let first = 0;
    const { code, landing } = this.l.code;
    for (const func of landing) {
      const start = code[func.index]!;
      for (let k = 0; k < func.landings.length; k += LANDING) {
        this.u32(at + f.site!, start + func.landings[k]!);
        this.u32(at + f.pad!, start + func.landings[k + 1]!);
        this.u32(at + f.scope!, first + func.landings[k + 2]!);
        at += LANDING_PAD.size;
      }
      first += func.scopes.length;
    }
  }

  private tryScopes(at: number): void {
    const f = TRY_SCOPE.offsets;
    let scope = 0;
    let clause = 0;
    for (const func of this.l.code.landing) {
      for (const s of func.scopes) {
        this.u32(at + f.parent!, s.parent < 0 ? NO_INDEX : scope + s.parent);
        this.u32(at + f.first!, clause);
        this.u32(at + f.count!, s.tags.length);
        clause += s.tags.length;
        at += TRY_SCOPE.size;
      }
      scope += func.scopes.length;
    }
  }

  private debugTables(): void {
    writeDebugTables(this, this.l.code, this.l.funcs);
  }

  private header(name: number): void {
    const { module: m, layout, options, machine } = this.l;
    const f = HEADER.offsets;
    const w = this.w;
    for (let i = 0; i < 8; i++) w.bytes[f.magic! + i] = ARTIFACT_MAGIC.charCodeAt(i);
    this.u32(f.version!, ARTIFACT_VERSION);
    this.u32(f.size!, w.length);
    this.u32(f.parts!, PART_COUNT);
    this.u32(f.machine!, machine);
    this.u32(f.memory_mode!, MEMORY_MODES.indexOf(options.memory));
    this.u64(f.cpu_features!, featureBits(options.features));
    this.u64(f.reserved_size!, options.memory === 'dense' ? 0n : BigInt(options.reservedSize));
    this.u64(f.flags!, hasFloats(m) ? 0n : BigInt(ModuleFlag.NoFloats));
    this.u32(f.vmctx_memories!, layout.memories);
    this.u32(f.vmctx_tables!, layout.tables);
    this.u32(f.vmctx_globals!, layout.globals);
    this.u32(f.vmctx_imports!, layout.imports);
    this.u32(f.vmctx_size!, layout.size);
    this.u32(f.imported_functions!, m.importedFunctions);
    this.u32(f.imported_tables!, m.importedTables);
    this.u32(f.imported_memories!, m.importedMemories);
    this.u32(f.imported_globals!, m.importedGlobals);
    this.u32(f.start_function!, m.start ?? NO_INDEX);
    this.u32(f.functions!, m.functions.length);
    this.u32(f.data_count!, m.data.length);
    this.u32(f.code_start!, m.codeStart);
    this.u32(f.name!, name);
    w.bytes.set(this.l.digest.subarray(0, 16), f.module_hash!);
  }

  place(a: Addresses): void {
    const f = HEADER.offsets;
    this.u32(f.text_size!, a.textSize);
    this.u32(f.rodata_size!, a.rodataSize);
    this.u32(f.text_offset!, a.text);
    this.u32(f.rodata_offset!, a.rodata);
    this.u32(f.text_address!, a.text);
    this.u32(f.rodata_address!, a.rodata);
  }
}

function featureBits(features: CompileOptions['features']): bigint {
  return CPU_FEATURES.reduce((bits, name, i) => (features.has(name) ? bits | (1n << BigInt(i)) : bits), 0n);
}

/** What decides over the code and nothing else: not the number of workers. */
function optionsText(o: CompileOptions): Uint8Array {
  const text = JSON.stringify({
    optLevel: o.optLevel,
    features: CPU_FEATURES.filter(f => o.features.has(f)),
    memory: o.memory,
    reservedSize: o.reservedSize,
    canonicalizeNans: o.canonicalizeNans,
    countInstructions: o.countInstructions,
    debugCode: o.debugCode,
    debugInfo: o.debugInfo,
  });
  return new TextEncoder().encode(text);
}

export function buildMetadata(linked: Linked): Metadata {
  const b = new Builder(linked);
  b.build();
  return {
    bytes: b.w.done(),
    checksumAt: HEADER.offsets.checksum!,
    place: addresses => b.place(addresses),
  };
}
