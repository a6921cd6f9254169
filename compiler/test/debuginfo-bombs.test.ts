/**
 * Debug information that is small and well-formed, and made to cost without end: types of themselves, names that
 * double, strings that a million entries share.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { At, Encoding, Tag } from '../debuginfo/constants.ts';
import { Dies } from '../debuginfo/dies.ts';
import type { FrameReader } from '../debuginfo/expressions.ts';
import { dwarfSections } from '../debuginfo/forms.ts';
import { openDebugInfo } from '../debuginfo/index.ts';
import { type Type, Types } from '../debuginfo/types.ts';
import { readUnits } from '../debuginfo/units.ts';
import { Values } from '../debuginfo/values.ts';
import { readSections } from './support/dwarf.ts';

const FRAME: FrameReader = {
  memory: (_, length) => new Uint8Array(length).fill(1),
  local: () => 64n,
  global: () => 64n,
  operand: () => null,
};

/** Abbreviations of what the tests need; references are four bytes from the unit's start. */
const enum Kind {
  Unit = 1,
  /** type, children */
  Function,
  /** type */
  Parameter,
  /** children */
  Struct,
  /** type; the name is '' */
  Anonymous,
  /** type, byte size 1 */
  Enum,
  /** type, bits by uleb, byte offset */
  BitField,
  Base,
  /** name by strp */
  Named,
}
const ABBREVIATIONS = [
  [Kind.Unit, Tag.CompileUnit, 1],
  [Kind.Function, Tag.SubroutineType, 1, At.Type, 0x13],
  [Kind.Parameter, Tag.FormalParameter, 0, At.Type, 0x13],
  [Kind.Struct, Tag.StructureType, 1],
  [Kind.Anonymous, Tag.Member, 0, At.Type, 0x13],
  [Kind.Enum, Tag.EnumerationType, 0, At.Type, 0x13, At.ByteSize, 0x0b],
  [Kind.BitField, Tag.Member, 0, At.Type, 0x13, At.BitSize, 0x0f],
  [Kind.Base, Tag.BaseType, 0, At.ByteSize, 0x0b, At.Encoding, 0x0b],
  [Kind.Named, Tag.StructureType, 0, At.Name, 0x0e],
];

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
/** Offset of the first entry behind the root, from the unit's start. */
const FIRST = 12;

/** One unit, of version 4, whose root has these entries as children. */
function types(entries: readonly number[], str = new Uint8Array(0)): { types: Types; first: Type } {
  const info = [4, 0, ...u32(0), 4, Kind.Unit].concat(entries as number[], [0]);
  const sections = dwarfSections(
    new Map([
      ['.debug_info', Uint8Array.from(u32(info.length).concat(info))],
      ['.debug_abbrev', Uint8Array.from([...ABBREVIATIONS.flatMap(a => [...a, 0, 0]), 0])],
      ['.debug_str', str],
    ]),
  );
  const warnings: string[] = [];
  const warn = (m: string): unknown => warnings.push(m);
  const all = new Types(new Dies(readUnits(sections, { entries: 1000 }, warn), sections, warn));
  expect(warnings).toEqual([]);
  return { types: all, first: all.of(all.dies.entryAtOffset(FIRST)) };
}
const repeat = (n: number, unit: readonly number[]): number[] =>
  new Array<readonly number[]>(n).fill(unit).flat();

describe('types of themselves', () => {
  it('a function that takes 64 of itself has a name that ends', () => {
    const { first } = types([
      Kind.Function,
      ...u32(FIRST),
      ...repeat(64, [Kind.Parameter, ...u32(FIRST)]),
      0,
    ]);
    expect(first.name.length).toBeLessThan(10_000);
    expect(first.name).toContain('…');
  });

  it('a function of a function … 60 deep: names do not double', () => {
    const size = 16;
    const entries = Array.from({ length: 60 }, (_, i) => {
      const next = u32(FIRST + size * Math.min(i + 1, 59));
      return [Kind.Function, ...next, Kind.Parameter, ...next, Kind.Parameter, ...next, 0].slice(0, size);
    });
    const { first, types: all } = types(entries.flat());
    for (let i = 0; i < 60; i++) {
      const type = all.of(all.dies.entryAtOffset(FIRST + size * i));
      expect(type.kind).toBe('function');
      expect(type.name.length).toBeLessThan(100_000);
    }
    expect(first.kind).toBe('function');
  });

  it('a structure with 1000 anonymous parts, each itself', () => {
    const { first } = types([Kind.Struct, ...repeat(1000, [Kind.Anonymous, ...u32(FIRST)]), 0]);
    const values = new Values(FRAME);
    const value = values.at(first, 64);
    expect(first.alignment).toBe(1);
    expect(values.member(value, 'x')).toBeNull();
    expect(values.children(value).named.length).toBeLessThan(50_000);
    expect(values.describe(value).length).toBeLessThan(10_000_000);
  });

  it('structures in structures, 10,000 deep', () => {
    const one = 7;
    const entries = Array.from({ length: 10_000 }, (_, i) => [
      Kind.Struct,
      Kind.Anonymous,
      ...u32(FIRST + one * Math.min(i + 1, 9_999)),
      0,
    ]);
    const { first } = types(entries.flat());
    const values = new Values(FRAME);
    expect(first.alignment).toBe(1);
    expect(values.member(values.at(first, 64), 'x')).toBeNull();
    values.describe(values.at(first, 64));
    values.children(values.at(first, 64));
  });

  it('an enumeration of itself', () => {
    const { first } = types([Kind.Enum, ...u32(FIRST), 4]);
    expect(first.isSigned).toBe(false);
    expect(new Values(FRAME).describe(new Values(FRAME).at(first, 64))).toBe(`${0x01010101}`);
  });
});

