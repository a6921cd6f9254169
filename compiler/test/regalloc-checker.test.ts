/** The checker must notice when an allocation is damaged; otherwise the tests that rely on it prove nothing. */
import { describe, expect, it } from 'vitest';
import { checkAllocation } from '../backend/checker.ts';
import {
  EDIT,
  EditKind,
  fixed,
  M_FLAGS,
  M_OPD,
  M_OPDS,
  MachFunc,
  MFlag,
  MROW,
  Opd,
  RegClass,
  type RegSet,
  reuse,
  SLOT_BASE,
} from '../backend/mach.ts';
import { allocate } from '../backend/regalloc.ts';
import { generate, random, regSet, runAllocated, runVirtual } from './support/mach-gen.ts';

const REGS = regSet(4, 1);

interface Damage {
  readonly name: string;
  /** Damages the allocation; false when there was nothing to damage. */
  readonly apply: (m: MachFunc, pick: (n: number) => number) => boolean;
}

const DAMAGES: Damage[] = [
  {
    name: 'an edit dropped',
    apply: (m, pick) => {
      if (m.editCount === 0) return false;
      const e = pick(m.editCount);
      m.edits.copyWithin(e * EDIT, (e + 1) * EDIT, m.editCount * EDIT);
      m.editCount--;
      return true;
    },
  },
  {
    name: 'two neighbouring edits of one place exchanged',
    apply: (m, pick) => {
      const at: number[] = [];
      for (let e = 0; e + 1 < m.editCount; e++) {
        const a = m.edits.subarray(e * EDIT, e * EDIT + 2 * EDIT);
        // Only when one reads what the other writes does the order matter.
        if (
          a[0] === a[4] &&
          (a[3] === a[6] || a[2] === a[7]) &&
          (a[1] & 0xff) === EditKind.Move &&
          (a[5] & 0xff) === EditKind.Move
        )
          at.push(e);
      }
      if (at.length === 0) return false;
      const e = at[pick(at.length)];
      const copy = m.edits.slice(e * EDIT, e * EDIT + EDIT);
      m.edits.copyWithin(e * EDIT, (e + 1) * EDIT, (e + 2) * EDIT);
      m.edits.set(copy, (e + 1) * EDIT);
      return true;
    },
  },
  {
    name: 'an operand in another register',
    apply: (m, pick) => {
      if (m.operandCount === 0) return false;
      const o = pick(m.operandCount);
      const a = m.allocs[o];
      if (a >= SLOT_BASE) m.allocs[o] = SLOT_BASE + ((a - SLOT_BASE + 1) % Math.max(2, m.spillSlots));
      else m.allocs[o] = (a & ~31) | (((a & 31) + 1) % 4);
      return true;
    },
  },
  {
    name: 'an edit with another source',
    apply: (m, pick) => {
      if (m.editCount === 0) return false;
      const e = pick(m.editCount);
      const from = m.edits[e * EDIT + 2];
      if ((m.edits[e * EDIT + 1] & 0xff) !== EditKind.Move || from >= SLOT_BASE) return false;
      m.edits[e * EDIT + 2] = (from & ~31) | (((from & 31) + 1) % 4);
      return m.edits[e * EDIT + 2] !== m.edits[e * EDIT + 3];
    },
  },
  {
    name: 'an edit with another target',
    apply: (m, pick) => {
      if (m.editCount === 0) return false;
      const e = pick(m.editCount);
      const to = m.edits[e * EDIT + 3];
      if (to >= SLOT_BASE)
        m.edits[e * EDIT + 3] = SLOT_BASE + ((to - SLOT_BASE + 1) % Math.max(2, m.spillSlots));
      else m.edits[e * EDIT + 3] = (to & ~31) | (((to & 31) + 1) % 4);
      return true;
    },
  },
];

/** What the damage made of the function: seen by running it, whichever way its branches go in `steps` steps. */
function differs(m: MachFunc, meaning: number): boolean {
  try {
    return runAllocated(m, 400) !== meaning;
  } catch {
    return true;
  }
}

