/** Watchpoints of an instance, for debuggers: see lucet_instance_set_watchpoint. */
import { AT, Block, errorMessage, native, STRUCTS, Status, shared } from './ffi.ts';
import type { TrappedInstance } from './raw-trap.ts';

/** As many as the processor has. */
export const WATCHPOINTS = 4;

/** enum lucet_watch_kind */
const KINDS = { memory: 0, global: 1, stack: 2 } as const;

/** What is watched. */
export interface WatchedBytes {
  readonly kind: keyof typeof KINDS;
  /** Of the memory or the global. */
  readonly index: number;
  /** Offset in the memory; in a stack, an address as StopFrame.sp. */
  readonly address: number;
  /** 1, 2, 4 or 8, and the address is a multiple of it. */
  readonly size: number;
}

/**
 * @param accesses whether reading it stops, too, and writing what is there already. @returns why it can't be watched;
 * null: it is
 */
export function setWatchpoint(
  instance: TrappedInstance,
  number: number,
  what: WatchedBytes,
  accesses: boolean,
): string | null {
  const handle = instance.handle();
  if (handle === 0) return 'the program has ended';
  const at = STRUCTS.lucet_watchpoint;
  const block = new Block(at.size);
  block.u32[at.kind >> 2] = KINDS[what.kind];
  block.u32[at.index >> 2] = what.index;
  block.u64[at.address >> 3] = BigInt(what.address);
  block.u32[at.length >> 2] = what.size;
  block.u32[at.reads >> 2] = accesses ? 1 : 0;
  const status = native().lucet_instance_set_watchpoint(handle, number, block.address, shared().error);
  return status === Status.Ok ? null : errorMessage();
}

export function clearWatchpoint(instance: TrappedInstance, number: number): void {
  const handle = instance.handle();
  if (handle !== 0) native().lucet_instance_clear_watchpoint(handle, number);
}

/** The value before and after, when the last stop was for this one; else null. */
export function watchpointHit(
  instance: TrappedInstance,
  number: number,
): { readonly before: bigint; readonly after: bigint } | null {
  const handle = instance.handle();
  const { block, out } = shared();
  if (handle === 0 || native().lucet_instance_watchpoint_hit(handle, number, out, out + 8) === 0) return null;
  return { before: block.u64[AT.OUT >> 3]!, after: block.u64[(AT.OUT >> 3) + 1]! };
}

/** Why the system refused the watchpoint when the guest last ran; null: it did not. */
export function watchpointProblem(instance: TrappedInstance, number: number): string | null {
  const handle = instance.handle();
  if (handle === 0) return null;
  const status = native().lucet_instance_watchpoint_status(handle, number, shared().error);
  return status === Status.Ok ? null : errorMessage();
}
