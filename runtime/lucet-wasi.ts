/** lucet-wasi: runs WASI programs. stdout is the guest's alone; all that we have to say goes to stderr. */
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { ARTIFACT_VERSION } from '../compiler/abi/artifact.ts';
import { GuestExit, LimitError, LinkError, LoadError, TerminatedError } from './errors.ts';
import { Instance } from './instance.ts';
import type { Limits } from './limits.ts';
import { Linkage } from './linkage.ts';
import { compileSource, isArtifact, isComponent, VERSION } from './lucet-wasi-compile.ts';
import { missingImports } from './lucet-wasi-imports.ts';
import {
  type CommandLine,
  completionScript,
  helpText,
  type OPTIONS,
  parseCommandLine,
  parseDirectory,
  parseSize,
  UsageError,
} from './lucet-wasi-options.ts';
import { formatTrap, printable } from './lucet-wasi-report.ts';
import { Module } from './module.ts';
import { Region } from './region.ts';
import { InternalFault, Trap } from './trap.ts';
import { type FuncType, showFuncType, type ValueType } from './types.ts';
import { WasiContext, WasiError, type WasiPreopen } from './wasi.ts';

/** As for a process that SIGABRT ended. */
const EXIT_TRAP = 134;
const EXIT_ERROR = 1;

/** It can't be run, and it isn't a defect: the message says all. */
class RunError extends Error {
  override readonly name = 'RunError';
}

/** All of it, at once: Node's own streams would make the descriptors non-blocking, which the guest shares. */
function print(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (e) {
      const { code } = e as NodeJS.ErrnoException;
      // Whoever read it is gone: there is nobody to tell.
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw e;
    }
  }
}

interface Settings {
  readonly entrypoint: string;
  /** null: run the entry point. */
  readonly invoke: string | null;
  readonly preopens: readonly WasiPreopen[];
  readonly env: Readonly<Record<string, string>>;
  readonly limits: Partial<Limits>;
  readonly optLevel: 0 | 1 | 2;
  readonly cache: boolean;
  readonly trapJson: string | null;
  readonly fullBacktrace: boolean;
  readonly color: boolean;
}

function readSettings({ options }: CommandLine): Settings {
  const one = (name: keyof typeof OPTIONS): string | null => options.get(name)?.[0] ?? null;
  const choice = <T extends string>(name: keyof typeof OPTIONS, choices: readonly T[]): T => {
    const value = one(name);
    if (value === null) return choices[0]!;
    const found = choices.find(c => c === value);
    if (found === undefined) throw new UsageError(`--${name} ${value}: expected ${choices.join(', ')}`);
    return found;
  };
  const limits: { -readonly [K in keyof Limits]?: Limits[K] } = { stackSize: 8 * 2 ** 20 };
  const sizes = [
    ['max-heap-size', 'heapMemorySize'],
    ['heap-address-space', 'heapAddressSpaceSize'],
    ['stack-size', 'stackSize'],
  ] as const;
  for (const [name, limit] of sizes) {
    const value = one(name);
    if (value !== null) limits[limit] = parseSize(name, value);
  }
  const preopens = (['dir', 'readonly-dir'] as const).flatMap(name =>
    (options.get(name) ?? []).map(text => ({
      ...parseDirectory(name, text),
      readonly: name === 'readonly-dir',
    })),
  );
  if (options.has('invoke') && options.has('entrypoint'))
    throw new UsageError('--invoke and --entrypoint exclude each other');
  const color = choice('color', ['auto', 'always', 'never']);
  return {
    entrypoint: one('entrypoint') ?? '_start',
    invoke: one('invoke'),
    preopens,
    env: environment(options.has('inherit-env'), options.get('env') ?? []),
    limits,
    optLevel: Number(choice('opt-level', ['2', '1', '0'])) as 0 | 1 | 2,
    cache: !options.has('no-cache'),
    trapJson: one('trap-json'),
    fullBacktrace: choice('backtrace', ['short', 'full']) === 'full',
    color:
      color === 'always' ||
      (color === 'auto' && !process.env.NO_COLOR && process.env.TERM !== 'dumb' && isatty(2)),
  };
}

