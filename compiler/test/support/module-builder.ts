/** Binary modules by hand, for tests: sections from bytes. */

export function leb(n: number): number[] {
  const out: number[] = [];
  let rest = n >>> 0;
  do {
    const more = rest > 0x7f;
    out.push((rest & 0x7f) | (more ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return out;
}
/** Signed. */
export function sleb(n: number): number[] {
  const out: number[] = [];
  let rest = n | 0;
  for (;;) {
    const b = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && !(b & 0x40)) || (rest === -1 && (b & 0x40) !== 0);
    out.push(done ? b : b | 0x80);
    if (done) return out;
  }
}
export function vec(items: readonly (readonly number[])[]): number[] {
  return [...leb(items.length), ...items.flat()];
}
export function name(s: string): number[] {
  const bytes = [...new TextEncoder().encode(s)];
  return [...leb(bytes.length), ...bytes];
}
export function section(id: number, body: readonly number[]): number[] {
  return [id, ...leb(body.length), ...body];
}
export const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F64 = 0x7c;

export function funcType(params: readonly number[], results: readonly number[]): number[] {
  return [0x60, ...leb(params.length), ...params, ...leb(results.length), ...results];
}

/**
 * A function body with its size: runs of locals, code without the final `end`. Not spread, so that code may be large.
 */
export function body(
  locals: readonly (readonly [count: number, type: number])[],
  code: readonly number[],
): number[] {
  const head = vec(locals.map(([n, t]) => [...leb(n), t]));
  return leb(head.length + code.length + 1).concat(head, code as number[], [0x0b]);
}

/** A module with one exported function "f" of a type; more types may follow it. */
export function oneFunction(
  params: readonly number[],
  results: readonly number[],
  locals: readonly (readonly [count: number, type: number])[],
  code: readonly number[],
  types: readonly (readonly number[])[] = [],
): Uint8Array {
  const b = body(locals, code);
  const codeSection = [10].concat(leb(b.length + 1), [1], b);
  return Uint8Array.from(
    [
      ...HEADER,
      ...section(1, vec([funcType(params, results), ...types])),
      ...section(3, [1, 0]),
      ...section(7, vec([[...name('f'), 0, 0]])),
    ].concat(codeSection),
  );
}
