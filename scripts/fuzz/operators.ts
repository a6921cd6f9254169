/** The operators of WebAssembly as dense.ts picks them, and values at which something changes. */
import { Op } from '../../compiler/ir/ops.ts';
import type { ValType } from '../../compiler/wasm/module.ts';
import { Code, Imm, OPCODES, OpcodeClass, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import { valueTypeOf } from '../../runtime/types.ts';
import { sleb } from '../../runtime/wasm-writer.ts';
import type { Random } from './random.ts';

export type NumberType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';
export const SCALARS: readonly NumberType[] = ['i32', 'i64', 'f32', 'f64'];
export const ALL_NUMBERS: readonly NumberType[] = [...SCALARS, 'v128'];

export interface Operator {
  readonly code: number;
  readonly operands: readonly NumberType[];
  /** It traps for some operands. */
  readonly partial: boolean;
  /** Immediate bytes: so many, each below `below`. */
  readonly immediates: { readonly count: number; readonly below: number };
}

export interface Access {
  readonly code: number;
  readonly align: number;
  /** A lane of a vector is loaded or stored: how many there are, else 0. */
  readonly lanes: number;
}

type ByType<T> = Record<NumberType, T>;

export function byType<T>(make: (type: NumberType) => T): ByType<T> {
  return { i32: make('i32'), i64: make('i64'), f32: make('f32'), f64: make('f64'), v128: make('v128') };
}

/** By type of the result: those of and to scalars, and all. */
export const SCALAR_OPERATORS = byType((): Operator[] => []);
export const OPERATORS = byType((): Operator[] => []);
/** By type loaded or stored. A load of a lane takes the vector too. */
export const LOADS = byType((): Access[] => []);
export const STORES = byType((): Access[] => []);

const NO_IMMEDIATES = { count: 0, below: 0 };
/** The first whose results differ between machines. */
const RELAXED_SIMD = OpcodePage.Simd + 0x100;

/** Type of the scalars in the lanes, for operators that take or give one. */
function laneType(name: string): NumberType {
  const lane = name.slice(0, name.indexOf('x'));
  return lane === 'i64' || lane === 'f32' || lane === 'f64' ? lane : 'i32';
}

/** Operands and result of a vector operator. */
export function vectorSignature(name: string, op: Op): [operands: NumberType[], result: NumberType] {
  switch (op) {
    case Op.VUnary:
      return [['v128'], 'v128'];
    case Op.VBinary:
      return [['v128', 'v128'], 'v128'];
    case Op.VTernary:
      return [['v128', 'v128', 'v128'], 'v128'];
    case Op.VShift:
      return [['v128', 'i32'], 'v128'];
    case Op.VSplat:
      return [[laneType(name)], 'v128'];
    case Op.VExtract:
      return [['v128'], laneType(name)];
    case Op.VReplace:
      return [['v128', laneType(name)], 'v128'];
    case Op.VTest:
      return [['v128'], 'i32'];
    default:
      throw new Error(`${name} is unknown`);
  }
}

for (const o of OPCODES) {
  if (o === undefined || o.code >= RELAXED_SIMD) continue;
  const type = (t: ValType | 0): NumberType => valueTypeOf(t) as NumberType;
  const lanes = o.imm === Imm.MemArgLane ? 16 >> o.align : 0;
  const access = { code: o.code, align: o.align, lanes };
  const put = (operands: NumberType[], result: NumberType, immediates = NO_IMMEDIATES): void => {
    const operator = {
      code: o.code,
      operands,
      partial: /\.(div|rem)_|^i.*\.trunc_f/.test(o.name),
      immediates,
    };
    OPERATORS[result].push(operator);
    if (result !== 'v128' && !operands.includes('v128')) SCALAR_OPERATORS[result].push(operator);
  };
  switch (o.class) {
    case OpcodeClass.Load:
      LOADS[type(o.result)].push(access);
      break;
    case OpcodeClass.Store:
      STORES[type(o.operand)].push(access);
      break;
    case OpcodeClass.VectorMemory:
      (o.name.includes('store') ? STORES : LOADS).v128.push(access);
      break;
    case OpcodeClass.Binary:
      put([type(o.operand), type(o.operand)], type(o.result));
      break;
    case OpcodeClass.Unary:
    case OpcodeClass.Eqz:
      put([type(o.operand)], type(o.result));
      break;
    case OpcodeClass.Vector: {
      const [operands, result] = vectorSignature(o.name, o.op);
      const count = Number(/^[if]\d+x(\d+)/.exec(o.name)?.[1] ?? 0);
      put(operands, result, o.imm === Imm.Lane ? { count: 1, below: count } : NO_IMMEDIATES);
      break;
    }
    default:
      if (o.name === 'i8x16.shuffle') put(['v128', 'v128'], 'v128', { count: 16, below: 32 });
  }
}

/** Bytes of an operator's code. */
export function codeBytes(code: number): number[] {
  if (code >= OpcodePage.Simd) return [Code.SimdPrefix, ...lebBytes(code - OpcodePage.Simd)];
  return code >= OpcodePage.Misc ? [Code.MiscPrefix, ...lebBytes(code - OpcodePage.Misc)] : [code];
}

function lebBytes(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, n >> 7];
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

export function specialInteger(random: Random, bits: 32 | 64): bigint {
  const power = (): bigint => 1n << BigInt(random.below(bits));
  const small = BigInt(random.below(20) - 4);
  const value = (): bigint => {
    switch (random.below(7)) {
      case 0:
        return (BigInt(random.u32()) << 32n) | BigInt(random.u32());
      case 1:
        return power();
      case 2:
        return power() - 1n;
      case 3:
        return -power();
      case 4:
        return power() + small;
      case 5:
        return power() + power() + BigInt(random.below(3) - 1);
      default:
        return small;
    }
  };
  return BigInt.asIntN(bits, value());
}

function specialFloat(random: Random): number {
  const form = random.below(8);
  if (form === 0) return random.pick(SPECIAL_FLOATS);
  if (form === 1) return (random.u32() | 0) / 4096;
  if (form < 4) return Number(specialInteger(random, 64));
  if (form === 4) return Number(specialInteger(random, 64)) / 2 ** random.below(64);
  return random.pick(FLOATS);
}

/** A value as it lies in memory. */
export function specialBytes(random: Random, type: NumberType): number[] {
  const view = new DataView(new ArrayBuffer(8));
  switch (type) {
    case 'i32':
      view.setInt32(0, Number(specialInteger(random, 32)), true);
      break;
    case 'i64':
      view.setBigInt64(0, specialInteger(random, 64), true);
      break;
    case 'f32':
      view.setFloat32(0, specialFloat(random), true);
      break;
    case 'f64':
      view.setFloat64(0, specialFloat(random), true);
      break;
    case 'v128':
      return specialVector(random);
  }
  return [...new Uint8Array(view.buffer, 0, type === 'i32' || type === 'f32' ? 4 : 8)];
}

/** Lanes of one type, often all the same. */
function specialVector(random: Random): number[] {
  const width = 1 << random.below(4);
  const lane = (): number[] => {
    if (width >= 4 && random.below(2) === 0) return specialBytes(random, width === 4 ? 'f32' : 'f64');
    return specialBytes(random, random.below(2) === 0 ? 'i64' : 'i32').slice(0, width);
  };
  const first = lane();
  const same = random.below(2) === 0;
  return Array.from({ length: 16 / width }, () => (same ? first : lane()))
    .flatMap(bytes => [...bytes, 0, 0, 0, 0].slice(0, width))
    .slice(0, 16);
}

/** A constant operator. */
export function specialConstant(random: Random, type: NumberType): number[] {
  switch (type) {
    case 'i32':
      return [Code.I32Const, ...sleb(specialInteger(random, 32))];
    case 'i64':
      return [Code.I64Const, ...sleb(specialInteger(random, 64))];
    case 'f32':
      return [Code.F32Const, ...specialBytes(random, type)];
    case 'f64':
      return [Code.F64Const, ...specialBytes(random, type)];
    case 'v128':
      return [...codeBytes(V128_CONST), ...specialVector(random)];
  }
}

const V128_CONST = OpcodePage.Simd + 12;
