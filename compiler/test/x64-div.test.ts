/** Division by constants: the multipliers, checked by exact arithmetic, and the code's shape. */
import { describe, expect, it } from 'vitest';
import { reciprocal } from '../backend/x64/lower-div.ts';
import { asm, count } from './support/x64.ts';

/** Divisors near powers of two, with special reciprocals, and some of no kind. */
function divisors(width: number): bigint[] {
  const out = new Set<bigint>([7n, 10n, 11n, 25n, 100n, 125n, 641n, 1000n, 1000000007n]);
  for (let k = 1n; k < width; k++) {
    for (const d of [
      (1n << k) - 1n,
      (1n << k) + 1n,
      (1n << BigInt(width)) / (1n << k) / 3n,
      3n << (k - 1n),
    ]) {
      if (d > 2n && d < 1n << BigInt(width) && (d & (d - 1n)) !== 0n) out.add(d);
    }
  }
  return [...out];
}

/** Where a quotient that is off shows first: around multiples of the divisor, and at the ends. */
function dividends(d: bigint, bits: number): bigint[] {
  const top = (1n << BigInt(bits)) - 1n;
  const out = [0n, 1n, top, top - 1n, top / 2n, top / 2n + 1n];
  for (const q of [1n, 2n, 3n, top / d, top / d - 1n, top / d / 2n]) out.push(q * d - 1n, q * d, q * d + 1n);
  return out.filter(x => x >= 0n && x <= top);
}

describe('reciprocals', () => {
  it.each([32, 64])('give every quotient of %i bits', width => {
    for (const precision of [width, width - 1, width - 3]) {
      for (const d of divisors(precision)) {
        const { multiplier, shift } = reciprocal(d, width, precision);
        // One bit too many only where all dividends of the width have to be right.
        expect(multiplier < 1n << BigInt(precision < width ? width : width + 1)).toBe(true);
        for (const x of dividends(d, precision)) {
          const q = (x * multiplier) >> BigInt(width + shift);
          if (q !== x / d) expect(`${x} / ${d} = ${q}`).toBe(String(x / d));
        }
      }
    }
  });

  it('rounds 2^64 / d up for 32-bit dividends', () => {
    for (const d of divisors(32)) {
      for (const x of dividends(d, 32)) expect((x * ((1n << 64n) / d + 1n)) >> 64n).toBe(x / d);
    }
  });
});

describe('code', () => {
  const by = (op: string, type: string, c: string) =>
    asm(`v1: ${type}`, `v2 = iconst.${type} ${c}\nv3 = ${op}.${type} v1, v2\nreturn v3`, type);

  it('divides by no constant that it need not divide by', () => {
    for (const op of ['div_s', 'div_u', 'rem_s', 'rem_u']) {
      for (const type of ['i32', 'i64']) {
        for (const c of ['3', '7', '10', '641', '-2', '-7', '16', '-2147483648']) {
          expect(count(by(op, type, c), /^i?div /), `${op} ${type} ${c}`).toBe(0);
        }
      }
    }
  });

  it('leaves to the divider what can trap', () => {
    for (const c of ['0', '-1']) expect(count(by('div_s', 'i32', c), /^idiv /)).toBe(1);
    expect(count(by('div_u', 'i64', '0'), /^div /)).toBe(1);
    expect(count(by('rem_s', 'i64', '0'), /^idiv /)).toBe(1);
  });

  it('takes the short way where the multiplier fits', () => {
    const ten = by('div_u', 'i32', '10');
    expect(count(ten, /^mov e\w+,0xcccccccd$/)).toBe(1);
    expect(count(ten, /^imul r\w+,r\w+$/)).toBe(1);
    expect(count(ten, /^shr r\w+,0x23$/)).toBe(1);
    // 7 needs 33 bits.
    expect(count(by('div_u', 'i32', '7'), /^mul r/)).toBe(1);
  });

  it('makes nothing of a quotient nobody wants', () => {
    expect(asm('v1: i32', 'v2 = iconst.i32 7\nv3 = div_u.i32 v1, v2\nreturn')).toEqual(['ret']);
  });
});
