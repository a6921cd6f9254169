/** The peers that go through a C compiler, on a program whose output is known. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import wabt from 'wabt';
import type { Engine } from '../engine.ts';
import { hasNative, nativeEngine } from '../engine-native.ts';
import { hasWasm2c, wasm2cEngine } from '../engine-wasm2c.ts';
import { mismatch, type Workload } from '../workload.ts';

// Prints its first argument's last byte but the zero, and a line; ends with status 3. Only what is between the brackets
// is to be timed.
const WAT = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "bench" "start" (func $start))
  (import "bench" "end" (func $end))
  (memory (export "memory") 1)
  (data (i32.const 64) "\\00\\02\\00\\00\\03\\00\\00\\00")
  (func (export "_start") (local i32)
    (drop (call $args (i32.const 0) (i32.const 512)))
    (i32.store8 (i32.const 514) (i32.const 10))
    (call $start)
    (loop
      (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.mul (local.get 0) (local.get 0))))
      (br_if 0 (i32.ne (i32.const 50000000) (local.tee 0 (i32.add (local.get 0) (i32.const 1))))))
    (call $end)
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72)))
    (call $exit (i32.const 3))))`;

const C = `#include <stdio.h>
void bench_start(void);
void bench_end(void);
int main(void) {
  bench_start();
  for (volatile int i = 0; i < 50000000; i++) {}
  bench_end();
  puts("hi");
  return 3;
}
`;

const root = mkdtempSync(join(tmpdir(), 'lucet-peers-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function workload(): Promise<Workload> {
  const folder = join(root, 'hi');
  const path = join(folder, 'hi.wasm');
  mkdirSync(folder, { recursive: true });
  const module = (await wabt()).parseWat('hi.wat', WAT);
  writeFileSync(path, module.toBinary({}).buffer);
  module.destroy();
  writeFileSync(join(folder, 'hi.c'), C);
  return { name: 'hi', path, args: [], folder, expected: { exit: 3, stdout: 'hi\n', stderr: '' } };
}

async function expectRuns(engine: Engine): Promise<void> {
  const what = await workload();
  const compiled = await engine.compile(new Uint8Array(), what);
  expect(compiled.compileMs).toBeGreaterThan(1);
  expect(compiled.textBytes).toBeGreaterThan(0);
  const { output, runMs } = await compiled.run(what);
  expect(mismatch(output, what.expected!)).toBeNull();
  // Fifty million rounds, whatever the machine.
  expect(runMs).toBeGreaterThan(1);
}

describe('peers by a C compiler', () => {
  it.skipIf(!hasWasm2c())('wasm2c and gcc', () => expectRuns(wasm2cEngine()), 60_000);

  it('native, where there is a source', async () => {
    const what = await workload();
    expect(hasNative({ ...what, folder: root })).toBe(false);
    expect(hasNative(what)).toBe(true);
    await expectRuns(nativeEngine());
  });
});
