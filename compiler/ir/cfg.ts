/**
 * The control flow graph of a function, seen from outside: orders, predecessors, dominator tree, loop forest.
 *
 * One object serves function after function: its arrays only grow. Everything is (near-)linear and iterative, as a
 * hostile module may hold a chain of 100,000 blocks or a join of as many edges.
 *
 * Blocks that can't be reached from the entry have `orderIndex` -1, no predecessors, no dominator and no loop; their
 * edges don't count as predecessors of anything.
 */
import type { Block, Edge, Func } from './func.ts';
import { grown, sized } from './scratch.ts';

export class Cfg {
  blockCount = 0;
  /** Reachable blocks in reverse postorder; the entry is the first, a branch's first target precedes its second one. */
  order = new Int32Array(64);
  orderCount = 0;
  /** Position of a block in `order`, or -1. */
  orderIndex = new Int32Array(64);

  /**
   * Incoming edges of block b: `predStart[b] .. predStart[b + 1] - 1` in `predBlock` (where it comes from) and
   * `predEdge` (its list in the pool). A `br_table` naming a block twice gives two entries, possibly with one and the
   * same edge.
   */
  predStart = new Int32Array(65);
  predBlock = new Int32Array(128);
  predEdge = new Int32Array(128);

  /** Immediate dominator; -1 for the entry and for unreachable blocks. */
  idom = new Int32Array(64);
  /** Dominator tree: first child and next sibling, -1 at the end. Children stand in reverse postorder. */
  domChild = new Int32Array(64);
  domSibling = new Int32Array(64);
  /** Interval of a block in a preorder walk of the dominator tree: a dominates b iff in[a] <= in[b] < out[a]. */
  domIn = new Int32Array(64);
  domOut = new Int32Array(64);

  /** Natural loops, outer ones before inner ones. */
  loopCount = 0;
  loopHeader = new Int32Array(16);
  /** Enclosing loop or -1. */
  loopParent = new Int32Array(16);
  /** 1 for an outermost loop. */
  loopDepth = new Int32Array(16);
  /** Innermost loop of a block, or -1. */
  loopOf = new Int32Array(64);

  private visited = new Int32Array(64);
  private stack = new Int32Array(64);
  private cursor = new Int32Array(64);
  // Lengauer–Tarjan, indexed by preorder number.
  private preorder = new Int32Array(64);
  private parent = new Int32Array(64);
  private semi = new Int32Array(64);
  private ancestor = new Int32Array(64);
  private label = new Int32Array(64);
  private dom = new Int32Array(64);
  private bucket = new Int32Array(64);
  private bucketNext = new Int32Array(64);
  private preorderCount = 0;

  /** Orders, predecessors, dominators and loops. */
  compute(func: Func): void {
    this.computeOrder(func);
    this.computeDominators();
    this.computeLoops();
  }

  dominates(a: Block, b: Block): boolean {
    return this.domIn[a]! <= this.domIn[b]! && this.domIn[b]! < this.domOut[a]!;
  }

  isReachable(b: Block): boolean {
    return this.orderIndex[b]! >= 0;
  }

  /** Depth of the loop nest a block lies in: 0 outside of loops. */
  depth(b: Block): number {
    const loop = this.loopOf[b]!;
    return loop < 0 ? 0 : this.loopDepth[loop]!;
  }

  isLoopHeader(b: Block): boolean {
    const loop = this.loopOf[b]!;
    return loop >= 0 && this.loopHeader[loop] === b;
  }

  /** Number of incoming edges. */
  predCount(b: Block): number {
    return this.predStart[b + 1]! - this.predStart[b]!;
  }

