/** `npm run spec`: runs scripts of the official test suite and counts what passes. */
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MEMORY_MODES, type MemoryMode } from '../../compiler/abi/artifact.ts';
import { lucetEngine } from './engine-lucet.ts';
import { v8Engine } from './engine-v8.ts';
import type { Failure } from './run.ts';
import { parseScript } from './script.ts';
import { PROGRESS_FD, runWorker, type WorkerMessage } from './worker.ts';

const USAGE = `Usage: spec [options] FILE|DIRECTORY…
Run test scripts of the official WebAssembly suite, in their JSON form.

  --engine lucet|v8   the engine to test (lucet)
  --opt-level 0|1|2   how lucet compiles (2)
  --target-cpu CPU    what machine lucet compiles for, as for lucetc (x86-64-v2)
  --memory guarded|dense   how accesses are kept in bounds (guarded)
  --debug             compile for debuggers, at level 0
  --jobs N            processes (2)
  --timeout SECONDS   for one command (60)
  --table             print counts by directory
  --failures N        print at most N failures of a file (20)
  --quiet             print no failures, only counts
  --help              print this`;

interface Options {
  readonly engine: 'lucet' | 'v8';
  readonly optLevel: 0 | 1 | 2;
  readonly targetCpu: string;
  readonly memory: MemoryMode;
  readonly debug: boolean;
  readonly jobs: number;
  readonly timeout: number;
  readonly failures: number;
  readonly table: boolean;
  readonly quiet: boolean;
}

/** What became of one file. */
interface FileResult {
  readonly path: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
  readonly skips: Readonly<Record<string, number>>;
  /** How the process ended while it ran the file. */
  readonly died: string | null;
}

class UsageError extends Error {}

export async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === '--worker') {
    if (argv[1] === 'v8') runWorker(v8Engine);
    else
      runWorker(
        lucetEngine(Number(argv[2]) as 0 | 1 | 2, argv[3]!, argv[4] as MemoryMode, argv[5] === 'debug'),
      );
    return 0;
  }
  try {
    return await run(argv);
  } catch (e) {
    if (!(e instanceof UsageError)) throw e;
    console.error(`Error: ${e.message}\n${USAGE}`);
    return 1;
  }
}

function parseCommandLine(argv: readonly string[]): { options: Options; paths: string[] } | null {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (e) {
    throw new UsageError((e as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help) return null;
  const number = (name: 'jobs' | 'timeout' | 'failures' | 'opt-level', low: number, high: number): number => {
    const n = Number(values[name]);
    if (!Number.isInteger(n) || n < low || n > high) {
      throw new UsageError(`--${name} takes a number from ${low} to ${high}`);
    }
    return n;
  };
  const engine = values.engine;
  if (engine !== 'lucet' && engine !== 'v8') throw new UsageError(`there is no engine ${engine}`);
  const memory = MEMORY_MODES.find(m => m === values.memory);
  if (memory === undefined) throw new UsageError(`there is no memory mode ${values.memory}`);
  if (positionals.length === 0) throw new UsageError('no file or directory given');
  return {
    options: {
      engine,
      optLevel: values.debug ? 0 : (number('opt-level', 0, 2) as 0 | 1 | 2),
      targetCpu: values['target-cpu'],
      memory,
      debug: values.debug,
      jobs: number('jobs', 1, 64),
      timeout: number('timeout', 1, 3600),
      failures: number('failures', 0, 1_000_000),
      table: values.table,
      quiet: values.quiet,
    },
    paths: positionals,
  };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      engine: { type: 'string', default: 'lucet' },
      'opt-level': { type: 'string', default: '2' },
      'target-cpu': { type: 'string', default: 'x86-64-v2' },
      memory: { type: 'string', default: 'guarded' },
      debug: { type: 'boolean', default: false },
      jobs: { type: 'string', default: '2' },
      timeout: { type: 'string', default: '60' },
      failures: { type: 'string', default: '20' },
      table: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
}

/** The scripts of files and directories, in order; a directory stands for those in it and below. */
function collectScripts(paths: readonly string[]): string[] {
  const out: string[] = [];
  const visit = (path: string): void => {
    if (statSync(path).isDirectory()) {
      for (const entry of readdirSync(path).sort()) {
        if (entry.endsWith('.json') && entry !== 'index.json') out.push(join(path, entry));
        else if (statSync(join(path, entry)).isDirectory()) visit(join(path, entry));
      }
    } else {
      out.push(path);
    }
  };
  for (const path of paths) {
    try {
      visit(path);
    } catch (e) {
      throw new UsageError((e as Error).message);
    }
  }
  return out;
}

async function run(argv: readonly string[]): Promise<number> {
  const command = parseCommandLine(argv);
  if (command === null) {
    console.log(USAGE);
    return 0;
  }
  const { options } = command;
  const scripts = collectScripts(command.paths);
  if (scripts.length === 0) throw new UsageError('no script found');
  const results = new Array<FileResult>(scripts.length);
  let next = 0;
  let printed = 0;
  const lane = async (): Promise<void> => {
    const worker = new Worker(options);
    try {
      while (next < scripts.length) {
        const number = next++;
        results[number] = await worker.run(scripts[number]!);
        // In the order of the files, whichever ends first.
        while (results[printed] !== undefined) printFailures(results[printed++]!, options);
      }
    } finally {
      worker.close();
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.jobs, scripts.length) }, lane));
  printSummary(results, options);
  return results.some(r => r.failed > 0) ? 1 : 0;
}

