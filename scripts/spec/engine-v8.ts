/**
 * The engine of this Node, as an independent check of the script interpreter and of expectations.
 *
 * JavaScript's numbers can't carry signalling NaNs, nor vectors at all. So values cross in memory: for each type of
 * function an adapter module loads the arguments, calls, and stores the results. References cross as JavaScript values.
 */
import {
  body,
  exportEntry,
  functionType,
  KIND,
  limits,
  moduleBytes,
  name,
  sleb,
  TYPE_CODE,
  type TypeName,
  uleb,
} from '../../runtime/wasm-writer.ts';
import { type Engine, EngineFailure, type Session } from './engine.ts';
import { isNumber, type NumberType, type Value } from './values.ts';

/** The reflection interface (--experimental-wasm-type-reflection), which the standard typings don't have. */
interface FunctionReflection {
  readonly Function: {
    type(f: object): { readonly parameters: readonly TypeName[]; readonly results: readonly TypeName[] };
  };
}
interface ReflectedGlobal {
  type(): { readonly value: TypeName; readonly mutable: boolean };
}

const FEATURES = ['simd', 'tail-call', 'extended-const', 'threads', 'relaxed-simd'];

export const v8Engine: Engine<WebAssembly.Module, WebAssembly.Instance> = {
  name: 'v8',
  features: new Set(FEATURES),
  partial: new Set(),
  separatesMalformed: false,
  nodeFlags: [
    '--experimental-wasm-type-reflection',
    '--experimental-wasm-extended-const',
    '--experimental-wasm-relaxed-simd',
    '--experimental-wasm-return-call',
  ],
  open: () => new V8Session(),
};

/** Its messages, in its own words, and what they may stand for: the first that matches counts. */
export const TRAP_MESSAGES: readonly (readonly [RegExp, readonly string[]])[] = [
  [/memory access out of bounds|data segment \d+ is out of bounds/, ['HeapOutOfBounds']],
  [
    /table index is out of bounds|table access out of bounds|element segment out of bounds/,
    ['TableOutOfBounds'],
  ],
  [/segment.*out of bounds|out of bounds.*segment/, ['HeapOutOfBounds', 'TableOutOfBounds']],
  // One check on the signature covers null too.
  [/null function or function signature mismatch/, ['BadSignature', 'IndirectCallToNull']],
  [/divide by zero|remainder by zero/, ['IntegerDivByZero']],
  [/divide result unrepresentable/, ['IntegerOverflow']],
  // The spec tells NaN from numbers that are too large; V8 does not.
  [/float unrepresentable in integer range/, ['IntegerOverflow', 'BadConversionToInteger']],
  [/unreachable/, ['Unreachable']],
  [/must be naturally aligned|unaligned access/, ['HeapMisaligned']],
  [/dereferencing a null pointer/, ['NullReference']],
];

function failure(e: unknown): unknown {
  if (!(e instanceof Error) || e instanceof EngineFailure) return e;
  if (e instanceof WebAssembly.CompileError) {
    const overLimit = /exceeds|is larger than|> maximum|implementation limit/.test(e.message);
    return new EngineFailure(overLimit ? 'limit' : 'invalid', e.message);
  }
  if (e instanceof WebAssembly.LinkError) return new EngineFailure('unlinkable', e.message);
  if (e instanceof TypeError && e.message.startsWith('WebAssembly.Instance(): Import')) {
    return new EngineFailure('unlinkable', e.message);
  }
  if (e instanceof WebAssembly.RuntimeError) {
    const known = TRAP_MESSAGES.find(([pattern]) => pattern.test(e.message));
    return new EngineFailure('trap', e.message, known?.[1] ?? []);
  }
  if (e instanceof RangeError && e.message.includes('call stack')) {
    return new EngineFailure('exhaustion', e.message);
  }
  if (e instanceof RangeError && /could not allocate|Out of memory/i.test(e.message)) {
    return new EngineFailure('limit', e.message);
  }
  return e;
}

function guarded<T>(act: () => T): T {
  try {
    return act();
  } catch (e) {
    throw failure(e);
  }
}

/** A host reference of the script, so that results can be told from any other object. */
class HostReference {
  constructor(readonly number: number) {}
}

