/** Decides whether a counted loop can be done with vectors, and how (vectorize.ts). */
import type { Block, Func, Value } from '../ir/func.ts';
import { accessSize, MemKind, memKind, OP_FLAGS, Op, OpFlag } from '../ir/ops.ts';
import { BoundsChecks } from './bounds-checks.ts';
import { type CountedLoop, type Counter, type Linear, sameTerms } from './counted-loop.ts';
import { type Node, Packs, type Stream } from './vector-packs.ts';
import { findReduction, type Reduction } from './vector-reductions.ts';

/** Bytes of a vector. */
export const VECTOR = 16;
/** Elements in an iteration: how often a loop may have been unrolled. */
const MOST_LANES = 16;
/** Comparisons of ranges with each other. */
const MOST_PAIRS = 12;
/** Fewer iterations of the loop, or of the vectors, are not worth the comparisons. */
const LEAST_ITERATIONS = 16;
const LEAST_ROUNDS = 4;
/**
 * Iterations that a vector has to cover for what is left of them to be worth another one, and nodes that are made twice
 * for it.
 */
const LEAST_OVERLAPPED = 4;
const MOST_OVERLAPPED_NODES = 12;
/** Vectors that one pack may fill, and rows of what is evaluated behind the vectors. */
const MOST_PARTS = 8;
const MOST_EVALUATED = 8;

/** A stream that is stored to, and another one of which it must not change what is loaded or stored. */
export interface Pair {
  readonly store: Stream;
  readonly other: Stream;
  /** Of each element the load comes before the store, and before those of all elements behind it. */
  readonly loadsAhead: boolean;
}

/** A loop that can be turned, and how. */
export interface Plan {
  readonly loop: CountedLoop;
  readonly counter: Counter;
  readonly packs: Packs;
  /** What is stored to each stream, in the order of the loop. */
  readonly stores: readonly { readonly stream: Stream; readonly value: Node }[];
  readonly reductions: readonly Reduction[];
  readonly streams: readonly Stream[];
  readonly pairs: readonly Pair[];
  /** All nodes that are reached from those, operands first, but for what is handed from one iteration to the next. */
  readonly nodes: readonly Node[];
  /** The lanes of vectors are elements from the last one to the first, since memory has them in that order. */
  readonly down: boolean;
  /** Iterations that a vector iteration covers, and elements. */
  readonly covers: number;
  readonly elements: number;
  /** Iterations below which the loop is left as it is. */
  readonly least: number;
  /** What the vectors leave is done by one more of them, which does some iterations again. */
  readonly overlaps: boolean;
}

export function sameBytes(x: Stream, y: Stream): boolean {
  return (
    sameTerms(x.address, y.address) && x.address.constant === y.address.constant && x.offset === y.offset
  );
}

/**
 * Whether a loop loads each element before it stores that one or one behind it. Both streams have as many accesses in
 * an iteration.
 */
function loadsAhead(load: Stream, store: Stream, position: ReadonlyMap<Value, number>): boolean {
  if (load.stores || load.pitch !== store.pitch || load.down !== store.down) return false;
  let first = Infinity;
  for (let k = store.accesses.length - 1; k >= 0; k--) {
    first = Math.min(first, position.get(store.accesses[k]!)!);
    if (position.get(load.accesses[k]!)! > first) return false;
  }
  return true;
}

/** Nodes, and what they are made of, operands first. */
function reachable(roots: readonly Node[]): Node[] {
  const nodes = new Set<Node>();
  const visit = (node: Node): void => {
    if (nodes.has(node)) return;
    node.operands.forEach(visit);
    nodes.add(node);
  };
  roots.forEach(visit);
  return [...nodes];
}

/** A vector that has the value `v` of the last iteration in its last lane, and the whole of it. */
export function lastLane(packs: Packs, have: ReadonlySet<Node>, v: Value): Node | undefined {
  return packs
    .endingIn(v)
    .find(n => have.has(n) && !n.mask && n.kind !== 'splat' && (n.last.zero || n.last.sign));
}

/**
 * Whether the value that `v` has in the last iteration that the vectors do is one of their lanes, or computed from
 * such.
 */
