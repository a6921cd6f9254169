/**
 * The main walk: one pass over the dominator tree that folds, numbers values, forwards loads and stores, and decides branches, each
 * seeing at once what the others found.
 *
 * The tree is walked in preorder, children in reverse postorder: a block comes after everything that dominates it *and* after all its
 * predecessors except those on a way back. So when a row is reached its operands have been dealt with; a block that no living edge leads
 * to is dead for good; and a join knows the state of memory on each way in.
 */
import { Cfg } from '../ir/cfg.ts';
import {
  type Block,
  type Edge,
  F_A,
  F_B,
  F_C,
  F_IMM,
  type Func,
  type List,
  NONE,
  ROW,
  type Value,
} from '../ir/func.ts';
import { MemKind, memKind, OP_FLAGS, OP_OPERANDS, Op, OpFlag, rawKind, Type } from '../ir/ops.ts';
import { grown, type Ints, sized } from '../ir/scratch.ts';
import { BoundsChecks } from './bounds-checks.ts';
import { fold } from './fold.ts';
import { type Facts, knownCondition, simplerCondition } from './fold-test.ts';
import { Memory } from './memory.ts';
import { dropParams } from './params.ts';
import { Rewriter } from './rewriter.ts';
import { Fired, type Tally } from './tally.ts';

/** Target of an edge that has been taken out of the graph. */
const DEAD = -1;

export class Walk implements Facts {
  private readonly cfg = new Cfg();
  private readonly w = new Rewriter();
  private readonly memory = new Memory();
  private readonly bounds = new BoundsChecks();
  private f!: Func;
  private visited = new Uint8Array(64);
  private reached = new Uint8Array(64);
  // The walk's stack: block and the tables' points to return to.
  private blocks: Ints = new Int32Array(64);
  private valuePoint: Ints = new Int32Array(64);
  private memoryPoint: Ints = new Int32Array(64);
  private factPoint: Ints = new Int32Array(64);
  private boundsPoint: Ints = new Int32Array(64);
  private nextChild: Ints = new Int32Array(64);
  /** For each value: 0 unknown, 1 known to be zero, 2 known to be nonzero. */
  private fact: Ints = new Int32Array(256);
  /** Values with a fact, and what they had before; a stack. */
  private facts: Ints = new Int32Array(64);
  private factCount = 0;

  /** @param importedMemories memories below this index may be one and the same */
  run(f: Func, counters: Tally, importedMemories: number): void {
    this.f = f;
    const { cfg, w, memory } = this;
    cfg.compute(f);
    w.begin(f, counters);
    memory.begin(f, cfg, importedMemories);
    const n = f.blockCount;
    if (this.visited.length < n) {
      this.visited = new Uint8Array(n * 2);
      this.reached = new Uint8Array(n * 2);
    }
    this.visited.fill(0, 0, n);
    this.reached.fill(0, 0, n);
    // A walk that came to its end has unlearnt everything.
    this.unlearn(0);
    this.bounds.leave(0);
    for (const stack of [
      'blocks',
      'valuePoint',
      'memoryPoint',
      'factPoint',
      'boundsPoint',
      'nextChild',
    ] as const) {
      this[stack] = sized(this[stack], n);
    }
    for (let b = 0; b < n; b++) if (!cfg.isReachable(b) && f.first[b] !== 0) this.remove(b);

    this.reached[0] = 1;
    let depth = 0;
    this.push(depth++, 0);
    while (depth > 0) {
      const child = this.nextChild[depth - 1]!;
      if (child < 0) {
        this.pop(--depth);
        continue;
      }
      this.nextChild[depth - 1] = cfg.domSibling[child]!;
      this.push(depth++, child);
    }
    dropParams(f, v => w.isReplaced(v));
  }

  private push(depth: number, b: Block): void {
    this.blocks[depth] = b;
    this.valuePoint[depth] = this.w.values.enter();
    this.memoryPoint[depth] = this.memory.enter();
    this.factPoint[depth] = this.factCount;
    this.boundsPoint[depth] = this.bounds.enter();
    this.nextChild[depth] = this.cfg.domChild[b]!;
    if (this.reached[b] !== 0) this.block(b);
    else this.remove(b);
  }

  private pop(depth: number): void {
    this.w.values.leave(this.valuePoint[depth]!);
    this.memory.leave(this.memoryPoint[depth]!);
    this.unlearn(this.factPoint[depth]!);
    this.bounds.leave(this.boundsPoint[depth]!);
  }

