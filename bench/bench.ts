/**
 * `npm run bench -- [options] FILE.wasm|DIR … [-- ARGS]`: run time, compile time and rate, code size and memory, each
 * beside the peers' in the same run. Every engine has a process of its own for each workload; runs are interleaved,
 * medians are printed, outputs are checked. `--check` only runs everything once and compares the output with what is
 * expected.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { wasmCodeBytes } from '../compiler/budget.ts';
import { CompileError } from '../compiler/index.ts';
import { decodeModule } from '../compiler/wasm/decode.ts';
import type { Module } from '../compiler/wasm/module.ts';
import { type Before, buildRevision, codeDifference } from './against.ts';
import type { ChildData } from './child.ts';
import { type EngineName, PEERS, type Row } from './engine.ts';
import { type LucetOptions, lucetEngine } from './engine-lucet.ts';
import { hasNative } from './engine-native.ts';
import { hasWasm2c } from './engine-wasm2c.ts';
import { wasmtimeLibrary } from './engine-wasmtime.ts';
import { type CompileFacts, Peer } from './peer.ts';
import { buildPrograms, hasSources } from './programs.ts';
import { chartSvg, tableText } from './report.ts';
import { findWorkloads, mismatch, type Workload } from './workload.ts';

const USAGE = `Usage: npm run bench -- [options] FILE.wasm|DIR … [-- ARGS]
  --runs N          interleaved runs of each engine (default 5); the median is printed
  --opt-level N     of lucetc (default 2)
  --memory MODE     of lucetc: guarded (default) or dense
  --debug           code for debuggers: as lucetc -g, at level 0
  --engines LIST    of v8, wasmtime, wasm2c, native, beside Lucet (default: all that are found; LUCET_WASMTIME names wasmtime's library,
                    native compiles NAME/NAME.c or .cpp by LUCET_NATIVE_CC, clang or gcc)
  --against REV     also a build of this revision ("before"); says which functions' code differs
  --diff DIR        where --against puts the differences (default bench-diff)
  --wasm-flags LIST clang's, for a folder of C programs (default -O3; -O3 -msimd128 lets it use vectors)
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

/** A contender with one workload, and what it has come to. */
interface Entrant {
  readonly name: EngineName;
  readonly peer: Peer;
  readonly compiles: CompileFacts[];
  readonly times: number[];
}

interface Plan {
  readonly contenders: readonly Contender[];
  readonly runs: number;
  readonly lucet: LucetOptions;
}

async function measure(workload: Workload, { contenders, runs, lucet }: Plan): Promise<Row[]> {
  const decoded = decodeModule(readFileSync(workload.path));
  const peers: Peer[] = [];
  let inRace: Entrant[] = [];
  /** One step of every entrant. A peer that fails is out, and the others go on; when it is ours, the run has failed. */
  const everyone = async (step: (e: Entrant) => Promise<void>): Promise<void> => {
    for (const entrant of inRace) {
      try {
        await step(entrant);
      } catch (e) {
        if (entrant.name === 'lucet' || entrant.name === 'before') throw e;
        console.error(`left out: ${(e as Error).message}`);
        inRace = inRace.filter(other => other !== entrant);
      }
    }
  };
  try {
    for (const { name, dist } of contenders) {
      if (name === 'native' && !hasNative(workload)) continue;
      // There is nothing to be learnt from the compile time of a C compiler alone.
      if ((name === 'native' || name === 'wasm2c') && !runnable(decoded)) continue;
      const engine = name === 'before' ? 'lucet' : name;
      const data: ChildData = { engine, workload, lucet, library: wasmtimeLibrary() };
      const peer = new Peer(data, dist);
      peers.push(peer);
      inRace.push({ name, peer, compiles: [], times: [] });
    }
    await everyone(({ peer }) => peer.begin());
    for (let r = 0; r < COMPILES; r++)
      await everyone(async ({ peer, compiles }) => void compiles.push(await peer.compile()));
    let rounds = runnable(decoded) ? runs : 0;
    for (let r = 0; r < rounds; r++) {
      await everyone(async ({ peer, times }) => void times.push(await peer.run()));
      if (r === 0 && inRace.some(({ times }) => times[0]! < SHORT_MS)) rounds *= SHORT_FACTOR;
    }
    return inRace.map(({ name, compiles, times }) => {
      const { textBytes, peakMb } = compiles[0]!;
      return {
        workload: workload.name,
        engine: name,
        run_ms: times.length > 0 ? median(times) : null,
        compile_cpu_ms: median(compiles.map(c => c.compileMs)),
        wasm_code_bytes: wasmCodeBytes(decoded),
        text_bytes: textBytes,
        peak_mb: peakMb === null ? null : Math.round(peakMb),
      };
    });
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
    if (!['lucet', ...PEERS].includes(name)) throw new Error(`unknown engine ${name}`);
  }
  if (wanted?.includes('wasmtime') && !wasmtimeLibrary())
    throw new Error('LUCET_WASMTIME does not name the library of wasmtime');
  if (wanted?.includes('wasm2c') && !hasWasm2c())
    throw new Error(
      'wasm2c with the sources of its runtime, or gcc, is not here (Debian: apt-get install wabt gcc)',
    );
  const here: Readonly<Record<(typeof PEERS)[number], boolean>> = {
    v8: true,
    wasmtime: wasmtimeLibrary() !== null,
    wasm2c: hasWasm2c(),
    native: true,
  };
  for (const name of PEERS) if (here[name] && (!wanted || wanted.includes(name))) found.push({ name });
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
      debug: { type: 'boolean', default: false },
      'wasm-flags': { type: 'string', default: '-O3' },
      engines: { type: 'string' },
      against: { type: 'string' },
      diff: { type: 'string', default: 'bench-diff' },
      chart: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
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
  const flags = values['wasm-flags'].split(' ');
  const found = positionals.map(path =>
    hasSources(path) ? buildPrograms(path, flags) : findWorkloads(path, args),
  );
  const workloads = (await Promise.all(found)).flat();
  const lucet: LucetOptions = {
    optLevel: values.debug ? 0 : (level as 0 | 1 | 2),
    memory,
    debugCode: values.debug,
  };
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
