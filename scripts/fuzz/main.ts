/** `npm run fuzz`: random modules, compiled by Lucet and by V8, must do the same. */
import { type ChildProcess, fork } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { VARIANT_NAMES, type Variant } from './engine.ts';
import { FIRST_OWN_STEP, type FuzzReport, type FuzzTask, PROGRESS_FD, runWorker, STEPS } from './worker.ts';

const USAGE = `Usage: fuzz [options]
Make random modules, run them with Lucet and with V8, and compare all that can be seen from outside.

  --time DURATION     how long: 90, 90s or 5m (60s)
  --modules N         stop after N modules
  --seed N            same seed, same modules (1)
  --opt-level 0|1|2   how lucet compiles; repeatable (0 and 2)
  --variant NAME      for what: ${VARIANT_NAMES.join(', ')}; repeatable (all, in turn)
  --jobs N            processes (2)
  --keep DIR          where modules with findings are saved (fuzz/ beside this script)
  --limit SECONDS     for one module (30)
  --replay FILE       compare this module instead
  --help              print this`;

class UsageError extends Error {}

interface Options {
  readonly seconds: number;
  readonly modules: number;
  readonly seed: number;
  readonly optLevels: readonly (0 | 1 | 2)[];
  readonly variants: readonly Variant[];
  readonly jobs: number;
  readonly keep: string;
  readonly limit: number;
  readonly replay: string | null;
}

/** What the modules need that Node does not have on by itself. */
const V8_FLAGS = [
  '--experimental-wasm-extended-const',
  '--experimental-wasm-return-call',
  '--experimental-wasm-memory64',
];

/** A worker is replaced after so many modules: what Binaryen leaves behind is not collected soon enough. */
const MODULES_PER_WORKER = 1000;

function parseOptions(argv: readonly string[]): Options | null {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (e) {
    throw new UsageError((e as Error).message);
  }
  if (values.help) return null;
  const number = (name: 'seed' | 'jobs' | 'limit' | 'modules', low: number): number => {
    const n = Number(values[name]);
    if (!Number.isInteger(n) || n < low) throw new UsageError(`--${name} takes a number from ${low}`);
    return n;
  };
  const time = /^(\d+)([sm]?)$/.exec(values.time);
  if (time === null) throw new UsageError('--time takes seconds (90, 90s) or minutes (5m)');
  const optLevels = values['opt-level'].map(level => {
    if (!/^[012]$/.test(level)) throw new UsageError('--opt-level is 0, 1 or 2');
    return Number(level) as 0 | 1 | 2;
  });
  const variants = values.variant.map(name => {
    const variant = VARIANT_NAMES.find(v => v === name);
    if (variant === undefined) throw new UsageError(`--variant is one of ${VARIANT_NAMES.join(', ')}`);
    return variant;
  });
  const here = dirname(fileURLToPath(import.meta.url));
  return {
    seconds: Number(time[1]) * (time[2] === 'm' ? 60 : 1),
    modules: values.modules === undefined ? Infinity : number('modules', 1),
    seed: number('seed', 0),
    optLevels,
    variants,
    jobs: number('jobs', 1),
    keep: resolve(values.keep ?? join(here, 'fuzz')),
    limit: number('limit', 1),
    replay: values.replay ?? null,
  };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
      time: { type: 'string', default: '60s' },
      modules: { type: 'string' },
      seed: { type: 'string', default: '1' },
      'opt-level': { type: 'string', multiple: true, default: ['0', '2'] },
      variant: { type: 'string', multiple: true, default: [...VARIANT_NAMES] },
      jobs: { type: 'string', default: '2' },
      keep: { type: 'string' },
      limit: { type: 'string', default: '30' },
      replay: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  }).values;
}

/** Either a report, or how the process ended. */
type Outcome = FuzzReport | { readonly died: string; readonly step: number };

/** A process that compares modules; a new one takes the place of one that died. */
class Worker {
  readonly #limit: number;
  #child: ChildProcess | null = null;
  #modules = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  run(task: FuzzTask): Promise<Outcome> {
    if (++this.#modules % MODULES_PER_WORKER === 0) this.close();
    const child = (this.#child ??= fork(fileURLToPath(import.meta.url), ['--worker'], {
      execArgv: [...process.execArgv, ...V8_FLAGS],
      // 3 is the channel for messages.
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
    }));
    const progress = child.stdio[PROGRESS_FD] as Readable;
    return new Promise(done => {
      let step = 0;
      let hung = false;
      const timer = setTimeout(() => {
        hung = true;
        child.kill('SIGKILL');
      }, this.#limit * 1000);
      const onProgress = (bytes: Buffer): void => {
        step = bytes.at(-1)!;
      };
      const finish = (outcome: Outcome): void => {
        clearTimeout(timer);
        progress.off('data', onProgress);
        child.off('message', onMessage);
        child.off('close', onClose);
        done(outcome);
      };
      const onMessage = (report: FuzzReport): void => finish(report);
      const onClose = (code: number | null, signal: string | null): void => {
        this.#child = null;
        finish({ died: hung ? `hangs (${this.#limit} s)` : `dies: ${signal ?? `exit ${code}`}`, step });
      };
      progress.on('data', onProgress);
      child.on('message', onMessage);
      child.on('close', onClose);
      child.send(task);
    });
  }

  close(): void {
    if (this.#child?.connected) this.#child.disconnect();
    this.#child = null;
  }
}

