/**
 * Debug information that a module says is elsewhere: what it names is read only if it is a plain file, and whatever it
 * names only gives warnings.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { formatTrap } from '../lucet-wasi-report.ts';
import { openSymbols } from '../symbols.ts';
import type { TrapReport } from '../trap-report.ts';
import { body, exportEntry, functionType, KIND, moduleBytes, name, uleb } from '../wasm-writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'lucet-symbols-'));
const path = (file: string): string => join(folder, file);
execFileSync('mkfifo', [path('fifo')]);
const MAP = JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA' });
writeFileSync(path('a.map'), MAP);
afterAll(() => rmSync(folder, { recursive: true }));

const MODULE = moduleBytes({
  type: [functionType([], [])],
  function: [uleb(0)],
  export: [exportEntry('f', KIND.func, 0)],
  code: [body([], [0x00])],
});

/** A compiled module with a custom section that holds a name. */
function symbols(section: string, text: string) {
  const contents = [...name(section), ...name(text)];
  const bytes = compile(Uint8Array.from([...MODULE, 0, ...uleb(contents.length), ...contents]));
  return openSymbols({ bytes, path: null, hash: '' }, { folder })!;
}

it.each([
  'a.map',
  `data:application/json;base64,${Buffer.from(MAP).toString('base64')}`,
  `data:application/json,${encodeURIComponent(MAP)}`,
])('a source map in %.40s', url => {
  const { debug, warnings } = symbols('sourceMappingURL', url);
  expect(warnings).toEqual([]);
  expect(debug?.files).toEqual([path('a.ts')]);
});

it.each([
  'none.map',
  'fifo',
  '.',
  '/dev/zero',
  '/proc/self/environ',
  '/proc/self/root/dev/null',
  'file://elsewhere/a.map',
  'file:///%00',
  'https://example.org/a.map',
  'data:application/json,%',
  'data:',
  '\0',
])('%j: no debug information, and a warning', url => {
  for (const section of ['sourceMappingURL', 'external_debug_info']) {
    if (section === 'external_debug_info' && url.startsWith('data:')) continue;
    const { debug, warnings } = symbols(section, url);
    expect(debug).toBeNull();
    expect(warnings.length).toBe(url === 'data:' ? 0 : 1);
  }
});

it('a trap quotes lines of plain files only', () => {
  writeFileSync(path('a.c'), 'first\nsecond\n');
  const quoted = (file: string): string =>
    formatTrap(
      {
        kind: 'trap',
        code: 'Unreachable',
        message: '',
        explanation: '',
        userFrame: null,
        source: { file, line: 1, column: 0 },
        frames: [],
        totalFrames: 0,
      } as unknown as TrapReport,
      { color: false, full: false },
    );
  expect(quoted(path('a.c'))).toContain('1 | first');
  for (const file of [
    path('fifo'),
    '/dev/tty',
    '/dev/zero',
    '/proc/self/environ',
    '/proc/self/status',
    folder,
  ])
    expect(quoted(file)).not.toContain('|');
});
