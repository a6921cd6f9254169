/**
 * Loops that are vectorised (compiler/opt/vectorize.ts), and such that look alike, against V8: arrays that overlap at
 * all distances, end where the memory does, wrap around; results, traps and all of memory, also where a trap ends the
 * loop. LUCET_SEEDS=from-to runs others.
 */
import { expect, it } from 'vitest';
import { compileModule } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { type CompileOptions, defaultOptions } from '../../compiler/options.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { loopsModule } from '../../scripts/fuzz/loops.ts';
import { Random } from '../../scripts/fuzz/random.ts';
import { withCanonicalNans } from '../../scripts/fuzz/rewrite.ts';
import { Instance, type Memory, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const PAGE = 65536;
const [FROM = 1, TO = 3] = (process.env.LUCET_SEEDS ?? '').split('-').filter(Boolean).map(Number);

/** Addresses of three arrays and a count; the last argument is a scalar. */
type Arguments = readonly [number, number, number, number, number];

function outcome(act: () => unknown): string {
  try {
    return String(act());
  } catch (e) {
    if (e instanceof Trap ? e.code === 'HeapOutOfBounds' : e instanceof WebAssembly.RuntimeError)
      return 'traps';
    throw e;
  }
}

/** Calls of every kind. */
function argumentsOf(random: Random): Arguments[] {
  const count = (): number =>
    random.pick([0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 100, 128, 129]);
  const scalar = (): number => random.pick([0, 1, 3, -1, 255, 1000, -70000, random.u32() | 0]);
  const out: Arguments[] = [];
  // All distances between two of them, the third one far away or with one of them.
  for (let distance = -17; distance <= 17; distance++) {
    const at = 1000 + random.below(64);
    const all = [at, at + distance, random.pick([at, at + distance, at + 2000, at + random.below(100)])];
    const turn = random.below(3);
    const [a, b, c] = [all[turn]!, all[(turn + 1) % 3]!, all[(turn + 2) % 3]!];
    out.push([a, b, c, count() + random.below(40), scalar()]);
  }
  for (let n = 0; n < 20; n++) {
    // Disjoint ones; ending at the end or beyond; wrapping; counts that never end.
    out.push([random.below(64), 2048 + random.below(64), 4100 + random.below(64), count(), scalar()]);
    const end = (): number =>
      PAGE - random.pick([0, 1, 16, 32, 63, 64, 128, 256, 500, 1024]) - random.below(2);
    const near = (): number =>
      random.pick([end(), end(), random.below(600), 3000, PAGE - 3000, -random.below(300)]);
    out.push([near(), near(), near(), count(), scalar()]);
    out.push([near(), near(), near(), random.pick([-1, 0, 1 << 28, 1 << 30, 1 << 31, 70000]), scalar()]);
  }
  return out;
}

describeNative('loops', () => {
  const guests = new Guests();

  for (let seed = FROM; seed <= TO; seed++) {
    it(`of random module ${seed}`, async () => {
      const bytes = withCanonicalNans(loopsModule(new Random(seed), true));
      const v8 = new WebAssembly.Instance(new WebAssembly.Module(bytes));
      const expectedMemory = new Uint8Array((v8.exports.memory as WebAssembly.Memory).buffer);
      const start = expectedMemory.slice();
      for (const memory of ['guarded', 'dense'] as const) {
        // Each on another of the machines: with three-operand forms and without.
        const cpu = (seed % 2 === 0) === (memory === 'dense') ? 'native' : 'baseline';
        const features = resolveFeatures(cpu, [], nativeFeatures());
        const ours = Instance.create(guests.region, await guests.module(bytes, { memory, features }));
        const actual = ours.export('memory') as Memory;
        const random = new Random(seed, 1);
        for (const [name, f] of Object.entries(v8.exports)) {
          if (typeof f !== 'function') continue;
          for (const args of argumentsOf(random)) {
            expectedMemory.set(start);
            actual.write(0, start);
            const want = outcome(() => (f as (...a: number[]) => unknown)(...args));
            const got = outcome(() => ours.call(name, ...args));
            const what = `${cpu} ${memory} ${name}(${args.join(', ')})`;
            expect(`${what} ${got}`).toBe(`${what} ${want}`);
            const now = actual.read(0, PAGE);
            if (Buffer.compare(now, expectedMemory) !== 0) {
              const at = now.findIndex((b, i) => b !== expectedMemory[i]);
              expect.fail(`${what}: memory differs at ${at}`);
            }
          }
        }
        ours.dispose();
      }
    });
  }

  it('get vectors in code that is optimised and does not count', () => {
    const vectorized = (options: Partial<CompileOptions>): number => {
      // One whose loops are short enough with checks of addresses, too.
      const module = decodeModule(withCanonicalNans(loopsModule(new Random(52), true)));
      return compileModule(module, defaultOptions(options)).counters.vectorize ?? 0;
    };
    expect(vectorized({})).toBeGreaterThan(6);
    expect(vectorized({ memory: 'dense' })).toBe(vectorized({}));
    expect(vectorized({ optLevel: 1 })).toBe(0);
    expect(vectorized({ countInstructions: true })).toBe(0);
  });
});
