/**
 * The state of the walk over one function body: reader, operand stack, control stack, and the SSA form that grows
 * along.
 *
 * Validation is the algorithm of the core specification's appendix ("Validation Algorithm"). Code that can't be reached
 * is validated (with a polymorphic stack) but builds nothing: `ssa.live` is false, and the values of its operands are
 * meaningless. While `live` is true every operand is an IR value.
 */
import type { VmctxLayout } from '../abi/vmctx.ts';
import { CompileError } from '../diagnostics.ts';
import { forbiddenOperators } from '../features.ts';
import type { LowerOptions } from '../options.ts';
import { AssignedLocals } from './assigned-locals.ts';
import type { DebugPoints } from './debug-code.ts';
import type { OpenTry } from './lower-exceptions.ts';
import {
  ExternKind,
  type FuncType,
  type Module,
  type TableType,
  type TypeDef,
  TypeKind,
  ValType,
} from './module.ts';
import { Reader } from './reader.ts';
import { NO_LABEL, Ssa } from './ssa.ts';
import { isDefaultable, isRef, matches, typeName } from './types.ts';

export const enum FrameKind {
  Func = 0,
  Block,
  Loop,
  If,
  Else,
  TryTable,
}

/** Fields of a control frame. */
export const enum Fr {
  Kind = 0,
  /** Height of the operand stack at its start. */
  Height,
  /** The rest of it can't be reached: the stack is polymorphic. */
  Unreachable,
  Label,
  /** Whether its start can be reached. */
  Live,
  /** Of an `if`: its branch, and the row of label columns (ssa.ts) with the values at the branch. */
  Term,
  Row,
  /** Number of `initialised` locals at its start. */
  Initialised,
  SIZE,
}

/**
 * In the array of frame types from the start, so that V8 takes it for an array of objects at once. Otherwise it would
 * learn that anew in each compilation, and discard optimised code.
 */
const NO_TYPE: FuncType = { params: [], results: [] };

/** The unknown type of unreachable code. */
export const UNKNOWN = 0;

export class Walk {
  readonly r: Reader;
  readonly ssa = new Ssa();
  readonly assigned = new AssignedLocals();
  /** Offset of the operator that is being read. */
  at = 0;

  /** Of the memory operand that was read last: the low and high half. */
  offset = 0;
  offsetHigh = 0;
  /** Values that calls of the function may still pass. */
  callValues = 0;

  /** null: not debug code. */
  debug: DebugPoints | null = null;

  /** What has been read and not been counted yet (count.ts). */
  pendingCost = 0;

  localTypes = new Int32Array(64);
  localCount = 0;
  paramCount = 0;

  /** Locals without a default that have been set: a flag for each local, and their list. */
  private localSet = new Uint8Array(64);
  private initialised: number[] = [];

  counters: Record<string, number> = {};

  // Operand stack: values (of the IR) and types (ValType or UNKNOWN).
  vals = new Int32Array(256);
  types = new Int32Array(256);
  sp = 0;
  /** Of the innermost frame. */
  height = 0;
  unreachable = false;
  /** Type of the operand that popAny returned. */
  popped: ValType | 0 = UNKNOWN;

  // Control stack; frame 0 is the function body.
  frames = new Int32Array(Fr.SIZE * 64);
  readonly frameTypes: FuncType[] = [NO_TYPE];
  depth = 0;
  /** Constructs opened so far. */
  constructs = 0;
  /** The innermost open try_table in reachable code; and for each frame the try_table that it is, or null. */
  openTry: OpenTry | null = null;
  tries: (OpenTry | null)[] = [];
  /** Catch clauses so far, and the stack slot in which exceptions are put together, or -1. */
  clauses = 0;
  payloadSlot = -1;

  /** Operators of extensions that are off. */
  readonly forbidden: ReadonlyMap<number, string> | null;
  /** Whether the start function may be named by `ref.func` in a body; every other escaping function may. */
  readonly startDeclared: boolean;

  constructor(
    readonly module: Module,
    public layout: VmctxLayout,
    public options: LowerOptions,
  ) {
    this.r = new Reader(module.bytes, 0, 0);
    this.r.features = module.features;
    this.forbidden = forbiddenOperators(module.features);
    this.r.endMessage = 'unexpected end of section or function';
    this.startDeclared = module.start !== null && isDeclared(module, module.start);
  }

