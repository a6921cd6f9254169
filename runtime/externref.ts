/**
 * References to the host's values that guests hold.
 *
 * A guest sees an externref as a 64-bit word: a handle from this table, or 0 for null. The same value always has the
 * same handle. Where guests keep handles is not tracked, so a value is held until the last instance of the process is
 * gone: pass long-lived objects, not a new one for each call.
 */
const handles = new Map<unknown, number>();
/** Handle h is at h - 1. */
const values: unknown[] = [];
let instances = 0;

/** A Map takes -0 for 0. */
const MINUS_ZERO = Symbol('-0');

/** Handle of a value; null has 0. */
export function externrefHandle(value: unknown): number {
  if (value === null) return 0;
  const key = Object.is(value, -0) ? MINUS_ZERO : value;
  let handle = handles.get(key);
  if (handle === undefined) {
    handle = values.push(value);
    handles.set(key, handle);
  }
  return handle;
}

export function externrefValue(handle: number): unknown {
  if (handle === 0) return null;
  if (handle > values.length) throw new Error(`externref handle ${handle} was never given out`);
  return values[handle - 1];
}

export function instanceCreated(): void {
  instances++;
}

export function instanceReleased(): void {
  if (--instances === 0) {
    handles.clear();
    values.length = 0;
  }
}
