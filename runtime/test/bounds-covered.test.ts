/**
 * Bounds checks that others cover (compiler/opt/bounds-checks.ts), against V8: functions of many accesses around one
 * address. What is stored before a trap shows which access it was.
 */
import { setFlagsFromString } from 'node:v8';
import { expect, it } from 'vitest';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance, type Memory, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

setFlagsFromString('--experimental-wasm-memory64');

const FUNCTIONS = 60;
const PAGE = 65536;
const DELTAS = [0, 1, 4, 8, 16, -1, -8, -16, 0x7fffffff];
const OFFSETS = [0, 1, 4, 8, 15, 16, 24, PAGE - 4, PAGE];
const WIDTHS = [
  ['i32.store8', 'i32'],
  ['i32.store', 'i32'],
  ['i64.store', 'i64'],
] as const;

/** The same numbers each time (xorshift32). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/**
 * A function that stores at sums of its parameter and constants; some of it behind a branch, or behind a growing
 * memory.
 */
function functionText(index: string, name: number, below: (n: number) => number): string {
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  // i64 addresses also as what an i32 was extended to: their sums do not wrap where those of i32s do.
  const base =
    index === 'i64' && below(2) === 0 ? '(i64.extend_i32_u (i32.wrap_i64 (local.get 0)))' : '(local.get 0)';
  const store = (marker: number): string => {
    const [op, type] = pick(WIDTHS);
    const delta = pick(DELTAS);
    const address = delta === 0 ? base : `(${index}.add ${base} (${index}.const ${delta}))`;
    return `(${op} offset=${pick(OFFSETS)} ${address} (${type}.const ${marker}))`;
  };
  let body = '';
  for (let k = 0; k < 7; k++) {
    const stored = store(1 + k);
    if (below(4) === 0) body += `(if (local.get 1) (then ${stored}))`;
    else if (below(5) === 0) body += `(if (local.get 1) (then ${stored}) (else ${store(16 + k)}))`;
    else body += stored;
    if (below(6) === 0) body += `(drop (memory.grow (${index}.const 1)))`;
  }
  return `(func (export "${name}") (param ${index} i32) ${body})`;
}

function outcome(act: () => unknown): string {
  try {
    act();
    return 'returns';
  } catch (e) {
    if (e instanceof Trap ? e.code === 'HeapOutOfBounds' : e instanceof WebAssembly.RuntimeError)
      return 'traps';
    throw e;
  }
}

describeNative('checks that others cover', () => {
  const guests = new Guests();

  it.each([
    ['i32', 'dense'],
    ['i64', 'guarded'],
  ] as const)('%s, %s: the same stores are made before the same trap', async (index, memory) => {
    const below = generator(index === 'i32' ? 12345 : 54321);
    const functions = Array.from({ length: FUNCTIONS }, (_, k) => functionText(index, k, below));
    const bytes = await wat(`(module (memory (export "memory") ${index} 1 3) ${functions.join('\n')})`);
    const module = await guests.module(bytes, { optLevel: 2, memory });
    const reference = new WebAssembly.Module(bytes);
    let traps = 0;
    let returns = 0;
    for (let k = 0; k < FUNCTIONS; k++) {
      for (const near of [0, PAGE, 2 * PAGE, 2 ** 32]) {
        const ours = Instance.create(guests.region, module);
        const theirs = new WebAssembly.Instance(reference).exports;
        for (const d of [-32, -17, -16, -9, -8, -7, -4, -1, 0, 1, 8, 16]) {
          const at = index === 'i64' ? BigInt(near + d) : (near + d) | 0;
          const run = theirs[k] as (...args: unknown[]) => unknown;
          const wanted = outcome(() => run(at, d & 1));
          const found = outcome(() => ours.call(`${k}`, at, d & 1));
          if (found !== wanted) expect(found, `${functions[k]} at ${at}`).toBe(wanted);
          if (wanted === 'traps') traps++;
          else returns++;
        }
        const { size } = ours.export('memory') as Memory;
        const expected = Buffer.from((theirs.memory as WebAssembly.Memory).buffer);
        const same = expected.equals((ours.export('memory') as Memory).read(0, size));
        if (!same) expect(same, functions[k]).toBe(true);
        ours.dispose();
      }
    }
    expect(traps).toBeGreaterThan(500);
    expect(returns).toBeGreaterThan(100);
  });
});
