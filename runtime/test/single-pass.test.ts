/**
 * Code for debuggers in a single pass: which functions take it, what is left to the other path, and that both do the
 * same.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CompileError, compileModule, defaultOptions } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { clang } from '../../scripts/clang.ts';
import { Instance, type Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const DEBUG = { optLevel: 0, debugCode: true } as const;

/** How many functions took each path. */
function paths(wasm: Uint8Array, options = {}): { taken: number; left: number } {
  const features = resolveFeatures('native', [], nativeFeatures());
  const { counters } = compileModule(decodeModule(wasm), defaultOptions({ ...DEBUG, features, ...options }));
  return { taken: counters['single-pass'] ?? 0, left: counters['single-pass-left'] ?? 0 };
}

const C = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
static int by(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
struct big { double d[20]; long long n; };
static struct big twice(struct big b, int a, int c, int d, int e, int f, int g, int h) {
  for (int i = 0; i < 20; i++) b.d[i] = b.d[i] * 2 + a + c + d + e + f + g + h;
  b.n = -b.n;
  return b;
}
int main(int argc, char **argv) {
  int *a = malloc(100 * sizeof *a);
  for (int i = 0; i < 100; i++) a[i] = (i * 7919) % 101;
  qsort(a, 100, sizeof *a, by);
  struct big b = {{1.5, 2.5}, 42};
  b = twice(b, 1, 2, 3, 4, 5, 6, 7);
  switch (argc) { case 1: puts("one"); break; case 2: puts("two"); break; default: printf("%d %g\\n", argc, sqrt(b.d[0])); }
  printf("%d %lld %s\\n", a[50], b.n, strrchr("a/b", '/'));
  return 0;
}
`;

it.each(['-O0', '-O2'])(
  'a C program with its library takes the single pass, %s',
  async level => {
    const { taken, left } = paths(await clang({ 'main.c': C }, [level, '-g']));
    expect(taken).toBeGreaterThan(50);
    expect(taken / (taken + left)).toBeGreaterThanOrEqual(0.99);
  },
  60_000,
);

const shared = process.env.LUCET_SHARED ?? join(import.meta.dirname, '../../../shared');
const sqlite = join(shared, 'bench/sqlite3/sqlite3.wasm');
it.runIf(existsSync(sqlite))('so does all of SQLite', () => {
  expect(paths(readFileSync(sqlite))).toEqual({ taken: 2562, left: 0 });
});

/** Neighbours that call each other whatever path they took: arguments and results on the stack, floats, a table. */
const MIXED = `(module
  (memory 1)
  (table 2 2 funcref) (elem (i32.const 0) $many $vector)
  (type $t (func (param i32 i64 f32 f64 i32 i32 i32 i32 i32 i64) (result i64)))
  (func $many (type $t)
    (i64.add (i64.extend_i32_s (local.get 0)) (i64.add (local.get 1)
      (i64.add (i64.trunc_f64_s (f64.mul (f64.promote_f32 (local.get 2)) (local.get 3)))
        (i64.add (i64.mul (i64.extend_i32_u (local.get 8)) (i64.const 1000)) (local.get 9))))))
  (func $vector (type $t) (local v128)
    (local.set 10 (i64x2.splat (local.get 9)))
    (i64.sub (i64x2.extract_lane 1 (local.get 10)) (local.get 1)))
  (func $tail (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 7)) (else (return_call $tail (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "f") (param i32) (result i64)
    (i64.add (i64.extend_i32_u (call $tail (local.get 0)))
      (i64.add
        (call_indirect (type $t) (i32.const -5) (i64.const 3) (f32.const 1.5) (f64.const 4) (i32.const 1) (i32.const 2)
          (i32.const 3) (i32.const 4) (i32.const 9) (i64.const 100000) (i32.const 0))
        (call_indirect (type $t) (local.get 0) (i64.const 3) (f32.const 1.5) (f64.const 4) (i32.const 1) (i32.const 2)
          (i32.const 3) (i32.const 4) (i32.const 9) (i64.const 55) (i32.const 1)))))
  (func (export "deep") (result i32)
    ${'(i32.const 1) '.repeat(1101)} ${'(i32.add) '.repeat(1100)})
  (func (export "pressure") (param i32) (result i32)
    ${Array.from({ length: 30 }, (_, i) => `(i32.add (local.get 0) (i32.const ${i}))`).join(' ')}
    ${'(i32.sub) '.repeat(29)}))`;

describeNative('both paths', () => {
  const guests = new Guests();
  const instanceOf = async (wasm: Uint8Array) =>
    Instance.create(guests.region, await guests.module(wasm, DEBUG), {});

  it('call each other; what one pass does not know is left', async () => {
    const wasm = await wat(MIXED);
    // The vector function, the tail call, and the one whose stack is too deep.
    expect(paths(wasm)).toEqual({ taken: 3, left: 3 });
    const instance = await instanceOf(wasm);
    const call = (name: string, ...args: unknown[]) => instance.func(name).call(...args);
    expect(call('f', 10)).toBe(7n + (-5n + 3n + 6n + 9000n + 100000n) + 52n);
    expect(call('deep')).toBe(1101);
    // a - (b - (c - …)): alternating sums of 100 … 129.
    expect(call('pressure', 100)).toBe(-15);
  });

  it('an operand that waits is not changed by what sets its local', async () => {
    const wasm = await wat(`(module (func (export "f") (param i32 f64) (result i32)
      (i32.sub (local.get 0) (local.tee 0 (i32.add (local.get 0) (i32.const 5))))
      (i32.trunc_f64_s (f64.sub (local.get 1) (block (result f64) (local.set 1 (f64.const 1)) (local.get 1))))
      (i32.add)))`);
    expect(paths(wasm)).toEqual({ taken: 1, left: 0 });
    const instance = await instanceOf(wasm);
    expect(instance.func('f').call(10, 8)).toBe(-5 + 7);
  });

  it('pass arguments on the stack, whether or not the room for them was guessed', async () => {
    const digits = Array.from({ length: 8 }, (_, i) => `(i32.mul (local.get ${i}) (i32.const ${10 ** i}))`);
    const many = `(param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) ${digits.join(' ')} ${'(i32.add) '.repeat(7)}`;
    const pass = (name: string, from: number): string =>
      `(call $${name} ${Array.from({ length: 8 }, (_, i) => `(i32.const ${(from + i) % 10})`).join(' ')})`;
    // The number of $near has one byte: it is not guessed. An offset of 16, `f32.nearest` and `nop` look like a call of
    // $far.
    const wasm =
      await wat(`(module (memory 1) (func $near ${many}) ${'(func)'.repeat(143)} (func $far ${many})
      (func (export "near") (param i32) (result i32) (i32.add (local.get 0) ${pass('near', 1)}))
      (func (export "far") (param i32) (result i32) (i32.add (local.get 0) ${pass('far', 2)}))
      (func (export "both") (result i32) (i32.sub ${pass('far', 3)} ${pass('near', 1)}))
      (func (export "none") (param i32) (result i32)
        local.get 0 i32.const 0 f32.load offset=16 f32.nearest nop i32.trunc_f32_s i32.add))`);
    expect(paths(wasm)).toEqual({ taken: 149, left: 0 });
    const instance = await instanceOf(wasm);
    const call = (name: string, ...args: number[]) => instance.func(name).call(...args);
    expect(call('near', 1)).toBe(87654322);
    expect(call('far', 2)).toBe(98765434);
    expect(call('both')).toBe(9876543 - 87654321);
    expect(call('none', 5)).toBe(5);
  });

  it('host functions, imports in tables and calls from the host: arguments on the stack as well', async () => {
    const params = 'i32 i64 f32 f64 i32 i32 i32 i32 i32 i64 f32 f32 f32 f32 f32 f32 f64 externref';
    const count = params.split(' ').length;
    const gets = Array.from({ length: count }, (_, i) => `(local.get ${i})`).join(' ');
    const wasm = await wat(`(module
      (type $t (func (param ${params}) (result f64 i64 i32)))
      (import "h" "f" (func $f (type $t)))
      (table 1 1 funcref) (elem (i32.const 0) $f)
      (memory 1)
      (func (export "direct") (type $t) (call $f ${gets}))
      (func (export "through") (type $t) (call_indirect (type $t) ${gets} (i32.const 0)))
      (export "import" (func $f)))`);
    const { counters } = compileModule(decodeModule(wasm), defaultOptions(DEBUG));
    // The wrapper, the host thunk, and the entry thunk of the one type.
    expect(counters['single-pass-thunk']).toBe(3);
    const seen: unknown[][] = [];
    const object = {};
    const args = [
      -1,
      2n ** 40n,
      0.5,
      -2.25,
      3,
      4,
      5,
      6,
      7,
      -(2n ** 50n),
      8,
      9,
      10,
      11,
      12,
      13,
      1e300,
      object,
    ];
    for (const options of [DEBUG, { optLevel: 0, debugCode: false } as const]) {
      const module = await guests.module(wasm, options);
      const f = (...got: unknown[]) => {
        seen.push(got);
        return [got[3], got[9], got[8]];
      };
      const instance = Instance.create(guests.region, module, { h: { f } });
      for (const name of ['direct', 'through', 'import'])
        expect(instance.func(name).call(...args)).toEqual([-2.25, -(2n ** 50n), 7]);
    }
    expect(seen).toEqual(Array.from({ length: 6 }, () => args));
  });

  it('a thunk with vectors, or results on the stack, is left', async () => {
    const wasm = await wat(`(module
      (import "h" "v" (func (param v128)))
      (import "h" "r" (func (result ${'i32 '.repeat(7)})))
      (import "h" "six" (func (result ${'i32 '.repeat(6)}))))`);
    const { counters } = compileModule(decodeModule(wasm), defaultOptions(DEBUG));
    expect(counters['single-pass-thunk']).toBe(1);
  });

  it('values of branches come to their label whatever way they take', async () => {
    const wasm = await wat(`(module (func (export "f") (param i32) (result i32)
      (i32.const 1000)
      (block $a (result i32 i32)
        (i32.const 1)
        (block $b (result i32 i32)
          (i32.const 2) (i32.const 3) (i32.const 4)
          (br_table $a $b 2 (local.get 0)))
        (drop) (i32.add) (i32.const 50))
      (i32.mul) (i32.add)))`);
    expect(() => paths(wasm)).toThrow(CompileError);
    const valid = await wat(`(module (func (export "f") (param i32) (result i32)
      (i32.const 1000)
      (block $a (result i32 i32)
        (i32.const 1)
        (block $b (result i32 i32)
          (i32.const 2) (i32.const 3) (i32.const 4)
          (br_table $a $b $a (local.get 0)))
        (br_if $a (i32.eq (local.get 0) (i32.const 1)))
        (drop) (i32.add) (i32.const 50))
      (i32.mul) (i32.add)))`);
    expect(paths(valid)).toEqual({ taken: 1, left: 0 });
    const instance = await instanceOf(valid);
    expect([0, 1, 9].map(n => instance.func('f').call(n))).toEqual([1012, 1012, 1012]);
  });

  it('traps in the middle of operands', async () => {
    const wasm = await wat(`(module (memory 1) (func (export "f") (param i32 i32) (result i32)
      (i32.add (i32.load offset=65532 (local.get 0)) (i32.div_s (i32.const -2147483648) (local.get 1)))))`);
    const instance = await instanceOf(wasm);
    const code = (...args: number[]) => {
      try {
        return instance.func('f').call(...args);
      } catch (e) {
        return (e as Trap).code;
      }
    };
    expect(code(0, 2)).toBe(-1073741824);
    expect(code(1, 0)).toBe('HeapOutOfBounds');
    expect(code(-1, 2)).toBe('HeapOutOfBounds');
    expect(code(0, 0)).toBe('IntegerDivByZero');
    expect(code(0, -1)).toBe('IntegerOverflow');
  });
});

it('an invalid body has the message of the other path', () => {
  const body = [0x01, 0x07, 0x00, 0x41, 0x01, 0x42, 0x01, 0x6a, 0x0b];
  const wasm = Uint8Array.from(
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 10, body.length].concat(body),
  );
  const message = (options: object) => {
    try {
      compileModule(decodeModule(wasm), defaultOptions(options));
      return '';
    } catch (e) {
      expect(e).toBeInstanceOf(CompileError);
      return (e as CompileError).describe();
    }
  };
  expect(message(DEBUG)).toBe(message({ optLevel: 0 }));
  expect(message(DEBUG)).toContain('type mismatch: expected i32, found i64');
});

it('is for guarded code that is neither counted nor has canonical NaNs', async () => {
  const wasm = await wat('(module (memory 1) (func (export "f") (result i32) (i32.load (i32.const 0))))');
  expect(paths(wasm)).toEqual({ taken: 1, left: 0 });
  for (const options of [
    { memory: 'dense' },
    { countInstructions: true },
    { canonicalizeNans: true },
    { debugCode: false },
  ])
    expect(paths(wasm, options)).toEqual({ taken: 0, left: 0 });
});
