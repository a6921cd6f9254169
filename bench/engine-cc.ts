/** What the peers that go through a C compiler have in common: programs that are built once and run as processes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Compiled, RunResult } from './engine.ts';
import { Streams } from './files.ts';
import type { Workload } from './workload.ts';

/** The sources of the repository. This file is bundled into dist/. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Is there a program of this name? */
export function findProgram(name: string): boolean {
  if (name.includes('/')) return existsSync(name);
  return (process.env.PATH ?? '').split(delimiter).some(folder => existsSync(join(folder, name)));
}

/** The compiler of native programs. */
export const nativeCompiler = (): string | undefined =>
  [process.env.LUCET_NATIVE_CC, 'clang', 'gcc'].find(name => name && findProgram(name));

/** A folder that goes with this process. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lucet-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Run a command.
 * @returns CPU time of its processes in milliseconds
 * @throws Error with the end of what it printed when it fails
 */
export function cpuTimeOf(command: string, args: readonly string[]): number {
  // The shell's `times` prints, in its second line, user and system time of what it waited for: 1m2.300s 0m0.400s
  const { status, stdout, stderr } = spawnSync('sh', ['-c', '"$@" 1>&2 && times', 'sh', command, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`${command} failed: ${stderr.trim().split('\n').slice(-3).join(' | ')}`);
  const times = [...stdout.split('\n')[1]!.matchAll(/(\d+)m([\d.]+)s/g)];
  return times.reduce((ms, [, minutes, seconds]) => ms + (Number(minutes) * 60 + Number(seconds)) * 1000, 0);
}

/** Bytes of machine code in an object file. */
export function objectTextBytes(path: string): number {
  const sections = execFileSync('size', ['-A', path], { encoding: 'utf8' });
  return [...sections.matchAll(/^\.text\S*\s+(\d+)/gm)].reduce((sum, [, size]) => sum + Number(size), 0);
}

/**
 * @param program in a scratch folder, where its time is written too
 * @param start its arguments and environment, given the file for its time
 */
export function builtProgram(
  program: string,
  start: {
    readonly args: (time: string) => readonly string[];
    readonly env: (time: string) => NodeJS.ProcessEnv;
  },
  facts: { readonly compileMs: number; readonly textBytes: number },
): Compiled {
  const scratch = dirname(program);
  const runProgram = (workload: Workload): RunResult => {
    const streams = new Streams();
    const time = join(scratch, 'time');
    try {
      const { status, signal } = spawnSync(program, start.args(time), {
        cwd: workload.folder,
        env: start.env(time),
        stdio: [streams.stdin, streams.stdout, streams.stderr],
      });
      if (status === null) throw new Error(`died with ${signal}`);
      return { runMs: Number(readFileSync(time, 'utf8')), output: streams.output(status) };
    } finally {
      streams.dispose();
    }
  };
  return { ...facts, peakMb: null, run: async workload => runProgram(workload) };
}
