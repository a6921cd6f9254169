/** Seeded randomness of the fuzzer: the same seed gives the same modules and the same arguments everywhere. */
import type { ValueType } from '../../runtime/index.ts';

/** FNV-1a, 32 bits. */
export function hashBytes(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (const b of bytes) h = Math.imul(h ^ b, 0x01000193);
  return h >>> 0;
}

/** Mulberry32: 32 bits of state, passes the usual statistical batteries, and no two seeds give related streams. */
export class Random {
  #state: number;

  constructor(...seeds: readonly number[]) {
    this.#state = hashBytes(new Uint8Array(Float64Array.from(seeds).buffer));
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** From 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.u32() >>> 24;
    return out;
  }
}

const I32S = [
  0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, -128, 65535, 65536, 0x7fffffff, -0x80000000,
];
const FLOATS = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  Infinity,
  -Infinity,
  NaN,
  2147483647,
  2147483648,
  -2147483648,
  -2147483649,
  4294967295,
  4294967296,
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
  2 ** 63 - 1024,
  2 ** 64 - 2048,
  Number.MIN_VALUE,
  Number.MAX_VALUE,
  1.1754943508222875e-38,
  3.4028234663852886e38,
  0.1,
];

/** A host object that guests hold as an externref. */
export class HostReference {
  constructor(readonly label: string) {}
}

const EXTERNREFS: readonly unknown[] = [
  null,
  new HostReference('first'),
  new HostReference('second'),
  'text',
  42,
];

/** A value of the type, more often than not one at which something changes. `functions` are what a funcref can be. */
export function randomValue(type: ValueType, random: Random, functions: readonly unknown[]): unknown {
  const form = random.below(4);
  switch (type) {
    case 'i32':
      return form === 0 ? random.u32() | 0 : form === 1 ? random.below(256) : random.pick(I32S);
    case 'i64': {
      const small = BigInt(random.pick(I32S));
      if (form === 0) return BigInt.asIntN(64, (BigInt(random.u32()) << 32n) | BigInt(random.u32()));
      return form === 1 ? BigInt.asIntN(64, small << BigInt(random.below(64))) : small;
    }
    case 'f32':
      return Math.fround(randomFloat(form, random));
    case 'f64':
      return randomFloat(form, random);
    case 'funcref':
      return form === 0 || functions.length === 0 ? null : random.pick(functions);
    case 'externref':
      return random.pick(EXTERNREFS);
    case 'v128':
      return random.bytes(16);
  }
}

function randomFloat(form: number, random: Random): number {
  if (form === 0) return (random.u32() | 0) / (1 + random.below(1000));
  if (form === 1) return new Float64Array(random.bytes(8).buffer)[0]!;
  return random.pick(FLOATS);
}
