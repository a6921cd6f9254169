/** Which locals a function's body assigns anywhere: a parameter that is not among them is what it was when the function was called. */
import { CompileError } from '../diagnostics.ts';
import { VEC_OP_COUNT } from '../ir/vec-ops.ts';
import { Code, OPCODE_IMM, OpcodePage } from './opcodes.ts';
import { Reader } from './reader.ts';
import { skipImmediate, skipType } from './skip.ts';

/**
 * @param start byte range in `bytes` of a body, its local declarations first
 * @returns null: the body can't be read
 */
export function assignedIn(bytes: Uint8Array, start: number, end: number): ReadonlySet<number> | null {
  const assigned = new Set<number>();
  const r = new Reader(bytes, start, end);
  try {
    for (let groups = r.u32(); groups > 0; groups--) {
      r.u32();
      skipType(r);
    }
    while (r.pos < r.end) {
      const code = r.u8();
      if (code === Code.LocalSet || code === Code.LocalTee) assigned.add(r.u32());
      else if (code === Code.MiscPrefix)
        skipImmediate(r, OPCODE_IMM[OpcodePage.Misc + Math.min(r.u32(), 255)]!);
      else if (code === Code.SimdPrefix)
        skipImmediate(r, OPCODE_IMM[OpcodePage.Simd + Math.min(r.u32(), VEC_OP_COUNT - 1)]!);
      else skipImmediate(r, OPCODE_IMM[code]!);
    }
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    return null;
  }
  return assigned;
}
