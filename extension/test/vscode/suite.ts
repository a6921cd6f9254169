/**
 * The suite that runs inside of VS Code's extension host, the same under @vscode/test-electron and in code-server.
 * `run` is what both call. With LUCET_TEST_REPORT in the environment it also writes what happened there, as JSON.
 */
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';
import { defineTests } from './tests.ts';

export function run(): Promise<void> {
  const mocha = new Mocha({
    ui: 'bdd',
    timeout: 60_000,
    color: false,
    ...(process.env.LUCET_TEST_GREP ? { grep: process.env.LUCET_TEST_GREP } : {}),
  });
  mocha.suite.emit('pre-require', globalThis as unknown as Mocha.MochaGlobals, '', mocha);
  defineTests();
  return new Promise((resolve, reject) => {
    const results: { title: string; error: string | null; ms: number }[] = [];
    const runner = mocha.run(failures => {
      const path = process.env.LUCET_TEST_REPORT;
      if (path) writeFileSync(path, JSON.stringify(results, null, 2));
      if (failures > 0) reject(new Error(`${failures} tests failed`));
      else resolve();
    });
    runner.on('pass', t => results.push({ title: t.fullTitle(), error: null, ms: t.duration ?? 0 }));
    runner.on('fail', (t, e: Error) =>
      results.push({
        title: t.fullTitle(),
        error: e.stack ?? e.message,
        ms: 'duration' in t ? (t.duration ?? 0) : 0,
      }),
    );
  });
}
