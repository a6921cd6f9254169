/**
 * Entries, calls and values of debug information, compared with LLVM's own readers; and what broken information does.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { Tag } from '../debuginfo/constants.ts';
import { Dies } from '../debuginfo/dies.ts';
import { evaluate, type FrameReader, type Place } from '../debuginfo/expressions.ts';
import { dwarfSections } from '../debuginfo/forms.ts';
import { openDebugInfo } from '../debuginfo/index.ts';
import { readUnits } from '../debuginfo/units.ts';
import { Values } from '../debuginfo/values.ts';
import { dwarfdump, hasDwarfdump, readSections, symbolizer } from './support/dwarf.ts';

const SOURCE = `
typedef unsigned int u32;
enum color { RED, GREEN = 5, BLUE };
union both { int i; float f; };
struct point { int x, y; };
struct node { struct node *next; struct point at; u32 flags : 3; u32 kind : 5; enum color color; union both u; const char *name; };
static int total = 7;
static inline int square(int v) { int q = v * v; return q + total; }
static inline int both(int a, int b) { return square(a) + square(b); }
__attribute__((noinline)) int walk(struct node *n, int depth) {
  int sum = 0;
  for (int i = 0; n; n = n->next, i++) {
    int here = both(n->at.x, n->at.y);
    { long long wide = here; sum += (int)(wide >> 1) + i; }
  }
  total += depth;
  return sum;
}
int go(int k) {
  struct node a = {0, {1, k}, 5, 17, GREEN, {.f = 1.5f}, "first"}, b = {&a, {3, 4}, 1, 2, BLUE, {9}, "second"};
  int grid[2][3] = {{1, 2, 3}, {4, 5, k}};
  return walk(&b, grid[1][2]) + a.u.i;
}
`;
const FLAGS = ['-nostdlib', '-Wl,--no-entry', '-Wl,--export=go', '-g'];

let optimised: Uint8Array;
let plain: Uint8Array;
beforeAll(async () => {
  optimised = await clang({ 'src/a.c': SOURCE }, [...FLAGS, '-O2', '-gdwarf-5']);
  plain = await clang({ 'src/a.c': SOURCE }, [...FLAGS, '-O0', '-gdwarf-4']);
}, 120_000);

function entries(wasm: Uint8Array): Dies {
  const sections = dwarfSections(readSections(wasm).debug);
  const warnings: string[] = [];
  const warn = (m: string): unknown => warnings.push(m);
  const dies = new Dies(readUnits(sections, { entries: 1e6 }, warn), sections, warn);
  expect(warnings).toEqual([]);
  return dies;
}

/** Tags as llvm-dwarfdump names them. */
const TAG_NAMES: Readonly<Record<string, Tag>> = {
  compile_unit: Tag.CompileUnit,
  subprogram: Tag.Subprogram,
  variable: Tag.Variable,
  formal_parameter: Tag.FormalParameter,
  lexical_block: Tag.LexicalBlock,
  inlined_subroutine: Tag.InlinedSubroutine,
  structure_type: Tag.StructureType,
  union_type: Tag.UnionType,
  member: Tag.Member,
  base_type: Tag.BaseType,
  pointer_type: Tag.PointerType,
  const_type: Tag.ConstType,
  typedef: Tag.Typedef,
  array_type: Tag.ArrayType,
  subrange_type: Tag.SubrangeType,
  enumeration_type: Tag.EnumerationType,
  enumerator: Tag.Enumerator,
};

