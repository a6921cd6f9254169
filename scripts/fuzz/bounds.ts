/**
 * Random modules about the edges of memories and tables: addresses that are computed in all the ways in which a value
 * can be of 32 bits (or should be), and lie around the end of the memory, 2^31, 2^32, or beyond by their offset. Each
 * access is a function of its own, as most of them trap.
 */
import { Code, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import {
  body,
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
import { codeBytes, LOADS, type NumberType, SCALARS, STORES } from './operators.ts';
import type { Random } from './random.ts';

const PAGE = 65536;
const FUNCTIONS = 40;
const TABLE_SIZE = 6;
/**
 * Where the edges lie in memory, as i64s: functions take theirs from there by an argument, so that nothing is known
 * when compiling.
 */
const EDGES = 16;

const I32 = { add: 0x6a, sub: 0x6b, mul: 0x6c, and: 0x71, shl: 0x74, shrS: 0x75, shrU: 0x76, rotl: 0x77 };
const I64 = { add: 0x7c, sub: 0x7d, mul: 0x7e, and: 0x83, shl: 0x86, shrS: 0x87, shrU: 0x88, rotl: 0x89 };
const WRAP = 0xa7;
const EXTEND_S = 0xac;
const EXTEND_U = 0xad;
const EXTEND32_S = 0xc4;
const LOAD_I32 = [0x28, 0];
const LOAD_I64 = [0x29, 0];

type Integer = 'i32' | 'i64';

export function boundsModule(random: Random): Uint8Array {
  return new BoundsModule(random).make();
}

/** Imports: one gives back an address, as a host has it. */
const HOST: Record<Integer, number> = { i32: 0, i64: 1 };
const IMPORTS = 2;
/** Then helpers: they give back their argument, with something left in the upper half, if they can. */
const HELPER: Record<Integer, number> = { i32: 2, i64: 3 };
const FIRST = IMPORTS + 2;

class BoundsModule {
  readonly #random: Random;
  readonly #memory64: boolean;
  readonly #pages: number;
  /** Sums of these lie at edges. */
  readonly #steps: readonly bigint[];
  #depth = 0;
  #out: number[] = [];

  constructor(random: Random) {
    this.#random = random;
    this.#memory64 = random.below(3) === 0;
    this.#pages = 1 + random.below(3);
    const end = BigInt(this.#pages * PAGE);
    this.#steps = [0n, 0n, 0n, end, end, end / 2n, 1n << 31n, 1n << 32n, (1n << 32n) - end, 1n << 63n, -end];
  }

  get #index(): Integer {
    return this.#memory64 ? 'i64' : 'i32';
  }

  make(): Uint8Array {
    const r = this.#random;
    const types = [
      functionType(['i32'], ['i32']),
      functionType(['i64'], ['i64']),
      functionType(['i64'], ['i32']),
      ...SCALARS.map(t => functionType(['i32', 'i64'], [t])),
      functionType(['i32', 'i64'], []),
    ];
    const bodies = [
      // The wrapped sum of two halves leaves what it wants in the upper one.
      body([], [Code.LocalGet, 0, Code.I64Const, ...sleb(-(1n << 33n)), I64.add, WRAP]),
      body([], [Code.LocalGet, 0]),
    ];
    const functionTypes = [uleb(2), uleb(1)];
    for (let i = 0; i < FUNCTIONS; i++) {
      const result = r.below(6) === 0 ? null : r.pick(SCALARS);
      functionTypes.push(uleb(3 + (result === null ? SCALARS.length : SCALARS.indexOf(result))));
      bodies.push(this.#function(result));
    }
    const pages = { min: this.#pages, max: this.#pages + r.below(3), index64: this.#memory64 };
    const address = (n: number): number[] => [
      0,
      this.#memory64 ? Code.I64Const : Code.I32Const,
      ...sleb(n),
      Code.End,
    ];
    const edges = Array.from({ length: EDGES }, () => {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, this.#edge()), true);
      return [...bytes];
    }).flat();
    const last = Array.from({ length: 16 }, () => r.below(256));
    return moduleBytes({
      type: types,
      import: [
        [...name('host'), ...name('i32'), KIND.func, 0],
        [...name('host'), ...name('i64'), KIND.func, 1],
      ],
      function: functionTypes,
      table: [[TYPE_CODE.funcref, ...limits({ min: TABLE_SIZE, max: TABLE_SIZE + r.below(3) })]],
      memory: [limits(pages)],
      export: [
        ...Array.from({ length: FUNCTIONS }, (_, i) => exportEntry(`f${i}`, KIND.func, FIRST + i)),
        ...(r.below(2) === 0 ? [exportEntry('table', KIND.table, 0)] : []),
        exportEntry('memory', KIND.memory, 0),
      ],
      element: [[0, Code.I32Const, 0, Code.End, ...vector([2, 3, 2, 3].map(f => uleb(f)))]],
      code: bodies,
      data: [
        [...address(0), ...vector(edges.map(b => [b]))],
        [...address(this.#pages * PAGE - 16), ...vector(last.map(b => [b]))],
      ],
    });
  }

  #edge(): bigint {
    const r = this.#random;
    // Around 0, or what is 0 once it is wrapped.
    if (r.below(4) === 0) return (BigInt(r.below(3)) << 32n) + this.#small();
    return r.pick(this.#steps) + r.pick(this.#steps) + this.#small();
  }

  #small(): bigint {
    return BigInt(this.#random.below(5) === 0 ? this.#random.below(300) - 150 : this.#random.below(40) - 20);
  }

  #constant(type: Integer, value: bigint): void {
    if (type === 'i32') this.#out.push(Code.I32Const, ...sleb(BigInt.asIntN(32, value)));
    else this.#out.push(Code.I64Const, ...sleb(BigInt.asIntN(64, value)));
  }

  #function(result: NumberType | null): number[] {
    const r = this.#random;
    this.#out = [];
    for (let n = r.below(2); n > 0; n--) this.#effect();
    if (result === null) this.#effect();
    else if (r.below(8) === 0 && (result === 'i32' || result === 'i64')) this.#indirect(result);
    else this.#load(result);
    // A second access that shares the address with the first, in part: of bounds checks, one may do.
    if (r.below(3) === 0) this.#effect();
    return body(['i32', 'i64', 'i32', 'i64'], this.#out);
  }

  #effect(): void {
    switch (this.#random.below(8)) {
      case 0:
        this.#bulk();
        return;
      case 1:
        this.#grow();
        return;
      case 2:
        this.#loop();
        return;
      default:
        this.#store();
    }
  }

  // -------------------------------------------------------------------------------------------------------------- accesses

  #address(): void {
    this.#value(this.#index, this.#random.below(5));
    if (this.#random.below(4) === 0) {
      // What may become part of the access's offset, if it does not wrap.
      this.#constant(this.#index, this.#small());
      this.#out.push(this.#memory64 ? I64.add : I32.add);
    }
    if (this.#random.below(2) === 0) this.#out.push(Code.LocalTee, this.#memory64 ? 5 : 4);
  }

  #memArg(align: number): void {
    const r = this.#random;
    const form = r.below(6);
    let offset = 0n;
    if (form === 1) offset = BigInt(r.below(200));
    else if (form > 1) offset = this.#edge();
    if (offset < 0n) offset = -offset;
    this.#out.push(
      ...uleb(r.below(align + 1)),
      ...uleb(BigInt.asUintN(this.#memory64 && r.below(8) === 0 ? 64 : 32, offset)),
    );
  }

  #load(type: NumberType): void {
    const { code, align } = this.#random.pick(LOADS[type]);
    if (type === 'i64' && this.#random.below(4) === 0) {
      this.#vectorLoad();
      return;
    }
    this.#address();
    this.#out.push(...codeBytes(code));
    this.#memArg(align);
  }

  /** Of a vector's bytes, eight are given back. */
  #vectorLoad(): void {
    const r = this.#random;
    const { code, align, lanes } = r.pick(LOADS.v128);
    this.#address();
    if (lanes > 0) {
      this.#constant('i64', 0x0123456789abcdefn);
      this.#out.push(...codeBytes(OpcodePage.Simd + 0x12));
    }
    this.#out.push(...codeBytes(code));
    this.#memArg(align);
    if (lanes > 0) this.#out.push(r.below(lanes));
    this.#out.push(...codeBytes(OpcodePage.Simd + 0x1d), r.below(2));
  }

  #store(): void {
    const r = this.#random;
    const type = r.pick<NumberType>(['i32', 'i64', 'f64', 'v128']);
    const { code, align, lanes } = r.pick(STORES[type]);
    this.#address();
    if (r.below(4) === 0 && type === 'i32') {
      // A change in place, if the address is what it was.
      this.#out.push(
        Code.LocalGet,
        this.#memory64 ? 5 : 4,
        ...LOAD_I32,
        ...uleb(r.below(64)),
        Code.I32Const,
        1,
        I32.add,
      );
    } else {
      this.#constant(type === 'i32' ? 'i32' : 'i64', this.#edge());
      if (type === 'f64') this.#out.push(0xbf);
      if (type === 'v128') this.#out.push(...codeBytes(OpcodePage.Simd + 0x12));
    }
    this.#out.push(...codeBytes(code));
    this.#memArg(align);
    if (lanes > 0) this.#out.push(r.below(lanes));
  }

  #length(): void {
    const r = this.#random;
    if (r.below(4) === 0) this.#value(this.#index, 2);
    else this.#constant(this.#index, r.below(3) === 0 ? 0n : BigInt(r.below(64)));
  }

  #bulk(): void {
    const r = this.#random;
    this.#address();
    if (r.below(2) === 0) {
      this.#value('i32', 2);
      this.#length();
      this.#out.push(...codeBytes(Code.MemoryFill), 0);
    } else {
      this.#address();
      this.#length();
      this.#out.push(...codeBytes(Code.MemoryCopy), 0, 0);
    }
  }

  #grow(): void {
    this.#constant(
      this.#index,
      this.#random.below(4) === 0 ? this.#edge() / BigInt(PAGE) : BigInt(this.#random.below(3)),
    );
    this.#out.push(Code.MemoryGrow, 0, Code.LocalSet, this.#memory64 ? 5 : 4);
  }

  /** Upwards or downwards over an edge. */
  #loop(): void {
    const r = this.#random;
    const index = this.#index;
    const at = this.#memory64 ? 5 : 4;
    const o = this.#memory64 ? I64 : I32;
    const { code, align } = r.pick(STORES.i32);
    this.#value(index, 2);
    this.#out.push(Code.LocalSet, at, Code.I32Const, r.below(20), Code.LocalSet, 2, Code.Loop, 0x40);
    this.#out.push(Code.LocalGet, at, Code.LocalGet, 2, ...codeBytes(code));
    this.#memArg(align);
    this.#out.push(Code.LocalGet, at);
    this.#constant(index, BigInt(1 + r.below(40)));
    this.#out.push(r.below(3) === 0 ? o.sub : o.add, Code.LocalSet, at);
    this.#out.push(
      Code.LocalGet,
      2,
      Code.I32Const,
      1,
      I32.sub,
      Code.LocalTee,
      2,
      Code.I32Const,
      0,
      0x4a,
      Code.BrIf,
      0,
      Code.End,
    );
  }

  #indirect(type: Integer): void {
    const r = this.#random;
    this.#value(r.below(3) === 0 ? type : 'i64', 1);
    // The type that it takes is right more often than not; the helper of i32 takes an i64.
    const given = this.#lastType;
    const callType = given === 'i32' ? 0 : type === 'i32' ? 2 : 1;
    this.#constant('i32', BigInt(r.below(TABLE_SIZE + 3)));
    if (r.below(2) === 0) {
      this.#out.push(Code.Drop);
      this.#value('i32', 2);
      if (r.below(2) === 0) this.#out.push(Code.I32Const, 7, I32.and);
    }
    this.#out.push(Code.CallIndirect, callType, 0);
  }

  // ---------------------------------------------------------------------------------------------------------------- values

  #lastType: Integer = 'i64';

  /** A value of the type, from an edge by steps. */
  #value(type: Integer, depth: number): void {
    const r = this.#random;
    if (++this.#depth > 12) depth = 0;
    this.#build(type, depth);
    this.#depth--;
    this.#lastType = type;
    if (r.below(12) === 0) this.#out.push(Code.LocalTee, type === 'i32' ? 2 : 3);
  }

  #build(type: Integer, depth: number): void {
    const r = this.#random;
    const wide = type === 'i64';
    const o = wide ? I64 : I32;
    const local = wide ? [1, 3, 5] : [0, 2, 4];
    if (depth <= 0) {
      if (r.below(5) === 0) this.#constant(type, this.#edge());
      else if (r.below(4) === 0) this.#out.push(Code.LocalGet, r.pick(local));
      else this.#fromTable(type);
      return;
    }
    const next = (): void => this.#value(type, depth - 1);
    switch (r.below(15)) {
      case 0:
      case 1:
      case 2:
        next();
        this.#constant(type, r.below(2) === 0 ? this.#edge() : this.#small());
        this.#out.push(r.pick([o.add, o.add, o.sub]));
        return;
      case 3:
        next();
        next();
        this.#out.push(r.pick([o.add, o.sub, o.mul]));
        return;
      case 4:
        // As an index of an array, which selection takes into the address.
        next();
        if (r.below(2) === 0) {
          this.#constant(type, (1n << BigInt(r.below(wide ? 40 : 32))) - 1n);
          this.#out.push(o.and);
        }
        this.#constant(type, BigInt(r.below(5)));
        this.#out.push(r.pick([o.shl, o.shl, o.shrU, o.shrS, o.rotl]));
        return;
      case 5:
      case 6:
        // From the other width and back.
        this.#value(wide ? 'i32' : 'i64', depth - 1);
        this.#out.push(wide ? r.pick([EXTEND_U, EXTEND_S]) : WRAP);
        return;
      case 7:
        next();
        if (wide) this.#out.push(EXTEND32_S);
        else this.#out.push(r.pick([EXTEND_U, EXTEND_S]), WRAP);
        return;
      case 8:
        next();
        next();
        this.#out.push(Code.LocalGet, 0, Code.Select);
        return;
      case 9:
        this.#out.push(Code.LocalGet, 0, Code.I32Const, 1, I32.and, Code.If, TYPE_CODE[type]);
        next();
        this.#out.push(Code.Else);
        next();
        this.#out.push(Code.End);
        return;
      case 10:
        // Through a function: the helpers take an i64.
        this.#value('i64', depth - 1);
        this.#out.push(Code.Call, HELPER[type]);
        return;
      case 11:
        next();
        this.#out.push(Code.Call, HOST[type]);
        return;
      case 12:
        // Around a loop, as one of its variables.
        next();
        this.#out.push(Code.LocalSet, r.pick(local.slice(1)), Code.Block, TYPE_CODE[type]);
        next();
        this.#out.push(Code.LocalGet, 0, Code.BrIf, 0, Code.Drop, Code.LocalGet, r.pick(local), Code.End);
        return;
      default:
        this.#fromTable(type);
    }
  }

  /** One of the edges, by argument 0. */
  #fromTable(type: Integer): void {
    const r = this.#random;
    this.#out.push(Code.LocalGet, 0);
    if (r.below(3) === 0) this.#out.push(Code.I32Const, ...sleb(r.below(EDGES)), I32.add);
    this.#out.push(Code.I32Const, EDGES - 1, I32.and, Code.I32Const, 3, I32.shl);
    if (this.#memory64) this.#out.push(EXTEND_U);
    if (type === 'i64') this.#out.push(...LOAD_I64, 0);
    else this.#out.push(...LOAD_I32, ...uleb(r.below(6) === 0 ? 4 : 0));
  }
}
