import { beforeAll, expect, it } from 'vitest';
import {
  AsyncHostcallError,
  type Func,
  HostFunction,
  type Imports,
  type Instance,
  StateError,
  Trap,
  type Vmctx,
} from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const tick = (ms = 1): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

describeNative('host functions', () => {
  let guests: Guests;
  beforeAll(() => {
    guests = new Guests();
  });

  it('a call by promise runs up to the first promise of a host function before it returns', async () => {
    const order: string[] = [];
    const imports: Imports = {
      h: {
        now: () => void order.push('now'),
        later: async () => {
          order.push('later');
          await tick();
          order.push('waited');
        },
      },
    };
    using i = await guests.instance(
      `(module (import "h" "now" (func $now)) (import "h" "later" (func $later))
        (func (export "go") call $now call $now call $later call $now))`,
      imports,
    );
    const done = i.callAsync('go');
    expect(order).toEqual(['now', 'now', 'later']);
    await done;
    expect(order).toEqual(['now', 'now', 'later', 'waited', 'now']);
  });

  it('get arguments and give results of every type', async () => {
    const seen: unknown[] = [];
    const imports: Imports = {
      h: {
        turn: (...args: unknown[]) => {
          seen.push(...args);
          return args.reverse();
        },
        nothing: () => 'ignored',
      },
    };
    using i = await guests.instance(
      `(module (import "h" "turn" (func $turn (param i32 i64 f32 f64 externref funcref) (result funcref externref f64 f32 i64 i32)))
        (import "h" "nothing" (func $nothing))
        (func $f (export "go") (param i32 i64 f32 f64 externref) (result funcref externref f64 f32 i64 i32)
          call $nothing
          local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 ref.func $f call $turn))`,
      imports,
    );
    const object = {};
    const results = i.call('go', -1, 2n ** 62n, 0.5, -0, object) as unknown[];
    expect(seen).toEqual([-1, 2n ** 62n, 0.5, -0, object, i.func('go')]);
    expect(results.slice(1)).toEqual([object, -0, 0.5, 2n ** 62n, -1]);
    expect(results[0]).toBe(i.func('go'));
  });

  it('throw: the very exception reaches the caller, and the guest can be called again', async () => {
    const error = new Error('mine');
    let fail = true;
    using i = await guests.instance(
      `(module (import "h" "f" (func $f)) (global $n (mut i32) (i32.const 0))
        (func (export "go") (result i32)
          (global.set $n (i32.add (global.get $n) (i32.const 1))) call $f
          (global.set $n (i32.add (global.get $n) (i32.const 10))) (global.get $n)))`,
      {
        h: {
          f: () => {
            if (fail) throw error;
          },
        },
      },
    );
    for (let n = 0; n < 3; n++) {
      let caught: unknown = null;
      try {
        i.call('go');
      } catch (e) {
        caught = e;
      }
      expect(caught).toBe(error);
      expect(i.state).toBe('Terminated');
    }
    fail = false;
    expect(i.call('go')).toBe(14);
    expect(i.state).toBe('Ready');
  });

  it('must give what their type says', async () => {
    let result: unknown;
    using i = await guests.instance(
      `(module (import "h" "one" (func $one (result i32))) (import "h" "two" (func $two (result i32 i64)))
        (func (export "one") (result i32) call $one) (func (export "two") (result i32 i64) call $two))`,
      { h: { one: () => result, two: () => result } },
    );
    result = 'x';
    expect(() => i.call('one')).toThrow(
      'the result of host function "h" "one" is i32: expected a number, got string',
    );
    expect(() => i.call('two')).toThrow('expected an array of 2 values');
    result = [1];
    expect(() => i.call('two')).toThrow('expected 2 values (i32, i64), got 1');
    result = [1, 2n];
    expect(i.call('two')).toEqual([1, 2n]);
  });

  it('may call the guest again, and again', async () => {
    using i: Instance = await guests.instance(
      `(module (import "h" "down" (func $down (param i32) (result i32)))
        (func (export "sum") (param i32) (result i32)
          (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
            (else (i32.add (local.get 0) (call $down (i32.sub (local.get 0) (i32.const 1))))))))`,
      { h: { down: (n: number): unknown => i.call('sum', n) } },
    );
    expect(i.call('sum', 100)).toBe(5050);
  });

  it('see a trap of a nested call as an exception', async () => {
    let caught: unknown = null;
    using i: Instance = await guests.instance(
      `(module (import "h" "try" (func $try)) (func (export "trap") unreachable)
        (func (export "go") (result i32) call $try i32.const 5))`,
      {
        h: {
          try: () => {
            try {
              i.call('trap');
            } catch (e) {
              caught = e;
            }
          },
        },
      },
    );
    expect(i.call('go')).toBe(5);
    expect(caught).toBeInstanceOf(Trap);
  });

  it('can look at the instance that calls', async () => {
    const seen: string[] = [];
    const log = new HostFunction(
      (vm: Vmctx, at: number, length: number) => {
        seen.push(Buffer.from(vm.memory().read(at, length)).toString());
        vm.memory().write(at, Buffer.from('HI'));
      },
      { vmctx: true },
    );
    using i = await guests.instance(
      `(module (import "h" "log" (func $log (param i32 i32))) (memory 1) (data (i32.const 3) "hello")
        (func (export "go") (result i32) (call $log (i32.const 3) (i32.const 5)) (i32.load8_u (i32.const 3))))`,
      { h: { log } },
    );
    expect(i.call('go')).toBe('H'.charCodeAt(0));
    expect(seen).toEqual(['hello']);
  });

  it('are called through tables and by reference', async () => {
    using i = await guests.instance(
      `(module (import "h" "f" (func $f (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $f)
        (func (export "go") (param i32) (result i32)
          (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))
        (func (export "ref") (result funcref) ref.func $f))`,
      { h: { f: (n: number) => n * n } },
    );
    expect(i.call('go', 12)).toBe(144);
    expect((i.call('ref') as Func).call(5)).toBe(25);
  });
});

