/**
 * Input that is a megabyte of one thing, as short as the formats allow it to be: what costs most memory for each byte.
 */
import { name, sleb, TYPE_CODE, uleb } from '../runtime/wasm-writer.ts';

type Part = Uint8Array | readonly number[];

/** What reads it. */
export type Reader = 'compile' | 'debug information' | 'text' | 'source map' | 'bindings';

export interface Large {
  readonly name: string;
  readonly reader: Reader;
  /** @param size about so many bytes */
  readonly make: (size: number) => Uint8Array;
}

const bytes = (parts: readonly Part[]): Buffer => Buffer.concat(parts.map(p => Uint8Array.from(p)));

/** So many copies. */
function copies(part: Part, count: number): Buffer {
  return count === 0 ? Buffer.alloc(0) : Buffer.alloc(count * part.length, Uint8Array.from(part));
}

function numbered(count: number, make: (i: number) => Part): Buffer {
  let all = Buffer.alloc(1 << 16);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const part = make(i);
    if (at + part.length > all.length) all = Buffer.concat([all, all]);
    all.set(part, at);
    at += part.length;
  }
  return all.subarray(0, at);
}

const section = (id: number, ...parts: Part[]): Buffer => {
  const contents = bytes(parts);
  return bytes([[id], uleb(contents.length), contents]);
};
const custom = (title: string, ...parts: Part[]): Buffer => section(0, name(title), ...parts);
const module = (...sections: Part[]): Buffer => bytes([[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], ...sections]);

const enum Id {
  Type = 1,
  Import = 2,
  Function = 3,
  Table = 4,
  Memory = 5,
  Global = 6,
  Export = 7,
  Elem = 9,
  Code = 10,
  Data = 11,
  Tag = 13,
}

const PLAIN = [0x60, 0, 0];
const TYPES = section(Id.Type, [1], PLAIN);
const ONE_FUNCTION = [section(Id.Function, [1, 0])];
const ONE_BODY = section(Id.Code, [1, 2, 0, 0x0b]);
const NAMED = [TYPES, ...ONE_FUNCTION, ONE_BODY];
/** As a vector of single-byte items. */
const list = (count: number, item: Part): Part[] => [uleb(count), copies(item, count)];

/** Four bytes that no other number below 2^28 has, all of them letters. */
const letters = (i: number): number[] => [
  97 + (i & 15),
  97 + ((i >> 4) & 15),
  97 + ((i >> 8) & 15),
  97 + ((i >> 12) & 15),
  97 + ((i >> 16) & 15),
];

/** A section that is a vector of one item, many times; what else the module has around it. */
function many(
  title: string,
  id: Id,
  item: Part,
  { most = 2 ** 31, before = [], after = [] }: { most?: number; before?: Part[]; after?: Part[] } = {},
): Large {
  return {
    name: title,
    reader: 'compile',
    make: size => {
      const count = Math.min(most, Math.floor(size / item.length));
      return module(...before, section(id, ...list(count, item)), ...after);
    },
  };
}

/** One function whose body is full of something. */
function inBody(
  title: string,
  unit: Part,
  { close = [], locals = [0], most = 2 ** 31 }: { close?: Part; locals?: Part; most?: number } = {},
): Large {
  return {
    name: `code: ${title}`,
    reader: 'compile',
    make: size => {
      const count = Math.min(most, Math.floor(size / (unit.length + close.length)));
      const body = bytes([locals, copies(unit, count), copies(close, count), [0x0b]]);
      return module(
        TYPES,
        ...ONE_FUNCTION,
        section(Id.Table, [1, 0x70, 0, 10]),
        section(Id.Memory, [1, 0, 1]),
        section(Id.Tag, [1, 0, 0]),
        section(Id.Export, [1], name('f'), [0, 0]),
        section(Id.Code, [1], uleb(body.length), body),
      );
    },
  };
}

const FUNCTIONS = (count: number): Part[] => [TYPES, section(Id.Function, ...list(count, [0]))];

