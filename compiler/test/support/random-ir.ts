/**
 * Random functions for differential tests: structured control flow, every integer and float operator, all kinds of
 * memory. Operands are taken from few addresses and from constants on which folding rules turn, so that the optimiser
 * finds something to do.
 */
import { builtinId } from '../../abi/builtins.ts';
import { TrapCode } from '../../abi/traps.ts';
import { type Block, type Edge, Func, type Value } from '../../ir/func.ts';
import { MemKind, memAccess, OP_FLAGS, Op, OpFlag, Region, rawAccess, Type } from '../../ir/ops.ts';

/** A generator of numbers in [0, 1) that is the same for the same seed (xorshift32). */
export function randomNumbers(seed: number): () => number {
  let s = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 0x1_0000_0000;
  };
}

const OFFSETS = [0, 0, 0, 0, 0, 4, 4, 8, 12, 1, 3, 6];

/** vmctx fields of the functions made here. */
export const FIELDS = { globals: -160, pointers: -224, memoryLength: -8, log: -256, logSize: 2048 } as const;
/** Bytes of vmctx they need. */
export const VMCTX_SIZE = 2560;
/** Global whose fields the log is said to be: another class of memory than the other globals. */
const LOG_SLOT = 6;

const TYPES = [Type.I32, Type.I32, Type.I64, Type.I64, Type.F32, Type.F64] as const;
const CONSTANTS = [
  0, 0, 1, 1, 2, 3, 4, 7, 8, 16, 24, 31, 32, 33, 63, 64, 255, 256, 0xffff, 0x7fffffff, -1, -1, -2, -128,
  -0x80000000,
];
const INT_BINARY = [
  Op.Add,
  Op.Add,
  Op.Sub,
  Op.Mul,
  Op.And,
  Op.And,
  Op.Or,
  Op.Xor,
  Op.Shl,
  Op.ShrS,
  Op.ShrU,
  Op.Rotl,
  Op.Rotr,
];
const DIVISIONS = [Op.DivS, Op.DivU, Op.RemS, Op.RemU];
const COMPARISONS = [
  Op.Eq,
  Op.Eq,
  Op.Ne,
  Op.Ne,
  Op.LtS,
  Op.LtU,
  Op.GtS,
  Op.GtU,
  Op.LeS,
  Op.LeU,
  Op.GeS,
  Op.GeU,
];
const FLOAT_BINARY = [Op.FAdd, Op.FSub, Op.FMul, Op.FDiv, Op.FMin, Op.FMax, Op.FCopysign];
const FLOAT_UNARY = [Op.FAbs, Op.FNeg, Op.FNeg, Op.FSqrt, Op.FCeil, Op.FFloor, Op.FTrunc, Op.FNearest];
const FLOAT_COMPARISONS = [Op.FEq, Op.FNe, Op.FLt, Op.FGt, Op.FLe, Op.FGe];
const FLOATS = [
  0,
  -0,
  1,
  -1.5,
  0.1,
  3e9,
  -3e9,
  1e19,
  -1e19,
  1e300,
  4.5,
  Number.POSITIVE_INFINITY,
  Number.NaN,
];

export class RandomIr {
  private readonly f: Func;
  private readonly rnd: () => number;
  private block: Block = 0;
  /** Available values by type. */
  private available: Value[][] = [[], [], [], [], [], [], []];
  private budget: number;

  /** How often a value is written to a field of its own, so that it is seen whatever becomes of it. */
  private readonly logged: number;
  /** How often an instruction accesses memory. */
  private readonly memoryShare: number;
  /** Whether branches ask what small number is in a global, as Asyncify's do. */
  private readonly states: boolean;
  private logAt = 0;
  private readonly addresses = new Set<Value>();

  constructor(seed: number, size: number) {
    this.rnd = randomNumbers(seed);
    this.logged = seed % 4 === 0 ? 0 : 0.4;
    this.memoryShare = seed % 2 === 1 ? 0.7 : 0;
    this.states = seed % 5 === 2;
    this.budget = size;
    this.f = new Func(seed, `random ${seed}`);
  }

