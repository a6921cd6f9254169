/**
 * Random modules of two kinds. *Patterns*: small expressions, each evaluated for all pairs of values at which something changes, every result
 * kept in memory: for what folding and instruction selection do. *Programs*: dense code, much arithmetic on many live values, loops,
 * switches, calls with many arguments and results. Binaryen's modules have more kinds of things in them, but little of each.
 *
 * What is made is valid by construction and ends: loops and functions use up a global, functions call only those before them, or through a
 * table whose functions call nothing.
 */
import { ValType } from '../compiler/wasm/module.ts';
import { Code, OPCODES, OpcodeClass, OpcodePage } from '../compiler/wasm/opcodes.ts';
import { valueTypeOf } from '../runtime/types.ts';
import {
  exportEntry,
  functionType,
  KIND,
  limits,
  moduleBytes,
  name,
  sleb,
  TYPE_CODE,
  uleb,
  vector,
} from '../runtime/wasm-writer.ts';
import type { Random } from './fuzz-random.ts';

type NumberType = 'i32' | 'i64' | 'f32' | 'f64';
const NUMBERS: readonly NumberType[] = ['i32', 'i64', 'f32', 'f64'];

interface Signature {
  readonly params: readonly NumberType[];
  readonly results: readonly NumberType[];
}

interface Operator {
  readonly code: number;
  readonly operands: readonly NumberType[];
  /** It traps for some operands. */
  readonly partial: boolean;
}

interface Access {
  readonly code: number;
  readonly align: number;
}

const numberType = (t: ValType | 0): NumberType => valueTypeOf(t) as NumberType;

/** By type of the result. */
const OPERATORS: Record<NumberType, Operator[]> = { i32: [], i64: [], f32: [], f64: [] };
/** By type loaded or stored. */
const LOADS: Record<NumberType, Access[]> = { i32: [], i64: [], f32: [], f64: [] };
const STORES: Record<NumberType, Access[]> = { i32: [], i64: [], f32: [], f64: [] };

for (const o of OPCODES) {
  if (o === undefined) continue;
  if (o.operand === ValType.V128 || o.result === ValType.V128) continue;
  const access = { code: o.code, align: o.align };
  if (o.class === OpcodeClass.Load) LOADS[numberType(o.result)].push(access);
  else if (o.class === OpcodeClass.Store) STORES[numberType(o.operand)].push(access);
  else if (o.class !== OpcodeClass.None && o.class !== OpcodeClass.Special) {
    const operand = numberType(o.operand);
    OPERATORS[numberType(o.result)].push({
      code: o.code,
      operands: o.class === OpcodeClass.Binary ? [operand, operand] : [operand],
      partial: /\.(div|rem)_|\.trunc_f/.test(o.name),
    });
  }
}

const FLOATS = [
  0,
  -0,
  1,
  -1,
  0.5,
  2,
  1e10,
  -1e-10,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
];
const SPECIAL_FLOATS = [Infinity, -Infinity, NaN, 2 ** -1074, 2 ** -126, Number.MAX_VALUE];

/** Masks that keep an address inside the memory. */
const ADDRESS_MASKS = [0x0f, 0xff, 0xfc, 0xfff8, 0xffff, 0x7ff0];
const PAGES = 2;
/** Where locals are left at the end of functions. */
const SAVED = 0x1_0000;
const FULL_STORE: Record<NumberType, number> = { i32: 0x36, i64: 0x37, f32: 0x38, f64: 0x39 };
const FULL_LOAD: Record<NumberType, number> = { i32: 0x28, i64: 0x29, f32: 0x2a, f64: 0x2b };
const FUEL = 20_000;
const GLOBALS: readonly NumberType[] = ['i32', 'i64', 'f32', 'f64', 'i32', 'i64'];
/** Index of the global that is used up. */
const FUEL_GLOBAL = GLOBALS.length;
/** Values of each type that patterns are evaluated for: all pairs. */
const VALUES = 24;
/** Bytes of the table of values of a type. They lie at the start of memory, one behind the other. */
const VALUES_SIZE = VALUES * 8;
const PATTERNS = 14;
/** Of which those without a name set locals. */
const STATEMENT_FORMS = 20;
/** Functions at the front: they call nothing, have no loops, and are in the table. */
const LEAVES = 4;
const TABLE_SIZE = 8;

