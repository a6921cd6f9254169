/**
 * What instruction selection makes of vectors, read back by an independent disassembler; text form and verifier of
 * their operators.
 */
import { describe, expect, it } from 'vitest';
import { BugError } from '../diagnostics.ts';
import { parseFunc } from '../ir/text-parse.ts';
import { printFunc } from '../ir/text-print.ts';
import { verify } from '../ir/verify.ts';
import { asm, count } from './support/x64.ts';

const AVX = { features: ['avx'] } as const;
const AVX2 = { features: ['avx', 'avx2', 'fma'] } as const;
const AVX512 = { features: ['avx', 'avx2', 'avx512f', 'avx512vl', 'avx512dq'] } as const;
/** Not all of it: the same as without. */
const FOUNDATION = { features: ['avx', 'avx2', 'avx512f'] } as const;
const TWO = 'v1: v128, v2: v128';

/** Without the prologue and the return. */
const one = (text: string, params = TWO, result = 'v128', options = {}): string[] =>
  asm(params, `v9 = ${text}\nreturn v9`, result, options).filter(l => l !== 'ret');

describe('memory operands', () => {
  const load = 'v3 = load.v128 [v2+8]\nv4 = vbinary.v128 i32x4.add v1, v3\nreturn v4';

  it('are loads of 16 bytes with VEX only: others must be aligned', () => {
    const legacy = asm('v1: v128, v2: i32', load, 'v128');
    expect(count(legacy, /^movups xmm\d+,\[r15\+r\w+\+8\]$/)).toBe(1);
    expect(count(legacy, /^paddd xmm\d+,xmm\d+$/)).toBe(1);
    const vex = asm('v1: v128, v2: i32', load, 'v128', AVX);
    expect(count(vex, /^vpaddd xmm\d+,xmm\d+,\[r15\+r\w+\+8\]$/)).toBe(1);
    expect(count(vex, /movups/)).toBe(0);
  });

  it('are loads of 8 bytes and less with either encoding', () => {
    const extend =
      'v2 = load.f64 [v1]\nv3 = vzext.v128 v2\nv4 = vunary.v128 i16x8.extend_low_i8x16_s v3\nreturn v4';
    expect(count(asm('v1: i32', extend, 'v128'), /^pmovsxbw xmm\d+,\[r15\+r\w+\]$/)).toBe(1);
    const splat = 'v2 = load.f64 [v1]\nv3 = vsplat.v128 f64x2.splat v2\nreturn v3';
    expect(count(asm('v1: i32', splat, 'v128'), /^movddup xmm\d+,\[r15\+r\w+\]$/)).toBe(1);
    const lane = 'v3 = load.i32.u8 [v1]\nv4 = vreplace.v128 i8x16.replace_lane v2, v3, lane 5\nreturn v4';
    expect(count(asm('v1: i32, v2: v128', lane, 'v128'), /^pinsrb xmm\d+,\[r15\+r\w+\],5$/)).toBe(1);
    const word = 'v2 = load.i32.u16 [v1]\nv3 = vsplat.v128 i16x8.splat v2\nreturn v3';
    expect(count(asm('v1: i32', word, 'v128', AVX2), /^vpbroadcastw xmm\d+,\[r15\+r\w+\]$/)).toBe(1);
  });

  it('does not move a load past an effect', () => {
    const text = 'v3 = load.v128 [v2]\nstore.v128 [v2+16], v1\nv4 = vbinary.v128 i32x4.add v1, v3\nreturn v4';
    expect(count(asm('v1: v128, v2: i32', text, 'v128', AVX), /^movups xmm\d+,\[r15/)).toBe(1);
  });

  it('change places with the other operand where the order does not matter', () => {
    const first = (op: string, options = {}) =>
      asm(
        'v1: v128, v2: i32',
        `v3 = load.v128 [v2]\nv4 = vbinary.v128 ${op} v3, v1\nreturn v4`,
        'v128',
        options,
      );
    expect(count(first('i16x8.mul', AVX), /^vpmullw xmm\d+,xmm\d+,\[r15/)).toBe(1);
    expect(count(first('i16x8.sub', AVX), /^movups xmm\d+,\[r15/)).toBe(1);
    const constant = 'v3 = vconst.v128 0x1 0x2 0x3 0x4\nv4 = vbinary.v128 v128.and v3, v1\nreturn v4';
    expect(count(asm('v1: v128', constant, 'v128'), /^pand xmm\d+,\[/)).toBe(1);
  });

  it('constants are rodata; zeros and ones are made', () => {
    const add = (words: string) =>
      asm(TWO, `v3 = vconst.v128 ${words}\nv4 = vbinary.v128 i32x4.sub v3, v1\nreturn v4`, 'v128');
    expect(count(add('0x1 0x2 0x3 0x4'), /^movaps xmm\d+,\[/)).toBe(1);
    expect(count(add('0x0 0x0 0x0 0x0'), /^xorps/)).toBe(1);
    expect(count(add('0xffffffff 0xffffffff 0xffffffff 0xffffffff'), /^pcmpeqd/)).toBe(1);
  });
});

describe('three operands', () => {
  const kept = 'v3 = vbinary.v128 i16x8.mul v1, v2\nv4 = vbinary.v128 i16x8.sub v1, v3\nreturn v4';
  it('need no copies with VEX', () => {
    expect(count(asm(TWO, kept, 'v128'), /^movaps/)).toBeGreaterThan(0);
    expect(asm(TWO, kept, 'v128', AVX).slice(0, 2)).toEqual([
      'vpmullw xmm1,xmm0,xmm1',
      'vpsubw xmm0,xmm0,xmm1',
    ]);
  });

  it('multiply and add in one where the machine can', () => {
    const madd = 'vternary.v128 f32x4.relaxed_madd v1, v2, v3';
    const params = `${TWO}, v3: v128`;
    expect(count(one(madd, params, 'v128', AVX2), /^vfmadd231ps/)).toBe(1);
    expect(count(one(madd, params), /^(mulps|addps)/)).toBe(2);
  });
});

describe('truths', () => {
  it('are conditions', () => {
    const branch = (test: string) =>
      asm(
        'v1: v128',
        `v2 = vtest.i32 ${test} v1\nbr_if v2, b1, b2\nb1:\nreturn v1\nb2:\nv3 = vunary.v128 v128.not v1\nreturn v3`,
        'v128',
      );
    for (const test of ['v128.any_true', 'i16x8.all_true']) {
      const code = branch(test);
      expect(count(code, /^ptest/)).toBe(1);
      expect(count(code, /^(set|test)/)).toBe(0);
    }
    expect(count(branch('i16x8.all_true'), /^pcmpeqw/)).toBe(1);
    expect(count(branch('i8x16.bitmask'), /^test/)).toBe(1);
  });
});

describe('shuffles', () => {
  const words = (bytes: readonly number[]): string =>
    [0, 4, 8, 12]
      .map(i => `0x${(new DataView(Uint8Array.from(bytes).buffer).getUint32(i, true)).toString(16)}`)
      .join(' ');
  const shuffle = (bytes: readonly number[], options = {}): string[] =>
    asm(
      TWO,
      `v3 = vconst.v128 ${words(bytes)}\nv4 = vshuffle.v128 v1, v2, v3\nreturn v4`,
      'v128',
      options,
    ).filter(l => l !== 'ret' && !l.startsWith('movaps'));
  it.each([
    [/^pshufd xmm\d+,xmm0,0xb1$/, [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11]],
    [/^pshuflw xmm\d+,xmm0,0xb1$/, [2, 3, 0, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15]],
    [/^pshufhw xmm\d+,xmm1,0x1b$/, [16, 17, 18, 19, 20, 21, 22, 23, 30, 31, 28, 29, 26, 27, 24, 25]],
    [/^punpcklbw xmm\d+,xmm\d+$/, [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23]],
    [/^punpckhwd xmm\d+,xmm\d+$/, [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31]],
    [/^punpcklqdq xmm\d+,xmm\d+$/, [16, 17, 18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6, 7]],
    [/^palignr xmm\d+,xmm\d+,5$/, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]],
    [/^palignr xmm\d+,xmm\d+,3$/, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2]],
    [/^pblendw xmm\d+,xmm\d+,0xd2$/, [0, 1, 18, 19, 4, 5, 6, 7, 24, 25, 10, 11, 28, 29, 30, 31]],
    [/^shufps xmm\d+,xmm\d+,0x4f$/, [12, 13, 14, 15, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]],
    [/^pshufb xmm\d+,\[/, [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]],
  ])('%s', (pattern, bytes) => {
    const code = shuffle(bytes);
    expect(code).toHaveLength(1);
    expect(code[0]).toMatch(pattern);
  });

  const dwords = (...lanes: readonly number[]): number[] =>
    lanes.flatMap(l => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3]);
  it.each([
    // One instruction: a lane of 32 bits inserted; a byte or word everywhere.
    ['insertps xmm0,xmm1,0x70', dwords(0, 1, 2, 5), {}, 3],
    ['vinsertps xmm0,xmm1,xmm0,0x80', dwords(2, 5, 6, 7), AVX, 1],
    ['vpbroadcastb xmm0,xmm0', new Array<number>(16).fill(0), AVX2, 1],
    ['vpbroadcastw xmm0,xmm1', Array.from({ length: 16 }, (_, i) => 16 + (i & 1)), AVX2, 1],
    ['vpblendd xmm0,xmm0,xmm1,6', dwords(0, 5, 6, 3), AVX2, 1],
    ['vpblendw xmm0,xmm0,xmm1,0x3c', dwords(0, 5, 6, 3), AVX, 1],
    // Two: one operand shuffled alone, and a blend.
    ['pshufd xmm1,xmm1,0xc5|vpblendw xmm0,xmm0,xmm1,0x33', dwords(5, 1, 4, 3), AVX, 2],
    ['vpermt2d xmm0,xmm2,xmm1', dwords(3, 4, 0, 7), AVX512, 1],
    ['pshufd xmm0,xmm0,3|pshufd xmm1,xmm1,0xc0|vpblendd xmm0,xmm0,xmm1,0xa', dwords(3, 4, 0, 7), AVX2, 3],
    [
      'pshufd xmm0,xmm0,3|pshufd xmm1,xmm1,0xc0|vpblendd xmm0,xmm0,xmm1,0xa',
      dwords(3, 4, 0, 7),
      FOUNDATION,
      3,
    ],
  ])('%s', (wanted, bytes, options, length) => {
    const code = shuffle(bytes, options);
    if (length === 3 && !wanted.includes('|')) expect(code).toContain(wanted);
    else {
      expect(code).toHaveLength(length);
      expect(code.slice(-wanted.split('|').length)).toEqual(wanted.split('|'));
    }
  });

  /** The second operand is zero. */
  const withZeros = (bytes: readonly number[], options = {}): string[] =>
    asm(
      'v1: v128',
      `v2 = vconst.v128 0x0 0x0 0x0 0x0\nv3 = vconst.v128 ${words(bytes)}\nv4 = vshuffle.v128 v1, v2, v3\nreturn v4`,
      'v128',
      options,
    ).filter(l => l !== 'ret');
  const Z = 20;
  const extension = (size: number, to: number): number[] =>
    Array.from({ length: 16 }, (_, i) => (i % to < size ? Math.floor(i / to) * size + (i % to) : Z));
  it.each([
    ['pmovzxbw', extension(1, 2)],
    ['pmovzxbd', extension(1, 4)],
    ['pmovzxbq', extension(1, 8)],
    ['pmovzxwd', extension(2, 4)],
    ['pmovzxwq', extension(2, 8)],
    ['pmovzxdq', extension(4, 8)],
    ['movq', Array.from({ length: 16 }, (_, i) => (i < 8 ? i : Z))],
    ['pslldq', Array.from({ length: 16 }, (_, i) => (i < 5 ? Z : i - 5))],
    ['psrldq', Array.from({ length: 16 }, (_, i) => (i < 13 ? i + 3 : Z))],
    ['pshufb', Array.from({ length: 16 }, (_, i) => (i === 9 ? Z : i))],
  ])('with zeros: %s alone', (name, bytes) => {
    expect(withZeros(bytes).map(l => l.split(' ')[0])).toEqual([name]);
    const words = withZeros(bytes, AVX).map(l => l.split(' ')[0]!.replace(/^v/, ''));
    expect(words).toEqual([name]);
  });

  it('of anything: one PSHUFB for each operand', () => {
    const code = shuffle([31, 0, 30, 1, 29, 2, 28, 3, 27, 4, 26, 5, 25, 6, 24, 7], AVX);
    expect(code.map(l => l.split(' ')[0])).toEqual(['vpshufb', 'vpshufb', 'vpor']);
  });
});

describe('a select', () => {
  const select = (cond: string, options = {}) =>
    asm(`${TWO}, v3: i32, v4: f64`, `${cond}\nv9 = select.v128 v8, v1, v2\nreturn v9`, 'v128', options);
  const integer = 'v7 = iconst.i32 7\nv8 = lt_s.i32 v3, v7';
  it('is a blend by a mask where the machine has one of three operands', () => {
    const code = select(integer, AVX);
    expect(count(code, /^vblendvps xmm0,xmm1,xmm0,xmm\d+$/)).toBe(1);
    expect(count(code, /^j/)).toBe(0);
    expect(count(select('v8 = feq.i32 v4, v4', AVX), /^j/)).toBe(0);
  });
  it('is a branch elsewhere, and of scalars', () => {
    expect(count(select(integer), /^j/)).toBe(1);
    const scalar = `${integer}\nv9 = select.f64 v8, v4, v4\nv10 = fadd.f64 v9, v4\nreturn v10`;
    expect(count(asm(`${TWO}, v3: i32, v4: f64`, scalar, 'f64', AVX), /blendv/)).toBe(0);
  });
});

describe('AVX-512', () => {
  const THREE = `${TWO}, v3: v128`;
  it.each([
    ['vternary.v128 v128.bitselect v1, v2, v3', THREE, 'v128', ['vpternlogd'], 3],
    ['vternary.v128 i16x8.relaxed_laneselect v1, v2, v3', THREE, 'v128', ['vpternlogd'], 3],
    ['vbinary.v128 i64x2.mul v1, v2', TWO, 'v128', ['vpmullq'], 8],
    ['vunary.v128 i64x2.abs v1', TWO, 'v128', ['vpabsq'], 4],
    ['vunary.v128 f32x4.convert_i32x4_u v1', TWO, 'v128', ['vcvtudq2ps'], 8],
    ['vunary.v128 f64x2.convert_low_i32x4_u v1', TWO, 'v128', ['vcvtudq2pd'], 2],
    ['vunary.v128 i32x4.trunc_sat_f32x4_u v1', TWO, 'v128', ['vxorps', 'vmaxps', 'vcvttps2udq'], 8],
    ['vunary.v128 i32x4.relaxed_trunc_f32x4_u v1', TWO, 'v128', ['vcvttps2udq'], 8],
    ['vunary.v128 i32x4.trunc_sat_f64x2_u_zero v1', TWO, 'v128', ['vxorps', 'vmaxpd', 'vcvttpd2udq'], 6],
    ['vshift.v128 i64x2.shr_s v1, v2', 'v1: v128, v2: i32', 'v128', ['and', 'vmovd', 'vpsraq'], 7],
    ['convert_u.f64 v1', 'v1: i64', 'f64', ['vxorps', 'vcvtusi2sd'], 4],
    ['convert_u.f32 v1', 'v1: i64', 'f32', ['vxorps', 'vcvtusi2ss'], 4],
  ])('%s', (text, params, result, wanted, without) => {
    const names = (options: object) =>
      one(text, params, result, options)
        .map(l => l.split(' ')[0]!)
        .filter(n => !/^v?mov(aps|d)$/.test(n) || wanted.includes('vmovd'));
    const last = wanted[wanted.length - 1]!;
    expect(names(AVX512).map(n => (n === 'xorps' || n === 'movd' ? `v${n}` : n))).toEqual(wanted);
    // Half of it is none of it.
    const others = names(FOUNDATION);
    expect(others).not.toContain(last);
    expect(others.length).toBeGreaterThanOrEqual(without);
  });
});

describe('operators in IR text', () => {
  const text = `func 3 "f" -> v128, i32 {
b0(v1: v128, v2: i32, v3: f64):
  v4 = vunary.v128 i8x16.popcnt v1
  v5 = vbinary.v128 v128.andnot v1, v4
  v6 = vternary.v128 v128.bitselect v1, v4, v5
  v7 = vshift.v128 i64x2.shr_s v6, v2
  v8 = vsplat.v128 f64x2.splat v3
  v9 = vextract.i32 i16x8.extract_lane_s v7, lane 7
  v10 = vreplace.v128 i32x4.replace_lane v8, v9, lane 3
  v11 = vtest.i32 i8x16.bitmask v10
  v12 = vconst.v128 0x3020100 0x13121110 0x7060504 0x17161514
  v13 = vshuffle.v128 v10, v7, v12
  v14 = vzext.v128 v3
  v15 = vbinary.v128 i8x16.swizzle v13, v14
  return v15, v11
}
`;
  it('read back as printed, and verify', () => {
    const f = parseFunc(text);
    verify(f);
    expect(printFunc(f)).toBe(text);
  });

  it.each([
    ['v4 = vshuffle.v128 v1, v1, v1', 'constant'],
    ['v4 = vextract.i32 i16x8.extract_lane_s v1, lane 8', 'no such lane'],
    ['v4 = vextract.i64 i16x8.extract_lane_s v1, lane 1', 'i64, expected i32'],
    ['v4 = vsplat.v128 i64x2.splat v2', 'i32, expected i64'],
    ['v4 = vreplace.v128 f32x4.replace_lane v1, v3, lane 0', 'f64, expected f32'],
    ['v4 = vbinary.v128 i8x16.add v1, v2', 'i32, expected v128'],
    ['v4 = vtest.i64 i8x16.bitmask v1', 'expected i32'],
  ])('the verifier rejects %s', (row, message) => {
    const f = parseFunc(`func 1 "f" { b0(v1: v128, v2: i32, v3: f64): ${row}\nreturn }`);
    expect(() => verify(f)).toThrow(BugError);
    expect(() => verify(f)).toThrow(message);
  });

  it('the parser rejects an operator of another signature', () => {
    expect(() => parseFunc('func 1 "f" { b0(v1: v128): v2 = vunary.v128 i8x16.add v1\nreturn }')).toThrow(
      'unknown vector operator',
    );
  });
});
