/** An interpreter's dispatch, copied to the end of each operation (backend/x64/emit.ts): V8 is the judge. */
import { describe, expect, it } from 'vitest';
import { compile, compileModule, defaultOptions } from '../../compiler/index.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { Instance, Module, Region } from '../index.ts';
import type { Trap } from '../trap.ts';

/** Operations 0..5 of one byte at memory address `pc`: add, double, xor, negate, return, and beyond: trap. */
const body = (loop: string) => `(module
  (memory (export "memory") 1)
  (func (export "run") (param $pc i32) (param $x i32) (result i32)
    (${loop} $next
      (block $default (block $ret (block $neg (block $xor (block $dbl (block $add
        (br_table $add $dbl $xor $neg $ret $default
          (i32.load8_u (local.get $pc)) (local.set $pc (i32.add (local.get $pc) (i32.const 1)))))
        (local.set $x (i32.add (local.get $x) (local.get $pc))) (br $next))
        (local.set $x (i32.shl (local.get $x) (i32.const 1))) (br $next))
        (local.set $x (i32.xor (local.get $x) (i32.const 0x55))) (br $next))
        (local.set $x (i32.sub (i32.const 0) (local.get $x))) (br $next))
        (return (local.get $x)))
      (unreachable))
    (unreachable)))`;
const LOOP = body('loop');
/** The same as LLVM writes a computed goto: the next operation is fetched in one block, to which all go. */
const FETCHED = `(module
  (memory (export "memory") 1)
  (func (export "run") (param $pc i32) (param $x i32) (result i32) (local $op i32)
    (local.set $op (i32.load8_u (local.get $pc)))
    (loop $next
      (block $fetch
        (block $default (block $ret (block $neg (block $xor (block $dbl (block $add
          (br_table $add $dbl $xor $neg $ret $default (local.get $op)))
          (local.set $x (i32.add (local.get $x) (i32.add (local.get $pc) (i32.const 1)))) (br $fetch))
          (local.set $x (i32.shl (local.get $x) (i32.const 1))) (br $fetch))
          (local.set $x (i32.xor (local.get $x) (i32.const 0x55))) (br $fetch))
          (local.set $x (i32.sub (i32.const 0) (local.get $x))) (br $fetch))
          (return (local.get $x)))
        (unreachable))
      (local.set $op (i32.load8_u (local.tee $pc (i32.add (local.get $pc) (i32.const 1)))))
      (br $next))
    (unreachable)))`;

const copies = async (text: string, optLevel: 0 | 1 | 2) =>
  compileModule(decodeModule(await wat(text)), defaultOptions({ optLevel })).counters['dispatch-copy'] ?? 0;

describe('copied dispatch', () => {
  it('happens in loops, at the highest level', async () => {
    expect(await copies(LOOP, 2)).toBeGreaterThanOrEqual(3);
    expect(await copies(LOOP, 1)).toBe(0);
    expect(await copies(LOOP, 0)).toBe(0);
  });

  it('does not happen outside of loops', async () => {
    expect(await copies(body('block'), 2)).toBe(0);
  });

  it('takes along what is fetched in front of it', async () => {
    expect(await copies(FETCHED, 2)).toBeGreaterThanOrEqual(4);
    expect(await copies(FETCHED, 1)).toBe(0);
  });

  it.each([
    ['by itself', LOOP],
    ['with what is fetched', FETCHED],
  ])('computes what V8 computes, and traps where it must: %s', async (_, text) => {
    const bytes = await wat(text);
    const v8 = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), {}).exports;
    const region = Region.create({ capacity: 1 });
    const ours = Instance.create(region, Module.fromBytes(compile(bytes)), {});
    const theirs = new Uint8Array((v8.memory as WebAssembly.Memory).buffer);
    const memory = ours.memory!;
    let seed = 1;
    const programs = Array.from({ length: 20 }, () => {
      const program = Array.from({ length: 30 }, () => (seed = (seed * 48271) % 0x7fffffff) % 4);
      return [...program, 4];
    });
    for (const program of programs) {
      theirs.set(program, 100);
      memory.write(100, Uint8Array.from(program));
      expect(ours.call('run', 100, 7)).toBe((v8.run as (pc: number, x: number) => number)(100, 7));
    }
    const codeOf = (pc: number): string => {
      try {
        ours.call('run', pc, 7);
        return 'none';
      } catch (e) {
        return (e as Trap).code;
      }
    };
    // The load is in each copy of the dispatch: an operation before the last byte leads to one that isn't there.
    memory.write(65535, Uint8Array.of(1));
    expect(codeOf(65535)).toBe('HeapOutOfBounds');
    memory.write(100, Uint8Array.of(0, 1, 77));
    expect(codeOf(100)).toBe('Unreachable');
    ours.dispose();
    region.dispose();
  });
});