/** Imported functions: they are seen by the outside, and some give something back. */
const IMPORTS: readonly Signature[] = [
  { params: ['i32'], results: [] },
  { params: ['i64', 'f64'], results: [] },
  { params: ['f32', 'i32', 'i64'], results: ['i64'] },
  { params: ['f64', 'f64', 'f32', 'i32', 'i32', 'i32', 'i64', 'i64', 'i64'], results: ['f64', 'i32'] },
];

export function denseModule(random: Random): Uint8Array {
  return new DenseModule(random).make();
}

class DenseModule {
  readonly #random: Random;
  readonly #types: Signature[] = [];
  readonly #functions: Signature[] = [];

  // The function being made.
  #out: number[] = [];
  #locals: NumberType[] = [];
  /** Locals that count loops: not to be written. */
  #counters = new Set<number>();
  #results: readonly NumberType[] = [];
  /** Operators that it may still have. */
  #budget = 0;
  /** Result types of the enclosing blocks that may be left, innermost last; null: a loop, or one with results. */
  #labels: (readonly NumberType[] | null)[] = [];
  #leaf = false;
  #traps = false;
  /** Each function has a taste of its own: few operators, constants and addresses, so that they meet often ("swarm testing", Groce 2012). */
  #operators: Record<NumberType, readonly Operator[]> = OPERATORS;
  #constants: Record<NumberType, readonly (readonly number[])[]> = { i32: [], i64: [], f32: [], f64: [] };
  #offsets: readonly number[] = [];
  /** A form of statement that there is more of. */
  #favourite = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  make(): Uint8Array {
    const r = this.#random;
    for (const s of IMPORTS) this.#typeIndex(s);
    const patterns = r.below(2) === 0;
    const count = patterns ? PATTERNS : LEAVES + 1 + r.below(5);
    const bodies: number[][] = [];
    for (let i = 0; i < count; i++) {
      this.#functions.push(patterns ? { params: [], results: [] } : this.#signature());
      bodies.push(patterns ? this.#pattern(i) : this.#function(i));
    }
    const functionTypes = this.#functions.map(s => uleb(this.#typeIndex(s)));
    const elements = Array.from({ length: TABLE_SIZE - 1 }, () => uleb(IMPORTS.length + r.below(LEAVES)));
    const globals = [...GLOBALS, 'i32' as const].map((type, i) => [
      TYPE_CODE[type],
      1,
      ...(i === FUEL_GLOBAL ? [Code.I32Const, ...sleb(FUEL)] : this.#constantBytes(type)),
      Code.End,
    ]);
    return moduleBytes({
      type: this.#types.map(t => functionType(t.params, t.results)),
      import: IMPORTS.map((s, i) => [
        ...name('host'),
        ...name(`f${i}`),
        KIND.func,
        ...uleb(this.#typeIndex(s)),
      ]),
      function: functionTypes,
      table: [[TYPE_CODE.funcref, ...limits({ min: TABLE_SIZE, max: TABLE_SIZE })]],
      memory: [limits({ min: PAGES, max: PAGES + 2 })],
      global: globals,
      export: this.#functions.map((_, i) => exportEntry(`f${i}`, KIND.func, IMPORTS.length + i)),
      element: [[0, Code.I32Const, 0, Code.End, ...vector(elements)]],
      code: bodies,
      data: [[0, Code.I32Const, 0, Code.End, ...vector(this.#values().map(b => [b]))]],
    });
  }

  #typeIndex(s: Signature): number {
    const found = this.#types.findIndex(t => `${t.params}:${t.results}` === `${s.params}:${s.results}`);
    return found >= 0 ? found : this.#types.push(s) - 1;
  }

  #someTypes(most: number): NumberType[] {
    return Array.from({ length: this.#random.below(most + 1) }, () => this.#random.pick(NUMBERS));
  }

  #signature(): Signature {
    const r = this.#random;
    const most = r.below(4) === 0 ? 14 : 4;
    return { params: this.#someTypes(most), results: this.#someTypes(r.below(4) === 0 ? 8 : 2) };
  }

  // ------------------------------------------------------------------------------------------------------------- functions

  #chooseTaste(): void {
    const r = this.#random;
    const each = <T>(make: (type: NumberType) => T): Record<NumberType, T> => ({
      i32: make('i32'),
      i64: make('i64'),
      f32: make('f32'),
      f64: make('f64'),
    });
    const some = <T>(n: number, make: () => T): T[] => Array.from({ length: n }, make);
    const few = r.below(2) === 0;
    this.#operators = few ? each(t => some(2 + r.below(5), () => r.pick(OPERATORS[t]))) : OPERATORS;
    this.#constants = each(() => []);
    this.#constants = each(t => some(r.below(4), () => this.#constantBytes(t)));
    this.#offsets = r.below(2) === 0 ? some(3, () => r.below(16)) : [];
    this.#favourite = r.below(STATEMENT_FORMS);
  }

  #function(index: number): number[] {
    const r = this.#random;
    this.#chooseTaste();
    const { params, results } = this.#functions[index]!;
    this.#leaf = index < LEAVES;
    this.#traps = r.below(4) === 0;
    this.#out = [];
    this.#results = results;
    this.#locals = [...params, ...this.#someTypes(r.below(4) === 0 ? 30 : 8), ...NUMBERS];
    this.#counters.clear();
    this.#labels = [];
    this.#budget = this.#leaf ? 60 : Math.round(40 * 100 ** (r.u32() / 2 ** 32));
    if (!this.#leaf) this.#useFuel();
    while (this.#budget > 0) this.#statement();
    for (const type of results) this.#expression(type, 3);
    if (r.below(2) === 0) this.#saveLocals(index);
    return this.#body(params.length);
  }

  /** What locals hold at the end is left in memory, to be compared. */
  #saveLocals(index: number): void {
    this.#locals.forEach((type, i) => {
      this.#out.push(Code.I32Const, 0, Code.LocalGet, ...uleb(i), FULL_STORE[type], 0);
      this.#out.push(...uleb(SAVED + 256 * index + 8 * (i % 32)));
    });
  }

  #useFuel(): void {
    const fuel = [Code.GlobalGet, FUEL_GLOBAL];
    this.#out.push(...fuel, 0x45, Code.If, 0x40, Code.Unreachable, Code.End);
    this.#out.push(...fuel, Code.I32Const, 1, 0x6b, Code.GlobalSet, FUEL_GLOBAL);
  }

  /** For all pairs of a row and a column of the tables of values, an expression of some of them; its results are stored side by side. */
  #pattern(index: number): number[] {
    const r = this.#random;
    this.#chooseTaste();
    this.#out = [];
    this.#traps = false;
    this.#labels = [];
    this.#counters = new Set([0, 1, 2]);
    // Row, column, place of the result; then a value of each type from the row, and from the column.
    this.#locals = ['i32', 'i32', 'i32', ...NUMBERS, ...NUMBERS];
    this.#budget = 1 + r.below(10);
    const result = r.pick(NUMBERS);
    const load = (counter: number, first: number): void => {
      NUMBERS.forEach((type, i) => {
        this.#out.push(Code.LocalGet, counter, FULL_LOAD[type], 0, ...uleb(i * VALUES_SIZE));
        this.#out.push(Code.LocalSet, first + i);
      });
    };
    const next = (counter: number): void => {
      this.#out.push(Code.LocalGet, counter, Code.I32Const, 8, 0x6a, Code.LocalTee, counter);
      this.#out.push(Code.I32Const, ...sleb(VALUES_SIZE), 0x49, Code.BrIf, 0, Code.End);
    };
    const place = SAVED + index * VALUES * VALUES_SIZE;
    this.#out.push(Code.I32Const, ...sleb(place), Code.LocalSet, 2);
    this.#out.push(Code.Loop, 0x40);
    load(0, 3);
    this.#out.push(Code.I32Const, 0, Code.LocalSet, 1, Code.Loop, 0x40);
    load(1, 3 + NUMBERS.length);
    this.#labels.push(null, null);
    this.#out.push(Code.LocalGet, 2);
    this.#expression(result, 1 + r.below(4));
    this.#out.push(FULL_STORE[result], 0, 0);
    this.#out.push(Code.LocalGet, 2, Code.I32Const, 8, 0x6a, Code.LocalSet, 2);
    next(1);
    next(0);
    return this.#body(0);
  }

