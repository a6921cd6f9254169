/**
 * An interpreter of the IR, for tests: it says what a function means without a backend. Slow, simple, exact.
 *
 * Values: i32 and f32 (its bits) are int32 numbers; i64, ref and f64 (its bits) are signed 64-bit BigInts; v128 is an
 * unsigned 128-bit BigInt. A NaN that arithmetic makes is the canonical one; moves, loads, stores, fneg, fabs and
 * fcopysign keep bits.
 *
 * Addresses (raw accesses): `BASE` is the vmctx base; the primary memory lies at it, the vmctx below it, stack slots at
 * `STACK`; further ranges of bytes can be mapped.
 */
import { BUILTINS } from '../../abi/builtins.ts';
import { TrapCode } from '../../abi/traps.ts';
import { VMCTX } from '../../abi/vmctx.ts';
import type { Edge, Func, List, Value } from '../../ir/func.ts';
import { NONE } from '../../ir/func.ts';
import { accessSize, MemKind, memIndex, memKind, Op, rawKind, rawTrap, Type } from '../../ir/ops.ts';

import { shuffled, vector } from './interp-simd.ts';

export type Val = number | bigint;

export class IrTrap extends Error {
  constructor(readonly code: TrapCode) {
    super(`trap ${code}`);
  }
}
/** The budget of steps is used up. */
export class OutOfFuel extends Error {}

export const BASE = 0x1000_0000;
/** Where the images of tables lie. */
export const IMAGES = 0x5400_0000;
const STACK = 0x4000_0000;
const PAGE = 65536;

export interface MachineOptions {
  /** Function index -> IR. */
  readonly funcs?: ReadonlyMap<number, Func>;
  /** Calls to imports: import index, arguments -> results. */
  readonly host?: (index: number, args: Val[]) => Val[];
  /** Code pointers of indirect calls. */
  readonly code?: ReadonlyMap<bigint, Func>;
  /** Initial pages of each memory, and the most it may grow to. */
  readonly memories?: readonly { readonly pages: number; readonly max: number }[];
  readonly vmctxSize?: number;
  readonly fuel?: number;
}

const bits = new DataView(new ArrayBuffer(8));
const CANONICAL_32 = 0x7fc00000;
const CANONICAL_64 = 0x7ff8000000000000n;

export function f32Of(v: Val): number {
  bits.setInt32(0, Number(v));
  return bits.getFloat32(0);
}
export function f64Of(v: Val): number {
  bits.setBigInt64(0, v as bigint);
  return bits.getFloat64(0);
}
export function f32Bits(x: number): Val {
  if (Number.isNaN(x)) return CANONICAL_32;
  bits.setFloat32(0, x);
  return bits.getInt32(0);
}
export function f64Bits(x: number): Val {
  if (Number.isNaN(x)) return CANONICAL_64;
  bits.setFloat64(0, x);
  return bits.getBigInt64(0);
}

function popcount(x: bigint): number {
  let n = 0;
  for (; x !== 0n; x &= x - 1n) n++;
  return n;
}
function leadingZeros(x: bigint, width: number): number {
  return x === 0n ? width : width - x.toString(2).length;
}
function trailingZeros(x: bigint, width: number): number {
  return x === 0n ? width : (x & -x).toString(2).length - 1;
}
/** Round half to even. */
function nearest(x: number): number {
  const r = Math.round(x);
  const even = r - x === 0.5 && r % 2 !== 0 ? r - 1 : r;
  return even === 0 && (x < 0 || Object.is(x, -0)) ? -0 : even;
}

interface Segment {
  readonly start: number;
  bytes: Uint8Array;
}

export class Machine {
  readonly memories: Uint8Array[];
  /** The vmctx: its last byte lies below BASE. */
  readonly vmctx: Uint8Array;
  private readonly maxPages: number[];
  private readonly stack = new Uint8Array(1 << 16);
  private stackTop = 0;
  private readonly mapped: Segment[] = [];
  private fuel: number;
  private depth = 0;

