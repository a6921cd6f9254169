/** Calls that run on this thread until they return, or yield; host functions are carried out in between. */
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
import { type Activation, bindingOf, finish, HERE, type Hostcall, perform, type RunEvent } from './calls.ts';
import { AsyncHostcallError, StateError } from './errors.ts';
import { WasmException } from './exception.ts';
import { type Execution, YIELDS_ELSEWHERE } from './execution.ts';
import { type Block, native, type Shared, type Status, shared } from './ffi.ts';
import type { Func } from './func.ts';
import { isPromise } from './hostcalls.ts';
import { isNativeYield } from './stop.ts';
import { wordsOf } from './types.ts';
import { ARGUMENTS, acquireBlock, loadResults, releaseBlock, storeValues } from './values.ts';
import { streamWaitedFor } from './wasi-streams.ts';
import { checkYieldType, type RunResult, Yield, type Yielding } from './yield.ts';

/** See Func.call. */
export function invokeHere(x: Execution, func: Func, args: readonly unknown[]): unknown {
  const { params, results } = func.type;
  if (func.words > MOST_WORDS) return invokeWide(x, func, args);
  const s = shared();
  storeValues(s.block, params, args, x.home, ARGUMENTS, ARGS);
  x.begin();
  if (callByBlock(s, x.address, func.address)) x.rest = 'Ready';
  else throughHostcalls(x, s);
  return loadResults(s.block, results, x.home, ARGS);
}

/** With more values than the call block holds. */
function invokeWide(x: Execution, func: Func, args: readonly unknown[]): unknown {
  const { params, results } = func.type;
  const block = acquireBlock(func.words);
  try {
    storeValues(block, params, args, x.home, ARGUMENTS);
    callHere(x, func, block);
    return loadResults(block, results, x.home);
  } finally {
    releaseBlock(block);
  }
}

/** See Func.callRaw. */
export function invokeRawHere(x: Execution, func: Func, words: BigUint64Array): BigUint64Array {
  const { params, results } = func.type;
  if (words.length !== wordsOf(params))
    throw new TypeError(`expected ${wordsOf(params)} words of arguments, got ${words.length}`);
  const block = acquireBlock(func.words);
  try {
    block.u64.set(words);
    callHere(x, func, block);
    return block.u64.slice(0, wordsOf(results));
  } finally {
    releaseBlock(block);
  }
}

/** Runs the start function. */
export function startHere(x: Execution): void {
  runHere(x, (event, error) => native().lucet_instance_run_start(x.address, event, error));
}

/** @param block arguments, then results */
function callHere(x: Execution, func: Func, block: Block): void {
  runHere(x, (event, error) =>
    native().lucet_instance_call(x.address, func.address, block.address, event, error),
  );
}

function runHere(x: Execution, run: (event: number, error: number) => Status): void {
  const s = shared();
  x.begin();
  if (eventInBlock(s, run)) x.rest = 'Ready';
  else throughHostcalls(x, s);
}

/** Of a run that native code began and that stopped: from what the call block holds to its return. */
export function continueHere(x: Execution): void {
  x.begin();
  throughHostcalls(x, shared());
}

/** From what the call block holds to the return, carrying out host functions in between. @throws for any other end */
function throughHostcalls(x: Execution, s: Shared): void {
  const me = x.push();
  try {
    for (let done = false; !done; ) {
      if (!isHostcall(s)) {
        const event = blockEvent(s);
        if (isNativeYield(event) && streamWaitedFor(x.address)?.takeAnyway()) {
          done = resumeByBlock(s, x.address);
          continue;
        }
        x.look(event);
        return;
      }
      const hostcall: Hostcall = {
        caller: x.callerAt(hostcallInstance(s)),
        number: hostcallNumber(s),
        args: hostcallArgs(s),
      };
      try {
        const result = performByBlock(hostcall);
        if (result instanceof Yield) throw new StateError(YIELDS_ELSEWHERE);
        if (isPromise(result)) throw notAwaited(hostcall, result);
        finishByBlock(hostcall, result);
        x.cancelAbove(me, 'a call below it went on');
      } catch (e) {
        if (e instanceof WasmException) {
          const exception = x.exceptionFor(me, hostcall, e);
          done = eventInBlock(s, (event, error) =>
            native().lucet_instance_resume_throw(x.address, exception, event, error),
          );
          continue;
        }
        x.abort(me);
        throw e;
      }
      done = resumeByBlock(s, x.address);
    }
    x.rest = 'Ready';
  } finally {
    x.leave(me);
  }
}

