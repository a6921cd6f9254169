/**
 * Programs made by Binaryen's Asyncify (compiler/opt/global-states.ts), which are left in the midst of loops and calls
 * and entered again, against V8: random functions that call each other and the host, which has them unwound and rewound
 * at any of its calls. LUCET_SEEDS=from-to runs others.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compileModule } from '../../compiler/index.ts';
import { defaultOptions } from '../../compiler/options.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { Random } from '../../scripts/fuzz/random.ts';
import { WasmOpt } from '../../scripts/fuzz/wasm-opt.ts';
import { Instance, type Memory, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const [FROM = 1, TO = 2] = (process.env.LUCET_SEEDS ?? '').split('-').filter(Boolean).map(Number);

const FUNCTIONS = 4;
const LOCALS = 5;
/** Where Asyncify keeps what it unwinds: [next free, end], then the room. */
const UNWOUND_AT = 1024;
const UNWOUND_END = 60_000;
const CALLS = 40;

/** A module of functions f0 … that call only those behind them, `env.wait`, and nothing else. */
function program(random: Random): string {
  const local = (): string => `$l${random.below(LOCALS)}`;
  const value = (depth: number): string => {
    switch (random.below(depth > 2 ? 2 : 6)) {
      case 0:
        return `(i32.const ${random.below(20) - 4})`;
      case 1:
        return `(local.get ${local()})`;
      case 2:
        return `(i32.load (i32.and ${value(depth + 1)} (i32.const 252)))`;
      case 3:
        return `(select ${value(depth + 1)} ${value(depth + 1)} ${value(depth + 1)})`;
      default: {
        const op = random.pick(['add', 'sub', 'mul', 'xor', 'and', 'eq', 'lt_s', 'gt_u']);
        return `(i32.${op} ${value(depth + 1)} ${value(depth + 1)})`;
      }
    }
  };
  const call = (self: number): string => {
    const callee = self + 1 + random.below(FUNCTIONS - self);
    const name = callee >= FUNCTIONS || random.below(2) === 0 ? '$wait' : `$f${callee}`;
    return `(call ${name} ${value(1)} ${value(1)})`;
  };
  const statements = (self: number, depth: number): string =>
    Array.from({ length: 2 + random.below(3) }, () => statement(self, depth)).join('\n');
  const statement = (self: number, depth: number): string => {
    switch (random.below(depth > 2 ? 4 : 8)) {
      case 0:
        return `(local.set ${local()} ${value(0)})`;
      case 1:
        return `(i32.store (i32.and ${value(0)} (i32.const 252)) ${value(0)})`;
      case 2:
      case 3:
        return `(local.set ${local()} ${call(self)})`;
      case 4:
      case 5:
        return `(if ${value(0)} (then ${statements(self, depth + 1)}) (else ${statements(self, depth + 1)}))`;
      case 6:
        return `(block $out ${statements(self, depth + 1)} (br_if $out ${value(0)}) ${statements(self, depth + 1)})`;
      default: {
        // At most so often: each nest of loops has a counter of its own.
        const counter = `$n${depth}`;
        return `(local.set ${counter} (i32.const ${1 + random.below(3)}))
          (loop $again ${statements(self, depth + 1)}
            (br_if $again (local.tee ${counter} (i32.sub (local.get ${counter}) (i32.const 1)))))`;
      }
    }
  };
  const locals = [2, 3, 4].map(k => `(local $l${k} i32)`).concat([0, 1, 2].map(k => `(local $n${k} i32)`));
  const functions = Array.from(
    { length: FUNCTIONS },
    (_, k) => `(func $f${k} (export "f${k}") (param $l0 i32) (param $l1 i32) (result i32) ${locals.join(' ')}
      ${statements(k, 0)} ${value(0)})`,
  );
  return `(module (import "env" "wait" (func $wait (param i32 i32) (result i32)))
    (memory (export "memory") 1) ${functions.join('\n')})`;
}

/** A program in either engine. */
interface Guest {
  call(name: string, ...args: number[]): number;
  word(at: number, value?: number): number;
}

/**
 * Drive an export to its end. The host's k-th call gives its answer at once where `waits` has 0, else after the program
 * has been left and entered again.
 * @returns the result, or `traps`, and all that the host was asked
 */
