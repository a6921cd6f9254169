import type { Arena } from '../arena.ts';

/**
 * Places where a constant is looked for. Where all are taken, its module chose constants that collide: it gets one of
 * its own, which nobody finds.
 */
const MOST_PLACES = 128;

/**
 * A function's read-only data: constants, shared when equal, and jump tables. Offsets are from its 16-aligned start.
 */
export class Rodata {
  private words = new Int32Array(64);
  private size = 0;
  /** Open addressing: 1 + offset of a constant of one, two or four words; 0 is free. Sized to be at most half full. */
  private slots = new Int32Array(32);
  private widths = new Uint8Array(32);
  private constants = 0;

  reset(): void {
    this.size = 0;
    if (this.constants > 0) this.slots.fill(0);
    this.constants = 0;
  }

  const32(bits: number): number {
    return this.constant(1, bits, 0, 0, 0);
  }
  const64(lo: number, hi: number): number {
    return this.constant(2, lo, hi, 0, 0);
  }
  const128(a: number, b: number, c: number, d: number): number {
    return this.constant(4, a, b, c, d);
  }

  /** Room for `count` 4-byte words, zeroed. */
  table(count: number): number {
    const at = this.size;
    this.reserve(count);
    this.words.fill(0, at >> 2, (at >> 2) + count);
    return at;
  }

  bytes(arena: Arena): Uint8Array {
    return this.size === 0 ? arena.bytes(0) : arena.copyBytes(new Uint8Array(this.words.buffer), this.size);
  }

  private constant(width: number, a: number, b: number, c: number, d: number): number {
    if (this.constants * 2 >= this.slots.length) this.rehash();
    const i = this.find(width, a, b, c, d);
    if (i >= 0 && this.slots[i] !== 0) return this.slots[i]! - 1;
    const align = width * 4 - 1;
    while ((this.size & align) !== 0) this.table(1);
    const at = this.size;
    this.reserve(width);
    const w = at >> 2;
    this.words[w] = a;
    if (width > 1) this.words[w + 1] = b;
    if (width > 2) {
      this.words[w + 2] = c;
      this.words[w + 3] = d;
    }
    if (i >= 0) {
      this.slots[i] = at + 1;
      this.widths[i] = width;
      this.constants++;
    }
    return at;
  }

  /** Where the constant is, or belongs; -1: all places are taken. */
  private find(width: number, a: number, b: number, c: number, d: number): number {
    const mask = this.slots.length - 1;
    let h = Math.imul(
      a ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ Math.imul(d, 0x27d4eb2f),
      0x9e3779b1,
    );
    h = (h ^ (h >>> 15)) + width;
    let i = h & mask;
    for (let places = MOST_PLACES; places > 0; places--, i = (i + 1) & mask) {
      const slot = this.slots[i]!;
      if (slot === 0) return i;
      if (this.widths[i] !== width) continue;
      const w = (slot - 1) >> 2;
      const x = this.words;
      if (x[w] !== a || (width > 1 && x[w + 1] !== b)) continue;
      if (width > 2 && (x[w + 2] !== c || x[w + 3] !== d)) continue;
      return i;
    }
    return -1;
  }

  private rehash(): void {
    const { slots, widths, words } = this;
    this.slots = new Int32Array(slots.length * 2);
    this.widths = new Uint8Array(slots.length * 2);
    for (let i = 0; i < slots.length; i++) {
      if (slots[i] === 0) continue;
      const width = widths[i]!;
      const w = (slots[i]! - 1) >> 2;
      const at = this.find(
        width,
        words[w]!,
        width > 1 ? words[w + 1]! : 0,
        width > 2 ? words[w + 2]! : 0,
        width > 2 ? words[w + 3]! : 0,
      );
      if (at < 0) {
        this.constants--;
        continue;
      }
      this.slots[at] = slots[i]!;
      this.widths[at] = width;
    }
  }

  private reserve(count: number): void {
    this.size += count * 4;
    if (this.size <= this.words.length * 4) return;
    const n = new Int32Array(Math.max(this.size >> 2, this.words.length * 2));
    n.set(this.words);
    this.words = n;
  }
}
