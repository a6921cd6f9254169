/**
 * What AssemblyScript's values tell of themselves. Its compiler writes no types, only names of locals and a source map; but each object of its
 * runtime is headed by the number of its class and its size in bytes ("AssemblyScript memory layout": rtId and rtSize, the last 8 of 20 bytes).
 */
import type { TargetState } from './target.ts';

const CLASS_STRING = 2;
const HEADER = 20;
/** UTF-16 units that are shown. */
const MAX_SHOWN = 200;

/** The string that a pointer points to, quoted; null: nothing there looks like one. */
export function stringAt(state: Pick<TargetState, 'memory'>, pointer: number): string | null {
  if (pointer < HEADER || pointer % 4 !== 0) return null;
  const header = state.memory(0, pointer - 8, 8);
  if (header === null || header.length < 8) return null;
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const size = view.getUint32(4, true);
  if (view.getUint32(0, true) !== CLASS_STRING || size % 2 !== 0) return null;
  const shown = Math.min(size, 2 * MAX_SHOWN);
  const units = state.memory(0, pointer, shown);
  if (units === null || units.length < shown) return null;
  return JSON.stringify(new TextDecoder('utf-16le').decode(units)) + (shown < size ? '…' : '');
}
