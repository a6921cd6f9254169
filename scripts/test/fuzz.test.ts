/** The fuzzer itself: what it makes, and that it notices. */
import { describe, expect, it } from 'vitest';
import { wat, watNewer } from '../../compiler/test/support/wasm.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { hasLibrary } from '../../runtime/index.ts';
import { boundsModule } from '../fuzz/bounds.ts';
import { denseModule } from '../fuzz/dense.ts';
import { type FuzzEngine, LucetEngine, v8, validForV8 } from '../fuzz/engine.ts';
import { usesExceptions } from '../fuzz/legacy.ts';
import { loopsModule } from '../fuzz/loops.ts';
import { Random } from '../fuzz/random.ts';
import { observable, withCanonicalNans, withImports } from '../fuzz/rewrite.ts';
import { compareRecords, type FuzzRecord, runModule, shapeOf } from '../fuzz/run.ts';

/** Node needs a flag for 64-bit memories; the fuzzer gives it to its processes. */
function isMemory64(bytes: Uint8Array): boolean {
  return decodeModule(bytes).memories[0]!.index64;
}

function record(bytes: Uint8Array, engine: FuzzEngine = v8): FuzzRecord {
  return runModule(engine, bytes, shapeOf(bytes), () => {});
}

/** V8 on a module with one change. */
function changed(bytes: Uint8Array, from: readonly number[], to: readonly number[]): Uint8Array {
  const at = Buffer.from(bytes).indexOf(Buffer.from(from));
  expect(at).toBeGreaterThan(0);
  const copy = Uint8Array.from(bytes);
  copy.set(to, at);
  return copy;
}

describe('dense modules', () => {
  it('are valid, and the same for the same seed', () => {
    for (let i = 0; i < 15; i++) {
      const bytes = denseModule(new Random(1, i));
      expect(Buffer.compare(bytes, denseModule(new Random(1, i)))).toBe(0);
      if (!isMemory64(bytes)) expect(validForV8(bytes)).toBe(true);
    }
  });

  it('stay valid when they are made observable', () => {
    for (let i = 0; i < 10; i++) {
      const bytes = denseModule(new Random(2, i));
      if (isMemory64(bytes)) continue;
      const rewritten = withImports(observable(withCanonicalNans(bytes)));
      expect(validForV8(rewritten)).toBe(true);
      const names = decodeModule(rewritten).exports.map(e => e.name);
      expect(names).toEqual(expect.arrayContaining(['fuzz:memory0', 'fuzz:table0', 'fuzz:global0']));
    }
  });
});

describe('modules about bounds', () => {
  it('are valid, trap about as often as not, and do the same in both engines', () => {
    let traps = 0;
    let others = 0;
    for (let i = 0, n = 0; n < 8; i++) {
      const bytes = boundsModule(new Random(4, i));
      expect(Buffer.compare(bytes, boundsModule(new Random(4, i)))).toBe(0);
      if (isMemory64(bytes)) continue;
      n++;
      const expected = record(bytes);
      for (const { codes } of expected.entries) {
        if (codes === undefined) others++;
        else traps++;
      }
      if (!hasLibrary()) continue;
      for (const variant of ['native', 'native dense'] as const)
        expect(compareRecords(expected, record(bytes, new LucetEngine(2, variant)))).toBeNull();
    }
    expect(traps).toBeGreaterThan(100);
    expect(others).toBeGreaterThan(100);
  });
});

describe('exceptions', () => {
  it('are thrown, caught and left uncaught by dense modules, alike in both engines', () => {
    let throwing = 0;
    let uncaught = 0;
    for (let i = 0; throwing < 3; i++) {
      const bytes = observable(withCanonicalNans(denseModule(new Random(3, i))));
      if (!usesExceptions(bytes) || isMemory64(bytes) || bytes.length > 8_000) continue;
      throwing++;
      const expected = record(bytes);
      uncaught += expected.entries.filter(e => e.text.startsWith('threw fuzz:tag')).length;
      if (hasLibrary())
        expect(compareRecords(expected, record(bytes, new LucetEngine(2, 'native')))).toBeNull();
    }
    expect(uncaught).toBeGreaterThan(0);
  });

  /**
   * The first function catches what the second throws; labels of each depth, a clause behind one that catches
   * everything.
   */
  const SOURCE = `(module (import "host" "stop" (func $stop)) (tag $a (param i32)) (tag $b)
    (func $thrower (param i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $a (i32.const 40))))
      (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $b)))
      (i32.const 2))
    (func (export "f") (param i32) (result i32)
      (block $all
        (i32.add (i32.const 1) (block $h (result i32)
          (try_table (result i32) (catch $a $h) (catch_all $all) (catch $b $all) (call $thrower (local.get 0)))))
        (return))
      (i32.const 5))
    (func (export "g") (param i32) (result i32) (try_table (result i32) (catch $a 0) (call $thrower (local.get 0))))
    (func (export "h") (try_table (catch_all 0) (call $stop)) (unreachable)))`;

  it('of the module reach V8 by the earlier instructions', () => {
    const bytes = observable(watNewer(SOURCE));
    expect(WebAssembly.validate(bytes)).toBe(false);
    const infos = shapeOf(bytes);
    const stop = new Error('stop');
    const instance = v8.compile(bytes).instantiate(
      infos.imports,
      () => () => {
        throw stop;
      },
      () => 0,
    );
    const call = (name: string, arg: number) => instance.call(instance.func(name), [arg]);
    expect([0, 1, 2].map(arg => call('f', arg))).toEqual([3, 41, 5]);
    expect([0, 1].map(arg => call('g', arg))).toEqual([2, 40]);
    let thrown: unknown;
    try {
      call('g', 2);
    } catch (e) {
      thrown = e;
    }
    expect(instance.exception(thrown, infos.tags)).toEqual({ tag: 'fuzz:tag1', values: [] });
    // An error of the host is none that `catch_all` catches.
    expect(() => call('h', 0)).toThrow(stop);
  });
});

