/**
 * Random modules of two kinds. *Patterns*: small expressions, each evaluated for all pairs of values at which something
 * changes, every result kept in memory: for what folding and instruction selection do. *Programs*: dense code, much
 * arithmetic on many live values, loops, switches, calls with many arguments and results, in one of three modules
 * exceptions too. Binaryen's modules have more kinds of things in them, but little of each.
 *
 * What is made is valid by construction and ends: loops and functions use up a global, functions call only those before
 * them, or through a table whose functions call nothing.
 */
import { Code } from '../../compiler/wasm/opcodes.ts';
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
} from '../../runtime/wasm-writer.ts';
import {
  Expressions,
  FULL_LOAD,
  FULL_STORE,
  GLOBALS,
  type Signature,
  STATEMENT_FORMS,
} from './expressions.ts';
import { ALL_NUMBERS, type NumberType, specialBytes, specialConstant } from './operators.ts';
import type { Random } from './random.ts';

const PAGES = 3;
/** Where locals are left at the end of functions, and patterns their results. */
const SAVED = 0x1_0000;
const SAVED_LOCALS = 32;
const FUEL = 20_000;
/** Index of the global that is used up. */
const FUEL_GLOBAL = GLOBALS.length;
const PATTERNS = 14;
/** Values of each type that patterns are evaluated for: all pairs. */
const VALUES = 24;
/** Bytes from one value of a table to the next. The tables lie at the start of memory, one behind the other. */
const STRIDE = 16;
/** Functions at the front: they call nothing, have no loops, and are in the table. */
const LEAVES = 4;
const TABLE_SIZE = 8;
/** One of so many functions is so large that frames span pages and algorithms switch to cheaper ways. */
const HUGE_ODDS = 200;
const HUGE_LOCALS = 3000;
const HUGE_BUDGET = 20_000;
/** One of so many modules throws. */
const THROWING_ODDS = 3;
const MOST_TAGS = 4;
const RETURN_CALL = 0x12;
const RETURN_CALL_INDIRECT = 0x13;

/** Imported functions: they are seen by the outside, and some give something back. */
const IMPORTS: readonly Signature[] = [
  { params: ['i32'], results: [] },
  { params: ['i64', 'f64'], results: [] },
  { params: ['f32', 'i32', 'i64'], results: ['i64'] },
  { params: ['f64', 'f64', 'f32', 'i32', 'i32', 'i32', 'i64', 'i64', 'i64'], results: ['f64', 'i32'] },
];

export function denseModule(random: Random): Uint8Array {
  const patterns = random.below(2) === 0;
  const vectors = random.below(2) === 0;
  return new DenseModule(random, vectors, random.below(6) === 0).make(patterns);
}

interface Callee {
  readonly signature: Signature;
  /** Of its type, for a call through the table; -1: it is called by its own index. */
  readonly typeIndex: number;
  readonly index: number;
}

class DenseModule extends Expressions {
  readonly #types: Signature[] = [];
  readonly #functions: Signature[] = [];
  /** What exceptions of each tag carry; none: nothing throws. */
  readonly #tags: (readonly NumberType[])[] = [];
  /** Those of the function being made. */
  #results: readonly NumberType[] = [];
  #leaf = false;
  /** Functions often have the same results, as a tail call needs it. */
  #commonResults: readonly NumberType[] = [];
  /** A global that the function looks at, and writes, more than at others. */
  #watched = 0;