describe('entries agree with llvm-dwarfdump', () => {
  for (const version of [4, 5]) {
    it.skipIf(!hasDwarfdump)(`DWARF ${version}`, () => {
      const wasm = version === 4 ? plain : optimised;
      const dump = dwarfdump(['--debug-info'], wasm);
      // "0x0000002a:   DW_TAG_variable", and attributes behind it.
      const expected: string[] = [];
      for (const line of dump.split('\n')) {
        const entry = /^0x([0-9a-f]+):( *)DW_TAG_(\w+)/.exec(line);
        if (entry !== null)
          expected.push(
            `${parseInt(entry[1]!, 16)} ${TAG_NAMES[entry[3]!] ?? entry[3]} ${entry[2]!.length >> 1} `,
          );
        const name = /^ +DW_AT_name\t\("(.*)"\)/.exec(line);
        if (name !== null) expected[expected.length - 1] += name[1];
      }
      const dies = entries(wasm);
      const got: string[] = [];
      for (const unit of dies.units) {
        const tree = dies.tree(unit);
        for (let i = 0; i < tree.length; i++) {
          let depth = 0;
          for (let p = tree.parents[i]!; p >= 0; p = tree.parents[p]!) depth++;
          const die = dies.at(tree, i);
          got.push(
            `${die.offset} ${TAG_NAMES[Object.keys(TAG_NAMES).find(k => TAG_NAMES[k] === die.tag) ?? ''] ?? die.tag} ${depth} ${die.text(0x03)}`,
          );
        }
      }
      const normal = (lines: string[]): string[] => lines.map(l => l.replace(/^(\d+) [a-z]\w*/, '$1 ?'));
      expect(got.length).toBeGreaterThan(50);
      expect(
        got.map(l =>
          l.replace(/^(\d+) (\d+)/, (all, o, t) =>
            Object.values(TAG_NAMES).includes(Number(t)) ? all : `${o} ?`,
          ),
        ),
      ).toEqual(normal(expected));
    });
  }

  it('calls with those that were inlined, as llvm-symbolizer tells them', async () => {
    const { debug, codeSize } = readSections(optimised);
    const info = openDebugInfo(debug);
    const addresses = Array.from({ length: codeSize - 2 }, (_, i) => i + 2);
    const args = ['--obj=x.wasm', '--inlines', '--functions=short', '--output-style=JSON'];
    const text = await symbolizer([...args, ...addresses.map(a => `0x${a.toString(16)}`)], optimised);
    type Answer = { Symbol: { FunctionName: string; Line: number; Column: number; FileName: string }[] }[];
    const answers = JSON.parse(text) as Answer;
    let inlined = 0;
    answers.forEach(({ Symbol: frames }, i) => {
      const known = frames.filter(f => f.FileName !== '');
      if (known.length === 0) return;
      if (known.length > 1) inlined++;
      const ours = info.calls(addresses[i]!).map(c => `${c.name} ${c.source?.line}:${c.source?.column}`);
      expect(ours, `at 0x${addresses[i]!.toString(16)}`).toEqual(
        known.map(f => `${f.FunctionName} ${f.Line}:${f.Column}`),
      );
    });
    expect(inlined).toBeGreaterThan(10);
    expect(info.warnings).toEqual([]);
  });

  it.skipIf(!hasDwarfdump)('locations of variables at every address, as llvm-dwarfdump tells them', () => {
    // Which variables have a location where: by the lists that dwarfdump prints.
    const dump = dwarfdump(['--name=sum'], optimised);
    const ranges = [...dump.matchAll(/\[0x([0-9a-f]+), 0x([0-9a-f]+)\): (DW_OP[^\n)]*)/g)].map(m => ({
      from: parseInt(m[1]!, 16),
      to: parseInt(m[2]!, 16),
      code: m[3]!,
    }));
    expect(ranges.length).toBeGreaterThan(1);
    const info = openDebugInfo(readSections(optimised).debug);
    for (const { from, to, code } of ranges) {
      for (const at of [from, to - 1]) {
        const call = info.calls(at).find(c => c.name === 'walk')!;
        const variable = info.variables(call).find(v => v.name === 'sum')!;
        const place = info.locate(variable, call, at, frame());
        const local = /DW_OP_WASM_location 0x0 0x([0-9a-f]+), DW_OP_stack_value/.exec(code);
        if (local !== null) expect(place).toEqual({ kind: 'local', index: parseInt(local[1]!, 16) });
        const operand = /DW_OP_WASM_location 0x2 0x([0-9a-f]+), DW_OP_stack_value/.exec(code);
        if (operand !== null) expect(place).toEqual({ kind: 'operand', index: parseInt(operand[1]!, 16) });
        const constant = /^DW_OP_(?:consts \+(\d+)|lit(\d+)), DW_OP_stack_value/.exec(code);
        if (constant !== null)
          expect(place).toEqual({ kind: 'value', value: BigInt(constant[1] ?? constant[2]!) });
      }
    }
  });
});

/** A frame over some memory, whose locals are all `base`. */
function frame(memory = new Uint8Array(0), base = 0n): FrameReader {
  return {
    memory: (at, n) => (at + n <= memory.length ? memory.subarray(at, at + n) : null),
    local: () => base,
    global: () => base,
    operand: () => base,
  };
}

