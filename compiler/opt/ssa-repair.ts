/**
 * SSA form made good after blocks were copied: a value that has definitions in several blocks now is given to its uses
 * by block parameters.
 *
 * As in Braun et al., "Simple and Efficient Construction of Static Single Assignment Form", section 2, only what is
 * used is looked for, from its uses upwards, with a queue in place of recursion. A value wanted at a block's start is
 * the one at the end of the block's immediate dominator if no definition lies between the two, else a parameter, whose
 * arguments are wanted at the ends of the predecessors. Between: in what the dominator strictly dominates, as every
 * block from which the start can be reached without passing the dominator is; and not in what the block itself
 * dominates, unless there is a way back from there. A parameter that was not necessary after all is one value on every
 * way in, and is left for RedundantParams to take out.
 */
import type { Cfg } from '../ir/cfg.ts';
import {
  type Block,
  type Edge,
  F_A,
  F_BLOCK,
  type Func,
  type List,
  NONE,
  ROW,
  type Value,
} from '../ir/func.ts';
import { OP_FLAGS, OP_OPERANDS, Op, OpFlag } from '../ir/ops.ts';
import { IntList, type Ints, sized } from '../ir/scratch.ts';

/** A value with several definitions, that is used outside of its block. */
interface Variable {
  readonly value: Value;
  readonly definedIn: readonly Block[];
  /** What it is at the end of a block: its definition there, or what was found so far. */
  readonly at: Map<Block, Value>;
}

/** [block, the copy in it, the copy before of the same value as position + 1] */
const COPY = 3;

interface NewParam {
  readonly variable: Variable;
  readonly param: Value;
}

export class SsaRepair {
  private f!: Func;
  private cfg!: Cfg;
  private readonly variables = new Map<Value, Variable>();
  /** For each value below `values`: its latest copy in the list of copies, as position + 1; 0: it has none. */
  private lastCopy: Ints = new Int32Array(256);
  private values = 0;
  /** COPY records. */
  private readonly copies = new IntList();
  private readonly newParams = new Map<Block, NewParam[]>();
  private readonly queue: { readonly block: Block; readonly variable: Variable }[] = [];

  begin(f: Func): void {
    this.f = f;
    this.variables.clear();
    this.newParams.clear();
    this.copies.length = 0;
    this.lastCopy = sized(this.lastCopy, f.count);
    this.lastCopy.fill(0, 0, f.count);
    this.values = f.count;
  }

  /** `copy`, in `block`, is another definition of `value`, which was there at begin(). */
  define(value: Value, block: Block, copy: Value): void {
    const { copies, lastCopy } = this;
    copies.push(block);
    copies.push(copy);
    copies.push(lastCopy[value]!);
    lastCopy[value] = copies.length - COPY + 1;
  }

  private variable(value: Value): Variable {
    let variable = this.variables.get(value);
    if (variable !== undefined) return variable;
    const { data } = this.copies;
    const home = this.f.blockOf(value);
    const definedIn = [home];
    const at = new Map([[home, value]]);
    for (let k = this.lastCopy[value]! - 1; k >= 0; k = data[k + 2]! - 1) {
      definedIn.push(data[k]!);
      at.set(data[k]!, data[k + 1]!);
    }
    variable = { value, definedIn, at };
    this.variables.set(value, variable);
    return variable;
  }

  /**
   * Let each use have the definition that reaches it.
   * @param cfg everything, of the graph as it is now; the predecessors' edges are stale afterwards
   */
  run(cfg: Cfg): void {
    if (this.copies.length === 0) return;
    this.cfg = cfg;
    for (let i = 0; i < cfg.orderCount; i++) this.rewrite(cfg.order[i]!);
    for (let next = this.queue.pop(); next !== undefined; next = this.queue.pop()) {
      const { block, variable } = next;
      for (let p = cfg.predStart[block]!; p < cfg.predStart[block + 1]!; p++)
        this.read(variable, cfg.predBlock[p]!);
    }
    if (this.newParams.size === 0) return;
    for (const [block, list] of this.newParams) this.extendParams(block, list);
    for (let i = 0; i < cfg.orderCount; i++) {
      const block = cfg.order[i]!;
      this.f.mapEdges(this.f.terminator(block), edge => this.extended(block, edge));
    }
  }

