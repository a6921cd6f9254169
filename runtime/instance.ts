/** A module at work: with memories, tables and globals of its own, and a stack. */

import {
  ARGS,
  blockEvent,
  callByBlock,
  eventInBlock,
  finishByBlock,
  hostcallArgs,
  hostcallInstance,
  hostcallNumber,
  isHostcall,
  MOST_WORDS,
  performByBlock,
  resumeByBlock,
} from './call-block.ts';
import {
  Activation,
  bindingOf,
  boundedRunner,
  creationError,
  finish,
  HERE,
  type Hostcall,
  perform,
  type RunEvent,
  type Runner,
  termination,
  unlessCancelled,
} from './calls.ts';
import { EmbedContexts } from './embed.ts';
import { AsyncHostcallError, LimitError, StateError, TerminatedError } from './errors.ts';
import { WasmException } from './exception.ts';
import { instanceCreated, instanceReleased } from './externref.ts';
import { type EntityHome, type Extern, Global, Memory, Table, Tag } from './externs.ts';
import { forgetHandlers, type SignalBehavior, setFatalHandler, setSignalHandler } from './fault-handlers.ts';
import { AT, type Block, EventKind, errorMessage, native, type Shared, Status, shared } from './ffi.ts';
import { Func, type FuncHome } from './func.ts';
import { Group } from './group.ts';
import { type HostBinding, isPromise, type Vmctx } from './hostcalls.ts';
import { type InstanceOptions, type InstanceState, storeOptions } from './instance-options.ts';
import { KillSwitch } from './kill-switch.ts';
import { type Imports, Linkage } from './linkage.ts';
import type { Module } from './module.ts';
import { RawTrap } from './raw-trap.ts';
import type { Region } from './region.ts';
import { isNativeYield, isStop, Stop, type StopAction, type StopHandler } from './stop.ts';
import { InternalFault, Trap } from './trap.ts';
import { type FuncType, wordsOf } from './types.ts';
import { acquireBlock, loadResults, releaseBlock, storeValues } from './values.ts';
import { streamWaitedFor, type WaitedFor } from './wasi-streams.ts';
import { checkYieldType, type RunResult, Yield, type Yielding } from './yield.ts';

/** By native handle: events name instances by it. */
const instances = new Map<number, Instance>();

