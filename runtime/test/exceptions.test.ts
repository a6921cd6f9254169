/**
 * Exceptions: unwinding through frames of every shape, what is live at a handler, instances and hosts between throw and
 * catch, lifetimes.
 */
import { expect, it } from 'vitest';
import type { CompileOptions } from '../../compiler/index.ts';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import { createTag, Instance, Region, type Tag, Trap, WasmException } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const LEVELS: readonly CompileOptions['optLevel'][] = [0, 2];

/** `(param i64 …)`, more than registers hold. */
const WIDE = 20;
const wideParams = Array.from({ length: WIDE }, (_, i) => `(param $w${i} i64)`).join(' ');
const wideArgs = Array.from({ length: WIDE }, (_, i) => `(i64.add (local.get $x) (i64.const ${i}))`).join(
  ' ',
);
/** Values kept across the call: more than there are callee-saved registers. */
const KEPT = 24;
const kept = Array.from({ length: KEPT }, (_, i) => `(local $k${i} i64)`).join(' ');
const keep = Array.from(
  { length: KEPT },
  (_, i) => `(local.set $k${i} (i64.xor (local.get $x) (i64.const ${i * 77})))`,
).join(' ');
const sumKept = Array.from({ length: KEPT }, (_, i) => `(local.get $k${i})`).join(' ');

/** Four functions that call each other in turn, `n` deep, then throw what is left of x. */
const DEEP = `(module
  (tag $e (param i64))
  (func $next (param $n i32) (param $x i64) (result i64)
    (if (i32.eqz (local.get $n)) (then (throw $e (local.get $x))))
    (if (i32.eq (i32.and (local.get $n) (i32.const 3)) (i32.const 0)) (then (return (call $plain (local.get $n) (local.get $x)))))
    (if (i32.eq (i32.and (local.get $n) (i32.const 3)) (i32.const 1)) (then (return (call $wide (local.get $n) (local.get $x) ${wideArgs}))))
    (if (i32.eq (i32.and (local.get $n) (i32.const 3)) (i32.const 2)) (then (return (call $keeping (local.get $n) (local.get $x)))))
    (return_call $tail (local.get $n) (local.get $x)))
  (func $plain (param $n i32) (param $x i64) (result i64)
    (i64.add (call $next (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $x) (i64.const 1))) (local.get $x)))
  (func $wide (param $n i32) (param $x i64) ${wideParams} (result i64)
    (i64.add (call $next (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $w3) (local.get $w19))) (local.get $w11)))
  (func $keeping (param $n i32) (param $x i64) (result i64) ${kept}
    ${keep}
    (call $next (i32.sub (local.get $n) (i32.const 1)) (i64.rotl (local.get $x) (i64.const 3)))
    ${sumKept} ${'i64.add '.repeat(KEPT)})
  ;; Grows the area of stack arguments, so its prologue moves the return address.
  (func $tail (param $n i32) (param $x i64) (result i64)
    (return_call $wide (i32.sub (local.get $n) (i32.const 1)) (local.get $x) ${wideArgs}))
  (func (export "deep") (param $n i32) (param $x i64) (result i64) (local $a i64) (local $b i64) (local $f f64)
    (local.set $a (i64.mul (local.get $x) (i64.const 3)))
    (local.set $b (i64.mul (local.get $x) (i64.const 5)))
    (local.set $f (f64.convert_i64_s (local.get $x)))
    (i64.add
      (i64.add (local.get $x) (block $h (result i64)
        (try_table (catch $e $h) (drop (call $next (local.get $n) (local.get $x))))
        (i64.const -1)))
      (i64.add (i64.add (local.get $a) (local.get $b)) (i64.trunc_f64_s (local.get $f)))))
  (func (export "uncaught") (param $n i32) (result i64) (call $next (local.get $n) (i64.const 5))))`;

/** What DEEP does, in JavaScript. */
function deep(n: number, x: bigint): bigint {
  const start = x;
  while (n > 0) {
    switch (n & 3) {
      case 0:
        x += 1n;
        break;
      case 1:
        x = x + 3n + x + 19n;
        break;
      case 2:
        x = (x << 3n) | BigInt.asUintN(3, BigInt.asUintN(64, x) >> 61n);
        break;
      default:
        x = x + 3n + x + 19n;
        n--;
    }
    x = BigInt.asIntN(64, x);
    n--;
  }
  return BigInt.asIntN(64, start + x + start * 3n + start * 5n + BigInt(Number(start)));
}

