/** WASI programs that run once, each time in a new instance: one crossing into C for all of it. */

import { blockEvent, isReturned } from './call-block.ts';
import { creationError, termination } from './calls.ts';
import { GuestExit, StateError } from './errors.ts';
import { Block, EventKind, native, Reason, STRUCTS, Status, shared } from './ffi.ts';
import { Instance } from './instance.ts';
import { type Imports, Linkage } from './linkage.ts';
import type { Module } from './module.ts';
import type { Region } from './region.ts';
import { type WasiContext, type WasiContextOptions, type WasiOptions, WasiTemplate } from './wasi.ts';

export interface WasiCommandOptions extends WasiOptions {
  /** For what the module imports beside WASI. */
  readonly imports?: Imports;
  /** The function to run: an export without parameters. Default: `_start`. */
  readonly entry?: string;
  /** Milliseconds that each run may take, host functions included. Default: no limit. */
  readonly timeout?: number;
}

/** What one run has instead of what its command has. */
export interface WasiRunOptions extends Pick<WasiContextOptions, 'args' | 'env'> {
  readonly stdin?: Uint8Array;
}

export interface WasiRunResult {
  readonly exitCode: number;
  /** What was written to standard streams that are 'buffer'. */
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const COMMAND = STRUCTS.lucet_command_block;
/** Its first member. */
const PROGRAM = STRUCTS.lucet_command;
/**
 * Output is written directly to where the result's buffers will be: several runs share a piece of memory, until less
 * than half of it is left. What finds no room is copied.
 */
const ROOM = 32 << 10;
const NOTHING = Buffer.alloc(0);

/**
 * A program, and what it is granted. Each `run` is a new instance of the module: whatever one run leaves in memory, the
 * next never sees. Standard streams are memory unless the options say otherwise.
 */
export class WasiCommand {
  readonly module: Module;
  readonly region: Region;
  readonly #template: WasiTemplate;
  readonly #context: WasiContext;
  readonly #linkage: Linkage;
  readonly #entry: string;
  readonly #timeout: number;
  readonly #block = new Block(COMMAND.size);
  /** Room for output; the first `#written` bytes belong to those who were given them. */
  #room = NOTHING;
  #roomAddress = 0;
  #written = 0;
  /**
   * Whether C can do a whole run in one call: not if the module imports from other instances, has a start function, or
   * is given values that C doesn't keep.
   */
  #fused: boolean;
  #running = false;
  #disposed = false;

  /** @throws WasiError when something can't be granted; LinkError; TypeError when there is no such function */
  constructor(region: Region, module: Module, options: WasiCommandOptions = {}) {
    const { imports = {}, entry = '_start', timeout = 0, ...granted } = options;
    if (!(timeout >= 0)) throw new RangeError(`timeout: ${timeout} is no number of milliseconds`);
    const number = module.exportNumber(entry);
    const type = number < 0 ? null : module.exports[number]!.type;
    if (type?.kind !== 'func' || type.params.length > 0)
      throw new TypeError(
        `${module.label} exports no function without parameters named ${JSON.stringify(entry)}`,
      );
    this.region = region;
    this.module = module;
    this.#entry = entry;
    this.#timeout = timeout;
    this.#template = new WasiTemplate({ stdin: 'buffer', stdout: 'buffer', stderr: 'buffer', ...granted });
    this.#linkage = Linkage.create(module, { ...this.#template.imports, ...imports });
    this.#context = this.#template.context();
    this.#fused = this.#linkage.isConstant && type.results.length <= 2;
    const b = this.#block;
    b.setWord(PROGRAM.region, region.address);
    b.setWord(PROGRAM.module, module.address);
    b.setWord(PROGRAM.imports, this.#fused ? this.#linkage.address : 0);
    b.u32[PROGRAM.import_count >> 2] = this.#linkage.count;
    b.u32[PROGRAM.export_ >> 2] = number;
    b.setWord(PROGRAM.timeout, Math.min(Math.ceil(timeout * 1e6), 2 ** 62));
    b.setWord(PROGRAM.wasi, this.#context.address);
    this.#makeRoom();
  }

  #makeRoom(): void {
    this.#room = Buffer.alloc(ROOM);
    this.#roomAddress = native().addressOf(this.#room, 0, 0);
    this.#written = 0;
    this.#tellRoom();
  }

  #tellRoom(): void {
    this.#block.setWord(COMMAND.room, this.#roomAddress + this.#written);
    this.#block.setWord(COMMAND.room_size, ROOM - this.#written);
  }

