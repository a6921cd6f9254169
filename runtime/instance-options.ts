/** Options for making instances, and the states that instances have. */
import { AT, STRUCTS, shared } from './ffi.ts';

/**
 * NotStarted: the start function is still to be run. Suspended: waits for promises of host functions, or of `onStop`.
 * Yielded: waits for `resume`. BoundExpired: of `runAsync`, while others have their turn. Terminating: it was killed,
 * and ends instead of going on, or of beginning. Faulted, Terminated: how the last run ended; it can be called again.
 * Poisoned: lost after an internal fault. What runs on a pool's thread is Running.
 */
export type InstanceState =
  | 'NotStarted'
  | 'Ready'
  | 'Running'
  | 'Suspended'
  | 'Yielded'
  | 'BoundExpired'
  | 'Terminating'
  | 'Faulted'
  | 'Terminated'
  | 'Poisoned'
  | 'Disposed';

export interface InstanceOptions {
  /** Run the start function, if there is one (true). */
  readonly start?: boolean;
  /** Largest size in bytes of each memory, within the region's limit. */
  readonly heapSizeLimit?: number;
  /** Most elements of each table, within the region's limit. */
  readonly tableLimit?: number;
  /** Embed contexts to start with. */
  readonly embed?: Iterable<object>;
}

/** Writes the options into the shared struct. @throws RangeError */
export function storeOptions(options: InstanceOptions): void {
  const { block } = shared();
  for (const [name, at] of [
    ['heapSizeLimit', STRUCTS.lucet_instance_options.heap_memory_size],
    ['tableLimit', STRUCTS.lucet_instance_options.table_elements],
  ] as const) {
    const value = options[name];
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1))
      throw new RangeError(`${name}: ${value} is not a limit`);
    block.setWord(AT.OPTIONS + at, value ?? 0);
  }
  block.setWord(AT.OPTIONS + STRUCTS.lucet_instance_options.data, 0);
}
