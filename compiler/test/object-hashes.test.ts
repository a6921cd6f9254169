import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { sha256, xxHash32 } from '../object/hashes.ts';

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >> 3)) & 255);

test('SHA-256 as Node computes it, at every length around the block borders', () => {
  for (const n of [0, 1, 3, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000]) {
    const b = bytes(n);
    expect(Buffer.from(sha256(b)).toString('hex')).toBe(createHash('sha256').update(b).digest('hex'));
  }
});

test('xxHash32: published values', () => {
  const hash = (s: string) => xxHash32(new TextEncoder().encode(s)).toString(16);
  expect(hash('')).toBe('2cc5d05');
  expect(hash('a')).toBe('550d7456');
  expect(hash('abc')).toBe('32d153ff');
  expect(hash('Nobody inspects the spammish repetition')).toBe('e2293b2f');
});

test('xxHash32 with a field that counts as zero', () => {
  for (const n of [4, 12, 16, 20, 40, 67]) {
    for (let at = 0; at + 4 <= n; at += 4) {
      const b = bytes(n);
      const zeroed = b.slice();
      zeroed.fill(0, at, at + 4);
      expect(xxHash32(b, at)).toBe(xxHash32(zeroed));
    }
    expect(xxHash32(bytes(n).subarray(1))).toBe(xxHash32(bytes(n).slice(1)));
  }
});
