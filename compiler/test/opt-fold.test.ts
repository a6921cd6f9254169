/** Folding rules against the interpreter: constants, and all pairs of nested operators. */
import { describe, expect, it } from 'vitest';
import { Func, type Value } from '../ir/func.ts';
import { OPS, Op, Type } from '../ir/ops.ts';
import { printFunc } from '../ir/text-print.ts';
import { optimize } from '../opt/pipeline.ts';
import { IrTrap, Machine, type Val } from './support/interp.ts';
import { randomNumbers } from './support/random-ir.ts';

const INTS = [
  0, 1, 2, 3, 7, 8, 16, 24, 31, 32, 33, 48, 56, 63, 64, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fffffff,
];
const ALL_INTS = [...INTS, ...INTS.map(n => ~n), -0x80000000, 0x12345678];

const machine = new Machine({ memories: [], fuel: Number.POSITIVE_INFINITY });

function run(f: Func, args: readonly Val[]): unknown {
  try {
    return machine.run(f, args);
  } catch (e) {
    if (!(e instanceof IrTrap)) throw e;
    return `trap ${e.code}`;
  }
}

/** A function of one block: `body` makes the instructions and gives the result. */
function single(params: readonly Type[], body: (f: Func, emit: Emit, params: Value[]) => Value): Func {
  const f = new Func();
  f.newBlock();
  const values = params.map(t => f.addParam(0, t));
  const emit: Emit = (op, type, a = 0, b = 0, c = 0, imm = 0, imm2 = 0) =>
    f.append(0, f.make(op, type, a, b, c, imm, imm2));
  const result = body(f, emit, values);
  f.results = [f.type(result)];
  emit(Op.Return, Type.None, 0, f.listOf([result]));
  return f;
}
type Emit = (op: Op, type: Type, a?: number, b?: number, c?: number, imm?: number, imm2?: number) => Value;

const range = (from: Op, to: Op): Op[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const BINARY = range(Op.Add, Op.Rotr);
const UNARY = range(Op.Clz, Op.Ext32S);
const COMPARE = range(Op.Eq, Op.GeU);
const FLOAT_BINARY = [...range(Op.FAdd, Op.FCopysign), ...range(Op.FEq, Op.FGe)];
const CONVERSIONS: [Op, Type, Type][] = [];
for (const int of [Type.I32, Type.I64]) {
  for (const float of [Type.F32, Type.F64]) {
    for (const op of range(Op.TruncS, Op.TruncSatU)) CONVERSIONS.push([op, float, int]);
    for (const op of [Op.ConvertS, Op.ConvertU]) CONVERSIONS.push([op, int, float]);
  }
}
for (const float of [Type.F32, Type.F64])
  for (const op of range(Op.FAbs, Op.FNearest)) CONVERSIONS.push([op, float, float]);
CONVERSIONS.push([Op.Promote, Type.F32, Type.F64], [Op.Demote, Type.F64, Type.F32]);
CONVERSIONS.push(
  [Op.Bitcast, Type.F64, Type.I64],
  [Op.Bitcast, Type.I32, Type.F32],
  [Op.Wrap, Type.I64, Type.I32],
);

const FLOATS = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  0.1,
  1e-45,
  3.4e38,
  1e39,
  4294967295,
  2147483648,
  -2147483649,
  2 ** 53,
  2 ** 63,
];
const ALL_FLOATS = [
  ...FLOATS,
  ...FLOATS.map(x => -x * 1.0000001),
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
];

function floatWords(type: Type, x: number): [number, number] {
  const words = new Int32Array(2);
  if (type === Type.F32) new Float32Array(words.buffer)[0] = x;
  else new Float64Array(words.buffer)[0] = x;
  return [words[0]!, type === Type.F32 ? 0 : words[1]!];
}

describe('constants', () => {
  /** Optimise a function of constants and compare; counts how many became a constant. */
  function check(f: Func, what: string): number {
    const before = run(f, []);
    const text = printFunc(f);
    optimize(f, 1);
    const after = run(f, []);
    if (String(after) !== String(before)) expect(after, `${what}\n${text}`).toEqual(before);
    return f.op(f.listAt(f.b(f.terminator(0)), 0)) === Op.IConst ||
      f.op(f.listAt(f.b(f.terminator(0)), 0)) === Op.FConst
      ? 1
      : 0;
  }
  // The last one is a tie for a single but for its lowest bit, which a double does not hold.
  const longs = [
    ...ALL_INTS.map(n => [n, n >> 31] as const),
    [0, 1],
    [0, -0x80000000],
    [-1, 0x7fffffff],
    [5, 0x100],
    [1, 0x10000010],
    [-1, 0],
  ] as const;

  it('of integers are evaluated as the interpreter does', () => {
    let folded = 0;
    let all = 0;
    for (const type of [Type.I32, Type.I64]) {
      const values = type === Type.I32 ? ALL_INTS.map(n => [n, 0] as const) : longs;
      const rnd = randomNumbers(type);
      for (const op of [...BINARY, ...COMPARE]) {
        const result = op >= Op.Eq ? Type.I32 : type;
        for (const [lo, hi] of values) {
          for (const [lo2, hi2] of values) {
            if (rnd() > 0.15) continue;
            const f = single([], (_, emit) =>
              emit(
                op,
                result,
                emit(Op.IConst, type, 0, 0, 0, lo, hi),
                emit(Op.IConst, type, 0, 0, 0, lo2, hi2),
              ),
            );
            folded += check(f, OPS[op]!.name);
            all++;
          }
        }
      }
      for (const op of UNARY) {
        if (op === Op.Ext32S && type === Type.I32) continue;
        for (const [lo, hi] of values) {
          folded += check(
            single([], (_, emit) => emit(op, type, emit(Op.IConst, type, 0, 0, 0, lo, hi))),
            OPS[op]!.name,
          );
          all++;
        }
      }
    }
    // All but divisions by zero.
    expect(folded / all).toBeGreaterThan(0.98);
  });

  it('of floats are evaluated as the interpreter does, or left alone', () => {
    let folded = 0;
    let all = 0;
    for (const type of [Type.F32, Type.F64]) {
      const rnd = randomNumbers(type);
      for (const op of FLOAT_BINARY) {
        for (const x of ALL_FLOATS) {
          for (const y of ALL_FLOATS) {
            if (rnd() > 0.15) continue;
            const f = single([], (_, emit) =>
              emit(
                op,
                op >= Op.FEq ? Type.I32 : type,
                emit(Op.FConst, type, 0, 0, 0, ...floatWords(type, x)),
                emit(Op.FConst, type, 0, 0, 0, ...floatWords(type, y)),
              ),
            );
            folded += check(f, OPS[op]!.name);
            all++;
          }
        }
      }
    }
    expect(folded / all).toBeGreaterThan(0.9);
  });

  it('are converted as the interpreter does, or left alone', () => {
    let folded = 0;
    let all = 0;
    for (const [op, from, to] of CONVERSIONS) {
      const float = from === Type.F32 || from === Type.F64;
      const inputs = float
        ? ALL_FLOATS.map(x => floatWords(from, x))
        : longs.map(([lo, hi]) => [lo, from === Type.I32 ? 0 : hi] as [number, number]);
      for (const [lo, hi] of inputs) {
        const f = single([], (_, emit) =>
          emit(op, to, emit(float ? Op.FConst : Op.IConst, from, 0, 0, 0, lo, hi)),
        );
        folded += check(f, OPS[op]!.name);
        all++;
      }
    }
    expect(folded / all).toBeGreaterThan(0.6);
  });
});

