/**
 * Reads compiled modules: the typed view that reports, tools and the runtime's TypeScript side share.
 *
 * Everything is checked before it is used: structure when the file is opened, contents of strings and pc maps when they
 * are asked for. Damage is always an ArtifactError, never another exception or an endless loop. The runtime's C loader
 * makes its own checks.
 */
import {
  CATCH_CLAUSE_RECORD,
  DATA_RECORD,
  DEBUG_FUNCTION_RECORD,
  DEBUG_LOCAL_RECORD,
  ELEM_ITEM,
  ELEM_RECORD,
  ESCAPING_RECORD,
  EXPORT_RECORD,
  GLOBAL_RECORD,
  IMPORT_RECORD,
  LANDING_RECORD,
  MEMORY_RECORD,
  Part,
  type PcMapEntry,
  recordLayout,
  SECTION,
  SEQUENCE_POINT_RECORD,
  TABLE_RECORD,
  TAG_RECORD,
  TRY_SCOPE_RECORD,
  TYPE_RECORD,
} from '../abi/artifact.ts';
import { TrapCode } from '../abi/traps.ts';
import { ExternKind, type FuncType, type MemoryType, type TableType } from '../wasm/module.ts';
import { ArtifactFile, decoder, FUNCTION, HEADER, NO_INDEX } from './artifact-file.ts';
import type {
  CatchInfo,
  DataInfo,
  DebugFunction,
  ElemInfo,
  ExportInfo,
  ExternType,
  FunctionInfo,
  GlobalInfo,
  ImportInfo,
  LandingInfo,
  Location,
  TryScopeInfo,
  TypeLinks,
} from './artifact-types.ts';
import { walkPcMap } from './pc-map.ts';
import { splitSignature } from './signature.ts';

export type * from './artifact-types.ts';
export { ArtifactError } from './elf-reader.ts';

export class Artifact extends ArtifactFile {
  /** Module name, or ''. */
  get name(): string {
    return this.string(this.u32(this.base + HEADER.offsets.name!));
  }

  get types(): readonly FuncType[] {
    const bytes = this.place(Part.TypeBytes);
    const { offsets } = recordLayout(TYPE_RECORD);
    // Types do not share bytes: that bounds what a damaged file can make of a few.
    let total = 0;
    const types = this.records(Part.Types, TYPE_RECORD, (field, at) => {
      const params = this.view.getUint16(at + offsets.params!, true);
      const results = this.view.getUint16(at + offsets.results!, true);
      const first = field('bytes');
      total += params + results;
      if (first + params + results > bytes.size || total > bytes.size) this.failAt('bad type', at);
      const all = Array.from(this.slice(bytes.offset + first, params + results), v => this.valType(v, at));
      return { params: all.slice(0, params), results: all.slice(params) };
    });
    return this.cache('types', types);
  }

  /** For each type: index of the first equal one, and record of its entry thunk or null. */
  get typeLinks(): readonly TypeLinks[] {
    const links = this.records(Part.Types, TYPE_RECORD, (field, at, i) => {
      const canonical = field('canonical');
      const thunk = field('entry_thunk');
      if (canonical > i) this.failAt('bad canonical type', at);
      if (thunk !== NO_INDEX && thunk >= this.recordCount) this.failAt('bad entry thunk', at);
      const supertype = field('supertype');
      const u16 = (name: string) => this.view.getUint16(at + recordLayout(TYPE_RECORD).offsets[name]!, true);
      return {
        canonical,
        entryThunk: thunk === NO_INDEX ? null : thunk,
        kind: u16('kind'),
        supertype: supertype === NO_INDEX ? -1 : supertype,
        final: u16('final') !== 0,
        group: field('group'),
        groupSize: field('group_size'),
      };
    });
    return this.cache('typeLinks', links);
  }

  private functionRecord(index: number): number {
    if (!(index >= 0 && index < this.recordCount)) throw new RangeError(`no function record ${index}`);
    return this.place(Part.Functions).offset + index * FUNCTION.size;
  }

  /** A function record. `index` < recordCount */
  func(index: number): FunctionInfo {
    const at = this.functionRecord(index);
    const f = FUNCTION.offsets;
    return {
      index,
      kind:
        index < this.importedFunctions
          ? 'import'
          : index < this.functionCount
            ? 'function'
            : index < this.functionCount + this.importedFunctions
              ? 'host-thunk'
              : 'entry-thunk',
      start: this.u32(at + f.code!),
      length: this.u32(at + f.length!),
      typeIndex: this.u32(at + f.type!),
      frameSize: this.u32(at + f.frame_size!),
      wasmStart: this.u32(at + f.wasm_start!),
      name: this.string(this.u32(at + f.name!)),
    };
  }

