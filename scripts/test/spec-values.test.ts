import { describe, expect, it } from 'vitest';
import type { ScriptValue } from '../spec/script.ts';
import { argument, matches, type Value } from '../spec/values.ts';

const f32 = (bits: number): Value => ({ type: 'f32', bits: BigInt(bits) });
const f64 = (bits: bigint): Value => ({ type: 'f64', bits });

describe('values of test scripts', () => {
  it('compares numbers by their bits', () => {
    expect(matches({ type: 'f32', value: '0' }, f32(0))).toBe(true);
    expect(matches({ type: 'f32', value: '0' }, f32(0x8000_0000))).toBe(false);
    expect(matches({ type: 'f32', value: String(0x7fa0_0001) }, f32(0x7fe0_0001))).toBe(false);
    expect(matches({ type: 'i32', value: '4294967295' }, { type: 'i32', bits: 0xffff_ffffn })).toBe(true);
    expect(matches({ type: 'i32', value: '1' }, { type: 'i64', bits: 1n })).toBe(false);
  });

  it('knows canonical from arithmetic NaNs', () => {
    const canonical: ScriptValue = { type: 'f32', value: 'nan:canonical' };
    const arithmetic: ScriptValue = { type: 'f32', value: 'nan:arithmetic' };
    const cases: readonly (readonly [number, boolean, boolean])[] = [
      [0x7fc0_0000, true, true],
      [0xffc0_0000, true, true],
      [0x7fc0_0001, false, true],
      [0xffff_ffff, false, true],
      [0x7fa0_0000, false, false],
      [0x7f80_0000, false, false],
      [0x3fc0_0000, false, false],
    ];
    for (const [bits, isCanonical, isArithmetic] of cases) {
      expect([bits, matches(canonical, f32(bits)), matches(arithmetic, f32(bits))]).toEqual([
        bits,
        isCanonical,
        isArithmetic,
      ]);
    }
    expect(matches({ type: 'f64', value: 'nan:canonical' }, f64(0xfff8_0000_0000_0000n))).toBe(true);
    expect(matches({ type: 'f64', value: 'nan:canonical' }, f64(0x7ff8_0000_0000_0001n))).toBe(false);
    expect(matches({ type: 'f64', value: 'nan:arithmetic' }, f64(0x7ff8_0000_0000_0001n))).toBe(true);
    expect(matches({ type: 'f64', value: 'nan:arithmetic' }, f64(0x7ff4_0000_0000_0000n))).toBe(false);
  });

  it('takes vectors lane by lane, lane 0 lowest', () => {
    const v: ScriptValue = { type: 'v128', lane_type: 'i32', value: ['1', '2', '3', '4294967295'] };
    const bits = 0xffffffff_00000003_00000002_00000001n;
    expect(argument(v)).toEqual({ type: 'v128', bits });
    expect(matches(v, { type: 'v128', bits })).toBe(true);
    expect(matches(v, { type: 'v128', bits: bits ^ (1n << 127n) })).toBe(false);
    const floats: ScriptValue = { type: 'v128', lane_type: 'f64', value: ['nan:arithmetic', '0'] };
    expect(matches(floats, { type: 'v128', bits: 0x7ff8_0000_0000_0007n })).toBe(true);
    expect(matches(floats, { type: 'v128', bits: 0x7ff0_0000_0000_0007n })).toBe(false);
  });

  it('compares references', () => {
    const host7: Value = { type: 'externref', ref: 7 };
    expect(matches({ type: 'externref', value: '7' }, host7)).toBe(true);
    expect(matches({ type: 'externref', value: '8' }, host7)).toBe(false);
    expect(matches({ type: 'externref', value: 'null' }, host7)).toBe(false);
    expect(matches({ type: 'refnull' }, { type: 'funcref', ref: null })).toBe(true);
    expect(matches({ type: 'funcref' }, { type: 'funcref', ref: 'other' })).toBe(true);
    expect(matches({ type: 'funcref' }, { type: 'funcref', ref: null })).toBe(false);
    expect(matches({ type: 'funcref' }, host7)).toBe(false);
    expect(
      matches({ type: 'either', values: [{ type: 'refnull' }, { type: 'externref', value: '7' }] }, host7),
    ).toBe(true);
  });
});