describe('types and values', () => {
  it('of a C program, from bytes that a C compiler would lay out', () => {
    const info = openDebugInfo(readSections(plain).debug);
    const node = info.typeNamed('node')!;
    expect(node.size).toBe(28);
    expect(node.members.map(m => [m.name, m.type.name, m.offset])).toEqual([
      ['next', 'node *', 0],
      ['at', 'point', 4],
      ['flags', 'u32', 12],
      ['kind', 'u32', 12],
      ['color', 'color', 16],
      ['u', 'both', 20],
      ['name', 'const char *', 24],
    ]);
    const memory = new Uint8Array(256);
    const view = new DataView(memory.buffer);
    [64, 1, -2, 5 | (17 << 3), 5, 0, 128].forEach((v, i) => {
      view.setInt32(32 + 4 * i, v, true);
    });
    view.setFloat32(52, 1.5, true);
    memory.set(Buffer.from('tab\there\0'), 128);
    const values = new Values(frame(memory));
    const v = values.at(node, 32);
    expect(values.describe(v)).toBe(
      '{next: 0x40, at: {x: 1, y: -2}, flags: 5, kind: 17, color: GREEN, u: {i: 1069547520, f: 1.5}, name: 0x80 "tab\\there"}',
    );
    expect(values.children(v).named.map(e => `${e.path} ${values.describe(e.value)}`)).toContain('.kind 17');
    const at = values.member(v, 'at')!;
    expect(values.integer(values.member(at, 'y')!)).toBe(-2n);
    // The pointed-to node is zero: a null pointer ends it.
    const next = values.deref(values.member(v, 'next')!)!;
    expect(values.describe(next)).toContain('next: null');
    expect(values.describe(values.at(node, 250))).toContain('no memory at');
  });

  it('dimensions of an array', () => {
    const info = openDebugInfo(readSections(plain).debug);
    const address = info
      .positions(info.files.find(f => f.endsWith('a.c'))!)
      .find(p => p.line === 22)!.codeOffset;
    const call = info.calls(address)[0]!;
    expect(call.name).toBe('go');
    const grid = info.variables(call).find(v => v.name === 'grid')!;
    expect(grid.type.name).toBe('int[2][3]');
    const memory = new Uint8Array(1024);
    const place = info.locate(grid, call, address, frame(memory, 512n)) as Extract<Place, { kind: 'memory' }>;
    expect(place.kind).toBe('memory');
    new Int32Array(memory.buffer).set([1, 2, 3, 4, 5, 6], place.address / 4);
    const values = new Values(frame(memory, 512n));
    expect(values.describe(values.value(grid.type, place))).toBe('[[1, 2, 3], [4, 5, 6]]');
    const row = values.children(values.value(grid.type, place)).item(1);
    expect(values.describe(values.children(row.value).item(2).value)).toBe('6');
  });
});

describe('expressions', () => {
  const run = (...code: number[]): Place => {
    const [unit] = entries(plain).units;
    return evaluate(Uint8Array.from(code), {
      unit: unit!,
      sections: dwarfSections(new Map()),
      frame: frame(Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]), 6n),
      frameBase: () => ({ kind: 'value', value: 100n }),
      baseType: () => null,
    });
  };
  const value = (...code: number[]): bigint | string => {
    const place = run(...code, 0x9f);
    return place.kind === 'value' ? place.value : place.kind;
  };

  it('compute', () => {
    expect(value(0x35, 0x32, 0x1c)).toBe(3n); // 5 - 2
    expect(value(0x32, 0x35, 0x1c)).toBe(0xffff_fffdn);
    expect(value(0x09, 0xf6, 0x33, 0x1b)).toBe(BigInt.asUintN(64, -3n)); // -10 / 3
    expect(value(0x10, 0x80, 0x01)).toBe(128n);
    expect(value(0x11, 0x7f)).toBe(0xffff_ffff_ffff_ffffn);
    expect(value(0x33, 0x34, 0x16, 0x1c)).toBe(1n); // 4 - 3, swapped
    expect(value(0x31, 0x32, 0x33, 0x17, 0x1c, 0x1c)).toBe(BigInt.asUintN(32, 3n - (1n - 2n)));
    expect(value(0x34, 0x06)).toBe(0x08070605n); // memory at 4
    expect(value(0x34, 0x94, 2)).toBe(0x0605n);
    expect(value(0x38, 0x28, 1, 0, 0x30, 0x35)).toBe(5n); // a branch over lit0
  });

  it('name places', () => {
    expect(run(0xed, 0, 3, 0x9f)).toEqual({ kind: 'local', index: 3 });
    expect(run(0xed, 3, 1, 0, 0, 0, 0x9f)).toEqual({ kind: 'global', index: 1 });
    expect(run(0xed, 0, 3)).toEqual({ kind: 'memory', address: 6 });
    expect(run(0xed, 0, 3, 0x23, 2)).toEqual({ kind: 'memory', address: 8 });
    expect(run(0x91, 0x7c)).toEqual({ kind: 'memory', address: 96 });
    expect(run(0x31, 0x9f, 0x93, 4, 0xed, 0, 2, 0x9f, 0x93, 4)).toEqual({
      kind: 'pieces',
      pieces: [
        { size: 4, place: { kind: 'value', value: 1n } },
        { size: 4, place: { kind: 'local', index: 2 } },
      ],
    });
  });

  it('that make no sense are missing values', () => {
    for (const code of [
      [],
      [0x22],
      [0x2f, 0xfd, 0xff],
      [0xff],
      [0x10],
      [0x31, 0x30, 0x1b],
      [0x31, 0x2f, 0xfc, 0xff],
      [0x2f, 0x00, 0x40],
    ])
      expect(run(...code).kind).toBe('missing');
  });
});