  /** The variable at the end of a block. */
  private read(variable: Variable, block: Block): Value {
    const { idom } = this.cfg;
    const { at } = variable;
    let from = block;
    while (!at.has(from) && !this.meetIn(variable, from)) from = idom[from]!;
    const value = at.get(from) ?? this.addParam(variable, from);
    for (let b = block; b !== from; b = idom[b]!) at.set(b, value);
    return value;
  }

  /** May several definitions meet at a block's start? */
  private meetIn(variable: Variable, block: Block): boolean {
    const { cfg } = this;
    if (cfg.predCount(block) < 2) return block === 0;
    const up = cfg.idom[block]!;
    const wayBack = cfg.isLoopHeader(block);
    for (const b of variable.definedIn)
      if (b !== up && cfg.isReachable(b) && cfg.dominates(up, b) && (wayBack || !cfg.dominates(block, b)))
        return true;
    return false;
  }

  private addParam(variable: Variable, block: Block): Value {
    const { f } = this;
    if (block === 0) throw new Error(`v${variable.value} is used where no definition of it reaches`);
    let list = this.newParams.get(block);
    if (list === undefined) this.newParams.set(block, (list = []));
    const position = f.paramCount(block) + list.length;
    const param = f.make(Op.Param, f.type(variable.value), block, 0, 0, position, 0);
    f.rows[param * ROW + F_BLOCK] = block;
    list.push({ variable, param });
    variable.at.set(block, param);
    this.queue.push({ block, variable });
    return param;
  }

  private extendParams(block: Block, list: readonly NewParam[]): void {
    const { f } = this;
    const params: Value[] = [];
    for (let k = 0; k < f.paramCount(block); k++) params.push(f.param(block, k));
    for (const { param } of list) params.push(param);
    f.params[block] = f.listOf(params);
  }

  private extended(from: Block, edge: Edge): Edge {
    const { f } = this;
    const list = this.newParams.get(f.edgeTarget(edge));
    if (list === undefined) return edge;
    const args: Value[] = [];
    for (let i = 0; i < f.edgeArgCount(edge); i++) args.push(f.edgeArg(edge, i));
    for (const { variable } of list) args.push(this.read(variable, from));
    return f.newEdge(f.edgeTarget(edge), args);
  }

  private rewrite(block: Block): void {
    const { f } = this;
    for (let v = f.first[block]!; v !== 0; v = f.next[v]!) {
      const op = f.op(v);
      const at = v * ROW + F_A;
      for (let i = 0; i < OP_OPERANDS[op]!; i++) this.rewriteField(block, at + i);
      if (op === Op.CallIndirect && f.c(v) !== NONE) this.rewriteField(block, at + 2);
      if (OP_FLAGS[op]! & OpFlag.ListB) this.rewriteList(block, f.b(v), 1);
      const edges = f.succCount(v);
      for (let i = 0; i < edges; i++) this.rewriteList(block, f.succEdge(v, i), 2);
    }
  }

  private rewriteField(block: Block, field: number): void {
    // First the value: a new parameter may move the rows.
    const value = this.reaching(block, this.f.rows[field]!);
    this.f.rows[field] = value;
  }

  private rewriteList(block: Block, list: List, first: number): void {
    const { pool } = this.f;
    const end = list === NONE ? -1 : list + pool[list]!;
    for (let i = list + first; i <= end; i++) pool[i] = this.reaching(block, pool[i]!);
  }

  /** What `value` is called in a block: its own, in front of its uses there, or what reaches it. */
  private reaching(block: Block, value: Value): Value {
    if (value >= this.values || this.lastCopy[value] === 0 || this.f.blockOf(value) === block) return value;
    return this.read(this.variable(value), block);
  }
}