  /** How reports call a function record: its name, else a description. */
  describe(index: number): string {
    const f = this.func(index);
    if (f.name !== '') return f.name;
    switch (f.kind) {
      case 'host-thunk':
        return `host-thunk[${index - this.functionCount}]`;
      case 'entry-thunk':
        return `entry-thunk[type ${f.typeIndex}]`;
      default:
        return `wasm-function[${index}]`;
    }
  }

  get imports(): readonly ImportInfo[] {
    const { offsets } = recordLayout(IMPORT_RECORD);
    const imports = this.records(Part.Imports, IMPORT_RECORD, (field, at) => ({
      module: this.string(field('module')),
      name: this.string(field('name')),
      symbol: this.string(field('symbol')),
      index: field('index'),
      desc: this.importType(field('kind'), field('type'), at, offsets),
    }));
    return this.cache('imports', imports);
  }

  private importType(
    kind: ExternKind,
    type: number,
    at: number,
    offsets: Readonly<Record<string, number>>,
  ): ExternType {
    switch (kind) {
      case ExternKind.Func:
        return { kind, typeIndex: type, type: this.typeAt(type, at) };
      case ExternKind.Table:
        return {
          kind,
          table: {
            element: this.valType(type & 0xff, at),
            limits: this.limits(at, offsets),
            index64: (type & 0x100) !== 0,
          },
        };
      case ExternKind.Memory:
        return {
          kind,
          memory: {
            limits: this.limits(at, offsets),
            index64: (type & 1) !== 0,
            shared: (type & 2) !== 0,
            pageSizeLog2: type >>> 8,
          },
        };
      case ExternKind.Global:
        return { kind, global: { type: this.valType(type & 0xff, at), mutable: (type & 0x100) !== 0 } };
      case ExternKind.Tag:
        return { kind, typeIndex: type, type: this.typeAt(type, at) };
      default:
        return this.failAt('bad kind of import', at);
    }
  }

  private typeAt(index: number, at: number): FuncType {
    return this.types[index] ?? this.failAt('bad type index', at);
  }

  get exports(): readonly ExportInfo[] {
    const exports = this.records(Part.Exports, EXPORT_RECORD, (field, at) => ({
      name: this.string(field('name')),
      index: field('index'),
      desc: this.exportType(field('kind'), field('index'), at),
    }));
    return this.cache('exports', exports);
  }

  private exportType(kind: ExternKind, index: number, at: number): ExternType {
    const wrong = () => this.failAt('export of something that is not there', at);
    switch (kind) {
      case ExternKind.Func: {
        if (index >= this.functionCount) wrong();
        const { typeIndex } = this.func(index);
        return { kind, typeIndex, type: this.typeAt(typeIndex, at) };
      }
      case ExternKind.Table:
        return { kind, table: this.tables[index] ?? wrong() };
      case ExternKind.Memory:
        return { kind, memory: this.memories[index] ?? wrong() };
      case ExternKind.Global: {
        const { type, mutable } = this.globals[index] ?? wrong();
        return { kind, global: { type, mutable } };
      }
      case ExternKind.Tag: {
        const typeIndex = this.tags[index] ?? wrong();
        return { kind, typeIndex, type: this.typeAt(typeIndex, at) };
      }
      default:
        return this.failAt('bad kind of export', at);
    }
  }

  get memories(): readonly MemoryType[] {
    const { offsets } = recordLayout(MEMORY_RECORD);
    const memories = this.records(Part.Memories, MEMORY_RECORD, (field, at) => ({
      limits: this.limits(at, offsets),
      index64: (field('flags') & 1) !== 0,
      shared: (field('flags') & 2) !== 0,
      pageSizeLog2: field('page_size_log2'),
    }));
    return this.cache('memories', memories);
  }

  get tables(): readonly TableType[] {
    const { offsets } = recordLayout(TABLE_RECORD);
    const tables = this.records(Part.Tables, TABLE_RECORD, (field, at) => ({
      element: this.valType(field('element'), at),
      limits: this.limits(at, offsets),
      index64: (field('flags') & 1) !== 0,
    }));
    return this.cache('tables', tables);
  }

