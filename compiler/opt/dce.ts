/**
 * Dead code elimination: what has an effect, or may trap, is alive; so is what something alive uses. A block parameter
 * lives by its uses; the arguments for it live if it does. All else goes, cycles through loop headers included.
 */
import type { Cfg } from '../ir/cfg.ts';
import { F_A, type Func, NONE, ROW, type Value } from '../ir/func.ts';
import { OP_FLAGS, OP_OPERANDS, Op, OpFlag, rawTrap, Type } from '../ir/ops.ts';
import { type Ints, sized } from '../ir/scratch.ts';
import { dropParams } from './params.ts';
import { Fired, type Tally } from './tally.ts';

/** Whether an integer division can't trap: its divisor is a constant, not 0, and for a signed one not -1. */
export function isSafeDivision(f: Func, v: Value): boolean {
  const op = f.op(v);
  if (op < Op.DivS || op > Op.RemU) return false;
  const b = f.b(v);
  if (f.op(b) !== Op.IConst) return false;
  const lo = f.imm(b);
  // The upper half of an i32, for this question, is the lower one once more.
  const hi = f.type(b) === Type.I32 ? lo : f.imm2(b);
  if (lo === 0 && hi === 0) return false;
  return !(lo === -1 && hi === -1 && (op === Op.DivS || op === Op.RemS));
}

/** Whether an instruction may be left out when nothing uses its value. */
function isRemovable(f: Func, v: Value): boolean {
  const op = f.op(v);
  const flags = OP_FLAGS[op]!;
  if (flags & OpFlag.Pure) return true;
  if (flags & (OpFlag.Write | OpFlag.Call | OpFlag.Terminator)) return false;
  if (op === Op.RawLoad || op === Op.VmLoad) return rawTrap(f.imm2(v)) === 0;
  return !(flags & OpFlag.Trap) || isSafeDivision(f, v);
}

export class Dce {
  private live = new Uint8Array(256);
  private work: Ints = new Int32Array(256);
  private depth = 0;

  /** cfg: orders and predecessors, of the function as it is. */
  run(f: Func, cfg: Cfg, counters: Tally): void {
    if (this.live.length < f.count) this.live = new Uint8Array(f.count * 2);
    this.live.fill(0, 0, f.count);
    this.work = sized(this.work, f.count);
    this.depth = 0;
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      for (let v = f.first[b]!; v !== 0; v = f.next[v]!) {
        // A result needs its call, not the call its results; but they stand in a row, and go together.
        if (!isRemovable(f, v) || f.op(v) === Op.Result) this.mark(v);
      }
    }
    for (let i = 0; i < f.paramCount(0); i++) this.live[f.param(0, i)] = 1;
    while (this.depth > 0) this.use(f, cfg, this.work[--this.depth]!);
    this.sweep(f, cfg, counters);
  }

  private mark(v: Value): void {
    if (this.live[v] !== 0) return;
    this.live[v] = 1;
    this.work[this.depth++] = v;
  }

  private use(f: Func, cfg: Cfg, v: Value): void {
    const op = f.op(v);
    if (op === Op.Param) {
      const b = f.a(v);
      const k = f.imm(v);
      for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++)
        this.mark(f.edgeArg(cfg.predEdge[p]!, k));
      return;
    }
    for (let i = 0; i < OP_OPERANDS[op]!; i++) this.mark(f.rows[v * ROW + F_A + i]!);
    if (op === Op.CallIndirect && f.c(v) !== NONE) this.mark(f.c(v));
    if (!(OP_FLAGS[op]! & OpFlag.ListB)) return;
    const list = f.b(v);
    const n = f.listLength(list);
    for (let i = 0; i < n; i++) this.mark(f.listAt(list, i));
  }

  private sweep(f: Func, cfg: Cfg, counters: Tally): void {
    const { live } = this;
    let params = 0;
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      for (let k = 0; k < f.paramCount(b); k++) if (live[f.param(b, k)] === 0) params++;
      for (let v = f.first[b]!; v !== 0; ) {
        const next = f.next[v]!;
        if (live[v] === 0) {
          f.unlink(v);
          counters.counts[Fired.DeadInstruction]!++;
        }
        v = next;
      }
    }
    if (params === 0) return;
    counters.counts[Fired.DeadParam]! += params;
    dropParams(f, p => live[p] === 0);
  }
}
