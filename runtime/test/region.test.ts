/** Regions, limits, strategies, embed contexts, reset: from TypeScript. */
import { expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import {
  defaultLimits,
  type Global,
  HostFunction,
  Instance,
  InstanceBuilder,
  LimitError,
  Linkage,
  type Memory,
  Module,
  Region,
  StateError,
  type Table,
  type Vmctx,
} from '../index.ts';
import { describeNative } from './support/guest.ts';

const COUNTER = `(module
  (import "env" "tell" (func $tell (param i32) (result i32)))
  (memory (export "memory") 1)
  (table (export "table") 3 externref)
  (global $g (export "global") (mut i32) (i32.const 5))
  (data (i32.const 100) "data")
  (func (export "next") (result i32)
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.store (i32.const 100) (global.get $g))
    (global.get $g))
  (func (export "tell") (param i32) (result i32) (call $tell (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`;

const STARTED = `(module (memory (export "memory") 1) (global $n (export "n") (mut i32) (i32.const 0))
  (func $start (global.set $n (i32.add (global.get $n) (i32.const 1)))) (start $start))`;

const KINDS = ['guarded', 'dense'] as const;
const SMALL = { heapMemorySize: 256 << 10, stackSize: 32 << 10, vmctxSize: 4096 };

async function load(text: string, memory: 'guarded' | 'dense'): Promise<Module> {
  return Module.fromBytes(compile(await wat(text), { memory }));
}

const env = { env: { tell: (x: number) => x + 1 } };
const bytes = (i: Instance, at: number, n: number): string =>
  Buffer.from((i.export('memory') as Memory).read(at, n)).toString('latin1');

describeNative('regions', () => {
  it.each(KINDS)('%s: slots are counted, and all of them can be used', async kind => {
    const module = await load(COUNTER, kind);
    const region = Region.create({ capacity: 3, kind });
    expect([region.kind, region.capacity, region.usedSlots, region.freeSlots]).toEqual([kind, 3, 0, 3]);
    const all = [0, 1, 2].map(() => Instance.create(region, module, env));
    expect(new Set(all.map(i => i.slot)).size).toBe(3);
    expect([region.usedSlots, region.freeSlots]).toEqual([3, 0]);
    expect(() => Instance.create(region, module, env)).toThrow(LimitError);
    expect(all.map(i => i.call('next'))).toEqual([6, 6, 6]);
    for (const i of all) i.dispose();
    expect([region.usedSlots, region.freeSlots]).toEqual([0, 3]);
  });

  it('a dense one takes only dense code, and refuses what a guarded one would', async () => {
    const [guarded, dense] = [await load(COUNTER, 'guarded'), await load(COUNTER, 'dense')];
    const region = Region.create({ capacity: 1, kind: 'dense' });
    expect(() => Instance.create(region, guarded, env)).toThrow(/--memory dense/);
    expect(Instance.create(region, dense, env).call('next')).toBe(6);
    // Code with checks needs no guards, and is none the worse for them.
    expect(Instance.create(Region.create({ capacity: 1 }), dense, env).call('next')).toBe(6);
    for (const kind of KINDS) {
      expect(() => Region.create({ capacity: 1, kind, limits: { stackSize: 4096 } })).toThrow(LimitError);
      expect(() => Region.create({ capacity: 1, kind, limits: { vmctxSize: 0 } })).toThrow(LimitError);
      expect(() => Region.create({ capacity: 1, kind, limits: { heapMemorySize: -1 } })).toThrow(RangeError);
      expect(() => Region.create({ capacity: 0, kind })).toThrow(RangeError);
    }
    expect(defaultLimits('dense').heapMemorySize).toBe(1 << 20);
  });

  it.each(KINDS)('%s: each limit that a module exceeds is named', async kind => {
    const create = async (text: string, limits: object): Promise<() => Instance> => {
      const module = await load(text, kind);
      const region = Region.create({ capacity: 1, kind, limits });
      return () => Instance.create(region, module);
    };
    const globals = '(global (mut i64) (i64.const 1))'.repeat(300);
    expect(await create(`(module ${globals})`, { vmctxSize: 4096 })).toThrow(/vmctx_size/);
    expect(await create(`(module ${globals})`, { vmctxSize: 8192 })).not.toThrow();
    expect(await create('(module (memory 3))', { heapMemorySize: 2 << 16 })).toThrow(/3 pages/);
    expect(await create('(module (memory 3))', { heapMemorySize: 3 << 16 })).not.toThrow();
    // Exported: a table that only the code sees, and never changes, takes nothing.
    const table = '(module (table (export "t") 9 externref))';
    expect(await create(table, { tableElements: 8 })).toThrow(/9 elements/);
    expect(await create(table, { tableElements: 9 })).not.toThrow();
  });

  it('a vmctx of several pages leaves the stack its size, also in a slot that another module had', async () => {
    const deep = (globals: number) => `(module (memory (export "memory") 1)
      ${'(global (mut i64) (i64.const 7))'.repeat(globals)}
      (func $r (export "r") (param i64) (result i64)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i64.add (local.get 0) (call $r (i64.add (local.get 0) (i64.const 1))))))`;
    const depths = [];
    for (const kind of KINDS) {
      const region = Region.create({
        capacity: 1,
        kind,
        limits: { stackSize: 64 << 10, vmctxSize: 64 << 10 },
      });
      const modules = [await load(deep(1), 'dense'), await load(deep(2000), 'dense')];
      for (const module of [...modules, ...modules]) {
        const instance = Instance.create(region, module);
        expect(() => instance.call('r', 1n)).toThrow(/stack/i);
        depths.push(Buffer.from(bytes(instance, 0, 4), 'latin1').readUInt32LE(0));
        instance.dispose();
      }
    }
    expect(depths[0]).toBeGreaterThan(1000);
    expect(new Set(depths).size).toBe(1);
  });

  it('code without checks never comes to run on a dense stack, by whatever way', async () => {
    const callee = `(module (memory 1) (table (export "t") 2 funcref) (elem (i32.const 0) $f)
      (global (export "g") (mut funcref) (ref.null func))
      (func $f (export "f") (result i32) (i32.const 42))
      (func (export "take") (param funcref)))`;
    const caller = `(module (import "m" "f" (func $f (result i32))) (import "m" "make" (func $make (result funcref)))
      (memory 1)
      (table (export "t") 2 funcref) (global (export "g") (mut funcref) (ref.null func))
      (func (export "take") (param funcref)) (func (export "make") (drop (call $make)))
      (func (export "call") (result i32) (call $f)))`;
    const guarded = Region.create({ capacity: 8 });
    const dense = Region.create({ capacity: 8, kind: 'dense' });
    const unchecked = Instance.create(guarded, await load(callee, 'guarded'));
    const checked = Instance.create(guarded, await load(callee, 'dense'));
    const importer = await load(caller, 'dense');
    const make = () => unchecked.func('f');
    expect(() => Instance.create(dense, importer, { m: { f: unchecked.func('f'), make } })).toThrow(
      /dense region can't be linked/,
    );
    expect(dense.usedSlots).toBe(0);
    const i = Instance.create(dense, importer, { m: { f: checked.func('f'), make } });
    expect(i.call('call')).toBe(42);
    const f = unchecked.func('f');
    expect(() => i.call('take', f)).toThrow();
    expect(() => (i.export('t') as Table).set(0, f)).toThrow();
    expect(() => (i.export('t') as Table).grow(1, f)).not.toThrow();
    expect((i.export('t') as Table).length).toBe(2);
    expect(() => {
      (i.export('g') as Global).value = f;
    }).toThrow();
    expect(() => i.call('make')).toThrow();
    // By way of an instance that is linked already: its code runs on the dense stack.
    expect(() => (checked.export('t') as Table).set(0, f)).toThrow();
    expect(i.call('call')).toBe(42);
    // The other way round all is well: guards serve checked code, too.
    const mixed = Instance.create(guarded, await load(caller, 'guarded'), {
      m: { f: unchecked.func('f'), make },
    });
    expect(mixed.call('call')).toBe(42);
    mixed.call('make');
  });

  it('the chooser decides which slot is next; an error of its is no choice', async () => {
    const module = await load(COUNTER, 'guarded');
    const seen: number[][] = [];
    const region = Region.create({
      capacity: 4,
      strategy: free => {
        seen.push([...free]);
        if (seen.length === 3) throw new Error('no idea');
        return free.indexOf(Math.max(...free));
      },
    });
    const all = [0, 1].map(() => Instance.create(region, module, env));
    expect(all.map(i => i.slot)).toEqual([3, 2]);
    expect(seen[0]!.sort()).toEqual([0, 1, 2, 3]);
    const third = Instance.create(region, module, env);
    expect([0, 1]).toContain(third.slot);
    for (const i of [...all, third]) i.dispose();
    expect(region.freeSlots).toBe(4);
    region.dispose();
  });

  it.each(KINDS)('%s: a reset instance is as new', async kind => {
    const module = await load(COUNTER, kind);
    const region = Region.create({ capacity: 1, kind });
    const instance = Instance.create(region, module, env);
    for (let round = 0; round < 3; round++) {
      expect(bytes(instance, 100, 4)).toBe('data');
      expect([instance.call('next'), instance.call('next')]).toEqual([6, 7]);
      expect(bytes(instance, 100, 4)).not.toBe('data');
      expect(instance.call('grow', 2)).toBe(1);
      (instance.export('memory') as Memory).write(3 * 65536 - 4, Buffer.from('last'));
      instance.reset();
      expect((instance.export('memory') as Memory).size).toBe(65536);
      expect(instance.call('tell', 1)).toBe(2);
    }
    expect(instance.call('grow', 2)).toBe(1);
    expect(bytes(instance, 3 * 65536 - 4, 4)).toBe('\0\0\0\0');
  });

  it('reset runs the start function again, ends calls that wait, and is refused while it runs', async () => {
    const module = await load(STARTED, 'guarded');
    const region = Region.create({ capacity: 4 });
    const i = Instance.create(region, module);
    const n = () => (i.export('n') as { value: unknown }).value;
    expect(n()).toBe(1);
    i.reset();
    expect(n()).toBe(1);
    i.reset({ start: false });
    expect([n(), i.state]).toEqual([0, 'NotStarted']);
    i.runStart();
    expect(n()).toBe(1);

    const counter = await load(COUNTER, 'guarded');
    let inside: unknown;
    let settle = (_: number): void => {};
    const waits: Instance = Instance.create(region, counter, {
      env: {
        tell: (x: number) => {
          if (x === 1) {
            return new Promise<number>(resolve => {
              settle = resolve;
            });
          }
          try {
            waits.reset();
          } catch (e) {
            inside = e;
          }
          return 0;
        },
      },
    });
    waits.call('tell', 0);
    expect(inside).toBeInstanceOf(StateError);
    const call = waits.callAsync('tell', 1);
    expect(waits.state).toBe('Suspended');
    waits.reset();
    expect([waits.state, waits.call('next')]).toEqual(['Ready', 6]);
    settle(7);
    await expect(call).rejects.toThrow(/reset/);
    expect([waits.state, waits.call('next')]).toEqual(['Ready', 7]);
  });

  it('limits of one instance are within those of the region', async () => {
    const module = await load(COUNTER, 'dense');
    const region = Region.create({ capacity: 2, kind: 'dense', limits: { heapMemorySize: 4 << 16 } });
    const small = Instance.create(region, module, env, { heapSizeLimit: 2 << 16, tableLimit: 3 });
    const large = Instance.create(region, module, env, { heapSizeLimit: 2 ** 40 });
    expect([small.call('grow', 2), small.call('grow', 1), small.call('grow', 1)]).toEqual([-1, 1, -1]);
    expect([large.call('grow', 3), large.call('grow', 1)]).toEqual([1, -1]);
    small.dispose();
    expect(() => Instance.create(region, module, env, { heapSizeLimit: 65535 })).toThrow(LimitError);
    expect(() => Instance.create(region, module, env, { tableLimit: 2 })).toThrow(LimitError);
    expect(() => Instance.create(region, module, env, { heapSizeLimit: 0 })).toThrow(RangeError);
    expect(region.usedSlots).toBe(1);
  });

  it('a builder makes instances; host functions find embed contexts by class', async () => {
    class Request {
      constructor(readonly path: string) {}
    }
    class Log {
      readonly lines: string[] = [];
    }
    const tell = new HostFunction(
      (vm: Vmctx, x: number) => {
        vm.embed.get(Log)!.lines.push(`${vm.embed.get(Request)!.path} ${x}`);
        return vm.embed.has(Date) ? 1 : 0;
      },
      { vmctx: true },
    );
    const module = await load(COUNTER, 'guarded');
    const region = Region.create({ capacity: 2 });
    const log = new Log();
    const builder = new InstanceBuilder(region, Linkage.create(module, { env: { tell } }))
      .withHeapSizeLimit(1 << 16)
      .withEmbedContext(log);
    const a = builder.withEmbedContext(new Request('/a')).build();
    const b = builder.withEmbedContext(new Request('/b')).build();
    expect([a.call('tell', 1), b.call('tell', 2)]).toEqual([0, 0]);
    expect(a.call('grow', 1)).toBe(-1);
    expect(log.lines).toEqual(['/a 1', '/b 2']);
    expect(b.embed.insert(new Date())).toBeUndefined();
    expect(b.call('tell', 3)).toBe(1);
    expect(b.embed.remove(Date)).toBeInstanceOf(Date);
    expect([b.embed.get(Date), b.embed.has(Date)]).toEqual([undefined, false]);
    expect(b.embed.insert(new Request('/c'))!.path).toBe('/b');
  });

  it.each(KINDS)('%s: hundreds stopped in the middle of their run, then all finished', async kind => {
    const module = await load(COUNTER, kind);
    const capacity = 500;
    const limits = kind === 'dense' ? SMALL : {};
    const region = Region.create({ capacity, kind, limits });
    const waiting: ((x: number) => void)[] = [];
    const linkage = Linkage.create(module, {
      env: { tell: () => new Promise<number>(resolve => waiting.push(resolve)) },
    });
    const all = Array.from({ length: capacity }, () => Instance.create(region, linkage));
    const calls = all.map((i, n) => i.callAsync('tell', n));
    expect([waiting.length, region.usedSlots, region.freeSlots]).toEqual([capacity, capacity, 0]);
    expect(all.every(i => i.state === 'Suspended')).toBe(true);
    waiting.forEach((resolve, n) => {
      resolve(n * 3);
    });
    expect(await Promise.all(calls)).toEqual(all.map((_, n) => n * 3));
    for (const i of all) i.dispose();
    expect(region.freeSlots).toBe(capacity);
  });
});