  get globals(): readonly GlobalInfo[] {
    const { offsets } = recordLayout(GLOBAL_RECORD);
    const globals = this.records(Part.Globals, GLOBAL_RECORD, (field, at, i) => ({
      type: this.valType(field('type'), at),
      mutable: field('mutable') !== 0,
      init:
        i < this.importedGlobals
          ? null
          : this.constant(
              field('init'),
              this.u64(at + offsets.value!) | (this.u64(at + offsets.value! + 8) << 64n),
              field('index'),
              at,
            ),
    }));
    return this.cache('globals', globals);
  }

  get elems(): readonly ElemInfo[] {
    const { offsets } = recordLayout(ELEM_RECORD);
    const items = this.records(Part.ElemItems, ELEM_ITEM, (field, at) =>
      this.constant(field('kind'), 0n, field('index'), at),
    );
    // Nor do segments share items.
    let total = 0;
    const elems = this.records(Part.Elems, ELEM_RECORD, (field, at) => {
      const first = field('first');
      const count = field('count');
      total += count;
      if (first + count > items.length || total > items.length)
        this.failAt('items of an element segment are missing', at);
      return {
        mode: this.mode(field('mode'), at),
        table: field('table'),
        type: this.valType(field('type'), at),
        offset: this.constant(
          field('offset_kind'),
          this.u64(at + offsets.offset!),
          field('offset_index'),
          at,
        ),
        items: items.slice(first, first + count),
      };
    });
    return this.cache('elems', elems);
  }

  get data(): readonly DataInfo[] {
    const bytes = this.place(Part.DataBytes);
    const { offsets } = recordLayout(DATA_RECORD);
    const data = this.records(Part.Data, DATA_RECORD, (field, at) => {
      const first = field('first');
      const length = field('length');
      if (first + length > bytes.size) this.failAt('bytes of a data segment are missing', at);
      return {
        mode: this.mode(field('mode'), at),
        memory: field('memory'),
        offset: this.constant(
          field('offset_kind'),
          this.u64(at + offsets.offset!),
          field('offset_index'),
          at,
        ),
        bytes: this.slice(bytes.offset + first, length),
      };
    });
    return this.cache('data', data);
  }

  /** Type index of each tag, imported ones first. */
  get tags(): readonly number[] {
    return this.cache(
      'tags',
      this.records(Part.Tags, TAG_RECORD, field => field('type')),
    );
  }

  get tryScopes(): readonly TryScopeInfo[] {
    const tags = this.tags.length;
    const clauses = this.records(Part.CatchClauses, CATCH_CLAUSE_RECORD, (field, at): CatchInfo => {
      const tag = field('tag');
      if (tag !== NO_INDEX && tag >= tags) this.failAt('bad tag of a catch clause', at);
      return { tag: tag === NO_INDEX ? null : tag, number: field('number') };
    });
    // Scopes do not share clauses.
    let end = 0;
    const scopes = this.records(Part.TryScopes, TRY_SCOPE_RECORD, (field, at, i): TryScopeInfo => {
      const parent = field('parent');
      const first = field('first');
      if (parent !== NO_INDEX && parent >= i) this.failAt('bad scope around a try_table', at);
      if (first < end || first + field('count') > clauses.length)
        this.failAt('catch clauses are missing', at);
      end = first + field('count');
      return { parent: parent === NO_INDEX ? null : parent, clauses: clauses.slice(first, end) };
    });
    return this.cache('tryScopes', scopes);
  }

  /** Ascending by call site. */
  get landings(): readonly LandingInfo[] {
    const scopes = this.place(Part.TryScopes).count;
    const landings = this.records(Part.Landings, LANDING_RECORD, (field, at): LandingInfo => {
      if (field('scope') >= scopes) this.failAt('bad scope of a call', at);
      return { site: field('site'), pad: field('pad'), scope: field('scope') };
    });
    return this.cache('landings', landings);
  }

  /** Function indices, ascending: position = number of the funcref record. */
  get escaping(): readonly number[] {
    const escaping = this.records(Part.Escaping, ESCAPING_RECORD, (field, at) => {
      if (field('function') >= this.functionCount) this.failAt('bad escaping function', at);
      return field('function');
    });
    return this.cache('escaping', escaping);
  }

  /** Compile options, as the compiler wrote them. */
  get options(): Readonly<Record<string, unknown>> {
    const { offset, size } = this.place(Part.Options);
    try {
      const value: unknown = JSON.parse(decoder.decode(this.slice(offset, size)));
      if (typeof value === 'object' && value !== null)
        return this.cache('options', value as Record<string, unknown>);
    } catch (e) {
      if (!(e instanceof SyntaxError)) throw e;
    }
    return this.failAt('the compile options are not an object', offset);
  }

