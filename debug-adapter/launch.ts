/**
 * Launch requests: what a launch configuration may hold, checked, and the command line of lucet-wasi that it stands
 * for.
 */
import { dirname, resolve } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';

/** What launch and attach have in common. */
export interface CommonArguments {
  readonly program: string;
  readonly cwd?: string;
  /** Prefix of recorded source paths -> folder on this machine. */
  readonly sourceMap?: Readonly<Record<string, string>>;
  /** Globs of sources that stepping passes over. */
  readonly skipFiles?: readonly string[];
  /** A file with the module's debug sections. */
  readonly symbolFile?: string;
  readonly disassemblySyntax?: 'intel' | 'att';
  /** Folders where sources are looked for; made from the others. */
  readonly folders: readonly string[];
}

/** Kinds of terminals; null: output is shown by the editor, and there is nothing to read. */
export const CONSOLES = {
  internalConsole: null,
  integratedTerminal: 'integrated',
  externalTerminal: 'external',
} as const;

export interface LaunchArguments extends DebugProtocol.LaunchRequestArguments, CommonArguments {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly inheritEnv?: boolean;
  readonly dirs?: readonly (
    | string
    | { readonly host: string; readonly guest?: string; readonly readonly?: boolean }
  )[];
  readonly entrypoint?: string;
  /** An exported function to call instead, with `args` as numbers. */
  readonly invoke?: string;
  /** As the command line's: bytes, or with a unit (64MiB). */
  readonly maxHeapSize?: string;
  readonly stackSize?: string;
  /** File that the program reads as its standard input; none: it is empty. */
  readonly stdin?: string;
  /** Files that take its output; none: it is shown. */
  readonly stdout?: string;
  readonly stderr?: string;
  /** Where it reads from and prints to, but for those. */
  readonly console?: keyof typeof CONSOLES;
  /** Time that it may run for, stops not counted: milliseconds, or with a unit (2s). */
  readonly timeout?: string | number;
  readonly stopOnEntry?: boolean;
  readonly stopOnTrap?: boolean;
  readonly optLevel?: 0 | 1 | 2;
}

export interface AttachArguments extends DebugProtocol.AttachRequestArguments, CommonArguments {
  readonly coredump: string;
}

/** A launch configuration that can't be used: the message is for its author. */
export class LaunchError extends Error {
  override readonly name = 'LaunchError';
}

const isString = (v: unknown): v is string => typeof v === 'string';

const isStrings = (v: unknown): boolean =>
  typeof v === 'object' && v !== null && Object.values(v).every(isString);

function fail(name: string, expected: string): never {
  throw new LaunchError(`launch configuration: "${name}" must be ${expected}`);
}

/** @throws LaunchError */
function checkCommon(a: Record<string, unknown> & CommonArguments): void {
  if (!isString(a.program) || a.program === '') fail('program', 'the path of a .wasm, .wat or .so file');
  if (a.cwd !== undefined && !isString(a.cwd)) fail('cwd', 'a path');
  if (a.sourceMap !== undefined && !isStrings(a.sourceMap)) fail('sourceMap', 'an object of paths');
  if (a.skipFiles !== undefined && !(Array.isArray(a.skipFiles) && a.skipFiles.every(isString)))
    fail('skipFiles', 'a list of patterns');
  if (a.symbolFile !== undefined && !isString(a.symbolFile)) fail('symbolFile', 'a path');
  if (a.disassemblySyntax !== undefined && !['intel', 'att'].includes(a.disassemblySyntax))
    fail('disassemblySyntax', '"intel" or "att"');
}

function foldersOf(a: CommonArguments): string[] {
  return [...new Set([...(a.cwd === undefined ? [] : [a.cwd]), dirname(resolve(a.cwd ?? '.', a.program))])];
}

/** Check an attach request's arguments. Throws LaunchError naming the attribute. */
export function checkAttach(request: DebugProtocol.AttachRequestArguments): AttachArguments {
  const a = request as Record<string, unknown> & AttachArguments;
  checkCommon(a);
  if (!isString(a.coredump) || a.coredump === '') fail('coredump', 'the path of a core dump');
  return { ...a, folders: foldersOf(a) };
}