  constructor(private readonly options: MachineOptions = {}) {
    const memories = options.memories ?? [{ pages: 1, max: 4 }];
    this.memories = memories.map(m => new Uint8Array(m.pages * PAGE));
    this.maxPages = memories.map(m => m.max);
    this.vmctx = new Uint8Array(options.vmctxSize ?? 1024);
    this.fuel = options.fuel ?? 1_000_000;
    this.publishLength();
  }

  /** Make bytes reachable at an address below 2^53. */
  map(start: number, bytes: Uint8Array): void {
    this.mapped.push({ start, bytes });
  }

  private publishLength(): void {
    const view = new DataView(this.vmctx.buffer);
    view.setBigUint64(this.vmctx.length - VMCTX.MEMORY_LENGTH, BigInt(this.memories[0]?.length ?? 0), true);
  }

  // ---- bytes
  private raw(address: number, size: number): [Uint8Array, number] {
    const spaces: Segment[] = [
      { start: BASE - this.vmctx.length, bytes: this.vmctx },
      { start: BASE, bytes: this.memories[0] ?? new Uint8Array(0) },
      { start: STACK, bytes: this.stack },
      ...this.mapped,
    ];
    for (const s of spaces) {
      if (address >= s.start && address + size <= s.start + s.bytes.length)
        return [s.bytes, address - s.start];
    }
    throw new Error(`raw access to unmapped address 0x${address.toString(16)}`);
  }

  private read(bytes: Uint8Array, at: number, type: Type, kind: MemKind): Val {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let n: bigint;
    switch (accessSize(kind, type)) {
      case 1:
        n = BigInt(bytes[at]!);
        break;
      case 2:
        n = BigInt(view.getUint16(at, true));
        break;
      case 4:
        n = BigInt(view.getUint32(at, true));
        break;
      case 8:
        n = view.getBigUint64(at, true);
        break;
      default:
        return (view.getBigUint64(at + 8, true) << 64n) | view.getBigUint64(at, true);
    }
    if (kind === MemKind.S8 || kind === MemKind.S16 || kind === MemKind.S32)
      n = BigInt.asIntN(accessSize(kind, type) * 8, n);
    return type === Type.I32 || type === Type.F32 ? Number(BigInt.asIntN(32, n)) : BigInt.asIntN(64, n);
  }

  private write(bytes: Uint8Array, at: number, type: Type, kind: MemKind, value: Val): void {
    let n = BigInt(value);
    const size = accessSize(kind, type);
    for (let i = 0; i < size; i++) {
      bytes[at + i] = Number(n & 0xffn);
      n >>= 8n;
    }
  }

  /** Bounds-checked place of a wasm access. */
  private heap(
    memory: number,
    index: Val,
    indexType: Type,
    offset: number,
    size: number,
  ): [Uint8Array, number] {
    const bytes = this.memories[memory]!;
    const at = BigInt.asUintN(indexType === Type.I32 ? 32 : 64, BigInt(index)) + BigInt(offset >>> 0);
    if (at + BigInt(size) > BigInt(bytes.length)) throw new IrTrap(TrapCode.HeapOutOfBounds);
    return [bytes, Number(at)];
  }

  // ---- running
  run(f: Func, args: readonly Val[]): Val[] {
    if (this.depth >= 200) throw new IrTrap(TrapCode.StackOverflow);
    this.depth++;
    const stackAt = this.stackTop;
    const slots = f.slots.map(size => {
      const at = this.stackTop;
      this.stackTop += (size + 15) & ~15;
      return BigInt(STACK + at);
    });
    this.stack.fill(0, stackAt, this.stackTop);
    try {
      return new Frame(this, f, slots).run(args);
    } finally {
      this.stackTop = stackAt;
      this.depth--;
    }
  }

  step(): void {
    if (--this.fuel < 0) throw new OutOfFuel();
  }