  make(): Func {
    const { f } = this;
    f.newBlock();
    for (const type of [Type.I32, Type.I32, Type.I64, Type.I64, Type.F32, Type.F64])
      this.define(f.addParam(0, type));
    f.results = [Type.I32, Type.I64, Type.F32, Type.F64];
    this.region(0);
    this.return();
    return f;
  }

  private below(n: number): number {
    return Math.floor(this.rnd() * n);
  }
  private pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  private chance(p: number): boolean {
    return this.rnd() < p;
  }

  // ---- values
  private define(v: Value): Value {
    this.available[this.f.type(v)]!.push(v);
    return v;
  }
  private emit(op: Op, type: Type, a = 0, b = 0, c = 0, imm = 0, imm2 = 0): Value {
    const v = this.f.append(this.block, this.f.make(op, type, a, b, c, imm, imm2));
    return type === Type.None ? v : this.define(v);
  }
  private log(v: Value): void {
    if (this.logAt + 8 > FIELDS.logSize) return;
    this.logAt += 8;
    const access = rawAccess(Region.Global, MemKind.Full, LOG_SLOT);
    this.f.append(this.block, this.f.make(Op.VmStore, Type.None, v, 0, 0, FIELDS.log - this.logAt, access));
  }
  private constant(type: Type): Value {
    if (type === Type.F32 || type === Type.F64) {
      const words = new Int32Array(2);
      const x = this.pick(FLOATS);
      if (type === Type.F32) new Float32Array(words.buffer)[0] = x;
      else new Float64Array(words.buffer)[0] = x;
      return this.emit(Op.FConst, type, 0, 0, 0, words[0]!, type === Type.F32 ? 0 : words[1]!);
    }
    const n = this.chance(0.8) ? this.pick(CONSTANTS) : this.below(0x1_0000_0000) | 0;
    const hi = this.chance(0.7) ? n >> 31 : this.pick(CONSTANTS);
    return this.emit(Op.IConst, type, 0, 0, 0, n, type === Type.I32 ? 0 : hi);
  }
  private value(type: Type): Value {
    const list = this.available[type]!;
    if (list.length === 0 || this.chance(0.2)) return this.constant(type);
    // Mostly recent ones.
    return this.chance(0.7) ? list[list.length - 1 - this.below(Math.min(5, list.length))]! : this.pick(list);
  }
  /** An i32 to test: often the test of another against zero, or a comparison. */
  private condition(): Value {
    if (this.states && this.chance(0.7)) return this.stateCondition();
    const v = this.value(Type.I32);
    const r = this.rnd();
    if (r < 0.5) return v;
    const zero = this.emit(Op.IConst, Type.I32, 0, 0, 0, 0, 0);
    const test = this.emit(this.pick(r < 0.8 ? [Op.Eq, Op.Ne] : COMPARISONS), Type.I32, v, zero);
    return r < 0.9 ? test : this.emit(Op.Xor, Type.I32, test, this.emit(Op.IConst, Type.I32, 0, 0, 0, 1, 0));
  }
  private stateCondition(): Value {
    const access = rawAccess(Region.Global, MemKind.Full, 1);
    const state = this.emit(Op.VmLoad, Type.I32, 0, 0, 0, FIELDS.globals, access);
    if (this.chance(0.2)) return state;
    const known = this.emit(Op.IConst, Type.I32, 0, 0, 0, this.below(3), 0);
    return this.emit(this.pick([Op.Eq, Op.Ne]), Type.I32, state, known);
  }
  private edge(to: Block, types: readonly Type[]): Edge {
    return this.f.newEdge(
      to,
      types.map(t => this.value(t)),
    );
  }
  private end(op: Op, a: number, b: number, c: number, imm = 0): void {
    this.f.append(this.block, this.f.make(op, Type.None, a, b, c, imm, 0));
  }
  private return(): void {
    const list = this.f.listOf(this.f.results.map(t => this.value(t)));
    this.end(Op.Return, 0, list, 0);
  }

