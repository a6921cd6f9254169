/**
 * Objects of garbage-collected types that constant expressions make: identity, lifetimes, and what the host may do with
 * references to them.
 */
import { describe, expect, it } from 'vitest';
import { CompileError, compile } from '../../compiler/index.ts';
import { report } from '../../compiler/objdump/report.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { HEADER, section } from '../../compiler/test/support/module-builder.ts';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import {
  createTable,
  type Global,
  type GuestObject,
  HostFunction,
  type Imports,
  Instance,
  LimitError,
  LinkError,
  Region,
  type Table,
} from '../index.ts';
import { loadDamaged } from './support/damage.ts';
import { describeNative, Guests } from './support/guest.ts';

/** A segment's two items, a global and a table's elements, each an array of its own. */
const IDENTITY = `(module
  (type $bytes (array i8)) (type $words (array (mut i64))) (type $pair (struct (field i32)))
  (global $g (export "g") (ref $bytes) (array.new_default $bytes (i32.const 3)))
  (global $words (export "words") (mut (ref null $words)) (array.new_default $words (i32.const 2)))
  (global (export "any") (mut anyref) (ref.null any))
  (global (export "pair") (mut (ref null $pair)) (ref.null $pair))
  (table $t (export "t") 6 eqref)
  (table $same (export "same") 3 arrayref (array.new_default $bytes (i32.const 0)))
  (elem $e arrayref (item (array.new_default $bytes (i32.const 0))) (item (array.new_default $bytes (i32.const 0)))
    (item (global.get $g)) (item (ref.null array)))
  (elem (table $t) (i32.const 4) arrayref (item (array.new_default $words (i32.const 9))))
  (func (export "init") (param i32 i32 i32) (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
  (func (export "eq") (param i32 i32) (result i32)
    (ref.eq (table.get $t (local.get 0)) (table.get $t (local.get 1))))
  (func (export "identity") (param anyref) (result anyref) (local.get 0)))`;

const module = (): Uint8Array => watNewer(IDENTITY);

