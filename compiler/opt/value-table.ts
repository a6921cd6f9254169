/**
 * The table of global value numbering: values that are available at a point of a walk over the dominator tree, found by
 * what they compute. Leaving a block takes its values out again, last in, first out, so that everything found dominates
 * the point where it is looked up.
 */
import { F_A, F_B, F_C, F_IMM, F_IMM2, type Func, ROW, type Value } from '../ir/func.ts';
import { OP_FLAGS, Op, OpFlag } from '../ir/ops.ts';
import { grown, type Ints } from '../ir/scratch.ts';

/**
 * Values of one bucket that are compared, the newest first. Chains have one or two; in longer ones are values that were
 * chosen to collide, whose module would otherwise take the square of its size. What is not found is computed twice,
 * that is all.
 */
const MOST_COMPARED = 64;

export class ValueTable {
  private f!: Func;
  private heads: Ints = new Int32Array(1024);
  private mask = 1023;
  /** Entries, a stack: value, bucket, and the entry below it in the bucket. Entry 0 is reserved. */
  private value: Ints = new Int32Array(256);
  private bucket: Ints = new Int32Array(256);
  private below: Ints = new Int32Array(256);
  private count = 1;
  private lastBucket = 0;

  begin(f: Func): void {
    this.f = f;
    let size = 1024;
    while (size < f.count && size < 1 << 20) size *= 2;
    // A walk that came to its end has taken all entries out again.
    this.leave(1);
    if (size > this.heads.length) this.heads = new Int32Array(size);
    this.mask = size - 1;
  }

  /** A point to return to with leave(). */
  enter(): number {
    return this.count;
  }
  leave(point: number): void {
    while (this.count > point) {
      const e = --this.count;
      this.heads[this.bucket[e]!] = this.below[e]!;
    }
  }

  /** An available value with these fields, or 0; after a 0, insert() enters a row with the same fields. */
  find(head: number, a: number, b: number, c: number, imm: number, imm2: number): Value {
    const op = head & 0xffff;
    // Operands of a commutative operator are hashed in one order, whichever they have.
    const commutative = (OP_FLAGS[op]! & OpFlag.Commutative) !== 0;
    const x = commutative && b < a ? b : a;
    const y = commutative && b < a ? a : b;
    const { f } = this;
    let h = Math.imul(head, 0x9e3779b1) ^ Math.imul(x + 0x7f4a7c15, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35) + y;
    h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f) + c;
    if (op === Op.VConst) {
      for (let i = 0; i < 4; i++) h = Math.imul(h ^ (h >>> 15), 0x165667b1) + f.listAt(imm, i);
    } else {
      h = Math.imul(h ^ (h >>> 15), 0x165667b1) + imm;
      h = Math.imul(h ^ (h >>> 14), 0x9e3779b1) + imm2;
    }
    h ^= h >>> 16;
    const bucket = h & this.mask;
    this.lastBucket = bucket;
    const rows = f.rows;
    let left = MOST_COMPARED;
    for (let e = this.heads[bucket]!; e !== 0 && left > 0; e = this.below[e]!, left--) {
      const v = this.value[e]!;
      const i = v * ROW;
      if (rows[i] !== head || rows[i + F_C] !== c) continue;
      const va = rows[i + F_A]!;
      const vb = rows[i + F_B]!;
      const same = (va === a && vb === b) || (commutative && va === b && vb === a);
      if (!same) continue;
      if (op === Op.VConst) {
        if (this.sameWords(rows[i + F_IMM]!, imm)) return v;
      } else if (rows[i + F_IMM] === imm && rows[i + F_IMM2] === imm2) return v;
    }
    return 0;
  }

  /** An available value equal to row v, or 0. */
  findRow(v: Value): Value {
    const { rows } = this.f;
    const i = v * ROW;
    return this.find(
      rows[i]!,
      rows[i + F_A]!,
      rows[i + F_B]!,
      rows[i + F_C]!,
      rows[i + F_IMM]!,
      rows[i + F_IMM2]!,
    );
  }

  /** Enter the row whose fields were looked up last. */
  insert(v: Value): void {
    const e = this.count++;
    if (e >= this.value.length) {
      this.value = grown(this.value, e + 1);
      this.bucket = grown(this.bucket, e + 1);
      this.below = grown(this.below, e + 1);
    }
    this.value[e] = v;
    this.bucket[e] = this.lastBucket;
    this.below[e] = this.heads[this.lastBucket]!;
    this.heads[this.lastBucket] = e;
  }

  private sameWords(p: number, q: number): boolean {
    for (let i = 0; i < 4; i++) if (this.f.listAt(p, i) !== this.f.listAt(q, i)) return false;
    return true;
  }
}
