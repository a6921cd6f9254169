/**
 * Classes of AssemblyScript's programs, as far as their code tells. The compiler writes no types, but what it makes
 * unoptimised (`asc --debug`) sets each field by a function of its own, `module/Class#set:field`, which stores at the
 * field's offset and does nothing else but tell the collector; reads it by `…#get:field`; and its constructor allocates
 * an object with a size and the number of its class, unless it is given one by that of a derived class, which takes
 * what it returns for its own `this`. What does not look exactly like that is not believed.
 */
import type { ModuleSymbols } from '../runtime/index.ts';

export interface Field {
  readonly name: string;
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  readonly kind: 'signed' | 'unsigned' | 'float' | 'reference';
}

export interface ClassLayout {
  readonly name: string;
  /** Bytes of an object, without its header. */
  readonly size: number;
  /** By offset, those of its base classes included, as far as these are known. */
  readonly fields: readonly Field[];
}

type Access = Pick<Field, 'size' | 'kind'>;

const signed = (size: number): Access => ({ size, kind: 'signed' });
const unsigned = (size: number): Access => ({ size, kind: 'unsigned' });
const float = (size: number): Access => ({ size, kind: 'float' });

/** By opcode. */
const STORES: Readonly<Record<number, Access>> = {
  54: signed(4),
  55: signed(8),
  56: float(4),
  57: float(8),
  58: unsigned(1),
  59: unsigned(2),
};
/** A getter knows the sign, too. */
const LOADS: Readonly<Record<number, Access>> = {
  44: signed(1),
  45: unsigned(1),
  46: signed(2),
  47: unsigned(2),
};

const OPERATOR = {
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  call: 0x10,
  i32Const: 0x41,
  end: 0x0b,
} as const;

/** Classes that a class derives from, one from the other. */
const MAX_BASES = 32;

class Bytes {
  constructor(
    private readonly bytes: Uint8Array,
    public at: number,
    private readonly end: number,
  ) {}

  get next(): number {
    return this.at < this.end ? this.bytes[this.at++]! : -1;
  }

  /** Whether exactly these come next. */
  are(...expected: readonly number[]): boolean {
    return expected.every(b => this.next === b);
  }

  /** Unsigned, of 32 bits; -1: there is none. */
  get leb(): number {
    let value = 0;
    for (let scale = 1, n = 0; n < 5; n++, scale *= 128) {
      const b = this.next;
      if (b < 0) return -1;
      value += (b & 127) * scale;
      if (b < 128) return value;
    }
    return -1;
  }
}

const known = new WeakMap<ModuleSymbols, ReadonlyMap<number, ClassLayout>>();

/** By the number of the class. */
export function classesOf(symbols: ModuleSymbols): ReadonlyMap<number, ClassLayout> {
  let classes = known.get(symbols);
  if (classes === undefined) known.set(symbols, (classes = findClasses(symbols)));
  return classes;
}

type Layout = ClassLayout & { readonly id: number };

