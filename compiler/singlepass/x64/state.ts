/**
 * What the single pass holds while it walks over a body: where each operand is, which registers are taken, the frame.
 *
 * **Operands.** An entry of the walk's operand stack is one of
 *
 *     Home   in its home in the frame (wasm/debug-code.ts), operand i at `operandHome(i)`
 *     Reg    in a register that it alone owns; an i32 there is zero-extended
 *     Local  what a local has: not read yet
 *     Const  a constant: not made yet
 *     Cond   a condition of the processor's flags: only on top, and only where the next operator takes it
 *
 * `w.vals` has the register, local, low half or condition, `highs` the high half of a constant. `flush` puts entries into their homes: before constructs,
 * at merges of control, below the arguments of calls, and at sequence points, so that whoever stops the guest there sees and may change every value. Locals live in their
 * homes throughout: a `Local` entry is a load that has been put off, and is done at the latest before its local is set.
 *
 * Invariants.
 * - Entries below `lazyFrom`, and all below the innermost construct (`w.height`), are Home. At most WINDOW entries are not, so no step looks
 *   at more of them, however deep the stack is.
 * - `owner[r]` is the entry that is Reg in r, or FREE, or LOCKED while an operator has it in hand.
 * - rcx, r10, r11 and xmm15 hold nothing from one operator to the next: scratch registers of every template. Callee-saved registers are left alone.
 * - Flushing leaves the processor's flags alone: it only moves.
 *
 * **Frame** (backend/x64/frame.ts): outgoing area, homes of locals, homes of operands, room for r15. Its size, and whether r15 is saved at all, is known at the
 * end: instructions that depend on it have 4-byte fields, which are filled then. The outgoing area's size must be known from the start: it is guessed
 * (outgoing.ts), and a body that turns out to need more is begun again (`more`).
 */
import { OPERAND_HOME_SIZE } from '../../abi/artifact.ts';
import type { Arena } from '../../backend/arena.ts';
import { FLOAT_BASE, MachFunc } from '../../backend/mach.ts';
import { EmitState } from '../../backend/x64/emit-state.ts';
import { CC, Ins, NO_REG } from '../../backend/x64/encode.ts';
import { align16, PROBE_LIMIT } from '../../backend/x64/frame.ts';
import { Unit } from '../../backend/x64/insts.ts';
import { BASE_REG, R8, R9, R10, R11, RAX, RDI, RDX, RSI, RSP, XMM_SCRATCH } from '../../backend/x64/regs.ts';
import { IntList } from '../../ir/scratch.ts';
import type { CompileOptions } from '../../options.ts';
import { type Module, ValType } from '../../wasm/module.ts';
import type { Walk } from '../../wasm/walk.ts';

/** Thrown when a body is left to the other path. */
export const LEFT = new Error('left to the path over intermediate code');
/** Thrown when a body must be begun again with a larger outgoing area. */
export const AGAIN = new Error('the outgoing area is too small');

export const enum Kind {
  Home = 0,
  Reg = 1,
  Local = 2,
  Const = 3,
  Cond = 4,
}

export const FREE = -1;
const LOCKED = -2;

/** Register numbers. */
const OWNERS = FLOAT_BASE + 16;
/** Entries that may be elsewhere than in their homes. */
const WINDOW = 24;
/** A body with more operands is left. */
const MOST_OPERANDS = 1024;
/** Values moved by branches in one body: what makes code grow faster than the body does. */
const MOST_MOVES = 1 << 18;

/** In the order in which they are taken. */
const INTS = [RAX, RDX, RSI, RDI, R8, R9] as const;
const FLOATS = Array.from({ length: 15 }, (_, n) => FLOAT_BASE + n);
/** Encoding of the vector scratch register. */
export const XMM15 = XMM_SCRATCH - FLOAT_BASE;

/** Opcodes of `mov reg, r/m` and `mov r/m, reg`. */
const MOV_LOAD = 0x8b;
const MOV_STORE = 0x89;
/** Opcode of `ins reg, r/m` in the ALU group: Ins has its order. */
const aluLoad = (ins: Ins): number => (ins << 3) | 3;

