/**
 * The structure of a compiled module: what is checked when it is opened, and the reading of records, strings, constants
 * and limits. What the parts hold is in artifact-reader.ts.
 */
import {
  ARTIFACT_HEADER,
  ARTIFACT_MAGIC,
  ARTIFACT_VERSION,
  CATCH_CLAUSE_RECORD,
  ConstCode,
  ConstKind,
  CPU_FEATURES,
  type CpuFeature,
  DATA_RECORD,
  DEBUG_FUNCTION_RECORD,
  DEBUG_LOCAL_RECORD,
  DIRECTORY_ENTRY,
  ELEM_ITEM,
  ELEM_RECORD,
  ESCAPING_RECORD,
  EXPORT_RECORD,
  FUNCTION_RECORD,
  GLOBAL_RECORD,
  IMPORT_RECORD,
  LANDING_RECORD,
  MEMORY_MODES,
  MEMORY_RECORD,
  type MemoryMode,
  ModuleFlag,
  Part,
  type RecordType,
  recordLayout,
  SECTION,
  SEQUENCE_POINT_RECORD,
  SegmentMode,
  TABLE_RECORD,
  TAG_RECORD,
  TRY_SCOPE_RECORD,
  TYPE_RECORD,
} from '../abi/artifact.ts';
import { type ConstExpr, type ConstOp, type Limits, ValType } from '../wasm/module.ts';
import type { ConstInfo } from './artifact-types.ts';
import { ArtifactError, type FileSection, readSections } from './elf-reader.ts';
import { xxHash32 } from './hashes.ts';

// A name may begin with U+FEFF.
export const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
export const HEADER = recordLayout(ARTIFACT_HEADER);
const DIRECTORY = recordLayout(DIRECTORY_ENTRY);
export const FUNCTION = recordLayout(FUNCTION_RECORD);
export const NO_INDEX = 0xffffffff;
const NO_CODE: ConstExpr = [];
/** Bytes of immediates behind each operator of ConstCode. */
const CONST_OPERAND = [0, 4, 8, 4, 0, 0, 0, 0, 0, 0, 4];
const CONST_ARITHMETIC = ['add', 'sub', 'mul'] as const;
const NO_MAX = 0xffffffffffffffffn;

/** Record type of each part, in the order in which they must come; null: bytes. */
const PARTS: readonly (readonly [kind: Part, record: RecordType | null])[] = [
  [Part.Types, TYPE_RECORD],
  [Part.TypeBytes, null],
  [Part.Functions, FUNCTION_RECORD],
  [Part.PcMap, null],
  [Part.Imports, IMPORT_RECORD],
  [Part.Exports, EXPORT_RECORD],
  [Part.Memories, MEMORY_RECORD],
  [Part.Tables, TABLE_RECORD],
  [Part.Globals, GLOBAL_RECORD],
  [Part.Elems, ELEM_RECORD],
  [Part.ElemItems, ELEM_ITEM],
  [Part.Data, DATA_RECORD],
  [Part.DataBytes, null],
  [Part.Escaping, ESCAPING_RECORD],
  [Part.Strings, null],
  [Part.Options, null],
  [Part.ConstCode, null],
  [Part.Tags, TAG_RECORD],
  [Part.Landings, LANDING_RECORD],
  [Part.TryScopes, TRY_SCOPE_RECORD],
  [Part.CatchClauses, CATCH_CLAUSE_RECORD],
  [Part.DebugFunctions, DEBUG_FUNCTION_RECORD],
  [Part.DebugLocals, DEBUG_LOCAL_RECORD],
  [Part.SequencePoints, SEQUENCE_POINT_RECORD],
  [Part.OperandTypes, null],
];

interface PartPlace {
  /** In the file. */
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}
/**
 * A compiled module as records: header, directory, and what every part is read by. ArtifactError where it is damaged.
 */
