/**
 * The metadata of a compiled module: what the loader, the trap reporter and `lucet-objdump` read from a `.so`.
 *
 * It is one ELF section, `.lucet.module` (allocated, read-only): an ARTIFACT_HEADER, then a directory of
 * DIRECTORY_ENTRY, then the parts. All integers little-endian; every part starts at a multiple of 16 (relative to the
 * section, which is page-aligned in memory and in the file). Strings are offsets into part STRINGS of [u32 byte length,
 * UTF-8 bytes]; offset 0 holds the empty string.
 *
 * Records are described once, here; scripts/gen-abi.ts writes the C structs from the same tables.
 */
import type { TrapCode } from './traps.ts';

export const ARTIFACT_MAGIC = 'LUCETMOD';
/**
 * Bump at every change of this file, of vmctx.ts, builtins.ts, traps.ts, or of the calling convention: the loader takes
 * exactly this version.
 */
export const ARTIFACT_VERSION = 14;

/**
 * Last 8 bytes of a signed artifact; before them the length of the signature's text as a u64, before that the text
 * (compiler/object/signature.ts). The checksum is that of the artifact without these.
 */
export const SIGNATURE_MAGIC = 'LUCETSIG';
export const MOST_SIGNATURE_BYTES = 4096;

export const SECTION = {
  module: '.lucet.module',
  text: '.text',
  rodata: '.rodata',
  /** The module's own custom debug sections, as `.lucet.wasm.<name>`: in the file, not loaded. */
  wasmPrefix: '.lucet.wasm.',
  /** Behind `wasmPrefix`: bytes of the module up to the end of its code section. There when debug sections are. */
  wasmModule: 'module',
} as const;

/**
 * What code relies on. Guarded: reserved_size bytes of address space behind the base of each memory, and a guard area
 * below the stack. Dense: neither; it compares every address with the memory's length, and the stack pointer with the
 * stack's limit. Dense code runs in any region.
 */
export const MEMORY_MODES = ['guarded', 'dense'] as const;
export type MemoryMode = (typeof MEMORY_MODES)[number];

type FieldType = 'u8' | 'u16' | 'u32' | 'u64' | 'i32' | 'bytes16';
export interface RecordType {
  readonly name: string;
  readonly fields: readonly (readonly [name: string, type: FieldType, doc?: string])[];
}

/** Naturally aligned by construction: gen-abi.ts checks it. */
export const ARTIFACT_HEADER: RecordType = {
  name: 'artifact_header',
  fields: [
    ['magic', 'u64', 'ARTIFACT_MAGIC as bytes'],
    ['version', 'u32'],
    ['checksum', 'u32', 'xxHash32 (seed 0) of the whole file with this field as zero'],
    ['size', 'u32', 'bytes of the section'],
    ['parts', 'u32', 'number of directory entries that follow'],
    ['text_size', 'u32', 'bytes of .text'],
    ['rodata_size', 'u32', 'bytes of .rodata'],
    ['text_offset', 'u32', 'file offset of .text'],
    ['rodata_offset', 'u32', 'file offset of .rodata'],
    [
      'text_address',
      'u32',
      'ELF virtual address of .text; code and rodata address each other relatively, so the loader must keep their distance',
    ],
    ['rodata_address', 'u32', 'ELF virtual address of .rodata'],
    ['machine', 'u32', 'ELF e_machine (62 = x86-64)'],
    ['memory_mode', 'u32', 'MEMORY_MODES'],
    ['cpu_features', 'u64', 'bits of CPU_FEATURES that the code needs'],
    [
      'reserved_size',
      'u64',
      'bytes of address space that unchecked accesses may reach from the base of a memory; 0 in dense code',
    ],
    ['flags', 'u64', 'ModuleFlag'],
    ['vmctx_memories', 'u32', 'VmctxLayout'],
    ['vmctx_tables', 'u32'],
    ['vmctx_globals', 'u32'],
    ['vmctx_imports', 'u32'],
    ['vmctx_size', 'u32'],
    ['imported_functions', 'u32'],
    ['imported_tables', 'u32'],
    ['imported_memories', 'u32'],
    ['imported_globals', 'u32'],
    ['start_function', 'u32', 'function index or 0xffffffff'],
    ['functions', 'u32', 'number of functions, imported ones included, without thunks'],
    ['data_count', 'u32'],
    ['code_start', 'u32', 'module offset of the code section contents: DWARF addresses count from there'],
    ['name', 'u32', 'string: module name'],
    ['module_hash', 'bytes16', 'first 16 bytes of the SHA-256 of the wasm module'],
  ],
};

