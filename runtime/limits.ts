/** How much each instance of a region may have (lucet_limits). */
import { AT, native, STRUCTS, shared } from './ffi.ts';

export interface Limits {
  /** Largest size in bytes of one memory (4 GiB). */
  readonly heapMemorySize: number;
  /** Bytes of address space reserved for each memory (8 GiB). Dense regions reserve heapMemorySize. */
  readonly heapAddressSpaceSize: number;
  /** Bytes of a guest's stack (1 MiB). */
  readonly stackSize: number;
  /**
   * Bytes for globals, tables' descriptors, imports: 16 for each global, 32 for each table, 24 for each imported
   * function (1 MiB).
   */
  readonly vmctxSize: number;
  /** Most elements of one table (10,000,000). */
  readonly tableElements: number;
  /** Most bytes of garbage-collected objects (1 GiB). */
  readonly objectMemorySize: number;
}

const FIELDS: readonly (readonly [keyof Limits, number])[] = [
  ['heapMemorySize', STRUCTS.lucet_limits.heap_memory_size],
  ['heapAddressSpaceSize', STRUCTS.lucet_limits.heap_address_space_size],
  ['stackSize', STRUCTS.lucet_limits.stack_size],
  ['vmctxSize', STRUCTS.lucet_limits.vmctx_size],
  ['tableElements', STRUCTS.lucet_limits.table_elements],
  ['objectMemorySize', STRUCTS.lucet_limits.object_memory_size],
];

/** @param kind dense: heaps of 1 MiB, stacks of 128 KiB, a vmctx of 64 KiB, a million elements, objects of 1 MiB */
export function defaultLimits(kind: 'guarded' | 'dense' = 'guarded'): Limits {
  const { block, limits } = shared();
  if (kind === 'dense') native().lucet_limits_default_dense(limits);
  else native().lucet_limits_default(limits);
  return Object.fromEntries(
    FIELDS.map(([key, at]) => [key, block.word(AT.LIMITS + at)]),
  ) as unknown as Limits;
}

/** Writes the limits into the shared struct. @throws RangeError */
export function storeLimits(limits: Limits): void {
  const { block } = shared();
  for (const [key, at] of FIELDS) {
    const value = limits[key];
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`limit ${key}: ${value} is not a size`);
    block.setWord(AT.LIMITS + at, value);
  }
}
