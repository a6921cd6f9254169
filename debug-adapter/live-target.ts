/**
 * A guest that runs in this process, on a thread of the runtime's: debug code, which can stop at each statement and has
 * a home in the stack for every local and operand. The event loop stays free: a stop is a promise that the user's next
 * step fulfils.
 */
import { dirname } from 'node:path';
import { Writable } from 'node:stream';
import { OPERAND_HOME_SIZE } from '../compiler/abi/artifact.ts';
import type { DebugFunction } from '../compiler/object/artifact-reader.ts';
import { ExternKind } from '../compiler/wasm/module.ts';
import { instanceState, setInstanceGlobal, writeInstanceMemory } from '../runtime/debug.ts';
import {
  assemblyScriptImports,
  GuestExit,
  type Imports,
  Instance,
  InternalFault,
  type KillSwitch,
  Linkage,
  Module,
  type ModuleSymbols,
  Pool,
  Region,
  type Stop,
  type StopAction,
  TerminatedError,
  Trap,
  type TrapReport,
  WasiContext,
  type WasiPreopen,
} from '../runtime/index.ts';
import { LiveWatchpoints } from './live-watchpoints.ts';
import type { DebugTarget, Streams, TargetEvent, TargetFrame, TargetState, TargetThread } from './target.ts';
import { closeDescriptors } from './terminal.ts';

const THREAD = 1;
const EXIT_TRAP = 134;
/** As for a process that SIGKILL ended. */
const EXIT_KILLED = 137;
/** As lucet-wasi, and timeout(1). */
const EXIT_TIMEOUT = 124;
/** Frames of debug code are large. */
const STACK_SIZE = 64 * 2 ** 20;

export interface LiveOptions {
  readonly name: string;
  readonly artifact: string;
  readonly symbols: ModuleSymbols;
  readonly entrypoint: string;
  /** The entry point is any function: `args` are its arguments, not the program's, and its results are told. */
  readonly invokes: boolean;
  readonly args: readonly string[];
  /** Bytes; null: the usual. */
  readonly maxHeapSize: number | null;
  readonly stackSize: number | null;
  readonly streams: Streams;
  /** Milliseconds that the guest may run for; null: as long as it likes. */
  readonly timeout: number | null;
  readonly env: Readonly<Record<string, string>>;
  readonly preopens: readonly WasiPreopen[];
  readonly stopOnEntry: boolean;
  readonly stopsAt: (report: TrapReport) => boolean;
  readonly stopsAtExit: (status: number) => boolean;
}

/** A limit on the time that a guest runs for: the time in which its user thinks is not the guest's. */
class RunningTime {
  private left: number;
  private since = 0;
  private timer: NodeJS.Timeout | null = null;
  isOver = false;

  /** @param limit in milliseconds; null: none */
  constructor(
    limit: number | null,
    private readonly expire: () => void,
  ) {
    this.left = limit ?? Infinity;
  }

  go(): void {
    if (this.left === Infinity || this.timer !== null) return;
    this.since = performance.now();
    // Node's timers hold 31 bits.
    this.timer = setTimeout(() => this.ring(), Math.min(this.left, MAX_TIMER));
  }

  private ring(): void {
    this.hold();
    if (this.left > 0) this.go();
    else {
      this.isOver = true;
      this.expire();
    }
  }

  hold(): void {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.left = Math.max(0, this.left - (performance.now() - this.since));
  }
}

function importName(module: Module, functionIndex: number): string {
  return module.imports.filter(i => i.type.kind === 'func')[functionIndex]?.name ?? '';
}

const MAX_TIMER = 2 ** 31 - 1;
/** Milliseconds until somebody who has asked for a pause is told why there is none. */
const PATIENCE = 500;

