/** Vectors as values: through calls, control, globals, tables and the border to JavaScript; traps of their accesses. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import {
  createGlobal,
  type Global,
  HostFunction,
  Instance,
  type Memory,
  Module,
  Region,
  Trap,
} from '../index.ts';
import { describeNative } from './support/guest.ts';

const repeat = (n: number, f: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => f(i)).join(' ');

/** Each function reads vectors at 0, 16, … of the memory, and writes some from 1024 on. */
const TEXT = `(module
  (memory (export "memory") 1)
  (table funcref (elem $swap $mix))
  (type $two (func (param v128 v128) (result v128 v128)))
  (global $g (mut v128) (v128.const i32x4 1 2 3 4))
  (func $swap (type $two) local.get 1 local.get 0)
  (func $mix (type $two) (i8x16.sub (local.get 0) (local.get 1)) (i16x8.mul (local.get 0) (local.get 1)))

  (func $many (param ${repeat(12, i => (i % 3 === 0 ? 'v128 i32' : 'v128'))} f64)
    (result ${repeat(12, i => (i % 4 === 0 ? 'v128 i64' : 'v128'))})
    ${repeat(12, i => {
      const at = [0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15];
      const sum = `(i32x4.add (local.get ${at[i]}) (i32x4.splat (local.get ${at[Math.floor(i / 3) * 3]! + 1})))`;
      return i % 4 === 0 ? `${sum} (i64.trunc_sat_f64_s (local.get 16))` : sum;
    })})
  (func (export "calls") (local $i i32) ${repeat(12, i => `(local $v${i} v128)`)} ${repeat(3, i => `(local $x${i} i64)`)}
    (call $many ${repeat(12, i => `(v128.load offset=${16 * i} (i32.const 0))${i % 3 === 0 ? `(i32.const ${i + 1})` : ''}`)} (f64.const 7.5))
    ${repeat(12, k => {
      const i = 11 - k;
      return `${i % 4 === 0 ? `local.set $x${i / 4}` : ''} local.set $v${i}`;
    })}
    ${repeat(12, i => `(v128.store offset=${1024 + 16 * i} (i32.const 0) (local.get $v${i}))`)}
    ${repeat(3, i => `(i64.store offset=${1024 + 16 * 12 + 8 * i} (i32.const 0) (local.get $x${i}))`)})

  (func (export "pressure") (param $n i32) ${repeat(24, i => `(local $v${i} v128)`)}
    ${repeat(24, i => `(local.set $v${i} (v128.load offset=${16 * i} (i32.const 0)))`)}
    (loop $again
      ${repeat(24, i => `(local.set $v${i} (i32x4.add (i32x4.mul (local.get $v${i}) (local.get $v${(i + 7) % 24})) (local.get $v${(i + 1) % 24})))`)}
      (call_indirect (type $two) (local.get $v0) (local.get $v23) (i32.and (local.get $n) (i32.const 1)))
      local.set $v0 local.set $v23
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    ${repeat(24, i => `(v128.store offset=${1024 + 16 * i} (i32.const 0) (local.get $v${i}))`)})

  (func (export "control") (param $n i32) (local $a v128) (local $b v128)
    (local.set $a (v128.load (i32.const 0)))
    (local.set $b (v128.load offset=16 (i32.const 0)))
    (v128.store offset=1024 (i32.const 0) (select (local.get $a) (local.get $b) (local.get $n)))
    (v128.store offset=1040 (i32.const 0)
      (select (result v128) (local.get $a) (local.get $b) (f64.eq (f64x2.extract_lane 0 (local.get $a)) (f64x2.extract_lane 0 (local.get $b)))))
    (v128.store offset=1056 (i32.const 0)
      (block $out (result v128)
        (block $two (result v128)
          (block $one (result v128)
            (br_table $one $two $out (local.get $a) (local.get $n)))
          (i8x16.neg))
        (i16x8.add (local.get $b))))
    (v128.store offset=1072 (i32.const 0)
      (if (result v128) (v128.any_true (i8x16.eq (local.get $a) (local.get $b)))
        (then (local.get $a)) (else (v128.not (local.get $b)))))
    (global.set $g (i64x2.add (global.get $g) (local.get $a)))
    (v128.store offset=1088 (i32.const 0) (global.get $g))
    (block $end (result v128) (local.get $a) (local.get $b)
      (loop $next (param v128 v128) (result v128)
        local.set $a local.set $b local.get $a local.get $b
        (br_if $next (i32.ne (i32.const 0) (local.tee $n (i32.shr_u (local.get $n) (i32.const 1)))))
        i8x16.sub))
    local.set $a
    (v128.store offset=1104 (i32.const 0) (local.get $a)))
)`;

const BORDER = `(module
  (import "m" "turn" (func $turn (param v128 i32 v128 f64) (result i32 v128 v128)))
  (import "m" "g" (global $g v128))
  (memory (export "memory") 1)
  (global (export "own") (mut v128) (v128.const i64x2 -1 5))
  (func (export "get") (result v128) global.get $g)
  (func (export "call") (param v128 v128 i32) (result v128 i32 v128)
    (local $x v128) (local $y v128) (local $n i32)
    (call $turn (local.get 0) (local.get 2) (local.get 1) (f64.const 2.5))
    local.set $x local.set $y local.set $n
    local.get $y local.get $n local.get $x)
  (func (export "turn") (param v128 i32 v128 f64) (result i32 v128 v128)
    (call $turn (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "load") (param i32) (result v128) (v128.load (local.get 0)))
  (func (export "fold") (param i32 v128) (result v128) (i32x4.add (local.get 1) (v128.load offset=3 (local.get 0))))
  (func (export "low") (param i32) (result v128) (v128.load8x8_s (local.get 0)))
  (func (export "splat") (param i32) (result v128) (v128.load8_splat (local.get 0)))
  (func (export "lane") (param i32 v128) (result v128) (v128.load32_lane 2 (local.get 0) (local.get 1)))
  (func (export "unused") (param i32) (drop (v128.load64_zero (local.get 0))))
  (func (export "store") (param i32 v128) (v128.store (local.get 0) (local.get 1)))
  (func (export "store_lane") (param i32 v128) (v128.store64_lane 1 (local.get 0) (local.get 1)))
)`;

