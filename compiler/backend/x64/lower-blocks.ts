/**
 * Order of blocks in the code, critical edges, and which values are live: what selection needs to know before it
 * starts.
 *
 * Order: reverse postorder, with the blocks of a loop together, and cold ones (ending in a trap, unlikely, or dominated
 * by such) at the end. A block's dominators stand before it. A split critical edge gets a block: before its target when
 * it leaves a loop forwards (so that the loop's code stays together) or a call that throws, else behind its source.
 */
import type { Cfg } from '../../ir/cfg.ts';
import type { Block, Edge, Func, Value } from '../../ir/func.ts';
import { F_A, F_B, F_C, F_IMM, F_IMM2, NONE, ROW } from '../../ir/func.ts';
import { OP_FLAGS, OP_OPERANDS, Op, OpFlag, rawTrap } from '../../ir/ops.ts';
import { grown, sized } from '../../ir/scratch.ts';

/** Rows that stay whether or not anybody wants their value. */
const ROOTS = OpFlag.Trap | OpFlag.Write | OpFlag.Call | OpFlag.Terminator;

export class BlockPlan {
  /** Machine blocks in layout order: an IR block b as b, a split edge k as -1 - k. */
  layout = new Int32Array(64);
  count = 0;
  cold = new Uint8Array(64);
  /** Position of an IR block in `layout`. */
  position = new Int32Array(64);

  splitCount = 0;
  splitEdge = new Int32Array(16);
  splitFrom = new Int32Array(16);
  splitPosition = new Int32Array(16);

  /**
   * Outgoing edges of IR block b after equal ones of a switch have been merged: succStart[b] .. succStart[b + 1] - 1
   * (by order index). `succSplit` is the number of the split edge, or -1.
   */
  succStart = new Int32Array(64);
  succEdge = new Int32Array(64);
  succSplit = new Int32Array(64);
  /** Switches: for each case, the successor it goes to, from `caseStart[order index]`. */
  caseStart = new Int32Array(64);
  cases = new Int32Array(64);

  private order = new Int32Array(64);
  private head = new Int32Array(64);
  private tail = new Int32Array(64);
  private link = new Int32Array(64);
  private stack = new Int32Array(64);
  private before = new Int32Array(64);
  private after = new Int32Array(64);
  private splitNext = new Int32Array(16);
  private lastSucc = new Int32Array(64);
  private live = new Int32Array(256);

  compute(func: Func, cfg: Cfg): void {
    this.findCold(func, cfg);
    this.orderBlocks(cfg);
    this.splitEdges(func, cfg);
    this.place(cfg);
  }

