/** Writes the tables of debug code into the metadata (abi/artifact.ts): homes of locals and operands, sequence points. */
import {
  DEBUG_FUNCTION_RECORD,
  DEBUG_LOCAL_RECORD,
  Part,
  recordLayout,
  SEQUENCE_POINT_RECORD,
} from '../abi/artifact.ts';
import type { CompiledDebug, CompiledFunc } from '../backend/code.ts';
import { POINT } from '../ir/func.ts';

/** What the metadata's builder offers. */
export interface PartWriter {
  /** Begin a part of `count` records of `size` bytes: its place. */
  part(kind: Part, count: number, size: number): number;
  /** Begin a part of bytes. */
  bytePart(kind: Part, size: number): number;
  /** What has been written, by 4-byte words; good until the next part begins. */
  words(): Uint32Array;
  bytes(at: number, bytes: Uint8Array): void;
}

const FUNCTION = recordLayout(DEBUG_FUNCTION_RECORD);
const LOCAL = recordLayout(DEBUG_LOCAL_RECORD);
const SEQUENCE_POINT = recordLayout(SEQUENCE_POINT_RECORD);

/** Writes 4-byte fields of records. Called for each function, so that it is compiled early. */
class Records {
  /** Positions of points that have code, ascending by place. */
  private readonly order: number[] = [];

  constructor(private readonly words: Uint32Array) {}

  function(
    at: number,
    index: number,
    locals: number,
    points: number,
    count: number,
    debug: CompiledDebug,
  ): void {
    const { words } = this;
    const f = FUNCTION.offsets;
    words[(at + f.function!) >> 2] = index;
    words[(at + f.first_local!) >> 2] = locals;
    words[(at + f.local_count!) >> 2] = debug.localTypes.length;
    words[(at + f.operands!) >> 2] = debug.operands;
    words[(at + f.first_point!) >> 2] = points;
    words[(at + f.point_count!) >> 2] = count;
  }

  locals(at: number, types: Int32Array, offsets: Int32Array): void {
    const { words } = this;
    const stride = LOCAL.size >> 2;
    let type = (at + LOCAL.offsets.type!) >> 2;
    let home = (at + LOCAL.offsets.home!) >> 2;
    for (let x = 0; x < types.length; x++, type += stride, home += stride) {
      words[type] = types[x]!;
      words[home] = offsets[x]!;
    }
  }

  /** @returns their number */
  points(at: number, code: number, firstType: number, places: Int32Array, points: Int32Array): number {
    const { words, order } = this;
    const n = this.place(places);
    const p = SEQUENCE_POINT.offsets;
    const stride = SEQUENCE_POINT.size >> 2;
    const base = at >> 2;
    const pc = base + (p.pc! >> 2);
    const offset = base + (p.wasm_offset! >> 2);
    const operands = base + (p.operand_count! >> 2);
    const type = base + (p.first_type! >> 2);
    for (let k = 0, to = 0; k < n; k++, to += stride) {
      const i = order[k]!;
      words[pc + to] = code + places[i]!;
      words[offset + to] = points[i * POINT]!;
      words[operands + to] = points[i * POINT + 1]!;
      words[type + to] = firstType + points[i * POINT + 2]!;
    }
    return n;
  }

  private place(places: Int32Array): number {
    const { order } = this;
    let n = 0;
    let sorted = true;
    let last = -1;
    for (let i = 0; i < places.length; i++) {
      const place = places[i]!;
      if (place < 0) continue;
      if (place < last) sorted = false;
      last = place;
      order[n++] = i;
    }
    if (!sorted) {
      order.length = n;
      order.sort((a, b) => places[a]! - places[b]!);
    }
    return n;
  }
}

/** @param codeOffsets of each function in .text, by index */
export function writeDebugTables(
  w: PartWriter,
  funcs: readonly (CompiledFunc | null)[],
  codeOffsets: ArrayLike<number>,
): void {
  let functionCount = 0;
  let localCount = 0;
  let pointCount = 0;
  let typeCount = 0;
  for (const f of funcs) {
    if (!f?.debug) continue;
    functionCount++;
    localCount += f.debug.localTypes.length;
    pointCount += placed(f.debug.places);
    typeCount += f.debug.operandTypes.length;
  }
  let func = w.part(Part.DebugFunctions, functionCount, FUNCTION.size);
  const firstLocal = w.part(Part.DebugLocals, localCount, LOCAL.size);
  const firstPoint = w.part(Part.SequencePoints, pointCount, SEQUENCE_POINT.size);
  const types = w.bytePart(Part.OperandTypes, typeCount);
  // All parts are there: the buffer stays where it is.
  const records = new Records(w.words());
  let local = 0;
  let point = 0;
  let type = 0;
  for (let index = 0; index < funcs.length; index++) {
    const debug = funcs[index]?.debug;
    if (!debug) continue;
    const at = firstPoint + point * SEQUENCE_POINT.size;
    const count = records.points(at, codeOffsets[index]!, type, debug.places, debug.points);
    records.function(func, index, local, point, count, debug);
    records.locals(firstLocal + local * LOCAL.size, debug.localTypes, debug.localOffsets);
    w.bytes(types + type, debug.operandTypes);
    func += FUNCTION.size;
    local += debug.localTypes.length;
    point += count;
    type += debug.operandTypes.length;
  }
}

/** Number of places that have code. */
function placed(places: Int32Array): number {
  let n = 0;
  for (let i = 0; i < places.length; i++) if (places[i]! >= 0) n++;
  return n;
}
