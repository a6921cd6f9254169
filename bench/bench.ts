/**
 * `npm run bench -- [options] FILE.wasm|DIR … [-- ARGS]`: run time, compile time and rate, code size and memory, each beside the peers' in the
 * same run. Every engine has a process of its own for each workload; runs are interleaved, medians are printed, outputs are checked.
 * `--check` only runs everything once and compares the output with what is expected.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { CompileError, wasmCodeBytes } from '../compiler/index.ts';
import { decodeModule } from '../compiler/wasm/decode.ts';
import type { Module } from '../compiler/wasm/module.ts';
import { type Before, buildRevision, codeDifference } from './against.ts';
import type { ChildData } from './child.ts';
import type { EngineName, Row } from './engine.ts';
import { type LucetOptions, lucetEngine } from './engine-lucet.ts';
import { wasmtimeLibrary } from './engine-wasmtime.ts';
import { Peer } from './peer.ts';
import { chartSvg, tableText } from './report.ts';
import { findWorkloads, mismatch, type Workload } from './workload.ts';

const USAGE = `Usage: npm run bench -- [options] FILE.wasm|DIR … [-- ARGS]
  --runs N          interleaved runs of each engine (default 5); the median is printed
  --opt-level N     of lucetc (default 2)
  --memory MODE     of lucetc: guarded (default) or dense
  --engines LIST    of lucet, v8, wasmtime (default: all that are found; LUCET_WASMTIME names wasmtime's library)
  --against REV     also a build of this revision ("before"); says which functions' code differs
  --diff DIR        where --against puts the differences (default bench-diff)
  --check           run each once with Lucet only, and compare with the folder's expected.json
  --json            rows {workload, engine, run_ms, compile_cpu_ms, wasm_code_bytes, text_bytes, peak_mb}
  --chart FILE.svg  run times as a chart
`;
/** Compilations of each engine. */
const COMPILES = 3;
/** A run that is shorter is repeated this many times more often. */
const SHORT_MS = 20;
const SHORT_FACTOR = 5;

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;

/** Can it be run, or is it there to be compiled only? */
const runnable = (module: Module): boolean => module.exports.some(e => e.name === '_start');

interface Contender {
  readonly name: EngineName;
  readonly dist?: string;
}

interface Plan {
  readonly contenders: readonly Contender[];
  readonly runs: number;
  readonly lucet: LucetOptions;
}

async function measure(workload: Workload, { contenders, runs, lucet }: Plan): Promise<Row[]> {
  const decoded = decodeModule(readFileSync(workload.path));
  const peers: Peer[] = [];
  try {
    for (const { name, dist } of contenders) {
      const engine = name === 'before' ? 'lucet' : name;
      const data: ChildData = { engine, workload, lucet, library: wasmtimeLibrary() };
      peers.push(await Peer.start(data, dist));
    }
    const compiles = peers.map(() => [] as Awaited<ReturnType<Peer['compile']>>[]);
    for (let r = 0; r < COMPILES; r++)
      for (const [i, peer] of peers.entries()) compiles[i]!.push(await peer.compile());
    const times = peers.map(() => [] as number[]);
    let rounds = runnable(decoded) ? runs : 0;
    for (let r = 0; r < rounds; r++) {
      for (const [i, peer] of peers.entries()) times[i]!.push(await peer.run());
      if (r === 0 && times.some(t => t[0]! < SHORT_MS)) rounds *= SHORT_FACTOR;
    }
    return contenders.map(({ name }, i) => ({
      workload: workload.name,
      engine: name,
      run_ms: times[i]!.length > 0 ? median(times[i]!) : null,
      compile_cpu_ms: median(compiles[i]!.map(c => c.compileMs)),
      wasm_code_bytes: wasmCodeBytes(decoded),
      text_bytes: compiles[i]![0]!.textBytes,
      peak_mb: Math.round(compiles[i]![0]!.peakMb),
    }));
  } finally {
    for (const peer of peers) peer.stop();
  }
}

async function check(workloads: readonly Workload[], lucet: LucetOptions): Promise<number> {
  const engine = lucetEngine(lucet);
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const workload of workloads) {
    let wrong: string | null;
    try {
      const bytes = readFileSync(workload.path);
      const module = await engine.compile(bytes, workload);
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

function contenders(list: string | undefined, before: Before | null): Contender[] {
  const found: Contender[] = [{ name: 'lucet' }];
  if (before) found.push({ name: 'before', dist: before.dist });
  const wanted = list?.split(',');
  for (const name of wanted ?? []) {
    if (!['lucet', 'v8', 'wasmtime'].includes(name)) throw new Error(`unknown engine ${name}`);
  }
  if (wanted?.includes('wasmtime') && !wasmtimeLibrary())
    throw new Error('LUCET_WASMTIME does not name the library of wasmtime');
  if (!wanted || wanted.includes('v8')) found.push({ name: 'v8' });
  if (wasmtimeLibrary() && (!wanted || wanted.includes('wasmtime'))) found.push({ name: 'wasmtime' });
  return found;
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
      memory: { type: 'string', default: 'guarded' },
      engines: { type: 'string' },
      against: { type: 'string' },
      diff: { type: 'string', default: 'bench-diff' },
      chart: { type: 'string' },
    },
  });
  const runs = Number(values.runs);
  const level = Number(values['opt-level']);
  const { memory } = values;
  if (
    positionals.length === 0 ||
    !(runs >= 1) ||
    ![0, 1, 2].includes(level) ||
    (memory !== 'guarded' && memory !== 'dense')
  ) {
    process.stderr.write(USAGE);
    return 1;
  }
  const workloads = positionals.flatMap(path => findWorkloads(path, args));
  const lucet: LucetOptions = { optLevel: level as 0 | 1 | 2, memory };
  if (values.check) return check(workloads, lucet);
  const before = values.against ? buildRevision(values.against) : null;
  try {
    const plan: Plan = { contenders: contenders(values.engines, before), runs, lucet };
    const rows: Row[] = [];
    for (const workload of workloads) {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${workload.name}`);
      rows.push(...(await measure(workload, plan)));
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    console.log(values.json ? JSON.stringify(rows, null, 1) : tableText(rows));
    if (values.chart) {
      mkdirSync(dirname(values.chart), { recursive: true });
      writeFileSync(values.chart, chartSvg(rows));
    }
    // In the JSON form, standard output is for the rows alone.
    const say = values.json ? console.error : console.log;
    if (before) for (const w of workloads) say(codeDifference(before, w, level, values.diff));
    return 0;
  } finally {
    before?.dispose();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (e) {
  process.stderr.write(`bench: ${(e as Error).message}\n`);
  process.exitCode = 1;
}
