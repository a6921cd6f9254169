/** Passes that make rows while they look at some: the arrays of rows may move at any of them. */
import { describe, expect, it } from 'vitest';
import { parseFunc } from '../ir/text-parse.ts';
import { printFunc } from '../ir/text-print.ts';
import { verify } from '../ir/verify.ts';
import { optimize } from '../opt/pipeline.ts';

/**
 * A loop with its test at the top, and a check and a load that are the same each time; in front of it `padding` rows
 * that nobody wants.
 */
function source(padding: number): string {
  const rows = Array.from({ length: padding }, (_, i) => `  v${100 + i} = add.i32 v1, v2\n`);
  return `func 0 "f" -> i32 {
b0(v1: i32, v2: i32):
  v3 = iconst.i32 0
${rows.join('')}  jump b1(v3, v3)
b1(v4: i32, v5: i32):
  v6 = lt_s.i32 v4, v2
  br_if v6, b2, b3
b2:
  v7 = iconst.i32 4
  v8 = add.i32 v1, v7
  v9 = vm_load.i64 [vm-8] memory_length
  v10 = iconst.i64 4
  v11 = sub.i64 v9, v10
  v12 = extend_u.i64 v8
  v13 = lt_u.i64 v11, v12
  trap_nz v13, HeapOutOfBounds
  v14 = load.i32 [v8]
  v15 = mul.i32 v14, v4
  v16 = xor.i32 v15, v5
  v17 = iconst.i32 1
  v18 = add.i32 v4, v17
  jump b1(v18, v16)
b3:
  return v5
}
`;
}

describe('a function whose rows move while it is optimised', () => {
  it('is the same wherever they do', () => {
    const optimized = (padding: number): string => {
      const f = parseFunc(source(padding));
      const counters: Record<string, number> = {};
      optimize(f, 2, counters, { after: (_, g) => verify(g), importedMemories: 0 });
      expect(counters).toMatchObject({ rotate: 1, 'hoist-load': 1, 'hoist-check': 1 });
      return printFunc(f);
    };
    const expected = optimized(0);
    // 256 rows are there at first.
    for (let padding = 150; padding < 256; padding++) expect(optimized(padding)).toBe(expected);
  });
});
