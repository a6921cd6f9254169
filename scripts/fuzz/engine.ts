/** What the fuzzer needs of an engine, and the two that it compares. */

import { type CompileOptions, compile } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import {
  createGlobal,
  createMemory,
  createTable,
  createTag,
  defaultLimits,
  Func,
  Global,
  type ImportInfo,
  type ImportValue,
  Instance,
  Memory,
  Module,
  Region,
  type RegionType,
  Table,
  Tag,
  Trap,
  type ValueType,
  WasmException,
} from '../../runtime/index.ts';
import { TRAP_MESSAGES } from '../spec/engine-v8.ts';
import { usesExceptions, withEarlierExceptions } from './legacy.ts';

/** How a call ended otherwise than with a result. `codes`: the traps that it may have been, by name. */
export type Failure =
  | { readonly kind: 'trap'; readonly codes: readonly string[] }
  /** Where that happens is an engine's own affair. */
  | { readonly kind: 'exhaustion' }
  /** A vector would have had to cross to the host, and can't. */
  | { readonly kind: 'vector' };

export type HostFunctions = (info: ImportInfo) => (...args: unknown[]) => unknown;
/** A value for an imported global. */
export type HostGlobals = (info: ImportInfo) => unknown;

interface FuzzTable {
  readonly length: number;
  get(index: number): unknown;
  set(index: number, value: unknown): void;
}

export interface FuzzInstance {
  /** No result gives undefined, several an array. */
  call(func: unknown, args: readonly unknown[]): unknown;
  func(name: string): unknown;
  table(name: string): FuzzTable;
  global(name: string): unknown;
  memory(name: string): Uint8Array;
  /** An exception of a guest's, with the exported tag that it has; null: something else. */
  exception(error: unknown, tags: readonly FuzzTag[]): FuzzException | null;
  dispose(): void;
}

export interface FuzzTag {
  readonly name: string;
  readonly params: readonly ValueType[];
}

/** The values of an exception; none if a vector is among them: V8 dies when it is asked for any. */
function shown(tag: FuzzTag, value: (index: number) => unknown): unknown[] {
  return tag.params.includes('v128') ? [] : tag.params.map((_, k) => value(k));
}

interface FuzzException {
  readonly tag: string;
  readonly values: readonly unknown[];
}

export interface FuzzEngine {
  readonly name: string;
  /** Values that stand for the same function have the same index. null: not a function of a guest. */
  functionIndex(value: unknown): number | null;
  /** null: nothing that a guest's code causes. */
  failure(error: unknown): Failure | null;
  compile(bytes: Uint8Array): FuzzModule;
}

export interface FuzzModule {
  instantiate(imports: readonly ImportInfo[], functions: HostFunctions, globals: HostGlobals): FuzzInstance;
  dispose(): void;
}

// ------------------------------------------------------------------------------------------------------------------------- V8

export const v8: FuzzEngine = {
  name: 'V8',
  functionIndex: value =>
    typeof value === 'function' && /^\d+$/.test(value.name) ? Number(value.name) : null,
  failure: e => {
    if (e instanceof WebAssembly.RuntimeError) {
      const known = TRAP_MESSAGES.find(([pattern]) => pattern.test(e.message));
      return known === undefined ? null : { kind: 'trap', codes: known[1] };
    }
    if (e instanceof TypeError && e.message.includes('type incompatibility')) return { kind: 'vector' };
    return e instanceof RangeError && e.message.includes('call stack') ? { kind: 'exhaustion' } : null;
  },
  compile: bytes => {
    const throws = usesExceptions(bytes);
    const module = new WebAssembly.Module(throws ? withEarlierExceptions(bytes) : bytes);
    return {
      instantiate: (infos, functions, globals) => v8Instance(module, throws, infos, functions, globals),
      dispose: () => {},
    };
  },
};

/** Whether V8 takes a module. */
export function validForV8(bytes: Uint8Array): boolean {
  return WebAssembly.validate(usesExceptions(bytes) ? withEarlierExceptions(bytes) : bytes);
}

interface V8Exception {
  is(tag: unknown): boolean;
  getArg(tag: unknown, index: number): unknown;
}

