/**
 * `try_table` as the instructions before it, for V8, which has only those: `try_table (catch $t $l) … end` is
 * `try … catch $t br $l end`. References to exceptions have no counterpart.
 */
import { decodeModule } from '../../compiler/wasm/decode.ts';
import { Code, OPCODE_IMM, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import { Reader } from '../../compiler/wasm/reader.ts';
import { skipImmediate } from '../../compiler/wasm/skip.ts';
import { SECTION_ID, uleb, vector } from '../../runtime/wasm-writer.ts';
import { withSections } from './rewrite.ts';

const TRY = 0x06;
const CATCH = 0x07;
const CATCH_ALL = 0x19;
const enum Clause {
  Catch = 0,
  CatchAll = 2,
}

export function usesExceptions(bytes: Uint8Array): boolean {
  return decodeModule(bytes).tags.length > 0;
}

/** @throws Error for clauses that bring a reference to the exception */
export function withEarlierExceptions(bytes: Uint8Array): Uint8Array {
  const bodies = decodeModule(bytes).bodies.map(({ start, end }) => {
    const code = earlierBody(bytes, start, end);
    return [...uleb(code.length), ...code];
  });
  return withSections(bytes, new Map([[SECTION_ID.code, Uint8Array.from(vector(bodies))]]));
}

function earlierBody(bytes: Uint8Array, start: number, end: number): number[] {
  const r = new Reader(bytes, start, end);
  for (let n = r.u32(); n > 0; n--) {
    r.u32();
    r.u8();
  }
  const code = [...bytes.subarray(start, r.pos)];
  /** For each open construct what comes before its end. */
  const open: number[][] = [];
  while (r.pos < end) {
    const at = r.pos;
    let op = r.u8();
    if (op === Code.MiscPrefix) op = OpcodePage.Misc + r.u32();
    else if (op === Code.SimdPrefix) op = OpcodePage.Simd + r.u32();
    if (op === Code.TryTable) {
      const type = r.pos;
      r.s33();
      code.push(TRY, ...bytes.subarray(type, r.pos));
      open.push(handlers(r));
      continue;
    }
    skipImmediate(r, OPCODE_IMM[op]!);
    if (op === Code.Block || op === Code.Loop || op === Code.If) open.push([]);
    else if (op === Code.End) code.push(...(open.pop() ?? []));
    for (let i = at; i < r.pos; i++) code.push(bytes[i]!);
  }
  return code;
}

/** The clauses of a try_table: labels count from outside of it, those of a handler from inside. */
function handlers(r: Reader): number[] {
  const code: number[] = [];
  let all = false;
  for (let n = r.u32(); n > 0; n--) {
    const kind = r.u8();
    if (kind !== Clause.Catch && kind !== Clause.CatchAll)
      throw new Error('V8 has no references to exceptions');
    const head = kind === Clause.Catch ? [CATCH, ...uleb(r.u32())] : [CATCH_ALL];
    const label = r.u32();
    // What comes behind one that catches everything catches nothing.
    if (!all) code.push(...head, Code.Br, ...uleb(label + 1));
    all ||= kind === Clause.CatchAll;
  }
  return code;
}
