/**
 * A module at work: with memories, tables and globals of its own, and a stack. What runs in it is its Execution's part.
 */

import { boundedRunner, creationError, type Runner, SHARING } from './calls.ts';
import { EmbedContexts } from './embed.ts';
import { LimitError, StateError } from './errors.ts';
import { Execution, type ExecutionHome } from './execution.ts';
import { instanceCreated, instanceReleased } from './externref.ts';
import { type EntityHome, type Extern, Global, Memory, Table, Tag } from './externs.ts';
import {
  forgetHandlers,
  isAsked,
  type SignalBehavior,
  setFatalHandler,
  setSignalHandler,
} from './fault-handlers.ts';
import { AT, errorMessage, native, Status, shared } from './ffi.ts';
import { Func, type FuncHome } from './func.ts';
import { Group } from './group.ts';
import type { HostBinding, Vmctx } from './hostcalls.ts';
import { type InstanceOptions, type InstanceState, storeOptions } from './instance-options.ts';
import { KillSwitch } from './kill-switch.ts';
import { type Imports, Linkage } from './linkage.ts';
import { exportsLike, type Module } from './module.ts';
import type { Region } from './region.ts';
import { invokeAsync, startAsync } from './run-async.ts';
import {
  abandonYield,
  continueHere,
  invokeHere,
  invokeRawHere,
  resumeToYield,
  runToYield,
  startHere,
} from './run-here.ts';
import type { StopHandler } from './stop.ts';
import { InternalFault, Trap } from './trap.ts';
import type { FuncType } from './types.ts';
import type { RunResult } from './yield.ts';

export class Instance implements FuncHome, EntityHome, ExecutionHome {
  readonly module: Module;
  readonly region: Region;
  /** Values that host functions find again, by class. */
  readonly embed: EmbedContexts;
  group = new Group(this);
  readonly #linkage: Linkage;
  readonly #execution = new Execution(this);
  readonly #funcs = new Map<number, Func>();
  readonly #externs: (Extern | undefined)[] = [];
  #exports: Readonly<Record<string, Extern>> | null = null;

  private constructor(region: Region, linkage: Linkage, embed: Iterable<object>) {
    this.embed = new EmbedContexts(embed);
    this.region = region;
    this.module = linkage.module;
    this.#linkage = linkage;
  }

  /**
   * Takes a slot of the region, links and initialises; runs the start function unless told not to.
   * @param source the module; or a Linkage of it, and then `imports` are not looked at
   * @throws LinkError, LimitError; Trap, where effects before it stay visible in what was imported
   */
  static create(
    region: Region,
    source: Module | Linkage,
    imports: Imports = {},
    options: InstanceOptions = {},
  ): Instance {
    const linkage = source instanceof Linkage ? source : Linkage.create(source, imports);
    if (linkage.module.disposed) throw new StateError('the module was disposed');
    const instance = new Instance(region, linkage, options.embed ?? []);
    instance.#allocate(options);
    if (instance.#execution.rest === 'NotStarted' && (options.start ?? true)) {
      try {
        instance.runStart();
      } catch (e) {
        instance.dispose();
        throw e;
      }
    }
    return instance;
  }

  /**
   * For an instance that was made and called by native code, of a linkage that is constant: what the call block holds
   * is what its run stopped with. Runs it to its end, then gives it back.
   */
  static runOn(region: Region, linkage: Linkage, address: number): void {
    const instance = new Instance(region, linkage, []);
    instance.#adopt(address);
    try {
      continueHere(instance.#execution);
    } finally {
      instance.dispose();
    }
  }

  #adopt(address: number): void {
    this.#execution.attach(address);
    this.module.retain();
    instanceCreated();
  }