/** A module of one function, `f`, which is `unreachable`. */
const TRAPS = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0],
  ...[7, 5, 1, 1, 0x66, 0, 0, 10, 5, 1, 3, 0, 0, 0x0b],
);

/**
 * Errors of host functions, which `catch_all` catches in V8 and nowhere else: on their way through the guest they are a
 * trap, which nothing catches.
 */
class Smuggler {
  #error: unknown = null;
  #trap: unknown = null;
  readonly #unreachable = new WebAssembly.Instance(new WebAssembly.Module(TRAPS)).exports.f as () => void;

  into<T>(act: () => T): T {
    try {
      return act();
    } catch (e) {
      this.#error = e;
    }
    try {
      this.#unreachable();
    } catch (e) {
      this.#trap = e;
    }
    throw this.#trap;
  }

  outOf<T>(act: () => T): T {
    try {
      return act();
    } catch (e) {
      throw e === this.#trap ? this.#error : e;
    }
  }
}

function v8Instance(
  module: WebAssembly.Module,
  throws: boolean,
  infos: readonly ImportInfo[],
  functions: HostFunctions,
  globals: HostGlobals,
): FuzzInstance {
  const smuggler = throws ? new Smuggler() : null;
  const given: HostFunctions =
    smuggler === null
      ? functions
      : info => {
          const f = functions(info);
          return (...args) => smuggler.into(() => f(...args));
        };
  const { Exception } = WebAssembly as unknown as { Exception: new () => V8Exception };
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const info of infos) {
    (imports[info.module] ??= {})[info.name] = v8Import(info, given, globals);
  }
  const { exports } = new WebAssembly.Instance(module, imports);
  return {
    call: (func, args) => {
      const act = (): unknown => (func as WebAssembly.ExportedFunction)(...args);
      return smuggler === null ? act() : smuggler.outOf(act);
    },
    func: name => exports[name],
    table: name => exports[name] as WebAssembly.Table,
    global: name => (exports[name] as WebAssembly.Global).value,
    memory: name => new Uint8Array((exports[name] as WebAssembly.Memory).buffer),
    exception: (e, tags) => {
      if (!(e instanceof Exception)) return null;
      const tag = tags.find(t => e.is(exports[t.name]));
      if (tag === undefined) return null;
      return { tag: tag.name, values: shown(tag, k => e.getArg(exports[tag.name], k)) };
    },
    dispose: () => {},
  };
}

function v8Import(info: ImportInfo, functions: HostFunctions, globals: HostGlobals): WebAssembly.ImportValue {
  const { type } = info;
  switch (type.kind) {
    case 'func':
      return functions(info) as (...args: never[]) => unknown;
    case 'memory':
      return new WebAssembly.Memory(v8Sizes(type));
    case 'table':
      return new WebAssembly.Table({
        element: type.element === 'funcref' ? 'anyfunc' : 'externref',
        ...v8Sizes(type),
      });
    case 'global': {
      if (type.type === 'exnref' || type.type === 'anyref')
        throw new Error(`an ${type.type} can not come from V8`);
      const value = type.type === 'funcref' ? 'anyfunc' : type.type;
      return new WebAssembly.Global({ value, mutable: type.mutable }, globals(info));
    }
    case 'tag':
      throw new Error('V8 has no tags of this kind');
  }
}

function v8Sizes({ min, max }: { min: number; max: number | null }): { initial: number; maximum?: number } {
  return max === null ? { initial: min } : { initial: min, maximum: max };
}

// ----------------------------------------------------------------------------------------------------------------------- Lucet

/** Re-entrant calls run on the instance's own stack: no other slot is needed. */
const CAPACITY = 4;

/** Bytes of a module that the allocation checker is run on: it follows each location through each block. */
const VERIFIED_SIZE = 64 * 1024;

/** For what is compiled: for any processor or for this one's, guarded or dense code; for debuggers, at level 0. */
const VARIANTS = {
  baseline: { native: false, memory: 'guarded', debug: false },
  native: { native: true, memory: 'guarded', debug: false },
  'baseline dense': { native: false, memory: 'dense', debug: false },
  'native dense': { native: true, memory: 'dense', debug: false },
  debug: { native: true, memory: 'guarded', debug: true },
} as const;
export type Variant = keyof typeof VARIANTS;
export const VARIANT_NAMES = Object.keys(VARIANTS) as Variant[];

