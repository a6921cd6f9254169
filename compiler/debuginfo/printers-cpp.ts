/** Values of LLVM's C++ standard library (libc++), by the names of its members in its versions 13 and later. */
import type { Printer } from './printers.ts';
import { countedPrinter, sized } from './printers.ts';
import type { Type } from './types.ts';
import type { Children, Entry, Value, Values } from './values.ts';

/** Nodes of a list or tree that are visited: a damaged one may be a cycle. */
const MAX_NODES = 2_000;
/** Nodes that a line takes. */
const TEXT_NODES = 9;

const STD = /^std::(?:__\w+::)?([a-z_]+)(?:<|$)/;

export function cppPrinter(type: Type): Printer | null {
  const name = STD.exec(type.name)?.[1];
  if (name === undefined || !Object.hasOwn(PRINTERS, name)) return null;
  return PRINTERS[name]!(type);
}

const PRINTERS: Readonly<Record<string, (type: Type) => Printer | null>> = {
  basic_string: type => stringPrinter(type),
  basic_string_view: type => pointerAndSize(type, '__data_', '__size_', true),
  span: type => pointerAndSize(type, '__data_', '__size_', false),
  initializer_list: type => pointerAndSize(type, '__begin_', '__size_', false),
  vector: type => vectorPrinter(type),
  array: () => ({
    text: (v, values, depth) => forward(values.member(v, '__elems_'), x => values.text(x, depth)),
    children: (v, values) => forward(values.member(v, '__elems_'), x => values.children(x)),
  }),
  map: () => treePrinter(true),
  multimap: () => treePrinter(true),
  set: () => treePrinter(false),
  multiset: () => treePrinter(false),
  unordered_map: () => hashPrinter(true),
  unordered_multimap: () => hashPrinter(true),
  unordered_set: () => hashPrinter(false),
  unordered_multiset: () => hashPrinter(false),
  list: () => listPrinter(),
  optional: () => wrapper(optionalContent, 'nullopt'),
  variant: () => wrapper(variantContent, 'valueless'),
  unique_ptr: () => smartPointer(false),
  shared_ptr: () => smartPointer(true),
  weak_ptr: () => smartPointer(true),
};

function forward<T>(v: Value | null, f: (v: Value) => T): T | null {
  return v === null ? null : f(v);
}

// ---------------------------------------------------------------------------------------------------------------- Sequences

function pointerAndSize(type: Type, pointer: string, size: string, isString: boolean): Printer {
  const element = type.typeArguments[0]!;
  return countedPrinter(
    (v, values) => forward(values.member(v, pointer), p => values.pointer(p)),
    (v, values) => forward(values.member(v, size), n => values.integer(n)),
    element,
    isString && element?.plain.size === 1,
  );
}

/** The representation lies in `__rep_`, or in a compressed pair before version 19. */
function stringPrinter(type: Type): Printer | null {
  const element = type.typeArguments[0];
  if (element === undefined) return null;
  const parts = (v: Value, values: Values): { at: number; size: number } | null => {
    const rep = values.member(v, '__rep_') ?? values.dig(v, '__r_', '__value_');
    const short = forward(rep, r => values.member(r, '__s'));
    const long = forward(rep, r => values.member(r, '__l'));
    if (short === null || long === null) return null;
    const flag = forward(values.member(short, '__is_long_') ?? values.member(long, '__is_long_'), b =>
      values.integer(b),
    );
    const chosen = flag === 0n ? short : long;
    const data = values.member(chosen, '__data_');
    const size = forward(values.member(chosen, '__size_'), n => values.integer(n));
    if (data === null || size === null || flag === null) return null;
    const at = flag === 0n ? values.address(data) : values.pointer(data);
    return at === null || size < 0n || size > 2n ** 32n ? null : { at, size: Number(size) };
  };
  const unit = element.plain.size;
  return {
    text(v, values) {
      const p = parts(v, values);
      if (p === null) return null;
      return unit === 1 ? values.countedString(p.at, p.size) : values.terminatedString(p.at, unit);
    },
    children(v, values) {
      const p = parts(v, values);
      return p === null ? null : values.sequence(p.size, i => values.at(element, p.at + i * unit));
    },
  };
}

function vectorPrinter(type: Type): Printer | null {
  const element = type.typeArguments[0];
  if (element === undefined) return null;
  if (element.plain.name === 'bool') return bitVector(element);
  const size = element.plain.size;
  const begin = (v: Value, values: Values): number | null =>
    forward(values.member(v, '__begin_'), p => values.pointer(p));
  return countedPrinter(
    begin,
    (v, values) => {
      const from = begin(v, values);
      const to = forward(values.member(v, '__end_'), p => values.pointer(p));
      const length = forward(values.member(v, '__size_'), n => values.integer(n));
      if (length !== null) return length;
      return from === null || to === null || size === 0 || to < from
        ? null
        : BigInt(Math.floor((to - from) / size));
    },
    element,
    false,
  );
}

