/**
 * Backtraces of compiled code. Two judges: a debugger that steps the guest instruction by instruction
 * (runtime/native/test/unwind_step.c), and V8, which reports the same function indices and byte offsets for the same
 * faults.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance, Module, Region, Trap } from '../index.ts';
import { describeNative } from './support/guest.ts';

const run = promisify(execFile);
const native = join(import.meta.dirname, '../native');
const out = join(import.meta.dirname, '../../dist/native');

/**
 * `n` values that live across a call: the more, the more registers are saved and spilled. Of 5,000, the prologue
 * touches pages.
 */
function pressure(n: number): string {
  const locals = Array.from({ length: n }, (_, i) => `(local $l${i} i64)`).join(' ');
  const sets = Array.from(
    { length: n },
    (_, i) => `(local.set $l${i} (i64.mul (local.get 0) (i64.const ${i + 3})))`,
  ).join('\n');
  const sum = Array.from({ length: n }, (_, i) => `(local.get $l${i}) i64.add`).join('\n');
  return `(func $pressure${n} (param i64) (result i64) ${locals} ${sets} (call $leaf (local.get 0)) ${sum})`;
}

/** Parameters and arguments on the stack. */
function wide(n: number): string {
  const params = `(param i64) ${Array.from({ length: n }, () => '(param i64)').join(' ')}`;
  const args = Array.from({ length: n }, () => '(local.get 0)').join(' ');
  return `(func $wide ${params} (result i64) (i64.add (local.get ${n}) (call $leaf (local.get 1))))
    (func $callsWide (param i64) (result i64) (call $wide (local.get 0) ${args}))`;
}

/**
 * A chain of tail calls with fewer and more stack arguments than the function that makes them, and results on the
 * stack. Some have nothing to save, some do; the last is through a table. Each adds its number of parameters to the
 * first argument.
 */
function tails(): string {
  const widths = [3, 12, 0, 40, 7, 7, 21, 300, 2];
  const results = 'i64 i64 i64 i64 i64 i64 i64 i64';
  const name = (i: number) => `$tail${i}`;
  const params = (n: number) => `(param i64 f64) ${'(param i64) '.repeat(n)}`;
  const args = (n: number, own: number) =>
    Array.from({ length: n }, (_, k) => `(local.get ${k % 3 === 0 || own === 0 ? 0 : 2 + (k % own)})`).join(
      ' ',
    );
  const all = widths.map((n, i) => {
    const next = widths[i + 1];
    const first = `(i64.add (local.get 0) (i64.const ${n}))`;
    const busy = i % 2 === 0 ? '(local.set 0 (i64.add (local.get 0) (call $leaf (local.get 0))))' : '';
    const head = `(func ${name(i)} ${params(n)} (result ${results}) ${busy}`;
    if (next === undefined) return `${head} ${first} ${args(7, n)})`;
    const call = i === 5 ? '(return_call_indirect (type $t6)' : `(return_call ${name(i + 1)}`;
    const index = i === 5 ? '(i32.const 2)' : '';
    return `${head} ${call} ${first} (local.get 1) ${args(next, n)} ${index}))`;
  });
  return `(type $t6 (func ${params(21)} (result ${results}))) ${all.join('\n')}
    (func $tails (param i64) (result i64)
      (call ${name(0)} (local.get 0) (f64.const 1) ${'(local.get 0) '.repeat(widths[0]!)})
      ${'i64.add '.repeat(7)})`;
}

const STEPPED = `(module
  (func $leaf (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  ${[1, 4, 8, 5000].map(pressure).join('\n')}
  ${wide(900)}
  ${tails()}
  (table funcref (elem $leaf $pressure8 $tail6))
  (type $f (func (param i64) (result i64)))
  (func (export "all") (param i64) (result i64)
    (call $tails (call $pressure1 (call $pressure4 (call $pressure8 (call $pressure5000 (call $callsWide
      (call_indirect (type $f) (local.get 0) (i32.wrap_i64 (i64.and (local.get 0) (i64.const 1))))))))))))`;