  /**
   * Runs the program to its end.
   * @throws Trap; TerminatedError when its time was over; LimitError when the region has no room; what host functions
   * throw
   */
  run(options: WasiRunOptions = {}): WasiRunResult {
    if (this.#disposed) throw new StateError('the command was disposed');
    if (this.module.disposed) throw new StateError('the module was disposed');
    if (this.#running)
      throw new StateError('the command is running: a host function of its own can not run it again');
    // A region that is gone throws.
    this.#block.setWord(PROGRAM.region, this.region.address);
    this.#running = true;
    try {
      return this.#fused ? this.#runFused(options) : this.#runStepwise(options);
    } finally {
      this.#running = false;
    }
  }

  #runFused(options: WasiRunOptions): WasiRunResult {
    const s = shared();
    const b = this.#block;
    const { stdin = null, args, env } = options;
    const prepared = args !== undefined || env !== undefined || stdin?.length === 0;
    if (prepared) this.#context.reset(options);
    b.u32[COMMAND.prepared >> 2] = prepared ? 1 : 0;
    native().lucet_block_run(s.call, b.address, prepared ? null : stdin, stdin?.length ?? 0);
    if (isReturned(s)) return this.#result(0);
    const event = blockEvent(s);
    const instance = b.word(COMMAND.instance);
    if (instance !== 0) return this.#runOn(instance);
    if (event.status === Status.Ok && event.kind === EventKind.Terminated && event.code === Reason.Exit)
      return this.#result(Number(event.id));
    if (event.status === Status.State) {
      this.#fused = false;
      return this.#runStepwise(options);
    }
    this.#context.reset();
    throw event.status === Status.Ok
      ? termination(event.code, event.id)
      : creationError(event.status, this.module);
  }

  /** The run was stopped by something that C can't decide: a host function of JavaScript's, a trap. */
  #runOn(instance: number): WasiRunResult {
    try {
      return this.#result(
        exitCode(() => Instance.runOn(this.region, this.#linkage, instance)),
        true,
      );
    } finally {
      this.#context.reset();
    }
  }

  #runStepwise(options: WasiRunOptions): WasiRunResult {
    this.#context.reset(options);
    const instance = Instance.create(this.region, this.#linkage, {}, { start: false });
    try {
      this.#context.attach(instance);
      instance.timeout = this.#timeout;
      const code = exitCode(() => {
        instance.runStart();
        instance.call(this.#entry);
      });
      return this.#result(code, true);
    } finally {
      instance.dispose();
      this.#context.reset();
    }
  }

  #result(code: number, inContext = this.#block.u32[COMMAND.truncated >> 2] !== 0): WasiRunResult {
    const context = this.#context;
    if (inContext) {
      const [stdout, stderr] = [Buffer.from(context.output(1)), Buffer.from(context.output(2))];
      context.reset();
      return { exitCode: code, stdout, stderr };
    }
    const { u32 } = this.#block;
    const out = this.#take(u32[COMMAND.output >> 2]!);
    const error = this.#take(u32[(COMMAND.output >> 2) + 2]!);
    if (this.#written > ROOM / 2) this.#makeRoom();
    else this.#tellRoom();
    return { exitCode: code, stdout: out, stderr: error };
  }

  /** The next bytes that were written. */
  #take(length: number): Buffer {
    if (length === 0) return NOTHING;
    const from = this.#written;
    this.#written = from + length;
    return this.#room.subarray(from, from + length) as Buffer;
  }

  dispose(): void {
    if (this.#running) throw new StateError('the command is running');
    if (this.#disposed) return;
    this.#disposed = true;
    this.#context.dispose();
    this.#template.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The status that the program ends with. */
function exitCode(run: () => void): number {
  try {
    run();
    return 0;
  } catch (e) {
    if (e instanceof GuestExit) return e.status;
    throw e;
  }
}
