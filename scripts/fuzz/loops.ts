/**
 * Random modules of counted loops over arrays, as compilers write them: one block that does the same to consecutive
 * elements, unrolled or not, by index, by byte offset or by pointers that move, upwards or downwards; arrays may have
 * elements of different sizes, or structures of two or three of which one is taken; elements may want what the one
 * before had, or their number. The arrays may overlap, end where the memory ends, or begin where nothing is; indices
 * may go past 2^31 or 2^32. Arrays may have their address and their length in memory. Loops have their test at the
 * bottom or at the top, and may stand in others. What is not quite such a loop (an element that differs, a step that
 * does not fit, a float that is summed up, a value that depends on its predecessor) is made now and then, too.
 */
import { Code, OPCODES } from '../../compiler/wasm/opcodes.ts';
import {
  body,
  exportEntry,
  functionType,
  KIND,
  limits,
  moduleBytes,
  sleb,
  uleb,
  vector,
} from '../../runtime/wasm-writer.ts';
import { codeBytes } from './operators.ts';
import type { Random } from './random.ts';

const FUNCTIONS = 24;
/** Bytes at the start and at the end of memory that are not zero. */
const FILLED = 6000;
const PAGE = 65536;

type ElementType = 'i32' | 'i64' | 'f32' | 'f64';

/** How values of a type come out of elements of a size: a load, and what is done to what it yields. */
type Loads = Readonly<Partial<Record<number, readonly (readonly string[])[]>>>;

/**
 * What a loop computes: type of its values, bytes of an element, and how values are loaded and stored by size of
 * element.
 */
interface Elements {
  readonly type: ElementType;
  readonly size: number;
  readonly loads: Loads;
  readonly stores: Readonly<Partial<Record<number, string>>>;
}

const LOADS: Readonly<Record<ElementType, Loads>> = {
  i32: {
    1: [['i32.load8_u'], ['i32.load8_u'], ['i32.load8_s']],
    2: [['i32.load16_u'], ['i32.load16_s'], ['i32.load8_u'], ['i32.load8_s']],
    4: [
      ...[['i32.load'], ['i32.load'], ['i32.load'], ['i32.load16_u'], ['i32.load16_s'], ['i32.load8_s']],
      ...[
        ['f32.load', 'i32.trunc_sat_f32_s'],
        ['f32.load', 'i32.trunc_sat_f32_u'],
      ],
      ['f32.load', 'i32.reinterpret_f32'],
    ],
    8: [['i64.load', 'i32.wrap_i64']],
  },
  i64: {
    1: [['i64.load8_u'], ['i64.load8_s'], ['i32.load8_u', 'i64.extend_i32_u']],
    2: [['i64.load16_u'], ['i64.load16_s'], ['i32.load16_s', 'i64.extend_i32_s']],
    4: [
      ...[['i64.load32_u'], ['i64.load32_s'], ['i64.load16_u']],
      ...[
        ['i32.load', 'i64.extend_i32_s'],
        ['i32.load', 'i64.extend_i32_u'],
      ],
    ],
    8: [['i64.load'], ['i64.load'], ['i64.load32_u']],
  },
  f32: {
    1: [['i32.load8_u', 'f32.convert_i32_u']],
    2: [['i32.load16_s', 'f32.convert_i32_s']],
    4: [['f32.load'], ['f32.load'], ['i32.load', 'f32.convert_i32_s'], ['i32.load', 'f32.convert_i32_u']],
    8: [['f64.load', 'f32.demote_f64']],
  },
  f64: {
    1: [['i32.load8_s', 'f64.convert_i32_s']],
    2: [['i32.load16_u', 'f64.convert_i32_u']],
    4: [
      ['f32.load', 'f64.promote_f32'],
      ['i32.load', 'f64.convert_i32_s'],
      ['i32.load', 'f64.convert_i32_u'],
    ],
    8: [['f64.load']],
  },
};
const STORES: Readonly<Record<ElementType, Elements['stores']>> = {
  i32: { 1: 'i32.store8', 2: 'i32.store16', 4: 'i32.store' },
  i64: { 4: 'i64.store32', 8: 'i64.store' },
  f32: { 4: 'f32.store' },
  f64: { 8: 'f64.store' },
};