function findClasses(symbols: ModuleSymbols): Map<number, ClassLayout> {
  const fields = new Map<string, Map<string, Field>>();
  const getters = new Map<string, Access>();
  const constructors = new Map<string, number>();
  const { artifact } = symbols;
  for (let f = artifact.importedFunctions; f < artifact.functionCount; f++) {
    const [, owner, what, field] =
      /^([^#]+)#(constructor|set:(.+)|get:.+)$/.exec(artifact.func(f).name) ?? [];
    if (owner === undefined) continue;
    if (what === 'constructor') constructors.set(owner, f);
    else if (field !== undefined) {
      const set = setterOf(symbols, f, field);
      if (set === null) continue;
      const own = fields.get(owner) ?? new Map<string, Field>();
      fields.set(owner, own.set(field, set));
    } else {
      const get = getterOf(symbols, f);
      if (get !== null) getters.set(`${owner}#${what!.slice(4)}`, get);
    }
  }
  const ownFields = (name: string): Field[] =>
    [...(fields.get(name)?.values() ?? [])].map(f => {
      const get = getters.get(`${name}#${f.name}`);
      return get !== undefined && get.size === f.size ? { ...f, kind: get.kind } : f;
    });
  const layouts = new Map<string, Layout | null>();
  /** Null: not to be believed. Classes derive from others a bounded number of times, whatever the code says. */
  const layoutOf = (name: string, depth: number): Layout | null => {
    let layout = layouts.get(name);
    if (layout === undefined) layouts.set(name, (layout = makeLayout(name, depth)));
    return layout;
  };
  const makeLayout = (name: string, depth: number): Layout | null => {
    const maker = constructors.get(name);
    const made = maker === undefined ? null : allocationOf(symbols, maker);
    if (made === null) return null;
    const baseName = baseOf(symbols, maker!);
    const base = baseName === null || depth >= MAX_BASES ? null : layoutOf(baseName, depth + 1);
    const inherited = base === null || base.size > made.size ? [] : base.fields;
    // One that is declared again is the same.
    const own = ownFields(name).filter(f => !inherited.some(i => i.name === f.name && i.offset === f.offset));
    const first = inherited.length > 0 ? base!.size : 0;
    if (own.some(f => f.offset < first || f.offset + f.size > made.size)) return null;
    const all = [...inherited, ...own].sort((x, y) => x.offset - y.offset);
    return { ...made, name: name.replace(/^.*\//, ''), fields: all };
  };
  const classes = new Map<number, ClassLayout>();
  for (const name of constructors.keys()) {
    const layout = name.startsWith('~lib/') ? null : layoutOf(name, 0);
    if (layout !== null) classes.set(layout.id, layout);
  }
  return classes;
}

/** The class whose constructor one calls for its own object: what that returns is its `this`. */
function baseOf(symbols: ModuleSymbols, maker: number): string | null {
  const { artifact, wasm } = symbols;
  const body = symbols.body(maker);
  if (wasm === null || body === null) return null;
  for (const { at, functionIndex } of symbols.calls(maker)) {
    const name =
      functionIndex === null ? null : /^([^#]+)#constructor$/.exec(artifact.func(functionIndex).name);
    if (!name) continue;
    const r = new Bytes(wasm, at, body.end);
    if (!r.are(OPERATOR.call) || r.leb !== functionIndex) continue;
    const then = r.next;
    if ((then === OPERATOR.localSet || then === OPERATOR.localTee) && r.are(0)) return name[1]!;
  }
  return null;
}

function bodyOf(symbols: ModuleSymbols, f: number): Bytes | null {
  const body = symbols.body(f);
  return body === null || symbols.wasm === null ? null : new Bytes(symbols.wasm, body.start, body.end);
}

/** `local.get 0, local.get 1, store`; and, of a reference, a call that links it: then the end. */
function setterOf(symbols: ModuleSymbols, f: number, name: string): Field | null {
  const body = bodyOf(symbols, f);
  if (body === null || !body.are(0, OPERATOR.localGet, 0, OPERATOR.localGet, 1)) return null;
  const access = STORES[body.next];
  if (access === undefined || body.leb < 0) return null;
  const offset = body.leb;
  const more = body.next;
  if (offset < 0) return null;
  if (more === OPERATOR.end) return { name, offset, ...access };
  const isLinked =
    access.size === 4 &&
    more === OPERATOR.localGet &&
    body.are(0, OPERATOR.localGet, 1, OPERATOR.i32Const, 0, OPERATOR.call) &&
    symbols.artifact.describe(body.leb).endsWith('/__link') &&
    body.next === OPERATOR.end;
  return isLinked ? { name, offset, size: 4, kind: 'reference' } : null;
}

/** `local.get 0, load`, then the end; null: the store says as much. */
function getterOf(symbols: ModuleSymbols, f: number): Access | null {
  const body = bodyOf(symbols, f);
  return body?.are(0, OPERATOR.localGet, 0) === true ? (LOADS[body.next] ?? null) : null;
}

/** The first call of `__new` with constants for the size and the number of a class. */
function allocationOf(symbols: ModuleSymbols, f: number): { size: number; id: number } | null {
  const { wasm, artifact } = symbols;
  const body = symbols.body(f);
  if (wasm === null || body === null) return null;
  for (const { at, functionIndex } of symbols.calls(f)) {
    if (functionIndex === null || !/^~lib\/rt\/.*\/__new$/.test(artifact.func(functionIndex).name)) continue;
    // Backwards it can't be read: the two constants are what ends at the call. None is negative, so their encoding is
    // that of unsigned numbers.
    for (let from = Math.max(body.start, at - 12); from < at; from++) {
      const r = new Bytes(wasm, from, at);
      if (r.next !== OPERATOR.i32Const) continue;
      const size = r.leb;
      if (r.next !== OPERATOR.i32Const) continue;
      const id = r.leb;
      if (size >= 0 && id >= 0 && r.at === at) return { size, id };
    }
    return null;
  }
  return null;
}
