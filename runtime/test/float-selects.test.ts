/** Floats selected by a comparison of floats, which become minima, maxima and blends: against V8, bit by bit. */
import { expect, it } from 'vitest';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance } from '../index.ts';
import { F32S, F64S } from './support/edge-values.ts';
import { describeNative, Guests } from './support/guest.ts';

const COMPARISONS = ['eq', 'ne', 'lt', 'gt', 'le', 'ge'];
/** What is chosen from: the compared values, either way round, one of them, or others. 0 and 1 are compared. */
const CHOICES = [
  [0, 1],
  [1, 0],
  [2, 3],
  [0, 2],
  [3, 1],
];

/** Each takes and gives bits, since signalling NaNs don't pass through JavaScript's numbers. */
function functions(type: 'f32' | 'f64'): string {
  const bits = type === 'f32' ? 'i32' : 'i64';
  const float = (n: number) => `(${type}.reinterpret_${bits} (local.get ${n}))`;
  return COMPARISONS.flatMap(comparison =>
    CHOICES.flatMap(([yes, no]) =>
      ['', 'i32.eqz '].map(
        not => `(func (export "${type} ${comparison} ${yes} ${no} ${not}") (param ${bits} ${bits} ${bits} ${bits}) (result ${bits})
      (${bits}.reinterpret_${type} (select ${float(yes!)} ${float(no!)}
        ${not ? `(${not}` : ''}(${type}.${comparison} ${float(0)} ${float(1)})${not ? ')' : ''})))
    (func (export "${type} ${comparison} ${yes} ${no} ${not}zero") (param ${bits} ${bits} ${bits} ${bits}) (result ${bits})
      (local $z ${type})
      (${bits}.reinterpret_${type} (select ${yes === 1 ? '(local.get $z)' : float(yes!)} ${no === 1 ? '(local.get $z)' : float(no!)}
        ${not ? `(${not}` : ''}(${type}.${comparison} ${float(0)} (local.get $z))${not ? ')' : ''})))`,
      ),
    ),
  ).join('\n');
}

const doubles = [
  ...new BigInt64Array(Float64Array.from(F64S).buffer),
  ...[0x7ff0000000000001n, -0xfffffffffffffn, 0x7ff8000000000123n],
];
const VALUES: Readonly<Record<string, readonly (number | bigint)[]>> = {
  f32: F32S.map(bits => bits | 0),
  f64: doubles,
};

describeNative('floats by a comparison', () => {
  const guests = new Guests();
  for (const [machine, features] of [
    ['any machine', new Set(['sse3', 'ssse3', 'sse4.1'] as const)],
    ['this one', new Set(nativeFeatures())],
  ] as const) {
    for (const type of ['f32', 'f64'] as const) {
      it(`${type}, ${machine}: what V8 gives`, async () => {
        const bytes = await wat(`(module ${functions(type)})`);
        const ours = Instance.create(
          guests.region,
          await guests.module(bytes, { features: new Set(features) }),
        );
        const theirs = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
        const other = VALUES[type]![3]!;
        const another = VALUES[type]![7]!;
        let wrong = 0;
        for (const [name, f] of Object.entries(theirs)) {
          for (const a of VALUES[type]!) {
            for (const b of VALUES[type]!) {
              const wanted = (f as (...args: unknown[]) => unknown)(a, b, other, another);
              const found = ours.call(name, a, b, other, another);
              if (found !== wanted && wrong++ === 0) expect(found, `${name}(${a}, ${b})`).toBe(wanted);
            }
          }
        }
        expect(wrong).toBe(0);
        ours.dispose();
      });
    }
  }
});
