/**
 * The state of instruction selection and what all its parts share: naming of values, constants, addresses, load
 * folding.
 *
 * Selection walks blocks and instructions backwards: an instruction is selected when something behind it asked for its
 * value (`val`), or when it has an effect. Rows are appended to the MachFunc in natural order within one IR
 * instruction, which is then reversed as a group (lower.ts).
 *
 * **Zero-extension.** A vreg of an i32 value has zeros in the upper half of its register, unless the value is *raw*: a
 * Wrap, a call's result, or an argument of the function. Everything else that makes an i32 does so by a 32-bit machine
 * instruction, which zeroes the upper half: ALU, shift, multiply, divide, cmov, lea, mov, movzx, movd and cvtt
 * instructions with 32-bit destinations; setcc writes into a zeroed register. Block parameters get only extended
 * values: edges ask with `ext`. Copies, spills and reloads move all 64 bits, so they keep it. A raw value has up to two
 * vregs: `vreg`, with anything above, for those who ignore the upper half, and `vregZ`, the same by `mov r32, r32`,
 * made only if someone asks. So ExtendU costs nothing, and a Wrap costs nothing to those who look at the low half only.
 * `ext` must be used wherever all 64 bits count: heap addresses (where the sandbox depends on it), table indices,
 * edges, arguments of builtins, i64 values that come from ExtendU.
 */

import { TrapCode } from '../../abi/traps.ts';
import type { VmctxLayout } from '../../abi/vmctx.ts';
import { MEMORY_ENTRY } from '../../abi/vmctx.ts';
import { bug } from '../../diagnostics.ts';
import type { Cfg } from '../../ir/cfg.ts';
import type { Func, Value } from '../../ir/func.ts';
import { F_A, F_B, F_BLOCK, F_IMM, F_IMM2, F_LOC, ROW } from '../../ir/func.ts';
import {
  MemKind,
  memIndex,
  memKind,
  OP_FLAGS,
  Op,
  OpFlag,
  Region,
  rawKind,
  rawRegion,
  rawTrap,
  Type,
} from '../../ir/ops.ts';
import { type MachFunc, MFlag, Opd, RegClass, reuse } from '../mach.ts';
import type { Rodata } from './emit-rodata.ts';
import { Ins } from './encode-table.ts';
import { ADDR_INDEX, ADDR_SCALE_SHIFT, Base, type Unit, X, xop } from './insts.ts';
import { constant, wordsOf } from './simd-rows.ts';

/** What the CPU may be assumed to have beyond SSE4.1. */
export interface CpuFlags {
  readonly lzcnt: boolean;
  readonly bmi1: boolean;
  readonly bmi2: boolean;
  readonly popcnt: boolean;
  readonly avx: boolean;
  readonly avx2: boolean;
  readonly fma: boolean;
  readonly sse42: boolean;
  /** AVX-512F for vectors of 128 bits. */
  readonly avx512vl: boolean;
  /** With AVX-512DQ. */
  readonly avx512dq: boolean;
}

export function intSize(type: Type): number {
  return type === Type.I32 ? 4 : 8;
}
export function isFloat(type: Type): boolean {
  return type === Type.F32 || type === Type.F64;
}
export function classOf(type: Type): RegClass {
  return type === Type.V128 ? RegClass.Vec : isFloat(type) ? RegClass.Float : RegClass.Int;
}

const U32 = 2 ** 32;
/** How far `val` and `ext` look through operators that only rename their operand. */
export const NAME_HOPS = 8;
/** How far `bound` looks into operands. */
const BOUND_DEPTH = 4;

/** Flags word of a row that can fault. */
export function trapFlags(code: number): number {
  return code << 8;
}

export class Selection {
  func!: Func;
  cfg!: Cfg;
  m!: MachFunc;
  unit!: Unit;
  rodata!: Rodata;

  /** Uses by live instructions and live edge arguments. */
  uses = new Int32Array(256);
  /** vreg of a value, or -1 while nobody asked. */
  vreg = new Int32Array(256);
  /** vreg of a raw i32 value with the upper half zeroed, or -1. */
  vregZ = new Int32Array(256);
  /** For each linked row: effects before it in its block, and writes before it. */
  effectsBefore = new Int32Array(256);
  writesBefore = new Int32Array(256);
  /** Rows with effects that have become part of another row. */
  folded = new Uint8Array(256);

