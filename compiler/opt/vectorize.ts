/**
 * Vectorisation of simple counted loops: a loop of one block that does the same to consecutive elements gets a second version in front of it, which
 * does so with vectors of 16 bytes, and leaves the last iterations to the first one.
 *
 *     preheader:  rounds = how often the loop is certain to go round;          -> ranges, if that is enough to be worth it, else loop
 *     ranges:     is all that the vectors touch in bounds, and disjoint?       -> entry, else loop
 *     entry:      splats                                                       -> vectors
 *     vectors:    loads, arithmetic, stores                                    -> vectors, exit
 *     exit:       reductions                                                   -> loop, with its variables as they are after so many iterations
 *
 * Why nothing can tell that from the loop alone:
 *
 * - *Iterations.* The vectors do n iterations of the loop, a multiple of what one vector iteration covers. n is at most `rounds`, and the loop goes round
 *   again after each of its first `rounds` iterations (Counter, and `distance` below), so it would have done those n, and one more at least. That one
 *   is done by the loop itself; so all values that are used behind it are its own.
 * - *Traps.* Nothing in the loop traps or has an effect but loads and stores of the primary memory, and comparisons of their addresses with its length.
 *   Each stream of accesses covers the bytes from `start` to `start + n * stride`, as natural numbers, where `start` is the first access's zero-extended
 *   address plus its offset. The ranges are compared with the memory's length, so they are within it. The length is at most 2^32, so no address wraps on
 *   the way, and the i-th access is where the range says. Memories don't shrink, and nothing in the loop changes the length.
 * - *Order.* A vector iteration does all its loads before its stores. A stream that is stored to is disjoint from each other stream, by comparison of their
 *   ranges, or the other one is loaded from exactly the same addresses, and then each element is loaded before it is stored in the loop, too. So each load
 *   sees what it saw in the loop, and no two stores meet.
 * - *Values.* Lanes compute what scalars do; floats are never reassociated, integers are, which changes nothing modulo 2^n.
 *
 * The loop has no branch but its own, no call, no access of the vmctx but the memory's length: code that counts instructions is not touched.
 */
import { TrapCode } from '../abi/traps.ts';
import { VMCTX } from '../abi/vmctx.ts';
import { bug } from '../diagnostics.ts';
import type { Cfg } from '../ir/cfg.ts';
import { type Block, F_B, type Func, NONE, ROW, type Value } from '../ir/func.ts';
import {
  accessSize,
  MemKind,
  memAccess,
  memIndex,
  memKind,
  OP_FLAGS,
  Op,
  OpFlag,
  Region,
  rawAccess,
  rawRegion,
  Type,
} from '../ir/ops.ts';
import { BoundsChecks } from './bounds-checks.ts';
import { Builder, CountedLoop, type Counter, type Linear, sameTerms } from './counted-loop.ts';
import { Fired, type Tally } from './tally.ts';
import { type Node, Packs, type Stream } from './vector-packs.ts';
import { findReduction, type Reduction, reduceVector } from './vector-reductions.ts';

const VECTOR = 16;
/** Instructions of a loop that is looked at. */
const MOST_INSTRUCTIONS = 160;
/** Elements in an iteration: how often a loop may have been unrolled. */
const MOST_LANES = 16;
/** Comparisons of ranges with each other. */
const MOST_PAIRS = 12;
/** Fewer vector iterations are not worth the comparisons. */
const LEAST_ROUNDS = 4;

const LENGTH = rawAccess(Region.MemoryLength, MemKind.Full);

/** A loop that can be turned, and how. */
interface Plan {
  readonly loop: CountedLoop;
  readonly counter: Counter;
  readonly packs: Packs;
  /** What is stored to each stream, in the order of the loop. */
  readonly stores: readonly { readonly stream: Stream; readonly value: Node }[];
  readonly reductions: readonly Reduction[];
  readonly streams: readonly Stream[];
  readonly pairs: readonly (readonly [Stream, Stream])[];
  /** Iterations that a vector iteration covers; vectors that a pack fills. */
  readonly covers: number;
  readonly parts: number;
}

function sameBytes(x: Stream, y: Stream): boolean {
  return (
    sameTerms(x.address, y.address) && x.address.constant === y.address.constant && x.offset === y.offset
  );
}

export class Vectorizer {
  private readonly bounds = new BoundsChecks();

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
      const plan = this.plan(new CountedLoop(f, block, preheader, back, before), memory);
      if (!plan) continue;
      new Emission(plan, memory).emit();
      fired++;
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

