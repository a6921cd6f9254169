/**
 * Indirect calls through tables that never change: V8 is the judge of results, our trap report of what went wrong and
 * where.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { native, Status, shared } from '../ffi.ts';
import { Instance, Module, Region } from '../index.ts';
import { Trap } from '../trap.ts';

const region = Region.create({ capacity: 8 });

function tryCall(call: () => unknown): string {
  try {
    return `= ${call()}`;
  } catch (e) {
    return e instanceof Trap || e instanceof WebAssembly.RuntimeError ? 'trap' : 'other';
  }
}

const MIXED = `(module
  (import "env" "twice" (func $twice (param i32) (result i32)))
  (type $ii (func (param i32) (result i32)))
  (type $same (func (param i32) (result i32)))
  (type $v (func (result i64)))
  (table 7 funcref)
  (elem (i32.const 1) $inc $twice $wide $dec)
  (elem (i32.const 4) $inc)
  (global $g (mut i32) (i32.const 100))
  (func $inc (type $ii) (global.set $g (i32.add (global.get $g) (i32.const 1))) (i32.add (local.get 0) (global.get $g)))
  (func $dec (type $ii) (i32.sub (local.get 0) (i32.const 1)))
  (func $wide (type $v) (i64.const 0x123456789))
  (func (export "call") (param i32 i32) (result i32)
    (i32.add (call_indirect (type $same) (local.get 0) (local.get 1)) (global.get $g)))
  (func (export "wide") (param i32) (result i64) (call_indirect (type $v) (local.get 0)))
  (func (export "two") (result i32) (call_indirect (type $ii) (i32.const 21) (i32.const 2)))
  (func (export "null") (result i32) (call_indirect (type $ii) (i32.const 21) (i32.const 0)))
  (func (export "beyond") (result i32) (call_indirect (type $ii) (i32.const 21) (i32.const 7)))
  (func (export "other") (result i32) (call_indirect (type $ii) (i32.const 21) (i32.const 3)))
  (func (export "tail") (param i32 i32) (result i32)
    (return_call_indirect (type $ii) (local.get 0) (local.get 1))))`;

it('has a size, but elements only for code', async () => {
  const module = Module.fromBytes(compile(await wat(MIXED)));
  const instance = Instance.create(region, module, imports);
  const n = native();
  expect(n.lucet_instance_table_size(instance.address, 0)).toBe(7);
  expect(n.lucet_instance_table_get(instance.address, 0, 1, shared().out)).toBe(Status.State);
  expect(n.lucet_instance_table_get(instance.address, 0, 7, shared().out)).toBe(Status.Argument);
  expect(n.lucet_instance_table_set(instance.address, 0, 1, 0)).toBe(Status.State);
  expect(n.lucet_instance_table_grow(instance.address, 0, 0, 0)).toBe(-1);
  instance.dispose();
});

const imports = { env: { twice: (x: number) => 2 * x } };

for (const optLevel of [0, 2] as const) {
  describe(`level ${optLevel}`, () => {
    it('does what V8 does', async () => {
      const bytes = await wat(MIXED);
      const v8 = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>), imports)
        .exports;
      const ours = Instance.create(region, Module.fromBytes(compile(bytes, { optLevel })), imports);
      const calls: [string, ...number[]][] = [['two'], ['null'], ['beyond'], ['other']];
      for (const i of [0, 1, 2, 3, 4, 5, 6, 7, 8, -1, 0x10000001, 0x7fffffff]) {
        calls.push(['call', 5, i], ['wide', i], ['tail', 7, i]);
      }
      for (const [name, ...args] of calls) {
        const expected = tryCall(() => (v8[name] as (...a: number[]) => unknown)(...args));
        expect([name, ...args, tryCall(() => ours.call(name, ...args))]).toEqual([name, ...args, expected]);
      }
      ours.dispose();
    });

    it('says which trap it was', async () => {
      const ours = Instance.create(
        region,
        Module.fromBytes(compile(await wat(MIXED), { optLevel })),
        imports,
      );
      const trap = (...args: number[]): string => {
        try {
          ours.call('call', ...args);
          return 'none';
        } catch (e) {
          return (e as Trap).code;
        }
      };
      expect(trap(0, 0)).toBe('IndirectCallToNull');
      expect(trap(0, 3)).toBe('BadSignature');
      expect(trap(0, 7)).toBe('TableOutOfBounds');
      ours.dispose();
    });
  });
}
