/**
 * A function in SSA form: packed rows.
 *
 * - An instruction is a row of `ROW` int32 fields in `rows`; a value is named by the index of the row that defines it.
 * - Instructions of a block form a doubly linked list (`next`, `prev`, 0 = end: row 0 is a reserved Nop). The last one
 *   is the terminator.
 * - Block parameters are `Param` rows, not linked; each block's are a list in `pool` (`blockParams`).
 * - Lists (call arguments, block parameters, edges' arguments) lie in `pool`: [length, element…]; a list's name is the
 *   index of its length.
 * - An edge is a list too: [1 + n, target block, argument…]: argument i goes to parameter i of the target.
 * - Block 0 is the entry; its parameters are the function's. No edge goes to it.
 * - A block with no rows has been removed; nothing goes to it.
 * - An edge belongs to one terminator; a BrTable may use one edge for several of its indices.
 *
 * Invariants (verify.ts checks them): every use is dominated by its definition; argument and parameter types agree; no
 * row is linked twice; a block ends with exactly one terminator.
 */
import { OP_FLAGS, OP_OPERANDS, Op, OpFlag, type Type } from './ops.ts';

export const ROW = 8;
/** bits 0–15 Op, bits 16–23 Type */
export const F_OP = 0;
export const F_A = 1;
export const F_B = 2;
export const F_C = 3;
export const F_IMM = 4;
export const F_IMM2 = 5;
/** Byte offset in the module of the wasm operator this comes from. */
export const F_LOC = 6;
/** The block a linked row stands in. */
export const F_BLOCK = 7;

/** No value, no block, no list. */
export const NONE = 0;

export type Value = number;
export type Block = number;
export type List = number;
export type Edge = number;

function grow(a: Int32Array, need: number): Int32Array<ArrayBuffer> {
  const n = new Int32Array(Math.max(need, a.length * 2));
  n.set(a);
  return n;
}

/** A try_table, for the unwinder: what it catches, and in which order try_tables lie around each other. */
export interface TryScope {
  /** The scope around it, or -1: a lower number. */
  readonly parent: number;
  /** Number of its first clause; clauses are counted through the function. */
  readonly first: number;
  /** For each clause its tag, or -1: everything. */
  readonly tags: readonly number[];
}

/** [wasm offset, number of operands, their types' place in FuncDebug.operandTypes] */
export const POINT = 3;

/** Of a function of debug code (wasm/debug-code.ts): offsets are in its stack slots. */
export interface FuncDebug {
  /** ValType and home of each local. */
  readonly localTypes: Int32Array;
  readonly localOffsets: Int32Array;
  /** Home of the lowest operand; each further one lies 16 bytes above. */
  readonly operands: number;
  /** POINT records; a SeqPoint names one. */
  readonly points: Int32Array;
  /** Erased ValTypes. */
  readonly operandTypes: Uint8Array;
}

export class Func {
  rows = new Int32Array(ROW * 256);
  next = new Int32Array(256);
  prev = new Int32Array(256);
  /** Number of rows, row 0 included. */
  count = 1;
  pool = new Int32Array(1024);
  poolEnd = 1;
  blockCount = 0;
  /** For each block: first and last linked row (0: empty), list of parameters. */
  first = new Int32Array(32);
  last = new Int32Array(32);
  params = new Int32Array(32);
  /** Sizes in bytes of stack slots (thunks only; 16-aligned). */
  slots: number[] = [];
  /** What Invokes name. */
  scopes: TryScope[] = [];
  /** null: not debug code. */
  debug: FuncDebug | null = null;
  /** Result types. */
  results: Type[] = [];
  /** Loc given to rows that are made. */
  loc = 0;

  constructor(
    /** Function index in the module; thunks have indices behind the last function (see thunks.ts). */
    public index = 0,
    public name = '',
  ) {}

  /** Forget everything, keep the storage: scratch state is reused from function to function. */
  reset(index: number, name: string): void {
    this.index = index;
    this.name = name;
    this.count = 1;
    this.poolEnd = 1;
    this.blockCount = 0;
    this.slots = [];
    this.debug = null;
    this.scopes = [];
    this.results = [];
    this.loc = 0;
  }

