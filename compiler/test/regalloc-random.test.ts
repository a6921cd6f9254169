import { describe, expect, it } from 'vitest';
import { checkAllocation } from '../backend/checker.ts';
import type { RegSet } from '../backend/mach.ts';
import { allocate } from '../backend/regalloc.ts';
import { X64_REGS } from '../backend/x64/regs.ts';
import { generate, random, regSet, runAllocated, runVirtual, show } from './support/mach-gen.ts';

const SETS: [string, RegSet][] = [
  ['3 registers, all caller-saved', regSet(3, 0)],
  ['3 registers, 1 callee-saved', regSet(3, 1)],
  ['6 registers, 3 callee-saved', regSet(6, 3)],
  ['x86-64', X64_REGS],
];

describe.each(SETS)('random functions, %s', (_, regs) => {
  it.each([
    { functions: 250, blocks: 1, length: 12, shuffle: false, level: 1 },
    { functions: 250, blocks: 8, length: 8, shuffle: false, level: 1 },
    { functions: 150, blocks: 8, length: 6, shuffle: true, level: 1 },
    { functions: 80, blocks: 8, length: 8, shuffle: false, level: 0 },
    { functions: 20, blocks: 30, length: 20, shuffle: false, level: 2 },
  ] as const)('$functions of up to $blocks blocks of $length (shuffled: $shuffle, level $level)', t => {
    let early = 0;
    for (let seed = 0; seed < t.functions; seed++) {
      const m = generate(random(seed * 31 + t.blocks), {
        regs,
        blocks: t.blocks,
        length: t.length,
        shuffle: t.shuffle,
      });
      const meaning = runVirtual(m, 300);
      try {
        // A small budget makes some vregs live in memory for good.
        early += allocate(m, regs, {
          level: t.level,
          eager: seed % 2 === 1,
          ...(seed % 5 === 4 ? { explorationBudget: 20 } : {}),
          // As in functions of a megabyte, where the scan assumes obstacles where it has stopped to look.
          ...(seed % 3 === 2 ? { maxSteps: seed % 7 } : {}),
        });
        checkAllocation(m, regs);
        expect(runAllocated(m, 300)).toBe(meaning);
      } catch (e) {
        throw new Error(
          `seed ${seed}: ${e instanceof Error ? e.stack : e}\n${t.length <= 12 ? show(m, regs) : ''}`,
        );
      }
    }
    // Moves that stand in front of a branch are among what is tested.
    if (t.blocks > 1) expect(early).toBeGreaterThan(0);
  });
});
