/** Writes a function's pc map (code.ts has the format). */
import type { Arena } from '../arena.ts';
import type { Assembler } from './encode.ts';

/** [position token, wasm offset, trap code] */
const ENTRY = 3;
/** Two LEB128 numbers of at most 5 bytes and a trap code. */
const MOST_BYTES = 11;

export class PcMapWriter {
  /** Module offset from which the first entry counts. */
  wasmStart = 0;
  // The last entry: what is noted at the same position replaces it.
  private token = 0;
  private loc = 0;
  private trap = 0;
  /** Entries before it, if their positions are not final yet. */
  private entries = new Int32Array(ENTRY * 64);
  private count = 0;
  /** Those that have been written, and where the last of them is. */
  private out = new Uint8Array(1024);
  private length = 0;
  private pcWritten = 0;
  private locWritten = 0;

  /**
   * @param relaxes positions are tokens that the assembler maps once it has finished: entries are kept until then. Else
   * they are written as they come.
   */
  constructor(private readonly relaxes: boolean) {}

  start(wasmStart: number): void {
    this.wasmStart = wasmStart;
    this.token = 0;
    this.loc = wasmStart;
    this.trap = 0;
    this.count = 0;
    this.length = 0;
    this.pcWritten = 0;
    this.locWritten = wasmStart;
  }

  /**
   * Code from `token` on comes from the operator at `loc` (0: the same as before), and can trap if `trap` is not 0.
   * Every trapping instruction gets an entry; others only where the place changes.
   */
  note(token: number, loc: number, trap: number): void {
    if (loc === 0) loc = this.loc;
    if (trap === 0 && loc === this.loc) return;
    // If nothing was emitted under the entry before, it is replaced.
    if (token !== this.token) {
      if (this.relaxes) this.keep();
      else this.write(this.token, this.loc, this.trap);
      this.token = token;
    }
    this.loc = loc;
    this.trap = trap;
  }

  private keep(): void {
    const at = this.count++ * ENTRY;
    if (at + ENTRY > this.entries.length) {
      const n = new Int32Array(this.entries.length * 2);
      n.set(this.entries);
      this.entries = n;
    }
    this.entries[at] = this.token;
    this.entries[at + 1] = this.loc;
    this.entries[at + 2] = this.trap;
  }

  private write(pc: number, loc: number, trap: number): void {
    let to = this.length;
    if (to + MOST_BYTES > this.out.length) this.grow();
    const { out } = this;
    const u = (((pc - this.pcWritten) << 1) | (trap !== 0 ? 1 : 0)) >>> 0;
    const s = loc - this.locWritten;
    this.pcWritten = pc;
    this.locWritten = loc;
    if (u < 0x80 && s >= -64 && s < 64) {
      out[to++] = u;
      out[to++] = s & 0x7f;
    } else to = this.writeLong(to, u, s);
    if (trap !== 0) out[to++] = trap;
    this.length = to;
  }

  /** Two numbers of any size; where they end. */
  private writeLong(to: number, u: number, s: number): number {
    const { out } = this;
    while (u >= 0x80) {
      out[to++] = (u & 0x7f) | 0x80;
      u >>>= 7;
    }
    out[to++] = u;
    while (s < -64 || s > 63) {
      out[to++] = (s & 0x7f) | 0x80;
      s >>= 7;
    }
    out[to++] = s & 0x7f;
    return to;
  }

  private grow(): void {
    const out = new Uint8Array(this.out.length * 2);
    out.set(this.out);
    this.out = out;
  }

  /** After `asm.finish()`. */
  finish(asm: Assembler, arena: Arena): Uint8Array {
    const { entries } = this;
    for (let i = 0, at = 0; i < this.count; i++, at += ENTRY)
      this.write(asm.map(entries[at]!), entries[at + 1]!, entries[at + 2]!);
    this.write(asm.map(this.token), this.loc, this.trap);
    return arena.copyBytes(this.out, this.length);
  }
}