  // ---- facts
  known(v: Value): number {
    return v < this.fact.length ? this.fact[v]! - 1 : -1;
  }
  private learn(v: Value, nonzero: boolean): void {
    if (v >= this.fact.length) this.fact = grown(this.fact, v + 1);
    if (this.factCount >= this.facts.length) this.facts = grown(this.facts, this.factCount + 1);
    this.facts[this.factCount++] = (v << 2) | this.fact[v]!;
    this.fact[v] = nonzero ? 2 : 1;
  }
  private unlearn(point: number): void {
    while (this.factCount > point) {
      const v = this.facts[--this.factCount]!;
      this.fact[v >> 2] = v & 3;
    }
  }

  // ---- edges and blocks
  private readonly alive = (edge: Edge, to: Block): boolean => this.f.pool[edge + 1] === to;

  private kill(edge: Edge): void {
    this.f.pool[edge + 1] = DEAD;
  }

  /** Take a block out of the function, with its edges. */
  private remove(b: Block): void {
    const { f } = this;
    const term = f.terminator(b);
    const count = f.succCount(term);
    for (let i = 0; i < count; i++) this.kill(f.succEdge(term, i));
    f.first[b] = 0;
    f.last[b] = 0;
    f.params[b] = NONE;
    this.visited[b] = 1;
    this.w.fired(Fired.Unreachable);
  }

  private block(b: Block): void {
    const { f, w } = this;
    this.memory.startBlock(this.cfg, b, this.visited, this.alive);
    this.startParams(b);
    this.startFacts(b);
    for (let v = f.first[b]!; v !== 0; ) {
      w.at = v;
      const next = f.next[v]!;
      this.resolveOperands(v);
      if (OP_FLAGS[f.op(v)]! & OpFlag.Terminator) {
        this.terminator(v);
        break;
      }
      if (!this.instruction(v)) {
        // The rest of the block is never reached: v has become its terminator.
        this.endsHere(b, v, next);
        break;
      }
      v = next;
    }
    this.memory.endBlock(b);
    // Only now: a block that is its own predecessor has no state at its end yet when it starts.
    this.visited[b] = 1;
  }

  /** Replace parameters that are the same value on all ways in. */
  private startParams(b: Block): void {
    const { f, w, cfg } = this;
    const n = f.paramCount(b);
    if (b === 0 || n === 0) return;
    const from = cfg.predStart[b]!;
    const to = cfg.predStart[b + 1]!;
    for (let i = 0; i < n; i++) {
      const param = f.param(b, i);
      let same = 0;
      for (let p = from; p < to; p++) {
        const edge = cfg.predEdge[p]!;
        if (!this.alive(edge, b)) continue;
        const arg = w.resolve(f.edgeArg(edge, i));
        if (arg === param || arg === same) continue;
        if (same !== 0) {
          same = -1;
          break;
        }
        same = arg;
      }
      // One value from all edges dominates the block: it dominates each predecessor. (An edge from a block not visited yet names the
      // very same value, or the parameter itself.)
      if (same > 0) {
        w.replace(param, same);
        w.fired(Fired.Param);
      }
    }
  }

  /** What the branch that is the only way in says about its condition. */
  private startFacts(b: Block): void {
    const { f, cfg } = this;
    let only = 0;
    let from = 0;
    for (let p = cfg.predStart[b]!; p < cfg.predStart[b + 1]!; p++) {
      if (!this.alive(cfg.predEdge[p]!, b)) continue;
      if (only !== 0) return;
      only = cfg.predEdge[p]!;
      from = cfg.predBlock[p]!;
    }
    if (only === 0) return;
    const term = f.terminator(from);
    if (f.op(term) === Op.BrIf) this.learn(f.a(term), f.b(term) === only);
  }

  private endsHere(b: Block, v: Value, next: Value): void {
    const { f } = this;
    let at = next;
    while (at !== 0) {
      const behind = f.next[at]!;
      if (behind === 0) {
        const count = f.succCount(at);
        for (let i = 0; i < count; i++) this.kill(f.succEdge(at, i));
      }
      f.unlink(at);
      at = behind;
    }
    f.next[v] = 0;
    f.last[b] = v;
  }

  // ---- instructions
  private resolveOperands(v: Value): void {
    const { f, w } = this;
    const { rows } = f;
    const i = v * ROW;
    const op = f.op(v);
    const fixed = OP_OPERANDS[op]!;
    if (fixed > 0) {
      rows[i + F_A] = w.resolve(rows[i + F_A]!);
      if (fixed > 1) rows[i + F_B] = w.resolve(rows[i + F_B]!);
      if (fixed > 2) rows[i + F_C] = w.resolve(rows[i + F_C]!);
    }
    if (OP_FLAGS[op]! & OpFlag.ListB) this.resolveList(rows[i + F_B]!, 1);
    if (op === Op.CallIndirect && rows[i + F_C] !== NONE) rows[i + F_C] = w.resolve(rows[i + F_C]!);
    const edges = f.succCount(v);
    for (let k = 0; k < edges; k++) {
      const edge = f.succEdge(v, k);
      this.resolveList(edge, 2);
      if (this.factCount > 0) this.knownArguments(edge, NONE, false);
    }
  }