describe('canonical NaNs', () => {
  it('replace those whose bits are seen, and no others', async () => {
    const source = await wat(`(module (memory (export "m") 1)
      (func (export "f")
        (f32.store (i32.const 0) (f32.const -nan:0x200001))
        (i32.store (i32.const 4) (i32.reinterpret_f32 (f32.const nan:0x200001)))
        (f64.store (i32.const 8) (f64.copysign (f64.const 1) (f64.const -nan)))
        (f64.store (i32.const 16) (f64.const -0))
        (v128.store (i32.const 32) (f32x4.add (v128.const i32x4 0x7fa00001 0xffc00000 0x3f800000 0)
                                              (v128.const f32x4 1 1 1 -0)))))`);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(withCanonicalNans(source)));
    (instance.exports.f as () => void)();
    const words = [...new Uint32Array((instance.exports.m as WebAssembly.Memory).buffer, 0, 12)];
    const one = [0, 0x3ff0_0000];
    expect(words.slice(0, 6)).toEqual([0x7fc0_0000, 0x7fc0_0000, ...one, 0, 0x8000_0000]);
    expect(words.slice(8)).toEqual([0x7fc0_0000, 0x7fc0_0000, 0x4000_0000, 0]);
  });
});

describe('comparison', () => {
  const SOURCE = `(module
    (import "host" "log" (func $log (param i64)))
    (memory 1) (table 3 funcref) (elem (i32.const 1) $f) (global $g (mut f64) (f64.const 1.5))
    (func $f (export "f") (result i32) (i32.const 77))
    (func (export "g") (call $log (i64.const 78)) (global.set $g (f64.const 2)))
    (func (export "h") (i32.store (i32.const 500) (i32.const 79)))
    (func (export "t") (drop (i32.div_u (i32.const 80) (i32.const 0)))))`;

  it('finds nothing where nothing differs', async () => {
    const bytes = observable(await wat(SOURCE));
    const first = record(bytes);
    expect(first.calls).toBe(12);
    expect(first.entries.some(e => e.codes?.includes('IntegerDivByZero'))).toBe(true);
    expect(compareRecords(first, record(bytes))).toBeNull();
  });

  it.each([
    ['a result', [0x41, 77 | 0x80, 0], [0x41, 76 | 0x80, 0]],
    ['an argument of an import', [0x42, 78 | 0x80, 0], [0x42, 79 | 0x80, 0]],
    ['memory', [0x41, 79 | 0x80, 0, 0x36], [0x41, 80 | 0x80, 0, 0x36]],
    ['the kind of a trap', [0x41, 0, 0x6e, 0x1a], [0x00, 0x01, 0x01, 0x01]],
    ['a table', [9, 7, 1, 0, 0x41, 1], [9, 7, 1, 0, 0x41, 2]],
    ['a global', [0x40, 0x24, 0], [0x41, 0x24, 0]],
  ])('finds %s', async (_, from, to) => {
    const bytes = observable(await wat(SOURCE));
    const difference = compareRecords(record(bytes), record(changed(bytes, from, to)));
    expect(difference).not.toBeNull();
  });
});

describe('modules of loops', () => {
  it('are valid, trap now and then, and do the same in both engines', () => {
    let traps = 0;
    let others = 0;
    for (let i = 0; i < 4; i++) {
      const bytes = withCanonicalNans(loopsModule(new Random(5, i)));
      const expected = record(bytes);
      for (const { codes, text } of expected.entries) {
        if (codes !== undefined) traps++;
        else if (text.startsWith('=')) others++;
      }
      if (!hasLibrary()) continue;
      for (const variant of ['native', 'native dense'] as const)
        expect(compareRecords(expected, record(bytes, new LucetEngine(2, variant)))).toBeNull();
    }
    expect(traps).toBeGreaterThan(30);
    expect(others).toBeGreaterThan(100);
  });
});
