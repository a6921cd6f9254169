/** Reader, module sections, names, text input. */
import { describe, expect, it } from 'vitest';
import { CompileError } from '../diagnostics.ts';
import { decodeModule } from '../wasm/decode.ts';
import { ExternKind } from '../wasm/module.ts';
import { OPCODES } from '../wasm/opcodes.ts';
import { Reader } from '../wasm/reader.ts';
import { isWasm, translateWat } from '../wasm/wat.ts';
import { HEADER, leb, name, section, vec } from './support/module-builder.ts';
import { wat } from './support/wasm.ts';

/** LEB128 of any integer, `pad` bytes longer than needed. */
function encode(value: bigint, signed: boolean, pad = 0): number[] {
  const out: number[] = [];
  let rest = value;
  for (;;) {
    const b = Number(rest & 0x7fn);
    rest >>= 7n;
    const done = signed ? (rest === 0n && b < 0x40) || (rest === -1n && b >= 0x40) : rest === 0n;
    if (done && pad === 0) {
      out.push(b);
      return out;
    }
    out.push(b | 0x80);
    if (done) {
      const fill = signed && value < 0n ? 0x7f : 0;
      for (let i = 1; i < pad; i++) out.push(fill | 0x80);
      out.push(fill);
      return out;
    }
  }
}

function reader(bytes: number[]): Reader {
  return new Reader(Uint8Array.from(bytes), 0, bytes.length);
}

/** Values around every power of two. */
function edges(bits: number, signed: boolean): bigint[] {
  const out: bigint[] = [];
  for (let i = 0; i < bits; i++) {
    for (const d of [-1n, 0n, 1n]) out.push((1n << BigInt(i)) + d, -(1n << BigInt(i)) + d);
  }
  const fits = signed
    ? (x: bigint) => BigInt.asIntN(bits, x) === x
    : (x: bigint) => BigInt.asUintN(bits, x) === x;
  return out.filter(fits);
}

const INTEGERS: [string, number, boolean, (r: Reader) => bigint][] = [
  ['u32', 32, false, r => BigInt(r.u32())],
  ['s32', 32, true, r => BigInt(r.s32())],
  ['s33', 33, true, r => BigInt(r.s33())],
  [
    'u64',
    64,
    false,
    r => {
      r.u64();
      return (BigInt(r.hi >>> 0) << 32n) | BigInt(r.lo >>> 0);
    },
  ],
  [
    's64',
    64,
    true,
    r => {
      r.s64();
      return (BigInt(r.hi) << 32n) | BigInt(r.lo >>> 0);
    },
  ],
];

describe('LEB128', () => {
  it.each(INTEGERS)('%s: all lengths, and nothing outside its range', (_, bits, signed, read) => {
    const longest = Math.ceil(bits / 7);
    for (const x of edges(bits, signed)) {
      const shortest = encode(x, signed).length;
      for (let pad = 0; shortest + pad <= longest; pad++) {
        const r = reader(encode(x, signed, pad));
        expect(read(r)).toBe(x);
        expect(r.pos).toBe(shortest + pad);
      }
      expect(() => read(reader(encode(x, signed, longest + 1 - shortest)))).toThrow(
        'integer representation too long',
      );
    }
    const limit = signed ? 1n << BigInt(bits - 1) : 1n << BigInt(bits);
    expect(() => read(reader(encode(limit, signed)))).toThrow('integer too large');
    if (signed) expect(() => read(reader(encode(-limit - 1n, signed)))).toThrow('integer too large');
    expect(() => read(reader([0x80]))).toThrow('unexpected end');
  });
});

