/**
 * lucetc as users type it: exit codes, errors with their place, nothing written on failure, every option either done or
 * refused.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NOT_YET, OPTIONS } from '../cli/command-line.ts';
import { readInput, writeOutput } from '../cli/files.ts';
import { type Tool, ToolProcess, type ToolResult } from './support/tool-process.ts';
import { wat } from './support/wasm.ts';

const bin = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin');
let dir = '';

const path = (name: string) => join(dir, name);

const tools = new ToolProcess();
const run = (tool: Tool, ...args: string[]): Promise<ToolResult> => tools.run(tool, args, dir);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucetc-test-'));
  writeFileSync(
    path('add.wasm'),
    await wat(
      '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))',
    ),
  );
  writeFileSync(
    path('add.wat'),
    '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))',
  );
  const invalid = Uint8Array.from(readFileSync(path('add.wasm')));
  invalid[invalid.indexOf(0x6a)] = 0x7c;
  writeFileSync(path('invalid.wasm'), invalid);
  writeFileSync(path('wasi.wat'), '(module (import "wasi_snapshot_preview1" "fd_nothing" (func)))');
});

afterAll(() => {
  tools.stop();
  rmSync(dir, { recursive: true, force: true });
});

describe('files', () => {
  it.each([
    [['none.wasm'], 'Error: none.wasm: no such file or directory\n'],
    [['.'], 'Error: .: is a directory\n'],
    [['add.wasm', '-o', 'none/add.so'], "Error: can't write none/add.so: no such file or directory\n"],
    [['add.wasm', '-o', '.'], /^Error: can't write \.: .*\n$/],
    [['empty.wasm'], 'Error: empty.wasm: malformed: the file is empty at offset 0x0\n'],
    [['--emit', 'exe', 'add.wasm', '-o', '-'], 'Error: usage: --emit exe: a program needs a file, -o FILE\n'],
  ])('%j is refused, with the file it is about', async (args, message) => {
    writeFileSync(path('empty.wasm'), '');
    const before = readdirSync(dir);
    const { status, stderr } = await run('lucetc', ...args);
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
    expect(readdirSync(dir)).toEqual(before);
  });

  it.each([
    [
      'hello.c',
      '#include <stdio.h>\n',
      'this is C: build a .wasm of it first, by clang --target=wasm32-wasip1 -g',
    ],
    [
      'main.rs',
      'fn main() {}\n',
      'this is Rust: build a .wasm of it first, by rustc --target wasm32-wasip1 -g',
    ],
    [
      'program',
      readFileSync(process.execPath).subarray(0, 64),
      'this is a program or library of the machine, no WebAssembly',
    ],
    ['m.wasm.gz', gzipSync('x'), 'this is compressed: unpack it first, by gunzip'],
    [
      'component.wasm',
      Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0),
      'unknown binary version: this is a component (WASI 0.2); build a core module, for WASI preview 1 (wasm32-wasip1) at offset 0x4',
    ],
  ])('%s is no module, and what to do is said', async (name, content, message) => {
    writeFileSync(path(name), content);
    expect((await run('lucetc', name, '-o', 'x.so')).stderr).toBe(`Error: ${name}: malformed: ${message}\n`);
  });

  it('what is compiled already, and what is not linked yet, is told from a program', async () => {
    expect((await run('lucetc', 'add.wasm', '-o', 'compiled.so')).status).toBe(0);
    expect((await run('lucetc', 'compiled.so', '-o', 'x.so')).stderr).toMatch(
      /compiled already: lucet-wasi runs it\n$/,
    );
    writeFileSync(path('hello.o'), await wat('(module (import "env" "__linear_memory" (memory 0)))'));
    expect((await run('lucetc-wasi', 'hello.o', '-o', 'x.so')).stderr).toMatch(/an object file, .*: link it/);
  });

  it("'-' is standard input and output", async () => {
    expect((await run('lucetc', 'add.wasm', '-o', 'add-file.so')).status).toBe(0);
    const { status, stdout } = spawnSync(process.execPath, [join(bin, 'lucetc.js'), '-', '-o', '-'], {
      cwd: dir,
      input: readFileSync(path('add.wasm')),
    });
    expect(status).toBe(0);
    expect(stdout.equals(readFileSync(path('add-file.so')))).toBe(true);
    expect(existsSync(path('-'))).toBe(false);
  });
});

describe('what output goes to', () => {
  const bytes = Buffer.from('the whole result');

  it('a link stays one, and what it points to is replaced or made', () => {
    writeFileSync(path('target'), 'old', { mode: 0o600 });
    symlinkSync('target', path('link'));
    symlinkSync('made', path('link-to-nothing'));
    for (const [link, target] of [
      ['link', 'target'],
      ['link-to-nothing', 'made'],
    ] as const) {
      writeOutput(path(link), bytes);
      expect(lstatSync(path(link)).isSymbolicLink()).toBe(true);
      expect(readFileSync(path(target))).toEqual(bytes);
    }
  });

  it('a pipe or a device is written to, never replaced', () => {
    execFileSync('mkfifo', [path('pipe')]);
    const reader = openSync(path('pipe'), constants.O_RDONLY | constants.O_NONBLOCK);
    writeOutput(path('pipe'), bytes);
    const read = Buffer.alloc(100);
    expect(read.subarray(0, readSync(reader, read))).toEqual(bytes);
    closeSync(reader);
    expect(lstatSync(path('pipe')).isFIFO()).toBe(true);
    symlinkSync('/dev/null', path('null'));
    writeOutput(path('null'), bytes);
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
    symlinkSync('/dev/full', path('full'));
    expect(() => writeOutput(path('full'), bytes)).toThrow(/^can't write .*full: no space left on device$/);
  });

  it('a name that is no UTF-8 is refused: another would be written', () => {
    expect(() => writeOutput(path('a\ufffd.so'), bytes)).toThrow(/not valid UTF-8/);
    expect(() => readInput(path('a\ufffd.wasm'))).toThrow(/not valid UTF-8/);
  });

  it('what has no end is not read for ever', () => {
    expect(() => readInput('/dev/zero', 1 << 20)).toThrow(
      '/dev/zero: larger than 1048576 bytes, the most that is read',
    );
    expect(readInput('/proc/self/status').length).toBeGreaterThan(100);
  });

  it('a name as long as names can be is one', () => {
    const long = path('ü'.repeat(127));
    writeOutput(long, bytes);
    expect(readInput(long)).toEqual(bytes);
    rmSync(long);
  });

  it('text that nobody can take is an error without a stack trace', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [join(bin, 'lucetc.js'), '--help'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect([status, stderr]).toEqual([1, "Error: can't write standard output: no space left on device\n"]);
  });

  it('an interrupted compilation leaves nothing', async () => {
    const slow = `(module ${'(func (local i32) '.concat('(local.set 0 (i32.mul (local.get 0) (i32.const 3)))'.repeat(3000), ')').repeat(30)})`;
    writeFileSync(path('slow.wat'), slow);
    const before = readdirSync(dir);
    const child = spawn(process.execPath, [join(bin, 'lucetc.js'), 'slow.wat', '-o', 'slow.so'], {
      cwd: dir,
    });
    setTimeout(() => child.kill('SIGINT'), 300);
    const [code, signal] = await once(child, 'exit');
    // A shell says 130.
    expect([code, signal]).toEqual([null, 'SIGINT']);
    expect(readdirSync(dir)).toEqual(before);
  });
});

describe('lucetc', () => {
  it('compiles a binary and a text module to the same code', async () => {
    expect(await run('lucetc', 'add.wasm', '-o', 'a.so')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: '',
    });
    expect((await run('lucetc', 'add.wat', '-o', 'b.so')).status).toBe(0);
    const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
    expect(readFileSync(path('a.so')).subarray(0, 4)).toEqual(magic);
    expect(readFileSync(path('b.so')).subarray(0, 4)).toEqual(magic);
  });

  it('lets nothing of a module act on the terminal', async () => {
    const evil = '\u001b]0;title\u0007\u009b31m\u202e\r';
    writeFileSync(path('evil.wat'), `(module (func $${evil} (foo)))`);
    const escaped = [...Buffer.from(evil)].map(b => `\\${b.toString(16).padStart(2, '0')}`).join('');
    writeFileSync(
      path('evil.wasm'),
      await wat(`(module (import "wasi_snapshot_preview1" "${escaped}" (func)))`),
    );
    for (const [tool, file] of [
      ['lucetc', 'evil.wat'],
      ['lucetc-wasi', 'evil.wasm'],
    ] as const) {
      const { status, stderr } = await run(tool, file, '-o', 'evil.so');
      expect(status).toBe(1);
      expect(stderr).toContain('\\x1b]0;title\\x07');
      expect(stderr).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
      const json = (await run(tool, '--error-style', 'json', file, '-o', 'evil.so')).stderr;
      expect(JSON.parse(json)).toHaveProperty('error.kind');
    }
  });

  it('lists extensions, and refuses modules that use one that is off', async () => {
    expect((await run('lucetc', '--features')).stdout).toMatch(/^sign-extension +on /m);
    expect((await run('lucetc', '--features', '--disable-feature', 'memory64,multi-value')).stdout).toMatch(
      /^multi-value +off /m,
    );
    writeFileSync(path('wide.wat'), '(module (memory i64 1))');
    expect((await run('lucetc', 'wide.wat', '-o', 'wide.so')).status).toBe(0);
    const r = await run(
      'lucetc',
      'wide.wat',
      '-o',
      'no.so',
      '--disable-feature',
      'memory64',
      '--error-style',
      'json',
    );
    expect(r.status).toBe(1);
    expect(JSON.parse(r.stderr).error).toMatchObject({ kind: 'unsupported', offset: 11 });
    expect(existsSync(path('no.so'))).toBe(false);
    expect((await run('lucetc', 'add.wat', '--disable-feature', 'magic')).stderr).toContain(
      'there is no feature magic',
    );
  });

  it('writes to a.out when nothing else is said', async () => {
    expect((await run('lucetc', 'add.wasm')).status).toBe(0);
    expect(existsSync(path('a.out'))).toBe(true);
  });

  it('refuses an invalid module with its offset, exit code 1, and leaves the old output alone', async () => {
    writeFileSync(path('keep.so'), 'old');
    const r = await run('lucetc', 'invalid.wasm', '-o', 'keep.so');
    expect(r.status).toBe(1);
    expect(r.stdout).toBe('');
    expect(r.stderr).toMatch(/^Error: invalid\.wasm: invalid: type mismatch.* at offset 0x[0-9a-f]+/);
    expect(readFileSync(path('keep.so'), 'utf8')).toBe('old');
    expect(readdirSync(dir).filter(f => f.startsWith('.'))).toEqual([]);
  });

  it('prints errors as JSON when asked to', async () => {
    const r = await run('lucetc', '--error-style', 'json', 'invalid.wasm', '-o', 'x.so');
    expect(r.status).toBe(1);
    expect(JSON.parse(r.stderr)).toMatchObject({
      error: { kind: 'invalid', file: 'invalid.wasm', function: 0 },
    });
    expect(JSON.parse((await run('lucetc', '--error-style=json', 'none.wasm')).stderr)).toMatchObject({
      error: { kind: 'io' },
    });
  });

  it.each(Object.keys(NOT_YET))('refuses --%s by name', async name => {
    const r = await run('lucetc', `--${name}=1`, 'add.wasm');
    expect(r).toMatchObject({ status: 1, stdout: '' });
    expect(r.stderr).toMatch(new RegExp(`--${name}.*not supported yet`));
  });

  it.each([
    [['--nonsense', 'add.wasm'], /nonsense/],
    [[], /INPUT/],
    [['add.wasm', 'add.wat'], /one INPUT/],
    [['--opt-level', '7', 'add.wasm'], /opt-level 7/],
    [['--target', 'riscv64-linux', 'add.wasm'], /riscv64-linux.*not supported/],
    [['--target-cpu', 'z80', 'add.wasm'], /z80/],
    [['--target-feature', '+mmx9', 'add.wasm'], /mmx9/],
    [['-g', '-O2', 'add.wasm'], /opt-level 0 only/],
    [['-g', '--strip-debug', 'add.wasm'], /exclude each other/],
    [['--emit', 'obj', 'add.wasm'], /emit obj.*not supported yet/],
    [['--workers', '0', 'add.wasm'], /workers 0/],
    [['--bindings', 'none.json', 'add.wasm'], /none\.json/],
    [['--no-translate-wat', 'add.wat'], /not a WebAssembly binary/],
    [['--wasi_exe', 'add.wasm'], /_start/],
    [['none.wasm'], /none\.wasm/],
    [['add.wasm', '-o', 'no/such/folder/x.so'], /no\/such\/folder/],
  ])('%j is an error that says why', async (args, message) => {
    const r = await run('lucetc', ...args);
    expect(r).toMatchObject({ status: 1, stdout: '' });
    expect(r.stderr).toMatch(/^Error: /);
    expect(r.stderr).toMatch(message);
  });

  it('lists every option in its help, and its version', async () => {
    const help = (await run('lucetc', '--help')).stdout;
    for (const name of Object.keys(OPTIONS)) expect(help).toContain(`--${name}`);
    expect((await run('lucetc-wasi', '--help')).stdout).toContain('lucetc-wasi');
    expect((await run('lucetc', '--version')).stdout).toMatch(/^lucetc \d+\.\d+\.\d+\n$/);
  });

  it('emits the intermediate code as text', async () => {
    expect((await run('lucetc', '--emit', 'ir', 'add.wasm', '-o', 'add.ir')).status).toBe(0);
    expect(readFileSync(path('add.ir'), 'utf8')).toMatch(/add\.i32/);
  });
});

describe('lucetc-wasi', () => {
  it('refuses an import that WASI does not have, which lucetc leaves open', async () => {
    const r = await run('lucetc-wasi', 'wasi.wat', '-o', 'w.so');
    expect(r.status).toBe(1);
    expect(r.stderr).toContain('fd_nothing');
    expect((await run('lucetc', 'wasi.wat', '-o', 'w.so')).status).toBe(0);
  });
});