  /** Reverse postorder and predecessors only. */
  computeOrder(func: Func): void {
    const n = func.blockCount;
    this.blockCount = n;
    this.order = sized(this.order, n);
    this.orderIndex = sized(this.orderIndex, n);
    this.visited = sized(this.visited, n);
    this.stack = sized(this.stack, n);
    this.cursor = sized(this.cursor, n);
    this.preorder = sized(this.preorder, n);
    this.parent = sized(this.parent, n);
    this.predStart = sized(this.predStart, n + 1);
    const { order, orderIndex, stack, cursor, visited, preorder, parent, predStart } = this;
    // visited: preorder number + 1.
    visited.fill(0, 0, n);
    orderIndex.fill(-1, 0, n);
    predStart.fill(0, 0, n + 1);

    let depth = 0;
    let pre = 0;
    let post = n;
    let edges = 0;
    if (n > 0) {
      stack[0] = 0;
      cursor[0] = func.succCount(func.terminator(0));
      preorder[0] = 0;
      parent[0] = -1;
      visited[0] = ++pre;
      depth = 1;
    }
    while (depth > 0) {
      const b = stack[depth - 1]!;
      const at = cursor[depth - 1]! - 1;
      if (at < 0) {
        order[--post] = b;
        depth--;
        continue;
      }
      cursor[depth - 1] = at;
      const target = func.edgeTarget(func.succEdge(func.terminator(b), at));
      predStart[target + 1]!++;
      edges++;
      if (visited[target] !== 0) continue;
      preorder[pre] = target;
      parent[pre] = visited[b]! - 1;
      visited[target] = ++pre;
      stack[depth] = target;
      cursor[depth] = func.succCount(func.terminator(target));
      depth++;
    }
    this.preorderCount = pre;
    this.orderCount = pre;
    order.copyWithin(0, post, n);
    for (let i = 0; i < pre; i++) orderIndex[order[i]!] = i;

    this.predBlock = sized(this.predBlock, edges);
    this.predEdge = sized(this.predEdge, edges);
    const { predBlock, predEdge } = this;
    for (let b = 0; b < n; b++) predStart[b + 1]! += predStart[b]!;
    // cursor: next free entry of each block; predecessors come out in reverse postorder.
    for (let b = 0; b < n; b++) cursor[b] = predStart[b]!;
    for (let i = 0; i < pre; i++) {
      const b = order[i]!;
      const term = func.terminator(b);
      const count = func.succCount(term);
      for (let k = 0; k < count; k++) {
        const edge: Edge = func.succEdge(term, k);
        const at = cursor[func.edgeTarget(edge)]!++;
        predBlock[at] = b;
        predEdge[at] = edge;
      }
    }
  }

  /**
   * Dominator tree, after computeOrder(). Lengauer and Tarjan's algorithm with path compression, O(m log n) on any
   * graph; the iterative scheme of Cooper, Harvey and Kennedy is quadratic on the shape "many branches out of one
   * block".
   */
  computeDominators(): void {
    const n = this.blockCount;
    const count = this.preorderCount;
    this.semi = sized(this.semi, count);
    this.ancestor = sized(this.ancestor, count);
    this.label = sized(this.label, count);
    this.dom = sized(this.dom, count);
    this.bucket = sized(this.bucket, count);
    this.bucketNext = sized(this.bucketNext, count);
    this.idom = sized(this.idom, n);
    this.domChild = sized(this.domChild, n);
    this.domSibling = sized(this.domSibling, n);
    this.domIn = sized(this.domIn, n);
    this.domOut = sized(this.domOut, n);
    const { preorder, parent, semi, ancestor, label, dom, bucket, bucketNext, visited } = this;
    const { predStart, predBlock, idom, domChild, domSibling, domIn, domOut, order, stack } = this;

    for (let i = 0; i < count; i++) {
      semi[i] = i;
      label[i] = i;
      ancestor[i] = -1;
      bucket[i] = -1;
    }
    for (let w = count - 1; w > 0; w--) {
      const block = preorder[w]!;
      let best = w;
      for (let p = predStart[block]!; p < predStart[block + 1]!; p++) {
        const u = this.evaluate(visited[predBlock[p]!]! - 1);
        if (semi[u]! < best) best = semi[u]!;
      }
      semi[w] = best;
      bucketNext[w] = bucket[best]!;
      bucket[best] = w;
      const up = parent[w]!;
      ancestor[w] = up;
      for (let v = bucket[up]!; v >= 0; v = bucketNext[v]!) {
        const u = this.evaluate(v);
        dom[v] = semi[u]! < semi[v]! ? u : up;
      }
      bucket[up] = -1;
    }
    idom.fill(-1, 0, n);
    domChild.fill(-1, 0, n);
    domSibling.fill(-1, 0, n);
    domIn.fill(-1, 0, n);
    domOut.fill(-1, 0, n);
    for (let w = 1; w < count; w++) {
      if (dom[w] !== semi[w]) dom[w] = dom[dom[w]!]!;
      idom[preorder[w]!] = preorder[dom[w]!]!;
    }
    // From the last to the first, so that children come out in reverse postorder.
    for (let i = count - 1; i > 0; i--) {
      const b = order[i]!;
      const d = idom[b]!;
      domSibling[b] = domChild[d]!;
      domChild[d] = b;
    }
    if (count === 0) return;
    let depth = 1;
    let clock = 0;
    stack[0] = 0;
    domIn[0] = clock++;
    const next = this.cursor;
    next[0] = domChild[0]!;
    while (depth > 0) {
      const child = next[depth - 1]!;
      if (child < 0) {
        domOut[stack[--depth]!] = clock;
        continue;
      }
      next[depth - 1] = domSibling[child]!;
      domIn[child] = clock++;
      stack[depth] = child;
      next[depth] = domChild[child]!;
      depth++;
    }
  }