function accepted(m: MachFunc, regs: RegSet = REGS): boolean {
  try {
    checkAllocation(m, regs);
    return true;
  } catch (e) {
    expect(String(e)).toMatch(/register allocation/);
    return false;
  }
}

describe.each(DAMAGES)('checker: $name', ({ apply }) => {
  it('is refused whenever it changes what the function computes', () => {
    let applied = 0;
    let refused = 0;
    let wrong = 0;
    for (let seed = 0; seed < 500; seed++) {
      const rand = random(seed);
      const m = generate(rand, { regs: REGS, blocks: 5, length: 8, shuffle: false });
      const meaning = runVirtual(m, 400);
      allocate(m, REGS);
      if (!apply(m, n => rand() % n)) continue;
      applied++;
      const ok = accepted(m);
      if (!ok) refused++;
      if (differs(m, meaning)) {
        wrong++;
        if (ok) throw new Error(`seed ${seed}: damage went unnoticed`);
      }
    }
    expect(applied).toBeGreaterThan(50);
    expect(wrong).toBeGreaterThan(20);
    expect(refused).toBeGreaterThanOrEqual(wrong);
  });
});

/** v0 = op(); v1 = op(v0, v0); ret v1 — with room for one wrong allocation. */
function tiny(build: (m: MachFunc) => void, allocs: number[], slots = 0): MachFunc {
  const m = new MachFunc();
  m.clobberSets.push([0b11, 0]);
  build(m);
  m.blockCount = 1;
  m.blockStart = new Int32Array([0, m.count]);
  m.succStart = [0, 0];
  m.edgeArgStart = [0];
  m.blockParams = [[]];
  m.loopDepth = [0];
  m.cold = [false];
  m.allocs = new Int32Array(allocs);
  m.spillSlots = slots;
  m.usedRegs = [0xf, 0xf];
  return m;
}

