/** Handlers of JavaScript's for faults of guests: default, continue, terminate; here and on a pool. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { type Instance, Pool, type SignalBehavior, TerminatedError, Trap } from '../index.ts';
import { artifact, runtimeBundle } from './support/bundle.ts';
import { describeNative, Guests } from './support/guest.ts';

const run = promisify(execFile);

describeNative('fault handlers', () => {
  let i: Instance;
  let other: Instance;
  beforeAll(async () => {
    const guests = new Guests();
    const source = `(module
      (memory (export "memory") 1 3)
      (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
      (func (export "unreachable") unreachable))`;
    i = await guests.instance(source);
    other = await guests.instance(source);
  });
  afterEach(() => {
    i.onSignal = null;
  });

  it('default: it is asked, with the trap, and the call ends with one', () => {
    const asked: string[] = [];
    i.onSignal = trap => {
      asked.push(`${trap.code} ${trap.report.functionIndex} ${trap.report.signal}`);
      return 'default';
    };
    expect(() => i.call('div', 1, 0)).toThrow(Trap);
    expect(() => i.call('unreachable')).toThrow(Trap);
    // SIGFPE; SIGILL, though a failed check raises no signal.
    expect(asked).toEqual(['IntegerDivByZero 1 8', 'Unreachable 2 4']);
    // Nobody asks about another instance, or about a call that goes well.
    expect(() => other.call('div', 1, 0)).toThrow(Trap);
    expect(i.call('div', 6, 3)).toBe(2);
    expect(asked).toHaveLength(2);
    expect(i.state).toBe('Ready');
  });

  it('terminate: the call ends with a TerminatedError, and the instance can be called again', () => {
    i.onSignal = () => 'terminate';
    expect(() => i.call('div', 1, 0)).toThrow(
      expect.objectContaining({ name: 'TerminatedError', reason: 'signal' }) as TerminatedError,
    );
    expect(i.state).toBe('Terminated');
    expect(i.call('div', 9, 3)).toBe(3);
  });

  it('continue: the instruction is executed again, and succeeds once there is memory', () => {
    let asked = 0;
    i.onSignal = () => {
      asked++;
      i.memory!.grow(1);
      return 'continue';
    };
    expect(i.call('load', 65536)).toBe(0);
    expect(asked).toBe(1);
    expect(i.memory!.grow(0)).toBe(2);
  });

  it('an error in a handler, and nonsense from it, count as default', () => {
    i.onSignal = () => {
      throw new Error('mine');
    };
    expect(() => i.call('div', 1, 0)).toThrow(Trap);
    i.onSignal = () => 'nonsense' as SignalBehavior;
    expect(() => i.call('div', 1, 0)).toThrow(Trap);
  });

  it('a handler can neither dispose its running instance nor call it, here or on a pool', async () => {
    const refused: string[] = [];
    const tried = (act: () => unknown): void => {
      try {
        act();
        refused.push('done');
      } catch (e) {
        refused.push((e as Error).name);
      }
    };
    i.onSignal = () => {
      tried(() => i.dispose());
      tried(() => i.call('div', 6, 3));
      return 'default';
    };
    expect(() => i.call('div', 1, 0)).toThrow(Trap);
    using pool = new Pool({ threads: 1 });
    await expect(pool.call(i, 'div', 1, 0)).rejects.toThrow(Trap);
    expect(refused).toEqual(['StateError', 'StateError', 'StateError', 'StateError']);
    i.onSignal = null;
    expect(i.call('div', 6, 3)).toBe(2);
  });

  it('on a thread of a pool, JavaScript is asked on its own', async () => {
    using pool = new Pool({ threads: 1 });
    i.onSignal = () => 'terminate';
    await expect(pool.call(i, 'div', 1, 0)).rejects.toThrow(TerminatedError);
    i.onSignal = null;
    await expect(pool.call(i, 'div', 1, 0)).rejects.toThrow(Trap);
  });

  it('a fault that is no trap: onFatal is told, the instance is lost, the process lives if it likes', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lucet-fatal-'));
    try {
      const file = join(dir, 'spin.so');
      await writeFile(
        file,
        await artifact(`(module (memory 1)
          (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
          (func (export "spin") (loop (br_if 0 (i32.eqz (i32.load (i32.const 64)))))))`),
      );
      const child = join(import.meta.dirname, 'support/fatal-child.mjs');
      const index = await runtimeBundle('fatal');
      const { stdout } = await run(process.execPath, [child, index, file, 'tell']);
      const { told, thrown, ...rest } = JSON.parse(stdout) as Record<string, unknown[]>;
      expect(rest).toEqual({ again: 'StateError', reset: 'StateError', state: 'Poisoned', sum: 42 });
      expect(thrown![0]).toBe('InternalFault');
      expect(thrown![1]).toMatch(/function 1\b/);
      // Before the call ends, which was on another thread.
      expect(told).toEqual([true, thrown![1], 'Running']);
      await expect(run(process.execPath, [child, index, file, 'abort'])).rejects.toMatchObject({
        signal: 'SIGABRT',
        stdout: '',
      });
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
