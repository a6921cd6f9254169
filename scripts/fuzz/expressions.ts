/** Random expressions of a function that is being written: see dense.ts. */
import { Code, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import { sleb, TYPE_CODE, uleb } from '../../runtime/wasm-writer.ts';
import {
  ALL_NUMBERS,
  byType,
  codeBytes,
  LOADS,
  type NumberType,
  OPERATORS,
  type Operator,
  SCALAR_OPERATORS,
  SCALARS,
  STORES,
  specialConstant,
  specialInteger,
} from './operators.ts';
import type { Random } from './random.ts';

export interface Signature {
  readonly params: readonly NumberType[];
  readonly results: readonly NumberType[];
}

/** Forms of statements: the first are those that a function may be fond of. */
export const STATEMENT_FORMS = 20;
const FAVOURITE_FORMS = 12;

/** Masks that keep an address inside the memory. */
const ADDRESS_MASKS = [0x0f, 0xff, 0xfc, 0xfff8, 0xffff, 0x7ff0];

export const FULL_LOAD: Record<NumberType, readonly number[]> = {
  i32: [0x28],
  i64: [0x29],
  f32: [0x2a],
  f64: [0x2b],
  v128: codeBytes(OpcodePage.Simd),
};
export const FULL_STORE: Record<NumberType, readonly number[]> = {
  i32: [0x36],
  i64: [0x37],
  f32: [0x38],
  f64: [0x39],
  v128: codeBytes(OpcodePage.Simd + 11),
};

/** Those of every module; one more, behind them, is not for expressions. */
export const GLOBALS: readonly NumberType[] = ['i32', 'i64', 'f32', 'f64', 'i32', 'i64', 'v128'];

const I32 = { compare: 0x46, and: 0x71, or: 0x72, shl: 0x74, shrS: 0x75, shrU: 0x76, add: 0x6a, sub: 0x6b };
const I64 = { compare: 0x51, and: 0x83, or: 0x84, shl: 0x86, shrS: 0x87, shrU: 0x88, add: 0x7c, sub: 0x7d };
const EXTEND_U = 0xad;
const WRAP = 0xa7;

export class Expressions {
  protected readonly random: Random;
  /** Types that the module uses. */
  protected readonly numbers: readonly NumberType[];
  /** Addresses are i64. */
  protected readonly memory64: boolean;

  // The function being made.
  protected out: number[] = [];
  protected locals: NumberType[] = [];
  /** Locals that count loops: not to be written. */
  protected readonly counters = new Set<number>();
  /** Operators that it may still have. */
  protected budget = 0;
  /** Enclosing blocks, innermost last: whether a branch without values may leave them. */
  protected labels: boolean[] = [];
  /** It may do what traps. */
  protected traps = false;
  /** A form of statement that there is more of. */
  protected favourite = 0;
  // Each function has a taste of its own: few operators, constants and addresses, so that they meet often ("Swarm
  // Testing", Groce 2012).
  #operators: Record<NumberType, readonly Operator[]> = SCALAR_OPERATORS;
  #constants: Record<NumberType, readonly (readonly number[])[]> = byType(() => []);
  #offsets: readonly number[] = [];
  #fewPlaces = false;

  constructor(random: Random, vectors: boolean, memory64: boolean) {
    this.random = random;
    this.numbers = vectors ? ALL_NUMBERS : SCALARS;
    this.memory64 = memory64;
  }

  protected chooseTaste(): void {
    const r = this.random;
    const some = <T>(n: number, make: () => T): T[] => Array.from({ length: n }, make);
    const all = this.numbers === ALL_NUMBERS ? OPERATORS : SCALAR_OPERATORS;
    const few = (type: NumberType): Operator[] =>
      all[type].length === 0 ? [] : some(2 + r.below(5), () => r.pick(all[type]));
    this.#operators = r.below(2) === 0 ? byType(few) : all;
    this.#constants = byType(() => []);
    this.#constants = byType(type => some(r.below(4), () => specialConstant(r, type)));
    this.#offsets = r.below(2) === 0 ? some(3, () => r.below(16)) : [];
    this.favourite = r.below(FAVOURITE_FORMS);
    this.#fewPlaces = this.#offsets.length > 0 && r.below(2) === 0;
  }

  protected op(code: number): void {
    this.budget--;
    this.out.push(...codeBytes(code));
  }

  protected writable(type: NumberType): number {
    const at = this.locals.flatMap((t, i) => (t === type && !this.counters.has(i) ? [i] : []));
    return this.random.pick(at);
  }

  protected condition(): void {
    this.expression('i32', 4);
  }

  protected expression(type: NumberType, depth: number): void {
    const r = this.random;
    if (depth <= 0 || this.budget <= 0) {
      this.#leaf(type);
      return;
    }
    switch (r.below(20)) {
      case 0:
      case 1:
      case 2:
        this.#leaf(type);
        return;
      case 3:
      case 4:
        this.#load(type, depth);
        return;
      case 5:
        this.expression(type, depth - 1);
        this.expression(type, depth - 1);
        this.condition();
        if (type !== 'v128' && r.below(2) === 0) this.op(Code.Select);
        else this.out.push(Code.SelectT, 1, TYPE_CODE[type]);
        return;
      case 6:
        this.expression(type, depth - 1);
        this.out.push(Code.LocalTee, ...uleb(this.writable(type)));
        return;
      case 7:
        this.condition();
        this.op(Code.If);
        this.out.push(TYPE_CODE[type]);
        this.labels.push(false);
        this.expression(type, depth - 1);
        this.out.push(Code.Else);
        this.expression(type, depth - 1);
        this.labels.pop();
        this.out.push(Code.End);
        return;
      case 8:
        this.op(Code.Block);
        this.out.push(TYPE_CODE[type]);
        this.labels.push(false);
        this.expression(type, depth - 1);
        this.condition();
        this.out.push(Code.BrIf, 0, Code.Drop);
        this.expression(type, depth - 1);
        this.labels.pop();
        this.out.push(Code.End);
        return;
      case 9:
        if (type === 'i32' && r.below(4) === 0) this.#memorySize();
        else if (type === 'i32' || type === 'i64') this.#idiom(type, depth);
        else this.#operator(type, depth);
        return;
      default:
        this.#operator(type, depth);
    }
  }

  #leaf(type: NumberType): void {
    const r = this.random;
    this.budget--;
    const form = r.below(10);
    if (form === 0) {
      const at = GLOBALS.flatMap((t, i) => (t === type ? [i] : []));
      this.out.push(Code.GlobalGet, r.pick(at));
    } else if (form < 4) {
      this.constant(type);
    } else {
      const at = this.locals.flatMap((t, i) => (t === type ? [i] : []));
      this.out.push(Code.LocalGet, ...uleb(r.pick(at)));
    }
  }

  protected constant(type: NumberType): void {
    const known = this.#constants[type];
    const again = known.length > 0 && this.random.below(2) === 0;
    this.out.push(...(again ? this.random.pick(known) : specialConstant(this.random, type)));
  }

  #operator(type: NumberType, depth: number): void {
    const r = this.random;
    const op = r.pick(this.#operators[type]);
    const guarded = op.partial && !this.traps;
    if (guarded && op.operands.length === 1) {
      this.#leaf(type);
      return;
    }
    op.operands.forEach((operand, i) => {
      if (i > 0 && guarded) this.#divisor(operand);
      // Constants on the right are what selection and division look at.
      else if (i > 0 && r.below(3) === 0) this.constant(operand);
      else this.expression(operand, depth - 1);
    });
    this.op(op.code);
    for (let i = 0; i < op.immediates.count; i++) this.out.push(r.below(op.immediates.below));
  }

  /** Neither 0 nor -1. */
  #divisor(type: NumberType): void {
    const r = this.random;
    const [code, o, bits] =
      type === 'i32' ? ([Code.I32Const, I32, 32] as const) : ([Code.I64Const, I64, 64] as const);
    if (r.below(3) === 0) {
      // (x >>> 1) | 1 is positive.
      this.expression(type, 2);
      this.out.push(code, 1, o.shrU, code, 1, o.or);
      return;
    }
    const value = specialInteger(r, bits);
    this.out.push(code, ...sleb(value === 0n || value === -1n ? 3n : value));
  }

  /** What compilers write, and folding looks for. */
  #idiom(type: 'i32' | 'i64', depth: number): void {
    const r = this.random;
    const [code, o] = type === 'i32' ? ([Code.I32Const, I32] as const) : ([Code.I64Const, I64] as const);
    const local = this.writable(type);
    this.budget--;
    switch (r.below(5)) {
      case 0: {
        // Part of a number, with its sign or without.
        const n = r.below(3) === 0 ? r.below(64) : 8 * (1 + r.below(type === 'i32' ? 3 : 7));
        this.expression(type, depth - 1);
        this.out.push(code, ...sleb(n), r.pick([o.shl, o.shl, o.shrU]), code, ...sleb(n));
        this.out.push(r.pick([o.shrS, o.shrU, o.shl]));
        return;
      }
      case 1:
        // A negation, and a sum or a difference with it.
        this.expression(type, depth - 1);
        this.out.push(code, 0);
        this.expression(type, depth - 1);
        this.out.push(o.sub, r.pick([o.add, o.sub]));
        return;
      case 2:
        // (x + y) - y, (x - y) + y, and what is near it.
        this.out.push(Code.LocalGet, ...uleb(local));
        this.expression(type, depth - 1);
        this.out.push(r.pick([o.add, o.sub]), Code.LocalGet, ...uleb(local), r.pick([o.add, o.sub]));
        return;
      case 3: {
        // Something near the bound of a number of few bits.
        const bits = type === 'i32' ? 32 : 64;
        const width = 1 + r.below(bits - 1);
        const push = (value: bigint, operator: number): void => {
          this.out.push(code, ...sleb(BigInt.asIntN(bits, value)), operator);
        };
        const bound = 1n << BigInt(width);
        this.expression(type, depth - 1);
        push(bound - 1n, o.and);
        if (r.below(2) === 0) push(BigInt(width - r.below(3)), r.pick([o.shrU, o.shrS, o.shl]));
        else push((bound >> BigInt(r.below(2))) - BigInt(r.below(2)), o.compare + r.below(10));
        // A comparison gives an i32.
        if (type === 'i64' && this.out.at(-1)! < I32.add) this.out.push(EXTEND_U);
        return;
      }
      default: {
        // A part out of the middle.
        const mask = (1n << BigInt(1 + r.below(16))) - 1n;
        this.expression(type, depth - 1);
        this.out.push(code, ...sleb(r.below(40)), r.pick([o.shrU, o.shrS]), code, ...sleb(mask), o.and);
      }
    }
  }

  // ---------------------------------------------------------------------------------------------------------------- memory

  #load(type: NumberType, depth: number): void {
    const { code, align, lanes } = this.random.pick(LOADS[type]);
    this.address();
    if (lanes > 0) this.expression('v128', depth - 1);
    this.op(code);
    this.memArg(align);
    if (lanes > 0) this.out.push(this.random.below(lanes));
  }

  protected store(): void {
    const type = this.random.pick(this.numbers);
    const { code, align, lanes } = this.random.pick(STORES[type]);
    this.address();
    this.expression(type, 4);
    this.op(code);
    this.memArg(align);
    if (lanes > 0) this.out.push(this.random.below(lanes));
  }

  /** Inside the memory, as a rule. */
  protected address(): void {
    const r = this.random;
    if (this.#fewPlaces || (this.#offsets.length > 0 && r.below(2) === 0)) {
      // The same few places again and again.
      if (r.below(2) === 0) this.out.push(Code.I32Const, ...sleb(this.#offsets[0]!));
      else this.out.push(Code.LocalGet, ...uleb(this.locals.indexOf('i32')), Code.I32Const, 0x0f, I32.and);
    } else if (r.below(6) === 0) {
      this.out.push(Code.I32Const, ...sleb(r.below(0xffff)));
    } else if (this.memory64 && r.below(2) === 0) {
      this.expression('i64', 3);
      if (!this.traps || r.below(20) !== 0)
        this.out.push(Code.I64Const, ...sleb(r.pick(ADDRESS_MASKS)), I64.and);
      return;
    } else {
      this.expression('i32', 3);
      if (!this.traps || r.below(20) !== 0)
        this.out.push(Code.I32Const, ...sleb(r.pick(ADDRESS_MASKS)), I32.and);
    }
    if (this.memory64) this.out.push(EXTEND_U);
  }

  protected memArg(align: number): void {
    const r = this.random;
    const form = r.below(this.traps ? 40 : 39);
    let offset: number;
    if (this.#fewPlaces || (this.#offsets.length > 0 && form < 30)) offset = r.pick(this.#offsets);
    else offset = form < 20 ? 0 : form < 36 ? r.below(200) : form < 39 ? r.below(0xfff0) : r.u32();
    this.out.push(...uleb(r.below(align + 1)), ...uleb(offset));
  }

  protected bulk(): void {
    const r = this.random;
    // What lies there before and after.
    const before = this.out.length;
    this.address();
    const address = this.out.slice(before);
    this.out.length = before;
    const look = (): void => {
      this.out.push(...address, ...FULL_LOAD.i64, 0, ...uleb(r.below(4)));
      this.out.push(Code.LocalSet, ...uleb(this.writable('i64')));
    };
    look();
    this.out.push(...address);
    if (r.below(2) === 0) {
      this.expression('i32', 2);
      this.#length();
      this.op(Code.MemoryFill);
      this.out.push(0);
    } else {
      this.address();
      this.#length();
      this.op(Code.MemoryCopy);
      this.out.push(0, 0);
    }
    look();
  }

  #length(): void {
    this.expression('i32', 2);
    this.out.push(Code.I32Const, ...sleb(63), I32.and);
    if (this.memory64) this.out.push(EXTEND_U);
  }

  #memorySize(): void {
    const r = this.random;
    if (r.below(2) === 0) this.out.push(Code.MemorySize, 0);
    else this.out.push(this.memory64 ? Code.I64Const : Code.I32Const, r.below(2), Code.MemoryGrow, 0);
    if (this.memory64) this.out.push(WRAP);
  }
}
