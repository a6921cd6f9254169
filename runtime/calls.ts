/**
 * One call into a guest, as JavaScript sees it: where it runs, the events it stops with, and the host functions it asks
 * for.
 */
import {
  GuestExit,
  LimitError,
  LinkError,
  StateError,
  TerminatedError,
  type TerminationReason,
} from './errors.ts';
import { AT, type Block, EventKind, errorMessage, native, Reason, STRUCTS, Status, shared } from './ffi.ts';
import type { HostBinding, Vmctx } from './hostcalls.ts';
import type { Module } from './module.ts';
import { Trap } from './trap.ts';
import { wordsOf } from './types.ts';
import { acquireBlock, loadValues, releaseBlock, storeValues, type ValueHome } from './values.ts';

const EVENT = STRUCTS.lucet_event;

/** One call into the guest. The native side has them as a stack, of which only the innermost can go on or end. */
export class Activation {
  /** It waits for a promise, or for `resume`. */
  waiting = false;
  /** Another thread may be running it. */
  elsewhere = false;
  /** Why it was ended from outside. */
  cancelled: Error | null = null;
  /** Wakes those that wait to be innermost. */
  wake: (() => void)[] = [];
  /** Ends its waiting for a promise. */
  interrupt: (() => void) | null = null;
  /** Has a guest that waits for a stream, or a time, go on, which then looks at what is asked of it. */
  nudge: (() => void) | null = null;

  cancel(why: Error): void {
    this.cancelled = why;
    this.interrupt?.();
    for (const wake of this.wake) wake();
  }
}

/** What a host function's promise is raced with: the promise may never be settled, but the call can be ended. */
export function unlessCancelled(me: Activation, result: PromiseLike<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    me.interrupt = () => resolve(undefined);
    result.then(resolve, reject);
  });
}

/** How a guest is run: here and now, or on another thread. */
export interface Runner {
  /** On another thread: until its promise is settled nothing of the instance may be looked at. */
  readonly elsewhere: boolean;
  /** The event of a call, of a run of the start function (func null), or of going on. */
  call(instance: number, func: number, args: number): RunEvent | Promise<RunEvent>;
  start(instance: number): RunEvent | Promise<RunEvent>;
  resume(instance: number): RunEvent | Promise<RunEvent>;
  /** Go on as if the host function had thrown the exception. */
  throwInto(instance: number, exception: number): RunEvent | Promise<RunEvent>;
}

/** A lucet_event, copied. */
export interface RunEvent {
  readonly status: Status;
  readonly kind: EventKind;
  readonly code: number;
  readonly instance: number;
  readonly args: number;
  readonly id: bigint;
  /** Of a status that isn't Ok. */
  readonly message: string;
  /** The pool went before the run was over. */
  readonly lost: boolean;
}

/** The event at `at` of a block. */
export function readEvent(
  block: Block,
  at: number,
  status: Status,
  message: () => string = errorMessage,
): RunEvent {
  return {
    status,
    kind: block.u32[(at + EVENT.kind) >> 2]!,
    code: block.u32[(at + EVENT.code) >> 2]!,
    instance: block.word(at + EVENT.instance),
    args: block.word(at + EVENT.args),
    id: block.u64[(at + EVENT.id) >> 3]!,
    message: status === Status.Ok ? '' : message(),
    lost: false,
  };
}

/** On this thread. */
export const HERE: Runner = {
  elsewhere: false,
  call(instance, func, args) {
    const s = shared();
    return readEvent(s.block, AT.EVENT, native().lucet_instance_call(instance, func, args, s.event, s.error));
  },
  start(instance) {
    const s = shared();
    return readEvent(s.block, AT.EVENT, native().lucet_instance_run_start(instance, s.event, s.error));
  },
  resume(instance) {
    const s = shared();
    return readEvent(s.block, AT.EVENT, native().lucet_instance_resume(instance, s.event, s.error));
  },
  throwInto(instance, exception) {
    const s = shared();
    return readEvent(
      s.block,
      AT.EVENT,
      native().lucet_instance_resume_throw(instance, exception, s.event, s.error),
    );
  },
};

/** The guest does not wait on this thread for a time while it runs: it yields, and is resumed when that is over. */
function yielding(instance: number, run: () => RunEvent | Promise<RunEvent>): RunEvent | Promise<RunEvent> {
  native().lucet_instance_set_wasi_yields(instance, 1);
  try {
    return run();
  } finally {
    native().lucet_instance_set_wasi_yields(instance, 0);
  }
}

/** On this thread, which others have while the guest waits. */
export const SHARING: Runner = {
  elsewhere: false,
  call: (instance, func, args) => yielding(instance, () => HERE.call(instance, func, args)),
  start: instance => yielding(instance, () => HERE.start(instance)),
  resume: instance => yielding(instance, () => HERE.resume(instance)),
  throwInto: (instance, exception) => yielding(instance, () => HERE.throwInto(instance, exception)),
};

