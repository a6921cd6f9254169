/**
 * Values of source-level types: read from a stopped frame, described in a line, and taken apart. Everything is bounded:
 * what is read, how deep, how often; a value that makes no sense is shown as it is, never an exception.
 */
import { Encoding, Language } from './constants.ts';
import type { Die } from './dies.ts';
import { type FrameReader, littleEndian, type Place, whyNoRegister } from './expressions.ts';
import { printerFor } from './printers.ts';
import type { Member, Type } from './types.ts';

/** Something that has a type and is somewhere. */
export interface Value {
  readonly type: Type;
  readonly place: Place;
  readonly bits: Member['bits'];
}

export { littleEndian } from './expressions.ts';

export interface Entry {
  readonly name: string;
  readonly value: Value;
  /**
   * It can be reached from its owner by this: `.x`, `[3]`, `->x`, `*`, `*[3]` (which is `(*owner)[3]`); '' where no
   * expression names it.
   */
  readonly path: string;
}

/** What a value is taken apart into. */
export interface Children {
  readonly named: readonly Entry[];
  /** Number of numbered ones, which come behind the named ones. */
  readonly indexed: number;
  item(i: number): Entry;
}

const NO_CHILDREN: Children = {
  named: [],
  indexed: 0,
  item: () => {
    throw new RangeError('no such child');
  },
};

/** Largest value that is read whole. */
const MAX_VALUE_BYTES = 1 << 16;
/** Bytes of a string that are shown. */
export const MAX_STRING = 200;
/** Parts of an aggregate that a line shows. */
const MAX_PARTS = 8;
const MAX_DEPTH = 4;
/** Levels that a wrapper counts for, which shows nothing of itself: those of a type that contains itself end, too. */
export const WRAPPER_DEPTH = 1 / 4;
/** Reads of memory that one description may cost. */
const MAX_READS = 400;
/** … and taking a value apart: a tree or list of thousands of nodes is read node by node. */
const MAX_READS_OF_PARTS = 20_000;
/**
 * Members that are looked at to find one, or to list all: anonymous structures and bases count as their owner's, and
 * may be made of themselves.
 */
const MAX_LOOKED_AT = 20_000;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Characters in quotes, escaped as C, Rust and JavaScript do. */
export function quoted(text: string, mark = '"'): string {
  const escaped = text.replace(/[\\"'\p{Cc}\p{Cf}\u2028\u2029]/gu, c => {
    if (c === '\\' || c === mark) return `\\${c}`;
    if (c === '"' || c === "'") return c;
    const short = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\0': '\\0' }[c];
    return short ?? `\\u{${c.codePointAt(0)!.toString(16)}}`;
  });
  return mark + escaped + mark;
}

/** What the module around a frame tells of values in it. */
export interface Surroundings {
  /** Name of the function at an index of the function table: what a function pointer of C is; null: none. */
  functionAt(tableIndex: number): string | null;
  /** A variable that a type refers to, as an array to its length; null: not known. */
  referred(die: Die): { readonly type: Type; readonly place: Place } | null;
  /** What a table of functions of a Rust trait is for, by its address; null: not known. */
  implementor(vtable: number): Type | null;
}

const NOWHERE: Surroundings = { functionAt: () => null, referred: () => null, implementor: () => null };

/** Elements that an array of variable length is believed to have at most. */
const MAX_LENGTH = 2n ** 32n;

export class Values {
  private reads = 0;

  constructor(
    readonly frame: FrameReader,
    readonly surroundings: Surroundings = NOWHERE,
  ) {}

  /** An array's dimensions, outermost first; -1: not known. */
  counts(array: Type): number[] {
    return array.plain.dimensions.map(({ count, variable }) => {
      const found = variable === null ? null : this.surroundings.referred(variable);
      const n = found === null ? null : this.integer(this.value(found.type, found.place));
      return n === null || n < 0n || n > MAX_LENGTH ? count : Number(n);
    });
  }

  /** Bytes; 0: none, or not known. Arrays of variable length have a size, too. */
  size(type: Type, depth = 0): number {
    const { plain } = type;
    if (plain.kind !== 'array' || plain.size > 0 || depth > MAX_DEPTH) return plain.size;
    return this.counts(plain).reduce((a, b) => a * Math.max(b, 0), this.size(plain.target, depth + 1));
  }

  value(type: Type, place: Place): Value {
    return { type, place, bits: null };
  }

