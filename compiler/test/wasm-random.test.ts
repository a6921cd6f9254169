/**
 * Random structured control flow over locals: interpreted IR against V8. What can go wrong here is SSA construction.
 */
import { describe, expect, it } from 'vitest';
import { decodeModule } from '../wasm/decode.ts';
import { IrTrap } from './support/interp.ts';
import { IrInstance } from './support/ir-instance.ts';
import { body, funcType, HEADER, I32, I64, leb, name, section, sleb, vec } from './support/module-builder.ts';

/** mulberry32 */
function random(seed: number): (n: number) => number {
  let a = seed;
  return n => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const PARAMS = [I32, I64];
const RESULTS = [I32, I64];
const I32_LOCALS = 5;
const I64_LOCALS = 3;
/** Block types: all are in the type section, by index. */
const BLOCK_TYPES: [number[], number[]][] = [
  [[], []],
  [[], [I32]],
  [[], [I32, I64]],
  [[I32], []],
  [[I32], [I32]],
  [
    [I64, I32],
    [I32, I64],
  ],
];
const FUEL = 300;

class Generator {
  private readonly code: number[] = [];
  /** Types that a branch to each label carries, innermost last. */
  private readonly labels: (readonly number[])[] = [RESULTS];
  private budget: number;

  constructor(
    private readonly rnd: (n: number) => number,
    size: number,
  ) {
    this.budget = size;
  }

  private locals(type: number): number[] {
    const first = type === I32 ? 0 : 1;
    const out = [first];
    const base = type === I32 ? 2 : 2 + I32_LOCALS;
    for (let i = 0; i < (type === I32 ? I32_LOCALS : I64_LOCALS); i++) out.push(base + i);
    return out;
  }

  private local(type: number): number {
    const all = this.locals(type);
    return all[this.rnd(all.length)]!;
  }

  private emit(...bytes: number[]): void {
    this.code.push(...bytes);
  }

  private expr(type: number, depth = 0): void {
    const wide = type === I64;
    const choice = depth > 2 ? this.rnd(3) : this.rnd(8);
    switch (choice) {
      case 0:
        this.emit(wide ? 0x42 : 0x41, ...sleb(this.rnd(20) - 8));
        break;
      case 1:
      case 2:
        this.emit(0x20, this.local(type));
        break;
      case 3:
      case 4: {
        this.expr(type, depth + 1);
        this.expr(type, depth + 1);
        // add, sub, mul, xor
        const op = [0, 1, 2, 9][this.rnd(4)]!;
        this.emit((wide ? 0x7c : 0x6a) + op);
        break;
      }
      case 5:
        this.expr(type, depth + 1);
        this.emit(0x22, this.local(type));
        break;
      case 6:
        this.expr(type, depth + 1);
        this.expr(type, depth + 1);
        this.expr(I32, depth + 1);
        this.emit(0x1b);
        break;
      case 7:
        if (wide) {
          this.expr(I32, depth + 1);
          this.emit(0xac);
        } else {
          this.expr(I64, depth + 1);
          this.emit(0xa7);
        }
        break;
    }
  }

  private values(types: readonly number[]): void {
    for (const t of types) this.expr(t);
  }

  private consume(types: readonly number[]): void {
    for (const t of [...types].reverse()) {
      if (this.rnd(4) === 0) this.emit(0x1a);
      else this.emit(0x21, this.local(t));
    }
  }

  /** Statements, with nothing on the stack before and after. */
  private statements(depth: number): void {
    for (let n = 1 + this.rnd(4); n > 0 && this.budget > 0; n--) this.statement(depth);
  }

  private statement(depth: number): void {
    this.budget--;
    const choice = this.rnd(depth > 6 ? 5 : 10);
    switch (choice) {
      case 0:
      case 1: {
        const type = this.rnd(2) ? I32 : I64;
        this.expr(type);
        this.emit(0x21, this.local(type));
        break;
      }
      case 2: {
        // br_if
        const label = this.rnd(this.labels.length);
        const types = this.labels[this.labels.length - 1 - label]!;
        this.values(types);
        this.expr(I32);
        this.emit(0x0d, ...leb(label));
        this.consume(types);
        break;
      }
      case 3:
        if (this.rnd(3) === 0) this.jump();
        break;
      case 4:
        if (this.rnd(2) === 0) this.brTable();
        break;
      default:
        this.construct(depth);
    }
  }

  /** An unconditional branch, in an `if` so that what follows is alive; sometimes with dead code behind it. */
  private jump(): void {
    this.expr(I32);
    this.emit(0x04, 0x40);
    this.labels.push([]);
    const label = this.rnd(this.labels.length);
    this.values(this.labels[this.labels.length - 1 - label]!);
    this.emit(0x0c, ...leb(label));
    if (this.rnd(3) === 0) this.statements(5);
    this.labels.pop();
    this.emit(0x0b);
  }

  private brTable(): void {
    const key = String(this.labels[this.rnd(this.labels.length)]);
    const fitting = this.labels
      .map((_, i) => i)
      .filter(i => String(this.labels[this.labels.length - 1 - i]) === key);
    this.emit(0x02, 0x40);
    this.labels.push([]);
    this.expr(I32);
    this.emit(0x0d, 0);
    const targets = Array.from({ length: 1 + this.rnd(5) }, () => fitting[this.rnd(fitting.length)]! + 1);
    this.values(this.labels[this.labels.length - 1 - targets[0]!]!);
    this.expr(I32);
    this.emit(0x41, 7, 0x71);
    this.emit(0x0e, ...leb(targets.length - 1), ...targets.flatMap(leb));
    this.labels.pop();
    this.emit(0x0b);
  }

  private construct(depth: number): void {
    const typeIndex = this.rnd(BLOCK_TYPES.length);
    const [params, results] = BLOCK_TYPES[typeIndex]!;
    const kind = this.rnd(3);
    this.values(params);
    if (kind === 2) this.expr(I32);
    this.emit(0x02 + kind, ...leb(typeIndex));
    this.labels.push(kind === 1 ? params : results);
    this.sequence(depth, params, results, kind === 1);
    if (kind === 2 && (String(params) !== String(results) || this.rnd(2))) {
      this.emit(0x05);
      this.sequence(depth, params, results, false);
    }
    this.labels.pop();
    this.emit(0x0b);
    this.consume(results);
  }

  private sequence(
    depth: number,
    params: readonly number[],
    results: readonly number[],
    loop: boolean,
  ): void {
    this.consume(params);
    // Loops end: each iteration takes fuel.
    if (loop) this.emit(0x23, 0, 0x41, 1, 0x6b, 0x24, 0, 0x23, 0, 0x45, 0x04, 0x40, 0x00, 0x0b);
    this.statements(depth + 1);
    this.values(results);
  }

  module(): Uint8Array {
    this.emit(0x41, ...sleb(FUEL), 0x24, 0);
    while (this.budget > 0) this.statement(0);
    // All locals go into the results.
    for (const t of RESULTS) {
      const [first, ...rest] = this.locals(t);
      this.emit(0x20, first!);
      for (const x of rest)
        this.emit(t === I32 ? 0x41 : 0x42, 31, t === I32 ? 0x6c : 0x7e, 0x20, x, t === I32 ? 0x6a : 0x7c);
    }
    const types = [...BLOCK_TYPES.map(([p, r]) => funcType(p, r)), funcType(PARAMS, RESULTS)];
    const code = body(
      [
        [I32_LOCALS, I32],
        [I64_LOCALS, I64],
      ],
      this.code,
    );
    return Uint8Array.from([
      ...HEADER,
      ...section(1, vec(types)),
      ...section(3, [1, BLOCK_TYPES.length]),
      ...section(6, vec([[I32, 1, 0x41, 0, 0x0b]])),
      ...section(7, vec([[...name('f'), 0, 0]])),
      ...section(10, vec([code])),
    ]);
  }
}

const INPUTS: [number, bigint][] = [
  [0, 0n],
  [1, -1n],
  [-7, 3n],
  [1000, 0x123456789n],
];

function viaV8(bytes: Uint8Array): string[] {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>));
  const f = instance.exports.f as (a: number, b: bigint) => [number, bigint];
  return INPUTS.map(([a, b]) => {
    try {
      const [x, y] = f(a, b);
      return `${x >>> 0} ${BigInt.asUintN(64, y)}`;
    } catch (e) {
      if (e instanceof WebAssembly.RuntimeError) return 'trap';
      throw e;
    }
  });
}

function viaIr(bytes: Uint8Array, localsInMemory: boolean): string[] {
  const instance = new IrInstance(decodeModule(bytes), new Map(), localsInMemory);
  return INPUTS.map(([a, b]) => {
    try {
      return instance.invoke('f', [BigInt(a >>> 0), b]).join(' ');
    } catch (e) {
      if (e instanceof IrTrap) return 'trap';
      throw e;
    }
  });
}

describe('random control flow', () => {
  for (const [label, seeds, size] of [
    ['small', 300, 12],
    ['large', 40, 120],
  ] as const) {
    it(`${label} functions mean what V8 says`, () => {
      let returned = 0;
      for (let seed = 1; seed <= seeds; seed++) {
        const bytes = new Generator(random(seed * 7919 + size), size).module();
        const expected = viaV8(bytes);
        expect(viaIr(bytes, false), `seed ${seed}, SSA form`).toEqual(expected);
        expect(viaIr(bytes, true), `seed ${seed}, locals in memory`).toEqual(expected);
        returned += expected.filter(x => x !== 'trap').length;
      }
      // A generator whose functions all trap would test nothing.
      expect(returned).toBeGreaterThan(seeds);
    });
  }
});
