/**
 * Blocks and the branches between them: the order in which they are emitted, jumps through blocks that only jump on,
 * what falls through, tables.
 *
 * A loop's short block that ends in a jump through a table is copied to where it is jumped to: an interpreter then
 * jumps from one operation to the next directly, and the processor has a history of its own for what follows each.
 */
import { grown } from '../../ir/scratch.ts';
import { RelocKind } from '../code.ts';
import { EDIT, M_IMM, M_OP, M_OPD, MROW } from '../mach.ts';
import { KnownFlags } from './emit-flags.ts';
import { EmitState } from './emit-state.ts';
import { CC, Ins } from './encode.ts';
import { CC_FEQ, X, xShape } from './insts.ts';

/** Where hot loops begin: a fetch block's size. Worth 1 % of run time on small loops (Zen 4), at 7 bytes for a loop. */
const LOOP_ALIGN = 16;
/** Rows of a block that is copied, and of all copies in a function for each of its own rows. */
const DISPATCH_ROWS = 20;
const DISPATCH_SHARE = 0.5;
/** Jumps to a block in front of a dispatch that make it worth copying, too. */
const FETCH_JUMPS = 4;
const enum Copied {
  /** It ends in a jump through a table. */
  Dispatch = 1,
  /** It ends in a jump to a dispatch. */
  Fetch = 2,
}

export abstract class BlockEmitter extends EmitState {
  /** Label of block 0; those of the others follow. */
  private labels = 0;
  /** Where a jump to a block really goes. */
  private thread = new Int32Array(32);
  private walk = new Int32Array(32);
  /** The next block that is emitted. */
  private next = new Int32Array(32);
  /** Hot blocks that an edge from behind leads to. */
  private loopHeads = new Uint8Array(32);
  /** The next edit of the allocator's. */
  protected edit = 0;
  /** Blocks that are copied to where they are jumped to. */
  private dispatch = new Uint8Array(32);
  /** What is emitted is a copy. */
  private copying = false;
  /** Rows that copies may still take. */
  private dispatchRows = 0;
  /** Place in rodata of each jump table that has been made, by its list in `unit.tables`; -1: not yet. */
  private tableAt = new Int32Array(32);
  protected readonly flags = new KnownFlags();
  /** Copies made in all functions so far. */
  dispatchCopies = 0;

  /** The allocator's edits up to a position. */
  protected abstract edits(position: number): void;
  /** A row of block b, whose rows end at `end`. */
  protected abstract row(row: number, b: number, end: number): void;

  /** Labels, and where jumps lead to. */
  protected startBlocks(): void {
    const { asm, m, unit } = this;
    this.edit = 0;
    this.labels = asm.newLabel();
    for (let b = 1; b < m.blockCount; b++) asm.newLabel();
    this.threadJumps();
    this.findDispatch();
    this.tableAt = grown(this.tableAt, unit.tables.length).fill(-1, 0, unit.tables.length);
  }

  /** All blocks, in their order. */
  protected blocks(): void {
    const { asm, m } = this;
    for (let b = 0; b < m.blockCount; b++) {
      if (this.thread[b] !== b) continue;
      if (this.loopHeads[b] !== 0) asm.align(LOOP_ALIGN);
      asm.bind(this.labels + b);
      this.rows(b);
    }
  }

