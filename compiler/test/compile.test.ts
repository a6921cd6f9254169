/**
 * The compiler as a whole: same bytes however it is run, errors with their place, nothing but CompileError for bad
 * input.
 */
import { describe, expect, it } from 'vitest';
import type { MemoryMode } from '../abi/artifact.ts';
import { CompileError, compile, defaultOptions, emitIr } from '../index.ts';
import { chunksOf } from '../threads/chunks.ts';
import { compileParallel, threadsFor } from '../threads/parallel.ts';
import { decodeModule } from '../wasm/decode.ts';
import { wat } from './support/wasm.ts';

/** A module large enough to be compiled in parallel: many functions that differ, calling each other. */
function manyFunctions(n: number): string {
  const body = (i: number) =>
    Array.from(
      { length: 40 },
      (_, k) =>
        `(local.set 1 (i32.add (i32.mul (local.get 0) (i32.const ${i * 40 + k})) (i32.load offset=${k * 4} (local.get 1))))`,
    ).join('\n');
  const funcs = Array.from(
    { length: n },
    (_, i) =>
      `(func $f${i} (export "f${i}") (param i32) (result i32) (local i32) ${body(i)} (call $f${(i + 1) % n} (local.get 1)))`,
  );
  return `(module (memory 1) ${funcs.join('\n')})`;
}

describe('compile', () => {
  it('gives the same bytes with one worker and with two, and again', async () => {
    const bytes = await wat(manyFunctions(400));
    const module = decodeModule(bytes);
    for (const debugCode of [false, true]) {
      const options = defaultOptions({ optLevel: debugCode ? 0 : 2, debugCode });
      const on = (threads: number) => compileParallel(module, options, () => {}, threads);
      const one = await on(1);
      for (const threads of [2, 3]) {
        const { artifact, stats } = await on(threads);
        expect(Buffer.compare(one.artifact, artifact)).toBe(0);
        expect(stats.counters).toEqual(one.stats.counters);
      }
      expect(Buffer.compare(one.artifact, compile(bytes, options))).toBe(0);
    }
  }, 120_000);

  it('takes more threads only where they pay', async () => {
    const module = decodeModule(await wat('(module (func))'));
    const threads = (mb: number, processors: number, debugCode = false) =>
      threadsFor(
        { ...module, bodies: [{ start: 0, end: mb * 2 ** 20 }] },
        defaultOptions({
          workers: Math.min(8, processors),
          ...(debugCode ? { optLevel: 0, debugCode } : {}),
        }),
        processors,
      );
    expect([0.7, 2.5, 6, 66].map(mb => threads(mb, 2))).toEqual([1, 1, 2, 2]);
    expect([0.7, 2.5, 6, 66].map(mb => threads(mb, 4))).toEqual([1, 2, 3, 4]);
    expect([0.7, 2.5, 6, 66].map(mb => threads(mb, 4, true))).toEqual([1, 1, 2, 4]);
    expect(threads(66, 64)).toBe(8);
  });

  it('gives threads every function once: large ones first, the others as they come', async () => {
    const module = decodeModule(await wat(`(module ${'(func)'.repeat(600)})`));
    let at = 0;
    const bodies = module.bodies.map((_, i) => {
      const start = at;
      at += i === 77 ? 50_000 : i === 450 ? 90_000 : 300;
      return { start, end: at };
    });
    const { order, starts } = chunksOf({ ...module, bodies }, 2);
    const rest = Array.from(bodies.keys()).filter(i => i !== 77 && i !== 450);
    expect([...order]).toEqual([450, 77, ...rest]);
    expect(starts.slice(0, 3)).toEqual([0, 1, 2]);
    expect(starts[starts.length - 1]).toBe(order.length);
    expect(starts.every((s, k) => k === 0 || s > starts[k - 1]!)).toBe(true);
    // No chunk holds up the others at the end.
    expect(starts.length - 1).toBeGreaterThan(16);
  });

  it('reports the first invalid function, whichever worker meets it', async () => {
    const good = manyFunctions(400);
    const bytes = await wat(good);
    // Break two functions by hand: an `i32.mul` (0x6c) becomes `i64.mul` (0x7e), which does not validate.
    const module = decodeModule(bytes);
    const broken = Uint8Array.from(bytes);
    for (const f of [300, 120]) {
      const { start, end } = module.bodies[f]!;
      broken[broken.subarray(start, end).indexOf(0x6c) + start] = 0x7e;
    }
    for (const threads of [1, 2]) {
      const compiling = compileParallel(decodeModule(broken), defaultOptions(), () => {}, threads);
      const error = await compiling.catch((e: unknown) => e);
      expect(error).toBeInstanceOf(CompileError);
      expect(error).toMatchObject({ kind: 'invalid', func: 120 });
      expect((error as CompileError).offset).toBeGreaterThan(0);
    }
  });

  it('checks its own work when asked to', async () => {
    expect(compile(await wat(manyFunctions(3)), { verify: true }).length).toBeGreaterThan(0);
  });

  it('dense code checks every address once, and constants that are always inside not at all', async () => {
    const bytes = await wat(`(module (memory 1)
      (func (param i32) (result i32) (i32.add (i32.load (local.get 0)) (i32.load (local.get 0))))
      (func (param i32) (i32.store (local.get 0) (i32.load (local.get 0))))
      (func (param i32) (result i32) (i32.add (i32.load (local.get 0)) (i32.load offset=1 (local.get 0))))
      (func (result i32) (i32.load offset=4 (i32.const 65528)))
      (func (result i32) (i32.load offset=5 (i32.const 65528))))`);
    const checks = (optLevel: 0 | 2, memory: MemoryMode) =>
      emitIr(decodeModule(bytes), defaultOptions({ optLevel, memory }))
        .split('func ')
        .slice(1, 6)
        .map(text => text.split('trap_nz').length - 1);
    expect(checks(2, 'dense')).toEqual([1, 1, 2, 0, 1]);
    expect(checks(0, 'dense')).toEqual([2, 2, 2, 0, 1]);
    expect(checks(0, 'guarded')).toEqual([0, 0, 0, 0, 0]);
  });

  it('says what is wrong and where', () => {
    expect(() => compile(new Uint8Array([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]))).toThrow(CompileError);
    expect(() => compile(new Uint8Array(0))).toThrow(CompileError);
  });
});