  /** The block being selected, its innermost loop, and the row at whose place code is being made. */
  block = 0;
  loop = -1;
  root: Value = 0;
  /** vreg of each further memory's base in this block, or -1. */
  memoryBase: Int32Array;
  memoryBaseUsed = false;

  // The address built last.
  addrAux = 0;
  private addrBase = -1;
  private addrIndex = -1;
  addrDisp = 0;
  /** A comparison with more than one consumer is being made: it may be made again, so no load may become part of it. */
  shared = false;
  /** Of the load folded last: its trap code and its place in the module. */
  foldTrap = 0;
  foldLoc = 0;

  constructor(
    readonly cpu: CpuFlags,
    readonly layout: VmctxLayout,
    memories: number,
    /** Index of the memory that starts at the base, or -1. */
    readonly primaryMemory: number,
  ) {
    this.memoryBase = new Int32Array(memories).fill(-1);
  }

  // ---- rows of the MachFunc
  /** Append a row that belongs to the current root. */
  row(op: number, flags = 0, imm = 0): void {
    this.m.inst(op, flags, imm, 0, 0, this.func.rows[this.root * ROW + F_LOC]!);
  }
  /** Append a row with the address built last; call `addr()` after its other operands. */
  rowMem(op: number, flags: number, imm: number, loc: number): void {
    this.m.inst(op, flags, imm, this.addrDisp, this.addrAux, loc);
  }
  loc(): number {
    return this.func.rows[this.root * ROW + F_LOC]!;
  }
  def(vreg: number): void {
    this.m.opd(vreg, Opd.Def);
  }
  /** A definition in the register of operand 1. */
  defReuse(vreg: number): void {
    this.m.opd(vreg, reuse(1));
  }
  use(vreg: number): void {
    this.m.opd(vreg, Opd.Use);
  }
  useAny(vreg: number): void {
    this.m.opd(vreg, Opd.Any);
  }
  temp(cls: RegClass): void {
    this.m.opd(this.m.newVreg(cls), Opd.Def | Opd.Cross);
  }
  /** Operands of the address built last. */
  addr(): void {
    if (this.addrBase >= 0) this.m.opd(this.addrBase, Opd.Use);
    if (this.addrIndex >= 0) this.m.opd(this.addrIndex, Opd.Use);
  }

  // ---- values
  opOf(v: Value): Op {
    return this.func.rows[v * ROW]! & 0xffff;
  }
  typeOf(v: Value): Type {
    return (this.func.rows[v * ROW]! >>> 16) & 0xff;
  }
  isConst(v: Value): boolean {
    return (this.func.rows[v * ROW]! & 0xffff) === Op.IConst;
  }
  imm(v: Value): number {
    return this.func.rows[v * ROW + F_IMM]!;
  }
  /** An IConst equal to an i32 (sign-extended if it is an i64). */
  isImm32(v: Value): boolean {
    const r = this.func.rows;
    const at = v * ROW;
    if ((r[at]! & 0xffff) !== Op.IConst) return false;
    return ((r[at]! >>> 16) & 0xff) === Type.I32 || r[at + F_IMM2]! === r[at + F_IMM]! >> 31;
  }
  isZero(v: Value): boolean {
    return this.isImm32(v) && this.imm(v) === 0;
  }
  /** A value of this block, or a pure one whose place does not matter. */
  inBlock(v: Value): boolean {
    return this.func.rows[v * ROW + F_BLOCK]! === this.block;
  }
  /** An instruction of this block with this operator that nobody else uses, and so may vanish into its user. */
  isPart(v: Value, op: Op): boolean {
    return this.opOf(v) === op && this.uses[v] === 1 && this.inBlock(v);
  }
  /**
   * Whether the value is needed behind the current root, as far as selection has seen: a copy would be needed to
   * overwrite it.
   */
  liveAfter(v: Value): boolean {
    if (this.vreg[v]! >= 0 || this.vregZ[v]! >= 0) return true;
    if (this.isConst(v)) return false;
    return this.cfg.loopOf[this.func.rows[v * ROW + F_BLOCK]!]! !== this.loop;
  }

  private named(v: Value): number {
    const known = this.vreg[v]!;
    if (known >= 0) return known;
    if (this.folded[v] !== 0) bug(`value ${v} was folded into a user and is used again`);
    const r = this.m.newVreg(classOf(this.typeOf(v)));
    this.vreg[v] = r;
    return r;
  }

