/** Vectors against V8, bit for bit: every operator over edge values and random ones, at both levels, for the oldest machine and this one. Relaxed operators
 * are the official suite's business: their results may differ.
 */
import { afterAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { Instance, type Memory, Module, Region } from '../index.ts';
import { describeNative } from './support/guest.ts';
import {
  ALL,
  AT,
  bytes,
  expectedResults,
  image,
  RESULT,
  ROUNDS,
  results,
  STRIDE,
} from './support/vector-cases.ts';

describeNative('vectors against V8', () => {
  const region = Region.create({ capacity: 8 });
  afterAll(() => region.dispose());
  const expected = expectedResults();

  it.for([
    ['baseline', 0, ''],
    ['baseline', 2, ''],
    ['x86-64-v2', 2, ''],
    ['x86-64-v3', 2, ''],
    ['native', 0, ''],
    ['native', 2, ''],
    // `expected` has canonical NaNs only: so must the results be as they are.
    ['baseline', 0, ', canonical NaNs'],
    ['native', 2, ', canonical NaNs'],
  ] as const)('%s, level %i%s', ([cpu, optLevel, nans], ctx) => {
    const features = resolveFeatures(cpu, [], nativeFeatures());
    if ([...features].some(f => !nativeFeatures()!.has(f))) ctx.skip(`this processor is not ${cpu}`);
    const canonicalizeNans = nans !== '';
    const module = Module.fromBytes(compile(bytes, { optLevel, features, canonicalizeNans, verify: true }));
    const instance = Instance.create(region, module);
    const memory = instance.export('memory') as Memory;
    const wrong: string[] = [];
    ALL.forEach((c, i) => {
      const f = instance.func(`f${i}`);
      memory.write(AT, image);
      for (let k = 0; k < ROUNDS; k++) f.call(AT + k * STRIDE);
      const got = results(memory.read(AT, image.length), canonicalizeNans ? 0 : c.float);
      const k = got.findIndex((x, n) => x !== expected[i]![n]);
      if (k < 0) return;
      const given = Buffer.from(image.subarray(k * STRIDE, k * STRIDE + RESULT)).toString('hex');
      wrong.push(`${c.name} of ${given}: ${got[k]}, V8 has ${expected[i]![k]}`);
    });
    instance.dispose();
    module.dispose();
    expect(wrong).toEqual([]);
  });

  it('has a case for every operator', () => {
    const tested = new Set(ALL.map(c => c.name.split(' ')[0]));
    // Besides, selects and four scalar operators. v128.load, v128.store, v128.const and i8x16.shuffle are in the
    // others.
    expect(tested.size).toBe(236 - 4 + 1 + 5);
  });
});
