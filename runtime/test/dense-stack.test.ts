/**
 * Dense code compares the stack pointer with the stack's limit: it must stop before the red area is used up, wherever
 * it runs, and not before that. How deep a recursion got is told by a counter in memory; how deep it may get follows
 * from frame sizes in the artifact.
 */
import { expect, it } from 'vitest';
import { STACK_RED_AREA } from '../../compiler/abi/vmctx.ts';
import { compile } from '../../compiler/index.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { Instance, type Memory, Module, Region, Trap } from '../index.ts';
import { describeNative } from './support/guest.ts';

const STACK = 65536;
const COUNT = '(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))';

/** Values that live across the call: they make the frame. */
function values(n: number): [set: string, sum: string, locals: string] {
  const each = (f: (i: number) => string) => Array.from({ length: n }, (_, i) => f(i)).join(' ');
  return [
    each(i => `(local.set $l${i} (i64.mul (local.get 0) (i64.const ${i + 3})))`),
    each(i => `(local.get $l${i}) i64.add`),
    each(i => `(local $l${i} i64)`),
  ];
}

/** A recursion without end whose frames hold `n` values and take `m` arguments. */
function recursion(n: number, m: number): string {
  const [set, sum, locals] = values(n);
  return `(module (memory (export "memory") 1)
    (func $r (export "r") (param i64) ${'(param i64)'.repeat(m)} (result i64) ${locals}
      ${COUNT} ${set} (call $r (i64.add (local.get 0) (i64.const 1)) ${'(local.get 0)'.repeat(m)}) ${sum}))`;
}

function overflow(act: () => unknown): Trap {
  try {
    act();
  } catch (e) {
    if (e instanceof Trap && e.code === 'StackOverflow') return e;
    throw e;
  }
  throw new Error('no overflow');
}

const depth = (i: Instance): number => Buffer.from((i.export('memory') as Memory).read(0, 4)).readUInt32LE(0);

