/** Recursion groups, subtypes and types that are no functions: identity within a module and across modules. */
import { expect, it } from 'vitest';
import { CompileError } from '../../compiler/index.ts';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import { type Imports, Instance, LinkError, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

describeNative('recursive types', () => {
  const guests = new Guests();
  const instance = async (text: string, imports: Imports = {}, optLevel: 0 | 2 = 2) =>
    Instance.create(guests.region, await guests.module(watNewer(text), { optLevel }), imports);

  const code = (act: () => unknown): unknown => {
    try {
      return act();
    } catch (e) {
      return e instanceof Trap ? e.code : e;
    }
  };

  /** $below extends $above; $alone and $final are like $above, but are other types. */
  const TYPES = `(rec (type $above (sub (func (result i32)))) (type $below (sub $above (func (result i32)))))
    (type $alone (sub (func (result i32)))) (type $final (func (result i32)))`;
  const NAMES = ['above', 'below', 'alone', 'final'];

  for (const optLevel of [0, 2] as const) {
    it(`an indirect call takes functions of the type and of those below it, -O${optLevel}`, async () => {
      const guest = await instance(
        `(module ${TYPES} (table 5 funcref) (elem (i32.const 0) ${NAMES.map(n => `$${n}`).join(' ')})
        ${NAMES.map((n, k) => `(func $${n} (type $${n}) (i32.const ${k}))`).join('\n')}
        ${NAMES.map(n => `(func (export "${n}") (param i32) (result i32) (call_indirect (type $${n}) (local.get 0)))`).join('\n')})`,
        {},
        optLevel,
      );
      const no = 'BadSignature';
      const table = NAMES.map(n => [0, 1, 2, 3].map(k => code(() => guest.call(n, k))));
      expect(table).toEqual([
        [0, 1, no, no],
        [no, 1, no, no],
        [no, no, 2, no],
        [no, no, no, 3],
      ]);
      for (const n of NAMES) expect(code(() => guest.call(n, 4))).toBe('IndirectCallToNull');
    });
  }

  it('an import takes functions of the type and of those below it, of other modules', async () => {
    const from = await instance(
      `(module ${TYPES} ${NAMES.map((n, k) => `(func (export "${n}") (type $${n}) (i32.const ${k}))`).join('\n')})`,
    );
    for (const wanted of NAMES) {
      for (const given of NAMES) {
        const text = `(module ${TYPES} (import "m" "f" (func $f (type $${wanted}))) (func (export "g") (result i32) (call $f)))`;
        const made = await instance(text, { m: { f: from.func(given) } }).catch((e: unknown) => e);
        if (given === wanted || (given === 'below' && wanted === 'above'))
          expect((made as Instance).call('g')).toBe(NAMES.indexOf(given));
        else expect(made, `${given} for ${wanted}`).toBeInstanceOf(LinkError);
      }
    }
  });

  it('the same group is the same type; another position, order or size is another one', async () => {
    const GROUPS = {
      same: '(rec (type $a (func (param (ref null $b)))) (type $b (func (param (ref null $a) i32))))',
      turned: '(rec (type $b (func (param (ref null $a) i32))) (type $a (func (param (ref null $b)))))',
      longer:
        '(rec (type $a (func (param (ref null $b)))) (type $b (func (param (ref null $a) i32))) (type (struct)))',
      apart: '(rec (type $a (func (param (ref null $a)))))',
    };
    const from = await instance(`(module ${GROUPS.same} (func (export "f") (type $a)))`);
    const to = (group: string) =>
      instance(`(module (type (func)) ${group} (import "m" "f" (func (type $a))))`, {
        m: { f: from.func('f') },
      });
    expect(await to(GROUPS.same)).toBeInstanceOf(Instance);
    for (const other of [GROUPS.turned, GROUPS.longer, GROUPS.apart])
      await expect(to(other)).rejects.toThrow(LinkError);
  });

  it('references to structures and arrays exist, as null; their operators are refused by name', async () => {
    const guest =
      await instance(`(module (type $s (struct (field i8) (field (mut f64)))) (type $a (array (mut (ref null $s))))
      (table 2 (ref null $s)) (global (export "g") (mut eqref) (ref.null none))
      (func (export "null") (param (ref null $a) anyref) (result i32)
        (i32.add (ref.is_null (local.get 0)) (i32.add (ref.is_null (local.get 1)) (ref.is_null (table.get 0 (i32.const 1)))))))`);
    expect(guest.call('null', null, null)).toBe(3);
    // A value of the host's own would need an operator that converts it.
    expect(() => guest.call('null', null, {})).toThrow(/expected a GuestObject or null/);
    const refused = guests.module(
      watNewer('(module (type $s (struct)) (func (drop (struct.new_default $s))))'),
    );
    await expect(refused).rejects.toThrow(CompileError);
    await expect(refused).rejects.toThrow(/needs the gc proposal, of which there are only the types/);
  });
});
