/** Tail calls: V8 has them too, and says what comes out. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance, Module, Region, Trap } from '../index.ts';
import { describeNative } from './support/guest.ts';

const TIMES = 10_000_000;

/** Parameters `$p0 …` of types in turn: more than registers hold. */
function params(n: number): string {
  return Array.from({ length: n }, (_, i) => `(param $p${i} ${['i64', 'f64', 'i32', 'f32'][i % 4]})`).join(
    ' ',
  );
}
/** All of them, the ones of the same type moved round by one place. */
function rotated(n: number): string {
  return Array.from({ length: n }, (_, i) => `(local.get $p${i + 4 < n ? i + 4 : i % 4})`).join(' ');
}
function sum(n: number): string {
  const f64 = (i: number) => `(local.get $p${i})`;
  const wide = Array.from({ length: n }, (_, i) =>
    [`(f64.convert_i64_s ${f64(i)})`, f64(i), `(f64.convert_i32_s ${f64(i)})`, `(f64.promote_f32 ${f64(i)})`][
      i % 4
    ]!.concat(`(f64.const ${i + 1}) f64.mul`),
  );
  return `${wide.join(' ')} ${'f64.add '.repeat(n - 1)}`;
}

const TEXT = `(module
  (type $step (func (param i64 i64) (result i64)))
  (type $wide (func (param $n i64) ${params(40)} (result f64)))
  (table 4 funcref) (elem (i32.const 0) $odd $even $wide)
  (func $loop (export "self") (param $n i64) (param $a i64) (result i64)
    (if (i64.eqz (local.get $n)) (then (return (local.get $a))))
    (return_call $loop (i64.sub (local.get $n) (i64.const 1)) (i64.add (i64.mul (local.get $a) (i64.const 3)) (local.get $n))))
  (func $even (export "mutual") (type $step)
    (if (i64.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $odd (i64.sub (local.get 0) (i64.const 1)) (i64.rotl (local.get 1) (i64.const 7))))
  (func $odd (type $step)
    (if (i64.eqz (local.get 0)) (then (return (i64.sub (i64.const 0) (local.get 1)))))
    (return_call $even (i64.sub (local.get 0) (i64.const 1)) (i64.xor (local.get 1) (local.get 0))))
  (func $indirect (export "indirect") (type $step)
    (return_call_indirect (type $step) (local.get 0) (local.get 1) (i32.and (i32.wrap_i64 (local.get 0)) (i32.const 1))))

  ;; Fewer and more stack arguments than the caller has, in turn.
  (func $narrow (param $n i64) (param $x i64) (result f64)
    (if (i64.eqz (local.get $n)) (then (return (f64.convert_i64_s (local.get $x)))))
    (return_call $wide (i64.sub (local.get $n) (i64.const 1))
      ${Array.from({ length: 40 }, (_, i) => [`(i64.add (local.get $x) (i64.const ${i}))`, `(f64.const ${i})`, `(i32.const ${i})`, `(f32.const ${i})`][i % 4]).join(' ')}))
  (func $wide (param $n i64) ${params(40)} (result f64)
    (if (i64.eqz (local.get $n)) (then ${sum(40)} return))
    (if (i64.eqz (i64.rem_u (local.get $n) (i64.const 3))) (then
      (return_call $narrow (i64.sub (local.get $n) (i64.const 1)) (i64.and (i64.add (local.get $p0) (local.get $p36)) (i64.const 0xffff)))))
    (return_call_indirect (type $wide) (i64.sub (local.get $n) (i64.const 1)) ${rotated(40)} (i32.const 2)))
  (func (export "areas") (param i64 i64) (result f64)
    (f64.add (call $narrow (local.get 0) (local.get 1)) (call $narrow (i64.add (local.get 0) (i64.const 1)) (local.get 1))))

  ;; Results on the stack, passed on by a function with stack arguments.
  (func $many (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64)
    (local.get 7) (local.get 6) (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func $pass (param i64) (result i64 i64 i64 i64 i64 i64 i64 i64)
    (return_call $many (local.get 0) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8)))
  (func (export "results") (param i64) (result i64)
    (call $pass (local.get 0)) ${Array.from({ length: 7 }, (_, i) => `(i64.mul (i64.const ${i + 3})) i64.add`).join(' ')})

  (func (export "null") (param i64) (result i64)
    (return_call_indirect (type $step) (local.get 0) (local.get 0) (i32.const 3)))
  (func (export "signature") (param i64) (result i64)
    (return_call_indirect (type $step) (local.get 0) (local.get 0) (i32.const 2))))`;