describeNative('the stack of dense code', () => {
  for (const optLevel of [0, 2] as const) {
    it.each([
      [1, 0],
      [30, 0],
      [600, 0],
      [4200, 0],
      [1, 300],
      [50, 900],
    ])(`ends where it should: frames of %i values, %i arguments, -O${optLevel}`, async (n, m) => {
      const artifact = compile(await wat(recursion(n, m)), { optLevel, memory: 'dense', verify: n < 1000 });
      const [f, thunk] = [readArtifact(artifact).func(0), readArtifact(artifact).func(1)];
      const region = Region.create({ capacity: 1, limits: { stackSize: STACK } });
      const module = Module.fromBytes(artifact);
      const instance = Instance.create(region, module);
      const trap = overflow(() => instance.call('r', ...Array.from({ length: m + 1 }, () => 1n)));
      // The thunk's return address and frame, then for each level a return address and a frame: arguments lie in the
      // caller's frame.
      const room = STACK - STACK_RED_AREA - 8 - thunk.frameSize;
      const reached = depth(instance);
      expect(reached).toBe(Math.floor(room / (8 + f.frameSize)));
      // The innermost frame was taken, but nothing done in it.
      expect(trap.report.totalFrames).toBe(reached + 1);
      expect(trap.report.frames.every(frame => frame.functionIndex === 0)).toBe(true);
      // And again.
      overflow(() => instance.call('r', ...Array.from({ length: m + 1 }, () => 1n)));
      expect(depth(instance)).toBe(2 * reached);
      for (const x of [instance, module, region]) x.dispose();
    });
  }

  it('is that of the activation, also in functions of another instance', async () => {
    const large = Region.create({ capacity: 1, limits: { stackSize: 16 * STACK } });
    const small = Region.create({ capacity: 1, limits: { stackSize: STACK } });
    const text = (next: string) => `(module (import "env" "next" (func $next (param i64) (result i64)))
      (memory (export "memory") 1)
      (func $r (export "r") (param i64) (result i64) ${COUNT} (i64.add (i64.const 1) ${next})))`;
    const module = async (next: string) =>
      Module.fromBytes(compile(await wat(text(next)), { memory: 'dense' }));
    const inner = await module('(call $r (local.get 0))');
    const outer = await module('(call $next (local.get 0))');
    const a = Instance.create(large, inner, { env: { next: () => 0n } });
    const b = Instance.create(small, outer, { env: { next: a.func('r') } });
    // On its own stack the inner one gets far; on the outer one's it must not.
    overflow(() => a.call('r', 1n));
    const far = depth(a);
    overflow(() => b.call('r', 1n));
    const near = depth(a) - far;
    expect(far / near).toBeGreaterThan(14);
    expect(far / near).toBeLessThan(18);
    overflow(() => a.call('r', 1n));
    expect(depth(a) - near).toBe(2 * far);
    for (const x of [b, a, inner, outer, large, small]) x.dispose();
  });

  it('has room for the call that a failed check is, in every frame up to the last', async () => {
    // $down(n) takes n frames, and ends in a function that calls nothing and has a frame which is not compared with the
    // limit.
    const [set, sum, locals] = values(36);
    const text = `(module (memory (export "memory") 1)
      (func $end (param i64) (result i64) ${locals} ${set} (if (i64.ne (local.get 0) (i64.const 0)) (then unreachable)) (local.get 0) ${sum})
      (func $down (export "down") (param $n i64) (result i64)
        (if (result i64) (i64.eqz (local.get $n)) (then (call $end (i64.const 1)))
          (else (i64.add (call $down (i64.sub (local.get $n) (i64.const 1))) (i64.const 1))))))`;
    const artifact = compile(await wat(text), { optLevel: 0, memory: 'dense' });
    const [end, down, thunk] = [0, 1, 2].map(k => readArtifact(artifact).func(k).frameSize);
    expect(end).toBeGreaterThan(160);
    expect(end).toBeLessThanOrEqual(256);
    const region = Region.create({ capacity: 1, kind: 'dense', limits: { stackSize: STACK } });
    const module = Module.fromBytes(artifact);
    const instance = Instance.create(region, module);
    const most = Math.floor((STACK - STACK_RED_AREA - 8 - thunk!) / (8 + down!)) - 1;
    for (let n = most - 40; n <= most; n++) {
      expect(() => instance.call('down', BigInt(n))).toThrow(
        expect.objectContaining({ code: 'Unreachable' }) as Trap,
      );
    }
    overflow(() => instance.call('down', BigInt(most + 1)));
    for (const x of [instance, module, region]) x.dispose();
  });

  it('bears tail calls that move the return address down, near its end', async () => {
    // $down fills the stack; at each depth $leaf goes on by tail calls with more and more arguments, without frames of
    // its own.
    const params = (n: number) => '(param i64) '.repeat(n);
    const args = (n: number) => '(local.get 0) '.repeat(n);
    const widths = [1, 8, 16, 24, 40, 200, 900];
    const chain = widths
      .map((n, i) => {
        const next = widths[i + 1];
        const body = next === undefined ? `(local.get ${n - 1})` : `(return_call $t${i + 1} ${args(next)})`;
        return `(func $t${i} ${params(n)} (result i64) ${body})`;
      })
      .join('\n');
    const bytes = await wat(`(module (memory (export "memory") 1) ${chain}
      (func $down (export "down") (param i64) (result i64) ${COUNT}
        (drop (call $t0 (local.get 0)))
        (i64.add (i64.const 1) (call $down (local.get 0)))))`);
    for (const optLevel of [0, 2] as const) {
      const region = Region.create({ capacity: 1, limits: { stackSize: STACK } });
      const module = Module.fromBytes(compile(bytes, { optLevel, memory: 'dense', verify: true }));
      const instance = Instance.create(region, module);
      const trap = overflow(() => instance.call('down', 1n));
      const [innermost, ...others] = trap.report.frames
        .filter(f => f.kind === 'wasm')
        .map(f => f.functionIndex);
      expect(innermost).toBeLessThanOrEqual(widths.length);
      expect(new Set(others)).toEqual(new Set([widths.length]));
      expect(trap.report.totalFrames).toBe(depth(instance) + 1);
      for (const x of [instance, module, region]) x.dispose();
    }
  });
});