  #values(): number[] {
    return NUMBERS.flatMap(type =>
      Array.from({ length: VALUES }, () => {
        const constant = new DataView(new ArrayBuffer(8));
        if (type === 'i32' || type === 'i64') constant.setBigInt64(0, this.#integer(type), true);
        else if (type === 'f32') constant.setFloat32(0, this.#float(), true);
        else constant.setFloat64(0, this.#float(), true);
        return [...new Uint8Array(constant.buffer)];
      }).flat(),
    );
  }

  #body(params: number): number[] {
    const locals = this.#locals.slice(params);
    const bytes = [...uleb(locals.length), ...locals.flatMap(t => [1, TYPE_CODE[t]]), ...this.#out, Code.End];
    return [...uleb(bytes.length), ...bytes];
  }

  #op(code: number): void {
    this.#budget--;
    if (code >= OpcodePage.Misc) this.#out.push(Code.MiscPrefix, ...uleb(code - OpcodePage.Misc));
    else this.#out.push(code);
  }

  // ------------------------------------------------------------------------------------------------------------ statements

  #statements(most: number): void {
    for (let n = 1 + this.#random.below(most); n > 0; n--) this.#statement();
  }

  #statement(): void {
    const r = this.#random;
    this.#budget--;
    const nested = this.#labels.length < 6 && this.#budget > 0;
    const form = r.below(3) === 0 ? this.#favourite : r.below(STATEMENT_FORMS);
    if (form < 3) this.#store();
    else if (form === 3) this.#setGlobal();
    else if (form === 4) this.#call();
    else if (form === 5) this.#branch();
    else if (form === 6 && r.below(3) === 0) this.#bulk();
    else if (form === 7 && nested) this.#ifElse();
    else if (form === 8 && nested && !this.#leaf) this.#loop();
    else if (form === 9 && nested) this.#leavableBlock();
    else if (form === 10 && nested && r.below(2) === 0) this.#switch();
    else if (form === 11 && nested) this.#multiBlock();
    else this.#setLocal();
  }

  #setGlobal(): void {
    const g = this.#random.below(GLOBALS.length);
    this.#expression(GLOBALS[g]!, 4);
    this.#out.push(Code.GlobalSet, g);
  }