  make(patterns: boolean): Uint8Array {
    const r = this.random;
    for (const s of IMPORTS) this.#typeIndex(s);
    this.#commonResults = this.#someTypes(3);
    if (!patterns && r.below(THROWING_ODDS) === 0)
      for (let n = 1 + r.below(MOST_TAGS); n > 0; n--)
        this.#tags.push(this.#someTypes(r.below(4) === 0 ? 8 : 2));
    const count = patterns ? PATTERNS : LEAVES + 1 + r.below(5);
    const bodies: number[][] = [];
    for (let i = 0; i < count; i++) {
      this.#functions.push(patterns ? { params: [], results: [] } : this.#signature());
      bodies.push(patterns ? this.#pattern(i) : this.#function(i));
    }
    const tagTypes = this.#tags.map(params => uleb(this.#typeIndex({ params, results: [] })));
    const functionTypes = this.#functions.map(s => uleb(this.#typeIndex(s)));
    const elements = Array.from({ length: TABLE_SIZE - 1 }, () => uleb(IMPORTS.length + r.below(LEAVES)));
    const globals = [...GLOBALS, 'i32' as const].map((type, i) => [
      TYPE_CODE[type],
      1,
      ...(i === FUEL_GLOBAL ? [Code.I32Const, ...sleb(FUEL)] : specialConstant(r, type)),
      Code.End,
    ]);
    const values = ALL_NUMBERS.flatMap(type =>
      Array.from({ length: VALUES }, () => {
        const bytes = specialBytes(r, type);
        return [...bytes, ...new Array<number>(STRIDE - bytes.length).fill(0)];
      }).flat(),
    );
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
      memory: [limits({ min: PAGES, max: PAGES + 2, index64: this.memory64 })],
      tag: tagTypes.map(type => [0, ...type]),
      global: globals,
      export: this.#functions.map((_, i) => exportEntry(`f${i}`, KIND.func, IMPORTS.length + i)),
      element: [[0, Code.I32Const, 0, Code.End, ...vector(elements)]],
      code: bodies,
      data: [[0, this.#addressConst, 0, Code.End, ...vector(values.map(b => [b]))]],
    });
  }

  get #addressConst(): number {
    return this.memory64 ? Code.I64Const : Code.I32Const;
  }

