import { describe, expect, it } from 'vitest';
import { RELOC, RelocKind } from '../backend/code.ts';
import { compileModule, defaultOptions } from '../index.ts';
import { decodeModule } from '../wasm/decode.ts';
import { funcType, HEADER, I32, section, vec } from './support/module-builder.ts';
import { wat } from './support/wasm.ts';

const FUNCS = `(type $v (func)) (type $i (func (param i32)))
  (func $a (type $v)) (func $b (type $v)) (func $c (type $i))`;

async function image(text: string) {
  return decodeModule(await wat(`(module ${FUNCS} ${text})`)).tableImages[0];
}

describe('tables with an image', () => {
  it('later segments win; nulls and types are noted', async () => {
    const i = (await image(
      '(table 4 funcref) (elem (i32.const 1) $a $c) (elem (table 0) (i32.const 2) funcref (ref.null func) (ref.func $b))',
    ))!;
    expect([...i.functions]).toEqual([-1, 0, -1, 1]);
    expect([i.type, i.nulls]).toEqual([0, true]);
  });

  it('types that differ', async () => {
    const i = (await image('(table 2 funcref) (elem (i32.const 0) $a $c)'))!;
    expect([i.type, i.nulls]).toEqual([-1, false]);
  });

  it('an initial value', () => {
    // (module FUNCS (table 3 (ref null func) (ref.func $c)) (elem (i32.const 1) $a)): WABT can't parse the initial value.
    const bytes = Uint8Array.from([
      ...HEADER,
      ...section(1, vec([funcType([], []), funcType([I32], [])])),
      ...section(3, vec([[0], [0], [1]])),
      ...section(4, vec([[0x40, 0x00, 0x70, 0x00, 3, 0xd2, 2, 0x0b]])),
      ...section(9, vec([[0x00, 0x41, 1, 0x0b, 1, 0]])),
      ...section(10, vec([1, 2, 3].map(() => [2, 0, 0x0b]))),
    ]);
    expect([...decodeModule(bytes).tableImages[0]!.functions]).toEqual([2, 0, 2]);
  });

  it('table.size does not matter', async () => {
    expect((await image('(table 2 funcref) (func (result i32) table.size 0)'))!.functions).toHaveLength(2);
  });

  it('each at its own place', async () => {
    const m = decodeModule(
      await wat(`(module ${FUNCS} (table 2 funcref) (table (export "t") 1 funcref) (table 3 funcref))`),
    );
    expect(m.tableImages.map(t => t?.offset ?? null)).toEqual([0, null, 16]);
  });
});

describe('tables without one', () => {
  const NONE = {
    imported: '(import "m" "t" (table 2 funcref))',
    exported: '(table (export "t") 2 funcref)',
    'of externref': '(table 2 externref)',
    'table.get': '(table 2 funcref) (func (drop (table.get 0 (i32.const 0))))',
    'table.set': '(table 2 funcref) (func (table.set 0 (i32.const 0) (ref.null func)))',
    'table.grow': '(table 2 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 1))))',
    'table.fill': '(table 2 funcref) (func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 1)))',
    'table.init':
      '(table 2 funcref) (elem $e func $a) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))',
    'table.copy to it':
      '(table 2 funcref) (table $u 2 funcref) (func (table.copy 0 $u (i32.const 0) (i32.const 0) (i32.const 1)))',
    'table.copy from it':
      '(table 2 funcref) (table $u 2 funcref) (func (table.copy $u 0 (i32.const 0) (i32.const 0) (i32.const 1)))',
    'a segment out of bounds': '(table 2 funcref) (elem (i32.const 1) $a $b)',
    'an offset that the host gives':
      '(import "m" "g" (global i32)) (table 2 funcref) (elem (global.get 0) $a)',
    'a huge and empty one': '(table 1000000 funcref) (elem (i32.const 1) $a)',
  };
  for (const [name, text] of Object.entries(NONE)) {
    it(name, async () => {
      const imports = text.match(/\(import[^)]*\([^)]*\)\)/)?.[0] ?? '';
      const m = decodeModule(await wat(`(module ${imports} ${FUNCS} ${text.replace(imports, '')})`));
      expect(m.tableImages[0]).toBe(null);
    });
  }

  it('a body that can not be decoded', async () => {
    const bytes = (
      await wat(`(module ${FUNCS} (table 2 funcref) (func i32.const 0 drop table.size 0 drop nop nop))`)
    ).slice();
    const at = bytes.lastIndexOf(0xfc);
    bytes[at] = 0x26; // table.set with a table index that does not end
    bytes.fill(0xff, at + 1, at + 6);
    expect(decodeModule(bytes).tableImages[0]).toBe(null);
  });
});