  at(type: Type, address: number): Value {
    return { type, place: { kind: 'memory', address }, bits: null };
  }

  /** Memory, as far as the cost of the description allows. */
  read(address: number, length: number): Uint8Array | null {
    if (length === 0) return new Uint8Array(0);
    if (length > MAX_VALUE_BYTES || this.reads > MAX_READS) return null;
    this.reads++;
    return this.frame.memory(address, length);
  }

  /** A new description begins. */
  private begin(): void {
    this.reads = 0;
  }

  /** A value's bytes, or why there are none. */
  bytes(v: Value): Uint8Array | string {
    const size = v.type.plain.size || (v.bits === null ? 0 : Math.ceil((v.bits.first + v.bits.size) / 8));
    if (size > MAX_VALUE_BYTES) return 'too large';
    if (v.bits !== null && v.place.kind === 'memory') {
      const length = Math.ceil((v.bits.first + v.bits.size) / 8);
      return this.read(v.place.address, length) ?? unreadable(v.place.address);
    }
    return this.bytesAt(v.place, size, 0);
  }

  private bytesAt(place: Place, size: number, depth: number): Uint8Array | string {
    switch (place.kind) {
      case 'memory':
        return this.read(place.address, size) ?? unreadable(place.address);
      case 'value':
        return wordBytes(place.value, size);
      case 'bytes':
        return place.bytes.length >= size ? place.bytes.subarray(0, size) : padded(place.bytes, size);
      case 'missing':
        return place.why;
      case 'pieces': {
        if (depth > 2) return 'pieces of pieces';
        const out = new Uint8Array(size);
        let at = 0;
        for (const piece of place.pieces) {
          const part = this.bytesAt(piece.place, Math.min(piece.size, size - at), depth + 1);
          if (typeof part === 'string') return part;
          out.set(part, at);
          at += part.length;
          if (at >= size) break;
        }
        return out;
      }
      default: {
        const v =
          place.kind === 'local'
            ? this.frame.local(place.index)
            : place.kind === 'global'
              ? this.frame.global(place.index)
              : this.frame.operand(place.index);
        return v === null ? whyNoRegister(place.kind) : wordBytes(v, size);
      }
    }
  }

  /** An integer, an address, an enum's or a boolean's number, signed as its type is; null: it has none. */
  integer(v: Value): bigint | null {
    const bytes = this.bytes(v);
    if (typeof bytes === 'string' || bytes.length === 0 || bytes.length > 16) return null;
    let n = littleEndian(bytes);
    let width = 8 * bytes.length;
    if (v.bits !== null) {
      n = (n >> BigInt(v.bits.first)) & ((1n << BigInt(v.bits.size)) - 1n);
      width = v.bits.size;
    }
    return v.type.isSigned ? BigInt.asIntN(width, n) : n;
  }

  /** Where a pointer points to; null: not known. */
  pointer(v: Value): number | null {
    const n = this.integer(v);
    return n === null || n < 0n || n >= 1n << 53n ? null : Number(n);
  }

  /** Address of the value itself; null: it is in no memory. */
  address(v: Value): number | null {
    return v.place.kind === 'memory' ? v.place.address : null;
  }

  /** What a pointer or reference points to; null: nothing that could be read. */
  deref(v: Value): Value | null {
    const { plain } = v.type;
    if (plain.kind !== 'pointer' && plain.kind !== 'reference') return null;
    const { target } = plain;
    const address = this.pointer(v);
    if (address === null || address === 0 || target.plain.kind === 'void' || target.plain.kind === 'function')
      return null;
    return this.at(target, address);
  }

  part(v: Value, m: Member): Value {
    const size = m.type.plain.size;
    return { type: m.type, place: offsetPlace(v.place, m.offset, size), bits: m.bits };
  }

  /** A member by name, also of base classes and of anonymous members. */
  member(v: Value, name: string, depth = 0, budget = { members: MAX_LOOKED_AT }): Value | null {
    const { plain } = v.type;
    if (plain.kind !== 'struct' && plain.kind !== 'union') return null;
    const own = plain.members.find(m => m.name === name && !m.isBase);
    if (own !== undefined) return this.part(v, own);
    if (depth > 8) return null;
    budget.members -= plain.members.length;
    for (const m of plain.members) {
      if (!m.isBase && m.name !== '') continue;
      if (budget.members <= 0) return null;
      const found = this.member(this.part(v, m), name, depth + 1, budget);
      if (found !== null) return found;
    }
    return null;
  }