const MODULES: readonly Large[] = [
  many('types', Id.Type, PLAIN),
  many('types of structures', Id.Type, [0x5f, 0]),
  many('open types', Id.Type, [0x50, 0, 0x60, 0, 0]),
  many('groups of types', Id.Type, [0x4e, 1, 0x50, 0, 0x5f, 0]),
  many('groups without types', Id.Type, [0x4e, 0]),
  many('types with many parameters', Id.Type, [0x60, ...uleb(900), ...new Array<number>(900).fill(0x7f), 0]),
  many('types with many fields', Id.Type, [
    0x5f,
    ...uleb(9000),
    ...new Array<number>(18_000).fill(0).map((_, i) => (i % 2 ? 0 : 0x7f)),
  ]),
  {
    name: 'types, all different',
    reader: 'compile',
    make: size =>
      module(
        section(
          Id.Type,
          uleb(size >> 4),
          numbered(size >> 4, i => [
            0x60,
            12,
            ...Array.from({ length: 12 }, (_, k) => ((i >> k) & 1 ? 0x7f : 0x7e)),
            1,
            i & 4096 ? 0x7d : 0x7c,
          ]),
        ),
      ),
  },
  {
    name: 'one group of types that name each other',
    reader: 'compile',
    make: size => {
      const count = size >> 3;
      return module(
        section(
          Id.Type,
          [1, 0x4e],
          uleb(count),
          numbered(count, i => [0x5f, 1, 0x63, ...sleb((i * 7919) % count), 0]),
        ),
      );
    },
  },
  many('imported functions', Id.Import, [0, 0, 0, 0], { before: [TYPES] }),
  many('imported globals', Id.Import, [0, 0, 3, 0x7f, 0]),
  many('imported tables', Id.Import, [0, 0, 1, 0x70, 0, 0], { most: 100_000 }),
  many('imported tags', Id.Import, [0, 0, 4, 0, 0], { before: [TYPES] }),
  {
    name: 'functions',
    reader: 'compile',
    make: size =>
      module(...FUNCTIONS(size >> 2), section(Id.Code, uleb(size >> 2), copies([2, 0, 0x0b], size >> 2))),
  },
  {
    name: 'exported functions',
    reader: 'compile',
    make: size => {
      const count = Math.floor(size / 13);
      return module(
        ...FUNCTIONS(count),
        section(
          Id.Export,
          uleb(count),
          numbered(count, i => [5, ...letters(i), 0, ...uleb(i)]),
        ),
        section(Id.Code, uleb(count), copies([2, 0, 0x0b], count)),
      );
    },
  },
  {
    name: 'exports of one function',
    reader: 'compile',
    make: size =>
      module(
        TYPES,
        ...ONE_FUNCTION,
        section(
          Id.Export,
          uleb(size >> 3),
          numbered(size >> 3, i => [5, ...letters(i), 0, 0]),
        ),
        ONE_BODY,
      ),
  },
  many('tables', Id.Table, [0x70, 0, 0], { most: 100_000 }),
  many('tables of many elements', Id.Table, [0x70, 0, ...uleb(10_000_000)], { most: 100_000 }),
  many('memories of 4 GiB', Id.Memory, [0, ...uleb(65_536)], { most: 100 }),
  many('tags', Id.Tag, [0, 0], { before: [TYPES] }),
  many('globals', Id.Global, [0x7f, 1, 0x41, 0, 0x0b]),
  many('globals of vectors', Id.Global, [
    TYPE_CODE.v128,
    0,
    0xfd,
    12,
    ...new Array<number>(16).fill(1),
    0x0b,
  ]),
  {
    name: 'a long constant expression',
    reader: 'compile',
    make: size =>
      module(
        section(
          Id.Global,
          [1, 0x7f, 0],
          copies([0x41, 0], size >> 2),
          copies([0x6a], (size >> 2) - 1),
          [0x0b],
        ),
      ),
  },
  {
    name: 'constant expressions of arrays',
    reader: 'compile',
    make: size =>
      module(
        section(Id.Type, [1, 0x5e, 0x7f, 0]),
        section(Id.Global, ...list(size >> 3, [0x6e, 0, 0x41, 0xff, 0, 0xfb, 7, 0, 0x0b])),
      ),
  },
  many('element segments', Id.Elem, [3, 0, 0]),
  many('element segments of functions', Id.Elem, [1, 0, 1, 0], {
    before: [TYPES, ...ONE_FUNCTION],
    after: [ONE_BODY],
  }),
  {
    name: 'elements',
    reader: 'compile',
    make: size => module(TYPES, ...ONE_FUNCTION, section(Id.Elem, [1, 1, 0], ...list(size, [0])), ONE_BODY),
  },
  {
    name: 'elements as expressions',
    reader: 'compile',
    make: size => module(section(Id.Elem, [1, 5, 0x70], ...list(Math.floor(size / 3), [0xd0, 0x70, 0x0b]))),
  },
  {
    name: 'active segments of a large table',
    reader: 'compile',
    make: size =>
      module(
        TYPES,
        ...ONE_FUNCTION,
        section(Id.Table, [1, 0x70, 0], uleb(2 ** 31)),
        section(Id.Elem, ...list(size >> 4, [0, 0x41, ...sleb(9_999_999), 0x0b, 1, 0])),
        ONE_BODY,
      ),
  },
  many('data segments', Id.Data, [1, 0], { most: 100_000 }),
  many('active data segments', Id.Data, [0, 0x41, 0, 0x0b, 0], {
    most: 100_000,
    before: [section(Id.Memory, [1, 0, 1])],
  }),
  {
    name: 'data far apart',
    reader: 'compile',
    make: size =>
      module(
        section(Id.Memory, [1, 0], uleb(65_536)),
        section(
          Id.Data,
          uleb(Math.min(60_000, size >> 4)),
          numbered(Math.min(60_000, size >> 4), i => [0, 0x41, ...sleb((i << 16) | 0), 0x0b, 1, 1]),
        ),
      ),
  },
  {
    name: 'custom sections',
    reader: 'compile',
    make: size => module(copies([0, 1, 0], Math.floor(size / 3))),
  },
  {
    name: 'names of functions',
    reader: 'compile',
    make: size => withNames(1, size >> 2, i => [...uleb(i), 0]),
  },
  {
    name: 'functions with names of locals',
    reader: 'compile',
    make: size => withNames(2, size >> 2, i => [...uleb(i), 0]),
  },
  {
    name: 'names of locals',
    reader: 'compile',
    make: size => withNames(2, size >> 4, i => [...uleb(i), 2, 0, 1, 97, 1, 1, 98]),
  },
];