  /** Counts a transformation made while lowering. */
  count(name: string): void {
    this.counters[name] = (this.counters[name] ?? 0) + 1;
  }

  fail(message: string): never {
    throw new CompileError(message, this.at, 'invalid', this.r.func);
  }

  checkIndex(what: string, index: number, count: number): void {
    if (index >= count) this.fail(`unknown ${what} ${index}`);
  }

  // ---- operand stack
  push(type: ValType | 0, value: number): void {
    const sp = this.sp;
    if (sp === this.types.length) this.growStack();
    this.types[sp] = type;
    this.vals[sp] = value;
    this.sp = sp + 1;
  }

  private growStack(): void {
    const vals = new Int32Array(this.vals.length * 2);
    vals.set(this.vals);
    this.vals = vals;
    const types = new Int32Array(this.types.length * 2);
    types.set(this.types);
    this.types = types;
  }

  /** Pop an operand that must have the type; its value. */
  pop(type: ValType): number {
    if (this.sp === this.height) return this.underflow(type);
    const sp = --this.sp;
    const found = this.types[sp]!;
    if (found !== type && found !== UNKNOWN && !this.matches(found, type)) this.mismatch(type, found);
    return this.vals[sp]!;
  }

  popAny(): number {
    if (this.sp === this.height) {
      this.popped = UNKNOWN;
      return this.underflow(UNKNOWN);
    }
    const sp = --this.sp;
    this.popped = this.types[sp]! as ValType | 0;
    return this.vals[sp]!;
  }

  private underflow(type: ValType | 0): number {
    if (this.unreachable) return 0;
    const what = type === UNKNOWN ? 'a value' : typeName(type);
    return this.fail(`type mismatch: expected ${what}, but nothing on the stack`);
  }

  /**
   * Pop operands of the types, the last one first. While live, their values then stand at `vals[sp…]`, in order.
   */
  popAll(types: readonly ValType[]): void {
    for (let i = types.length - 1; i >= 0; i--) this.pop(types[i]!);
  }

  /** Check the types of the topmost operands, and leave them. */
  checkTop(types: readonly ValType[]): void {
    for (let i = types.length - 1, at = this.sp - 1; i >= 0; i--, at--) {
      const type = types[i]!;
      if (at < this.height) {
        this.underflow(type);
        return;
      }
      const found = this.types[at]!;
      if (found !== type && found !== UNKNOWN && !this.matches(found, type)) this.mismatch(type, found);
    }
  }

  matches(sub: ValType, sup: ValType): boolean {
    return matches(sub, sup, this.module);
  }

  /** Pop a reference of any type: `popped` has it; in unreachable code it may be Bottom. */
  popRef(): number {
    const value = this.popAny();
    if (this.popped === UNKNOWN) this.popped = ValType.Bottom;
    else if (!isRef(this.popped))
      this.fail(`type mismatch: expected a reference, found ${typeName(this.popped)}`);
    return value;
  }

  private mismatch(expected: ValType, found: number): never {
    return this.fail(`type mismatch: expected ${typeName(expected)}, found ${typeName(found)}`);
  }

  /** Push again what popAll popped. */
  pushAgain(types: readonly ValType[]): void {
    const n = types.length;
    for (let i = 0; i < n; i++) this.push(types[i]!, this.sp < this.vals.length ? this.vals[this.sp]! : 0);
  }

  /** The rest of the frame can't be reached. */
  setUnreachable(): void {
    this.sp = this.height;
    this.unreachable = true;
    this.ssa.live = false;
  }

  // ---- control stack
  pushFrame(kind: FrameKind, type: FuncType, label: number): void {
    if (this.depth > 0) this.frames[(this.depth - 1) * Fr.SIZE + Fr.Unreachable] = this.unreachable ? 1 : 0;
    const i = this.depth++ * Fr.SIZE;
    if (i + Fr.SIZE > this.frames.length) {
      const frames = new Int32Array(this.frames.length * 2);
      frames.set(this.frames);
      this.frames = frames;
    }
    this.frames[i + Fr.Kind] = kind;
    this.frames[i + Fr.Height] = this.sp;
    this.frames[i + Fr.Label] = label;
    this.frames[i + Fr.Initialised] = this.initialised.length;
    this.frames[i + Fr.Live] = this.ssa.live ? 1 : 0;
    this.frameTypes[this.depth - 1] = type;
    this.height = this.sp;
    this.unreachable = false;
  }

