/**
 * Typed function references where the host has a hand in it: guests trust the types of references, so what a host gives
 * is checked. What guests do among themselves is the official suite's matter.
 */
import binaryen from 'binaryen';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import {
  type Func,
  HostFunction,
  Instance,
  LinkError,
  Module,
  Region,
  type Table,
  type Tag,
  Trap,
  WasmException,
} from '../index.ts';
import { describeNative } from './support/guest.ts';

const TEXT = `(module
  (type $unary (func (param i64) (result i64)))
  (type $binary (func (param i64 i64) (result i64)))
  (import "host" "pick" (func $pick (result (ref null $unary))))
  (func $inc (export "inc") (type $unary) (i64.add (local.get 0) (i64.const 1)))
  (func $add (export "add") (type $binary) (i64.add (local.get 0) (local.get 1)))
  (table $typed (export "typed") 3 10 (ref null $unary))
  (table $full (export "full") 2 10 (ref $unary) (ref.func $inc))
  (global $g (export "g") (mut (ref $unary)) (ref.func $inc))
  (func (export "apply") (param (ref null $unary) i64) (result i64) (call_ref $unary (local.get 1) (local.get 0)))
  (func (export "strict") (param (ref $unary) i64) (result i64) (call_ref $unary (local.get 1) (local.get 0)))
  (func (export "picked") (param i64) (result i64) (call_ref $unary (local.get 0) (call $pick)))
  (func (export "element") (param i32 i64) (result i64) (call_ref $unary (local.get 1) (table.get $typed (local.get 0))))
  (func (export "filled") (param i32 i64) (result i64) (call_ref $unary (local.get 1) (table.get $full (local.get 0))))
  (func (export "global") (param i64) (result i64) (call_ref $unary (local.get 0) (global.get $g))))`;

/** Calls what an exception of the host's carries. */
const CATCHER = `(module
  (type $unary (func (param i64) (result i64)))
  (type $binary (func (param i64 i64) (result i64)))
  (import "host" "throw" (func $throw))
  (tag $e (export "e") (param (ref $unary)))
  (func (export "inc") (type $unary) (i64.add (local.get 0) (i64.const 1)))
  (func (export "add") (type $binary) (i64.add (local.get 0) (local.get 1)))
  (func (export "caught") (param i64) (result i64)
    (call_ref $unary (local.get 0)
      (block $h (result (ref $unary)) (try_table (catch $e $h) (call $throw)) (unreachable)))))`;

/** The step function of a loop that calls itself through references. */
const LOOP = `(module
  (type $step (func (param i64 i64) (result i64)))
  (elem declare func $step)
  (func $step (export "loop") (type $step)
    (if (i64.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_ref $step (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (local.get 0)) (ref.func $step))))`;

const GIVER = `(module
  (type $unary (func (param i64) (result i64)))
  (type $binary (func (param i64 i64) (result i64)))
  (func $inc (type $unary) (i64.add (local.get 0) (i64.const 1)))
  (global (export "null") (ref null $unary) (ref.null $unary))
  (global (export "set") (ref $unary) (ref.func $inc))
  (global (export "any") funcref (ref.func $inc))
  (global (export "mutable") (mut (ref $unary)) (ref.func $inc))
  (global (export "other") (ref null $binary) (ref.null $binary))
  (table (export "table") 1 (ref null $unary))
  (table (export "funcs") 1 funcref))`;
const taker = (what: string) => `(module
  (type $pad (func (param f32)))
  (type $unary (func (param i64) (result i64)))
  (import "a" "x" ${what}))`;