it('a bit field of 2^60 bits', () => {
  const base = FIRST + 16;
  const wide = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
  const { first } = types([
    ...[Kind.Struct, Kind.BitField, ...u32(base), ...wide, 0],
    ...[Kind.Base, 4, Encoding.Signed],
  ]);
  const [member] = first.members;
  const values = new Values(FRAME);
  expect(member!.type.size).toBe(4);
  expect(
    values.describe({ type: member!.type, place: { kind: 'value', value: 5n }, bits: member!.bits }),
  ).toBe('5');
});

it('a million bytes of text that 20,000 entries name from different offsets: all that is kept is a few times the section', () => {
  const str = new Uint8Array(1_000_000).fill(0x61);
  str[str.length - 1] = 0;
  const entries = Array.from({ length: 20_000 }, (_, i) => [Kind.Named, ...u32(i)]);
  const { types: all } = types(entries.flat(), str);
  let kept = 0;
  for (let i = 0; i < entries.length; i++) kept += all.dies.entryAtOffset(FIRST + 5 * i)!.name.length;
  expect(kept).toBeLessThan(10 * str.length);
  expect(all.dies.entryAtOffset(FIRST)!.name.length).toBe(str.length - 1);
  expect(all.named('none')).toBeNull();
});

describe('real debug information whose references lead elsewhere', () => {
  const SOURCE = `
    struct tree;
    enum color { RED, BLUE };
    typedef int (*callback)(int, struct tree *, enum color);
    struct base { int id : 5; callback call; };
    struct tree { struct base b; struct { struct tree *left, *right; union { int n; float f; }; }; callback all[3]; enum color c; };
    static struct tree root;
    static int visit(struct tree *t, callback f) { return t ? f(t->n, t->left, t->c) + visit(t->right, f) : 0; }
    int go(int k) { struct tree t = root; t.n = k; return visit(&t, t.all[0]); }`;
  let wasm: Uint8Array;
  beforeAll(async () => {
    wasm = await clang({ 'a.c': SOURCE }, ['-nostdlib', '-Wl,--no-entry', '-Wl,--export=go', '-g', '-O0']);
  }, 120_000);

  it('any entry in place of any other: no exception, no endless work', () => {
    let seed = 99;
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff;
      return (seed >>> 8) % n;
    };
    const intact = readSections(wasm).debug;
    const sections = dwarfSections(intact);
    const dies = new Dies(
      readUnits(sections, { entries: 1e6 }, () => {}),
      sections,
      () => {},
    );
    const places: number[] = [];
    const targets: number[] = [];
    for (const unit of dies.units) {
      const tree = dies.tree(unit);
      for (let i = 0; i < tree.length; i++) {
        targets.push(tree.offsets[i]! - unit.offset);
        const v = dies.at(tree, i).attribute(At.Type);
        if (v !== null && v.length === 4) places.push(v.at);
      }
    }
    expect(places.length).toBeGreaterThan(20);
    let asked = 0;
    for (let round = 0; round < 100; round++) {
      const info = Uint8Array.from(sections.info);
      for (let k = 1 + random(places.length); k > 0; k--)
        info.set(u32(targets[random(targets.length)]!), places[random(places.length)]!);
      const debug = openDebugInfo(new Map([...intact, ['.debug_info', info]]));
      const values = new Values(FRAME);
      const from = performance.now();
      for (let address = 2; address < 500; address += 40)
        for (const call of debug.calls(address))
          for (const v of [...debug.variables(call), ...debug.statics(address)]) {
            const value = values.value(v.type, debug.locate(v, call, address, FRAME));
            expect(v.type.name.length + values.describe(value).length).toBeLessThan(1_000_000);
            expect(v.type.alignment).toBeGreaterThan(0);
            for (const e of values.children(value).named.slice(0, 10)) values.describe(e.value);
            values.member(value, 'none');
            asked++;
          }
      expect(performance.now() - from).toBeLessThan(20_000);
    }
    expect(asked).toBeGreaterThan(300);
  }, 60_000);
});