function isEvaluated(loop: CountedLoop, packs: Packs, have: ReadonlySet<Node>, v: Value): boolean {
  const { f } = loop;
  let left = MOST_EVALUATED;
  const visit = (u: Value): boolean => {
    if (loop.isInvariant(u) || lastLane(packs, have, u)) return true;
    if (--left < 0 || f.op(u) === Op.Param || !(OP_FLAGS[f.op(u)]! & OpFlag.Pure)) return false;
    for (let i = 0; i < f.operandCount(u); i++) if (!visit(f.operand(u, i))) return false;
    return true;
  };
  return visit(v);
}

export class Planner {
  private readonly bounds = new BoundsChecks();

  /** @returns null: it can't be done, or does not pay */
  plan(loop: CountedLoop, memory: number): Plan | null {
    const { f, block } = loop;
    const counter = loop.counter();
    if (!counter) return null;
    const position = new Map<Value, number>();
    const loads: Value[] = [];
    const stores: Value[] = [];
    for (let v = f.first[block]!, at = 0; v !== f.terminator(block); v = f.next[v]!, at++) {
      position.set(v, at);
      const op = f.op(v);
      if (op === Op.Load) loads.push(v);
      else if (op === Op.Store) stores.push(v);
      else if (op === Op.TrapNz && !this.isCheckOfAccess(f, block, v)) return null;
    }
    const groups = this.storeGroups(loop, stores);
    if (!groups) return null;
    for (const lanes of this.lanes(loop, groups, loads)) {
      const plan = this.planFor(loop, counter, memory, lanes, groups, position);
      if (plan) return plan;
    }
    return null;
  }

  /** How many elements an iteration may have. */
  private lanes(
    loop: CountedLoop,
    groups: readonly (readonly Value[])[],
    loads: readonly Value[],
  ): readonly number[] {
    if (groups[0]) return [groups[0].length];
    const { f } = loop;
    const load = loads[0]!;
    const address = loop.linear(f.a(load));
    const stride = address ? Math.abs(loop.stride(address)) : 0;
    const kind = memKind(f.imm2(load));
    const lanes = [accessSize(kind, f.type(load)), accessSize(MemKind.Full, f.type(load))].map(
      n => stride / n,
    );
    return [...new Set(lanes)].filter(n => n >= 1 && Number.isInteger(n));
  }

  private planFor(
    loop: CountedLoop,
    counter: Counter,
    memory: number,
    lanes: number,
    groups: readonly (readonly Value[])[],
    position: ReadonlyMap<Value, number>,
  ): Plan | null {
    const { f, block } = loop;
    if (lanes > MOST_LANES) return null;
    const packs = new Packs(loop, memory, lanes);
    const stored: { stream: Stream; value: Node }[] = [];
    for (const group of groups) {
      const size = accessSize(memKind(f.imm2(group[0]!)), f.type(f.b(group[0]!)));
      const stream = group.length === lanes ? packs.stream(group, true) : null;
      if (stream?.pitch !== size) return null;
      const value = packs.number(
        group.map(v => f.b(v)),
        size,
      );
      if (!value) return null;
      stored.push({ stream, value });
    }
    const reductions: Reduction[] = [];
    const handed: Value[] = [];
    for (let i = 0; i < loop.next.length; i++) {
      const p = f.param(block, i);
      if (loop.steps.has(p)) continue;
      const reduction = findReduction(loop, p, loop.next[i]!);
      if (reduction?.resolve(packs)) reductions.push(reduction);
      else if (!reduction) handed.push(loop.next[i]!);
      else return null;
    }
    const nodes = reachable([
      ...stored.map(s => s.value),
      ...reductions.flatMap(r => r.nodes.map(n => n.node)),
    ]);
    const have = new Set(nodes);
    if (!handed.every(v => isEvaluated(loop, packs, have, v))) return null;
    const used = packs.streams.filter(s => s.stores || nodes.some(n => n.stream === s));
    const covered = new Set(used.flatMap(s => s.accesses));
    for (const v of position.keys()) if (f.op(v) === Op.Load && !covered.has(v)) return null;

    const { streams, pairs } = this.rangesOf(used, position) ?? {};
    if (!streams || !pairs) return null;
    // Splats, too: a sum of one value wants whole vectors of it, and so does what makes lanes of twice the size of it.
    const sizes = [...used.map(s => s.pitch), ...nodes.map(n => n.size)];
    const elements = Math.max(lanes, VECTOR / Math.min(...sizes));
    if (
      elements % lanes !== 0 ||
      sizes.some(n => (elements * n) % VECTOR !== 0 || elements * n > VECTOR * MOST_PARTS)
    )
      return null;
    const covers = elements / lanes;
    const least = Math.min(covers * LEAST_ROUNDS, LEAST_ITERATIONS);
    if (loop.mostRounds(counter) < least) return null;
    const parts = (size: number): number => (elements * size) / VECTOR;
    const scalar = position.size * covers;
    const down = used.filter(s => s.down).length * 2 > used.length;
    let vector = streams.length + 2;
    // Those that go the other way are shuffled.
    for (const s of used) if (s.down !== down) vector += parts(s.pitch);
    for (const { node } of reductions.flatMap(r => r.nodes)) vector += parts(node.size);
    for (const { stream } of stored) vector += parts(stream.pitch);
    for (const node of nodes) vector += node.weight * parts(node.size);
    if (vector * 4 > scalar * 3) return null;
    return {
      loop,
      counter,
      packs,
      stores: stored,
      reductions,
      streams,
      pairs,
      nodes,
      down,
      covers,
      elements,
      least,
      overlaps:
        covers >= LEAST_OVERLAPPED &&
        nodes.length <= MOST_OVERLAPPED_NODES &&
        loop.steps.size === loop.next.length &&
        nodes.every(n => n.kind !== 'count' && n.kind !== 'previous'),
    };
  }

