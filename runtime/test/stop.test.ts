import { beforeAll, expect, it } from 'vitest';
import { Instance, type Module, Pool, StateError, type Stop, TerminatedError } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const SOURCE = `(module (memory (export "m") 1)
  (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $sum (export "sum") (param i32) (result i32) (local i32)
    (loop (local.set 1 (call $add (local.get 1) (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))
  (func $spin (export "spin") (param i32) (result i32)
    (i32.store8 (i32.const 8) (i32.const 1))
    (loop (br_if 0 (i32.eqz (i32.load (local.get 0))))) (i32.load (local.get 0))))`;

describeNative('guests under a debugger', () => {
  let guests: Guests;
  let module: Module;
  beforeAll(async () => {
    guests = new Guests();
    module = await guests.module(SOURCE, { optLevel: 0 });
  });

  /** Until `spin` runs: a guest that is not entered yet is paused where it has no frame. */
  async function spinning(i: Instance): Promise<void> {
    while (i.memory!.read(8, 1)[0] === 0) await new Promise(resolve => setTimeout(resolve, 1));
  }

  /** A place in a function behind its prologue: where a paused guest was found. */
  async function placeInSpin(pool: Pool): Promise<number> {
    using i = Instance.create(guests.region, module);
    let at = -1;
    const k = i.killSwitch();
    i.onStop = stop => {
      at = stop.frames()[0]!.pc - module.code.address;
      i.memory!.write(0, Uint8Array.of(1));
      return 'continue';
    };
    const call = pool.call(i, 'spin', 0);
    await spinning(i);
    expect(k.pause()).toBe('Signalled');
    expect(await call).toBe(1);
    return at;
  }

  it('are paused where they run, while the event loop is free, and looked into', async () => {
    using pool = new Pool({ threads: 1 });
    using i = Instance.create(guests.region, module);
    const k = i.killSwitch();
    const stops: Stop[] = [];
    i.onStop = async stop => {
      stops.push(stop);
      expect(stop.reason).toBe('pause');
      expect(i.state).toBe('Suspended');
      const [frame, ...outer] = stop.frames();
      expect(frame).toMatchObject({ module, functionIndex: 2 });
      expect(outer).toEqual([]);
      const { rsp, rip } = stop.registers;
      expect(Number(rip)).toBe(frame!.pc);
      const bytes = stop.readStack(Number(rsp), 8);
      stop.writeStack(Number(rsp), bytes);
      expect(() => stop.readStack(Number(rsp), 1 << 22)).toThrow(RangeError);
      expect(() => stop.writeStack(8, bytes)).toThrow(RangeError);
      await new Promise(resolve => setTimeout(resolve, 1));
      i.memory!.write(0, Uint8Array.of(9));
      return 'continue' as const;
    };
    const call = pool.call(i, 'spin', 0);
    await spinning(i);
    expect(k.pause()).toBe('Signalled');
    expect(await call).toBe(9);
    expect(stops).toHaveLength(1);
    expect(() => stops[0]!.registers).toThrow(StateError);
  });

  it('stop at breakpoints, step, and go on, on a pool and here', async () => {
    using pool = new Pool({ threads: 2 });
    const at = await placeInSpin(pool);
    expect(at).toBeGreaterThan(0);
    module.setBreakpoint(at);
    try {
      for (const here of [false, true]) {
        using i = Instance.create(guests.region, module);
        const reasons: string[] = [];
        const places = new Set<number>();
        i.onStop = stop => {
          reasons.push(stop.reason);
          places.add(Number(stop.registers.rip));
          if (reasons.length < 6) return 'step';
          i.memory!.write(0, Uint8Array.of(5));
          module.clearBreakpoint(at);
          return 'continue';
        };
        expect(await (here ? i.callAsync('spin', 0) : pool.call(i, 'spin', 0))).toBe(5);
        expect(reasons[0]).toBe('breakpoint');
        expect(reasons[1]).toBe('step');
        expect(reasons).toHaveLength(6);
        expect(places.size).toBeGreaterThan(1);
        module.setBreakpoint(at);
      }
    } finally {
      module.clearBreakpoint(at);
    }
    using i = Instance.create(guests.region, module);
    expect(i.call('sum', 10)).toBe(55);
    expect(() => module.setBreakpoint(1 << 30)).toThrow(StateError);
  });

  it('end when they are killed while they are stopped, or the handler throws', async () => {
    using pool = new Pool({ threads: 1 });
    const at = await placeInSpin(pool);
    module.setBreakpoint(at);
    try {
      using i = Instance.create(guests.region, module);
      const k = i.killSwitch();
      i.onStop = () => {
        k.terminate();
        return 'continue';
      };
      await expect(pool.call(i, 'spin', 0)).rejects.toThrow(TerminatedError);
      i.onStop = () => {
        throw new Error('mine');
      };
      await expect(pool.call(i, 'spin', 0)).rejects.toThrow('mine');
      expect(i.state).toBe('Terminated');
      i.onStop = null;
      await expect(pool.call(i, 'spin', 0)).rejects.toThrow(StateError);
      expect(() => i.call('spin', 0)).toThrow(StateError);
      expect(i.call('sum', 3)).toBe(6);
    } finally {
      module.clearBreakpoint(at);
    }
  });
});