  /** A member of a member … by names; null: one of them is missing. */
  dig(v: Value, ...names: readonly string[]): Value | null {
    let at: Value | null = v;
    for (const name of names) at = at === null ? null : this.member(at, name);
    return at;
  }

  /** The alternative that a Rust enum holds. */
  activeVariant(v: Value): Entry | null {
    const part = v.type.plain.variantPart;
    if (part === null) return null;
    let chosen = part.variants.find(x => x.discriminant === null);
    if (part.discriminant !== null) {
      const n = this.integer(this.part(v, part.discriminant));
      if (n === null) return null;
      const width = 8 * (part.discriminant.type.plain.size || 8);
      const same = (d: bigint): boolean => BigInt.asUintN(width, d) === BigInt.asUintN(width, n);
      chosen = part.variants.find(x => x.discriminant !== null && same(x.discriminant)) ?? chosen;
    } else chosen = part.variants[0];
    if (chosen === undefined) return null;
    const { member } = chosen;
    // A coroutine's (what an async function makes) are numbered; their types have the names: Unresumed, Suspend0, …
    const name = /^\d+$/.test(member.name) ? member.type.name.replace(/^.*::/s, '') : member.name;
    return { name, value: this.part(v, member), path: `.${member.name}` };
  }

  element(v: Value, i: number): Value {
    const { plain } = v.type;
    // Of several dimensions, the first one is taken off.
    const type = plain.dimensions.length > 1 ? plain.row() : plain.target;
    const size = this.size(type);
    return { type, place: offsetPlace(v.place, i * size, size), bits: null };
  }

  // -------------------------------------------------------------------------------------------------------------- Children

  children(v: Value): Children {
    this.reads = MAX_READS - MAX_READS_OF_PARTS;
    const { plain } = v.type;
    const pretty = printerFor(plain)?.children?.(v, this);
    if (pretty) return pretty;
    switch (plain.kind) {
      case 'struct':
      case 'union': {
        const active = this.activeVariant(v);
        if (active !== null) return this.variantChildren(active);
        if (this.nesting === 0) this.listed = 0;
        const named = plain.members.flatMap((m): Entry[] => {
          if (this.listed++ > MAX_LOOKED_AT) return [];
          const value = this.part(v, m);
          if (m.name !== '' && !m.isBase) {
            // A tuple's members are numbers.
            const name = m.name.replace(/^__(?=\d+$)/, '');
            return [{ name, value, path: `.${name}` }];
          }
          // Members of an anonymous one are its owner's; a base class is shown as one.
          if (m.isBase)
            return m.type.plain.members.length === 0 ? [] : [{ name: m.type.name, value, path: '' }];
          return [...this.childrenOf(value).named];
        });
        return { ...NO_CHILDREN, named };
      }
      case 'array': {
        const [count = -1] = this.counts(plain);
        return this.sequence(Math.max(count, 0), i => this.element(v, i));
      }
      case 'pointer':
      case 'reference': {
        const to = this.deref(v);
        if (to === null) return NO_CHILDREN;
        const inner = to.type.plain;
        if (inner.kind === 'struct' || inner.kind === 'union' || inner.kind === 'array') {
          const all = this.childrenOf(to);
          return all.named.length === 0 && all.indexed === 0 ? NO_CHILDREN : arrows(all);
        }
        if (isCharacter(inner)) return NO_CHILDREN;
        return { ...NO_CHILDREN, named: [{ name: '*', value: to, path: '*' }] };
      }
      default:
        return NO_CHILDREN;
    }
  }

  private nesting = 0;
  /** Members, by the outermost call of children. */
  private listed = 0;

  /** Of a part: types that contain themselves end. */
  private childrenOf(v: Value): Children {
    if (this.nesting > 8) return NO_CHILDREN;
    this.nesting++;
    try {
      const { reads } = this;
      const children = this.children(v);
      this.reads = Math.max(reads, this.reads);
      return children;
    } finally {
      this.nesting--;
    }
  }

  private variantChildren(active: Entry): Children {
    const inner = active.value.type.plain.members;
    if (inner.length === 0) return NO_CHILDREN;
    return {
      ...NO_CHILDREN,
      named: inner.map(m => ({
        name: m.name.replace(/^__/, ''),
        value: this.part(active.value, m),
        path: `.${m.name.replace(/^__/, '')}`,
      })),
    };
  }

