/**
 * Rotations of lanes, which the optimiser makes shuffles where they are by whole bytes (compiler/opt/fold-vec.ts),
 * against V8.
 */
import { expect, it } from 'vitest';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const LANES = [
  ['i8x16', 8],
  ['i16x8', 16],
  ['i32x4', 32],
  ['i64x2', 64],
] as const;

describeNative('rotations of lanes', () => {
  const guests = new Guests();

  it('every count, and what is almost one', async () => {
    const cases = LANES.flatMap(([lane, bits]) =>
      Array.from({ length: bits + 1 }, (_, by) => [
        [lane, by, bits - by, 'u'] as const,
        [lane, by, bits - by, 's'] as const,
        [lane, by + bits, bits - by + 1, 'u'] as const,
      ]).flat(),
    );
    const text = cases.map(([lane, left, right, sign], k) => {
      const x = '(i64x2.replace_lane 1 (i64x2.splat (local.get 0)) (local.get 1))';
      const either = `(v128.or (${lane}.shl (local.get 2) (i32.const ${left})) (${lane}.shr_${sign} (local.get 2) (i32.const ${right})))`;
      return `(func (export "${k}") (param i64 i64) (result i64) (local v128)
        (local.set 2 ${x}) (local.set 2 ${either})
        (i64.xor (i64x2.extract_lane 0 (local.get 2)) (i64.rotl (i64x2.extract_lane 1 (local.get 2)) (i64.const 1))))`;
    });
    const bytes = await wat(`(module ${text.join('\n')})`);
    const ours = Instance.create(guests.region, await guests.module(bytes, { optLevel: 2 }));
    const theirs = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
    for (const [k, c] of cases.entries()) {
      const args = [0x0123456789abcdefn, -0x123456789abcdf0n];
      const wanted = (theirs[k] as (...args: bigint[]) => bigint)(...args);
      expect(ours.call(`${k}`, ...args), c.join(' ')).toBe(wanted);
    }
    ours.dispose();
  });
});
