/** Sequence points of the single pass: it knows at once where each stands in the code. */
import type { Arena } from '../backend/arena.ts';
import { type CompiledDebug, LOCAL, PLACED_POINT } from '../backend/code.ts';
import { SequencePoints } from '../wasm/debug-code.ts';
import type { Walk } from '../wasm/walk.ts';

export class PlacedPoints extends SequencePoints {
  /** CompiledDebug.tables in the making. */
  private tables = new Int32Array(256);
  private length = 0;

  /** @param homes by local */
  beginFunction(bodyStart: number, w: Walk, homes: Int32Array): void {
    this.begin(bodyStart);
    const { localCount, localTypes } = w;
    const length = LOCAL * localCount;
    if (length > this.tables.length) this.tables = new Int32Array(2 * length);
    const { tables } = this;
    for (let x = 0, at = 0; x < localCount; x++, at += LOCAL) {
      tables[at] = localTypes[x]!;
      tables[at + 1] = homes[x]!;
    }
    this.length = length;
  }

  /** A point before the operator at `w.at`, whose NOP is at `place`. */
  add(w: Walk, place: number): void {
    const at = this.length;
    if (at + PLACED_POINT > this.tables.length) this.grow();
    const { tables } = this;
    tables[at] = place;
    tables[at + 1] = w.at;
    tables[at + 2] = w.sp;
    tables[at + 3] = this.operandTypes.length;
    this.length = at + PLACED_POINT;
    if (w.sp > 0) this.addTypes(w);
  }

  private grow(): void {
    const tables = new Int32Array(this.tables.length * 2);
    tables.set(this.tables);
    this.tables = tables;
  }

  /** @param operands home of the lowest operand */
  result(localCount: number, operands: number, arena: Arena): CompiledDebug {
    return {
      localCount,
      tables: arena.copyInts(this.tables, this.length),
      operands,
      operandTypes: this.types(arena),
    };
  }
}
