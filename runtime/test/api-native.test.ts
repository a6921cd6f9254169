/**
 * lucet.h from a C program: all that an embedder can do beyond calling. The C tests of runtime/native/test have no
 * compiled guests; this has.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { libraryPath } from '../library.ts';
import { artifact } from './support/bundle.ts';
import { describeNative } from './support/guest.ts';

const run = promisify(execFile);

const TEXT = `(module $guest
  (import "h" "native" (func $native (param i32) (result i32)))
  (import "h" "ask" (func $ask (param i64) (result i64)))
  (memory (export "memory") 1 3)
  (global $started (export "started") (mut i32) (i32.const 7))
  (global (export "constant") i64 (i64.const 5))
  (table (export "table") 2 funcref)
  (elem (i32.const 1) $sum)
  (func $start (global.set $started (i32.const 8)))
  (start $start)
  (func $sum (export "sum") (param i64) (result i64) (local i64)
    (loop
      (local.set 1 (i64.add (local.get 1) (local.get 0)))
      (br_if 0 (i64.ne (i64.const 0) (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
    (local.get 1))
  (func (export "native") (param i32) (result i32) (call $native (local.get 0)))
  (func (export "ask") (param i64) (result i64) (call $ask (local.get 0)))
  (func (export "trap") unreachable))`;

describeNative('lucet.h', () => {
  it('offers what an embedder needs, with every state but those of faults in generated code', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lucet-api-'));
    try {
      const module = join(dir, 'guest.so');
      await writeFile(module, await artifact(TEXT, { countInstructions: true }));
      const program = join(dir, 'api');
      const library = dirname(libraryPath());
      await run('cc', [
        ...['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-pthread'],
        ...['-I', join(import.meta.dirname, '../native'), join(import.meta.dirname, 'api-native.c')],
        ...['-L', library, '-llucet', `-Wl,-rpath,${library}`, '-o', program],
      ]);
      const { stdout } = await run(program, [module]);
      expect(stdout.trim().split('\n')).toEqual([
        ...['NotStarted', 'Ready'],
        ...['BoundExpired', 'Terminated'],
        ...['Yielding', 'Yielded', 'Yielded'],
        ...['Running', 'Faulted', 'Suspended'],
        ...['Terminating', 'Terminated'],
        'done',
      ]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
