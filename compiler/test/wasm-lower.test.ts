/** What operators become: IR of small functions. The meaning is tested by wasm-run and wasm-random. */
import { describe, expect, it } from 'vitest';
import { printFunc } from '../ir/text-print.ts';
import { entryThunkTypes, thunkCount } from '../thunks.ts';
import { decodeAndLower } from './support/lower-all.ts';
import { wat } from './support/wasm.ts';

/** IR of one function or thunk, without its head and tail. */
async function ir(index: number, text: string): Promise<string> {
  const { funcs } = decodeAndLower(await wat(`(module ${text})`));
  return printFunc(funcs.get(index)!)
    .split('\n')
    .slice(1, -2)
    .map(l => l.replace(/^ {2}/, ''))
    .join('\n');
}

describe('control flow', () => {
  it('a loop has parameters for the locals it assigns and reads, and for no others', async () => {
    const text = await ir(
      0,
      `(func (param $n i32) (param $step i32) (result i32) (local $sum i32) (local $tmp i32)
        (loop $l
          (local.set $tmp (local.get $step))
          (local.set $sum (i32.add (local.get $sum) (local.get $tmp)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))`,
    );
    expect(text).toBe(`b0(v1: i32, v2: i32):
v3 = iconst.i32 0
jump b1(v3, v1)
b1(v4: i32, v5: i32):
v6 = add.i32 v4, v2
v7 = iconst.i32 1
v8 = sub.i32 v5, v7
br_if v8, b1(v6, v8), b2
b2:
return v6`);
  });

  it('arms that agree on a local need no parameter, unread ones neither', async () => {
    const text = await ir(
      0,
      `(func (param i32) (result i32) (local $a i32) (local $b i32)
        (if (local.get 0)
          (then (local.set $a (local.get 0)) (local.set $b (i32.const 1)))
          (else (local.set $a (local.get 0))))
        (local.get $a))`,
    );
    expect(text).toBe(`b0(v1: i32):
br_if v1, b1, b2
b1:
v2 = iconst.i32 1
jump b3
b2:
jump b3
b3:
return v1`);
  });

  it('code behind a branch builds nothing', async () => {
    const text = await ir(
      0,
      '(func (result i32) (return (i32.const 1)) (drop (i32.add (i32.const 2))) (unreachable))',
    );
    expect(text).toBe('b0:\nv1 = iconst.i32 1\nreturn v1');
  });

  it('a call with several results has Result rows behind it', async () => {
    const text = await ir(
      0,
      '(func (result i64) (call 1) (drop) ) (func (result i64 i32) (i64.const 1) (i32.const 2))',
    );
    expect(text).toBe('b0:\nv1 = call f1()\nv2 = result.i64 v1, 0\nv3 = result.i32 v1, 1\nreturn v2');
  });
});

describe('memories and globals', () => {
  it('memory.size of the own memory and of an imported one', async () => {
    const body = '(func (result i32) (memory.size))';
    expect(await ir(0, `(memory 1) ${body}`)).toContain('vm_load.i64 [vm-8] memory_length');
    const imported = await ir(0, `(import "m" "m" (memory 1)) ${body}`);
    expect(imported).toContain('vm_load.i64 [vm-136] read_only');
    expect(imported).toContain('raw_load.i64 [v1] memory_length');
  });

  it('offsets and kinds of accesses', async () => {
    const text = await ir(
      0,
      `(memory 1) (func (param i32) (result i64)
        (i32.store16 offset=0xffffffff (local.get 0) (local.get 0))
        (i64.load32_s offset=4 align=1 (local.get 0)))`,
    );
    expect(text).toContain('store.i32.u16 [v1+4294967295], v1');
    expect(text).toContain('load.i64.s32 [v1+4]');
  });

  it('globals: own, immutable, imported', async () => {
    const text = await ir(
      0,
      `(import "a" "x" (global $x (mut i32))) (import "a" "y" (global $y (mut i32)))
       (global $own (mut i32) (i32.const 0)) (global $const i32 (i32.const 0))
       (func (global.set $x (global.get $y)) (global.set $own (global.get $const)))`,
    );
    expect(text).toBe(`b0:
v1 = vm_load.i64 [vm-176] read_only
v2 = raw_load.i32 [v1] global slot=1
v3 = vm_load.i64 [vm-192] read_only
raw_store.i32 [v3], v2 global slot=1
v4 = vm_load.i32 [vm-144] read_only
vm_store.i32 [vm-160], v4 global slot=3
return`);
  });
});

