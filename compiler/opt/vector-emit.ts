/** The blocks that a plan makes: comparisons in front, the loop on vectors, and what its variables are behind it. */
import { VMCTX } from '../abi/vmctx.ts';
import { bug } from '../diagnostics.ts';
import { type Block, F_B, type Func, ROW, type Value } from '../ir/func.ts';
import { MemKind, memAccess, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { VecOp } from '../ir/vec-ops.ts';
import { Builder, type Counter } from './counted-loop.ts';
import { NO_OP, type Node, type Stream, shapeOf, vecOp } from './vector-packs.ts';
import { lastLane, type Plan, sameBytes, VECTOR } from './vector-plan.ts';
import { reduceVector } from './vector-reductions.ts';

const LENGTH = rawAccess(Region.MemoryLength, MemKind.Full);
/** Bytes of two vectors: lower halves of lanes of 64 bits; lower halves of the vectors; upper half down. */
const LOWER_HALVES = [0x03020100, 0x0b0a0908, 0x13121110, 0x1b1a1918];
const LOW_LOW = [0x03020100, 0x07060504, 0x13121110, 0x17161514];
const HIGH = [0x0b0a0908, 0x0f0e0d0c, 0x0b0a0908, 0x0f0e0d0c];

/**
 * Makes the blocks of a plan.
 * @param memory index of the memory that the loop accesses
 */
export function emitVectors(plan: Plan, memory: number): void {
  new Emission(plan, memory).emit();
}

class Emission {
  private readonly f: Func;
  private readonly to: Builder;
  private readonly values = new Map<Node, Value[]>();
  private readonly splats = new Map<Node, Value>();
  /**
   * Parameters of the vector loop for nodes that go from one iteration to the next: numbers that count, and
   * predecessors.
   */
  private readonly carried = new Map<Node, Value>();
  private readonly evaluated = new Map<Value, Value>();
  /** Where the bytes of a stream start, those of its first vector iteration, and those of this one. */
  private readonly starts = new Map<Stream, Value>();
  private readonly bases = new Map<Stream, Value>();
  private readonly addresses = new Map<Stream, Value>();
  private readonly entry: Block;
  private readonly vectors: Block;
  private entryEnd: Value = 0;
  /** Bytes that an element has in the stream of the smallest ones: what the vector loop counts. */
  private unit = 1;

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
    const enough = to.emit(Op.GeU, Type.I32, n, to.int(Type.I32, plan.least));
    const isWorth = certain === 0 ? enough : to.emit(Op.And, Type.I32, enough, certain);
    const skip = f.rows[jump * ROW + F_B]!;
    f.unlink(jump);
    to.before = 0;
    to.block = preheader;
    to.emit(Op.BrIf, Type.None, isWorth, f.newEdge(ranges), skip);

    // Ranges.
    to.block = ranges;
    this.unit = Math.min(...plan.streams.map(s => s.pitch));
    const all = plan.overlaps ? rounds : n;
    const end = this.bytesOf(all);
    const safe = this.rangesAreSafe(end);
    to.emit(Op.BrIf, Type.None, safe, f.newEdge(this.entry), f.newEdge(block, loop.initial));

    // Entry, as far as the vectors' values don't add splats.
    to.block = this.entry;
    const stop = plan.overlaps ? this.bytesOf(n) : end;
    const last = plan.overlaps ? this.lastValues(end) : [];
    const zero = to.int(Type.I64, 0);
    const accumulators = reductions.map(r => r.begin(to, loop));
    const carriers = plan.nodes.filter(n => n.kind === 'count' || n.kind === 'previous');
    const begins = carriers.map(n => this.before(n));
    this.entryEnd = to.emit(
      Op.Jump,
      Type.None,
      0,
      f.newEdge(this.vectors, [zero, ...accumulators, ...begins]),
    );

    // Vectors.
    to.block = this.vectors;
    const offset = f.addParam(this.vectors, Type.I64);
    const partials = reductions.map(() => f.addParam(this.vectors, Type.V128));
    for (const n of carriers) this.carried.set(n, f.addParam(this.vectors, Type.V128));
    this.locate(offset);
    const stored = plan.stores.map(({ value }) => this.value(value));
    const sums = reductions.map((r, i) => {
      let sum = partials[i]!;
      for (const { node, negative } of r.nodes)
        for (const x of this.value(node))
          sum = to.emit(Op.VBinary, Type.V128, sum, x, 0, 0, r.gather(negative));
      return sum;
    });
    this.store(stored);
    const after = carriers.map(n => this.after(n));
    const next = to.emit(Op.Add, Type.I64, offset, to.int(Type.I64, plan.elements * this.unit));
    const more = to.emit(Op.Ne, Type.I32, next, stop);
    to.emit(Op.BrIf, Type.None, more, f.newEdge(this.vectors, [next, ...sums, ...after]), f.newEdge(exit));

    // Exit.
    to.block = exit;
    if (plan.overlaps) {
      this.locateLast(end);
      this.store(last);
    }
    const have = new Set(plan.nodes);
    const variables = loop.initial.map((start, i) => {
      const p = f.param(block, i);
      const step = loop.steps.get(p);
      if (step !== undefined) return to.emit(Op.Add, Type.I32, start, to.times(Type.I32, all, step));
      const k = reductions.findIndex(r => r.param === p);
      return k >= 0 ? reduceVector(to, reductions[k]!, sums[k]!, start) : this.evaluate(loop.next[i]!, have);
    });
    to.emit(Op.Jump, Type.None, 0, f.newEdge(block, variables));
  }

  /** How many bytes the smallest elements of so many iterations take. */
  private bytesOf(iterations: Value): Value {
    const { to, plan } = this;
    const wide = to.emit(Op.ExtendU, Type.I64, iterations);
    return to.times(Type.I64, wide, plan.packs.lanes * this.unit);
  }

  /** Addresses of a vector iteration of which the smallest elements begin at `offset`. */
  private locate(offset: Value): void {
    const { to, plan } = this;
    for (const s of plan.streams) {
      const bytes = to.times(Type.I64, offset, s.pitch / this.unit);
      this.addresses.set(s, to.emit(s.down ? Op.Sub : Op.Add, Type.I64, this.bases.get(s)!, bytes));
    }
  }

  private store(values: readonly (readonly Value[])[]): void {
    const { to, plan } = this;
    plan.stores.forEach(({ stream }, i) => {
      values[i]!.forEach((x, part) => {
        const access = memAccess(MemKind.Full, this.memory);
        const lanes = this.inOrder(stream, x);
        const at = this.placeOf(stream, part) * VECTOR;
        to.emit(Op.Store, Type.None, this.address(stream), lanes, 0, at, access);
      });
    });
  }

  /** Addresses of the vector iteration that ends where the vectors' last one may. There is at least one, so it begins within the ranges. */
  private locateLast(end: Value): void {
    const { to, plan } = this;
    this.locate(to.emit(Op.Sub, Type.I64, end, to.int(Type.I64, plan.elements * this.unit)));
  }

  /** What that one stores, by what is in memory before all others. */
  private lastValues(end: Value): Value[][] {
    this.locateLast(end);
    const values = this.plan.stores.map(({ value }) => this.value(value));
    this.values.clear();
    return values;
  }

  /**
   * How often the loop is certain to go round again. With F the compared value of the first iteration, and d the
   * distance from there to the limit, in the stride's direction, that of iteration j (from 0) has moved j * 2^shift
   * towards it.
   *
   * - Not equal: as long as j * 2^shift < d, the distance modulo 2^32, the limit is not reached yet.
   * - Ordered, F on the right side of the limit (`certain`): d is the distance as a natural number, and as long as j *
   *   2^shift < d the value lies between F and the limit, without having wrapped.
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

  /**
   * All ranges in bounds, and those that have to be disjoint are. No sum wraps: addresses and offsets are below 2^32,
   * lengths of ranges below 2^40. (Where a difference wraps, a range would start below 0, and the first comparison has
   * failed.)
   */
  private rangesAreSafe(end: Value): Value {
    const { to, plan } = this;
    const length = to.emit(Op.VmLoad, Type.I64, 0, 0, 0, -VMCTX.MEMORY_LENGTH, LENGTH);
    const ends = new Map<Stream, Value>();
    let all = 0;
    const and = (condition: Value) => {
      all = all === 0 ? condition : to.emit(Op.And, Type.I32, all, condition);
    };
    const plus = (v: Value, n: number): Value =>
      n === 0 ? v : to.emit(Op.Add, Type.I64, v, to.int(Type.I64, n));
    for (const s of plan.streams) {
      const address = to.emit(Op.ExtendU, Type.I64, to.linear(plan.loop, s.address));
      const bytes = to.times(Type.I64, end, s.pitch / this.unit);
      if (s.down) {
        // No address goes below 0.
        and(to.emit(Op.GeU, Type.I32, plus(address, s.pitch), bytes));
        const ending = plus(address, s.offset + s.pitch);
        ends.set(s, ending);
        this.starts.set(s, to.emit(Op.Sub, Type.I64, ending, bytes));
        this.bases.set(s, plus(ending, -plan.elements * s.pitch));
      } else {
        const start = plus(address, s.offset);
        ends.set(s, to.emit(Op.Add, Type.I64, start, bytes));
        this.starts.set(s, start);
        this.bases.set(s, start);
      }
      and(to.emit(Op.LeU, Type.I32, ends.get(s)!, length));
    }
    for (const { store, other, loadsAhead } of plan.pairs) {
      const [s, t] = [this.range(store), this.range(other)];
      const [from, onward] = [this.starts.get(s)!, this.starts.get(t)!];
      // What is loaded ahead of the stores, in the direction of the loop, is never what has been stored.
      const below = to.emit(Op.LeU, Type.I32, loadsAhead && !s.down ? from : ends.get(s)!, onward);
      const above = to.emit(Op.LeU, Type.I32, loadsAhead && s.down ? onward : ends.get(t)!, from);
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

  /** Which vector of a vector iteration's bytes has the part. */
  private placeOf({ down, pitch }: Stream, part: number): number {
    const parts = (this.plan.elements * pitch) / VECTOR;
    return down === this.plan.down ? part : parts - 1 - part;
  }

  /** Lanes as they are in memory, or from there as they are computed with. */
  private inOrder({ down, pitch }: Stream, x: Value): Value {
    if (down === this.plan.down) return x;
    return this.shuffle(
      x,
      x,
      wordsOf(i => VECTOR - pitch - (i - (i % pitch)) + (i % pitch)),
    );
  }

  // ---- what goes from one iteration to the next. (Lanes may go downwards, plan.down: the first lane of the first vector is the last element's then.)

  /** The vector that has the last element. */
  private lastOf(node: Node): Value {
    return this.value(node).at(this.plan.down ? 0 : -1)!;
  }

  /** What the vector loop begins with, in the entry. */
  private before(node: Node): Value {
    const { to } = this;
    const { loop } = this.plan;
    if (node.kind === 'previous') {
      // Of which only the last element's lane is looked at.
      const splat = vecOp(shapeOf(this.f.type(node.scalar), node.size)!, 'splat')!;
      return to.emit(Op.VSplat, Type.V128, to.outside(loop, node.scalar), 0, 0, 0, splat);
    }
    const first = this.splatOf(to, to.linear(loop, node.linear!), node.size);
    const { down, elements } = this.plan;
    const steps = to.vector(lanesOf(node.size, i => Math.imul(node.constant, down ? elements - 1 - i : i)));
    return to.emit(Op.VBinary, Type.V128, first, steps, 0, 0, node.vec);
  }

  /** What the next iteration gets. */
  private after(node: Node): Value {
    const { to } = this;
    if (node.kind === 'previous') return this.lastOf(node.operands[0]!);
    return to.emit(
      Op.VBinary,
      Type.V128,
      this.carried.get(node)!,
      this.ahead(node, this.plan.elements),
      0,
      0,
      node.vec,
    );
  }

  /** By what numbers go up that count so many elements, in all lanes. */
  private ahead(node: Node, elements: number): Value {
    const by = Math.imul(node.constant, elements);
    return this.inEntry(to => to.vector(lanesOf(node.size, () => by)));
  }

  private splatOf(to: Builder, scalar: Value, size: number): Value {
    return to.emit(Op.VSplat, Type.V128, scalar, 0, 0, 0, vecOp(shapeOf(Type.I32, size)!, 'splat')!);
  }

  /** The last iteration's value of something, behind the vectors. */
  private evaluate(v: Value, have: ReadonlySet<Node>): Value {
    const { f, to } = this;
    const { loop, packs } = this.plan;
    if (loop.isInvariant(v)) return to.outside(loop, v);
    const known = this.evaluated.get(v);
    if (known !== undefined) return known;
    const node = lastLane(packs, have, v);
    let made: Value;
    if (node) {
      const shape = shapeOf(f.type(v), node.size)!;
      const name = node.size >= 4 ? 'extract_lane' : `extract_lane_${node.last.zero ? 'u' : 's'}`;
      const lane = this.plan.down ? 0 : VECTOR / node.size - 1;
      made = to.emit(Op.VExtract, f.type(v), this.lastOf(node), 0, 0, lane, vecOp(shape, name)!);
    } else {
      const [a = 0, b = 0, c = 0] = Array.from({ length: f.operandCount(v) }, (_, i) =>
        this.evaluate(f.operand(v, i), have),
      );
      made = to.emit(f.op(v), f.type(v), a, b, c, f.imm(v), f.imm2(v));
    }
    this.evaluated.set(v, made);
    return made;
  }

  // ---- values: one vector for each part of a pack

  private value(node: Node): Value[] {
    const known = this.values.get(node);
    if (known) return known;
    // What the predecessors have may be made of this loop's own values, in SSA: nothing depends on itself.
    const operands = node.operands.map(x => this.value(x));
    const parts = (this.plan.elements * node.size) / VECTOR;
    const made = Array.from({ length: parts }, (_, part) => this.part(node, operands, part));
    this.values.set(node, made);
    return made;
  }

  private part(node: Node, operands: readonly (readonly Value[])[], part: number): Value {
    const { to } = this;
    const [a = 0, b = 0, c = 0] = operands.map(x => x[part]!);
    switch (node.kind) {
      case 'splat':
        return this.splat(node);
      case 'load': {
        const access = memAccess(MemKind.Full, this.memory);
        const stream = node.stream!;
        const at = this.placeOf(stream, part) * VECTOR;
        return this.inOrder(stream, to.emit(Op.Load, Type.V128, this.address(stream), 0, 0, at, access));
      }
      case 'unary':
        return to.emit(Op.VUnary, Type.V128, a, 0, 0, 0, node.vec);
      case 'binary':
        return to.emit(Op.VBinary, Type.V128, a, b, 0, 0, node.vec);
      case 'blend':
        return to.emit(Op.VTernary, Type.V128, a, b, c, 0, node.vec);
      case 'shift':
        return to.emit(Op.VShift, Type.V128, a, this.shiftCount(node), 0, 0, node.vec);
      case 'extend': {
        const x = operands[0]![part >> 1]!;
        if (part % 2 === 0) return to.emit(Op.VUnary, Type.V128, x, 0, 0, 0, node.vec);
        const high = VecOp[VecOp[node.vec]!.replace('_low_', '_high_') as keyof typeof VecOp];
        if (high !== undefined) return to.emit(Op.VUnary, Type.V128, x, 0, 0, 0, high);
        return to.emit(Op.VUnary, Type.V128, this.shuffle(x, x, HIGH), 0, 0, 0, node.vec);
      }
      case 'narrow':
      case 'join': {
        const [x, y] = [operands[0]![part * 2]!, operands[0]![part * 2 + 1]!];
        if (node.vec !== NO_OP) return to.emit(Op.VBinary, Type.V128, x, y, 0, 0, node.vec);
        return this.shuffle(x, y, node.kind === 'join' ? LOW_LOW : LOWER_HALVES);
      }
      case 'count': {
        const first = this.carried.get(node)!;
        if (part === 0) return first;
        const ahead = this.ahead(node, ((this.plan.down ? -part : part) * VECTOR) / node.size);
        return to.emit(Op.VBinary, Type.V128, first, ahead, 0, 0, node.vec);
      }
      case 'previous': {
        const carried = this.carried.get(node)!;
        if (this.plan.down)
          return this.shuffle(
            a,
            operands[0]![part + 1] ?? carried,
            wordsOf(i => node.size + i),
          );
        const before = operands[0]![part - 1] ?? carried;
        // The last lane of the one, and all but the last of the other.
        const at = VECTOR - node.size;
        return this.shuffle(
          before,
          a,
          wordsOf(i => at + i),
        );
      }
      default:
        return bug(node.kind satisfies never);
    }
  }

  private shuffle(a: Value, b: Value, words: readonly number[]): Value {
    const bytes = this.inEntry(to => to.vector(words));
    return this.to.emit(Op.VShuffle, Type.V128, a, b, bytes);
  }

  /** Rows of the entry. */
  private inEntry(make: (to: Builder) => Value): Value {
    if (this.entryEnd === 0) return make(this.to);
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

  private shiftCount(node: Node): Value {
    if (node.scalar === 0) return this.inEntry(to => to.int(Type.I32, node.constant));
    const { f } = this;
    const { loop } = this.plan;
    if (f.type(node.scalar) === Type.I32) return this.inEntry(to => to.outside(loop, node.scalar));
    return this.inEntry(to => to.emit(Op.Wrap, Type.I32, to.outside(loop, node.scalar)));
  }
}

/** The words of a vector, by its bytes. */
function wordsOf(byte: (i: number) => number): number[] {
  return [0, 4, 8, 12].map(i => byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16) | (byte(i + 3) << 24));
}

/** The words of a vector, by the lowest bits of its lanes: at most 32. */
function lanesOf(size: number, lane: (i: number) => number): number[] {
  return wordsOf(i => (lane(Math.floor(i / size)) >> (8 * (i % size))) & 0xff);
}