  #typeIndex(s: Signature): number {
    const found = this.#types.findIndex(t => `${t.params}:${t.results}` === `${s.params}:${s.results}`);
    return found >= 0 ? found : this.#types.push(s) - 1;
  }

  #someTypes(most: number): NumberType[] {
    return Array.from({ length: this.random.below(most + 1) }, () => this.random.pick(this.numbers));
  }

  #signature(): Signature {
    const r = this.random;
    const form = r.below(8);
    return {
      params: this.#someTypes(r.below(4) === 0 ? 14 : 4),
      results: form < 4 ? this.#commonResults : this.#someTypes(form === 4 ? 8 : 2),
    };
  }

  // ------------------------------------------------------------------------------------------------------------- functions

  #function(index: number): number[] {
    const r = this.random;
    this.chooseTaste();
    const { params, results } = this.#functions[index]!;
    this.#leaf = index < LEAVES;
    this.#results = results;
    this.#watched = r.below(GLOBALS.indexOf('v128'));
    this.traps = r.below(4) === 0;
    this.out = [];
    const huge = !this.#leaf && r.below(HUGE_ODDS) === 0;
    const locals = huge
      ? Array.from({ length: HUGE_LOCALS }, () => r.pick(this.numbers))
      : this.#someTypes(r.below(4) === 0 ? 30 : 8);
    this.locals = [...params, ...locals, ...this.numbers];
    this.counters.clear();
    this.labels = [];
    if (huge) this.budget = HUGE_BUDGET;
    else this.budget = this.#leaf ? 60 : Math.round(40 * 100 ** (r.u32() / 2 ** 32));
    if (!this.#leaf) this.#useFuel();
    while (this.budget > 0) this.#statement();
    if (r.below(2) === 0) this.#saveLocals(index);
    if (r.below(4) !== 0 || !this.#tailCall()) for (const type of results) this.expression(type, 3);
    return this.#body(params.length);
  }

  /** What locals hold at the end is left in memory, to be compared. */
  #saveLocals(index: number): void {
    this.locals.forEach((type, i) => {
      this.out.push(this.#addressConst, 0, Code.LocalGet, ...uleb(i), ...FULL_STORE[type], 0);
      this.out.push(...uleb(SAVED + STRIDE * (SAVED_LOCALS * index + (i % SAVED_LOCALS))));
    });
  }

  #useFuel(): void {
    const fuel = [Code.GlobalGet, FUEL_GLOBAL];
    this.out.push(...fuel, 0x45, Code.If, 0x40, Code.Unreachable, Code.End);
    this.out.push(...fuel, Code.I32Const, 1, 0x6b, Code.GlobalSet, FUEL_GLOBAL);
  }

  /**
   * For all pairs of a row and a column of the tables of values, an expression of some of them; its results are stored
   * side by side.
   */
  #pattern(index: number): number[] {
    const r = this.random;
    this.chooseTaste();
    this.out = [];
    this.traps = false;
    this.labels = [];
    this.counters.clear();
    for (const counter of [0, 1, 2]) this.counters.add(counter);
    // Row, column, place of the result; then a value of each type from the row, and from the column.
    const word = this.memory64 ? 'i64' : 'i32';
    this.locals = [word, word, word, ...this.numbers, ...this.numbers];
    this.budget = 1 + r.below(10);
    const result = r.pick(this.numbers);
    const [add, less] = this.memory64 ? [0x7c, 0x54] : [0x6a, 0x49];
    const load = (counter: number, first: number): void => {
      this.numbers.forEach((type, i) => {
        this.out.push(Code.LocalGet, counter, ...FULL_LOAD[type], 0, ...uleb(i * VALUES * STRIDE));
        this.out.push(Code.LocalSet, first + i);
      });
    };
    const advance = (counter: number): void => {
      this.out.push(Code.LocalGet, counter, this.#addressConst, STRIDE, add, Code.LocalTee, counter);
    };
    const repeat = (): void => {
      this.out.push(this.#addressConst, ...sleb(VALUES * STRIDE), less, Code.BrIf, 0, Code.End);
    };
    const place = SAVED + index * VALUES * VALUES * STRIDE;
    this.out.push(this.#addressConst, ...sleb(place), Code.LocalSet, 2);
    this.out.push(Code.Loop, 0x40);
    load(0, 3);
    this.out.push(this.#addressConst, 0, Code.LocalSet, 1, Code.Loop, 0x40);
    load(1, 3 + this.numbers.length);
    this.labels.push(false, false);
    this.out.push(Code.LocalGet, 2);
    this.expression(result, 1 + r.below(4));
    this.out.push(...FULL_STORE[result], 0, 0);
    advance(2);
    this.out.push(Code.Drop);
    advance(1);
    repeat();
    advance(0);
    repeat();
    return this.#body(0);
  }

  #body(params: number): number[] {
    const locals = this.locals.slice(params);
    const bytes = [...uleb(locals.length), ...locals.flatMap(t => [1, TYPE_CODE[t]]), ...this.out, Code.End];
    return [...uleb(bytes.length), ...bytes];
  }

  // ------------------------------------------------------------------------------------------------------------ statements

  #statements(most: number): void {
    for (let n = 1 + this.random.below(most); n > 0; n--) this.#statement();
  }

  #statement(): void {
    const r = this.random;
    this.budget--;
    const nested = this.labels.length < 6 && this.budget > 0;
    const form = r.below(3) === 0 ? this.favourite : r.below(STATEMENT_FORMS);
    if (form < 3) this.store();
    else if (form === 3) this.#setGlobal();
    else if (form === 4) this.#call();
    else if (form === 5) this.#branch();
    else if (form === 6 && r.below(3) === 0) this.bulk();
    else if (form === 7 && nested) this.#ifElse();
    else if (form === 8 && nested && !this.#leaf) this.#loop();
    else if (form === 9 && nested) this.#leavableBlock();
    else if (form === 10 && nested && r.below(2) === 0) this.#switch();
    else if (form === 11 && nested) this.#multiBlock();
    else if (form === 12 && nested && this.#tags.length > 0) this.#tryTable();
    else if (form === 13 && nested && this.#tags.length > 0) this.#throwIf();
    else this.#setLocal();
  }

  #setGlobal(): void {
    const r = this.random;
    const used = GLOBALS.flatMap((t, i) => (this.numbers.includes(t) ? [i] : []));
    const g = r.below(2) === 0 ? this.#watched : r.pick(used);
    this.expression(GLOBALS[g]!, 4);
    this.out.push(Code.GlobalSet, g);
  }

  #watch(): void {
    if (this.random.below(2) === 0) return;
    const local = this.writable(GLOBALS[this.#watched]!);
    this.out.push(Code.GlobalGet, this.#watched, Code.LocalSet, ...uleb(local));
  }

  #setLocal(): void {
    const type = this.random.pick(this.numbers);
    this.expression(type, 6);
    this.out.push(Code.LocalSet, ...uleb(this.writable(type)));
  }

  /** From the operand stack into locals. */
  #takeResults(types: readonly NumberType[]): void {
    for (const type of [...types].reverse()) {
      if (this.random.below(6) === 0) this.out.push(Code.Drop);
      else this.out.push(Code.LocalSet, ...uleb(this.writable(type)));
    }
  }

  #callees(): Callee[] {
    const imports = IMPORTS.map((signature, index) => ({ signature, typeIndex: -1, index }));
    if (this.#leaf) return imports;
    const direct = this.#functions
      .slice(0, -1)
      .map((signature, i) => ({ signature, typeIndex: -1, index: IMPORTS.length + i }));
    const indirect = this.#functions
      .slice(0, LEAVES)
      .map(signature => ({ signature, typeIndex: this.#typeIndex(signature), index: -1 }));
    return [...imports, ...direct, ...indirect];
  }

  #call(): void {
    const callee = this.random.pick(this.#callees());
    this.#callTo(callee, Code.Call, Code.CallIndirect);
    this.#takeResults(callee.signature.results);
  }

  /** Whether there was something to call in place of returning. */
  #tailCall(): boolean {
    const fits = this.#callees().filter(c => `${c.signature.results}` === `${this.#results}`);
    if (fits.length === 0) return false;
    this.#callTo(this.random.pick(fits), RETURN_CALL, RETURN_CALL_INDIRECT);
    return true;
  }

  #callTo({ signature, typeIndex, index }: Callee, direct: number, indirect: number): void {
    for (const type of signature.params) this.expression(type, 3);
    this.budget--;
    if (typeIndex < 0) {
      this.out.push(direct, ...uleb(index));
      return;
    }
    this.expression('i32', 2);
    if (!this.traps || this.random.below(4) !== 0) this.out.push(Code.I32Const, 3, 0x71);
    this.out.push(indirect, ...uleb(typeIndex), 0);
  }

  #ifElse(): void {
    this.condition();
    this.out.push(Code.If, 0x40);
    this.labels.push(true);
    this.#statements(4);
    if (this.random.below(2) === 0) {
      this.out.push(Code.Else);
      this.#statements(4);
    }
    this.labels.pop();
    this.out.push(Code.End);
  }

  #loop(): void {
    const r = this.random;
    const counter = this.locals.length;
    const wide = r.below(4) === 0;
    this.locals.push(wide ? 'i64' : 'i32');
    this.counters.add(counter);
    const [constant, add, less] = wide ? [Code.I64Const, 0x7c, 0x54] : [Code.I32Const, 0x6a, 0x49];
    const start = r.below(4) === 0 ? -r.below(5) : 0;
    this.out.push(constant, ...sleb(start), Code.LocalSet, ...uleb(counter));
    this.#watch();
    this.out.push(Code.Loop, 0x40);
    this.labels.push(false);
    this.#useFuel();
    this.#watch();
    this.#statements(5);
    if (r.below(3) === 0) this.#setGlobal();
    this.out.push(Code.LocalGet, ...uleb(counter), constant, ...sleb(1 + r.below(3)), add);
    this.out.push(Code.LocalTee, ...uleb(counter), constant, ...sleb(1 + r.below(12)), less);
    this.out.push(Code.BrIf, 0, Code.End);
    this.labels.pop();
  }

  #leavableBlock(): void {
    this.out.push(Code.Block, 0x40);
    this.labels.push(true);
    this.#statements(3);
    this.condition();
    this.out.push(Code.BrIf, 0);
    this.#statements(3);
    this.labels.pop();
    this.out.push(Code.End);
  }

  /** A block in a block …, and at the heart a br_table. */
  #switch(): void {
    const r = this.random;
    const cases = 1 + r.below(r.below(4) === 0 ? 12 : 4);
    const entries = r.below(3) === 0 ? 30 : cases + 1;
    for (let i = 0; i <= cases; i++) {
      this.out.push(Code.Block, 0x40);
      this.labels.push(true);
    }
    this.expression('i32', 3);
    if (r.below(2) === 0) this.out.push(Code.I32Const, ...sleb(31), 0x71);
    this.out.push(Code.BrTable, ...uleb(entries));
    for (let i = 0; i <= entries; i++) this.out.push(...uleb(r.below(cases + 1)));
    for (let i = 0; i <= cases; i++) {
      this.labels.pop();
      this.out.push(Code.End);
      if (r.below(3) !== 0) this.#statement();
      if (i < cases && r.below(2) === 0) this.out.push(Code.Br, ...uleb(cases - 1 - i));
    }
  }

  /** A block or a conditional with parameters and results. */
  #multiBlock(): void {
    const r = this.random;
    const type: Signature = { params: this.#someTypes(3), results: this.#someTypes(5) };
    for (const t of type.params) this.expression(t, 3);
    const conditional = r.below(2) === 0;
    if (conditional) this.condition();
    this.out.push(conditional ? Code.If : Code.Block, ...sleb(this.#typeIndex(type)));
    this.labels.push(false);
    const arm = (): void => {
      this.#takeResults(type.params);
      this.#statements(2);
      for (const t of type.results) this.expression(t, 3);
      if (r.below(2) === 0) {
        this.condition();
        this.out.push(Code.BrIf, 0);
      }
    };
    arm();
    if (conditional) {
      this.out.push(Code.Else);
      arm();
    }
    this.labels.pop();
    this.out.push(Code.End);
    this.#takeResults(type.results);
  }

  #throw(): void {
    const tag = this.random.below(this.#tags.length);
    for (const type of this.#tags[tag]!) this.expression(type, 3);
    this.out.push(Code.Throw, tag);
  }

  #throwIf(): void {
    this.condition();
    this.out.push(Code.If, 0x40);
    this.labels.push(true);
    if (this.random.below(2) === 0) this.#statement();
    this.#throw();
    if (this.random.below(3) === 0) this.#setLocal();
    this.labels.pop();
    this.out.push(Code.End);
  }

  /** A block for what comes after, one for what a clause brings, and in it the sequence with handlers. */
  #tryTable(): void {
    const r = this.random;
    const caught = r.below(this.#tags.length);
    const brought = this.#tags[caught]!;
    this.out.push(Code.Block, 0x40, Code.Block, ...sleb(this.#typeIndex({ params: [], results: brought })));
    this.labels.push(true, false);
    // Labels from outside of the try_table that take nothing.
    const free = this.labels.flatMap((leavable, i) => (leavable ? [this.labels.length - 1 - i] : []));
    const clauses: number[][] = [];
    const empty = this.#tags.flatMap((params, i) => (params.length === 0 ? [i] : []));
    if (empty.length > 0 && r.below(3) === 0) clauses.push([0, r.pick(empty), ...uleb(r.pick(free))]);
    clauses.push([0, caught, 0]);
    if (r.below(3) === 0) clauses.push([2, ...uleb(r.pick(free))]);
    if (r.below(4) === 0) clauses.reverse();
    this.out.push(Code.TryTable, 0x40, ...vector(clauses));
    this.labels.push(true);
    this.#statements(4);
    if (r.below(3) === 0) this.#throwIf();
    if (r.below(3) === 0) this.#call();
    if (r.below(6) === 0) this.#throw();
    this.labels.pop();
    this.out.push(Code.End, Code.Br, 1);
    this.labels.pop();
    this.out.push(Code.End);
    this.#takeResults(brought);
    this.#statements(2);
    this.labels.pop();
    this.out.push(Code.End);
  }

  /** Out of some block, or out of the function. */
  #branch(): void {
    const r = this.random;
    const targets = this.labels.flatMap((leavable, i) => (leavable ? [this.labels.length - 1 - i] : []));
    if (targets.length > 0 && r.below(4) !== 0) {
      this.condition();
      this.out.push(Code.BrIf, ...uleb(r.pick(targets)));
      return;
    }
    if (this.labels.length === 0) return;
    this.condition();
    this.out.push(Code.If, 0x40);
    if (this.traps && r.below(4) === 0) {
      this.out.push(Code.Unreachable);
    } else if (r.below(3) !== 0 || !this.#tailCall()) {
      for (const type of this.#results) this.expression(type, 2);
      this.out.push(Code.Return);
    }
    // Behind it nothing is reached.
    if (r.below(3) === 0) this.#setLocal();
    this.out.push(Code.End);
  }
}
