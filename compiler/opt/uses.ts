/** All places where values are used: operands, lists of arguments and results, arguments of edges. */
import { F_A, type Func, type List, NONE, ROW, type Value } from '../ir/func.ts';
import { OP_FLAGS, OP_OPERANDS, Op, OpFlag } from '../ir/ops.ts';
import type { Ints } from '../ir/scratch.ts';

/** Count the uses of each value, by instructions that are in blocks; `counts` is as long as the function has rows. */
export function countUses(f: Func, counts: Ints): void {
  const { pool, rows } = f;
  counts.fill(0, 0, f.count);
  const list = (l: List, first: number) => {
    const end = l === NONE ? -1 : l + pool[l]!;
    for (let i = l + first; i <= end; i++) counts[pool[i]!]!++;
  };
  for (let b = 0; b < f.blockCount; b++) {
    for (let v = f.first[b]!; v !== 0; v = f.next[v]!) {
      const op = f.op(v);
      const at = v * ROW + F_A;
      for (let i = 0; i < OP_OPERANDS[op]!; i++) counts[rows[at + i]!]!++;
      if (op === Op.CallIndirect && f.c(v) !== NONE) counts[f.c(v)]!++;
      if (OP_FLAGS[op]! & OpFlag.ListB) list(f.b(v), 1);
      const edges = f.succCount(v);
      for (let i = 0; i < edges; i++) list(f.succEdge(v, i), 2);
    }
  }
}

/** Apply a mapping to every use of a value. */
export function rewriteUses(f: Func, to: (v: Value) => Value): void {
  const { pool, rows } = f;
  const list = (l: List, first: number) => {
    const end = l === NONE ? -1 : l + pool[l]!;
    for (let i = l + first; i <= end; i++) pool[i] = to(pool[i]!);
  };
  for (let b = 0; b < f.blockCount; b++) {
    for (let v = f.first[b]!; v !== 0; v = f.next[v]!) {
      const op = f.op(v);
      const at = v * ROW + F_A;
      for (let i = 0; i < OP_OPERANDS[op]!; i++) rows[at + i] = to(rows[at + i]!);
      if (op === Op.CallIndirect && f.c(v) !== NONE) rows[at + 2] = to(rows[at + 2]!);
      if (OP_FLAGS[op]! & OpFlag.ListB) list(f.b(v), 1);
      const edges = f.succCount(v);
      for (let i = 0; i < edges; i++) list(f.succEdge(v, i), 2);
    }
  }
}
