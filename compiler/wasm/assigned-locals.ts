/**
 * Which locals does each block, loop and `if` assign? One linear pass over a body, before it is lowered: a loop header
 * must get its parameters before its body has been seen.
 *
 * Constructs are numbered in the order in which they open. For each one that can have a join (a branch to its label, an
 * `if`, a landing pad) `list` holds the locals that may have another value behind the construct (for a loop: at a later
 * iteration) than before it.
 *
 * A local that only lives inside the construct is left out of its list and of those around it: when its first access
 * anywhere is a `local.set` directly in the construct's own sequence (so it comes before every other access, on every
 * way through the construct) and its last one lies in the same sequence, then neither the code behind nor the next
 * iteration sees its value. Unoptimised code consists of such temporaries, and without this rule would get parameters
 * for all of them at each loop.
 *
 * Lists of nested constructs can be quadratic in size. `carriedValues` of the body's bounds them; beyond it the
 * function keeps its locals in memory (ssa.ts).
 *
 * The body has not been validated. What can't be decoded ends the pass; the walk after it reports the error at the same
 * place, before it needs anything that is missing.
 */
import { CompileError } from '../diagnostics.ts';
import { VEC_OP_COUNT } from '../ir/vec-ops.ts';
import { carriedValues } from './limits.ts';
import { Code, Imm, OPCODE_IMM, OpcodePage } from './opcodes.ts';
import type { Reader } from './reader.ts';
import { skipImmediate, skipType } from './skip.ts';

/**
 * Steps that building the lists may take for each value that branches may carry. Each element is visited once for every
 * construct around it, which is cheap.
 */
const LIST_STEPS = 4;
const MOST_STEPS = 2 ** 22;

const enum Event {
  Set = 0,
  Open = 1,
  Else = 2,
  Close = 3,
}

function grow(a: Int32Array, need: number): Int32Array<ArrayBuffer> {
  const n = new Int32Array(Math.max(need, a.length * 2));
  n.set(a);
  return n;
}

export class AssignedLocals {
  /** For each construct: where its list starts in `locals`, and its length. */
  start = new Int32Array(64);
  length = new Int32Array(64);
  /** Whether a branch goes to the construct's label. */
  targeted = new Uint8Array(64);
  locals = new Int32Array(256);
  constructs = 0;
  /** The lists would be too large: there are none. */
  overBudget = false;

  private end = 0;
  /** Whether it has a join besides its label: an `if`, or the landing pad of a try_table. */
  private joins = new Uint8Array(64);
  /**
   * Event | operand << 2. The operand is a local, a construct, or (Else, Close) a position counted from the first
   * operator.
   */
  private events = new Int32Array(1024);
  private eventCount = 0;
  /** For each open construct: its number, and the number of the sequence (arm) that is being read. */
  private open = new Int32Array(64);
  private sequence = new Int32Array(64);
  private listStart = new Int32Array(64);
  private work = new Int32Array(256);

  // For each local.
  /**
   * Sequence in which the first access is a set; -1: none yet; -2: the first access is a get, or the local is a
   * parameter.
   */
  private home = new Int32Array(64);
  private lastAccess = new Int32Array(64);
  /** Sequence of the last Set event. */
  private lastSet = new Int32Array(64);
  private stamp = new Int32Array(64);

  /** Read the code of a body, from behind its declarations of locals to `r.end`. Moves the reader. */
  compute(r: Reader, localCount: number, paramCount: number): void {
    if (this.home.length < localCount) {
      const size = Math.max(localCount, this.home.length * 2);
      this.home = new Int32Array(size);
      this.lastAccess = new Int32Array(size);
      this.lastSet = new Int32Array(size);
      this.stamp = new Int32Array(size);
    }
    this.home.fill(-2, 0, paramCount);
    this.home.fill(-1, paramCount, localCount);
    this.lastSet.fill(0, 0, localCount);
    this.constructs = 0;
    this.end = 0;
    this.eventCount = 0;
    this.overBudget = false;
    const budget = Math.min(LIST_STEPS * carriedValues(r.end - r.pos), MOST_STEPS);
    try {
      this.scan(r, localCount);
    } catch (e) {
      if (!(e instanceof CompileError)) throw e;
    }
    if (this.constructs > 0) this.build(localCount, budget);
  }

  private event(e: number): void {
    if (this.eventCount === this.events.length) this.events = grow(this.events, 0);
    this.events[this.eventCount++] = e;
  }

  private openConstruct(depth: number, joins: boolean): void {
    const c = this.constructs++;
    if (c === this.start.length) {
      this.start = grow(this.start, 0);
      this.length = grow(this.length, 0);
      const flags = new Uint8Array(this.start.length);
      flags.set(this.targeted);
      this.targeted = flags;
      const all = new Uint8Array(this.start.length);
      all.set(this.joins);
      this.joins = all;
    }
    this.start[c] = 0;
    this.length[c] = 0;
    this.targeted[c] = 0;
    this.joins[c] = joins ? 1 : 0;
    if (depth === this.open.length) {
      this.open = grow(this.open, 0);
      this.sequence = grow(this.sequence, 0);
      this.listStart = grow(this.listStart, 0);
    }
    this.open[depth] = c;
    this.event(Event.Open | (c << 2));
  }

