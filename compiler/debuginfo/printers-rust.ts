/** Values of Rust's standard library, by the names of its members since about version 1.50. */
import type { Printer } from './printers.ts';
import { countedPrinter, sized } from './printers.ts';
import type { Type } from './types.ts';
import { type Entry, quoted, type Value, type Values, WRAPPER_DEPTH } from './values.ts';

/** Buckets of a hash table that are looked at. */
const MAX_BUCKETS = 1 << 16;
const MAX_ENTRIES = 2_000;
const TEXT_ENTRIES = 8;

export function rustPrinter(type: Type): Printer | null {
  const name = type.name.replace(/<.*$/s, '');
  if (type.kind === 'pointer') return null;
  const fat = fatPointer(type) ?? traitObject(type);
  if (fat !== null) return fat;
  switch (name) {
    case 'alloc::string::String':
      return via('vec', true);
    case 'std::ffi::os_str::OsString':
    case 'std::path::PathBuf':
      return via('inner', true);
    case 'alloc::vec::Vec':
      return vecPrinter(type, false);
    case 'alloc::collections::vec_deque::VecDeque':
      return null;
    case 'std::collections::hash::map::HashMap':
      return tablePrinter(true);
    case 'std::collections::hash::set::HashSet':
      return tablePrinter(false);
    case 'alloc::rc::Rc':
    case 'alloc::sync::Arc':
      return countedPointer();
    case 'core::cell::Cell':
    case 'core::cell::UnsafeCell':
    case 'core::mem::manually_drop::ManuallyDrop':
    case 'core::num::wrapping::Wrapping':
      return transparent('value');
    case 'core::cell::RefCell':
    case 'std::sync::mutex::Mutex':
      return transparent(name.endsWith('RefCell') ? 'value' : 'data');
    case 'core::slice::iter::Iter':
    case 'core::slice::iter::IterMut':
    case 'alloc::vec::into_iter::IntoIter':
      return sliceIterator(type, false);
    case 'core::str::iter::Chars':
      return charIterator();
    case 'core::str::iter::Lines':
      return remainingText('__0', 'iter', '__0');
    case 'core::str::iter::SplitInternal':
      return remainingText();
    default:
      return null;
  }
}

const asNumber = (v: Value | null, values: Values): bigint | null => (v === null ? null : values.integer(v));

/** &str, &[T], Box<str>, Box<[T]>: data_ptr and length. */
function fatPointer(type: Type): Printer | null {
  const pointer = type.members.find(m => m.name === 'data_ptr');
  const length = type.members.find(m => m.name === 'length');
  if (pointer === undefined || length === undefined) return null;
  const element = pointer.type.plain.target;
  return countedPrinter(
    (v, values) => values.pointer(values.part(v, pointer)),
    (v, values) => values.integer(values.part(v, length)),
    element,
    /(?:^|[&<\s])str(?:[,>].*)?$/s.test(type.name),
  );
}

/** &dyn Trait: what it is of its vtable tells, if the compiler has described that. */
function traitObject(type: Type): Printer | null {
  const pointer = type.members.find(m => m.name === 'pointer');
  const vtable = type.members.find(m => m.name === 'vtable');
  if (pointer === undefined || vtable === undefined) return null;
  const content = (v: Value, values: Values): Value | null => {
    const table = values.pointer(values.part(v, vtable));
    const implementor = table === null ? null : values.surroundings.implementor(table);
    const at = values.pointer(values.part(v, pointer));
    return implementor === null || at === null ? null : values.at(implementor, at);
  };
  return {
    text(v, values, depth) {
      const found = content(v, values);
      if (found !== null) return `${found.type.name} ${values.text(found, depth + WRAPPER_DEPTH)}`;
      const at = values.pointer(values.part(v, pointer));
      return at === null ? null : `${type.name.replace(/^&(?:mut )?/, '')} at 0x${at.toString(16)}`;
    },
    children(v, values) {
      const found = content(v, values);
      if (found === null) return null;
      const named: Entry[] = [
        { name: '*', value: found, path: '*' },
        { name: 'vtable', value: values.part(v, vtable), path: '.vtable' },
      ];
      return { named, indexed: 0, item: i => named[i]! };
    },
  };
}

/** What a slice's iterator has yet to give, from its two ends. That of elements without a size counts otherwise, and is shown as it is. */
function sliceIterator(type: Type, isString: boolean): Printer | null {
  const element = type.typeArguments[0];
  if (element === undefined || element.size === 0) return null;
  const start = (v: Value, values: Values): number | null => {
    const first = values.member(v, 'ptr');
    const pointer = first === null ? null : firstPointer(first, values);
    return pointer === null ? null : values.pointer(pointer);
  };
  const length = (v: Value, values: Values): bigint | null => {
    const from = start(v, values);
    const end = values.member(v, 'end') ?? values.member(v, 'end_or_len');
    const pointer = end === null ? null : firstPointer(end, values);
    const to = pointer === null ? null : values.pointer(pointer);
    return from === null || to === null || to < from ? null : BigInt(Math.floor((to - from) / element.size));
  };
  return countedPrinter(start, length, element, isString);
}

function charIterator(): Printer {
  return {
    text(v, values, depth) {
      const bytes = values.member(v, 'iter');
      return bytes === null
        ? null
        : (sliceIterator(bytes.type.plain, true)?.text(bytes, values, depth) ?? null);
    },
  };
}

