/**
 * Runs a module on an engine and writes down all that can be seen from outside: calls of imports with their arguments,
 * results and traps of exports, and what is in memories, tables and globals at the end. The same for every engine, so
 * that records can be compared.
 */
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { ExternKind, type Limits, type Module, ValType } from '../../compiler/wasm/module.ts';
import type { ExternType, FuncType, ImportInfo, ValueType } from '../../runtime/index.ts';
import { valueTypeOf } from '../../runtime/types.ts';
import type { Failure, FuzzEngine, FuzzInstance, FuzzTag } from './engine.ts';
import { HostReference, hashBytes, Random, randomValue } from './random.ts';

/** Calls of imports during one call of an export: what calls exports in turn may never end. */
const HOST_CALLS = 200;
/** Calls of the guest by imports, one in the other. */
const MAX_DEPTH = 6;
/** How often each export is called. */
const ROUNDS = 3;

export interface FuzzShape {
  readonly imports: readonly ImportInfo[];
  /** Type of every function. */
  readonly functions: readonly FuncType[];
  readonly exports: readonly { readonly name: string; readonly kind: ExternKind; readonly index: number }[];
  readonly tags: readonly FuzzTag[];
  /** Type of every global. */
  readonly globals: readonly ValueType[];
  /** Of the arguments. */
  readonly seed: number;
}

interface Entry {
  readonly text: string;
  /** It is a trap: the codes that it may be. */
  readonly codes?: readonly string[];
}

export interface FuzzRecord {
  readonly entries: Entry[];
  calls: number;
  /** Why there is no more: what came after can't be compared. */
  ended: 'exhaustion' | null;
  memories: Uint8Array[];
}

/** Thrown by imports. */
class HostError extends Error {}
/** Thrown by imports, and not to be caught by those that catch. */
class HostStop extends Error {}

export function shapeOf(bytes: Uint8Array): FuzzShape {
  const module = decodeModule(bytes);
  return {
    imports: module.imports.map(i => ({ module: i.module, name: i.name, type: externType(module, i.desc) })),
    functions: [...module.functions].map(type => funcType(module, type)),
    exports: module.exports,
    tags: module.exports
      .filter(e => e.kind === ExternKind.Tag)
      .map(e => ({ name: e.name, params: funcType(module, module.tags[e.index]!).params })),
    globals: module.globalTypes.map(g => valueTypeOf(g.type)),
    seed: hashBytes(bytes),
  };
}

function funcType(module: Module, index: number): FuncType {
  const { params, results } = module.types[index]!;
  return { params: params.map(valueTypeOf), results: results.map(valueTypeOf) };
}

function externType(module: Module, desc: Module['imports'][number]['desc']): ExternType {
  switch (desc.kind) {
    case ExternKind.Func:
      return { kind: 'func', ...funcType(module, desc.typeIndex) };
    case ExternKind.Global:
      return { kind: 'global', type: valueTypeOf(desc.global.type), mutable: desc.global.mutable };
    case ExternKind.Memory: {
      const { limits, shared, index64, pageSizeLog2 } = desc.memory;
      return { kind: 'memory', ...sizes(limits), shared, index64, pageSize: 2 ** pageSizeLog2 };
    }
    case ExternKind.Table: {
      const { limits, element, index64 } = desc.table;
      return {
        kind: 'table',
        element: element === ValType.FuncRef ? 'funcref' : 'externref',
        ...sizes(limits),
        index64,
      };
    }
    case ExternKind.Tag:
      return { kind: 'tag', params: funcType(module, desc.typeIndex).params };
  }
}

function sizes({ min, max }: Limits): { min: number; max: number | null } {
  return { min: Number(min), max: max === null ? null : Number(max) };
}

/** @throws what is no behaviour of the module: errors of the compiler or of the runtime */
export function runModule(
  engine: FuzzEngine,
  bytes: Uint8Array,
  shape: FuzzShape,
  stage: (running: boolean) => void,
): FuzzRecord {
  stage(false);
  const module = engine.compile(bytes);
  stage(true);
  const run = new Run(engine, shape);
  try {
    const instance = run.enter(() => {
      run.instance = module.instantiate(
        shape.imports,
        info => run.hostFunction(info),
        info => run.hostGlobal(info),
      );
      return undefined;
    });
    if (instance && run.instance !== null) run.callExports();
  } finally {
    run.instance?.dispose();
    module.dispose();
  }
  return run.record;
}

/** JavaScript has no vectors: V8 refuses to hand them over. So must whoever else is compared. */
const VECTOR = 'a vector at the border';

