/** Little-endian byte output. */

const encoder = new TextEncoder();

/** A growing buffer of bytes. Numbers are taken modulo their width. */
export class ByteWriter {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView<ArrayBuffer>;
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Append n zero bytes; returns where they start. */
  reserve(n: number): number {
    const at = this.length;
    const end = at + n;
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.length = end;
    return at;
  }

  u8(v: number): void {
    // reserve() may replace `bytes`: it comes first.
    const at = this.length < this.bytes.length ? this.length++ : this.reserve(1);
    this.bytes[at] = v;
  }

  u16(v: number): void {
    const at = this.reserve(2);
    this.view.setUint16(at, v, true);
  }

  u32(v: number): void {
    const at = this.reserve(4);
    this.view.setUint32(at, v, true);
  }

  u64(v: bigint): void {
    const at = this.reserve(8);
    this.view.setBigUint64(at, v, true);
  }

  uleb(v: number): void {
    while (v > 0x7f) {
      this.u8((v & 0x7f) | 0x80);
      v >>>= 7;
    }
    this.u8(v);
  }

  /** Of an int32. */
  sleb(v: number): void {
    for (;;) {
      const low = v & 0x7f;
      v >>= 7;
      const last = v === (low & 0x40 ? -1 : 0);
      this.u8(last ? low : low | 0x80);
      if (last) return;
    }
  }

  put(bytes: ArrayLike<number>): void {
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
  }

  /** UTF-8, without terminator or length; returns the number of bytes. */
  utf8(text: string): number {
    const at = this.length;
    this.reserve(text.length * 3);
    // Names are mostly short and ASCII: the encoder is only asked where they are not.
    const { bytes } = this;
    let n = 0;
    while (n < text.length) {
      const c = text.charCodeAt(n);
      if (c > 0x7f) break;
      bytes[at + n++] = c;
    }
    if (n === text.length) {
      this.length = at + n;
      return n;
    }
    const { written } = encoder.encodeInto(text, this.bytes.subarray(at));
    this.bytes.fill(0, at + written, this.length);
    this.length = at + written;
    return written;
  }

  align(n: number, fill = 0): void {
    while (this.length % n !== 0) this.u8(fill);
  }

  done(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }
}

export function alignUp(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}
