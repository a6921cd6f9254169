/**
 * Bounds checks that an earlier one covers. What a check (wasm/bounds.ts) lets pass is `x + extent <= length` of the
 * primary memory, x being an address read as an unsigned number; memories don't shrink, so it holds from there on,
 * whatever is called in between and whenever the length that a later check compares with was read. A later check of the
 * same address with no larger extent can't fail.
 *
 * Nor can one of the address `x + k`, an i32 sum, with an extent of at most `extent - k`: if the sum wraps, it is less
 * still.
 */
import { TrapCode } from '../abi/traps.ts';
import type { Func, Value } from '../ir/func.ts';
import { Op, Region, rawRegion, Type } from '../ir/ops.ts';

/** A constant as a number; exact below 2^53. */
function constant(f: Func, v: Value): number {
  return f.imm2(v) * 2 ** 32 + (f.imm(v) >>> 0);
}

export class BoundsChecks {
  /** For each address: bytes from it on that are known to lie within the memory; 0: nothing is known. */
  private extents = new Float64Array(256);
  /** What was known before; a stack. */
  private addresses: Value[] = [];
  private before: number[] = [];
  /** What read() has found. */
  address: Value = 0;
  extent = 0;

  enter(): number {
    return this.addresses.length;
  }
  leave(point: number): void {
    while (this.addresses.length > point) this.extents[this.addresses.pop()!] = this.before.pop()!;
  }

  /** Whether the check v (a TrapNz) can't fail. If it can, it is taken note of. */
  isCovered(f: Func, v: Value): boolean {
    if (!this.read(f, v)) return false;
    const { address, extent } = this;
    const known = this.known(address);
    if (extent <= known) return true;
    if (f.op(address) === Op.Add && f.type(address) === Type.I32 && f.op(f.b(address)) === Op.IConst) {
      if ((f.imm(f.b(address)) >>> 0) + extent <= this.known(f.a(address))) return true;
    }
    if (address >= this.extents.length) {
      const more = new Float64Array(address * 2);
      more.set(this.extents);
      this.extents = more;
    }
    this.addresses.push(address);
    this.before.push(known);
    this.extents[address] = extent;
    return false;
  }

  /** Whether v (a TrapNz) is such a check; `address` and `extent` are what it is of. */
  read(f: Func, v: Value): boolean {
    return f.imm(v) === TrapCode.HeapOutOfBounds && this.readCondition(f, f.a(v));
  }

  private known(address: Value): number {
    return address < this.extents.length ? this.extents[address]! : 0;
  }

  /**
   * Take a check's condition apart: `length - extent < x`, or `length < x + extent`, where x is an i32 that is
   * extended, or an i64. That neither side wraps is argued where they are made; the trap code says that they were made
   * there.
   */
  private readCondition(f: Func, c: Value): boolean {
    if (f.op(c) !== Op.LtU) return false;
    let length = f.a(c);
    let x = f.b(c);
    let extent = 0;
    if (f.op(length) === Op.Add && f.op(f.b(length)) === Op.IConst) {
      extent -= constant(f, f.b(length));
      length = f.a(length);
    }
    if (f.op(length) !== Op.VmLoad || rawRegion(f.imm2(length)) !== Region.MemoryLength) return false;
    if (f.op(x) === Op.Add && f.op(f.b(x)) === Op.IConst && f.op(f.a(x)) === Op.ExtendU) {
      // A program's own sum (i64.extend_i32_u, i64.add of a negative number) does wrap.
      if (f.imm2(f.b(x)) < 0) return false;
      extent += constant(f, f.b(x));
      x = f.a(x);
    }
    this.address = f.op(x) === Op.ExtendU ? f.a(x) : x;
    this.extent = extent;
    return extent > 0;
  }
}