export const enum ModuleFlag {
  /**
   * No body has an operator on floating-point numbers, so nothing that its code does depends on the thread's
   * floating-point modes (rounding, flushing of subnormals, exceptions): calls of it leave these as they are.
   */
  NoFloats = 1,
}

export const DIRECTORY_ENTRY: RecordType = {
  name: 'directory_entry',
  fields: [
    ['kind', 'u32', 'Part'],
    ['offset', 'u32', 'from the start of the section'],
    ['size', 'u32', 'bytes'],
    ['count', 'u32', 'records (0 for byte parts)'],
  ],
};

/** Number of parts. */
export const PART_COUNT = 25;
/** Each occurs exactly once, in this order. */
export const enum Part {
  Types = 1,
  TypeBytes = 2,
  Functions = 3,
  PcMap = 4,
  Imports = 5,
  Exports = 6,
  Memories = 7,
  Tables = 8,
  Globals = 9,
  Elems = 10,
  ElemItems = 11,
  Data = 12,
  DataBytes = 13,
  Escaping = 14,
  Strings = 15,
  /** JSON text: compile options, for people and reports. */
  Options = 16,
  /** Constant expressions of several operators: see ConstCode. */
  ConstCode = 17,
  Tags = 18,
  Landings = 19,
  TryScopes = 20,
  CatchClauses = 21,
  // Of debug code; else empty.
  DebugFunctions = 22,
  DebugLocals = 23,
  SequencePoints = 24,
  /** Erased ValTypes of operands, a byte each. */
  OperandTypes = 25,
}

/** In exact types of fields: the field is mutable. */
export const FIELD_MUTABLE = 0x4000_0000;

/** Structures and arrays have their fields in the place of parameters. */
export const TYPE_RECORD: RecordType = {
  name: 'type_record',
  fields: [
    ['bytes', 'u32', 'offset in TypeBytes: erased ValType of each parameter, then of each result'],
    ['params', 'u16'],
    ['results', 'u16'],
    ['canonical', 'u32', 'index of the first equal type'],
    ['entry_thunk', 'u32', 'function record of the entry thunk, or 0xffffffff'],
    [
      'codes',
      'u32',
      'offset in TypeBytes, directly behind the bytes: the exact ValTypes as u32 each (of fields, with FIELD_MUTABLE); 0xffffffff: the erased ones are exact',
    ],
    ['supertype', 'u32', 'type index, or 0xffffffff'],
    ['group', 'u32', 'first type of its recursion group'],
    ['group_size', 'u32'],
    ['kind', 'u16', 'TypeKind'],
    ['final', 'u16', '1: it is no supertype of any'],
  ],
};

/**
 * One for each function, imported ones included, then the thunks. An imported function's record is its wrapper if it
 * escapes (else length 0). Records are in ascending code order. Then: host thunk of import i at index functions + i;
 * then entry thunks (TYPE_RECORD.entry_thunk).
 */
export const FUNCTION_RECORD: RecordType = {
  name: 'function_record',
  fields: [
    ['code', 'u32', 'offset in .text, 16-aligned'],
    ['length', 'u32', 'bytes; 0: no code'],
    ['type', 'u32', 'type index'],
    ['frame_size', 'u32', 'see CompiledFunc.frameSize'],
    ['pc_map', 'u32', 'offset in PcMap'],
    ['pc_map_length', 'u32'],
    ['wasm_start', 'u32', 'module offset from which the pc map counts'],
    ['name', 'u32', 'string, from the name section; empty: none'],
    ['popped', 'u32', 'see CompiledFunc.popped'],
    [
      'saved',
      'u32',
      'registers that the frame saves, a bit for each by number; they lie below the return address: the callee-saved ones in push order, then the base register',
    ],
  ],
};

export const IMPORT_RECORD: RecordType = {
  name: 'import_record',
  fields: [
    ['module', 'u32', 'string'],
    ['name', 'u32', 'string'],
    ['symbol', 'u32', 'string: bound symbol from --bindings, or empty'],
    ['kind', 'u32', 'ExternKind'],
    [
      'type',
      'u32',
      'function, tag: type index; global: ValType | mutable << 8; table: element ValType | index64 << 8; memory: index64 | shared << 1 | pageSizeLog2 << 8',
    ],
    ['index', 'u32', 'in the index space of its kind'],
    ['min', 'u64', 'table, memory'],
    ['max', 'u64', 'all ones: none'],
  ],
};

export const EXPORT_RECORD: RecordType = {
  name: 'export_record',
  fields: [
    ['name', 'u32', 'string'],
    ['kind', 'u32', 'ExternKind'],
    ['index', 'u32', 'in the index space of its kind'],
    ['reserved', 'u32'],
  ],
};

