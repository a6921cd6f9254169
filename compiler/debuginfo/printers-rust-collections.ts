/** Values of the collections of Rust's standard library: hash tables, B-trees, ring buffers. */
import type { KeyedEntry, Printer } from './printers.ts';
import { keyedPrinter, sized } from './printers.ts';
import type { Type } from './types.ts';
import type { Value, Values } from './values.ts';

/** Buckets of a hash table that are looked at. */
const MAX_BUCKETS = 1 << 16;
/** Levels of a B-tree, of at least 6 branches each. */
const MAX_HEIGHT = 24;
/** Keys that a node of a B-tree holds at most: `CAPACITY` of alloc's btree/node.rs. */
const NODE_CAPACITY = 11;

export const asNumber = (v: Value | null, values: Values): bigint | null =>
  v === null ? null : values.integer(v);

/** A number in wrappers: Cell, `Cap`, a niche type. */
function innerNumber(v: Value | null, values: Values): number | null {
  let at = v;
  for (let depth = 0; at !== null && at.type.plain.kind === 'struct' && depth < 6; depth++) {
    const m = at.type.plain.members[0];
    at = m === undefined ? null : values.part(at, m);
  }
  const n = asNumber(at, values);
  return n === null || n < 0n || n > 2n ** 32n ? null : Number(n);
}

