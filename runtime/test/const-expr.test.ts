/**
 * Constant expressions of several operators: what the runtime makes of them, against V8 and against what the tools
 * show.
 */
import { setFlagsFromString } from 'node:v8';
import { beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { report } from '../../compiler/objdump/report.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import type { Global, Instance, Memory, Table } from '../index.ts';
import { loadDamaged } from './support/damage.ts';
import { describeNative, Guests } from './support/guest.ts';

// Before V8 compiles anything: an extension that version 11 has, but not switched on.
setFlagsFromString('--experimental-wasm-extended-const');

const TEXT = `(module
  (import "env" "a" (global $a i32))
  (import "env" "b" (global $b i64))
  (global (export "add") i32 (i32.add (global.get $a) (i32.const -7)))
  (global (export "sub") i32 (i32.sub (i32.const 5) (global.get $a)))
  (global (export "mul") i32 (i32.mul (global.get $a) (i32.mul (global.get $a) (i32.const 0x10001))))
  (global (export "wide") i64 (i64.sub (i64.mul (global.get $b) (global.get $b)) (i64.add (i64.const 1) (i64.const -9))))
  (memory (export "memory") 1)
  (table (export "table") 20 funcref)
  (func $f (export "f"))
  (elem (i32.add (i32.const 3) (i32.sub (i32.const 4) (i32.const 1))) $f)
  (data (i32.add (i32.mul (i32.const 16) (i32.const 4)) (i32.const 1)) "here"))`;
const IMPORTS = { a: -123456789, b: 0x1234_5678_9abc_def0n };

describeNative('extended constant expressions', () => {
  const guests = new Guests();
  let bytes: Uint8Array;
  let ours: Instance;
  let theirs: WebAssembly.Instance['exports'];
  beforeAll(async () => {
    bytes = await wat(TEXT);
    ours = await guests.instance(TEXT, { env: IMPORTS });
    theirs = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: {
        a: new WebAssembly.Global({ value: 'i32' }, IMPORTS.a),
        b: new WebAssembly.Global({ value: 'i64' }, IMPORTS.b),
      },
    }).exports;
  });

  it('computes globals', () => {
    for (const name of ['add', 'sub', 'mul', 'wide']) {
      expect((ours.export(name) as Global).value, name).toBe((theirs[name] as WebAssembly.Global).value);
    }
  });

  it('places segments', () => {
    const found = (ours.export('memory') as Memory).read(0, 80);
    const wanted = new Uint8Array((theirs.memory as WebAssembly.Memory).buffer, 0, 80);
    expect(Buffer.from(found).toString('latin1')).toBe(Buffer.from(wanted).toString('latin1'));
    for (let i = 0; i < 20; i++) {
      const there = (theirs.table as WebAssembly.Table).get(i) !== null;
      expect((ours.export('table') as Table).get(i) !== null, `element ${i}`).toBe(there);
    }
  });

  it('reads globals of the module itself', async () => {
    const text = `(module
      (import "env" "a" (global $a i32))
      (global $x i32 (i32.mul (global.get $a) (i32.const 2)))
      (global $y (export "y") i32 (i32.add (global.get $x) (i32.const 1)))
      (global (export "z") i32 (global.get $y))
      (memory (export "memory") 1)
      (data (global.get $y) "!"))`;
    const instance = await guests.instance(text, { env: { a: 20 } });
    expect((instance.export('z') as Global).value).toBe(41);
    expect((instance.export('memory') as Memory).read(41, 1)[0]).toBe(0x21);
  });

  it('is shown in postfix order', () => {
    const shown = report(readArtifact(compile(bytes)), 'x.so');
    expect(shown.globals.map(g => g.value).slice(2)).toEqual([
      'global 0 -7 i32.add',
      '5 global 0 i32.sub',
      'global 0 global 0 65537 i32.mul i32.mul',
      'global 1 global 1 i64.mul 1 -9 i64.add i64.sub',
    ]);
    expect(shown.elements[0]!.offset).toBe('3 4 1 i32.sub i32.add');
  });

  it('takes as deep an expression as it promises, and no deeper', async () => {
    const nested = (depth: number) =>
      `(module (global (export "g") i32 ${'i32.const 1 '.repeat(depth)} ${'i32.add '.repeat(depth - 1)}))`;
    const deep = await guests.instance(nested(1024));
    expect((deep.export('g') as Global).value).toBe(1024);
    await expect(guests.instance(nested(1025))).rejects.toThrow('too deep');
  });

  it('refuses an artifact whose expression is damaged', async () => {
    const good = compile(await wat('(module (global i32 (i32.add (i32.const 0x5a5a5a5a) (i32.const 1))))'), {
      debugInfo: false,
    });
    const at = Buffer.from(good).indexOf(Buffer.from([1, 0x5a, 0x5a, 0x5a, 0x5a, 1]));
    expect(at).toBeGreaterThan(0);
    // The operators: i32.const, i32.const, i32.add, end.
    const damage: readonly (readonly [number, number])[] = [
      [at, 2],
      [at, 4],
      [at + 10, 5],
      [at + 10, 0],
      [at + 10, 7],
      [at + 10, 99],
      [at + 11, 1],
    ];
    for (const [place, value] of damage) {
      const load = () => loadDamaged(good, place, value);
      // i32.sub in the place of i32.add is another, sound expression.
      if (value === 5) expect(load).not.toThrow();
      else expect(load, `byte ${place - at} = ${value}`).toThrow('bad initial value');
    }
  });
});