  load(memory: number, index: Val, indexType: Type, offset: number, type: Type, kind: MemKind): Val {
    const [bytes, at] = this.heap(memory, index, indexType, offset, accessSize(kind, type));
    return this.read(bytes, at, type, kind);
  }
  store(
    memory: number,
    index: Val,
    indexType: Type,
    offset: number,
    type: Type,
    kind: MemKind,
    value: Val,
  ): void {
    const [bytes, at] = this.heap(memory, index, indexType, offset, accessSize(kind, type));
    this.write(bytes, at, type, kind, value);
  }
  rawLoad(pointer: bigint, disp: number, type: Type, access: number): Val {
    const address = Number(pointer) + disp;
    if (rawTrap(access) !== 0 && address >= 0 && address < 4096) throw new IrTrap(rawTrap(access));
    const [bytes, at] = this.raw(address, accessSize(rawKind(access), type));
    return this.read(bytes, at, type, rawKind(access));
  }
  rawStore(pointer: bigint, disp: number, type: Type, access: number, value: Val): void {
    const address = Number(pointer) + disp;
    if (rawTrap(access) !== 0 && address >= 0 && address < 4096) throw new IrTrap(rawTrap(access));
    const [bytes, at] = this.raw(address, accessSize(rawKind(access), type));
    this.write(bytes, at, type, rawKind(access), value);
  }

  call(op: Op, imm: number, code: Val, args: Val[]): Val[] {
    switch (op) {
      case Op.Call: {
        const callee = this.options.funcs?.get(imm);
        if (!callee) throw new Error(`no function ${imm}`);
        return this.run(callee, args);
      }
      case Op.CallIndirect: {
        const callee = this.options.code?.get(code as bigint);
        if (!callee) throw new Error(`no code at ${code}`);
        return this.run(callee, args);
      }
      case Op.CallBuiltin:
        return [this.builtin(BUILTINS[imm]!.name, args)];
      default:
        if (!this.options.host) throw new Error('no host');
        return this.options.host(imm, args);
    }
  }

  private builtin(name: string, args: Val[]): bigint {
    const n = args.map(a => Number(typeof a === 'number' ? a >>> 0 : BigInt.asUintN(64, a)));
    switch (name) {
      case 'memory_grow': {
        const old = this.memories[n[0]!]!;
        const pages = old.length / PAGE + n[1]!;
        if (pages > this.maxPages[n[0]!]!) return -1n;
        const bytes = new Uint8Array(pages * PAGE);
        bytes.set(old);
        this.memories[n[0]!] = bytes;
        this.publishLength();
        return BigInt(old.length / PAGE);
      }
      case 'memory_fill': {
        const bytes = this.memories[n[0]!]!;
        if (n[1]! + n[3]! > bytes.length) throw new IrTrap(TrapCode.HeapOutOfBounds);
        bytes.fill(n[2]! & 0xff, n[1]!, n[1]! + n[3]!);
        return 0n;
      }
      case 'memory_copy': {
        // First argument: destination memory in the low half, source memory in the high one.
        const pair = BigInt(args[0]!);
        const to = this.memories[Number(pair & 0xffffffffn)]!;
        const from = this.memories[Number(pair >> 32n)]!;
        if (n[1]! + n[3]! > to.length || n[2]! + n[3]! > from.length)
          throw new IrTrap(TrapCode.HeapOutOfBounds);
        to.set(from.slice(n[2]!, n[2]! + n[3]!), n[1]!);
        return 0n;
      }
      // Of the memory whose length is published.
      case 'memory_fill_own':
        return this.builtin('memory_fill', [0n, ...args]);
      case 'memory_copy_own':
        return this.builtin('memory_copy', [0n, ...args]);
      default:
        throw new Error(`builtin ${name} is not modelled`);
    }
  }
}

class Frame {
  private readonly values: Val[] = [];

  constructor(
    private readonly machine: Machine,
    private readonly f: Func,
    private readonly slots: readonly bigint[],
  ) {}

