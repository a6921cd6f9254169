/**
 * Debug code (`-g`): where a guest can be stopped, read and changed.
 *
 * A *sequence point* stands before an operator: a one-byte NOP in the code, at which every local and every value of the
 * operand stack lies in its *home*, a place in the frame, and behind which each is read from there again. So whoever
 * stops the guest there sees all of its state, and what is written to a home is what goes on. Locals live in their
 * homes throughout (Ssa keeps them in stack slot 0). Operands of the innermost construct are stored before the point
 * and loaded behind it; those below it are in their homes from its beginning to its end.
 *
 * Points stand where a statement begins: at each row of the module's line table that says so, or, without a line table,
 * at each operator that finds nothing of its own construct on the stack.
 */
import { OPERAND_HOME_SIZE } from '../abi/artifact.ts';
import { Arena } from '../backend/arena.ts';
import { lineTableStarts } from '../debuginfo/line-starts.ts';
import { type FuncDebug, POINT, type Value } from '../ir/func.ts';
import { MemKind, Op, Region, rawAccess, Type } from '../ir/ops.ts';
import { IntList } from '../ir/scratch.ts';
import { LIMITS } from './limits.ts';
import type { Module, ValType } from './module.ts';
import { Code } from './opcodes.ts';
import { erased, irType } from './types.ts';
import type { Walk } from './walk.ts';

/**
 * Above this many operands there is no point: storing them all at each operator would be quadratic in the depth of
 * expressions.
 */
const MOST_OPERANDS = 64;
const HOME = rawAccess(Region.Args, MemKind.Full);

const starts = new WeakMap<Module, Int32Array | null>();

/** Module offsets at which statements begin, ascending; null: the module has no line table. */
function statementStarts(module: Module): Int32Array | null {
  let known = starts.get(module);
  if (known !== undefined) return known;
  const sections = new Map(
    module.customSections.map(s => [s.name, module.bytes.subarray(s.start, s.end)] as const),
  );
  const found = sections.has('.debug_line') ? lineTableStarts(sections) : new Int32Array(0);
  known = found.length === 0 ? null : found.map(at => at + module.codeStart);
  starts.set(module, known);
  return known;
}

/** The sequence points of one function: where they are due, and the types of the operands at each. */
export class SequencePoints {
  private readonly starts: Int32Array | null;
  /** Position in `starts`: the first one that has not been passed. */
  private next = 0;
  protected readonly operandTypes = new IntList();

  constructor(private readonly module: Module) {
    this.starts = statementStarts(module);
  }

  begin(bodyStart: number): void {
    this.operandTypes.length = 0;
    const { starts } = this;
    if (!starts) return;
    let lo = 0;
    let hi = starts.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (starts[mid]! < bodyStart) lo = mid + 1;
      else hi = mid;
    }
    this.next = lo;
  }

  /**
   * Whether a point stands before the operator at `w.at`, of which `code` is the first byte. Asked once for each
   * operator.
   */
  isDue(w: Walk, code: number): boolean {
    const { starts } = this;
    let due = false;
    if (!starts) due = w.sp === w.height && (code !== Code.End || w.depth === 1) && code !== Code.Else;
    // A statement may begin between two operators: at the declaration of locals, for instance.
    else {
      while (this.next < starts.length && starts[this.next]! <= w.at) {
        due = true;
        this.next++;
      }
    }
    return due && w.ssa.live && w.sp <= MOST_OPERANDS;
  }

  /** There is a point before the operator at `w.at`. */
  protected addTypes(w: Walk): void {
    const { operandTypes } = this;
    for (let i = 0; i < w.sp; i++) operandTypes.push(erased(w.types[i]! as ValType, this.module));
  }

  /** The operands' types of all points. */
  types(arena: Arena): Uint8Array {
    const { data, length } = this.operandTypes;
    const types = arena.bytes(length);
    for (let i = 0; i < length; i++) types[i] = data[i]!;
    return types;
  }
}

/** Points and homes in intermediate code. */
export class DebugPoints extends SequencePoints {
  private readonly points = new IntList();
  private mostOperands = 0;
  private operandSlot = -1;

  override begin(bodyStart: number): void {
    super.begin(bodyStart);
    this.points.length = 0;
    this.mostOperands = 0;
    this.operandSlot = -1;
  }

  /** Before an operator is looked at. */
  visit(w: Walk, code: number): void {
    const { ssa, sp } = w;
    // Points must not be what makes a function too large.
    if (!this.isDue(w, code) || ssa.func.count > LIMITS.rows / 2) return;
    const { points } = this;
    const index = points.length / POINT;
    points.push(w.at);
    points.push(sp);
    points.push(this.operandTypes.length);
    this.addTypes(w);
    this.store(w, w.height, sp);
    ssa.emit(Op.SeqPoint, Type.None, 0, 0, 0, index, 0);
    this.load(w, w.height, sp);
  }

  private home(w: Walk): Value {
    const { ssa } = w;
    if (this.operandSlot < 0) this.operandSlot = ssa.func.slots.push(0) - 1;
    return ssa.emit(Op.SlotAddr, Type.I64, 0, 0, 0, this.operandSlot, 0);
  }

  /** Put operands into their homes. */
  private store(w: Walk, from: number, to: number): void {
    this.mostOperands = Math.max(this.mostOperands, to);
    for (let i = from; i < to; i++)
      w.ssa.emit(Op.RawStore, Type.None, this.home(w), w.vals[i]!, 0, OPERAND_HOME_SIZE * i, HOME);
  }

  private load(w: Walk, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const type = irType(w.types[i]! as ValType);
      w.vals[i] = w.ssa.emit(Op.RawLoad, type, this.home(w), 0, 0, OPERAND_HOME_SIZE * i, HOME);
    }
  }

  /**
   * Before a block, loop, if or try_table: operands below it on the stack stay in their homes until its end, whichever
   * way control gets there. (Operands beyond MOST_OPERANDS stay values, since no sequence point stores them.)
   */
  enterConstruct(w: Walk): void {
    if (w.ssa.live) this.store(w, w.height, Math.min(w.sp, MOST_OPERANDS));
  }

  /** Behind its end: `height` is where its part of the stack began. */
  leaveConstruct(w: Walk, height: number): void {
    if (w.ssa.live) this.load(w, w.height, Math.min(height, MOST_OPERANDS));
  }

  finish(w: Walk): FuncDebug {
    const { slots } = w.ssa.func;
    if (this.operandSlot >= 0) slots[this.operandSlot] = OPERAND_HOME_SIZE * this.mostOperands;
    let operands = 0;
    for (let i = 0; i < this.operandSlot; i++) operands += (slots[i]! + 15) & ~15;
    return {
      localTypes: w.localTypes.slice(0, w.localCount),
      localOffsets: w.ssa.localOffsets(),
      operands,
      points: this.points.data.slice(0, this.points.length),
      operandTypes: this.types(new Arena()),
    };
  }
}
