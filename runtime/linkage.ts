/** A module with what its imports are bound to: resolved once, good for any number of instances. */
import { LinkError } from './errors.ts';
import { Global, Memory, Table, Tag } from './externs.ts';
import { Block, ImportKind, STRUCTS } from './ffi.ts';
import { Func } from './func.ts';
import type { LinkedHome } from './group.ts';
import { type HostBinding, type HostCallback, HostFunction } from './hostcalls.ts';
import type { ImportInfo, Module } from './module.ts';
import { type ExternType, type FuncType, type ValueType, valueTypeCode } from './types.ts';
import { storeValue, type ValueHome } from './values.ts';

/** A function of native code: address of a lucet_host_function, and what it is handed. */
export interface NativeImport {
  readonly function: number | bigint;
  readonly data: number | bigint;
  /** As lucet_import.signature: checked when linking. Without it, the import's type is taken. */
  readonly signature?: string;
}

/**
 * A set of native host functions, such as WASI; some may be JavaScript's. It must outlive the instances that use it.
 */
export interface NativeImports {
  lookup(module: string, name: string): NativeImport | HostCallback | HostFunction | null;
}

/** What an import can be bound to. A bare value makes an immutable global. */
export type ImportValue =
  | HostCallback
  | HostFunction
  | Func
  | Memory
  | Table
  | Global
  | Tag
  | number
  | bigint
  | null
  | object;

/** Anything with `exports` may stand for a module: an Instance. */
interface Exporter {
  readonly exports: Readonly<Record<string, ImportValue>>;
}

/** By module name. Only own properties count. */
export type Imports = Readonly<
  Record<string, Readonly<Record<string, ImportValue>> | Exporter | NativeImports>
>;

/** Kinds of imports in words. */
const KIND_WORDS = {
  func: 'function',
  table: 'table',
  memory: 'memory',
  global: 'global',
  tag: 'tag',
} as const;

export type Flow = 'one-way' | 'both-ways';

const IMPORT = STRUCTS.lucet_import;

function isNativeImports(source: object): source is NativeImports {
  return typeof (source as Partial<NativeImports>).lookup === 'function';
}

function isExporter(source: object): source is Exporter {
  return !Object.hasOwn(source, 'exports') && 'exports' in source;
}