  popFrame(): void {
    this.forgetLocals();
    const i = (--this.depth - 1) * Fr.SIZE;
    if (this.depth === 0) return;
    this.height = this.frames[i + Fr.Height]!;
    this.unreachable = this.frames[i + Fr.Unreachable] !== 0;
  }

  /** What was set since the innermost frame began counts as unset again. */
  forgetLocals(): void {
    const n = this.frames[this.top() + Fr.Initialised]!;
    while (this.initialised.length > n) this.localSet[this.initialised.pop()!] = 0;
  }

  // ---- locals without a default
  beginLocals(): void {
    if (this.initialised.length > 0) this.initialised.length = 0;
    if (this.localSet.length < this.localCount) this.localSet = new Uint8Array(this.localCount * 2);
    const { localSet, localCount } = this;
    for (let x = 0; x < localCount; x++) localSet[x] = 0;
  }

  checkLocal(x: number): void {
    if (x >= this.paramCount && !isDefaultable(this.localTypes[x]!) && this.localSet[x] === 0) {
      this.fail(`uninitialized local ${x}`);
    }
  }

  noteLocalSet(x: number): void {
    if (isDefaultable(this.localTypes[x]!) || this.localSet[x] !== 0) return;
    this.localSet[x] = 1;
    this.initialised.push(x);
  }

  /** Position in `frames` of the innermost frame. */
  top(): number {
    return (this.depth - 1) * Fr.SIZE;
  }

  /** Number of the frame that a label index names. */
  frameOf(labelIndex: number): number {
    this.checkIndex('label', labelIndex, this.depth);
    return this.depth - 1 - labelIndex;
  }

  labelTypes(frame: number): readonly ValType[] {
    const type = this.frameTypes[frame]!;
    return this.frames[frame * Fr.SIZE + Fr.Kind] === FrameKind.Loop ? type.params : type.results;
  }

  /** Label of a frame that is branched to from live code; NO_LABEL for the function body. */
  labelOf(frame: number): number {
    return frame === 0 ? NO_LABEL : this.frames[frame * Fr.SIZE + Fr.Label]!;
  }

  // ---- module
  funcType(index: number): FuncType {
    return this.module.types[this.module.functions[index]!]!;
  }

  /** A type of the module that must be a function type. */
  functionType(typeIndex: number): TypeDef {
    this.checkIndex('type', typeIndex, this.module.types.length);
    const type = this.module.types[typeIndex]!;
    if (type.kind !== TypeKind.Func) this.fail(`type mismatch: type ${typeIndex} is no function type`);
    return type;
  }

  table(index: number): TableType {
    this.checkIndex('table', index, this.module.tables.length);
    return this.module.tables[index]!;
  }

  checkMemory(index: number): void {
    this.checkIndex('memory', index, this.module.memories.length);
  }

  /** Type of the addresses of a memory. */
  memoryIndexType(index: number): ValType {
    this.checkMemory(index);
    return this.module.memories[index]!.index64 ? ValType.I64 : ValType.I32;
  }

  /** Type of the indices of a table. */
  tableIndexType(index: number): ValType {
    return this.table(index).index64 ? ValType.I64 : ValType.I32;
  }
}

/** Whether a function occurs in the module outside of bodies and the start section ("C.refs" of the specification). */
function isDeclared(module: Module, f: number): boolean {
  return (
    module.exports.some(e => e.kind === ExternKind.Func && e.index === f) ||
    module.globals.some(g => g.init.some(o => o.op === 'ref.func' && o.index === f)) ||
    module.tableInits.some(init => init?.some(o => o.op === 'ref.func' && o.index === f)) ||
    module.elems.some(s => s.items.some(e => e.some(o => o.op === 'ref.func' && o.index === f)))
  );
}