function environment(inherit: boolean, given: readonly string[]): Record<string, string> {
  const env: Record<string, string> = Object.create(null);
  const host = Object.entries(process.env) as [string, string][];
  if (inherit) for (const [name, value] of host) env[name] = value;
  for (const text of given) {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    if (name === '') throw new UsageError(`--env ${text}: expected NAME or NAME=VALUE`);
    const value = equals < 0 ? process.env[name] : text.slice(equals + 1);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

// ------------------------------------------------------------------------------------------------------------------ Loading

function firstBytes(path: string): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(8);
    readSync(fd, bytes);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

async function loadModule(path: string, settings: Settings): Promise<Module> {
  const head = firstBytes(path);
  if (isArtifact(head)) return Module.fromFile(path);
  if (isComponent(head)) {
    throw new RunError(
      `${path} is a component (WASI 0.2). Build the program for WASI preview 1 (wasm32-wasip1).`,
    );
  }
  const binary = head[0] === 0 && head[1] === 0x61;
  if (!binary && !/\.(?:wat|wast)$/.test(path))
    throw new RunError(`${path} is no module: neither a .so of lucetc, nor a .wasm or .wat`);
  let shown = false;
  const from = performance.now();
  try {
    return await compileSource(path, readFileSync(path), {
      optLevel: settings.optLevel,
      cache: settings.cache,
      progress: (done, total) => {
        if (performance.now() - from < 500 || !isatty(2)) return;
        shown = true;
        print(2, `\rcompiling: ${done}/${total} functions`);
      },
    });
  } finally {
    if (shown) print(2, '\r\x1b[K');
  }
}

/** The function to run. @throws RunError with what there is instead */
function findFunction(module: Module, name: string, mayTakeArguments: boolean): FuncType {
  const functions = module.exports.filter(e => e.type.kind === 'func');
  const found = functions.find(e => e.name === name);
  if (found === undefined || found.type.kind !== 'func') {
    const names = functions.map(e => printable(e.name));
    const list =
      names.length === 0
        ? 'It exports no functions.'
        : `It exports: ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}.`;
    const reactor = names.includes('_initialize')
      ? ' It is a library (a WASI reactor), not a program: call one of its functions with --invoke NAME.'
      : name === '_start'
        ? ' A WASI program must: link it as a command (the default of WASI compilers), or choose a function with --entrypoint or --invoke.'
        : '';
    throw new RunError(`${module.label} exports no function ${printable(name)}.${reactor} ${list}`);
  }
  if (!mayTakeArguments && (found.type.params.length > 0 || found.type.results.length > 0)) {
    throw new RunError(
      `${printable(name)} is of type ${showFuncType(found.type)}; an entry point takes and returns nothing. Call it with --invoke ${printable(name)}.`,
    );
  }
  return found.type;
}

// ------------------------------------------------------------------------------------------------------------------ Running

function parseArgument(text: string, type: ValueType, position: number): number | bigint {
  const wrong = (): UsageError =>
    new UsageError(`argument ${position + 1}: ${JSON.stringify(text)} is no ${type}`);
  if (type === 'f32' || type === 'f64') {
    const value = /^[-+]?(?:inf|infinity)$/i.test(text)
      ? text.startsWith('-')
        ? -Infinity
        : Infinity
      : Number(text);
    if (text.trim() === '' || (Number.isNaN(value) && !/^[-+]?nan$/i.test(text))) throw wrong();
    return value;
  }
  if (type !== 'i32' && type !== 'i64')
    throw new UsageError(`argument ${position + 1}: a ${type} can't be given on the command line`);
  const match = /^([-+]?)(0x[0-9a-f]+|\d+)$/i.exec(text);
  if (match === null) throw wrong();
  const value = match[1] === '-' ? -BigInt(match[2]!) : BigInt(match[2]!);
  const bits = type === 'i32' ? 32 : 64;
  // Either reading, signed or unsigned, is meant by someone.
  if (value < -(1n << BigInt(bits - 1)) || value >= 1n << BigInt(bits)) throw wrong();
  return type === 'i32' ? Number(BigInt.asIntN(32, value)) : BigInt.asIntN(64, value);
}

function showResult(value: unknown): string {
  if (typeof value === 'number' && Object.is(value, -0)) return '-0';
  return value === null
    ? 'null'
    : typeof value === 'object' || typeof value === 'function'
      ? 'reference'
      : String(value);
}

function runGuest(module: Module, line: CommandLine, settings: Settings): void {
  const missing = missingImports(module);
  if (missing !== null) throw new RunError(missing);
  const { invoke } = settings;
  const type = findFunction(module, invoke ?? settings.entrypoint, invoke !== null);
  let values: (number | bigint)[] = [];
  if (invoke !== null) {
    if (line.args.length !== type.params.length) {
      throw new UsageError(
        `${invoke} is of type ${showFuncType(type)}: it takes ${type.params.length} arguments, not ${line.args.length}`,
      );
    }
    values = type.params.map((t, i) => parseArgument(line.args[i]!, t, i));
  }
  const wasi = new WasiContext({
    args: [basename(line.module!), ...(invoke === null ? line.args : [])],
    env: settings.env,
    preopens: settings.preopens,
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'inherit',
  });
  const region = Region.create({ capacity: 1, limits: settings.limits });
  const instance = Instance.create(region, Linkage.create(module, wasi.imports));
  if (invoke === null) {
    instance.call(settings.entrypoint);
    return;
  }
  const initialize = module.exports.find(e => e.name === '_initialize' && e.type.kind === 'func');
  if (initialize !== undefined && invoke !== '_initialize') instance.call('_initialize');
  const result = instance.call(invoke, ...values);
  const results =
    type.results.length === 0 ? [] : type.results.length === 1 ? [result] : (result as unknown[]);
  print(1, results.map(r => `${showResult(r)}\n`).join(''));
}

function reportTrap(e: Trap | InternalFault, settings: Settings): number {
  print(2, formatTrap(e.report, { color: settings.color, full: settings.fullBacktrace }));
  if (settings.trapJson !== null) writeFileSync(settings.trapJson, `${JSON.stringify(e.report, null, 2)}\n`);
  return EXIT_TRAP;
}

async function execute(line: CommandLine): Promise<number> {
  if (line.module === null) throw new UsageError('no module is given');
  const settings = readSettings(line);
  try {
    runGuest(await loadModule(line.module, settings), line, settings);
    return 0;
  } catch (e) {
    if (e instanceof Trap || e instanceof InternalFault) return reportTrap(e, settings);
    // A process has eight bits for its status, on this host as on any other.
    if (e instanceof GuestExit) return e.status & 0xff;
    throw e;
  }
}

/** An error's text, if it is one that people can do something about; others are defects and go on. */
function describeError(e: unknown, module: string | null): string {
  if (!(e instanceof Error)) throw e;
  if (e instanceof UsageError) return `${e.message} (see lucet-wasi --help)`;
  if (e instanceof RunError || e instanceof WasiError || e instanceof TerminatedError) return e.message;
  const where = module === null ? '' : `${module}: `;
  if (e.name === 'CompileError') return `${where}${(e as Error & { describe(): string }).describe()}`;
  if (e instanceof LoadError || e instanceof LinkError || e instanceof LimitError)
    return `${where}${e.message}`;
  if (e.name === 'BugError') return e.message;
  if ('code' in e && 'syscall' in e) return e.message;
  throw e;
}

/** Runs the tool. Resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  let module: string | null = null;
  try {
    const line = parseCommandLine(argv);
    module = line.module;
    if (line.options.has('help')) {
      print(1, helpText());
      return 0;
    }
    if (line.options.has('version')) {
      const facts = {
        name: 'lucet-wasi',
        version: VERSION,
        artifactVersion: ARTIFACT_VERSION,
        node: process.version,
      };
      print(1, line.options.has('json') ? `${JSON.stringify(facts)}\n` : `lucet-wasi ${VERSION}\n`);
      return 0;
    }
    const shell = line.options.get('completion')?.[0];
    if (shell !== undefined) {
      print(1, completionScript(shell));
      return 0;
    }
    return await execute(line);
  } catch (e) {
    print(2, `lucet-wasi: ${describeError(e, module)}\n`);
    return EXIT_ERROR;
  }
}
