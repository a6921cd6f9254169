/** A bounded little-endian reader over one debug section, and the error that its users turn into a warning. */

/** The debug information is broken here. Never leaves this folder: each unit's reader catches it. */
export class DwarfError extends Error {
  override readonly name = 'DwarfError';
}

/** LEB128 numbers longer than this (padding included) are refused: no producer writes them. */
const MAX_LEB_BYTES = 16;

const decoder = new TextDecoder();

export class Cursor {
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
    public end: number,
  ) {
    if (at < 0 || end > bytes.length || at > end)
      throw new DwarfError(`range ${at}..${end} is outside the section`);
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  private need(n: number): void {
    if (this.end - this.at < n) throw new DwarfError(`unexpected end at 0x${this.at.toString(16)}`);
  }

  u8(): number {
    this.need(1);
    return this.bytes[this.at++];
  }

  u16(): number {
    this.need(2);
    const b = this.bytes;
    const at = this.at;
    this.at = at + 2;
    return b[at] | (b[at + 1] << 8);
  }

  u32(): number {
    this.need(4);
    const b = this.bytes;
    const at = this.at;
    this.at = at + 4;
    return (b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)) >>> 0;
  }

  /** Exact up to 2^53; above that the nearest double, which no offset or address of a wasm module can be. */
  u64(): number {
    const lo = this.u32();
    return lo + this.u32() * 0x1_0000_0000;
  }

  /** @param n 1 to 8 bytes */
  uint(n: number): number {
    this.need(n);
    let value = 0;
    let scale = 1;
    for (let i = 0; i < n; i++) {
      value += this.bytes[this.at++] * scale;
      scale *= 256;
    }
    return value;
  }

  uleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_LEB_BYTES; i++) {
      const b = this.u8();
      value += (b & 0x7f) * scale;
      if (b < 0x80) return value;
      scale *= 128;
    }
    throw new DwarfError(`overlong LEB128 number at 0x${this.at.toString(16)}`);
  }

  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_LEB_BYTES; i++) {
      const b = this.u8();
      value += (b & 0x7f) * scale;
      scale *= 128;
      if (b < 0x80) return b & 0x40 ? value - scale : value;
    }
    throw new DwarfError(`overlong LEB128 number at 0x${this.at.toString(16)}`);
  }

  skip(n: number): void {
    this.need(n);
    this.at += n;
  }

  /** Moves behind a zero-terminated string; its length without the zero. */
  skipString(): number {
    const start = this.at;
    const zero = this.bytes.indexOf(0, start);
    if (zero < 0 || zero >= this.end) throw new DwarfError(`unterminated string at 0x${start.toString(16)}`);
    this.at = zero + 1;
    return zero - start;
  }

  string(): string {
    const start = this.at;
    const length = this.skipString();
    return decoder.decode(this.bytes.subarray(start, start + length));
  }
}

/**
 * Strings longer than that are kept by their offset, and counted: entries of a few bytes may each name a string of
 * megabytes, or a tail of it.
 */
const LONG_STRING = 128;

/**
 * Long strings of a section. Linkers share tails, so all that differ may take a few times the section; where they take
 * more, only their starts are read.
 */
class LongStrings {
  private readonly known = new Map<number, string>();
  private left: number;

  constructor(private readonly section: Uint8Array) {
    this.left = 4 * section.length + 2 ** 20;
  }

  at(offset: number): string {
    const known = this.known.get(offset);
    if (known !== undefined) return known;
    const most = Math.max(LONG_STRING, Math.min(this.left, this.section.length - offset));
    const bytes = this.section.subarray(offset, offset + most);
    const zero = bytes.indexOf(0);
    if (zero < 0 && offset + most >= this.section.length)
      throw new DwarfError(`unterminated string at 0x${offset.toString(16)}`);
    const text = zero < 0 ? `${decoder.decode(bytes)}…` : decoder.decode(bytes.subarray(0, zero));
    this.left -= text.length;
    this.known.set(offset, text);
    return text;
  }
}

const longStrings = new WeakMap<Uint8Array, LongStrings>();

/** The zero-terminated string at an offset of a string section. */
export function stringAt(section: Uint8Array, offset: number): string {
  if (!(offset < section.length))
    throw new DwarfError(`string offset 0x${offset.toString(16)} is outside its section`);
  const start = section.subarray(offset, offset + LONG_STRING);
  const zero = start.indexOf(0);
  if (zero >= 0) return decoder.decode(start.subarray(0, zero));
  let all = longStrings.get(section);
  if (all === undefined) longStrings.set(section, (all = new LongStrings(section)));
  return all.at(offset);
}

/** Length field of a unit: DWARF32, or DWARF64 behind the escape value. `end` is where the unit ends. */
export function readUnitLength(c: Cursor): { end: number; offsetSize: 4 | 8 } {
  let length = c.u32();
  let offsetSize: 4 | 8 = 4;
  if (length === 0xffff_ffff) {
    length = c.u64();
    offsetSize = 8;
  } else if (length >= 0xffff_fff0) {
    throw new DwarfError(`reserved unit length 0x${length.toString(16)}`);
  }
  const end = c.at + length;
  if (end > c.end) throw new DwarfError(`unit of ${length} bytes exceeds its section`);
  return { end, offsetSize };
}