export class Linkage {
  readonly module: Module;
  /** lucet_import for each import, in order; null: there are none. */
  readonly #block: Block | null;
  /** By number among the imported functions; null: not a function of JavaScript's. */
  readonly hosts: readonly (HostBinding | null)[];
  /** Instances whose exports are linked, and which way function references may travel. */
  readonly homes: ReadonlyMap<LinkedHome, Flow>;
  /** Globals of bare values. Stored for each instance anew: a handle of a host reference need not stay what it is. */
  readonly #values: readonly {
    readonly at: number;
    readonly type: ValueType;
    readonly value: unknown;
    readonly label: string;
  }[];

  private constructor(module: Module, block: Block | null, builder: LinkageBuilder | null) {
    this.module = module;
    this.#block = block;
    this.hosts = builder?.hosts ?? [];
    this.homes = builder?.homes ?? new Map();
    this.#values = builder?.values ?? [];
  }

  /** @throws LinkError when an import is missing or of another kind; types are compared when an instance is made */
  static create(module: Module, imports: Imports = {}): Linkage {
    if (module.imports.length === 0) return new Linkage(module, null, null);
    const builder = new LinkageBuilder();
    module.imports.forEach((info, number) => {
      builder.bind(number, info, imports);
    });
    return new Linkage(module, builder.finish(), builder);
  }

  get count(): number {
    return this.module.imports.length;
  }

  /**
   * Whether one array of records serves all instances: it is the same for each, and refers to nothing that instances
   * keep alive.
   */
  get isConstant(): boolean {
    return this.homes.size === 0 && this.#values.length === 0;
  }

  /** Address of the lucet_import array; 0: there are none. */
  get address(): number {
    return this.#block?.address ?? 0;
  }

  /** Address of the lucet_import array for a new instance. `home` is asked to keep functions alive. */
  prepare(home: ValueHome): number {
    if (this.#block === null) return 0;
    for (const v of this.#values) {
      storeValue(this.#block, (v.at + IMPORT.value) >> 3, v.type, v.value, home, v.label);
    }
    return this.address;
  }
}

interface Record48 {
  readonly kind: ImportKind;
  readonly index: number;
  readonly word: number;
  readonly data: number;
  readonly signature: string | null;
}

class LinkageBuilder {
  readonly hosts: (HostBinding | null)[] = [];
  readonly homes = new Map<LinkedHome, Flow>();
  readonly values: { at: number; type: ValueType; value: unknown; label: string }[] = [];
  readonly #records: Record48[] = [];

  bind(number: number, info: ImportInfo, imports: Imports): void {
    const label = `${JSON.stringify(info.module)} ${JSON.stringify(info.name)}`;
    const fail = (problem: string): never => {
      throw new LinkError(problem, number);
    };
    const source: object | undefined = Object.hasOwn(imports, info.module) ? imports[info.module] : undefined;
    if (source === undefined || source === null)
      fail(
        `unknown import: ${label} (a ${KIND_WORDS[info.type.kind]}): nothing is given for ${JSON.stringify(info.module)}`,
      );
    if (isNativeImports(source!)) {
      const found = source.lookup(info.module, info.name);
      if (found === null) fail(`unknown import: ${label}`);
      if (info.type.kind !== 'func') throw fail(incompatible(label, info, 'a function'));
      if (typeof found === 'function' || found instanceof HostFunction) {
        this.#bindFunction(found, info.type, label);
        return;
      }
      this.hosts.push(null);
      this.#record(
        ImportKind.Native,
        0,
        Number(found!.function),
        Number(found!.data),
        found!.signature ?? null,
      );
      return;
    }
    const names = (isExporter(source!) ? source.exports : source) as Readonly<Record<string, ImportValue>>;
    if (!Object.hasOwn(names, info.name))
      fail(
        `unknown import: ${label} (a ${KIND_WORDS[info.type.kind]}): what is given for ${JSON.stringify(info.module)} has no ${JSON.stringify(info.name)}`,
      );
    const value = names[info.name];
    const kind = kindOf(value);
    if (kind !== info.type.kind && !(kind === 'value' && info.type.kind === 'global')) {
      const got = value === null ? 'null' : kind === 'value' ? `a ${typeof value}` : `a ${KIND_WORDS[kind]}`;
      fail(incompatible(label, info, got));
    }
    if (info.type.kind === 'func') {
      this.#bindFunction(value as HostCallback | HostFunction | Func, info.type, label);
      return;
    }
    if (kind === 'value') {
      if (info.type.kind !== 'global') return;
      const at = this.#records.length * IMPORT.size;
      this.values.push({ at, type: info.type.type, value, label });
      this.#record(ImportKind.Value, valueTypeCode(info.type.type), 0, 0, null);
      return;
    }
    const entity = value as Memory | Table | Global | Tag;
    if (entity.exportNumber < 0)
      fail(`incompatible import type: ${label} is given an entity that is not exported`);
    this.#link(entity.home, info.type);
    this.#record(ImportKind.Export, entity.exportNumber, entity.home.address, 0, null);
  }

  #bindFunction(value: HostCallback | HostFunction | Func, type: FuncType, label: string): void {
    if (value instanceof Func) {
      this.hosts.push(null);
      this.#link(value.home, { kind: 'func', ...type });
      this.#record(ImportKind.Funcref, 0, value.address, 0, null);
      return;
    }
    const host = value instanceof HostFunction ? value : new HostFunction(value);
    const callback = host.callback as (...args: unknown[]) => unknown;
    this.hosts.push({ callback, wantsVmctx: host.wantsVmctx, type, label });
    this.#record(ImportKind.Hostcall, 0, 0, 0, host.signature);
  }

  #link(home: LinkedHome, type: ExternType): void {
    if (this.homes.get(home) !== 'both-ways') this.homes.set(home, flowOf(type));
  }

  #record(kind: ImportKind, index: number, word: number, data: number, signature: string | null): void {
    this.#records.push({ kind, index, word, data, signature });
  }

  /** The records, then the signatures they point to. */
  finish(): Block {
    const signatures = this.#records.map(r =>
      r.signature === null ? null : Buffer.from(`${r.signature}\0`),
    );
    const start = this.#records.length * IMPORT.size;
    const block = new Block(signatures.reduce((n, s) => n + (s?.length ?? 0), start));
    let at = start;
    this.#records.forEach((r, i) => {
      const offset = i * IMPORT.size;
      block.u32[(offset + IMPORT.kind) >> 2] = r.kind;
      block.u32[(offset + IMPORT.index) >> 2] = r.index;
      block.setWord(offset + IMPORT.function, r.word);
      block.setWord(offset + IMPORT.data, r.data);
      const text = signatures[i];
      if (text) {
        block.u8.set(text, at);
        block.setWord(offset + IMPORT.signature, block.address + at);
        at += text.length;
      }
    });
    return block;
  }
}

function isTying(type: ValueType): boolean {
  return type === 'funcref' || type === 'anyref' || type === 'exnref';
}

/**
 * Whether the importer can hand function references to the exporter. (In the other direction they may always travel.)
 */
function flowOf(type: ExternType): Flow {
  switch (type.kind) {
    case 'func':
      return type.params.some(isTying) ? 'both-ways' : 'one-way';
    case 'table':
      return isTying(type.element) ? 'both-ways' : 'one-way';
    case 'global':
      return type.mutable && isTying(type.type) ? 'both-ways' : 'one-way';
    case 'tag':
      return 'both-ways';
    case 'memory':
      return 'one-way';
  }
}

function kindOf(value: unknown): ExternType['kind'] | 'value' {
  if (typeof value === 'function' || value instanceof HostFunction || value instanceof Func) return 'func';
  if (value instanceof Memory) return 'memory';
  if (value instanceof Table) return 'table';
  if (value instanceof Global) return 'global';
  if (value instanceof Tag) return 'tag';
  return 'value';
}

function incompatible(label: string, info: ImportInfo, got: string): string {
  return `incompatible import type: ${label} is a ${KIND_WORDS[info.type.kind]}, but was given ${got}`;
}