describe('tables', () => {
  it('call_indirect: bounds, element, signature, call', async () => {
    const text = await ir(
      0,
      '(table (export "t") 2 4 funcref) (type $t (func (param i32))) (func (param i32) (call_indirect (type $t) (local.get 0) (local.get 0)))',
    );
    expect(text).toBe(`b0(v1: i32):
v2 = vm_load.i32 [vm-152] table_desc slot=1
v3 = ge_u.i32 v1, v2
trap_nz v3, TableOutOfBounds
v4 = vm_load.i64 [vm-160] table_desc slot=1
v5 = extend_u.i64 v1
v6 = iconst.i64 3
v7 = shl.i64 v5, v6
v8 = add.i64 v4, v7
v9 = raw_load.ref [v8] table_element slot=1
v10 = vm_load.i64 [vm-40] read_only
v11 = raw_load.i32 [v9+16] read_only trap=IndirectCallToNull
v12 = raw_load.i32 [v10] read_only
v13 = ne.i32 v11, v12
trap_nz v13, BadSignature
v14 = raw_load.i64 [v9] read_only trap=IndirectCallToNull
v15 = raw_load.i64 [v9+8] read_only trap=IndirectCallToNull
call_indirect v14(v1) type=0 vmctx=v15
return`);
  });

  it('call_indirect through a table that never changes', async () => {
    const text = await ir(
      0,
      '(type $t (func (param i32))) (func $f (param i32) (call_indirect (type $t) (local.get 0) (local.get 0))) (func) (func $g (param i32)) (table funcref (elem $f 1 $g))',
    );
    expect(text).toBe(`b0(v1: i32):
v2 = iconst.i32 3
v3 = ge_u.i32 v1, v2
trap_nz v3, TableOutOfBounds
v4 = extend_u.i64 v1
v5 = image_addr.i64 0
v6 = iconst.i64 3
v7 = shl.i64 v4, v6
v8 = add.i64 v5, v7
v9 = raw_load.i32 [v8] read_only
v10 = iconst.i32 0
v11 = ne.i32 v9, v10
trap_nz v11, BadSignature
v12 = raw_load.i64.s32 [v8+4] read_only
v13 = add.i64 v12, v8
call_indirect v13(v1) type=0
return`);
  });

  it('the length of a table that cannot grow is a constant', async () => {
    const text = await ir(0, '(table 5 5 funcref) (func (result i32) (table.size 0))');
    expect(text).toBe('b0:\nv1 = iconst.i32 5\nreturn v1');
  });
});

describe('thunks', () => {
  const MODULE = `
    (import "h" "a" (func $a (param i32 f64) (result i64)))
    (import "h" "b" (func $b (param f32)))
    (table (export "t") 1 funcref) (elem (i32.const 0) $a)
    (func (export "e") (param f32) (result i32 i32) (i32.const 1) (i32.const 2))`;

  it('are counted and typed', async () => {
    const { module, funcs } = decodeAndLower(await wat(`(module ${MODULE})`));
    expect(thunkCount(module)).toBe(4);
    expect([...entryThunkTypes(module)]).toEqual([0, 2]);
    // $b does not escape: it has no wrapper.
    expect([...funcs.keys()]).toEqual([0, 2, 3, 4, 5, 6]);
  });

  it('wrapper', async () => {
    expect(await ir(0, MODULE)).toBe('b0(v1: i32, v2: f64):\nv3 = call_import.i64 i0(v1, v2)\nreturn v3');
  });

  it('host thunk', async () => {
    expect(await ir(3, MODULE)).toBe(`b0(v1: i32, v2: f64):
v3 = slot_addr.i64 slot0
raw_store.i32 [v3], v1 args
raw_store.f64 [v3+8], v2 args
call_host i0 v3
v4 = raw_load.i64 [v3] args
return v4`);
  });

  it('entry thunk', async () => {
    expect(await ir(6, MODULE)).toMatch(
      /^b0\(v1: i64, v2: i64\):\nv3 = raw_load.f32 \[v1\] args\n.*call_indirect v2\(v3\) type=2\n.*result.i32.*\n.*result.i32.*\nraw_store.i32 \[v1\], v\d args\nraw_store.i32 \[v1\+8\], v\d args\nreturn$/,
    );
  });
});
