/**
 * `npm run wasi-suite -- DIR [FILTER]`: the programs of the WASI test suite (DIR holds its cases.json), each compiled
 * and run by lucet-wasi in a process of its own. Exits with 1 if any fails.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pc from 'picocolors';
import { type CaseResult, readCases, runCase, type WasiCase } from './wasi-cases.ts';

/** Both are built into dist/. */
const tool = join(dirname(fileURLToPath(import.meta.url)), 'native/lucet-wasi');
/** A program that takes longer hangs. */
const LIMIT_MS = 60_000;
const TRAPPED = 134;

function run(test: WasiCase, wasm: string, directory: string | null): Promise<CaseResult> {
  const options = ['--no-cache', '--color', 'never'];
  if (directory !== null) options.push('--dir', `${directory}::/`);
  for (const [name, value] of Object.entries(test.env)) options.push('--env', `${name}=${value}`);
  // Files: what Node makes for a pipe is a socket, and a case asks.
  const streams = mkdtempSync(join(tmpdir(), 'lucet-wasi-streams-'));
  const path = (name: string): string => join(streams, name);
  writeFileSync(path('stdin'), test.stdin);
  const stdio = [openSync(path('stdin'), 'r'), openSync(path('stdout'), 'w'), openSync(path('stderr'), 'w')];
  const child = spawn(tool, [...options, wasm, ...test.args], {
    stdio,
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  for (const fd of stdio) closeSync(fd);
  return new Promise<CaseResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const trap = signal !== null ? `killed by ${signal}` : code === TRAPPED ? 'exit status 134' : null;
      const [stdout, stderr] = ['stdout', 'stderr'].map(name => readFileSync(path(name), 'utf8')) as [
        string,
        string,
      ];
      resolve({ exit: code ?? -1, trap, stdout, stderr });
    });
  }).finally(() => {
    rmSync(streams, { recursive: true });
  });
}

async function main(): Promise<number> {
  const [folder, filter] = process.argv.slice(2);
  if (folder === undefined || !existsSync(join(folder, 'cases.json'))) {
    console.error(
      'usage: npm run wasi-suite -- DIR [FILTER], where DIR holds the cases.json of the WASI test suite',
    );
    return 1;
  }
  const cases = readCases(folder).filter(
    c => filter === undefined || `${c.suite}/${c.name}`.includes(filter),
  );
  let passed = 0;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < cases.length) {
      const test = cases[next++]!;
      const problem = await runCase(folder, test, (wasm, directory) => run(test, wasm, directory));
      if (problem === null) passed++;
      else console.log(`${pc.red('failed')} ${test.suite}/${test.name}: ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  const failed = cases.length - passed;
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

process.exitCode = await main();
