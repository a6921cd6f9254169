/**
 * Decodes pc maps: from code addresses to wasm offsets and traps. The format is described at CompiledFunc
 * (backend/code.ts).
 */
import { TRAPS, TrapCode } from '../abi/traps.ts';

/**
 * Entries in order, until `each` returns false.
 * @param start of the map in `bytes`, up to (not with) `end`
 * @param length bytes of code that it describes
 * @param wasmStart module offset from which it counts
 * @returns -1, or the place in `bytes` where the map is damaged
 */
export function walkPcMap(
  bytes: Uint8Array,
  start: number,
  end: number,
  length: number,
  wasmStart: number,
  each: (pc: number, wasmOffset: number, trap: TrapCode) => boolean,
): number {
  let at = start;
  /** NaN when the number does not end. Up to 36 bits: no delta has more. */
  const leb = (signed: boolean): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= end || scale > 2 ** 35) return Number.NaN;
      const b = bytes[at++]!;
      value += (b & 0x7f) * scale;
      scale *= 128;
      if (b < 0x80) return signed && b & 0x40 ? value - scale : value;
    }
  };
  let pc = 0;
  let wasm = wasmStart;
  while (at < end) {
    const head = leb(false);
    pc += Math.floor(head / 2);
    wasm += leb(true);
    // Written so that NaN fails.
    if (!(pc <= length && wasm >= 0)) return at;
    let trap = TrapCode.None;
    if (head % 2 === 1) {
      if (at >= end || bytes[at]! >= TRAPS.length) return at;
      trap = bytes[at++]!;
    }
    if (!each(pc, wasm, trap)) return -1;
  }
  return -1;
}
