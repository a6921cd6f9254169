/** Typed arrays that serve as scratch from function to function: they only ever grow. */

export type Ints = Int32Array<ArrayBuffer>;

/** An array of at least `need` elements: `a` itself if it is long enough, else a new one *without* its contents. */
export function sized(a: Ints, need: number): Ints {
  return a.length >= need ? a : new Int32Array(Math.max(need, a.length * 2));
}

/** An array of at least `need` elements with the contents of `a`, which it is if that is long enough. */
export function grown(a: Ints, need: number): Ints {
  if (a.length >= need) return a;
  const n = new Int32Array(Math.max(need, a.length * 2));
  n.set(a);
  return n;
}

/** A list of numbers that keeps its room when it is emptied. */
export class IntList {
  data: Ints = new Int32Array(64);
  length = 0;

  push(v: number): void {
    if (this.length === this.data.length) this.data = grown(this.data, this.length + 1);
    this.data[this.length++] = v;
  }
}
