/** Values of LLVM's C++ standard library (libc++), by the names of its members in its versions 13 and later. */
import type { KeyedEntry, Printer } from './printers.ts';
import { countedPrinter, keyedPrinter, sized, transparent } from './printers.ts';
import type { Type } from './types.ts';
import type { Value, Values } from './values.ts';

/** Nodes of a list or tree that are visited: a damaged one may be a cycle. */
const MAX_NODES = 2_000;

/** Bits of a bitset that are shown. */
const MAX_BITSET = 256;

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
  array: () => transparent((v, values) => values.member(v, '__elems_')),
  deque: type => dequePrinter(type),
  // Adaptors hold a container.
  stack: () => transparent((v, values) => values.member(v, 'c')),
  queue: () => transparent((v, values) => values.member(v, 'c')),
  priority_queue: () => transparent((v, values) => values.member(v, 'c')),
  tuple: () => tuplePrinter(),
  atomic: () => transparent((v, values) => values.dig(v, '__a_', '__a_value')),
  reference_wrapper: () =>
    transparent((v, values) => forward(values.member(v, '__f_'), p => values.deref(p))),
  bitset: type => bitsetPrinter(type),
  function: () => functionPrinter(),
  map: () => treePrinter(true),
  multimap: () => treePrinter(true),
  set: () => treePrinter(false),
  multiset: () => treePrinter(false),
  unordered_map: () => hashPrinter(true),
  unordered_multimap: () => hashPrinter(true),
  unordered_set: () => hashPrinter(false),
  unordered_multiset: () => hashPrinter(false),
  list: () => listPrinter(),
  forward_list: () => forwardListPrinter(),
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

/** Blocks of as many elements as fit into 4096 bytes, of large ones 16; a buffer of pointers to the blocks. */
function dequePrinter(type: Type): Printer | null {
  const element = type.typeArguments[0];
  const bytes = element?.plain.size ?? 0;
  if (element === undefined || bytes === 0) return null;
  const perBlock = bytes < 256 ? Math.floor(4096 / bytes) : 16;
  const parts = (
    v: Value,
    values: Values,
  ): { count: number; item: (i: number) => Value; known: (i: number) => boolean } | null => {
    const blocks = forward(values.dig(v, '__map_', '__begin_'), p => values.pointer(p));
    const start = forward(values.member(v, '__start_'), n => numberOf(values.integer(n)));
    const length = values.member(v, '__size_') ?? values.dig(v, '__size_alloc_', '__value_');
    const count = forward(length, n => numberOf(values.integer(n)));
    if (blocks === null || start === null || count === null) return null;
    const p = type.pointerSize;
    const block = (i: number): number => word(blocks + p * Math.floor((start + i) / perBlock), p, values);
    return {
      count,
      item: i => values.at(element, block(i) + bytes * ((start + i) % perBlock)),
      known: i => block(i) !== 0,
    };
  };
  return {
    text(v, values, depth) {
      const d = parts(v, values);
      return d === null ? null : `${sized(d.count)}${values.list(d.count, d.item, depth)}`;
    },
    children(v, values) {
      const d = parts(v, values);
      return d === null || (d.count > 0 && !d.known(0)) ? null : values.sequence(d.count, d.item);
    },
  };
}

/** The most significant bit first, as its own to_string has it. */
function bitsetPrinter(type: Type): Printer | null {
  const size = Number(/^[^<]*<(\d+)/.exec(type.name)?.[1] ?? NaN);
  if (!(size <= MAX_BITSET)) return null;
  return {
    text(v, values) {
      const first = values.member(v, '__first_');
      const at = forward(first, f => values.address(f));
      const bytes = at === null ? null : values.read(at, Math.ceil(size / 8));
      if (bytes === null) return null;
      let text = '';
      for (let i = size - 1; i >= 0; i--) text += (bytes[i >> 3]! >> (i & 7)) & 1;
      return text === '' ? null : text;
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
  const take = (v: Value, values: Values, limit: number): KeyedEntry[] => {
    const contents = contentsOf(v.type.plain, isMap);
    if (contents === null || limit <= 0) return [];
    const found: KeyedEntry[] = [];
    for (const at of elements(v, values, contents.alignment)) {
      const value = contents.value === null ? null : values.at(contents.value, at + contents.valueAt);
      found.push({ key: values.at(contents.key, at), value });
      if (found.length >= limit) break;
    }
    return found;
  };
  return keyedPrinter(
    (v, values, limit) => {
      const count = size(v, values);
      return count === null ? null : { count, items: take(v, values, Math.min(count, limit)) };
    },
    isMap,
    '[]',
  );
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

/** A node: next, value. How many there are is known by counting. */
function forwardListPrinter(): Printer {
  function* elements(v: Value, values: Values, alignment: number): Generator<number> {
    const head = values.member(v, '__before_begin_') ?? values.dig(v, '__before_begin_', '__value_');
    const next = forward(head, h => values.member(h, '__next_') ?? values.dig(h, '__value_', '__next_'));
    const p = v.type.plain.pointerSize;
    if (next === null) return;
    const valueAt = alignUp(p, alignment);
    let at = values.pointer(next) ?? 0;
    for (let steps = 0; at !== 0 && steps < MAX_NODES; steps++) {
      yield at + valueAt;
      at = word(at, p, values);
    }
  }
  const size = (v: Value, values: Values): number => [...elements(v, values, 1)].length;
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

/** A base class for each element, which holds it, or is it where it takes no room. */
function tuplePrinter(): Printer {
  const elements = (v: Value, values: Values): Value[] | null => {
    const base = values.member(v, '__base_');
    if (base === null) return null;
    return base.type.plain.members
      .filter(m => m.isBase)
      .map(m => {
        const leaf = values.part(base, m);
        return values.member(leaf, '__value_') ?? leaf;
      });
  };
  return {
    text(v, values, depth) {
      const found = elements(v, values);
      return found === null ? null : `(${found.map(x => values.text(x, depth + 1)).join(', ')})`;
    },
    children(v, values) {
      const found = elements(v, values);
      return found === null ? null : values.sequence(found.length, i => found[i]!);
    },
  };
}

/**
 * What it holds has no type, but is called through a function that has: `__call_func<what it holds>(…)`, before version
 * 21 `__call_impl<__default_alloc_func<what it holds, R (A…)>>(…)`. A pointer to a function lies in its buffer.
 */
function functionPrinter(): Printer {
  return {
    text(v, values) {
      const call = values.dig(v, '__f_', '__func_') ?? values.dig(v, '__f_', '__invoker_', '__call_');
      const index = forward(call, c => values.pointer(c));
      const name = index === null ? null : values.surroundings.functionAt(index);
      if (name === null) return null;
      if (/__(?:empty_func|call_empty)/.test(name)) return 'empty';
      const held =
        /__default_alloc_func<(.*), [^,]* \(.*\)>>\(/s.exec(name)?.[1] ??
        /__call_func(?:\[[^\]]*\])?<(.*)>\(/s.exec(name)?.[1];
      if (held === undefined) return null;
      const buffer = forward(values.dig(v, '__f_', '__buf_'), b => values.address(b));
      const target =
        !held.includes('(*)(') || buffer === null
          ? null
          : values.surroundings.functionAt(word(buffer, v.type.plain.pointerSize, values));
      return `→ ${target ?? held}`;
    },
  };
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
