import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, expect, it, vi } from 'vitest';
import { Pool, StateError, TerminatedError, Trap } from '../index.ts';
import { artifact, runtimeBundle } from './support/bundle.ts';
import { describeNative, Guests } from './support/guest.ts';

const run = promisify(execFile);

const COUNT = `(module (func (export "count") (param i32) (result i32) (local i32)
  (loop (local.set 1 (i32.add (local.get 1) (i32.const 3)))
    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1)))`;
const LOOP = '(module (func (export "loop") (loop (br 0))) (func (export "one") (result i32) (i32.const 1)))';

describeNative('pools', () => {
  let guests: Guests;
  beforeAll(() => {
    guests = new Guests();
  });

  it('run many guests on few threads, while JavaScript goes on', async () => {
    using pool = new Pool({ threads: 2, slice: 0.5 });
    const all = await Promise.all(Array.from({ length: 20 }, () => guests.instance(COUNT)));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const results = await Promise.all(all.map((i, n) => pool.call(i, 'count', 3_000_000 + n)));
    clearInterval(timer);
    expect(results).toEqual(all.map((_, n) => (3_000_000 + n) * 3));
    expect(ticks).toBeGreaterThan(3);
    expect(pool.pending).toBe(0);
    for (const i of all) i.dispose();
  });

  it('let others run beside a guest that never ends, which can be killed, or takes too long', async () => {
    using pool = new Pool({ threads: 1, slice: 1 });
    using endless = await guests.instance(LOOP);
    using brief = await guests.instance(LOOP);
    const k = endless.killSwitch();
    const failed = pool.call(endless, 'loop').then(
      () => null,
      (e: unknown) => e,
    );
    expect(endless.state).toBe('Running');
    expect(() => endless.dispose()).toThrow(StateError);
    for (let n = 0; n < 20; n++) expect(await pool.call(brief, 'one')).toBe(1);
    expect(['Signalled', 'Pending']).toContain(k.terminate());
    expect(await failed).toMatchObject({ reason: 'remote' });
    expect(endless.state).toBe('Terminated');
    endless.timeout = 10;
    await expect(pool.call(endless, 'loop')).rejects.toThrow(TerminatedError);
    expect(await pool.call(endless, 'one')).toBe(1);
  });

  it('call host functions of JavaScript, on its thread, which may return promises and call back', async () => {
    using pool = new Pool({ threads: 2 });
    using i = await guests.instance(
      `(module (import "h" "now" (func $now (param i32) (result i32))) (import "h" "later" (func $later (param i32) (result i32)))
        (import "h" "fail" (func $fail)) (import "h" "back" (func $back (result i32)))
        (func (export "go") (param i32) (result i32) (call $later (call $now (local.get 0))))
        (func (export "fail") (call $fail)) (func (export "re") (result i32) (call $back)) (func (export "seven") (result i32) (i32.const 7))
        (func (export "trap") (unreachable)))`,
      {
        h: {
          now: (n: number) => n + 1,
          later: async (n: number) => {
            await new Promise(resolve => setTimeout(resolve, 1));
            return n * 2;
          },
          fail: () => {
            throw new Error('mine');
          },
          back: () => pool.call(i, 'seven'),
        },
      },
    );
    expect(await pool.call(i, 'go', 20)).toBe(42);
    await expect(pool.call(i, 'fail')).rejects.toThrow('mine');
    expect(await pool.call(i, 're')).toBe(7);
    await expect(pool.call(i, 'trap')).rejects.toThrow(Trap);
    expect(await pool.call(i, 'go', 1)).toBe(4);
    await expect(pool.call(i, 'go', 'one')).rejects.toThrow(TypeError);
    await expect(pool.call(i, 'none')).rejects.toThrow(TypeError);
  });

  it('run start functions', async () => {
    using pool = new Pool({ threads: 1 });
    using i = await guests.instance(
      '(module (global $g (mut i32) (i32.const 0)) (start $s) (func $s (global.set $g (i32.const 5))) (func (export "g") (result i32) (global.get $g)))',
      {},
      { start: false },
    );
    await pool.runStart(i);
    expect(i.call('g')).toBe(5);
  });

  it('kill what runs when they are disposed; the guests can be used again', async () => {
    const pool = new Pool({ threads: 1 });
    const all = [await guests.instance(LOOP), await guests.instance(LOOP)];
    const calls = all.map(i => pool.call(i, 'loop').catch((e: unknown) => e));
    await vi.waitFor(() => expect(all[0]!.state).toBe('Running'), { interval: 1, timeout: 10_000 });
    pool.dispose();
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(StateError);
    for (const i of all) {
      expect(i.call('one')).toBe(1);
      i.dispose();
    }
    await expect(pool.call(all[0]!, 'one')).rejects.toThrow(StateError);
    expect(() => new Pool({ threads: -1 })).toThrow(RangeError);
    expect(() => new Pool({ threads: 5000 })).toThrow('1024');
  });

  it('do not keep the process: neither an idle pool, nor process.exit with a guest running', async () => {
    const bytes = await artifact(LOOP);
    const index = await runtimeBundle('pool');
    const script = `
      const { Pool, Module, Region, Instance } = await import(${JSON.stringify(index)});
      const i = Instance.create(Region.create({ capacity: 2 }), Module.fromBytes(Buffer.from(process.argv[1], 'base64')));
      const pool = new Pool({ threads: 1 });
      console.log(await pool.call(i, 'one'));
      if (process.argv[2] === 'exit') {
        pool.call(i, 'loop');
        setTimeout(() => process.exit(7), 10);
      }`;
    const node = (mode: string) =>
      run(process.execPath, [
        '--input-type=module',
        '-e',
        script,
        '--',
        Buffer.from(bytes).toString('base64'),
        mode,
      ]);
    expect((await node('idle')).stdout).toBe('1\n');
    await expect(node('exit')).rejects.toMatchObject({ code: 7, stdout: '1\n' });
  });
});
