import { describe, expect, it } from 'vitest';
import { EditKind, FLOAT_BASE, type RegClass, SLOT_BASE } from '../backend/mach.ts';
import { ParallelMoves, REMAT_SOURCE } from '../backend/moves.ts';
import { random } from './support/mach-gen.ts';

type Move = readonly [from: number, to: number, cls: RegClass];
const SCRATCH = SLOT_BASE + 100;

/** Executes the ordered steps on locations that hold their own names, and returns what each location then holds. */
function execute(moves: readonly Move[]): { at: Map<number, string>; steps: string[]; scratch: number } {
  const p = new ParallelMoves();
  for (const [from, to, cls] of moves) p.add(from, to, cls);
  p.resolve(SCRATCH);
  const at = new Map<number, string>();
  const read = (l: number) => at.get(l) ?? `old ${l}`;
  const steps: string[] = [];
  for (let k = 0; k < p.outCount; k++) {
    const [kind, from, to] = p.out.subarray(k * 3, k * 3 + 3);
    switch (kind & 0xff) {
      case EditKind.Move:
        steps.push(`${to}<-${from}`);
        at.set(to, read(from));
        break;
      case EditKind.Swap: {
        steps.push(`${to}<->${from}`);
        expect(Math.max(from, to)).toBeLessThan(SLOT_BASE);
        expect(from < FLOAT_BASE).toBe(to < FLOAT_BASE);
        const x = read(from);
        at.set(from, read(to));
        at.set(to, x);
        break;
      }
      default:
        steps.push(`${to}<-row ${from}`);
        expect(to).toBeLessThan(SLOT_BASE);
        at.set(to, `row ${from}`);
    }
  }
  return { at, steps, scratch: p.scratchUsed };
}

function expectParallel(moves: readonly Move[]): void {
  const { at } = execute(moves);
  const expected = new Map(
    moves.map(([from, to]) => [to, from <= REMAT_SOURCE ? `row ${REMAT_SOURCE - from}` : `old ${from}`]),
  );
  for (const [to, value] of expected) expect(at.get(to) ?? `old ${to}`).toBe(value);
  for (const [l, value] of at) if (!expected.has(l) && l < SCRATCH) expect(value).toBe(`old ${l}`);
}

describe('parallel moves', () => {
  it('orders a chain so that nothing is overwritten before it is read', () => {
    expect(
      execute([
        [0, 1, 0],
        [1, 2, 0],
        [2, SLOT_BASE, 0],
      ]).steps,
    ).toEqual(['64<-2', '2<-1', '1<-0']);
  });

  it('rotates registers by exchanges, one less than the length of the cycle', () => {
    const { steps } = execute([
      [0, 1, 0],
      [1, 2, 0],
      [2, 0, 0],
    ]);
    expect(steps).toHaveLength(2);
    expect(steps.every(s => s.includes('<->'))).toBe(true);
    expectParallel([
      [0, 1, 0],
      [1, 2, 0],
      [2, 0, 0],
    ]);
    expectParallel([
      [32, 33, 1],
      [33, 34, 1],
      [34, 32, 2],
      [5, 6, 0],
      [6, 5, 0],
    ]);
  });

  it('exchanges vectors whole when only one move of the cycle is of a vector', () => {
    const p = new ParallelMoves();
    p.add(32, 33, 1);
    p.add(33, 32, 2);
    p.resolve(SCRATCH);
    expect([...p.out.subarray(0, 3)]).toEqual([
      EditKind.Swap | (2 << 8),
      expect.anything(),
      expect.anything(),
    ]);
  });

  it('parks one value of a cycle that touches memory', () => {
    const { steps, scratch } = execute([
      [0, 64, 0],
      [64, 0, 0],
    ]);
    expect(steps).toHaveLength(3);
    expect(scratch).toBe(1);
    expectParallel([
      [0, 64, 0],
      [64, 0, 0],
    ]);
    expectParallel([
      [65, 64, 0],
      [64, 65, 0],
    ]);
    expectParallel([
      [32, 64, 1],
      [64, 33, 1],
      [33, 65, 1],
      [65, 32, 1],
    ]);
    expect(
      execute([
        [66, 68, 2],
        [68, 66, 2],
      ]).scratch,
    ).toBe(2);
    expect(
      execute([
        [0, 1, 0],
        [64, 0, 0],
      ]).scratch,
    ).toBe(0);
  });

  it('serves several targets from one source, also from within a cycle', () => {
    expectParallel([
      [0, 1, 0],
      [1, 0, 0],
      [0, 2, 0],
      [0, 64, 0],
      [1, 65, 0],
    ]);
  });

  it('rematerialises only after the old value has been read', () => {
    expect(
      execute([
        [0, 1, 0],
        [REMAT_SOURCE - 7, 0, 0],
      ]).steps,
    ).toEqual(['1<-0', '0<-row 7']);
  });

  it('drops moves in place and repeated moves, and refuses two values for one target', () => {
    expect(
      execute([
        [3, 3, 0],
        [1, 2, 0],
        [1, 2, 0],
      ]).steps,
    ).toEqual(['2<-1']);
    const p = new ParallelMoves();
    p.add(1, 2, 0);
    expect(() => p.add(3, 2, 0)).toThrow(/two values/);
  });

  it('does what it should for random moves, with one object throughout', () => {
    for (let seed = 0; seed < 3000; seed++) {
      const rand = random(seed);
      const moves: Move[] = [];
      for (const [base, cls] of [
        [0, 0],
        [FLOAT_BASE, 1],
      ] as const) {
        const n = 1 + (rand() % 6);
        // Slots of the two classes are distinct here, as the classes of places are.
        const places = Array.from({ length: n }, (_, k) =>
          rand() % 3 === 0 ? SLOT_BASE + base + k : base + k,
        );
        for (const to of places) {
          if (rand() % 4 === 0) continue;
          const remat = to < SLOT_BASE && rand() % 8 === 0;
          moves.push([remat ? REMAT_SOURCE - (rand() % 9) : places[rand() % n], to, cls]);
        }
      }
      expectParallel(moves);
    }
  });
});