  // ---- control
  /** Values made in a region are forgotten behind it. */
  private scoped(body: () => void): void {
    const lengths = this.available.map(l => l.length);
    body();
    this.available.forEach((l, t) => {
      l.length = lengths[t]!;
    });
  }
  private joinTypes(): Type[] {
    return Array.from({ length: this.below(4) }, () => this.pick(TYPES));
  }
  private open(types: readonly Type[]): Block {
    const b = this.f.newBlock();
    this.block = b;
    for (const t of types) this.define(this.f.addParam(b, t));
    return b;
  }

  private region(depth: number): void {
    // The outermost region takes what the others leave.
    const statements = depth === 0 ? this.budget : 2 + this.below(10);
    for (let i = 0; i < statements && this.budget > 0; i++) {
      this.budget--;
      const r = depth < 4 ? this.rnd() : 1;
      if (r < 0.1) this.ifElse(depth);
      else if (r < 0.14) this.loop(depth);
      else if (r < 0.16) this.table(depth);
      else if (r < 0.165) this.mayLeave();
      else this.instruction();
    }
  }

  private ifElse(depth: number): void {
    const types = this.joinTypes();
    const from = this.block;
    const condition = this.condition();
    const ends: [Block, Edge][] = [];
    const starts: Block[] = [];
    const arms = [true, this.chance(0.7)];
    for (const arm of arms) {
      if (!arm) continue;
      this.scoped(() => {
        starts.push(this.open([]));
        if (this.chance(0.8)) this.region(depth + 1);
        ends.push([this.block, this.edge(0, types)]);
      });
    }
    this.block = from;
    const direct = starts.length === 1 ? this.edge(0, types) : 0;
    const second = direct !== 0 ? direct : this.f.newEdge(starts[1]!);
    this.end(Op.BrIf, condition, this.f.newEdge(starts[0]!), second, this.below(3));
    const join = this.open(types);
    if (direct !== 0) this.f.pool[direct + 1] = join;
    for (const [b, edge] of ends) {
      this.f.pool[edge + 1] = join;
      this.block = b;
      this.end(Op.Jump, 0, edge, 0);
    }
    this.block = join;
  }

  private loop(depth: number): void {
    const types = [Type.I32, ...this.joinTypes()];
    const first = this.f.append(this.block, this.f.make(Op.IConst, Type.I32, 0, 0, 0, this.below(4), 0));
    const entry = this.edge(0, types);
    this.f.pool[entry + 2] = first;
    const from = this.block;
    const header = this.open(types);
    this.f.pool[entry + 1] = header;
    this.block = from;
    this.end(Op.Jump, 0, entry, 0);
    this.block = header;
    const count = this.f.param(header, 0);
    // Sometimes a loop of a single block.
    if (this.chance(0.7)) this.region(depth + 1);
    else for (let i = this.below(8); i > 0; i--) this.instruction();
    // Down to zero: the loop is left after at most as many rounds as it started with.
    const one = this.f.append(this.block, this.f.make(Op.IConst, Type.I32, 0, 0, 0, 1, 0));
    const less = this.emit(Op.Sub, Type.I32, count, one);
    const zero = this.f.append(this.block, this.f.make(Op.IConst, Type.I32, 0, 0, 0, 0, 0));
    const more = this.emit(Op.GtS, Type.I32, less, zero);
    const back = this.edge(header, types);
    this.f.pool[back + 2] = less;
    const exitTypes = this.joinTypes();
    const out = this.edge(0, exitTypes);
    this.end(Op.BrIf, more, back, out);
    this.f.pool[out + 1] = this.open(exitTypes);
  }

  private table(depth: number): void {
    const types = this.joinTypes();
    const from = this.block;
    const index = this.value(Type.I32);
    const arms = 1 + this.below(3);
    const edges: Edge[] = [];
    const ends: [Block, Edge][] = [];
    for (let i = 0; i < arms; i++) {
      this.scoped(() => {
        edges.push(this.f.newEdge(this.open([])));
        if (this.chance(0.5)) this.region(depth + 1);
        ends.push([this.block, this.edge(0, types)]);
      });
    }
    this.block = from;
    const direct = this.edge(0, types);
    edges.push(direct);
    if (this.chance(0.3)) edges.push(edges[0]!);
    this.end(Op.BrTable, index, this.f.listOf(edges), 0);
    const join = this.open(types);
    this.f.pool[direct + 1] = join;
    for (const [b, edge] of ends) {
      this.f.pool[edge + 1] = join;
      this.block = b;
      this.end(Op.Jump, 0, edge, 0);
    }
    this.block = join;
  }