/** The first pointer that a structure holds: RawVec, Unique and NonNull have had many shapes. */
export function firstPointer(v: Value, values: Values, depth = 0): Value | null {
  const { plain } = v.type;
  if (plain.kind === 'pointer') return v;
  if (plain.kind !== 'struct' || depth > 8) return null;
  for (const m of plain.members) {
    const found = firstPointer(values.part(v, m), values, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

/**
 * hashbrown: control bytes, and the buckets in reverse order below them. A bucket whose control byte has its top bit
 * clear is full.
 */
export function tablePrinter(isMap: boolean): Printer {
  return keyedPrinter((v, values, limit) => {
    const table = findTable(v, values, 0);
    if (table === null) return null;
    const inner = values.member(table, 'table') ?? table;
    const mask = asNumber(values.member(inner, 'bucket_mask'), values);
    const count = asNumber(values.member(inner, 'items'), values);
    const control = values.member(inner, 'ctrl');
    const pointer = control === null ? null : firstPointer(control, values);
    const at = pointer === null ? null : values.pointer(pointer);
    const element = table.type.plain.typeArguments[0];
    if (mask === null || count === null || at === null || element === undefined) return null;
    const buckets = Math.min(Number(mask) + 1, MAX_BUCKETS);
    const bytes = values.read(at, buckets);
    if (bytes === null || count > BigInt(buckets)) return null;
    const items: KeyedEntry[] = [];
    for (let i = 0; i < buckets && items.length < limit; i++) {
      if ((bytes[i]! & 0x80) !== 0 || count === 0n) continue;
      const pair = values.at(element, at - (i + 1) * element.size);
      const key = values.member(pair, '__0');
      const value = values.member(pair, '__1');
      items.push(key === null ? { key: pair, value: null } : { key, value: isMap ? value : null });
    }
    return { count: Number(count), items };
  }, isMap);
}

/** The RawTable in a map or set. */
function findTable(v: Value, values: Values, depth: number): Value | null {
  const { plain } = v.type;
  if (/^hashbrown::raw::RawTable</.test(plain.name)) return v;
  if (plain.kind !== 'struct' || depth > 5) return null;
  for (const m of plain.members) {
    const found = findTable(values.part(v, m), values, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

/**
 * A B-tree: `root` has the height of its node; a leaf has keys, values and how many; an inner node is a leaf with edges
 * behind it (alloc's btree/node.rs: `#[repr(C)] InternalNode { data, edges }`).
 */
export function treePrinter(type: Type, isMap: boolean): Printer | null {
  const map = (v: Value, values: Values): Value | null => (isMap ? v : values.member(v, 'map'));
  const key = type.typeArguments[0];
  if (key === undefined) return null;
  const valueType = isMap ? type.typeArguments[1] : undefined;

  function* entries(v: Value, values: Values): Generator<KeyedEntry> {
    const option = values.member(v, 'root');
    const some = option === null ? null : values.activeVariant(option);
    const root = some === null ? null : values.member(some.value, '__0');
    const height = root === null ? null : innerNumber(values.member(root, 'height'), values);
    const node = root === null ? null : values.member(root, 'node');
    const pointer = node === null ? null : firstPointer(node, values);
    const first = pointer === null ? null : values.deref(pointer);
    if (height === null || height > MAX_HEIGHT || first === null) return;
    yield* walk(first, height, values);
  }

  function* walk(leaf: Value, height: number, values: Values): Generator<KeyedEntry> {
    const { plain } = leaf.type;
    const address = values.address(leaf);
    const count = innerNumber(values.member(leaf, 'len'), values);
    const keys = values.member(leaf, 'keys');
    const vals = values.member(leaf, 'vals');
    const keysAt = keys === null ? null : values.address(keys);
    const valuesAt = vals === null ? null : values.address(vals);
    if (address === null || count === null || count > NODE_CAPACITY || keysAt === null) return;
    const p = plain.pointerSize;
    const edges = address + Math.ceil(plain.size / p) * p;
    for (let i = 0; i <= count; i++) {
      if (height > 0) {
        const bytes = values.read(edges + i * p, p);
        if (bytes === null) return;
        let at = 0;
        for (let j = p - 1; j >= 0; j--) at = at * 256 + bytes[j]!;
        yield* walk(values.at(leaf.type, at), height - 1, values);
      }
      if (i === count) return;
      yield {
        key: values.at(key!, keysAt + i * key!.size),
        value:
          valueType === undefined || valuesAt === null
            ? null
            : values.at(valueType, valuesAt + i * valueType.size),
      };
    }
  }

  return keyedPrinter((v, values, limit) => {
    const tree = map(v, values);
    const count = tree === null ? null : innerNumber(values.member(tree, 'length'), values);
    if (tree === null || count === null) return null;
    const items: KeyedEntry[] = [];
    for (const entry of entries(tree, values)) {
      if (items.length >= Math.min(limit, count)) break;
      items.push(entry);
    }
    return count > 0 && items.length === 0 ? null : { count, items };
  }, isMap);
}

/** A ring: `head` and `len` since Rust 1.67, `tail` (of the oldest) and `head` (behind the newest) before. */
export function dequePrinter(type: Type): Printer | null {
  const element = type.typeArguments[0];
  if (element === undefined) return null;
  const parts = (v: Value, values: Values): { count: number; item: (i: number) => Value } | null => {
    const buffer = values.member(v, 'buf');
    const pointer = buffer === null ? null : firstPointer(buffer, values);
    const at = pointer === null ? null : values.pointer(pointer);
    const cap =
      buffer === null
        ? null
        : innerNumber(values.member(buffer, 'cap') ?? values.dig(buffer, 'inner', 'cap'), values);
    const head = innerNumber(values.member(v, 'head'), values);
    const tail = innerNumber(values.member(v, 'tail'), values);
    if (at === null || cap === null || head === null) return null;
    const length =
      tail === null ? innerNumber(values.member(v, 'len'), values) : (head - tail + cap) % Math.max(cap, 1);
    if (length === null || (element.size > 0 && length > cap)) return null;
    const start = tail ?? head;
    return {
      count: length,
      item: i => values.at(element, at + (element.size === 0 ? 0 : ((start + i) % cap) * element.size)),
    };
  };
  return {
    text(v, values, depth) {
      const d = parts(v, values);
      return d === null ? null : `${sized(d.count)}${values.list(d.count, d.item, depth)}`;
    },
    children(v, values) {
      const d = parts(v, values);
      return d === null ? null : values.sequence(d.count, d.item);
    },
  };
}
