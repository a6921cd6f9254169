/** Writes the tables of debug code into the metadata (abi/artifact.ts): homes of locals and operands, sequence points. */
import {
  DEBUG_FUNCTION_RECORD,
  DEBUG_LOCAL_RECORD,
  Part,
  recordLayout,
  SEQUENCE_POINT_RECORD,
} from '../abi/artifact.ts';
import type { CompiledFunc } from '../backend/code.ts';
import { POINT } from '../ir/func.ts';

/** What the metadata's builder offers. */
export interface PartWriter {
  /** Begin a part of `count` records of `size` bytes: its place. */
  part(kind: Part, count: number, size: number): number;
  /** Begin a part of bytes. */
  bytePart(kind: Part, size: number): number;
  u32(at: number, value: number): void;
  bytes(at: number, bytes: Uint8Array): void;
}

const FUNCTION = recordLayout(DEBUG_FUNCTION_RECORD);
const LOCAL = recordLayout(DEBUG_LOCAL_RECORD);
const SEQUENCE_POINT = recordLayout(SEQUENCE_POINT_RECORD);

/** Points of a function that have code, by place: [place, index in FuncDebug.points]. */
function placedPoints(places: Int32Array): [number, number][] {
  const placed: [number, number][] = [];
  places.forEach((place, i) => {
    if (place >= 0) placed.push([place, i]);
  });
  return placed.sort((a, b) => a[0] - b[0]);
}

/** @param codeOffsets of each function in .text, by index */
export function writeDebugTables(
  w: PartWriter,
  funcs: readonly (CompiledFunc | null)[],
  codeOffsets: ArrayLike<number>,
): void {
  const debugged = funcs.flatMap((f, index) =>
    f?.debug ? [{ index, debug: f.debug, points: placedPoints(f.debug.places) }] : [],
  );
  const sum = (count: (d: (typeof debugged)[number]) => number) => debugged.reduce((n, d) => n + count(d), 0);
  const functions = w.part(Part.DebugFunctions, debugged.length, FUNCTION.size);
  const locals = w.part(
    Part.DebugLocals,
    sum(d => d.debug.localTypes.length),
    LOCAL.size,
  );
  const points = w.part(
    Part.SequencePoints,
    sum(d => d.points.length),
    SEQUENCE_POINT.size,
  );
  const types = w.bytePart(
    Part.OperandTypes,
    sum(d => d.debug.operandTypes.length),
  );
  let local = 0;
  let point = 0;
  let type = 0;
  debugged.forEach(({ index, debug, points: placed }, k) => {
    const at = functions + k * FUNCTION.size;
    const f = FUNCTION.offsets;
    w.u32(at + f.function!, index);
    w.u32(at + f.first_local!, local);
    w.u32(at + f.local_count!, debug.localTypes.length);
    w.u32(at + f.operands!, debug.operands);
    w.u32(at + f.first_point!, point);
    w.u32(at + f.point_count!, placed.length);
    debug.localTypes.forEach((t, x) => {
      const to = locals + local++ * LOCAL.size;
      w.u32(to + LOCAL.offsets.type!, t);
      w.u32(to + LOCAL.offsets.home!, debug.localOffsets[x]!);
    });
    for (const [place, i] of placed) {
      const to = points + point++ * SEQUENCE_POINT.size;
      const p = SEQUENCE_POINT.offsets;
      w.u32(to + p.pc!, codeOffsets[index]! + place);
      w.u32(to + p.wasm_offset!, debug.points[i * POINT]!);
      w.u32(to + p.operand_count!, debug.points[i * POINT + 1]!);
      w.u32(to + p.first_type!, type + debug.points[i * POINT + 2]!);
    }
    w.bytes(types + type, debug.operandTypes);
    type += debug.operandTypes.length;
  });
}