/** Memories and tables: imported ones included. */
export const MEMORY_RECORD: RecordType = {
  name: 'memory_record',
  fields: [
    ['min', 'u64', 'pages'],
    ['max', 'u64', 'pages; all ones: none'],
    ['flags', 'u32', 'bit 0 index64, bit 1 shared'],
    ['page_size_log2', 'u32'],
  ],
};

export const TABLE_RECORD: RecordType = {
  name: 'table_record',
  fields: [
    ['min', 'u64'],
    ['max', 'u64', 'all ones: none'],
    ['element', 'u32', 'erased ValType'],
    ['flags', 'u32', 'TableFlag'],
    ['code', 'u32', 'exact ValType'],
    ['init', 'u32', 'ConstKind of what the elements start with: not Bits'],
    ['index', 'u32', 'as ConstKind says'],
    ['reserved', 'u32'],
  ],
};

export const enum TableFlag {
  Index64 = 1,
  /**
   * Its contents are in .rodata, for the code alone (wasm/table-images.ts): it holds no references, is not exported,
   * and has at least as many elements as its segments, which are at constant offsets, write.
   */
  Image = 2,
  /** The module's own code may change it: `table.set`, `grow`, `fill`, `init`, or `copy` into it. */
  Written = 4,
}

/** How a constant expression is stored. */
export const enum ConstKind {
  /** `value`: the bits */
  Bits = 0,
  /** `index`: global */
  GlobalGet = 1,
  RefNull = 2,
  /** `index`: function */
  RefFunc = 3,
  /** `index`: offset in part ConstCode of an expression of several operators. */
  Code = 4,
}

/**
 * Part ConstCode: expressions in postfix order, each ended by End. No expression shares bytes with another, and they
 * come in the order of the tables, the globals, the element segments (offset, then items) and the data segments that
 * use them. At most CONST_DEPTH values are on the stack.
 */
export const enum ConstCode {
  End = 0,
  /** 4 bytes: the bits */
  I32Const = 1,
  /** 8 bytes: the bits */
  I64Const = 2,
  /** 4 bytes: index of an earlier, immutable global */
  GlobalGet = 3,
  I32Add = 4,
  I32Sub = 5,
  I32Mul = 6,
  I64Add = 7,
  I64Sub = 8,
  I64Mul = 9,
  /** 4 bytes: type index of an array whose elements have a default; its length is popped */
  ArrayNewDefault = 10,
}
export const CONST_DEPTH = 1024;

/** Imported globals included (their init is unused). */
export const GLOBAL_RECORD: RecordType = {
  name: 'global_record',
  fields: [
    ['value', 'bytes16', 'bits, little-endian'],
    ['type', 'u32', 'erased ValType'],
    ['mutable', 'u32'],
    ['init', 'u32', 'ConstKind'],
    ['index', 'u32'],
    ['code', 'u32', 'exact ValType'],
    ['reserved', 'u32'],
  ],
};

export const enum SegmentMode {
  Active = 0,
  Passive = 1,
  Declarative = 2,
}

export const ELEM_RECORD: RecordType = {
  name: 'elem_record',
  fields: [
    ['offset', 'u64', 'active: bits of the offset if offset_kind is Bits'],
    ['mode', 'u32', 'SegmentMode'],
    ['table', 'u32'],
    ['offset_kind', 'u32', 'ConstKind: Bits, GlobalGet or Code'],
    ['offset_index', 'u32', 'as ConstKind says'],
    ['type', 'u32', 'ValType'],
    ['first', 'u32', 'record in ElemItems'],
    ['count', 'u32'],
    [
      'values',
      'u32',
      'if an item is of kind Code: where the values of all its items lie among those of an instance, which evaluates each once; else 0xffffffff',
    ],
  ],
};

export const ELEM_ITEM: RecordType = {
  name: 'elem_item',
  fields: [
    ['kind', 'u32', 'ConstKind: not Bits'],
    ['index', 'u32'],
  ],
};

export const DATA_RECORD: RecordType = {
  name: 'data_record',
  fields: [
    ['offset', 'u64'],
    ['mode', 'u32', 'SegmentMode'],
    ['memory', 'u32'],
    ['offset_kind', 'u32', 'ConstKind: Bits, GlobalGet or Code'],
    ['offset_index', 'u32', 'as ConstKind says'],
    ['first', 'u32', 'offset in DataBytes'],
    ['length', 'u32'],
  ],
};

/** Part Escaping. */
export const ESCAPING_RECORD: RecordType = {
  name: 'escaping_record',
  fields: [['function', 'u32', 'function index']],
};

/** Imported ones first. */
export const TAG_RECORD: RecordType = {
  name: 'tag_record',
  fields: [['type', 'u32', 'type index; no results']],
};