  private mayLeave(): void {
    const from = this.block;
    const condition = this.condition();
    const leave = this.f.newBlock();
    this.scoped(() => {
      this.block = leave;
      if (this.chance(0.5)) this.return();
      else this.end(Op.Trap, 0, 0, 0, TrapCode.Unreachable);
    });
    this.block = from;
    const go = this.f.newBlock();
    const edges = [this.f.newEdge(leave), this.f.newEdge(go)];
    this.end(Op.BrIf, condition, edges[0]!, edges[1]!);
    this.block = go;
  }

  // ---- instructions
  private instruction(): void {
    this.oneInstruction();
    const v = this.f.last[this.block]!;
    // Not a pointer: its value is an address of the machine's.
    if (this.f.op(v) === Op.VmLoad && this.f.imm(v) < FIELDS.globals && this.f.imm(v) > FIELDS.log) return;
    if (v !== 0 && this.f.type(v) !== Type.None && this.chance(this.logged)) this.log(v);
  }

  private oneInstruction(): void {
    if (this.chance(this.memoryShare)) {
      const kind = this.rnd();
      if (kind < 0.4) this.load();
      else if (kind < 0.7) this.store();
      else this.field();
      return;
    }
    const r = this.rnd();
    const type = this.chance(0.6) ? Type.I32 : Type.I64;
    const float = this.chance(0.5) ? Type.F32 : Type.F64;
    if (r < 0.3) this.emit(this.pick(INT_BINARY), type, this.value(type), this.value(type));
    else if (r < 0.33) this.emit(this.pick(DIVISIONS), type, this.value(type), this.divisor(type));
    else if (r < 0.43) this.emit(this.pick(COMPARISONS), Type.I32, this.value(type), this.value(type));
    else if (r < 0.48) this.unary(type);
    else if (r < 0.54) this.convert(type, float);
    else if (r < 0.58) {
      const t = this.pick(TYPES);
      this.emit(Op.Select, t, this.condition(), this.value(t), this.value(t));
    } else if (r < 0.62) this.emit(this.pick(FLOAT_BINARY), float, this.value(float), this.value(float));
    else if (r < 0.65) this.floatUnary(float);
    else if (r < 0.67)
      this.emit(this.pick(FLOAT_COMPARISONS), Type.I32, this.value(float), this.value(float));
    else if (r < 0.78) this.load();
    else if (r < 0.87) this.store();
    else if (r < 0.94) this.field();
    else if (r < 0.945) this.check();
    else if (r < 0.955) this.wide();
    else this.call();
  }

  private unary(type: Type): void {
    const ops = [Op.Clz, Op.Ctz, Op.Popcnt, Op.Bswap, Op.Ext8S, Op.Ext8S, Op.Ext16S, Op.Ext16S];
    if (type === Type.I64) ops.push(Op.Ext32S, Op.Ext32S);
    this.emit(this.pick(ops), type, this.value(type));
  }

  /** A product with its high half, or a sum with a carry. */
  private wide(): void {
    const a = this.value(Type.I64);
    const b = this.value(Type.I64);
    if (this.chance(0.5)) {
      this.emit(Op.Mul, Type.I64, a, b);
      this.emit(this.pick([Op.MulHighS, Op.MulHighU]), Type.I64, a, b);
    } else {
      const carry = this.emit(Op.LtU, Type.I32, a, this.value(Type.I64));
      this.emit(this.pick([Op.AddCarry, Op.SubBorrow]), Type.I64, b, this.value(Type.I64), carry);
    }
  }

