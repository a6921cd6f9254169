/** Which unit's line table an address belongs to. */
import type { LineTable } from './lines.ts';
import type { Unit } from './units.ts';

/** A stretch of code that a unit says it covers. */
export interface Claim {
  readonly low: number;
  readonly high: number;
  readonly table: LazyTable;
}

export interface LazyTable {
  /** Order of the units in .debug_info. */
  readonly order: number;
  readonly offset: number;
  /** null: no unit refers to it. */
  readonly unit: Unit | null;
  table: LineTable | null | undefined;
}

/**
 * Several units may claim the same code: of an inline function that many of them compiled, the linker keeps one copy
 * and resolves all others' addresses to it. The first unit wins, as it does for the linker.
 */
export function disjoint(claims: readonly Claim[]): Claim[] {
  const starts = [...claims].sort((a, b) => a.low - b.low || a.table.order - b.table.order);
  const result: Claim[] = [];
  /** Claims that have begun, as a heap by order; those that have ended leave when they come to the top. */
  const open: Claim[] = [];
  let at = 0;
  let next = 0;
  while (next < starts.length || open.length > 0) {
    while (open.length > 0 && open[0].high <= at) heapPop(open);
    if (open.length === 0) {
      if (next === starts.length) break;
      at = starts[next].low;
    }
    while (next < starts.length && starts[next].low <= at) heapPush(open, starts[next++]);
    const top = open[0];
    const low = at;
    // As far as the top claim goes, or to the first start of one that precedes it.
    at = top.high;
    while (next < starts.length && starts[next].low < at) {
      if (starts[next].table.order < top.table.order) at = starts[next].low;
      else heapPush(open, starts[next++]);
    }
    if (at > low) result.push({ low, high: at, table: top.table });
  }
  return result;
}

function heapPush(heap: Claim[], claim: Claim): void {
  let i = heap.length;
  heap.push(claim);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (heap[parent].table.order <= claim.table.order) break;
    heap[i] = heap[parent];
    i = parent;
  }
  heap[i] = claim;
}

function heapPop(heap: Claim[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1].table.order < heap[child].table.order) child++;
    if (heap[child].table.order >= last.table.order) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
}

/** The claim on an address. */
export function claimAt(claims: readonly Claim[], address: number): Claim | null {
  let lo = 0;
  let hi = claims.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (claims[mid].low <= address) lo = mid + 1;
    else hi = mid;
  }
  const claim = claims[lo - 1];
  return claim === undefined || claim.high <= address ? null : claim;
}
