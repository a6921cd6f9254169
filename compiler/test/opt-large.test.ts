/** Functions as large as a megabyte of code can make them: each pass has to stay (nearly) linear. */
import { describe, expect, it } from 'vitest';
import { type Block, F_BLOCK, Func, ROW, type Value } from '../ir/func.ts';
import { MemKind, memAccess, Op, Type } from '../ir/ops.ts';
import { verify } from '../ir/verify.ts';
import { optimize } from '../opt/pipeline.ts';
import { cpuTime } from './support/cpu-time.ts';

class Build {
  readonly f = new Func();
  block: Block = 0;
  readonly x: Value;
  readonly y: Value;

  constructor() {
    this.f.newBlock();
    this.x = this.f.addParam(0, Type.I32);
    this.y = this.f.addParam(0, Type.I32);
    this.f.results = [Type.I32];
  }
  emit(op: Op, type: Type, a = 0, b = 0, c = 0, imm = 0, imm2 = 0): Value {
    return this.f.append(this.block, this.f.make(op, type, a, b, c, imm, imm2));
  }
  int(n: number): Value {
    return this.emit(Op.IConst, Type.I32, 0, 0, 0, n);
  }
  jump(to: Block, args: Value[] = []): void {
    this.emit(Op.Jump, Type.None, 0, this.f.newEdge(to, args));
  }
  brIf(condition: Value, yes: Block, yesArgs: Value[], no: Block, noArgs: Value[] = []): void {
    this.emit(Op.BrIf, Type.None, condition, this.f.newEdge(yes, yesArgs), this.f.newEdge(no, noArgs));
  }
  ret(v: Value): void {
    this.emit(Op.Return, Type.None, 0, this.f.listOf([v]));
  }
}

/** Builds n of something. */
const SHAPES: Record<string, [number, (b: Build, n: number) => void]> = {
  'a row of operators': [
    120_000,
    (b, n) => {
      let v = b.x;
      for (let i = 0; i < n; i++)
        v = b.emit(i % 3 === 0 ? Op.Mul : Op.Xor, Type.I32, v, i % 2 === 0 ? b.y : b.int(i * 7));
      b.ret(v);
    },
  ],
  'loads and stores at changing addresses': [
    60_000,
    (b, n) => {
      let v = b.x;
      for (let i = 0; i < n; i++) {
        v = b.emit(
          Op.Load,
          Type.I32,
          i % 3 === 0 ? v : b.x,
          0,
          0,
          (i * 4) % 1000,
          memAccess(MemKind.Full, 0),
        );
        b.emit(Op.Store, Type.None, b.y, v, 0, (i * 8) % 512, memAccess(MemKind.Full, 0));
      }
      b.ret(v);
    },
  ],
  'many ways to one join': [
    40_000,
    (b, n) => {
      const { f } = b;
      const join = f.newBlock();
      const p = f.addParam(join, Type.I32);
      for (let i = 0; i < n; i++) {
        const next = f.newBlock();
        b.brIf(b.emit(Op.Add, Type.I32, b.x, b.int(i)), join, [i % 2 === 0 ? b.x : b.y], next);
        b.block = next;
      }
      b.jump(join, [b.x]);
      b.block = join;
      b.ret(p);
    },
  ],
  'joins in a row': [
    40_000,
    (b, n) => {
      const { f } = b;
      let v = b.x;
      for (let i = 0; i < n; i++) {
        const arm = f.newBlock();
        const join = f.newBlock();
        const p = f.addParam(join, Type.I32);
        b.brIf(v, arm, [], join, [v]);
        b.block = arm;
        b.jump(join, [b.emit(Op.Mul, Type.I32, v, b.y)]);
        b.block = join;
        v = p;
      }
      b.ret(v);
    },
  ],
  'nested loops with a redundant parameter each': [
    15_000,
    (b, n) => {
      const { f } = b;
      const headers: Block[] = [];
      const params: Value[] = [];
      let v = b.x;
      for (let i = 0; i < n; i++) {
        const header = f.newBlock();
        const p = f.addParam(header, Type.I32);
        b.jump(header, [v]);
        b.block = header;
        headers.push(header);
        params.push(p);
        v = p;
      }
      const inner = b.emit(Op.Mul, Type.I32, b.x, b.y);
      for (let i = n - 1; i >= 0; i--) {
        const out = f.newBlock();
        b.brIf(inner, headers[i]!, [params[i]!], out);
        b.block = out;
      }
      b.ret(v);
    },
  ],
  'a branch table of many empty blocks': [
    40_000,
    (b, n) => {
      const { f } = b;
      const join = f.newBlock();
      const p = f.addParam(join, Type.I32);
      const arms = Array.from({ length: n }, () => f.newBlock());
      const edges = arms.map(arm => f.newEdge(arm));
      b.emit(Op.BrTable, Type.None, b.x, f.listOf(edges));
      for (const arm of arms) {
        b.block = arm;
        b.jump(join, [b.y]);
      }
      b.block = join;
      b.ret(p);
    },
  ],
  'empty blocks in a row, each also branched to': [
    40_000,
    (b, n) => {
      const { f } = b;
      const chain = Array.from({ length: n }, () => f.newBlock());
      for (let i = 0; i < n - 1; i++) {
        b.block = chain[i]!;
        b.jump(chain[i + 1]!);
      }
      b.block = chain[n - 1]!;
      b.ret(b.x);
      b.block = 0;
      for (let i = 0; i < n; i++) {
        const next = f.newBlock();
        b.brIf(b.emit(Op.Add, Type.I32, b.x, b.int(i)), chain[n - 1 - i]!, [], next);
        b.block = next;
      }
      b.ret(b.y);
    },
  ],
  'a join with many parameters': [
    200,
    (b, n) => {
      const { f } = b;
      let values = Array.from({ length: n }, (_, i) => b.emit(Op.Add, Type.I32, b.x, b.int(i)));
      for (let i = 0; i < n; i++) {
        const arm = f.newBlock();
        const join = f.newBlock();
        b.brIf(values[i]!, arm, [], join, values);
        b.block = arm;
        b.jump(join, [...values.slice(1), values[0]!]);
        b.block = join;
        const params = values.map((_, k) => f.make(Op.Param, Type.I32, join, 0, 0, k, 0));
        for (const p of params) f.rows[p * ROW + F_BLOCK] = join;
        f.params[join] = f.listOf(params);
        values = params;
      }
      b.ret(values[0]!);
    },
  ],
};

describe('large functions', () => {
  it.each(Object.entries(SHAPES))('%s', (_, [n, shape]) => {
    const time = (size: number) => {
      const b = new Build();
      shape(b, size);
      verify(b.f);
      const took = cpuTime(() => optimize(b.f, 2));
      verify(b.f);
      return took;
    };
    // Warm up.
    time(n >> 3);
    expect(time(n)).toBeLessThan(4000);
  });
});