  /** The vertex of least semidominator on the path from v's tree root (exclusive) to v, compressing the path. */
  private evaluate(v: number): number {
    const { ancestor, label, semi, stack } = this;
    if (ancestor[v]! < 0) return label[v]!;
    let depth = 0;
    let at = v;
    while (ancestor[ancestor[at]!]! >= 0) {
      stack[depth++] = at;
      at = ancestor[at]!;
    }
    while (depth > 0) {
      const w = stack[--depth]!;
      const up = ancestor[w]!;
      if (semi[label[up]!]! < semi[label[w]!]!) label[w] = label[up]!;
      ancestor[w] = ancestor[up]!;
    }
    return label[v]!;
  }

  /**
   * Loop forest, after computeDominators(). A loop is a header with all that reaches one of its back edges (edges from
   * blocks the header dominates) without passing it. Cycles without such a header don't occur in wasm and are no loops
   * here.
   */
  computeLoops(): void {
    const n = this.blockCount;
    this.loopOf = sized(this.loopOf, n);
    const { loopOf, order, predStart, predBlock, stack } = this;
    loopOf.fill(-1, 0, n);
    this.loopCount = 0;
    for (let i = 0; i < this.orderCount; i++) {
      const b = order[i]!;
      for (let p = predStart[b]!; p < predStart[b + 1]!; p++) {
        if (!this.dominates(b, predBlock[p]!)) continue;
        const loop = this.loopCount++;
        if (loop >= this.loopHeader.length) {
          this.loopHeader = grown(this.loopHeader, loop + 1);
          this.loopParent = grown(this.loopParent, loop + 1);
          this.loopDepth = grown(this.loopDepth, loop + 1);
        }
        this.loopHeader[loop] = b;
        this.loopParent[loop] = -1;
        break;
      }
    }
    const { loopHeader, loopParent, loopDepth } = this;
    // `cursor` is a union-find forest over loops: the outermost loop found so far around a loop.
    const outer = (this.cursor = sized(this.cursor, this.loopCount));
    for (let loop = 0; loop < this.loopCount; loop++) outer[loop] = loop;
    // Inner loops first: a header stands behind the headers around it.
    for (let loop = this.loopCount - 1; loop >= 0; loop--) {
      const header = loopHeader[loop]!;
      let depth = 0;
      // A block is pushed when it joins the loop, so each block (or inner loop) is pushed once: n entries are enough.
      depth = this.join(header, loop, depth);
      for (let p = predStart[header]!; p < predStart[header + 1]!; p++) {
        if (this.dominates(header, predBlock[p]!)) depth = this.join(predBlock[p]!, loop, depth);
      }
      while (depth > 0) {
        const b = stack[--depth]!;
        if (b === header) continue;
        for (let p = predStart[b]!; p < predStart[b + 1]!; p++) depth = this.join(predBlock[p]!, loop, depth);
      }
    }
    for (let loop = 0; loop < this.loopCount; loop++) {
      const up = loopParent[loop]!;
      loopDepth[loop] = up < 0 ? 1 : loopDepth[up]! + 1;
    }
  }

  /**
   * Take a block, or the outermost loop it is in, into `loop`; what is new is pushed for its predecessors to be looked
   * at.
   */
  private join(block: Block, loop: number, depth: number): number {
    const { loopOf, loopParent, loopHeader, stack } = this;
    const outer = this.cursor;
    const inner = loopOf[block]!;
    if (inner < 0) {
      loopOf[block] = loop;
      stack[depth] = block;
      return depth + 1;
    }
    let root = inner;
    while (outer[root] !== root) {
      outer[root] = outer[outer[root]!]!;
      root = outer[root]!;
    }
    if (root === loop) return depth;
    loopParent[root] = loop;
    outer[root] = loop;
    stack[depth] = loopHeader[root]!;
    return depth + 1;
  }
}
