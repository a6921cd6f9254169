/**
 * Filetests of what is decided outside of the optimiser, from module to machine code: filetests/code/*.wat hold cases of a module and what
 * becomes of its first defined function.
 *
 *     === name-of-the-case [level=2] [memory=dense]
 *     (module …)
 *     ---
 *     …                 its calls, jumps and comparisons
 *     ; rule=times …    what fired in the whole module, of the rules in RULES
 *
 * BLESS=1 writes what comes out as what is expected; look at the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileModule, defaultOptions } from '../index.ts';
import { decodeModule } from '../wasm/decode.ts';
import { wat } from './support/wasm.ts';
import { disassemble } from './support/x64.ts';

const directory = join(import.meta.dirname, 'filetests', 'code');
const bless = process.env.BLESS === '1';
const RULES = ['bounds-check', 'call-constant', 'call-image', 'call-single', 'dispatch-copy'];

interface Case {
  readonly head: string;
  readonly name: string;
  readonly flags: readonly string[];
  readonly input: string;
  readonly expected: string;
}

function readCases(text: string): [string, Case[]] {
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

async function transform(c: Case): Promise<string> {
  const module = decodeModule(await wat(c.input));
  const options = defaultOptions({
    optLevel: c.flags.includes('level=0') ? 0 : c.flags.includes('level=1') ? 1 : 2,
    memory: c.flags.includes('memory=dense') ? 'dense' : 'guarded',
    verify: true,
  });
  const { funcs, counters } = compileModule(module, options);
  const lines = disassemble(funcs[module.importedFunctions]!.code)
    // Where a jump leads is the business of others.
    .filter(line => /^(call|cmp|j\w+|hlt|ret)\b/.test(line))
    .map(line => line.replace(/^(j\w+|call) (0x)?[0-9a-f]+$/, '$1'));
  const fired = RULES.filter(rule => counters[rule]).map(rule => ` ${rule}=${counters[rule]}`);
  return `${lines.join('\n')}\n;${fired.join('')}`;
}

for (const file of readdirSync(directory).filter(name => name.endsWith('.wat'))) {
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
