/**
 * Writes runtime/native/abi.h from compiler/abi/*: the C side of everything that compiler and runtime share.
 *
 * Numbers are macros, so that assembler files can include the header too; records are structs with their layout
 * asserted. `node dist/gen-abi.js [path]`: default path runtime/native/abi.h, `-` is standard output.
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  ARTIFACT_MAGIC,
  ARTIFACT_VERSION,
  CONST_DEPTH,
  ConstCode,
  ConstKind,
  CPU_FEATURES,
  FIELD_MUTABLE,
  MEMORY_MODES,
  MOST_SIGNATURE_BYTES,
  ModuleFlag,
  OPERAND_HOME_SIZE,
  PART_COUNT,
  Part,
  RECORDS,
  recordLayout,
  SECTION,
  SegmentMode,
  SIGNATURE_MAGIC,
  TableFlag,
} from '../compiler/abi/artifact.ts';
import { BUILTINS } from '../compiler/abi/builtins.ts';
import { EXCEPTION } from '../compiler/abi/exceptions.ts';
import { OBJECT } from '../compiler/abi/objects.ts';
import { TRAPS } from '../compiler/abi/traps.ts';
import {
  FUNCREF,
  GLOBAL_ENTRY_SIZE,
  IMPORT_ENTRY,
  MEMORY_ENTRY,
  STACK_RED_AREA,
  TABLE_DESC,
  TABLE_ELEMENT_SIZE,
  VMCTX,
  VMCTX_HEADER_SIZE,
} from '../compiler/abi/vmctx.ts';
import { ExternKind, TypeKind, ValType } from '../compiler/wasm/module.ts';

/** `HeapOutOfBounds` -> `HEAP_OUT_OF_BOUNDS`, `sse4.1` -> `SSE4_1` */
export function macroName(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replace(/[^A-Za-z0-9]/g, '_')
    .toUpperCase();
}

/** Enumerations whose members have no table of their own. */
export const ENUMS: readonly { readonly name: string; readonly members: Readonly<Record<string, number>> }[] =
  [
    {
      name: 'Part',
      members: {
        Types: Part.Types,
        TypeBytes: Part.TypeBytes,
        Functions: Part.Functions,
        PcMap: Part.PcMap,
        Imports: Part.Imports,
        Exports: Part.Exports,
        Memories: Part.Memories,
        Tables: Part.Tables,
        Globals: Part.Globals,
        Elems: Part.Elems,
        ElemItems: Part.ElemItems,
        Data: Part.Data,
        DataBytes: Part.DataBytes,
        Escaping: Part.Escaping,
        Strings: Part.Strings,
        Options: Part.Options,
        ConstCode: Part.ConstCode,
        Tags: Part.Tags,
        Landings: Part.Landings,
        TryScopes: Part.TryScopes,
        CatchClauses: Part.CatchClauses,
        DebugFunctions: Part.DebugFunctions,
        DebugLocals: Part.DebugLocals,
        SequencePoints: Part.SequencePoints,
        OperandTypes: Part.OperandTypes,
      },
    },
    {
      name: 'ConstKind',
      members: {
        Bits: ConstKind.Bits,
        GlobalGet: ConstKind.GlobalGet,
        RefNull: ConstKind.RefNull,
        RefFunc: ConstKind.RefFunc,
        Code: ConstKind.Code,
      },
    },
    {
      name: 'ConstCode',
      members: {
        End: ConstCode.End,
        I32Const: ConstCode.I32Const,
        I64Const: ConstCode.I64Const,
        GlobalGet: ConstCode.GlobalGet,
        I32Add: ConstCode.I32Add,
        I32Sub: ConstCode.I32Sub,
        I32Mul: ConstCode.I32Mul,
        I64Add: ConstCode.I64Add,
        I64Sub: ConstCode.I64Sub,
        I64Mul: ConstCode.I64Mul,
        ArrayNewDefault: ConstCode.ArrayNewDefault,
      },
    },
    {
      name: 'SegmentMode',
      members: {
        Active: SegmentMode.Active,
        Passive: SegmentMode.Passive,
        Declarative: SegmentMode.Declarative,
      },
    },
    { name: 'ModuleFlag', members: { NoFloats: ModuleFlag.NoFloats } },
    {
      name: 'TableFlag',
      members: { Index64: TableFlag.Index64, Image: TableFlag.Image, Written: TableFlag.Written },
    },
    {
      name: 'ExternKind',
      members: {
        Func: ExternKind.Func,
        Table: ExternKind.Table,
        Memory: ExternKind.Memory,
        Global: ExternKind.Global,
        Tag: ExternKind.Tag,
      },
    },
    {
      name: 'TypeKind',
      members: { Func: TypeKind.Func, Struct: TypeKind.Struct, Array: TypeKind.Array },
    },
    {
      name: 'ValType',
      members: {
        I32: ValType.I32,
        I64: ValType.I64,
        F32: ValType.F32,
        F64: ValType.F64,
        V128: ValType.V128,
        FuncRef: ValType.FuncRef,
        ExternRef: ValType.ExternRef,
        NoFunc: ValType.NoFunc,
        NoExtern: ValType.NoExtern,
        AnyRef: ValType.AnyRef,
        EqRef: ValType.EqRef,
        I31Ref: ValType.I31Ref,
        StructRef: ValType.StructRef,
        ArrayRef: ValType.ArrayRef,
        None: ValType.None,
        I8: ValType.I8,
        I16: ValType.I16,
        ExnRef: ValType.ExnRef,
        NoExn: ValType.NoExn,
        Bottom: ValType.Bottom,
        Concrete: ValType.Concrete,
        NonNull: ValType.NonNull,
      },
    },
  ];

