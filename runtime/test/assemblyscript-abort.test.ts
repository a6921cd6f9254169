/** AssemblyScript's env.abort from JavaScript: what a guest said is in the report of its trap, of that one alone. */
import { expect, it } from 'vitest';
import { assemblyScriptImports, Instance, Linkage, LinkError, Pool, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const ABORTS = `(module (import "env" "abort" (func $abort (param i32 i32 i32 i32))) (memory (export "memory") 1)
  (data (i32.const 12) "\\04\\00\\00\\00h\\00i\\00") (data (i32.const 28) "\\08\\00\\00\\00a\\00.\\00t\\00s\\00")
  (func (export "abort") (param i32)
    (i32.store8 (i32.const 18) (i32.add (i32.const 48) (local.get 0)))
    (call $abort (i32.const 16) (i32.const 32) (local.get 0) (i32.const 3)))
  (func (export "trap") unreachable))`;

describeNative('env.abort', () => {
  const guests = new Guests();
  const trap = (act: () => unknown): Trap => {
    try {
      act();
    } catch (e) {
      if (e instanceof Trap) return e;
      throw e;
    }
    throw new Error('no trap');
  };

  it('is explained with its message, file, line and column, once', async () => {
    const instance = await guests.instance(ABORTS, assemblyScriptImports);
    const first = trap(() => instance.call('abort', 7));
    expect(first.code).toBe('Unreachable');
    expect(first.report.explanation).toBe('The program aborted: h7, at a.ts:7:3.');
    // A later trap of the same instance has nothing of it.
    expect(trap(() => instance.call('trap')).report.explanation).not.toContain('aborted: ');
  });

  it('tells guests on other threads apart', async () => {
    const linkage = Linkage.create(await guests.module(ABORTS), assemblyScriptImports);
    const pool = new Pool({ threads: 2 });
    const instances = [1, 2, 3, 4, 5, 6].map(() => Instance.create(guests.region, linkage));
    const said = await Promise.all(
      instances.map((instance, i) =>
        pool.call(instance, 'abort', i).then(
          () => '',
          (e: unknown) => (e as Trap).report.explanation,
        ),
      ),
    );
    expect(said).toEqual(instances.map((_, i) => `The program aborted: h${i}, at a.ts:${i}:3.`));
    await pool.dispose();
    for (const instance of instances) instance.dispose();
  });

  it('is nothing for imports of another name or type', async () => {
    const other = await guests.module('(module (import "env" "seed" (func (result f64))))');
    expect(() => Linkage.create(other, assemblyScriptImports)).toThrow(LinkError);
    const types = await guests.module('(module (import "env" "abort" (func)))');
    expect(() => Instance.create(guests.region, Linkage.create(types, assemblyScriptImports))).toThrow(
      LinkError,
    );
  });
});