export class LiveTarget implements DebugTarget {
  readonly canRun = true;
  readonly name: string;
  readonly symbols: ModuleSymbols;
  readonly state: TargetState;
  readonly watchpoints: LiveWatchpoints;
  private readonly functions: ReadonlyMap<number, DebugFunction>;
  /** Offsets of the places of a function that was asked for, ascending. */
  private readonly points = new Map<number, readonly number[]>();
  /** Text offsets of the places at a module offset: usually one. */
  private readonly pcs = new Map<number, number[]>();
  /** Module offset of the operator at a place, by its text offset. */
  private readonly offsets = new Map<number, number>();
  private readonly module: Module;
  private readonly pool = new Pool({ threads: 1 });
  private readonly region: Region;
  private readonly wasi: WasiContext;
  private readonly instance: Instance;
  private readonly listeners: ((event: TargetEvent) => void)[] = [];
  /** Output on its way to whoever shows it. */
  private readonly shown: Writable[] = [];
  private killSwitch: KillSwitch | null = null;
  private stop: Stop | null = null;
  private proceed: ((action: StopAction) => void) | null = null;
  private report: TrapReport | null = null;
  private isOver = false;
  /** Where breakpoints of the user's are, as text offsets. */
  private readonly breakpoints = new Set<number>();
  /** Where the guest stops when it is entered. */
  private readonly entries = new Set<number>();
  private isDisposed = false;
  private isReleased = false;
  private isStarted = false;
  private isKilled = false;
  /** Asked to pause when no run was there to be paused. */
  private pausesAtEntry = false;
  private waiting: NodeJS.Timeout | null = null;
  /** Of the guest that is stopped where it exits, or about to be. */
  private exitStatus: number | null = null;
  private readonly clock: RunningTime;

  /** @throws LoadError, LinkError, LimitError, WasiError */
  constructor(private readonly how: LiveOptions) {
    this.name = how.name;
    this.clock = new RunningTime(how.timeout, () => this.killSwitch?.terminate());
    this.symbols = how.symbols;
    this.functions = how.symbols.artifact.debugFunctions;
    for (const f of this.functions.values()) {
      for (const p of f.points) {
        this.offsets.set(p.pc, p.wasmOffset);
        const known = this.pcs.get(p.wasmOffset);
        if (known === undefined) this.pcs.set(p.wasmOffset, [p.pc]);
        else known.push(p.pc);
      }
    }
    this.module = Module.fromFile(how.artifact);
    this.module.sourceFolder = dirname(how.artifact);
    const stream = (name: 'stdout' | 'stderr'): Writable | { fd: number } => {
      const fd = how.streams[name];
      if (fd !== null) return { fd };
      // What is not whole at a chunk's end is with the next one.
      const decoder = new TextDecoder();
      const shown = new Writable({
        write: (chunk: Uint8Array, _encoding, done) => {
          const text = decoder.decode(chunk, { stream: true });
          this.emit({ kind: 'output', stream: name, text, taken: done });
        },
      });
      this.shown.push(shown);
      return shown;
    };
    this.wasi = new WasiContext({
      args: [how.name, ...(how.invokes ? [] : how.args)],
      env: how.env,
      preopens: how.preopens,
      stdin: how.streams.stdin === null ? 'null' : { fd: how.streams.stdin },
      stdout: stream('stdout'),
      stderr: stream('stderr'),
    });
    const limits = {
      stackSize: how.stackSize ?? STACK_SIZE,
      ...(how.maxHeapSize === null ? {} : { heapMemorySize: how.maxHeapSize }),
    };
    this.region = Region.create({ capacity: 1, limits });
    this.instance = Instance.create(
      this.region,
      Linkage.create(this.module, { ...this.wasiImports(), ...assemblyScriptImports }),
      {},
      { start: false },
    );
    this.instance.onStop = stop => this.onStop(stop);
    const address = { module: this.module, handle: () => (this.isDisposed ? 0 : this.instance.address) };
    this.watchpoints = new LiveWatchpoints(
      address,
      this.module,
      pc => this.breakpoints.has(pc) || this.entries.has(pc),
      () => this.stop,
      (functionIndex, local) => this.functions.get(functionIndex)?.locals[local]?.home ?? null,
    );
    this.state = {
      ...instanceState(address),
      writeMemory: (memory, at, bytes) => writeInstanceMemory(address, memory, at, bytes),
      setGlobal: (index, bits) => setInstanceGlobal(address, index, bits),
    };
  }

  private wasiImports(): Imports {
    const exit = (status: number): void => this.exit(status);
    const lookup = (module: string, name: string) =>
      name === 'proc_exit' ? exit : this.wasi.lookup(module, name);
    return Object.fromEntries(Object.keys(this.wasi.imports).map(module => [module, { lookup }]));
  }