  #writable(type: NumberType): number {
    const at = this.#locals.flatMap((t, i) => (t === type && !this.#counters.has(i) ? [i] : []));
    return this.#random.pick(at);
  }

  #setLocal(): void {
    const type = this.#random.pick(NUMBERS);
    this.#expression(type, 6);
    this.#out.push(Code.LocalSet, ...uleb(this.#writable(type)));
  }

  /** From the operand stack into locals. */
  #takeResults(types: readonly NumberType[]): void {
    for (const type of [...types].reverse()) {
      if (this.#random.below(6) === 0) this.#out.push(Code.Drop);
      else this.#out.push(Code.LocalSet, ...uleb(this.#writable(type)));
    }
  }

  #store(): void {
    const type = this.#random.pick(NUMBERS);
    const { code, align } = this.#random.pick(STORES[type]);
    this.#address();
    this.#expression(type, 4);
    this.#op(code);
    this.#memArg(align);
  }

  /** Inside the memory, as a rule. */
  #address(): void {
    const r = this.#random;
    if (this.#offsets.length > 0 && r.below(2) === 0) {
      // The same few places again and again.
      if (r.below(2) === 0) this.#out.push(Code.I32Const, ...sleb(r.pick(this.#offsets)));
      else this.#out.push(Code.LocalGet, ...uleb(this.#locals.indexOf('i32')), Code.I32Const, 0x0f, 0x71);
      return;
    }
    if (r.below(6) === 0) {
      this.#out.push(Code.I32Const, ...sleb(r.below(0xffff)));
      return;
    }
    this.#expression('i32', 3);
    if (this.#traps && r.below(20) === 0) return;
    this.#out.push(Code.I32Const, ...sleb(r.pick(ADDRESS_MASKS)));
    this.#op(0x71);
  }

  #memArg(align: number): void {
    const r = this.#random;
    const form = r.below(this.#traps ? 40 : 39);
    if (this.#offsets.length > 0 && form < 30) {
      this.#out.push(...uleb(r.below(align + 1)), ...uleb(r.pick(this.#offsets)));
      return;
    }
    const offset = form < 20 ? 0 : form < 36 ? r.below(200) : form < 39 ? r.below(0xfff0) : r.u32();
    this.#out.push(...uleb(r.below(align + 1)), ...uleb(offset));
  }

  #callee(): { readonly signature: Signature; readonly code: readonly number[] } {
    const r = this.#random;
    if (this.#leaf || r.below(4) === 0) {
      const i = r.below(IMPORTS.length);
      return { signature: IMPORTS[i]!, code: [Code.Call, ...uleb(i)] };
    }
    if (r.below(3) === 0) {
      const signature = this.#functions[r.below(LEAVES)]!;
      return { signature, code: [Code.CallIndirect, ...uleb(this.#typeIndex(signature)), 0] };
    }
    const i = r.below(this.#functions.length - 1);
    return { signature: this.#functions[i]!, code: [Code.Call, ...uleb(IMPORTS.length + i)] };
  }

  #call(): void {
    const { signature, code } = this.#callee();
    for (const type of signature.params) this.#expression(type, 3);
    if (code[0] === Code.CallIndirect) {
      this.#expression('i32', 2);
      if (!this.#traps || this.#random.below(4) !== 0) {
        this.#out.push(Code.I32Const, 3);
        this.#op(0x71);
      }
    }
    this.#budget--;
    this.#out.push(...code);
    this.#takeResults(signature.results);
  }

  #ifElse(): void {
    this.#condition();
    this.#out.push(Code.If, 0x40);
    this.#labels.push([]);
    this.#statements(4);
    if (this.#random.below(2) === 0) {
      this.#out.push(Code.Else);
      this.#statements(4);
    }
    this.#labels.pop();
    this.#out.push(Code.End);
  }

  #loop(): void {
    const r = this.#random;
    const counter = this.#locals.length;
    const wide = r.below(4) === 0;
    this.#locals.push(wide ? 'i64' : 'i32');
    this.#counters.add(counter);
    const [constant, add, compare] = wide ? [Code.I64Const, 0x7c, 0x54] : [Code.I32Const, 0x6a, 0x49];
    const start = r.below(4) === 0 ? -r.below(5) : 0;
    this.#out.push(constant, ...sleb(start), Code.LocalSet, ...uleb(counter));
    this.#out.push(Code.Loop, 0x40);
    this.#labels.push(null);
    this.#useFuel();
    this.#statements(5);
    this.#out.push(Code.LocalGet, ...uleb(counter), constant, ...sleb(1 + r.below(3)), add);
    this.#out.push(Code.LocalTee, ...uleb(counter), constant, ...sleb(1 + r.below(12)), compare);
    this.#out.push(Code.BrIf, 0, Code.End);
    this.#labels.pop();
  }

  #leavableBlock(): void {
    this.#out.push(Code.Block, 0x40);
    this.#labels.push([]);
    this.#statements(3);
    this.#condition();
    this.#out.push(Code.BrIf, 0);
    this.#statements(3);
    this.#labels.pop();
    this.#out.push(Code.End);
  }

  /** A block in a block …, and at the heart a br_table. */
  #switch(): void {
    const r = this.#random;
    const cases = 1 + r.below(r.below(4) === 0 ? 12 : 4);
    const entries = r.below(3) === 0 ? 30 : cases + 1;
    for (let i = 0; i <= cases; i++) {
      this.#out.push(Code.Block, 0x40);
      this.#labels.push([]);
    }
    this.#expression('i32', 3);
    if (r.below(2) === 0) {
      this.#out.push(Code.I32Const, ...sleb(31));
      this.#op(0x71);
    }
    this.#out.push(Code.BrTable, ...uleb(entries));
    for (let i = 0; i <= entries; i++) this.#out.push(...uleb(r.below(cases + 1)));
    for (let i = 0; i <= cases; i++) {
      this.#labels.pop();
      this.#out.push(Code.End);
      if (r.below(3) !== 0) this.#statement();
      if (i < cases && r.below(2) === 0) this.#out.push(Code.Br, ...uleb(cases - 1 - i));
    }
  }

  /** A block or a conditional with parameters and results. */
  #multiBlock(): void {
    const r = this.#random;
    const type: Signature = { params: this.#someTypes(3), results: this.#someTypes(5) };
    for (const t of type.params) this.#expression(t, 3);
    const conditional = r.below(2) === 0;
    if (conditional) this.#condition();
    this.#out.push(conditional ? Code.If : Code.Block, ...sleb(this.#typeIndex(type)));
    this.#labels.push(null);
    const arm = (): void => {
      this.#takeResults(type.params);
      this.#statements(2);
      for (const t of type.results) this.#expression(t, 3);
      if (r.below(2) === 0) {
        this.#condition();
        this.#out.push(Code.BrIf, 0);
      }
    };
    arm();
    if (conditional) {
      this.#out.push(Code.Else);
      arm();
    }
    this.#labels.pop();
    this.#out.push(Code.End);
    this.#takeResults(type.results);
  }

  /** Out of some block, or out of the function; at times with nothing to decide it. */
  #branch(): void {
    const r = this.#random;
    const targets = this.#labels.flatMap((l, i) => (l === null ? [] : [this.#labels.length - 1 - i]));
    if (targets.length > 0 && r.below(4) !== 0) {
      this.#condition();
      this.#out.push(Code.BrIf, ...uleb(r.pick(targets)));
      return;
    }
    if (this.#labels.length === 0) return;
    this.#condition();
    this.#out.push(Code.If, 0x40);
    if (this.#traps && r.below(4) === 0) {
      this.#out.push(Code.Unreachable);
    } else {
      for (const type of this.#results) this.#expression(type, 2);
      this.#out.push(Code.Return);
    }
    if (r.below(3) === 0) this.#setLocal();
    this.#out.push(Code.End);
  }

  #bulk(): void {
    const r = this.#random;
    this.#address();
    if (r.below(2) === 0) {
      this.#expression('i32', 2);
      this.#length();
      this.#op(Code.MemoryFill);
      this.#out.push(0);
    } else {
      this.#address();
      this.#length();
      this.#op(Code.MemoryCopy);
      this.#out.push(0, 0);
    }
  }

  #length(): void {
    this.#expression('i32', 2);
    this.#out.push(Code.I32Const, ...sleb(63));
    this.#op(0x71);
  }

  // ----------------------------------------------------------------------------------------------------------- expressions

  #condition(): void {
    this.#expression('i32', 4);
  }

  #expression(type: NumberType, depth: number): void {
    const r = this.#random;
    if (depth <= 0 || this.#budget <= 0) {
      this.#leafValue(type);
      return;
    }
    switch (r.below(20)) {
      case 0:
      case 1:
      case 2:
        this.#leafValue(type);
        return;
      case 3:
      case 4: {
        const { code, align } = r.pick(LOADS[type]);
        this.#address();
        this.#op(code);
        this.#memArg(align);
        return;
      }
      case 5:
        this.#expression(type, depth - 1);
        this.#expression(type, depth - 1);
        this.#condition();
        this.#op(Code.Select);
        return;
      case 6:
        this.#expression(type, depth - 1);
        this.#out.push(Code.LocalTee, ...uleb(this.#writable(type)));
        return;
      case 7:
        this.#condition();
        this.#op(Code.If);
        this.#out.push(TYPE_CODE[type]);
        this.#labels.push(null);
        this.#expression(type, depth - 1);
        this.#out.push(Code.Else);
        this.#expression(type, depth - 1);
        this.#labels.pop();
        this.#out.push(Code.End);
        return;
      case 8:
        this.#op(Code.Block);
        this.#out.push(TYPE_CODE[type]);
        this.#labels.push(null);
        this.#expression(type, depth - 1);
        this.#condition();
        this.#out.push(Code.BrIf, 0);
        this.#out.push(Code.Drop);
        this.#expression(type, depth - 1);
        this.#labels.pop();
        this.#out.push(Code.End);
        return;
      case 9:
        if (type === 'i32' && r.below(4) === 0) {
          if (r.below(2) === 0) this.#out.push(Code.MemorySize, 0);
          else this.#out.push(Code.I32Const, r.below(2), Code.MemoryGrow, 0);
          return;
        }
        this.#operator(type, depth);
        return;
      default:
        this.#operator(type, depth);
    }
  }

  #operator(type: NumberType, depth: number): void {
    const r = this.#random;
    const op = r.pick(this.#operators[type]);
    if (op.partial && !this.#traps && op.operands.length === 1) {
      this.#leafValue(type);
      return;
    }
    this.#expression(op.operands[0]!, depth - 1);
    if (op.operands.length === 2) {
      // Constants on the right are what selection and division look at.
      if (op.partial && !this.#traps) this.#divisor(op.operands[1]!);
      else if (r.below(3) === 0) this.#out.push(...this.#constantBytes(op.operands[1]!));
      else this.#expression(op.operands[1]!, depth - 1);
    }
    this.#op(op.code);
  }

  /** Neither 0 nor -1. */
  #divisor(type: NumberType): void {
    const r = this.#random;
    const code = type === 'i32' ? Code.I32Const : Code.I64Const;
    if (r.below(3) === 0) {
      // (x | 1) >>> 1 | 1 is positive.
      this.#expression(type, 2);
      this.#out.push(code, 1, type === 'i32' ? 0x76 : 0x88, code, 1, type === 'i32' ? 0x72 : 0x84);
      return;
    }
    let value = this.#integer(type);
    if (value === 0n || value === -1n) value = 3n;
    this.#out.push(code, ...sleb(value));
  }

  #leafValue(type: NumberType): void {
    const r = this.#random;
    this.#budget--;
    const form = r.below(10);
    if (form === 0) {
      const at = GLOBALS.flatMap((t, i) => (t === type ? [i] : []));
      this.#out.push(Code.GlobalGet, r.pick(at));
    } else if (form < 4) {
      this.#out.push(...this.#constantBytes(type));
    } else {
      const at = this.#locals.flatMap((t, i) => (t === type ? [i] : []));
      this.#out.push(Code.LocalGet, ...uleb(r.pick(at)));
    }
  }

  #integer(type: NumberType): bigint {
    const r = this.#random;
    const bits = type === 'i32' ? 32 : 64;
    const power = (): bigint => 1n << BigInt(r.below(bits));
    const small = BigInt(r.below(20) - 4);
    switch (r.below(7)) {
      case 0:
        return BigInt.asIntN(bits, (BigInt(r.u32()) << 32n) | BigInt(r.u32()));
      case 1:
        return BigInt.asIntN(bits, power());
      case 2:
        return BigInt.asIntN(bits, power() - 1n);
      case 3:
        return BigInt.asIntN(bits, -power());
      case 4:
        return BigInt.asIntN(bits, power() + small);
      case 5:
        return BigInt.asIntN(bits, power() + power() + BigInt(r.below(3) - 1));
      default:
        return small;
    }
  }

  #float(): number {
    const r = this.#random;
    const form = r.below(8);
    if (form === 0) return r.pick(SPECIAL_FLOATS);
    if (form === 1) return (r.u32() | 0) / 4096;
    if (form < 4) return Number(this.#integer('i64'));
    if (form === 4) return Number(this.#integer('i64')) / 2 ** r.below(64);
    return r.pick(FLOATS);
  }

  #constantBytes(type: NumberType): readonly number[] {
    const known = this.#constants[type];
    if (known.length > 0 && this.#random.below(2) === 0) return this.#random.pick(known);
    if (type === 'i32') return [Code.I32Const, ...sleb(this.#integer('i32'))];
    if (type === 'i64') return [Code.I64Const, ...sleb(this.#integer('i64'))];
    const view = new DataView(new ArrayBuffer(8));
    if (type === 'f32') view.setFloat32(0, this.#float(), true);
    else view.setFloat64(0, this.#float(), true);
    const bytes = [...new Uint8Array(view.buffer)];
    return type === 'f32' ? [Code.F32Const, ...bytes.slice(0, 4)] : [Code.F64Const, ...bytes];
  }
}
