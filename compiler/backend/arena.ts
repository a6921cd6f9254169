/**
 * Where the results of compiling lie: arrays of all functions one behind the other in a few large buffers. So a
 * function's arrays cost no allocation of their own, and a thread hands over a chunk of functions by handing over a
 * buffer.
 */
const BUFFER_BYTES = 1 << 19;
/** Up to this many elements are copied one by one: a view of the source costs as much. */
const FEW = 64;
/** Most functions have some arrays without elements. */
const NO_BYTES = new Uint8Array(new ArrayBuffer(0));
const NO_INTS = new Int32Array(new ArrayBuffer(0));

export class Arena {
  private buffer = new ArrayBuffer(0);
  /** Its length, which is asked for too often to ask the buffer. */
  private capacity = 0;
  /** The same buffer. */
  private words = NO_INTS;
  private at = 0;
  private full: ArrayBuffer[] = [];

  /** Offset of `n` bytes in the current buffer, 8-aligned. They are zero. */
  private reserve(n: number): number {
    const at = (this.at + 7) & ~7;
    if (at + n > this.capacity) return this.next(n);
    this.at = at + n;
    return at;
  }

  /** The same in a new buffer. */
  private next(n: number): number {
    if (this.at > 0) this.full.push(this.buffer);
    this.use(new ArrayBuffer(Math.max(BUFFER_BYTES, (n + 7) & ~7)));
    this.at = n;
    return 0;
  }

  private use(buffer: ArrayBuffer): void {
    this.buffer = buffer;
    this.capacity = buffer.byteLength;
    this.words = new Int32Array(buffer);
  }

  bytes(n: number): Uint8Array<ArrayBuffer> {
    if (n === 0) return NO_BYTES;
    const at = this.reserve(n);
    return new Uint8Array(this.buffer, at, n);
  }

  ints(n: number): Int32Array<ArrayBuffer> {
    if (n === 0) return NO_INTS;
    const at = this.reserve(4 * n);
    return new Int32Array(this.buffer, at, n);
  }

  /** A copy of the first `n` elements. */
  copyBytes(from: Uint8Array, n: number): Uint8Array<ArrayBuffer> {
    const to = this.bytes(n);
    if (n > 0) to.set(from.subarray(0, n));
    return to;
  }
  copyInts(from: Int32Array, n: number): Int32Array<ArrayBuffer> {
    const to = this.ints(n);
    if (n > FEW) to.set(from.subarray(0, n));
    else {
      const { words } = this;
      const at = to.byteOffset >> 2;
      for (let i = 0; i < n; i++) words[at + i] = from[i]!;
    }
    return to;
  }

  /** The buffers of everything so far, which are somebody else's from now on. */
  take(): ArrayBuffer[] {
    const { full } = this;
    if (this.at > 0) full.push(this.buffer);
    this.full = [];
    this.use(new ArrayBuffer(0));
    this.at = 0;
    return full;
  }
}