  /**
   * proc_exit. A host function can't stop its guest, but ask for a pause, which comes before the guest does anything
   * else.
   */
  private exit(status: number): void {
    if (this.isKilled || this.killSwitch === null || !this.how.stopsAtExit(status))
      throw new GuestExit(status);
    this.exitStatus = status;
    this.killSwitch.pause();
  }

  get threads(): readonly TargetThread[] {
    return this.isOver ? [] : [{ id: THREAD, name: `${this.name}#1` }];
  }

  onEvent(listener: (event: TargetEvent) => void): void {
    this.listeners.push(listener);
  }

  private emit(event: TargetEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  sequencePoints(functionIndex: number): readonly number[] {
    let points = this.points.get(functionIndex);
    if (points === undefined) {
      // The table is in the order of the native code, in which blocks may have changed places.
      const all = this.functions.get(functionIndex)?.points.map(p => p.wasmOffset) ?? [];
      points = [...new Set(all)].sort((a, b) => a - b);
      this.points.set(functionIndex, points);
    }
    return points;
  }

  setBreakpoint(wasmOffset: number): void {
    if (this.isDisposed) return;
    for (const pc of this.pcs.get(wasmOffset) ?? []) {
      this.breakpoints.add(pc);
      this.module.setBreakpoint(pc);
    }
  }

  clearBreakpoint(wasmOffset: number): void {
    if (this.isDisposed) return;
    for (const pc of this.pcs.get(wasmOffset) ?? []) {
      this.breakpoints.delete(pc);
      if (!this.entries.has(pc) && !this.watchpoints.isExit(pc)) this.module.clearBreakpoint(pc);
    }
  }

  /**
   * Stop once, at the first statement that the guest comes to: in the entry point, or, where that has none, in any
   * function.
   */
  private stopOnEntry(): void {
    const found = this.symbols.artifact.findExport(this.how.entrypoint);
    const entry = found?.desc.kind === ExternKind.Func ? this.functions.get(found.index) : undefined;
    const candidates = entry?.points.length ? [entry] : this.functions.values();
    for (const { points } of candidates) if (points[0] !== undefined) this.entries.add(points[0].pc);
    for (const pc of this.entries) this.module.setBreakpoint(pc);
  }

  private leaveEntries(): void {
    for (const pc of this.entries)
      if (!this.breakpoints.has(pc) && !this.watchpoints.isExit(pc)) this.module.clearBreakpoint(pc);
    this.entries.clear();
  }

  start(): void {
    if (this.isKilled) {
      this.end(EXIT_KILLED);
      return;
    }
    this.isStarted = true;
    this.killSwitch = this.instance.killSwitch();
    if (this.how.stopOnEntry || this.pausesAtEntry) this.stopOnEntry();
    this.clock.go();
    void this.run();
  }

  private async run(): Promise<void> {
    try {
      if (this.instance.state === 'NotStarted') await this.instance.runStartAsync();
      // Whatever came between two runs had none to act on.
      if (this.isKilled) {
        this.end(EXIT_KILLED);
        return;
      }
      if (this.pausesAtEntry) this.stopOnEntry();
      this.killSwitch = this.instance.killSwitch();
      if (this.how.invokes) await this.invoke();
      else await this.pool.call(this.instance, this.how.entrypoint);
      this.end(0);
    } catch (e) {
      this.onEnd(e);
    }
  }

  private async invoke(): Promise<void> {
    const { args, entrypoint } = this.how;
    const func = this.instance.func(entrypoint);
    const { params } = func.type;
    if (args.length !== params.length)
      throw new TypeError(`${entrypoint} takes ${params.length} arguments, not ${args.length}`);
    const values = params.map((type, i) => (type === 'i64' ? BigInt(args[i]!) : Number(args[i])));
    const results = await this.pool.invoke(this.instance, func, values);
    const shown = (Array.isArray(results) ? results : results === undefined ? [] : [results]).map(String);
    if (shown.length > 0) this.emit({ kind: 'output', stream: 'stdout', text: `${shown.join(' ')}\n` });
  }

  private onEnd(e: unknown): void {
    this.clock.hold();
    if (e instanceof GuestExit) this.end(e.status & 0xff);
    else if (e instanceof TerminatedError && this.exitStatus !== null) this.end(this.exitStatus & 0xff);
    else if (e instanceof TerminatedError && this.clock.isOver) {
      const message = `the time is over ("timeout": ${this.how.timeout} ms, stops not counted)`;
      this.emit({ kind: 'failed', message });
      this.end(EXIT_TIMEOUT);
    } else if (e instanceof TerminatedError) this.end(EXIT_KILLED);
    else if (e instanceof Trap || e instanceof InternalFault) {
      this.report = e.report;
      // One that was killed, and trapped before it came to that, has nobody who would go on with it.
      if (!this.isKilled && this.how.stopsAt(this.report))
        this.behindOutput(() => this.emit({ kind: 'stopped', thread: THREAD, reason: 'trap' }));
      else this.end(EXIT_TRAP);
    } else {
      this.emit({ kind: 'failed', message: e instanceof Error ? e.message : String(e) });
      this.end(1);
    }
  }

  private end(code: number): void {
    if (this.isOver) return;
    this.isOver = true;
    this.behindOutput(() => {
      this.emit({ kind: 'exited', code });
      if (this.isDisposed) this.release();
    });
  }

  /** What was printed before is told before, unless nobody waits for it any more. */
  private behindOutput(act: () => void): void {
    const waiting = this.isKilled ? [] : this.shown.filter(s => s.writableLength > 0);
    if (waiting.length === 0) act();
    else waiting[0]!.write('', () => this.behindOutput(act));
  }

  private onStop(stop: Stop): StopAction | Promise<StopAction> {
    const frames = stop.frames();
    const [top] = frames;
    // A pause may come before the guest has a frame, where there is nothing to show: it waits for the first statement.
    if (top === undefined) {
      this.stopOnEntry();
      return 'continue';
    }
    const left = this.watchpoints.left(frames);
    if (left.length > 0) this.emit({ kind: 'left', watchpoints: left });
    if (!this.isUsers(stop.reason, top.pc - this.module.code.address)) return 'continue';
    this.clock.hold();
    const isEntry = this.entries.has(top.pc - this.module.code.address);
    if (isEntry) this.leaveEntries();
    const paused = stop.reason === 'pause' || (isEntry && (this.pausesAtEntry || !this.how.stopOnEntry));
    const watched = stop.reason === 'watchpoint';
    const reason = watched ? 'watchpoint' : paused ? 'pause' : isEntry ? 'entry' : 'breakpoint';
    return new Promise(resolve => {
      // The promise is what the runtime waits for: it has to be there before anybody fulfils it. Until it is told, the
      // guest runs for everybody else.
      const tell = (): void => {
        if (this.isKilled) {
          resolve('continue');
          return;
        }
        this.stop = stop;
        this.proceed = resolve;
        this.pausesAtEntry = false;
        this.stopWaiting();
        if (this.exitStatus !== null)
          this.emit({ kind: 'exiting', thread: THREAD, status: this.exitStatus & 0xff });
        else this.emit({ kind: 'stopped', thread: THREAD, reason });
      };
      setImmediate(() => this.behindOutput(tell));
    });
  }

  /** Whether somebody has asked for a stop, other than to find out that a frame is left. */
  private isUsers(reason: Stop['reason'], pc: number): boolean {
    if (reason === 'watchpoint') return this.watchpoints.anyHit;
    return reason !== 'breakpoint' || this.breakpoints.has(pc) || this.entries.has(pc);
  }

  resume(): void {
    const { proceed } = this;
    this.stop = null;
    this.proceed = null;
    if (proceed !== null) {
      if (this.exitStatus !== null) this.killSwitch?.terminate();
      else this.clock.go();
      proceed('continue');
    } else if (this.report !== null) this.end(EXIT_TRAP);
  }

  pause(): void {
    if (this.stop !== null || this.report !== null || this.isOver) return;
    const result = this.killSwitch?.pause() ?? 'Invalid';
    if (result === 'Invalid') this.pausesAtEntry = true;
    // A host function is at work that can't be stopped: one of WASI's that waits can.
    if (result === 'Pending') this.waiting ??= setTimeout(() => this.tellWaiting(), PATIENCE);
  }

  private stopWaiting(): void {
    if (this.waiting !== null) clearTimeout(this.waiting);
    this.waiting = null;
  }

  private tellWaiting(): void {
    this.waiting = null;
    if (this.stop !== null || this.report !== null || this.isOver) return;
    const message = 'pause: the program is in a host function, and stops as soon as that returns';
    this.emit({ kind: 'told', message });
  }

  kill(): void {
    this.isKilled = true;
    if (this.report !== null) this.end(EXIT_TRAP);
    else if (!this.isStarted) this.end(EXIT_KILLED);
    else if (!this.isOver) {
      this.killSwitch?.terminate();
      this.resume();
    }
  }

  frames(): readonly TargetFrame[] {
    const base = { textOffset: -1, count: 0, stackAddress: null };
    if (this.stop === null) {
      const frames = this.report?.frames.filter(f => !f.isInlined) ?? [];
      return frames.map((f, depth) => ({
        ...base,
        depth,
        kind: f.kind,
        functionIndex: f.functionIndex,
        functionName: f.functionName,
        wasmOffset: f.wasmOffset,
        textOffset: f.textOffset,
        count: f.count,
      }));
    }
    // Behind an access or a call may be another statement: what was done is told.
    const back = this.stop.reason === 'watchpoint' ? 1 : 0;
    return this.stop.frames().map((f, depth): TargetFrame => {
      if (f.isImport)
        return {
          ...base,
          depth,
          kind: 'host',
          functionIndex: f.functionIndex,
          functionName: f.module === null ? '' : importName(f.module, f.functionIndex),
          wasmOffset: -1,
        };
      const textOffset = f.pc - this.module.code.address;
      const innermost =
        back === 0
          ? this.offsets.get(textOffset)
          : this.symbols.artifact.locate(textOffset - back)?.wasmOffset;
      return {
        ...base,
        depth,
        kind: f.module === null ? 'host' : 'wasm',
        functionIndex: f.functionIndex,
        functionName: f.module?.functionName(f.functionIndex) ?? '',
        wasmOffset: depth === 0 ? (innermost ?? f.wasmOffset) : f.wasmOffset,
        textOffset,
        stackAddress: f.sp,
      };
    });
  }

  /** A home in the stack of a frame. */
  private home(frame: TargetFrame, offset: number): bigint | null {
    if (this.stop === null || frame.stackAddress === null) return null;
    const bytes = this.stop.readStack(frame.stackAddress + offset, 8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  }

  readLocal(_thread: number, frame: TargetFrame, index: number): bigint | null {
    const local = this.functions.get(frame.functionIndex)?.locals[index];
    const bits = local === undefined ? null : this.home(frame, local.home);
    // i32 and f32 use the low half of their home.
    return bits === null ? null : local!.type === 1 || local!.type === 3 ? BigInt.asUintN(32, bits) : bits;
  }

  writeLocal(_thread: number, frame: TargetFrame, index: number, bits: bigint): boolean {
    const local = this.functions.get(frame.functionIndex)?.locals[index];
    if (local === undefined || this.stop === null || frame.stackAddress === null) return false;
    const half = local.type === 1 || local.type === 3;
    const bytes = new Uint8Array(BigUint64Array.of(BigInt.asUintN(64, bits)).buffer).subarray(
      0,
      half ? 4 : 8,
    );
    this.stop.writeStack(frame.stackAddress + local.home, bytes);
    return true;
  }

  readOperand(_thread: number, frame: TargetFrame, index: number): bigint | null {
    const f = this.functions.get(frame.functionIndex);
    return f === undefined ? null : this.home(frame, f.operands + index * OPERAND_HOME_SIZE);
  }

  operandCount(_thread: number, frame: TargetFrame): number {
    const point = this.functions
      .get(frame.functionIndex)
      ?.points.find(p => p.wasmOffset === frame.wasmOffset);
    return point?.operandCount ?? 0;
  }

  registers(): Readonly<Record<string, string>> {
    if (this.stop === null) return this.report?.registers ?? {};
    if (this.stop.isInHost) return {};
    return Object.fromEntries(
      Object.entries(this.stop.registers).map(([name, v]) => [name, `0x${v.toString(16)}`]),
    );
  }

  trapReport(): TrapReport | null {
    return this.report;
  }

  dispose(): void {
    if (this.isDisposed) return;
    this.kill();
    this.isDisposed = true;
    // What runs still needs all of it.
    if (this.isOver) this.release();
  }

  /** Once: its descriptors may be somebody else's by then. */
  private release(): void {
    if (this.isReleased) return;
    this.isReleased = true;
    this.instance.dispose();
    this.region.dispose();
    this.module.dispose();
    this.wasi.dispose();
    this.pool.dispose();
    closeDescriptors(Object.values(this.how.streams));
  }
}
