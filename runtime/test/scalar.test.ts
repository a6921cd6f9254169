/**
 * Scalar operators against V8, bit for bit: every one over all pairs of edge values and random ones, at both levels and
 * as code for debuggers, for the oldest machine and this one; with both operands from memory, and with either one a
 * constant, for which the compiler has forms of its own.
 */
import { afterAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { nativeFeatures } from '../../compiler/native-cpu.ts';
import { resolveFeatures } from '../../compiler/target.ts';
import {
  body,
  funcType,
  HEADER,
  leb,
  name,
  section,
  sleb,
  vec,
} from '../../compiler/test/support/module-builder.ts';
import { ValType } from '../../compiler/wasm/module.ts';
import { OPCODES, type Opcode, OpcodeClass, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import { Instance, type Memory, Module, Region, Trap } from '../index.ts';
import { F32S, F64S, INTS } from './support/edge-values.ts';
import { describeNative } from './support/guest.ts';

type Scalar = ValType.I32 | ValType.I64 | ValType.F32 | ValType.F64;
const CODE = { [ValType.I32]: 0x7f, [ValType.I64]: 0x7e, [ValType.F32]: 0x7d, [ValType.F64]: 0x7c };
const LOAD = { [ValType.I32]: 0x28, [ValType.I64]: 0x29, [ValType.F32]: 0x2a, [ValType.F64]: 0x2b };
const STORE = { [ValType.I32]: 0x36, [ValType.I64]: 0x37, [ValType.F32]: 0x38, [ValType.F64]: 0x39 };

/** As words of 64 bits, f32 and i32 in the low halves. */
const VALUES: Record<Scalar, readonly bigint[]> = (() => {
  let seed = 99;
  const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
  const bits = (x: number) => new BigUint64Array(Float64Array.of(x).buffer)[0]!;
  const low = INTS.map(BigInt);
  const wide = (n: bigint) => BigInt.asUintN(64, n);
  const pairs = Array.from({ length: 4 }, () => (BigInt(random()) << 32n) | BigInt(random()));
  return {
    [ValType.I32]: [...low, ...pairs.map(p => p & 0xffff_ffffn)],
    [ValType.I64]: [...low, ...low.map(n => wide(-n)), 1n << 32n, 1n << 63n, (1n << 63n) - 1n, ...pairs],
    [ValType.F32]: [...F32S.map(BigInt), ...pairs.map(p => p & 0xffff_ffffn)],
    [ValType.F64]: [...F64S.map(bits), 0x7ff4_0000_0000_0001n, 0xfff8_1234_0000_0000n, ...pairs],
  };
})();

interface Case {
  readonly op: Opcode;
  readonly a: Scalar;
  /** null: there is one operand. */
  readonly b: Scalar | null;
  readonly result: Scalar;
  /** It may trap: its values are tried one by one. */
  readonly partial: boolean;
}

const CASES: readonly Case[] = OPCODES.filter(
  (o): o is Opcode =>
    o !== undefined &&
    o.code < OpcodePage.Simd &&
    [OpcodeClass.Unary, OpcodeClass.Binary, OpcodeClass.Eqz].includes(o.class),
).map(op => {
  const a = op.operand as Scalar;
  const result = op.class === OpcodeClass.Eqz ? ValType.I32 : (op.result as Scalar);
  const b = op.class === OpcodeClass.Binary ? a : null;
  return {
    op,
    a,
    b,
    result,
    partial:
      /\.(div_[su]|rem_[su]|trunc_f(32|64)_[su])$/.test(op.name) && (a !== result) === /trunc/.test(op.name),
  };
});

/** The page of the values of each type; results go from RESULTS on. */
const PAGE = { [ValType.I32]: 0, [ValType.I64]: 1, [ValType.F32]: 2, [ValType.F64]: 3 };
const pageOf = (t: Scalar) => 4096 * PAGE[t];
const RESULTS = 65536;

const opcode = (o: Opcode): number[] =>
  o.code < OpcodePage.Misc ? [o.code] : [0xfc, ...leb(o.code - OpcodePage.Misc)];

function constant(t: Scalar, bits: bigint): number[] {
  const bytes = (n: number) => Array.from({ length: n }, (_, i) => Number((bits >> BigInt(8 * i)) & 0xffn));
  switch (t) {
    case ValType.I32:
      return [0x41, ...sleb(Number(BigInt.asIntN(32, bits)))];
    case ValType.I64: {
      const out: number[] = [];
      for (let n = BigInt.asIntN(64, bits); ; n >>= 7n) {
        const last = n >= -64n && n < 64n;
        out.push(Number(n & 0x7fn) | (last ? 0 : 0x80));
        if (last) return [0x42, ...out];
      }
    }
    case ValType.F32:
      return [0x43, ...bytes(4)];
    default:
      return [0x44, ...bytes(8)];
  }
}

/** What a function computes: `(a, b, to)` are the addresses of its operands and of its result. */
function bodies(c: Case): number[][] {
  const load = (t: Scalar, local: number) => [0x20, local, LOAD[t], 0, 0];
  const store = [STORE[c.result], 0, 0];
  const out = [[0x20, 2, ...load(c.a, 0), ...(c.b === null ? [] : load(c.b, 1)), ...opcode(c.op), ...store]];
  if (c.b === null) {
    // A condition, if it is one: what branches and selects make of it.
    if (c.op.class === OpcodeClass.Eqz)
      out.push([
        0x20,
        2,
        ...load(c.a, 0),
        ...opcode(c.op),
        0x04,
        CODE[c.result],
        0x41,
        5,
        0x05,
        0x41,
        6,
        0x0b,
        ...store,
      ]);
    return out;
  }
  const { a, b } = c;
  const some = VALUES[a].filter((_, i) => i % 9 === 1 || i < 2);
  for (const bits of some) {
    out.push([0x20, 2, ...load(a, 0), ...constant(b, bits), ...opcode(c.op), ...store]);
    out.push([0x20, 2, ...constant(a, bits), ...load(b, 1), ...opcode(c.op), ...store]);
  }
  // Both the same value, and as a condition.
  out.push([0x20, 2, ...load(a, 0), ...load(a, 0), ...opcode(c.op), ...store]);
  if (c.result === ValType.I32 && a !== ValType.I32)
    out.push([
      0x20,
      2,
      ...load(a, 0),
      ...load(b, 1),
      ...opcode(c.op),
      0x04,
      0x7f,
      0x41,
      5,
      0x05,
      0x41,
      6,
      0x0b,
      ...store,
    ]);
  return out;
}

interface Compiled {
  readonly case: Case;
  readonly first: number;
  readonly count: number;
}

const functions: number[][] = [];
const compiled: Compiled[] = CASES.map(c => {
  const first = functions.length;
  functions.push(...bodies(c));
  return { case: c, first, count: functions.length - first };
});

/** Function `n + k` runs function k over all values: `(number of a's, number of b's, page of a, page of b)`. */
function loop(k: number): number[] {
  const step = (local: number, by: number) => [0x20, local, ...[0x41, ...sleb(by)], 0x6a, 0x21, local];
  const [na, nb, a, b, i, j, to] = [0, 1, 2, 3, 4, 5, 6];
  return [
    ...[0x41, ...sleb(RESULTS), 0x21, to],
    ...[0x03, 0x40, 0x41, 0, 0x21, j],
    ...[0x03, 0x40],
    ...[
      0x20,
      a,
      0x20,
      i,
      0x41,
      3,
      0x74,
      0x6a,
      0x20,
      b,
      0x20,
      j,
      0x41,
      3,
      0x74,
      0x6a,
      0x20,
      to,
      0x10,
      ...leb(k),
    ],
    ...step(to, 8),
    ...step(j, 1),
    ...[0x20, j, 0x20, nb, 0x49, 0x0d, 0, 0x0b],
    ...step(i, 1),
    ...[0x20, i, 0x20, na, 0x49, 0x0d, 0, 0x0b],
  ];
}

const total = functions.length;
const bytes = Uint8Array.from(
  HEADER.concat(
    section(1, vec([funcType([0x7f, 0x7f, 0x7f], []), funcType([0x7f, 0x7f, 0x7f, 0x7f], [])])),
    section(3, vec([...functions.map(() => [0]), ...functions.map(() => [1])])),
    section(5, [1, 0, 2]),
    section(
      7,
      vec([
        [...name('memory'), 2, 0],
        ...Array.from({ length: 2 * total }, (_, i) => [...name(`f${i}`), 0, ...leb(i)]),
      ]),
    ),
    section(
      10,
      vec([...functions.map(code => body([], code)), ...functions.map((_, k) => body([[3, 0x7f]], loop(k)))]),
    ),
  ),
);

const image = new Uint8Array(4 * 4096);
for (const t of [ValType.I32, ValType.I64, ValType.F32, ValType.F64] as const)
  new BigUint64Array(image.buffer, pageOf(t)).set(VALUES[t]);

/** Either engine. */
interface Machine {
  call(f: number, ...args: number[]): void;
  results(n: number): Uint8Array;
  trap(e: unknown): string;
}

const TRAPS: readonly (readonly [RegExp, string])[] = [
  [/divide by zero|remainder by zero/, 'IntegerDivByZero'],
  [/divide result unrepresentable/, 'IntegerOverflow'],
  [/float unrepresentable/, 'conversion'],
];

function v8(): Machine {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>));
  const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
  memory.set(image);
  return {
    call: (f, ...args) => (exports[`f${f}`] as (...a: number[]) => void)(...args),
    results: n => memory.slice(RESULTS, RESULTS + n),
    trap: e => TRAPS.find(([pattern]) => pattern.test(String(e)))?.[1] ?? String(e),
  };
}