const ELEMENTS: readonly Elements[] = (
  [
    ['i32', 1],
    ['i32', 2],
    ['i32', 4],
    ['i64', 8],
    ['f32', 4],
    ['f64', 8],
  ] as const
).map(([type, size]) => ({ type, size, loads: LOADS[type], stores: STORES[type] }));

const CODES = new Map(OPCODES.filter(o => o !== undefined).map(o => [o.name, o.code]));

function op(name: string): number[] {
  const code = CODES.get(name);
  if (code === undefined) throw new Error(`no operator ${name}`);
  return codeBytes(code);
}

const BINARY: Readonly<Record<ElementType, readonly string[]>> = {
  i32: ['add', 'add', 'sub', 'mul', 'and', 'or', 'xor'],
  i64: ['add', 'add', 'sub', 'and', 'or', 'xor', 'mul'],
  f32: ['add', 'add', 'sub', 'mul', 'mul', 'div', 'min', 'max'],
  f64: ['add', 'add', 'sub', 'mul', 'mul', 'div', 'min', 'max'],
};
const UNARY: Readonly<Record<ElementType, readonly string[]>> = {
  i32: ['extend8_s', 'extend16_s'],
  i64: [],
  f32: ['neg', 'abs', 'sqrt', 'ceil', 'floor', 'trunc', 'nearest'],
  f64: ['neg', 'abs', 'sqrt', 'ceil', 'floor', 'trunc', 'nearest'],
};
const INTEGER_COMPARISONS = ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u'];
const FLOAT_COMPARISONS = ['eq', 'ne', 'lt', 'gt', 'le', 'ge'];

// Parameters and locals.
const POINTERS = [0, 1, 2];
const COUNT = 3;
const SCALAR = 4;
const INDEX = 5;
const FIRST = { i32: 6, i64: 7, f32: 8, f64: 9 } as const;
const GATHERED = { i32: 10, i64: 11, f32: 12, f64: 13 } as const;
const LAST = { i32: 14, i64: 15, f32: 16, f64: 17 } as const;
/** What the element before had. */
const HANDED = { i32: [18, 19], i64: [20, 21], f32: [22, 23], f64: [24, 25] } as const;
/** Sums beside the elements, whatever type these have. */
const BESIDE = { i32: 26, i64: 27 } as const;
/** Rounds of an outer loop, and the count for each. */
const OUTER = 28;
const SAVED = 29;
const LOCALS = [
  'i32',
  'i32',
  'i64',
  'f32',
  'f64',
  'i32',
  'i64',
  'f32',
  'f64',
  'i32',
  'i64',
  'f32',
  'f64',
  ...(['i32', 'i32', 'i64', 'i64', 'f32', 'f32', 'f64', 'f64'] as const),
  ...(['i32', 'i64', 'i32', 'i32'] as const),
] as const;

/** Code of an element's value, given its number in the iteration. */
type Expression = (lane: number) => number[];

/**
 * @param raw the arguments are addresses and the count as they are; else they are brought close to where something is
 */
export function loopsModule(random: Random, raw = false): Uint8Array {
  return new LoopsModule(random, raw).make();
}

class LoopsModule {
  readonly #random: Random;
  readonly #raw: boolean;
  #elements: Elements = ELEMENTS[0]!;
  #lanes = 1;
  /** How an element is addressed. */
  #byIndex = false;
  #inOffset = false;
  #moving = false;
  /** Bytes of an element of each array. */
  #pitches: number[] = [];
  /** Elements of each array that an element of the loop goes ahead. */
  #gaps: number[] = [];
  /** Whether an array's address lies in memory itself, as that of an object's elements. */
  #indirect: boolean[] = [];
  /** Whether elements go downwards. */
  #reversed = false;
  /** Locals for what is handed on that are used. */
  #handed = 0;
  /** Whether memory is accessed: it ends by a trap then, whatever the count is. */
  #accesses = false;

  constructor(random: Random, raw: boolean) {
    this.#random = random;
    this.#raw = raw;
  }

