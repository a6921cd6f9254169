/** Values of Rust's standard library, by the names of its members since about version 1.50. */
import type { Printer } from './printers.ts';
import { countedPrinter, transparent } from './printers.ts';
import {
  asNumber,
  dequePrinter,
  firstPointer,
  tablePrinter,
  treePrinter,
} from './printers-rust-collections.ts';
import type { Type } from './types.ts';
import { type Entry, quoted, type Value, type Values, WRAPPER_DEPTH } from './values.ts';

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
    case 'alloc::ffi::c_str::CString':
      return cString();
    case 'alloc::collections::vec_deque::VecDeque':
      return dequePrinter(type);
    case 'alloc::collections::binary_heap::BinaryHeap':
      return member('data');
    case 'std::collections::hash::map::HashMap':
      return tablePrinter(true);
    case 'std::collections::hash::set::HashSet':
      return tablePrinter(false);
    case 'alloc::collections::btree::map::BTreeMap':
      return treePrinter(type, true);
    case 'alloc::collections::btree::set::BTreeSet':
      return treePrinter(type, false);
    case 'alloc::rc::Rc':
    case 'alloc::sync::Arc':
      return countedPointer(false);
    case 'alloc::rc::Weak':
    case 'alloc::sync::Weak':
      return countedPointer(true);
    case 'core::cell::Cell':
    case 'core::cell::UnsafeCell':
    case 'core::cell::RefCell':
    case 'core::mem::manually_drop::ManuallyDrop':
      return member('value');
    case 'core::cell::Ref':
    case 'core::cell::RefMut':
      return transparent((v, values) => pointee(values.member(v, 'value'), values));
    case 'core::num::wrapping::Wrapping':
    case 'core::num::nonzero::NonZero':
      return member('__0');
    case 'core::pin::Pin':
      return transparent((v, values) => values.member(v, 'pointer') ?? values.member(v, '__pointer'));
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
      if (/^core::num::(?:nonzero::NonZero|niche_types::)/.test(name)) return member('__0');
      if (/^core::sync::atomic::Atomic/.test(name)) return member('v');
      if (/^std::sync::(?:\w+::)?(?:mutex::Mutex|rwlock::RwLock)$/.test(name)) return member('data');
      if (/^std::sync::(?:\w+::)?mutex::MutexGuard$/.test(name))
        return transparent((v, values) => {
          const mutex = pointee(values.member(v, 'lock'), values);
          return mutex === null ? null : values.member(mutex, 'data');
        });
      return null;
  }
}

/** Shown as one of its members. */
function member(name: string): Printer {
  return transparent((v, values) => values.member(v, name));
}

function pointee(v: Value | null, values: Values): Value | null {
  const pointer = v === null ? null : firstPointer(v, values);
  return pointer === null ? null : values.deref(pointer);
}

/** Types of the standard library that are texts of a length known only while the program runs. */
const UNSIZED_TEXTS = /^(?:str|std::path::Path|std::ffi::os_str::OsStr|core::ffi::c_str::CStr)$/;

/**
 * What a pointer's or a smart pointer's type names behind it: `str` of `&mut str` and of
 * `alloc::boxed::Box<str, alloc::alloc::Global>`.
 */
function pointedName(name: string): string {
  return name.replace(/^(?:&(?:mut )?|\*(?:const|mut) )|^[\w:]+</, '').replace(/(?:, [\w:]+)?>$/, '');
}

/** &str, &[T], Box<str>, Box<[T]>: data_ptr and length. */
function fatPointer(type: Type): Printer | null {
  const pointer = type.members.find(m => m.name === 'data_ptr');
  const length = type.members.find(m => m.name === 'length');
  if (pointer === undefined || length === undefined) return null;
  const pointed = pointedName(type.name);
  const isText = UNSIZED_TEXTS.test(pointed);
  // The length of a CStr counts its zero.
  const behind = pointed.endsWith('CStr') ? 1n : 0n;
  return countedPrinter(
    (v, values) => values.pointer(values.part(v, pointer)),
    (v, values) => {
      const n = values.integer(values.part(v, length));
      return n === null ? null : n - behind;
    },
    isText ? innermost(pointer.type.plain.target) : pointer.type.plain.target,
    isText,
  );
}

/** The byte that wrappers of texts are of. */
function innermost(type: Type, depth = 0): Type {
  const [first] = type.plain.members;
  return first === undefined || depth > 8 ? type : innermost(first.type, depth + 1);
}