  /** An i32 whose `vreg` may have anything in its upper half. */
  private isRaw(v: Value): boolean {
    switch (this.opOf(v)) {
      case Op.Wrap:
      case Op.Result:
      case Op.Call:
      case Op.CallImport:
      case Op.CallIndirect:
      case Op.CallBuiltin:
        return true;
      case Op.Param:
        return this.func.rows[v * ROW + F_BLOCK]! === 0;
      default:
        return false;
    }
  }

  /** Register of a value. i32: the upper half is not to be looked at. Constants are made anew for each use, here. */
  val(v: Value): number {
    const r = this.func.rows;
    // Names for other values are followed a few steps only: a long chain with many users must not be walked by each of
    // them.
    for (let hops = 0; hops < NAME_HOPS; hops++) {
      switch (r[v * ROW]! & 0xffff) {
        case Op.IConst:
        case Op.FConst:
        case Op.VConst:
        case Op.SlotAddr:
        case Op.ImageAddr:
        case Op.VmAddr:
          return this.materialize(v);
        case Op.Wrap:
          v = r[v * ROW + F_A]!;
          continue;
        case Op.ExtendU:
          return this.ext(r[v * ROW + F_A]!);
        case Op.Bitcast: {
          const a = r[v * ROW + F_A]!;
          if (isFloat(this.typeOf(a)) || isFloat(this.typeOf(v))) return this.named(v);
          v = a;
          continue;
        }
        default:
          return this.named(v);
      }
    }
    return this.opOf(v) === Op.Wrap ? this.extended(v) : this.named(v);
  }

  /** Register of an i32 value with a zero upper half. */
  ext(v: Value): number {
    const r = this.func.rows;
    for (let hops = 0; hops < NAME_HOPS && this.opOf(v) === Op.Wrap; hops++) {
      const a = r[v * ROW + F_A]!;
      if (this.opOf(a) !== Op.ExtendU) break;
      v = r[a * ROW + F_A]!;
    }
    if (this.isConst(v)) return this.materialize(v);
    return this.isRaw(v) ? this.extended(v) : this.named(v);
  }

  /** The second vreg of a raw value. */
  private extended(v: Value): number {
    const known = this.vregZ[v]!;
    if (known >= 0) return known;
    const z = this.m.newVreg(RegClass.Int);
    this.vregZ[v] = z;
    return z;
  }

  /** What an edge, a call's argument list or a store array passes on: extended, as block parameters are. */
  edgeVal(v: Value): number {
    return this.typeOf(v) === Type.I32 ? this.ext(v) : this.val(v);
  }

  /** Select `vregZ` of a raw value that has just been defined. */
  extendRaw(v: Value, raw: number): void {
    const z = this.vregZ[v]!;
    if (z < 0) return;
    this.row(xop(X.Rm, Ins.MOV, 4));
    this.def(z);
    this.use(raw);
  }

  /** Register for the result of the current root. */
  result(v: Value): number {
    return this.named(v);
  }

  fresh(cls: RegClass): number {
    return this.m.newVreg(cls);
  }

  // ---- constants
  /** Nothing that produces flags may have been appended for the current root before: zero is made by `xor`. */
  int(lo: number, hi: number, size: number): number {
    const d = this.m.newVreg(RegClass.Int);
    if (size === 8 && hi === 0) size = 4;
    this.m.inst(xop(X.Imm, 0, size, 1), MFlag.Remat, lo, hi, 0, this.loc());
    this.m.opd(d, Opd.Def);
    return d;
  }

  private materialize(v: Value): number {
    const r = this.func.rows;
    const at = v * ROW;
    const lo = r[at + F_IMM]!;
    const type = (r[at]! >>> 16) & 0xff;
    switch (r[at]! & 0xffff) {
      case Op.IConst:
        return this.int(lo, type === Type.I32 ? 0 : r[at + F_IMM2]!, intSize(type));
      case Op.SlotAddr:
        this.address(Base.Slot, -1, -1, 0, this.slotOffset(lo));
        return this.lea(8);
      case Op.VmAddr:
        this.address(Base.Ctx, -1, -1, 0, lo);
        return this.lea(8);
      case Op.ImageAddr:
        this.address(Base.Image, -1, -1, 0, lo);
        return this.lea(8);
      case Op.VConst:
        return constant(this, wordsOf(this, v));
      default: {
        const d = this.m.newVreg(RegClass.Float);
        const hi = type === Type.F64 ? r[at + F_IMM2]! : 0;
        if (lo === 0 && hi === 0) {
          this.row(xop(X.FZero), MFlag.Remat);
          this.def(d);
          return d;
        }
        this.addressOfConst(v);
        this.rowMem(xop(X.Rm, type === Type.F32 ? Ins.MOVSS : Ins.MOVSD, 8), MFlag.Remat, 0, this.loc());
        this.def(d);
        return d;
      }
    }
  }

