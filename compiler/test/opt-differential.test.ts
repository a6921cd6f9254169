/**
 * Random functions give the same results, traps, memory and host calls before and after optimisation.
 * LUCET_SEEDS=from-to runs others.
 */
import { describe, expect, it } from 'vitest';
import type { Func } from '../ir/func.ts';
import { parseFunc } from '../ir/text-parse.ts';
import { printFunc } from '../ir/text-print.ts';
import { verify } from '../ir/verify.ts';
import { optimize } from '../opt/pipeline.ts';
import { f32Bits, f64Bits, IrTrap, Machine, OutOfFuel, type Val } from './support/interp.ts';
import { countInstructions, FIELDS, RandomIr, randomNumbers, VMCTX_SIZE } from './support/random-ir.ts';

const GLOBALS_AT = 0x2000_0000;

/** All that can be seen of a run. */
function observe(f: Func, args: readonly Val[]): unknown {
  const calls: unknown[] = [];
  const shared = new Uint8Array(64);
  const machine: Machine = new Machine({
    memories: [
      { pages: 1, max: 3 },
      { pages: 1, max: 1 },
    ],
    vmctxSize: VMCTX_SIZE,
    fuel: 100_000,
    host: (index, values) => {
      calls.push([index, ...values]);
      // The host changes what a callee may change.
      const n = Number(BigInt.asUintN(5, BigInt(values[0]!)));
      machine.memories[0]![n] = calls.length;
      machine.vmctx[machine.vmctx.length + FIELDS.globals + 16 * (n % 3)] = calls.length;
      shared[n]! ^= 1;
      return index === 0 ? [n * 3 - 20] : [BigInt(n) << 20n, f64Bits(n / 3)];
    },
  });
  machine.map(GLOBALS_AT, shared);
  const view = new DataView(machine.vmctx.buffer);
  // The first two pointers are the same: two imported globals may be one.
  [GLOBALS_AT, GLOBALS_AT, GLOBALS_AT + 16].forEach((at, i) => {
    view.setBigUint64(machine.vmctx.length + FIELDS.pointers + 8 * i, BigInt(at), true);
  });
  for (let i = 0; i < 128; i++) machine.memories[0]![i] = i * 7;
  let end: unknown;
  try {
    end = machine.run(f, args);
  } catch (e) {
    if (e instanceof OutOfFuel) return null;
    if (!(e instanceof IrTrap)) throw e;
    end = `trap ${e.code}`;
  }
  return {
    end,
    calls,
    length: machine.memories[0]!.length,
    memory: Buffer.from(machine.memories[0]!.subarray(0, 2048)).toString('hex'),
    tail: Buffer.from(machine.memories[0]!.subarray(65536 - 64, 65536)).toString('hex'),
    memory1: Buffer.from(machine.memories[1]!.subarray(0, 2048)).toString('hex'),
    vmctx: Buffer.from(machine.vmctx).toString('hex'),
    shared: Buffer.from(shared).toString('hex'),
  };
}

function argumentSets(seed: number): Val[][] {
  const rnd = randomNumbers(seed ^ 0x5bd1e995);
  const int = () => Math.floor(rnd() * 2 ** 32) | 0;
  const long = () => BigInt.asIntN(64, (BigInt(int()) << 32n) | BigInt(int() >>> 0));
  return [
    [0, 1, 0n, -1n, f32Bits(0), f64Bits(-0)],
    [int(), int(), long(), long(), int(), long()],
    [7, int() & 0xff, 3n, long(), f32Bits(1.5), f64Bits(rnd() * 100)],
  ];
}

function check(seed: number, level: 1 | 2, counters: Record<string, number>): number {
  const f = new RandomIr(seed, 120).make();
  verify(f);
  const text = printFunc(f);
  const before = parseFunc(text);
  expect(printFunc(before)).toBe(text);
  let pass = 'input';
  try {
    optimize(f, level, counters, {
      importedMemories: seed % 3,
      after: (name, g) => {
        pass = name;
        verify(g);
      },
    });
    for (const args of argumentSets(seed)) {
      const want = observe(before, args);
      // A run without end can't be compared.
      if (want !== null) expect(observe(f, args)).toEqual(want);
    }
  } catch (e) {
    (e as Error).message =
      `seed ${seed}, level ${level}, behind ${pass}: ${(e as Error).message}\n${text}\n=>\n${printFunc(f)}`;
    throw e;
  }
  return countInstructions(f) / countInstructions(before);
}

describe('optimised functions mean the same', () => {
  const [from, to] = (process.env.LUCET_SEEDS ?? '0-250').split('-').map(Number) as [number, number];

  it.each([1, 2] as const)('level %i, random functions', level => {
    const counters: Record<string, number> = {};
    let ratio = 0;
    for (let seed = from; seed < to; seed++) ratio += check(seed, level, counters);
    // It has to do something, too: every transformation fires somewhere, and functions become smaller.
    expect(ratio / (to - from)).toBeLessThan(0.75);
    if (to - from < 250) return;
    for (const name of [
      'constant',
      'identity',
      'reassociate',
      'strength',
      'extension',
      'compare',
      'select',
      'address',
      'store-narrow',
    ]) {
      expect(counters, name).toHaveProperty(name);
    }
    for (const name of [
      'float',
      'gvn',
      'load-reuse',
      'store-forward',
      'store-redundant',
      'check',
      'branch',
      'condition',
      'thread',
    ]) {
      expect(counters, name).toHaveProperty(name);
    }
    for (const name of ['merge', 'unreachable', 'dead-instruction', 'dead-param', 'param'])
      expect(counters, name).toHaveProperty(name);
    if (level === 1) return;
    for (const name of ['hoist', 'state-load', 'state-branch', 'state-thread'])
      expect(counters, name).toHaveProperty(name);
  });
});