function bitVector(element: Type): Printer {
  const parts = (v: Value, values: Values): { at: number; count: number } | null => {
    const at = forward(values.member(v, '__begin_'), p => values.pointer(p));
    const n = forward(values.member(v, '__size_'), x => values.integer(x));
    return at === null || n === null || n < 0n || n > 2n ** 32n ? null : { at, count: Number(n) };
  };
  const bit = (at: number, i: number): Value => ({
    type: element,
    place: { kind: 'memory', address: at + (i >> 3) },
    bits: { size: 1, first: i & 7 },
  });
  return {
    text(v, values, depth) {
      const p = parts(v, values);
      return p === null ? null : `${sized(p.count)}${values.list(p.count, i => bit(p.at, i), depth)}`;
    },
    children(v, values) {
      const p = parts(v, values);
      return p === null ? null : values.sequence(p.count, i => bit(p.at, i));
    },
  };
}

// ------------------------------------------------------------------------------------------------------------------- Nodes

/** Containers made of nodes: all that is known of one is its elements, in order. */
function nodePrinter(
  size: (v: Value, values: Values) => number | null,
  elements: Elements,
  isMap: boolean,
): Printer {
  const take = (v: Value, values: Values, limit: number): { key: Value; value: Value | null }[] => {
    const contents = contentsOf(v.type.plain, isMap);
    if (contents === null || limit <= 0) return [];
    const found: { key: Value; value: Value | null }[] = [];
    for (const at of elements(v, values, contents.alignment)) {
      const value = contents.value === null ? null : values.at(contents.value, at + contents.valueAt);
      found.push({ key: values.at(contents.key, at), value });
      if (found.length >= limit) break;
    }
    return found;
  };
  return {
    text(v, values, depth) {
      const count = size(v, values);
      if (count === null) return null;
      const parts = take(v, values, Math.min(count, TEXT_NODES)).map(({ key, value }) =>
        value === null
          ? values.text(key, depth + 1)
          : `${values.text(key, depth + 1)}: ${values.text(value, depth + 1)}`,
      );
      if (count > parts.length) parts.push('…');
      return isMap ? `${sized(count)}{${parts.join(', ')}}` : `${sized(count)}[${parts.join(', ')}]`;
    },
    children(v, values): Children | null {
      const count = size(v, values);
      if (count === null) return null;
      const items = take(v, values, Math.min(count, MAX_NODES));
      if (!isMap) return values.sequence(items.length, i => items[i]!.key);
      const named = items.map(
        ({ key, value }): Entry => ({ name: `[${values.text(key, 2)}]`, value: value ?? key, path: '' }),
      );
      return { named, indexed: 0, item: i => named[i]! };
    },
  };
}

/** Addresses of what the nodes hold, for contents of an alignment. */
type Elements = (v: Value, values: Values, alignment: number) => Generator<number>;
/** What a container's nodes hold, by its own type arguments: what a map calls its pairs has changed often. */
interface Contents {
  readonly alignment: number;
  readonly key: Type;
  /** Maps. */
  readonly value: Type | null;
  readonly valueAt: number;
}

function contentsOf(container: Type, isMap: boolean): Contents | null {
  const [key, value] = container.typeArguments;
  if (key === undefined) return null;
  const alignment = Math.max(key.alignment, 1);
  if (!isMap) return { alignment, key, value: null, valueAt: 0 };
  if (value === undefined) return null;
  const a = Math.max(value.alignment, 1);
  return { alignment: Math.max(alignment, a), key, value, valueAt: alignUp(key.plain.size, a) };
}

const alignUp = (n: number, a: number): number => Math.ceil(n / a) * a;

function word(address: number, size: number, values: Values): number {
  const bytes = values.read(address, size);
  if (bytes === null) return 0;
  let n = 0;
  for (let i = size - 1; i >= 0; i--) n = n * 256 + bytes[i]!;
  return n;
}

/** A tree's end node is a part of the tree; a node: left, right, parent, is_black, then the value. */
function treePrinter(isMap: boolean): Printer {
  const size = (v: Value, values: Values): number | null => {
    const tree = values.member(v, '__tree_');
    const n = forward(tree, t => values.member(t, '__size_') ?? values.dig(t, '__pair3_', '__value_'));
    return forward(n, x => numberOf(values.integer(x)));
  };
  function* elements(v: Value, values: Values, alignment: number): Generator<number> {
    const tree = values.member(v, '__tree_');
    const end = forward(tree, t => values.member(t, '__end_node_') ?? values.dig(t, '__pair1_', '__value_'));
    const endAddress = forward(end, e => values.address(e));
    const p = v.type.plain.pointerSize;
    if (endAddress === null) return;
    const valueAt = alignUp(3 * p + 1, alignment);
    // In order, with a stack: parents need not be trusted.
    const stack: number[] = [];
    let at = word(endAddress, p, values);
    for (let steps = 0; steps < 2 * MAX_NODES && (at !== 0 || stack.length > 0); steps++) {
      if (at !== 0) {
        if (stack.length > 64) return;
        stack.push(at);
        at = word(at, p, values);
      } else {
        const node = stack.pop()!;
        yield node + valueAt;
        at = word(node + p, p, values);
      }
    }
  }
  return nodePrinter(size, elements, isMap);
}

