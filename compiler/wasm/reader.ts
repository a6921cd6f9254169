/**
 * A cursor over the bytes of a module: LEB128 integers, names and raw bytes, as in the core specification ("Binary
 * Format", "Values").
 *
 * Every read is bounded by `end`, which may lie before the end of the file (a section, a body). Every error is a
 * malformed CompileError with the offset where the item starts.
 */
import { CompileError } from '../diagnostics.ts';
import { DEFAULT_FEATURES, type FeatureSet } from '../features.ts';

/** `fatal`: ill-formed UTF-8 is an error. `ignoreBOM`: a leading U+FEFF is part of the name. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Reader {
  /** Low and high half of the last 64-bit number that was read. */
  lo = 0;
  hi = 0;
  /** What running over `end` is called; differs between a file and a part of it. */
  endMessage = 'unexpected end';
  /** Index of the function whose body is read, for errors. */
  func = -1;
  /** Extensions that are on. */
  features: FeatureSet = DEFAULT_FEATURES;

  constructor(
    public bytes: Uint8Array,
    public pos: number,
    public end: number,
  ) {}

  fail(message: string, at: number): never {
    throw new CompileError(message, at, 'malformed', this.func);
  }

  u8(): number {
    if (this.pos >= this.end) this.fail(this.endMessage, this.pos);
    return this.bytes[this.pos++]!;
  }

  peek(): number {
    if (this.pos >= this.end) this.fail(this.endMessage, this.pos);
    return this.bytes[this.pos]!;
  }

  /** Unsigned, as a number in 0 .. 2^32-1. */
  u32(): number {
    const { bytes, pos } = this;
    if (pos < this.end) {
      const first = bytes[pos]!;
      if (first < 0x80) {
        this.pos = pos + 1;
        return first;
      }
    }
    return this.longU32(pos);
  }

  private longU32(start: number): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const b = this.u8();
      value |= (b & 0x7f) << shift;
      if (b < 0x80) return value;
    }
    const b = this.u8();
    if (b > 0x7f) this.fail('integer representation too long', start);
    if (b > 0x0f) this.fail('integer too large', start);
    return (value | (b << 28)) >>> 0;
  }

  /** Signed, as an int32. */
  s32(): number {
    const { bytes, pos } = this;
    if (pos < this.end) {
      const first = bytes[pos]!;
      if (first < 0x80) {
        this.pos = pos + 1;
        return (first << 25) >> 25;
      }
    }
    return this.longS32(pos);
  }

  private longS32(start: number): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const b = this.u8();
      value |= (b & 0x7f) << shift;
      if (b < 0x80) return (value << (25 - shift)) >> (25 - shift);
    }
    const b = this.u8();
    if (b > 0x7f) this.fail('integer representation too long', start);
    // Bits 4–6 repeat the sign, bit 3.
    if (b > 0x07 && b < 0x78) this.fail('integer too large', start);
    return value | (b << 28);
  }

  /** A signed 33-bit integer (block types), as a number. */
  s33(): number {
    const start = this.pos;
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const b = this.u8();
      value |= (b & 0x7f) << shift;
      if (b < 0x80) return (value << (25 - shift)) >> (25 - shift);
    }
    const b = this.u8();
    if (b > 0x7f) this.fail('integer representation too long', start);
    if (b > 0x0f && b < 0x70) this.fail('integer too large', start);
    const high = b & 0x10 ? (b & 0x0f) - 16 : b & 0x0f;
    return high * 0x10000000 + value;
  }

  /** Signed 64-bit, into `lo` and `hi`. */
  s64(): void {
    const last = this.leb64();
    if (last >= 0 && last !== 0x00 && last !== 0x7f) this.fail('integer too large', this.pos - 10);
  }

  /** Unsigned 64-bit, into `lo` and `hi`. */
  u64(): void {
    const { bytes, pos } = this;
    if (pos < this.end) {
      const first = bytes[pos]!;
      if (first < 0x80) {
        this.pos = pos + 1;
        this.lo = first;
        this.hi = 0;
        return;
      }
    }
    this.longU64(pos);
  }

  private longU64(start: number): void {
    const last = this.leb64();
    if (last > 1) this.fail('integer too large', start);
    if (last >= 0) return;
    // leb64 extended the sign of the last byte: take that back.
    const bits = 7 * (this.pos - start);
    if (bits < 32) {
      this.lo &= (1 << bits) - 1;
      this.hi = 0;
    } else {
      this.hi &= (1 << (bits - 32)) - 1;
    }
  }

  /** As u64, but as a bigint: for limits, which are rare. */
  bigU64(): bigint {
    this.u64();
    return (BigInt(this.hi >>> 0) << 32n) | BigInt(this.lo >>> 0);
  }

  /** The tenth byte if there is one (its checks depend on the sign), else -1. */
  private leb64(): number {
    const start = this.pos;
    let lo = 0;
    let hi = 0;
    for (let shift = 0; shift < 63; shift += 7) {
      const b = this.u8();
      const bits = b & 0x7f;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi = bits >> 4;
      } else hi |= bits << (shift - 32);
      if (b < 0x80) {
        if (b & 0x40) {
          if (shift < 28) {
            lo |= -1 << (shift + 7);
            hi = -1;
          } else {
            hi |= -1 << (shift - 25);
          }
        }
        this.lo = lo;
        this.hi = hi;
        return -1;
      }
    }
    const b = this.u8();
    if (b > 0x7f) this.fail('integer representation too long', start);
    this.lo = lo;
    this.hi = hi | (b << 31);
    return b;
  }

  /** The bits of an f32. */
  f32(): number {
    const { bytes, pos } = this;
    if (this.end - pos < 4) this.fail(this.endMessage, pos);
    this.pos = pos + 4;
    return bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24);
  }

  /** The bits of an f64, into `lo` and `hi`. */
  f64(): void {
    if (this.end - this.pos < 8) this.fail(this.endMessage, this.pos);
    this.lo = this.f32();
    this.hi = this.f32();
  }

  /** 16 bytes as four little-endian words. */
  v128(words: Int32Array): void {
    if (this.end - this.pos < 16) this.fail(this.endMessage, this.pos);
    for (let i = 0; i < 4; i++) words[i] = this.f32();
  }

  /** Skip `n` bytes; their start. */
  skip(n: number): number {
    const start = this.pos;
    if (n > this.end - start) this.fail('length out of bounds', start);
    this.pos = start + n;
    return start;
  }

  /** A vector of bytes that must be UTF-8. */
  name(): string {
    const length = this.u32();
    const start = this.skip(length);
    try {
      return utf8.decode(this.bytes.subarray(start, start + length));
    } catch {
      return this.fail('malformed UTF-8 encoding', start);
    }
  }
}