  sequence(count: number, item: (i: number) => Value): Children {
    return {
      named: [],
      indexed: count,
      item: i => ({ name: `[${i}]`, value: item(i), path: `[${i}]` }),
    };
  }

  // ----------------------------------------------------------------------------------------------------------- Descriptions

  /** One line. Where there is no value, why, in angle brackets. */
  describe(v: Value): string {
    this.begin();
    return this.text(v, 0);
  }

  /** Part of a line. */
  text(v: Value, depth: number): string {
    if (v.place.kind === 'missing') return `<${v.place.why}>`;
    if (Math.floor(depth) > MAX_DEPTH || this.reads > MAX_READS) return '…';
    const { plain } = v.type;
    const pretty = printerFor(plain)?.text(v, this, depth) ?? null;
    if (pretty !== null) return pretty;
    switch (plain.kind) {
      case 'base':
        return this.scalar(v, plain);
      case 'enum':
        return this.enumText(v, plain);
      case 'pointer':
        return this.pointerText(v, plain, depth);
      case 'reference': {
        const to = this.deref(v);
        return to === null ? this.rawPointer(v) : this.text(to, depth);
      }
      case 'array':
        return this.arrayText(v, plain, depth);
      case 'struct':
      case 'union':
        return this.structText(v, plain, depth);
      case 'function':
        return '{function}';
      case 'void':
        return '()';
      default: {
        const bytes = this.bytes(v);
        return typeof bytes === 'string' ? `<${bytes}>` : '<of an unknown type>';
      }
    }
  }

  private scalar(v: Value, plain: Type): string {
    const bytes = this.bytes(v);
    if (typeof bytes === 'string') return `<${bytes}>`;
    const { encoding } = plain;
    if (encoding === Encoding.Float) return floatText(bytes);
    if (encoding === Encoding.ComplexFloat) {
      const half = bytes.length / 2;
      return `${floatText(bytes.subarray(0, half))} + ${floatText(bytes.subarray(half))}i`;
    }
    if (bytes.length === 0) return '()';
    const n = this.integer(v) ?? littleEndian(bytes);
    switch (encoding) {
      case Encoding.Boolean:
        return n === 0n ? 'false' : n === 1n ? 'true' : `true (${n})`;
      case Encoding.Utf:
        return characterText(n);
      case Encoding.SignedChar:
      case Encoding.UnsignedChar: {
        const code = BigInt.asUintN(8, n);
        return bytes.length === 1 && v.bits === null && code >= 32n && code < 127n
          ? `${n} ${quoted(String.fromCharCode(Number(code)), "'")}`
          : `${n}`;
      }
      default:
        return `${n}`;
    }
  }

  private enumText(v: Value, plain: Type): string {
    const n = this.integer(v);
    if (n === null) {
      const bytes = this.bytes(v);
      return `<${typeof bytes === 'string' ? bytes : 'not readable'}>`;
    }
    const width = 8 * (plain.size || 4);
    const bits = BigInt.asUintN(width, n);
    const all = plain.enumerators;
    const found = all.find(e => BigInt.asUintN(width, e.value) === bits);
    if (found !== undefined) return found.name;
    // Flags.
    const set: string[] = [];
    let rest = bits;
    for (const e of all) {
      const mask = BigInt.asUintN(width, e.value);
      if (mask !== 0n && (mask & (mask - 1n)) === 0n && (rest & mask) !== 0n) {
        set.push(e.name);
        rest &= ~mask;
      }
    }
    return rest === 0n && set.length > 0 ? set.join(' | ') : `${n}`;
  }

  private rawPointer(v: Value): string {
    const bytes = this.bytes(v);
    if (typeof bytes === 'string') return `<${bytes}>`;
    return `0x${littleEndian(bytes).toString(16)}`;
  }

  private pointerText(v: Value, plain: Type, depth: number): string {
    const raw = this.rawPointer(v);
    const address = this.pointer(v);
    if (address === null) return raw;
    const target = plain.target.plain;
    if (target.kind === 'function') {
      const name = this.surroundings.functionAt(address);
      return address === 0 ? 'null' : name === null ? `function ${address}` : `function ${address} <${name}>`;
    }
    if (address === 0) return 'null';
    if (isCharacter(target)) {
      const text = this.terminatedString(address, target.size);
      return text === null ? raw : `${raw} ${text}`;
    }
    if (plain.language === Language.Rust && depth < MAX_DEPTH && target.kind !== 'void') {
      const to = this.deref(v);
      // A raw pointer may be one to anything.
      if (to !== null)
        return plain.name.startsWith('*') ? `${raw} → ${this.text(to, depth)}` : this.text(to, depth);
    }
    return raw;
  }