const TRAPPING = `(module
  (memory 1)
  (table 4 funcref) (elem (i32.const 0) $load $divide)
  (type $f (func (param i32) (result i32)))
  (func $load (param i32) (result i32) (i32.add (i32.load offset=8 (local.get 0)) (i32.const 1)))
  (func $divide (param i32) (result i32) (i32.div_u (i32.const 1) (i32.sub (local.get 0) (local.get 0))))
  (func $none (param i32) (result i32) unreachable)
  (func $truncate (param i32) (result i32) (i32.trunc_f64_s (f64.div (f64.convert_i32_u (local.get 0)) (f64.const 0))))
  (func $fill (param i32) (result i32) (memory.fill (local.get 0) (i32.const 1) (i32.const 65536)) (i32.const 0))
  (func $choose (param i32 i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 4))
      (then (i32.add (call_indirect (type $f) (local.get 1) (local.get 0)) (i32.const 5)))
      (else (block $c (block $b (block $a
        (br_table $a $b $c (i32.sub (local.get 0) (i32.const 4))))
        (return (i32.mul (call $none (local.get 1)) (i32.const 3))))
        (return (call $truncate (local.get 1))))
        (call $fill (local.get 1)))))
  (func $deeper (param i32 i32 i32) (result i32)
    (if (result i32) (local.get 2)
      (then (i32.add (i32.const 7) (call $deeper (local.get 0) (local.get 1) (i32.sub (local.get 2) (i32.const 1)))))
      (else (call $choose (local.get 0) (local.get 1)))))
  (func (export "run") (param i32 i32 i32) (result i32)
    (i32.xor (call $deeper (local.get 0) (local.get 1) (local.get 2)) (local.get 1))))`;

/** [function index, byte offset] of each frame, innermost first, as V8 tells them. */
function v8Frames(e: unknown): [number, number][] {
  const stack = (e as Error).stack ?? '';
  return [...stack.matchAll(/wasm-function\[(\d+)\]:0x([0-9a-f]+)/g)].map(m => [
    Number(m[1]),
    Number.parseInt(m[2]!, 16),
  ]);
}

function caught(act: () => unknown): unknown {
  try {
    act();
  } catch (e) {
    return e;
  }
  throw new Error('it did not trap');
}

describeNative('backtraces of compiled code', () => {
  let dir: string;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lucet-unwind-'));
    await run('make', ['-s', '-C', native, join('../../dist/native', 'unwind_step')]);
  }, 120_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it.each([
    [0, 'guarded'],
    [2, 'guarded'],
    [0, 'dense'],
    [2, 'dense'],
  ] as const)('the return address is found at each instruction, -O%i, %s', async (optLevel, memory) => {
    const path = join(dir, `stepped${optLevel}${memory}.so`);
    writeFileSync(path, compile(await wat(STEPPED), { optLevel, memory }));
    for (const arg of ['0', '1']) {
      const { stdout } = await run(join(out, 'unwind_step'), [path, 'all', arg]);
      const [bodies, edges] = stdout.split(' ').map(Number);
      expect(bodies).toBeGreaterThan(100);
      expect(edges).toBeGreaterThan(10);
    }
  });

  it.each([0, 2] as const)('frames are those that V8 sees, -O%i', async optLevel => {
    const bytes = await wat(TRAPPING);
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 50;
    const region = Region.create({ capacity: 1 });
    const module = Module.fromBytes(compile(bytes, { optLevel }));
    try {
      const run = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.run as (
        ...a: number[]
      ) => unknown;
      const ours = Instance.create(region, module, {});
      for (const [which, arg] of [
        [0, 65529],
        [0, -1],
        [1, 5],
        [2, 5],
        [3, 5],
        [4, 5],
        [5, 5],
        [6, 5],
      ] as const) {
        for (const depth of [0, 1, 20]) {
          const expected = v8Frames(caught(() => run(which, arg, depth)));
          const trap = caught(() => ours.call('run', which, arg, depth));
          if (!(trap instanceof Trap)) throw trap;
          const frames = trap.report.frames.map(f => [f.functionIndex, f.wasmOffset]);
          expect(expected.length).toBeGreaterThan(depth);
          expect(frames, `case ${which}, depth ${depth}: ${trap.code}`).toEqual(expected);
        }
      }
      ours.dispose();
    } finally {
      Error.stackTraceLimit = limit;
      module.dispose();
      region.dispose();
    }
  });
});
