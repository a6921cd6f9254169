/**
 * SSA construction for structured control flow: the current value of each local, labels with their incoming edges,
 * block parameters.
 *
 * A *label* is where branches go: the end of a block or `if`, the header of a loop. Its *columns* are what every edge
 * to it must say: the values of the label's types (from the operand stack), then those of the locals in the construct's
 * list (assigned-locals.ts). An edge writes one row of them when its branch is met. A block's label is joined when its
 * end is reached: columns in which all edges agree need no parameter. A column that differs, and every column of a loop
 * header, becomes a *token*: a parameter that may be needed. A token that is read for the first time is turned into a
 * block parameter; tokens that nobody reads never exist in the IR, nor do their edges' arguments. So what comes out is
 * pruned SSA. Argument lists are written last (`finish`), when it is known which parameters there are; asking for an
 * argument may call for further parameters, until nothing is added.
 *
 * Values of locals, and elements of rows, are handles: positive = IR value, negative = -token. Tokens 1..7 are the
 * zeros of the value types (what locals start with), made in the entry block when first read.
 *
 * The rows of a function with very many locals and branches would be quadratic in its size, and so would its SSA form
 * in the worst case. Beyond `carriedValues` of its size a function is built again with its locals in memory, in a stack
 * slot, which is linear always.
 */
