/** Errors of the runtime's public interface. A trap of the guest is in trap.ts. */

/** An artifact can't be loaded. */
export class LoadError extends Error {
  override readonly name = 'LoadError';
  /** @param offset of what is wrong in the file (reason `format`), else 0 */
  constructor(
    message: string,
    readonly reason: 'io' | 'format' | 'version' | 'checksum' | 'cpu' | 'resources' | 'signature',
    readonly offset: number,
  ) {
    super(message);
  }
}

/** A module's imports don't fit what it was given. Messages begin with the official suite's wording. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  /** @param importNumber position in the module's list of imports */
  constructor(
    message: string,
    readonly importNumber: number,
  ) {
    super(message);
  }
}

/** The region has no room: a limit is too small for the module, all slots are in use, or the system gave nothing. */
export class LimitError extends Error {
  override readonly name = 'LimitError';
  constructor(
    message: string,
    readonly reason: 'limit' | 'region-full' | 'resources',
  ) {
    super(message);
  }
}

/** The instance's state does not allow that: it is disposed, poisoned, or running. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

/** The guest ended itself, as `proc_exit` does. */
export class GuestExit extends Error {
  override readonly name = 'GuestExit';
  constructor(readonly status: number) {
    super(`the guest exited with status ${status}`);
  }
}

/**
 * Why a guest was terminated: by a native host function; by a kill switch; its time was over; its signal handler said
 * so; there was no memory to keep it while it was interrupted.
 */
export type TerminationReason = 'provided' | 'remote' | 'timeout' | 'signal' | 'resources';

const REASONS: Readonly<Record<TerminationReason, string>> = {
  provided: 'a host function terminated the guest',
  remote: 'the guest was killed',
  timeout: 'the guest took longer than it may',
  signal: 'the signal handler terminated the guest',
  resources: 'no memory to keep an interrupted guest',
};

/** The guest was terminated before it had finished. The instance can be used again. */
export class TerminatedError extends Error {
  override readonly name = 'TerminatedError';
  /** @param details the host function's value, or the signal's number */
  constructor(
    readonly details: bigint,
    readonly reason: TerminationReason = 'provided',
  ) {
    super(`${REASONS[reason]}${reason === 'provided' ? ` (details ${details})` : ''}`);
  }
}

/** A guest that yielded was resumed with a value of another type than it expects. It still waits. */
export class YieldTypeMismatch extends Error {
  override readonly name = 'YieldTypeMismatch';
  constructor(expected: string) {
    super(`the guest expects ${expected}`);
  }
}

/** A host function gave a promise to a guest that was called synchronously. */
export class AsyncHostcallError extends Error {
  override readonly name = 'AsyncHostcallError';
  constructor(what: string) {
    super(`${what} returned a promise: call the guest with callAsync to let it wait`);
  }
}
