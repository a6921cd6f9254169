/**
 * Where the results of compiling lie: arrays of all functions one behind the other in a few large buffers. So a function's arrays cost no allocation of their own, and
 * a thread hands over a chunk of functions by handing over a buffer.
 */
const BUFFER_BYTES = 1 << 19;

export class Arena {
  private buffer = new ArrayBuffer(0);
  private at = 0;
  private full: ArrayBuffer[] = [];

  /** Offset of `n` bytes in the current buffer, 8-aligned. They are zero. */
  private reserve(n: number): number {
    const at = (this.at + 7) & ~7;
    if (at + n <= this.buffer.byteLength) {
      this.at = at + n;
      return at;
    }
    if (this.at > 0) this.full.push(this.buffer);
    this.buffer = new ArrayBuffer(Math.max(BUFFER_BYTES, n));
    this.at = n;
    return 0;
  }

  bytes(n: number): Uint8Array<ArrayBuffer> {
    const at = this.reserve(n);
    return new Uint8Array(this.buffer, at, n);
  }

  ints(n: number): Int32Array<ArrayBuffer> {
    const at = this.reserve(4 * n);
    return new Int32Array(this.buffer, at, n);
  }

  /** A copy of the first `n` elements. */
  copyBytes(from: Uint8Array, n: number): Uint8Array<ArrayBuffer> {
    const to = this.bytes(n);
    to.set(from.subarray(0, n));
    return to;
  }
  copyInts(from: Int32Array, n: number): Int32Array<ArrayBuffer> {
    const to = this.ints(n);
    to.set(from.subarray(0, n));
    return to;
  }

  /** The buffers of everything so far, which are somebody else's from now on. */
  take(): ArrayBuffer[] {
    const { full } = this;
    if (this.at > 0) full.push(this.buffer);
    this.full = [];
    this.buffer = new ArrayBuffer(0);
    this.at = 0;
    return full;
  }
}