describe('references', () => {
  it('functions that are in an image only have no record', async () => {
    const m = decodeModule(
      await wat(`(module ${FUNCS} (table 2 funcref) (elem (i32.const 0) $a) (export "b" (func $b)))`),
    );
    expect([...m.escaping]).toEqual([1]);
  });

  it('but any may be named where a body has ref.func', async () => {
    const m = decodeModule(
      await wat(`(module ${FUNCS} (table 2 funcref) (elem (i32.const 0) $a) (func (drop (ref.func $a))))`),
    );
    expect(m.tableImages[0]).toBeTruthy();
    expect([...m.escaping]).toEqual([0]);
  });
});

describe('counters', () => {
  const counters = async (text: string) =>
    compileModule(decodeModule(await wat(`(module ${FUNCS} ${text})`)), defaultOptions()).counters;
  const CALL = '(table 2 funcref) (elem (i32.const 0) $a) (func (export "f") (param i32)';

  it('a constant index makes a direct call', async () => {
    const c = await counters(`${CALL} (call_indirect (type $v) (i32.const 0)))`);
    expect([c['call-constant'], c['call-image']]).toEqual([1, undefined]);
  });
  it('unless the call traps', async () => {
    const c = await counters(
      `${CALL} (call_indirect (type $v) (i32.const 1)) (call_indirect (type $v) (i32.const 2)) (call_indirect (type $i) (i32.const 0) (i32.const 0)))`,
    );
    expect([c['call-constant'], c['call-single'], c['call-image']]).toEqual([undefined, 2, 1]);
  });
  it('no image, no change', async () => {
    const c = await counters(`(table (export "t") 2 funcref) (func (call_indirect (type $v) (i32.const 0)))`);
    expect([c['call-constant'], c['call-image']]).toEqual([undefined, undefined]);
  });
});

describe('code', () => {
  it.each([
    [0, false],
    [0, true],
    [2, false],
  ] as const)(
    'has the address of an image once for each call (level %i, -g: %s)',
    async (optLevel, debugCode) => {
      // Nulls and two types: both fields of the element are looked at.
      const module = decodeModule(
        await wat(`(module ${FUNCS} (table 4 funcref) (elem (i32.const 0) $a $b $c)
        (func (param i32 i32) (call_indirect (type $v) (local.get 0)) (call_indirect (type $v) (local.get 1))))`),
      );
      const { relocs } = compileModule(module, defaultOptions({ optLevel, debugCode })).funcs[3]!;
      const kinds = [...relocs].filter((_, i) => i % RELOC === 0);
      expect(kinds.filter(kind => kind === RelocKind.Image)).toHaveLength(2);
    },
  );
});

describe('tables that the module writes', () => {
  const TWO = '(table (export "t") 2 funcref) (table $u (export "u") 2 funcref)';
  it.each([
    ['none', '(func (drop (table.get 0 (i32.const 0))) (call_indirect (i32.const 1)))', [false, false]],
    ['by table.set', '(func (table.set $u (i32.const 0) (ref.null func)))', [false, true]],
    ['by table.grow', '(func (drop (table.grow 0 (ref.null func) (i32.const 1))))', [true, false]],
    ['by table.fill', '(func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 1)))', [true, false]],
    [
      'by table.init',
      '(elem $e func $a) (func (table.init $u $e (i32.const 0) (i32.const 0) (i32.const 1)))',
      [false, true],
    ],
    [
      'by table.copy: the one that it copies into',
      '(func (table.copy 0 $u (i32.const 0) (i32.const 0) (i32.const 1)))',
      [true, false],
    ],
  ])('%s', async (_, body, written) => {
    expect(decodeModule(await wat(`(module ${FUNCS} ${TWO} ${body})`)).tablesWritten).toEqual(written);
  });

  it('all, when a body can not be read', async () => {
    const bytes = (
      await wat(`(module ${FUNCS} ${TWO} (func i32.const 0 drop table.size 0 drop nop nop))`)
    ).slice();
    const at = bytes.lastIndexOf(0xfc);
    bytes[at] = 0x26; // table.set with a table index that does not end
    bytes.fill(0xff, at + 1, at + 6);
    expect(decodeModule(bytes).tablesWritten).toEqual([true, true]);
  });
});
