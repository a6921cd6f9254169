/** The official WASI test suite on Node's engine, with our native WASI functions, both ways of walking paths. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readCases, runCase } from '../../scripts/wasi-cases.ts';
import { type Walk, WasiOnV8 } from './wasi-v8.ts';

const folder = join(
  process.env.LUCET_SHARED ?? join(import.meta.dirname, '../../../shared'),
  'wasi-testsuite',
);
const present = existsSync(join(folder, 'cases.json'));
if (!present) console.warn(`wasi-suite: there is no WASI test suite in ${folder}: its cases are left out`);

describe.runIf(present)('WASI test suite', () => {
  const wasi = new WasiOnV8();
  afterAll(() => {
    wasi.close();
  });
  for (const walk of ['openat2', 'components'] as Walk[]) {
    for (const test of present ? readCases(folder) : []) {
      it(`${walk}: ${test.suite}/${test.name}`, async () => {
        wasi.setWalk(walk);
        const problem = await runCase(folder, test, (wasm, root) =>
          wasi.run(readFileSync(wasm), {
            args: [`${test.name}.wasm`, ...test.args],
            env: test.env,
            preopens: root === null ? [] : [{ host: root, guest: '/' }],
            stdin: test.stdin,
          }),
        );
        expect(problem).toBeNull();
      });
    }
  }
});