/** A call that may throw into the function that makes it. Ascending by `site`. */
export const LANDING_RECORD: RecordType = {
  name: 'landing_record',
  fields: [
    ['site', 'u32', 'offset in .text of the return address'],
    ['pad', 'u32', 'offset in .text of the landing pad, in the same function'],
    ['scope', 'u32', 'record in TryScopes'],
  ],
};

/** A try_table: its clauses are looked at in order, then those of the one around it. */
export const TRY_SCOPE_RECORD: RecordType = {
  name: 'try_scope_record',
  fields: [
    ['parent', 'u32', 'an earlier record, or 0xffffffff'],
    ['first', 'u32', 'record in CatchClauses'],
    ['count', 'u32'],
  ],
};

export const CATCH_CLAUSE_RECORD: RecordType = {
  name: 'catch_clause_record',
  fields: [
    ['tag', 'u32', 'tag index, or 0xffffffff: catches everything'],
    ['number', 'u32', 'what the landing pad knows it by'],
  ],
};

/** Bytes from an operand's home to the next one's: a vector fits. */
export const OPERAND_HOME_SIZE = 16;

/** A function of debug code, ascending. Homes are counted from the stack pointer in the function's body. */
export const DEBUG_FUNCTION_RECORD: RecordType = {
  name: 'debug_function_record',
  fields: [
    ['function', 'u32', 'function index'],
    ['first_local', 'u32', 'record in DebugLocals'],
    ['local_count', 'u32', 'parameters included'],
    ['operands', 'u32', 'home of the lowest operand; each further one lies OPERAND_HOME_SIZE above'],
    ['first_point', 'u32', 'record in SequencePoints'],
    ['point_count', 'u32'],
  ],
};

export const DEBUG_LOCAL_RECORD: RecordType = {
  name: 'debug_local_record',
  fields: [
    ['type', 'u32', 'ValType'],
    ['home', 'u32'],
  ],
};

/** Ascending within a function. */
export const SEQUENCE_POINT_RECORD: RecordType = {
  name: 'sequence_point_record',
  fields: [
    [
      'pc',
      'u32',
      'offset in .text of a one-byte NOP (0x90): there, every local and operand lies in its home, and is read from there afterwards',
    ],
    ['wasm_offset', 'u32', 'module offset of the operator that comes next'],
    ['operand_count', 'u32'],
    ['first_type', 'u32', 'offset in OperandTypes'],
  ],
};

export const RECORDS: readonly RecordType[] = [
  ARTIFACT_HEADER,
  DIRECTORY_ENTRY,
  TYPE_RECORD,
  FUNCTION_RECORD,
  IMPORT_RECORD,
  EXPORT_RECORD,
  MEMORY_RECORD,
  TABLE_RECORD,
  GLOBAL_RECORD,
  ELEM_RECORD,
  ELEM_ITEM,
  DATA_RECORD,
  ESCAPING_RECORD,
  TAG_RECORD,
  LANDING_RECORD,
  TRY_SCOPE_RECORD,
  CATCH_CLAUSE_RECORD,
  DEBUG_FUNCTION_RECORD,
  DEBUG_LOCAL_RECORD,
  SEQUENCE_POINT_RECORD,
];

const SIZES: Record<FieldType, number> = { u8: 1, u16: 2, u32: 4, u64: 8, i32: 4, bytes16: 16 };

/** Byte offset of each field, and the size, of a record. */
export function recordLayout(r: RecordType): { size: number; offsets: Record<string, number> } {
  const offsets: Record<string, number> = {};
  let at = 0;
  let align = 1;
  for (const [name, type] of r.fields) {
    const a = type === 'bytes16' ? 1 : SIZES[type];
    align = Math.max(align, a);
    if (at % a !== 0) throw new Error(`${r.name}.${name} is not aligned`);
    offsets[name] = at;
    at += SIZES[type];
  }
  if (at % align !== 0) throw new Error(`${r.name}: size is not a multiple of its alignment`);
  return { size: at, offsets };
}

/**
 * x86-64 extensions that code may need, by bit number in ARTIFACT_HEADER.cpu_features; names as for --target-feature.
 */
export const CPU_FEATURES = [
  'sse3',
  'ssse3',
  'sse4.1',
  'sse4.2',
  'popcnt',
  'lzcnt',
  'bmi1',
  'bmi2',
  'avx',
  'avx2',
  'fma',
  'avx512f',
  'avx512vl',
  'avx512dq',
  'avx512bw',
  'f16c',
  'movbe',
] as const;
export type CpuFeature = (typeof CPU_FEATURES)[number];

/** An entry of a decoded pc map. */
export interface PcMapEntry {
  readonly pc: number;
  readonly wasmOffset: number;
  readonly trap: TrapCode;
}
