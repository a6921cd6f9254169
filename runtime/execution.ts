/**
 * What runs in one instance: its calls, and what is done with the events that they stop with. Knows nothing of who
 * calls, or waits.
 */
import { TrapCode } from '../compiler/abi/traps.ts';
import { toldAtAbort } from './assemblyscript.ts';
import { Activation, type Caller, type Hostcall, type RunEvent, termination } from './calls.ts';
import { StateError, TerminatedError } from './errors.ts';
import { WasmException } from './exception.ts';
import { EventKind, errorMessage, NativeState, native, Status, shared } from './ffi.ts';
import type { InstanceState } from './instance-options.ts';
import type { Module } from './module.ts';
import { RawTrap } from './raw-trap.ts';
import type { StopHandler } from './stop.ts';
import { InternalFault, Trap } from './trap.ts';
import { releaseBlock } from './values.ts';
import type { Yielding } from './yield.ts';

/** The instance, as its execution sees it: where values go to and come from, and who has its host functions. */
export interface ExecutionHome extends Caller {
  readonly module: Module;
}

/** By native handle: events name instances by it. */
const homes = new Map<number, ExecutionHome>();

export const YIELDS_ELSEWHERE =
  'the guest yielded, was paused, or waits for a stream: run it by `run`, or for a stream by `callAsync`';

export class Execution {
  readonly home: ExecutionHome;
  /** The native handle; 0: there is none yet, or it was given back. */
  address = 0;
  disposed = false;
  /** How the instance is when nothing runs. */
  rest: 'NotStarted' | 'Ready' | 'Faulted' | 'Terminated' | 'Poisoned' = 'Ready';
  /** See Instance.onStop. */
  onStop: StopHandler | null = null;
  #yielding: Yielding | null = null;
  /** Of the native side's stack of calls those that wait or have called a host function; the innermost last. */
  readonly #activations: Activation[] = [];
  /** Calls so far: what is known of a trap's surroundings holds until the next one. */
  #runs = 0;

  constructor(home: ExecutionHome) {
    this.home = home;
  }

  attach(address: number): void {
    this.address = address;
    homes.set(address, this.home);
  }

  /** The native handle was, or is about to be, given back. */
  detach(): void {
    homes.delete(this.address);
    this.address = 0;
  }