  /**
   * Hand on 0 or 1 in place of a comparison that is known: it need not become a number then. (Other values are in a register anyway, where the
   * next block may take them from.)
   * @param condition one that is known on this edge: to be nonzero, or zero
   */
  private knownArguments(edge: Edge, condition: Value, nonzero: boolean): void {
    const { f, w } = this;
    const end = edge + f.pool[edge]!;
    for (let i = edge + 2; i <= end; i++) {
      const v = f.pool[i]!;
      if (!(OP_FLAGS[f.op(v)]! & OpFlag.Compare)) continue;
      const known = v === condition ? (nonzero ? 1 : 0) : this.known(v);
      if (known < 0) continue;
      f.pool[i] = w.int(Type.I32, known);
      w.fired(Fired.KnownArgument);
    }
  }

  private resolveList(list: List, first: number): void {
    const { pool } = this.f;
    const end = list + (list === NONE ? 0 : pool[list]!);
    for (let i = list + first; i <= end; i++) pool[i] = this.w.resolve(pool[i]!);
  }

  private replace(v: Value, by: Value): void {
    this.w.replace(v, by);
    this.f.unlink(v);
  }

  /** Returns false where control does not go on behind v. */
  private instruction(v: Value): boolean {
    const { f, w, memory } = this;
    const by = fold(w, v, this);
    if (by !== v) {
      this.replace(v, by);
      return true;
    }
    const op = f.op(v);
    const flags = OP_FLAGS[op]!;
    switch (op) {
      case Op.Nop:
        f.unlink(v);
        return true;
      case Op.Result:
      case Op.Caught:
        return true;
      case Op.Load:
      case Op.RawLoad:
      case Op.VmLoad:
        this.load(v, op);
        return true;
      case Op.Store:
      case Op.RawStore:
      case Op.VmStore: {
        const value = op === Op.VmStore ? f.a(v) : f.b(v);
        if (memory.isRedundantStore(v, value)) {
          w.fired(Fired.StoreRedundant);
          f.unlink(v);
        } else memory.store(v, value);
        return true;
      }
      case Op.TrapZ:
      case Op.TrapNz:
        return this.check(v, op);
    }
    if (flags & OpFlag.Write) {
      memory.clobber(v);
      return true;
    }
    // Pure operators, and those that only trap: what dominates has trapped then.
    if (flags & OpFlag.Read || !(flags & (OpFlag.Pure | OpFlag.Trap)) || f.type(v) === Type.None) return true;
    const equal = w.values.findRow(v);
    if (equal === 0) {
      w.values.insert(v);
    } else {
      if (op !== Op.IConst && op !== Op.FConst) w.fired(Fired.Gvn);
      this.replace(v, equal);
    }
    return true;
  }

  private load(v: Value, op: Op): void {
    const { f, w, memory } = this;
    const known = memory.findLoad(v);
    if (known !== 0) {
      // A store's value is there without a load of its own.
      w.fired(f.op(known) === op ? Fired.LoadReuse : Fired.StoreForward);
      this.replace(v, known);
      return;
    }
    const stored = memory.findNarrowStore(v);
    if (stored === 0) {
      memory.enterLoad(v);
      return;
    }
    w.fired(Fired.StoreForward);
    this.replace(v, this.narrowed(stored, op === Op.Load ? memKind(f.imm2(v)) : rawKind(f.imm2(v))));
  }

  /** What a narrow load gives of a value stored with the same width. */
  private narrowed(value: Value, kind: MemKind): Value {
    const { f, w } = this;
    const type = f.type(value);
    switch (kind) {
      case MemKind.S8:
        return w.emit(Op.Ext8S, type, value);
      case MemKind.S16:
        return w.emit(Op.Ext16S, type, value);
      case MemKind.S32:
        return w.emit(Op.Ext32S, type, value);
      case MemKind.U8:
        return w.emit(Op.And, type, value, w.int(type, 0xff));
      case MemKind.U16:
        return w.emit(Op.And, type, value, w.int(type, 0xffff));
      default:
        return w.emit(Op.And, type, value, w.iconst(type, -1, 0));
    }
  }

