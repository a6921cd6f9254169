/**
 * `npm run bench -- [options] FILE.wasm|DIR … [-- ARGS]`: compile time and rate, code size and run time, each beside V8's in the same run.
 * Runs are interleaved, medians are printed. `--check` only runs everything once and compares the output with what is expected.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CompileError, wasmCodeBytes } from '../compiler/index.ts';
import { decodeModule } from '../compiler/wasm/decode.ts';
import type { Module } from '../compiler/wasm/module.ts';
import type { Compiled, Engine } from './engine.ts';
import { lucetEngine } from './engine-lucet.ts';
import { v8Engine } from './engine-v8.ts';
import { findWorkloads, mismatch, type Workload } from './workload.ts';

interface Row {
  readonly workload: string;
  readonly engine: string;
  readonly run_ms: number | null;
  readonly compile_cpu_ms: number;
  readonly wasm_code_bytes: number;
  readonly text_bytes: number | null;
}

const USAGE = `Usage: npm run bench -- [--json] [--runs N] [--opt-level N] [--check] FILE.wasm|DIR … [-- ARGS]
  --runs N       interleaved runs of each engine (default 5); the median is printed
  --opt-level N  of lucetc (default 2)
  --check        run each once with Lucet only, and compare with the folder's expected.json
  --json         rows {workload, engine, run_ms, compile_cpu_ms, wasm_code_bytes, text_bytes}
`;

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;

/** Can it be run, or is it there to be compiled only? */
const runnable = (module: Module): boolean => module.exports.some(e => e.name === '_start');

async function measure(workload: Workload, engines: readonly Engine[], runs: number): Promise<Row[]> {
  const bytes = readFileSync(workload.path);
  const decoded = decodeModule(bytes);
  const compiles = engines.map(() => [] as number[]);
  const times = engines.map(() => [] as number[]);
  const modules: Compiled[] = [];
  for (let r = 0; r < Math.min(3, runs); r++) {
    for (const [i, engine] of engines.entries()) {
      modules[i] = await engine.compile(bytes);
      compiles[i]!.push(modules[i]!.compileMs);
    }
  }
  for (let r = 0; r < runs && runnable(decoded); r++) {
    for (const [i, module] of modules.entries()) {
      const { runMs, output } = await module.run(workload);
      const wrong = workload.expected && mismatch(output, workload.expected);
      if (wrong) throw new Error(`${workload.name} on ${engines[i]!.name}: ${wrong}`);
      times[i]!.push(runMs);
    }
  }
  return engines.map((engine, i) => ({
    workload: workload.name,
    engine: engine.name,
    run_ms: times[i]!.length > 0 ? median(times[i]!) : null,
    compile_cpu_ms: median(compiles[i]!),
    wasm_code_bytes: wasmCodeBytes(decoded),
    text_bytes: modules[i]!.textBytes,
  }));
}

async function check(workloads: readonly Workload[], engine: Engine): Promise<number> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const workload of workloads) {
    let wrong: string | null;
    try {
      const bytes = readFileSync(workload.path);
      const module = await engine.compile(bytes);
      wrong =
        runnable(decodeModule(bytes)) && workload.expected
          ? mismatch((await module.run(workload)).output, workload.expected)
          : null;
    } catch (e) {
      if (e instanceof CompileError && e.kind === 'unsupported') {
        console.log(`SKIPPED ${workload.name}: ${e.message}`);
        skipped++;
        continue;
      }
      wrong = (e as Error).message;
    }
    console.log(`${wrong ? 'FAILED' : 'ok    '} ${workload.name}${wrong ? `: ${wrong}` : ''}`);
    if (wrong) failed++;
    else passed++;
  }
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

const number = (n: number | null, digits: number, width: number): string =>
  (n === null ? '-' : n.toFixed(digits)).padStart(width);

function printTable(rows: readonly Row[], engines: readonly Engine[]): void {
  console.log('workload             engine   compile ms    MB/s    text KB     run ms   ratio to v8');
  const ratios: number[] = [];
  for (let i = 0; i < rows.length; i += engines.length) {
    const group = rows.slice(i, i + engines.length);
    const peer = group.find(r => r.engine === 'v8');
    for (const row of group) {
      const ratio = row.run_ms !== null && peer?.run_ms ? row.run_ms / peer.run_ms : null;
      if (ratio !== null && row.engine === 'lucet') ratios.push(ratio);
      const rate = row.wasm_code_bytes / 1000 / row.compile_cpu_ms;
      console.log(
        `${row.workload.padEnd(20)} ${row.engine.padEnd(6)} ${number(row.compile_cpu_ms, 1, 12)} ${number(rate, 2, 7)} ${number(row.text_bytes && row.text_bytes / 1024, 1, 10)} ${number(row.run_ms, 2, 10)} ${number(ratio, 2, 13)}`,
      );
    }
  }
  if (ratios.length > 0) {
    const mean = Math.exp(ratios.reduce((sum, r) => sum + Math.log(r), 0) / ratios.length);
    console.log(`run time, geometric mean of ${ratios.length} workloads: ${mean.toFixed(2)} of v8's`);
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const split = argv.indexOf('--');
  const own = split < 0 ? argv : argv.slice(0, split);
  const args = split < 0 ? [] : argv.slice(split + 1);
  const { values, positionals } = parseArgs({
    args: [...own],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      runs: { type: 'string', default: '5' },
      'opt-level': { type: 'string', default: '2' },
    },
  });
  const runs = Number(values.runs);
  const level = Number(values['opt-level']);
  if (positionals.length === 0 || !(runs >= 1) || ![0, 1, 2].includes(level)) {
    process.stderr.write(USAGE);
    return 1;
  }
  const workloads = positionals.flatMap(path => findWorkloads(path, args));
  const lucet = lucetEngine(level as 0 | 1 | 2);
  if (values.check) return check(workloads, lucet);
  const engines = [lucet, v8Engine()];
  const rows: Row[] = [];
  for (const workload of workloads) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${workload.name}`);
    rows.push(...(await measure(workload, engines, runs)));
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  if (values.json) console.log(JSON.stringify(rows, null, 1));
  else printTable(rows, engines);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (e) {
  process.stderr.write(`bench: ${(e as Error).message}\n`);
  process.exitCode = 1;
}
