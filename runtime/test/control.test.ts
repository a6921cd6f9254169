import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { beforeAll, expect, it, vi } from 'vitest';
import {
  Instance,
  type KillResult,
  KillSwitch,
  Pool,
  StateError,
  TerminatedError,
  Trap,
  Yield,
  YieldTypeMismatch,
} from '../index.ts';
import { artifact, runtimeBundle } from './support/bundle.ts';
import { describeNative, Guests } from './support/guest.ts';

const LOOP = '(module (func (export "loop") (loop (br 0))) (func (export "one") (result i32) (i32.const 1)))';

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (e) {
    return e;
  }
  throw new Error('it did not fail');
}

function thrown(f: () => unknown): unknown {
  try {
    f();
  } catch (e) {
    return e;
  }
  throw new Error('it did not fail');
}

describeNative('guests that are stopped from outside', () => {
  let guests: Guests;
  beforeAll(() => {
    guests = new Guests();
  });

  it('end when their time is over, though they keep the only thread busy', async () => {
    using i = await guests.instance(LOOP);
    i.timeout = 20;
    for (let n = 0; n < 3; n++) {
      const error = thrown(() => i.call('loop')) as TerminatedError;
      expect(error).toBeInstanceOf(TerminatedError);
      expect(error.reason).toBe('timeout');
      expect(i.state).toBe('Terminated');
      expect(i.call('one')).toBe(1);
    }
    i.timeout = 0;
    expect(() => {
      i.timeout = Number.NaN;
    }).toThrow(RangeError);
  });

  it('can be killed before they begin, and that once', async () => {
    using i = await guests.instance(LOOP);
    const k = i.killSwitch();
    expect(k.terminate()).toBe('Cancelled');
    expect(k.terminate()).toBe('NotTerminable');
    expect((thrown(() => i.call('loop')) as TerminatedError).reason).toBe('remote');
    expect(k.terminate()).toBe('Invalid');
    expect(i.call('one')).toBe(1);
  });

  it('end at a host function that kills them, and when they wait for a promise that is never settled', async () => {
    let k: KillSwitch | null = null;
    let result: KillResult | null = null;
    let wait = false;
    using i = await guests.instance(
      '(module (import "h" "f" (func $f)) (func (export "go") (call $f) (unreachable)))',
      {
        h: {
          f: () => {
            if (wait) return new Promise(() => {});
            result = k!.terminate();
            return undefined;
          },
        },
      },
    );
    k = i.killSwitch();
    expect((thrown(() => i.call('go')) as TerminatedError).reason).toBe('remote');
    expect(result).toBe('Pending');
    wait = true;
    k = i.killSwitch();
    const call = rejection(i.callAsync('go'));
    await vi.waitFor(() => expect(i.state).toBe('Suspended'), { interval: 1, timeout: 10_000 });
    expect(k.terminate()).toBe('Pending');
    expect(await call).toMatchObject({ reason: 'remote' });
    expect(i.state).toBe('Terminated');
  });

  it('are killed out of a worker that could not be terminated otherwise', { timeout: 20_000 }, async () => {
    const bytes = await artifact(LOOP);
    const worker = new Worker(join(import.meta.dirname, 'support/killed-worker.mjs'), {
      workerData: { bytes, index: await runtimeBundle('control') },
    });
    const token = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await new Promise(resolve => setTimeout(resolve, 50));
    const ended = new Promise(resolve => worker.once('exit', resolve));
    expect(KillSwitch.fromToken(token).terminate()).toBe('Signalled');
    void worker.terminate();
    await ended;
  });

  it('yield values, and get values of the type that they expect', async () => {
    using i = await guests.instance(
      `(module (import "h" "ask" (func $ask (param i32) (result i32)))
        (func (export "sum") (param i32) (result i32) (local i32)
          (loop (local.set 1 (i32.add (local.get 1) (call $ask (local.get 0))))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
          (local.get 1)))`,
      { h: { ask: (n: number) => new Yield(`value ${n}?`, 'number') } },
    );
    let r = i.run('sum', 3);
    expect(r).toEqual({ done: false, value: 'value 3?' });
    expect(i.state).toBe('Yielded');
    expect(() => i.resume('three')).toThrow(YieldTypeMismatch);
    expect(() => i.run('sum', 1)).toThrow(StateError);
    expect(i.state).toBe('Yielded');
    for (const n of [100, 20]) r = i.resume(n);
    expect(r).toEqual({ done: false, value: 'value 1?' });
    expect(i.resume(3)).toEqual({ done: true, value: 123 });
    expect(i.state).toBe('Ready');
    expect(() => i.resume(1)).toThrow(StateError);

    // Ended while they wait.
    i.run('sum', 1);
    i.abandon();
    expect(i.state).toBe('Terminated');
    i.run('sum', 1);
    const k = i.killSwitch();
    expect(k.terminate()).toBe('Pending');
    expect((thrown(() => i.resume(1)) as TerminatedError).reason).toBe('remote');
    expect(() => i.call('sum', 1)).toThrow(StateError);
    await expect(i.callAsync('sum', 1)).rejects.toThrow(StateError);
    i.run('sum', 1);
  });

  it('yield instances of classes; what does not fit the function ends them', async () => {
    class Answer {}
    using i = await guests.instance(
      '(module (import "h" "f" (func $f (result i32))) (func (export "go") (result i32) (call $f)))',
      { h: { f: () => new Yield(undefined, Answer) } },
    );
    expect(i.run('go')).toEqual({ done: false, value: undefined });
    expect(() => i.resume(1)).toThrow('an instance of Answer');
    expect(() => i.resume(new Answer())).toThrow(TypeError);
    expect(i.state).toBe('Terminated');
  });

  it('trap again and again; each report is right, also when it is asked for late', async () => {
    using i = await guests.instance(
      '(module (func $f (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))) (func (export "go") (param i32) (result i32) (call $f (local.get 0))) (func (export "no") (unreachable)))',
    );
    const traps: Trap[] = [];
    for (let n = 0; n < 3; n++) {
      traps.push(thrown(() => i.call('go', 0)) as Trap, thrown(() => i.call('no')) as Trap);
      expect(i.call('go', 1)).toBe(1);
    }
    expect(traps.map(t => t.code)).toEqual(
      Array.from({ length: 6 }, (_, n) => (n % 2 === 0 ? 'IntegerDivByZero' : 'Unreachable')),
    );
    expect(traps.map(t => t.report.frames.length)).toEqual([2, 1, 2, 1, 2, 1]);
    expect(traps[0]).toBeInstanceOf(Trap);
    expect(traps[0]!.report.functionIndex).toBe(0);
  });

  it('give the thread back when an instruction bound is spent', async () => {
    const module = await guests.module(
      `(module (import "h" "f" (func $f (param i32) (result i32))) (func (export "count") (param i32) (result i32) (local i32)
        (loop (local.set 1 (i32.add (local.get 1) (i32.const 2))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (call $f (local.get 1))))`,
      { countInstructions: true },
    );
    using i = Instance.create(guests.region, module, { h: { f: async (n: number) => n + 1 } });
    let turns = 0;
    let over = false;
    const turn = (): void => {
      turns++;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    expect(await i.runAsync('count', [100_000], 50_000)).toBe(200_001);
    over = true;
    // 9 operators a round.
    expect(turns).toBeGreaterThanOrEqual(16);
    expect(turns).toBeLessThan(25);
    await expect(i.runAsync('count', [1], 0)).rejects.toThrow(RangeError);
    expect(await i.callAsync('count', 5)).toBe(11);
  });

  it('have a state between the turns of runAsync, and when they were killed but have not ended', async () => {
    const module = await guests.module(
      `(module (import "h" "f" (func $f))
        (func (export "spin") (param i32)
          (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "go") (call $f)))`,
      { countInstructions: true },
    );
    const seen: string[] = [];
    let k: KillSwitch | null = null;
    const f = (): void => {
      seen.push(i.state);
      seen.push(k!.terminate(), i.state);
      expect(() => i.reset()).toThrow(StateError);
    };
    using i: Instance = Instance.create(guests.region, module, { h: { f } });
    const run = i.runAsync('spin', [100_000], 10_000);
    await new Promise(resolve => setImmediate(resolve));
    expect(i.state).toBe('BoundExpired');
    expect(() => i.reset()).toThrow(StateError);
    await run;
    expect(i.state).toBe('Ready');
    // The bound was that run's.
    expect(i.call('spin', 100_000)).toBe(undefined);

    // In a host function; before the run begins; while it has yielded.
    k = i.killSwitch();
    expect((thrown(() => i.call('go')) as TerminatedError).reason).toBe('remote');
    expect(seen).toEqual(['Running', 'Pending', 'Terminating']);
    expect(i.state).toBe('Terminated');
    expect(i.killSwitch().terminate()).toBe('Cancelled');
    expect(i.state).toBe('Terminating');
    expect((thrown(() => i.call('spin', 1)) as TerminatedError).reason).toBe('remote');
    expect(i.call('spin', 1)).toBe(undefined);

    // On a pool's thread nobody looks.
    using pool = new Pool({ threads: 1 });
    const endless = pool.call(i, 'spin', 0);
    const last = i.killSwitch();
    expect(i.state).toBe('Running');
    last.terminate();
    await expect(endless).rejects.toThrow(TerminatedError);
    expect(i.state).toBe('Terminated');
  });
});
