/** Defects found by `npm run fuzz`, as small as they get. Each module must do the same here as in V8. */
import { describe, expect, it } from 'vitest';
import { hasLibrary } from '../../runtime/index.ts';
import { LucetEngine, VARIANT_NAMES, v8 } from '../../scripts/fuzz/engine.ts';
import { compareRecords, runModule, shapeOf } from '../../scripts/fuzz/run.ts';
import { wat } from './support/wasm.ts';

/** Calls every export several times with arguments made from the module's bytes. */
async function expectSame(source: string): Promise<void> {
  const bytes = await wat(source);
  const shape = shapeOf(bytes);
  const expected = runModule(v8, bytes, shape, () => {});
  expect(expected.calls).toBeGreaterThan(0);
  for (const optLevel of [0, 1, 2] as const) {
    for (const variant of VARIANT_NAMES) {
      const engine = new LucetEngine(optLevel, variant);
      const actual = runModule(engine, bytes, shape, () => {});
      expect(`${engine.name}: ${compareRecords(expected, actual)}`).toBe(`${engine.name}: null`);
    }
  }
}

describe.skipIf(!hasLibrary())('found by fuzzing', () => {
  // The zeroing of the destination came between the pc map's entry and the access.
  it('traps at a load that is the operand of a scalar conversion, rounding or count', () =>
    expectSame(`(module (memory 1)
      ${['f32', 'f64']
        .flatMap(t => ['sqrt', 'ceil', 'floor', 'trunc', 'nearest'].map(op => [`${t}.${op}`, t, t]))
        .concat([
          ['f32.demote_f64', 'f64', 'f32'],
          ['f64.promote_f32', 'f32', 'f64'],
          ['f64.convert_i32_s', 'i32', 'f64'],
          ['f64.convert_i64_s', 'i64', 'f64'],
          ['i32.popcnt', 'i32', 'i32'],
          ['i64.ctz', 'i64', 'i64'],
          ['i32.clz', 'i32', 'i32'],
        ])
        .map(
          ([op, from, to]) =>
            `(func (export "${op}") (result ${to}) (${op} (${from}.load (i32.const 0x10000))))`,
        )
        .join('\n')})`));
});
