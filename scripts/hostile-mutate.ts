/**
 * Damaged copies of valid input, from a seed: bytes that are flipped, replaced, put in, taken out, repeated, or moved,
 * as compilers and people never leave them.
 */

/** A generator of numbers below 2^32, the same for the same seed. */
export function random(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** The edges of LEB128, of bytes and of what counts things. */
const EDGES: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x40],
  [0x7f],
  [0x80],
  [0xff],
  [0x80, 0x80, 0x80, 0x80, 0x10],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff],
];

/**
 * One to four changes at random places.
 * @param tokens what may be put in, besides edges
 * @param framed the bytes are in frames that have lengths, so most copies keep theirs: else little but the frames would
 * be tested
 */
export function mutated(
  bytes: Uint8Array,
  next: () => number,
  tokens: readonly (readonly number[])[] = [],
  framed = tokens.length === 0,
): Uint8Array {
  const all = [...bytes];
  const place = (): number => next() % (all.length + 1);
  const some = (): number => 1 + (next() % (next() % 4 === 0 ? 64 : 4));
  const word = (): readonly number[] => {
    const words = tokens.length > 0 && next() % 3 > 0 ? tokens : EDGES;
    return words[next() % words.length]!;
  };
  const over = (at: number, w: readonly number[]): void => {
    for (let i = 0; i < w.length && at + i < all.length; i++) all[at + i] = w[i]!;
  };
  const kinds = framed && next() % 8 > 0 ? 3 : 7;
  for (let changes = 1 + (next() % 4); changes > 0; changes--) {
    const at = place();
    switch (next() % kinds) {
      case 0:
        if (at < all.length) all[at]! ^= 1 << (next() % 8);
        break;
      case 1:
        over(at, word());
        break;
      case 2:
        over(place(), all.slice(at, at + some()));
        break;
      case 3:
        all.splice(at, 1, ...word());
        break;
      case 4:
        all.splice(at, some());
        break;
      case 5:
        all.splice(place(), 0, ...all.slice(at, at + some()));
        break;
      default:
        all.splice(place(), 0, ...all.splice(at, some()));
    }
  }
  return Uint8Array.from(all);
}

/** Words of a text, as what may be put in elsewhere. */
export function wordsOf(text: string): number[][] {
  const words = new Set(text.match(/[\w.$-]+|\S/g) ?? []);
  return [...words, '(', ')', '"', '\\', ';;', '(;', '-1', '18446744073709551616', 'nan:0x0', '\n'].map(w => [
    ...Buffer.from(` ${w} `),
  ]);
}