  // ---- Look-ups

  findExport(name: string): ExportInfo | undefined {
    return this.exports.find(e => e.name === name);
  }

  findImport(module: string, name: string): ImportInfo | undefined {
    return this.imports.find(i => i.module === module && i.name === name);
  }

  /**
   * The function record whose code contains `pc`, or -1.
   * @param pc offset in .text
   */
  functionAt(pc: number): number {
    const { withCode } = this;
    let lo = 0;
    let hi = withCode.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.codeStartOf(withCode[mid]!) <= pc) lo = mid + 1;
      else hi = mid;
    }
    if (lo === 0) return -1;
    const index = withCode[lo - 1]!;
    const at = this.functionRecord(index);
    return pc < this.u32(at + FUNCTION.offsets.code!) + this.u32(at + FUNCTION.offsets.length!) ? index : -1;
  }

  private codeStartOf(record: number): number {
    return this.u32(this.functionRecord(record) + FUNCTION.offsets.code!);
  }

  /**
   * What is known about a code address. For a return address, ask for the address before it.
   * @param pc offset in .text
   * @returns null when no code is there
   */
  locate(pc: number): Location | null {
    const func = this.functionAt(pc);
    if (func < 0) return null;
    const rel = pc - this.codeStartOf(func);
    let wasmOffset = -1;
    let trap = TrapCode.None;
    this.eachPcMapEntry(func, (at, offset, code) => {
      if (at > rel) return false;
      wasmOffset = offset;
      trap = at === rel ? code : TrapCode.None;
      return true;
    });
    return { func, wasmOffset, trap };
  }

  /** The decoded pc map of a function record; pc counts from the function's start. */
  pcMap(index: number): PcMapEntry[] {
    const entries: PcMapEntry[] = [];
    this.eachPcMapEntry(index, (pc, wasmOffset, trap) => {
      entries.push({ pc, wasmOffset, trap });
      return true;
    });
    return entries;
  }

  private eachPcMapEntry(
    index: number,
    each: (pc: number, wasmOffset: number, trap: TrapCode) => boolean,
  ): void {
    const f = FUNCTION.offsets;
    const record = this.functionRecord(index);
    const length = this.u32(record + f.length!);
    const start = this.place(Part.PcMap).offset + this.u32(record + f.pc_map!);
    const end = start + this.u32(record + f.pc_map_length!);
    const bad = walkPcMap(this.bytes, start, end, length, this.u32(record + f.wasm_start!), each);
    if (bad >= 0) this.failAt(`pc map of function ${index}`, bad);
  }

  /** Functions of debug code, by function index; empty: it is no debug code. */
  get debugFunctions(): ReadonlyMap<number, DebugFunction> {
    const locals = this.records(Part.DebugLocals, DEBUG_LOCAL_RECORD, field => ({
      type: field('type'),
      home: field('home'),
    }));
    const points = this.records(Part.SequencePoints, SEQUENCE_POINT_RECORD, field => ({
      pc: field('pc'),
      wasmOffset: field('wasm_offset'),
      operandCount: field('operand_count'),
    }));
    const all = this.records(Part.DebugFunctions, DEBUG_FUNCTION_RECORD, (field, at) => {
      const firstLocal = field('first_local');
      const firstPoint = field('first_point');
      const localEnd = firstLocal + field('local_count');
      const pointEnd = firstPoint + field('point_count');
      if (localEnd > locals.length || pointEnd > points.length) this.failAt('bad function of debug code', at);
      return {
        index: field('function'),
        operands: field('operands'),
        locals: locals.slice(firstLocal, localEnd),
        points: points.slice(firstPoint, pointEnd),
      };
    });
    return this.cache('debugFunctions', new Map(all.map(f => [f.index, f])));
  }

  /** The module's own debug sections, by their name in the module (".debug_info"). */
  get debugSections(): ReadonlyMap<string, Uint8Array> {
    const prefix = SECTION.wasmPrefix;
    const found = new Map<string, Uint8Array>();
    for (const s of this.sections)
      if (s.name.startsWith(prefix)) found.set(s.name.slice(prefix.length), this.slice(s.offset, s.size));
    return this.cache('debugSections', found);
  }
}

/**
 * Open a compiled module. A signature behind it is skipped, not verified: compiler/minisign.ts does.
 * @throws ArtifactError: not one, of another version, or damaged
 */
export function readArtifact(bytes: Uint8Array): Artifact {
  return new Artifact(splitSignature(bytes).artifact);
}
