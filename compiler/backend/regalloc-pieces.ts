/** Pieces of bundles, the data that the linear scan works on. */
import { atLeast, grown } from './liveness.ts';

/** Values of `Pieces.reg` besides physical registers. */
export const SPILLED = -1;
export const UNASSIGNED = -2;

/** Cuts of bundles: parallel arrays. The pieces of one bundle are linked in position order. */
export class Pieces {
  count = 0;
  bundle = new Int32Array(1024);
  start = new Int32Array(1024);
  end = new Int32Array(1024);
  reg = new Int32Array(1024);
  next = new Int32Array(1024);
  prev = new Int32Array(1024);
  /** First range that ends behind the piece's start, and first use record not before its start. */
  range = new Int32Array(1024);
  use = new Int32Array(1024);
  /** First range that ends behind the scan position. */
  cursor = new Int32Array(1024);
  /** Where an inactive piece's next range starts. */
  wake = new Int32Array(1024);
  /** First piece of each bundle, or -1. */
  first = new Int32Array(0);

  reset(bundles: number): void {
    this.count = 0;
    this.first = atLeast(this.first, bundles).fill(-1, 0, bundles);
  }

  add(bundle: number, start: number, end: number, range: number, use: number): number {
    const p = this.count++;
    if (p >= this.bundle.length) {
      const n = p + 1;
      this.bundle = grown(this.bundle, n);
      this.start = grown(this.start, n);
      this.end = grown(this.end, n);
      this.reg = grown(this.reg, n);
      this.next = grown(this.next, n);
      this.prev = grown(this.prev, n);
      this.cursor = grown(this.cursor, n);
      this.range = grown(this.range, n);
      this.use = grown(this.use, n);
      this.wake = grown(this.wake, n);
    }
    this.bundle[p] = bundle;
    this.start[p] = start;
    this.end[p] = end;
    this.reg[p] = UNASSIGNED;
    this.next[p] = -1;
    this.prev[p] = -1;
    this.cursor[p] = range;
    this.range[p] = range;
    this.use[p] = use;
    return p;
  }
}

/** Binary heap of pieces by a key. */
export class PieceHeap {
  readonly items: number[] = [];

  clear(): void {
    this.items.length = 0;
  }

  push(p: number, key: Int32Array): void {
    const { items } = this;
    let k = items.length;
    items.push(p);
    while (k > 0) {
      const up = (k - 1) >> 1;
      if (key[items[up]] <= key[p]) break;
      items[k] = items[up];
      k = up;
    }
    items[k] = p;
  }

  pop(key: Int32Array): number {
    const { items } = this;
    const top = items[0];
    const p = items.pop()!;
    const n = items.length;
    if (n === 0) return top;
    let k = 0;
    for (;;) {
      let c = 2 * k + 1;
      if (c >= n) break;
      if (c + 1 < n && key[items[c + 1]] < key[items[c]]) c++;
      if (key[items[c]] >= key[p]) break;
      items[k] = items[c];
      k = c;
    }
    items[k] = p;
    return top;
  }
}
