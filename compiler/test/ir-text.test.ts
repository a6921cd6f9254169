import { describe, expect, it } from 'vitest';
import { Op, Type } from '../ir/ops.ts';
import { IrSyntaxError, parseFunc } from '../ir/text-parse.ts';
import { printFunc } from '../ir/text-print.ts';
import { verify } from '../ir/verify.ts';

/** One of everything. */
const EVERYTHING = `func 3 "every \\"thing\\"" -> i32, f64 slots 16, 32 {
b0(v1: i32, v2: i64, v3: f32, v4: f64, v5: v128, v6: ref):
  v7 = iconst.i32 -5
  v8 = iconst.i64 -1152921504606846977
  v9 = iconst.ref 0
  v10 = fconst.f32 0.10000000149011612
  v11 = fconst.f32 bits:0x7fa00001
  v12 = fconst.f64 -0
  v13 = fconst.f64 1.5e+300
  v14 = fconst.f64 bits:0xfff8000000000001
  v15 = vconst.v128 0x1 0xffffffff 0x0 0x80000000
  v16 = add.i32 v1, v7
  v17 = lt_u.i64 v2, v8
  v18 = flt.f64 v4, v13
  v19 = select.i32 v17, v16, v18
  v20 = extend_u.i64 v19
  v21 = bitcast.i64 v6
  v22 = load.i32 [v1+4294967295]
  v23 = load.i64.s32 mem2[v2]
  store.i64.u8 [v1+8], v23
  store.v128 [v1], v5
  v24 = vm_load.i64 [vm-40] read_only
  v25 = raw_load.i64.u32 [v24-16] table_desc slot=3 trap=IndirectCallToNull
  raw_store.f64 [v24], v4 args
  vm_store.i32 [vm-160], v1 global slot=1
  v26 = vm_addr.i64 [vm-200]
  v27 = slot_addr.i64 slot1
  trap_nz v17, TableOutOfBounds
  trap_z v18, Unreachable
  call f7()
  v28 = call.i32 f8(v1, v2)
  v29 = call f9(v3)
  v30 = result.i32 v29, 0
  v31 = result.f64 v29, 1
  v32 = call_import.f32 i0(v10)
  v33 = call_indirect.i32 v24(v1) type=2 vmctx=v25
  call_indirect v24() type=1
  v34 = call_builtin.i64 memory_grow(v20, v2)
  call_host i4 v27
  br_if v30, b1(v28, v31), b2 unlikely
b1(v35: i32, v36: f64):
  br_table v35, [b1(v33, v36), b2, b2, b3, b4, b5]
b2:
  jump b1(v7, v12)
b3:
  return v35, v36
b4:
  tail_call f9(v3, v24)
b5:
  tail_call_indirect v24(v1) type=3
}
`;

describe('text form', () => {
  it('prints what it reads', () => {
    const f = parseFunc(EVERYTHING);
    verify(f);
    expect(printFunc(f)).toBe(EVERYTHING);
  });

  it('has the bits of constants right', () => {
    const f = parseFunc(EVERYTHING);
    const words = new Int32Array(Float64Array.of(1.5e300).buffer);
    const values: [Op, Type, number, number][] = [];
    for (let v = f.first[0]!; v !== 0; v = f.next[v]!) {
      if (f.op(v) === Op.IConst || f.op(v) === Op.FConst)
        values.push([f.op(v), f.type(v), f.imm(v), f.imm2(v)]);
    }
    expect(values).toEqual([
      [Op.IConst, Type.I32, -5, 0],
      [Op.IConst, Type.I64, -1, -268435457],
      [Op.IConst, Type.Ref, 0, 0],
      [Op.FConst, Type.F32, 0x3dcccccd, 0],
      [Op.FConst, Type.F32, 0x7fa00001, 0],
      [Op.FConst, Type.F64, 0, -2147483648],
      [Op.FConst, Type.F64, words[0], words[1]],
      [Op.FConst, Type.F64, 1, -524288],
    ]);
  });

  it('numbers values in the order of the text', () => {
    const f = parseFunc(
      'func 0 "f" -> i32 { b0(v9: i32): v30 = iconst.i32 1 v2 = add.i32 v9, v30 @77 return v2 }',
    );
    expect(printFunc(f, { locs: true })).toBe(
      'func 0 "f" -> i32 {\nb0(v1: i32):\n  v2 = iconst.i32 1 @0\n  v3 = add.i32 v1, v2 @77\n  return v3 @0\n}\n',
    );
  });

  it.each([
    ['func 0 "f" { b0: v1 = frobnicate.i32 v1 }', /unknown operator 'frobnicate'/],
    ['func 0 "f" {\nb0:\n v1 = iconst.i32 1\n v1 = iconst.i32 1 }', /line 4: v1 is defined twice/],
    ['func 0 "f" { b0: return v1 }', /v1 is used but not defined/],
    ['func 0 "f" { b0: jump x', /expected 'bN', found 'x'/],
    ['func 0 "f" { b0: v1 = iconst.i16 1 return }', /unknown type 'i16'/],
    ['func 0 "f" { b0: return', /unexpected end|expected/],
  ])('rejects %j', (text, message) => {
    expect(() => parseFunc(text)).toThrow(IrSyntaxError);
    expect(() => parseFunc(text)).toThrow(message);
  });
});
