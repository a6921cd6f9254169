/**
 * Register allocation, for any machine: reads operands, blocks and edges of a MachFunc, writes `allocs`, `edits`,
 * `spillSlots` and `usedRegs`.
 *
 * Stages: control-flow facts and liveness (liveness.ts), coalescing into bundles (intervals.ts), linear scan with
 * splitting (regalloc-scan.ts), slots and moves (regalloc-resolve.ts, moves.ts). checker.ts verifies the result
 * independently.
 */
import { Bundles } from './intervals.ts';
import { explorationBudget, Flow, Liveness } from './liveness.ts';
import type { MachFunc, RegSet } from './mach.ts';
import { collectUsedRegs, Resolver } from './regalloc-resolve.ts';
import { LinearScan } from './regalloc-scan.ts';

export interface AllocateOptions {
  /**
   * 0: bound the work on very large functions more tightly (see `Liveness`). Otherwise all levels are the same:
   * coalescing and splitting pay for themselves in compile time.
   */
  readonly level?: 0 | 1 | 2;
  /** Bound on liveness work, in block visits; for tests. */
  readonly explorationBudget?: number;
  /** How much one decision of the scan looks at; for tests. */
  readonly maxSteps?: number;
  /** Put moves in front of branches wherever they may stand there; for tests. */
  readonly eager?: boolean;
}

/** Work space, kept from function to function. */
const flow = new Flow();
const live = new Liveness();
const bundles = new Bundles();
const scan = new LinearScan();
const resolver = new Resolver();

/** Returns the number of edges whose moves were put in front of a branch. */
export function allocate(m: MachFunc, regs: RegSet, opts: AllocateOptions = {}): number {
  flow.build(m);
  live.build(m, flow, regs, opts.explorationBudget ?? explorationBudget(m, opts.level === 0));
  bundles.build(m, flow, live);
  scan.run(m, regs, flow, live, bundles, opts.maxSteps);
  resolver.run(m, flow, live, bundles, scan.pieces, opts.eager === true);
  m.usedRegs = collectUsedRegs(m);
  return resolver.early.length;
}
