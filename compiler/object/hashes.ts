/** Checksum and digest: both small, so that the compiler needs nothing of its host. */

/**
 * An enum, so that loops have the numbers themselves: reading a variable and turning it into an integer took three
 * quarters of the checksum's time.
 */
const enum Prime {
  P1 = 0x9e3779b1,
  P2 = 0x85ebca77,
  P3 = 0xc2b2ae3d,
  P4 = 0x27d4eb2f,
  P5 = 0x165667b1,
}

function rotl(v: number, n: number): number {
  return (v << n) | (v >>> (32 - n));
}

/**
 * xxHash32 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), as an unsigned number.
 * @param zeroAt a multiple of 4: the four bytes there count as zero (a file's own checksum)
 */
export function xxHash32(bytes: Uint8Array, zeroAt = -1): number {
  const n = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, n);
  const lane = (at: number) => (at === zeroAt ? 0 : view.getInt32(at, true));
  const zeroStripe = zeroAt < 0 ? -1 : zeroAt - (zeroAt % 16);
  const state = new Int32Array([(Prime.P1 + Prime.P2) | 0, Prime.P2 | 0, 0, -Prime.P1 | 0]);
  const stripes = n - (n % 16);
  let at = 0;
  while (at < stripes) {
    // The stripe with the checksum by itself, all others in pieces.
    if (at === zeroStripe) {
      const stripe = new DataView(new ArrayBuffer(16));
      for (let i = 0; i < 16; i += 4) stripe.setInt32(i, lane(at + i), true);
      mixStripes(state, stripe, 0, 16);
      at += 16;
      continue;
    }
    const end = Math.min(at + PIECE, at < zeroStripe ? zeroStripe : stripes, stripes);
    mixStripes(state, view, at, end);
    at = end;
  }
  const [a, b, c, d] = state as unknown as [number, number, number, number];
  let h = n >= 16 ? (rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)) | 0 : Prime.P5;
  h = (h + n) | 0;
  for (; at + 4 <= n; at += 4) h = Math.imul(rotl((h + Math.imul(lane(at), Prime.P3)) | 0, 17), Prime.P4);
  for (; at < n; at++) h = Math.imul(rotl((h + Math.imul(bytes[at]!, Prime.P5)) | 0, 11), Prime.P1);
  h = Math.imul(h ^ (h >>> 15), Prime.P2);
  h = Math.imul(h ^ (h >>> 13), Prime.P3);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Bytes that are hashed in one call: small enough that the function is soon called often enough to be compiled. */
const PIECE = 4096;

/** Stripes of 16 bytes from `at` to `end`. */
function mixStripes(state: Int32Array, view: DataView, at: number, end: number): void {
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  for (; at < end; at += 16) {
    a = (a + Math.imul(view.getInt32(at, true), Prime.P2)) | 0;
    a = Math.imul((a << 13) | (a >>> 19), Prime.P1);
    b = (b + Math.imul(view.getInt32(at + 4, true), Prime.P2)) | 0;
    b = Math.imul((b << 13) | (b >>> 19), Prime.P1);
    c = (c + Math.imul(view.getInt32(at + 8, true), Prime.P2)) | 0;
    c = Math.imul((c << 13) | (c >>> 19), Prime.P1);
    d = (d + Math.imul(view.getInt32(at + 12, true), Prime.P2)) | 0;
    d = Math.imul((d << 13) | (d >>> 19), Prime.P1);
  }
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
}

/** Fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2). */
const K = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
]);

function sha256Block(state: Int32Array, w: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = rotl(x, 25) ^ rotl(x, 14) ^ (x >>> 3);
    const s1 = rotl(y, 15) ^ rotl(y, 13) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let i = 0; i < 64; i++) {
    const s1 = rotl(e, 26) ^ rotl(e, 21) ^ rotl(e, 7);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
    const s0 = rotl(a, 30) ^ rotl(a, 19) ^ rotl(a, 10);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = state[0]! + a;
  state[1] = state[1]! + b;
  state[2] = state[2]! + c;
  state[3] = state[3]! + d;
  state[4] = state[4]! + e;
  state[5] = state[5]! + f;
  state[6] = state[6]! + g;
  state[7] = state[7]! + h;
}

/** SHA-256 (FIPS 180-4): 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const state = new Int32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ]);
  const w = new Int32Array(64);
  const n = bytes.length;
  const whole = n - (n % 64);
  const view = new DataView(bytes.buffer, bytes.byteOffset, n);
  for (let at = 0; at < whole; at += 64) sha256Block(state, w, view, at);
  // The rest, a one bit, zeros, and the length in bits.
  const tail = new Uint8Array(n - whole < 56 ? 64 : 128);
  tail.set(bytes.subarray(whole));
  tail[n - whole] = 0x80;
  const tailView = new DataView(tail.buffer);
  tailView.setUint32(tail.length - 8, Math.floor(n / 0x20000000));
  tailView.setUint32(tail.length - 4, n * 8);
  for (let at = 0; at < tail.length; at += 64) sha256Block(state, w, tailView, at);
  const out = new Uint8Array(32);
  const outView = new DataView(out.buffer);
  state.forEach((v, i) => {
    outView.setInt32(4 * i, v);
  });
  return out;
}
