/**
 * Constants that are chosen to collide in the compiler's tables, as anybody can who reads it: they are looked for among
 * a few, not among all.
 */
import { describe, expect, it } from 'vitest';
import { Rodata } from '../backend/x64/emit-rodata.ts';
import { Func } from '../ir/func.ts';
import { Op, Type } from '../ir/ops.ts';
import { ValueTable } from '../opt/value-table.ts';

describe('the table of values', () => {
  /** A constant whose words mix to the same, whatever the first of them is. */
  function colliding(low: number): [low: number, high: number] {
    const head = Op.FConst | (Type.F64 << 16);
    let h = Math.imul(head, 0x9e3779b1) ^ Math.imul(0x7f4a7c15, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f);
    h = (Math.imul(h ^ (h >>> 15), 0x165667b1) + low) | 0;
    return [low, (12345 - Math.imul(h ^ (h >>> 14), 0x9e3779b1)) | 0];
  }
  function fill(count: number, constant: (i: number) => [number, number]): { table: ValueTable; f: Func } {
    const f = new Func();
    f.newBlock();
    const table = new ValueTable();
    table.begin(f);
    for (let i = 0; i < count; i++) {
      const v = f.make(Op.FConst, Type.F64, 0, 0, 0, ...constant(i));
      expect(table.findRow(v)).toBe(0);
      table.insert(v);
    }
    return { table, f };
  }

  it('finds all of many, and of those that collide the newest', () => {
    const found = (constant: (i: number) => [number, number]): number[] => {
      const { table, f } = fill(1000, constant);
      return Array.from({ length: 1000 }, (_, i) => i).filter(
        i => table.findRow(f.make(Op.FConst, Type.F64, 0, 0, 0, ...constant(i))) !== 0,
      );
    };
    expect(found(i => [i, 7 * i])).toHaveLength(1000);
    expect(found(colliding)).toEqual(Array.from({ length: 64 }, (_, i) => 936 + i));
  });
});

describe('the table of constants in memory', () => {
  const colliding = (i: number): [number, number] => [Math.imul(i, 0x85ebca6b), i];

  it('shares all of many', () => {
    const rodata = new Rodata();
    const first = Array.from({ length: 10_000 }, (_, i) => rodata.const64(i, 3 * i));
    expect(new Set(first).size).toBe(10_000);
    expect(Array.from({ length: 10_000 }, (_, i) => rodata.const64(i, 3 * i))).toEqual(first);
  });

  it('shares a few of those that collide; all are there', () => {
    const rodata = new Rodata();
    const first = Array.from({ length: 1000 }, (_, i) => rodata.const64(...colliding(i)));
    const again = Array.from({ length: 1000 }, (_, i) => rodata.const64(...colliding(i)));
    expect(new Set(first).size).toBe(1000);
    const shared = again.filter((at, i) => at === first[i]);
    expect(shared).toHaveLength(128);
    expect(new Set([...first, ...again]).size).toBe(2000 - 128);
  });
});
