/**
 * Filetests of what is decided outside of the optimiser, from module to machine code: filetests/code/*.wat hold cases
 * of a module and what becomes of its first defined function.
 *
 *     === name-of-the-case [level=2] [memory=dense]
 *     (module …)
 *     ---
 *     …                 its calls, jumps and comparisons
 *     ; rule=times …    what fired in the whole module, of the rules in RULES
 *
 * BLESS=1 writes what comes out as what is expected; look at the difference before you keep it.
 */
import { join } from 'node:path';
import { compileModule, defaultOptions } from '../index.ts';
import { decodeModule } from '../wasm/decode.ts';
import { type FileCase, filetests } from './support/filetests.ts';
import { wat } from './support/wasm.ts';
import { disassemble } from './support/x64.ts';

const directory = join(import.meta.dirname, 'filetests', 'code');
const RULES = [
  'bounds-check',
  'branch-moves',
  'call-constant',
  'call-image',
  'call-single',
  'copy-inline',
  'dispatch-copy',
  'fill-inline',
  'flags',
];

async function transform(c: FileCase): Promise<string> {
  const module = decodeModule(await wat(c.input));
  const options = defaultOptions({
    optLevel: c.flags.includes('level=0') ? 0 : c.flags.includes('level=1') ? 1 : 2,
    memory: c.flags.includes('memory=dense') ? 'dense' : 'guarded',
    verify: true,
  });
  const { funcs, counters } = compileModule(module, options);
  const lines = disassemble(funcs[module.importedFunctions]!.code)
    // Where a jump leads is the business of others.
    .filter(line => /^(call|cmp|test|ucomis[sd]|j\w+|hlt|ret)\b/.test(line))
    .map(line => line.replace(/^(j\w+|call) (0x)?[0-9a-f]+$/, '$1'));
  const fired = RULES.filter(rule => counters[rule]).map(rule => ` ${rule}=${counters[rule]}`);
  return `${lines.join('\n')}\n;${fired.join('')}`;
}

filetests(directory, '.wat', transform);
