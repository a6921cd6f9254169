/**
 * `npm run programs -- DIR`: the benchmark programs (DIR holds NAME/NAME.wasm and expected.json), each compiled by
 * lucetc-wasi and run by the lucet-wasi executable as a user would: exit status and output must be the expected ones.
 * Their imports that mark what is to be timed do nothing here.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findWorkloads, mismatch, type Output, type Workload } from '../bench/workload.ts';

const dist = dirname(fileURLToPath(import.meta.url));
const LIMIT_MS = 120_000;

/** With files as its streams: output may be long. */
async function run(so: string, w: Workload, dir: string): Promise<Output> {
  const [out, err] = [join(dir, 'stdout'), join(dir, 'stderr')];
  const stdio = [openSync('/dev/null', 'r'), openSync(out, 'w'), openSync(err, 'w')];
  const options = ['--unknown-imports', 'zero', '--dir', `${w.folder}::.`];
  const child = spawn(join(dist, 'native/lucet-wasi'), [...options, so], {
    stdio,
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  for (const fd of stdio) closeSync(fd);
  const exit = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      signal === null ? resolve(code!) : reject(new Error(`killed by ${signal}`)),
    );
  });
  return { exit, stdout: readFileSync(out), stderr: readFileSync(err) };
}

async function check(w: Workload): Promise<string | null> {
  const dir = mkdtempSync(join(tmpdir(), 'lucet-programs-'));
  try {
    const so = join(dir, `${w.name}.so`);
    execFileSync(process.execPath, [join(dist, 'lucetc-wasi.js'), w.path, '-o', so]);
    return mismatch(await run(so, w, dir), w.expected!);
  } catch (e) {
    return (e as Error).message;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const folder = process.argv[2];
if (folder === undefined) {
  console.error('usage: npm run programs -- DIR, where DIR holds expected.json and NAME/NAME.wasm');
  process.exitCode = 1;
} else {
  // What has no exit status is no command.
  const all = findWorkloads(folder, []).filter(w => w.expected?.exit !== undefined);
  let failed = 0;
  for (const w of all) {
    const from = performance.now();
    const problem = await check(w);
    if (problem !== null) failed++;
    const time = `${((performance.now() - from) / 1000).toFixed(1)} s`;
    console.log(problem === null ? `ok     ${w.name}: ${time}` : `FAILED ${w.name}: ${problem}`);
  }
  console.log(`${all.length - failed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && all.length > 0 ? 0 : 1;
}