  // ---- reading rows
  op(v: Value): Op {
    return this.rows[v * ROW]! & 0xffff;
  }
  type(v: Value): Type {
    return (this.rows[v * ROW]! >>> 16) & 0xff;
  }
  a(v: Value): number {
    return this.rows[v * ROW + F_A]!;
  }
  b(v: Value): number {
    return this.rows[v * ROW + F_B]!;
  }
  c(v: Value): number {
    return this.rows[v * ROW + F_C]!;
  }
  imm(v: Value): number {
    return this.rows[v * ROW + F_IMM]!;
  }
  imm2(v: Value): number {
    return this.rows[v * ROW + F_IMM2]!;
  }
  locOf(v: Value): number {
    return this.rows[v * ROW + F_LOC]!;
  }
  blockOf(v: Value): Block {
    return this.rows[v * ROW + F_BLOCK]!;
  }

  // ---- making rows
  /** A row that is in no block yet. */
  make(op: Op, type: Type, a: number, b: number, c: number, imm: number, imm2: number): Value {
    const v = this.count++;
    if (v >= this.next.length) {
      this.rows = grow(this.rows, (v + 1) * ROW);
      this.next = grow(this.next, v + 1);
      this.prev = grow(this.prev, v + 1);
    }
    const r = this.rows;
    const i = v * ROW;
    r[i] = op | (type << 16);
    r[i + F_A] = a;
    r[i + F_B] = b;
    r[i + F_C] = c;
    r[i + F_IMM] = imm;
    r[i + F_IMM2] = imm2;
    r[i + F_LOC] = this.loc;
    r[i + F_BLOCK] = 0;
    this.next[v] = 0;
    this.prev[v] = 0;
    return v;
  }

  /** Link a row at the end of a block. */
  append(block: Block, v: Value): Value {
    const last = this.last[block]!;
    this.prev[v] = last;
    this.next[v] = 0;
    if (last === 0) this.first[block] = v;
    else this.next[last] = v;
    this.last[block] = v;
    this.rows[v * ROW + F_BLOCK] = block;
    return v;
  }

  /** Link `v` directly before the linked row `at`. */
  insertBefore(at: Value, v: Value): Value {
    const block = this.blockOf(at);
    const p = this.prev[at]!;
    this.prev[v] = p;
    this.next[v] = at;
    this.prev[at] = v;
    if (p === 0) this.first[block] = v;
    else this.next[p] = v;
    this.rows[v * ROW + F_BLOCK] = block;
    return v;
  }

  /** Unlink a row from its block. The row stays readable. */
  unlink(v: Value): void {
    const block = this.blockOf(v);
    const p = this.prev[v]!;
    const n = this.next[v]!;
    if (p === 0) this.first[block] = n;
    else this.next[p] = n;
    if (n === 0) this.last[block] = p;
    else this.prev[n] = p;
    this.next[v] = 0;
    this.prev[v] = 0;
  }

  // ---- blocks
  newBlock(): Block {
    const b = this.blockCount++;
    if (b >= this.first.length) {
      this.first = grow(this.first, b + 1);
      this.last = grow(this.last, b + 1);
      this.params = grow(this.params, b + 1);
    }
    this.first[b] = 0;
    this.last[b] = 0;
    this.params[b] = NONE;
    return b;
  }

  /** Add a parameter to a block (its list is remade: give all at once where it matters). */
  addParam(block: Block, type: Type): Value {
    const old = this.params[block]!;
    const n = old === NONE ? 0 : this.pool[old]!;
    const v = this.make(Op.Param, type, block, 0, 0, n, 0);
    this.rows[v * ROW + F_BLOCK] = block;
    const list = this.newList(n + 1);
    for (let i = 0; i < n; i++) this.pool[list + 1 + i] = this.pool[old + 1 + i]!;
    this.pool[list + 1 + n] = v;
    this.params[block] = list;
    return v;
  }

