/**
 * What AssemblyScript's values tell of themselves. Its compiler writes no types, only names of locals and a source map;
 * but each object of its runtime is headed by the number of its class and its size in bytes ("AssemblyScript memory
 * layout": rtId and rtSize, the last 8 of 20 bytes), and a table in memory says of each class whether it is an array,
 * and of what (std/assembly/shared/typeinfo.ts). Fields: assemblyscript-classes.ts.
 */
import type { ModuleSymbols } from '../runtime/index.ts';
import { type ClassLayout, classesOf, type Field } from './assemblyscript-classes.ts';
import type { TargetState } from './target.ts';

type Memory = Pick<TargetState, 'memory'>;

const CLASS_STRING = 2;
const HEADER = 20;
/** UTF-16 units that are shown. */
const MAX_SHOWN = 200;
/** Elements of an array that are shown. */
const MAX_ELEMENTS = 8;
/** Fields of an object that are shown. */
const MAX_FIELDS = 16;
/** Objects in each other: they may have many fields, and each other for ever. */
const MAX_OBJECT_DEPTH = 2;
/** Arrays in each other, and in objects. */
const MAX_DEPTH = 3;
/** What the compiler calls the address of its table of classes. */
const CLASS_TABLE = '~lib/rt/__rtti_base';

const enum Flag {
  View = 1 << 0,
  Array = 1 << 1,
  StaticArray = 1 << 2,
  /** And the next four: log2 of the size of an element. */
  Align = 1 << 6,
  Signed = 1 << 11,
  Float = 1 << 12,
  Managed = 1 << 14,
}
/** Sizes up to 8. */
const ALIGNMENTS = 4;

/** What is known of a program's classes. */
interface Program {
  readonly memory: Memory;
  /** Address of the table of classes; 0: there is none. */
  readonly table: number;
  readonly layouts: ReadonlyMap<number, ClassLayout>;
}

/**
 * What a pointer points to, if that is a string, an array or an object of the program's; null: nothing there looks like
 * one.
 */
export function objectAt(state: TargetState, symbols: ModuleSymbols, pointer: number): string | null {
  const global = symbols.globalNamed(CLASS_TABLE);
  const base = global === null ? null : state.global(global);
  const table = base === null ? 0 : Number(BigInt.asUintN(32, base));
  return textAt({ memory: state, table, layouts: classesOf(symbols) }, pointer, 0);
}

function textAt(program: Program, pointer: number, depth: number): string | null {
  const { memory } = program;
  if (pointer < HEADER || pointer % 4 !== 0) return null;
  const header = words(memory, pointer - 8, 2);
  if (header === null) return null;
  const [id, size] = header as [number, number];
  if (id === CLASS_STRING) return stringText(memory, pointer, size);
  const layout = program.layouts.get(id);
  if (layout !== undefined && layout.size === size) return fieldsText(program, layout, pointer, depth);
  const flags = flagsOf(memory, program.table, id);
  return flags === 0 ? null : arrayText(program, { pointer, size, flags }, depth);
}

/** `Point {x: 1, y: 2.5}` */
function fieldsText(program: Program, layout: ClassLayout, pointer: number, depth: number): string | null {
  if (depth >= MAX_OBJECT_DEPTH) return `${layout.name} {…}`;
  const parts: string[] = [];
  for (const { name, offset, size, kind } of layout.fields.slice(0, MAX_FIELDS)) {
    const bytes = program.memory.memory(0, pointer + offset, size);
    if (bytes === null || bytes.length !== size) return null;
    parts.push(`${name}: ${valueText(program, bytes, kind, depth)}`);
  }
  // Those of a base class of which nothing is known stand in front.
  if ((layout.fields[0]?.offset ?? layout.size) > 0) parts.unshift('…');
  if (layout.fields.length > MAX_FIELDS) parts.push('…');
  return layout.size === 0 ? `${layout.name} {}` : `${layout.name} {${parts.join(', ')}}`;
}

