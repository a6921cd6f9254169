import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, commands } from '@yowasp/clang';
import { beforeAll, describe, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { type DebugInfo, openDebugInfo } from '../debuginfo/index.ts';
import { readSections } from './support/dwarf.ts';

const HELLO = `#include <stdio.h>
#include "inc/twice.h"

__attribute__((noinline)) static int sum(const int *p, int n) {
  int s = 0;
  for (int i = 0; i < n; i++)
    s += twice(p[i]);
  return s;
}

int unused(int x) { return x / 3; }

int main(int argc, char **argv) {
  int a[4] = {argc, 2, 3, 4};
  printf("%d\\n", sum(a, 4));
  return 0;
}
`;
const TWICE = `static inline int twice(int x) {
  if (x > 1000)
    return 1000;
  return 2 * x;
}
`;

async function build(version: number, optimise: string): Promise<Uint8Array> {
  const flags = ['-g', `-gdwarf-${version}`, optimise, '-ffunction-sections', '-Wl,--gc-sections'];
  return clang({ 'src/hello.c': HELLO, 'src/inc/twice.h': TWICE }, flags);
}

/** What llvm-symbolizer says of addresses in the code section: "file:line:column", or "" where it knows nothing. */
async function symbolize(wasm: Uint8Array, addresses: number[]): Promise<string[]> {
  let text = '';
  const args = ['--obj=x.wasm', '--no-inlines', '--functions=none', '--output-style=JSON'];
  args.push(...addresses.map(a => `0x${a.toString(16)}`));
  const { symbolizer } = commands as unknown as { symbolizer: Command };
  await symbolizer(
    args,
    { 'x.wasm': wasm },
    {
      stdout: bytes => {
        if (bytes !== null) text += new TextDecoder().decode(bytes);
      },
      fetchProgress: () => {},
    },
  );
  type Answer = { Symbol: { FileName: string; Line: number; Column: number }[] }[];
  return (JSON.parse(text) as Answer).map(({ Symbol: [symbol] }) =>
    symbol === undefined || symbol.FileName === ''
      ? ''
      : `${symbol.FileName}:${symbol.Line}:${symbol.Column}`,
  );
}

function ours(info: DebugInfo, address: number): string {
  const found = info.lookup(address);
  return found === null ? '' : `${found.file}:${found.line}:${found.column}`;
}

async function compareWithSymbolizer(
  wasm: Uint8Array,
  samples: number,
): Promise<{ known: number; info: DebugInfo }> {
  const { debug, codeSize: size } = readSections(wasm);
  const info = openDebugInfo(debug);
  const step = Math.max(1, Math.floor(size / samples));
  const addresses: number[] = [];
  for (let a = 1; a < size; a += step) addresses.push(a);
  const expected = await symbolize(wasm, addresses);
  expect(expected.length).toBe(addresses.length);
  const differing = addresses.flatMap((a, i) => {
    const got = ours(info, a);
    return got === expected[i] ? [] : [`0x${a.toString(16)}: ${got}, symbolizer: ${expected[i]}`];
  });
  expect(differing).toEqual([]);
  expect(info.warnings).toEqual([]);
  return { known: expected.filter(e => e !== '').length, info };
}

let four: Uint8Array;
let five: Uint8Array;
beforeAll(async () => {
  four = await build(4, '-O1');
  five = await build(5, '-O0');
}, 120_000);

describe('lines of a C program agree with llvm-symbolizer', () => {
  for (const version of [4, 5]) {
    it(`DWARF ${version}`, async () => {
      const wasm = version === 4 ? four : five;
      const { info } = await compareWithSymbolizer(wasm, 100);
      // The program is at the front of the code section: every byte of its first kilobyte is compared.
      const addresses = Array.from({ length: 1000 }, (_, i) => i + 1);
      const expected = await symbolize(wasm, addresses);
      expect(addresses.map(a => ours(info, a))).toEqual(expected);
      const text = expected.join('\n');
      expect(text).toContain('/src/hello.c:15:');
      expect(text).toContain('/src/inc/twice.h:');
      expect(text).not.toContain('hello.c:11:');
    });
  }
});

const shared = process.env.LUCET_SHARED ?? join(import.meta.dirname, '../../../shared');
for (const [name, fraction] of [
  ['gcc-loops', 0.9],
  ['tinygo-json', 0.7],
] as const) {
  const path = join(shared, 'bench', name, `${name}.wasm`);
  const present = existsSync(path);
  if (!present) console.warn(`debuginfo-lines: ${path} is not there: its comparison is left out`);
  it.runIf(present)(`${name} agrees with llvm-symbolizer`, async () => {
    const { known } = await compareWithSymbolizer(readFileSync(path), 1500);
    expect(known).toBeGreaterThan(1500 * fraction);
  });
}

/** Builds a version 4 or 5 .debug_line with one file "a.c" by hand. */
class LineProgram {
  readonly bytes: number[] = [];

  op(...bytes: number[]): this {
    this.bytes.push(...bytes);
    return this;
  }

  setAddress(address: number): this {
    return this.op(0, 5, 2, ...u32(address));
  }

  end(): this {
    return this.op(0, 1, 1);
  }

  table(
    options: { dwarf64?: boolean; minInst?: number; maxOps?: number; lineRange?: number } = {},
  ): Uint8Array {
    const { dwarf64 = false, minInst = 1, maxOps = 1, lineRange = 14 } = options;
    const offset = (n: number): number[] => (dwarf64 ? [...u32(n), 0, 0, 0, 0] : u32(n));
    const fixed = [minInst, maxOps, 1, 0xfb, lineRange, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    const header = [...fixed, ...cstring('d'), 0, ...cstring('a.c'), 1, 0, 0, ...cstring('/b.c'), 0, 0, 0, 0];
    const body = [4, 0, ...offset(header.length), ...header, ...this.bytes];
    return Uint8Array.from([...(dwarf64 ? u32(0xffff_ffff) : []), ...offset(body.length), ...body]);
  }
}

function u32(n: number): number[] {
  return [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24];
}

function cstring(text: string): number[] {
  return [...new TextEncoder().encode(text), 0];
}

function open(line: Uint8Array): DebugInfo {
  return openDebugInfo(new Map([['.debug_line', line]]));
}

describe('line program', () => {
  it('a table without a unit is found', () => {
    const info = open(new LineProgram().setAddress(16).op(1, 2, 4, 3, 2, 1, 2, 4).end().table());
    expect(ours(info, 15)).toBe('');
    expect(ours(info, 16)).toBe('d/a.c:1:0');
    expect(ours(info, 19)).toBe('d/a.c:1:0');
    expect(ours(info, 20)).toBe('d/a.c:3:0');
    expect(ours(info, 23)).toBe('d/a.c:3:0');
    expect(ours(info, 24)).toBe('');
  });

  it('64-bit format', () => {
    const info = open(new LineProgram().setAddress(16).op(1, 2, 4).end().table({ dwarf64: true }));
    expect(ours(info, 17)).toBe('d/a.c:1:0');
  });

  it('every standard opcode', () => {
    const program = new LineProgram()
      .setAddress(0x100)
      .op(5, 7, 6, 7, 10, 11, 12, 3) // column 7, flags, isa 3
      .op(1) // copy at 0x100
      .op(8) // const_add_pc: (255 - 13) / 14 = 17
      .op(3, 0x7d, 0x20 | 0, 13) // advance_line -3 is below; the special opcodes that follow are decoded too
      .op(9, 0x10, 0x00) // fixed_advance_pc 16
      .op(4, 2) // file 2
      .op(1)
      .op(2, 1)
      .end();
    const info = open(program.table());
    expect(ours(info, 0x100)).toBe('d/a.c:1:7');
    expect(info.lookup(0x100 + 17 + 1 + 16)?.file).toBe('/b.c');
  });

  it('define_file adds a file', () => {
    const define = [3, ...cstring('c.c'), 1, 0, 0];
    const info = open(
      new LineProgram()
        .setAddress(16)
        .op(0, define.length, ...define)
        .op(4, 3, 1, 2, 4)
        .end()
        .table(),
    );
    expect(ours(info, 16)).toBe('d/c.c:1:0');
  });

  it('operation indices of a VLIW machine', () => {
    // Four operations of 2 bytes each: advancing by 6 operations is one instruction and two operations on.
    const info = open(
      new LineProgram()
        .setAddress(16)
        .op(1, 2, 6, 3, 1, 1, 2, 2, 3, 1, 1, 2, 4)
        .end()
        .table({ minInst: 2, maxOps: 4 }),
    );
    expect(ours(info, 17)).toBe('d/a.c:1:0');
    expect(ours(info, 18)).toBe('d/a.c:2:0');
    expect(ours(info, 20)).toBe('d/a.c:3:0');
    expect(ours(info, 22)).toBe('');
  });

  it('dropped code is not found, whatever the linker wrote in its place', () => {
    for (const tombstone of [0, 0xffff_ffff, 0xffff_fffe]) {
      const program = new LineProgram().setAddress(tombstone).op(1, 2, 64).end();
      const info = open(program.setAddress(32).op(1, 2, 8).end().table());
      expect(ours(info, 1)).toBe('');
      expect(ours(info, 31)).toBe('');
      expect(ours(info, 32)).toBe('d/a.c:1:0');
    }
  });

  it('rows out of order are sorted, rows without an end are dropped', () => {
    const program = new LineProgram()
      .setAddress(40)
      .op(1)
      .op(0, 5, 2, ...u32(32), 3, 1, 1)
      .op(0, 5, 2, ...u32(48))
      .end();
    const info = open(program.setAddress(100).op(1, 2, 8, 1).table());
    expect(ours(info, 33)).toBe('d/a.c:2:0');
    expect(ours(info, 41)).toBe('d/a.c:1:0');
    expect(ours(info, 101)).toBe('');
  });
});

describe('broken debug information is a warning', () => {
  it('a line range of 0', () => {
    const info = open(new LineProgram().setAddress(16).op(200).end().table({ lineRange: 0 }));
    expect(info.lookup(16)).toBeNull();
    expect(info.warnings.join()).toContain('line range is 0');
  });

  it('a length that exceeds the section', () => {
    const info = open(Uint8Array.from([0, 255, 255, 0x7f, 4, 0]));
    expect(info.lookup(16)).toBeNull();
    expect(info.warnings.join()).toContain('exceeds its section');
  });

  it('a count of entries that take no bytes', () => {
    // Version 5; directory format: one column, DW_LNCT_path as DW_FORM_flag_present; 2^35 rows.
    const header = [1, 1, 1, 0xfb, 14, 1, 1, 1, 0x19, 0xff, 0xff, 0xff, 0xff, 0x7f];
    const body = [5, 0, 4, 0, ...u32(header.length), ...header];
    const info = open(Uint8Array.from([...u32(body.length), ...body]));
    expect(info.lookup(16)).toBeNull();
    expect(info.warnings.join()).toContain('take no bytes');
  });

  it('any damaged byte: no exception, no endless work', () => {
    let seed = 12345;
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff;
      return (seed >>> 8) % n;
    };
    let warned = 0;
    for (const wasm of [four, five]) {
      const intact = readSections(wasm).debug;
      for (let round = 0; round < 150; round++) {
        const sections = new Map<string, Uint8Array>();
        for (const [name, bytes] of intact) {
          const copy = bytes.slice(0, random(8) === 0 ? random(bytes.length) : bytes.length);
          // Mostly near the front, where the headers of the program's own unit are.
          const span = Math.min(copy.length, round % 2 === 0 ? 200 : copy.length);
          for (let i = 0; i < 3 && span > 0; i++) copy[random(span)] = random(256);
          sections.set(name, copy);
        }
        const info = openDebugInfo(sections);
        for (let address = 0; address < 20_000; address += 97) info.lookup(address);
        expect(info.warnings.length).toBeLessThanOrEqual(100);
        if (info.warnings.length > 0) warned++;
      }
    }
    expect(warned).toBeGreaterThan(20);
  });
});