/** A node: next, hash, value. */
function hashPrinter(isMap: boolean): Printer {
  const table = (v: Value, values: Values): Value | null => values.member(v, '__table_');
  const size = (v: Value, values: Values): number | null => {
    const n = forward(
      table(v, values),
      t => values.member(t, '__size_') ?? values.dig(t, '__p2_', '__value_'),
    );
    return forward(n, x => numberOf(values.integer(x)));
  };
  function* elements(v: Value, values: Values, alignment: number): Generator<number> {
    const t = table(v, values);
    const first = forward(t, x => values.member(x, '__first_node_') ?? values.dig(x, '__p1_', '__value_'));
    const next = forward(first, f => values.member(f, '__next_'));
    const p = v.type.plain.pointerSize;
    if (next === null) return;
    const valueAt = alignUp(2 * p, alignment);
    let at = values.pointer(next) ?? 0;
    for (let steps = 0; at !== 0 && steps < MAX_NODES; steps++) {
      yield at + valueAt;
      at = word(at, p, values);
    }
  }
  return nodePrinter(size, elements, isMap);
}

/** A node: previous, next, value; the end node lies in the list. */
function listPrinter(): Printer {
  const size = (v: Value, values: Values): number | null => {
    const n = values.member(v, '__size_') ?? values.dig(v, '__size_alloc_', '__value_');
    return forward(n, x => numberOf(values.integer(x)));
  };
  function* elements(v: Value, values: Values, alignment: number): Generator<number> {
    const end = forward(values.member(v, '__end_'), e => values.address(e));
    const p = v.type.plain.pointerSize;
    if (end === null) return;
    const valueAt = alignUp(2 * p, alignment);
    let at = word(end + p, p, values);
    for (let steps = 0; at !== 0 && at !== end && steps < MAX_NODES; steps++) {
      yield at + valueAt;
      at = word(at + p, p, values);
    }
  }
  return nodePrinter(size, elements, false);
}

function numberOf(n: bigint | null): number | null {
  return n === null || n < 0n || n > 2n ** 32n ? null : Number(n);
}

// ---------------------------------------------------------------------------------------------------------------- Wrappers

/** What it holds; 'empty' for nothing; null: it isn't what it seemed. */
type Content = (v: Value, values: Values) => Value | 'empty' | null;

function wrapper(content: Content, empty: string): Printer {
  return {
    text(v, values, depth) {
      const c = content(v, values);
      return c === null ? null : c === 'empty' ? empty : values.text(c, depth + 1);
    },
    children(v, values) {
      const c = content(v, values);
      if (c === null) return null;
      return {
        named: c === 'empty' ? [] : [{ name: 'value', value: c, path: '' }],
        indexed: 0,
        item: () => ({ name: '', value: v, path: '' }),
      };
    },
  };
}

function optionalContent(v: Value, values: Values): Value | 'empty' | null {
  const engaged = forward(values.member(v, '__engaged_'), b => values.integer(b));
  if (engaged === null) return null;
  return engaged === 0n ? 'empty' : values.member(v, '__val_');
}

function variantContent(v: Value, values: Values): Value | 'empty' | null {
  const data =
    values.member(v, '__data') ?? values.dig(v, '__impl_', '__data') ?? values.dig(v, '__impl', '__data');
  const number =
    values.member(v, '__index') ?? values.dig(v, '__impl_', '__index') ?? values.dig(v, '__impl', '__index');
  const index = forward(number, n => values.integer(n));
  const address = forward(data, d => values.address(d));
  if (index === null || address === null) return null;
  const type = v.type.plain.typeArguments[Number(index)];
  return type === undefined ? 'empty' : values.at(type, address);
}

/** Counts in the control block are one less than the number of owners. */
function owners(control: Value | null, values: Values): string {
  const block = forward(control, c => values.deref(c));
  const n = forward(block, b => forward(values.member(b, '__shared_owners_'), x => values.integer(x)));
  return n === null ? '' : ` (${n + 1n} ${n === 0n ? 'owner' : 'owners'})`;
}

function smartPointer(isCounted: boolean): Printer {
  const pointer = (v: Value, values: Values): Value | null => {
    const p = values.member(v, '__ptr_');
    return p?.type.plain.kind === 'pointer' ? p : forward(p, x => values.member(x, '__value_'));
  };
  return {
    text(v, values, depth) {
      const p = pointer(v, values);
      if (p === null) return null;
      const at = values.pointer(p);
      if (at === 0) return 'nullptr';
      const to = values.deref(p);
      const note = isCounted ? owners(values.member(v, '__cntrl_'), values) : '';
      return to === null ? null : `→ ${values.text(to, depth + 1)}${note}`;
    },
    children(v, values) {
      const to = forward(pointer(v, values), p => values.deref(p));
      if (to === null) return null;
      return {
        named: [{ name: '*', value: to, path: '' }],
        indexed: 0,
        item: () => ({ name: '', value: to, path: '' }),
      };
    },
  };
}
