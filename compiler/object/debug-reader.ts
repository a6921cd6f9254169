/** Reads the tables of debug code (abi/artifact.ts): where to stop, and where values are then. */
import { DEBUG_FUNCTION_RECORD, DEBUG_LOCAL_RECORD, Part, SEQUENCE_POINT_RECORD } from '../abi/artifact.ts';
import type { ValType } from '../wasm/module.ts';
import type { Artifact } from './artifact-reader.ts';

/** A place where the guest can be stopped with all of its values in their homes. */
interface SequencePoint {
  readonly func: number;
  /** Offset in .text of a one-byte NOP. */
  readonly pc: number;
  /** Module offset of the operator that comes next. */
  readonly wasmOffset: number;
  /** Erased types of the operands, the lowest first. */
  readonly operands: readonly ValType[];
}

/** Homes are bytes above the stack pointer, as it is in the function's body. */
export interface DebugFunction {
  readonly func: number;
  readonly locals: readonly { readonly type: ValType; readonly home: number }[];
  /** Home of the lowest operand; OPERAND_HOME_SIZE from one to the next. */
  readonly operands: number;
  /** Ascending by pc. */
  readonly points: readonly SequencePoint[];
}

/** Functions of debug code, ascending; none: the artifact is no debug code. @throws ArtifactError */
export function readDebugFunctions(a: Artifact): DebugFunction[] {
  const locals = a.records(Part.DebugLocals, DEBUG_LOCAL_RECORD, field => ({
    type: field('type') as ValType,
    home: field('home'),
  }));
  const types = a.bytePart(Part.OperandTypes);
  const points = a.records(Part.SequencePoints, SEQUENCE_POINT_RECORD, (field, at) => {
    const first = field('first_type');
    const count = field('operand_count');
    if (first + count > types.length || field('pc') >= a.text.length) a.failAt('bad sequence point', at);
    return {
      pc: field('pc'),
      wasmOffset: field('wasm_offset'),
      operands: [...types.subarray(first, first + count)] as ValType[],
    };
  });
  // Functions do not share records: that bounds what a damaged file can make of a few.
  let local = 0;
  let point = 0;
  return a.records(Part.DebugFunctions, DEBUG_FUNCTION_RECORD, (field, at): DebugFunction => {
    const func = field('function');
    const from = field('first_local');
    const to = from + field('local_count');
    const start = field('first_point');
    const end = start + field('point_count');
    if (func >= a.functionCount || from < local || to > locals.length || start < point || end > points.length)
      a.failAt('bad debug function', at);
    local = to;
    point = end;
    return {
      func,
      locals: locals.slice(from, to),
      operands: field('operands'),
      points: points.slice(start, end).map(p => ({ func, ...p })),
    };
  });
}
