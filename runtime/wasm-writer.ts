/** Assembles small WebAssembly binaries by hand (core spec 2.0, "Binary Format"). Everything is an array of bytes. */

export type Bytes = readonly number[];

/** Binary codes of the value types. */
export const TYPE_CODE = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
  anyref: 0x6e,
  exnref: 0x69,
} as const;
export type TypeName = keyof typeof TYPE_CODE;

export const SECTION_ID = {
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  tag: 13,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  dataCount: 12,
  code: 10,
  data: 11,
} as const;

/** Unsigned LEB128 of an integer up to 2^64 - 1. */
export function uleb(value: number | bigint): number[] {
  const out: number[] = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return out;
}

/** Signed LEB128. */
export function sleb(value: number | bigint): number[] {
  const out: number[] = [];
  let rest = BigInt(value);
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    const done = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0);
    out.push(done ? low : low | 0x80);
    if (done) return out;
  }
}

export function name(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...uleb(bytes.length), ...bytes];
}

export function vector(items: readonly Bytes[]): number[] {
  return [...uleb(items.length), ...items.flat()];
}

export function functionType(params: readonly TypeName[], results: readonly TypeName[]): number[] {
  return [0x60, ...vector(params.map(t => [TYPE_CODE[t]])), ...vector(results.map(t => [TYPE_CODE[t]]))];
}

export interface LimitsSpec {
  readonly min: number | bigint;
  readonly max?: number | bigint | undefined;
  readonly shared?: boolean | undefined;
  readonly index64?: boolean | undefined;
}

export function limits(l: LimitsSpec): number[] {
  const flags = (l.max === undefined ? 0 : 1) | (l.shared ? 2 : 0) | (l.index64 ? 4 : 0);
  return [flags, ...uleb(l.min), ...(l.max === undefined ? [] : uleb(l.max))];
}

/** An export or import descriptor's kind byte. */
export const KIND = { func: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

export function exportEntry(text: string, kind: number, index: number): number[] {
  return [...name(text), kind, ...uleb(index)];
}

/** A function body of `locals` (each its own group) and the code up to, without, the final `end`. */
export function body(locals: readonly TypeName[], code: Bytes): number[] {
  const bytes = [...vector(locals.map(t => [1, TYPE_CODE[t]])), ...code, 0x0b];
  return [...uleb(bytes.length), ...bytes];
}

/** The whole module: sections in their order, each a vector of entries; empty ones are left out. */
export function moduleBytes(
  sections: Partial<Record<keyof typeof SECTION_ID, readonly Bytes[]>>,
): Uint8Array {
  const out: number[] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  for (const [key, id] of Object.entries(SECTION_ID)) {
    const entries = sections[key as keyof typeof SECTION_ID];
    if (entries === undefined || entries.length === 0) continue;
    // The start section is a single index, and the data count section a single number.
    const contents =
      id === SECTION_ID.start || id === SECTION_ID.dataCount ? entries.flat() : vector(entries);
    out.push(id, ...uleb(contents.length));
    // Too many for one call.
    for (const byte of contents) out.push(byte);
  }
  return Uint8Array.from(out);
}