function lucet(instance: Instance): Machine {
  const memory = instance.export('memory') as Memory;
  const funcs = Array.from({ length: 2 * total }, (_, i) => instance.func(`f${i}`));
  memory.write(0, image);
  return {
    call: (f, ...args) => funcs[f]!.call(...args),
    results: n => memory.read(RESULTS, n),
    trap: e => {
      if (!(e instanceof Trap)) return String(e);
      // V8 does not tell one from the other.
      return /trunc/.test(current) ? 'conversion' : e.code;
    },
  };
}
let current = '';

/** What stands for a trap in the place of a result. */
const trapWords = new Map<string, bigint>();
function trapWord(text: string): bigint {
  let word = trapWords.get(text);
  if (word === undefined) trapWords.set(text, (word = 0xfeed_face_dead_0000n + BigInt(trapWords.size)));
  return word;
}

/** Results of a function over all values, NaNs as they are. */
function run(m: Machine, c: Case, f: number): BigUint64Array {
  const as = VALUES[c.a];
  const bs = c.b === null ? [0n] : VALUES[c.b];
  const narrow = c.result === ValType.I32 || c.result === ValType.F32;
  current = c.op.name;
  if (!c.partial) {
    m.call(total + f, as.length, bs.length, pageOf(c.a), c.b === null ? 0 : pageOf(c.b));
    const words = new BigUint64Array(m.results(8 * as.length * bs.length).slice().buffer);
    const halves = new Uint32Array(words.buffer);
    if (narrow) for (let i = 1; i < halves.length; i += 2) halves[i] = 0;
    return words;
  }
  const out: bigint[] = [];
  for (let i = 0; i < as.length; i += c.b === null ? 1 : 3) {
    for (let j = 0; j < bs.length; j += 5) {
      try {
        m.call(f, pageOf(c.a) + 8 * i, (c.b === null ? 0 : pageOf(c.b)) + 8 * j, RESULTS);
        const bits = new BigUint64Array(m.results(8).slice().buffer)[0]!;
        out.push(narrow ? bits & 0xffff_ffffn : bits);
      } catch (e) {
        out.push(trapWord(m.trap(e)));
      }
    }
  }
  return BigUint64Array.from(out);
}