/** A process that runs scripts; a new one takes the place of one that died. */
class Worker {
  readonly #options: Options;
  #child: ChildProcess | null = null;

  constructor(options: Options) {
    this.#options = options;
  }

  run(path: string): Promise<FileResult> {
    const child = (this.#child ??= this.#fork());
    const progress = child.stdio[PROGRESS_FD] as Readable;
    return new Promise(resolve => {
      let command = -1;
      let hung = false;
      const kill = (): void => {
        hung = true;
        child.kill('SIGKILL');
      };
      let timer = setTimeout(kill, this.#options.timeout * 1000);
      const onProgress = (bytes: Buffer): void => {
        // Whole numbers only: writes of four bytes to a pipe are atomic.
        if (bytes.length >= 4) command = bytes.readInt32LE(bytes.length - 4);
        clearTimeout(timer);
        timer = setTimeout(kill, this.#options.timeout * 1000);
      };
      const finish = (result: FileResult): void => {
        clearTimeout(timer);
        progress.off('data', onProgress);
        child.off('message', onMessage);
        child.off('close', onClose);
        resolve(result);
      };
      const onMessage = ({ report }: WorkerMessage): void => {
        const { passed, skipped, failures, skips } = report;
        finish({ path, passed, failed: failures.length, skipped, failures, skips, died: null });
      };
      const onClose = (code: number | null, signal: string | null): void => {
        this.#child = null;
        const how = hung
          ? `was killed: no progress in ${this.#options.timeout} s`
          : `died: ${signal ?? `exit ${code}`}`;
        finish(deadResult(path, command, how));
      };
      progress.on('data', onProgress);
      child.on('message', onMessage);
      child.on('close', onClose);
      child.send(path);
    });
  }

  close(): void {
    if (this.#child?.connected) this.#child.disconnect();
  }

  #fork(): ChildProcess {
    const { engine, optLevel, targetCpu, memory, debug } = this.#options;
    const args = ['--worker', engine, String(optLevel), targetCpu, memory, debug ? 'debug' : 'release'];
    const flags = engine === 'v8' ? v8Engine.nodeFlags : [];
    return fork(process.argv[1] ?? fileURLToPath(import.meta.url), args, {
      execArgv: [...process.execArgv, ...flags],
      // 3 is the channel for messages.
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
    });
  }
}

/** All commands of the file count as failed: what ran before the crash may have caused it. */
function deadResult(path: string, command: number, how: string): FileResult {
  const { commands } = parseScript(readFileSync(path, 'utf8'), path);
  const at = commands[command];
  const where =
    at === undefined ? 'before the first command' : `in command ${command} (line ${at.line}, ${at.type})`;
  return {
    path,
    passed: 0,
    failed: Math.max(commands.length, 1),
    skipped: 0,
    failures: [],
    skips: {},
    died: `the process ${how}, ${where}; its ${commands.length} commands count as failed`,
  };
}

function printFailures(result: FileResult, options: Options): void {
  if (options.quiet) return;
  const file = relative('.', result.path);
  if (result.died !== null) console.log(`${file}: ${result.died}`);
  for (const f of result.failures.slice(0, options.failures)) {
    console.log(`${file}: command ${f.command} (line ${f.line}, ${f.type}): ${f.message}`);
  }
  const more = result.failures.length - options.failures;
  if (more > 0) console.log(`${file}: ${more} more failures`);
}

function printSummary(results: readonly FileResult[], options: Options): void {
  if (options.table) printTable(results);
  const reasons = new Map<string, number>();
  for (const r of results) {
    for (const [reason, n] of Object.entries(r.skips)) reasons.set(reason, (reasons.get(reason) ?? 0) + n);
  }
  for (const [reason, n] of [...reasons].sort((a, b) => b[1] - a[1])) console.log(`${n} skipped: ${reason}`);
  const sum = (key: 'passed' | 'failed' | 'skipped'): number => results.reduce((n, r) => n + r[key], 0);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
}

function printTable(results: readonly FileResult[]): void {
  const groups = new Map<string, { files: number; passed: number; failed: number; skipped: number }>();
  for (const r of results) {
    const group = basename(dirname(r.path));
    const g = groups.get(group) ?? { files: 0, passed: 0, failed: 0, skipped: 0 };
    groups.set(group, {
      files: g.files + 1,
      passed: g.passed + r.passed,
      failed: g.failed + r.failed,
      skipped: g.skipped + r.skipped,
    });
  }
  const width = Math.max(...[...groups.keys()].map(g => g.length), 5);
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((c, i) => (i === 0 ? String(c).padEnd(width) : String(c).padStart(8))).join(' ');
  console.log(row(['group', 'files', 'passed', 'failed', 'skipped']));
  for (const [group, g] of groups) console.log(row([group, g.files, g.passed, g.failed, g.skipped]));
}
