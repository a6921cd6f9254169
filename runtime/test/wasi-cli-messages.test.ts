/**
 * What lucet-wasi says to someone who doesn't know it: where its words begin, what a program that gave up said, what is
 * missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { asc } from '../../scripts/asc.ts';
import { clang } from '../../scripts/clang.ts';
import { libraryPath } from '../library.ts';
import { body, exportEntry, functionType, KIND, moduleBytes, uleb } from '../wasm-writer.ts';
import { describeNative } from './support/guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'lucet-messages-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function lucetWasi(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(join(dirname(libraryPath()), 'lucet-wasi'), args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), LUCET_NODE: process.execPath, ...env },
  });
  return { status, stdout, stderr };
}

/** Neither compiles nor finds source lines. */
const WITHOUT_NODE = { LUCET_NODE: '/nonexistent' };

async function file(name: string, text: string): Promise<string> {
  writeFileSync(join(folder, name), await wat(text));
  return name;
}

function compiled(name: string): string {
  writeFileSync(join(folder, `${name}.so`), compile(readFileSync(join(folder, name))));
  return `${name}.so`;
}

/** A program that writes `text` to a descriptor, then does `rest`. */
const writer = (fd: number, text: string, rest: string): string => `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00\\11\\00\\00\\00\\${(text.length - 1).toString(16).padStart(2, '0')}\\00\\00\\00")
  (data (i32.const 16) "${text.replaceAll('\n', '\\0a')}")
  (func (export "_start") (drop (call $write (i32.const ${fd}) (i32.const 0) (i32.const 2) (i32.const 64))) ${rest}))`;

