/**
 * Vector operators as small functions, with operands for them: each takes an address, and leaves its result behind the
 * operands there.
 */
import { Op, Type } from '../../../compiler/ir/ops.ts';
import { VEC_LANES, VEC_SCALAR } from '../../../compiler/ir/vec-ops.ts';
import {
  body,
  funcType,
  HEADER,
  leb,
  name,
  section,
  sleb,
  vec,
} from '../../../compiler/test/support/module-builder.ts';
import { OPCODES, OpcodeClass, OpcodePage } from '../../../compiler/wasm/opcodes.ts';
import { F32S, F64S, INTS } from './edge-values.ts';

const I32 = 0x7f;
const V128 = 0x7b;
/** Operands lie at the address + 0, 16, 32; the result goes to + 48. */
export const RESULT = 48;
/** Not aligned: a memory operand that must be would fault. */
export const AT = 1;

interface Case {
  readonly name: string;
  readonly code: readonly number[];
  /** Width of the float lanes of the result, whose NaNs may have any payload; 0: none. */
  readonly float: 0 | 4 | 8;
}

const get = [0x20, 0];
const load = (type: Type, at: number): number[] => {
  const code = { [Type.I32]: [0x28], [Type.I64]: [0x29], [Type.F32]: [0x2a], [Type.F64]: [0x2b] }[
    type as number
  ];
  return [...get, ...(code ?? [0xfd, 0]), 0, at];
};
const store = (type: Type): number[] => {
  const code = { [Type.I32]: [0x36], [Type.I64]: [0x37], [Type.F32]: [0x38], [Type.F64]: [0x39] }[
    type as number
  ];
  return [...(code ?? [0xfd, 11]), 0, RESULT];
};
const simd = (n: number): number[] => [0xfd, ...leb(n)];
const v = Type.V128;