  /** Find the blocks that only jump on, and where to. In a cycle of such blocks one is kept. */
  private threadJumps(): void {
    const { m } = this;
    const n = m.blockCount;
    this.thread = grown(this.thread, n);
    this.walk = grown(this.walk, n);
    this.next = grown(this.next, n);
    const { thread, walk, next } = this;
    const UNKNOWN = -1;
    const OPEN = -2;
    let e = 0;
    for (let b = 0; b < n; b++) {
      const row = m.blockStart[b]!;
      thread[b] = b;
      if (m.blockStart[b + 1]! - row !== 1 || xShape(m.insts[row * MROW + M_OP]!) !== X.Jmp) continue;
      while (e < m.editCount && m.edits[e * EDIT]! < 2 * row) e++;
      if (e < m.editCount && m.edits[e * EDIT]! <= 2 * row + 1) continue;
      thread[b] = UNKNOWN;
    }
    for (let b = 0; b < n; b++) {
      let at = b;
      let depth = 0;
      while (thread[at] === UNKNOWN) {
        thread[at] = OPEN;
        walk[depth++] = at;
        at = m.edgeTarget[m.succStart[at]!]!;
      }
      if (thread[at] === OPEN) thread[at] = at;
      const end = thread[at]!;
      while (depth > 0) thread[walk[--depth]!] = end;
    }
    if (this.loopHeads.length < n) this.loopHeads = new Uint8Array(n * 2);
    this.loopHeads.fill(0, 0, n);
    for (let b = 0; b < n; b++) {
      if (m.cold[b]!) continue;
      for (let k = m.succStart[b]!; k < m.succStart[b + 1]!; k++) {
        const target = thread[m.edgeTarget[k]!]!;
        if (target <= b) this.loopHeads[target] = 1;
      }
    }
    let following = n;
    for (let b = n - 1; b >= 0; b--) {
      next[b] = following;
      if (thread[b] === b) following = b;
    }
  }

  private findDispatch(): void {
    const { m } = this;
    const n = m.blockCount;
    if (this.dispatch.length < n) this.dispatch = new Uint8Array(n * 2);
    this.dispatch.fill(0, 0, n);
    if (!this.options.copiesDispatch) return;
    this.dispatchRows = m.count * DISPATCH_SHARE;
    let found = false;
    for (let b = 0; b < n; b++) {
      const last = m.blockStart[b + 1]! - 1;
      if (this.loopHeads[b] === 0 || last - m.blockStart[b]! >= DISPATCH_ROWS) continue;
      if (xShape(m.insts[last * MROW + M_OP]!) !== X.Table) continue;
      this.dispatch[b] = Copied.Dispatch;
      found = true;
    }
    if (found) this.findFetches();
  }

  /**
   * Short blocks that many jump to and that jump to a dispatch, such as LLVM makes of computed gotos: they fetch what
   * is dispatched, and are copied together with it.
   */
  private findFetches(): void {
    const { m } = this;
    const n = m.blockCount;
    const rows = (b: number) => m.blockStart[b + 1]! - m.blockStart[b]!;
    const jumpOf = (b: number) =>
      xShape(m.insts[(m.blockStart[b + 1]! - 1) * MROW + M_OP]!) === X.Jmp ? this.succ(b, 0) : -1;
    const jumps = new Int32Array(n);
    for (let b = 0; b < n; b++) if (jumpOf(b) >= 0) jumps[jumpOf(b)]!++;
    for (let b = 0; b < n; b++) {
      const target = jumpOf(b);
      if (target < 0 || jumps[b]! < FETCH_JUMPS || this.dispatch[target] !== Copied.Dispatch) continue;
      if (rows(b) + rows(target) <= DISPATCH_ROWS) this.dispatch[b] = Copied.Fetch;
    }
  }

  /**
   * The code of a block of `dispatch`, in place of a jump to it. Its rows, edits and tables don't know where they
   * stand.
   */
  private copyDispatch(b: number): void {
    const { m } = this;
    const back = this.edit;
    const first = m.blockStart[b]!;
    const end = m.blockStart[b + 1]!;
    let low = 0;
    for (let high = m.editCount; low < high; ) {
      const mid = (low + high) >> 1;
      if (m.edits[mid * EDIT]! < 2 * first) low = mid + 1;
      else high = mid;
    }
    this.edit = low;
    const within = this.copying;
    this.copying = true;
    this.rows(b);
    this.copying = within;
    this.edit = back;
    this.dispatchRows -= end - first;
    this.dispatchCopies++;
  }