  private lea(size: number): number {
    const d = this.m.newVreg(RegClass.Int);
    this.rowMem(xop(X.Lea, Ins.LEA, size), MFlag.Remat, 0, this.loc());
    this.def(d);
    return d;
  }

  // ---- addresses
  address(base: Base, baseReg: number, index: number, scale: number, disp: number): void {
    this.addrAux = base | (index >= 0 ? ADDR_INDEX : 0) | (scale << ADDR_SCALE_SHIFT);
    this.addrBase = baseReg;
    this.addrIndex = index;
    this.addrDisp = disp;
  }

  addressOfConst(v: Value): void {
    const r = this.func.rows;
    const lo = r[v * ROW + F_IMM]!;
    const at =
      this.typeOf(v) === Type.F32 ? this.rodata.const32(lo) : this.rodata.const64(lo, r[v * ROW + F_IMM2]!);
    this.address(Base.Rodata, -1, -1, 0, at);
  }

  slotOffset(slot: number): number {
    let at = 0;
    for (let i = 0; i < slot; i++) at += (this.func.slots[i]! + 15) & ~15;
    return at;
  }

  /** An upper bound of an i32 value, seen as unsigned. */
  bound(v: Value, depth = 0): number {
    const r = this.func.rows;
    const a = r[v * ROW + F_A]!;
    const b = r[v * ROW + F_B]!;
    const op = r[v * ROW]! & 0xffff;
    if (op === Op.IConst) return r[v * ROW + F_IMM]! >>> 0;
    if (depth >= BOUND_DEPTH) return U32 - 1;
    switch (op) {
      case Op.And:
        return Math.min(this.bound(a, depth + 1), this.bound(b, depth + 1));
      case Op.Add: {
        const sum = this.bound(a, depth + 1) + this.bound(b, depth + 1);
        return sum < U32 ? sum : U32 - 1;
      }
      case Op.ShrU:
        return this.isConst(b) ? this.bound(a, depth + 1) >>> (this.imm(b) & 31) : this.bound(a, depth + 1);
      case Op.Shl: {
        if (!this.isConst(b)) return U32 - 1;
        const n = this.bound(a, depth + 1) * 2 ** (this.imm(b) & 31);
        return n < U32 ? n : U32 - 1;
      }
      case Op.RemU:
        return this.isConst(b) && this.imm(b) !== 0 ? (this.imm(b) >>> 0) - 1 : this.bound(a, depth + 1);
      case Op.DivU:
        return this.bound(a, depth + 1);
      case Op.Clz:
      case Op.Ctz:
      case Op.Popcnt:
        return 64;
      case Op.Load:
        switch (memKind(r[v * ROW + F_IMM2]!)) {
          case MemKind.U8:
            return 255;
          case MemKind.U16:
            return 65535;
          default:
            return U32 - 1;
        }
      default:
        return (OP_FLAGS[op]! & OpFlag.Compare) !== 0 ? 1 : U32 - 1;
    }
  }

