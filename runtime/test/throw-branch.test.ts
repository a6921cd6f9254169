/** Throws that are branches, since their clause is in the function that throws, and those that must not be. */
import { expect, it } from 'vitest';
import { compileModule } from '../../compiler/index.ts';
import { defaultOptions } from '../../compiler/options.ts';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { createTag, Instance, WasmException } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const TAGS = '(tag $a (param i32 i64)) (tag $b) (tag $c (param i32 i64))';

describeNative('a throw that is caught in its function', () => {
  const guests = new Guests();

  /**
   * How many throws became branches, and what `f` gives for each argument: at both levels, for debuggers, and counting
   * instructions, the same.
   */
  async function run(functions: string, imports: object[] = []): Promise<[number, unknown[]]> {
    const bytes = watNewer(`(module ${functions})`);
    const count = compileModule(decodeModule(bytes), defaultOptions()).counters['throw-branch'] ?? 0;
    const runs: string[] = [];
    let results: unknown[] = [];
    for (const options of [
      { optLevel: 2 },
      { optLevel: 0 },
      { optLevel: 0, debugCode: true },
      { optLevel: 2, countInstructions: true },
    ] as const) {
      const tags = Object.fromEntries(imports.map((tag, i) => [`t${i}`, tag]));
      const guest = Instance.create(guests.region, await guests.module(bytes, options), { m: tags });
      results = [0, 1, 2, 3].map(arg => {
        try {
          return guest.call('f', arg);
        } catch (e) {
          if (e instanceof WasmException) return `threw ${e.values.join()}`;
          throw e;
        }
      });
      runs.push(results.join(' '));
      guest.dispose();
    }
    expect(new Set(runs).size).toBe(1);
    return [count, results];
  }

  it('with its values, out of nested constructs, to the clause that comes first', async () => {
    expect(
      await run(`${TAGS} (func (export "f") (param $x i32) (result i64) (local $n i32) (local $v i64)
        (block $all (block $h (result i32 i64)
          (loop $again
            (try_table (catch $b $again) (catch $a $h) (catch_all $all)
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (block
                (br_if 0 (i32.eq (local.get $x) (i32.const 3)))
                (if (i32.eqz (local.get $x)) (then (throw $a (local.get $n) (i64.const 70))))
                (local.set $x (i32.sub (local.get $x) (i32.const 1)))
                (throw $b))
              (throw $c (i32.const 1) (i64.const 1))))
          (unreachable))
        (local.set $v) (i64.extend_i32_s) (local.get $v) (i64.add) (return)) (i64.const -1))`),
    ).toEqual([3, [71n, 72n, 73n, -1n]]);
  });

  it('by a try_table further out, past one that has other tags', async () => {
    expect(
      await run(`${TAGS} (func (export "f") (param $x i32) (result i32)
        (block $outer (block $inner
          (try_table (catch $b $outer)
            (try_table (catch $b $inner)
              (if (local.get $x) (then (throw $b))))
            (throw $b)))
          (return (i32.const 1)))
        (i32.const 2))`),
    ).toEqual([2, [2, 1, 1, 1]]);
    expect(
      await run(`${TAGS} (func (export "f") (param $x i32) (result i32)
        (block $outer (block $inner (result i32 i64)
          (try_table (catch $b $outer) (try_table (catch $a $inner) (throw $b)))
          (unreachable)) (drop) (return))
        (i32.const 2))`),
    ).toEqual([1, [2, 2, 2, 2]]);
  });

  it('to the end of the function', async () => {
    const [count, results] = await run(`${TAGS} (func (export "f") (param i32) (result i32 i64)
      (try_table (result i32 i64) (catch $a 0) (throw $a (local.get 0) (i64.const 9)))) `);
    expect([count, results]).toEqual([1, [0, 1, 2, 3].map(n => [n, 9n])]);
    expect(
      (
        await run(
          `${TAGS} (func (export "f") (param i32) (result i32 i64) (block (try_table (catch $a 1) (throw $a (local.get 0) (i64.const 9)))) (unreachable))`,
        )
      )[1],
    ).toEqual(results);
  });

  it('beside calls that throw into the same clauses', async () => {
    expect(
      await run(`${TAGS}
        (func $thrower (param i32) (throw $a (i32.add (local.get 0) (i32.const 10)) (i64.const 0)))
        (func (export "f") (param $x i32) (result i32)
          (block $h (result i32 i64)
            (try_table (catch $a $h)
              (if (i32.and (local.get $x) (i32.const 1)) (then (throw $a (local.get $x) (i64.const 0))))
              (call $thrower (local.get $x)))
            (unreachable))
          (drop))`),
    ).toEqual([1, [10, 1, 12, 3]]);
  });

  it('is no branch where the reference is wanted', async () => {
    for (const [clause, types] of [
      ['catch_ref $b', 'exnref'],
      ['catch_all_ref', 'exnref'],
    ])
      expect(
        await run(`${TAGS} (func (export "f") (param i32) (result i32)
          (ref.is_null (block $h (result ${types}) (try_table (${clause} $h) (throw $b)) (unreachable))))`),
      ).toEqual([0, [0, 0, 0, 0]]);
  });

  it('is no branch where nothing in the function catches it', async () => {
    expect(
      await run(`${TAGS} (func (export "f") (param i32) (result i32)
        (block $h (try_table (catch $b $h) (throw $a (local.get 0) (i64.const 5)))) (i32.const 1))`),
    ).toEqual([0, [0, 1, 2, 3].map(n => `threw ${n},5`)]);
    // Behind the end of the try_table it is over.
    expect(
      await run(`${TAGS} (func (export "f") (param i32) (result i32)
        (block $h (try_table (catch $b $h)) (throw $b)) (i32.const 1))`),
    ).toEqual([0, [0, 1, 2, 3].map(() => 'threw ')]);
  });

  it('is no branch behind hundreds of clauses that do not catch it', async () => {
    const behind = (others: number): Promise<[number, unknown[]]> =>
      run(`${TAGS} (func (export "f") (param i32) (result i32) (block $all (block $h (result i32 i64)
        (try_table ${'(catch $b $all) '.repeat(others)}(catch $a $h) (throw $a (local.get 0) (i64.const 9))) (unreachable))
        (drop) (return)) (i32.const -1))`);
    expect(await behind(255)).toEqual([1, [0, 1, 2, 3]]);
    expect(await behind(256)).toEqual([0, [0, 1, 2, 3]]);
  });

  it('is no branch past a clause of a tag that may be the same one', async () => {
    const imported = `(import "m" "t0" (tag $s)) (import "m" "t1" (tag $t)) (tag $own)
      (func (export "f") (param i32) (result i32)
        (block $own (block $t (block $s`;
    const rest = '(unreachable)) (return (i32.const 0))) (return (i32.const 1))) (i32.const 2))';
    const one = createTag({ params: [] });
    const two = createTag({ params: [] });
    const both = `${imported} (try_table (catch $s $s) (catch $t $t) (throw $t)) ${rest}`;
    expect(await run(both, [one, one])).toEqual([0, [0, 0, 0, 0]]);
    expect(await run(both, [one, two])).toEqual([0, [1, 1, 1, 1]]);
    // One of the two is the module's own; or it comes first.
    expect(
      await run(`${imported} (try_table (catch $s $s) (catch $own $own) (throw $own)) ${rest}`, [one, one]),
    ).toEqual([1, [2, 2, 2, 2]]);
    expect(
      await run(`${imported} (try_table (catch $t $t) (catch $s $s) (throw $t)) ${rest}`, [one, one]),
    ).toEqual([1, [1, 1, 1, 1]]);
    one.home.dispose();
    two.home.dispose();
  });
});
