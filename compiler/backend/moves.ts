/**
 * Parallel moves: several copies that happen at once, brought into an order in which no source is overwritten before it
 * is read.
 *
 * A move is ready when no other pending move reads its target. When none is ready, what is left are cycles, each
 * location read once: registers rotate by swaps; a cycle that touches a spill slot has one of its values parked in a
 * scratch slot.
 */
import { bug } from '../diagnostics.ts';
import { atLeast, grown } from './liveness.ts';
import { EditKind, FLOAT_BASE, RegClass, SLOT_BASE } from './mach.ts';

/** A source below this is a rematerialisation: row = REMAT_SOURCE - source. */
export const REMAT_SOURCE = -2;

export class ParallelMoves {
  private count = 0;
  private src = new Int32Array(64);
  private dst = new Int32Array(64);
  private cls = new Uint8Array(64);
  /** For each location: number of pending moves that read it; and the pending move that writes it, + 1. */
  private readers = new Int32Array(256);
  private writer = new Int32Array(256);
  private ready = new Int32Array(64);

  /** The result: [kind | class << 8, from, to] for each step, in order. */
  out = new Int32Array(3 * 64);
  outCount = 0;
  /** Scratch slots asked for, in 8-byte units: 0, 1 or 2; they lie at `scratch` and behind. */
  scratchUsed = 0;

  /** Add a copy. A copy to a location that is already the target of the same copy is dropped. */
  add(from: number, to: number, cls: RegClass): void {
    if (from === to) return;
    const top = Math.max(from, to);
    if (top >= this.readers.length) {
      this.readers = grown(this.readers, top + 1);
      this.writer = grown(this.writer, top + 1);
    }
    const w = this.writer[to] - 1;
    if (w >= 0) {
      if (this.src[w] !== from) bug('two values for one location in a parallel move');
      return;
    }
    const k = this.count++;
    if (k >= this.src.length) {
      this.src = grown(this.src, k + 1);
      this.dst = grown(this.dst, k + 1);
      this.ready = atLeast(this.ready, this.src.length);
      const c = new Uint8Array(this.src.length);
      c.set(this.cls);
      this.cls = c;
    }
    this.src[k] = from;
    this.dst[k] = to;
    this.cls[k] = cls;
    this.writer[to] = k + 1;
    if (from >= 0) this.readers[from]++;
  }

  get pending(): boolean {
    return this.count > 0;
  }

  /**
   * Put the added copies in order into `out`. `scratch` is a slot location (even, two units) for cycles through memory.
   */
  resolve(scratch: number): void {
    const { src, dst, readers, ready } = this;
    const n = this.count;
    this.outCount = 0;
    this.scratchUsed = 0;
    let top = 0;
    for (let k = n - 1; k >= 0; k--) if (readers[dst[k]] === 0) ready[top++] = k;
    let done = 0;
    while (top > 0) {
      const k = ready[--top];
      done++;
      const from = src[k];
      this.writer[dst[k]] = 0;
      if (from < 0) {
        this.emit(EditKind.Remat, this.cls[k], REMAT_SOURCE - from, dst[k]);
        continue;
      }
      this.emit(EditKind.Move, this.cls[k], from, dst[k]);
      if (--readers[from] === 0 && this.writer[from] > 0) ready[top++] = this.writer[from] - 1;
    }
    for (let k = 0; done < n && k < n; k++)
      if (this.writer[dst[k]] === k + 1) done += this.breakCycle(k, scratch);
    this.count = 0;
  }

  private emit(kind: EditKind, cls: number, from: number, to: number): void {
    const at = this.outCount++ * 3;
    if (at + 3 > this.out.length) this.out = grown(this.out, at + 3);
    this.out[at] = kind | (cls << 8);
    this.out[at + 1] = from;
    this.out[at + 2] = to;
  }

  /** Emit the cycle that move k is part of; returns its length. */
  private breakCycle(k: number, scratch: number): number {
    const { src, dst, readers, writer, cls } = this;
    let length = 0;
    let slots = false;
    let wide: number = RegClass.Int;
    let first = k;
    for (let x = k; length === 0 || x !== k; x = writer[src[x]] - 1) {
      length++;
      if (dst[x] >= SLOT_BASE) slots = true;
      // Parking a value that lies in a register takes one memory access less.
      else first = x;
      wide = Math.max(wide, cls[x]);
    }
    let x = first;
    if (slots) {
      const parked = dst[first];
      // The class of the value that is parked is that of the move which reads it, found at the end of the walk.
      let reader = first;
      while (src[reader] !== parked) reader = writer[src[reader]] - 1;
      this.emit(EditKind.Move, cls[reader], parked, scratch);
      this.scratchUsed = Math.max(this.scratchUsed, cls[reader] === RegClass.Vec ? 2 : 1);
      for (; src[x] !== parked; x = writer[src[x]] - 1) this.emit(EditKind.Move, cls[x], src[x], dst[x]);
      this.emit(EditKind.Move, cls[x], scratch, dst[x]);
    } else {
      // Move x puts src[x] in place dst[x] and what was there into src[x], where the next move expects it.
      const swap = dst[first] >= FLOAT_BASE ? wide : RegClass.Int;
      for (; src[x] !== dst[first]; x = writer[src[x]] - 1) this.emit(EditKind.Swap, swap, src[x], dst[x]);
    }
    x = first;
    for (let n = 0; n < length; n++) {
      const next = writer[src[x]] - 1;
      readers[src[x]] = 0;
      writer[dst[x]] = 0;
      x = next;
    }
    return length;
  }
}