  /**
   * Address of a wasm memory access. Safety: what is added to the memory's base is the exact sum of the zero-extended
   * 32-bit address and the 32-bit offset, at most 2^33 - 2; the slot reserves that much and a guard behind it for the
   * access's own width. Parts of the address computation are taken into the addressing mode only where `bound` shows
   * that their 32-bit result did not wrap.
   */
  heapAddress(v: Value): void {
    const r = this.func.rows;
    let address = r[v * ROW + F_A]!;
    let offset = r[v * ROW + F_IMM]! >>> 0;
    const memory = memIndex(r[v * ROW + F_IMM2]!);
    let base = Base.Ctx;
    let baseReg = -1;
    if (memory !== this.primaryMemory) {
      base = Base.Reg;
      baseReg = this.memoryBase[memory]!;
      if (baseReg < 0) {
        baseReg = this.m.newVreg(RegClass.Int);
        this.memoryBase[memory] = baseReg;
        this.memoryBaseUsed = true;
      }
    }
    if (this.typeOf(address) === Type.I64) {
      this.wideHeapAddress(base, baseReg, address, offset);
      return;
    }
    for (let i = 0; i < BOUND_DEPTH && this.opOf(address) === Op.Add; i++) {
      const x = r[address * ROW + F_A]!;
      const c = r[address * ROW + F_B]!;
      if (!this.isConst(c)) break;
      const add = this.imm(c) >>> 0;
      if (this.bound(x) + add >= U32 || add + offset >= 2 ** 31) break;
      offset += add;
      address = x;
    }
    let index = -1;
    let scale = 0;
    if (this.isConst(address)) {
      offset += this.imm(address) >>> 0;
    } else if (this.opOf(address) === Op.Shl && this.isConst(r[address * ROW + F_B]!)) {
      const x = r[address * ROW + F_A]!;
      const k = this.imm(r[address * ROW + F_B]!) & 31;
      if (k >= 1 && k <= 3 && this.bound(x) * 2 ** k < U32) {
        index = this.ext(x);
        scale = k;
      } else {
        index = this.ext(address);
      }
    } else {
      index = this.ext(address);
    }
    if (offset < 2 ** 31) {
      this.address(base, baseReg, index, scale, offset);
      return;
    }
    // Displacements are signed 32 bits: a larger one goes through a register, added in 64 bits.
    let sum = this.int(offset | 0, Math.floor(offset / U32), 8);
    if (index >= 0) {
      const d = this.m.newVreg(RegClass.Int);
      this.address(Base.Reg, sum, index, scale, 0);
      this.rowMem(xop(X.Lea, Ins.LEA, 8), 0, 0, this.loc());
      this.def(d);
      this.addr();
      sum = d;
    }
    this.address(base, baseReg, sum, 0, 0);
  }

  /**
   * The same for a 64-bit address. Safety: the access stands behind a check of exactly address + offset
   * (wasm/bounds.ts). Addresses are computed modulo 2^64 by the IR as by the machine, so that taking part of the
   * computation into the addressing mode changes nothing.
   */
  private wideHeapAddress(base: Base, baseReg: number, address: Value, offset: number): void {
    const r = this.func.rows;
    let disp = offset;
    let index = address;
    if (this.opOf(index) === Op.Add) {
      const c = r[index * ROW + F_B]!;
      if (this.isImm32(c) && this.imm(c) >= 0 && disp + this.imm(c) < 2 ** 31) {
        disp += this.imm(c);
        index = r[index * ROW + F_A]!;
      }
    }
    if (disp >= 2 ** 31) bug('offset of a checked access');
    if (this.isImm32(index) && this.imm(index) >= 0 && disp + this.imm(index) < 2 ** 31) {
      this.address(base, baseReg, -1, 0, disp + this.imm(index));
      return;
    }
    const scale = this.scaleOf(index);
    const reg = scale > 0 ? this.val(r[index * ROW + F_A]!) : this.val(index);
    this.address(base, baseReg, reg, scale, disp);
  }

  /** Address of a raw access: pointer + displacement. */
  rawAddress(v: Value): void {
    const r = this.func.rows;
    this.pointerAddress(r[v * ROW + F_A]!, r[v * ROW + F_IMM]!);
  }

  private pointerAddress(p: Value, disp: number): void {
    const r = this.func.rows;
    switch (this.opOf(p)) {
      case Op.SlotAddr:
        this.address(Base.Slot, -1, -1, 0, this.slotOffset(this.imm(p)) + disp);
        return;
      case Op.VmAddr:
        this.address(Base.Ctx, -1, -1, 0, this.imm(p) + disp);
        return;
      case Op.Add:
        // 64-bit additions wrap as addresses do.
        if (this.uses[p] === 1 && this.inBlock(p)) {
          const x = r[p * ROW + F_A]!;
          const y = r[p * ROW + F_B]!;
          if (this.isImm32(y) && Math.abs(this.imm(y) + disp) < 2 ** 31) {
            this.address(Base.Reg, this.val(x), -1, 0, this.imm(y) + disp);
          } else {
            const k = this.scaleOf(y);
            const index = k > 0 ? this.val(r[y * ROW + F_A]!) : this.val(y);
            this.address(Base.Reg, this.val(x), index, k, disp);
          }
          return;
        }
    }
    this.address(Base.Reg, this.val(p), -1, 0, disp);
  }

