import { describe, expect, it } from 'vitest';
import { Cfg } from '../ir/cfg.ts';
import { Func } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { cpuTime } from './support/cpu-time.ts';

/** A function whose blocks have the given successors: none is a return, one a jump, more a br_table. */
function graph(successors: readonly (readonly number[])[]): Func {
  const f = new Func();
  for (const _ of successors) f.newBlock();
  const index = f.append(0, f.make(Op.IConst, Type.I32, 0, 0, 0, 0, 0));
  successors.forEach((targets, b) => {
    const edges = targets.map(t => f.newEdge(t));
    if (edges.length === 0) f.append(b, f.make(Op.Return, Type.None, 0, 0, 0, 0, 0));
    else if (edges.length === 1) f.append(b, f.make(Op.Jump, Type.None, 0, edges[0]!, 0, 0, 0));
    else f.append(b, f.make(Op.BrTable, Type.None, index, f.listOf(edges), 0, 0, 0));
  });
  return f;
}

function computed(f: Func): Cfg {
  const cfg = new Cfg();
  cfg.compute(f);
  return cfg;
}

/** Dominance by its definition: b can't be reached when a is taken away. */
function dominatesByDefinition(successors: readonly (readonly number[])[], a: number, b: number): boolean {
  const seen = new Set([a]);
  const work = a === 0 ? [] : [0];
  while (work.length > 0) {
    const at = work.pop()!;
    if (seen.has(at)) continue;
    seen.add(at);
    work.push(...successors[at]!);
  }
  return a === b || !seen.has(b);
}

function reachable(successors: readonly (readonly number[])[]): Set<number> {
  const seen = new Set<number>();
  const work = [0];
  while (work.length > 0) {
    const at = work.pop()!;
    if (seen.has(at)) continue;
    seen.add(at);
    work.push(...successors[at]!);
  }
  return seen;
}

function random(seed: number): () => number {
  let s = seed;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) | 0;
    return (s >>> 8) / 0x1000000;
  };
}

describe('Cfg', () => {
  it('orders a diamond and knows its predecessors', () => {
    const cfg = computed(graph([[1, 2], [3], [3], []]));
    expect([...cfg.order.subarray(0, cfg.orderCount)]).toEqual([0, 1, 2, 3]);
    expect(cfg.predCount(3)).toBe(2);
    expect([...cfg.predBlock.subarray(cfg.predStart[3]!, cfg.predStart[4]!)]).toEqual([1, 2]);
    expect([...cfg.idom.subarray(0, 4)]).toEqual([-1, 0, 0, 0]);
  });

  it('leaves out what cannot be reached', () => {
    const cfg = computed(graph([[2], [2], []]));
    expect(cfg.orderCount).toBe(2);
    expect(cfg.orderIndex[1]).toBe(-1);
    expect(cfg.predCount(2)).toBe(1);
  });

  it('finds nested loops and their depths', () => {
    // 0 -> 1 (outer) -> 2 (inner) -> 2 | 3 -> 1 | 4
    const cfg = computed(graph([[1], [2], [2, 3], [1, 4], []]));
    expect(cfg.loopCount).toBe(2);
    expect([0, 1, 2, 3, 4].map(b => cfg.depth(b))).toEqual([0, 1, 2, 1, 0]);
    expect(cfg.isLoopHeader(1) && cfg.isLoopHeader(2)).toBe(true);
    expect(cfg.isLoopHeader(3)).toBe(false);
    expect(cfg.loopParent[cfg.loopOf[2]!]).toBe(cfg.loopOf[1]);
  });

  it('does not hang on an irreducible graph, and finds no loop there', () => {
    const cfg = computed(graph([[1, 2], [2, 3], [1, 3], []]));
    expect(cfg.loopCount).toBe(0);
    expect(cfg.idom[3]).toBe(0);
  });

  it('agrees with the definitions of dominance and of natural loops on random graphs', () => {
    const rnd = random(7);
    for (let round = 0; round < 300; round++) {
      const n = 2 + Math.floor(rnd() * 14);
      const successors = Array.from({ length: n }, () =>
        Array.from({ length: Math.floor(rnd() * 4) }, () => 1 + Math.floor(rnd() * (n - 1))),
      );
      const cfg = computed(graph(successors));
      const live = reachable(successors);
      const dom = (a: number, b: number) => dominatesByDefinition(successors, a, b);
      for (let a = 0; a < n; a++) {
        expect(cfg.isReachable(a)).toBe(live.has(a));
        for (let b = 0; b < n; b++) {
          if (live.has(a) && live.has(b)) expect(cfg.dominates(a, b)).toBe(dom(a, b));
        }
      }
      // A natural loop: what reaches a back edge's source without passing the header.
      for (let loop = 0; loop < cfg.loopCount; loop++) {
        const header = cfg.loopHeader[loop]!;
        const body = new Set([header]);
        const work = [...live].filter(b => successors[b]!.includes(header) && dom(header, b));
        expect(work.length).toBeGreaterThan(0);
        while (work.length > 0) {
          const at = work.pop()!;
          if (body.has(at)) continue;
          body.add(at);
          for (const p of live) if (successors[p]!.includes(at)) work.push(p);
        }
        for (const b of live) {
          let inside = false;
          for (let l = cfg.loopOf[b]!; l >= 0; l = cfg.loopParent[l]!) inside ||= l === loop;
          expect(inside).toBe(body.has(b));
        }
      }
    }
  });

  it('takes 100,000 blocks in a chain, all branching to one join, in little time', () => {
    const n = 100_000;
    const successors = Array.from({ length: n }, (_, b) =>
      b === n - 1 ? [] : b === n - 2 ? [n - 1] : [b + 1, n - 1],
    );
    const f = graph(successors);
    const cfg = new Cfg();
    expect(cpuTime(() => cfg.compute(f))).toBeLessThan(2000);
    expect(cfg.idom[n - 1]).toBe(0);
    expect(cfg.idom[n - 2]).toBe(n - 3);
  });

  it('takes 20,000 nested loops in little time', () => {
    const n = 20_000;
    // Headers 1..n, then latches n+1..2n: latch n+k goes back to header n+1-k.
    const successors: number[][] = [[1]];
    for (let h = 1; h <= n; h++) successors.push([h + 1]);
    for (let k = 1; k <= n; k++) successors.push([n + 1 - k, n + k + 1]);
    successors.push([]);
    const f = graph(successors);
    const cfg = new Cfg();
    expect(cpuTime(() => cfg.compute(f))).toBeLessThan(2000);
    expect(cfg.loopCount).toBe(n);
    expect(cfg.depth(n)).toBe(n);
    expect(cfg.depth(2 * n + 1)).toBe(0);
  });

  it('can be used again for a smaller function', () => {
    const cfg = new Cfg();
    cfg.compute(graph([[1], [2], [1, 3], []]));
    cfg.compute(graph([[1], []]));
    expect(cfg.loopCount).toBe(0);
    expect(cfg.orderCount).toBe(2);
    expect(cfg.depth(1)).toBe(0);
  });
});