  private list(l: List): Val[] {
    const out: Val[] = [];
    for (let i = 0; i < this.f.listLength(l); i++) out.push(this.get(this.f.listAt(l, i)));
    return out;
  }
  private get(v: Value): Val {
    const x = this.values[v];
    if (x === undefined) throw new Error(`v${v} has no value yet`);
    return x;
  }

  run(args: readonly Val[]): Val[] {
    const { f, values } = this;
    args.forEach((x, i) => {
      values[f.param(0, i)] = x;
    });
    let block = 0;
    for (;;) {
      let edge: Edge = NONE;
      for (let v = f.first[block]!; v !== 0; v = f.next[v]!) {
        this.machine.step();
        switch (f.op(v)) {
          case Op.Return:
            return this.list(f.b(v));
          case Op.Trap:
            throw new IrTrap(f.imm(v));
          case Op.TailCall:
            return this.machine.call(Op.Call, f.imm(v), 0, this.list(f.b(v)));
          case Op.TailCallIndirect:
            return this.machine.call(Op.CallIndirect, f.imm(v), this.get(f.a(v)), this.list(f.b(v)));
          case Op.Jump:
            edge = f.b(v);
            break;
          case Op.BrIf:
            edge = this.get(f.a(v)) !== 0 ? f.b(v) : f.c(v);
            break;
          case Op.BrTable: {
            const n = f.listLength(f.b(v));
            edge = f.listAt(f.b(v), Math.min(Number(this.get(f.a(v))) >>> 0, n - 1));
            break;
          }
          default:
            this.instruction(v);
        }
      }
      const moved: Val[] = [];
      for (let i = 0; i < f.edgeArgCount(edge); i++) moved.push(this.get(f.edgeArg(edge, i)));
      block = f.edgeTarget(edge);
      moved.forEach((x, i) => {
        values[f.param(block, i)] = x;
      });
    }
  }

  private instruction(v: Value): void {
    const { f, machine, values } = this;
    const op = f.op(v);
    const type = f.type(v);
    switch (op) {
      case Op.Nop:
      case Op.Result:
        return;
      case Op.Load:
        values[v] = machine.load(
          memIndex(f.imm2(v)),
          this.get(f.a(v)),
          f.type(f.a(v)),
          f.imm(v),
          type,
          memKind(f.imm2(v)),
        );
        return;
      case Op.Store: {
        const access = f.imm2(v);
        const stored = f.type(f.b(v));
        machine.store(
          memIndex(access),
          this.get(f.a(v)),
          f.type(f.a(v)),
          f.imm(v),
          stored,
          memKind(access),
          this.get(f.b(v)),
        );
        return;
      }
      case Op.RawLoad:
        values[v] = machine.rawLoad(this.get(f.a(v)) as bigint, f.imm(v), type, f.imm2(v));
        return;
      case Op.RawStore:
        machine.rawStore(this.get(f.a(v)) as bigint, f.imm(v), f.type(f.b(v)), f.imm2(v), this.get(f.b(v)));
        return;
      case Op.VmLoad:
        values[v] = machine.rawLoad(BigInt(BASE), f.imm(v), type, f.imm2(v));
        return;
      case Op.VmStore:
        machine.rawStore(BigInt(BASE), f.imm(v), f.type(f.a(v)), f.imm2(v), this.get(f.a(v)));
        return;
      case Op.VmAddr:
        values[v] = BigInt(BASE + f.imm(v));
        return;
      case Op.ImageAddr:
        values[v] = BigInt(IMAGES + f.imm(v));
        return;
      case Op.SlotAddr:
        values[v] = this.slots[f.imm(v)]!;
        return;
      case Op.TrapZ:
        if (this.get(f.a(v)) === 0) throw new IrTrap(f.imm(v));
        return;
      case Op.TrapNz:
        if (this.get(f.a(v)) !== 0) throw new IrTrap(f.imm(v));
        return;
      case Op.Call:
      case Op.CallImport:
      case Op.CallIndirect:
      case Op.CallBuiltin:
      case Op.CallHost: {
        const code = op === Op.CallIndirect || op === Op.CallHost ? this.get(f.a(v)) : 0;
        const args = op === Op.CallHost ? [code] : this.list(f.b(v));
        const results = machine.call(op, f.imm(v), code, args);
        if (type !== Type.None)
          values[v] = type === Type.I32 ? Number(BigInt.asIntN(32, BigInt(results[0]!))) : results[0]!;
        for (let r = f.next[v]!; r !== 0 && f.op(r) === Op.Result; r = f.next[r]!)
          values[r] = results[f.imm(r)]!;
        return;
      }
      default:
        values[v] = this.compute(v, op, type);
    }
  }