  private floatUnary(type: Type): void {
    const v = this.emit(this.pick(FLOAT_UNARY), type, this.value(type));
    if (this.chance(0.3)) this.emit(this.pick([Op.FNeg, Op.FAbs]), type, v);
  }

  private divisor(type: Type): Value {
    if (this.chance(0.6)) return this.constant(type);
    const odd = this.emit(Op.IConst, type, 0, 0, 0, 1, 0);
    return this.emit(Op.Or, type, this.value(type), odd);
  }

  private convert(type: Type, float: Type): void {
    switch (this.below(9)) {
      case 0:
        this.emit(Op.Wrap, Type.I32, this.value(Type.I64));
        return;
      case 1:
      case 2:
        this.emit(Op.ExtendS, Type.I64, this.value(Type.I32));
        return;
      case 3:
      case 4:
        this.emit(Op.ExtendU, Type.I64, this.value(Type.I32));
        return;
      case 5:
        this.emit(this.pick([Op.ConvertS, Op.ConvertU]), float, this.value(type));
        return;
      case 6:
        this.emit(this.pick([Op.TruncSatS, Op.TruncSatU, Op.TruncSatS, Op.TruncU]), type, this.value(float));
        return;
      case 7:
        if (float === Type.F32) this.emit(Op.Promote, Type.F64, this.value(Type.F32));
        else this.emit(Op.Demote, Type.F32, this.value(Type.F64));
        return;
      default:
        if (type === Type.I32) this.emit(Op.Bitcast, Type.F32, this.value(Type.I32));
        else this.emit(Op.Bitcast, Type.I64, this.value(Type.F64));
    }
  }

  /** Mostly one of few small addresses, so that accesses meet; sometimes anything, which mostly traps. */
  private address(): Value {
    if (this.chance(0.6)) {
      const known = this.available[Type.I32]!.filter(v => this.addresses.has(v));
      if (known.length > 0) return this.pick(known);
    }
    const v = this.newAddress();
    this.addresses.add(v);
    return v;
  }
  private newAddress(): Value {
    const r = this.rnd();
    if (r < 0.4) return this.emit(Op.IConst, Type.I32, 0, 0, 0, 8 * this.below(4), 0);
    if (r < 0.405) return this.value(Type.I32);
    const mask = this.emit(Op.IConst, Type.I32, 0, 0, 0, this.pick([0x18, 0x1c, 0x3f]), 0);
    const small = this.emit(Op.And, Type.I32, this.value(Type.I32), mask);
    if (r < 0.8) return small;
    const plus = this.emit(Op.IConst, Type.I32, 0, 0, 0, this.constantOffset(), 0);
    return this.emit(Op.Add, Type.I32, small, plus);
  }
  private constantOffset(): number {
    const r = this.rnd();
    if (r < 0.9) return this.pick([4, 8, 12, 1000, 2000]);
    // Below zero, mostly wrapping to a small address again; or near the ends of the memory and of the address space.
    return r < 0.97 ? this.pick([-4, -8]) : this.pick([65530, 0x7fffffff]);
  }
  private kind(type: Type): MemKind {
    if (type === Type.F32 || type === Type.F64 || this.chance(0.6)) return MemKind.Full;
    return 1 + this.below(type === Type.I32 ? 4 : 6);
  }
  private accessType(): Type {
    return this.chance(this.memoryShare > 0 ? 0.8 : 0.5) ? Type.I32 : this.pick(TYPES);
  }
  private load(): void {
    const type = this.accessType();
    const access = memAccess(this.kind(type), this.chance(0.9) ? 0 : 1);
    this.emit(Op.Load, type, this.address(), 0, 0, this.pick(OFFSETS), access);
  }
  private store(): void {
    const type = this.accessType();
    const access = memAccess(this.kind(type), this.chance(0.9) ? 0 : 1);
    const address = this.address();
    const offset = this.pick(OFFSETS);
    // Sometimes what was there before, or read back at once.
    const r = this.rnd();
    const before = r < 0.15 ? this.emit(Op.Load, type, address, 0, 0, offset, access) : this.value(type);
    this.emit(Op.Store, Type.None, address, before, 0, offset, access);
    if (r > 0.8) this.emit(Op.Load, type, address, 0, 0, offset, access);
  }

