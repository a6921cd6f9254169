/**
 * The optimiser: every pass over one function, in order.
 *
 *     redundant parameters -> walk (fold, number, forward, decide branches) -> clean-up of branches
 *       -> [2: branches on states in globals, and clean-up if there were any
 *           -> tests of loops to their ends, and clean-up if there were any
 *           -> the walk once more, if a clean-up joined blocks -> hoisting out of loops
 *           -> vectors for simple loops, and the walk again if there were any]
 *       -> dead code -> clean-up of branches -> numbering of blocks
 *
 * Each pass is linear, or nearly so, in the size of the function, and runs a fixed number of times.
 */
import { Cfg } from '../ir/cfg.ts';
import type { Func } from '../ir/func.ts';
import { Branches } from './branches.ts';
import { Dce } from './dce.ts';
import { GlobalStates } from './global-states.ts';
import { Licm } from './licm.ts';
import { RedundantParams } from './params.ts';
import { Rotation } from './rotation.ts';
import { Tally } from './tally.ts';
import { Vectorizer } from './vectorize.ts';
import { Walk } from './walk.ts';

export interface OptimizeOptions {
  /** Memories below this index are imported, and may be one and the same. If not given, all may be. */
  readonly importedMemories?: number;
  /** Called behind each pass with its name: the verifier, in tests; printing. */
  readonly after?: (pass: string, f: Func) => void;
}

/** Scratch of all passes, used from function to function. */
const cfg = new Cfg();
const tally = new Tally();
const params = new RedundantParams();
const walk = new Walk();
const branches = new Branches();
const globalStates = new GlobalStates();
const rotation = new Rotation();
const dce = new Dce();
const licm = new Licm();
const vectorizer = new Vectorizer();

/**
 * Optimise a function in place. Blocks are renumbered in reverse postorder; the meaning is the same, traps and their
 * order included.
 * @param level 0: nothing; 1: cheap passes; 2: all
 * @param counters how often each transformation fired, by name, is added to this
 */
export function optimize(
  f: Func,
  level: 0 | 1 | 2,
  counters: Record<string, number> = {},
  options: OptimizeOptions = {},
): void {
  if (level === 0) return;
  const { after } = options;
  const importedMemories = options.importedMemories ?? Number.MAX_SAFE_INTEGER;

  cfg.computeOrder(f);
  params.run(f, cfg, tally);
  after?.('params', f);

  walk.run(f, tally, importedMemories);
  after?.('walk', f);

  let joined = cleanUp(f);
  after?.('branches', f);

  if (level >= 2) {
    if (globalStates.run(f, cfg, tally)) {
      removeUnreachable(f);
      params.run(f, cfg, tally);
      after?.('global-states', f);
      cleanUp(f);
      after?.('branches', f);
      joined = true;
    }
    const loops = hasWayBack(f);
    if (loops) {
      cfg.compute(f);
      if (rotation.run(f, cfg, tally)) {
        cfg.computeOrder(f);
        params.run(f, cfg, tally);
        after?.('rotate', f);
        cleanUp(f);
        after?.('branches', f);
        joined = true;
      }
    }
    if (joined) {
      walk.run(f, tally, importedMemories);
      after?.('walk', f);
    }
    if (loops) {
      cfg.compute(f);
      if (licm.addPreheaders(f, cfg)) cfg.compute(f);
      licm.run(f, cfg, tally, importedMemories);
      after?.('licm', f);
      if (vectorizer.run(f, cfg, tally, importedMemories)) {
        after?.('vectorize', f);
        walk.run(f, tally, importedMemories);
        after?.('walk', f);
      }
    }
  }

  removeUnreachable(f);
  dce.run(f, cfg, tally);
  after?.('dce', f);

  cleanUp(f);
  after?.('branches', f);
  tally.flush(counters);
}

/** Whether there may be a loop. Blocks are numbered in reverse postorder. */
function hasWayBack(f: Func): boolean {
  for (let b = 0; b < f.blockCount; b++) {
    const term = f.terminator(b);
    const count = f.succCount(term);
    for (let k = 0; k < count; k++) if (f.edgeTarget(f.succEdge(term, k)) <= b) return true;
  }
  return false;
}

function removeUnreachable(f: Func): void {
  cfg.computeOrder(f);
  branches.renumber(f, cfg);
  cfg.computeOrder(f);
}

/** Empty blocks, rows of blocks, numbers. Returns whether rows of blocks were joined. */
function cleanUp(f: Func): boolean {
  cfg.computeOrder(f);
  if (branches.thread(f, cfg, tally)) cfg.computeOrder(f);
  const joined = branches.merge(f, cfg, tally);
  if (joined) cfg.computeOrder(f);
  branches.renumber(f, cfg);
  return joined;
}
