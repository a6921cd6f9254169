/** The text format as an editor needs it: tolerant tokens and trees, names and their uses, places of what is wrong. */
import { describe, expect, it } from 'vitest';
import { openDebugInfo } from '../debuginfo/index.ts';
import { decodeModule } from '../wasm/decode.ts';
import { operatorOffsets } from '../wasm/operators.ts';
import { printFunction } from '../wasm/print.ts';
import { translateWat } from '../wasm/wat.ts';
import { checkWat, parserProblems } from '../wat/check.ts';
import { Tok, tokenize } from '../wat/lexer.ts';
import { modelOf } from '../wat/model.ts';
import { bodiesOf, operatorPositions } from '../wat/positions.ts';
import { encodeWat } from '../wat/translate.ts';
import { parseTree } from '../wat/tree.ts';

const model = (text: string) => modelOf(parseTree(text));
const encode = (text: string) => translateWat('test.wat', new TextEncoder().encode(text));
const problems = async (text: string) =>
  (await checkWat('test.wat', text, undefined)).problems.map(p => [text.slice(p.start, p.end), p.message]);

describe('tokens', () => {
  it('cover every kind', () => {
    const text = '(@a b) $x $"y z" 0x1p-3 "s\\"t" ;; line\n(; a (; b ;) c ;) i32.add } é';
    const t = tokenize(text);
    const seen = Array.from({ length: t.count }, (_, i) => [t.kinds[i], text.slice(t.starts[i], t.ends[i])]);
    expect(seen).toEqual([
      [Tok.Open, '('],
      [Tok.Annotation, '@a'],
      [Tok.Atom, 'b'],
      [Tok.Close, ')'],
      [Tok.Id, '$x'],
      [Tok.Id, '$"y z"'],
      [Tok.Atom, '0x1p-3'],
      [Tok.String, '"s\\"t"'],
      [Tok.LineComment, ';; line'],
      [Tok.BlockComment, '(; a (; b ;) c ;)'],
      [Tok.Atom, 'i32.add'],
      [Tok.Error, '}'],
      [Tok.Error, 'é'],
    ]);
  });

  it('end an unterminated string with its line', () => {
    const { items } = parseTree('(a "b c\n(d))');
    expect(items).toHaveLength(1);
  });
});