  #allocate(options: InstanceOptions): void {
    const { module } = this;
    const linkage = this.#linkage;
    // Before anything native refers to them.
    for (const [home, flow] of linkage.homes) {
      home.assertAlive();
      if (flow === 'both-ways') this.group.merge(home.group);
      else this.group.hold(home);
    }
    const imports = linkage.prepare(this);
    const s = shared();
    s.block.setWord(AT.OUT, 0);
    storeOptions(options);
    const status = native().lucet_instance_new_with(
      this.region.address,
      module.address,
      imports,
      linkage.count,
      s.options,
      s.out,
      s.error,
    );
    if (status !== Status.Ok) {
      const error = creationError(status, this.module);
      this.#execution.disposed = true;
      this.group.drop();
      throw error;
    }
    this.#adopt(s.block.word(AT.OUT));
    if (native().lucet_instance_needs_start(this.address) !== 0) this.#execution.rest = 'NotStarted';
  }

  get state(): InstanceState {
    return this.#execution.state;
  }

  /** Operators run so far, if the module was compiled with `countInstructions` (lucet.h has the costs); else 0. */
  get instructionCount(): bigint {
    return BigInt(native().lucet_instance_instruction_count(this.address));
  }

  /** The native handle. @throws StateError when it was given back */
  get address(): number {
    const { address } = this.#execution;
    if (address === 0) throw new StateError('the instance was disposed');
    return address;
  }

  assertAlive(): void {
    if (this.#execution.address === 0) throw new StateError('the instance was disposed');
  }

  /** By name. */
  get exports(): Readonly<Record<string, Extern>> {
    if (this.#exports === null) {
      const all: Record<string, Extern> = Object.create(null);
      this.module.exports.forEach((e, i) => {
        all[e.name] = this.#extern(i);
      });
      this.#exports = Object.freeze(all);
    }
    return this.#exports;
  }

  /** An export. @throws TypeError when there is none of that name */
  export(name: string): Extern {
    const number = this.module.exportNumber(name);
    if (number < 0)
      throw new TypeError(
        `${this.module.label} exports nothing named ${JSON.stringify(name)}${exportsLike(this.module.exports, name)}`,
      );
    return this.#extern(number);
  }

  /** An exported function. @throws TypeError when there is none of that name */
  func(name: string): Func {
    const found = this.export(name);
    if (!(found instanceof Func)) throw new TypeError(`the export ${JSON.stringify(name)} is not a function`);
    return found;
  }

  /** The first exported memory, or null. */
  get memory(): Memory | null {
    const number = this.module.exports.findIndex(e => e.type.kind === 'memory');
    return number < 0 ? null : (this.#extern(number) as Memory);
  }

  /** Calls an export: see Func.call. */
  call(name: string, ...args: unknown[]): unknown {
    return this.invoke(this.func(name), args);
  }

  /** See Func.callAsync. */
  async callAsync(name: string, ...args: unknown[]): Promise<unknown> {
    return this.invokeAsync(this.func(name), args);
  }

  /**
   * Calls an export of a module compiled with `countInstructions`, and lets the event loop go on each time `bound`
   * operators have been run. The instance may not be called meanwhile. Host functions may return promises.
   */
  async runAsync(name: string, args: readonly unknown[], bound: number): Promise<unknown> {
    if (!Number.isSafeInteger(bound) || bound < 1) throw new RangeError(`${bound} is no number of operators`);
    return this.invokeAsync(this.func(name), args, boundedRunner(bound));
  }

  /** See Func.callRaw. */
  callRaw(name: string, words: BigUint64Array): BigUint64Array {
    return this.invokeRaw(this.func(name), words);
  }

  #extern(number: number): Extern {
    return (this.#externs[number] ??= this.#makeExtern(number));
  }

  #makeExtern(number: number): Extern {
    const { type, index } = this.module.exports[number]!;
    switch (type.kind) {
      case 'func':
        return this.funcAt(native().lucet_instance_function(this.address, index), {
          params: type.params,
          results: type.results,
        });
      case 'memory':
        return new Memory(this, number, index, type);
      case 'table':
        return new Table(this, number, index, type);
      case 'global':
        return new Global(this, number, index, type);
      case 'tag':
        return new Tag(this, number, index, type);
    }
  }

  /** @param type where it is known */
  funcAt(address: number, type: FuncType | null = null): Func {
    let func = this.#funcs.get(address);
    if (func === undefined) this.#funcs.set(address, (func = new Func(this, address, type)));
    return func;
  }

  adopt(func: Func): void {
    func.home.assertAlive();
    this.group.merge(func.home.group);
  }

  // ------------------------------------------------------------------------------------------------------------ Running

  /** Runs the start function, if there is one that has not been run. */
  runStart(): void {
    if (this.#execution.rest === 'NotStarted') startHere(this.#execution);
  }

  async runStartAsync(runner: Runner = SHARING): Promise<void> {
    if (this.#execution.rest === 'NotStarted') await startAsync(this.#execution, runner);
  }

  invoke(func: Func, args: readonly unknown[]): unknown {
    return invokeHere(this.#execution, func, args);
  }

  /** @param runner where the guest runs; the promise is settled here in any case */
  invokeAsync(func: Func, args: readonly unknown[], runner: Runner = SHARING): Promise<unknown> {
    return invokeAsync(this.#execution, func, args, runner);
  }

  invokeRaw(func: Func, words: BigUint64Array): BigUint64Array {
    return invokeRawHere(this.#execution, func, words);
  }

  /**
   * Called wherever a call by callAsync or on a pool stops: at breakpoints, after steps, and when a kill switch paused
   * it. What it returns tells how the guest goes on. A call that stops without it ends with a StateError.
   */
  get onStop(): StopHandler | null {
    return this.#execution.onStop;
  }

  set onStop(handler: StopHandler | null) {
    this.#execution.onStop = handler;
  }

  /**
   * Calls an export until it returns or a host function gives a Yield. A guest that waits for one of Node's streams
   * yields a promise, which is settled when `resume` is worth while.
   * @throws what `call` throws
   */
  run(name: string, ...args: unknown[]): RunResult {
    return runToYield(this.#execution, this.func(name), args);
  }

  /**
   * Lets a guest that yielded go on; `value` becomes what its host function returns.
   * @throws YieldTypeMismatch when that isn't what the host function expects: the guest still waits
   */
  resume(value?: unknown): RunResult {
    return resumeToYield(this.#execution, value);
  }

  /** Ends a guest that yielded, without running it any more. */
  abandon(): void {
    abandonYield(this.#execution);
  }

  // ------------------------------------------------------------------------------------------------ Stopping from outside

  /** A switch for the run that is under way, or for the next one. */
  killSwitch(): KillSwitch {
    const s = shared();
    if (native().lucet_instance_kill_switch(this.address, s.out, s.error) !== Status.Ok)
      throw new LimitError(errorMessage(), 'resources');
    return new KillSwitch(
      s.block.word(AT.OUT),
      () => this.#execution.killedWhileWaiting(),
      () => this.#execution.pausedWhileWaiting(),
    );
  }

  /**
   * Milliseconds that each later run may take, host functions included; then it ends with a TerminatedError. 0: no
   * limit.
   */
  set timeout(milliseconds: number) {
    if (!(milliseconds >= 0)) throw new RangeError(`timeout: ${milliseconds} is no number of milliseconds`);
    native().lucet_instance_set_timeout(this.address, Math.min(Math.ceil(milliseconds * 1e6), 2 ** 62));
  }

  /**
   * Asked whenever guest code that runs for this instance faulted, before the call ends with a Trap; null: no question.
   * It may look at the trap and at memories, and change those, so that 'continue' fares better; it may not call, reset
   * or dispose the instance. An error in it counts as 'default'.
   */
  set onSignal(handler: ((trap: Trap) => SignalBehavior) | null) {
    setSignalHandler(
      this.address,
      handler === null ? null : info => handler(Trap.fromInfo(this.#execution.rawTrap(info))),
    );
  }

  /** Told of an InternalFault before it is thrown, for an embedder who would rather end the process. */
  set onFatal(handler: ((fault: InternalFault) => void) | null) {
    setFatalHandler(
      this.address,
      handler === null ? null : info => handler(new InternalFault(this.#execution.rawTrap(info))),
    );
  }

  // ------------------------------------------------------------------------------------------------------- For hostcalls

  /** The host function of an imported function. */
  binding(number: number): HostBinding {
    const binding = this.#linkage.hosts[number];
    if (!binding) throw new Error(`imported function ${number} is not a host function`);
    return binding;
  }

  vmctx(): Vmctx {
    return {
      instance: this,
      embed: this.embed,
      memory: (index = 0) => this.#memoryAt(index),
    };
  }

  /** A memory by its index; where it isn't exported, it can be read and written but not linked. */
  #memoryAt(index: number): Memory {
    const number = this.module.exports.findIndex(e => e.type.kind === 'memory' && e.index === index);
    if (number >= 0) return this.#extern(number) as Memory;
    if (native().lucet_instance_memory(this.address, index, shared().out) === 0) {
      throw new RangeError(`the module has no memory ${index}`);
    }
    return new Memory(this, -1, index, {
      min: 0,
      max: null,
      index64: false,
      shared: false,
      pageSize: 65536,
    });
  }

  // ----------------------------------------------------------------------------------------------------------- The end

  /**
   * Brings the instance back to where it was made: memories, tables, globals; then runs the start function again. What
   * it imports keeps its contents, and embed contexts stay. Calls that wait for promises are ended.
   * @throws StateError while it runs, or when it is lost; LimitError when the system refuses memory
   */
  reset(options: Pick<InstanceOptions, 'start'> = {}): void {
    const execution = this.#execution;
    if (execution.running || isAsked(execution.address)) throw new StateError('the instance is running');
    execution.endWaiting('the instance was reset');
    const status = native().lucet_instance_reset(this.address, shared().error);
    if (status === Status.Resources) {
      execution.rest = 'Poisoned';
      throw new LimitError(errorMessage(), 'resources');
    }
    if (status !== Status.Ok) throw new StateError(errorMessage());
    execution.rest = native().lucet_instance_needs_start(this.address) !== 0 ? 'NotStarted' : 'Ready';
    if (options.start ?? true) this.runStart();
  }

  /** Number of its slot in the region, from 0. */
  get slot(): number {
    return native().lucet_instance_slot(this.address);
  }

  /**
   * Gives the slot back, as soon as no other instance may hold anything of this one. Calls that wait for promises are
   * ended.
   * @throws StateError while it runs
   */
  dispose(): void {
    const execution = this.#execution;
    if (execution.disposed) return;
    if (execution.running || isAsked(execution.address)) throw new StateError('the instance is running');
    execution.endWaiting('the instance was disposed');
    execution.disposed = true;
    this.group.drop();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  releaseNative(): void {
    const { address } = this.#execution;
    if (address === 0) return;
    this.#execution.detach();
    forgetHandlers(address);
    native().lucet_instance_release(address);
    this.module.release();
    instanceReleased();
  }
}