describe('checker: constraints', () => {
  const cases: [string, MachFunc, RegExp | null][] = [
    [
      'a late result shares the register of an input',
      tiny(
        m => {
          const [a, b] = [m.newVreg(RegClass.Int), m.newVreg(RegClass.Int)];
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.inst(0, 0);
          m.opd(a, Opd.Use);
          m.opd(b, Opd.Def);
        },
        [0, 0, 0],
      ),
      null,
    ],
    [
      'an early result does not',
      tiny(
        m => {
          const [a, b] = [m.newVreg(RegClass.Int), m.newVreg(RegClass.Int)];
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.inst(0, 0);
          m.opd(a, Opd.Use);
          m.opd(b, Opd.Def | Opd.Cross);
        },
        [0, 0, 0],
      ),
      /both in r0/,
    ],
    [
      'nor does an input that crosses',
      tiny(
        m => {
          const [a, b] = [m.newVreg(RegClass.Int), m.newVreg(RegClass.Int)];
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.inst(0, 0);
          m.opd(a, Opd.Cross);
          m.opd(b, Opd.Def);
        },
        [0, 0, 0],
      ),
      /both in r0/,
    ],
    [
      'two results in one register',
      tiny(
        m => {
          const [a, b] = [m.newVreg(RegClass.Int), m.newVreg(RegClass.Int)];
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.opd(b, Opd.Def);
        },
        [0, 0],
      ),
      /both in r0/,
    ],
    [
      'a reused register that is another input, too',
      tiny(
        m => {
          const [a, b, c] = [m.newVreg(RegClass.Int), m.newVreg(RegClass.Int), m.newVreg(RegClass.Int)];
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.opd(b, Opd.Def);
          m.inst(0, 0);
          m.opd(a, Opd.Use);
          m.opd(b, Opd.Use);
          m.opd(c, reuse(1));
        },
        [0, 1, 0, 1, 0],
      ),
      /must reuse r1/,
    ],
    [
      'a fixed operand elsewhere',
      tiny(
        m => {
          const a = m.newVreg(RegClass.Int);
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.inst(0, 0);
          m.opd(a, fixed(1));
        },
        [0, 0],
      ),
      /must be in r1/,
    ],
    [
      'a register operand in a slot',
      tiny(
        m => {
          m.inst(0, 0);
          m.opd(m.newVreg(RegClass.Int), Opd.Def);
        },
        [SLOT_BASE],
        1,
      ),
      /must be in a register/,
    ],
    [
      'a float in an integer register',
      tiny(
        m => {
          m.inst(0, 0);
          m.opd(m.newVreg(RegClass.Float), Opd.Def);
        },
        [0],
      ),
      /wrong class/,
    ],
    [
      'a register that is not for allocation',
      tiny(
        m => {
          m.inst(0, 0);
          m.opd(m.newVreg(RegClass.Int), Opd.Def);
        },
        [9],
      ),
      /not for allocation/,
    ],
    [
      'a value in a register that a call clobbers',
      tiny(
        m => {
          const a = m.newVreg(RegClass.Int);
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.inst(0, MFlag.Call | (1 << 16));
          m.inst(0, 0);
          m.opd(a, Opd.Use);
        },
        [0, 0],
      ),
      /holds nothing known/,
    ],
    [
      'a value in a register that survives the call',
      tiny(
        m => {
          const a = m.newVreg(RegClass.Int);
          m.inst(0, 0);
          m.opd(a, Opd.Def);
          m.inst(0, MFlag.Call | (1 << 16));
          m.inst(0, 0);
          m.opd(a, Opd.Use);
        },
        [2, 2],
      ),
      null,
    ],
    [
      'a vector in an odd slot',
      tiny(
        m => {
          m.inst(0, 0);
          m.opd(m.newVreg(RegClass.Vec), Opd.Def | Opd.Any);
        },
        [SLOT_BASE + 1],
        4,
      ),
      /can't hold a vector/,
    ],
    [
      'a vector whose second half was overwritten',
      tiny(
        m => {
          const [a, b] = [m.newVreg(RegClass.Vec), m.newVreg(RegClass.Int)];
          m.inst(0, 0);
          m.opd(a, Opd.Def | Opd.Any);
          m.inst(0, 0);
          m.opd(b, Opd.Def | Opd.Any);
          m.inst(0, 0);
          m.opd(a, Opd.Any);
        },
        [SLOT_BASE, SLOT_BASE + 1, SLOT_BASE],
        2,
      ),
      /holds nothing known/,
    ],
  ];
  it.each(cases)('%s', (_, m, message) => {
    if (message === null) checkAllocation(m, REGS);
    else expect(() => checkAllocation(m, REGS)).toThrow(message);
  });

  it('a register that is written must be among the used ones', () => {
    const m = generate(random(3), { regs: REGS, blocks: 3, length: 5, shuffle: false });
    allocate(m, REGS);
    const used = m.usedRegs[0];
    for (let bits = used; bits !== 0; bits &= bits - 1) {
      m.usedRegs = [used & ~(bits & -bits), m.usedRegs[1]];
      expect(() => checkAllocation(m, REGS)).toThrow(/not among the used/);
    }
  });

  it('a rematerialised row must be rematerialisable', () => {
    for (let seed = 0, found = 0; found < 5; seed++) {
      const m = generate(random(seed), { regs: REGS, blocks: 5, length: 8, shuffle: false });
      allocate(m, REGS);
      for (let e = 0; e < m.editCount; e++) {
        if ((m.edits[e * EDIT + 1] & 0xff) !== EditKind.Remat) continue;
        const row = m.edits[e * EDIT + 2];
        expect(m.insts[row * MROW + M_OPDS]).toBe(1);
        expect(m.insts[row * MROW + M_OPD]).toBeLessThan(m.operandCount);
        m.insts[row * MROW + M_FLAGS] = 0;
        expect(() => checkAllocation(m, REGS)).toThrow(/can't be rematerialised/);
        found++;
        break;
      }
    }
  });
});