/** Operators that work on bits, so that there is nothing open about NaNs. */
const MOVES_BITS = /\.(neg|abs|copysign|reinterpret_.*)$/;

/** One NaN for all, where the specification leaves its bits open. */
function normal(c: Case, words: BigUint64Array): BigUint64Array {
  if (MOVES_BITS.test(c.op.name)) return words;
  if (c.result === ValType.F32) return words.map(x => ((x & 0x7fff_ffffn) > 0x7f80_0000n ? 0x7fc0_0000n : x));
  if (c.result === ValType.F64)
    return words.map(x => ((x & ~(1n << 63n)) > 0x7ff0n << 48n ? 0x7ff8n << 48n : x));
  return words;
}

const same = (a: BigUint64Array, b: BigUint64Array) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

describeNative('scalars against V8', () => {
  const region = Region.create({ capacity: 8 });
  afterAll(() => region.dispose());
  const peer = v8();
  const expected = compiled.map(({ case: c, first, count }) =>
    Array.from({ length: count }, (_, k) => normal(c, run(peer, c, first + k))),
  );

  it.each([
    ['baseline', 0, ''],
    ['baseline', 2, ''],
    ['native', 2, ''],
    // `expected` has canonical NaNs only: so must the results be as they are.
    ['baseline', 0, ', canonical NaNs'],
    ['native', 2, ', canonical NaNs'],
    ['baseline', 0, ', for debuggers'],
    ['native', 0, ', for debuggers'],
  ] as const)('%s, level %i%s', (cpu, optLevel, how) => {
    const features = resolveFeatures(cpu, [], nativeFeatures());
    const canonicalizeNans = how === ', canonical NaNs';
    const debugCode = how === ', for debuggers';
    const module = Module.fromBytes(compile(bytes, { optLevel, features, canonicalizeNans, debugCode }));
    const instance = Instance.create(region, module);
    const machine = lucet(instance);
    const wrong: string[] = [];
    compiled.forEach(({ case: c, first, count }, i) => {
      if (canonicalizeNans && c.result !== ValType.F32 && c.result !== ValType.F64) return;
      for (let k = 0; k < count; k++) {
        const raw = run(machine, c, first + k);
        const wanted = expected[i]![k]!;
        const got = canonicalizeNans || same(raw, wanted) ? raw : normal(c, raw);
        if (same(got, wanted)) continue;
        const at = got.findIndex((x, n) => x !== wanted[n]);
        wrong.push(
          `${c.op.name}, form ${k}, pair ${at}: ${got[at]!.toString(16)}, V8 has ${wanted[at]!.toString(16)}`,
        );
      }
    });
    instance.dispose();
    module.dispose();
    expect(wrong).toEqual([]);
  });

  it('has a case for every operator', () => {
    expect(CASES.length).toBe(0xbf - 0x45 + 1 + 5 + 8);
    expect(CASES.filter(c => c.partial).length).toBe(8 + 8);
    // Every partial one traps for some value, in one way at least.
    compiled.forEach(({ case: c }, i) => {
      const words = c.partial ? expected[i]!.flatMap(x => [...x]) : [];
      if (c.partial)
        expect(
          [...trapWords.values()].some(t => words.includes(t)),
          c.op.name,
        ).toBe(true);
    });
  });
});
