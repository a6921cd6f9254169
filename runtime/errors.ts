/** What can go wrong at the runtime's door. A trap of the guest is in trap.ts. */

/** An artifact can't be loaded. */
export class LoadError extends Error {
  override readonly name = 'LoadError';
  /** @param offset of what is wrong in the file (reason `format`), else 0 */
  constructor(
    message: string,
    readonly reason: 'io' | 'format' | 'version' | 'checksum' | 'cpu' | 'resources',
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

/** The instance is in no state to do that: disposed, poisoned, running. */
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

/** A native host function ended the guest. */
export class TerminatedError extends Error {
  override readonly name = 'TerminatedError';
  constructor(readonly details: bigint) {
    super(`a host function terminated the guest (details ${details})`);
  }
}

/** A host function gave a promise to a guest that was called synchronously. */
export class AsyncHostcallError extends Error {
  override readonly name = 'AsyncHostcallError';
  constructor(what: string) {
    super(`${what} returned a promise: call the guest with callAsync to let it wait`);
  }
}
