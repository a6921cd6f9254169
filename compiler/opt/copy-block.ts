/** Copies of blocks, of which SsaRepair is told what they define. */
import { type Block, type Edge, F_A, type Func, ROW, type Value } from '../ir/func.ts';
import { OP_OPERANDS, Type } from '../ir/ops.ts';
import { type Ints, sized } from '../ir/scratch.ts';
import type { SsaRepair } from './ssa-repair.ts';

export class BlockCopier {
  private f!: Func;
  /** For each value of the block that is being copied: its copy; else 0. */
  private copyOf: Ints = new Int32Array(256);

  constructor(private readonly repair: SsaRepair) {}

  /** Blocks of `f` as it is now are copied from here on. */
  begin(f: Func): void {
    this.f = f;
    this.copyOf = sized(this.copyOf, f.count);
    this.copyOf.fill(0, 0, f.count);
  }

  /**
   * A new block with parameters and rows such as b has, but without a terminator: `end` appends one, and may ask edge()
   * and value(). No row of b but its terminator may have a list.
   */
  copy(b: Block, end: (to: Block) => void): Block {
    const { f, copyOf, repair } = this;
    const to = f.newBlock();
    const n = f.paramCount(b);
    f.copyParams(b, to);
    for (let k = 0; k < n; k++) {
      copyOf[f.param(b, k)] = f.param(to, k);
      repair.define(f.param(b, k), to, f.param(to, k));
    }
    const terminator = f.terminator(b);
    for (let v = f.first[b]!; v !== terminator; v = f.next[v]!) {
      f.loc = f.locOf(v);
      const copy = f.append(to, f.make(f.op(v), f.type(v), f.a(v), f.b(v), f.c(v), f.imm(v), f.imm2(v)));
      for (let k = 0; k < OP_OPERANDS[f.op(v)]!; k++)
        f.rows[copy * ROW + F_A + k] = this.value(f.rows[v * ROW + F_A + k]!);
      if (f.type(v) === Type.None) continue;
      copyOf[v] = copy;
      repair.define(v, to, copy);
    }
    f.loc = f.locOf(terminator);
    end(to);
    for (let k = 0; k < n; k++) copyOf[f.param(b, k)] = 0;
    for (let v = f.first[b]!; v !== 0; v = f.next[v]!) copyOf[v] = 0;
    return to;
  }

  /** What is the copy of a value in the block that is being made. */
  value(v: Value): Value {
    return this.copyOf[v] || v;
  }

  /** A copy of an edge of the block that is being copied. */
  edge(edge: Edge): Edge {
    const { f } = this;
    const args: Value[] = [];
    for (let k = 0; k < f.edgeArgCount(edge); k++) args.push(this.value(f.edgeArg(edge, k)));
    return f.newEdge(f.edgeTarget(edge), args);
  }
}