const ACCESS: Record<NumberType, { readonly load: readonly number[]; readonly store: readonly number[] }> = {
  i32: { load: [0x28], store: [0x36] },
  i64: { load: [0x29], store: [0x37] },
  f32: { load: [0x2a], store: [0x38] },
  f64: { load: [0x2b], store: [0x39] },
  v128: { load: [0xfd, 0x00], store: [0xfd, 0x0b] },
};

function isReference(t: TypeName): boolean {
  return t === 'funcref' || t === 'externref';
}

/** Argument and result number k lies at 16 * k of the adapter's memory. */
const SLOT = 16;

function access(type: TypeName, direction: 'load' | 'store', slot: number): number[] {
  return [...ACCESS[type as NumberType][direction], 0, ...uleb(slot * SLOT)];
}

type Adapter = (target: object) => (...references: unknown[]) => unknown;

class V8Session implements Session<WebAssembly.Module, WebAssembly.Instance> {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #view = new DataView(this.#memory.buffer);
  readonly #adapters = new Map<string, Adapter>();
  readonly #hosts = new Map<number, HostReference>();
  readonly #spectest = spectest();

  compile(bytes: Uint8Array): WebAssembly.Module {
    return guarded(() => new WebAssembly.Module(bytes));
  }

  importedModules(module: WebAssembly.Module): readonly string[] {
    return WebAssembly.Module.imports(module).map(i => i.module);
  }