const C_TYPES = {
  u8: 'uint8_t',
  u16: 'uint16_t',
  u32: 'uint32_t',
  u64: 'uint64_t',
  i32: 'int32_t',
  bytes16: 'uint8_t',
} as const;

function define(name: string, value: number | string): string {
  return `#define LUCET_${name} ${value}`;
}

function defines(prefix: string, members: Readonly<Record<string, number>>): string[] {
  return Object.entries(members).map(([name, value]) => define(`${prefix}_${macroName(name)}`, value));
}

function xMacro(name: string, doc: string, rows: readonly string[]): string[] {
  return [`/* ${doc} */`, `#define LUCET_${name}(X) \\`, rows.map(r => `  X(${r})`).join(' \\\n')];
}

/** The magic as the number that a little-endian machine reads. */
function magic(): string {
  const bytes = [...ARTIFACT_MAGIC].map(c => c.charCodeAt(0).toString(16).padStart(2, '0'));
  return `0x${bytes.reverse().join('')}`;
}

function struct(record: (typeof RECORDS)[number]): string[] {
  const { size, offsets } = recordLayout(record);
  const name = `struct lucet_${record.name}`;
  return [
    `${name} {`,
    ...record.fields.map(
      ([field, type, doc]) =>
        `  ${C_TYPES[type]} ${field}${type === 'bytes16' ? '[16]' : ''};${doc ? ` /* ${doc} */` : ''}`,
    ),
    '};',
    `_Static_assert(sizeof(${name}) == ${size}, "${record.name}");`,
    ...Object.entries(offsets).map(
      ([field, at]) => `_Static_assert(offsetof(${name}, ${field}) == ${at}, "${record.name}.${field}");`,
    ),
  ];
}