/** A subsection of names that is a vector. */
function names(id: number, count: number, item: (i: number) => Part): Buffer {
  const contents = bytes([uleb(count), numbered(count, item)]);
  return bytes([[id], uleb(contents.length), contents]);
}

function withNames(id: number, count: number, item: (i: number) => Part): Buffer {
  return module(...NAMED, custom('name', names(id, count, item)));
}

const CODE: readonly Large[] = [
  inBody('groups of no locals', [0, 0x7f], { locals: [] }),
  inBody('constants', [0x41, 0, 0x1a]),
  inBody('a deep stack', [0x41, 0], { close: [0x1a] }),
  inBody('drops behind the end', [0x1a], { locals: [0, 0x00] }),
  inBody('nops', [0x01]),
  inBody('blocks', [0x02, 0x40, 0x0b]),
  inBody('blocks in blocks', [0x02, 0x40], { close: [0x0b] }),
  inBody('loops in loops', [0x03, 0x40], { close: [0x0b] }),
  inBody('ifs in ifs', [0x41, 0, 0x04, 0x40], { close: [0x0b] }),
  inBody('branches', [0x41, 0, 0x0d, 0]),
  inBody('tables of branches', [0x41, 0, 0x0e, 1, 0, 0]),
  inBody('a large table of branches', [
    0x02,
    0x40,
    0x41,
    0,
    0x0e,
    ...uleb(65_000),
    ...new Array<number>(65_001).fill(0),
    0x0b,
  ]),
  inBody('calls', [0x10, 0]),
  inBody('indirect calls', [0x41, 0, 0x11, 0, 0]),
  inBody('try_tables', [0x1f, 0x40, 1, 2, 0, 0x0b], { most: 60_000 }),
  inBody('try_tables around calls', [0x1f, 0x40, 1, 2, 0, 0x10, 0, 0x0b], { most: 60_000 }),
  inBody('throws', [0x02, 0x40, 0x08, 0, 0x0b]),
  inBody('memory.size', [0x3f, 0, 0x1a]),
  inBody('stores', [0x41, 0, 0x41, 0, 0x36, 0, 0]),
  inBody('locals', [0x20, 0, 0x21, 1], { locals: [1, ...uleb(40_000), 0x7f] }),
  inBody('loops that assign locals', [0x03, 0x40, 0x41, 0, 0x21, 0, 0x41, 0, 0x0d, 0, 0x0b], {
    locals: [1, ...uleb(1000), 0x7f],
  }),
];

