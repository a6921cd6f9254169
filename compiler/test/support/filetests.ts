/**
 * Files of cases, each with its input and what is expected of it: `=== name flags…`, the input, `---`, the output.
 * BLESS=1 writes what comes out as what is expected.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

export interface FileCase {
  readonly head: string;
  readonly name: string;
  readonly flags: readonly string[];
  readonly input: string;
  readonly expected: string;
}

const bless = process.env.BLESS === '1';

/** The text before the first case, and the cases. */
function readCases(text: string): [string, FileCase[]] {
  const [intro = '', ...parts] = text.split(/^=== /m);
  const cases = parts.map(part => {
    const end = part.indexOf('\n');
    const head = part.slice(0, end).trim();
    const [name = '', ...flags] = head.split(' ');
    const [input = '', expected = ''] = part.slice(end + 1).split(/^---\n/m);
    return { head, name, flags, input, expected: expected.trimEnd() };
  });
  return [intro, cases];
}

/** Defines a test for each case of the files in a folder. */
export function filetests(
  directory: string,
  extension: string,
  transform: (c: FileCase) => string | Promise<string>,
): void {
  for (const file of readdirSync(directory).filter(name => name.endsWith(extension))) {
    const path = join(directory, file);
    const [intro, cases] = readCases(readFileSync(path, 'utf8'));
    describe(file, () => {
      it('has cases with names of their own', () => {
        expect(cases.length).toBeGreaterThan(0);
        expect(new Set(cases.map(c => c.name)).size).toBe(cases.length);
      });
      if (bless) {
        it('is blessed', async () => {
          let out = '';
          for (const c of cases) out += `\n=== ${c.head}\n${c.input.trim()}\n---\n${await transform(c)}\n`;
          writeFileSync(path, `${intro.trimEnd()}\n${out}`);
        });
        return;
      }
      it.each(cases.map(c => [c.name, c] as const))('%s', async (_, c) => {
        expect(await transform(c)).toBe(c.expected);
      });
    });
  }
}