/** Stands for a number that is filled in later, in 4 bytes. */
const LATER = 0x7fffffff;
/** What is filled in: the frame's `sub`, the place of the saved r15, that of the incoming stack arguments. */
export const enum Fill {
  Sub,
  SavedBase,
  Incoming,
}

/** An operand that has been taken off the stack. */
export interface Operand {
  kind: Kind;
  /** As in `vals`. */
  val: number;
  high: number;
  /** Its place on the stack. */
  at: number;
}

export function isFloatType(t: ValType | 0): boolean {
  return t === ValType.F32 || t === ValType.F64;
}
export function intBytes(t: ValType | 0): 4 | 8 {
  return t === ValType.I32 ? 4 : 8;
}

export class State extends EmitState {
  kinds = new Uint8Array(256);
  highs = new Int32Array(256);
  /** By register number, floats from FLOAT_BASE on. */
  readonly owner = new Int32Array(OWNERS).fill(FREE);
  /** Bit r & 31 is set for each register r that may be other than FREE: to free all of them takes as long as there are. */
  private taken = 0;
  lazyFrom = 0;
  /** Operands in hand. */
  readonly a: Operand = { kind: Kind.Home, val: 0, high: 0, at: 0 };
  readonly b: Operand = { kind: Kind.Home, val: 0, high: 0, at: 0 };
  readonly c: Operand = { kind: Kind.Home, val: 0, high: 0, at: 0 };

  /** Displacements from rsp. */
  localHomes = new Int32Array(64);
  operandHomes = 0;
  private mostOperands = 0;
  /** Bytes of the outgoing area. */
  outgoing = 0;
  private moves = 0;
  private probed = false;
  /** [position, Fill, addend] */
  private readonly fills = new IntList();
  /** Position of the store of r15. */
  private baseStore = 0;
  readonly popSites = new IntList();

  readonly popcnt: boolean;
  readonly lzcnt: boolean;
  readonly module: Module;

  constructor(
    readonly w: Walk,
    features: CompileOptions['features'],
    arena: Arena,
    /** For each type of the module: bytes of stack arguments (calls.ts). */
    readonly typeBytes: Int32Array,
  ) {
    super({ checksStack: false, relaxes: false, arena });
    this.popcnt = features.has('popcnt');
    this.lzcnt = features.has('lzcnt');
    this.module = w.module;
    this.m = new MachFunc();
    this.unit = new Unit();
  }

  leave(): never {
    throw LEFT;
  }

  // ---- the function
  begin(): void {
    const { w } = this;
    this.beginCode();
    this.fills.length = 0;
    this.mostOperands = 0;
    this.moves = 0;
    this.lazyFrom = 0;
    this.freeAll();
    const n = w.localCount;
    if (this.localHomes.length < n) this.localHomes = new Int32Array(Math.max(n, this.localHomes.length * 2));
    for (let x = 0; x < n; x++) this.localHomes[x] = this.outgoing + 8 * x;
    this.operandHomes = this.outgoing + align16(8 * n);
  }

  /** As far as it concerns a thunk, too. */
  beginCode(): void {
    const { m, unit } = this;
    // Only what converts floats writes rows.
    if (m.count > 0) m.reset();
    unit.reset();
    this.start(m, unit);
    this.popSites.length = 0;
  }

  /** Ask for an outgoing area of so many bytes. */
  more(bytes: number): void {
    if (bytes <= this.outgoing) return;
    this.outgoing = align16(Math.max(bytes, 2 * this.outgoing));
    throw AGAIN;
  }

