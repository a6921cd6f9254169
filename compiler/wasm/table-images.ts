/**
 * Tables that never change: their contents are known when compiling, and become a read-only image in the artifact.
 *
 * A table has an image if it is the module's own, holds functions, is not exported, no body reads or writes its
 * elements by anything but `call_indirect` (so nobody can tell that there are no references in it), and its contents
 * follow from constants: segments at constant offsets within its initial length, of functions and nulls. Such a table
 * costs an instance nothing, and its functions need no reference records.
 *
 * An image is an array of entries of 8 bytes: the callee's type (canonical index in this module; NULL_TYPE: no
 * function) and its code's address relative to the *entry*. All images of a module lie one behind the other; `offset`
 * counts from the first.
 */
import { CompileError } from '../diagnostics.ts';
import { VEC_OP_COUNT } from '../ir/vec-ops.ts';
import { LIMITS } from './limits.ts';
import {
  type ConstExpr,
  type ElemSegment,
  ExternKind,
  type FuncBody,
  type TableType,
  ValType,
} from './module.ts';
import { Code, OPCODE_IMM, OpcodePage } from './opcodes.ts';
import { Reader } from './reader.ts';
import { skipImmediate } from './skip.ts';
import { erased, type TypeSpace } from './types.ts';

export const IMAGE_ENTRY = { SIZE: 8, TYPE: 0, CODE: 4 } as const;
/** `TYPE` of an entry without function. Its `CODE` is 0, which no other entry's is: code is not in an image. */
export const NULL_TYPE = -1;

/**
 * Longer tables have an image only if it is not mostly nulls; and so have others, once there are LIMITS.imageElements
 * in images that are.
 */
const SPARSE_LENGTH = 1 << 16;
const SPARSE_FACTOR = 4;

export interface TableImage {
  /** Bytes from the start of the module's images. */
  readonly offset: number;
  /** Function index of each element, or -1: null. */
  readonly functions: Int32Array;
  /** Canonical type that all its functions have; -1: they differ, or there are none. */
  readonly type: number;
  readonly nulls: boolean;
  /**
   * For each canonical type that a function of it has: the one function of that type, or -1 where there are several.
   */
  readonly callees: ReadonlyMap<number, number>;
}

/** What is looked at of a module. */
export interface TableScope extends TypeSpace {
  readonly bytes: Uint8Array;
  readonly functions: ArrayLike<number>;
  readonly tables: readonly TableType[];
  readonly importedTables: number;
  readonly tableInits: readonly (ConstExpr | null)[];
  readonly exports: readonly { readonly kind: ExternKind; readonly index: number }[];
  readonly elems: readonly ElemSegment[];
  readonly bodies: readonly FuncBody[];
  /** Has the functions that `ref.func` may name in a body. */
  readonly refFuncs: { has(index: number): boolean };
}

/** What the bodies do with tables and references. */
interface TableUses {
  /** Tables whose elements are read or written other than by indirect calls. */
  readonly tables: Set<number>;
  /** Those of them whose elements, or number of elements, are changed. */
  readonly written: Set<number>;
  /** Some body has a `ref.func`. */
  refFunc: boolean;
  /** A body can't be decoded: nothing is known. */
  unknown: boolean;
}

const TABLE_PREFIXED: ReadonlySet<number> = new Set([
  Code.TableInit,
  Code.TableCopy,
  Code.TableGrow,
  Code.TableFill,
]);

/**
 * First bytes of operators that name a table, or a function to be referenced. A lookup table, since it is asked about
 * every byte of the code.
 */
const CANDIDATE = new Uint8Array(256);
for (const byte of [Code.TableGet, Code.TableSet, Code.RefFunc, Code.MiscPrefix]) CANDIDATE[byte] = 1;