/** As in lucet.h. */
const NO_BOUND = 2n ** 64n - 1n;

/**
 * On this thread, which the guest gives back whenever it has run `bound` operators: other work of the event loop gets
 * its turn.
 */
export function boundedRunner(bound: number): Runner {
  const arm = (instance: number): void => {
    const count = BigInt(native().lucet_instance_instruction_count(instance));
    native().lucet_instance_set_instruction_bound(instance, count + BigInt(bound));
  };
  const run = async (instance: number, start: () => RunEvent | Promise<RunEvent>): Promise<RunEvent> => {
    arm(instance);
    let event = await start();
    while (event.status === Status.Ok && event.kind === EventKind.BoundExpired) {
      await new Promise(resolve => setImmediate(resolve));
      arm(instance);
      event = await SHARING.resume(instance);
    }
    // It is this run's alone: nobody would resume a call of another kind.
    native().lucet_instance_set_instruction_bound(instance, NO_BOUND);
    return event;
  };
  return {
    elsewhere: false,
    call: (instance, func, args) => run(instance, () => SHARING.call(instance, func, args)),
    start: instance => run(instance, () => SHARING.start(instance)),
    resume: instance => run(instance, () => SHARING.resume(instance)),
    throwInto: (instance, exception) => run(instance, () => SHARING.throwInto(instance, exception)),
  };
}

/** The instance that calls a host function. */
export interface Caller extends ValueHome {
  binding(number: number): HostBinding;
  vmctx(): Vmctx;
}

/** What a guest wants of the host: copied out of the event. */
export interface Hostcall {
  /** null: instantiating it failed, but a table that it wrote to has functions of it. */
  readonly caller: Caller | null;
  /** Among the caller's imported functions. */
  readonly number: number;
  /** Where the arguments are, and the results go. */
  readonly args: number;
}

const REASONS: Readonly<Partial<Record<Reason, TerminationReason>>> = {
  [Reason.Remote]: 'remote',
  [Reason.Timeout]: 'timeout',
  [Reason.Signal]: 'signal',
  [Reason.Resources]: 'resources',
};

export function termination(reason: Reason, details: bigint): Error {
  return reason === Reason.Exit
    ? new GuestExit(Number(details))
    : new TerminatedError(details, REASONS[reason] ?? 'provided');
}

export function bindingOf(hostcall: Hostcall): HostBinding {
  if (hostcall.caller === null)
    throw new StateError('an instance that could not be made called a host function');
  return hostcall.caller.binding(hostcall.number);
}

/** Calls the host function. */
export function perform(hostcall: Hostcall): unknown {
  const binding = bindingOf(hostcall);
  const caller = hostcall.caller!;
  const { params } = binding.type;
  const words = wordsOf(params);
  const block = acquireBlock(words);
  let args: unknown[];
  try {
    if (words > 0) native().copy(block.address, hostcall.args, words * 8);
    args = loadValues(block, params, caller);
  } finally {
    releaseBlock(block);
  }
  return performWith(binding, caller, args);
}

export function performWith(binding: HostBinding, caller: Caller, args: readonly unknown[]): unknown {
  const { callback } = binding;
  if (binding.wantsVmctx) return callback(caller.vmctx(), ...args);
  // A third of the time that spreading takes.
  switch (args.length) {
    case 0:
      return callback();
    case 1:
      return callback(args[0]);
    case 2:
      return callback(args[0], args[1]);
    case 3:
      return callback(args[0], args[1], args[2]);
    default:
      return callback(...args);
  }
}

/** Hands the guest what the host function gave. @throws TypeError when it isn't of the function's type */
export function finish(hostcall: Hostcall, result: unknown): void {
  const { type, label } = bindingOf(hostcall);
  const caller = hostcall.caller!;
  const { results } = type;
  if (results.length === 0) return;
  const what = `the result of host function ${label}`;
  if (results.length > 1 && !Array.isArray(result))
    throw new TypeError(`${what}: expected an array of ${results.length} values`);
  const values = results.length === 1 ? [result] : (result as unknown[]);
  const words = wordsOf(results);
  const block = acquireBlock(words);
  try {
    storeValues(block, results, values, caller, what);
    native().copy(hostcall.args, block.address, words * 8);
  } finally {
    releaseBlock(block);
  }
}

/** What kept an instance from being made, out of the shared block. */
export function creationError(status: Status, module: Module): Error {
  const { block } = shared();
  switch (status) {
    case Status.Link:
      return new LinkError(errorMessage(), block.word(AT.ERROR + STRUCTS.lucet_error.offset));
    case Status.Trap:
      return Trap.placeless(block.u32[(AT.ERROR + STRUCTS.lucet_error.trap) >> 2]!, module);
    case Status.RegionFull:
      return new LimitError(errorMessage(), 'region-full');
    case Status.Limit:
      return new LimitError(errorMessage(), 'limit');
    case Status.Resources:
      return new LimitError(errorMessage(), 'resources');
    default:
      return new StateError(errorMessage());
  }
}