  private scan(r: Reader, localCount: number): void {
    const { home, lastAccess, lastSet } = this;
    // The body itself is sequence 1 at depth 0; constructs start at depth 1.
    let depth = 0;
    let sequences = 1;
    this.sequence[0] = 1;
    const base = r.pos;
    while (r.pos < r.end) {
      const at = r.pos - base;
      const code = r.u8();
      switch (code) {
        case Code.LocalGet: {
          const x = r.u32();
          if (x >= localCount) return;
          if (home[x] === -1) home[x] = -2;
          lastAccess[x] = at;
          break;
        }
        case Code.LocalSet:
        case Code.LocalTee: {
          const x = r.u32();
          if (x >= localCount) return;
          const s = this.sequence[depth]!;
          if (home[x] === -1) home[x] = s;
          lastAccess[x] = at;
          if (lastSet[x] !== s) {
            lastSet[x] = s;
            this.event(Event.Set | (x << 2));
          }
          break;
        }
        case Code.Block:
        case Code.Loop:
        case Code.If:
          skipImmediate(r, Imm.BlockType);
          this.openConstruct(++depth, code === Code.If);
          this.sequence[depth] = ++sequences;
          break;
        case Code.TryTable: {
          skipType(r);
          const clauses = r.u32();
          for (let n = clauses; n > 0; n--) {
            if (r.u8() < 2) r.u32();
            const label = r.u32();
            if (label < depth) this.targeted[this.open[depth - label]!] = 1;
          }
          this.openConstruct(++depth, clauses > 0);
          this.sequence[depth] = ++sequences;
          break;
        }
        case Code.Else:
          if (depth === 0) return;
          this.sequence[depth] = ++sequences;
          this.event(Event.Else | (at << 2));
          break;
        case Code.End:
          if (depth === 0) return;
          this.event(Event.Close | (at << 2));
          depth--;
          break;
        case Code.Br:
        case Code.BrIf:
        case Code.BrOnNull:
        case Code.BrOnNonNull: {
          const label = r.u32();
          if (label < depth) this.targeted[this.open[depth - label]!] = 1;
          break;
        }
        case Code.BrTable:
          for (let n = r.u32() + 1; n > 0; n--) {
            const label = r.u32();
            if (label < depth) this.targeted[this.open[depth - label]!] = 1;
          }
          break;
        case Code.MiscPrefix:
          skipImmediate(r, OPCODE_IMM[OpcodePage.Misc + Math.min(r.u32(), 255)]!);
          break;
        case Code.SimdPrefix:
          skipImmediate(r, OPCODE_IMM[OpcodePage.Simd + Math.min(r.u32(), VEC_OP_COUNT - 1)]!);
          break;
        default:
          skipImmediate(r, OPCODE_IMM[code]!);
      }
    }
  }

  /** The lists, from the events: a construct's list is what it sets itself and what the constructs in it leave over. */
  private build(localCount: number, budget: number): void {
    const { events, stamp } = this;
    stamp.fill(0, 0, localCount);
    let depth = 0;
    let top = 0;
    let sequences = 1;
    let steps = 0;
    this.listStart[0] = 0;
    for (let i = 0; i < this.eventCount; i++) {
      const e = events[i]!;
      switch (e & 3) {
        case Event.Set:
          if (top === this.work.length) this.work = grow(this.work, 0);
          this.work[top++] = e >> 2;
          break;
        case Event.Open:
          depth++;
          this.open[depth] = e >> 2;
          this.sequence[depth] = ++sequences;
          this.listStart[depth] = top;
          break;
        case Event.Else:
          top = this.compact(depth, top, e >> 2);
          this.sequence[depth] = ++sequences;
          break;
        case Event.Close: {
          const from = this.listStart[depth]!;
          steps += top - from;
          top = this.compact(depth, top, e >> 2);
          const c = this.open[depth]!;
          if (this.targeted[c] || this.joins[c]) this.keep(c, from, top);
          steps += top - from;
          depth--;
          break;
        }
      }
      if (steps > budget) {
        this.overBudget = true;
        return;
      }
    }
  }

  /** Drop duplicates, and locals that only live in the sequence that ends at `at`. */
  private compact(depth: number, top: number, at: number): number {
    const { work, home, lastAccess, stamp } = this;
    const sequence = this.sequence[depth]!;
    let to = this.listStart[depth]!;
    for (let i = to; i < top; i++) {
      const x = work[i]!;
      if (stamp[x] === sequence) continue;
      stamp[x] = sequence;
      if (home[x] === sequence && lastAccess[x]! < at) continue;
      work[to++] = x;
    }
    return to;
  }

  private keep(c: number, from: number, to: number): void {
    const length = to - from;
    if (this.end + length > this.locals.length) this.locals = grow(this.locals, this.end + length);
    this.locals.set(this.work.subarray(from, to), this.end);
    this.start[c] = this.end;
    this.length[c] = length;
    this.end += length;
  }
}