const UNITS = ['', 'KIB', 'MIB', 'GIB'];

/** Bytes; null: it is not given. @throws LaunchError */
export function sizeOf(name: string, size: unknown): number | null {
  if (size === undefined) return null;
  const [, number, unit] = (isString(size) && /^(\d{1,9})\s*((?:[KMG]i?B?)?)$/i.exec(size)) || [];
  if (number === undefined) return fail(name, 'a size, for example "64MiB"');
  return Number(number) * 1024 ** UNITS.indexOf(unit === '' ? '' : `${unit![0]!.toUpperCase()}IB`);
}

/** By unit; none is milliseconds. */
const MILLISECONDS: Readonly<Record<string, number>> = {
  '': 1,
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
};

/** Milliseconds, of a time as the command line takes it; null: it is not given. @throws LaunchError */
export function durationOf(name: string, time: unknown): number | null {
  if (time === undefined) return null;
  const [, number, unit] = /^(\d{1,15})([a-z]*)$/.exec(`${time as string}`) ?? [];
  const milliseconds = Number(number) * (MILLISECONDS[unit ?? ''] ?? 0);
  return milliseconds > 0
    ? milliseconds
    : fail(name, 'a time above zero, for example "2s", or a number of milliseconds');
}

/** Check a launch request's arguments. Throws LaunchError naming the attribute. */
export function checkLaunch(request: DebugProtocol.LaunchRequestArguments): LaunchArguments {
  const a = request as Record<string, unknown> & LaunchArguments;
  checkCommon(a);
  if (a.args !== undefined && !(Array.isArray(a.args) && a.args.every(isString)))
    fail('args', 'a list of strings');
  if (a.optLevel !== undefined && ![0, 1, 2].includes(a.optLevel)) fail('optLevel', '0, 1 or 2');
  if (a.entrypoint !== undefined && !isString(a.entrypoint))
    fail('entrypoint', 'the name of an exported function');
  if (a.invoke !== undefined && !isString(a.invoke)) fail('invoke', 'the name of an exported function');
  for (const name of ['stdin', 'stdout', 'stderr'] as const)
    if (a[name] !== undefined && !isString(a[name])) fail(name, 'the path of a file');
  if (a.console !== undefined && !Object.hasOwn(CONSOLES, a.console))
    fail('console', '"internalConsole", "integratedTerminal" or "externalTerminal"');
  durationOf('timeout', a.timeout);
  for (const name of ['maxHeapSize', 'stackSize'] as const) sizeOf(name, a[name]);
  if (
    a.env !== undefined &&
    !(typeof a.env === 'object' && a.env !== null && Object.values(a.env).every(isString))
  ) {
    fail('env', 'an object of strings');
  }
  if (
    a.dirs !== undefined &&
    !(Array.isArray(a.dirs) && a.dirs.every(d => isString(d) || isString(d?.host)))
  ) {
    fail('dirs', 'a list of "host::guest" strings or {host, guest, readonly} objects');
  }
  return { ...a, folders: foldersOf(a) };
}

/** Options of lucet-wasi for a launch. */
export function lucetWasiOptions(launch: LaunchArguments): string[] {
  const options: string[] = [];
  for (const dir of launch.dirs ?? []) {
    if (typeof dir === 'string') options.push('--dir', dir);
    else options.push(dir.readonly ? '--readonly-dir' : '--dir', `${dir.host}::${dir.guest ?? dir.host}`);
  }
  if (launch.inheritEnv) options.push('--inherit-env');
  for (const [name, value] of Object.entries(launch.env ?? {})) options.push('--env', `${name}=${value}`);
  if (launch.entrypoint !== undefined) options.push('--entrypoint', launch.entrypoint);
  if (launch.invoke !== undefined) options.push('--invoke', launch.invoke);
  if (launch.maxHeapSize !== undefined) options.push('--max-heap-size', launch.maxHeapSize);
  if (launch.stackSize !== undefined) options.push('--stack-size', launch.stackSize);
  if (launch.timeout !== undefined) options.push('--timeout', `${launch.timeout}`);
  return options;
}