  instantiate(
    module: WebAssembly.Module,
    registered: ReadonlyMap<string, WebAssembly.Instance>,
  ): WebAssembly.Instance {
    const imports: WebAssembly.Imports = { spectest: this.#spectest };
    for (const [as, instance] of registered) imports[as] = instance.exports;
    return guarded(() => new WebAssembly.Instance(module, imports));
  }

  invoke(instance: WebAssembly.Instance, field: string, args: readonly Value[]): Value[] {
    const target = instance.exports[field];
    if (typeof target !== 'function') throw new Error(`no exported function ${JSON.stringify(field)}`);
    const { parameters, results } = (WebAssembly as unknown as FunctionReflection).Function.type(target);
    if (args.length !== parameters.length) throw new Error(`${field} takes ${parameters.length} arguments`);
    const references: unknown[] = [];
    args.forEach((arg, i) => {
      if (isNumber(arg)) this.#storeBits(i, arg.bits);
      else references.push(arg.ref === null ? null : this.#host(Number(arg.ref)));
    });
    const call = this.#adapter(`(${parameters})(${results})`, () => callAdapter(parameters, results))(target);
    return this.#results(
      results,
      guarded(() => call(...references)),
    );
  }

  get(instance: WebAssembly.Instance, field: string): Value {
    const global = instance.exports[field];
    if (!(global instanceof WebAssembly.Global))
      throw new Error(`no exported global ${JSON.stringify(field)}`);
    const { value, mutable } = (global as unknown as ReflectedGlobal).type();
    const read = this.#adapter(`${mutable} ${value}`, () => globalAdapter(value, mutable))(global);
    return this.#results([value], read())[0]!;
  }

  close(): void {}

  #adapter(key: string, make: () => Uint8Array): Adapter {
    let adapter = this.#adapters.get(key);
    if (adapter === undefined) {
      const module = new WebAssembly.Module(make());
      adapter = target => {
        const imports = { '': { target: target as WebAssembly.ImportValue, memory: this.#memory } };
        return new WebAssembly.Instance(module, imports).exports.run as (...a: unknown[]) => unknown;
      };
      this.#adapters.set(key, adapter);
    }
    return adapter;
  }

  #storeBits(slot: number, bits: bigint): void {
    this.#view.setBigUint64(slot * SLOT, BigInt.asUintN(64, bits), true);
    this.#view.setBigUint64(slot * SLOT + 8, bits >> 64n, true);
  }

  /** Numbers are in the memory, references in what the adapter returned: nothing, one, or an array of several. */
  #results(types: readonly TypeName[], returned: unknown): Value[] {
    const count = types.filter(isReference).length;
    const references: readonly unknown[] = count === 1 ? [returned] : ((returned as unknown[]) ?? []);
    let next = 0;
    return types.map((type, i): Value => {
      if (isReference(type)) {
        const value = references[next++];
        if (value === null) return { type, ref: null };
        return { type, ref: value instanceof HostReference ? value.number : 'other' };
      }
      const low = this.#view.getBigUint64(i * SLOT, true);
      if (type === 'v128') {
        return { type, bits: low | (this.#view.getBigUint64(i * SLOT + 8, true) << 64n) };
      }
      const wide = type === 'i64' || type === 'f64';
      return { type: type as NumberType, bits: wide ? low : low & 0xffff_ffffn };
    });
  }

  #host(number: number): HostReference {
    let host = this.#hosts.get(number);
    if (host === undefined) this.#hosts.set(number, (host = new HostReference(number)));
    return host;
  }
}

const MEMORY_IMPORT = [...name(''), ...name('memory'), KIND.memory, ...limits({ min: 1 })];

/** (references of params) -> (references of results): numbers come from and go to the memory. */
function callAdapter(params: readonly TypeName[], results: readonly TypeName[]): Uint8Array {
  const inReferences = params.filter(isReference);
  const code: number[] = [];
  let reference = 0;
  params.forEach((type, i) => {
    if (isReference(type)) code.push(0x20, ...uleb(reference++));
    else code.push(0x41, 0, ...access(type, 'load', i));
  });
  code.push(0x10, 0);
  // Results lie on the operand stack, the last one on top: into locals first.
  const local = (i: number): number[] => uleb(inReferences.length + i);
  for (let i = results.length - 1; i >= 0; i--) code.push(0x21, ...local(i));
  results.forEach((type, i) => {
    if (isReference(type)) code.push(0x20, ...local(i));
    else code.push(0x41, 0, 0x20, ...local(i), ...access(type, 'store', i));
  });
  return moduleBytes({
    type: [functionType(params, results), functionType(inReferences, results.filter(isReference))],
    import: [[...name(''), ...name('target'), KIND.func, 0], MEMORY_IMPORT],
    function: [[1]],
    export: [exportEntry('run', KIND.func, 1)],
    code: [body(results, code)],
  });
}

/** () -> (the reference, if it is one). */
function globalAdapter(type: TypeName, mutable: boolean): Uint8Array {
  const ref = isReference(type);
  return moduleBytes({
    type: [functionType([], ref ? [type] : [])],
    import: [[...name(''), ...name('target'), KIND.global, TYPE_CODE[type], mutable ? 1 : 0], MEMORY_IMPORT],
    function: [[0]],
    export: [exportEntry('run', KIND.func, 0)],
    code: [body([], ref ? [0x23, 0] : [0x41, 0, 0x23, 0, ...access(type, 'store', 0)])],
  });
}

/** The host module as a module: a JavaScript function would link with any type. */
function spectest(): WebAssembly.ModuleImports {
  const signatures: readonly (readonly [string, readonly TypeName[]])[] = [
    ['print', []],
    ['print_i32', ['i32']],
    ['print_i64', ['i64']],
    ['print_f32', ['f32']],
    ['print_f64', ['f64']],
    ['print_i32_f32', ['i32', 'f32']],
    ['print_f64_f64', ['f64', 'f64']],
  ];
  const float = (write: (view: DataView) => void, size: number): number[] => {
    const view = new DataView(new ArrayBuffer(size));
    write(view);
    return [...new Uint8Array(view.buffer)];
  };
  const globals: readonly (readonly [string, TypeName, number[]])[] = [
    ['global_i32', 'i32', [0x41, ...sleb(666)]],
    ['global_i64', 'i64', [0x42, ...sleb(666)]],
    ['global_f32', 'f32', [0x43, ...float(v => v.setFloat32(0, 666.6, true), 4)]],
    ['global_f64', 'f64', [0x44, ...float(v => v.setFloat64(0, 666.6, true), 8)]],
  ];
  const bytes = moduleBytes({
    type: signatures.map(([, params]) => functionType(params, [])),
    function: signatures.map((_, i) => uleb(i)),
    table: [[TYPE_CODE.funcref, ...limits({ min: 10, max: 20 })]],
    memory: [limits({ min: 1, max: 2 })],
    global: globals.map(([, type, init]) => [TYPE_CODE[type], 0, ...init, 0x0b]),
    export: [
      ...signatures.map(([text], i) => exportEntry(text, KIND.func, i)),
      ...globals.map(([text], i) => exportEntry(text, KIND.global, i)),
      exportEntry('table', KIND.table, 0),
      exportEntry('memory', KIND.memory, 0),
    ],
    code: signatures.map(() => body([], [])),
  });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const shared_memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  return { ...(instance.exports as WebAssembly.ModuleImports), shared_memory };
}
