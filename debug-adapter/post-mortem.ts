/**
 * A guest that runs in a process of its own, and is looked at when it has trapped: it leaves a report and a core dump.
 * Works with any code, also such as was compiled without places to stop at. A core dump alone is the same with nothing
 * to run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Coredump, readCoredump } from '../runtime/debug.ts';
import type { ModuleSymbols, TrapReport } from '../runtime/index.ts';
import type { DebugTarget, Streams, TargetEvent, TargetFrame, TargetState, TargetThread } from './target.ts';
import { closeDescriptors } from './terminal.ts';

/** As for a process that SIGABRT ended: what lucet-wasi exits with when the guest traps. */
const EXIT_TRAP = 134;
/** As for one that SIGKILL ended. */
const EXIT_KILLED = 137;
const THREAD = 1;

/** What can be read of a core dump. */
function coreState(core: Coredump | null): TargetState {
  return {
    memory: (memory, address, length) => (memory === 0 ? (core?.memory(address, length) ?? null) : null),
    memorySize: memory => (memory === 0 && core !== null ? core.memorySize : null),
    global: index => core?.globals[index] ?? null,
    tableSize: () => null,
    tableElement: () => null,
    writeMemory: () => false,
    setGlobal: () => false,
  };
}

abstract class Stopped implements DebugTarget {
  readonly canRun: boolean = false;
  readonly watchpoints = null;
  protected core: Coredump | null = null;
  protected report: TrapReport | null = null;
  private readonly listeners: ((event: TargetEvent) => void)[] = [];

  constructor(
    readonly name: string,
    readonly symbols: ModuleSymbols,
  ) {}

  get state(): TargetState {
    return coreState(this.core);
  }

  get threads(): readonly TargetThread[] {
    return [{ id: THREAD, name: `${this.name}#1` }];
  }

  onEvent(listener: (event: TargetEvent) => void): void {
    this.listeners.push(listener);
  }

  protected emit(event: TargetEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  sequencePoints(): readonly number[] {
    return [];
  }

  setBreakpoint(): void {}
  clearBreakpoint(): void {}
  abstract start(): void;
  abstract resume(): void;
  pause(): void {}
  abstract kill(): void;
  abstract dispose(): void;

  /**
   * The report knows more of the frames than the core dump: which are the host's, and where in the native code each is.
   */
  frames(): readonly TargetFrame[] {
    if (this.report !== null) {
      return this.report.frames
        .filter(f => !f.isInlined)
        .map((f, depth) => ({
          depth,
          kind: f.kind,
          functionIndex: f.functionIndex,
          functionName: f.functionName,
          wasmOffset: f.wasmOffset,
          textOffset: f.textOffset,
          count: f.count,
          stackAddress: null,
        }));
    }
    const frames = this.core?.threads[0]?.frames ?? [];
    return frames.map((f, depth) => {
      const body = this.symbols.body(f.functionIndex);
      return {
        depth,
        kind: 'wasm',
        functionIndex: f.functionIndex,
        functionName: this.symbols.artifact.describe(f.functionIndex),
        wasmOffset: (body?.start ?? 0) + f.codeOffset,
        textOffset: -1,
        count: 0,
        stackAddress: null,
      };
    });
  }

  readLocal(_thread: number, frame: TargetFrame, index: number): bigint | null {
    return this.coreFrame(frame)?.locals[index] ?? null;
  }

  /** The core dump has the guest's own frames only. */
  private coreFrame(frame: TargetFrame): Coredump['threads'][number]['frames'][number] | null {
    const own = this.frames().filter(f => f.kind === 'wasm' && f.depth <= frame.depth).length - 1;
    return this.core?.threads[0]?.frames[own] ?? null;
  }

  writeLocal(): boolean {
    return false;
  }

  readOperand(_thread: number, frame: TargetFrame, index: number): bigint | null {
    return this.coreFrame(frame)?.stack[index] ?? null;
  }

  operandCount(_thread: number, frame: TargetFrame): number {
    return this.coreFrame(frame)?.stack.length ?? 0;
  }

  registers(): Readonly<Record<string, string>> {
    return this.report?.registers ?? {};
  }

  trapReport(): TrapReport | null {
    return this.report;
  }
}

/** A core dump. */
export class CoreTarget extends Stopped {
  /** @throws CoredumpError */
  constructor(name: string, symbols: ModuleSymbols, bytes: Uint8Array) {
    super(name, symbols);
    this.core = readCoredump(bytes);
  }