const text = (before: string, unit: string, after = '', close = ''): ((size: number) => Uint8Array) => {
  return size => {
    const count = Math.floor(size / (unit.length + close.length));
    return Buffer.from(before + unit.repeat(count) + close.repeat(count) + after);
  };
};
const ofText = (title: string, ...parts: Parameters<typeof text>): Large => ({
  name: `text: ${title}`,
  reader: 'text',
  make: text(...parts),
});

const TEXTS: readonly Large[] = [
  ofText('open parentheses', '', '('),
  ofText('closed parentheses', '', ')'),
  ofText('empty lists', '(module ', '()', ')'),
  ofText('functions', '(module ', '(func)', ')'),
  ofText('blocks in blocks', '(module (func ', '(block', '))', ')'),
  ofText('operators', '(module (func ', 'nop ', '))'),
  ofText('comments in comments', '', '(;', '', ';)'),
  ofText('a string', '(module (memory 1) (data "', '\\00', '"))'),
  ofText('types', '(module ', '(type(func))', ')'),
  ofText('unknown words', '(module ', 'x ', ')'),
  ofText('a number', '(module (global i32 (i32.const ', '0', ')))'),
  ofText('lines', '', '\n'),
];

const json = (title: string, reader: Reader, ...parts: Parameters<typeof text>): Large => ({
  name: `${reader}: ${title}`,
  reader,
  make: text(...parts),
});

const JSONS: readonly Large[] = [
  json('mappings', 'source map', '{"version":3,"sources":["a"],"names":[],"mappings":"', 'AAAA,', '"}'),
  json('lines', 'source map', '{"version":3,"sources":["a"],"names":[],"mappings":"', ';', '"}'),
  json('short mappings', 'source map', '{"version":3,"sources":["a"],"names":[],"mappings":"', 'C,', '"}'),
  json('sources', 'source map', '{"version":3,"mappings":"AAAA","names":[],"sources":["a"', ',""', ']}'),
  json('names', 'source map', '{"version":3,"mappings":"AAAA","sources":["a"],"names":["a"', ',""', ']}'),
  json('nested lists', 'source map', '{"version":3,"sources":', '[', '}', ']'),
  json('nested lists', 'bindings', '', '[', '', ']'),
  json('nested objects', 'bindings', '', '{"":', '0', '}'),
  json('a list', 'bindings', '{"env":[0', ',0', ']}'),
];

const u16 = (n: number): number[] => [n & 255, n >> 8];
const u32 = (n: number): number[] => [...u16(n & 0xffff), ...u16(n >>> 16)];
const ONE_UNIT = (() => {
  const unit = [...u16(4), ...u32(0), 4, 1, ...u32(0), 0];
  return custom('.debug_info', u32(unit.length), unit);
})();
/** 1: a unit with DW_AT_stmt_list. */
const ONE_ABBREVIATION = custom('.debug_abbrev', [1, 0x11, 0, 0x10, 0x17, 0, 0, 0]);

function dwarf(title: string, make: (size: number) => Part[]): Large {
  return {
    name: `debug information: ${title}`,
    reader: 'debug information',
    make: size => module(TYPES, ...ONE_FUNCTION, ONE_BODY, ...make(size)),
  };
}

/** A line table of version 4: what stands in its lists, and its program. */
function lines(directories: Part, files: Part, program: Part): Buffer {
  const header = bytes([
    [1, 1, 1, 0xfb, 14, 13],
    [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1],
    directories,
    [0],
    files,
    [0],
  ]);
  const table = bytes([u16(4), u32(header.length), header, program]);
  return custom('.debug_line', u32(table.length), table);
}
const FILE = [97, 0, 0, 0, 0];
/** To address 0, and behind it all the end of the sequence. */
const SEQUENCE = (program: Part): Part => bytes([[0, 5, 2], u32(0), program, [2, 8, 0, 1, 1]]);