export class LucetEngine implements FuzzEngine {
  readonly name: string;
  readonly #options: Partial<CompileOptions>;
  static readonly #regions = new Map<RegionType, Region>();

  constructor(optLevel: CompileOptions['optLevel'], variant: Variant) {
    const { native, memory, debug } = VARIANTS[variant];
    const features = native ? nativeFeatures() : null;
    this.name = `Lucet -O${optLevel} ${variant}`;
    this.#options = {
      optLevel,
      memory,
      debugCode: debug && optLevel === 0,
      ...(features === null ? {} : { features }),
    };
  }

  functionIndex(value: unknown): number | null {
    return value instanceof Func ? value.index : null;
  }

  failure(e: unknown): Failure | null {
    if (!(e instanceof Trap)) return null;
    return e.code === 'StackOverflow' ? { kind: 'exhaustion' } : { kind: 'trap', codes: [e.code] };
  }

  compile(bytes: Uint8Array): FuzzModule {
    const module = Module.fromBytes(
      compile(bytes, { ...this.#options, verify: bytes.length < VERIFIED_SIZE }),
    );
    return {
      instantiate: (...given) => this.#instantiate(module, ...given),
      dispose: () => module.dispose(),
    };
  }

  /**
   * Dense code is run where nothing but its comparisons keeps it inside of its memory: what is behind the end can be
   * accessed.
   */
  #region(): Region {
    const kind = this.#options.memory === 'dense' ? 'dense' : 'guarded';
    let region = LucetEngine.#regions.get(kind);
    if (region === undefined) {
      region = Region.create({ capacity: CAPACITY, kind, limits: defaultLimits('guarded') });
      LucetEngine.#regions.set(kind, region);
    }
    return region;
  }

  #instantiate(
    module: Module,
    infos: readonly ImportInfo[],
    functions: HostFunctions,
    globals: HostGlobals,
  ): FuzzInstance {
    const region = this.#region();
    const imports: Record<string, Record<string, ImportValue>> = {};
    const made: (Global | Memory | Table | Tag)[] = [];
    const own = <T extends Global | Memory | Table | Tag>(extern: T): T => {
      made.push(extern);
      return extern;
    };
    for (const info of infos) {
      (imports[info.module] ??= {})[info.name] = lucetImport(info, functions, globals, own);
    }
    const release = (): void => {
      for (const extern of made) extern.home.dispose();
    };
    let instance: Instance;
    try {
      instance = Instance.create(region, module, imports);
    } catch (e) {
      release();
      throw e;
    }
    const find = <T>(name: string, kind: abstract new (...args: never[]) => T): T => {
      const found = instance.export(name);
      if (!(found instanceof kind)) throw new Error(`the export ${name} is no ${kind.name}`);
      return found;
    };
    return {
      call: (func, args) => (func as Func).call(...args),
      func: name => instance.func(name),
      table: name => find(name, Table),
      global: name => find(name, Global).value,
      memory: name => {
        const memory = find(name, Memory);
        return memory.read(0, memory.size);
      },
      exception: (e, tags) => {
        if (!(e instanceof WasmException)) return null;
        const tag = tags.find(t => e.is(find(t.name, Tag)));
        if (tag === undefined) return null;
        return { tag: tag.name, values: shown(tag, k => e.values[k]) };
      },
      dispose: () => {
        instance.dispose();
        release();
      },
    };
  }
}

function lucetImport(
  info: ImportInfo,
  functions: HostFunctions,
  globals: HostGlobals,
  own: <T extends Global | Memory | Table | Tag>(extern: T) => T,
): ImportValue {
  const { type } = info;
  switch (type.kind) {
    case 'func':
      return functions(info);
    case 'memory':
      return own(createMemory(lucetSizes(type)));
    case 'table':
      return own(createTable({ element: type.element, ...lucetSizes(type) }));
    case 'global':
      return own(createGlobal(type, globals(info)));
    case 'tag':
      return own(createTag(type));
  }
}

function lucetSizes({ min, max }: { min: number; max: number | null }): { min: number; max?: number } {
  return max === null ? { min } : { min, max };
}