/** A boxed slice with its zero. */
function cString(): Printer {
  const parts = (v: Value, values: Values): { at: number; length: number; element: Type } | null => {
    const slice = values.member(v, 'inner');
    const data = slice === null ? null : values.member(slice, 'data_ptr');
    const at = data === null ? null : values.pointer(data);
    const length = slice === null ? null : asNumber(values.member(slice, 'length'), values);
    return data === null || at === null || length === null || length < 1n
      ? null
      : { at, length: Number(length) - 1, element: data.type.plain.target };
  };
  return {
    text(v, values) {
      const p = parts(v, values);
      return p === null ? null : values.countedString(p.at, p.length);
    },
    children(v, values) {
      const p = parts(v, values);
      return p === null
        ? null
        : values.sequence(p.length, i => values.at(p.element, p.at + i * p.element.size));
    },
  };
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

/**
 * What a slice's iterator has yet to give, from its two ends. That of elements without a size counts otherwise, and is
 * shown as it is.
 */
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

/**
 * What an iterator over parts of a text has yet to give: SplitInternal's haystack, from `start` to `end`. @param path
 * of the SplitInternal
 */
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

/**
 * Counts, and what they are of, behind one pointer; `Weak` has the same, and a pointer to nowhere if it has never been
 * any other.
 */
function countedPointer(isWeak: boolean): Printer {
  const box = (v: Value, values: Values): Value | null => {
    const pointer = firstPointer(v, values);
    return pointer === null ? null : values.deref(pointer);
  };
  const isNowhere = (v: Value, values: Values): boolean => {
    const pointer = firstPointer(v, values);
    const at = pointer === null ? null : values.pointer(pointer);
    return at === 2 ** (8 * v.type.plain.pointerSize) - 1;
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
  return {
    text(v, values, depth) {
      if (isWeak && isNowhere(v, values)) return '(to nothing)';
      const b = box(v, values);
      if (b === null) return null;
      const strong = count(b, 'strong', values);
      if (isWeak && strong === 0n) return '(its value is gone)';
      const inner = sharedText(v, b, values, depth + WRAPPER_DEPTH);
      if (inner === null) return null;
      const owners = strong === null ? '' : `${strong} ${strong === 1n ? 'owner' : 'owners'}`;
      if (isWeak) return `${inner} (weak${owners === '' ? '' : `, ${owners}`})`;
      return owners === '' ? inner : `${inner} (${owners})`;
    },
    children(v, values) {
      if (isWeak && isNowhere(v, values)) return { named: [], indexed: 0, item: nothing };
      const b = box(v, values);
      if (b === null) return null;
      if (isWeak && count(b, 'strong', values) === 0n) return { named: [], indexed: 0, item: nothing };
      const slice = sharedSlice(v, b, values);
      if (slice !== null) return values.sequence(slice.count, slice.item);
      const inner = sharedObject(v, b, values) ?? content(b, values);
      if (inner === null) return null;
      const entry: Entry = { name: '*', value: inner, path: '*' };
      return { named: [entry], indexed: 0, item: () => entry };
    },
  };
}

const nothing = (): never => {
  throw new RangeError('no such child');
};

const content = (b: Value, values: Values): Value | null =>
  values.member(b, 'value') ?? values.member(b, 'data');

/** Within a counted pointer, the pointer with a length or a vtable that it is made of; null: it has neither. */
function fatPart(v: Value, values: Values, depth = 0): Value | null {
  const { plain } = v.type;
  if (plain.kind !== 'struct' || depth > 8) return null;
  if (plain.members.some(m => m.name === 'length' || m.name === 'vtable')) return v;
  for (const m of plain.members) {
    const found = fatPart(values.part(v, m), values, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

interface SharedSlice {
  readonly at: number;
  readonly count: number;
  readonly isText: boolean;
  readonly item: (i: number) => Value;
}

/** Rc<str>, Rc<[T]>: the length lies beside the pointer, the elements where the value would be. */
function sharedSlice(v: Value, box: Value, values: Values): SharedSlice | null {
  const fat = fatPart(v, values);
  const length = fat === null ? null : asNumber(values.member(fat, 'length'), values);
  const first = content(box, values);
  const at = first === null ? null : values.address(first);
  if (first === null || at === null || length === null || length > 2n ** 32n) return null;
  const pointed = pointedName(v.type.plain.name);
  const isText = UNSIZED_TEXTS.test(pointed);
  const element = isText ? innermost(first.type) : first.type;
  const count = Number(length) - (pointed.endsWith('CStr') ? 1 : 0);
  return { at, count, isText, item: i => values.at(element, at + i * element.size) };
}

/** Rc<dyn Trait>: the vtable tells what it is, and that where it begins. */
function sharedObject(v: Value, box: Value, values: Values): Value | null {
  const fat = fatPart(v, values);
  const vtable = fat === null ? null : values.member(fat, 'vtable');
  const table = vtable === null ? null : values.pointer(vtable);
  const implementor = table === null ? null : values.surroundings.implementor(table);
  const at = values.address(box);
  if (implementor === null || at === null) return null;
  const counts = 2 * v.type.plain.pointerSize;
  const { alignment } = implementor;
  return values.at(implementor, at + Math.ceil(counts / alignment) * alignment);
}

function sharedText(v: Value, box: Value, values: Values, depth: number): string | null {
  const slice = sharedSlice(v, box, values);
  if (slice !== null)
    return slice.isText
      ? values.countedString(slice.at, slice.count)
      : values.list(slice.count, slice.item, depth);
  const object = sharedObject(v, box, values);
  if (object !== null) return `${object.type.name} ${values.text(object, depth)}`;
  const inner = content(box, values);
  return inner === null ? null : values.text(inner, depth);
}
