/** Command lines of the tools, from settings and requests. No editor API here. */
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { DirectoryGrant, Settings } from './settings.ts';

/** Where the artifact of a source goes. */
export function outputPath(
  input: string,
  outputDirectory: string,
  workspaceFolder: string | undefined,
): string {
  const name = `${basename(input).replace(/\.(?:wasm|wat)$/, '')}.so`;
  if (outputDirectory === '') return join(dirname(input), name);
  const directory = isAbsolute(outputDirectory)
    ? outputDirectory
    : join(workspaceFolder ?? dirname(input), outputDirectory);
  return join(directory, name);
}

export interface CompileRequest {
  readonly input: string;
  readonly output: string;
  readonly optLevel: string;
  readonly targetCpu: string;
  readonly debugInfo: boolean;
  readonly args: readonly string[];
}

/** Arguments of lucetc-wasi. */
export function compileArguments(r: CompileRequest): string[] {
  return [
    '--opt-level',
    r.optLevel,
    '--target-cpu',
    r.targetCpu,
    ...(r.debugInfo ? [] : ['--strip-debug']),
    ...r.args,
    r.input,
    '-o',
    r.output,
  ];
}

export interface RunRequest {
  readonly program: string;
  /** An exported function to call instead of `_start`. */
  readonly invoke?: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly dirs: readonly DirectoryGrant[];
  /** Where a trap's report goes, and the program's state then. */
  readonly trapJson: string;
  readonly coredump: string;
}

/** Arguments of lucet-wasi. */
export function runArguments(r: RunRequest): string[] {
  const options = ['--trap-json', r.trapJson, '--coredump', r.coredump];
  for (const dir of r.dirs) {
    if (typeof dir === 'string') options.push('--dir', dir);
    else options.push(dir.readonly ? '--readonly-dir' : '--dir', `${dir.host}::${dir.guest ?? dir.host}`);
  }
  for (const [name, value] of Object.entries(r.env)) options.push('--env', `${name}=${value}`);
  if (r.invoke !== undefined) options.push('--invoke', r.invoke);
  return [...options, r.program, ...r.args];
}

/** The variables of a file with lines NAME=value; values may be quoted, lines that begin with # are comments. */
export function parseEnvFile(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = /^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) variables[name] = value!.replace(/^(["'])(.*)\1$/, '$2');
  }
  return variables;
}

/** How much of a program's last output is kept, in characters: there it says why it gave up. */
export const LAST_WORDS = 4096;

/**
 * Whether a program's output says that it was refused a file since no folder it is granted has it, in the words of
 * wasi-libc, Rust, Go, Zig and Python.
 */
export function saysRefused(output: string): boolean {
  return /capabilities insufficient|pre-?opened file descriptor|os error 76\b|\bENOTCAPABLE\b|\bNotCapable\b/i.test(
    output,
  );
}

/** Options that grant a folder under the names that programs have for files in it: relative ones, and the host's. */
export function grantsOf(
  folder: string,
  dirs: unknown,
): (DirectoryGrant | { host: string; guest: string })[] {
  const given = Array.isArray(dirs) ? (dirs as DirectoryGrant[]) : [];
  return [...given, { host: folder, guest: '.' }, { host: folder, guest: folder }];
}

export function requestOf(settings: Settings, input: string, output: string): CompileRequest {
  return {
    input,
    output,
    optLevel: settings.optLevel,
    targetCpu: settings.targetCpu,
    debugInfo: true,
    args: settings.compileArgs,
  };
}
