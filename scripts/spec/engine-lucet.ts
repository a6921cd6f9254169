/** The compiler and the runtime of this project, as an engine for test scripts. */
import { CompileError, type CompileOptions, compile } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { externrefHandle, externrefValue } from '../../runtime/externref.ts';
import {
  createGlobal,
  createMemory,
  createTable,
  type Extern,
  type FuncType,
  Global,
  GuestExit,
  HostFunction,
  type Imports,
  Instance,
  LimitError,
  LinkError,
  type Memory,
  Module,
  Region,
  type Table,
  Trap,
  type ValueType,
  WasmException,
} from '../../runtime/index.ts';
import { type Engine, EngineFailure, type Session } from './engine.ts';
import { isNumber, type NumberType, type Value } from './values.ts';

const FEATURES: readonly string[] = [
  'simd',
  'relaxed-simd',
  'extended-const',
  'multi-memory',
  'custom-page-sizes',
  'memory64',
  'tail-call',
  'wide-arithmetic',
  'function-references',
  'exceptions',
];
/**
 * Its types are there, and what the scripts count among it: constant expressions that read globals of the module
 * itself.
 */
const PARTIAL: readonly string[] = ['gc'];

/** More than any script has modules. Address space is taken as slots are used. */
const CAPACITY = 4096;

/** @param cpu as for --target-cpu */
export function lucetEngine(
  optLevel: CompileOptions['optLevel'],
  cpu: string,
  memory: CompileOptions['memory'],
  debugCode: boolean,
): Engine<Module, Instance> {
  const options = { optLevel, memory, debugCode, features: resolveFeatures(cpu, [], nativeFeatures()) };
  let region: Region | null = null;
  return {
    name: 'lucet',
    features: new Set(FEATURES),
    partial: new Set(PARTIAL),
    separatesMalformed: true,
    nodeFlags: [],
    open: () => new LucetSession((region ??= Region.create({ capacity: CAPACITY })), options),
  };
}

function failure(e: unknown): unknown {
  if (e instanceof CompileError) {
    return e.kind === 'usage' ? e : new EngineFailure(e.kind, e.describe());
  }
  if (e instanceof LinkError) return new EngineFailure('unlinkable', e.message, [], e.message);
  if (e instanceof LimitError) return new EngineFailure('limit', e.message);
  if (e instanceof Trap) {
    const kind = e.code === 'StackOverflow' ? 'exhaustion' : 'trap';
    return new EngineFailure(kind, e.message, [e.code]);
  }
  if (e instanceof WasmException) return new EngineFailure('exception', e.message);
  if (e instanceof GuestExit) return new Error(`unexpected: ${e.message}`);
  return e;
}

function guarded<T>(act: () => T): T {
  try {
    return act();
  } catch (e) {
    throw failure(e);
  }
}

class LucetSession implements Session<Module, Instance> {
  readonly #region: Region;
  readonly #options: Partial<CompileOptions>;
  readonly #modules: Module[] = [];
  readonly #instances: Instance[] = [];
  readonly #spectest: Spectest = new Spectest();

  constructor(region: Region, options: Partial<CompileOptions>) {
    this.#region = region;
    this.#options = options;
  }

  compile(bytes: Uint8Array): Module {
    const module = Module.fromBytes(
      guarded(() => compile(bytes, { ...this.#options, verify: true, debugInfo: false })),
    );
    this.#modules.push(module);
    return module;
  }

  importedModules(module: Module): readonly string[] {
    return module.imports.map(i => i.module);
  }

  instantiate(module: Module, registered: ReadonlyMap<string, Instance>): Instance {
    const imports: Imports = { spectest: this.#spectest.imports, ...Object.fromEntries(registered) };
    const instance = guarded(() => Instance.create(this.#region, module, imports));
    this.#instances.push(instance);
    return instance;
  }

  invoke(instance: Instance, field: string, args: readonly Value[]): Value[] {
    const func = instance.func(field);
    const { params, results } = func.type;
    if (args.length !== params.length) throw new Error(`${field} takes ${params.length} arguments`);
    const words = args.flatMap(argumentWords);
    return valuesOf(
      results,
      guarded(() => func.callRaw(BigUint64Array.from(words))),
    );
  }

  get(instance: Instance, field: string): Value {
    const global = instance.export(field);
    if (!(global instanceof Global)) throw new Error(`the export ${field} is not a global`);
    const { bits } = global;
    return resultValue(global.type.type, BigInt.asUintN(64, bits), bits >> 64n);
  }

  close(): void {
    for (const instance of this.#instances) instance.dispose();
    this.#spectest.dispose();
    for (const module of this.#modules) module.dispose();
  }
}

function argumentWords(v: Value): bigint[] {
  if (isNumber(v)) {
    return v.type === 'v128' ? [BigInt.asUintN(64, v.bits), v.bits >> 64n] : [v.bits];
  }
  if (v.ref === null) return [0n];
  if (v.type !== 'externref') throw new Error(`can not pass a ${v.type}`);
  return [BigInt(externrefHandle(v.ref))];
}

function valuesOf(types: readonly ValueType[], words: BigUint64Array): Value[] {
  let at = 0;
  return types.map(type => resultValue(type, words[at++]!, type === 'v128' ? words[at++]! : 0n));
}

function resultValue(type: ValueType, low: bigint, high: bigint): Value {
  switch (type) {
    case 'i32':
    case 'f32':
      return { type, bits: low & 0xffff_ffffn };
    case 'i64':
    case 'f64':
      return { type, bits: low };
    case 'v128':
      return { type: type as NumberType, bits: low | (high << 64n) };
    case 'funcref':
    case 'anyref':
    case 'exnref':
      return { type, ref: low === 0n ? null : 'other' };
    case 'externref': {
      const value = externrefValue(Number(low));
      return { type, ref: typeof value === 'number' ? value : value === null ? null : 'other' };
    }
  }
}

/** The suite's host module, made by the host's means: functions of JavaScript, and entities of its own. */
class Spectest {
  readonly #externs: Extern[] = [];
  readonly imports: Imports[string];

  constructor() {
    const own = <T extends Extern>(extern: T): T => {
      this.#externs.push(extern);
      return extern;
    };
    const print = (...params: ValueType[]): HostFunction => {
      const type: FuncType = { params, results: [] };
      return new HostFunction(() => {}, { type });
    };
    const constant = (type: ValueType, value: number | bigint): Global =>
      own(createGlobal({ type, mutable: false }, value));
    this.imports = {
      print: print(),
      print_i32: print('i32'),
      print_i64: print('i64'),
      print_f32: print('f32'),
      print_f64: print('f64'),
      print_i32_f32: print('i32', 'f32'),
      print_f64_f64: print('f64', 'f64'),
      global_i32: constant('i32', 666),
      global_i64: constant('i64', 666n),
      global_f32: constant('f32', 666.6),
      global_f64: constant('f64', 666.6),
      table: own(createTable({ element: 'funcref', min: 10, max: 20 })) satisfies Table,
      table64: own(createTable({ element: 'funcref', min: 10, max: 20, index64: true })) satisfies Table,
      memory: own(createMemory({ min: 1, max: 2 })) satisfies Memory,
    };
  }

  dispose(): void {
    for (const extern of this.#externs) extern.home.dispose();
  }
}
