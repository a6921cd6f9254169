/**
 * How values of library types are shown: the C++ standard library (LLVM's, as every WASI toolchain ships), Rust's, and the slices and strings of Go and
 * Zig. A printer that doesn't find what it expects says so with null: the value is then shown as the structure that it is.
 */
import { Language } from './constants.ts';
import { cppPrinter } from './printers-cpp.ts';
import { rustPrinter } from './printers-rust.ts';
import type { Type } from './types.ts';
import type { Children, Value, Values } from './values.ts';

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

type Read<T> = (v: Value, values: Values) => T | null;

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

/** What stands before the elements. */
export function sized(count: number): string {
  return `(${count}) `;
}