import { CompileError } from '../diagnostics.ts';
import { F_B, F_BLOCK, F_C, type Func, ROW, type Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { carriedValues, mostBranchValues } from './limits.ts';
import { ValType } from './module.ts';
import { irType } from './types.ts';

export type Label = number;
export const NO_LABEL = -1;

/** Thrown (and caught by lower.ts) when the row budget is used up. */
export const RESTART_IN_MEMORY = new Error('too many values carried by branches: locals move to memory');

/** Fields of a label. */
const enum L {
  /** Block of a loop from the start, of another label once it is joined; 0: none. */
  Block = 0,
  Arity,
  /** The construct's locals: start in the list array, length. */
  Locals,
  LocalCount,
  FirstEdge,
  LastEdge,
  /** Tokens that have become parameters, in order. */
  FirstParam,
  LastParam,
  ParamCount,
  SIZE,
}
/** Fields of an edge. */
const enum E {
  /** Terminator row. */
  Term = 0,
  /**
   * Where the terminator names the edge: EDGE_B, EDGE_C, or the place in the pool (an element of a br_table's list).
   */
  Place,
  Row,
  /** Next edge of the label. */
  Next,
  /** br_table: next edge from the same terminator to the same label: has the same row, is not in the label's list. */
  Twin,
  SIZE,
}
/** Fields of a token. */
const enum T {
  Label = 0,
  Column,
  Type,
  /** The IR value, once there is one. */
  Value,
  /** Next parameter of the label. */
  Next,
  SIZE,
}
const FIRST_TOKEN = 8;
export const EDGE_B = -1;
export const EDGE_C = -2;

function grow(a: Int32Array, need: number): Int32Array<ArrayBuffer> {
  const n = new Int32Array(Math.max(need, a.length * 2));
  n.set(a);
  return n;
}

export class Ssa {
  func!: Func;
  /** The block that is being filled; only meaningful while `live`. */
  block = 0;
  /** Whether the code that is read can be reached: nothing is built otherwise. */
  live = false;

  private localTypes: Int32Array = new Int32Array(0);
  private current = new Int32Array(64);
  /** Locals lie in stack slot 0, at these offsets. */
  private inMemory = false;
  private offsets = new Int32Array(0);
  private localCount = 0;
  /** Lists of locals of constructs. */
  private lists: Int32Array = new Int32Array(0);

  private labels = new Int32Array(L.SIZE * 64);
  private labelTypes: (readonly ValType[])[] = [];
  private labelCount = 0;
  private edges = new Int32Array(E.SIZE * 128);
  private edgeCount = 1;
  private tokens = new Int32Array(T.SIZE * 128);
  private tokenCount = FIRST_TOKEN;
  private rows = new Int32Array(1024);
  private rowEnd = 0;
  private rowLimit = 0;
  /** Tokens that became parameters: work for `finish`. */
  private demanded = new Int32Array(128);
  private demandedCount = 0;
  /** For each label: edge of the br_table that is being built, valid if `brTableStamp` is the current one. */
  private brTableEdge = new Int32Array(64);
  private brTableStamp = new Int32Array(64);
  private brTables = 0;

  /**
   * Begin a function: entry block with one parameter for each of the first `paramCount` locals.
   * @param localTypes ValType of each local
   * @param lists storage of the constructs' lists
   * @param bodyBytes size of the body, which bounds what its branches may carry
   * @param build false: nothing is built (validation only)
   */
  begin(
    func: Func,
    localTypes: Int32Array,
    localCount: number,
    paramCount: number,
    lists: Int32Array,
    inMemory: boolean,
    bodyBytes: number,
    build: boolean,
  ): void {
    this.func = func;
    this.localTypes = localTypes;
    this.lists = lists;
    this.inMemory = inMemory;
    this.localCount = localCount;
    this.labelCount = 0;
    this.labelTypes.length = 0;
    this.edgeCount = 1;
    this.rowEnd = 0;
    this.rowLimit = inMemory ? mostBranchValues(bodyBytes) : carriedValues(bodyBytes);
    this.demandedCount = 0;
    this.tokens.fill(0, 0, FIRST_TOKEN * T.SIZE);
    for (let t = 1; t < FIRST_TOKEN; t++) this.tokens[t * T.SIZE + T.Type] = irType(t as ValType);
    this.tokenCount = FIRST_TOKEN;
    this.live = build;
    if (!build) return;
    this.block = func.newBlock();
    if (this.current.length < localCount) this.current = grow(this.current, localCount);
    const params = func.newList(paramCount);
    func.params[this.block] = params;
    for (let i = 0; i < paramCount; i++) {
      const v = this.makeParam(irType(localTypes[i]!), this.block, i);
      func.pool[params + 1 + i] = v;
      this.current[i] = v;
    }
    for (let i = paramCount; i < localCount; i++)
      this.current[i] = -Math.min(localTypes[i]!, ValType.FuncRef);
    if (inMemory) this.spillLocals(localCount);
  }

  // ---- rows of the current block
  emit(op: Op, type: Type, a: number, b: number, c: number, imm: number, imm2: number): Value {
    return this.func.append(this.block, this.func.make(op, type, a, b, c, imm, imm2));
  }

  /** An i32 or i64 constant within the int32 range. */
  int(type: Type, value: number): Value {
    return this.emit(Op.IConst, type, 0, 0, 0, value, type === Type.I32 ? 0 : value >> 31);
  }

  /** End the block. Its terminator's edges to labels are given by `branch`. */
  terminate(op: Op, a: number, b: number, c: number, imm: number): Value {
    this.live = false;
    return this.emit(op, Type.None, a, b, c, imm, 0);
  }

  /** Start to fill a block. */
  enter(block: number): void {
    this.block = block;
    this.live = true;
  }

  private makeParam(type: Type, block: number, position: number): Value {
    const v = this.func.make(Op.Param, type, block, 0, 0, position, 0);
    this.func.rows[v * ROW + F_BLOCK] = block;
    return v;
  }

  // ---- locals
  getLocal(x: number): Value {
    if (this.inMemory) {
      const type = irType(this.localTypes[x]!);
      return this.emit(
        Op.RawLoad,
        type,
        this.slot(),
        0,
        0,
        this.offsets[x]!,
        rawAccess(Region.Args, MemKind.Full),
      );
    }
    const v = this.current[x]!;
    return v > 0 ? v : this.resolve(v);
  }

  setLocal(x: number, v: Value): void {
    if (this.inMemory) this.store(x, v);
    else this.current[x] = v;
  }

  /** Where each local lies in stack slot 0, if they live there. */
  localOffsets(): Int32Array {
    return this.offsets.slice(0, this.localCount);
  }

  private slot(): Value {
    return this.emit(Op.SlotAddr, Type.I64, 0, 0, 0, 0, 0);
  }

  private store(x: number, v: Value): void {
    this.emit(
      Op.RawStore,
      Type.None,
      this.slot(),
      v,
      0,
      this.offsets[x]!,
      rawAccess(Region.Args, MemKind.Full),
    );
  }

  private spillLocals(localCount: number): void {
    if (this.offsets.length < localCount) this.offsets = new Int32Array(localCount);
    let at = 0;
    for (let x = 0; x < localCount; x++) {
      const size = this.localTypes[x] === ValType.V128 ? 16 : 8;
      at = (at + size - 1) & -size;
      this.offsets[x] = at;
      at += size;
    }
    this.func.slots.push((at + 15) & ~15);
    for (let x = 0; x < localCount; x++) this.store(x, this.resolve(this.current[x]!));
  }

  // ---- tokens
  private newToken(label: Label, column: number, type: Type): number {
    const t = this.tokenCount++;
    const i = t * T.SIZE;
    if (i + T.SIZE > this.tokens.length) this.tokens = grow(this.tokens, i + T.SIZE);
    const { tokens } = this;
    tokens[i + T.Label] = label;
    tokens[i + T.Column] = column;
    tokens[i + T.Type] = type;
    tokens[i + T.Value] = 0;
    tokens[i + T.Next] = 0;
    return t;
  }

  /** The IR value of a handle. */
  private resolve(handle: number): Value {
    if (handle > 0) return handle;
    const v = this.tokens[-handle * T.SIZE + T.Value]!;
    return v !== 0 ? v : this.materialize(-handle);
  }

  /** The same value as the same handle, as long as no further tokens are resolved. */
  private canonical(handle: number): number {
    if (handle > 0) return handle;
    const v = this.tokens[-handle * T.SIZE + T.Value]!;
    return v !== 0 ? v : handle;
  }

  private materialize(t: number): Value {
    const { tokens, labels } = this;
    const i = t * T.SIZE;
    const type = tokens[i + T.Type]! as Type;
    if (t < FIRST_TOKEN) return (tokens[i + T.Value] = this.zero(type));
    const l = tokens[i + T.Label]! * L.SIZE;
    const v = this.makeParam(type, labels[l + L.Block]!, labels[l + L.ParamCount]!++);
    tokens[i + T.Value] = v;
    const last = labels[l + L.LastParam]!;
    if (last === 0) labels[l + L.FirstParam] = t;
    else tokens[last * T.SIZE + T.Next] = t;
    labels[l + L.LastParam] = t;
    if (this.demandedCount === this.demanded.length) this.demanded = grow(this.demanded, 0);
    this.demanded[this.demandedCount++] = t;
    return v;
  }

  /** A zero at the top of the entry block, which dominates everything. */
  private zero(type: Type): Value {
    const { func } = this;
    const entry = 0;
    const op =
      type === Type.V128 ? Op.VConst : type === Type.F32 || type === Type.F64 ? Op.FConst : Op.IConst;
    const v = func.make(op, type, 0, 0, 0, type === Type.V128 ? func.listOf([0, 0, 0, 0]) : 0, 0);
    const first = func.first[entry]!;
    return first === 0 ? func.append(entry, v) : func.insertBefore(first, v);
  }

  // ---- labels
  /**
   * @param types of the values that branches to the label carry
   * @param listStart the construct's locals, in the storage of lists
   */
  newLabel(types: readonly ValType[], listStart: number, listLength: number): Label {
    const label = this.labelCount++;
    const i = label * L.SIZE;
    if (i + L.SIZE > this.labels.length) {
      this.labels = grow(this.labels, i + L.SIZE);
    }
    if (label >= this.brTableEdge.length) {
      this.brTableEdge = grow(this.brTableEdge, label + 1);
      this.brTableStamp = grow(this.brTableStamp, label + 1);
    }
    this.labels.fill(0, i, i + L.SIZE);
    this.labels[i + L.Arity] = types.length;
    this.labels[i + L.Locals] = listStart;
    this.labels[i + L.LocalCount] = this.inMemory ? 0 : listLength;
    this.labelTypes.push(types);
    this.brTableStamp[label] = 0;
    return label;
  }

  /** A row for a label: `arity` values from `stack[from…]` and the locals' current ones. */
  saveRow(label: Label, arity: number, stack: Int32Array, from: number): number {
    const i = label * L.SIZE;
    const locals = this.labels[i + L.Locals]!;
    const localCount = this.labels[i + L.LocalCount]!;
    const row = this.rowEnd;
    this.rowEnd += arity + localCount;
    if (this.rowEnd > this.rowLimit) this.overBudget();
    if (this.rowEnd > this.rows.length) this.rows = grow(this.rows, this.rowEnd);
    const { rows, lists, current } = this;
    let to = row;
    for (let k = 0; k < arity; k++) rows[to++] = stack[from + k]!;
    for (let k = 0; k < localCount; k++) rows[to++] = current[lists[locals + k]!]!;
    return row;
  }

  private overBudget(): never {
    if (!this.inMemory) throw RESTART_IN_MEMORY;
    const message = `function too complex: its branches carry more than ${this.rowLimit} values`;
    throw new CompileError(message, this.func.loc, 'limit', this.func.index);
  }

  private labelRow(label: Label, stack: Int32Array, from: number): number {
    return this.saveRow(label, this.labels[label * L.SIZE + L.Arity]!, stack, from);
  }

  /** An edge from a terminator to a label, with the values at `stack[from…]`. */
  branch(label: Label, term: Value, place: number, stack: Int32Array, from: number): void {
    this.addEdge(label, term, place, this.labelRow(label, stack, from));
  }

  /** An edge with a row saved before. */
  addEdge(label: Label, term: Value, place: number, row: number): number {
    const e = this.edgeCount++;
    const i = e * E.SIZE;
    if (i + E.SIZE > this.edges.length) this.edges = grow(this.edges, i + E.SIZE);
    const { edges, labels } = this;
    edges[i + E.Term] = term;
    edges[i + E.Place] = place;
    edges[i + E.Row] = row;
    edges[i + E.Next] = 0;
    edges[i + E.Twin] = 0;
    const l = label * L.SIZE;
    const last = labels[l + L.LastEdge]!;
    if (last === 0) labels[l + L.FirstEdge] = e;
    else edges[last * E.SIZE + E.Next] = e;
    labels[l + L.LastEdge] = e;
    return e;
  }

  /** Begin a br_table: edges from it to one label share a row. */
  beginBrTable(): void {
    this.brTables++;
  }
  branchOfTable(label: Label, term: Value, place: number, stack: Int32Array, from: number): void {
    if (this.brTableStamp[label] !== this.brTables) {
      this.brTableStamp[label] = this.brTables;
      this.brTableEdge[label] = this.addEdge(label, term, place, this.labelRow(label, stack, from));
      return;
    }
    const first = this.brTableEdge[label]! * E.SIZE;
    const e = this.edgeCount++;
    const i = e * E.SIZE;
    if (i + E.SIZE > this.edges.length) this.edges = grow(this.edges, i + E.SIZE);
    const { edges } = this;
    edges[i + E.Term] = term;
    edges[i + E.Place] = place;
    edges[i + E.Row] = edges[first + E.Row]!;
    edges[i + E.Next] = 0;
    edges[i + E.Twin] = edges[first + E.Twin]!;
    edges[first + E.Twin] = e;
  }

  hasEdges(label: Label): boolean {
    return this.labels[label * L.SIZE + L.FirstEdge] !== 0;
  }

  /**
   * Make the locals of a construct what they were when `row` was saved, and copy its `arity` values to `stack[to…]`.
   */
  restore(label: Label, row: number, arity: number, stack: Int32Array, to: number): void {
    const i = label * L.SIZE;
    const locals = this.labels[i + L.Locals]!;
    const localCount = this.labels[i + L.LocalCount]!;
    for (let k = 0; k < arity; k++) stack[to + k] = this.rows[row + k]!;
    for (let k = 0; k < localCount; k++) this.current[this.lists[locals + k]!] = this.rows[row + arity + k]!;
  }

  /** Go on behind a label that has edges: a new block. The label's values come to `stack[to…]`. */
  join(label: Label, stack: Int32Array, to: number): void {
    const i = label * L.SIZE;
    const block = this.func.newBlock();
    this.labels[i + L.Block] = block;
    this.enter(block);
    const firstEdge = this.labels[i + L.FirstEdge]! * E.SIZE;
    const firstRow = this.edges[firstEdge + E.Row]!;
    const arity = this.labels[i + L.Arity]!;
    if (this.edges[firstEdge + E.Next] === 0) {
      this.restore(label, firstRow, arity, stack, to);
      return;
    }
    const types = this.labelTypes[label]!;
    for (let k = 0; k < arity; k++) {
      stack[to + k] = this.agreed(firstEdge, k) || this.resolve(-this.newToken(label, k, irType(types[k]!)));
    }
    const locals = this.labels[i + L.Locals]!;
    const localCount = this.labels[i + L.LocalCount]!;
    for (let k = 0; k < localCount; k++) {
      const x = this.lists[locals + k]!;
      this.current[x] =
        this.agreed(firstEdge, arity + k) || -this.newToken(label, arity + k, irType(this.localTypes[x]!));
    }
  }

  /** The value of a column if it is the same on all edges, else 0. */
  private agreed(firstEdge: number, column: number): number {
    const { edges, rows } = this;
    const v = this.canonical(rows[edges[firstEdge + E.Row]! + column]!);
    for (let e = edges[firstEdge + E.Next]!; e !== 0; e = edges[e * E.SIZE + E.Next]!) {
      if (this.canonical(rows[edges[e * E.SIZE + E.Row]! + column]!) !== v) return 0;
    }
    return v;
  }

  /**
   * Enter a loop whose label is branched to: a header block, entered from here. Its values replace those at
   * `stack[from…]`.
   */
  openLoop(label: Label, stack: Int32Array, from: number): void {
    const i = label * L.SIZE;
    const header = this.func.newBlock();
    this.labels[i + L.Block] = header;
    this.branch(label, this.terminate(Op.Jump, 0, 0, 0, 0), EDGE_B, stack, from);
    this.enter(header);
    const types = this.labelTypes[label]!;
    const arity = types.length;
    for (let k = 0; k < arity; k++) {
      stack[from + k] = this.resolve(-this.newToken(label, k, irType(types[k]!)));
    }
    const locals = this.labels[i + L.Locals]!;
    const localCount = this.labels[i + L.LocalCount]!;
    for (let k = 0; k < localCount; k++) {
      const x = this.lists[locals + k]!;
      this.current[x] = -this.newToken(label, arity + k, irType(this.localTypes[x]!));
    }
  }

  // ---- the end
  /** Write parameter lists and edges, now that all parameters are known. */
  finish(): void {
    for (let d = 0; d < this.demandedCount; d++) {
      const t = this.demanded[d]! * T.SIZE;
      const column = this.tokens[t + T.Column]!;
      const { edges, rows } = this;
      let e = this.labels[this.tokens[t + T.Label]! * L.SIZE + L.FirstEdge]!;
      for (; e !== 0; e = edges[e * E.SIZE + E.Next]!) {
        const at = edges[e * E.SIZE + E.Row]! + column;
        rows[at] = this.resolve(rows[at]!);
      }
    }
    for (let label = 0; label < this.labelCount; label++) this.finishLabel(label * L.SIZE);
  }

  private finishLabel(i: number): void {
    const { func, labels, tokens, edges } = this;
    const block = labels[i + L.Block]!;
    const count = labels[i + L.ParamCount]!;
    if (count > 0) {
      const params = func.newList(count);
      func.params[block] = params;
      let t = labels[i + L.FirstParam]!;
      for (let k = 0; k < count; k++, t = tokens[t * T.SIZE + T.Next]!) {
        func.pool[params + 1 + k] = tokens[t * T.SIZE + T.Value]!;
      }
    }
    for (let e = labels[i + L.FirstEdge]!; e !== 0; e = edges[e * E.SIZE + E.Next]!) {
      const at = e * E.SIZE;
      if (edges[at + E.Twin] === 0 || count === 0) {
        this.setEdge(at, this.newEdge(i, count, edges[at + E.Row]!));
        for (let w = edges[at + E.Twin]!; w !== 0; w = edges[w * E.SIZE + E.Twin]!) {
          this.setEdge(w * E.SIZE, func.newEdge(block));
        }
        continue;
      }
      // Several edges of one br_table carry the same arguments: they meet in a block of their own, so that there is one
      // list.
      const meet = func.newBlock();
      func.loc = func.locOf(edges[at + E.Term]!);
      func.append(
        meet,
        func.make(Op.Jump, Type.None, 0, this.newEdge(i, count, edges[at + E.Row]!), 0, 0, 0),
      );
      this.setEdge(at, func.newEdge(meet));
      for (let w = edges[at + E.Twin]!; w !== 0; w = edges[w * E.SIZE + E.Twin]!) {
        this.setEdge(w * E.SIZE, func.newEdge(meet));
      }
    }
  }

  private newEdge(label: number, count: number, row: number): number {
    const { func, tokens } = this;
    const list = func.newList(1 + count);
    func.pool[list + 1] = this.labels[label + L.Block]!;
    let t = this.labels[label + L.FirstParam]!;
    for (let k = 0; k < count; k++, t = tokens[t * T.SIZE + T.Next]!) {
      func.pool[list + 2 + k] = this.rows[row + tokens[t * T.SIZE + T.Column]!]!;
    }
    return list;
  }

  private setEdge(edge: number, list: number): void {
    const term = this.edges[edge + E.Term]!;
    const place = this.edges[edge + E.Place]!;
    if (place === EDGE_B) this.func.rows[term * ROW + F_B] = list;
    else if (place === EDGE_C) this.func.rows[term * ROW + F_C] = list;
    else this.func.pool[place] = list;
  }
}