  /** Instructions that take rsp down, and keep r15. A frame that may turn out to need it touches its pages before. */
  enterFrame(): void {
    const { asm } = this;
    const most = this.operandHomes + OPERAND_HOME_SIZE * MOST_OPERANDS;
    this.probed = most > PROBE_LIMIT;
    if (this.probed) this.probe(most);
    asm.ri(Ins.SUB, 8, RSP, LATER);
    this.fill(Fill.Sub, 0);
    this.baseStore = asm.here();
    asm.mr(Ins.MOV, 8, RSP, NO_REG, 0, LATER, BASE_REG);
    this.fill(Fill.SavedBase, 0);
  }

  leaveFrame(): void {
    const { asm, unit } = this;
    asm.ri(Ins.ADD, 8, RSP, LATER);
    this.fill(Fill.Sub, 0);
    if (unit.argBytes > 0) asm.retPop(unit.argBytes);
    else asm.plain(Ins.RET);
  }

  /** r15 as it was, behind a call that changes it. */
  restoreBase(): void {
    this.unit.savesBase = true;
    this.asm.rm(Ins.MOV, 8, BASE_REG, RSP, NO_REG, 0, LATER);
    this.fill(Fill.SavedBase, 0);
  }

  /** `ins reg, [incoming stack argument at a displacement]` */
  incoming(ins: Ins, size: number, reg: number, disp: number): void {
    this.asm.rm(ins, size, reg, RSP, NO_REG, 0, LATER);
    this.fill(Fill.Incoming, disp);
  }

  /** The last 4 bytes are to be filled in. */
  private fill(what: Fill, addend: number): void {
    this.fills.push(this.asm.here() - 4);
    this.fills.push(what);
    this.fills.push(addend);
  }

  /** The frame is known: fill in what depends on it. */
  completeFrame(): void {
    const { asm, unit, frame } = this;
    const { data, length } = this.fills;
    unit.calls = true;
    unit.outgoing = this.outgoing;
    unit.slotBytes = align16(8 * this.w.localCount) + OPERAND_HOME_SIZE * this.mostOperands;
    frame.compute(this.m, unit);
    if (frame.sub > PROBE_LIMIT && !this.probed) this.leave();
    for (let i = 0; i < length; i += 3) {
      const what = data[i + 1]! as Fill;
      const base = what === Fill.Sub ? frame.sub : what === Fill.SavedBase ? frame.savedBase : frame.incoming;
      asm.patch32(data[i]!, base + data[i + 2]!);
    }
    if (!unit.savesBase) asm.patchNop8(this.baseStore);
  }

  // ---- pushing
  private enter(kind: Kind): void {
    const at = this.w.sp - 1;
    if (at >= this.kinds.length) this.grow();
    this.kinds[at] = kind;
    if (at < this.lazyFrom) this.lazyFrom = at;
    else if (at - this.lazyFrom >= WINDOW) this.flushTo(this.lazyFrom + 1);
  }

  private grow(): void {
    const kinds = new Uint8Array(this.kinds.length * 2);
    kinds.set(this.kinds);
    this.kinds = kinds;
    const highs = new Int32Array(this.highs.length * 2);
    highs.set(this.highs);
    this.highs = highs;
  }

  /** The register must be locked, or free. */
  pushReg(type: ValType, r: number): void {
    this.w.push(type, r);
    this.occupy(r, this.w.sp - 1);
    this.enter(Kind.Reg);
  }
  pushLocal(type: ValType, x: number): void {
    this.w.push(type, x);
    this.enter(Kind.Local);
  }
  pushConst(type: ValType, low: number, high: number): void {
    this.w.push(type, low);
    this.enter(Kind.Const);
    this.highs[this.w.sp - 1] = high;
  }
  pushCond(cc: number): void {
    this.w.push(ValType.I32, cc);
    this.enter(Kind.Cond);
  }

  /** The walk has pushed an entry that is in its home. */
  pushedHome(): void {
    this.enter(Kind.Home);
  }

  /** Entries `from` … sp - 1, just pushed by the walk, are in their homes, and no register is taken. */
  allHome(from: number): void {
    const { sp } = this.w;
    while (sp > this.kinds.length) this.grow();
    const { kinds } = this;
    for (let at = from; at < sp; at++) kinds[at] = Kind.Home;
    if (sp > 0) this.operandHome(sp - 1);
    this.lazyFrom = sp;
    this.freeAll();
  }

