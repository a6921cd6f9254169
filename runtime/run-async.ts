/** Calls that are promises: here or on another thread. Host functions, streams and debuggers may keep them waiting. */
import {
  type Activation,
  finish,
  perform,
  type RunEvent,
  type Runner,
  SHARING,
  unlessCancelled,
} from './calls.ts';
import { StateError } from './errors.ts';
import { WasmException } from './exception.ts';
import { type Execution, YIELDS_ELSEWHERE } from './execution.ts';
import { native, shared } from './ffi.ts';
import type { Func } from './func.ts';
import { isPromise } from './hostcalls.ts';
import { isNativeYield, isStop, Stop, type StopAction } from './stop.ts';
import { wordsOf } from './types.ts';
import { ARGUMENTS, acquireBlock, loadResults, releaseBlock, storeValues } from './values.ts';
import { streamWaitedFor, type WaitedFor } from './wasi-streams.ts';
import { Yield } from './yield.ts';

/**
 * See Func.callAsync.
 * @param runner where the guest runs; the promise is settled on this thread in any case
 */
export async function invokeAsync(
  x: Execution,
  func: Func,
  args: readonly unknown[],
  runner: Runner = SHARING,
): Promise<unknown> {
  const { params, results } = func.type;
  const block = acquireBlock(Math.max(wordsOf(params), wordsOf(results)));
  try {
    storeValues(block, params, args, x.home, ARGUMENTS);
    await runAsync(x, runner, () => runner.call(x.address, func.address, block.address));
    return loadResults(block, results, x.home);
  } finally {
    releaseBlock(block);
  }
}

/** Runs the start function. */
export function startAsync(x: Execution, runner: Runner): Promise<void> {
  return runAsync(x, runner, () => runner.start(x.address));
}

async function runAsync(
  x: Execution,
  runner: Runner,
  start: () => RunEvent | Promise<RunEvent>,
): Promise<void> {
  const me = x.enter();
  try {
    // Where it runs here, host functions are called before the promise is returned.
    const first = start();
    let event = isPromise(first) ? await eventOf(me, runner, first) : first;
    if (isStop(event) || isNativeYield(event)) event = await throughStops(x, me, event, runner);
    let hostcall = x.look(event);
    while (hostcall !== null) {
      try {
        let result = perform(hostcall);
        if (isPromise(result)) {
          me.waiting = true;
          result = await unlessCancelled(me, result);
        }
        if (result instanceof Yield) throw new StateError(YIELDS_ELSEWHERE);
        // Nothing to wait for is no reason to let others run first.
        if (!x.isInnermost(me)) await x.untilInnermost(me);
        me.waiting = false;
        if (me.cancelled === null) finish(hostcall, result);
      } catch (e) {
        me.waiting = false;
        if (me.cancelled === null) {
          if (e instanceof WasmException) {
            event = await eventOf(me, runner, runner.throwInto(x.address, x.exceptionFor(me, hostcall, e)));
            if (isStop(event) || isNativeYield(event)) event = await throughStops(x, me, event, runner);
            hostcall = x.look(event);
            continue;
          }
          x.abort(me);
          throw e;
        }
      }
      if (me.cancelled !== null) throw me.cancelled;
      const next = runner.resume(x.address);
      event = isPromise(next) ? await eventOf(me, runner, next) : next;
      if (isStop(event) || isNativeYield(event)) event = await throughStops(x, me, event, runner);
      hostcall = x.look(event);
    }
  } finally {
    x.leave(me);
  }
}

/** The event that a run ends with; meanwhile it is the runner's. */
async function eventOf(me: Activation, runner: Runner, run: RunEvent | Promise<RunEvent>): Promise<RunEvent> {
  me.elsewhere = runner.elsewhere;
  try {
    return await run;
  } finally {
    me.elsewhere = false;
  }
}

async function waitFor(x: Execution, me: Activation, stream: WaitedFor): Promise<void> {
  me.waiting = true;
  const over = new AbortController();
  me.nudge = () => over.abort();
  await unlessCancelled(me, stream.ready(over.signal));
  me.nudge = null;
  over.abort();
  await x.untilInnermost(me);
  me.waiting = false;
  if (me.cancelled !== null) throw me.cancelled;
}

/** The first event that is no stop, and no waiting for a stream. */
async function throughStops(
  x: Execution,
  me: Activation,
  stopped: RunEvent,
  runner: Runner,
): Promise<RunEvent> {
  let event = stopped;
  for (;;) {
    if (isNativeYield(event)) {
      const stream = streamWaitedFor(x.address);
      if (stream === null) return event;
      await waitFor(x, me, stream);
      event = await eventOf(me, runner, runner.resume(x.address));
      continue;
    }
    if (!isStop(event) || x.onStop === null) return event;
    const stop = new Stop(x.address, event);
    me.waiting = true;
    let action: StopAction;
    try {
      action = await x.onStop(stop);
    } catch (e) {
      if (me.cancelled === null) x.abort(me);
      throw e;
    } finally {
      stop.end();
      me.waiting = false;
    }
    if (me.cancelled !== null) throw me.cancelled;
    if (action === 'step') native().lucet_instance_step(x.address, shared().error);
    event = await eventOf(me, runner, runner.resume(x.address));
  }
}