export class ArtifactFile {
  readonly version: number;
  /** ELF e_machine. */
  readonly machine: number;
  readonly memoryMode: MemoryMode;
  /** Some body has an operator on floating-point numbers. */
  readonly hasFloats: boolean;
  readonly cpuFeatures: readonly CpuFeature[];
  /** Bytes of address space that unchecked accesses may reach. */
  readonly reservedSize: bigint;
  readonly vmctx: {
    readonly memories: number;
    readonly tables: number;
    readonly globals: number;
    readonly imports: number;
    readonly size: number;
  };
  readonly importedFunctions: number;
  readonly importedTables: number;
  readonly importedMemories: number;
  readonly importedGlobals: number;
  /** Function index or null. */
  readonly start: number | null;
  /** Number of functions, imported ones included. */
  readonly functionCount: number;
  /** Number of function records: functions and thunks. */
  readonly recordCount: number;
  /** Module offset of the code section's contents. */
  readonly codeStart: number;
  /** First 16 bytes of the module's SHA-256, as hex. */
  readonly moduleHash: string;
  readonly checksum: number;
  readonly text: Uint8Array;
  readonly textAddress: number;
  readonly rodata: Uint8Array;
  readonly rodataAddress: number;

  protected readonly view: DataView;
  /** File offset of the metadata. */
  protected readonly base: number;
  private readonly parts: readonly PartPlace[];
  protected readonly sections: readonly FileSection[];
  /** Records that have code, ascending. */
  protected readonly withCode: Int32Array;
  /** Bytes of part ConstCode that have been read. */
  private constBytes = 0;

  /** @throws ArtifactError */
  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const { machine, sections } = readSections(bytes);
    this.sections = sections;
    const section = sections.find(s => s.name === SECTION.module);
    if (!section) throw new ArtifactError('not a compiled module: it has no section .lucet.module', -1);
    this.base = section.offset;
    if (section.size < HEADER.size) this.fail('the metadata is cut off', 0);
    if (this.base % 16 !== 0) this.fail('the metadata is not aligned', 0);
    const h = (field: string) => this.view.getUint32(this.base + HEADER.offsets[field]!, true);
    const h64 = (field: string) => this.view.getBigUint64(this.base + HEADER.offsets[field]!, true);

    if (decoder.decode(this.slice(this.base, 8)) !== ARTIFACT_MAGIC)
      this.fail('not a compiled module: wrong magic', 0);
    this.version = h('version');
    if (this.version !== ARTIFACT_VERSION)
      throw new ArtifactError(
        `the module was compiled for format version ${this.version}, this is version ${ARTIFACT_VERSION}: compile it again`,
        this.base + HEADER.offsets.version!,
        'version',
      );
    this.checksum = h('checksum');
    const checksumAt = this.base + HEADER.offsets.checksum!;
    if (xxHash32(bytes, checksumAt) !== this.checksum)
      throw new ArtifactError('the file is damaged: its checksum is wrong', checksumAt, 'checksum');

    this.machine = h('machine');
    if (this.machine !== machine)
      this.fail('the metadata is for another machine than the file', HEADER.offsets.machine!);
    const mode = h('memory_mode');
    this.memoryMode = MEMORY_MODES[mode] ?? this.fail('unknown memory mode', HEADER.offsets.memory_mode!);
    const features = h64('cpu_features');
    if (features >> BigInt(CPU_FEATURES.length) !== 0n)
      this.fail('unknown CPU feature', HEADER.offsets.cpu_features!);
    this.cpuFeatures = CPU_FEATURES.filter((_, i) => (features >> BigInt(i)) & 1n);
    this.reservedSize = h64('reserved_size');
    const flags = h64('flags');
    if ((flags & ~BigInt(ModuleFlag.NoFloats)) !== 0n) this.fail('unknown flag', HEADER.offsets.flags!);
    this.hasFloats = (flags & BigInt(ModuleFlag.NoFloats)) === 0n;
    this.vmctx = {
      memories: h('vmctx_memories'),
      tables: h('vmctx_tables'),
      globals: h('vmctx_globals'),
      imports: h('vmctx_imports'),
      size: h('vmctx_size'),
    };
    this.importedFunctions = h('imported_functions');
    this.importedTables = h('imported_tables');
    this.importedMemories = h('imported_memories');
    this.importedGlobals = h('imported_globals');
    this.functionCount = h('functions');
    const start = h('start_function');
    this.start = start === NO_INDEX ? null : start;
    this.codeStart = h('code_start');
    this.textAddress = h('text_address');
    this.rodataAddress = h('rodata_address');
    this.text = this.slice(h('text_offset'), h('text_size'));
    this.rodata = this.slice(h('rodata_offset'), h('rodata_size'));
    this.moduleHash = Array.from(this.slice(this.base + HEADER.offsets.module_hash!, 16), b =>
      b.toString(16).padStart(2, '0'),
    ).join('');

