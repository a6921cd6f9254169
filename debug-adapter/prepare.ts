/**
 * From a launch configuration to something that can be debugged: compiling what has to be, in a process of its own, and
 * opening what is known of it.
 */
import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CoredumpError } from '../runtime/debug.ts';
import { libraryPath, type ModuleSymbols, openSymbols, type TrapReport } from '../runtime/index.ts';
import { keptArtifact } from '../runtime/lucet-wasi-compile.ts';
import {
  type AttachArguments,
  CONSOLES,
  type CommonArguments,
  durationOf,
  type LaunchArguments,
  LaunchError,
  lucetWasiOptions,
  sizeOf,
} from './launch.ts';
import { LiveTarget } from './live-target.ts';
import { CoreTarget, ProcessTarget } from './post-mortem.ts';
import type { DebugTarget, Streams } from './target.ts';
import { closeDescriptors, type Terminal, type TerminalRequest } from './terminal.ts';

/** Where the bundles are. */
const DIST = dirname(import.meta.url.startsWith('file:') ? fileURLToPath(import.meta.url) : import.meta.url);

const MISSING: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is not there',
  EACCES: 'may not be read',
};

/** A path of a configuration, if it is there and what it should be. @throws LaunchError that says what to do */
function existing(attribute: string, path: string, advice: string, kind: 'file' | 'folder' = 'file'): string {
  const problem = ((): string | null => {
    try {
      const isFolder = statSync(path).isDirectory();
      accessSync(path, constants.R_OK);
      return isFolder === (kind === 'folder') ? null : isFolder ? 'is a folder' : 'is no folder';
    } catch (e) {
      return MISSING[(e as NodeJS.ErrnoException).code ?? ''] ?? (e as Error).message;
    }
  })();
  if (problem !== null) throw new LaunchError(`"${attribute}": ${path} ${problem}: ${advice}`);
  return path;
}

/**
 * What the standard streams are: files that the configuration names, else the terminal, if it wants one. @throws
 * LaunchError
 */
function streamsOf(launch: LaunchArguments, stdin: string | null, terminal: Terminal | null): Streams {
  const opened: number[] = [];
  const open = (name: 'stdout' | 'stderr'): number | null => {
    if (launch[name] === undefined) return terminal?.descriptor() ?? null;
    const path = resolve(launch.cwd ?? '.', launch[name]);
    try {
      closeSync(openSync(path, 'w'));
      // Both may go to the same file: each write is at its end.
      return openSync(path, 'a');
    } catch (e) {
      throw new LaunchError(`"${name}": ${(e as Error).message}: name a file that can be written`);
    }
  };
  const kept = (fd: number | null): number | null => {
    if (fd !== null) opened.push(fd);
    return fd;
  };
  try {
    return {
      stdin: kept(stdin === null ? (terminal?.descriptor() ?? null) : openSync(stdin, 'r')),
      stdout: kept(open('stdout')),
      stderr: kept(open('stderr')),
    };
  } catch (e) {
    closeDescriptors(opened);
    throw e;
  }
}

/** @throws LaunchError */
function programOf(settings: CommonArguments): string {
  if (settings.cwd !== undefined) existing('cwd', settings.cwd, 'name one that exists', 'folder');
  const program = resolve(settings.cwd ?? '.', settings.program);
  return existing('program', program, 'build the program first, or name another .wasm, .wat or .so');
}

