/**
 * How values of library types are shown: the C++ standard library (LLVM's, as every WASI toolchain ships), Rust's, and
 * the slices and strings of Go and Zig. A printer that doesn't find what it expects says so with null: the value is
 * then shown as the structure that it is.
 */
import { Language } from './constants.ts';
import { cppPrinter } from './printers-cpp.ts';
import { rustPrinter } from './printers-rust.ts';
import type { Type } from './types.ts';
import { type Children, type Entry, type Value, type Values, WRAPPER_DEPTH } from './values.ts';

export interface Printer {
  /** Its line; null: not what it seemed. */
  text(v: Value, values: Values, depth: number): string | null;
  children?(v: Value, values: Values): Children | null;
}

const known = new WeakMap<Type, Printer | null>();

export function printerFor(type: Type): Printer | null {
  let printer = known.get(type);
  if (printer === undefined) known.set(type, (printer = find(type)));
  return printer;
}

function find(type: Type): Printer | null {
  if (type.kind !== 'struct' && type.kind !== 'pointer') return null;
  switch (type.language) {
    case Language.Rust:
      return rustPrinter(type);
    case Language.Cpp:
    case Language.Cpp11:
    case Language.Cpp14:
    case Language.Cpp17:
    case Language.Cpp20:
      return type.kind === 'struct' ? cppPrinter(type) : null;
    default:
      return slicePrinter(type);
  }
}

/** Go's and Zig's strings and slices: a pointer and a length. */
function slicePrinter(type: Type): Printer | null {
  const [pointer, length] = type.members;
  if (type.kind !== 'struct' || pointer?.name !== 'ptr' || length?.name !== 'len') return null;
  const element = pointer.type.plain.target;
  const isString = type.name === 'string' || /\[[^\]]*\](?:const )?u8$/.test(type.name);
  return countedPrinter(
    (v, values) => values.pointer(values.part(v, pointer)),
    (v, values) => values.integer(values.part(v, length)),
    element,
    isString,
  );
}

export type Read<T> = (v: Value, values: Values) => T | null;

/** Elements one behind the other, in memory. */
export function countedPrinter(
  start: Read<number>,
  length: Read<bigint>,
  element: Type,
  isString: boolean,
): Printer {
  const parts = (v: Value, values: Values): { at: number; count: number } | null => {
    const at = start(v, values);
    const n = length(v, values);
    return at === null || n === null || n < 0n || n > 2n ** 32n ? null : { at, count: Number(n) };
  };
  return {
    text(v, values, depth) {
      const p = parts(v, values);
      if (p === null) return null;
      if (isString) return values.countedString(p.at, p.count);
      return `${sized(p.count)}${values.list(p.count, i => values.at(element, p.at + i * element.size), depth)}`;
    },
    children(v, values) {
      const p = parts(v, values);
      if (p === null) return null;
      return values.sequence(p.count, i => values.at(element, p.at + i * element.size));
    },
  };
}

/** Entries of a map or a set that a line shows. */
const TEXT_ENTRIES = 8;
/** … and a list of its parts. */
const MAX_ENTRIES = 2_000;

/** Keys that an expression can hold as they are shown. */
const SIMPLE_KEY = /^\[(?:-?\d+|"[^"\\…]*")\]$/;

export interface KeyedEntry {
  readonly key: Value;
  /** Maps. */
  readonly value: Value | null;
}

/**
 * Maps and sets, and whatever else is made of nodes.
 * @param entries as many as `limit` of them, and how many there are
 * @param brackets around a set's elements, by which its language writes them
 */
export function keyedPrinter(
  entries: (
    v: Value,
    values: Values,
    limit: number,
  ) => { readonly count: number; readonly items: readonly KeyedEntry[] } | null,
  isMap: boolean,
  brackets: '[]' | '{}' = '{}',
): Printer {
  const [open, close] = isMap ? ['{', '}'] : [brackets[0], brackets[1]];
  return {
    text(v, values, depth) {
      const found = entries(v, values, TEXT_ENTRIES);
      if (found === null) return null;
      const parts = found.items.map(({ key, value }) =>
        value === null
          ? values.text(key, depth + 1)
          : `${values.text(key, depth + 1)}: ${values.text(value, depth + 1)}`,
      );
      if (found.count > parts.length) parts.push('…');
      return `${sized(found.count)}${open}${parts.join(', ')}${close}`;
    },
    children(v, values) {
      const found = entries(v, values, MAX_ENTRIES);
      if (found === null) return null;
      if (!isMap) return values.sequence(found.items.length, i => found.items[i]!.key);
      const named = found.items.map(({ key, value }): Entry => {
        const name = `[${values.text(key, 2)}]`;
        return { name, value: value ?? key, path: SIMPLE_KEY.test(name) ? name : '' };
      });
      return { named, indexed: 0, item: i => named[i]! };
    },
  };
}

/** What adds nothing of its own to what it holds. @param inner null: it isn't what it seemed */
export function transparent(inner: Read<Value>): Printer {
  return {
    text(v, values, depth) {
      const x = inner(v, values);
      return x === null ? null : values.text(x, depth + WRAPPER_DEPTH);
    },
    children(v, values) {
      const x = inner(v, values);
      return x === null ? null : values.children(x);
    },
  };
}

/** What stands before the elements. */
export function sized(count: number): string {
  return `(${count}) `;
}
