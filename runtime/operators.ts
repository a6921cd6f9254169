/** What the operator at an offset of a module does, as far as explaining a trap needs it. */

export type TrapOperator =
  | {
      readonly kind: 'access';
      /** "i32.load" */
      readonly name: string;
      readonly write: boolean;
      readonly bytes: number;
      /** Static offset. */
      readonly offset: number;
    }
  | { readonly kind: 'call_indirect'; readonly typeIndex: number; readonly table: number }
  | { readonly kind: 'other'; readonly name: string };

/** From i32.load (0x28) on: name, bytes. */
const ACCESSES: readonly (readonly [name: string, bytes: number])[] = [
  ['i32.load', 4],
  ['i64.load', 8],
  ['f32.load', 4],
  ['f64.load', 8],
  ['i32.load8_s', 1],
  ['i32.load8_u', 1],
  ['i32.load16_s', 2],
  ['i32.load16_u', 2],
  ['i64.load8_s', 1],
  ['i64.load8_u', 1],
  ['i64.load16_s', 2],
  ['i64.load16_u', 2],
  ['i64.load32_s', 4],
  ['i64.load32_u', 4],
  ['i32.store', 4],
  ['i64.store', 8],
  ['f32.store', 4],
  ['f64.store', 8],
  ['i32.store8', 1],
  ['i32.store16', 2],
  ['i64.store8', 1],
  ['i64.store16', 2],
  ['i64.store32', 4],
];
const FIRST_ACCESS = 0x28;

const NAMES: Readonly<Record<number, string>> = {
  0: 'unreachable',
  109: 'i32.div_s',
  110: 'i32.div_u',
  111: 'i32.rem_s',
  112: 'i32.rem_u',
  127: 'i64.div_s',
  128: 'i64.div_u',
  129: 'i64.rem_s',
  130: 'i64.rem_u',
};
/** Behind 0xfc. */
const BULK: Readonly<Record<number, string>> = {
  8: 'memory.init',
  10: 'memory.copy',
  11: 'memory.fill',
  12: 'table.init',
  14: 'table.copy',
  17: 'table.fill',
};

export function operatorAt(wasm: Uint8Array, at: number): TrapOperator | null {
  let p = at;
  const leb = (): number => {
    let value = 0;
    for (let scale = 1, n = 0; n < 10; n++, scale *= 128) {
      const b = wasm[p++];
      if (b === undefined) return 0;
      value += (b & 0x7f) * scale;
      if (b < 0x80) break;
    }
    return value;
  };
  const op = wasm[p++];
  if (op === undefined) return null;
  const access = ACCESSES[op - FIRST_ACCESS];
  if (access !== undefined) {
    // Bit 6 of the alignment: an index of a memory follows.
    if ((leb() & 0x40) !== 0) leb();
    const [name, bytes] = access;
    return { kind: 'access', name, write: name.includes('store'), bytes, offset: leb() };
  }
  if (op === 0x11 || op === 0x13) return { kind: 'call_indirect', typeIndex: leb(), table: leb() };
  const name = op === 0xfc ? BULK[leb()] : NAMES[op];
  return name === undefined ? null : { kind: 'other', name };
}