  start(): void {
    this.emit({ kind: 'stopped', thread: THREAD, reason: 'entry' });
  }

  resume(): void {
    this.kill();
  }

  kill(): void {
    this.emit({ kind: 'exited', code: 0 });
  }

  dispose(): void {}
}

export interface ProcessOptions {
  /** The lucet-wasi executable. */
  readonly command: string;
  /** Its options, the artifact, and the guest's arguments. */
  readonly options: readonly string[];
  readonly artifact: string;
  readonly args: readonly string[];
  /** What lucet-wasi says of a trap goes to stderr, too. */
  readonly streams: Streams;
  readonly cwd: string | undefined;
  /** False: a trap ends the session as an exit does. */
  readonly stopsAt: (report: TrapReport) => boolean;
}

/** A guest in a child process. */
export class ProcessTarget extends Stopped {
  private child: ChildProcess | null = null;
  private readonly folder = mkdtempSync(join(tmpdir(), 'lucet-debug-'));
  private isOver = false;
  private isKilled = false;
  /** They are ours until the process has them. */
  private hasStreams = true;

  constructor(
    name: string,
    symbols: ModuleSymbols,
    private readonly how: ProcessOptions,
  ) {
    super(name, symbols);
  }

  override get threads(): readonly TargetThread[] {
    return this.isOver ? [] : super.threads;
  }

  start(): void {
    if (this.isOver) return;
    const { how } = this;
    const { command, options, artifact, args, cwd } = how;
    const report = join(this.folder, 'report.json');
    const core = join(this.folder, 'core');
    // Killed for good, this process could not end it.
    const all = [
      '--die-with-parent',
      '--trap-json',
      report,
      '--coredump',
      core,
      ...options,
      artifact,
      ...args,
    ];
    const child = spawn(command, all, {
      stdio: [how.streams.stdin ?? 'ignore', how.streams.stdout ?? 'pipe', how.streams.stderr ?? 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child = child;
    this.closeStreams();
    for (const stream of ['stdout', 'stderr'] as const) {
      const from = child[stream];
      from?.setEncoding('utf8').on('data', (text: string) => {
        from.pause();
        this.emit({ kind: 'output', stream, text, taken: () => from.resume() });
      });
    }
    child.once('error', e => this.fail(`lucet-wasi could not be started: ${e.message}`));
    // 'close' comes after both streams have ended: no output is lost behind the exit.
    child.once('close', (code, signal) => {
      this.child = null;
      // Killed when it had trapped already, it has nobody who would go on with it.
      if (code === EXIT_TRAP && !this.isKilled && this.load(report, core)) {
        this.emit({ kind: 'stopped', thread: THREAD, reason: 'trap' });
        return;
      }
      if (signal !== null && signal !== 'SIGKILL' && signal !== 'SIGTERM')
        this.emit({ kind: 'output', stream: 'stderr', text: `lucet-wasi died of ${signal}\n` });
      this.end(code ?? (signal === 'SIGKILL' ? EXIT_KILLED : 128));
    });
  }

  private closeStreams(): void {
    if (!this.hasStreams) return;
    this.hasStreams = false;
    closeDescriptors(Object.values(this.how.streams));
  }

  private load(report: string, core: string): boolean {
    try {
      const read = JSON.parse(readFileSync(report, 'utf8')) as TrapReport;
      // Facts that nobody made a report of have no frames.
      if (!Array.isArray(read.frames) || !this.how.stopsAt(read)) return false;
      this.report = read;
      this.core = readCoredump(readFileSync(core));
      return true;
    } catch (e) {
      this.emit({
        kind: 'output',
        stream: 'stderr',
        text: `the trap can't be looked at: ${(e as Error).message}\n`,
      });
      return this.report !== null;
    }
  }

  private fail(message: string): void {
    this.emit({ kind: 'failed', message });
    this.end(1);
  }

  private end(code: number): void {
    if (this.isOver) return;
    this.isOver = true;
    this.emit({ kind: 'exited', code });
  }

  /** It has stopped for good. */
  resume(): void {
    this.end(EXIT_TRAP);
  }

  kill(): void {
    this.isKilled = true;
    // SIGKILL: a guest in an endless loop keeps its process from handling anything milder.
    if (this.child !== null) this.child.kill('SIGKILL');
    else this.end(this.report === null ? EXIT_KILLED : EXIT_TRAP);
  }

  dispose(): void {
    this.child?.kill('SIGKILL');
    this.closeStreams();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