function hasVector({ params, results }: FuncType): boolean {
  return params.includes('v128') || results.includes('v128');
}

class Run {
  readonly record: FuzzRecord = { entries: [], calls: 0, ended: null, memories: [] };
  instance: FuzzInstance | null = null;
  readonly #engine: FuzzEngine;
  readonly #shape: FuzzShape;
  readonly #random: Random;
  readonly #exported: readonly { readonly name: string; readonly index: number }[];
  #depth = 0;
  #hostCalls = 0;

  constructor(engine: FuzzEngine, shape: FuzzShape) {
    this.#engine = engine;
    this.#shape = shape;
    this.#random = new Random(shape.seed);
    this.#exported = shape.exports.filter(
      e => e.kind === ExternKind.Func && !hasVector(shape.functions[e.index]!),
    );
  }

  #log(text: string, codes?: readonly string[]): void {
    this.record.entries.push(codes === undefined ? { text } : { text, codes });
  }

  /** Does it and writes down how it ended. Returns false when nothing more can be compared. */
  enter(act: () => unknown): boolean {
    this.#hostCalls = 0;
    this.#depth = 0;
    try {
      this.#log(`= ${this.#show(act())}`);
    } catch (e) {
      if (this.record.ended === null) this.#logFailure(e);
    }
    return this.record.ended === null;
  }

  #logFailure(e: unknown): void {
    if (e instanceof HostError || e instanceof HostStop) {
      this.#log(`threw ${e.message}`);
      return;
    }
    const exception = this.instance?.exception(e, this.#shape.tags) ?? null;
    if (exception !== null) {
      this.#log(`threw ${exception.tag}(${exception.values.map(v => this.#show(v)).join(', ')})`);
      return;
    }
    const failure: Failure | null = this.#engine.failure(e);
    if (failure === null) throw e;
    if (failure.kind === 'exhaustion') this.record.ended = 'exhaustion';
    else if (failure.kind === 'vector') this.#log(`threw ${VECTOR}`);
    else this.#log('trapped', failure.codes);
  }

  callExports(): void {
    const instance = this.instance!;
    for (let round = 0; round < ROUNDS; round++) {
      for (const { name, index } of this.#exported) {
        const args = this.#arguments(this.#shape.functions[index]!);
        this.#log(`${name}(${args.map(a => this.#show(a)).join(', ')})`);
        this.record.calls++;
        if (!this.enter(() => instance.call(instance.func(name), args))) return;
      }
    }
    for (const { name, kind, index } of this.#shape.exports) {
      if (kind === ExternKind.Global && this.#shape.globals[index] !== 'v128')
        this.#log(`global ${name} = ${this.#show(instance.global(name))}`);
      if (kind === ExternKind.Memory) this.record.memories.push(instance.memory(name));
      if (kind === ExternKind.Table) {
        const table = instance.table(name);
        this.#log(`table ${name} of ${table.length}`);
        for (let i = 0; i < table.length; i++) this.#log(`table ${name} ${i} = ${this.#show(table.get(i))}`);
      }
    }
  }

  #arguments(type: FuncType): unknown[] {
    const functions = type.params.includes('funcref')
      ? this.#exported.map(e => this.instance!.func(e.name))
      : [];
    return type.params.map(t => randomValue(t, this.#random, functions));
  }

  #show(value: unknown): string {
    if (Array.isArray(value)) return `(${value.map(v => this.#show(v)).join(', ')})`;
    if (value === undefined) return '()';
    if (typeof value === 'bigint') return `${value}n`;
    if (typeof value === 'string') return JSON.stringify(value);
    if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
    if (value instanceof HostReference) return value.label;
    if (value === null) return 'null';
    const index = this.#engine.functionIndex(value);
    return index === null ? `some ${typeof value}` : `function ${index}`;
  }

  hostGlobal({ type }: ImportInfo): unknown {
    if (type.kind !== 'global') throw new Error('not a global');
    return randomValue(type.type, new Random(this.#shape.seed, 1), []);
  }

  hostFunction({ name, type }: ImportInfo): (...args: unknown[]) => unknown {
    if (type.kind !== 'func') throw new Error('not a function');
    const vector = hasVector(type);
    return (...args) => {
      if (vector) throw new HostError(VECTOR);
      this.#log(`  ${name}(${args.map(a => this.#show(a)).join(', ')})`);
      if (++this.#hostCalls > HOST_CALLS) throw new HostStop('too many host calls');
      if (this.instance === null) throw new HostError('not instantiated');
      return this.#perform(name, args, type.results);
    };
  }

  /** The functions that Binaryen's modules import; any other returns something. */
  #perform(name: string, args: readonly unknown[], results: readonly ValueType[]): unknown {
    const instance = this.instance!;
    switch (name) {
      case 'throw':
        throw new HostError('by request');
      case 'sleep':
        return args[1];
      case 'table-get':
        return instance.table('table').get(this.#tableIndex(args[0]));
      case 'table-set': {
        const index = this.#tableIndex(args[0]);
        if (args[1] !== null && this.#engine.functionIndex(args[1]) === null) {
          throw new HostError('not a function');
        }
        instance.table('table').set(index, args[1]);
        return undefined;
      }
      case 'call-export':
      case 'call-export-catch':
        return this.#reenter(name, args, () => {
          const { name: target, index } =
            this.#exported[((args[0] as number) >>> 0) % this.#exported.length]!;
          return { func: instance.func(target), index };
        });
      case 'call-ref':
      case 'call-ref-catch':
        return this.#reenter(name, args, () => {
          const index = this.#engine.functionIndex(args[0]);
          if (index === null) throw new HostError('null reference');
          return { func: args[0], index };
        });
      default: {
        const values = results.map(t => randomValue(t, this.#random, []));
        return values.length < 2 ? values[0] : values;
      }
    }
  }

  #tableIndex(arg: unknown): number {
    const index = (arg as number) >>> 0;
    if (index >= this.instance!.table('table').length) throw new HostError('not inside the table');
    return index;
  }

  /**
   * Calls the guest again. With -catch, whether it failed is the result; bit 0 of the last argument asks for it too.
   */
  #reenter(name: string, args: readonly unknown[], target: () => { func: unknown; index: number }): unknown {
    const caught = name.endsWith('-catch');
    try {
      if (this.#depth >= MAX_DEPTH) throw new HostError('too deep');
      this.#depth++;
      try {
        const { func, index } = target();
        if (hasVector(this.#shape.functions[index]!)) throw new HostError(VECTOR);
        const values = this.#arguments(this.#shape.functions[index]!);
        this.#log(`  -> function ${index}(${values.map(v => this.#show(v)).join(', ')})`);
        this.#log(`  <- ${this.#show(this.instance!.call(func, values))}`);
      } finally {
        this.#depth--;
      }
    } catch (e) {
      if (e instanceof HostStop || this.record.ended !== null) throw e;
      if (!caught && ((args[1] as number) & 1) === 0) throw e;
      this.#logFailure(e);
      if (this.record.ended !== null) throw e;
      return caught ? 1 : undefined;
    }
    return caught ? 0 : undefined;
  }
}

/** What differs, or null. The first is the reference. */
export function compareRecords(expected: FuzzRecord, actual: FuzzRecord): string | null {
  const ended = expected.ended ?? actual.ended;
  const length =
    ended === null
      ? Math.max(expected.entries.length, actual.entries.length)
      : Math.min(expected.entries.length, actual.entries.length);
  for (let i = 0; i < length; i++) {
    const e = expected.entries[i];
    const a = actual.entries[i];
    if (e === undefined || a === undefined || !sameEntry(e, a)) {
      const context = expected.entries.slice(Math.max(0, i - 8), i).map(x => `    ${showEntry(x)}\n`);
      return `${context.join('')}  expected: ${showEntry(e)}\n  actual:   ${showEntry(a)}`;
    }
  }
  if (ended !== null) return null;
  for (const [i, e] of expected.memories.entries()) {
    const a = actual.memories[i]!;
    if (e.length !== a.length) return `  memory ${i}: expected ${e.length} bytes, got ${a.length}`;
    if (Buffer.compare(e, a) === 0) continue;
    const at = e.findIndex((b, k) => b !== a[k]);
    const hex = (m: Uint8Array): string => Buffer.from(m.subarray(at, at + 16)).toString('hex');
    return `  memory ${i} at ${at}: expected ${hex(e)}…, got ${hex(a)}…`;
  }
  return null;
}

function sameEntry(e: Entry, a: Entry): boolean {
  if (e.text !== a.text) return false;
  if (e.codes === undefined || a.codes === undefined) return e.codes === a.codes;
  return a.codes.some(c => e.codes!.includes(c));
}

function showEntry(e: Entry | undefined): string {
  if (e === undefined) return 'nothing';
  return e.codes === undefined ? e.text : `${e.text}: ${e.codes.join(' or ')}`;
}