describe('trees of broken text', () => {
  it.each([
    ['(a (b', ['this parenthesis is not closed', 'this parenthesis is not closed']],
    [
      'a))',
      ['there is nothing that this parenthesis closes', 'there is nothing that this parenthesis closes'],
    ],
    ['(; (a', []],
    ['', []],
  ])('%j', (text, notes) => {
    expect(parseTree(text).notes.map(n => n.message)).toEqual(notes);
  });

  it('nest as deeply as memory allows, in linear time', () => {
    const deep = 200_000;
    const nested = (word: string) => `${`(${word} `.repeat(deep)}`;
    for (const text of [
      nested('type'),
      nested('ref'),
      nested('rec'),
      nested('elem'),
      '('.repeat(deep),
      `${'(block '.repeat(deep)}${')'.repeat(deep)}`,
      ')'.repeat(deep),
    ]) {
      const from = performance.now();
      model(`(module (func ${text}`);
      expect(performance.now() - from).toBeLessThan(10_000);
    }
  });

  it('are read for any text: every prefix and every change of a module', () => {
    const text =
      '(module (type $t (func (param i32))) (import "a" "b" (func $f (type $t))) (table 1 funcref (elem $f)) (func $g (local $l i32) (if $x (local.get $l) (then (br $x)) (else nop)) loop $y br $y end))';
    for (let i = 0; i < text.length; i++) {
      model(text.slice(0, i));
      model(text.slice(i));
      for (const c of '()"$;') model(text.slice(0, i) + c + text.slice(i + 1));
    }
  });
});

describe('names', () => {
  const text = `(module
    (type $t (func (param $a i32) (result i32)))
    (import "env" "log" (func $log (param i32)))
    (memory $m 1)
    (global $g (mut i32) (i32.const 0))
    (table $tab 2 funcref)
    (elem $e (table $tab) (i32.const 0) func $f $log)
    (data $d "x")
    (func $f (export "f") (type $t) (local $i i32)
      (local.set $i (local.get 0))
      (block $out (loop $top (br_if $out (local.get $i)) (br $top)))
      (call $log (global.get $g))
      (call_indirect $tab (type $t) (i32.const 1) (i32.const 0))
      (memory.init $m $d (i32.const 0) (i32.const 0) (i32.const 0))
      (i32.load $m offset=4 (i32.const 0)) drop)
    (export "again" (func $f))
    (start $nothing))`;
  const m = model(text);

  it('are resolved in each space', () => {
    const uses = new Map<string, number>();
    for (const r of m.references) {
      const key = `${r.definition.space} ${r.definition.name || r.definition.index}`;
      uses.set(key, (uses.get(key) ?? 0) + 1);
    }
    expect(Object.fromEntries(uses)).toEqual({
      'type $t': 3,
      'func $log': 3,
      'memory $m': 3,
      'global $g': 2,
      'table $tab': 3,
      'elem $e': 1,
      'data $d': 2,
      'func $f': 3,
      'local $i': 3,
      'local 0': 1,
      'label $out': 2,
      'label $top': 2,
    });
    expect(m.unresolved.map(u => text.slice(u.start, u.end))).toEqual(['$nothing']);
  });

  it('know their types and exports', () => {
    const f = m.functions.at(-1)!;
    expect(f.definition.exports).toEqual(['f', 'again']);
    expect(f.locals.map(l => [l.name, l.type])).toEqual([
      ['', 'i32'],
      ['$i', 'i32'],
    ]);
    expect(m.spaces.get('global')![0]!.type).toBe('(mut i32)');
    expect(m.spaces.get('type')![0]!.type).toBe('(func (param $a i32) (result i32))');
  });
});

describe('places in the text', () => {
  it('are known for each operator, whatever way it is written', async () => {
    const text = `(module (memory 1) (table 1 funcref) (func $f)
      (func (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0))
          (then (i32.load offset=4 (i32.const 1))) (else (block $b (result i32) (br $b (i32.const 2))))))
      (func (if (i32.const 1) (then) (else)) if nop else end block $a (call_indirect (i32.const 0)) end $a)
      (func i32.const 1 if $l call $f else $l nop end $l (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16) drop
        (i32.const 0) (v128.store8_lane 3 (v128.const f32x4 nan inf -inf 0x1p3)) select unreachable))`;
    const broken = text.replace('(i32.const 0) (v128.store8_lane 3', '(v128.store8_lane 3 (i32.const 0)');
    const module = decodeModule(await encode(broken));
    const functions = bodiesOf(model(broken));
    expect(functions).toHaveLength(module.bodies.length);
    functions.forEach((f, i) => {
      const index = module.importedFunctions + i;
      const positions = operatorPositions(f, module, index);
      expect(positions).not.toBeNull();
      const words = printFunction(module, index)
        .filter(l => l.depth > 0 || l.text === ')')
        .map(l => l.text.split(' ')[0]);
      const shown = positions!.map(p => broken.slice(p.range.start, p.range.end));
      expect(shown.map((s, n) => (s === ')' && words[n] === 'end' ? 'end' : s))).toEqual(words);
    });
  });

  it('agree with the encoder on every operator of a printed module', async () => {
    const text = `(module (memory 1) ${Array.from({ length: 200 }, (_, i) => `(func (param i64) (result i64) (i64.add (local.get 0) (i64.const ${i})))`).join('\n')})`;
    const module = decodeModule(await encode(text));
    for (const [i, f] of bodiesOf(model(text)).entries())
      expect(f.operators).toHaveLength(operatorOffsets(module, i).length);
  });

  it.each([
    ['(module (func (result i32) (i64.const 1)))', [[')', 'type mismatch']]],
    ['(module (func (drop (i32.add (i32.const 1) (f32.const 2)))))', [['i32.add', 'type mismatch']]],
    [
      '(module (func $a i32.add drop) (func) (func $b local.get 3 drop))',
      [
        ['i32.add', ''],
        ['local.get', 'unknown local'],
      ],
    ],
    ['(module (global i32 (f32.const 1)) (func))', [['global', 'type mismatch']]],
    ['(module (func $a) (export "x" (func $a)) (export "x" (func $a)))', [['$a', 'duplicate export']]],
    ['(module\n  (func\n    (i32.cnst 1)))', [['i32.cnst', 'unexpected token']]],
    ['(module (func (call $nobody)))', [['$nobody', 'undefined function']]],
  ])('%s', async (text, expected) => {
    const found = await problems(text);
    expect(found.map(f => f[0])).toEqual(expected.map(e => e[0]));
    for (const [i, f] of found.entries()) expect(f[1]).toContain(expected[i]![1]);
  });

  it('count bytes where the parser does', () => {
    const text = '(module (; éé ;) (fnc))';
    const at = Buffer.from(text.slice(0, text.indexOf('fnc'))).length + 1;
    expect(parserProblems(`x.wat:1:${at}: error: what\n...`, text)).toEqual([
      { start: text.indexOf('fnc'), end: text.indexOf('fnc') + 3, message: 'what' },
    ]);
  });

  it('nothing is wrong with what is valid', async () => {
    expect(await problems('(module (func (result i32) i32.const 1))')).toEqual([]);
    expect(await problems('')).toEqual([]);
  });
});

describe('debug information of text', () => {
  const text =
    '(module\n  (import "e" "f" (func $f))\n  (func $g (param i32)\n    local.get 0\n    (call $f)\n    drop)\n  (func\n    nop))\n';
  const sections = (bytes: Uint8Array) =>
    new Map(decodeModule(bytes).customSections.map(s => [s.name, bytes.subarray(s.start, s.end)]));

  it('maps each operator to its line and column, and leaves the module as it was', async () => {
    const bytes = await encodeWat('/x/y.wat', new TextEncoder().encode(text));
    const plain = await encode(text);
    expect(bytes.subarray(0, plain.length)).toEqual(plain);
    const module = decodeModule(bytes);
    const info = openDebugInfo(sections(bytes));
    const found = [1, 2].map(i =>
      operatorOffsets(module, i).map(o => {
        const at = info.lookup(o - module.codeStart)!;
        return `${at.file}:${at.line}:${at.column}`;
      }),
    );
    expect(found).toEqual([
      ['/x/y.wat:4:5', '/x/y.wat:5:6', '/x/y.wat:6:5', '/x/y.wat:6:9'],
      ['/x/y.wat:8:5', '/x/y.wat:8:8'],
    ]);
    expect(info.warnings).toEqual([]);
  });

  it('is read by an independent reader', async () => {
    const bytes = await encodeWat('/x/y.wat', new TextEncoder().encode(text));
    const { commands, runLLVM } = await import('@yowasp/clang');
    await runLLVM(undefined, {}, { fetchProgress: () => {} });
    let out = '';
    const decoder = new TextDecoder();
    const addresses = ['0x2', '0x3', '0x5', '0x7', '0x8', '0xb', '0xc'];
    const files = { 'm.wasm': bytes };
    const { symbolizer } = commands as unknown as Record<string, typeof commands.size>;
    await symbolizer!(['--obj=m.wasm', '--output-style=LLVM', '-f=none', ...addresses], files, {
      stdout: (b: Uint8Array | null) => {
        if (b) out += decoder.decode(b, { stream: true });
      },
    });
    const places = ['3:9', '4:5', '5:6', '6:5', '6:9', '8:5', '8:8'];
    expect(out.split('\n').filter(l => l !== '')).toEqual(places.map(p => `/x/y.wat:${p}`));
  });
});