  make(): Uint8Array {
    const r = this.#random;
    const bytes = (): number[] =>
      Array.from({ length: FILLED }, () => (r.below(3) === 0 ? r.below(4) : r.below(256)));
    const bodies = Array.from({ length: FUNCTIONS }, () => this.#function());
    const data = (at: number, content: readonly number[]): number[] => [
      ...[0, Code.I32Const, ...sleb(at), Code.End],
      ...vector(content.map(b => [b])),
    ];
    return moduleBytes({
      type: [functionType(['i32', 'i32', 'i32', 'i32', 'i32'], ['i64'])],
      function: bodies.map(() => [0]),
      memory: [limits({ min: 1, max: 1 })],
      export: [
        ...bodies.map((_, i) => exportEntry(`f${i}`, KIND.func, i)),
        exportEntry('memory', KIND.memory, 0),
      ],
      code: bodies,
      data: [data(0, bytes()), data(PAGE - FILLED, bytes())],
    });
  }

  #chance(n: number): boolean {
    return this.#random.below(n) === 0;
  }

  #function(): number[] {
    const r = this.#random;
    this.#elements = r.pick(ELEMENTS);
    const { type, size } = this.#elements;
    this.#lanes = r.pick([1, 1, 2, 2, 4, 4, 8, 16]);
    this.#byIndex = this.#chance(2);
    this.#inOffset = this.#chance(2);
    this.#moving = !this.#byIndex && this.#chance(2);
    this.#pitches = POINTERS.map(() =>
      (this.#byIndex || this.#moving) && this.#chance(4) ? r.pick([1, 2, 4, 8]) : size,
    );
    this.#gaps = POINTERS.map(() => (this.#chance(7) ? r.pick([2, 2, 2, 3]) : 1));
    this.#indirect = POINTERS.map(() => !this.#moving && this.#chance(10));
    this.#reversed = this.#chance(4);
    this.#handed = 0;
    const code = this.#raw ? [] : this.#arguments();
    // Scalars of each type from the last argument.
    code.push(Code.LocalGet, SCALAR, Code.LocalSet, FIRST.i32);
    code.push(Code.LocalGet, SCALAR, ...op('i64.extend_i32_s'), Code.LocalSet, FIRST.i64);
    code.push(Code.LocalGet, SCALAR, ...op('f32.convert_i32_s'), Code.LocalSet, FIRST.f32);
    code.push(Code.LocalGet, SCALAR, ...op('f64.convert_i32_s'), Code.LocalSet, FIRST.f64);
    for (const local of [GATHERED[type], ...HANDED[type]])
      code.push(Code.LocalGet, FIRST[type], Code.LocalSet, local);
    if (this.#chance(3)) {
      // As compilers begin: with the element in front.
      const load = r.pick(LOADS[type][size]!);
      code.push(Code.LocalGet, r.below(3), ...op(load[0]!), 0, 0, ...load.slice(1).flatMap(op));
      code.push(Code.LocalSet, r.pick(HANDED[type]));
    }
    // The loop counts elements, bytes, or iterations.
    const stride = this.#lanes * size;
    const downwards = this.#chance(4);
    const nested = this.#chance(5);
    const unit = this.#moving ? r.pick([1, this.#lanes]) : this.#byIndex ? this.#lanes : stride;
    if (unit > 1) code.push(Code.LocalGet, COUNT, ...this.#int(unit), ...op('i32.mul'), Code.LocalSet, COUNT);
    if (nested) {
      code.push(...this.#int(3), Code.LocalSet, OUTER, Code.LocalGet, COUNT, Code.LocalSet, SAVED);
      code.push(Code.Loop, 0x40, Code.LocalGet, SAVED, Code.LocalSet, COUNT);
    }
    if (!this.#moving && this.#reversed) {
      // From the last one on.
      code.push(...[Code.LocalGet, COUNT, ...this.#int(r.pick([0, 1, unit])), ...op('i32.sub')]);
      code.push(
        ...[Code.LocalSet, INDEX, ...this.#int(r.pick([0, 0, -1, unit, -unit])), Code.LocalSet, COUNT],
      );
    } else if (!this.#moving && !this.#byIndex && downwards) {
      // From -n to 0, as LLVM does it: what is added before makes up for it.
      code.push(...this.#int(0), Code.LocalGet, COUNT, ...op('i32.sub'), Code.LocalSet, INDEX);
      for (const p of POINTERS)
        code.push(Code.LocalGet, p, Code.LocalGet, COUNT, ...op('i32.add'), Code.LocalSet, p);
      code.push(...this.#int(0), Code.LocalSet, COUNT);
    } else if (this.#chance(3)) {
      code.push(...this.#int(this.#chance(2) ? r.below(3) : -r.below(20)), Code.LocalSet, INDEX);
    } else if (this.#chance(6)) {
      // Past the largest number with a sign, or without: multiplied by an element's size that may be somewhere again.
      const start = this.#int(r.pick([2 ** 30, 2 ** 31, -(2 ** 30), 0]) - r.below(40));
      code.push(...start, Code.LocalTee, INDEX, Code.LocalGet, COUNT, ...op('i32.add'), Code.LocalSet, COUNT);
    }
    code.push(...this.#loop(unit, downwards && this.#moving));
    if (nested) {
      for (const p of POINTERS)
        code.push(
          ...[Code.LocalGet, p, ...this.#int(r.pick([0, 0, 1, size, 16, -size, 64]))],
          ...[...op('i32.add'), Code.LocalSet, p],
        );
      code.push(Code.LocalGet, OUTER, ...this.#int(1), ...op('i32.sub'), Code.LocalTee, OUTER);
      code.push(Code.BrIf, 0, Code.End);
    }
    // What is left when the loop ends.
    code.push(...this.#bits(type, LAST[type]), ...this.#bits(type, GATHERED[type]), ...op('i64.xor'));
    for (const local of HANDED[type])
      code.push(...this.#long(5), ...op('i64.mul'), ...this.#bits(type, local), ...op('i64.xor'));
    code.push(Code.LocalGet, INDEX, ...op('i64.extend_i32_u'), ...op('i64.add'));
    code.push(...this.#bits('i32', BESIDE.i32), Code.LocalGet, BESIDE.i64, ...op('i64.sub'));
    code.push(...this.#long(7), ...op('i64.mul'), ...op('i64.add'));
    code.push(
      Code.LocalGet,
      0,
      ...op('i64.extend_i32_u'),
      ...this.#long(3),
      ...op('i64.mul'),
      ...op('i64.add'),
    );
    return body(LOCALS, code);
  }

  #bits(type: ElementType, local: number): number[] {
    const get = [Code.LocalGet, local];
    switch (type) {
      case 'i32':
        return [...get, ...op('i64.extend_i32_u')];
      case 'i64':
        return get;
      case 'f32':
        return [...get, ...op('i32.reinterpret_f32'), ...op('i64.extend_i32_u')];
      case 'f64':
        return [...get, ...op('i64.reinterpret_f64')];
    }
  }

  #int(n: number): number[] {
    return [Code.I32Const, ...sleb(n | 0)];
  }
  #long(n: number): number[] {
    return [Code.I64Const, ...sleb(n)];
  }

  /** Bring arguments to where something is. */
  #arguments(): number[] {
    const r = this.#random;
    const out: number[] = [];
    const span = r.pick([15, 63, 255, 4095]);
    const place = r.below(4);
    for (const p of POINTERS) {
      out.push(Code.LocalGet, p, ...this.#int(span), ...op('i32.and'));
      // Some next to each other, some far; at the start, at the end, around 0.
      if (place === 1) out.push(...this.#int(PAGE - r.below(2000)), ...op('i32.add'));
      if (place === 2) out.push(...this.#int(p * 1500), ...op('i32.add'));
      if (place === 3 && this.#chance(3)) out.push(...this.#int(-r.below(200)), ...op('i32.add'));
      out.push(Code.LocalSet, p);
    }
    if (!this.#chance(6))
      out.push(
        Code.LocalGet,
        COUNT,
        ...this.#int(r.pick([7, 63, 255])),
        ...op('i32.and'),
        Code.LocalSet,
        COUNT,
      );
    return out;
  }

  /** With its test at the end of an iteration, or, as AssemblyScript has it, at the start. */
  #loop(unit: number, downwards: boolean): number[] {
    const { step, value, comparison } = this.#round(unit, downwards);
    const iteration = this.#iteration();
    if (this.#chance(3)) {
      const test = [...value, ...comparison, ...op('i32.eqz'), Code.BrIf, 1];
      return [
        ...[Code.Block, 0x40, Code.Loop, 0x40, ...test],
        ...[...iteration, ...step, Code.Br, 0, Code.End, Code.End],
      ];
    }
    // Compared before it goes up (or down) or after.
    const goOn = this.#chance(4) ? [...value, ...step] : [...step, ...value];
    return [Code.Loop, 0x40, ...iteration, ...goOn, ...comparison, Code.BrIf, 0, Code.End];
  }

  /** The step; what is counted; and what makes it a condition for another iteration. */
  #round(unit: number, downwards: boolean): { step: number[]; value: number[]; comparison: number[] } {
    const r = this.#random;
    const out: number[] = [];
    if (this.#moving) {
      POINTERS.forEach((p, i) => {
        const step = this.#lanes * this.#pitches[i]! * this.#gaps[i]! * (this.#reversed ? -1 : 1);
        out.push(Code.LocalGet, p, ...this.#int(step), ...op('i32.add'), Code.LocalSet, p);
      });
    }
    if (downwards) {
      // The count itself, down to 0 (or past it, if it does not fit).
      out.push(Code.LocalGet, COUNT, ...this.#int(unit), ...op('i32.sub'), Code.LocalSet, COUNT);
      const positive = [...this.#int(0), ...op(`i32.${r.pick(['ne', 'gt_s', 'gt_u'])}`)];
      return { step: out, value: [Code.LocalGet, COUNT], comparison: this.#chance(2) ? positive : [] };
    }
    const isDown = this.#reversed && !this.#moving;
    out.push(Code.LocalGet, INDEX, ...this.#int(isDown ? -unit : unit), ...op('i32.add'));
    out.push(Code.LocalSet, INDEX);
    const relation = r.pick(
      isDown
        ? ['ne', 'gt_s', 'gt_s', 'gt_u', 'ge_s', 'ge_s', 'ge_u', 'eq', 'le_s', 'lt_u']
        : ['ne', 'ne', 'lt_s', 'lt_u', 'le_s', 'le_u', 'eq', 'ge_s', 'ge_u'],
    );
    // An array may have its length in memory.
    const limit = this.#chance(10) ? this.#byte(r.below(3)) : [Code.LocalGet, COUNT];
    const comparison = [...limit, ...op(`i32.${relation}`)];
    if (relation === 'eq' || relation.startsWith(isDown ? 'l' : 'ge')) comparison.push(...op('i32.eqz'));
    return { step: out, value: [Code.LocalGet, INDEX], comparison };
  }

  /** Address of an element of an array, and the offset that goes into the access. @param member of a structure */
  #address(array: number, lane: number, shift: number, member: number): { code: number[]; offset: number } {
    const gap = this.#gaps[array]!;
    const size = this.#pitches[array]! * gap;
    const out = this.#indirect[array] ? this.#byte(array) : [Code.LocalGet, POINTERS[array]!];
    const ahead = (this.#reversed ? this.#lanes - 1 - lane : lane) + shift;
    const distance = ahead * size + member * this.#pitches[array]!;
    if (!this.#moving) {
      if (this.#byIndex && !this.#inOffset && distance !== 0 && member === 0) {
        out.push(Code.LocalGet, INDEX, ...this.#int(ahead), ...op('i32.add'));
        out.push(...this.#times(size), ...op('i32.add'));
        return { code: out, offset: 0 };
      }
      out.push(Code.LocalGet, INDEX, ...this.#times(this.#byIndex ? size : gap), ...op('i32.add'));
    }
    if (this.#inOffset) return { code: out, offset: distance };
    if (distance !== 0) out.push(...this.#int(distance), ...op('i32.add'));
    return { code: out, offset: 0 };
  }

  /** What lies at an array's address. */
  #byte(array: number): number[] {
    return [Code.LocalGet, POINTERS[array]!, ...op('i32.load8_u'), 0, ...uleb(4)];
  }

  #times(n: number): number[] {
    if (n === 1) return [];
    const shift = 31 - Math.clz32(n);
    return n === 2 ** shift ? [...this.#int(shift), ...op('i32.shl')] : [...this.#int(n), ...op('i32.mul')];
  }

  /** Which element of an array's structures. */
  #member(array: number): number {
    return this.#random.below(this.#gaps[array]!);
  }

  /** The same for each element, but for a slip now and then. */
  #iteration(): number[] {
    const r = this.#random;
    const { type, size } = this.#elements;
    const statements: Expression[] = [];
    const array = r.below(3);
    const value = this.#value(3);
    const member = this.#member(array);
    if (!this.#chance(4)) {
      statements.push(lane => {
        const { code, offset } = this.#address(array, lane, 0, member);
        return [
          ...code,
          ...value(lane),
          Code.LocalTee,
          LAST[type],
          ...this.#store(array),
          0,
          ...uleb(offset),
        ];
      });
    }
    if (this.#chance(4) || (this.#gaps[array] !== 1 && this.#chance(2))) {
      const other = this.#gaps[array] !== 1 ? array : r.below(3);
      const place = other === array ? (member + 1) % this.#gaps[array]! : this.#member(other);
      const more = this.#value(2);
      statements.push(lane => {
        const { code, offset } = this.#address(other, lane, 0, place);
        return [...code, ...more(lane), ...this.#store(other), 0, ...uleb(offset)];
      });
    }
    const stores = statements.length;
    if (stores === 0 || (size >= 4 && this.#chance(4))) {
      this.#accesses = stores > 0;
      const gathered = this.#gathering(this.#value(2));
      statements.push(gathered);
    }
    if (this.#chance(6)) statements.push(this.#beside());
    if (stores === 0 && !this.#accesses) {
      const { code, offset } = this.#address(array, 0, 0, 0);
      statements.push(lane =>
        lane === 0 ? [...code, ...op('i32.load8_u'), 0, ...uleb(offset), Code.Drop] : [],
      );
    }
    const order = Array.from({ length: this.#lanes }, (_, k) => k);
    if (this.#chance(8)) order.reverse();
    if (this.#chance(2)) return statements.flatMap(s => order.flatMap(lane => s(lane)));
    return order.flatMap(lane => statements.flatMap(s => s(lane)));
  }

  /** To elements of an array; of a size that has no such store: to those of another one. */
  #store(array: number): number[] {
    const { stores, size } = this.#elements;
    return op(stores[this.#pitches[array]!] ?? stores[size]!);
  }

  #gathering(value: Expression): Expression {
    const { type } = this.#elements;
    const local = GATHERED[type];
    const isFloat = type === 'f32' || type === 'f64';
    if (!isFloat && this.#chance(2)) {
      const relation = op(`${type}.${this.#random.pick(['lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'ge_u'])}`);
      return lane => [
        ...[Code.LocalGet, local, ...value(lane), Code.LocalTee, LAST[type], Code.LocalGet, local],
        ...[Code.LocalGet, LAST[type], ...relation, Code.Select, Code.LocalSet, local],
      ];
    }
    const name = isFloat ? 'add' : this.#random.pick(['add', 'add', 'sub', 'xor', 'or', 'and']);
    return lane => [Code.LocalGet, local, ...value(lane), ...op(`${type}.${name}`), Code.LocalSet, local];
  }

  /** A sum of what need not be of the elements' type. */
  #beside(): Expression {
    const r = this.#random;
    const type = r.pick(['i32', 'i64'] as const);
    const wide = type === 'i64' ? op('i64.extend_i32_s') : [];
    const array = r.below(3);
    const member = this.#member(array);
    const load = op(r.pick(['i32.load8_u', 'i32.load8_s', 'i32.load16_u', 'i32.load']));
    const by = this.#int(r.pick([1, 3, -1]));
    const value = r.pick<Expression>([
      () => [Code.LocalGet, SCALAR],
      lane => [Code.LocalGet, INDEX, ...this.#int(lane), ...op('i32.add'), ...by, ...op('i32.mul')],
      lane => {
        const { code, offset } = this.#address(array, lane, 0, member);
        return [...code, ...load, 0, ...uleb(offset)];
      },
    ]);
    const code = op(`${type}.${r.pick(['add', 'sub', 'xor', 'or'])}`);
    const local = BESIDE[type];
    return lane => [Code.LocalGet, local, ...value(lane), ...wide, ...code, Code.LocalSet, local];
  }

  /** The element's number, or something of it, as a value. */
  #number(): Expression {
    const { type } = this.#elements;
    const by = this.#random.pick([1, 1, 2, 3, -1, 1000]);
    const conversion = {
      i32: [],
      i64: op('i64.extend_i32_u'),
      f32: op('f32.convert_i32_s'),
      f64: op('f64.convert_i32_s'),
    };
    return lane => [
      ...[Code.LocalGet, INDEX, ...this.#int(lane), ...op('i32.add')],
      ...[...this.#int(by), ...op('i32.mul'), ...conversion[type]],
    ];
  }

  #constant(): number[] {
    const r = this.#random;
    const n = r.pick([0, 1, 2, 3, 7, 15, 127, 128, 254, 255, 0x7fff, 0xffff, -1, -128, r.below(100000)]);
    switch (this.#elements.type) {
      case 'i32':
        return this.#int(n);
      case 'i64':
        return this.#long(n);
      case 'f32':
        return [...this.#int(n), ...op('f32.convert_i32_s')];
      case 'f64':
        return [...this.#int(n), ...op('f64.convert_i32_s')];
    }
  }

  #value(depth: number): Expression {
    const r = this.#random;
    const { type, loads, size } = this.#elements;
    const isFloat = type === 'f32' || type === 'f64';
    if (depth === 0 || this.#chance(8)) {
      if (this.#chance(5)) {
        const constant = this.#constant();
        // One that differs from the others, in one of so many.
        const slip = this.#chance(12) ? r.below(this.#lanes) : -1;
        const another = this.#constant();
        return lane => (lane === slip ? another : constant);
      }
      if (this.#chance(5)) return () => [Code.LocalGet, FIRST[type]];
      if (type !== 'i32' && this.#chance(10)) {
        // The same in all iterations, but computed in each.
        const conversion = op(type === 'i64' ? 'i64.extend_i32_u' : `${type}.convert_i32_u`);
        return () => [Code.LocalGet, SCALAR, ...conversion];
      }
      if (this.#chance(8)) return this.#number();
      this.#accesses = true;
      const array = r.below(3);
      const [load, ...conversions] = r.pick(loads[this.#pitches[array]!] ?? loads[size]!);
      const shift = this.#chance(6) ? r.below(3) : 0;
      const member = this.#member(array);
      return lane => {
        const { code, offset } = this.#address(array, lane, shift, member);
        return [...code, ...op(load!), 0, ...uleb(offset), ...conversions.flatMap(op)];
      };
    }
    if (this.#chance(6)) {
      // What the element before had of this; now and then twice the same local, so that it depends on itself.
      const local = HANDED[type][this.#chance(12) ? 0 : this.#handed++ % 2]!;
      const x = this.#value(depth - 1);
      return lane => [Code.LocalGet, local, ...x(lane), Code.LocalSet, local];
    }
    const a = this.#value(depth - 1);
    switch (r.below(isFloat ? 6 : 8)) {
      case 0: {
        const unary = UNARY[type];
        if (unary.length === 0) return a;
        const code = op(`${type}.${r.pick(unary)}`);
        return lane => [...a(lane), ...code];
      }
      case 1: {
        const b = this.#value(depth - 1);
        const extreme = this.#chance(2);
        const c = extreme ? a : this.#value(Math.min(1, depth - 1));
        const d = extreme ? b : this.#value(Math.min(1, depth - 1));
        const relation = op(`${type}.${r.pick(isFloat ? FLOAT_COMPARISONS : INTEGER_COMPARISONS)}`);
        return lane => [
          ...[...a(lane), ...b(lane)],
          ...[...c(lane), ...d(lane)],
          ...[...relation, Code.Select],
        ];
      }
      case 6: {
        const shift = op(`${type}.${r.pick(['shl', 'shr_u', 'shr_s'])}`);
        const count = this.#chance(4)
          ? [Code.LocalGet, FIRST[type]]
          : type === 'i32'
            ? this.#int(r.below(34))
            : this.#long(r.below(66));
        return lane => [...a(lane), ...count, ...shift];
      }
      case 7: {
        if (type !== 'i32') return a;
        const b = this.#value(depth - 1);
        const relation = op(`i32.${r.pick(INTEGER_COMPARISONS)}`);
        return lane => [...a(lane), ...b(lane), ...relation];
      }
      default: {
        const b = this.#value(depth - 1);
        const code = op(`${type}.${r.pick(BINARY[type])}`);
        return lane => [...a(lane), ...b(lane), ...code];
      }
    }
  }
}
