/**
 * Writes the tables of debug code into the metadata (abi/artifact.ts): homes of locals and operands, sequence points.
 */
import {
  DEBUG_FUNCTION_RECORD,
  DEBUG_LOCAL_RECORD,
  Part,
  recordLayout,
  SEQUENCE_POINT_RECORD,
} from '../abi/artifact.ts';
import { type CompiledDebug, type CompiledFunc, LOCAL, PLACED_POINT, pointCount } from '../backend/code.ts';
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
const LOCAL_RECORD = recordLayout(DEBUG_LOCAL_RECORD);
const SEQUENCE_POINT = recordLayout(SEQUENCE_POINT_RECORD);

/**
 * Tables in the making. One call for each function, so that the JavaScript engine compiles it early: loops over
 * functions do no work themselves (code-layout.ts).
 */
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

  constructor(
    private readonly w: PartWriter,
    layout: CodeLayout,
  ) {
    this.func = w.part(Part.DebugFunctions, layout.debugFunctions, FUNCTION.size);
    this.firstLocal = w.part(Part.DebugLocals, layout.locals, LOCAL_RECORD.size);
    this.firstPoint = w.part(Part.SequencePoints, layout.points, SEQUENCE_POINT.size);
    this.types = w.bytePart(Part.OperandTypes, layout.operandTypes);
    // All parts are there: the buffer stays where it is.
    this.words = w.words();
  }

  /** @param code the function's place in .text */
  add(index: number, code: number, debug: CompiledDebug): void {
    const { words, local, point, type } = this;
    const { localCount, operandTypes } = debug;
    const at = this.func;
    const f = FUNCTION.offsets;
    words[(at + f.function!) >> 2] = index;
    words[(at + f.first_local!) >> 2] = local;
    words[(at + f.local_count!) >> 2] = localCount;
    words[(at + f.operands!) >> 2] = debug.operands;
    words[(at + f.first_point!) >> 2] = point;
    const from = LOCAL * localCount;
    this.locals(this.firstLocal + local * LOCAL_RECORD.size, debug.tables, from);
    this.points(this.firstPoint + point * SEQUENCE_POINT.size, code, type, debug.tables, from);
    const count = pointCount(debug);
    words[(at + f.point_count!) >> 2] = count;
    if (operandTypes.length > 0) this.w.bytes(this.types + type, operandTypes);
    this.func = at + FUNCTION.size;
    this.local = local + localCount;
    this.point = point + count;
    this.type = type + operandTypes.length;
  }

  private locals(at: number, tables: Int32Array, end: number): void {
    const { words } = this;
    const stride = LOCAL_RECORD.size >> 2;
    let type = (at + LOCAL_RECORD.offsets.type!) >> 2;
    let home = (at + LOCAL_RECORD.offsets.home!) >> 2;
    for (let i = 0; i < end; i += LOCAL, type += stride, home += stride) {
      words[type] = tables[i]!;
      words[home] = tables[i + 1]!;
    }
  }

  /** @param from where the points begin in `tables` */
  private points(at: number, code: number, firstType: number, tables: Int32Array, from: number): void {
    const { words } = this;
    const p = SEQUENCE_POINT.offsets;
    const stride = SEQUENCE_POINT.size >> 2;
    const base = at >> 2;
    const pc = base + (p.pc! >> 2);
    const offset = base + (p.wasm_offset! >> 2);
    const operands = base + (p.operand_count! >> 2);
    const type = base + (p.first_type! >> 2);
    const end = tables.length;
    for (let i = from, to = 0; i < end; i += PLACED_POINT, to += stride) {
      words[pc + to] = code + tables[i]!;
      words[offset + to] = tables[i + 1]!;
      words[operands + to] = tables[i + 2]!;
      words[type + to] = firstType + tables[i + 3]!;
    }
  }
}

/** What the tables take, but for alignment. */
export function debugTableBytes(layout: CodeLayout): number {
  return (
    layout.debugFunctions * FUNCTION.size +
    layout.locals * LOCAL_RECORD.size +
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