  /** No register is taken. */
  freeAll(): void {
    const { owner } = this;
    for (let rest = this.taken; rest !== 0; rest &= rest - 1) {
      const r = 31 - Math.clz32(rest & -rest);
      owner[r] = FREE;
      owner[FLOAT_BASE + r] = FREE;
    }
    this.taken = 0;
  }

  /** An entry, or LOCKED, takes a register. */
  occupy(r: number, by: number): void {
    this.owner[r] = by;
    this.taken |= 1 << r;
  }

  // ---- taking
  /** Pop an operand of the type into `o`. Its register, if it has one, is locked. */
  take(type: ValType, o: Operand): void {
    const { w } = this;
    o.val = w.pop(type);
    const at = w.sp;
    const kind = this.kinds[at]! as Kind;
    o.kind = kind;
    o.at = at;
    if (kind === Kind.Reg) this.owner[o.val] = LOCKED;
    else if (kind === Kind.Const) o.high = this.highs[at]!;
  }

  /** The same for an entry that the walk has popped. */
  hold(at: number, o: Operand): void {
    o.val = this.w.vals[at]!;
    o.kind = this.kinds[at]! as Kind;
    o.high = this.highs[at]!;
    o.at = at;
    if (o.kind === Kind.Reg) this.owner[o.val] = LOCKED;
  }

  /** An operand has been used. */
  done(o: Operand): void {
    if (o.kind === Kind.Reg) this.owner[o.val] = FREE;
  }

  // ---- homes
  operandHome(at: number): number {
    if (at >= this.mostOperands) {
      if (at >= MOST_OPERANDS) this.leave();
      this.mostOperands = at + 1;
    }
    return this.operandHomes + OPERAND_HOME_SIZE * at;
  }

  /** Where a Home or Local operand lies, from rsp. */
  disp(o: Operand): number {
    return o.kind === Kind.Local ? this.localHomes[o.val]! : this.operandHome(o.at);
  }

  storeReg(type: ValType | 0, r: number, disp: number): void {
    const { asm } = this;
    if (r < FLOAT_BASE) asm.stack(MOV_STORE, intBytes(type), r, disp);
    else asm.mr(type === ValType.F32 ? Ins.MOVSS : Ins.MOVSD, 8, RSP, NO_REG, 0, disp, r & 31);
  }
  loadReg(type: ValType | 0, r: number, disp: number): void {
    const { asm } = this;
    if (r < FLOAT_BASE) asm.stack(MOV_LOAD, intBytes(type), r, disp);
    else asm.rm(type === ValType.F32 ? Ins.MOVSS : Ins.MOVSD, 8, r & 31, RSP, NO_REG, 0, disp);
  }

  /** Store an entry of the stack, popped or not, at a place in the frame. Moves only; r11 is used. */
  storeEntry(at: number, disp: number): void {
    const { asm } = this;
    const type = this.w.types[at]! as ValType;
    const val = this.w.vals[at]!;
    const four = type === ValType.I32 || type === ValType.F32;
    switch (this.kinds[at]! as Kind) {
      case Kind.Reg:
        this.storeReg(type, val, disp);
        return;
      case Kind.Const: {
        const high = this.highs[at]!;
        if (four) asm.mi(Ins.MOV, 4, RSP, NO_REG, 0, disp, val);
        else if (high === val >> 31) asm.mi(Ins.MOV, 8, RSP, NO_REG, 0, disp, val);
        else {
          asm.movabs(R11, val, high);
          asm.stack(MOV_STORE, 8, R11, disp);
        }
        return;
      }
      case Kind.Cond:
        this.setCond(R11, val);
        asm.stack(MOV_STORE, 4, R11, disp);
        return;
      default: {
        const from = this.kinds[at] === Kind.Local ? this.localHomes[val]! : this.operandHome(at);
        if (from === disp) return;
        asm.stack(MOV_LOAD, four ? 4 : 8, R11, from);
        asm.stack(MOV_STORE, four ? 4 : 8, R11, disp);
      }
    }
  }

