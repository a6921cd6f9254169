import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  createFunc,
  createGlobal,
  createMemory,
  createTable,
  type Func,
  type Global,
  HostFunction,
  Instance,
  LimitError,
  Linkage,
  LinkError,
  type Memory,
  Region,
  StateError,
  type Table,
  Trap,
} from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

describeNative('calls', () => {
  let guests: Guests;
  let all: Instance;
  beforeAll(async () => {
    guests = new Guests();
    all = await guests.instance(`(module
      (func (export "none"))
      (func (export "i32") (param i32) (result i32) local.get 0)
      (func (export "i64") (param i64) (result i64) local.get 0)
      (func (export "f32") (param f32) (result f32) local.get 0)
      (func (export "f64") (param f64) (result f64) local.get 0)
      (func (export "func") (param funcref) (result funcref) local.get 0)
      (func (export "extern") (param externref) (result externref) local.get 0)
      (func (export "sub") (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
      (func (export "turn") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        local.get 3 local.get 2 local.get 1 local.get 0)
      (func (export "seven") (result i32) i32.const 7)
    )`);
  });
  afterAll(() => all.dispose());

  it('passes every type of value, and returns it', () => {
    expect(all.call('none')).toBe(undefined);
    for (const n of [0, 1, -1, 0x7fff_ffff, -0x8000_0000]) expect(all.call('i32', n)).toBe(n);
    for (const n of [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) expect(all.call('i64', n)).toBe(n);
    for (const n of [0, -0, 1.5, Infinity, NaN, 2 ** -149]) expect(all.call('f32', n)).toBe(n);
    for (const n of [0, -0, Math.PI, -Infinity, NaN, 5e-324]) expect(all.call('f64', n)).toBe(n);
    for (const v of [null, undefined, 7, -0, 0, 'x', all, NaN]) expect(all.call('extern', v)).toBe(v);
    const seven = all.func('seven');
    expect(all.call('func', null)).toBe(null);
    expect((all.call('func', seven) as Func).call()).toBe(7);
  });

  it('takes several results and arguments in order', () => {
    expect(all.call('turn', 1, 2n, 3.5, 4.25)).toEqual([4.25, 3.5, 2n, 1]);
    expect(all.call('sub', 5, 3)).toBe(2);
  });

  it('keeps the bits of a signalling NaN in raw calls', () => {
    expect([...all.callRaw('f32', BigUint64Array.of(0x7fa0_0001n))].map(w => w & 0xffff_ffffn)).toEqual([
      0x7fa0_0001n,
    ]);
    expect([...all.callRaw('f64', BigUint64Array.of(0x7ff4_0000_0000_0001n))]).toEqual([
      0x7ff4_0000_0000_0001n,
    ]);
  });

  it('refuses arguments of wrong number or type', () => {
    expect(() => all.call('i32')).toThrow(TypeError);
    expect(() => all.call('i32', 1, 2)).toThrow('expected 1 argument (i32), got 2');
    expect(() => all.call('i32', 1n)).toThrow('argument 1 is i32: expected a number, got bigint');
    expect(() => all.call('i64', 1)).toThrow('is i64: expected a bigint, got number');
    expect(() => all.call('f64', '1')).toThrow(TypeError);
    expect(() => all.call('func', () => {})).toThrow('is funcref: expected a Func or null');
    expect(() => all.call('nothing')).toThrow('exports nothing named "nothing"');
    expect(() => all.call('_FUNC')).toThrow(/exports nothing named "_FUNC"; it exports "func", /);
  });

  it('describes exports', () => {
    const f = all.exports.turn as Func;
    expect(f.type).toEqual({ params: ['i32', 'i64', 'f32', 'f64'], results: ['f64', 'f32', 'i64', 'i32'] });
    expect(all.exports.turn).toBe(f);
    expect(Object.keys(all.exports)).toContain('extern');
  });

  it('runs the start function, once, when told', async () => {
    const text = `(module (global $g (mut i32) (i32.const 0)) (export "g" (global $g))
      (func $s (global.set $g (i32.add (global.get $g) (i32.const 1)))) (start $s) (func (export "f")))`;
    using now = await guests.instance(text);
    expect((now.exports.g as Global).value).toBe(1);
    expect(now.state).toBe('Ready');
    using later = await guests.instance(text, {}, { start: false });
    expect(later.state).toBe('NotStarted');
    expect((later.exports.g as Global).value).toBe(0);
    expect(() => later.call('f')).toThrow(StateError);
    later.runStart();
    later.runStart();
    expect((later.exports.g as Global).value).toBe(1);
  });

  it('keeps several results of more words than one block', async () => {
    const n = 600;
    const params = Array.from({ length: n }, () => 'i64').join(' ');
    const gets = Array.from({ length: n }, (_, i) => `local.get ${i}`).join(' ');
    using wide = await guests.instance(
      `(module (func (export "f") (param ${params}) (result ${params}) ${gets}))`,
    );
    const values = Array.from({ length: n }, (_, i) => BigInt(i) * 3n);
    expect(wide.call('f', ...values)).toEqual(values);
  });
});

describeNative('entities', () => {
  let guests: Guests;
  beforeAll(() => {
    guests = new Guests();
  });

  it('copies memory in and out, within its bounds', async () => {
    using i = await guests.instance(`(module (memory (export "m") 1 3) (data (i32.const 4) "abc")
      (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))`);
    const m = i.exports.m as Memory;
    expect(m.size).toBe(65536);
    expect(Buffer.from(m.read(4, 3)).toString()).toBe('abc');
    m.write(65535, Uint8Array.of(42));
    expect(i.call('load', 65535)).toBe(42);
    expect(() => m.write(65535, Uint8Array.of(1, 2))).toThrow(RangeError);
    expect(() => m.read(65537, 0)).toThrow(RangeError);
    expect(() => m.read(-1, 1)).toThrow(RangeError);
    expect(m.grow(2)).toBe(1);
    expect(m.pages).toBe(3);
    expect(m.grow(1)).toBe(-1);
    expect([...m.read(65535, 2)]).toEqual([42, 0]);
  });

  it('reads and writes globals and tables', async () => {
    using i = await guests.instance(`(module
      (global (export "m") (mut i64) (i64.const -5)) (global (export "c") f32 (f32.const 1.5))
      (table (export "t") 2 5 funcref) (elem (i32.const 1) $f)
      (func $f (export "f") (result i32) i32.const 11)
      (func (export "at") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))`);
    const m = i.exports.m as Global;
    expect(m.value).toBe(-5n);
    m.value = 2n ** 40n;
    expect(m.value).toBe(2n ** 40n);
    expect(() => ((i.exports.c as Global).value = 1)).toThrow(StateError);
    expect((i.exports.c as Global).bits).toBe(0x3fc0_0000n);
    const t = i.exports.t as Table;
    expect(t.get(0)).toBe(null);
    expect(t.get(1)).toBe(i.exports.f);
    t.set(0, i.exports.f);
    expect(i.call('at', 0)).toBe(11);
    expect(() => t.set(2, null)).toThrow(RangeError);
    expect(t.grow(3, i.exports.f)).toBe(2);
    expect(t.grow(1)).toBe(-1);
    expect(i.call('at', 4)).toBe(11);
  });

  it('makes entities of the host that guests can import', async () => {
    const memory = createMemory({ min: 1, max: 2 });
    const table = createTable({ element: 'funcref', min: 2 });
    const mut = createGlobal({ type: 'i32', mutable: true }, 5);
    const fixed = createGlobal({ type: 'i64', mutable: false }, -7n);
    const double = createFunc({ params: ['i32'], results: ['i32'] }, (n: number) => 2 * n);
    table.set(1, double);
    using i = await guests.instance(
      `(module (import "h" "m" (memory 1)) (import "h" "t" (table 1 funcref))
        (import "h" "g" (global $g (mut i32))) (import "h" "c" (global $c i64)) (import "h" "n" (global $n f64))
        (func (export "go") (result i32)
          (i32.store (i32.const 8) (global.get $g))
          (global.set $g (i32.const 21))
          (call_indirect (param i32) (result i32) (global.get $g) (i32.const 1)))
        (func (export "c") (result i64) global.get $c)
        (func (export "n") (result f64) global.get $n))`,
      { h: { m: memory, t: table, g: mut, c: fixed, n: 2.5 } },
    );
    expect(i.call('go')).toBe(42);
    expect([...memory.read(8, 4)]).toEqual([5, 0, 0, 0]);
    expect(mut.value).toBe(21);
    expect(i.call('c')).toBe(-7n);
    expect(i.call('n')).toBe(2.5);
    expect(fixed.value).toBe(-7n);
    for (const e of [memory, table, mut, fixed, double]) e.home.dispose();
  });
});

describeNative('linking', () => {
  let guests: Guests;
  beforeAll(() => {
    guests = new Guests();
  });

  it('binds exports of other instances', async () => {
    using a =
      await guests.instance(`(module (memory (export "mem") 1) (global (export "g") (mut i32) (i32.const 1))
      (func (export "peek") (result i32) (i32.load (i32.const 0))))`);
    using b = await guests.instance(
      `(module (import "a" "mem" (memory 1)) (import "a" "peek" (func $peek (result i32)))
        (import "a" "g" (global $g (mut i32)))
        (func (export "go") (result i32)
          (i32.store (i32.const 0) (i32.const 99)) (global.set $g (i32.const 3)) (call $peek)))`,
      { a },
    );
    expect(b.call('go')).toBe(99);
    expect((a.exports.g as Global).value).toBe(3);
  });

  it('says what does not link', async () => {
    const text = '(module (import "env" "f" (func (param i32) (result i32))))';
    const module = await guests.module(text);
    const create = (imports: object) => () => Instance.create(guests.region, module, imports as never);
    expect(create({})).toThrow(LinkError);
    expect(create({})).toThrow('unknown import: "env" "f" (a function): nothing is given for "env"');
    expect(create({ env: {} })).toThrow(
      'unknown import: "env" "f" (a function): what is given for "env" has no "f"',
    );
    expect(create({ env: Object.create({ f: () => 1 }) })).toThrow(/^unknown import/);
    expect(create({ env: { f: 1 } })).toThrow(
      'incompatible import type: "env" "f" is a function, but was given a number',
    );
    const typed = new HostFunction(() => 1, { type: { params: [], results: ['i32'] } });
    expect(create({ env: { f: typed } })).toThrow(/^incompatible import type/);
    using other = await guests.instance('(module (func (export "f") (param i64) (result i32) i32.const 0))');
    expect(create({ env: other })).toThrow(/^incompatible import type/);
    const fits = new HostFunction(() => 1, { type: { params: ['i32'], results: ['i32'] } });
    Instance.create(guests.region, module, { env: { f: fits } }).dispose();
  });

  it('makes many instances of one linkage', async () => {
    let sum = 0;
    const module = await guests.module(
      '(module (import "e" "add" (func $add (param i32))) (func (export "f") (param i32) local.get 0 call $add))',
    );
    const linkage = Linkage.create(module, { e: { add: (n: number) => void (sum += n) } });
    for (let n = 1; n <= 50; n++) {
      using i = Instance.create(guests.region, linkage);
      i.call('f', n);
    }
    expect(sum).toBe(1275);
  });

  it('frees slots when nothing refers to them any more', async () => {
    using region = Region.create({ capacity: 3 });
    const library = await guests.module(
      '(module (memory (export "m") 1) (func (export "f") (result i32) i32.const 1))',
    );
    const user = await guests.module(
      '(module (import "l" "f" (func (result i32))) (import "l" "m" (memory 1)) (export "g" (func 0)))',
    );
    const a = Instance.create(region, library);
    const b = Instance.create(region, user, { l: a });
    expect(region.usedSlots).toBe(2);
    a.dispose();
    expect(region.usedSlots).toBe(2);
    expect(b.call('g')).toBe(1);
    expect(a.state).toBe('Disposed');
    expect(() => a.call('f')).toThrow(StateError);
    b.dispose();
    b.dispose();
    expect(region.usedSlots).toBe(0);
    // What many import from does not keep them.
    const c = Instance.create(region, library);
    for (let n = 0; n < 5; n++) Instance.create(region, user, { l: c }).dispose();
    expect(region.usedSlots).toBe(1);
    const more = [Instance.create(region, library), Instance.create(region, library)];
    expect(() => Instance.create(region, library)).toThrow(LimitError);
    for (const i of [c, ...more]) i.dispose();
    expect(region.freeSlots).toBe(3);
  });

  it('keeps the functions that an instance put into a table before it failed', async () => {
    const table = createTable({ element: 'funcref', min: 2 });
    const module = await guests.module(
      `(module (import "h" "t" (table 2 funcref)) (import "h" "f" (func $f)) (memory 1)
        (func $ok (result i32) i32.const 17) (func $host call $f)
        (elem (i32.const 0) $ok $host) (data (i32.const 65536) "x"))`,
    );
    expect(() => Instance.create(guests.region, module, { h: { t: table, f: () => {} } })).toThrow(Trap);
    expect((table.get(0) as Func).call()).toBe(17);
    expect(() => (table.get(1) as Func).call()).toThrow(StateError);
    expect((table.get(0) as Func).call()).toBe(17);
    table.home.dispose();
  });

  it('refuses what was disposed', async () => {
    const memory = createMemory({ min: 1 });
    const module = await guests.module('(module (import "h" "m" (memory 1)) (func (export "f")))');
    const linkage = Linkage.create(module, { h: { m: memory } });
    const i = Instance.create(guests.region, linkage);
    memory.home.dispose();
    // The instance still holds it, and so may others.
    expect(memory.size).toBe(65536);
    i.dispose();
    expect(() => memory.size).toThrow(StateError);
    expect(() => Instance.create(guests.region, linkage)).toThrow(StateError);
    using region = Region.create({ capacity: 1 });
    region.dispose();
    expect(() => Instance.create(region, module, { h: { m: createMemory({ min: 1 }) } })).toThrow(StateError);
  });

  it('keeps what was written before a segment trapped', async () => {
    const memory = createMemory({ min: 1 });
    const module = await guests.module(
      '(module (import "h" "m" (memory 1)) (data (i32.const 0) "ok") (data (i32.const 65535) "no"))',
    );
    const make = () => Instance.create(guests.region, module, { h: { m: memory } });
    expect(make).toThrow(Trap);
    expect(make).toThrow('out of bounds memory access');
    expect(Buffer.from(memory.read(0, 2)).toString()).toBe('ok');
    memory.home.dispose();
  });
});