  private arrayText(v: Value, plain: Type, depth: number): string {
    const [count = -1] = this.counts(plain);
    if (count < 0) return '[…]';
    const element = plain.target.plain;
    if (plain.dimensions.length === 1 && isCharacter(element) && element.size === 1) {
      const bytes = this.bytesAt(v.place, Math.min(count, MAX_STRING + 1), 0);
      if (typeof bytes === 'string') return `<${bytes}>`;
      const zero = bytes.indexOf(0);
      // No C string if something follows the zero, and it is no text; then it is an array of numbers. Of bytes that is
      // likelier.
      const text = zero < 0 ? bytes : bytes.subarray(0, zero);
      const followed = zero >= 0 && bytes.subarray(zero).some(b => b !== 0);
      const isString =
        element.encoding === Encoding.UnsignedChar
          ? !followed && text.length > 0 && isText(text)
          : !followed || isText(text);
      if (isString) return this.stringText(text, zero < 0 && count > MAX_STRING);
    }
    return this.list(count, i => this.element(v, i), depth);
  }

  /** `[a, b, …]` */
  list(count: number, item: (i: number) => Value, depth: number): string {
    const parts: string[] = [];
    for (let i = 0; i < count && i < MAX_PARTS; i++) parts.push(this.text(item(i), depth + 1));
    if (count > parts.length) parts.push('…');
    return `[${parts.join(', ')}]`;
  }

  private structText(v: Value, plain: Type, depth: number): string {
    const active = this.activeVariant(v);
    if (active !== null) return this.variantText(active, depth);
    if (plain.die === null) return '{}';
    const fields = this.fields(v, plain, depth).join(', ');
    const isTuple = plain.members.length > 0 && plain.members.every(m => /^__\d+$/.test(m.name));
    return isTuple ? `(${fields})` : `{${fields}}`;
  }

  fields(v: Value, plain: Type, depth: number): string[] {
    const parts: string[] = [];
    for (const m of plain.members) {
      if (parts.length >= MAX_PARTS) {
        parts.push('…');
        break;
      }
      if (m.isArtificial && !m.name.startsWith('_vptr')) continue;
      const value = this.part(v, m);
      if (m.isBase && m.type.plain.members.length === 0) continue;
      if (m.name.startsWith('_vptr')) continue;
      const text = this.text(value, depth + 1);
      parts.push(m.isBase || m.name === '' || /^__\d+$/.test(m.name) ? text : `${m.name}: ${text}`);
    }
    return parts;
  }

  private variantText(active: Entry, depth: number): string {
    const inner = active.value.type.plain;
    if (inner.members.length === 0) return active.name;
    const parts = this.fields(active.value, inner, depth);
    return inner.members.every(m => /^__\d+$/.test(m.name))
      ? `${active.name}(${parts.join(', ')})`
      : `${active.name} {${parts.join(', ')}}`;
  }

  /** A C string at an address, in quotes; null: it can't be read, or is no text. */
  terminatedString(address: number, unit = 1): string | null {
    const bytes: number[] = [];
    for (let at = address; bytes.length <= MAX_STRING; ) {
      // Not beyond the memory's end: small steps.
      const chunk = this.read(at, 32) ?? this.read(at, unit);
      if (chunk === null) return null;
      for (let i = 0; i + unit <= chunk.length; i += unit) {
        const code = Number(littleEndian(chunk.subarray(i, i + unit)));
        if (code === 0) return this.terminated(bytes, unit, false);
        bytes.push(code);
        if (bytes.length > MAX_STRING) return this.terminated(bytes, unit, true);
      }
      at += chunk.length;
    }
    return null;
  }

  private terminated(codes: readonly number[], unit: number, cut: boolean): string | null {
    if (unit === 1) {
      const bytes = Uint8Array.from(codes);
      return isText(bytes) ? this.stringText(bytes, cut) : null;
    }
    if (codes.some(c => c > 0x10ffff)) return null;
    const text = unit === 2 ? String.fromCharCode(...codes) : String.fromCodePoint(...codes);
    return quoted(text) + (cut ? '…' : '');
  }

