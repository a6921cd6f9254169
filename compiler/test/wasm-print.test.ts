/** Functions as text: what WABT reads back must be the same code. */
import { describe, expect, it } from 'vitest';
import { decodeModule } from '../wasm/decode.ts';
import { identifier, printFunction, quoted } from '../wasm/print.ts';
import { translateWat } from '../wasm/wat.ts';

const encode = (text: string) => translateWat('test.wat', new TextEncoder().encode(text));

const SOURCE = `(module
  (type $binary (func (param i32 i32) (result i32)))
  (memory 1) (memory 2)
  (table 4 funcref)
  (global $g (mut i64) (i64.const -5))
  (data $d "abc")
  (elem $e func $add)
  (func $add (type $binary) local.get 0 local.get 1 i32.add)
  (func $all (param $x i32) (result f64) (local $i i32) (local i64 i64)
    block (result i32)
      loop (result i32)
        local.get $x
        if (result i32) i32.const -2147483648 else i32.const 7 end
        br_if 0
        i32.const 1
        i32.const 2
        br_table 0 1 0
      end
    end
    drop
    i32.const 0 i32.const 1 i32.load offset=4294967295 align=1
    call_indirect (type $binary)
    i32.const 3 i32.store 1 offset=8
    i64.const -9223372036854775808 global.set $g
    f32.const 0.1 drop f32.const nan:0x200001 drop f32.const -inf drop
    f64.const -0 drop f64.const nan drop
    i32.const 0 i32.const 0 i32.const 0 memory.copy 1 0
    i32.const 0 i32.const 0 i32.const 0 memory.init 1 $d
    i32.const 0 i32.const 0 i32.const 0 table.init 0 $e
    v128.const i32x4 1 2 3 4 v128.const i32x4 5 6 7 8
    i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
    i32x4.extract_lane 2 drop
    i32.const 0 v128.const i32x4 0 0 0 0 v128.load8_lane 1 offset=3 5 drop
    ref.null func drop ref.func $add drop
    i32.const 1 i32.const 2 i32.const 3 select (result i32) drop
    memory.size 1 drop
    f64.const 1.5e300))`;

describe('printFunction', () => {
  it('prints what WABT encodes to the same bytes', async () => {
    const first = await encode(SOURCE);
    const module = decodeModule(first);
    const bodies = [0, 1].map(i =>
      printFunction(module, i)
        .map(l => l.text)
        .join('\n'),
    );
    const prelude = SOURCE.slice(0, SOURCE.indexOf('(func $add (type'));
    const second = decodeModule(await encode(`${prelude}${bodies.join('\n')})`));
    const code = (m: typeof module) => m.bodies.map(b => Buffer.from(m.bytes.subarray(b.start, b.end)));
    expect(code(second)).toEqual(code(module));
  });

  it('gives each operator the offset of its first byte, ascending', async () => {
    const module = decodeModule(await encode(SOURCE));
    const lines = printFunction(module, 0);
    expect(lines.map(l => l.text)).toEqual([
      '(func $add (;0;) (param i32) (param i32) (result i32)',
      'local.get 0',
      'local.get 1',
      'i32.add',
      ')',
    ]);
    expect(lines.slice(1).map(l => module.bytes[l.offset])).toEqual([0x20, 0x20, 0x6a, 0x0b]);
  });

  it('ends with a comment where a body can not be decoded', async () => {
    const bytes = await encode('(module (func i32.const 1 drop))');
    const at = decodeModule(bytes).bodies[0]!.end - 2;
    bytes[at] = 0xff;
    expect(printFunction(decodeModule(bytes), 0).at(-1)).toEqual({
      offset: at,
      depth: 1,
      text: ';; no known operator: 0xff',
    });
  });
});

describe('names of a module', () => {
  it('can not act on what shows them', () => {
    expect(identifier('a.b')).toBe('$a.b');
    expect(identifier('std::vector<int, x>')).toBe('$"std::vector<int, x>"');
    expect(quoted('a"\\\u202e\n')).toBe('"a\\"\\\\\\u{202e}\\u{a}"');
  });
});
