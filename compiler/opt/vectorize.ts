/**
 * Vectorisation of simple counted loops: a loop of one block that does the same to consecutive elements gets a second
 * version in front of it, which does so with vectors of 16 bytes, and leaves the last iterations to the first one.
 *
 *     preheader:  rounds = how often the loop is certain to go round;          -> ranges, if that is enough to be worth it, else loop
 *     ranges:     is all that the vectors touch in bounds, and disjoint?       -> entry, else loop
 *     entry:      splats                                                       -> vectors
 *     vectors:    loads, arithmetic, stores                                    -> vectors, exit
 *     exit:       one vector more, reductions, last lanes                      -> loop, with its variables as they are after so many iterations
 *
 * Why nothing can tell that from the loop alone:
 *
 * - *Iterations.* The vectors do n iterations of the loop, a multiple of what one vector iteration covers. n is at most
 *   `rounds`, and the loop goes round again after each of its first `rounds` iterations (Counter, and `rounds` in
 *   vector-emit.ts), so it would have done those n, and one more at least. That one is done by the loop itself; so all
 *   values that are used behind it are its own.
 * - *What is left.* Where the loop has no variables but those that count, and nothing is handed on, n is `rounds`
 *   itself: one more vector iteration does the last ones of them, and with them some that the others have done. It
 *   stores what those did, since what it stores is computed in the entry, of what is in memory before all stores; that
 *   is what each load of the loop finds (*Order*).
 * - *Traps.* Nothing in the loop traps or has an effect but loads and stores of the primary memory, and comparisons of
 *   their addresses with its length. Each stream of accesses covers the bytes from `start` to `start + n * stride`, as
 *   natural numbers, where `start` is the first access's zero-extended address plus its offset. The ranges are compared
 *   with the memory's length, so they are within it. The length is at most 2^32, so no address wraps on the way, and
 *   the i-th access is where the range says. Memories don't shrink, and nothing in the loop changes the length. Of a
 *   stream that goes downwards the bytes are those from `start + element - n * stride` to `start + element`, and the
 *   address without its offset is compared with the way down: `address + element >= n * stride`, so that none goes
 *   below 0, and the range begins at 0 or above.
 * - *Order.* A vector iteration does all its loads before its stores. A stream that is stored to is disjoint from each
 *   other stream, by comparison of their ranges, or the other one is loaded from exactly the same addresses, and then
 *   each element is loaded before it is stored in the loop, too. So each load sees what it saw in the loop, and no two
 *   stores meet. That holds whichever way a stream goes. A third way, of a stream of the same pitch and direction that
 *   is only loaded (`loadsAhead`): it begins where the other one does or further in the direction of the loop, as
 *   memmove's. Then element i is loaded from bytes that no element j < i is stored to, since those end at or before
 *   them; and the stores of the elements j >= i come behind that load in the loop, as they do in vectors. So it is
 *   loaded before what it overlaps is stored, in both.
 * - *Values.* Lanes compute what scalars do; floats are never reassociated, integers are, which changes nothing modulo
 *   2^n. Lanes narrower than their scalars have the low bits, and are looked at only by what wants no others
 *   (vector-packs.ts).
 * - *What iterations hand on.* A variable that gets another value of the loop each time round is that value's pack,
 *   moved on by one element: the last lane of the vector before, then all but the last lane of this one. In the first
 *   vector iteration that last lane is the variable's initial value. Nothing of that depends on memory. A pack that
 *   would be made of itself that way is refused. Behind the vectors the loop gets the last lane, where that has the
 *   whole scalar, or what is computed from such lanes.
 *
 * The loop has no branch but its own, no call, no access of the vmctx but the memory's length: code that counts
 * instructions is not touched.
 */
import { TrapCode } from '../abi/traps.ts';
import type { Cfg } from '../ir/cfg.ts';
import { type Block, type Func, NONE } from '../ir/func.ts';
import { memIndex, OP_FLAGS, Op, OpFlag, Region, rawRegion, Type } from '../ir/ops.ts';
import { CountedLoop } from './counted-loop.ts';
import { Fired, type Tally } from './tally.ts';
import { emitVectors } from './vector-emit.ts';
import { Planner } from './vector-plan.ts';

/** Instructions of a loop that is looked at. */
const MOST_INSTRUCTIONS = 160;

export class Vectorizer {
  private readonly planner = new Planner();

  /**
   * @param cfg of the function, with a preheader for each loop; stale afterwards if something was done
   * @param memory index of the memory of which the vmctx has the length
   * @returns whether something was done
   */
  run(f: Func, cfg: Cfg, counters: Tally, memory: number): boolean {
    let fired = 0;
    for (let loop = 0; loop < cfg.loopCount; loop++) {
      const block = cfg.loopHeader[loop]!;
      const branch = f.terminator(block);
      if (f.op(branch) !== Op.BrIf || cfg.predCount(block) !== 2) continue;
      const first = f.edgeTarget(f.b(branch));
      if ((first === block) === (f.edgeTarget(f.c(branch)) === block)) continue;
      const p = cfg.predStart[block]!;
      const preheader = cfg.predBlock[p] === block ? cfg.predBlock[p + 1]! : cfg.predBlock[p]!;
      if (f.op(f.terminator(preheader)) !== Op.Jump || !this.isSimple(f, block, memory)) continue;
      const back = first === block ? f.b(branch) : f.c(branch);
      const before = cfg.predCount(preheader) === 1 ? cfg.predEdge[cfg.predStart[preheader]!]! : NONE;
      const plan = this.planner.plan(new CountedLoop(f, block, preheader, back, before), memory);
      if (!plan) continue;
      emitVectors(plan, memory);
      fired++;
      if (plan.overlaps) counters.counts[Fired.VectorRest]!++;
      if (plan.pairs.some(p => p.loadsAhead)) counters.counts[Fired.VectorAhead]!++;
    }
    counters.counts[Fired.Vectorize]! += fired;
    return fired > 0;
  }

  /** A quick look, as most loops are none of these. */
  private isSimple(f: Func, block: Block, memory: number): boolean {
    let count = 0;
    let accesses = 0;
    for (let v = f.first[block]!; v !== f.terminator(block); v = f.next[v]!) {
      const op = f.op(v);
      if (++count > MOST_INSTRUCTIONS) return false;
      switch (op) {
        case Op.Load:
        case Op.Store:
          if (memIndex(f.imm2(v)) !== memory || f.type(f.a(v)) !== Type.I32) return false;
          accesses++;
          break;
        case Op.TrapNz:
          if (f.imm(v) !== TrapCode.HeapOutOfBounds) return false;
          break;
        case Op.VmLoad:
          if (rawRegion(f.imm2(v)) !== Region.MemoryLength) return false;
          break;
        default:
          if (!(OP_FLAGS[op]! & OpFlag.Pure)) return false;
      }
    }
    return accesses > 0;
  }
}
