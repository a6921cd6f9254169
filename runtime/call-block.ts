/**
 * Calls on this thread cross into C and back with one argument, the address of a block (lucet_call_block): each
 * argument of a foreign call takes some 10 ns, each word of the block one. Calls nest, so what C left in the block is
 * read before anything else is called.
 */
import type { Hostcall, RunEvent } from './calls.ts';
import { bindingOf, finish, perform, performWith, readEvent } from './calls.ts';
import { AT, EventKind, native, type Shared, STRUCTS, Status, shared } from './ffi.ts';
import { wordsOf } from './types.ts';
import { loadValues, storeValues } from './values.ts';

const CALL = STRUCTS.lucet_call_block;
const EVENT_AT = AT.CALL + CALL.event;
const INSTANCE = (AT.CALL + CALL.instance) >> 3;
const FUNCTION = (AT.CALL + CALL.function) >> 3;
const STATUS = (AT.CALL + CALL.status) >> 2;
const WORDS = (AT.CALL + CALL.words) >> 2;
const KIND = (EVENT_AT + STRUCTS.lucet_event.kind) >> 2;
const CODE = (EVENT_AT + STRUCTS.lucet_event.code) >> 2;

/** Where arguments and results are, as a word of the shared block; and how many there can be. */
export const ARGS = (AT.CALL + CALL.args) >> 3;
export const MOST_WORDS = (CALL.error - CALL.args) / 8;
const NO_WORDS = 0xffff_ffff;

/** Calls the function with the arguments in the block. True: it returned, and its results are there. */
export function callByBlock(s: Shared, instance: number, func: number): boolean {
  const { block } = s;
  block.f64[INSTANCE] = instance;
  block.f64[FUNCTION] = func;
  native().lucet_block_call(s.call);
  return isReturned(s);
}

/** Lets the innermost call go on, with what finishByBlock left. */
export function resumeByBlock(s: Shared, instance: number): boolean {
  s.block.f64[INSTANCE] = instance;
  native().lucet_block_resume(s.call);
  return isReturned(s);
}

/** Runs a function of lucet.h that takes an event and an error, and leaves both in the block. True: it returned. */
export function eventInBlock(s: Shared, run: (event: number, error: number) => Status): boolean {
  const { block } = s;
  block.u32[STATUS] = run(s.block.address + EVENT_AT, s.error);
  block.u32[WORDS] = NO_WORDS;
  return isReturned(s);
}

export function isReturned({ block }: Shared): boolean {
  return block.u32[STATUS] === Status.Ok && block.u32[KIND] === EventKind.Returned;
}

/** What is in the block is a hostcall. */
export function isHostcall({ block }: Shared): boolean {
  return block.u32[STATUS] === Status.Ok && block.u32[KIND] === EventKind.Hostcall;
}

export function blockEvent({ block }: Shared): RunEvent {
  return readEvent(block, EVENT_AT, block.u32[STATUS]!);
}

/** The instance that calls, its number of the host function, and where the arguments are. */
export function hostcallInstance({ block }: Shared): number {
  return block.word(EVENT_AT + STRUCTS.lucet_event.instance);
}
export function hostcallNumber({ block }: Shared): number {
  return block.u32[CODE]!;
}
export function hostcallArgs({ block }: Shared): number {
  return block.word(EVENT_AT + STRUCTS.lucet_event.args);
}

/** Calls the host function that was just asked for. */
export function performByBlock(hostcall: Hostcall): unknown {
  const { block } = shared();
  if (block.u32[WORDS] === NO_WORDS) return perform(hostcall);
  const binding = bindingOf(hostcall);
  const caller = hostcall.caller!;
  return performWith(binding, caller, loadValues(block, binding.type.params, caller, ARGS));
}

/**
 * Leaves the host function's result in the block: the next resumeByBlock hands it to the guest.
 * @throws TypeError when it isn't of the function's type
 */
export function finishByBlock(hostcall: Hostcall, result: unknown): void {
  const { block } = shared();
  const { type, label } = bindingOf(hostcall);
  const { results } = type;
  const words = results.length === 0 ? 0 : wordsOf(results);
  if (results.length > 1 || words > MOST_WORDS) {
    finish(hostcall, result);
    block.u32[WORDS] = NO_WORDS;
    return;
  }
  if (words > 0)
    storeValues(block, results, [result], hostcall.caller!, `the result of host function ${label}`, ARGS);
  block.u32[WORDS] = words;
}
