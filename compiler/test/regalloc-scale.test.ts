/** Allocation time must grow about linearly with the size of the function, whatever its shape. */
import { describe, expect, it } from 'vitest';
import { checkAllocation } from '../backend/checker.ts';
import { fixed, MachFunc, MFlag, Opd, RegClass, reuse } from '../backend/mach.ts';
import { allocate } from '../backend/regalloc.ts';
import { X64_REGS } from '../backend/x64/regs.ts';
import { random } from './support/mach-gen.ts';

/** Writes blocks in layout order. */
class Writer {
  readonly m = new MachFunc();
  private readonly starts: number[] = [];

  constructor() {
    this.m.clobberSets.push([X64_REGS.allocatable[0] & ~X64_REGS.calleeSaved[0], X64_REGS.allocatable[1]]);
  }
  int(): number {
    return this.m.newVreg(RegClass.Int);
  }
  block(params: number[], depth: number): void {
    this.starts.push(this.m.count);
    this.m.blockParams.push(params);
    this.m.loopDepth.push(depth);
    this.m.cold.push(false);
  }
  inst(operands: [number, number][], flags = 0): void {
    this.m.inst(0, flags);
    for (const [v, f] of operands) this.m.opd(v, f);
  }
  end(edges: [target: number, args: number[]][], use = -1): void {
    const { m } = this;
    this.inst(use >= 0 ? [[use, Opd.Use]] : [], edges.length === 0 ? MFlag.Ret : MFlag.Branch);
    m.succStart.push(m.edgeTarget.length);
    for (const [target, args] of edges) {
      m.edgeTarget.push(target);
      m.edgeArgStart.push(m.edgeArgs.length);
      m.edgeArgs.push(...args);
    }
  }
  get next(): number {
    return this.starts.length;
  }
  finish(): MachFunc {
    const { m } = this;
    m.succStart.push(m.edgeTarget.length);
    m.edgeArgStart.push(m.edgeArgs.length);
    m.blockCount = this.starts.length;
    m.blockStart = new Int32Array([...this.starts, m.count]);
    return m;
  }
}

/** Loops in a row, each with a diamond and a call now and then, over values of which some live long. */
function loops(rows: number): MachFunc {
  const w = new Writer();
  const rand = random(7);
  const long: number[] = [];
  w.block([], 0);
  for (let k = 0; k < 20; k++) {
    long.push(w.int());
    w.inst([[long[k], Opd.Def]]);
  }
  while (w.m.count < rows) {
    const header = w.next;
    w.end([[header, [long[rand() % long.length], long[rand() % long.length]]]]);
    const [i, s] = [w.int(), w.int()];
    w.block([i, s], 1);
    const temps = [i, s];
    const some = () => temps[temps.length - 1 - (rand() % Math.min(6, temps.length))];
    const work = () => {
      for (let k = 0; k < 10; k++) {
        const d = w.int();
        w.inst([
          [some(), Opd.Use],
          [rand() % 4 === 0 ? long[rand() % long.length] : some(), Opd.Any],
          [d, reuse(0)],
        ]);
        temps.push(d);
      }
    };
    work();
    // header -> then | else -> join -> header (through a block of its own) | next
    w.end(
      [
        [header + 1, []],
        [header + 2, []],
      ],
      some(),
    );
    const join = w.int();
    const before = temps.length;
    w.block([], 1);
    work();
    w.end([[header + 3, [some()]]]);
    temps.length = before;
    w.block([], 1);
    work();
    if (rand() % 3 === 0) w.inst([[some(), fixed(X64_REGS.order[0][4])]], MFlag.Call | (1 << 16));
    w.end([[header + 3, [some()]]]);
    temps.length = before;
    w.block([join], 1);
    temps.push(join);
    work();
    w.end(
      [
        [header + 4, []],
        [header + 5, []],
      ],
      some(),
    );
    w.block([], 1);
    w.end([[header, [some(), some()]]]);
    w.block([], 0);
    long[rand() % long.length] = join;
  }
  w.end([]);
  return w.finish();
}

/** One loop around a switch with many cases, and state in parameters that every case hands on: an interpreter. */
function interpreter(rows: number): MachFunc {
  const w = new Writer();
  const rand = random(11);
  const cases = Math.floor(rows / 12);
  const state = Array.from({ length: 8 }, () => w.int());
  w.block([], 0);
  const init = state.map(() => w.int());
  for (const v of init) w.inst([[v, Opd.Def]]);
  w.end([[1, init]]);
  w.block(state, 1);
  w.end(
    Array.from({ length: cases }, (_, k) => [2 + k, []] as [number, number[]]),
    state[0],
  );
  for (let k = 0; k < cases; k++) {
    w.block([], 1);
    const now = [...state];
    for (let n = 0; n < 10; n++) {
      const d = w.int();
      const at = rand() % now.length;
      w.inst([
        [now[at], Opd.Use],
        [now[rand() % now.length], Opd.Any],
        [d, reuse(0)],
      ]);
      now[at] = d;
    }
    if (rand() % 2 === 0) w.inst([], MFlag.Call | (1 << 16));
    w.end([[1, now]]);
  }
  return w.finish();
}

/** Many values defined at the start, used at the end, with many blocks in between. */
function wide(rows: number): MachFunc {
  const w = new Writer();
  const n = Math.floor(rows / 4);
  w.block([], 0);
  const values = Array.from({ length: n }, () => w.int());
  for (const v of values) w.inst([[v, Opd.Def]]);
  for (let k = 0; k < n; k++) {
    w.end([[w.next, []]]);
    w.block([], 0);
    w.inst([[values[(k * 7919) % n], Opd.Use]]);
  }
  for (const v of values) w.inst([[v, Opd.Any]]);
  w.end([]);
  return w.finish();
}

/** Processor milliseconds, the best of two. */
function time(make: (rows: number) => MachFunc, rows: number): number {
  let best = Infinity;
  for (let k = 0; k < 2; k++) {
    const m = make(rows);
    const start = process.cpuUsage();
    allocate(m, X64_REGS);
    best = Math.min(best, process.cpuUsage(start).user / 1000);
  }
  return best;
}

describe('time of allocation', () => {
  it.each([
    ['loops in a row', loops, 200_000],
    ['an interpreter', interpreter, 40_000],
    ['values live over many blocks', wide, 20_000],
  ] as const)(
    '%s',
    (_, make, rows) => {
      checkAllocation(allocated(make(2_000)), X64_REGS);
      let ratio = Infinity;
      let large = Infinity;
      // The first measurements include the compilation of the allocator itself.
      for (let attempt = 0; attempt < 3 && (ratio >= 3 || large > 2000); attempt++) {
        const small = time(make, rows / 2);
        large = time(make, rows);
        ratio = large / small;
      }
      expect(large).toBeLessThan(2000);
      expect(ratio).toBeLessThan(3);
    },
    60_000,
  );
});

function allocated(m: MachFunc): MachFunc {
  allocate(m, X64_REGS);
  return m;
}