class Totals {
  passed = 0;
  failed = 0;
  calls = 0;
  complete = 0;
  readonly skipped = new Map<string, number>();

  skip(why: string): void {
    this.skipped.set(why, (this.skipped.get(why) ?? 0) + 1);
  }

  print(seconds: number): void {
    for (const [why, n] of this.skipped) console.log(`${n} skipped: ${why}`);
    const modules = this.passed + this.failed;
    const rate = Math.round((modules / Math.max(seconds, 1)) * 60);
    console.log(
      `${modules} modules (${rate} a minute), ${this.calls} calls, ${this.complete} compared to the end`,
    );
    console.log(`${this.passed} passed, ${this.failed} failed`);
  }
}

/** Counts it; returns what is to be told. */
function judge(outcome: Outcome, totals: Totals): readonly string[] {
  if ('died' in outcome) {
    const at = STEPS[outcome.step]!;
    // Binaryen's and V8's troubles are not ours.
    if (outcome.step > 0 && outcome.step < FIRST_OWN_STEP) {
      totals.skip(`the process ${outcome.died} while ${at}`);
      return [];
    }
    totals.failed++;
    return [`the process ${outcome.died} while ${at}`];
  }
  if (outcome.skipped !== null && outcome.findings.length === 0) {
    totals.skip(outcome.skipped.split('\n').slice(0, 3).join(' '));
    return [];
  }
  totals.calls += outcome.calls;
  if (outcome.complete) totals.complete++;
  if (outcome.findings.length > 0) totals.failed++;
  else totals.passed++;
  return outcome.findings;
}

async function replay(file: string, options: Options): Promise<number> {
  if (!existsSync(file)) throw new UsageError(`there is no file ${file}`);
  const totals = new Totals();
  const worker = new Worker(options.limit);
  const started = performance.now();
  const outcome = await worker.run({
    path: resolve(file),
    make: null,
    optLevels: options.optLevels,
    variants: options.variants,
  });
  worker.close();
  for (const finding of judge(outcome, totals)) console.log(finding);
  totals.print((performance.now() - started) / 1000);
  return totals.failed === 0 && totals.skipped.size === 0 ? 0 : 1;
}

async function run(options: Options): Promise<number> {
  const { seed } = options;
  const totals = new Totals();
  const folder = mkdtempSync(join(tmpdir(), 'lucet-fuzz-'));
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  let next = 0;
  const lane = async (number: number): Promise<void> => {
    const worker = new Worker(options.limit);
    const mine = join(folder, String(number));
    mkdirSync(mine);
    while (next < options.modules && elapsed() < options.seconds) {
      const index = next++;
      const path = join(mine, `${seed}-${index}.wasm`);
      const outcome = await worker.run({
        path,
        make: { seed, index },
        optLevels: options.optLevels,
        variants: [options.variants[index % options.variants.length]!],
      });
      const findings = judge(outcome, totals);
      if (findings.length > 0) {
        mkdirSync(options.keep, { recursive: true });
        const kept = join(options.keep, `${seed}-${index}.wasm`);
        copyFileSync(path, kept);
        console.log(`Module ${index} of seed ${seed}:`);
        for (const finding of findings) console.log(finding);
        console.log(`To repeat: npm run fuzz -- --replay ${relative('.', kept)}\n`);
      }
      rmSync(path, { force: true });
    }
    worker.close();
  };
  try {
    await Promise.all(Array.from({ length: options.jobs }, (_, i) => lane(i)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  totals.print(elapsed());
  return totals.failed === 0 && totals.passed > 0 ? 0 : 1;
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(argv);
    if (options === null) {
      console.log(USAGE);
      return 0;
    }
    return await (options.replay === null ? run(options) : replay(options.replay, options));
  } catch (e) {
    if (!(e instanceof UsageError)) throw e;
    console.error(`Error: ${e.message}\n${USAGE}`);
    return 1;
  }
}

if (process.argv[2] === '--worker') runWorker();
else process.exitCode = await main(process.argv.slice(2));
