/** 128-bit arithmetic, against big integers. */
import { expect, it } from 'vitest';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import { Instance } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const bytes = watNewer(`(module
  (func (export "add") (param i64 i64 i64 i64) (result i64 i64)
    (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "sub") (param i64 i64 i64 i64) (result i64 i64)
    (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "mul_s") (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))
  (func (export "mul_u") (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))
  ;; Both halves used before and behind, operands used again, a product by itself, a constant.
  (func (export "square") (param i64) (result i64 i64 i64) (local i64 i64)
    (i64.mul_wide_u (local.get 0) (local.get 0)) (local.set 2) (local.set 1)
    (local.get 1) (local.get 2) (i64.add (local.get 0) (i64.xor (local.get 1) (local.get 2))))
  (func (export "high") (param i64 i64) (result i64) (local i64)
    (i64.mul_wide_s (local.get 0) (local.get 1)) (local.set 2) (drop) (local.get 2))
  (func (export "ten") (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (i64.const 10)))
  ;; Two sums with the same low halves: they share a carry.
  (func (export "shared") (param i64 i64 i64 i64) (result i64 i64 i64 i64)
    (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))
    (i64.add128 (local.get 0) (local.get 3) (local.get 2) (local.get 3)))
  ;; A difference whose borrow is used by itself, too.
  (func (export "borrow") (param i64 i64 i64 i64) (result i64 i64 i32)
    (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))
    (i64.lt_u (local.get 0) (local.get 2)))
  ;; a * b + c, of which only the low half of c is given.
  (func (export "mac") (param i64 i64 i64) (result i64 i64)
    (i64.add128 (i64.mul_wide_u (local.get 0) (local.get 1)) (local.get 2) (i64.const 0))))`);

const wide = (low: bigint, high: bigint) => BigInt.asUintN(64, low) | (high << 64n);
const halves = (x: bigint) => [BigInt.asIntN(64, x), BigInt.asIntN(64, x >> 64n)];
const u = (x: bigint) => BigInt.asUintN(64, x);

const EDGES = [0n, 1n, 2n, 10n, -1n, -2n, (1n << 63n) - 1n, -(1n << 63n), 0xffff_ffffn, 1n << 32n];
/** Numbers that look random, the same in each run. */
function* numbers(): Generator<bigint> {
  for (let x = 88172645463325252n; ; ) {
    x ^= u(x << 13n);
    x ^= x >> 7n;
    x ^= u(x << 17n);
    yield x % 4n === 0n ? EDGES[Number((x >> 8n) % 10n)]! : BigInt.asIntN(64, x);
  }
}

describeNative('wide arithmetic', () => {
  const guests = new Guests();
  for (const optLevel of [0, 1, 2] as const) {
    it(`computes what big integers do (-O${optLevel})`, async () => {
      const instance = Instance.create(guests.region, await guests.module(bytes, { optLevel }));
      const check = (name: string, args: bigint[], wanted: readonly (bigint | number)[]) => {
        const found = instance.call(name, ...args);
        expect(wanted.length === 1 ? [found] : found, `${name}(${args})`).toEqual(wanted);
      };
      const all = (a: bigint, b: bigint, c: bigint, d: bigint) => {
        const sum = halves(wide(a, b) + wide(c, d));
        check('add', [a, b, c, d], sum);
        check('sub', [a, b, c, d], halves(wide(a, b) - wide(c, d)));
        check('shared', [a, b, c, d], [...sum, ...halves(wide(a, d) + wide(c, d))]);
        check('borrow', [a, b, c, d], [...halves(wide(a, b) - wide(c, d)), u(a) < u(c) ? 1 : 0]);
        check('mul_s', [a, b], halves(a * b));
        check('mul_u', [a, b], halves(u(a) * u(b)));
        check('high', [a, b], [halves(a * b)[1]!]);
        check('ten', [a], halves(u(a) * 10n));
        const [low, high] = halves(u(a) * u(a)) as [bigint, bigint];
        check('square', [a], [low, high, BigInt.asIntN(64, a + (low ^ high))]);
        check('mac', [a, b, c], halves(u(a) * u(b) + u(c)));
      };
      for (const a of EDGES) for (const b of EDGES) all(a, b, b, a);
      const next = numbers();
      for (let n = 0; n < 200; n++) {
        all(next.next().value!, next.next().value!, next.next().value!, next.next().value!);
      }
      instance.dispose();
    });
  }
});
