/** How large the outgoing area of a body is guessed to be. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { OutgoingAreas } from '../singlepass/outgoing.ts';
import { argumentBytesOf } from '../singlepass/x64/calls.ts';
import { callsIn } from '../wasm/bodies.ts';
import { decodeModule } from '../wasm/decode.ts';
import { wat } from './support/wasm.ts';

/** Six integers and eight floats go in registers. */
const MODULE = (body: string) => `(module
  (type $none (func))
  (type $many (func (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i64)))
  (memory 1)
  (table 1 funcref)
  ${'(func)'.repeat(32)}
  (func $near (type $many))
  ${'(func)'.repeat(100)}
  (func $far (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32))
  (func $few (param i32 i64 f32 f64 i32 i32 i32 i32))
  (func (export "f") (local i32 i64 f64) ${body})
)`;

/** Of the last function. */
async function guess(body: string): Promise<number> {
  const module = decodeModule(await wat(MODULE(body)));
  return new OutgoingAreas(module, argumentBytesOf(module)).guess(module.bodies.at(-1)!);
}

const ints = (n: number): string => '(i32.const 0)'.repeat(n);
const FAR = `(call $far ${ints(10)})`;
const MANY = `${ints(8)} ${'(i64.const 0)'.repeat(4)}`;

it.each([
  ['no calls', '(local.set 0 (i32.const 1))', 0],
  ['four of ten arguments in words, aligned', FAR, 32],
  [
    'as many registers as arguments',
    `(call $few (i32.const 0) (i64.const 0) (f32.const 0) (f64.const 0) ${ints(4)})`,
    0,
  ],
  ['through a table', `(call_indirect (type $many) ${MANY} (i32.const 0))`, 48],
  ['the most of several', `${FAR} (call_indirect (type $many) ${MANY} (i32.const 0)) ${FAR}`, 48],
  ['not of a function whose number has one byte', `(call $near ${MANY})`, 0],
])('%s', async (_what, body, bytes) => {
  expect(await guess(body)).toBe(bytes);
});

it('offsets and constants that look like calls are none', async () => {
  const look = [
    // 16, and behind it the byte of `local.get`, which is the number of $near.
    '(drop (i32.add (i32.load offset=16 (i32.const 0)) (local.get 0)))',
    // 17, 1, 65: as a call through table 65.
    '(drop (i32.const 17)) (drop (i32.const 0x0111)) (drop (i64.const 0x4111))',
  ];
  expect(await guess(look.join('\n'))).toBe(0);
});

it('a number that does not end in the file ends the guess', () => {
  const bytes = Uint8Array.of(0x00, 0x10, 0x80, 0x80);
  const areas = new OutgoingAreas({ bytes, functions: Int32Array.of(0), tables: [] }, Int32Array.of(16));
  expect(areas.guess({ start: 0, end: bytes.length })).toBe(16);
});

const shared = process.env.LUCET_SHARED ?? join(import.meta.dirname, '../../../shared');
const sqlite = join(shared, 'bench/sqlite3/sqlite3.wasm');
it.runIf(existsSync(sqlite))('of SQLite, one body in a hundred is wrong', () => {
  const module = decodeModule(readFileSync(sqlite));
  const typeBytes = argumentBytesOf(module);
  const areas = new OutgoingAreas(module, typeBytes);
  let right = 0;
  let some = 0;
  for (const body of module.bodies) {
    const calls = callsIn(module.bytes, body.start, body.end);
    // Calls through the table, few of which need an area, are guessed and not counted here.
    const needed = calls.map(c =>
      c.functionIndex === null ? 0 : typeBytes[module.functions[c.functionIndex]!]!,
    );
    const found = areas.guess(body);
    if (found === Math.max(0, ...needed)) right++;
    if (found > 0) some++;
  }
  expect(some).toBeGreaterThan(90);
  expect(right / module.bodies.length).toBeGreaterThan(0.99);
});
