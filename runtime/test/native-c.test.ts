/**
 * The C tests of the runtime (runtime/native/test). Under sanitizers they are a step of .ci/run: compiling all of it
 * again takes most of a minute.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const native = join(import.meta.dirname, '../native');

it('the runtime passes its C tests', { timeout: 300_000 }, async () => {
  const { stdout } = await run('make', ['-s', '-C', native, 'test-plain'], { maxBuffer: 1 << 24 });
  const results = [...stdout.matchAll(/^(\d+) checks, (\d+) failures$/gm)];
  // hash_test, native_test, call_test, border_test, leave_test, kill_test, suspend_test, wait_test, pool_test, debug_test,
  // watch_test, threads_test, slots_test, failures_test.
  expect(results.map(([, , failures]) => failures)).toEqual(Array(14).fill('0'));
  for (const [, checks] of results) expect(Number(checks)).toBeGreaterThan(100);
});
