/** Questions about function bodies as a whole, answered by reading them operator by operator. */
import { CompileError } from '../diagnostics.ts';
import { VEC_OP_COUNT } from '../ir/vec-ops.ts';
import { type FuncBody, type Module, ValType } from './module.ts';
import { Code, OPCODE_FLOAT, OPCODE_IMM, OpcodePage } from './opcodes.ts';
import { Reader } from './reader.ts';
import { skipImmediate, skipType } from './skip.ts';

/**
 * @param start byte range in `bytes` of a body, its local declarations first
 * @param visit gets each operator's code and its offset; true: it has read the operator's immediates
 * @returns false: the body can't be read to its end
 */
function eachOperator(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (code: number, at: number, r: Reader) => boolean,
): boolean {
  const r = new Reader(bytes, start, end);
  try {
    for (let groups = r.u32(); groups > 0; groups--) {
      r.u32();
      skipType(r);
    }
    while (r.pos < r.end) {
      const at = r.pos;
      let code: number = r.u8();
      if (code === Code.MiscPrefix) code = OpcodePage.Misc + Math.min(r.u32(), 255);
      else if (code === Code.SimdPrefix) code = OpcodePage.Simd + Math.min(r.u32(), VEC_OP_COUNT - 1);
      if (!visit(code, at, r)) skipImmediate(r, OPCODE_IMM[code]!);
    }
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    return false;
  }
  return true;
}

/**
 * Which locals a body assigns anywhere: a parameter that is not among them is what it was when the function was called.
 * @returns null: the body can't be read
 */
export function assignedIn(bytes: Uint8Array, start: number, end: number): ReadonlySet<number> | null {
  const assigned = new Set<number>();
  const isRead = eachOperator(bytes, start, end, (code, _at, r) => {
    if (code !== Code.LocalSet && code !== Code.LocalTee) return false;
    assigned.add(r.u32());
    return true;
  });
  return isRead ? assigned : null;
}

/** Whether a body has an operator on floating-point numbers. */
export function hasFloats(module: Module): boolean {
  const { bytes, bodies, types, functions, importedFunctions } = module;
  let found = false;
  const look = (code: number, _at: number, r: Reader): boolean => {
    if (OPCODE_FLOAT[code] === 0) return false;
    found = true;
    r.pos = r.end;
    return true;
  };
  const has = (body: FuncBody): boolean => !eachOperator(bytes, body.start, body.end, look) || found;
  const passes = types.map(t => t.params.some(isFloat) || t.results.some(isFloat));
  // Functions with floating-point parameters or results come first: if a module has floating-point operators, one of
  // these nearly always does, and the rest need not be read.
  return bodies.some((body, i) => passes[functions[importedFunctions + i]!] && has(body)) || bodies.some(has);
}

function isFloat(type: ValType): boolean {
  return type === ValType.F32 || type === ValType.F64;
}

export interface CallSite {
  /** Byte offset of the operator. */
  readonly at: number;
  /** null: through a table or a reference. */
  readonly functionIndex: number | null;
}

/** Calls that return (no tail calls), in the order of the body, up to the first operator that can't be read. */
export function callsIn(bytes: Uint8Array, start: number, end: number): readonly CallSite[] {
  const calls: CallSite[] = [];
  eachOperator(bytes, start, end, (code, at, r) => {
    if (code === Code.CallIndirect || code === Code.CallRef) calls.push({ at, functionIndex: null });
    if (code !== Code.Call) return false;
    calls.push({ at, functionIndex: r.u32() });
    return true;
  });
  return calls;
}