describeNative('lucet-wasi says', () => {
  it.each([
    ['with Node', {}],
    ['without', WITHOUT_NODE],
  ] as const)('what it has to say on a line of its own, %s', async (_, env) => {
    const within = compiled(await file('within.wasm', writer(2, 'half a line', 'unreachable')));
    expect(lucetWasi([within], env).stderr).toMatch(/^half a line\ntrap: unreachable/);
    const ended = compiled(await file('ended.wasm', writer(2, 'a line\n', 'unreachable')));
    expect(lucetWasi([ended], env).stderr).toMatch(/^a line\ntrap: unreachable/);
    const output = compiled(await file('output.wasm', writer(1, 'half a line', 'unreachable')));
    expect(lucetWasi([output], env)).toMatchObject({
      stdout: 'half a line',
      stderr: expect.stringMatching(/^trap: /),
    });
    const long = compiled(await file('long.wasm', writer(2, 'wait', '(loop (br 0))')));
    expect(lucetWasi(['--timeout', '20ms', long], env).stderr).toBe(
      'wait\nlucet-wasi: the time is over (--timeout 20ms)\n',
    );
    // Where both go to the same place, what was written last counts.
    const both = spawnSync(
      'sh',
      ['-c', '"$0" output.wasm.so 2>&1', join(dirname(libraryPath()), 'lucet-wasi')],
      {
        cwd: folder,
        encoding: 'utf8',
      },
    );
    expect(both.stdout).toMatch(/^half a line\ntrap: /);
  });

  it('what an AssemblyScript program said when it aborted, and where', () => {
    const source = `export function check(n: i32): void {
  if (n < 0) throw new Error("negative: ü 😀");
  assert(n != 0, "zero");
}
`;
    asc(folder, { 'index.ts': source }, ['-O', '--debug']);
    const check = (n: number) => lucetWasi(['--invoke', 'check', 'index.wasm', `${n}`]);
    expect(check(1)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(check(-1).stderr).toMatch(
      /^trap: unreachable \(Unreachable\)\n {2}The program aborted: negative: ü 😀, at index\.ts:2:14\.\n/,
    );
    expect(lucetWasi(['--trap-json', 'trap.json', '--invoke', 'check', 'index.wasm', '0']).status).toBe(134);
    expect(JSON.parse(readFileSync(join(folder, 'trap.json'), 'utf8')).explanation).toBe(
      'The program aborted: zero, at index.ts:3:3.',
    );
  }, 60_000);

  it('what variables hold, also of a program whose memory is too large to be handed on', async () => {
    const source = `#include <stddef.h>
int main(void) {
  const char *last_words = "no more";
  if (__builtin_wasm_memory_grow(0, 20000) == (size_t)-1) return 3;
  if (last_words[0] == 'n') __builtin_trap();
  return 0;
}
`;
    writeFileSync(join(folder, 'large.wasm'), await clang({ 'large.c': source }, ['-g', '-O0']));
    const { status, stderr } = lucetWasi(['--max-heap-size', '2G', 'large.wasm']);
    expect(status).toBe(134);
    expect(stderr).toMatch(/^ {2}last_words: const char \* = .*"no more"$/m);
  }, 60_000);

  it('nothing of what an abort points to that is no string', async () => {
    const string = (at: number, length: number, text = ''): string =>
      `(block (result i32) (i32.store (i32.const ${at - 4}) (i32.const ${length})) ${[
        ...Array(text.length).keys(),
      ]
        .map(i => `(i32.store16 (i32.const ${at + 2 * i}) (i32.const ${text.charCodeAt(i)}))`)
        .join('')} (i32.const ${at}))`;
    const nowhere = 'at an unknown file:7:9';
    const cases: readonly (readonly [message: string, expected: string | RegExp])[] = [
      ...[0, 1, 3, -1, -4, 65535, 65536, 65540, 0x7fffffff].map(
        at => [`(i32.const ${at})`, nowhere] as const,
      ),
      [string(1001, 4, 'ab'), `ab, ${nowhere}`],
      // It ends behind the memory; it is longer than anyone reads.
      [string(65532, 6), nowhere],
      [string(1000, -1, 'x'), /^x\ufffd{1999}…, at /],
      // Halves of pairs, and what acts on terminals.
      [string(1000, 4, '\ud83d!'), `\ufffd!, ${nowhere}`],
      [string(1000, 4, '\ude00\ud83d'), `\ufffd\ufffd, ${nowhere}`],
      [string(1000, 8, '\u001b[2J'), `\\x1b[2J, ${nowhere}`],
    ];
    const functions = cases.map(
      ([message], i) =>
        `(func (export "f${i}") (call $abort ${message} (i32.const ${i < 9 ? 65536 : 0}) (i32.const 7) (i32.const 9)))`,
    );
    const so = compiled(
      await file('aborts.wasm', writer(2, 'x', 'nop').replace(/\)$/, `${functions.join('\n')})`)),
    );
    for (const [i, [, expected]] of cases.entries()) {
      const { status, stderr } = lucetWasi(['--invoke', `f${i}`, so], WITHOUT_NODE);
      expect(status).toBe(134);
      expect(/The program aborted: (.*)\.$/m.exec(stderr)![1]).toMatch(expected);
    }
  });

  it('that imports are missing before it compiles', async () => {
    const path = await file(
      'missing.wasm',
      `(module (import "env" "memory" (memory 1 2)) (import "env" "f" (func)) (import "env" "t" (table 1 2 funcref))
        (import "env" "g" (global (mut i64))) (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (func (export "_start")))`,
    );
    const names = '  memory env.memory\n  function env.f\n  table env.t\n  global env.g\n';
    const told = `lucet-wasi: missing.wasm needs 4 imports that are not provided:\n${names}`;
    expect(lucetWasi([path], WITHOUT_NODE)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(told),
    });
    // What is given a stand-in isn't missing.
    expect(lucetWasi(['--unknown-imports', 'trap', path], WITHOUT_NODE).stderr).toContain('needs 3 imports');
    // Of another type than it has: that is found when it is linked.
    const other = await file('other.wasm', '(module (import "env" "abort" (func)) (func (export "_start")))');
    expect(lucetWasi([other], WITHOUT_NODE).stderr).toContain('has to be compiled first');
    expect(lucetWasi([other]).stderr).toContain('function env.abort\n');
  });

  it('that imports of a text are missing before it compiles', () => {
    const functions = Array.from({ length: 3 }, (_, i) => `(func (result i32) (i32.const ${i}))`).join('\n');
    writeFileSync(
      join(folder, 'text.wat'),
      `(module (import "env" "f" (func)) (memory 1) ${functions} (func (export "_start")))`,
    );
    const cache = join(folder, 'empty-cache');
    const { status, stderr } = lucetWasi(['text.wat'], { XDG_CACHE_HOME: cache });
    expect(status).toBe(1);
    expect(stderr).toContain(
      'lucet-wasi: text.wat needs an import that is not provided:\n  function env.f\n',
    );
    // Nobody has waited for it.
    const kept = existsSync(cache) ? readdirSync(cache, { recursive: true }) : [];
    expect(kept.filter(path => `${path}`.endsWith('.so'))).toEqual([]);
    expect(lucetWasi(['--unknown-imports', 'trap', 'text.wat']).status).toBe(0);
  });

  it('what the compiler says of a module that is broken, wherever it is', async () => {
    const whole = await wat('(module (import "env" "f" (func)) (func (export "_start")))');
    for (let length = 8; length < whole.length; length++) {
      writeFileSync(join(folder, 'cut.wasm'), whole.subarray(0, length));
      const { status, stderr } = lucetWasi(['cut.wasm'], WITHOUT_NODE);
      expect([
        status,
        /^lucet-wasi: cut\.wasm (?:has to be compiled first|needs an import)/.test(stderr),
      ]).toEqual([1, true]);
    }
  });

  it('which exports there are, those first that are like the one it was asked for', () => {
    const names = Array.from({ length: 3000 }, (_, i) => `function${i}`);
    const all = [...names, 'Main', 'x'.repeat(500)];
    const path = join(folder, 'many.wasm');
    writeFileSync(
      path,
      moduleBytes({
        type: [functionType([], [])],
        function: [uleb(0)],
        export: all.map(n => exportEntry(n, KIND.func, 0)),
        code: [body([], [])],
      }),
    );
    const { status, stderr } = lucetWasi(['--invoke', 'main', 'many.wasm']);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^lucet-wasi: many\.wasm exports no function main\. It exports: Main, function0, .*, and 2994 more \(lucet-objdump lists all\)\.\n$/,
    );
    expect(lucetWasi(['--invoke', 'xx', 'many.wasm']).stderr).toContain(` It exports: ${'x'.repeat(100)}…, `);
    expect(lucetWasi(['many.wasm']).stderr).toContain('A WASI program must');
  });
});
