/**
 * Filetests of the optimiser: filetests/opt/*.ir hold cases of input and expected output.
 *
 *     === name-of-the-case [level=2]
 *     func …            input
 *     ---
 *     func …            output
 *     ; rule=times …    what fired
 *
 * BLESS=1 writes what comes out as what is expected; look at the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseFunc } from '../ir/text-parse.ts';
import { printFunc } from '../ir/text-print.ts';
import { verify } from '../ir/verify.ts';
import { optimize } from '../opt/pipeline.ts';

const directory = join(import.meta.dirname, 'filetests', 'opt');
const bless = process.env.BLESS === '1';

interface Case {
  readonly head: string;
  readonly name: string;
  readonly level: 1 | 2;
  readonly input: string;
  readonly expected: string;
}

/** The text before the first case, and the cases. */
function readCases(text: string): [string, Case[]] {
  const [intro = '', ...parts] = text.split(/^=== /m);
  const cases = parts.map(part => {
    const end = part.indexOf('\n');
    const head = part.slice(0, end).trim();
    const [name = '', level] = head.split(' ');
    const [input = '', expected = ''] = part.slice(end + 1).split(/^---\n/m);
    return { head, name, level: level === 'level=2' ? 2 : 1, input, expected: expected.trimEnd() } as const;
  });
  return [intro, cases];
}

function transform(c: Case): string {
  const f = parseFunc(c.input);
  verify(f);
  const counters: Record<string, number> = {};
  optimize(f, c.level, counters, { after: (_, g) => verify(g), importedMemories: 0 });
  const fired = Object.entries(counters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, n]) => ` ${name}=${n}`)
    .join('');
  return `${printFunc(f)};${fired}`;
}

for (const file of readdirSync(directory).filter(name => name.endsWith('.ir'))) {
  const path = join(directory, file);
  const [intro, cases] = readCases(readFileSync(path, 'utf8'));
  describe(file, () => {
    it('has cases with names of their own', () => {
      expect(cases.length).toBeGreaterThan(0);
      expect(new Set(cases.map(c => c.name)).size).toBe(cases.length);
    });
    if (bless) {
      it('is blessed', () => {
        const out = cases.map(c => `=== ${c.head}\n${c.input.trim()}\n---\n${transform(c)}\n`);
        writeFileSync(path, intro + out.join('\n'));
      });
      return;
    }
    it.each(cases.map(c => [c.name, c] as const))('%s', (_, c) => {
      expect(transform(c)).toBe(c.expected);
    });
  });
}
