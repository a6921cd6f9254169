/**
 * Memories whose accesses are checked by code instead of by guards: 64-bit addresses and dense code (against V8), and
 * pages of one byte. Every width of access, at every place where a bound could be off by one or a sum could wrap.
 */
import { setFlagsFromString } from 'node:v8';
import { expect, it } from 'vitest';
import { wat, watNewer } from '../../compiler/test/support/wasm.ts';
import { type Instance, LimitError, type Memory, type Module, Trap } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

setFlagsFromString('--experimental-wasm-memory64');

const LOADS: readonly (readonly [name: string, type: string, size: number])[] = [
  ['i32.load8_u', 'i32', 1],
  ['i32.load16_s', 'i32', 2],
  ['i32.load', 'i32', 4],
  ['i64.load8_s', 'i64', 1],
  ['i64.load32_u', 'i64', 4],
  ['i64.load', 'i64', 8],
  ['f32.load', 'f32', 4],
  ['f64.load', 'f64', 8],
];
const STORES: readonly (readonly [name: string, type: string, size: number])[] = [
  ['i32.store8', 'i32', 1],
  ['i32.store16', 'i32', 2],
  ['i32.store', 'i32', 4],
  ['i64.store32', 'i64', 4],
  ['i64.store', 'i64', 8],
  ['f64.store', 'f64', 8],
];

/** Loads and stores of all widths at the offsets; `index` is the type of addresses. */
function accesses(index: string, offsets: readonly bigint[]): string {
  return offsets
    .map(
      (offset, k) => `
    ${LOADS.map(([name, type]) => `(func (export "${name} ${k}") (param ${index}) (result ${type}) (${name} offset=${offset} (local.get 0)))`).join('')}
    ${STORES.map(
      ([name, type]) =>
        `(func (export "${name} ${k}") (param ${index}) (${name} offset=${offset} (local.get 0) (${type}.const 0x71)))`,
    ).join('')}`,
    )
    .join('');
}

const outcome = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (e) {
    if (e instanceof Trap) return e.code === 'HeapOutOfBounds' ? 'out of bounds' : e;
    if (e instanceof WebAssembly.RuntimeError && /memory access out of bounds/.test(e.message))
      return 'out of bounds';
    throw e;
  }
};

/** What code checks: 64-bit addresses always, others in dense code. */
const CHECKED = [
  { index: 'i64', memory: 'guarded' },
  { index: 'i64', memory: 'dense' },
  { index: 'i32', memory: 'dense' },
] as const;