  private flushEntry(at: number): void {
    const kind = this.kinds[at]! as Kind;
    if (kind === Kind.Home) return;
    this.storeEntry(at, this.operandHome(at));
    if (kind === Kind.Reg) this.owner[this.w.vals[at]!] = FREE;
    this.kinds[at] = Kind.Home;
  }

  /** Put all entries below `end` into their homes. */
  flushTo(end: number): void {
    for (let at = this.lazyFrom; at < end; at++) this.flushEntry(at);
    if (end > this.lazyFrom) this.lazyFrom = end;
  }
  flush(): void {
    this.flushTo(this.w.sp);
  }

  /** A local is about to be set: read it for entries that have put it off. */
  settleLocal(x: number): void {
    const { w, kinds } = this;
    for (let at = this.lazyFrom; at < w.sp; at++) {
      if (kinds[at] !== Kind.Local || w.vals[at] !== x) continue;
      const type = w.types[at]! as ValType;
      const r = isFloatType(type) ? this.allocFloat() : this.allocInt();
      this.loadReg(type, r, this.localHomes[x]!);
      kinds[at] = Kind.Reg;
      w.vals[at] = r;
      this.owner[r] = at;
    }
  }

  /** Count values that a branch moves. */
  countMoves(n: number): void {
    this.moves += n;
    if (this.moves > MOST_MOVES) this.leave();
  }

  // ---- registers
  /** A register that holds nothing, locked. */
  allocInt(): number {
    for (let i = 0; i < INTS.length; i++) {
      const r = INTS[i]!;
      if (this.owner[r] === FREE) {
        this.occupy(r, LOCKED);
        return r;
      }
    }
    return this.evict(0, INTS);
  }
  allocFloat(): number {
    for (let i = 0; i < FLOATS.length; i++) {
      const r = FLOATS[i]!;
      if (this.owner[r] === FREE) {
        this.occupy(r, LOCKED);
        return r;
      }
    }
    return this.evict(0, FLOATS);
  }

  /** Take the register whose entry lies lowest. */
  private evict(from: number, regs: readonly number[]): number {
    let best = -1;
    for (const r of regs) {
      const at = this.owner[r]!;
      if (at >= from && (best < 0 || at < this.owner[best]!)) best = r;
    }
    if (best < 0) this.leave();
    this.flushEntry(this.owner[best]!);
    this.owner[best] = LOCKED;
    return best;
  }

  /** Make a register free: the entry in it, if any, goes to its home. It must not be in hand. */
  vacate(r: number): void {
    if (this.owner[r]! >= 0) this.flushEntry(this.owner[r]!);
  }

  // ---- operands as instructions take them
  /** An integer operand in a register of its own, locked: its own one, or a new one. The flags stay. */
  ownInt(type: ValType | 0, o: Operand): number {
    if (o.kind === Kind.Reg) return o.val;
    const r = this.allocInt();
    this.loadInt(type, o, r);
    return r;
  }

  /** Put an integer operand into a register. The flags stay. */
  loadInt(type: ValType | 0, o: Operand, r: number): void {
    const { asm } = this;
    switch (o.kind) {
      case Kind.Reg:
        if (o.val !== r) asm.pair(MOV_LOAD, intBytes(type), r, o.val);
        return;
      case Kind.Const:
        if (type === ValType.I32) asm.ri(Ins.MOV, 4, r, o.val);
        else asm.movabs(r, o.val, o.high);
        return;
      case Kind.Cond:
        this.setCond(r, o.val);
        return;
      default:
        asm.stack(MOV_LOAD, intBytes(type), r, this.disp(o));
    }
  }

  /** r = 1 if the condition holds, else 0. */
  setCond(r: number, cc: number): void {
    const { asm } = this;
    asm.setcc(cc, r);
    asm.rr(Ins.MOVZX8, 4, r, r);
  }