  private findCold(func: Func, cfg: Cfg): void {
    const n = func.blockCount;
    if (this.cold.length < n) this.cold = new Uint8Array(n * 2);
    const cold = this.cold.fill(0, 0, n);
    for (let i = cfg.orderCount - 1; i >= 0; i--) {
      const b = cfg.order[i]!;
      const term = func.terminator(b);
      const op = func.op(term);
      if (op === Op.Trap) {
        cold[b] = 1;
        continue;
      }
      const succs = func.succCount(term);
      if (succs === 0) continue;
      let all = 1;
      for (let k = 0; k < succs && all !== 0; k++) {
        // Back edges lead to blocks not seen yet: warm.
        all = cold[func.edgeTarget(func.succEdge(term, k))]!;
      }
      cold[b] = all;
      if (op === Op.BrIf && func.imm(term) !== 0) {
        const target = func.edgeTarget(func.imm(term) === 1 ? func.c(term) : func.b(term));
        if (cfg.predCount(target) === 1) cold[target] = 1;
      }
    }
    cold[0] = 0;
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      if (isLandingPad(func, cfg, b)) cold[b] = 1;
    }
    for (let i = 1; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      if (cold[cfg.idom[b]!] !== 0) cold[b] = 1;
    }
  }

  /**
   * Reverse postorder, with loops kept together: each loop's blocks are a list, in which inner loops stand as items.
   */
  private orderBlocks(cfg: Cfg): void {
    const n = cfg.orderCount;
    const loops = cfg.loopCount;
    this.order = sized(this.order, n);
    this.head = sized(this.head, loops + 1);
    this.tail = sized(this.tail, loops + 1);
    this.link = sized(this.link, cfg.blockCount + loops);
    this.stack = sized(this.stack, loops + 1);
    const { order, head, tail, link, stack, cold } = this;
    head.fill(-1, 0, loops + 1);
    // Items: a block, or cfg.blockCount + loop. List 0 is outside of loops, list 1 + l is loop l.
    const append = (list: number, item: number) => {
      link[item] = -1;
      if (head[list]! < 0) head[list] = item;
      else link[tail[list]!] = item;
      tail[list] = item;
    };
    for (let i = 0; i < n; i++) {
      const b = cfg.order[i]!;
      const loop = cfg.loopOf[b]!;
      if (loop >= 0 && cfg.loopHeader[loop] === b) append(1 + cfg.loopParent[loop]!, cfg.blockCount + loop);
      append(1 + loop, b);
    }
    let depth = 0;
    let at = head[0]!;
    let count = 0;
    for (;;) {
      if (at < 0) {
        if (depth === 0) break;
        at = link[stack[--depth]!]!;
      } else if (at >= cfg.blockCount) {
        stack[depth++] = at;
        at = head[1 + at - cfg.blockCount]!;
      } else {
        if (cold[at] === 0) order[count++] = at;
        at = link[at]!;
      }
    }
    for (let i = 0; i < n; i++) if (cold[cfg.order[i]!] !== 0) order[count++] = cfg.order[i]!;
    // For now the place in `order`; place() has the final one.
    this.position = sized(this.position, cfg.blockCount);
    for (let i = 0; i < n; i++) this.position[order[i]!] = i;
  }

  private addSplit(from: Block, edge: Edge): number {
    const k = this.splitCount++;
    if (k >= this.splitEdge.length) {
      this.splitEdge = grown(this.splitEdge, k + 1);
      this.splitFrom = grown(this.splitFrom, k + 1);
      this.splitPosition = grown(this.splitPosition, k + 1);
      this.splitNext = grown(this.splitNext, k + 1);
    }
    this.splitEdge[k] = edge;
    this.splitFrom[k] = from;
    return k;
  }

  private splitEdges(func: Func, cfg: Cfg): void {
    let edges = 0;
    for (let i = 0; i < cfg.orderCount; i++) edges += func.succCount(func.terminator(cfg.order[i]!));
    this.succStart = sized(this.succStart, cfg.orderCount + 1);
    this.caseStart = sized(this.caseStart, cfg.orderCount + 1);
    this.succEdge = sized(this.succEdge, edges);
    this.succSplit = sized(this.succSplit, edges);
    this.cases = sized(this.cases, edges);
    this.lastSucc = sized(this.lastSucc, func.blockCount);
    this.before = sized(this.before, func.blockCount);
    this.after = sized(this.after, func.blockCount);
    const { succStart, succEdge, succSplit, caseStart, cases, lastSucc, before, after, position } = this;
    before.fill(-1, 0, func.blockCount);
    after.fill(-1, 0, func.blockCount);
    lastSucc.fill(-1, 0, func.blockCount);
    this.splitCount = 0;
    let at = 0;
    let caseAt = 0;
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      const term = func.terminator(b);
      const n = func.succCount(term);
      succStart[i] = at;
      caseStart[i] = caseAt;
      const first = at;
      const isSwitch = func.op(term) === Op.BrTable;
      for (let k = 0; k < n; k++) {
        const edge = func.succEdge(term, k);
        if (isSwitch) {
          const target = func.edgeTarget(edge);
          const last = lastSucc[target]!;
          if (last >= first && last < at && sameEdge(func, succEdge[last]!, edge)) {
            cases[caseAt++] = last - first;
            continue;
          }
          lastSucc[target] = at;
          cases[caseAt++] = at - first;
        }
        succEdge[at++] = edge;
      }
      // What a call leaves in registers is taken up in a block of its own: of an Invoke both edges are split. The one
      // of its return stands right behind it.
      const invoked = func.op(term) === Op.Invoke;
      for (let j = first; j < at; j++) {
        const k = invoked ? first + at - 1 - j : j;
        const target = func.edgeTarget(succEdge[k]!);
        if (!invoked && (at - first < 2 || cfg.predCount(target) < 2)) {
          succSplit[k] = -1;
          continue;
        }
        const split = this.addSplit(b, succEdge[k]!);
        succSplit[k] = split;
        // Never before its source: selection meets uses before definitions.
        const away = invoked ? k !== first : cfg.depth(target) < cfg.depth(b);
        const leaves = away && position[target]! > position[b]!;
        const lists = leaves ? before : after;
        const owner = lists === before ? target : b;
        this.splitNext[split] = lists[owner]!;
        lists[owner] = split;
      }
    }
    succStart[cfg.orderCount] = at;
    caseStart[cfg.orderCount] = caseAt;
  }

  private place(cfg: Cfg): void {
    this.layout = sized(this.layout, cfg.orderCount + this.splitCount);
    const { layout, position, order, before, after, splitNext, splitPosition } = this;
    let count = 0;
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = order[i]!;
      for (let k = before[b]!; k >= 0; k = splitNext[k]!) {
        splitPosition[k] = count;
        layout[count++] = -1 - k;
      }
      position[b] = count;
      layout[count++] = b;
      for (let k = after[b]!; k >= 0; k = splitNext[k]!) {
        splitPosition[k] = count;
        layout[count++] = -1 - k;
      }
    }
    this.count = count;
  }

  /**
   * Count the uses of each value by rows that will be selected and by edges to parameters that are used; dead code
   * counts nothing. `uses` must be zeroed.
   */
  countUses(func: Func, cfg: Cfg, uses: Int32Array): void {
    this.live = sized(this.live, func.count);
    const { live } = this;
    const { rows, pool } = func;
    let depth = 0;
    const isRoot = (v: Value) => {
      const op = rows[v * ROW]! & 0xffff;
      if (op === Op.RawLoad) return rawTrap(rows[v * ROW + F_IMM2]!) !== 0;
      return (OP_FLAGS[op]! & ROOTS) !== 0;
    };
    const touch = (v: Value) => {
      if (uses[v]!++ === 0 && !isRoot(v)) live[depth++] = v;
    };
    const operands = (v: Value) => {
      const at = v * ROW;
      const op = rows[at]! & 0xffff;
      const n = OP_OPERANDS[op]!;
      if (n > 0) touch(rows[at + F_A]!);
      if (n > 1) touch(rows[at + F_B]!);
      if (n > 2 || (op === Op.CallIndirect && rows[at + F_C] !== NONE)) touch(rows[at + F_C]!);
      if ((OP_FLAGS[op]! & OpFlag.ListB) !== 0) {
        const list = rows[at + F_B]!;
        if (list !== NONE) for (let i = 1; i <= pool[list]!; i++) touch(pool[list + i]!);
      }
    };
    for (let i = 0; i < cfg.orderCount; i++) {
      const b = cfg.order[i]!;
      for (let v = func.first[b]!; v !== 0; v = func.next[v]!) {
        if (isRoot(v)) operands(v);
      }
    }
    while (depth > 0) {
      const v = live[--depth]!;
      if ((rows[v * ROW]! & 0xffff) !== Op.Param) {
        operands(v);
        continue;
      }
      const b = rows[v * ROW + F_A]!;
      const position = rows[v * ROW + F_IMM]!;
      for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++) {
        touch(pool[cfg.predEdge[p]! + 2 + position]!);
      }
    }
  }
}

/** Whether a block is entered only by calls that throw. */
function isLandingPad(func: Func, cfg: Cfg, b: Block): boolean {
  const end = cfg.predStart[b + 1]!;
  for (let p = cfg.predStart[b]!; p < end; p++) {
    const term = func.terminator(cfg.predBlock[p]!);
    if (func.op(term) !== Op.Invoke || func.c(term) !== cfg.predEdge[p]) return false;
  }
  return end > cfg.predStart[b]!;
}

function sameEdge(func: Func, a: Edge, b: Edge): boolean {
  if (a === b) return true;
  const n = func.edgeArgCount(a);
  if (n !== func.edgeArgCount(b)) return false;
  for (let i = 0; i < n; i++) if (func.edgeArg(a, i) !== func.edgeArg(b, i)) return false;
  return true;
}