  /** Fields of the vmctx: own globals, and "imported" ones through pointers that may be equal. */
  private field(): void {
    const slot = this.below(3);
    const type = this.pick([Type.I32, Type.I64, Type.F64]);
    const disp = FIELDS.globals + 16 * slot;
    const access = rawAccess(Region.Global, MemKind.Full, slot + 1);
    if (this.states && slot === 0) {
      // Seldom: what is known of the state holds for a while.
      if (!this.chance(0.2)) return;
      const state = this.chance(0.8)
        ? this.emit(Op.IConst, Type.I32, 0, 0, 0, this.below(4), 0)
        : this.value(Type.I32);
      this.emit(Op.VmStore, Type.None, state, 0, 0, disp, access);
      return;
    }
    switch (this.below(5)) {
      case 0:
        this.emit(
          Op.VmLoad,
          Type.I64,
          0,
          0,
          0,
          FIELDS.memoryLength,
          rawAccess(Region.MemoryLength, MemKind.Full),
        );
        return;
      case 1:
        this.emit(Op.VmLoad, type, 0, 0, 0, disp, access);
        return;
      case 2:
        this.emit(Op.VmStore, Type.None, this.value(type), 0, 0, disp, access);
        return;
      default: {
        const pointer = this.emit(
          Op.VmLoad,
          Type.I64,
          0,
          0,
          0,
          FIELDS.pointers + 8 * slot,
          rawAccess(Region.ReadOnly, MemKind.Full),
        );
        // Not to be computed with: its value is an address of the machine's.
        this.available[Type.I64]!.pop();
        if (this.chance(0.5)) this.emit(Op.RawLoad, type, pointer, 0, 0, 0, access);
        else this.emit(Op.RawStore, Type.None, pointer, this.value(type), 0, 0, access);
      }
    }
  }

  private check(): void {
    // Likely to pass: a value of more than a few bits is seldom zero.
    const op = this.chance(0.7) ? Op.TrapZ : Op.TrapNz;
    this.emit(
      op,
      Type.None,
      this.value(Type.I32),
      0,
      0,
      this.pick([TrapCode.Unreachable, TrapCode.TableOutOfBounds]),
    );
  }

  private call(): void {
    const { f } = this;
    if (this.chance(0.3)) {
      const memory = this.emit(Op.IConst, Type.I32, 0, 0, 0, 0, 0);
      const to = this.emit(Op.IConst, Type.I32, 0, 0, 0, 8 * this.below(4), 0);
      const n = this.emit(Op.IConst, Type.I32, 0, 0, 0, this.below(20), 0);
      this.emit(
        Op.CallBuiltin,
        Type.None,
        0,
        f.listOf([memory, to, this.value(Type.I32), n]),
        0,
        builtinId('memory_fill'),
      );
      return;
    }
    if (this.chance(0.2)) {
      const memory = this.emit(Op.IConst, Type.I32, 0, 0, 0, 0, 0);
      const pages = this.emit(Op.IConst, Type.I32, 0, 0, 0, this.below(2), 0);
      this.emit(Op.CallBuiltin, Type.I64, 0, f.listOf([memory, pages]), 0, builtinId('memory_grow'));
      return;
    }
    const args = f.listOf([this.value(Type.I32), this.value(Type.I64)]);
    if (this.chance(0.5)) {
      this.emit(Op.CallImport, Type.I32, 0, args, 0, 0);
      return;
    }
    const call = this.emit(Op.CallImport, Type.None, 0, args, 0, 1);
    this.emit(Op.Result, Type.I64, call, 0, 0, 0);
    this.emit(Op.Result, Type.F64, call, 0, 0, 1);
  }
}

/** Number of linked instructions. */
export function countInstructions(f: Func): number {
  let n = 0;
  for (let b = 0; b < f.blockCount; b++) {
    for (let v = f.first[b]!; v !== 0; v = f.next[v]!) if (!(OP_FLAGS[f.op(v)]! & OpFlag.Terminator)) n++;
  }
  return n;
}