const TARGETS = [
  ['baseline', 0],
  ['baseline', 2],
  ['native', 0],
  ['native', 2],
] as const;
const options = (cpu: string, optLevel: 0 | 2) => ({
  optLevel,
  features: resolveFeatures(cpu, [], nativeFeatures()),
  verify: true,
});

const MEMORY_BYTES = 0x1_0000;
const vector = (...bytes: number[]): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]!);

describeNative('vectors as values', () => {
  let region: Region;
  beforeAll(() => {
    region = Region.create({ capacity: 16 });
  });
  afterAll(() => region.dispose());

  it.each(TARGETS)('agree with V8: %s, level %i', async (cpu, optLevel) => {
    const bytes = await wat(TEXT);
    const peer = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>)).exports;
    const peerMemory = new Uint8Array((peer.memory as WebAssembly.Memory).buffer);
    const module = Module.fromBytes(compile(bytes, options(cpu, optLevel)));
    const instance = Instance.create(region, module);
    const memory = instance.export('memory') as Memory;
    let seed = 7;
    for (const [name, ...args] of [
      ['calls'],
      ['pressure', 1],
      ['pressure', 9],
      ['control', 0],
      ['control', 1],
      ['control', 2],
      ['control', 13],
    ] as const) {
      for (let round = 0; round < 4; round++) {
        const image = Uint8Array.from({ length: 2048 }, () => {
          seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
          return seed >>> 24;
        });
        peerMemory.set(image);
        memory.write(0, image);
        (peer[name] as (...a: number[]) => void)(...args);
        instance.call(name, ...args);
        expect(memory.read(0, 2048), `${name} ${args}`).toEqual(peerMemory.slice(0, 2048));
      }
    }
    instance.dispose();
    module.dispose();
  });

  it.each(TARGETS)('cross the border: %s, level %i', async (cpu, optLevel) => {
    const module = Module.fromBytes(compile(await wat(BORDER), options(cpu, optLevel)));
    const seen: unknown[][] = [];
    const turn = new HostFunction(
      (...args: unknown[]) => {
        seen.push(args);
        return [(args[1] as number) + 1, args[2], args[0]];
      },
      { type: { params: ['v128', 'i32', 'v128', 'f64'], results: ['i32', 'v128', 'v128'] } },
    );
    const g = createGlobal({ type: 'v128', mutable: false }, vector(9, 8, 7));
    const instance = Instance.create(region, module, { m: { turn, g } });
    const a = vector(1, 2, 3, 4, 5);
    const b = vector(250, 0, 128);
    expect(instance.call('get')).toEqual(vector(9, 8, 7));
    expect(instance.call('call', a, b, 41)).toEqual([b, 42, a]);
    expect(seen).toEqual([[a, 41, b, 2.5]]);
    expect(instance.call('turn', b, -1, a, 0.5)).toEqual([0, a, b]);
    const own = instance.export('own') as Global;
    expect(own.value).toEqual(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 5, 0, 0, 0, 0, 0, 0, 0));
    own.value = a;
    expect(own.value).toEqual(a);
    expect(() => instance.call('load', 0n)).toThrow(TypeError);
    expect(() => instance.call('fold', 0, new Uint8Array(15))).toThrow(TypeError);
    g.home.dispose();
    instance.dispose();
    module.dispose();
  });

  it.each(TARGETS)(
    'trap where an access does not fit, and nowhere else: %s, level %i',
    async (cpu, optLevel) => {
      const module = Module.fromBytes(compile(await wat(BORDER), options(cpu, optLevel)));
      const turn = new HostFunction(() => [], {
        type: { params: ['v128', 'i32', 'v128', 'f64'], results: ['i32', 'v128', 'v128'] },
      });
      const g = createGlobal({ type: 'v128', mutable: false }, vector(0));
      const instance = Instance.create(region, module, { m: { turn, g } });
      const one = vector(1, 0, 0, 0);
      const accesses = [
        ['load', 16, []],
        ['fold', 19, [one]],
        ['low', 8, []],
        ['splat', 1, []],
        ['lane', 4, [one]],
        ['unused', 8, []],
        ['store', 16, [one]],
        ['store_lane', 8, [one]],
      ] as const;
      for (const [name, size, args] of accesses) {
        // Every alignment; then the last place, and the first that is too far.
        for (let at = 0; at < 17; at++) instance.call(name, at, ...args);
        instance.call(name, MEMORY_BYTES - size, ...args);
        for (const at of [MEMORY_BYTES - size + 1, MEMORY_BYTES, 0xfffffff0 | 0, -1]) {
          const trap = (() => {
            try {
              instance.call(name, at, ...args);
            } catch (e) {
              return e;
            }
            return null;
          })();
          expect(trap, `${name} at ${at}`).toBeInstanceOf(Trap);
          expect((trap as Trap).code).toBe('HeapOutOfBounds');
        }
      }
      g.home.dispose();
      instance.dispose();
      module.dispose();
    },
  );
});