  private compute(v: Value, op: Op, type: Type): Val {
    const { f } = this;
    switch (op) {
      case Op.IConst:
        return type === Type.I32 ? f.imm(v) : (BigInt(f.imm2(v)) << 32n) | BigInt(f.imm(v) >>> 0);
      case Op.FConst:
        return type === Type.F32 ? f.imm(v) : (BigInt(f.imm2(v)) << 32n) | BigInt(f.imm(v) >>> 0);
      case Op.VConst: {
        let x = 0n;
        for (let i = 3; i >= 0; i--) x = (x << 32n) | BigInt(f.listAt(f.imm(v), i) >>> 0);
        return x;
      }
      case Op.VUnary:
      case Op.VBinary:
      case Op.VTernary:
      case Op.VShift:
      case Op.VSplat:
      case Op.VExtract:
      case Op.VReplace:
      case Op.VTest: {
        const args = Array.from({ length: f.operandCount(v) }, (_, i) => this.get(f.operand(v, i)));
        return vector(f.imm2(v), f.imm(v), args);
      }
      case Op.VShuffle:
        return shuffled(this.get(f.a(v)) as bigint, this.get(f.b(v)) as bigint, this.get(f.c(v)) as bigint);
      case Op.VZext:
        return BigInt.asUintN(f.type(f.a(v)) === Type.F32 ? 32 : 64, BigInt(this.get(f.a(v))));
      case Op.Select:
        return this.get(f.a(v)) !== 0 ? this.get(f.b(v)) : this.get(f.c(v));
      case Op.MulHighS:
        return BigInt.asIntN(64, ((this.get(f.a(v)) as bigint) * (this.get(f.b(v)) as bigint)) >> 64n);
      case Op.MulHighU: {
        const a = BigInt.asUintN(64, this.get(f.a(v)) as bigint);
        return BigInt.asIntN(64, (a * BigInt.asUintN(64, this.get(f.b(v)) as bigint)) >> 64n);
      }
      case Op.AddCarry:
      case Op.SubBorrow: {
        const other = (this.get(f.b(v)) as bigint) + BigInt(this.get(f.c(v)));
        const a = this.get(f.a(v)) as bigint;
        return BigInt.asIntN(64, op === Op.AddCarry ? a + other : a - other);
      }
    }
    const a = this.get(f.a(v));
    const from = f.type(f.a(v));
    const b =
      op <= Op.Rotr || (op >= Op.Eq && op <= Op.FCopysign) || (op >= Op.FEq && op <= Op.FGe)
        ? this.get(f.b(v))
        : 0;
    if (op <= Op.Ext32S) return integer(op, type, a, b);
    if (op <= Op.GeU) return compare(op, from, a, b);
    if (op <= Op.FNearest) return float(op, type, a, b);
    if (op <= Op.FGe) return compareFloat(op, from, a, b);
    return convert(op, from, type, a);
  }
}

function int(type: Type, n: bigint): Val {
  return type === Type.I32 ? Number(BigInt.asIntN(32, n)) : BigInt.asIntN(64, n);
}