describe('nested operators', () => {
  const EXTENSIONS: [Op, Type, Type][] = [
    [Op.Wrap, Type.I64, Type.I32],
    [Op.ExtendS, Type.I32, Type.I64],
    [Op.ExtendU, Type.I32, Type.I64],
    [Op.ExtendU, Type.I32, Type.I64],
  ];
  const EXT = [Op.Ext8S, Op.Ext16S, Op.Ext32S];

  class Nest {
    constructor(
      private readonly emit: Emit,
      private readonly rnd: () => number,
      private readonly f: Func,
    ) {}
    private pick<T>(list: readonly T[]): T {
      return list[Math.floor(this.rnd() * list.length)]!;
    }
    constant(type: Type): Value {
      const n = this.pick(ALL_INTS);
      return this.emit(
        Op.IConst,
        type,
        0,
        0,
        0,
        n,
        type === Type.I32 ? 0 : this.rnd() < 0.8 ? n >> 31 : this.pick(ALL_INTS),
      );
    }
    /** One operator on x, with a constant or y. */
    over(x: Value, y: Value): Value {
      const { f, emit } = this;
      const type = f.type(x);
      const r = this.rnd();
      const conversions = EXTENSIONS.filter(e => e[1] === type);
      if (r < 0.12) {
        const [op, , to] = this.pick(conversions);
        return emit(op, to, x);
      }
      if (r < 0.22) return emit(this.pick(type === Type.I32 ? EXT.slice(0, 2) : EXT), type, x);
      if (r < 0.26) return emit(this.pick(UNARY.slice(0, 3)), type, x);
      const other = this.rnd() < 0.85 || f.type(y) !== type ? this.constant(type) : y;
      const swap = this.rnd() < 0.2;
      const a = swap ? other : x;
      const b = swap ? x : other;
      if (r < 0.3) {
        const condition = type === Type.I32 ? x : emit(Op.Wrap, Type.I32, x);
        return emit(Op.Select, type, condition, a, this.constant(type));
      }
      if (r < 0.5) return emit(this.pick(COMPARE), Type.I32, a, b);
      return emit(this.pick(BINARY), type, a, b);
    }
  }

  it('mean the same folded', () => {
    const rnd = randomNumbers(99);
    const counters: Record<string, number> = {};
    for (let round = 0; round < 12_000; round++) {
      const type = round % 2 === 0 ? Type.I32 : Type.I64;
      const f = single([type, type], (g, emit, [x, y]) => {
        const nest = new Nest(emit, rnd, g);
        let v = x!;
        const depth = 2 + (round % 3);
        let other = y!;
        for (let i = 0; i < depth; i++) {
          const next = nest.over(v, other);
          other = rnd() < 0.3 ? v : other;
          v = next;
        }
        return v;
      });
      const text = printFunc(f);
      const inputs = Array.from({ length: 5 }, () => {
        const pair = [0, 1].map(() => ALL_INTS[Math.floor(rnd() * ALL_INTS.length)]!);
        return pair.map(n => {
          if (type === Type.I32) return n;
          const k = rnd();
          return k < 0.6 ? BigInt(n) : k < 0.8 ? BigInt(n >>> 0) : BigInt.asIntN(64, BigInt(n) << 32n);
        });
      });
      const before = inputs.map(args => run(f, args));
      optimize(f, 1, counters);
      const after = inputs.map(args => run(f, args));
      if (String(after) !== String(before)) {
        expect(after, `${inputs.join(' | ')}\n${text}=>\n${printFunc(f)}`).toEqual(before);
      }
    }
    for (const name of [
      'constant',
      'identity',
      'reassociate',
      'strength',
      'extension',
      'compare',
      'select',
    ]) {
      expect(counters[name], name).toBeGreaterThan(25);
    }
  });
});