  private plan(loop: CountedLoop, memory: number): Plan | null {
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
    const reductions: Reduction[] = [];
    for (let i = 0; i < loop.next.length; i++) {
      const p = f.param(block, i);
      if (loop.steps.has(p)) continue;
      const reduction = findReduction(loop, p, loop.next[i]!);
      if (!reduction) return null;
      reductions.push(reduction);
    }
    const groups = this.storeGroups(loop, stores);
    const lanes = groups?.[0]?.length ?? reductions[0]?.leaves.length ?? 0;
    const stride = loop.stride(loop.linear(f.a(groups?.[0]?.[0] ?? loads[0] ?? 0)) ?? counter.limit);
    const pitch = stride / lanes;
    if (!groups || lanes === 0 || lanes > MOST_LANES || ![1, 2, 4, 8].includes(pitch)) return null;
    const perVector = VECTOR / pitch;
    if (lanes % perVector !== 0 && perVector % lanes !== 0) return null;

    const packs = new Packs(loop, memory, lanes, pitch);
    const stored: { stream: Stream; value: Node }[] = [];
    for (const group of groups) {
      const kind = memKind(f.imm2(group[0]!));
      if (group.length !== lanes || accessSize(kind, f.type(f.b(group[0]!))) !== pitch) return null;
      const stream = packs.stream(group, true);
      const value = stream && packs.number(group.map(v => f.b(v)));
      if (!value) return null;
      stored.push({ stream, value });
    }
    for (const reduction of reductions) {
      if (reduction.leaves.length !== lanes || !reduction.resolve(packs)) return null;
    }
    const covered = new Set(packs.streams.flatMap(s => s.accesses));
    if (loads.some(v => !covered.has(v))) return null;

    const { streams, pairs } = this.rangesOf(packs.streams, position) ?? {};
    if (!streams || !pairs) return null;
    const covers = Math.max(1, perVector / lanes);
    const parts = Math.max(1, lanes / perVector);
    if (loop.mostRounds(counter) < covers * LEAST_ROUNDS) return null;
    const scalar = position.size * covers;
    const vector = (packs.weight + stored.length + reductions.length) * parts + streams.length + 2;
    if (vector * 4 > scalar * 3) return null;
    return { loop, counter, packs, stores: stored, reductions, streams, pairs, covers, parts };
  }

  /** Whether a check is of the address and extent of an access of the same block: that access is in bounds, so it passes. */
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

  /** Stores that an unrolled loop does to consecutive elements, each group in the order of addresses. */
  private storeGroups(loop: CountedLoop, stores: readonly Value[]): Value[][] | null {
    const { f } = loop;
    const all: { store: Value; address: Linear; at: number }[] = [];
    for (const store of stores) {
      const address = loop.linear(f.a(store));
      if (!address || loop.stride(address) <= 0) return null;
      all.push({ store, address, at: address.constant + (f.imm(store) >>> 0) });
    }
    all.sort((x, y) => x.at - y.at);
    const groups: { first: (typeof all)[0]; stores: Value[] }[] = [];
    for (const each of all) {
      const group = groups.find(
        ({ first }) =>
          sameTerms(first.address, each.address) && each.at - first.at < loop.stride(first.address),
      );
      if (group) group.stores.push(each.store);
      else groups.push({ first: each, stores: [each.store] });
    }
    return groups.map(g => g.stores);
  }

  /** The different ranges, and those pairs of them that have to be disjoint; null: they can't be, or there are too many. */
  private rangesOf(
    all: readonly Stream[],
    position: ReadonlyMap<Value, number>,
  ): { streams: Stream[]; pairs: [Stream, Stream][] } | null {
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
    const pairs: [Stream, Stream][] = [];
    for (const s of all) {
      if (!s.stores) continue;
      for (const t of streams) {
        if (sameBytes(s, t) || pairs.some(([x, y]) => sameBytes(x, t) && sameBytes(y, s))) continue;
        pairs.push([s, t]);
      }
    }
    return pairs.length > MOST_PAIRS ? null : { streams, pairs };
  }
}

/** Makes the blocks of a plan. */
class Emission {
  private readonly f: Func;
  private readonly to: Builder;
  private readonly values = new Map<Node, Value[]>();
  private readonly splats = new Map<Node, Value>();
  /** Address of each stream in the vector loop, and where it starts. */
  private readonly starts = new Map<Stream, Value>();
  private readonly addresses = new Map<Stream, Value>();
  private readonly entry: Block;
  private readonly vectors: Block;
  private entryEnd: Value = 0;