describeNative('exceptions', () => {
  const guests = new Guests();
  const make = async (
    text: string,
    optLevel: CompileOptions['optLevel'] = 2,
    imports = {},
  ): Promise<Instance> =>
    Instance.create(guests.region, await guests.module(watNewer(text), { optLevel }), imports);

  it.each(LEVELS)('unwind frames of every shape, -O%i', async optLevel => {
    const i = await make(DEEP, optLevel);
    for (const n of [0, 1, 2, 3, 4, 7, 100, 1001]) {
      for (const x of [0n, 7n, -123456789n]) expect(i.call('deep', n, x), `${n} ${x}`).toBe(deep(n, x));
    }
  });

  it('unwind ten thousand frames', async () => {
    const region = Region.create({ capacity: 1, limits: { stackSize: 64 << 20 } });
    const i = Instance.create(region, await guests.module(watNewer(DEEP)));
    expect(i.call('deep', 12_000, 3n)).toBe(deep(12_000, 3n));
    i.dispose();
    region.dispose();
  });

  it('an uncaught one is an event of its own, with the backtrace of the throw', async () => {
    const i = await make(DEEP);
    let e: unknown;
    try {
      i.call('uncaught', 3);
    } catch (thrown) {
      e = thrown;
    }
    expect(e).toBeInstanceOf(WasmException);
    const { report, values } = e as WasmException;
    expect(values).toHaveLength(1);
    expect(report!.kind).toBe('exception');
    expect(report!.code).toBe('UncaughtException');
    // $next threw; the tail call has left no frame; $wide, $next, $tail's $wide and so on up to the export.
    const NEXT = 0;
    const WIDE_FUNCTION = 2;
    expect(report!.functionIndex).toBe(NEXT);
    expect(report!.frames.map(f => f.functionIndex)).toEqual([NEXT, WIDE_FUNCTION, NEXT, WIDE_FUNCTION, 6]);
    expect(i.state).toBe('Faulted');
    expect(i.call('deep', 5, 1n)).toBe(deep(5, 1n));
  });

  it.each(LEVELS)('values of every class are what they were at the call, -O%i', async optLevel => {
    // Eight of each class, changed in front of every call: a handler sees the last ones.
    const N = 8;
    const types = ['i32', 'i64', 'f32', 'f64', 'v128'] as const;
    const names = types.flatMap(t => Array.from({ length: N }, (_, k) => ({ t, name: `$${t}_${k}`, k })));
    const value = (t: string, seed: string) =>
      t === 'v128'
        ? `(i32x4.splat ${seed})`
        : t === 'i32'
          ? seed
          : t === 'i64'
            ? `(i64.extend_i32_s ${seed})`
            : `(${t}.convert_i32_s ${seed})`;
    const assign = (round: number) =>
      names
        .map(
          v =>
            `(local.set ${v.name} ${value(v.t, `(i32.add (local.get $p) (i32.const ${round * 1000 + v.k}))`)})`,
        )
        .join(' ');
    const asI64 = (v: { t: string; name: string }) => {
      const get = `(local.get ${v.name})`;
      switch (v.t) {
        case 'i32':
          return `(i64.extend_i32_s ${get})`;
        case 'i64':
          return get;
        case 'v128':
          return `(i64.add (i64x2.extract_lane 0 ${get}) (i64x2.extract_lane 1 ${get}))`;
        default:
          return `(i64.trunc_${v.t}_s ${get})`;
      }
    };
    const text = `(module
      (tag $e) (tag $other)
      (global $count (mut i32) (i32.const 0))
      (func $maybe (param $at i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (if (i32.eq (global.get $count) (local.get $at)) (then (throw $e))))
      (func (export "run") (param $p i32) (param $at i32) (result i64) ${names.map(v => `(local ${v.name} ${v.t})`).join(' ')}
        (global.set $count (i32.const 0))
        (block $done
          (block $h
            (try_table (catch $other $done) (catch $e $h)
              ${[1, 2, 3, 4].map(r => `${assign(r)} (call $maybe (local.get $at))`).join('\n')})
            (br $done)))
        ${names.map(asI64).join(' ')} ${'i64.add '.repeat(names.length - 1)}))`;
    const i = await make(text, optLevel);
    const expected = (p: number, at: number): bigint => {
      const round = at >= 1 && at <= 4 ? at : 4;
      let sum = 0n;
      for (const { t, k } of names) {
        const v = BigInt(p + round * 1000 + k);
        sum += t === 'v128' ? 2n * ((v << 32n) + v) : v;
      }
      return sum;
    };
    for (const at of [0, 1, 2, 3, 4]) expect(i.call('run', 10, at), `${at}`).toBe(expected(10, at));
  });

  it.each(LEVELS)('nested try_tables: the innermost clause that fits, in order, -O%i', async optLevel => {
    const text = `(module
      (tag $a (param i32)) (tag $b (param i32)) (tag $c (param i32))
      (func $throw (param $which i32)
        (if (i32.eq (local.get $which) (i32.const 0)) (then (throw $a (i32.const 10))))
        (if (i32.eq (local.get $which) (i32.const 1)) (then (throw $b (i32.const 20))))
        (if (i32.eq (local.get $which) (i32.const 2)) (then (throw $c (i32.const 30)))))
      (func (export "run") (param $which i32) (result i32)
        (block $outerA (result i32)
          (block $outerAll
            (try_table (result i32) (catch $a $outerA) (catch_all $outerAll)
              (block $innerB (result i32)
                (try_table (result i32) (catch $b $innerB)
                  (block $innermostA (result i32)
                    (try_table (result i32) (catch $c $innermostA)
                      (call $throw (local.get $which))
                      (i32.const 1))
                  (i32.add (i32.const 100)))
                  (i32.add (i32.const 1000)))
                (i32.add (i32.const 10000)))
              (i32.add (i32.const 100000)))
            (return))
          (i32.const -7)))
      (func (export "rethrow") (param $which i32) (result i32)
        (local $order i32)
        (block $out (result i32)
          (try_table (result i32) (catch $a $out)
            (block $ref (result exnref)
              (try_table (catch_all_ref $ref) (call $throw (local.get $which)))
              (return (i32.const 5)))
            (local.set $order (i32.const 1))
            (throw_ref)))))`;
    const i = await make(text, optLevel);
    expect(i.call('run', 3)).toBe(1 + 100 + 1000 + 10000 + 100000);
    expect(i.call('run', 2)).toBe(30 + 1000 + 10000 + 100000);
    expect(i.call('run', 1)).toBe(20 + 100000);
    expect(i.call('run', 0)).toBe(10);
    expect(i.call('rethrow', 0)).toBe(10);
    expect(i.call('rethrow', 7)).toBe(5);
    expect(() => i.call('rethrow', 1)).toThrow(WasmException);
  });

  it.each(LEVELS)('traps and full stacks are not exceptions, -O%i', async optLevel => {
    const text = `(module
      (memory 1)
      (func $deep (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
      (func (export "overflow") (block $h (try_table (catch_all $h) (drop (call $deep (i32.const 0))))))
      (func $divide (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
      (func (export "divide") (block $h (try_table (catch_all $h) (drop (call $divide (i32.const 0))))))
      (func (export "fill") (block $h (try_table (catch_all $h) (memory.fill (i32.const 65530) (i32.const 0) (i32.const 100)))))
      (func (export "null") (block $h (try_table (catch_all $h) (throw_ref (ref.null exn))))))`;
    const i = await make(text, optLevel);
    const code = (name: string): string => {
      try {
        i.call(name);
      } catch (e) {
        if (e instanceof Trap) return e.code;
        throw e;
      }
      return 'none';
    };
    expect(code('overflow')).toBe('StackOverflow');
    expect(code('divide')).toBe('IntegerDivByZero');
    expect(code('fill')).toBe('HeapOutOfBounds');
    expect(code('null')).toBe('NullReference');
  });

  it.each(LEVELS)('between instances: each goes on with its own memory and tags, -O%i', async optLevel => {
    const inner = await make(
      `(module
        (tag $e (export "e") (param i32)) (tag $private)
        (memory 1) (data (i32.const 0) "inner")
        (func (export "throw") (param i32) (throw $e (i32.add (local.get 0) (i32.load8_u (i32.const 0)))))
        (func (export "private") (throw $private)))`,
      optLevel,
    );
    const text = `(module
        (import "m" "e" (tag $e (param i32)))
        (import "m" "throw" (func $throw (param i32)))
        (import "m" "private" (func $private))
        (tag $own)
        (memory 1) (data (i32.const 0) "OUTER")
        (func $through (param i32) (call $throw (local.get 0)))
        (func (export "direct") (param i32) (result i32)
          (i32.add (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get 0))) (i32.const -1))
            (i32.load8_u (i32.const 0))))
        (func (export "through") (param i32) (result i32)
          (i32.add (block $h (result i32) (try_table (catch $e $h) (call $through (local.get 0))) (i32.const -1))
            (i32.load8_u (i32.const 0))))
        (func (export "other") (result i32)
          (block $all (block $own (try_table (catch $own $own) (catch_all $all) (call $private))) (return (i32.const 1)))
          (i32.load8_u (i32.const 0))))`;
    const outer = await make(text, optLevel, { m: inner });
    for (const f of ['direct', 'through'])
      expect(outer.call(f, 1000)).toBe(1000 + 'i'.charCodeAt(0) + 'O'.charCodeAt(0));
    expect(outer.call('other')).toBe('O'.charCodeAt(0));
  });

  it('tags of instances of one module are not the same', async () => {
    const text = `(module (tag $e (export "e")) (func (export "throw") (throw $e)))`;
    const a = await make(text);
    const b = await make(text);
    let e: unknown;
    try {
      a.call('throw');
    } catch (thrown) {
      e = thrown;
    }
    expect((e as WasmException).is(a.export('e') as Tag)).toBe(true);
    expect((e as WasmException).is(b.export('e') as Tag)).toBe(false);
  });

  it('an import of another type does not fit', async () => {
    const tag = createTag({ params: ['i32'] });
    await expect(make('(module (import "m" "e" (tag (param i64))))', 2, { m: { e: tag } })).rejects.toThrow(
      'incompatible import type',
    );
    await expect(
      make('(module (import "m" "e" (tag (param i32))))', 2, { m: { e: () => 0 } }),
    ).rejects.toThrow('incompatible import type');
    tag.home.dispose();
  });

  it('host functions throw, catch, and let pass', async () => {
    const tag = createTag({ params: ['i32', 'f64', 'v128', 'externref'] });
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => i);
    const log: unknown[] = [];
    let guest: Instance | null = null;
    const imports = {
      m: {
        e: tag,
        throw: () => {
          throw new WasmException(tag, [1, 2.5, bytes, 'text']);
        },
        error: () => {
          throw new RangeError('of the host');
        },
        pass: () => guest!.call('thrower'),
        swallow: () => {
          try {
            guest!.call('thrower');
          } catch (e) {
            log.push((e as WasmException).values);
          }
        },
      },
    };
    const text = `(module
      (import "m" "e" (tag $e (param i32 f64 v128 externref)))
      (import "m" "throw" (func $throw)) (import "m" "error" (func $error))
      (import "m" "pass" (func $pass)) (import "m" "swallow" (func $swallow))
      (func (export "thrower") (throw $e (i32.const 7) (f64.const 8) (v128.const i64x2 9 10) (ref.null extern)))
      (func $catch (param $f i32) (result i32 f64 v128 externref)
        (block $h (result i32 f64 v128 externref)
          (try_table (catch $e $h)
            (if (i32.eq (local.get $f) (i32.const 0)) (then (call $throw)))
            (if (i32.eq (local.get $f) (i32.const 1)) (then (call $error)))
            (if (i32.eq (local.get $f) (i32.const 2)) (then (call $pass)))
            (if (i32.eq (local.get $f) (i32.const 3)) (then (call $swallow))))
          (i32.const -1) (f64.const 0) (v128.const i64x2 0 0) (ref.null extern)))
      (export "catch" (func $catch))
      (func (export "throw") (call $throw))
      (func (export "pass") (call $pass)))`;
    guest = await make(text, 2, imports);
    expect(guest.call('catch', 0)).toEqual([1, 2.5, bytes, 'text']);
    expect(() => guest!.call('catch', 1)).toThrow(RangeError);
    const thrown = Uint8Array.from([9, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0]);
    expect(guest.call('catch', 2)).toEqual([7, 8, thrown, null]);
    expect((guest.call('catch', 3) as unknown[])[0]).toBe(-1);
    expect(log).toEqual([[7, 8, thrown, null]]);
    for (const name of ['throw', 'pass']) {
      expect(() => guest!.call(name)).toThrow(WasmException);
      await expect(guest.callAsync(name)).rejects.toThrow(WasmException);
    }
    expect(await guest.callAsync('catch', 0)).toEqual([1, 2.5, bytes, 'text']);
    guest.dispose();
    tag.home.dispose();
  });

  it('exnrefs lie in globals, tables, parameters and results, and keep what they refer to', async () => {
    const text = `(module
      (tag $e (param i32 exnref))
      (global $g (mut exnref) (ref.null exn))
      (global (export "null") exnref (ref.null exn))
      (table $t (export "t") 10 exnref)
      (func $make (param $v i32) (param $inner exnref) (result exnref)
        (block $h (result i32 exnref exnref) (try_table (catch_ref $e $h) (throw $e (local.get $v) (local.get $inner))) (unreachable))
        (return) (unreachable))
      (func (export "make") (param i32 exnref) (result exnref) (call $make (local.get 0) (local.get 1)))
      (func (export "value") (param exnref) (result i32 exnref)
        (block $h (result i32 exnref) (try_table (catch $e $h) (throw_ref (local.get 0))) (unreachable)))
      (func (export "store") (param $v i32)
        (global.set $g (call $make (local.get $v) (call $make (i32.add (local.get $v) (i32.const 1)) (ref.null exn))))
        (table.set $t (i32.const 3) (call $make (i32.add (local.get $v) (i32.const 2)) (ref.null exn))))
      (func (export "churn") (param $n i32)
        (loop $l
          (drop (call $make (local.get $n) (ref.null exn)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (func (export "held") (param $n i32) (result i32) (local $r exnref)
        ;; Only the local, across calls that collect, holds this one.
        (local.set $r (call $make (i32.const 4711) (ref.null exn)))
        (loop $l
          (drop (call $make (local.get $n) (ref.null exn)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (block $h (result i32 exnref) (try_table (catch $e $h) (throw_ref (local.get $r))) (unreachable))
        (drop))
      (func (export "global") (result exnref) (global.get $g))
      (func (export "table") (result exnref) (table.get $t (i32.const 3))))`;
    for (const optLevel of LEVELS) {
      const i = await make(text, optLevel);
      i.call('store', 40);
      i.call('churn', 100_000);
      const [v, inner] = i.call('value', i.call('global')) as [number, WasmException];
      expect(v).toBe(40);
      expect(inner.values).toEqual([41, null]);
      expect((i.call('table') as WasmException).values).toEqual([42, null]);
      expect(i.call('held', 100_000)).toBe(4711);
      // JavaScript holds one, too.
      const mine = i.call('make', 1, inner) as WasmException;
      i.call('store', 0);
      i.call('churn', 100_000);
      expect(i.call('value', mine)).toEqual([1, inner]);
      expect(i.call('value', inner)).toEqual([41, null]);
      expect(() => i.call('value', null)).toThrow(Trap);
      expect(() => i.call('value', 5)).toThrow(TypeError);
    }
  });

  it('ten million throws take no memory', async () => {
    const i = await make(`(module
      (tag $e (param i64))
      (func $thrower (param i64) (throw $e (local.get 0)))
      (func (export "loop") (param $n i32) (result i64) (local $sum i64)
        (loop $l
          (local.set $sum (i64.add (local.get $sum)
            (block $h (result i64) (try_table (catch $e $h) (call $thrower (i64.extend_i32_u (local.get $n)))) (i64.const 0))))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))`);
    i.call('loop', 100_000);
    const before = process.memoryUsage.rss();
    const n = 10_000_000;
    expect(i.call('loop', n)).toBe((BigInt(n) * BigInt(n + 1)) / 2n);
    expect(process.memoryUsage.rss() - before).toBeLessThan(16 << 20);
  });
});