/** What an iterator over parts of a text has yet to give: SplitInternal's haystack, from `start` to `end`. @param path of the SplitInternal */
function remainingText(...path: readonly string[]): Printer {
  return {
    text(v, values) {
      const split = values.dig(v, ...path);
      if (split === null) return null;
      const haystack = values.dig(split, 'matcher', 'haystack');
      const data = haystack === null ? null : values.member(haystack, 'data_ptr');
      const at = data === null ? null : values.pointer(data);
      const start = asNumber(values.member(split, 'start'), values);
      const end = asNumber(values.member(split, 'end'), values);
      if (asNumber(values.member(split, 'finished'), values) === 1n) return quoted('');
      if (at === null || start === null || end === null || end < start) return null;
      return values.countedString(at + Number(start), Number(end - start));
    },
  };
}

/** A string is a Vec<u8>, some wrappers down. */
function via(member: string, isString: boolean): Printer {
  const vec = (v: Value, values: Values): Value | null => {
    let at: Value | null = values.member(v, member);
    for (let depth = 0; at !== null && depth < 4; depth++) {
      if (/^alloc::vec::Vec</.test(at.type.plain.name)) return at;
      at = values.member(at, 'inner') ?? values.member(at, 'bytes');
    }
    return null;
  };
  return {
    text(v, values, depth) {
      const inner = vec(v, values);
      return inner === null ? null : vecPrinter(inner.type.plain, isString).text(inner, values, depth);
    },
    children(v, values) {
      const inner = vec(v, values);
      return inner === null
        ? null
        : (vecPrinter(inner.type.plain, isString).children?.(inner, values) ?? null);
    },
  };
}

/** The first pointer that a structure holds: RawVec, Unique and NonNull have had many shapes. */
function firstPointer(v: Value, values: Values, depth = 0): Value | null {
  const { plain } = v.type;
  if (plain.kind === 'pointer') return v;
  if (plain.kind !== 'struct' || depth > 8) return null;
  for (const m of plain.members) {
    const found = firstPointer(values.part(v, m), values, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

function vecPrinter(type: Type, isString: boolean): Printer {
  const element = type.typeArguments[0] ?? type;
  return countedPrinter(
    (v, values) => {
      const buffer = values.member(v, 'buf');
      const pointer = buffer === null ? null : firstPointer(buffer, values);
      return pointer === null ? null : values.pointer(pointer);
    },
    (v, values) => asNumber(values.member(v, 'len'), values),
    element,
    isString,
  );
}

function transparent(member: string): Printer {
  const inner = (v: Value, values: Values): Value | null => values.member(v, member);
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

function countedPointer(): Printer {
  const box = (v: Value, values: Values): Value | null => {
    const pointer = firstPointer(v, values);
    return pointer === null ? null : values.deref(pointer);
  };
  const count = (b: Value, name: string, values: Values): bigint | null => {
    let at: Value | null = values.member(b, name);
    // Cell<usize>, AtomicUsize: down to the number.
    for (let depth = 0; at !== null && at.type.plain.kind === 'struct' && depth < 6; depth++) {
      const m = at.type.plain.members[0];
      at = m === undefined ? null : values.part(at, m);
    }
    return asNumber(at, values);
  };
  const content = (b: Value, values: Values): Value | null =>
    values.member(b, 'value') ?? values.member(b, 'data');
  return {
    text(v, values, depth) {
      const b = box(v, values);
      const inner = b === null ? null : content(b, values);
      if (b === null || inner === null) return null;
      const strong = count(b, 'strong', values);
      return `${values.text(inner, depth + WRAPPER_DEPTH)}${strong === null ? '' : ` (${strong} ${strong === 1n ? 'owner' : 'owners'})`}`;
    },
    children(v, values) {
      const b = box(v, values);
      const inner = b === null ? null : content(b, values);
      if (inner === null) return null;
      const entry: Entry = { name: '*', value: inner, path: '*' };
      return { named: [entry], indexed: 0, item: () => entry };
    },
  };
}

/** hashbrown: control bytes, and the buckets in reverse order below them. A bucket whose control byte has its top bit clear is full. */
function tablePrinter(isMap: boolean): Printer {
  const entries = (v: Value, values: Values, limit: number): { count: number; items: Value[] } | null => {
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
    const items: Value[] = [];
    const size = element.size;
    for (let i = 0; i < buckets && items.length < limit; i++) {
      if ((bytes[i]! & 0x80) === 0 && count > 0n) items.push(values.at(element, at - (i + 1) * size));
    }
    return { count: Number(count), items };
  };
  const halves = (pair: Value, values: Values): [Value | null, Value | null] => [
    values.member(pair, '__0'),
    values.member(pair, '__1'),
  ];
  return {
    text(v, values, depth) {
      const found = entries(v, values, TEXT_ENTRIES);
      if (found === null) return null;
      const parts = found.items.map(item => {
        const [key, value] = halves(item, values);
        if (key === null) return values.text(item, depth + 1);
        const text = values.text(key, depth + 1);
        return isMap && value !== null ? `${text}: ${values.text(value, depth + 1)}` : text;
      });
      if (found.count > parts.length) parts.push('…');
      return `${sized(found.count)}{${parts.join(', ')}}`;
    },
    children(v, values) {
      const found = entries(v, values, MAX_ENTRIES);
      if (found === null) return null;
      const named = found.items.map((item, i): Entry => {
        const [key, value] = halves(item, values);
        if (key === null || value === null) return { name: `[${i}]`, value: item, path: '' };
        return isMap
          ? { name: `[${values.text(key, 2)}]`, value, path: '' }
          : { name: `[${i}]`, value: key, path: '' };
      });
      return { named, indexed: 0, item: i => named[i]! };
    },
  };
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