  constructor(
    private readonly plan: Plan,
    private readonly memory: number,
  ) {
    const { f } = plan.loop;
    this.f = f;
    this.to = new Builder(f);
    this.entry = f.newBlock();
    this.vectors = f.newBlock();
  }

  emit(): void {
    const { f, to, plan } = this;
    const { loop, counter, covers, reductions } = plan;
    const { block, preheader } = loop;
    const ranges = f.newBlock();
    const exit = f.newBlock();
    f.loc = f.locOf(f.first[block]!);

    // Preheader.
    const jump = f.terminator(preheader);
    to.before = jump;
    const { rounds, certain } = this.rounds(counter);
    const n = to.emit(Op.And, Type.I32, rounds, to.int(Type.I32, -covers));
    const enough = to.emit(Op.GeU, Type.I32, n, to.int(Type.I32, covers * LEAST_ROUNDS));
    const isWorth = certain === 0 ? enough : to.emit(Op.And, Type.I32, enough, certain);
    const skip = f.rows[jump * ROW + F_B]!;
    f.unlink(jump);
    to.before = 0;
    to.block = preheader;
    to.emit(Op.BrIf, Type.None, isWorth, f.newEdge(ranges), skip);

    // Ranges.
    to.block = ranges;
    const end = to.times(Type.I64, to.emit(Op.ExtendU, Type.I64, n), plan.packs.lanes * plan.packs.pitch);
    const safe = this.rangesAreSafe(end);
    to.emit(Op.BrIf, Type.None, safe, f.newEdge(this.entry), f.newEdge(block, loop.initial));

    // Entry, as far as the vectors' values don't add splats.
    to.block = this.entry;
    const zero = to.int(Type.I64, 0);
    const accumulators = reductions.map(r => r.begin(to, loop));
    this.entryEnd = to.emit(Op.Jump, Type.None, 0, f.newEdge(this.vectors, [zero, ...accumulators]));

    // Vectors.
    to.block = this.vectors;
    const offset = f.addParam(this.vectors, Type.I64);
    const partials = reductions.map(() => f.addParam(this.vectors, Type.V128));
    for (const s of plan.streams)
      this.addresses.set(s, to.emit(Op.Add, Type.I64, this.starts.get(s)!, offset));
    const stored = plan.stores.map(({ value }) => this.value(value));
    const sums = reductions.map((r, i) =>
      this.value(r.node).reduce(
        (sum, x) => to.emit(Op.VBinary, Type.V128, sum, x, 0, 0, r.vec),
        partials[i]!,
      ),
    );
    plan.stores.forEach(({ stream }, i) => {
      stored[i]!.forEach((x, part) => {
        const access = memAccess(MemKind.Full, this.memory);
        to.emit(Op.Store, Type.None, this.address(stream), x, 0, part * VECTOR, access);
      });
    });
    const next = to.emit(Op.Add, Type.I64, offset, to.int(Type.I64, plan.parts * VECTOR));
    const more = to.emit(Op.Ne, Type.I32, next, end);
    to.emit(Op.BrIf, Type.None, more, f.newEdge(this.vectors, [next, ...sums]), f.newEdge(exit));

    // Exit.
    to.block = exit;
    const after = loop.initial.map((start, i) => {
      const p = f.param(block, i);
      const step = loop.steps.get(p);
      if (step !== undefined) return to.emit(Op.Add, Type.I32, start, to.times(Type.I32, n, step));
      const k = reductions.findIndex(r => r.param === p);
      return reduceVector(to, reductions[k]!, sums[k]!, start);
    });
    to.emit(Op.Jump, Type.None, 0, f.newEdge(block, after));
  }

  /**
   * How often the loop is certain to go round again. With F the compared value of the first iteration, and d the distance from there to the limit, in
   * the stride's direction, that of iteration j (from 0) has moved j * 2^shift towards it.
   *
   * - Not equal: as long as j * 2^shift < d, the distance modulo 2^32, the limit is not reached yet.
   * - Ordered, F on the right side of the limit (`certain`): d is the distance as a natural number, and as long as j * 2^shift < d the value lies
   *   between F and the limit, without having wrapped.
   *
   * That holds for all j < d >> shift, since j * 2^shift <= d - 2^shift then. Where F is at the limit, d is 0.
   */
  private rounds(counter: Counter): { rounds: Value; certain: Value } {
    const { to, plan } = this;
    const { relation, stride, shift } = counter;
    const first = to.linear(plan.loop, counter.counted);
    const limit = to.linear(plan.loop, counter.limit);
    const distance =
      stride > 0 ? to.emit(Op.Sub, Type.I32, limit, first) : to.emit(Op.Sub, Type.I32, first, limit);
    const rounds = shift === 0 ? distance : to.emit(Op.ShrU, Type.I32, distance, to.int(Type.I32, shift));
    return { rounds, certain: relation === Op.Ne ? 0 : to.emit(relation, Type.I32, first, limit) };
  }

