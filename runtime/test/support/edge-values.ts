/** Numbers at which something changes, for tests of arithmetic. */

/** Bits of f32. */
export const F32S: readonly number[] = [
  ...[0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x3f800000, 0xbf800000, 0x3f000000, 0x3fc00000, 0x40200000],
  ...[0x4b000001, 0x4effffff, 0x4f000000, 0x4f7fffff, 0x4f800000, 0xcf000000, 0xcf000001, 0x5effffff],
  ...[0x5f000000, 0x5f7fffff, 0x5f800000, 0xdf000000, 0xdf000001, 0x7f7fffff, 0x7f800000, 0xff800000],
  ...[0x7fc00000, 0x7fa00001, 0xffc12345],
];

export const F64S: readonly number[] = [
  ...[0, -0, 1, -1, 0.5, 1.5, 2.5, -2.5, 0.1, -0.9, 2147483647, 2147483647.5, 2147483648, 4294967295],
  ...[4294967295.9, 4294967296, -2147483648, -2147483649, -2147483648.9, 2 ** 63, 2 ** 63 - 1024, -(2 ** 63)],
  ...[
    -(2 ** 63) - 2048,
    2 ** 64,
    2 ** 64 - 2048,
    1e300,
    -1e300,
    Infinity,
    -Infinity,
    NaN,
    5e-324,
    2 ** 52 + 1,
  ],
];

export const INTS: readonly number[] = [
  ...[0, 1, 2, 15, 16, 17, 0x7f, 0x80, 0x81, 0xff, 0x7fff, 0x8000, 0x8001, 0xffff],
  ...[0x7fffffff, 0x80000000, 0xffffffff],
];
