/**
 * memory.copy and memory.fill of few bytes: of a constant number they are loads and stores, of any other a builtin that
 * stays on the guest's stack where they are few. Against V8.
 */
import { setFlagsFromString } from 'node:v8';
import { expect, it } from 'vitest';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance, type Memory, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

setFlagsFromString('--experimental-wasm-memory64');

/** Around every width and number of accesses, and around the most that is done without a call. */
const SIZES = [
  0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 48, 63, 65, 100, 128, 160, 175, 176, 177, 191, 192,
  193, 256,
];
const PAGE = 65536;

function text(index: string): string {
  const functions = SIZES.map(
    n => `
    (func (export "copy${n}") (param ${index} ${index})
      (memory.copy (local.get 0) (local.get 1) (${index}.const ${n})))
    (func (export "fill${n}") (param ${index} i32)
      (memory.fill (local.get 0) (local.get 1) (${index}.const ${n})))
    (func (export "seven${n}") (param ${index} i32)
      (memory.fill (local.get 0) (i32.const 0x107) (${index}.const ${n})))`,
  );
  return `(module
    (func (export "copy") (param ${index} ${index} ${index})
      (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    (func (export "fill") (param ${index} i32 ${index})
      (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (memory (export "memory") ${index} 1) ${functions.join('')})`;
}

const trapped = (act: () => unknown): boolean => {
  try {
    act();
    return false;
  } catch (e) {
    if (e instanceof Trap && e.code === 'HeapOutOfBounds') return true;
    if (e instanceof WebAssembly.RuntimeError && /memory access out of bounds/.test(e.message)) return true;
    throw e;
  }
};

describeNative('copies and fills of few bytes', () => {
  const guests = new Guests();
  for (const index of ['i32', 'i64'] as const) {
    for (const memory of ['guarded', 'dense'] as const) {
      for (const optLevel of [0, 2] as const) {
        it(`${index}, ${memory}, -O${optLevel}: what V8 does; a trap writes nothing`, async () => {
          const bytes = await wat(text(index));
          const ours = Instance.create(guests.region, await guests.module(bytes, { optLevel, memory }));
          const theirs = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
          const mine = ours.export('memory') as Memory;
          const wanted = Buffer.from((theirs.memory as WebAssembly.Memory).buffer);
          const pattern = Buffer.from(Array.from({ length: PAGE }, (_, i) => (i * 167 + (i >> 8)) & 0xff));
          wanted.set(pattern);
          mine.write(0, pattern);
          const address = (at: number) => (index === 'i64' ? BigInt(at) : at | 0);
          let traps = 0;
          const both = (name: string, a: number, ...rest: (number | bigint)[]) => {
            const stops = trapped(() =>
              (theirs[name] as (...args: unknown[]) => unknown)(address(a), ...rest),
            );
            if (trapped(() => ours.call(name, address(a), ...rest)) !== stops)
              expect.fail(`${name}(${a}, ${rest}) must ${stops ? '' : 'not '}trap`);
            if (stops) traps++;
          };
          for (let n = 0; n < 140; n++) {
            for (const d of [-5, 0, 2, 9, 70]) both('copy', 1000 + d, address(1000), address(n));
            both('fill', 2000 + n, 0x2f0 + n, address(n));
            for (const end of [0, 1]) {
              both('copy', PAGE - n + end, address(300), address(n));
              both('copy', 5000, address(PAGE - n + end), address(n));
              both('fill', PAGE - n + end, n, address(n));
            }
          }
          for (const n of [2 ** 31, 2 ** 32 - 1, 2 ** 32 - 65, 70_000]) {
            both('copy', 0, address(0), address(n));
            both('fill', 7, 0, address(n));
          }
          both('copy', 2 ** 32 - 1, address(0), address(1));
          both('copy', 0, address(2 ** 32 - 8), address(9));
          expect(wanted.equals(mine.read(0, PAGE))).toBe(true);
          for (const n of SIZES) {
            for (const d of [-1, 0, 1, 3, 15, 16, 40]) both(`copy${n}`, 1000 + d, address(1000));
            for (const end of [-1, 0, 1, Math.max(n - 1, 1), n + 1]) {
              both(`copy${n}`, PAGE - n + end, address(300));
              both(`copy${n}`, 5000, address(PAGE - n + end));
              both(`fill${n}`, PAGE - n + end, 0x1ff + n);
              both(`seven${n}`, PAGE - n + end, 0);
            }
            both(`fill${n}`, 20_000 + n, -n);
            both(`fill${n}`, 2 ** 32 - 1, 1);
            both(`copy${n}`, 2 ** 32 - 5, address(0));
            both(`copy${n}`, 0, address(2 ** 31));
            expect(wanted.equals(mine.read(0, PAGE)), `after ${n} bytes`).toBe(true);
          }
          expect(traps).toBeGreaterThan(300);
          ours.dispose();
        });
      }
    }
  }
});