const IMPORTER = `(module
  (import "a" "self" (func $self (param i64 i64) (result i64)))
  (import "a" "host" (func $host (param i64 i64) (result i64)))
  (memory 1) (data (i32.const 8) "\\2a")
  (func $own (param i64 i64) (result i64) (return_call $self (local.get 0) (local.get 1)))
  (func $hosted (param i64 i64) (result i64) (return_call $host (local.get 0) (local.get 1)))
  ;; A callee with another memory: this one's must be there again.
  (func (export "run") (param i64 i64) (result i64)
    (call $own (local.get 0) (local.get 1))
    (call $hosted (local.get 0) (local.get 1))
    i64.add
    (i64.load (i32.const 8))
    i64.add))`;

for (const optLevel of [0, 1, 2] as const)
  describeNative(`tail calls, -O${optLevel}`, () => {
    type Exports = Record<string, (...args: bigint[]) => bigint | number>;
    const host = (a: unknown, b: unknown) => (a as bigint) * 10n + (b as bigint);
    let region: Region;
    const modules: Module[] = [];
    let ours: Instance;
    let theirs: Exports;
    let importer: Uint8Array;

    function load(bytes: Uint8Array): Module {
      const module = Module.fromBytes(compile(bytes, { optLevel, verify: true }));
      modules.push(module);
      return module;
    }

    beforeAll(async () => {
      region = Region.create({ capacity: 2 });
      const bytes = await wat(TEXT);
      importer = await wat(IMPORTER);
      ours = Instance.create(region, load(bytes), {});
      theirs = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as unknown as Exports;
    });
    afterAll(() => {
      ours.dispose();
      for (const m of modules) m.dispose();
      region.dispose();
    });

    it.each(['self', 'mutual', 'indirect'])('%s: ten million in a row take no stack', name => {
      for (const n of [TIMES, TIMES + 1]) {
        expect(ours.call(name, BigInt(n), 5n)).toBe(theirs[name]!(BigInt(n), 5n));
      }
    });

    it('stack arguments may be more or fewer than the caller has', () => {
      for (const n of [0n, 1n, 2n, 3n, 4n, 5n, 10n, 11n, 12n, 999_999n, 1_000_000n]) {
        expect(ours.call('areas', n, 77n), `${n}`).toBe(theirs.areas!(n, 77n));
      }
      expect(ours.call('results', 9n)).toBe(theirs.results!(9n));
    });

    it('traps as a call does', () => {
      const code = (name: string) => {
        try {
          ours.call(name, 1n);
        } catch (e) {
          if (e instanceof Trap) return e.code;
          throw e;
        }
        return null;
      };
      expect(code('null')).toBe('IndirectCallToNull');
      expect(code('signature')).toBe('BadSignature');
    });

    it('a callee of another instance, or of the host, leaves the caller its own vmctx', () => {
      const a = { self: ours.func('self'), host };
      const instance = Instance.create(region, load(importer), { a });
      const v8 = new WebAssembly.Instance(new WebAssembly.Module(importer), {
        a: { self: theirs.self!, host },
      }).exports as unknown as Exports;
      expect(instance.call('run', 100n, 3n)).toBe(v8.run!(100n, 3n));
      instance.dispose();
    });
  });