function words(memory: Memory, address: number, count: number): number[] | null {
  const bytes = memory.memory(0, address, 4 * count);
  if (bytes === null || bytes.length < 4 * count) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true));
}

function stringText(memory: Memory, pointer: number, size: number): string | null {
  if (size % 2 !== 0) return null;
  const shown = Math.min(size, 2 * MAX_SHOWN);
  const units = memory.memory(0, pointer, shown);
  if (units === null || units.length < shown) return null;
  return JSON.stringify(new TextDecoder('utf-16le').decode(units)) + (shown < size ? '…' : '');
}

/** Of a class by its number; 0: there is no such class, or it is nothing of which anything is known. */
function flagsOf(memory: Memory, classes: number, id: number): number {
  const [count] = (classes === 0 ? null : words(memory, classes, 1)) ?? [0];
  return id >= count! ? 0 : (words(memory, classes + 4 + 4 * id, 1)?.[0] ?? 0);
}

interface ArrayObject {
  readonly pointer: number;
  /** Bytes. */
  readonly size: number;
  readonly flags: number;
}

function arrayText(program: Program, array: ArrayObject, depth: number): string | null {
  const { memory } = program;
  const { flags } = array;
  const kind: Field['kind'] =
    flags & Flag.Managed
      ? 'reference'
      : flags & Flag.Float
        ? 'float'
        : flags & Flag.Signed
          ? 'signed'
          : 'unsigned';
  const log2 = Array.from({ length: ALIGNMENTS }, (_, i) => i).find(i => (flags & (Flag.Align << i)) !== 0);
  if (log2 === undefined) return null;
  const found = elementsOf(memory, array, 1 << log2);
  if (found === null) return null;
  if (depth >= MAX_DEPTH) return '[…]';
  const parts: string[] = [];
  for (let i = 0; i < found.count && i < MAX_ELEMENTS; i++) {
    const bytes = memory.memory(0, found.start + (i << log2), 1 << log2);
    if (bytes === null || bytes.length !== 1 << log2) return null;
    parts.push(valueText(program, bytes, kind, depth));
  }
  if (found.count > parts.length) parts.push('…');
  return `(${found.count}) [${parts.join(', ')}]`;
}

/** Where the elements are; null: the object does not hold together, so it is none. */
function elementsOf(
  memory: Memory,
  { pointer, size, flags }: ArrayObject,
  elementSize: number,
): { start: number; count: number } | null {
  if (flags & Flag.StaticArray) return { start: pointer, count: Math.floor(size / elementSize) };
  const isArray = (flags & Flag.Array) !== 0;
  if (!isArray && !(flags & Flag.View)) return null;
  // Buffer, start of the data, bytes of it; and an array's length, for which there may be more room than it needs.
  const fields = size === (isArray ? 16 : 12) ? words(memory, pointer, size / 4) : null;
  if (fields === null) return null;
  const [, start, bytes, length] = fields as [number, number, number, number?];
  const count = length ?? Math.floor(bytes / elementSize);
  return count * elementSize > bytes ? null : { start, count };
}

function valueText(program: Program, bytes: Uint8Array, kind: Field['kind'], depth: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (kind === 'reference') {
    const to = view.getUint32(0, true);
    return to === 0 ? 'null' : (textAt(program, to, depth + 1) ?? `0x${to.toString(16)}`);
  }
  const isSigned = kind === 'signed';
  const isFloat = kind === 'float';
  switch (bytes.length) {
    case 1:
      return `${isSigned ? view.getInt8(0) : view.getUint8(0)}`;
    case 2:
      return `${isSigned ? view.getInt16(0, true) : view.getUint16(0, true)}`;
    case 4:
      if (isFloat) return `${view.getFloat32(0, true)}`;
      return `${isSigned ? view.getInt32(0, true) : view.getUint32(0, true)}`;
    default:
      if (isFloat) return `${view.getFloat64(0, true)}`;
      return `${isSigned ? view.getBigInt64(0, true) : view.getBigUint64(0, true)}`;
  }
}
