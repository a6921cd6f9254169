/** The official suite: which modules are accepted, which are rejected, and as what. */
import { describe, expect, it } from 'vitest';
import { CompileError } from '../diagnostics.ts';
import { decodeModule } from '../wasm/decode.ts';
import { validateFunction } from '../wasm/lower.ts';
import { decodeAndLower } from './support/lower-all.ts';
import { CORE_GROUPS, moduleBytes, type SpecCommand, scripts, suitePresent } from './support/spec-suite.ts';

/** Kind and message of the rejection; null if the module is accepted. */
function rejection(bytes: Uint8Array): CompileError | null {
  try {
    decodeAndLower(bytes);
    return null;
  } catch (e) {
    if (e instanceof CompileError) return e;
    throw e;
  }
}

function validates(bytes: Uint8Array): boolean {
  try {
    const module = decodeModule(bytes);
    for (let i = module.importedFunctions; i < module.functions.length; i++) validateFunction(module, i);
    return true;
  } catch (e) {
    if (e instanceof CompileError) return false;
    throw e;
  }
}

/** What makes modules of the core groups valid that older editions of the specification reject. */
const LATER_EDITIONS: ReadonlySet<string> = new Set(['gc', 'multi-memory']);

function verdict(c: SpecCommand): string | null {
  const bytes = moduleBytes(c);
  const e = rejection(bytes);
  if (validates(bytes) !== (e === null)) return 'validateFunction and lowerFunction disagree';
  const found = e ? e.describe() : 'accepted';
  switch (c.type) {
    case 'assert_invalid':
    case 'assert_malformed': {
      const expected = c.type === 'assert_invalid' ? 'invalid' : 'malformed';
      if (c.valid_with?.every(f => LATER_EDITIONS.has(f))) return e === null ? null : found;
      if (e?.kind === expected) return null;
      return `${found}; should be ${expected}: ${c.text}`;
    }
    default:
      return e === null ? null : found;
  }
}

describe.runIf(suitePresent)('official suite', () => {
  for (const group of [...CORE_GROUPS, 'simd']) {
    it(`${group}: every binary module is accepted or rejected rightly`, () => {
      let count = 0;
      const wrong: string[] = [];
      for (const script of scripts(group)) {
        for (const c of script.commands) {
          if (c.module_type !== 'binary') continue;
          count++;
          const problem = verdict(c);
          if (problem) wrong.push(`${script.name}:${c.line}: ${problem}`);
        }
      }
      expect(wrong).toEqual([]);
      expect(count).toBeGreaterThan(300);
    });
  }

  it('messages begin as in the suite', () => {
    let same = 0;
    let count = 0;
    for (const script of scripts('mvp-and-2.0')) {
      for (const c of script.commands) {
        if (c.module_type !== 'binary' || !/^assert_(invalid|malformed)$/.test(c.type)) continue;
        const e = rejection(moduleBytes(c));
        if (!e || e.kind === 'unsupported') continue;
        count++;
        if (e.message.startsWith(c.text!)) same++;
      }
    }
    // The rest: two things are wrong, and we find the other one first.
    expect(count).toBeGreaterThan(2000);
    expect(same / count).toBeGreaterThan(0.98);
  });
});