/** Nobody will look at what becomes of the promise. */
function notAwaited(hostcall: Hostcall, promise: PromiseLike<unknown>): Error {
  Promise.resolve(promise).catch(() => {});
  return new AsyncHostcallError(`host function ${bindingOf(hostcall).label}`);
}

// --------------------------------------------------------------------------------------------------------------- Yields

/** See Instance.run. */
export function runToYield(x: Execution, func: Func, args: readonly unknown[]): RunResult {
  if (x.yielding !== null) throw new StateError('the instance has yielded: resume it first');
  const { params, results } = func.type;
  const block = acquireBlock(Math.max(wordsOf(params), wordsOf(results)));
  let me: Activation | null = null;
  try {
    storeValues(block, params, args, x.home, ARGUMENTS);
    me = x.enter();
    return toYield(x, me, func, block, HERE.call(x.address, func.address, block.address) as RunEvent);
  } catch (e) {
    if (me !== null) x.leave(me);
    releaseBlock(block);
    throw e;
  }
}

/** See Instance.resume. */
export function resumeToYield(x: Execution, value: unknown): RunResult {
  const y = x.yielding;
  if (y === null || !x.isInnermost(y.me)) throw new StateError('the instance has not yielded, or runs');
  checkYieldType(y.expects, value);
  x.takeYielding();
  try {
    if (y.hostcall !== null) {
      try {
        finish(y.hostcall, value);
      } catch (e) {
        x.abort(y.me);
        throw e;
      }
    }
    return toYield(x, y.me, y.func, y.block, HERE.resume(x.address) as RunEvent);
  } catch (e) {
    x.leave(y.me);
    releaseBlock(y.block);
    throw e;
  }
}

/** See Instance.abandon. */
export function abandonYield(x: Execution): void {
  const y = x.yielding;
  if (y === null) return;
  x.takeYielding();
  x.abort(y.me);
  x.leave(y.me);
  releaseBlock(y.block);
}

/**
 * @param first what the run stopped with. The block is given back if the run returns; the caller does so if this throws
 */
function toYield(x: Execution, me: Activation, func: Func, block: Block, first: RunEvent): RunResult {
  let event = first;
  for (;;) {
    if (isNativeYield(event)) {
      const value = streamWaitedFor(x.address)?.ready() ?? event.id;
      return yielded(x, { me, func, block, hostcall: null, expects: null }, value);
    }
    const hostcall = x.look(event);
    if (hostcall === null) {
      const value = loadResults(block, func.type.results, x.home);
      x.leave(me);
      releaseBlock(block);
      return { done: true, value };
    }
    try {
      const result = perform(hostcall);
      if (result instanceof Yield) {
        x.cancelAbove(me, 'a call below it yielded');
        return yielded(x, { me, func, block, hostcall, expects: result.expects }, result.value);
      }
      if (isPromise(result)) throw notAwaited(hostcall, result);
      finish(hostcall, result);
      x.cancelAbove(me, 'a call below it went on');
    } catch (e) {
      if (e instanceof WasmException) {
        event = HERE.throwInto(x.address, x.exceptionFor(me, hostcall, e)) as RunEvent;
        continue;
      }
      x.abort(me);
      throw e;
    }
    event = HERE.resume(x.address) as RunEvent;
  }
}

function yielded(x: Execution, y: Yielding, value: unknown): RunResult {
  x.yielded(y);
  return { done: false, value };
}
