/** Writes a function's pc map (code.ts has the format). */
import type { Arena } from '../arena.ts';
import type { Assembler } from './encode.ts';

/** [position token, wasm offset, trap code] */
const ENTRY = 3;

export class PcMapWriter {
  /** Module offset from which the first entry counts. */
  wasmStart = 0;
  private entries = new Int32Array(ENTRY * 64);
  private count = 0;
  private out = new Uint8Array(1024);
  private lastLoc = 0;

  start(wasmStart: number): void {
    this.wasmStart = wasmStart;
    this.count = 0;
    this.lastLoc = wasmStart;
    this.push(0, wasmStart, 0);
  }

  /**
   * Code from `token` on comes from the operator at `loc` (0: the same as before), and can trap if `trap` is not 0. Every trapping
   * instruction gets an entry; others only where the place changes.
   */
  note(token: number, loc: number, trap: number): void {
    if (loc === 0) loc = this.lastLoc;
    if (trap === 0 && loc === this.lastLoc) return;
    this.lastLoc = loc;
    // Nothing was emitted under the entry before: it is replaced.
    if (this.entries[(this.count - 1) * ENTRY] === token) this.count--;
    this.push(token, loc, trap);
  }

  private push(token: number, loc: number, trap: number): void {
    const at = this.count++ * ENTRY;
    if (at + ENTRY > this.entries.length) {
      const n = new Int32Array(this.entries.length * 2);
      n.set(this.entries);
      this.entries = n;
    }
    this.entries[at] = token;
    this.entries[at + 1] = loc;
    this.entries[at + 2] = trap;
  }

  /** After `asm.finish()`. */
  finish(asm: Assembler, arena: Arena): Uint8Array {
    const { entries } = this;
    const end = this.count * ENTRY;
    // Two LEB128 numbers of at most 5 bytes and a trap code.
    if (this.out.length < this.count * 11) this.out = new Uint8Array(this.count * 16);
    const { out } = this;
    const { relaxes } = asm;
    let to = 0;
    let pc = 0;
    let loc = this.wasmStart;
    for (let at = 0; at < end; at += ENTRY) {
      const token = entries[at]!;
      const trap = entries[at + 2]!;
      const here = relaxes ? asm.map(token) : token;
      let u = (((here - pc) << 1) | (trap !== 0 ? 1 : 0)) >>> 0;
      while (u >= 0x80) {
        out[to++] = (u & 0x7f) | 0x80;
        u >>>= 7;
      }
      out[to++] = u;
      let s = entries[at + 1]! - loc;
      while (s < -64 || s > 63) {
        out[to++] = (s & 0x7f) | 0x80;
        s >>= 7;
      }
      out[to++] = s & 0x7f;
      if (trap !== 0) out[to++] = trap;
      pc = here;
      loc = entries[at + 1]!;
    }
    return arena.copyBytes(out, to);
  }
}