function drive(
  guest: () => Guest,
  name: string,
  args: readonly number[],
  waits: Random,
  asked: string[],
): [Host, () => string] {
  let rewinding = false;
  const host: Host = (a, b) => {
    const answer = (a ^ (b << 3)) + asked.length;
    if (rewinding) {
      guest().call('asyncify_stop_rewind');
      rewinding = false;
      return pending;
    }
    asked.push(`${a},${b}`);
    if (asked.length > CALLS) return 0;
    if (waits.below(3) === 0) return answer & 0xff;
    pending = answer & 0xff;
    guest().word(UNWOUND_AT, UNWOUND_AT + 8);
    guest().word(UNWOUND_AT + 4, UNWOUND_END);
    guest().call('asyncify_start_unwind', UNWOUND_AT);
    return 0;
  };
  let pending = 0;
  const run = (): string => {
    try {
      let result = guest().call(name, ...args);
      while (guest().call('asyncify_get_state') === 1) {
        guest().call('asyncify_stop_unwind');
        guest().call('asyncify_start_rewind', UNWOUND_AT);
        rewinding = true;
        result = guest().call(name, ...args);
      }
      return String(result);
    } catch (e) {
      if (e instanceof Trap || e instanceof WebAssembly.RuntimeError) return 'traps';
      throw e;
    }
  };
  return [host, run];
}

type Host = (a: number, b: number) => number;

describeNative('programs made by Asyncify', () => {
  const guests = new Guests();
  const wasmOpt = new WasmOpt();
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lucet-asyncify-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function asyncified(seed: number): Promise<Uint8Array<ArrayBuffer>> {
    const [text, binary] = [join(folder, `${seed}.wat`), join(folder, `${seed}.wasm`)];
    writeFileSync(text, program(new Random(seed)));
    const optimized = seed % 2 === 0 ? ['-O2'] : [];
    expect(await wasmOpt.run([text, '--asyncify', ...optimized, '-o', binary])).toBeNull();
    return new Uint8Array(readFileSync(binary));
  }

  for (let seed = FROM; seed <= TO; seed++) {
    it(`of random module ${seed}`, async () => {
      const bytes = await asyncified(seed);
      const module = await guests.module(bytes);
      const v8Module = new WebAssembly.Module(bytes);
      let unwound = 0;
      for (let round = 0; round < 12; round++) {
        const name = `f${round % FUNCTIONS}`;
        const random = new Random(seed, round);
        const args = [random.below(300) - 20, random.below(9)];
        const results = [];

        const asked: string[] = [];
        let host: Host = () => 0;
        const v8 = new WebAssembly.Instance(v8Module, { env: { wait: (a: number, b: number) => host(a, b) } })
          .exports;
        const words = new Int32Array((v8.memory as WebAssembly.Memory).buffer);
        const theirs: Guest = {
          call: (f, ...a) => (v8[f] as (...a: number[]) => number)(...a),
          word: (at, value) => (value === undefined ? words[at >> 2]! : (words[at >> 2] = value)),
        };
        let run: () => string;
        [host, run] = drive(() => theirs, name, args, new Random(seed, round, 1), asked);
        results.push({ end: run(), asked, memory: Buffer.from(words.buffer).toString('latin1') });

        const askedOfUs: string[] = [];
        const ours = Instance.create(guests.region, module, {
          env: { wait: (a, b) => host(Number(a), Number(b)) },
        });
        const memory = ours.export('memory') as Memory;
        const mine: Guest = {
          call: (f, ...a) => Number(ours.call(f, ...a)),
          word: (at, value) => {
            const bytes4 = new Uint8Array(Int32Array.of(value!).buffer);
            memory.write(at, bytes4);
            return value!;
          },
        };
        [host, run] = drive(() => mine, name, args, new Random(seed, round, 1), askedOfUs);
        results.push({
          end: run(),
          asked: askedOfUs,
          memory: Buffer.from(memory.read(0, 65536)).toString('latin1'),
        });
        ours.dispose();
        expect(results[1]).toEqual(results[0]);
        unwound += asked.length;
      }
      expect(unwound).toBeGreaterThan(0);
    });
  }

  it('have most of their branches on the state decided, in code that does not count', async () => {
    const module = decodeModule(await asyncified(2));
    const decided = (options: object): number => {
      const { counters } = compileModule(module, defaultOptions(options));
      return (counters['state-branch'] ?? 0) + (counters['state-thread'] ?? 0);
    };
    expect(decided({})).toBeGreaterThan(20);
    expect(decided({ optLevel: 1 })).toBe(0);
  });
});