  /** `ins dst, o`; ins one of the eight of the ALU group, or IMUL. r11 is used. */
  applyInt(ins: Ins, type: ValType | 0, dst: number, o: Operand): void {
    const { asm } = this;
    const size = intBytes(type);
    switch (o.kind) {
      case Kind.Reg:
        if (ins <= Ins.CMP) asm.pair(aluLoad(ins), size, dst, o.val);
        else asm.rr(ins, size, dst, o.val);
        return;
      case Kind.Const:
        if (size === 4 || o.high === o.val >> 31) asm.ri(ins, size, dst, o.val);
        else {
          asm.movabs(R11, o.val, o.high);
          asm.rr(ins, size, dst, R11);
        }
        return;
      default:
        if (ins <= Ins.CMP) asm.stack(aluLoad(ins), size, dst, this.disp(o));
        else asm.rm(ins, size, dst, RSP, NO_REG, 0, this.disp(o));
    }
  }

  ownFloat(type: ValType | 0, o: Operand): number {
    if (o.kind === Kind.Reg) return o.val;
    const r = this.allocFloat();
    this.loadFloat(type, o, r & 31);
    return r;
  }

  /** Put a float operand into the register with encoding x. r11 is used; the flags stay. */
  loadFloat(type: ValType | 0, o: Operand, x: number): void {
    const { asm } = this;
    switch (o.kind) {
      case Kind.Reg:
        if ((o.val & 31) !== x) asm.rr(Ins.MOVAPS, 16, x, o.val & 31);
        return;
      case Kind.Const:
        if (o.val === 0 && (type === ValType.F32 || o.high === 0)) {
          asm.rr(Ins.XORPS, 16, x, x);
        } else if (type === ValType.F32) {
          asm.ri(Ins.MOV, 4, R11, o.val);
          asm.rr(Ins.MOVD_TO_X, 4, x, R11);
        } else {
          asm.movabs(R11, o.val, o.high);
          asm.rr(Ins.MOVQ_TO_X, 8, x, R11);
        }
        return;
      default:
        this.loadReg(type, FLOAT_BASE + x, this.disp(o));
    }
  }

  /** `ins dst, o` of scalar floats; dst is an encoding. xmm15 and r11 are used. */
  applyFloat(ins: Ins, type: ValType | 0, dst: number, o: Operand): void {
    const { asm } = this;
    if (o.kind === Kind.Reg) asm.rr(ins, 8, dst, o.val & 31);
    else if (o.kind === Kind.Const) {
      this.loadFloat(type, o, XMM15);
      asm.rr(ins, 8, dst, XMM15);
    } else asm.rm(ins, 8, dst, RSP, NO_REG, 0, this.disp(o));
  }

  /** Set the flags by an i32 operand, and tell the condition that says it is not zero. */
  testInt(type: ValType | 0, o: Operand): number {
    const { asm } = this;
    switch (o.kind) {
      case Kind.Cond:
        return o.val;
      case Kind.Reg:
        asm.rr(Ins.TEST, intBytes(type), o.val, o.val);
        return CC.NE;
      case Kind.Const:
        this.loadInt(type, o, R11);
        asm.rr(Ins.TEST, intBytes(type), R11, R11);
        return CC.NE;
      default:
        asm.mi(Ins.CMP, intBytes(type), RSP, NO_REG, 0, this.disp(o), 0);
        return CC.NE;
    }
  }

  /** The base of a memory that is not the primary one comes to r10; its register is told. */
  memoryBase(memory: number, entry: number): number {
    if (memory === this.module.importedMemories) return BASE_REG;
    this.asm.rm(Ins.MOV, 8, R10, BASE_REG, NO_REG, 0, entry);
    return R10;
  }

  /** What comes next traps, if it does. */
  traps(code: number): void {
    this.pcMap.note(this.asm.here(), this.w.at, code);
  }
}