/** Shuffles of which the backend makes something of its own, and some of which it doesn't. */
const CHOSEN: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31],
  [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11],
  [2, 3, 0, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15],
  [0, 1, 2, 3, 4, 5, 6, 7, 14, 15, 12, 13, 10, 11, 8, 9],
  [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2],
  [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
  [21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4],
  [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23],
  [24, 8, 25, 9, 26, 10, 27, 11, 28, 12, 29, 13, 30, 14, 31, 15],
  [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23],
  [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31],
  [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23],
  [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31],
  [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23],
  [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7],
  [0, 1, 18, 19, 4, 5, 22, 23, 24, 25, 10, 11, 12, 13, 30, 31],
  [12, 13, 14, 15, 0, 1, 2, 3, 20, 21, 22, 23, 16, 17, 18, 19],
  [20, 21, 22, 23, 16, 17, 18, 19, 8, 9, 10, 11, 8, 9, 10, 11],
  [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  [31, 0, 30, 1, 29, 2, 28, 3, 27, 4, 26, 5, 25, 6, 24, 7],
  [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17],
  // With zeros as the second operand: extensions, shifts by bytes.
  [0, 16, 17, 18, 1, 16, 17, 18, 2, 16, 17, 18, 3, 16, 17, 18],
  [0, 16, 16, 16, 16, 16, 16, 16, 1, 16, 16, 16, 16, 16, 16, 16],
  [0, 1, 31, 31, 2, 3, 31, 31, 4, 5, 31, 31, 6, 7, 31, 31],
  [0, 1, 16, 17, 18, 19, 20, 21, 2, 3, 16, 17, 18, 19, 20, 21],
  [16, 16, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  [13, 14, 15, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16],
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
];

/** `count` shuffles of lanes of so many bytes; those at some places come from the same place. */
function randomShuffles(count: number, size: number): number[][] {
  let state = size;
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  return Array.from({ length: count }, () => {
    const stays = below(3);
    return Array.from({ length: 16 / size }, (_, i) => {
      const lane = below(3) < stays ? i + (below(4) === 0 ? 16 / size : 0) : below(32 / size);
      return Array.from({ length: size }, (_, k) => lane * size + k);
    }).flat();
  });
}

const SHUFFLES = [
  ...CHOSEN,
  ...randomShuffles(40, 4),
  ...randomShuffles(40, 2),
  ...randomShuffles(15, 1),
  ...randomShuffles(8, 8),
];

const COUNTS = [0, 1, 3, 7, 8, 9, 15, 16, 31, 33, 63, 64, -1];

function floatOf(op: string): 0 | 4 | 8 {
  // What only moves or changes bits keeps them all.
  if (/\.(abs|neg|eq|ne|lt|gt|le|ge|pmin|pmax|splat|.*_lane)$/.test(op)) return 0;
  return op.startsWith('f32x4') ? 4 : op.startsWith('f64x2') ? 8 : 0;
}

function cases(): Case[] {
  const out: Case[] = [];
  for (const o of OPCODES) {
    if (o === undefined || o.code < OpcodePage.Simd) continue;
    const n = o.code - OpcodePage.Simd;
    if (n >= 0x100) continue;
    const op = simd(n);
    const scalar = VEC_SCALAR[n]! as Type;
    const add = (what: string, ...code: number[][]): void => {
      out.push({ name: `${o.name} ${what}`, code: code.flat(), float: floatOf(o.name) });
    };
    const lanes = Array.from({ length: VEC_LANES[n]! }, (_, i) => i);
    if (o.class === OpcodeClass.VectorMemory) {
      const laned = o.name.endsWith('_lane');
      for (let lane = 0; lane < (laned ? 16 >> o.align : 1); lane++) {
        if (o.name.includes('store')) {
          add(`lane ${lane}`, get, load(v, 16), op, [0, RESULT, lane]);
        } else {
          add(
            `lane ${lane}`,
            get,
            get,
            laned ? load(v, 16) : [],
            op,
            laned ? [0, 3, lane] : [0, 3],
            store(v),
          );
        }
      }
      continue;
    }
    if (o.class !== OpcodeClass.Vector) continue;
    switch (o.op) {
      case Op.VUnary:
        add('', get, load(v, 0), op, store(v));
        break;
      case Op.VBinary:
        add('', get, load(v, 0), load(v, 16), op, store(v));
        add('of one', get, load(v, 0), [0x22, 1, 0x20, 1], op, store(v));
        add(
          'with a constant',
          get,
          load(v, 0),
          simd(12),
          Array.from({ length: 16 }, (_, i) => (i * 37) & 0xff),
          op,
          store(v),
        );
        break;
      case Op.VTernary:
        add('', get, load(v, 0), load(v, 16), load(v, 32), op, store(v));
        break;
      case Op.VShift:
        add('', get, load(v, 0), load(Type.I32, 16), op, store(v));
        for (const c of COUNTS) add(`by ${c}`, get, load(v, 0), [0x41, ...sleb(c)], op, store(v));
        break;
      case Op.VSplat:
        add('', get, load(scalar, 0), op, store(v));
        break;
      case Op.VExtract:
        for (const i of lanes) add(`lane ${i}`, get, load(v, 0), op, [i], store(scalar));
        break;
      case Op.VReplace:
        for (const i of lanes) add(`lane ${i}`, get, load(v, 0), load(scalar, 16), op, [i], store(v));
        break;
      case Op.VTest:
        add('', get, load(v, 0), op, store(Type.I32));
        break;
      default:
        throw new Error(`no case for ${o.name}`);
    }
  }
  // Splats of values that are not loads just made, and of constants.
  out.push({
    name: 'i8x16.splat of a sum',
    code: [...get, ...load(Type.I32, 0), ...load(Type.I32, 4), 0x6a, ...simd(15), ...store(v)],
    float: 0,
  });
  out.push({
    name: 'i16x8.splat of a constant',
    code: [...get, 0x41, ...sleb(-12345), ...simd(16), ...store(v)],
    float: 0,
  });
  // Selects, by conditions of every kind.
  for (const [name, ...condition] of [
    ['a number', load(Type.I32, 32)],
    ['a comparison', load(Type.I32, 32), load(Type.I32, 0), [0x48]],
    ['equality of floats', load(Type.F64, 32), load(Type.F64, 0), [0x61]],
    ['inequality of floats', load(Type.F32, 32), load(Type.F32, 32), [0x5c]],
    ['order of floats', load(Type.F64, 32), load(Type.F64, 16), [0x63]],
    ['a truth', load(v, 32), simd(83)],
  ] as const)
    out.push({
      name: `select by ${name}`,
      code: [...get, ...load(v, 0), ...load(v, 16), ...condition.flat(), 0x1b, ...store(v)],
      float: 0,
    });
  // Of the scalar operators, those that AVX-512 has instructions for.
  for (const [name, from, code, to] of [
    ['f64.convert_i64_u', Type.I64, [0xba], Type.F64],
    ['f32.convert_i64_u', Type.I64, [0xb5], Type.F32],
    ['i64.trunc_sat_f64_u', Type.F64, [0xfc, 7], Type.I64],
    ['i64.trunc_sat_f32_u', Type.F32, [0xfc, 5], Type.I64],
  ] as const)
    out.push({ name, code: [...get, ...load(from, 0), ...code, ...store(to)], float: 0 });
  for (const s of SHUFFLES) {
    const shuffle = [...simd(13), ...s];
    out.push({
      name: `shuffle ${s}`,
      code: [...get, ...load(v, 0), ...load(v, 16), ...shuffle, ...store(v)],
      float: 0,
    });
    const zeros = [...simd(12), ...new Array<number>(16).fill(0)];
    out.push({
      name: `shuffle with zeros ${s}`,
      code: [...get, ...load(v, 0), ...zeros, ...shuffle, ...store(v)],
      float: 0,
    });
    out.push({
      name: `shuffle of zeros and ${s}`,
      code: [...get, ...zeros, ...load(v, 0), ...shuffle, ...store(v)],
      float: 0,
    });
    out.push({
      name: `shuffle of one ${s}`,
      code: [...get, ...load(v, 0), 0x22, 1, 0x20, 1, ...shuffle, ...store(v)],
      float: 0,
    });
  }
  return out;
}

export const ALL = cases();

function moduleOf(list: readonly Case[]): Uint8Array {
  const names = list.map((_, i) => [...name(`f${i}`), 0, ...leb(i)]);
  return Uint8Array.from(
    HEADER.concat(
      section(1, vec([funcType([I32], [])])),
      section(3, vec(list.map(() => [0]))),
      section(5, [1, 0, 1]),
      section(7, vec([[...name('memory'), 2, 0], ...names])),
      section(10, vec(list.map(c => body([[1, V128]], c.code)))),
    ),
  );
}

let seed = 12345;
function random(n: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
}
const pick = (list: readonly number[]): number => list[random(list.length)]!;

/** Three vectors: mixed lanes of one kind each. */
function operands(): Uint8Array {
  const view = new DataView(new ArrayBuffer(48));
  for (let at = 0; at < 48; at += 16) {
    const kind = random(6);
    for (let i = at; i < at + 16; ) {
      if (kind === 0) view.setUint8(i++, pick(INTS));
      else if (kind === 1) {
        view.setUint16(i, pick(INTS), true);
        i += 2;
      } else if (kind === 2 || kind === 3) {
        view.setUint32(i, pick(kind === 2 ? INTS : F32S), true);
        i += 4;
      } else if (kind === 4) {
        view.setFloat64(i, pick(F64S), true);
        i += 8;
      } else view.setUint8(i++, random(256));
    }
  }
  return new Uint8Array(view.buffer);
}

/** One NaN for all. */
export function normal(bytes: Uint8Array, float: 0 | 4 | 8): string {
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  for (let i = 0; float !== 0 && i < 16; i += float) {
    if (float === 4 && Number.isNaN(view.getFloat32(i, true))) view.setUint32(i, 0x7fc00000, true);
    if (float === 8 && Number.isNaN(view.getFloat64(i, true))) view.setBigUint64(i, 0x7ff8n << 48n, true);
  }
  return Buffer.from(copy).toString('hex');
}

export const ROUNDS = 50;
export const STRIDE = 64;
export const bytes = moduleOf(ALL);

/** Operands of all rounds, results cleared. */
export const image = new Uint8Array(ROUNDS * STRIDE);
for (let k = 0; k < ROUNDS; k++) image.set(operands(), k * STRIDE);

export function results(memory: Uint8Array, float: 0 | 4 | 8): string[] {
  return Array.from({ length: ROUNDS }, (_, k) =>
    normal(memory.subarray(k * STRIDE + RESULT, (k + 1) * STRIDE), float),
  );
}

/** V8's, of each case. */
export function expectedResults(): string[][] {
  const peer = new WebAssembly.Instance(new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>)).exports;
  const memory = new Uint8Array((peer.memory as WebAssembly.Memory).buffer, AT, image.length);
  return ALL.map((c, i) => {
    memory.set(image);
    for (let k = 0; k < ROUNDS; k++) (peer[`f${i}`] as (at: number) => void)(AT + k * STRIDE);
    return results(memory, c.float);
  });
}