/** The text of abi.h. */
export function abiHeader(): string {
  const features = CPU_FEATURES.map((name, bit) => ({ name, bit, macro: macroName(name) }));
  const lines = [
    '/* Written by scripts/gen-abi.ts from compiler/abi: do not edit. */',
    '#ifndef LUCET_ABI_H',
    '#define LUCET_ABI_H',
    '',
    define('ARTIFACT_VERSION', ARTIFACT_VERSION),
    define('ARTIFACT_MAGIC', `"${ARTIFACT_MAGIC}"`),
    define('SIGNATURE_MAGIC', `"${SIGNATURE_MAGIC}"`),
    define('MOST_SIGNATURE_BYTES', MOST_SIGNATURE_BYTES),
    `/* The same, read as a little-endian number. */`,
    `#define LUCET_ARTIFACT_MAGIC_U64 ${magic()}ull`,
    ...Object.entries(SECTION).map(([name, value]) => define(`SECTION_${macroName(name)}`, `"${value}"`)),
    '',
    '/* Header of the vmctx: address of a field = base - value. */',
    ...defines('VMCTX', VMCTX),
    define('VMCTX_HEADER_SIZE', VMCTX_HEADER_SIZE),
    define('STACK_RED_AREA', STACK_RED_AREA),
    '',
    '/* Sizes of the entries of its arrays, and offsets in them. */',
    ...defines('IMPORT_ENTRY', IMPORT_ENTRY),
    ...defines('MEMORY_ENTRY', MEMORY_ENTRY),
    ...defines('TABLE_DESC', TABLE_DESC),
    define('TABLE_ELEMENT_SIZE', TABLE_ELEMENT_SIZE),
    define('GLOBAL_ENTRY_SIZE', GLOBAL_ENTRY_SIZE),
    ...defines('FUNCREF', FUNCREF),
    ...defines('EXCEPTION', EXCEPTION),
    ...defines('OBJECT', OBJECT),
    '',
    define('PART_COUNT', PART_COUNT),
    define('CONST_DEPTH', CONST_DEPTH),
    ...ENUMS.flatMap(e => [...defines(macroName(e.name), e.members), '']),
    ...TRAPS.map(t => define(`TRAP_${macroName(t.name)}`, t.code)),
    define('TRAP_COUNT', TRAPS.length),
    ...xMacro(
      'TRAPS',
      'X(macro suffix, code, name, wording of the official test suite)',
      TRAPS.map(t => `${macroName(t.name)}, ${t.code}, "${t.name}", "${t.spec}"`),
    ),
    '',
    ...BUILTINS.map((b, id) => define(`BUILTIN_${macroName(b.name)}`, id)),
    define('BUILTIN_COUNT', BUILTINS.length),
    ...xMacro(
      'BUILTINS',
      'X(name, id, number of arguments after the base)',
      BUILTINS.map((b, id) => `${b.name}, ${id}, ${b.args}`),
    ),
    '',
    ...features.map(f => define(`CPU_FEATURE_${f.macro}`, f.bit)),
    define('FIELD_MUTABLE', FIELD_MUTABLE),
    define('OPERAND_HOME_SIZE', OPERAND_HOME_SIZE),
    ...MEMORY_MODES.map((name, i) => define(`MEMORY_${macroName(name)}`, i)),
    define('MEMORY_MODE_COUNT', MEMORY_MODES.length),
    define('CPU_FEATURE_COUNT', CPU_FEATURES.length),
    ...xMacro(
      'CPU_FEATURES',
      'X(macro suffix, bit, name)',
      features.map(f => `${f.macro}, ${f.bit}, "${f.name}"`),
    ),
    '',
    '#ifndef __ASSEMBLER__',
    '#include <stddef.h>',
    '#include <stdint.h>',
    '',
    ...BUILTINS.flatMap(b => [
      `/* ${b.doc} */`,
      `uint64_t lucet_builtin_${b.name}(${['uint8_t *base', ...'abcde'.slice(0, b.args)].join(', uint64_t ')});`,
    ]),
    ...RECORDS.flatMap(r => ['', ...struct(r)]),
    '',
    '#endif',
    '#endif',
    '',
  ];
  return lines.join('\n');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const path = process.argv[2] ?? 'runtime/native/abi.h';
  if (path === '-') process.stdout.write(abiHeader());
  else writeFileSync(path, abiHeader());
}
