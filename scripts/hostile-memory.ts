/**
 * `npm run hostile-memory [-- --kb N --only NAME --floor N]`: memory and time in proportion to the input. Each kind of
 * large input (hostile-large.ts), of N KB (default 1024), may make a process grow by no more than BYTES_PER_BYTE for
 * each of its bytes, at the peak, and take no more than SECONDS. Prints what takes more than `floor` bytes for one.
 * Ends with "N passed, N failed".
 */
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CompileError, type CompileOptions, compile } from '../compiler/index.ts';
import { formatReport, report } from '../compiler/objdump/report.ts';
import { readArtifact } from '../compiler/object/artifact-reader.ts';
import { Module } from '../runtime/index.ts';
import {
  checkBindings,
  checkCompile,
  checkDebugInfo,
  checkSourceMap,
  checkText,
  type Verdict,
} from './hostile-checks.ts';
import { LARGE, type Large } from './hostile-large.ts';
import { scriptOptions } from './options.ts';

const values = scriptOptions('Usage: npm run hostile-memory -- [--kb N] [--only NAME] [--floor N]\n', {
  kb: { type: 'string', default: '1024' },
  only: { type: 'string', default: '' },
  floor: { type: 'string', default: '150' },
});
const SIZE = Number(values.kb) * 1024;
/**
 * A row of SSA or of machine code has 32 bytes, and arrays that grow are there twice for a moment; an operator of a
 * few bytes may become several of both (budget.ts).
 */
const BYTES_PER_BYTE = 640;
/**
 * Of what doesn't depend on the input: code of ours that is optimised meanwhile, buffers, a collector that sees no
 * reason to begin.
 */
const FREE = 48 * 2 ** 20;
const SECONDS = 20;

interface Check {
  readonly name: string;
  readonly run: (input: Uint8Array) => Verdict | Promise<Verdict>;
}

const compiles = (name: string, options: Partial<CompileOptions>): Check => ({
  name,
  run: input => checkCompile(input, options),
});

const DEBUG = compiles('-g', { optLevel: 0, debugCode: true });
const CHECKS: Readonly<Record<Large['reader'], readonly Check[]>> = {
  compile: [compiles('-O2', {}), DEBUG, compiles('-O0, dense', { optLevel: 0, memory: 'dense' })],
  'debug information': [{ name: 'read', run: checkDebugInfo }, DEBUG],
  text: [{ name: 'read', run: checkText }],
  'source map': [{ name: 'read', run: checkSourceMap }],
  bindings: [{ name: 'read', run: checkBindings }],
};
const OF_ARTIFACTS: readonly Check[] = [
  {
    name: 'lucet-objdump',
    run: artifact => (formatReport(report(readArtifact(artifact), 'large.so')) === '' ? 'empty' : null),
  },
  {
    name: 'loaded',
    run: artifact => {
      Module.fromBytes(artifact).dispose();
      return null;
    },
  },
];

interface Figure {
  readonly check: string;
  readonly bytes: number;
  readonly peak: number;
  readonly seconds: number;
  readonly verdict: Verdict;
}
type Message = { readonly begins: string } | Figure | { readonly done: number };

function memory(field: 'VmHWM' | 'VmRSS'): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
}

/** How far the process grows beyond what it has, after a collection. */
async function measure({ name, run }: Check, input: Uint8Array): Promise<Figure> {
  globalThis.gc!();
  // proc(5): the peak is what is resident, from now on.
  writeFileSync('/proc/self/clear_refs', '5');
  const before = memory('VmRSS');
  const from = process.cpuUsage();
  let verdict: Verdict;
  try {
    verdict = await run(input);
  } catch (e) {
    verdict = `threw ${(e as Error).stack}`;
  }
  const { user, system } = process.cpuUsage(from);
  return {
    check: name,
    bytes: input.length,
    peak: memory('VmHWM') - before,
    seconds: (user + system) / 1e6,
    verdict,
  };
}

/** In a process of its own, for a list of inputs: what ends the process is the failure of one. */
async function child(indices: readonly number[]): Promise<void> {
  const send = (m: Message): boolean => process.send!(m);
  for (const i of indices) {
    const { reader, make } = LARGE[i]!;
    const input = make(SIZE);
    for (const check of CHECKS[reader]) {
      send({ begins: check.name });
      send(await measure(check, input));
    }
    if (reader === 'compile') {
      let artifact: Uint8Array | null = null;
      try {
        artifact = compile(input);
      } catch (e) {
        if (!(e instanceof CompileError)) throw e;
      }
      for (const check of artifact ? OF_ARTIFACTS : []) {
        send({ begins: check.name });
        send(await measure(check, artifact!));
      }
    }
    send({ done: i });
  }
  process.disconnect();
}

let passed = 0;
let failed = 0;

function judge(name: string, { check, bytes, peak, seconds, verdict }: Figure): void {
  const factor = Math.max(0, peak - FREE) / bytes;
  const faults = [
    verdict ?? '',
    factor > BYTES_PER_BYTE ? `more than ${BYTES_PER_BYTE} bytes for a byte` : '',
    seconds > SECONDS ? 'too slow' : '',
  ].filter(f => f !== '');
  if (faults.length === 0) passed++;
  else failed++;
  if (faults.length > 0 || factor > Number(values.floor))
    console.log(
      `${factor.toFixed(0).padStart(6)}  ${(peak / 2 ** 20).toFixed(0).padStart(5)} MB  ${seconds.toFixed(1).padStart(5)} s  ${name}, ${check}: ${bytes} bytes ${faults.join('; ')}`,
    );
}

/** @returns those that were not reached */
function run(indices: readonly number[]): Promise<readonly number[]> {
  return new Promise(resolve => {
    const process_ = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2)], {
      env: { ...process.env, LUCET_HOSTILE: indices.join() },
      execArgv: ['--expose-gc'],
    });
    let left = indices;
    let begun = '';
    const hang = setInterval(() => process_.kill('SIGKILL'), 6 * SECONDS * 1000);
    process_.on('message', (m: Message) => {
      hang.refresh();
      if ('begins' in m) begun = m.begins;
      else if ('done' in m) left = left.slice(1);
      else judge(LARGE[left[0]!]!.name, m);
    });
    process_.on('exit', (code, signal) => {
      clearInterval(hang);
      if (left.length > 0) {
        failed++;
        console.log(`${LARGE[left[0]!]!.name}, ${begun}: the process ended with ${signal ?? code}`);
      }
      resolve(left.slice(1));
    });
  });
}

if (process.env.LUCET_HOSTILE !== undefined) await child(process.env.LUCET_HOSTILE.split(',').map(Number));
else {
  let left: readonly number[] = LARGE.flatMap((l, i) => (l.name.includes(values.only) ? [i] : []));
  while (left.length > 0) left = await run(left);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