function integer(op: Op, type: Type, av: Val, bv: Val): Val {
  const width = type === Type.I32 ? 32 : 64;
  const a = BigInt(av);
  const b = BigInt(bv);
  const ua = BigInt.asUintN(width, a);
  const ub = BigInt.asUintN(width, b);
  const shift = ub % BigInt(width);
  const divisor = () => {
    if (b === 0n) throw new IrTrap(TrapCode.IntegerDivByZero);
  };
  switch (op) {
    case Op.Add:
      return int(type, a + b);
    case Op.Sub:
      return int(type, a - b);
    case Op.Mul:
      return int(type, a * b);
    case Op.DivS:
      divisor();
      if (BigInt.asIntN(width, a / b) !== a / b) throw new IrTrap(TrapCode.IntegerOverflow);
      return int(type, a / b);
    case Op.DivU:
      divisor();
      return int(type, ua / ub);
    case Op.RemS:
      divisor();
      return int(type, a % b);
    case Op.RemU:
      divisor();
      return int(type, ua % ub);
    case Op.And:
      return int(type, a & b);
    case Op.Or:
      return int(type, a | b);
    case Op.Xor:
      return int(type, a ^ b);
    case Op.Shl:
      return int(type, a << shift);
    case Op.ShrS:
      return int(type, a >> shift);
    case Op.ShrU:
      return int(type, ua >> shift);
    case Op.Rotl:
      return int(type, (ua << shift) | (ua >> (BigInt(width) - shift)));
    case Op.Rotr:
      return int(type, (ua >> shift) | (ua << (BigInt(width) - shift)));
    case Op.Clz:
      return int(type, BigInt(leadingZeros(ua, width)));
    case Op.Ctz:
      return int(type, BigInt(trailingZeros(ua, width)));
    case Op.Popcnt:
      return int(type, BigInt(popcount(ua)));
    case Op.Bswap: {
      const bytes = ua
        .toString(16)
        .padStart(width / 4, '0')
        .match(/../g)!;
      return int(type, BigInt(`0x${bytes.reverse().join('')}`));
    }
    case Op.Ext8S:
      return int(type, BigInt.asIntN(8, a));
    case Op.Ext16S:
      return int(type, BigInt.asIntN(16, a));
    case Op.Ext32S:
      return int(type, BigInt.asIntN(32, a));
  }
  throw new Error(`integer operator ${op}`);
}

function compare(op: Op, type: Type, av: Val, bv: Val): Val {
  const width = type === Type.I32 ? 32 : 64;
  const a = BigInt(av);
  const b = BigInt(bv);
  const ua = BigInt.asUintN(width, a);
  const ub = BigInt.asUintN(width, b);
  switch (op) {
    case Op.Eq:
      return +(a === b);
    case Op.Ne:
      return +(a !== b);
    case Op.LtS:
      return +(a < b);
    case Op.LtU:
      return +(ua < ub);
    case Op.GtS:
      return +(a > b);
    case Op.GtU:
      return +(ua > ub);
    case Op.LeS:
      return +(a <= b);
    case Op.LeU:
      return +(ua <= ub);
    case Op.GeS:
      return +(a >= b);
    case Op.GeU:
      return +(ua >= ub);
  }
  throw new Error(`comparison ${op}`);
}

export function float(op: Op, type: Type, av: Val, bv: Val): Val {
  const single = type === Type.F32;
  const sign = single ? -0x8000_0000 : -0x8000_0000_0000_0000n;
  switch (op) {
    case Op.FNeg:
      return single ? (av as number) ^ (sign as number) : (av as bigint) ^ (sign as bigint);
    case Op.FAbs:
      return single ? (av as number) & ~(sign as number) : (av as bigint) & ~(sign as bigint);
    case Op.FCopysign:
      return single
        ? ((av as number) & ~(sign as number)) | ((bv as number) & (sign as number))
        : ((av as bigint) & ~(sign as bigint)) | ((bv as bigint) & (sign as bigint));
  }
  const a = single ? f32Of(av) : f64Of(av);
  const b = op <= Op.FMax ? (single ? f32Of(bv) : f64Of(bv)) : 0;
  // One rounding to double and one to single gives the correctly rounded single for + - * / and sqrt.
  const pack = (x: number) => (single ? f32Bits(Math.fround(x)) : f64Bits(x));
  switch (op) {
    case Op.FAdd:
      return pack(a + b);
    case Op.FSub:
      return pack(a - b);
    case Op.FMul:
      return pack(a * b);
    case Op.FDiv:
      return pack(a / b);
    case Op.FMin:
      return pack(Math.min(a, b));
    case Op.FMax:
      return pack(Math.max(a, b));
    case Op.FSqrt:
      return pack(Math.sqrt(a));
    case Op.FCeil:
      return pack(Math.ceil(a));
    case Op.FFloor:
      return pack(Math.floor(a));
    case Op.FTrunc:
      return pack(Math.trunc(a));
    case Op.FNearest:
      return pack(nearest(a));
  }
  throw new Error(`float operator ${op}`);
}