  private check(v: Value, op: Op): boolean {
    const { f, w } = this;
    for (;;) {
      const simpler = simplerCondition(w, f.a(v));
      if (simpler === f.a(v)) break;
      w.fired(Fired.Condition);
      f.rows[v * ROW + F_A] = Math.abs(simpler);
      if (simpler < 0) this.setOp(v, f.op(v) === Op.TrapZ ? Op.TrapNz : Op.TrapZ);
    }
    op = f.op(v) as Op.TrapZ | Op.TrapNz;
    const c = f.a(v);
    const known = knownCondition(w, c, this);
    const trapsAt = op === Op.TrapNz ? 1 : 0;
    if (known < 0) {
      if (op === Op.TrapNz && this.bounds.isCovered(f, v)) {
        w.fired(Fired.BoundsCheck);
        f.unlink(v);
        return true;
      }
      // From here on, the condition is what lets control pass.
      this.learn(c, op === Op.TrapZ);
      return true;
    }
    w.fired(Fired.Check);
    if (known !== trapsAt) {
      f.unlink(v);
      return true;
    }
    this.setOp(v, Op.Trap);
    f.rows[v * ROW + F_A] = NONE;
    return false;
  }

  private setOp(v: Value, op: Op): void {
    this.f.rows[v * ROW] = op | (this.f.type(v) << 16);
  }

  // ---- terminators
  private terminator(v: Value): void {
    const { f } = this;
    switch (f.op(v)) {
      case Op.BrIf:
        this.brIf(v);
        break;
      case Op.BrTable:
        this.brTable(v);
        break;
    }
    const count = f.succCount(v);
    for (let i = 0; i < count; i++) this.reached[f.edgeTarget(f.succEdge(v, i))] = 1;
  }

  private setJump(v: Value, edge: Edge): void {
    const { rows } = this.f;
    const i = v * ROW;
    this.setOp(v, Op.Jump);
    rows[i + F_A] = NONE;
    rows[i + F_B] = edge;
    rows[i + F_C] = NONE;
    rows[i + F_IMM] = 0;
    this.w.fired(Fired.Branch);
  }

  private sameEdge(e: Edge, g: Edge): boolean {
    const { pool } = this.f;
    if (e === g) return true;
    const n = pool[e]!;
    if (pool[g] !== n) return false;
    for (let i = 1; i <= n; i++) if (pool[e + i] !== pool[g + i]) return false;
    return true;
  }

  private brIf(v: Value): void {
    const { f, w } = this;
    const { rows } = f;
    const i = v * ROW;
    for (;;) {
      const simpler = simplerCondition(w, f.a(v));
      if (simpler === f.a(v)) break;
      w.fired(Fired.Condition);
      rows[i + F_A] = Math.abs(simpler);
      if (simpler > 0) continue;
      const yes = f.b(v);
      rows[i + F_B] = f.c(v);
      rows[i + F_C] = yes;
      const hint = f.imm(v);
      rows[i + F_IMM] = hint === 0 ? 0 : 3 - hint;
    }
    const yes = f.b(v);
    const no = f.c(v);
    const known = knownCondition(w, f.a(v), this);
    if (known >= 0) {
      this.kill(known === 1 ? no : yes);
      this.setJump(v, known === 1 ? yes : no);
    } else if (this.sameEdge(yes, no)) {
      this.kill(no);
      this.setJump(v, yes);
    } else {
      this.knownArguments(yes, f.a(v), true);
      this.knownArguments(no, f.a(v), false);
    }
  }

  private brTable(v: Value): void {
    const { f, w } = this;
    const list = f.b(v);
    const n = f.listLength(list);
    const a = f.a(v);
    let chosen = -1;
    if (w.isConst(a)) {
      chosen = Math.min(f.imm(a) >>> 0, n - 1);
    } else {
      let k = 1;
      while (k < n && this.sameEdge(f.listAt(list, 0), f.listAt(list, k))) k++;
      if (k === n) chosen = 0;
    }
    if (chosen >= 0) {
      const edge = f.listAt(list, chosen);
      for (let i = 0; i < n; i++) if (f.listAt(list, i) !== edge) this.kill(f.listAt(list, i));
      this.setJump(v, edge);
      return;
    }
    if (n !== 2) return;
    // One case and the default: nonzero goes to the default.
    const { rows } = f;
    const i = v * ROW;
    this.setOp(v, Op.BrIf);
    rows[i + F_B] = f.listAt(list, 1);
    rows[i + F_C] = f.listAt(list, 0);
    w.fired(Fired.Branch);
    this.brIf(v);
  }
}
