/** How large the outgoing area of a body is, read without walking over it. */
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
  (type $ten (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (type $many (func (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i64)))
  (memory 1)
  (table 1 funcref)
  ${'(func)'.repeat(40)}
  (func $ten (type $ten))
  (func $few (param i32 i64 f32 f64 i32 i32 i32 i32))
  ${'(func)'.repeat(100)}
  (func $far (param i32 i32 i32 i32 i32 i32 i32))
  (func (export "f") (local i32 i64 f64) ${body})
)`;

/** Of the last function. */
async function area(body: string): Promise<number> {
  const module = decodeModule(await wat(MODULE(body)));
  return new OutgoingAreas(module, argumentBytesOf(module)).of(module.bodies.at(-1)!);
}

const TEN = '(i32.const 0)'.repeat(10);
const CALL_TEN = `(call $ten ${TEN})`;

it.each([
  ['no calls', '(local.set 0 (i32.const 1))', 0],
  ['four of ten arguments in words, aligned', CALL_TEN, 32],
  [
    'as many registers as arguments',
    '(call $few (i32.const 0) (i64.const 0) (f32.const 0) (f64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))',
    0,
  ],
  ['a function whose number has two bytes', `(call $far ${'(i32.const 0)'.repeat(7)})`, 16],
  ['the most of several', `${CALL_TEN} (call $far ${'(i32.const 0)'.repeat(7)})`, 32],
  [
    'through a table',
    `(call_indirect (type $many) ${'(i32.const 0)'.repeat(8)} ${'(i64.const 0)'.repeat(4)} (i32.const 0))`,
    48,
  ],
  ['one that is never reached', `(return) ${CALL_TEN}`, 32],
])('%s', async (_what, body, bytes) => {
  expect(await area(body)).toBe(bytes);
});

it('what looks like a call, in any kind of immediate, is none', async () => {
  // 16, behind it 40, the number of $ten: as offset and operator, in numbers of several bytes, in constants.
  const look = [
    '(drop (i32.load offset=16 (i32.const 0)))',
    '(drop (i64.const 0x2810))',
    '(drop (i32.const 16)) (drop (i32.load (i32.const 0x1410)))',
    '(drop (f64.const 0x1.0281028102810p+0))',
    '(drop (f32.const 0x1.502050p+3))',
    '(local.set 0 (i32.const 16)) (drop (i64.load32_u offset=5136 (i32.const 16)))',
  ];
  expect(await area(look.join('\n'))).toBe(0);
});

it('reads past every kind of operator to a call behind it', async () => {
  const before = [
    '(drop (i64.load offset=1000000 align=1 (i32.const 100000)))',
    '(drop (i64.const -9223372036854775808)) (drop (f32.const 1.5)) (drop (f64.const 1.5))',
    '(block (result i32) (i32.const 1)) drop',
    '(loop (br_if 0 (i32.const 0)))',
    '(block (block (br_table 0 1 0 1 0 (i32.const 0))))',
    '(drop (memory.grow (memory.size))) (memory.copy (i32.const 0) (i32.const 0) (i32.const 0))',
    '(memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (drop (i32.trunc_sat_f64_s (local.get 2)))',
    '(block (result funcref) (ref.null func)) drop',
  ];
  for (const one of [...before, before.join('\n')]) expect(await area(`${one} ${CALL_TEN}`)).toBe(32);
});

it('reads past a block of a reference type with a heap type of its own', () => {
  // block (ref null func) ref.null func end drop call 0 end
  const bytes = Uint8Array.of(0x00, 0x02, 0x63, 0x70, 0xd0, 0x70, 0x0b, 0x1a, 0x10, 0x00, 0x0b);
  const areas = new OutgoingAreas({ bytes, functions: Int32Array.of(0) }, Int32Array.of(16));
  expect(areas.of({ start: 0, end: bytes.length })).toBe(16);
});

it('operators of the other path', async () => {
  expect(await area(`(drop (v128.const i32x4 0 0 0 0)) ${CALL_TEN}`)).toBe(-1);
  expect(
    await area(`(drop (select (result i32) (i32.const 0) (i32.const 0) (i32.const 0))) ${CALL_TEN}`),
  ).toBe(-1);
});

it('a body that ends within an operator is for the other path, too', async () => {
  const module = decodeModule(await wat(MODULE(`${CALL_TEN} (drop (f64.const 1.5))`)));
  const areas = new OutgoingAreas(module, argumentBytesOf(module));
  const { start, end } = module.bodies.at(-1)!;
  // `drop` and `end` follow the constant.
  for (let cut = 3; cut < 11; cut++) expect(areas.of({ start, end: end - cut })).toBe(-1);
});

const shared = process.env.LUCET_SHARED ?? join(import.meta.dirname, '../../../shared');
const sqlite = join(shared, 'bench/sqlite3/sqlite3.wasm');
it.runIf(existsSync(sqlite))('of SQLite, what its calls by name need is there, and little more', () => {
  const module = decodeModule(readFileSync(sqlite));
  const typeBytes = argumentBytesOf(module);
  const areas = new OutgoingAreas(module, typeBytes);
  let more = 0;
  for (const body of module.bodies) {
    const calls = callsIn(module.bytes, body.start, body.end);
    const named = calls.map(c =>
      c.functionIndex === null ? 0 : typeBytes[module.functions[c.functionIndex]!]!,
    );
    const least = Math.max(0, ...named);
    const found = areas.of(body);
    expect(found).toBeGreaterThanOrEqual(least);
    if (found > least) {
      expect(calls.some(c => c.functionIndex === null)).toBe(true);
      more++;
    }
  }
  expect(more).toBeLessThan(30);
});