  /**
   * Whether a check is of the address and extent of an access of the same block: that access is in bounds, so it
   * passes.
   */
  private isCheckOfAccess(f: Func, block: Block, check: Value): boolean {
    if (!this.bounds.read(f, check)) return false;
    const { address, extent } = this.bounds;
    for (let v = f.first[block]!; v !== f.terminator(block); v = f.next[v]!) {
      const op = f.op(v);
      if ((op !== Op.Load && op !== Op.Store) || f.a(v) !== address) continue;
      const type = op === Op.Load ? f.type(v) : f.type(f.b(v));
      if ((f.imm(v) >>> 0) + accessSize(memKind(f.imm2(v)), type) >= extent) return true;
    }
    return false;
  }

  /** Stores that an unrolled loop does to consecutive elements, each group in the order of elements. */
  private storeGroups(loop: CountedLoop, stores: readonly Value[]): Value[][] | null {
    const { f } = loop;
    const all: { store: Value; address: Linear; at: number }[] = [];
    for (const store of stores) {
      const address = loop.linear(f.a(store));
      if (!address || loop.stride(address) === 0) return null;
      all.push({ store, address, at: address.constant + (f.imm(store) >>> 0) });
    }
    all.sort((x, y) => x.at - y.at);
    const groups: { first: (typeof all)[0]; stores: Value[] }[] = [];
    for (const each of all) {
      const group = groups.find(
        ({ first }) =>
          sameTerms(first.address, each.address) && each.at - first.at < Math.abs(loop.stride(first.address)),
      );
      if (group) group.stores.push(each.store);
      else groups.push({ first: each, stores: [each.store] });
    }
    return groups.map(({ first, stores }) => (loop.stride(first.address) < 0 ? stores.reverse() : stores));
  }

  /**
   * The different ranges, and those pairs of them that have to be compared; null: there are too many, or it would be in
   * vain.
   */
  private rangesOf(
    all: readonly Stream[],
    position: ReadonlyMap<Value, number>,
  ): { streams: Stream[]; pairs: Pair[] } | null {
    const streams: Stream[] = [];
    for (let i = 0; i < all.length; i++) {
      const s = all[i]!;
      if (!streams.some(t => sameBytes(s, t))) streams.push(s);
      for (let j = 0; j < i; j++) {
        const t = all[j]!;
        if (!(s.stores || t.stores) || !sameBytes(s, t)) continue;
        if (s.stores && t.stores) return null;
        // The same bytes are loaded and stored: each element has to be loaded first.
        const [load, store] = s.stores ? [t, s] : [s, t];
        if (load.accesses.some((v, k) => position.get(v)! > position.get(store.accesses[k]!)!)) return null;
      }
    }
    const pairs: Pair[] = [];
    for (const s of all) {
      if (!s.stores) continue;
      for (const t of streams) {
        if (sameBytes(s, t) || pairs.some(p => sameBytes(p.store, t) && sameBytes(p.other, s))) continue;
        const equal = all.filter(u => sameBytes(u, t));
        pairs.push({ store: s, other: t, loadsAhead: equal.every(u => loadsAhead(u, s, position)) });
      }
    }
    return pairs.length > MOST_PAIRS ? null : { streams, pairs };
  }
}
