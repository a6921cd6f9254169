/**
 * Loop rotation: an inner loop whose test is at the top gets a copy of it in front, and has the test at the bottom.
 *
 *     header: test -> body, out                 guard:  test -> body, out
 *     body:   … -> header             ->        body:   … -> header
 *                                               header: test -> body, out
 *
 * Only edges from outside are led to the guard, so what was the header is where iterations end, and what it goes on to
 * is the header. One jump fewer in each iteration; the header joins the body's end, and the loop is one block, which
 * the vectoriser looks at; and behind the guard it is certain that the body runs, so that what it begins with may be
 * done in front (licm.ts).
 *
 * That it means the same needs no argument but that each way into a copied block finds one copy of it. The loop keeps a
 * single entry: its body has no other way in than from the header and its copy.
 *
 * Only loops of two blocks are turned, which become one. A jump hardly shows by itself, and loops of more blocks lose
 * by it (sqlite3: 1.03 to 1.05 of the run time): the test's copy is code that short loops run as well, and what the
 * header defines has to be handed through all blocks. Nor are long ones turned, such as call, nor those of which the
 * header is more than a few instructions.
 */
import type { Cfg } from '../ir/cfg.ts';
import { type Block, type Edge, type Func, NONE, type Value } from '../ir/func.ts';
import { OP_FLAGS, Op, OpFlag, Type } from '../ir/ops.ts';
import { BlockCopier } from './copy-block.ts';
import { SsaRepair } from './ssa-repair.ts';
import { Fired, type Tally } from './tally.ts';

/** Instructions of a header that is copied, constants not counted. */
const MOST_COPIED = 8;
/** Instructions of a loop. */
const MOST_INSTRUCTIONS = 80;
/** Values that copies define, times the blocks that these may have to be handed through. */
const MOST_REPAIRS = 20_000_000;

function isConstant(op: Op): boolean {
  return op === Op.IConst || op === Op.FConst || op === Op.VConst;
}

export class Rotation {
  private readonly repair = new SsaRepair();
  private readonly copier = new BlockCopier(this.repair);
  private f!: Func;
  private cfg!: Cfg;
  /**
   * @param cfg everything, of the graph as it is; stale afterwards if something was done
   * @returns whether something was done
   */
  run(f: Func, cfg: Cfg, counters: Tally): boolean {
    if (cfg.loopCount === 0) return false;
    this.f = f;
    this.cfg = cfg;
    let rotated = 0;
    let repairs = 0;
    for (let loop = cfg.loopCount - 1; loop >= 0 && repairs < MOST_REPAIRS; loop--) {
      const header = cfg.loopHeader[loop]!;
      if (f.op(f.terminator(header)) !== Op.BrIf) continue;
      const body = this.bodyOf(header);
      if (body < 0 || !this.isSmall(header) || !this.isShort(header, body)) continue;
      if (rotated++ === 0) {
        this.repair.begin(f);
        this.copier.begin(f);
      }
      repairs += f.blockCount * (f.paramCount(header) + MOST_COPIED);
      this.rotate(header);
    }
    if (rotated === 0) return false;
    counters.counts[Fired.Rotate]! += rotated;
    cfg.compute(f);
    this.repair.run(cfg);
    return true;
  }

  /** The one block of a loop beside its header, which ends in a branch; -1 if there are more, or none. */
  private bodyOf(header: Block): Block {
    const { f, cfg } = this;
    let body = -1;
    for (let p = cfg.predStart[header]!; p < cfg.predStart[header + 1]!; p++) {
      const from = cfg.predBlock[p]!;
      if (!cfg.dominates(header, from)) continue;
      if (body >= 0 || from === header) return -1;
      body = from;
    }
    if (body < 0 || f.op(f.terminator(body)) !== Op.Jump) return -1;
    const first = cfg.predStart[body]!;
    return cfg.predStart[body + 1]! - first === 1 && cfg.predBlock[first] === header ? body : -1;
  }

  /** Whether a loop does little, and calls nothing. */
  private isShort(header: Block, body: Block): boolean {
    const { f } = this;
    let count = 0;
    for (const b of [header, body]) {
      for (let v = f.first[b]!; v !== NONE; v = f.next[v]!)
        if (OP_FLAGS[f.op(v)]! & OpFlag.Call || ++count > MOST_INSTRUCTIONS) return false;
    }
    return true;
  }

  private isSmall(header: Block): boolean {
    const { f } = this;
    let count = 0;
    for (let v = f.first[header]!; v !== f.terminator(header); v = f.next[v]!) {
      const op = f.op(v);
      if (OP_FLAGS[op]! & OpFlag.ListB || op === Op.Result || op === Op.Caught) return false;
      if (!isConstant(op) && ++count > MOST_COPIED) return false;
    }
    return true;
  }

  private rotate(header: Block): void {
    const { f, cfg, copier } = this;
    const term = f.terminator(header);
    const constants = this.takeConstants(header);
    const guard = copier.copy(header, block => {
      const yes: Edge = copier.edge(f.b(term));
      const no: Edge = copier.edge(f.c(term));
      f.append(block, f.make(Op.BrIf, Type.None, copier.value(f.a(term)), yes, no, f.imm(term), 0));
    });
    // The guard dominates all that the header did.
    for (const v of constants) f.insertBefore(f.first[guard]!, v);
    for (let p = cfg.predStart[header]!; p < cfg.predStart[header + 1]!; p++)
      if (!cfg.dominates(header, cfg.predBlock[p]!)) f.pool[cfg.predEdge[p]! + 1] = guard;
  }

  /** Constants are not copied: what has two definitions becomes a variable. */
  private takeConstants(block: Block): Value[] {
    const { f } = this;
    const constants: Value[] = [];
    for (let v = f.first[block]!; v !== NONE; v = f.next[v]!) if (isConstant(f.op(v))) constants.push(v);
    for (const v of constants) f.unlink(v);
    return constants;
  }
}