describe('sections', () => {
  it('keeps what the binary says', async () => {
    const m = decodeModule(
      await wat(`(module $named
        (type (func (param i32))) (type (func)) (type (func (param i32)))
        (import "a" "f" (func $f (type 2)))
        (import "a" "g" (global f32))
        (func $start (type 1)) (func $local (type 0)) (func $exported (type 2)) (func $listed (type 1))
        (memory 1 3) (table 2 funcref) (global i64 (i64.const -1))
        (global funcref (ref.func $f))
        (export "e" (func $exported)) (export "m" (memory 0))
        (start $start)
        (elem (i32.const 1) func $listed)
        (data (i32.const 4) "xyz"))`),
    );
    expect(m.canonicalTypes).toEqual(Int32Array.of(0, 1, 0));
    expect(m.functions).toEqual(Int32Array.of(2, 1, 0, 2, 1));
    expect(m.importedFunctions).toBe(1);
    // $listed is in the table's image only.
    expect(m.escaping).toEqual(Int32Array.of(0, 1, 3));
    expect(m.tableImages[0]!.functions).toEqual(Int32Array.of(-1, 4));
    expect(m.start).toBe(1);
    expect(m.memories[0]!.limits).toEqual({ min: 1n, max: 3n });
    expect(m.globals.map(g => g.init[0])).toEqual([
      { op: 'const', type: 2, bits: 0xffff_ffff_ffff_ffffn },
      { op: 'ref.func', index: 0 },
    ]);
    expect(m.exports.map(e => [e.name, e.kind, e.index])).toEqual([
      ['e', ExternKind.Func, 3],
      ['m', ExternKind.Memory, 0],
    ]);
    expect(Buffer.from(m.bytes.subarray(m.data[0]!.start, m.data[0]!.end)).toString()).toBe('xyz');
    expect(m.names.module).toBe('named');
    expect([...m.names.functions]).toEqual([
      [0, 'f'],
      [1, 'start'],
      [2, 'local'],
      [3, 'exported'],
      [4, 'listed'],
    ]);
    expect(m.bytes[m.bodies[0]!.end - 1]).toBe(0x0b);
    // The contents of the code section begin with the number of bodies, then the first one's size.
    expect(m.bytes[m.codeStart]).toBe(4);
    expect(m.bodies[0]!.start).toBe(m.codeStart + 2);
  });

  it('a broken name section is no error, and is read as far as it goes', () => {
    const functions = section(
      1,
      vec([
        [...leb(0), ...name('first')],
        [...leb(1), ...name('second')],
      ]),
    );
    for (const [bytes, names] of [
      [functions, ['first', 'second']],
      [
        [...functions, 9, 0xff],
        ['first', 'second'],
      ],
      [
        [0, 2, 5, 0x61, ...functions],
        ['first', 'second'],
      ],
      [section(1, [3, 0, ...name('only'), 1, 3, 0xff]), ['only']],
      [section(1, [1, 0, 2, 0xc3, 0x28]), []],
      [[1, 0xff, 0xff, 0xff, 0xff, 0x0f], []],
    ] as const) {
      const m = decodeModule(Uint8Array.from([...HEADER, ...section(0, [...name('name'), ...bytes])]));
      expect([...m.names.functions.values()]).toEqual(names);
    }
  });

  it('custom sections are ranges behind their names', () => {
    const m = decodeModule(Uint8Array.from([...HEADER, ...section(0, [...name('x'), 1, 2, 3])]));
    expect(m.customSections).toEqual([{ name: 'x', start: 12, end: 15 }]);
  });

  it('a component is told from a module', () => {
    expect(() => decodeModule(Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0))).toThrow('component');
  });
});

describe('opcode table', () => {
  it('has the operators of Wasm 2.0 and of the proposals that are there, each once', () => {
    const all = OPCODES.filter(o => o !== undefined);
    // Core specification 2.0, index of instructions: these ranges of bytes, and 0..17 behind the prefix 0xFC.
    const ranges = [
      [0x00, 0x05],
      [0x08, 0x08],
      [0x0a, 0x15],
      [0x1a, 0x1c],
      [0x1f, 0x1f],
      [0x20, 0x26],
      [0x28, 0xc4],
      [0xd0, 0xd6],
    ] as const;
    const bytes = ranges.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i));
    expect(all.filter(o => o.code < 256).map(o => o.code)).toEqual(bytes);
    expect(all.filter(o => o.code >= 256 && o.code < 512)).toHaveLength(22);
    // Fixed-width SIMD has 236 below 0x100, relaxed SIMD 20 behind them.
    expect(all.filter(o => o.code >= 512 && o.code < 512 + 0x100)).toHaveLength(236);
    expect(all.filter(o => o.code >= 512 + 0x100)).toHaveLength(20);
    const names = all.map(o => o.name);
    // Only `select` has two codes.
    expect(names.filter((n, i) => names.indexOf(n) !== i)).toEqual(['select']);
    expect(OPCODES[0xc4]!.name).toBe('i64.extend32_s');
    expect(OPCODES[0xbf]!.name).toBe('f64.reinterpret_i64');
    expect(OPCODES[0xa6]!.name).toBe('f64.copysign');
    expect(OPCODES[0x3e]!.name).toBe('i64.store32');
    expect(OPCODES[512 + 0xff]!.name).toBe('f64x2.convert_low_i32x4_u');
    expect(OPCODES[512 + 0xba]!.name).toBe('i32x4.dot_i16x8_s');
  });
});

describe('text input', () => {
  const bytes = (s: string) => new TextEncoder().encode(s);

  it('becomes a binary module with names', async () => {
    const binary = await translateWat('m.wat', bytes('(module (func $hello (export "e")))'));
    expect(isWasm(binary)).toBe(true);
    expect(decodeModule(binary).names.functions.get(0)).toBe('hello');
    expect(isWasm(bytes('(module)'))).toBe(false);
  });

  it('leaves it to the decoder to say what is not supported', async () => {
    const binary = await translateWat('m.wat', bytes('(module (memory 1 2 shared))'));
    expect(() => decodeModule(binary)).toThrow('threads');
    // A Buffer is fine as well.
    expect(isWasm(await translateWat('m.wat', Buffer.from('(module)')))).toBe(true);
  });

  it('has errors with line and column', async () => {
    const e = await translateWat('m.wat', bytes('(module\n  (func (i32.foo)))')).catch((x: unknown) => x);
    expect(e).toBeInstanceOf(CompileError);
    expect((e as CompileError).kind).toBe('malformed');
    expect((e as CompileError).message).toMatch(/^m\.wat:2:10: /);
  });
});