  /** 1..3 if the value is a left shift by that, of no other use. */
  scaleOf(v: Value): number {
    if (!this.isPart(v, Op.Shl)) return 0;
    const c = this.func.rows[v * ROW + F_B]!;
    if (!this.isConst(c)) return 0;
    const k = this.imm(c) & (this.typeOf(v) === Type.I32 ? 31 : 63);
    return k <= 3 ? k : 0;
  }

  /** Address of a Load, RawLoad, VmLoad, Store, RawStore or VmStore. */
  accessAddress(v: Value): void {
    switch (this.opOf(v)) {
      case Op.Load:
      case Op.Store:
        this.heapAddress(v);
        return;
      case Op.RawLoad:
      case Op.RawStore:
        this.rawAddress(v);
        return;
      default:
        this.address(Base.Ctx, -1, -1, 0, this.imm(v));
    }
  }

  accessKind(v: Value): MemKind {
    const access = this.func.rows[v * ROW + F_IMM2]!;
    const op = this.opOf(v);
    return op === Op.Load || op === Op.Store ? memKind(access) : rawKind(access);
  }

  accessTrap(v: Value): number {
    const op = this.opOf(v);
    if (op === Op.Load || op === Op.Store) return TrapCode.HeapOutOfBounds;
    if (op === Op.VmLoad || op === Op.VmStore) return 0;
    return rawTrap(this.func.rows[v * ROW + F_IMM2]!);
  }

  /**
   * Whether a load may happen at the current root instead of at its own place: it is this block's, has no other use,
   * and what lies between does not write what it reads. One that can trap must have no effect at all between, so that
   * traps keep their order among effects and other traps. Nor may somebody have asked for its value: a user that takes
   * an addition apart has the use of its operand, which stays the addition's too.
   */
  canSink(v: Value): boolean {
    if (this.uses[v] !== 1 || this.vreg[v]! >= 0 || this.shared || !this.inBlock(v)) return false;
    const op = this.opOf(v);
    if (op !== Op.Load && op !== Op.RawLoad && op !== Op.VmLoad) return false;
    if (this.accessTrap(v) !== 0) return this.effectsBefore[this.root] === this.effectsBefore[v]! + 1;
    if (rawRegion(this.func.rows[v * ROW + F_IMM2]!) === Region.ReadOnly) return true;
    return this.writesBefore[this.root] === this.writesBefore[v];
  }

  /** Whether a value is a load that may become a memory operand of `width` bytes at the current root. */
  canFold(v: Value, width: number): boolean {
    return this.canSink(v) && this.isWide(v, width);
  }

  /**
   * Build the address of a load that has passed `canSink`, which then has no row of its own. The other operands'
   * registers must have been asked for before: making a constant may use the address fields.
   */
  takeLoad(v: Value): void {
    this.folded[v] = 1;
    this.accessAddress(v);
    this.foldTrap = this.accessTrap(v);
    this.foldLoc = this.func.rows[v * ROW + F_LOC]!;
  }

  /** Whether the load reads exactly `width` bytes into a register of the same width. */
  private isWide(v: Value, width: number): boolean {
    if (this.accessKind(v) !== MemKind.Full) return false;
    const t = this.typeOf(v);
    return (t === Type.I32 || t === Type.F32 ? 4 : t === Type.V128 ? 16 : 8) === width;
  }

  /** Load the bases of the further memories that this block used: they never change. */
  loadMemoryBases(): void {
    if (!this.memoryBaseUsed) return;
    this.memoryBaseUsed = false;
    for (let i = 0; i < this.memoryBase.length; i++) {
      const r = this.memoryBase[i]!;
      if (r < 0) continue;
      this.memoryBase[i] = -1;
      this.address(Base.Ctx, -1, -1, 0, i * MEMORY_ENTRY.SIZE + MEMORY_ENTRY.BASE - this.layout.memories);
      this.rowMem(xop(X.Rm, Ins.MOV, 8), MFlag.Remat, 0, this.loc());
      this.def(r);
    }
  }
}