describeNative('objects of constant expressions', () => {
  const guests = new Guests();
  const create = async (text: string, imports: Imports = {}) =>
    Instance.create(guests.region, await guests.module(watNewer(text)), imports);

  it.each([
    { optLevel: 0 },
    { optLevel: 2 },
    { optLevel: 2, memory: 'dense' },
    { optLevel: 0, debugCode: true },
  ] as const)('are made once for each instance: %j', async options => {
    const guest = Instance.create(guests.region, await guests.module(module(), options));
    for (const round of [1, 2]) {
      guest.call('init', 0, 0, 4);
      // Tables hold the same array twice, and two arrays of a type are two.
      expect([guest.call('eq', 0, 0), guest.call('eq', 0, 1), guest.call('eq', 3, 5)]).toEqual([1, 0, 1]);
      guest.call('init', 1, 0, 1);
      expect(guest.call('eq', 0, 1), `round ${round}`).toBe(1);
      expect([guest.call('eq', 2, 0), guest.call('eq', 4, 0), guest.call('eq', 4, 3)]).toEqual([0, 0, 0]);
      const t = guest.export('t') as Table;
      expect((t.get(2) as GuestObject).equals((guest.export('g') as Global).value as GuestObject)).toBe(true);
      expect([t.get(3), t.get(5)]).toEqual([null, null]);
      const same = guest.export('same') as Table;
      expect((same.get(0) as GuestObject).equals(same.get(2) as GuestObject)).toBe(true);
      guest.reset();
    }
    const other = Instance.create(guests.region, guest.module);
    const [a, b] = [guest, other].map(i => (i.export('g') as Global).value as GuestObject);
    expect(a!.equals(b!)).toBe(false);
  });

  it('come back from the host as what they were, to their own instance only', async () => {
    const guest = Instance.create(guests.region, await guests.module(module()));
    const stranger = Instance.create(guests.region, guest.module);
    const g = (guest.export('g') as Global).value as GuestObject;
    expect((guest.call('identity', g) as GuestObject).equals(g)).toBe(true);
    expect(guest.call('identity', null)).toBe(null);
    (guest.export('any') as Global).value = g;
    expect(((guest.export('any') as Global).value as GuestObject).equals(g)).toBe(true);
    (guest.export('t') as Table).set(5, g);
    guest.call('init', 0, 2, 1);
    expect(guest.call('eq', 0, 5)).toBe(1);

    expect(() => stranger.call('identity', g)).toThrow(/can't be linked/);
    expect(() => {
      (stranger.export('any') as Global).value = g;
    }).toThrow(TypeError);
    expect(() => (stranger.export('t') as Table).set(0, g)).toThrow(TypeError);
    expect((stranger.export('t') as Table).grow(1, g)).toBe(-1);
    expect(() => guest.call('identity', 0x1000)).toThrow(/expected a GuestObject or null, got number/);
    // Made up, near an object, and one of another type.
    const Made = g.constructor as new (address: number) => GuestObject;
    for (const address of [1, 16, g.address + 16, g.address + 1, 2 ** 52])
      expect(() => guest.call('identity', new Made(address))).toThrow(/can't be linked/);
    for (const wrong of ['words', 'pair']) {
      expect(() => {
        (guest.export(wrong) as Global).value = g;
      }).toThrow(TypeError);
    }
    (guest.export('words') as Global).value = (guest.export('t') as Table).get(4);
    expect(() => createTable({ element: 'anyref', min: 1, max: 1 }).set(0, g)).toThrow(TypeError);
  });

  it('pass through host functions, which can give back only what they may have', async () => {
    const text = `(module (type $bytes (array i8)) (import "m" "f" (func $f (param anyref) (result anyref)))
      (global $g (ref $bytes) (array.new_default $bytes (i32.const 1)))
      (global (export "other") (ref $bytes) (array.new_default $bytes (i32.const 1)))
      (func (export "run") (result anyref) (call $f (global.get $g))))`;
    const type = { params: ['anyref'], results: ['anyref'] } as const;
    let give: (o: unknown) => unknown = o => o;
    const guest = await create(text, { m: { f: new HostFunction(o => give(o), { type }) } });
    const other = (guest.export('other') as Global).value;
    const got = guest.call('run') as GuestObject;
    expect(got.equals(other as GuestObject)).toBe(false);
    give = () => other;
    expect((guest.call('run') as GuestObject).equals(other as GuestObject)).toBe(true);
    const stranger = await create(text, { m: { f: new HostFunction(() => null, { type }) } });
    give = () => (stranger.export('other') as Global).value;
    expect(() => guest.call('run')).toThrow(/cast/);
  });

  it('outlive their instance where linked ones can have them', async () => {
    const from = await create(`(module (type $bytes (array i8))
      (global (export "g") arrayref (array.new_default $bytes (i32.const 7)))
      (table (export "t") 2 arrayref (array.new_default $bytes (i32.const 7))))`);
    const text = `(module (import "m" "g" (global $g arrayref)) (import "m" "t" (table $t 2 arrayref)) (table $own (export "own") 1 arrayref)
      (global (export "g") arrayref (global.get $g))
      (elem $e arrayref (item (global.get $g)))
      (func (export "keep") (table.init $own $e (i32.const 0) (i32.const 0) (i32.const 1)))
      (func (export "kept") (result i32) (ref.eq (table.get $own (i32.const 0)) (global.get $g)))
      (func (export "first") (result i32) (ref.eq (table.get $t (i32.const 0)) (table.get $t (i32.const 1)))))`;
    const m = { g: from.export('g'), t: from.export('t') } as Imports[string];
    const to = await create(text, { m });
    expect(() => to.call('kept')).not.toThrow();
    to.call('keep');
    expect(
      ((to.export('g') as Global).value as GuestObject).equals(
        (from.export('g') as Global).value as GuestObject,
      ),
    ).toBe(true);
    const kept = (to.export('g') as Global).value as GuestObject;
    from.reset();
    // The global that both have holds a new array; the old one is still there for whoever has it.
    expect([to.call('kept'), to.call('first')]).toEqual([0, 1]);
    from.dispose();
    (to.export('own') as Table).set(0, kept);
    expect(((to.export('own') as Table).get(0) as GuestObject).equals(kept)).toBe(true);
    to.dispose();
  });

  it('come to others by imports alone', async () => {
    const guest = Instance.create(guests.region, await guests.module(module()));
    const g = (guest.export('g') as Global).value as object;
    await expect(create('(module (import "m" "g" (global anyref)))', { m: { g } })).rejects.toThrow(
      LinkError,
    );
    await create('(module (import "m" "g" (global anyref)))', { m: { g: guest.export('g') } });
    await create('(module (import "m" "g" (global anyref)))', { m: { g: null } });
    await expect(
      create('(module (type $p (struct)) (import "m" "g" (global (ref null $p))))', {
        m: { g: guest.export('g') },
      }),
    ).rejects.toThrow(LinkError);
  });

  it('may take so many bytes and no more', async () => {
    const many = (lengths: readonly number[]) =>
      watNewer(
        `(module (type $words (array i64)) ${lengths.map(n => `(global (ref $words) (array.new_default $words (i32.const ${n})))`).join('\n')})`,
      );
    const huge = await guests.module(many([-1]));
    expect(() => Instance.create(guests.region, huge)).toThrow(
      /array of 4294967295 elements exceeds the 1073741824 bytes/,
    );
    expect(guests.region.usedSlots).toBeGreaterThan(0);
    const small = Region.create({ capacity: 4, limits: { objectMemorySize: 4096 } });
    const used = small.usedSlots;
    const fits = await guests.module(many([200, 200]));
    const over = await guests.module(many([200, 200, 200]));
    const instance = Instance.create(small, fits);
    for (let k = 0; k < 5; k++) expect(() => Instance.create(small, over)).toThrow(LimitError);
    // What a reset frees can be had again.
    for (let k = 0; k < 20; k++) instance.reset();
    instance.dispose();
    expect(small.usedSlots).toBe(used);
    small.dispose();
  });

  it('that others may have are kept by a reset, up to the limit', async () => {
    const small = Region.create({ capacity: 4, limits: { objectMemorySize: 4096 } });
    const from = Instance.create(
      small,
      await guests.module(
        watNewer(
          `(module (type $words (array i64)) (global (export "g") anyref (array.new_default $words (i32.const 100))))`,
        ),
      ),
    );
    const to = Instance.create(
      small,
      await guests.module(watNewer('(module (import "m" "g" (global anyref)))')),
      {
        m: { g: from.export('g') },
      },
    );
    let resets = 0;
    expect(() => {
      for (; resets < 100; resets++) from.reset();
    }).toThrow('exceeds the 4096 bytes of objects');
    expect(resets).toBe(3);
    to.dispose();
    from.dispose();
    small.dispose();
  });

  it('are refused in a damaged artifact', async () => {
    const good = compile(
      watNewer(
        '(module (type $t (array i8)) (global (ref $t) (array.new_default $t (i32.const 0x5a5a5a5a))))',
      ),
      { debugInfo: false },
    );
    const at = Buffer.from(good).indexOf(Buffer.from([1, 0x5a, 0x5a, 0x5a, 0x5a, 10]));
    expect(at).toBeGreaterThan(0);
    // The operators: i32.const, array.new_default 0, end.
    for (const [place, value] of [
      [0, 2],
      [5, 4],
      [6, 1],
      [7, 0xff],
      [10, 10],
    ] as const)
      expect(() => loadDamaged(good, at + place, value), `byte ${place} = ${value}`).toThrow(
        'bad initial value',
      );
  });
});

describe('what there is of garbage collection', () => {
  const refused = (act: () => unknown): CompileError => {
    try {
      act();
    } catch (e) {
      if (e instanceof CompileError) return e;
      throw e;
    }
    throw new Error('accepted');
  };

  it.each([
    '(module (global i31ref (ref.i31 (i32.const 1))))',
    '(module (type $t (struct)) (global (ref $t) (struct.new $t)))',
    '(module (type $t (array i8)) (global (ref $t) (array.new $t (i32.const 1) (i32.const 1))))',
    '(module (type $t (array i8)) (global (ref $t) (array.new_fixed $t 1 (i32.const 1))))',
    '(module (global externref (extern.convert_any (ref.null any))))',
    '(module (type $t (array i8)) (func (export "f") (result anyref) (array.new_default $t (i32.const 1))))',
    '(module (func (export "f") (param anyref) (result i32) (ref.test i31ref (local.get 0))))',
  ])('%s is refused by name', text => {
    const e = refused(() => compile(watNewer(text)));
    expect(e.kind).toBe('unsupported');
    expect(e.message).toContain('the gc proposal, of which there are only');
    expect(e.offset).toBeGreaterThan(8);
  });

  /** A module of types and one global of type anyref, by bytes: the text parsers don't write invalid ones. */
  const global = (types: readonly (readonly number[])[], init: readonly number[]) =>
    Uint8Array.from([
      ...HEADER,
      ...section(1, [types.length, ...types.flat()]),
      ...section(6, [1, 0x6e, 0, ...init, 0x0b]),
    ]);
  const BYTES = [0x5e, 0x78, 0];
  const NEW = [0xfb, 7];

  it.each([
    ['a type mismatch', 'a length is missing', [BYTES], [...NEW, 0]],
    ['a type mismatch', 'the length is an i64', [BYTES], [0x42, 1, ...NEW, 0]],
    ['unknown type 1', 'no such type', [BYTES], [0x41, 1, ...NEW, 1]],
    ['type 0 is no array type', 'a structure', [[0x5f, 0]], [0x41, 1, ...NEW, 0]],
    ['without a default', 'elements that are not null', [[0x5e, 0x64, 0x6e, 0]], [0x41, 1, ...NEW, 0]],
    ['constant expression required', 'array.len', [BYTES], [0xd0, 0x6a, 0xfb, 15]],
  ])('%s: %s', (message, _, types, init) => {
    const e = refused(() => compile(global(types, init)));
    expect(e.kind).toBe('invalid');
    expect(e.message).toContain(message.replace('a type', 'type'));
  });

  it('the tools show them', () => {
    const shown = report(readArtifact(compile(module())), 'x.so');
    expect(shown.globals[0]).toMatchObject({ type: 'anyref', value: '3 array.new_default 0' });
    const [first] = readArtifact(compile(module())).elems;
    expect(first!.items.map(i => i.code.map(o => o.op))).toEqual([
      ['const', 'array.new_default'],
      ['const', 'array.new_default'],
      [],
      [],
    ]);
  });
});
