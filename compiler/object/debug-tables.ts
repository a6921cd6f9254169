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
import type { CodeLayout } from './code-layout.ts';

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

/** Tables in the making. Called for each function, so that it is compiled early: loops over functions do nothing themselves. */
class Tables {
  private readonly words: Uint32Array;
  // Where the next function's go.
  private func = 0;
  private local = 0;
  private point = 0;
  private type = 0;
  private readonly types: number;
  private readonly firstLocal: number;
  private readonly firstPoint: number;
  /** Positions of points that have code, ascending by place. */
  private readonly order: number[] = [];

  constructor(
    private readonly w: PartWriter,
    layout: CodeLayout,
  ) {
    this.func = w.part(Part.DebugFunctions, layout.debugFunctions, FUNCTION.size);
    this.firstLocal = w.part(Part.DebugLocals, layout.locals, LOCAL.size);
    this.firstPoint = w.part(Part.SequencePoints, layout.points, SEQUENCE_POINT.size);
    this.types = w.bytePart(Part.OperandTypes, layout.operandTypes);
    // All parts are there: the buffer stays where it is.
    this.words = w.words();
  }

  /** @param code the function's place in .text */
  add(index: number, code: number, debug: CompiledDebug): void {
    const { words, local, point, type } = this;
    const { localTypes, operandTypes } = debug;
    const count = this.points(
      this.firstPoint + point * SEQUENCE_POINT.size,
      code,
      type,
      debug.places,
      debug.points,
    );
    const at = this.func;
    const f = FUNCTION.offsets;
    words[(at + f.function!) >> 2] = index;
    words[(at + f.first_local!) >> 2] = local;
    words[(at + f.local_count!) >> 2] = localTypes.length;
    words[(at + f.operands!) >> 2] = debug.operands;
    words[(at + f.first_point!) >> 2] = point;
    words[(at + f.point_count!) >> 2] = count;
    this.locals(this.firstLocal + local * LOCAL.size, localTypes, debug.localOffsets);
    if (operandTypes.length > 0) this.w.bytes(this.types + type, operandTypes);
    this.func = at + FUNCTION.size;
    this.local = local + localTypes.length;
    this.point = point + count;
    this.type = type + operandTypes.length;
  }

  private locals(at: number, types: Int32Array, offsets: Int32Array): void {
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
  private points(
    at: number,
    code: number,
    firstType: number,
    places: Int32Array,
    points: Int32Array,
  ): number {
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

/** What the tables take, but for alignment. */
export function debugTableBytes(layout: CodeLayout): number {
  return (
    layout.debugFunctions * FUNCTION.size +
    layout.locals * LOCAL.size +
    layout.points * SEQUENCE_POINT.size +
    layout.operandTypes
  );
}

export function writeDebugTables(
  w: PartWriter,
  layout: CodeLayout,
  funcs: readonly (CompiledFunc | null)[],
): void {
  const tables = new Tables(w, layout);
  if (layout.debugFunctions === 0) return;
  for (let i = 0; i < funcs.length; i++) {
    const debug = funcs[i]?.debug;
    if (debug) tables.add(i, layout.code[i]!, debug);
  }
}

/** Number of places that have code. */
export function placedPoints(places: Int32Array): number {
  let n = 0;
  for (let i = 0; i < places.length; i++) if (places[i]! >= 0) n++;
  return n;
}