/** A unit of version 4 with `entries` in it, and abbreviations: 1 is the unit, of which there is only the code. */
function entries(abbreviations: Part, contents: Part, root: Part = [1]): Part[] {
  const unit = bytes([u16(4), u32(0), [4], root, contents]);
  return [
    custom('.debug_info', u32(unit.length), unit),
    custom('.debug_abbrev', [1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0], abbreviations, [0]),
  ];
}
/** The unit's entry: addresses 0 to 100. */
const ROOT = [1, ...u32(0), ...u32(100)];
const FUNCTION = [2, ...u32(0), ...u32(100)];
const FUNCTION_ABBREVIATION = [2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0, 0];

const DEBUG: readonly Large[] = [
  dwarf('lines', size => [ONE_ABBREVIATION, ONE_UNIT, lines([], FILE, SEQUENCE(copies([0x20], size)))]),
  dwarf('sequences', size => [
    ONE_ABBREVIATION,
    ONE_UNIT,
    lines([], FILE, copies(Uint8Array.from(SEQUENCE([1])), Math.floor(size / 13))),
  ]),
  dwarf('files', size => [
    ONE_ABBREVIATION,
    ONE_UNIT,
    lines([], copies(FILE, Math.floor(size / 5)), SEQUENCE([1])),
  ]),
  dwarf('directories', size => [
    ONE_ABBREVIATION,
    ONE_UNIT,
    lines(copies([97, 0], size >> 1), FILE, SEQUENCE([1])),
  ]),
  dwarf('files without contents', size => {
    const header = bytes([
      [1, 1, 1, 0xfb, 14, 13],
      [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1],
      // No directory has anything; two billion of them. Files have nothing either.
      [0, ...uleb(2 ** 31), 0, ...uleb(2 ** 31)],
    ]);
    const table = bytes([u16(5), [4, 0], u32(header.length), header, SEQUENCE(copies([1], size))]);
    return [ONE_ABBREVIATION, ONE_UNIT, custom('.debug_line', u32(table.length), table)];
  }),
  dwarf('line tables', size => {
    const header = [1, 1, 1, 0xfb, 14, 1, 0, 0];
    const table = [...u16(4), ...u32(header.length), ...header];
    return [
      ONE_ABBREVIATION,
      ONE_UNIT,
      custom('.debug_line', copies([...u32(table.length), ...table], Math.floor(size / 18))),
    ];
  }),
  dwarf('units', size => {
    const unit = [...u16(4), ...u32(0), 4, 1, ...u32(0)];
    return [
      ONE_ABBREVIATION,
      custom('.debug_info', copies([...u32(unit.length), ...unit], Math.floor(size / 16))),
    ];
  }),
  dwarf('entries', size => entries([3, 0x34, 0, 0, 0], copies([3], size), ROOT)),
  dwarf('functions', size =>
    entries(FUNCTION_ABBREVIATION, copies([...FUNCTION, 0], Math.floor(size / 10)), ROOT),
  ),
  dwarf('functions in functions', size =>
    entries(FUNCTION_ABBREVIATION, copies(FUNCTION, Math.floor(size / 9)), ROOT),
  ),
  dwarf('variables', size =>
    entries(
      [...FUNCTION_ABBREVIATION, 3, 0x34, 0, 0x03, 0x08, 0, 0],
      bytes([FUNCTION, copies([3, 0], size >> 1)]),
      ROOT,
    ),
  ),
  dwarf('blocks in blocks', size =>
    entries([...FUNCTION_ABBREVIATION, 3, 0x0b, 1, 0, 0], bytes([FUNCTION, copies([3], size)]), ROOT),
  ),
  dwarf('abbreviations', size => [
    ONE_UNIT,
    custom(
      '.debug_abbrev',
      numbered(Math.floor(size / 6), i => [...uleb(i + 1), 0x11, 0, 0, 0]),
    ),
  ]),
  dwarf('entries of many attributes without contents', size =>
    entries(
      bytes([FUNCTION_ABBREVIATION, [3, 0x34, 0], copies([0x3f, 0x19], size >> 2), [0, 0]]),
      bytes([FUNCTION, copies([3], size >> 1)]),
      ROOT,
    ),
  ),
];

export const LARGE: readonly Large[] = [...MODULES, ...CODE, ...DEBUG, ...TEXTS, ...JSONS];