function binary(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  try {
    module.setFeatures(binaryen.Features.All);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

for (const optLevel of [0, 2] as const) {
  describeNative(`typed references and the host, -O${optLevel}`, () => {
    let region: Region;
    const modules: Module[] = [];
    const instances: Instance[] = [];
    let pick: () => unknown = () => null;
    let a: Instance;
    let inc: Func;
    let add: Func;

    function instance(text: string, imports = {}): Instance {
      const module = Module.fromBytes(compile(binary(text), { optLevel, verify: true }));
      modules.push(module);
      const made = Instance.create(region, module, imports);
      instances.push(made);
      return made;
    }
    beforeAll(() => {
      region = Region.create({ capacity: 64 });
      a = instance(TEXT, {
        host: { pick: new HostFunction(() => pick() as never) },
      });
      inc = a.func('inc');
      add = a.func('add');
    });
    afterAll(() => {
      for (const i of instances) i.dispose();
      for (const m of modules) m.dispose();
      region.dispose();
    });
    const trapCode = (act: () => unknown) => {
      try {
        act();
      } catch (e) {
        if (e instanceof Trap) return e.code;
        throw e;
      }
      return null;
    };

    it('arguments must be of the type', () => {
      expect(a.call('apply', inc, 4n)).toBe(5n);
      expect(a.call('strict', inc, 4n)).toBe(5n);
      expect(trapCode(() => a.call('apply', null, 4n))).toBe('NullReference');
      expect(() => a.call('strict', null, 4n)).toThrow('another type');
      expect(() => a.call('apply', add, 4n)).toThrow('another type');
    });

    it('results of host functions must be', () => {
      pick = () => inc;
      expect(a.call('picked', 6n)).toBe(7n);
      pick = () => null;
      expect(trapCode(() => a.call('picked', 6n))).toBe('NullReference');
      pick = () => add;
      expect(trapCode(() => a.call('picked', 6n))).toBe('CastFailure');
      expect(a.call('apply', inc, 1n)).toBe(2n);
    });

    it('and what exceptions carry', async () => {
      let value: unknown = null;
      const i: Instance = instance(CATCHER, {
        host: {
          throw: new HostFunction(() => {
            throw new WasmException(i.export('e') as Tag, [value]);
          }),
        },
      });
      const values: [unknown, string | null][] = [
        [i.func('inc'), null],
        [i.func('add'), 'another type'],
        [null, 'another type'],
        [i.func('inc'), null],
      ];
      for (const [given, wrong] of values) {
        value = given;
        if (wrong === null) {
          expect(i.call('caught', 4n)).toBe(5n);
          expect(await i.callAsync('caught', 4n)).toBe(5n);
        } else {
          expect(() => i.call('caught', 4n)).toThrow(wrong);
          await expect(i.callAsync('caught', 4n)).rejects.toThrow(wrong);
          expect(i.state).toBe('Terminated');
        }
      }
    });

    it('so must elements and globals', () => {
      const typed = a.export('typed') as Table;
      const full = a.export('full') as Table;
      const g = a.export('g') as unknown as { value: unknown };
      typed.set(1, inc);
      expect(a.call('element', 1, 1n)).toBe(2n);
      expect(() => typed.set(1, add)).toThrow(TypeError);
      expect(a.call('element', 1, 1n)).toBe(2n);
      expect(trapCode(() => a.call('element', 0, 1n))).toBe('NullReference');
      expect(typed.grow(1, add)).toBe(-1);
      expect(a.call('filled', 1, 8n)).toBe(9n);
      expect(() => full.set(0, null)).toThrow(TypeError);
      expect(full.grow(1)).toBe(-1);
      expect(full.grow(1, inc)).toBe(2);
      expect(a.call('filled', 2, 8n)).toBe(9n);
      expect(() => {
        g.value = null;
      }).toThrow(TypeError);
      expect(() => {
        g.value = add;
      }).toThrow(TypeError);
      expect(a.call('global', 1n)).toBe(2n);
    });

    it('ten million tail calls through a reference take no stack', () => {
      const n = 10_000_000n;
      expect(instance(LOOP).call('loop', n, 0n)).toBe((n * (n + 1n)) / 2n);
    });

    it('imports match by subtyping, across modules with other indices', () => {
      const giver = instance(GIVER);
      const take = (name: string, what: string) => instance(taker(what), { a: { x: giver.export(name) } });
      for (const [name, type] of [
        ['null', '(ref null $unary)'],
        ['set', '(ref null $unary)'],
        ['set', '(ref $unary)'],
        ['set', 'funcref'],
        ['set', '(ref func)'],
        ['any', 'funcref'],
        ['mutable', '(mut (ref $unary))'],
      ]) {
        expect(() => take(name!, `(global ${type})`), `${name} as ${type}`).not.toThrow();
      }
      for (const [name, type] of [
        ['null', '(ref $unary)'],
        ['any', '(ref null $unary)'],
        ['any', '(ref func)'],
        ['other', '(ref null $unary)'],
        ['mutable', '(mut (ref null $unary))'],
        ['mutable', '(mut funcref)'],
      ]) {
        expect(() => take(name!, `(global ${type})`), `${name} as ${type}`).toThrow(LinkError);
      }
      expect(() => take('table', '(table 1 (ref null $unary))')).not.toThrow();
      expect(() => take('table', '(table 1 funcref)')).toThrow(LinkError);
      expect(() => take('funcs', '(table 1 (ref null $unary))')).toThrow(LinkError);
    });
  });
}
