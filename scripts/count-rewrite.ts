/**
 * A module that counts its own operators, in an exported global: what `lucetc --count-instructions` is held against.
 * Each operator is preceded by code that adds its cost, so the count is right at any moment, whoever runs it.
 */
import { decodeModule } from '../compiler/wasm/decode.ts';
import { Code, OPCODE_IMM, OpcodePage } from '../compiler/wasm/opcodes.ts';
import { Reader } from '../compiler/wasm/reader.ts';
import { skipImmediate } from '../compiler/wasm/skip.ts';
import { SECTION_ID, TYPE_CODE, uleb, vector } from '../runtime/wasm-writer.ts';
import { extendedSection, withSections } from './fuzz/rewrite.ts';

/** Name of the exported global. */
export const COUNTER = 'lucet:instructions';

/** By name, as documentation has them. */
const FREE: ReadonlySet<number> = new Set([Code.Block, Code.Loop, Code.Else, Code.End, Code.Nop, Code.Drop]);
const TWO: ReadonlySet<number> = new Set([Code.CallIndirect, Code.ReturnCallIndirect, Code.BrTable]);

export function countingItself(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  const counter = module.globalTypes.length;
  const bodies = module.bodies.map(({ start, end }) => {
    const r = new Reader(bytes, start, end);
    for (let n = r.u32(); n > 0; n--) {
      r.u32();
      r.u8();
    }
    const code: number[] = [...bytes.subarray(start, r.pos)];
    while (r.pos < end) {
      const at = r.pos;
      let op = r.u8();
      if (op === Code.MiscPrefix) op = OpcodePage.Misc + r.u32();
      else if (op === Code.SimdPrefix) op = OpcodePage.Simd + r.u32();
      skipImmediate(r, OPCODE_IMM[op]!);
      const cost = FREE.has(op) ? 0 : TWO.has(op) ? 2 : 1;
      if (cost > 0) {
        const global = uleb(counter);
        code.push(Code.GlobalGet, ...global, Code.I64Const, cost, 0x7c, Code.GlobalSet, ...global);
      }
      for (let i = at; i < r.pos; i++) code.push(bytes[i]!);
    }
    return [...uleb(code.length), ...code];
  });
  const name = [...new TextEncoder().encode(COUNTER)];
  const MUTABLE_GLOBAL = 3;
  return withSections(
    bytes,
    new Map([
      extendedSection(bytes, SECTION_ID.global, [[TYPE_CODE.i64, 1, Code.I64Const, 0, Code.End]]),
      extendedSection(bytes, SECTION_ID.export, [
        [...uleb(name.length), ...name, MUTABLE_GLOBAL, ...uleb(counter)],
      ]),
      [SECTION_ID.code, Uint8Array.from(vector(bodies))],
    ]),
  );
}
