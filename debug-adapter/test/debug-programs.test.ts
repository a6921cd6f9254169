/**
 * A few of the programs that `npm run debug-programs` holds against their own output; and that a difference is seen.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildProgram, PROGRAMS } from '../../scripts/debug-build.ts';
import { type CheckResult, checkProgram } from '../../scripts/debug-check.ts';

const ADAPTER = resolve(import.meta.dirname, '../../dist/debug-adapter.cjs');
let dir = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-debug-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const check = async (name: string, text?: string): Promise<CheckResult> =>
  checkProgram(await buildProgram(name, dir, text), ADAPTER);

test.each(['shadow.c', 'text.c', 'arrays.ts', 'gcd.wat'])(
  'every local of %s at each mark is what the program prints',
  async name => {
    const { problems, values } = await check(name);
    expect(problems).toEqual([]);
    expect(values).toBeGreaterThan(10);
  },
  60_000,
);

test('a program that prints something else than a local holds is told', async () => {
  const text = readFileSync(join(PROGRAMS, 'gcd.wat'), 'utf8');
  const lying = text.replace('(i32.const 1040) (local.get $a)', '(i32.const 1040) (local.get $b)');
  expect(lying).not.toBe(text);
  const { problems } = await check('gcd.wat', lying);
  expect(problems).toContain('step (stop 1): $a is 1071, not 462');
}, 60_000);
