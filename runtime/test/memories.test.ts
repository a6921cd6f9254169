/** Several memories: each access reaches its own, and the same memory under two indices is one. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { watNewer } from '../../compiler/test/support/wasm.ts';
import { createMemory, type Instance, type Memory, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const MEMORIES = [0, 1, 2, 3];

/** Functions on memory `m`: load, store, size, grow, fill, and a copy from each memory. */
function functions(m: number): string {
  return `
    (func (export "load${m}") (param i32) (result i32) (i32.load8_u $m${m} offset=3 (local.get 0)))
    (func (export "store${m}") (param i32 i32) (i32.store8 $m${m} offset=3 (local.get 0) (local.get 1)))
    (func (export "wide${m}") (param i32) (result i64) (i64.load $m${m} (local.get 0)))
    (func (export "size${m}") (result i32) (memory.size $m${m}))
    (func (export "grow${m}") (param i32) (result i32) (memory.grow $m${m} (local.get 0)))
    (func (export "fill${m}") (param i32 i32 i32) (memory.fill $m${m} (local.get 0) (local.get 1) (local.get 2)))
    (func (export "init${m}") (param i32) (memory.init $m${m} $d (local.get 0) (i32.const 0) (i32.const 4)))
    ${MEMORIES.map(
      from => `(func (export "copy${m}${from}") (param i32 i32 i32)
        (memory.copy $m${m} $m${from} (local.get 0) (local.get 1) (local.get 2)))`,
    ).join('')}`;
}

const bytes = watNewer(`(module
  (import "env" "a" (memory $m0 1 3))
  (import "env" "b" (memory $m1 1 3))
  (memory $m2 (export "m2") 1 2)
  (memory $m3 (export "m3") 0 5)
  (data $d "\\01\\02\\03\\04")
  (data (memory $m2) (i32.const 65532) "last")
  ${MEMORIES.map(functions).join('')}
  ;; Writes through one index what it then reads through the other.
  (func (export "through") (param i32 i32) (result i32) (local i32)
    (local.set 2 (i32.load $m0 (local.get 0)))
    (i32.store $m1 (local.get 0) (local.get 1))
    (i32.sub (i32.load $m0 (local.get 0)) (local.get 2)))
  ;; The same on two memories that can't be one.
  (func (export "apart") (param i32 i32) (result i32) (local i32)
    (local.set 2 (i32.load $m2 (local.get 0)))
    (i32.store $m3 (local.get 0) (local.get 1))
    (i32.sub (i32.load $m2 (local.get 0)) (local.get 2))))`);

describeNative('several memories', () => {
  const guests = new Guests();
  const one = createMemory({ min: 1, max: 3 });
  const two = createMemory({ min: 1, max: 3 });
  let apart: Instance;
  let same: Instance;
  beforeAll(async () => {
    apart = await guests.instance(bytes, { env: { a: one, b: two } });
    same = await guests.instance(bytes, { env: { a: one, b: one } });
    apart.call('grow3', 1);
  });
  afterAll(() => {
    apart.dispose();
    same.dispose();
    one.home.dispose();
    two.home.dispose();
  });

  it('each index reaches its memory', () => {
    for (const m of MEMORIES) apart.call(`store${m}`, 100, 10 + m);
    for (const m of MEMORIES) expect(apart.call(`load${m}`, 100)).toBe(10 + m);
    expect([one, two, apart.export('m2') as Memory].map(m => m.read(103, 1)[0])).toEqual([10, 11, 12]);
    expect(Buffer.from((apart.export('m2') as Memory).read(65532, 4)).toString()).toBe('last');
  });

  it('copies between any two', () => {
    for (const to of MEMORIES) {
      for (const from of MEMORIES) {
        apart.call(`fill${to}`, 200, 0, 64);
        apart.call(`fill${from}`, 300, 0x40 + 4 * to + from, 8);
        apart.call(`copy${to}${from}`, 204, 300, 8);
        expect(apart.call(`wide${to}`, 204)).toBe(
          BigInt(`0x${(0x40 + 4 * to + from).toString(16).repeat(8)}`),
        );
        expect(apart.call(`wide${to}`, 196)).toBe(0n);
      }
      apart.call(`init${to}`, 400);
      expect(apart.call(`wide${to}`, 400)).toBe(0x0403_0201n);
    }
  });

  it('the same memory under two indices is one, to optimised code too', () => {
    one.write(500, new Uint8Array(8));
    two.write(500, new Uint8Array(8));
    expect(same.call('through', 500, 77)).toBe(77);
    expect(apart.call('through', 500, 1234)).toBe(0);
    expect(apart.call('apart', 500, 1234)).toBe(0);
  });

  it('each grows by itself, up to its own limit', () => {
    const sizes = () => MEMORIES.map(m => apart.call(`size${m}`));
    expect(sizes()).toEqual([1, 1, 1, 1]);
    expect(apart.call('grow2', 1)).toBe(1);
    expect(apart.call('grow2', 1)).toBe(-1);
    expect(apart.call('grow3', 4)).toBe(1);
    expect(apart.call('grow1', 1)).toBe(1);
    expect(sizes()).toEqual([1, 2, 2, 5]);
    expect(two.pages).toBe(2);
    apart.call('store3', 5 * 65536 - 4, 9);
    expect(apart.call('load3', 5 * 65536 - 4)).toBe(9);
  });

  it('traps where the one that is accessed ends, and says which', () => {
    const lengths = MEMORIES.map(m => (apart.call(`size${m}`) as number) * 65536);
    for (const m of MEMORIES) {
      for (const at of [lengths[m]! - 3, 0x7fff_ffff, -1]) {
        const access = () => apart.call(`load${m}`, at);
        expect(access).toThrow(Trap);
        try {
          access();
        } catch (e) {
          expect((e as Trap).code).toBe('HeapOutOfBounds');
        }
      }
      apart.call(`store${m}`, lengths[m]! - 4, 1);
      expect(() => apart.call(`fill${m}`, lengths[m]! - 4, 0, 5)).toThrow('out of bounds memory access');
    }
    // Enough room in one, too little in the other.
    expect(() => apart.call('copy03', 65536, 0, 1)).toThrow('out of bounds memory access');
    expect(() => apart.call('copy30', 0, 65536, 1)).toThrow('out of bounds memory access');
  });

  it('vector lanes of a further memory are read, whatever number the lane has', async () => {
    // Passes that read over bodies see the lane behind the index of the memory: taken for an operator, it would end the
    // loop's block, say.
    const lanes = Array.from({ length: 16 }, (_, lane) => lane);
    const loop = (lane: number): string => `
      (func (export "lane${lane}") (result i32) (local $n i32) (local $v v128)
        (loop $again
          (local.set $v (v128.load8_lane $far offset=3 ${lane} (local.get $n) (local.get $v)))
          (v128.store8_lane $far offset=32 ${lane} (local.get $n) (local.get $v))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $n) (i32.const 10))))
        (i32.add (i32.mul (local.get $n) (i32.const 100)) (i32.load8_u $far offset=41 (i32.const 0))))`;
    const guest = await guests.instance(
      watNewer(
        `(module (memory 0) (memory $far 1) (data (memory $far) (i32.const 12) "\\07") ${lanes.map(loop).join('')})`,
      ),
    );
    expect(lanes.map(lane => guest.call(`lane${lane}`))).toEqual(lanes.map(() => 1007));
  });
});