export class Instance implements FuncHome, EntityHome {
  readonly module: Module;
  readonly region: Region;
  /** Values that host functions find again, by class. */
  readonly embed: EmbedContexts;
  group = new Group(this);
  readonly #linkage: Linkage;
  #address = 0;
  #disposed = false;
  /** How it is when nothing runs. */
  #rest: 'NotStarted' | 'Ready' | 'Faulted' | 'Terminated' | 'Poisoned' = 'Ready';
  readonly #activations: Activation[] = [];
  /** Calls so far: what is known of a trap's surroundings holds until the next one. */
  #runs = 0;
  readonly #funcs = new Map<number, Func>();
  readonly #externs: (Extern | undefined)[] = [];
  #exports: Readonly<Record<string, Extern>> | null = null;
  #yielding: Yielding | null = null;

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
    if (instance.#rest === 'NotStarted' && (options.start ?? true)) {
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
   * For an instance that was made and called by native code, of a linkage that is constant: what the call block holds is what its run stopped with. Runs it
   * to its end, then gives it back.
   */
  static runOn(region: Region, linkage: Linkage, address: number): void {
    const instance = new Instance(region, linkage, []);
    instance.#adopt(address);
    instance.#runs++;
    try {
      instance.#throughHostcalls(shared());
    } finally {
      instance.dispose();
    }
  }

  #adopt(address: number): void {
    this.#address = address;
    this.module.retain();
    instanceCreated();
    instances.set(address, this);
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
      this.#disposed = true;
      this.group.drop();
      throw error;
    }
    this.#adopt(s.block.word(AT.OUT));
    if (native().lucet_instance_needs_start(this.#address) !== 0) this.#rest = 'NotStarted';
  }

  get state(): InstanceState {
    if (this.#disposed) return 'Disposed';
    if (this.#activations.length === 0) return this.#rest;
    if (this.#yielding !== null && this.#activations.at(-1) === this.#yielding.me) return 'Yielded';
    return this.#activations.every(a => a.waiting) ? 'Suspended' : 'Running';
  }

  /** Operators run so far, if the module was compiled with `countInstructions` (lucet.h has the costs); else 0. */
  get instructionCount(): bigint {
    return BigInt(native().lucet_instance_instruction_count(this.address));
  }

  /** The native handle. @throws StateError when it was given back */
  get address(): number {
    if (this.#address === 0) throw new StateError('the instance was disposed');
    return this.#address;
  }

  assertAlive(): void {
    if (this.#address === 0) throw new StateError('the instance was disposed');
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
    if (number < 0) throw new TypeError(`${this.module.label} exports nothing named ${JSON.stringify(name)}`);
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
   * Calls an export of a module compiled with `countInstructions`, and lets the event loop go on each time `bound` operators have been run.
   * The instance may not be called meanwhile. Host functions may return promises.
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
    if (this.#rest !== 'NotStarted') return;
    this.#runHere((event, error) => native().lucet_instance_run_start(this.address, event, error));
  }

  async runStartAsync(runner: Runner = HERE): Promise<void> {
    if (this.#rest !== 'NotStarted') return;
    await this.#runAsync(runner, () => runner.start(this.address));
  }

  invoke(func: Func, args: readonly unknown[]): unknown {
    const { params, results } = func.type;
    if (func.words > MOST_WORDS) return this.#invokeWide(func, args);
    const s = shared();
    storeValues(s.block, params, args, this, 'the arguments', ARGS);
    this.#callHere(s, func);
    return loadResults(s.block, results, this, ARGS);
  }

  /** With more values than the call block holds. */
  #invokeWide(func: Func, args: readonly unknown[]): unknown {
    const { params, results } = func.type;
    const block = acquireBlock(func.words);
    try {
      storeValues(block, params, args, this, 'the arguments');
      this.#runHere((event, error) =>
        native().lucet_instance_call(this.address, func.address, block.address, event, error),
      );
      return loadResults(block, results, this);
    } finally {
      releaseBlock(block);
    }
  }

  /** @param runner where the guest runs; the promise is settled here in any case */
  async invokeAsync(func: Func, args: readonly unknown[], runner: Runner = HERE): Promise<unknown> {
    const { params, results } = func.type;
    const block = acquireBlock(Math.max(wordsOf(params), wordsOf(results)));
    try {
      storeValues(block, params, args, this, 'the arguments');
      await this.#runAsync(runner, () => runner.call(this.address, func.address, block.address));
      return loadResults(block, results, this);
    } finally {
      releaseBlock(block);
    }
  }

  invokeRaw(func: Func, words: BigUint64Array): BigUint64Array {
    const { params, results } = func.type;
    if (words.length !== wordsOf(params)) {
      throw new TypeError(`expected ${wordsOf(params)} words of arguments, got ${words.length}`);
    }
    const block = acquireBlock(func.words);
    try {
      block.u64.set(words);
      this.#runHere((event, error) =>
        native().lucet_instance_call(this.address, func.address, block.address, event, error),
      );
      return block.u64.slice(0, wordsOf(results));
    } finally {
      releaseBlock(block);
    }
  }

  /** Calls a function whose arguments are in the call block. A call without host functions of JavaScript's leaves no traces but its results. */
  #callHere(s: Shared, func: Func): void {
    this.#begin();
    if (callByBlock(s, this.address, func.address)) this.#rest = 'Ready';
    else this.#throughHostcalls(s);
  }

  #runHere(run: (event: number, error: number) => Status): void {
    const s = shared();
    this.#begin();
    if (eventInBlock(s, run)) this.#rest = 'Ready';
    else this.#throughHostcalls(s);
  }

  /** From what the call block holds to the return, carrying out host functions in between. @throws for any other end */
  #throughHostcalls(s: Shared): void {
    const me = this.#push();
    try {
      for (let done = false; !done; ) {
        if (!isHostcall(s)) {
          const event = blockEvent(s);
          if (isNativeYield(event) && streamWaitedFor(this.#address)?.takeAnyway()) {
            done = resumeByBlock(s, this.#address);
            continue;
          }
          this.#look(event);
          return;
        }
        const address = hostcallInstance(s);
        const caller = address === this.#address ? this : (instances.get(address) ?? null);
        const hostcall: Hostcall = { caller, number: hostcallNumber(s), args: hostcallArgs(s) };
        try {
          const result = performByBlock(hostcall);
          if (result instanceof Yield) throw new StateError(YIELDS_ELSEWHERE);
          if (isPromise(result)) {
            // Nobody will look at what becomes of it.
            Promise.resolve(result).catch(() => {});
            throw new AsyncHostcallError(`host function ${bindingOf(hostcall).label}`);
          }
          finishByBlock(hostcall, result);
          this.#cancelAbove(me, 'a call below it went on');
        } catch (e) {
          if (e instanceof WasmException) {
            this.#cancelAbove(me, 'a call below it went on');
            const thrown = e.addressFor(caller ?? this);
            done = eventInBlock(s, (event, error) =>
              native().lucet_instance_resume_throw(this.address, thrown, event, error),
            );
            continue;
          }
          this.#abort(me);
          throw e;
        }
        done = resumeByBlock(s, this.address);
      }
      this.#rest = 'Ready';
    } finally {
      this.#leave(me);
    }
  }

  async #runAsync(runner: Runner, start: () => RunEvent | Promise<RunEvent>): Promise<void> {
    const me = this.#enter();
    try {
      // Where it runs here, host functions are called before the promise is returned.
      const first = start();
      let event = isPromise(first) ? await first : first;
      if (isStop(event) || isNativeYield(event)) event = await this.#throughStops(me, event, runner);
      let hostcall = this.#look(event);
      while (hostcall !== null) {
        try {
          let result = perform(hostcall);
          if (isPromise(result)) {
            me.waiting = true;
            result = await unlessCancelled(me, result);
          }
          if (result instanceof Yield) throw new StateError(YIELDS_ELSEWHERE);
          // Nothing to wait for is no reason to let others run first.
          if (this.#activations.at(-1) !== me) await this.#untilInnermost(me);
          me.waiting = false;
          if (me.cancelled === null) finish(hostcall, result);
        } catch (e) {
          me.waiting = false;
          if (me.cancelled === null) {
            if (e instanceof WasmException) {
              event = await this.#throwInto(me, hostcall, e, runner);
              if (isStop(event) || isNativeYield(event)) event = await this.#throughStops(me, event, runner);
              hostcall = this.#look(event);
              continue;
            }
            this.#abort(me);
            throw e;
          }
        }
        if (me.cancelled !== null) throw me.cancelled;
        const next = runner.resume(this.address);
        event = isPromise(next) ? await next : next;
        if (isStop(event) || isNativeYield(event)) event = await this.#throughStops(me, event, runner);
        hostcall = this.#look(event);
      }
    } finally {
      this.#leave(me);
    }
  }

  /**
   * Called wherever a call by callAsync or on a pool stops: at breakpoints, after steps, and when a kill switch paused it. What it returns tells
   * how the guest goes on. A call that stops without it ends with a StateError.
   */
  onStop: StopHandler | null = null;

  /** Every later call of this instance has ended, or this one has been. */
  async #untilInnermost(me: Activation): Promise<void> {
    while (me.cancelled === null && this.#activations.at(-1) !== me) {
      me.waiting = true;
      await new Promise<void>(resolve => {
        this.#activations.at(-1)!.wake.push(resolve);
      });
    }
  }

  async #waitFor(me: Activation, stream: WaitedFor): Promise<void> {
    me.waiting = true;
    await unlessCancelled(me, stream.ready());
    await this.#untilInnermost(me);
    me.waiting = false;
    if (me.cancelled !== null) throw me.cancelled;
  }

  /** The first event that is no stop, and no waiting for a stream. */
  async #throughStops(me: Activation, stopped: RunEvent, runner: Runner): Promise<RunEvent> {
    let event = stopped;
    for (;;) {
      if (isNativeYield(event)) {
        const stream = streamWaitedFor(this.address);
        if (stream === null) return event;
        await this.#waitFor(me, stream);
        event = await runner.resume(this.address);
        continue;
      }
      if (!isStop(event) || this.onStop === null) return event;
      const stop = new Stop(this.address, event);
      me.waiting = true;
      let action: StopAction;
      try {
        action = await this.onStop(stop);
      } catch (e) {
        if (me.cancelled === null) this.#abort(me);
        throw e;
      } finally {
        stop.end();
        me.waiting = false;
      }
      if (me.cancelled !== null) throw me.cancelled;
      if (action === 'step') native().lucet_instance_step(this.address, shared().error);
      event = await runner.resume(this.address);
    }
  }

  // ------------------------------------------------------------------------------------------------------------- Yields

  /**
   * Calls an export until it returns or a host function gives a Yield. A guest that waits for one of Node's streams yields a promise, which is
   * settled when `resume` is worth while.
   * @throws what `call` throws
   */
  run(name: string, ...args: unknown[]): RunResult {
    if (this.#yielding !== null) throw new StateError('the instance has yielded: resume it first');
    const func = this.func(name);
    const { params, results } = func.type;
    const block = acquireBlock(Math.max(wordsOf(params), wordsOf(results)));
    let me: Activation | null = null;
    try {
      storeValues(block, params, args, this, 'the arguments');
      me = this.#enter();
      return this.#runOn(me, func, block, HERE.call(this.address, func.address, block.address) as RunEvent);
    } catch (e) {
      if (me !== null) this.#leave(me);
      releaseBlock(block);
      throw e;
    }
  }

  /**
   * Lets a guest that yielded go on; `value` becomes what its host function returns.
   * @throws YieldTypeMismatch when that isn't what the host function expects: the guest still waits
   */
  resume(value?: unknown): RunResult {
    const y = this.#yielding;
    if (y === null || this.#activations.at(-1) !== y.me)
      throw new StateError('the instance has not yielded, or runs');
    checkYieldType(y.expects, value);
    this.#yielding = null;
    y.me.waiting = false;
    try {
      if (y.hostcall !== null) {
        try {
          finish(y.hostcall, value);
        } catch (e) {
          this.#abort(y.me);
          throw e;
        }
      }
      return this.#runOn(y.me, y.func, y.block, HERE.resume(this.address) as RunEvent);
    } catch (e) {
      this.#leave(y.me);
      releaseBlock(y.block);
      throw e;
    }
  }

  /** Ends a guest that yielded, without running it any more. */
  abandon(): void {
    const y = this.#yielding;
    if (y === null) return;
    this.#yielding = null;
    this.#abort(y.me);
    this.#leave(y.me);
    releaseBlock(y.block);
  }

  #runOn(me: Activation, func: Func, block: Block, first: RunEvent): RunResult {
    let event = first;
    for (;;) {
      if (isNativeYield(event)) {
        const value = streamWaitedFor(this.address)?.ready() ?? event.id;
        return this.#yielded({ me, func, block, hostcall: null, expects: null }, value);
      }
      const hostcall = this.#look(event);
      if (hostcall === null) {
        const value = loadResults(block, func.type.results, this);
        this.#leave(me);
        releaseBlock(block);
        return { done: true, value };
      }
      try {
        const result = perform(hostcall);
        if (result instanceof Yield) {
          this.#cancelAbove(me, 'a call below it yielded');
          return this.#yielded({ me, func, block, hostcall, expects: result.expects }, result.value);
        }
        if (isPromise(result)) {
          Promise.resolve(result).catch(() => {});
          throw new AsyncHostcallError(`host function ${bindingOf(hostcall).label}`);
        }
        finish(hostcall, result);
        this.#cancelAbove(me, 'a call below it went on');
      } catch (e) {
        if (e instanceof WasmException) {
          event = this.#throwInto(me, hostcall, e) as RunEvent;
          continue;
        }
        this.#abort(me);
        throw e;
      }
      event = HERE.resume(this.address) as RunEvent;
    }
  }

  #yielded(y: Yielding, value: unknown): RunResult {
    y.me.waiting = true;
    this.#yielding = y;
    return { done: false, value };
  }

  // ------------------------------------------------------------------------------------------------ Stopping from outside

  /** A switch for the run that is under way, or for the next one. */
  killSwitch(): KillSwitch {
    const s = shared();
    if (native().lucet_instance_kill_switch(this.address, s.out, s.error) !== Status.Ok)
      throw new LimitError(errorMessage(), 'resources');
    return new KillSwitch(s.block.word(AT.OUT), () => this.#killedWhileWaiting());
  }

  /** Promises that a killed guest waits for may never be settled. */
  #killedWhileWaiting(): void {
    for (;;) {
      const top = this.#activations.at(-1);
      if (top === undefined || !top.waiting || this.#disposed) return;
      if (this.#yielding?.me === top) return;
      this.#activations.pop();
      native().lucet_instance_abort(this.address, shared().error);
      this.#rest = 'Terminated';
      top.cancel(new TerminatedError(0n, 'remote'));
    }
  }

  /** Milliseconds that each later run may take, host functions included; then it ends with a TerminatedError. 0: no limit. */
  set timeout(milliseconds: number) {
    if (!(milliseconds >= 0)) throw new RangeError(`${milliseconds} is no time`);
    native().lucet_instance_set_timeout(this.address, Math.min(Math.ceil(milliseconds * 1e6), 2 ** 62));
  }

  /**
   * Asked whenever guest code that runs for this instance faulted, before the call ends with a Trap; null: no question. It may look at the trap and at
   * memories, and change those, so that 'continue' fares better; it may not call the instance. An error in it counts as 'default'.
   */
  set onSignal(handler: ((trap: Trap) => SignalBehavior) | null) {
    setSignalHandler(
      this.address,
      handler === null ? null : info => handler(Trap.fromInfo(this.#rawTrap(info))),
    );
  }

  /** Told of an InternalFault before it is thrown, for an embedder who would rather end the process. */
  set onFatal(handler: ((fault: InternalFault) => void) | null) {
    setFatalHandler(
      this.address,
      handler === null ? null : info => handler(new InternalFault(this.#rawTrap(info))),
    );
  }

  #enter(): Activation {
    this.#begin();
    return this.#push();
  }

  #begin(): void {
    if (this.#disposed) throw new StateError('the instance was disposed');
    if (this.#rest === 'Poisoned') throw new StateError('the instance is lost after an internal fault');
    this.#runs++;
  }

  #push(): Activation {
    const me = new Activation();
    this.#activations.push(me);
    return me;
  }

  #leave(me: Activation): void {
    const at = this.#activations.lastIndexOf(me);
    if (at >= 0) this.#activations.splice(at, 1);
    for (const wake of me.wake) wake();
  }

  /** Ends those that were called later than `me`: they wait for promises, but `me` can't wait for them. */
  #cancelAbove(me: Activation, why: string): void {
    while (this.#activations.at(-1) !== me) {
      const top = this.#activations.pop()!;
      native().lucet_instance_abort(this.address, shared().error);
      this.#forgetYield(top);
      top.cancel(new StateError(`the call was ended: ${why}`));
    }
  }

  /** A run that yielded was ended by others. */
  #forgetYield(top: Activation): void {
    if (this.#yielding?.me !== top) return;
    releaseBlock(this.#yielding.block);
    this.#yielding = null;
  }

  /** Ends `me` at the host function it is in. */
  #abort(me: Activation): void {
    this.#cancelAbove(me, 'a call below it ended');
    this.#rest = 'Terminated';
    const status = native().lucet_instance_abort(this.address, shared().error);
    if (status !== Status.Ok) throw new StateError(errorMessage());
  }

  /** The host function ended with an exception of a guest's: it is thrown at the call. `e` must live until the event. */
  #throwInto(
    me: Activation,
    hostcall: Hostcall,
    e: WasmException,
    runner: Runner = HERE,
  ): RunEvent | Promise<RunEvent> {
    this.#cancelAbove(me, 'a call below it went on');
    let exception: number;
    try {
      exception = e.addressFor(hostcall.caller ?? this);
    } catch (mistake) {
      // It can't be thrown into this guest: the host's mistake, which ends the call.
      this.#abort(me);
      throw mistake;
    }
    return runner.throwInto(this.address, exception);
  }

  /** What a run ended with: a hostcall to be carried out, or null when it returned. @throws for any other end */
  #look(event: RunEvent): Hostcall | null {
    if (event.status !== Status.Ok) {
      // What the pool had not finished is left suspended.
      if (event.lost && this.#activations.length === 1) {
        native().lucet_instance_abort(this.address, shared().error);
        this.#rest = 'Terminated';
      }
      throw new StateError(event.message);
    }
    switch (event.kind) {
      case EventKind.Returned:
        this.#rest = 'Ready';
        return null;
      case EventKind.Hostcall:
        return { caller: instances.get(event.instance) ?? null, number: event.code, args: event.args };
      case EventKind.Trapped:
        this.#rest = 'Faulted';
        throw this.#trap(event.code);
      case EventKind.Exception: {
        this.#rest = 'Faulted';
        const e = WasmException.at(Number(event.id), this, true);
        const info = native().lucet_instance_trap_info(this.address);
        if (info !== 0) e.thrownAt(this.#rawTrap(info));
        throw e;
      }
      case EventKind.Faulted:
        this.#rest = 'Poisoned';
        throw new InternalFault(this.#rawTrap(native().lucet_instance_trap_info(this.address)));
      case EventKind.Terminated:
        this.#rest = 'Terminated';
        throw termination(event.code, event.id);
      default:
        // A native host function yielded, or the run was paused, and nobody is there who could resume it.
        this.#rest = 'Terminated';
        native().lucet_instance_abort(this.address, shared().error);
        throw new StateError(YIELDS_ELSEWHERE);
    }
  }

  /** No info: there was no room on the stack to begin with. */
  #trap(code: number): Trap {
    const info = native().lucet_instance_trap_info(this.address);
    return info === 0 ? Trap.placeless(code, this.module) : Trap.fromInfo(this.#rawTrap(info));
  }

  #rawTrap(info: number): RawTrap {
    const run = this.#runs;
    return new RawTrap(info, { module: this.module, handle: () => (this.#runs === run ? this.#address : 0) });
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
   * Brings the instance back to where it was made: memories, tables, globals; then runs the start function again. What it imports keeps its
   * contents, and embed contexts stay. Calls that wait for promises are ended.
   * @throws StateError while it runs, or when it is lost; LimitError when the system refuses memory
   */
  reset(options: Pick<InstanceOptions, 'start'> = {}): void {
    if (this.state === 'Running') throw new StateError('the instance is running');
    this.#endWaiting('the instance was reset');
    const status = native().lucet_instance_reset(this.address, shared().error);
    if (status === Status.Resources) {
      this.#rest = 'Poisoned';
      throw new LimitError(errorMessage(), 'resources');
    }
    if (status !== Status.Ok) throw new StateError(errorMessage());
    this.#rest = native().lucet_instance_needs_start(this.address) !== 0 ? 'NotStarted' : 'Ready';
    if (options.start ?? true) this.runStart();
  }

  #endWaiting(why: string): void {
    while (this.#activations.length > 0) {
      const top = this.#activations.pop()!;
      native().lucet_instance_abort(this.address, shared().error);
      this.#forgetYield(top);
      top.cancel(new StateError(`the call was ended: ${why}`));
    }
  }

  /** Number of its slot in the region, from 0. */
  get slot(): number {
    return native().lucet_instance_slot(this.address);
  }

  /**
   * Gives the slot back, as soon as no other instance may hold anything of this one. Calls that wait for promises are ended.
   * @throws StateError while it runs
   */
  dispose(): void {
    if (this.#disposed) return;
    if (this.state === 'Running') throw new StateError('the instance is running');
    this.#endWaiting('the instance was disposed');
    this.#disposed = true;
    this.group.drop();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  releaseNative(): void {
    if (this.#address === 0) return;
    instances.delete(this.#address);
    forgetHandlers(this.#address);
    native().lucet_instance_release(this.#address);
    this.#address = 0;
    this.module.release();
    instanceReleased();
  }
}

const YIELDS_ELSEWHERE =
  'the guest yielded, was paused, or waits for a stream: run it by `run`, or for a stream by `callAsync`';
