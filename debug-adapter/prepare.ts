/** From a launch configuration to something that can be debugged: compiling what has to be, in a process of its own, and opening what is known of it. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CoredumpError } from '../runtime/debug.ts';
import { libraryPath, type ModuleSymbols, openSymbols, type TrapReport } from '../runtime/index.ts';
import {
  type AttachArguments,
  type CommonArguments,
  type LaunchArguments,
  LaunchError,
  lucetWasiOptions,
} from './launch.ts';
import { CoreTarget, ProcessTarget } from './post-mortem.ts';
import type { DebugTarget } from './target.ts';

/** Where the bundles are. */
const DIST = dirname(import.meta.url.startsWith('file:') ? fileURLToPath(import.meta.url) : import.meta.url);

/** Path of the compiled program. @throws LaunchError with the compiler's words */
async function compiled(program: string, optLevel: number): Promise<string> {
  if (!/\.(?:wasm|wat)$/.test(program)) return program;
  const child = spawn(
    process.execPath,
    [join(DIST, 'lucet-wasi-helper.js'), 'compile', program, `${optLevel}`, 'cache'],
    {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    },
  );
  let answer = '';
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  (child.stdio[3] as NodeJS.ReadableStream).setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  const code = await new Promise<number | null>((done, failed) => {
    child.once('error', failed);
    child.once('close', done);
  });
  const path = answer.replace(/^\w+ /, '');
  if (code !== 0 || path === '')
    throw new LaunchError(errors.replace(/^lucet-wasi: /, '').trim() || `${program} could not be compiled`);
  return path;
}

function symbolsOf(artifact: string, program: string, settings: CommonArguments): ModuleSymbols {
  const options = {
    folder: dirname(program),
    ...(settings.symbolFile === undefined ? {} : { symbolFile: settings.symbolFile }),
  };
  const symbols = openSymbols({ bytes: null, path: artifact, hash: '' }, options);
  if (symbols === null)
    throw new LaunchError(`${artifact} is no program of this version of Lucet: compile it again`);
  return symbols;
}

/** @param stopsAt whether a trap is to be looked at */
export async function openLaunch(
  launch: LaunchArguments,
  stopsAt: (report: TrapReport) => boolean,
): Promise<DebugTarget> {
  const program = resolve(launch.cwd ?? '.', launch.program);
  const artifact = await compiled(program, launch.optLevel ?? 2);
  return new ProcessTarget(basename(program), symbolsOf(artifact, program, launch), {
    command: join(dirname(libraryPath()), 'lucet-wasi'),
    options: lucetWasiOptions(launch),
    artifact,
    args: launch.args ?? [],
    cwd: launch.cwd,
    stopsAt: report => launch.stopOnTrap !== false && stopsAt(report),
  });
}

/** A core dump. */
export async function openCore(attach: AttachArguments): Promise<DebugTarget> {
  const program = resolve(attach.cwd ?? '.', attach.program);
  const artifact = await compiled(program, 2);
  try {
    return new CoreTarget(
      basename(program),
      symbolsOf(artifact, program, attach),
      readFileSync(attach.coredump),
    );
  } catch (e) {
    if (e instanceof CoredumpError || (e instanceof Error && 'code' in e))
      throw new LaunchError(`${attach.coredump}: ${e.message}`);
    throw e;
  }
}
