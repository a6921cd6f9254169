// media/icon.png: the shape of media/lucet-dark.svg on a ground, 128 by 128 pixels, each by its distance from the
// lines. `node scripts/icon.mjs` writes it, and a test compares what is there with it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';

export const SIZE = 128;

/** Of the ground: at its top and at its bottom; also package.json's galleryBanner. */
const GROUND = [
  [0x4b, 0x3f, 0xd6],
  [0x24, 0x1f, 0x5a],
];
const FRAME = [0xff, 0xff, 0xff];
const LETTER = [0xff, 0xb7, 0x4a];

/** Units of the svg's 24 by 24, and where they begin. */
const SCALE = 4.25;
const MARGIN = (SIZE - 24 * SCALE) / 2;
const HALF_STROKE = 0.95 * SCALE;
const CORNER = 26;

/** @typedef {readonly [number, number]} Point */

/** @param {readonly Point[]} points in the svg's units @returns distance in pixels of a pixel's centre from the line */
function fromLine(points, x, y) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < points.length; i++) {
    const [ax, ay] = points[i].map(v => v * SCALE + MARGIN);
    const [bx, by] = points[i + 1].map(v => v * SCALE + MARGIN);
    const [dx, dy] = [bx - ax, by - ay];
    const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
    least = Math.min(least, Math.hypot(x - ax - t * dx, y - ay - t * dy));
  }
  return least;
}

/** The notch's half circle, from left to right. @type {Point[]} */
const NOTCH = Array.from({ length: 33 }, (_, i) => {
  const angle = Math.PI * (1 - i / 32);
  return [12 + 3 * Math.cos(angle), 5 + 3 * Math.sin(angle)];
});
/** @type {Point[]} */
const MODULE = [[3, 5], ...NOTCH, [21, 5], [21, 19], [3, 19], [3, 5]];
/** @type {Point[]} */
const L = [
  [9, 10.5],
  [9, 16],
  [15, 16],
];

/**
 * How much of a pixel is on the inner side of an edge that is `distance` pixels away from its centre (negative:
 * inside).
 */
const coverage = distance => Math.min(1, Math.max(0, 0.5 - distance));

function fromGround(x, y) {
  const [dx, dy] = [x, y].map(v => Math.max(0, Math.abs(v - SIZE / 2) - (SIZE / 2 - CORNER)));
  return Math.hypot(dx, dy) - CORNER;
}

/** @returns {Uint8Array} rows of RGBA */
export function iconPixels() {
  const pixels = new Uint8Array(SIZE * SIZE * 4);
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const [x, y] = [column + 0.5, row + 0.5];
      const frame = coverage(fromLine(MODULE, x, y) - HALF_STROKE);
      const letter = coverage(fromLine(L, x, y) - HALF_STROKE);
      const color = [0, 1, 2].map(k => {
        const ground = GROUND[0][k] + ((GROUND[1][k] - GROUND[0][k]) * y) / SIZE;
        const framed = ground + (FRAME[k] - ground) * frame;
        return Math.round(framed + (LETTER[k] - framed) * letter);
      });
      pixels.set([...color, Math.round(255 * coverage(fromGround(x, y)))], (row * SIZE + column) * 4);
    }
  }
  return pixels;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(zlib.crc32(body));
  return Buffer.concat([length, body, check]);
}

function png(pixels) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(SIZE, 0);
  header.writeUInt32BE(SIZE, 4);
  // Eight bits of red, green, blue and alpha.
  header.set([8, 6, 0, 0, 0], 8);
  const rows = Array.from({ length: SIZE }, (_, y) => [
    Buffer.from([0]),
    pixels.subarray(y * SIZE * 4, (y + 1) * SIZE * 4),
  ]);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', zlib.deflateSync(Buffer.concat(rows.flat()), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

if (argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(join(fileURLToPath(new URL('..', import.meta.url)), 'media', 'icon.png'), png(iconPixels()));
