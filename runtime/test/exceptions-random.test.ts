/**
 * Random programs that throw, against V8, which runs them with the earlier instructions; what runs here is Binaryen's
 * translation. Calls of the host show the order of what happens. LUCET_PROGRAMS says how many (20).
 */
import binaryen from 'binaryen';
import { expect, it } from 'vitest';
import wabt from 'wabt';
import { compile } from '../../compiler/index.ts';
import { Instance, Module, type Tag, Trap, WasmException } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';
import { legacyProgram, TAGS } from './support/legacy-exceptions.ts';

const PROGRAMS = Number(process.env.LUCET_PROGRAMS ?? 20);
const CHUNK = 20;
/** More would say no more. */
const MOST_LOGGED = 500;
const ARGS = [
  [0, 0n, 0],
  [1, -7n, 2.5],
  [-6, 123456789012n, -1e6],
] as const;
const FEATURES =
  binaryen.Features.ExceptionHandling |
  binaryen.Features.ReferenceTypes |
  binaryen.Features.Multivalue |
  binaryen.Features.SIMD128 |
  binaryen.Features.NontrappingFPToInt |
  binaryen.Features.MutableGlobals |
  binaryen.Features.SignExt |
  binaryen.Features.BulkMemory;

const assembler = wabt();

async function legacyBinary(text: string): Promise<Uint8Array> {
  const module = (await assembler).parseWat('legacy.wat', text, { exceptions: true });
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

function translated(legacy: Uint8Array): Uint8Array {
  const module = binaryen.readBinary(legacy);
  try {
    module.setFeatures(FEATURES);
    module.runPasses(['translate-to-exnref']);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

interface Engine {
  call(name: string, args: readonly unknown[]): unknown;
  /** null: no exception of a guest's. */
  exception(e: unknown): { readonly tag: number; readonly values: readonly unknown[] } | null;
  /** null: no trap. `exhaustion` for a full stack. */
  trap(e: unknown): string | null;
  memory(): Uint8Array;
}

/** Everything that can be seen of a program. */
function observe(engine: Engine, log: string[], functions: number): string[] {
  const seen: string[] = [];
  for (let f = 0; f < functions; f++) {
    for (const args of ARGS) {
      engine.call('refuel', []);
      log.length = 0;
      let outcome: string;
      try {
        outcome = `= ${engine.call(`f${f}`, args)}`;
      } catch (e) {
        const exception = engine.exception(e);
        const trap = exception ? null : engine.trap(e);
        if (exception === null && trap === null) throw e;
        outcome = exception ? `threw t${exception.tag}(${exception.values.join(', ')})` : `trapped: ${trap}`;
      }
      seen.push(`f${f}(${args.join(', ')})`, ...log.slice(0, MOST_LOGGED), outcome);
    }
  }
  const memory = engine.memory();
  seen.push(`memory ${Buffer.from(memory).toString('base64').replace(/A{8,}/g, '…')}`);
  return seen;
}

const logger = (log: string[]) => ({
  m: { log: (id: number, a: number, b: bigint, c: number) => void log.push(`${id}: ${a} ${b} ${c}`) },
});

interface V8Exception {
  is(tag: unknown): boolean;
  getArg(tag: unknown, index: number): unknown;
}

function v8(bytes: Uint8Array, log: string[]): Engine {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)), logger(log));
  const { Exception } = WebAssembly as unknown as { Exception: new () => V8Exception };
  return {
    call: (name, args) => (exports[name] as (...args: readonly unknown[]) => unknown)(...args),
    exception: e => {
      if (!(e instanceof Exception)) return null;
      const tag = TAGS.findIndex((_, i) => e.is(exports[`t${i}`]));
      return { tag, values: TAGS[tag]!.map((_, i) => e.getArg(exports[`t${tag}`], i)) };
    },
    trap: e => (e instanceof WebAssembly.RuntimeError ? 'trap' : null),
    memory: () => new Uint8Array((exports.memory as WebAssembly.Memory).buffer),
  };
}

function lucet(instance: Instance): Engine {
  return {
    call: (name, args) => instance.call(name, ...args),
    exception: e => {
      if (!(e instanceof WasmException)) return null;
      return { tag: TAGS.findIndex((_, i) => e.is(instance.export(`t${i}`) as Tag)), values: e.values };
    },
    trap: e => (e instanceof Trap ? 'trap' : null),
    memory: () => instance.memory!.read(0, 65536),
  };
}

describeNative('random programs that throw', () => {
  const guests = new Guests();
  for (let from = 0; from < PROGRAMS; from += CHUNK) {
    it(`${from} to ${from + CHUNK - 1}`, { timeout: 120_000 }, async () => {
      let thrown = 0;
      for (let seed = from; seed < from + CHUNK; seed++) {
        const text = legacyProgram(seed);
        const functions = text.match(/\(func \$f/g)!.length;
        const legacy = await legacyBinary(text);
        const bytes = translated(legacy);
        const log: string[] = [];
        const wanted = observe(v8(legacy, log), log, functions);
        thrown += wanted.filter(s => s.startsWith('threw')).length;
        for (const optLevel of [0, 2] as const) {
          const module = Module.fromBytes(compile(bytes, { optLevel, verify: true, debugInfo: false }));
          const own: string[] = [];
          const instance = Instance.create(guests.region, module, logger(own));
          expect(observe(lucet(instance), own, functions), `program ${seed}, -O${optLevel}`).toEqual(wanted);
          instance.dispose();
          module.dispose();
        }
      }
      expect(thrown).toBeGreaterThan(0);
    });
  }
});