describe('broken debug information', () => {
  let seed = 4242;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff;
    return (seed >>> 8) % n;
  };

  /** Everything that can be asked, of every few addresses. */
  function ask(sections: Map<string, Uint8Array>, step: number): number {
    const info = openDebugInfo(sections);
    const memory = new Uint8Array(4096);
    const reader = frame(memory, 64n);
    const values = new Values(reader);
    let asked = 0;
    for (let address = 2; address < 1200; address += step) {
      for (const call of info.calls(address)) {
        for (const v of info.variables(call).slice(0, 50)) {
          const value = values.value(v.type, info.locate(v, call, address, reader));
          expect(values.describe(value).length).toBeLessThan(100_000);
          const children = values.children(value);
          for (const e of children.named.slice(0, 20)) values.describe(e.value);
          if (children.indexed > 0) values.describe(children.item(0).value);
          asked++;
        }
      }
      for (const v of info.statics(address).slice(0, 20))
        values.describe(values.value(v.type, info.locate(v, null, address, reader)));
      info.bodyStart(address);
    }
    for (const file of info.files.slice(0, 10)) info.positions(file);
    info.typeNamed('node');
    expect(info.warnings.length).toBeLessThanOrEqual(100);
    return asked;
  }

  it('is whole to begin with', () => {
    expect(ask(readSections(plain).debug, 7)).toBeGreaterThan(100);
  });

  it('any damaged byte, any truncation: no exception, no endless work', () => {
    let answered = 0;
    for (const wasm of [plain, optimised]) {
      const intact = readSections(wasm).debug;
      for (let round = 0; round < 250; round++) {
        const sections = new Map<string, Uint8Array>();
        for (const [name, bytes] of intact) {
          const copy = bytes.slice(0, random(10) === 0 ? random(bytes.length) : bytes.length);
          if (random(2) === 0)
            for (let i = random(4); i > 0 && copy.length > 0; i--) copy[random(copy.length)] = random(256);
          sections.set(name, copy);
        }
        answered += ask(sections, 61);
      }
    }
    expect(answered).toBeGreaterThan(500);
  }, 60_000);

  it('a type that is made of itself, and entries nested without end', () => {
    const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
    // 1: unit; 2: typedef with a 4-byte reference; 3: struct with children; 4: member; 5: variable.
    const abbrev = [
      ...[1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0],
      ...[2, 0x16, 0, 0x49, 0x13, 0, 0],
      ...[3, 0x13, 1, 0x0b, 0x0b, 0, 0],
      ...[4, 0x0d, 0, 0x49, 0x13, 0x38, 0x0b, 0, 0],
      ...[5, 0x0b, 1, 0, 0],
      0,
    ];
    const root = 11;
    const typedef = root + 9;
    const struct = typedef + 5;
    const body = [
      1,
      ...[16, 0, 0, 0],
      ...[255, 255, 0, 0],
      2,
      typedef,
      0,
      0,
      0,
      3,
      8,
      4,
      struct,
      0,
      0,
      0,
      0,
      0,
    ];
    const nested = Array.from({ length: 200_000 }, () => 5);
    const info = [4, 0, ...[0, 0, 0, 0], 4, ...body, ...nested];
    const length = info.length;
    const sections = new Map([
      ['.debug_info', Uint8Array.from([length & 255, (length >> 8) & 255, (length >> 16) & 255, 0, ...info])],
      ['.debug_abbrev', Uint8Array.from(abbrev)],
    ]);
    const all = dwarfSections(sections);
    const dies = new Dies(
      readUnits(all, { entries: 1e6 }, () => {}),
      all,
      () => {},
    );
    const tree = dies.tree(dies.units[0]!);
    expect(tree.length).toBeGreaterThan(200_000);
    expect(leb(300)).toEqual([0xac, 2]);
    ask(sections, 100);
  });
});