/** Path of the compiled program. @throws LaunchError with the compiler's words */
async function compiled(
  program: string,
  optLevel: number,
  signal: AbortSignal,
  extra: 'debug' | '' = '',
): Promise<string> {
  if (!/\.(?:wasm|wat)$/.test(program)) return program;
  const kept = await keptArtifact(program, {
    optLevel: optLevel as 0 | 1 | 2,
    cache: true,
    countInstructions: false,
    debugCode: extra === 'debug',
    // Whatever is wrong with the file is told when it is compiled.
  }).catch(() => null);
  if (kept !== null) return kept;
  const child = spawn(
    process.execPath,
    [join(DIST, 'lucet-wasi-helper.cjs'), 'compile', program, `${optLevel}`, 'cache', extra],
    {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
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
  if (symbols === null) {
    const isSource = !/\.so$/.test(artifact);
    throw new LaunchError(
      isSource
        ? `"program": ${artifact} is no .wasm, .wat or .so: name what it is built to`
        : `${artifact} is no program of this version of Lucet: compile it again`,
    );
  }
  return symbols;
}

/** A terminal for a program, named so. @throws LaunchError */
export type OpenTerminal = (
  kind: TerminalRequest['kind'],
  title: string,
  cwd: string,
  script: string,
) => Promise<Terminal>;

/** What a program stops for beside breakpoints: as the user's filters are when it comes to it. */
export interface StopRules {
  readonly atTrap: (report: TrapReport) => boolean;
  /** Only code for debuggers stops there. */
  readonly atExit: (status: number) => boolean;
}

/** @param signal ends the compiler: what is returned then is an error */
export async function openLaunch(
  launch: LaunchArguments,
  stops: StopRules,
  signal: AbortSignal,
  openTerminal: OpenTerminal,
): Promise<DebugTarget> {
  const program = programOf(launch);
  const stdin =
    launch.stdin === undefined
      ? null
      : existing('stdin', resolve(launch.cwd ?? '.', launch.stdin), 'name a file that exists');
  const rules: StopRules = {
    atTrap: report => launch.stopOnTrap !== false && stops.atTrap(report),
    atExit: stops.atExit,
  };
  const isSource = /\.(?:wasm|wat)$/.test(program);
  // Whoever asks for optimised code wants to see how that fails.
  const debug = isSource && !launch.optLevel;
  const artifact = debug
    ? await compiled(program, 0, signal, 'debug')
    : await compiled(program, launch.optLevel ?? 2, signal);
  const symbols = symbolsOf(artifact, program, launch);
  const kind = CONSOLES[launch.console ?? 'internalConsole'];
  const folder = resolve(launch.cwd ?? dirname(program));
  const script = join(DIST, 'debug-adapter.cjs');
  const terminal =
    kind === null ? null : await openTerminal(kind, `Lucet: ${basename(program)}`, folder, script);
  const streams = streamsOf(launch, stdin, terminal);
  if (symbols.artifact.debugFunctions.size > 0)
    return live(launch, program, artifact, symbols, streams, rules);
  return new ProcessTarget(basename(program), symbols, {
    command: join(dirname(libraryPath()), 'lucet-wasi'),
    options: lucetWasiOptions(launch),
    artifact,
    args: launch.args ?? [],
    streams,
    cwd: launch.cwd,
    stopsAt: rules.atTrap,
  });
}

function live(
  launch: LaunchArguments,
  program: string,
  artifact: string,
  symbols: ModuleSymbols,
  streams: Streams,
  rules: StopRules,
): DebugTarget {
  const folder = launch.cwd ?? '.';
  const preopens = (launch.dirs ?? []).map(dir => {
    if (typeof dir !== 'string')
      return { ...dir, host: resolve(folder, dir.host), guest: dir.guest ?? dir.host };
    const [host, guest] = dir.includes('::') ? dir.split('::') : [dir, dir];
    return { host: resolve(folder, host!), guest: guest! };
  });
  const inherited = launch.inheritEnv ? (process.env as Record<string, string>) : {};
  try {
    return new LiveTarget({
      name: basename(program),
      artifact,
      symbols,
      entrypoint: launch.invoke ?? launch.entrypoint ?? '_start',
      invokes: launch.invoke !== undefined,
      args: launch.args ?? [],
      maxHeapSize: sizeOf('maxHeapSize', launch.maxHeapSize),
      stackSize: sizeOf('stackSize', launch.stackSize),
      streams,
      timeout: durationOf('timeout', launch.timeout),
      env: { ...inherited, ...launch.env },
      preopens,
      stopOnEntry: launch.stopOnEntry === true,
      stopsAt: rules.atTrap,
      stopsAtExit: rules.atExit,
    });
  } catch (e) {
    closeDescriptors(Object.values(streams));
    if (e instanceof Error && /^(?:LoadError|LinkError|LimitError|WasiError)$/.test(e.name))
      throw new LaunchError(e.message);
    throw e;
  }
}

/** A core dump. */
export async function openCore(attach: AttachArguments, signal: AbortSignal): Promise<DebugTarget> {
  const program = programOf(attach);
  existing('coredump', attach.coredump, 'name a core dump, such as `lucet-wasi --coredump FILE` writes');
  const artifact = await compiled(program, 2, signal);
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