    const size = h('size');
    if (size > section.size) this.fail('the metadata exceeds its section', HEADER.offsets.size!);
    this.parts = this.directory(size, h('parts'));
    this.recordCount = this.place(Part.Functions).count;
    this.checkCounts();
    this.withCode = this.checkFunctions();
  }

  // ---- Structure

  protected fail(message: string, offset: number): never {
    throw new ArtifactError(`damaged artifact: ${message}`, this.base + offset);
  }

  failAt(message: string, fileOffset: number): never {
    throw new ArtifactError(`damaged artifact: ${message}`, fileOffset);
  }

  protected slice(offset: number, size: number): Uint8Array {
    if (offset + size > this.bytes.length) this.failAt('bytes outside of the file', offset);
    return this.bytes.subarray(offset, offset + size);
  }

  protected u32(at: number): number {
    return this.view.getUint32(at, true);
  }

  protected u64(at: number): bigint {
    return this.view.getBigUint64(at, true);
  }

  private directory(size: number, count: number): PartPlace[] {
    if (count !== PARTS.length) this.fail('wrong number of parts', HEADER.offsets.parts!);
    if (HEADER.size + PARTS.length * DIRECTORY.size > size)
      this.fail('the directory is cut off', HEADER.size);
    return PARTS.map(([kind, record], i) => {
      const at = HEADER.size + i * DIRECTORY.size;
      const field = (name: string) => this.u32(this.base + at + DIRECTORY.offsets[name]!);
      if (field('kind') !== kind) this.fail(`part ${i} is of the wrong kind`, at);
      const place = { offset: field('offset'), size: field('size'), count: field('count') };
      if (place.offset % 16 !== 0 || place.offset + place.size > size)
        this.fail(`part ${kind} exceeds the metadata`, at);
      const expected = record ? place.count * recordLayout(record).size : place.size;
      if (expected !== place.size || (!record && place.count !== 0))
        this.fail(`part ${kind}: size and count disagree`, at);
      return { ...place, offset: this.base + place.offset };
    });
  }

  bytePart(part: Part): Uint8Array {
    const { offset, size } = this.place(part);
    return this.slice(offset, size);
  }

  protected place(part: Part): PartPlace {
    return this.parts[part - 1]!;
  }

  private checkCounts(): void {
    const wrong = (what: string, offset: number) => this.fail(`wrong number of ${what}`, offset);
    const o = HEADER.offsets;
    if (
      this.functionCount < this.importedFunctions ||
      this.functionCount + this.importedFunctions > this.recordCount
    )
      wrong('functions', o.functions!);
    if (this.importedTables > this.place(Part.Tables).count) wrong('tables', o.imported_tables!);
    if (this.importedMemories > this.place(Part.Memories).count) wrong('memories', o.imported_memories!);
    if (this.importedGlobals > this.place(Part.Globals).count) wrong('globals', o.imported_globals!);
    if (this.start !== null && this.start >= this.functionCount)
      this.fail('bad start function', o.start_function!);
  }

  /** Code lies in ascending order inside of .text, pc maps inside of theirs. */
  private checkFunctions(): Int32Array {
    const f = FUNCTION.offsets;
    const types = this.place(Part.Types).count;
    const pcMaps = this.place(Part.PcMap).size;
    const found = new Int32Array(this.recordCount);
    let n = 0;
    let end = 0;
    for (let i = 0, at = this.place(Part.Functions).offset; i < this.recordCount; i++, at += FUNCTION.size) {
      if (this.u32(at + f.type!) >= types) this.failAt(`function ${i} has a bad type`, at);
      if (this.u32(at + f.pc_map!) + this.u32(at + f.pc_map_length!) > pcMaps)
        this.failAt(`function ${i} has a bad pc map`, at);
      const length = this.u32(at + f.length!);
      if (length === 0) continue;
      const code = this.u32(at + f.code!);
      if (code < end) this.failAt(`code of function ${i} is out of order`, at);
      end = code + length;
      if (end > this.text.length) this.failAt(`code of function ${i} lies outside of .text`, at);
      found[n++] = i;
    }
    return found.subarray(0, n);
  }

  /** Each record of a part, by the fields of its type. For the readers of parts that are in files of their own, too. */
  records<T>(
    part: Part,
    record: RecordType,
    read: (field: (name: string) => number, at: number, i: number) => T,
  ): T[] {
    const { offset, count } = this.place(part);
    const { size, offsets } = recordLayout(record);
    const out: T[] = [];
    for (let i = 0, at = offset; i < count; i++, at += size)
      out.push(read(name => this.u32(at + offsets[name]!), at, i));
    return out;
  }

  protected string(offset: number): string {
    const { offset: base, size } = this.place(Part.Strings);
    if (offset + 4 > size) this.failAt('string outside of the strings', base);
    const length = this.u32(base + offset);
    if (offset + 4 + length > size) this.failAt('string exceeds the strings', base + offset);
    return decoder.decode(this.bytes.subarray(base + offset + 4, base + offset + 4 + length));
  }

  protected valType(v: number, at: number): ValType {
    if ((v < ValType.I32 || v > ValType.ExternRef) && v !== ValType.AnyRef && v !== ValType.ExnRef)
      this.failAt('bad value type', at);
    return v;
  }

  protected constant(kind: number, bits: bigint, index: number, at: number): ConstInfo {
    if (kind > ConstKind.Code) this.failAt('bad constant', at);
    return { kind, bits, index, code: kind === ConstKind.Code ? this.constCode(index, at) : NO_CODE };
  }

  /** An expression of part ConstCode. Each is read once, so no more than the part's bytes can be read in all. */
  private constCode(offset: number, at: number): ConstExpr {
    const part = this.place(Part.ConstCode);
    const ops: ConstOp[] = [];
    for (let p = part.offset + offset, end = part.offset + part.size; ; ) {
      const code = p < end ? this.bytes[p++]! : this.failAt('constant expression without an end', at);
      if (code === ConstCode.End) return ops;
      const width = CONST_OPERAND[code] ?? this.failAt('bad operator in a constant expression', at);
      if (p + width > end) this.failAt('constant expression without an end', at);
      ops.push(this.constOp(code, p));
      p += width;
      this.constBytes += 1 + width;
      if (this.constBytes > part.size) this.failAt('constant expressions share bytes', at);
    }
  }

  private constOp(code: ConstCode, at: number): ConstOp {
    switch (code) {
      case ConstCode.I32Const:
        return { op: 'const', type: ValType.I32, bits: BigInt(this.u32(at)) };
      case ConstCode.I64Const:
        return { op: 'const', type: ValType.I64, bits: this.u64(at) };
      case ConstCode.GlobalGet:
        return { op: 'global.get', index: this.u32(at) };
      case ConstCode.ArrayNewDefault:
        return { op: 'array.new_default', index: this.u32(at) };
      default: {
        const n = code - ConstCode.I32Add;
        return { op: CONST_ARITHMETIC[n % 3]!, type: n < 3 ? ValType.I32 : ValType.I64 };
      }
    }
  }

  protected mode(v: number, at: number): SegmentMode {
    if (v > SegmentMode.Declarative) this.failAt('bad segment mode', at);
    return v;
  }

  protected limits(at: number, offsets: Readonly<Record<string, number>>): Limits {
    const max = this.u64(at + offsets.max!);
    return { min: this.u64(at + offsets.min!), max: max === NO_MAX ? null : max };
  }

  protected cache<K extends string, T>(key: K, value: T): T {
    Object.defineProperty(this, key, { value });
    return value;
  }
}