  get state(): InstanceState {
    const state = this.#restingOrRunning();
    if (state === 'Disposed' || state === 'Poisoned' || this.address === 0) return state;
    // Its stack of calls is the other thread's.
    if (this.#activations.some(a => a.elsewhere)) return state;
    switch (native().lucet_instance_state(this.address)) {
      case NativeState.Terminating:
        return 'Terminating';
      case NativeState.BoundExpired:
        return 'BoundExpired';
      default:
        return state;
    }
  }

  /** It may not be reset or given back. */
  get running(): boolean {
    return this.#restingOrRunning() === 'Running';
  }

  #restingOrRunning(): InstanceState {
    if (this.disposed) return 'Disposed';
    if (this.#activations.length === 0) return this.rest;
    if (this.#yielding !== null && this.isInnermost(this.#yielding.me)) return 'Yielded';
    return this.#activations.every(a => a.waiting) ? 'Suspended' : 'Running';
  }

  // ------------------------------------------------------------------------------------------------- The stack of calls

  /**
   * Before each call. A call without host functions of JavaScript's leaves no traces but its results. @throws
   * StateError
   */
  begin(): void {
    if (this.disposed) throw new StateError('the instance was disposed');
    if (this.rest === 'Poisoned') throw new StateError('the instance is lost after an internal fault');
    this.#runs++;
  }

  enter(): Activation {
    this.begin();
    return this.push();
  }

  push(): Activation {
    const me = new Activation();
    this.#activations.push(me);
    return me;
  }

  leave(me: Activation): void {
    const at = this.#activations.lastIndexOf(me);
    if (at >= 0) this.#activations.splice(at, 1);
    for (const wake of me.wake) wake();
  }

  isInnermost(me: Activation): boolean {
    return this.#activations.at(-1) === me;
  }

  /** Every later call of this instance has ended, or this one has been. */
  async untilInnermost(me: Activation): Promise<void> {
    while (me.cancelled === null && !this.isInnermost(me)) {
      me.waiting = true;
      await new Promise<void>(resolve => {
        this.#activations.at(-1)!.wake.push(resolve);
      });
    }
  }

  /** Ends those that were called later than `me`: they wait for promises, but `me` can't wait for them. */
  cancelAbove(me: Activation, why: string): void {
    while (!this.isInnermost(me)) this.#endInnermost(new StateError(`the call was ended: ${why}`));
  }

  /** Ends all, which wait for something. */
  endWaiting(why: string): void {
    while (this.#activations.length > 0) this.#endInnermost(new StateError(`the call was ended: ${why}`));
  }

  /** Promises that a killed guest waits for may never be settled. */
  killedWhileWaiting(): void {
    for (;;) {
      const top = this.#activations.at(-1);
      if (top === undefined || !top.waiting || this.disposed) return;
      if (this.#yielding?.me === top) return;
      this.rest = 'Terminated';
      this.#endInnermost(new TerminatedError(0n, 'remote'));
    }
  }

  /** What a guest waits for that is to be paused may take long. */
  pausedWhileWaiting(): void {
    if (!this.disposed) this.#activations.at(-1)?.nudge?.();
  }

  #endInnermost(why: Error): void {
    const top = this.#activations.pop()!;
    native().lucet_instance_abort(this.address, shared().error);
    if (this.#yielding?.me === top) {
      releaseBlock(this.#yielding.block);
      this.#yielding = null;
    }
    top.cancel(why);
  }

  /** Ends `me` at the host function it is in. */
  abort(me: Activation): void {
    this.cancelAbove(me, 'a call below it ended');
    this.rest = 'Terminated';
    const status = native().lucet_instance_abort(this.address, shared().error);
    if (status !== Status.Ok) throw new StateError(errorMessage());
  }

  // ------------------------------------------------------------------------------------------------------------- Yields

  /** A run that yielded, and waits to be resumed. */
  get yielding(): Yielding | null {
    return this.#yielding;
  }

  yielded(y: Yielding): void {
    y.me.waiting = true;
    this.#yielding = y;
  }

  /** The run that yielded is about to go on, or to end. */
  takeYielding(): void {
    if (this.#yielding !== null) this.#yielding.me.waiting = false;
    this.#yielding = null;
  }

  // ------------------------------------------------------------------------------------------------------------- Events

  /** The instance that calls a host function; null: instantiating it failed. */
  callerAt(address: number): Caller | null {
    return address === this.address ? this.home : (homes.get(address) ?? null);
  }

  /**
   * The host function ended with an exception of a guest's, which is to be thrown at the call: its native address. `e`
   * must live until the next event.
   * @throws when it can't be thrown into this guest: the host's mistake, which ends the call
   */
  exceptionFor(me: Activation, hostcall: Hostcall, e: WasmException): number {
    this.cancelAbove(me, 'a call below it went on');
    try {
      return e.addressFor(hostcall.caller ?? this.home);
    } catch (mistake) {
      this.abort(me);
      throw mistake;
    }
  }

  /** What a run ended with: a hostcall to be carried out, or null when it returned. @throws for any other end */
  look(event: RunEvent): Hostcall | null {
    if (event.status !== Status.Ok) {
      // What the pool had not finished is left suspended.
      if (event.lost && this.#activations.length === 1) {
        native().lucet_instance_abort(this.address, shared().error);
        this.rest = 'Terminated';
      }
      throw new StateError(event.message);
    }
    switch (event.kind) {
      case EventKind.Returned:
        this.rest = 'Ready';
        return null;
      case EventKind.Hostcall:
        return { caller: this.callerAt(event.instance), number: event.code, args: event.args };
      case EventKind.Trapped:
        this.rest = 'Faulted';
        throw this.#trap(event.code);
      case EventKind.Exception: {
        this.rest = 'Faulted';
        const e = WasmException.at(Number(event.id), this.home, true);
        const info = native().lucet_instance_trap_info(this.address);
        if (info !== 0) e.thrownAt(this.rawTrap(info));
        throw e;
      }
      case EventKind.Faulted:
        this.rest = 'Poisoned';
        throw new InternalFault(this.rawTrap(native().lucet_instance_trap_info(this.address)));
      case EventKind.Terminated:
        this.rest = 'Terminated';
        throw termination(event.code, event.id);
      default:
        // A native host function yielded, or the run was paused, and nobody is there who could resume it.
        this.rest = 'Terminated';
        native().lucet_instance_abort(this.address, shared().error);
        throw new StateError(YIELDS_ELSEWHERE);
    }
  }

  /** No info: there was no room on the stack to begin with. */
  #trap(code: number): Trap {
    const info = native().lucet_instance_trap_info(this.address);
    if (info === 0) return Trap.placeless(code, this.home.module);
    // What it said is told once, and is of this trap.
    const aborted = code === TrapCode.Unreachable ? toldAtAbort(this.address) : null;
    return Trap.fromInfo(this.rawTrap(info, aborted));
  }

  /** @param info address of a lucet_trap_info */
  rawTrap(info: number, aborted: string | null = null): RawTrap {
    const run = this.#runs;
    const instance = {
      module: this.home.module,
      handle: () => (this.#runs === run ? this.address : 0),
    };
    return new RawTrap(info, instance, aborted);
  }
}