  private rows(b: number): void {
    const { m } = this;
    this.flags.forget();
    const end = m.blockStart[b + 1]!;
    for (let row = m.blockStart[b]!; row < end; row++) {
      this.edits(2 * row);
      this.row(row, b, end);
      this.edits(2 * row + 1);
    }
  }

  /** Successor `k` of block b, threaded. */
  protected succ(b: number, k: number): number {
    return this.thread[this.m.edgeTarget[this.m.succStart[b]! + k]!]!;
  }
  protected label(b: number): number {
    return this.labels + b;
  }

  /** Along the only edge of a block. */
  protected jump(b: number): void {
    const target = this.succ(b, 0);
    // What stands next to a block does not stand next to its copy.
    if (this.dispatch[target] !== 0 && (this.copying || (target !== this.next[b] && this.dispatchRows > 0)))
      this.copyDispatch(target);
    else this.jumpTo(b, target);
  }

  protected jumpTo(b: number, target: number): void {
    if (target !== this.next[b]) this.asm.jmp(this.label(target));
  }

  protected branch(b: number, cc: number): void {
    const { asm } = this;
    let yes = this.succ(b, 0);
    let no = this.succ(b, 1);
    if (yes === no) {
      this.jumpTo(b, yes);
      return;
    }
    const next = this.next[b]!;
    if (cc >= CC_FEQ) {
      // Both `equal` and `ordered` go to `yes`.
      if (cc !== CC_FEQ) {
        const t = yes;
        yes = no;
        no = t;
      }
      asm.jcc(CC.NE, this.label(no));
      if (no === next) {
        asm.jcc(CC.NP, this.label(yes));
      } else {
        asm.jcc(CC.P, this.label(no));
        this.jumpTo(b, yes);
      }
      return;
    }
    if (yes === next) {
      asm.jcc(cc ^ 1, this.label(no));
    } else {
      asm.jcc(cc, this.label(yes));
      this.jumpTo(b, no);
    }
  }

  protected table(row: number, b: number): void {
    const { asm, unit } = this;
    const { insts } = this.m;
    const o = insts[row * MROW + M_OPD]!;
    const target = this.reg(o);
    const start = this.reg(o + 1);
    const index = this.reg(o + 2);
    const list = insts[row * MROW + M_IMM]!;
    const n = unit.tables[list]!;
    // Safety: an index below n is the only one to reach the table, and as a 32-bit value with a zero upper half it may
    // be scaled.
    asm.ri(Ins.CMP, 4, index, n);
    asm.jcc(CC.AE, this.label(this.succ(b, unit.tables[list + 1 + n]!)));
    const made = this.tableAt[list]!;
    const at = made >= 0 ? made : unit.rodata.table(n);
    this.tableAt[list] = at;
    this.memRodata(at);
    this.rm(Ins.LEA, 8, start);
    asm.rm(Ins.MOVSXD, 8, target, start, index, 2, 0);
    asm.rr(Ins.ADD, 8, target, start);
    asm.r(Ins.JMP, 8, target);
    if (made >= 0) return;
    for (let k = 0; k < n; k++) {
      this.reloc(RelocKind.JumpTable, at + 4 * k, at, this.label(this.succ(b, unit.tables[list + 1 + k]!)));
    }
  }

  protected chain(row: number, b: number): void {
    const { asm, unit } = this;
    const { insts } = this.m;
    const index = this.reg(insts[row * MROW + M_OPD]!);
    const list = insts[row * MROW + M_IMM]!;
    const n = unit.tables[list]!;
    for (let k = 0; k < n; k++) {
      if (k === 0) asm.rr(Ins.TEST, 4, index, index);
      else asm.ri(Ins.CMP, 4, index, k);
      asm.jcc(CC.E, this.label(this.succ(b, unit.tables[list + 1 + k]!)));
    }
    this.jumpTo(b, this.succ(b, unit.tables[list + 1 + n]!));
  }
}