  /** All ranges in bounds, and those that have to be disjoint are. No sum wraps: addresses and offsets are below 2^32, lengths of ranges below 2^40. */
  private rangesAreSafe(end: Value): Value {
    const { to, plan } = this;
    const length = to.emit(Op.VmLoad, Type.I64, 0, 0, 0, -VMCTX.MEMORY_LENGTH, LENGTH);
    const ends = new Map<Stream, Value>();
    let all = 0;
    const and = (condition: Value) => {
      all = all === 0 ? condition : to.emit(Op.And, Type.I32, all, condition);
    };
    for (const s of plan.streams) {
      const address = to.emit(Op.ExtendU, Type.I64, to.linear(plan.loop, s.address));
      const start = s.offset === 0 ? address : to.emit(Op.Add, Type.I64, address, to.int(Type.I64, s.offset));
      this.starts.set(s, start);
      ends.set(s, to.emit(Op.Add, Type.I64, start, end));
      and(to.emit(Op.LeU, Type.I32, ends.get(s)!, length));
    }
    for (const [x, y] of plan.pairs) {
      const [s, t] = [this.range(x), this.range(y)];
      const below = to.emit(Op.LeU, Type.I32, ends.get(s)!, this.starts.get(t)!);
      const above = to.emit(Op.LeU, Type.I32, ends.get(t)!, this.starts.get(s)!);
      and(to.emit(Op.Or, Type.I32, below, above));
    }
    return all;
  }

  /** The one of equal streams that stands for them. */
  private range(stream: Stream): Stream {
    return this.plan.streams.find(s => sameBytes(s, stream))!;
  }

  private address(stream: Stream): Value {
    return this.addresses.get(this.range(stream))!;
  }

  // ---- values: one vector for each part of a pack

  private value(node: Node): Value[] {
    const known = this.values.get(node);
    if (known) return known;
    const operands = node.operands.map(x => this.value(x));
    const made = Array.from({ length: this.plan.parts }, (_, part) =>
      this.part(
        node,
        operands.map(x => x[part]!),
        part,
      ),
    );
    this.values.set(node, made);
    return made;
  }

  private part(node: Node, [a = 0, b = 0, c = 0]: readonly Value[], part: number): Value {
    const { to } = this;
    switch (node.kind) {
      case 'splat':
        return this.splat(node);
      case 'load': {
        const access = memAccess(MemKind.Full, this.memory);
        return to.emit(Op.Load, Type.V128, this.address(node.stream!), 0, 0, part * VECTOR, access);
      }
      case 'unary':
        return to.emit(Op.VUnary, Type.V128, a, 0, 0, 0, node.vec);
      case 'binary':
        return to.emit(Op.VBinary, Type.V128, a, b, 0, 0, node.vec);
      case 'blend':
        return to.emit(Op.VTernary, Type.V128, a, b, c, 0, node.vec);
      case 'shift':
        return to.emit(Op.VShift, Type.V128, a, this.count(node), 0, 0, node.vec);
      default:
        return bug(node.kind satisfies never);
    }
  }

  /** Rows of the entry. */
  private inEntry(make: (to: Builder) => Value): Value {
    const to = new Builder(this.f);
    to.before = this.entryEnd;
    return make(to);
  }

  private splat(node: Node): Value {
    const known = this.splats.get(node);
    if (known) return known;
    const { loop } = this.plan;
    const made = this.inEntry(to => {
      const scalar = node.scalar === 0 ? to.int(Type.I32, node.constant) : to.outside(loop, node.scalar);
      return to.emit(Op.VSplat, Type.V128, scalar, 0, 0, 0, node.vec);
    });
    this.splats.set(node, made);
    return made;
  }

  private count(node: Node): Value {
    if (node.scalar === 0) return this.inEntry(to => to.int(Type.I32, node.constant));
    const { f } = this;
    const { loop } = this.plan;
    if (f.type(node.scalar) === Type.I32) return this.inEntry(to => to.outside(loop, node.scalar));
    return this.inEntry(to => to.emit(Op.Wrap, Type.I32, to.outside(loop, node.scalar)));
  }
}