/** The unsigned LEB128 number at an offset; -1: it does not end after 5 bytes, or in the file. */
function numberAt(bytes: Uint8Array, at: number): number {
  let value = 0;
  const end = Math.min(at + 5, bytes.length);
  for (let shift = 0; at < end; at++, shift += 7) {
    const b = bytes[at]!;
    value |= (b & 0x7f) << shift;
    if (b < 0x80) return value >>> 0;
  }
  return -1;
}

/**
 * Whether a body may have an operator on tables or a `ref.func`: somewhere in it is a byte that one begins with, and
 * behind that a table that there is, or a function that `ref.func` may name. Most bodies don't, and need not be decoded
 * for it. What this says of a body that is invalid anyway doesn't matter.
 */
function isCandidate(m: TableScope, body: FuncBody): boolean {
  const { bytes } = m;
  const { end } = body;
  const candidate = CANDIDATE;
  for (let i = body.start; i < end; i++) {
    const b = bytes[i]!;
    if (candidate[b] !== 0 && namesTable(m, b, numberAt(bytes, i + 1))) return true;
  }
  return false;
}

/** Whether an operator that begins with `byte`, followed by a number, would. */
function namesTable(m: TableScope, byte: number, number: number): boolean {
  switch (byte) {
    case Code.RefFunc:
      return m.refFuncs.has(number);
    case Code.MiscPrefix:
      return TABLE_PREFIXED.has(OpcodePage.Misc + number);
    default:
      return number < m.tables.length;
  }
}

function scanBody(r: Reader, uses: TableUses): void {
  const written = (table: number): void => {
    uses.tables.add(table);
    uses.written.add(table);
  };
  for (let runs = r.u32(); runs > 0; runs--) {
    r.u32();
    skipImmediate(r, OPCODE_IMM[Code.RefNull]!);
  }
  while (r.pos < r.end) {
    const code = r.u8();
    switch (code) {
      case Code.TableGet:
        uses.tables.add(r.u32());
        break;
      case Code.TableSet:
        written(r.u32());
        break;
      case Code.RefFunc:
        r.u32();
        uses.refFunc = true;
        break;
      case Code.MiscPrefix: {
        const number = OpcodePage.Misc + Math.min(r.u32(), 255);
        switch (number) {
          case Code.TableGrow:
          case Code.TableFill:
            written(r.u32());
            break;
          case Code.TableInit:
            r.u32();
            written(r.u32());
            break;
          case Code.TableCopy:
            written(r.u32());
            uses.tables.add(r.u32());
            break;
          default:
            skipImmediate(r, OPCODE_IMM[number]!);
        }
        break;
      }
      case Code.SimdPrefix:
        skipImmediate(r, OPCODE_IMM[OpcodePage.Simd + Math.min(r.u32(), VEC_OP_COUNT - 1)]!);
        break;
      default:
        skipImmediate(r, OPCODE_IMM[code]!);
    }
  }
}

function tableUses(m: TableScope): TableUses {
  const uses: TableUses = { tables: new Set(), written: new Set(), refFunc: false, unknown: false };
  const r = new Reader(m.bytes, 0, 0);
  for (const body of m.bodies) {
    if (!isCandidate(m, body)) continue;
    r.pos = body.start;
    r.end = body.end;
    try {
      scanBody(r, uses);
    } catch (e) {
      if (!(e instanceof CompileError)) throw e;
      // Lowering will report it.
      uses.unknown = true;
      return uses;
    }
  }
  return uses;
}

/** The function that a constant names, -1 for null; undefined: it depends on the instance. */
function constantFunction(e: ConstExpr): number | undefined {
  const op = e[0]!;
  if (op.op === 'ref.func') return op.index;
  return op.op === 'ref.null' ? -1 : undefined;
}

/**
 * The elements of a table after instantiation; null: they aren't known. `spare`: how many there may be beyond a few for
 * each item.
 */