describeNative('asynchronous host functions', () => {
  const TEXT = `(module (import "h" "wait" (func $wait (param i32) (result i32)))
    (global $after (mut i32) (i32.const 0))
    (func (export "go") (param i32) (result i32)
      (local $r i32)
      (local.set $r (i32.add (call $wait (local.get 0)) (i32.const 1)))
      (global.set $after (i32.add (global.get $after) (i32.const 1)))
      (local.get $r))
    (func (export "after") (result i32) global.get $after))`;
  let guests: Guests;
  beforeAll(() => {
    guests = new Guests();
  });

  it('suspend the guest until the promise settles', async () => {
    using i = await guests.instance(TEXT, {
      h: {
        wait: async (n: number) => {
          await tick();
          return n * 10;
        },
      },
    });
    const promise = i.callAsync('go', 4);
    expect(i.state).toBe('Suspended');
    expect(i.call('after')).toBe(0);
    expect(await promise).toBe(41);
    expect(i.state).toBe('Ready');
    expect(i.call('after')).toBe(1);
  });

  it('reject: the reason reaches the caller', async () => {
    const reason = new Error('no');
    using i = await guests.instance(TEXT, { h: { wait: () => Promise.reject(reason) } });
    await expect(i.callAsync('go', 1)).rejects.toBe(reason);
    expect(i.state).toBe('Terminated');
    expect(i.call('after')).toBe(0);
  });

  it('are refused by a synchronous call', async () => {
    using i = await guests.instance(TEXT, { h: { wait: () => Promise.reject(new Error('unseen')) } });
    expect(() => i.call('go', 1)).toThrow(AsyncHostcallError);
    expect(() => i.call('go', 1)).toThrow('"h" "wait" returned a promise');
    expect(i.call('after')).toBe(0);
  });

  it('overlap: an earlier call goes on when the later ones have ended', async () => {
    const order: string[] = [];
    using i = await guests.instance(TEXT, {
      h: {
        wait: async (n: number) => {
          await tick(n);
          order.push(`settled ${n}`);
          return n;
        },
      },
    });
    const done = (n: number) => i.callAsync('go', n).then(r => order.push(`returned ${r}`));
    await Promise.all([done(1), done(20), done(10)]);
    expect(order).toEqual([
      'settled 1',
      'settled 10',
      'returned 11',
      'settled 20',
      'returned 21',
      'returned 2',
    ]);
  });

  it('are ended when the instance is disposed', async () => {
    const i = await guests.instance(TEXT, { h: { wait: () => tick().then(() => 1) } });
    const used = guests.region.usedSlots;
    const promise = i.callAsync('go', 1);
    i.dispose();
    expect(guests.region.usedSlots).toBe(used - 1);
    await expect(promise).rejects.toThrow(StateError);
  });

  it('are ended when a synchronous call below goes on', async () => {
    let inner: Promise<unknown> | null = null;
    using i: Instance = await guests.instance(
      `(module (import "h" "wait" (func $wait)) (import "h" "begin" (func $begin))
        (func (export "slow") call $wait) (func (export "go") (result i32) call $begin i32.const 3))`,
      {
        h: {
          wait: () => tick(),
          begin: () => {
            inner = i.callAsync('slow');
            inner.catch(() => {});
          },
        },
      },
    );
    expect(i.call('go')).toBe(3);
    await expect(inner).rejects.toThrow('the call was ended');
    expect(await i.callAsync('slow')).toBe(undefined);
  });
});