  stringText(bytes: Uint8Array, cut: boolean): string {
    return quoted(utf8.decode(bytes.subarray(0, MAX_STRING))) + (cut || bytes.length > MAX_STRING ? '…' : '');
  }

  /** A string of known length, in quotes. */
  countedString(address: number, length: number): string | null {
    const bytes = this.read(address, Math.min(length, MAX_STRING));
    return bytes === null ? null : this.stringText(bytes, length > MAX_STRING);
  }
}

function unreadable(address: number): string {
  return `no memory at 0x${address.toString(16)}`;
}

/** A number's low bytes. */
export function wordBytes(value: bigint, size: number): Uint8Array {
  const out = new Uint8Array(size);
  let rest = value;
  for (let i = 0; i < size && rest !== 0n; i++) {
    out[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}

function padded(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  out.set(bytes);
  return out;
}

/** Where a part of something is. */
function offsetPlace(place: Place, offset: number, size: number): Place {
  if (offset === 0 && place.kind !== 'pieces' && place.kind !== 'bytes') return place;
  switch (place.kind) {
    case 'memory':
      return { kind: 'memory', address: place.address + offset };
    case 'value':
      return { kind: 'value', value: place.value >> BigInt(8 * Math.min(offset, 64)) };
    case 'bytes':
      return { kind: 'bytes', bytes: place.bytes.subarray(offset, offset + size) };
    case 'pieces': {
      let at = 0;
      for (const piece of place.pieces) {
        if (offset >= at && offset + size <= at + piece.size)
          return offset === at ? piece.place : offsetPlace(piece.place, offset - at, size);
        at += piece.size;
      }
      return { kind: 'missing', why: 'in several pieces' };
    }
    case 'missing':
      return place;
    default:
      return { kind: 'missing', why: `a part of a ${place.kind}` };
  }
}

/** Children of what a pointer points to, reached through it. */
function arrows(children: Children): Children {
  return {
    named: children.named.map(e => ({ ...e, path: arrow(e.path) })),
    indexed: children.indexed,
    item: i => {
      const e = children.item(i);
      return { ...e, path: arrow(e.path) };
    },
  };
}

function arrow(path: string): string {
  if (path === '') return '';
  return path.startsWith('.') ? `->${path.slice(1)}` : `*${path}`;
}

function isCharacter(type: Type): boolean {
  const { encoding, name } = type;
  if (type.kind !== 'base') return false;
  if (encoding === Encoding.Utf) return type.language !== Language.Rust;
  return (encoding === Encoding.SignedChar || encoding === Encoding.UnsignedChar) && /char$/.test(name);
}

/** UTF-8 without control characters but those of plain text. */
function isText(bytes: Uint8Array): boolean {
  return (
    bytes.every(b => (b >= 32 ? b !== 127 : TEXT_CONTROLS.has(b))) && !utf8.decode(bytes).includes('\ufffd')
  );
}

/** Bell, tab, line feed, carriage return, escape. */
const TEXT_CONTROLS: ReadonlySet<number> = new Set([7, 9, 10, 13, 27]);

function characterText(n: bigint): string {
  return n <= 0x10ffffn && !(n >= 0xd800n && n < 0xe000n)
    ? quoted(String.fromCodePoint(Number(n)), "'")
    : `${n}`;
}

/** The shortest decimal that is this number in its own precision. */
function floatText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length === 8) return numberText(view.getFloat64(0, true));
  if (bytes.length === 4) {
    const f = view.getFloat32(0, true);
    for (let digits = 1; digits < 10 && Number.isFinite(f); digits++) {
      const text = Number(f.toPrecision(digits));
      if (Math.fround(text) === f) return numberText(text);
    }
    return numberText(f);
  }
  if (bytes.length === 16) {
    // binary128: rounded to a double.
    const high = view.getBigUint64(8, true);
    const exponent = Number((high >> 48n) & 0x7fffn);
    const sign = high >> 63n === 0n ? 1 : -1;
    const fraction =
      Number(high & 0xffff_ffff_ffffn) / 2 ** 48 + Number(view.getBigUint64(0, true)) / 2 ** 112;
    if (exponent === 0x7fff) return numberText(fraction === 0 ? sign * Infinity : NaN);
    return exponent === 0
      ? numberText(sign * 0)
      : numberText(sign * (1 + fraction) * 2 ** (exponent - 16383));
  }
  return `0x${littleEndian(bytes).toString(16)}`;
}

function numberText(f: number): string {
  return Object.is(f, -0) ? '-0' : `${f}`;
}