function contents(
  m: TableScope,
  index: number,
  segments: readonly ElemSegment[],
  spare: number,
): Int32Array | null {
  const { limits } = m.tables[index]!;
  const few = itemCount(segments) * SPARSE_FACTOR;
  if (limits.min > BigInt(Math.max(Math.min(SPARSE_LENGTH, few + spare), few))) return null;
  const functions = new Int32Array(Number(limits.min)).fill(-1);
  const init = m.tableInits[index - m.importedTables];
  if (init) {
    const all = constantFunction(init);
    if (all === undefined) return null;
    functions.fill(all);
  }
  for (const s of segments) {
    const offset = s.offset[0]!;
    if (s.offset.length !== 1 || offset.op !== 'const') return null;
    const at = BigInt.asUintN(m.tables[index]!.index64 ? 64 : 32, offset.bits);
    // Out of bounds: instantiation traps, after what comes before has been written.
    if (at + BigInt(s.items.length) > limits.min) return null;
    for (let i = 0; i < s.items.length; i++) {
      const f = constantFunction(s.items[i]!);
      if (f === undefined) return null;
      functions[Number(at) + i] = f;
    }
  }
  return functions;
}

function itemCount(segments: readonly ElemSegment[]): number {
  return segments.reduce((n, s) => n + s.items.length, 0);
}

function describe(m: TableScope, functions: Int32Array, offset: number): TableImage {
  let type = -1;
  let nulls = false;
  let differ = false;
  const callees = new Map<number, number>();
  for (const f of functions) {
    if (f < 0) {
      nulls = true;
      continue;
    }
    const t = m.canonicalTypes[m.functions[f]!]!;
    differ ||= type >= 0 && type !== t;
    type = t;
    const other = callees.get(t);
    if (other === undefined) callees.set(t, f);
    else if (other !== f) callees.set(t, -1);
  }
  return { offset, functions, type: differ ? -1 : type, nulls, callees };
}

export interface TableFacts {
  /** Each table's image, or null. */
  readonly images: readonly (TableImage | null)[];
  /** For each table: may code of this module change it? */
  readonly written: readonly boolean[];
  /** Some body may have a `ref.func`. */
  readonly refFunc: boolean;
}

export function tableFacts(m: TableScope): TableFacts {
  const images: (TableImage | null)[] = m.tables.map(() => null);
  const unknown: TableFacts = { images, written: m.tables.map(() => true), refFunc: true };
  if (m.tables.length === m.importedTables) return unknown;
  const uses = tableUses(m);
  if (uses.unknown) return unknown;
  const written = m.tables.map((_, i) => uses.written.has(i));
  // An image compares types by number, which is too strict where the expected type has others below it.
  if (m.types.some(t => !t.final)) return { images, written, refFunc: true };
  const exported = new Set(m.exports.filter(e => e.kind === ExternKind.Table).map(e => e.index));
  const segments: ElemSegment[][] = m.tables.map(() => []);
  for (const e of m.elems) if (e.mode === 'active') segments[e.table]!.push(e);
  let spare: number = LIMITS.imageElements;
  let offset = 0;
  for (let i = m.importedTables; i < m.tables.length; i++) {
    if (exported.has(i) || uses.tables.has(i) || erased(m.tables[i]!.element, m) !== ValType.FuncRef)
      continue;
    const functions = contents(m, i, segments[i]!, spare);
    if (!functions) continue;
    spare -= Math.max(0, functions.length - itemCount(segments[i]!) * SPARSE_FACTOR);
    images[i] = describe(m, functions, offset);
    offset += functions.length * IMAGE_ENTRY.SIZE;
  }
  return { images, written, refFunc: uses.refFunc };
}

/** Is it in an image? */
export function imageFunctions(images: readonly (TableImage | null)[]): Set<number> {
  const all = new Set<number>();
  for (const image of images) {
    if (!image) continue;
    for (const f of image.functions) if (f >= 0) all.add(f);
  }
  return all;
}

/** Size of all images. */
export function imageBytes(images: readonly (TableImage | null)[]): number {
  return images.reduce((n, image) => n + (image ? image.functions.length * IMAGE_ENTRY.SIZE : 0), 0);
}