describeNative('checked accesses', () => {
  const guests = new Guests();
  const OFFSETS = [0n, 1n, 8n, 65535n, 65536n, 0x7fff_fff8n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn];
  const OFFSETS64 = [
    ...OFFSETS,
    ...[1n << 32n, 1n << 46n, 1n << 48n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n, (1n << 64n) - 8n],
  ];
  const ADDRESSES = [
    0n,
    1n,
    65528n,
    65535n,
    65536n,
    131071n,
    131072n,
    1n << 31n,
    1n << 32n,
    1n << 63n,
  ].flatMap(a => [-8n, -4n, -1n, 0n].map(d => BigInt.asIntN(64, a + d)));
  const CONSTANTS = [0, 1, 65528, 65529, 65535, 65536, 131064, 131065, 2 ** 31, 2 ** 32 - 1];

  const text = (index: string, min: number, offsets: readonly bigint[]) => `(module
    (memory (export "memory") ${index} ${min} 3)
    (data (${index}.const 0) "\\01\\02\\03\\04\\05\\06\\07\\88")
    (func (export "size") (result ${index}) memory.size)
    (func (export "grow") (param ${index}) (result ${index}) (memory.grow (local.get 0)))
    (func (export "fill") (param ${index} i32 ${index}) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "copy") (param ${index} ${index} ${index}) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    ${CONSTANTS.map(at => `(func (export "constant ${at}") (result i64) (i64.load (${index}.const ${at})))`).join('')}
    ${accesses(index, offsets)})`;

  // The least length decides over the form of the check.
  for (const { index, memory } of CHECKED) {
    for (const [optLevel, min] of [
      [0, 1],
      [2, 1],
      [2, 2],
    ] as const) {
      it(`${index}, ${memory}: what V8 does, and traps where it does (least size ${min}, -O${optLevel})`, async () => {
        const offsets = index === 'i64' ? OFFSETS64 : OFFSETS;
        const bytes = await wat(text(index, min, offsets));
        const module = await guests.module(bytes, { optLevel, memory });
        const ours = (await import('../index.ts')).Instance.create(guests.region, module);
        const theirs = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
        const address = (at: bigint) => (index === 'i64' ? at : Number(BigInt.asIntN(32, at)));
        const both = (name: string, ...args: unknown[]) => {
          const wanted = outcome(() => (theirs[name] as (...args: unknown[]) => unknown)(...args));
          const found = outcome(() => ours.call(name, ...args));
          // There are too many calls for an assertion each.
          if (!Object.is(found, wanted)) expect(found, `${name}(${args})`).toBe(wanted);
          return wanted;
        };
        const compareBytes = () => {
          const wanted = Buffer.from((theirs.memory as WebAssembly.Memory).buffer);
          const { size } = ours.export('memory') as Memory;
          expect(size).toBe(wanted.length);
          expect(wanted.equals((ours.export('memory') as Memory).read(0, size))).toBe(true);
        };
        let traps = 0;
        let passes = 0;
        for (let round = 0; round < 2; round++) {
          for (const at of CONSTANTS) both(`constant ${at}`);
          offsets.forEach((offset, k) => {
            for (const [name, , size] of [...LOADS, ...STORES]) {
              const near = BigInt.asIntN(64, BigInt(min + round) * 65536n - offset - BigInt(size));
              for (const at of [...ADDRESSES, near - 1n, near, near + 1n]) {
                if (both(`${name} ${k}`, address(at)) === 'out of bounds') traps++;
                else passes++;
              }
            }
          });
          compareBytes();
          both('grow', address(1n));
          both('size');
        }
        expect(traps).toBeGreaterThan(3000);
        expect(passes).toBeGreaterThan(500);
        for (const n of [0n, 1n, -1n, 1n << 63n, 65536n]) {
          for (const at of ADDRESSES) {
            both('fill', address(at), 7, address(n));
            both('copy', address(at), address(0n), address(n));
            both('copy', address(0n), address(at), address(n));
          }
        }
        compareBytes();
        both('grow', address(1n << 47n));
        both('grow', address(-1n));
        ours.dispose();
      });
    }
  }

  it('huge limits are valid; what cannot be had is refused', async () => {
    const wide = await guests.instance(
      '(module (memory i64 0 0x1000000000000) (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0))))',
    );
    expect(wide.call('grow', 1n << 47n)).toBe(-1n);
    expect(wide.call('grow', 3n)).toBe(0n);
    await expect(guests.instance('(module (memory i64 0x1000000000000))')).rejects.toThrow(LimitError);
    await expect(guests.module('(module (memory i64 0x1000000000001))')).rejects.toThrow('memory size');
  });
});

describeNative('pages of one byte', () => {
  const guests = new Guests();
  const OFFSETS = [0n, 1n, 100n, 4095n, 0x7fff_ffffn, 0xffff_ffffn];
  const module = (optLevel: 0 | 2): Promise<Module> =>
    guests.module(
      watNewer(`(module
        (memory (export "memory") 10 5000 (pagesize 1))
        (func (export "size") (result i32) (memory.size))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
        ${accesses('i32', OFFSETS)})`),
      { optLevel },
    );

  for (const optLevel of [0, 2] as const) {
    it(`end at the byte (-O${optLevel})`, async () => {
      const { Instance } = await import('../index.ts');
      const instance: Instance = Instance.create(guests.region, await module(optLevel));
      const memory = instance.export('memory') as Memory;
      for (const length of [10, 11, 4095, 4096, 4097, 5000]) {
        const old = instance.call('size') as number;
        expect(instance.call('grow', length - old)).toBe(old);
        expect([instance.call('size'), memory.size, memory.pages]).toEqual([length, length, length]);
        OFFSETS.forEach((offset, k) => {
          for (const [name, , size] of [...LOADS, ...STORES]) {
            const last = length - size - Number(offset);
            for (const at of [last - 1, last, last + 1, last + 4096, 0, 2 ** 31, 2 ** 32 - 1, -1]) {
              const address = at >>> 0;
              const inside = address + Number(offset) + size <= length;
              const found = outcome(() => instance.call(`${name} ${k}`, address));
              if ((found !== 'out of bounds') !== inside)
                expect(found, `${name} ${address}+${offset} of ${length}`).toBe(inside);
            }
          }
        });
        expect(outcome(() => instance.call('fill', length - 3, 1, 3))).toBe(undefined);
        expect(outcome(() => instance.call('fill', length - 3, 1, 4))).toBe('out of bounds');
      }
      expect(instance.call('grow', 1)).toBe(-1);
      expect(instance.call('grow', -1)).toBe(-1);
      instance.dispose();
    });
  }

  it('keep what lies behind the end zero when the memory grows', async () => {
    const { Instance } = await import('../index.ts');
    const instance: Instance = Instance.create(guests.region, await module(2));
    instance.call('fill', 0, 0xff, 10);
    outcome(() => instance.call('i64.store 0', 5));
    instance.call('grow', 4000);
    const memory = instance.export('memory') as Memory;
    expect([...memory.read(8, 8)]).toEqual([0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    instance.dispose();
  });
});