export function compareFloat(op: Op, type: Type, av: Val, bv: Val): Val {
  const a = type === Type.F32 ? f32Of(av) : f64Of(av);
  const b = type === Type.F32 ? f32Of(bv) : f64Of(bv);
  switch (op) {
    case Op.FEq:
      return +(a === b);
    case Op.FNe:
      return +(a !== b);
    case Op.FLt:
      return +(a < b);
    case Op.FGt:
      return +(a > b);
    case Op.FLe:
      return +(a <= b);
    case Op.FGe:
      return +(a >= b);
  }
  throw new Error(`float comparison ${op}`);
}

function toInteger(op: Op, to: Type, x: number): Val {
  const width = to === Type.I32 ? 32 : 64;
  const signed = op === Op.TruncS || op === Op.TruncSatS;
  const saturating = op === Op.TruncSatS || op === Op.TruncSatU;
  if (Number.isNaN(x)) {
    if (!saturating) throw new IrTrap(TrapCode.BadConversionToInteger);
    return int(to, 0n);
  }
  const low = signed ? -(1n << BigInt(width - 1)) : 0n;
  const high = (1n << BigInt(signed ? width - 1 : width)) - 1n;
  const n = Number.isFinite(x) ? BigInt(Math.trunc(x)) : x > 0 ? high + 1n : low - 1n;
  if (n >= low && n <= high) return int(to, n);
  if (!saturating) throw new IrTrap(TrapCode.IntegerOverflow);
  return int(to, n < low ? low : high);
}

/**
 * Nearest single to an integer, ties to even. Number(BigInt) rounds correctly to double; singles need their own single
 * rounding.
 */
function singleOf(n: bigint): number {
  const magnitude = n < 0n ? -n : n;
  const extra = magnitude.toString(2).length - 24;
  if (extra <= 0) return Number(n);
  const unit = 1n << BigInt(extra);
  let q = magnitude / unit;
  const rest = magnitude % unit;
  if (rest * 2n > unit || (rest * 2n === unit && (q & 1n) === 1n)) q++;
  const x = Number(q * unit);
  return n < 0n ? -x : x;
}

export function convert(op: Op, from: Type, to: Type, a: Val): Val {
  switch (op) {
    case Op.Wrap:
      return Number(BigInt.asIntN(32, a as bigint));
    case Op.ExtendS:
      return BigInt(a);
    case Op.ExtendU:
      return BigInt((a as number) >>> 0);
    case Op.TruncS:
    case Op.TruncU:
    case Op.TruncSatS:
    case Op.TruncSatU:
      return toInteger(op, to, from === Type.F32 ? f32Of(a) : f64Of(a));
    case Op.ConvertS:
    case Op.ConvertU: {
      const n = op === Op.ConvertS ? BigInt(a) : BigInt.asUintN(from === Type.I32 ? 32 : 64, BigInt(a));
      return to === Type.F32 ? f32Bits(singleOf(n)) : f64Bits(Number(n));
    }
    case Op.Promote:
      return f64Bits(f32Of(a));
    case Op.Demote:
      return f32Bits(Math.fround(f64Of(a)));
    case Op.Bitcast:
      return a;
  }
  throw new Error(`operator ${op} is not modelled`);
}