  /** Give block `to`, which has no parameters, such as block `from` has. */
  copyParams(from: Block, to: Block): void {
    const n = this.paramCount(from);
    if (n === 0) return;
    const list = this.newList(n);
    for (let i = 0; i < n; i++) {
      const v = this.make(Op.Param, this.type(this.param(from, i)), to, 0, 0, i, 0);
      this.rows[v * ROW + F_BLOCK] = to;
      this.pool[list + 1 + i] = v;
    }
    this.params[to] = list;
  }

  paramCount(block: Block): number {
    const l = this.params[block]!;
    return l === NONE ? 0 : this.pool[l]!;
  }
  param(block: Block, i: number): Value {
    return this.pool[this.params[block]! + 1 + i]!;
  }

  // ---- lists
  newList(length: number): List {
    const at = this.poolEnd;
    this.poolEnd += length + 1;
    if (this.poolEnd > this.pool.length) this.pool = grow(this.pool, this.poolEnd);
    this.pool[at] = length;
    return at;
  }
  listOf(values: ArrayLike<number>): List {
    const l = this.newList(values.length);
    for (let i = 0; i < values.length; i++) this.pool[l + 1 + i] = values[i]!;
    return l;
  }
  listLength(l: List): number {
    return l === NONE ? 0 : this.pool[l]!;
  }
  listAt(l: List, i: number): number {
    return this.pool[l + 1 + i]!;
  }

  // ---- edges
  newEdge(target: Block, args: ArrayLike<Value> = []): Edge {
    const l = this.newList(1 + args.length);
    this.pool[l + 1] = target;
    for (let i = 0; i < args.length; i++) this.pool[l + 2 + i] = args[i]!;
    return l;
  }
  edgeTarget(e: Edge): Block {
    return this.pool[e + 1]!;
  }
  edgeArgCount(e: Edge): number {
    return this.pool[e]! - 1;
  }
  edgeArg(e: Edge, i: number): Value {
    return this.pool[e + 2 + i]!;
  }

  // ---- terminators
  terminator(block: Block): Value {
    return this.last[block]!;
  }
  /** Number of outgoing edges of a terminator. */
  succCount(term: Value): number {
    switch (this.op(term)) {
      case Op.Jump:
        return 1;
      case Op.BrIf:
      case Op.Invoke:
        return 2;
      case Op.BrTable:
        return this.listLength(this.b(term));
      default:
        return 0;
    }
  }
  succEdge(term: Value, i: number): Edge {
    switch (this.op(term)) {
      case Op.BrTable:
        return this.listAt(this.b(term), i);
      default:
        return i === 0 ? this.b(term) : this.c(term);
    }
  }

  /**
   * Give a terminator other edges. One that stands at neighbouring places of a BrTable is mapped once.
   * @param to the same edge, or another one
   * @returns whether any is another one
   */
  mapEdges(term: Value, to: (edge: Edge) => Edge): boolean {
    const count = this.succCount(term);
    let changed = false;
    let before: Edge = NONE;
    let after: Edge = NONE;
    for (let k = 0; k < count; k++) {
      const edge = this.succEdge(term, k);
      if (edge !== before) {
        before = edge;
        after = to(edge);
      }
      if (after === edge) continue;
      changed = true;
      if (this.op(term) === Op.BrTable) this.pool[this.b(term) + 1 + k] = after;
      else this.rows[term * ROW + (k === 0 ? F_B : F_C)] = after;
    }
    return changed;
  }

  // ---- generic operand access: fixed operands A..C, then list elements; edges' arguments are not operands
  operandCount(v: Value): number {
    const op = this.op(v);
    let n = OP_OPERANDS[op]!;
    if (op === Op.CallIndirect && this.c(v) !== NONE) n++;
    if (OP_FLAGS[op]! & OpFlag.ListB) n += this.listLength(this.b(v));
    return n;
  }
  operand(v: Value, i: number): Value {
    const op = this.op(v);
    let fixed = OP_OPERANDS[op]!;
    if (i < fixed) return this.rows[v * ROW + F_A + i]!;
    if (op === Op.CallIndirect && this.c(v) !== NONE) {
      if (i === fixed) return this.c(v);
      fixed++;
    }
    return this.pool[this.b(v) + 1 + (i - fixed)]!;
  }
}
