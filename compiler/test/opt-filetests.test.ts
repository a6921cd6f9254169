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
import { join } from 'node:path';
import { parseFunc } from '../ir/text-parse.ts';
import { printFunc } from '../ir/text-print.ts';
import { verify } from '../ir/verify.ts';
import { optimize } from '../opt/pipeline.ts';
import { type FileCase, filetests } from './support/filetests.ts';

const directory = join(import.meta.dirname, 'filetests', 'opt');

function transform(c: FileCase): string {
  const f = parseFunc(c.input);
  verify(f);
  const counters: Record<string, number> = {};
  optimize(f, c.flags.includes('level=2') ? 2 : 1, counters, {
    after: (_, g) => verify(g),
    importedMemories: 0,
  });
  const fired = Object.entries(counters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, n]) => ` ${name}=${n}`)
    .join('');
  return `${printFunc(f)};${fired}`;
}

filetests(directory, '.ir', transform);
