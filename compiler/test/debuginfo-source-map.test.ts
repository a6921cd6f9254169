/**
 * Source maps as debug information: those of AssemblyScript's kind, and broken ones, of which only warnings may come.
 */
import { expect, it } from 'vitest';
import { openSourceMap } from '../debuginfo/source-map.ts';

const CODE_START = 10;
const open = (map: unknown) =>
  openSourceMap(JSON.stringify(map), CODE_START, source =>
    source.startsWith('~') ? source : `/src/${source}`,
  );

it('tells lines, files and places', () => {
  // Byte 12 of the module is line 3, column 5 of a.ts; byte 20 line 4, column 1 of the library.
  const info = open({ version: 3, sources: ['a.ts', '~lib/rt.ts'], names: [], mappings: 'YAEI,QCCJ' });
  expect(info.warnings).toEqual([]);
  expect(info.files).toEqual(['/src/a.ts', '~lib/rt.ts']);
  expect(info.lookup(1)).toBeNull();
  expect(info.lookup(2)).toEqual({ file: '/src/a.ts', line: 3, column: 5 });
  expect(info.lookup(9)).toEqual({ file: '/src/a.ts', line: 3, column: 5 });
  expect(info.lookup(10)).toEqual({ file: '~lib/rt.ts', line: 4, column: 1 });
  expect(info.positions('/src/a.ts')).toEqual([{ line: 3, column: 5, codeOffset: 2 }]);
});

/** What must never be in a line: it would act on the terminal that a trap is shown on. */
const EVIL = '\u001b]0;title\u0007';

it.each([
  ['no object', null],
  ['a list', []],
  ['another version', { version: 2, sources: ['a'], mappings: 'AAAA' }],
  ['sources that are no names', { version: 3, sources: [1], mappings: 'AAAA' }],
  ['sources that are objects', { version: 3, sources: [{}], mappings: 'AAAA' }],
  ['sources that are text', { version: 3, sources: 'a', mappings: 'AAAA' }],
  ['a root that is no name', { version: 3, sources: ['a'], sourceRoot: 5, mappings: 'AAAA' }],
  ['no mappings', { version: 3, sources: ['a'] }],
  ['mappings in decoded form', { version: 3, sources: ['a'], mappings: [[[0, 0, EVIL, 0]]] }],
  ['sections', { version: 3, sections: [] }],
])('%s: a warning', (_, map) => {
  const info = open(map);
  expect(info.warnings).toHaveLength(1);
  expect(info.lookup(0)).toBeNull();
  expect(info.files).toEqual([]);
  expect(info.bodyStart(3)).toBe(3);
});

it.each(['A9999B', 'AZZZ', 'ggggggggggggggggggggggB', '\u0000\u00ff', ';;;;', 'AAAA,CADA', ',,'])(
  'mappings %j: positions are numbers, or there are none',
  mappings => {
    const info = open({ version: 3, sources: ['a'], mappings });
    for (let at = -CODE_START; at < 50; at++) {
      const found = info.lookup(at);
      if (found === null) continue;
      expect(Number.isInteger(found.line) && found.line >= 1).toBe(true);
      expect(Number.isInteger(found.column) && found.column >= 1).toBe(true);
    }
    for (const file of info.files) info.positions(file);
  },
);
