/** lucet-wasi as users type it. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { printable } from '../../compiler/printable.ts';
import { ToolProcess, type ToolResult } from '../../compiler/test/support/tool-process.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { WASI_BINDINGS } from '../../compiler/wasi-bindings.ts';
import { clang } from '../../scripts/clang.ts';
import { completionScript, helpText, OPTIONS } from '../lucet-wasi-options.ts';
import { formatTrap } from '../lucet-wasi-report.ts';
import { explain, repeatingPeriod } from '../trap-explain.ts';
import type { TrapFacts } from '../trap-facts.ts';
import { type ReportFrame, TRAP_REPORT_VERSION, type TrapReport } from '../trap-report.ts';
import { body, exportEntry, functionType, KIND, moduleBytes, name, uleb } from '../wasm-writer.ts';
import { validReport } from './support/report-schema.ts';

it('help and completions name every option', () => {
  for (const text of [helpText(), completionScript('bash'), completionScript('zsh')]) {
    for (const name of Object.keys(OPTIONS)) expect(text).toContain(`--${name}`);
  }
  for (const name of Object.keys(OPTIONS)) expect(completionScript('fish')).toContain(`-l ${name} `);
  expect(spawnSync('bash', ['-n'], { input: completionScript('bash'), encoding: 'utf8' }).stderr).toBe('');
});

describe('reports', () => {
  const frame = (functionName: string, functionIndex = 0): ReportFrame => ({
    kind: 'wasm',
    moduleName: 'm',
    functionIndex,
    functionName,
    isInlined: false,
    wasmOffset: 16,
    textOffset: -1,
    source: null,
    variables: null,
    count: 0,
  });
  const draft = (given: Partial<TrapReport>): Omit<TrapReport, 'explanation'> => ({
    version: TRAP_REPORT_VERSION,
    kind: 'trap',
    code: 'HeapOutOfBounds',
    message: 'out of bounds memory access',
    moduleName: 'm',
    modulePath: null,
    moduleHash: '',
    compileOptions: null,
    userFrame: null,
    table: null,
    globals: [],
    bytes: null,
    warnings: [],
    functionIndex: 0,
    functionName: '',
    wasmOffset: 16,
    source: null,
    access: null,
    signal: 11,
    faultAddress: null,
    pc: '0x0',
    registers: {},
    frames: [],
    totalFrames: given.frames?.length ?? 0,
    ...given,
  });
  const text = (given: Partial<TrapReport>, full = false): string =>
    formatTrap({ ...draft(given), explanation: explain(draft(given)) }, { color: false, full });

  it('explain an access from its facts', () => {
    const access = (offset: string, memorySize: number, memory = 0) =>
      text({ access: { memory, offset, memorySize, operator: null, write: null, size: null } });
    expect(access('70000', 65536)).toContain(
      'address 0x11170, but the memory has 0x10000 bytes (1 page): 4,464 bytes beyond its end',
    );
    expect(access('4294967292', 131072, 1)).toMatch(
      /the memory 1 has .* \(2 pages\): close to 4 GiB \(4 bytes below 4 GiB\), so likely a negative index/,
    );
    expect(access('65534', 65536)).toContain('begins inside and ends outside');
  });

  it('name the cycle of a recursion', () => {
    const frames = Array.from({ length: 30 }, (_, i) => frame(i % 2 ? 'even' : 'odd', i % 2));
    expect(text({ code: 'StackOverflow', frames })).toContain('even calls odd, which calls even again');
    expect(repeatingPeriod([1, 1, 1])).toBe(1);
    expect(repeatingPeriod([1, 2, 3, 1, 2, 3, 1, 2, 3])).toBe(3);
    expect(repeatingPeriod([1, 2, 3, 4, 5, 6])).toBe(0);
    expect(repeatingPeriod([])).toBe(0);
  });

  it('show a long backtrace in part unless told otherwise', () => {
    const frames = Array.from({ length: 20 }, (_, i) => frame(`f${i}`, i));
    expect(text({ frames })).toMatch(/#11 f11.*\n.*8 more \(--backtrace full/);
    expect(text({ frames }, true)).toMatch(/#19 f19/);
  });

  it('let nothing that comes out of a module act on the terminal', () => {
    expect(printable('a\u001b[31mb\n\u202ec\u0000')).toBe('a\\x1b[31mb\\x0a\\x202ec\\x00');
    const evil = '\u001b]0;title\u0007';
    const shown = text({ frames: [{ ...frame(evil), source: { file: evil, line: 1, column: 1 } }] });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
});

const bin = join(import.meta.dirname, '../../bin/lucet-wasi');

describe('lucet-wasi', () => {
  let dir = '';
  const path = (name: string): string => join(dir, name);

  interface Result {
    status: number | null;
    stdout: string;
    stderr: string;
  }

  function run(args: string[], options: { env?: Record<string, string>; input?: string } = {}): Result {
    const env = { PATH: process.env.PATH, HOME: path('home'), XDG_CACHE_HOME: path('cache'), ...options.env };
    const { status, stdout, stderr } = spawnSync(bin, args, {
      cwd: dir,
      encoding: 'utf8',
      env,
      input: options.input ?? '',
      timeout: 60_000,
    });
    return { status, stdout, stderr };
  }

  const PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
  if (argc > 1 && strcmp(argv[1], "env") == 0) {
    extern char **environ;
    for (char **e = environ; *e; e++) puts(*e);
    return 0;
  }
  if (argc > 1 && strcmp(argv[1], "cat") == 0) {
    FILE *f = fopen(argv[2], "r+");
    if (!f) f = fopen(argv[2], "r");
    if (!f) { perror(argv[2]); return 1; }
    for (int c; (c = getc(f)) != EOF;) putchar(c);
    return 0;
  }
  if (argc > 1 && strcmp(argv[1], "wait") == 0) {
    getchar();
    puts("went on");
    return 0;
  }
  if (argc > 1 && strcmp(argv[1], "sleep") == 0) {
    sleep(100);
    puts("went on");
    return 0;
  }
  if (argc > 1 && strcmp(argv[1], "spin") == 0) {
    for (volatile int i = 0;; i++) {}
  }
  if (argc > 1 && strcmp(argv[1], "trap") == 0) {
    int *volatile p = (int *)0x7fff0000; // HERE
    return *p;
  }
  for (int i = 0; i < argc; i++) printf("%s%s", i ? "|" : "", argv[i]);
  puts("");
  return 0;
}
`;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-cli-'));
    mkdirSync(path('home'));
    mkdirSync(path('data'));
    writeFileSync(path('data/text'), 'some text\n');
    writeFileSync(path('program.c'), PROGRAM);
    const flags = ['-g', '-O1', '-fdebug-compilation-dir=.'];
    writeFileSync(path('program.wasm'), await clang({ 'program.c': PROGRAM }, flags));
    writeFileSync(
      path('lib.wat'),
      `(module $lib (memory 1)
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "swap") (param i64 f64) (result f64 i64) (local.get 1) (local.get 0))
        (func (export "_initialize")))`,
    );
    const importing = (imports: string): string => `(module ${imports} (func (export "_start")))`;
    writeFileSync(
      path('emscripten.wat'),
      importing('(import "env" "emscripten_notify_memory_growth" (func (param i32)))'),
    );
    writeFileSync(path('minified.wat'), importing('(import "a" "b" (func))'));
    writeFileSync(path('bindgen.wat'), importing('(import "wbg" "__wbindgen_throw" (func (param i32 i32)))'));
    writeFileSync(path('memory.wat'), importing('(import "env" "memory" (memory 1))'));
    writeFileSync(path('unknown.wat'), importing('(import "wasi_snapshot_preview1" "fd_dance" (func))'));
    writeFileSync(
      path('mistyped.wat'),
      importing('(import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))'),
    );
    writeFileSync(
      path('stand-in.wat'),
      importing(
        '(import "a" "one" (func $f (param i64) (result i32 v128 f64))) (func (export "f") (result i32 v128 f64) (call $f (i64.const -1)))',
      ),
    );
    writeFileSync(path('entry.wat'), '(module (func (export "_start") (param i32)))');
    writeFileSync(path('none.wat'), '(module (func (export "other")))');
    // Most of what is tested here is no matter of how a module was compiled, and Node takes its time to start.
    const texts = [
      'lib',
      'minified',
      'bindgen',
      'memory',
      'unknown',
      'mistyped',
      'stand-in',
      'entry',
      'none',
    ];
    for (const name of texts)
      writeFileSync(
        path(`${name}.so`),
        compile(await wat(readFileSync(path(`${name}.wat`), 'utf8')), { bindings: WASI_BINDINGS }),
      );
    writeFileSync(path('alone.so'), compile(readFileSync(path('program.wasm')), { bindings: WASI_BINDINGS }));
    writeFileSync(path('component.wasm'), Uint8Array.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]));
    writeFileSync(path('junk.so'), 'nothing');
    writeFileSync(path('broken.wasm'), Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 99]));
  }, 120_000);

  const tools = new ToolProcess();
  afterAll(() => {
    tools.stop();
    rmSync(dir, { recursive: true });
  });

  it('gives the guest its arguments, and leaves stdout to it', () => {
    expect(run(['program.wasm', '--dir', 'x y', ''])).toEqual({
      status: 0,
      stdout: 'program.wasm|--dir|x y|\n',
      stderr: '',
    });
  });

  it('exits with the guest’s status', () => {
    expect(run(['alone.so', 'exit', '0']).status).toBe(0);
    expect(run(['alone.so', 'exit', '7']).status).toBe(7);
    expect(run(['alone.so', 'exit', '-1']).status).toBe(255);
  });

  it('passes on only the variables that it is told to', () => {
    const env = { SECRET: 'x', SHOWN: 'y' };
    expect(run(['alone.so', 'env'], { env }).stdout).toBe('');
    expect(
      run(['--env', 'SHOWN', '--env', 'NEW=a=b', '--env', 'ABSENT', 'alone.so', 'env'], { env }).stdout,
    ).toBe('SHOWN=y\nNEW=a=b\n');
    expect(run(['--inherit-env', 'alone.so', 'env'], { env }).stdout).toContain('SECRET=x\n');
  });

  it('grants only the directories that it is told to', () => {
    const cat = ['alone.so', 'cat'];
    expect(run([...cat, 'data/text']).status).toBe(1);
    expect(run(['--dir', 'data', ...cat, 'data/text']).stdout).toBe('some text\n');
    expect(run(['--dir', 'data::/guest', ...cat, '/guest/text']).stdout).toBe('some text\n');
    expect(run(['--dir', 'data:/guest', ...cat, '/guest/../text']).status).toBe(1);
    expect(run(['--readonly-dir', `${path('data')}::/`, ...cat, '/text']).stdout).toBe('some text\n');
    const absent = run(['--dir', 'absent', 'alone.so']);
    expect(absent).toMatchObject({ status: 1, stdout: '' });
    expect(absent.stderr).toMatch(/directory absent: no such file or directory/);
  });

  it('unknown functions are refused, trap when they are called, or return zeros', () => {
    const call = (...options: string[]) => run([...options, 'stand-in.so']);
    expect(run(['stand-in.wat'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/function a\.one\n/),
    });
    expect(call()).toMatchObject({ status: 1, stderr: expect.stringMatching(/function a\.one\n/) });
    expect(call('--unknown-imports', 'trap')).toEqual({ status: 0, stdout: '', stderr: '' });
    const trapped = call('--unknown-imports', 'trap', '--invoke', 'f');
    expect(trapped).toMatchObject({ status: 134, stdout: '' });
    expect(trapped.stderr).toMatch(
      /^lucet-wasi: the program called a\.one, which is not provided .*\n(.*\n)*trap: /,
    );
    expect(call('--unknown-imports', 'zero', '--invoke', 'f')).toMatchObject({ status: 0, stderr: '' });
    expect(call('--unknown-imports', 'zero', '--invoke', 'f').stdout).toMatch(/^0\n.*0\n0\n$/);
    // There is nothing to stand in for a memory.
    expect(run(['--unknown-imports', 'zero', 'memory.so']).stderr).toMatch(/memory env\.memory/);
    expect(run(['--unknown-imports', 'nothing', 'memory.so']).stderr).toMatch(/expected refuse, trap, zero/);
  });

  it('explains a trap, with the line of the source', () => {
    const trapped = run(['--trap-json', 'trap.json', 'program.wasm', 'trap']);
    expect(trapped).toMatchObject({ status: 134, stdout: '' });
    const line = PROGRAM.split('\n').findIndex(l => l.includes('// HERE')) + 2;
    expect(trapped.stderr).toMatch(
      /^trap: out of bounds memory access \(HeapOutOfBounds\)\n {2}Read 4 bytes at 0x7fff0000, but the memory has/,
    );
    expect(trapped.stderr).toMatch(new RegExp(`${line} \\| +return \\*p;\\n +\\| +\\^\\n`));
    expect(trapped.stderr).toMatch(new RegExp(`#0 \\w+ +at .*program\\.c:${line}:`));
    const report = JSON.parse(readFileSync(path('trap.json'), 'utf8')) as TrapReport;
    expect(report).toMatchObject({
      version: 2,
      code: 'HeapOutOfBounds',
      access: { memory: 0, offset: `${0x7fff0000}` },
    });
    expect(report.source?.line).toBe(line);
    expect(trapped.stderr).toContain('p: int * volatile = 0x7fff0000');
    expect(report.frames[0]!.variables).toContainEqual(
      expect.objectContaining({ name: 'p', value: '0x7fff0000' }),
    );
    expect(validReport(report)).toEqual([]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what colours are
    const colours = /\u001b\[/;
    expect(trapped.stderr).not.toMatch(colours);
    expect(run(['--color', 'always', 'alone.so', 'trap']).stderr).toMatch(colours);
    run(['--coredump', 'core', 'alone.so', 'trap']);
    // V8 takes it for a module: memory, globals and data are what it has them for.
    const core = new WebAssembly.Module(readFileSync(path('core')));
    const [stack] = WebAssembly.Module.customSections(core, 'corestack');
    // One thread, "main", three frames; of the first: instance 0 and the function that trapped.
    expect([...new Uint8Array(stack!).subarray(0, 10)]).toEqual([
      0,
      4,
      ...Buffer.from('main'),
      3,
      0,
      0,
      report.functionIndex,
    ]);
    expect(run(['--backtrace', 'full', 'alone.so', 'trap']).stderr).toMatch(
      /program\.c:\d+:\d+ \(.*\+0x[0-9a-f]+\)/,
    );
  });

  it('calls a function with arguments and prints what it returns', () => {
    expect(run(['--invoke', 'add', 'lib.wat', '-3', '0xffffffff'])).toEqual({
      status: 0,
      stdout: '-4\n',
      stderr: '',
    });
    expect(run(['--invoke', 'swap', 'lib.so', '-9223372036854775808', '-0']).stdout).toBe(
      '-0\n-9223372036854775808\n',
    );
    expect(run(['--invoke', 'swap', 'lib.so', '1', 'nan']).stdout).toBe('NaN\n1\n');
    for (const args of [['1'], ['1', 'x'], ['1', '4294967296'], ['1', '2', '3'], ['1', '']]) {
      expect(run(['--invoke', 'add', 'lib.so', ...args]), args.join()).toMatchObject({
        status: 1,
        stdout: '',
      });
    }
  });

  it.each([
    ['emscripten.wat', /env\.emscripten_notify_memory_growth\n.*Emscripten.*wasm32-wasi/],
    ['minified.so', /Emscripten/],
    ['bindgen.so', /wbg\.__wbindgen_throw\n.*wasm-bindgen/],
    ['memory.so', /memory env\.memory\n/],
    ['unknown.so', /wasi_snapshot_preview1\.fd_dance/],
    ['mistyped.so', /fd_close/],
    ['entry.so', /_start is of type \(i32\)/],
    ['none.so', /exports no function _start.*It exports: other\./],
    ['lib.so', /reactor.*--invoke/],
    ['component.wasm', /component.*preview 1/],
    ['junk.so', /is no module/],
    ['broken.wasm', /broken\.wasm: malformed/],
    ['absent.so', /no such file/],
    ['.', /directory/i],
  ])('%s: says why it can’t be run', (module, message) => {
    const result = run([module]);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toMatch(/^lucet-wasi: /);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toContain('node:internal');
  });

  it('lets no name of a module act on the terminal', () => {
    const evil = '\u001b]0;title\u0007\u009b31m\u202e\r';
    const names = [...name('name'), 0, ...uleb(name(evil).length), ...name(evil)];
    const withName = (bytes: Uint8Array): Uint8Array =>
      Uint8Array.from([...bytes, 0, ...uleb(names.length), ...names]);
    const type = [functionType([], [])];
    writeFileSync(
      path('evil-import.wasm'),
      withName(moduleBytes({ type, import: [[...name(evil), ...name(evil), KIND.func, 0]] })),
    );
    writeFileSync(
      path('evil-export.wasm'),
      withName(
        moduleBytes({
          type,
          function: [uleb(0)],
          export: [exportEntry(evil, KIND.func, 0)],
          code: [body([], [])],
        }),
      ),
    );
    writeFileSync(path('evil.wat'), `(module (func $${evil} (foo)))`);
    for (const file of ['evil-import.wasm', 'evil-export.wasm', 'evil.wat']) {
      const { status, stderr } = run([file]);
      expect(status).toBe(1);
      expect(stderr).toContain('\\x1b]0;title\\x07');
      expect(stderr).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    }
  });

  it.each<[string[], RegExp]>([
    [[], /no module is given/],
    [['--nothing', 'm'], /unknown option --nothing /],
    [['--inherit-en', 'm'], /did you mean --inherit-env/],
    [['--dri', '.', 'm'], /did you mean --dir\?/],
    [['--stack-sise', '1', 'm'], /did you mean --stack-size/],
    [['-x', 'm'], /unknown option -x/],
    [['--dir'], /--dir needs a value: DIR/],
    [['--inherit-env=yes', 'm'], /takes no value/],
    [['--stack-size', '1', '--stack-size', '2', 'm'], /given twice/],
    [['--fuel=-5', 'm'], /expected a whole number/],
    ...['0', 'x', '1 s', '-1', '1y'].map((t): [string[], RegExp] => [
      ['--timeout', t, 'm'],
      /expected a time/,
    ]),
    [['--constructor', 'm'], /unknown option/],
    [['--backtrace', 'long', 'lib.so'], /expected short, full/],
    [['--color', 'sometimes', 'lib.so'], /expected auto, always, never/],
    [['--opt-level', '3', 'lib.so'], /expected 2, 1, 0/],
    [['--invoke', 'add', '--entrypoint', 'x', 'lib.so'], /exclude each other/],
    ...['', '-1', '1.5M', '1X', '0x10', '99999999999999999999', 'M', 'x'].map((size): [string[], RegExp] => [
      ['--stack-size', size, 'lib.so'],
      /expected a size/,
    ]),
    ...[':', 'a:', '::b', 'a::', 'a:b:c', ''].map((dir): [string[], RegExp] => [
      ['--dir', dir, 'alone.so'],
      /--dir .*(?:HOST::GUEST)/,
    ]),
    [['--env', '=x', 'alone.so'], /expected NAME or NAME=VALUE/],
    [['--socket', 'x', 'alone.so'], /number of a descriptor/],
  ])('%j is refused', (args, message) => {
    const result = run(args);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toMatch(/see lucet-wasi --help/);
  });

  it('options stand before the module; --name=value, -- and sizes with units', () => {
    expect(
      run(['--stack-size=1MiB', '--max-heap-size', '4gb', '--', 'program.wasm', '--', '-h']).stdout,
    ).toBe('program.wasm|--|-h\n');
    expect(run(['--env=A=1', '--env=A=2', 'program.wasm', 'env']).stdout).toBe('A=2\n');
    expect(run(['-h']).stdout).toBe(helpText());
    expect(run(['-V']).stdout).toMatch(/^lucet-wasi /);
    for (const shell of ['bash', 'zsh', 'fish'] as const)
      expect(run(['--completion', shell]).stdout).toBe(completionScript(shell));
  });

  it('without Node: says so, and still reports traps', () => {
    const env = { LUCET_NODE: '/nonexistent/node' };
    expect(run(['--no-cache', 'program.wasm'], { env }).stderr).toMatch(/takes Node\.js/);
    expect(run(['alone.so', 'exit', '3'], { env }).status).toBe(3);
    const trapped = run(['--trap-json', 'alone.json', 'alone.so', 'trap'], { env });
    expect(trapped.status).toBe(134);
    expect(trapped.stderr).toMatch(
      /^trap: out of bounds memory access \(HeapOutOfBounds\)\n {2}Accessed address 0x7fff0000, but memory 0 has 0x[0-9a-f]+ bytes\.\n\n {2}backtrace:\n +#0 \w+ at program\.wasm\+0x[0-9a-f]+\n/,
    );
    // The facts that a report is made of, as there is nobody to make it.
    const { facts } = JSON.parse(readFileSync(path('alone.json'), 'utf8')) as { facts: TrapFacts };
    expect(facts).toMatchObject({ kind: 'trap', access: { memory: 0, offset: `${0x7fff0000}` } });
    expect(facts.frames[0]).toMatchObject({ kind: 0, functionIndex: facts.functionIndex });
  });

  it.each(['spin', 'wait', 'sleep'])('--timeout ends a guest that would %s', what => {
    // A pipe with a writer that never writes: us.
    execFileSync('mkfifo', [path(`fifo-${what}`)]);
    const stdin = openSync(path(`fifo-${what}`), 'r+');
    const { status, stdout, stderr } = spawnSync(bin, ['--timeout', '200ms', path('alone.so'), what], {
      encoding: 'utf8',
      stdio: [stdin, 'pipe', 'pipe'],
      timeout: 15_000,
      killSignal: 'SIGKILL',
    });
    closeSync(stdin);
    expect({ status, stdout, stderr }).toEqual({
      status: 124,
      stdout: '',
      stderr: 'lucet-wasi: the time is over (--timeout 200ms)\n',
    });
  });

  it('lucetc --emit exe: a program of its own, with what it was granted and no more', async () => {
    const lucetc = (...args: string[]): Promise<ToolResult> => tools.run('lucetc-wasi', args, dir);
    const program = (...args: string[]): Result =>
      spawnSync(path('app'), args, { cwd: dir, encoding: 'utf8', env: { SECRET: 'x', SHOWN: 'y' } });
    expect(await lucetc('--emit', 'exe', 'program.wasm', '-o', 'app')).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(program('--help', '--dir', 'x')).toMatchObject({
      status: 0,
      stdout: 'app|--help|--dir|x\n',
      stderr: '',
    });
    expect(program('exit', '7').status).toBe(7);
    expect(program('env').stdout).toBe('');
    expect(program('cat', 'data/text').status).toBe(1);
    const trapped = program('trap');
    expect(trapped.status).toBe(134);
    expect(trapped.stderr).toMatch(/HeapOutOfBounds.*Accessed address 0x7fff0000.*#0 /s);
    const grants = ['--grant=--readonly-dir=data::/', '--grant=--env=SHOWN', '--grant=--env=NEW=1'];
    expect((await lucetc('--emit', 'exe', ...grants, 'program.wasm', '-o', 'app')).stderr).toBe('');
    expect(program('env').stdout).toBe('SHOWN=y\nNEW=1\n');
    expect(program('cat', '/text').stdout).toBe('some text\n');
    // Cut short, it says so instead of running something else.
    truncateSync(path('app'), statSync(path('app')).size - 1);
    expect(program().stdout).toBe('');
    for (const grant of ['x.so', '--trap-json=x'])
      expect((await lucetc('--emit', 'exe', `--grant=${grant}`, 'program.wasm')).stderr, grant).toMatch(
        /--grant .*expected/,
      );
    expect((await lucetc('--grant=--dir=x', 'program.wasm')).stderr).toMatch(/--grant is for --emit exe/);
    expect((await lucetc('--emit', 'exe', 'none.wat')).stderr).toMatch(/function '_start'/);
  }, 120_000);

  it('--fuel ends a guest that has run so many operators', () => {
    const spent = run(['--fuel', '1000000', 'program.wasm', 'spin']);
    expect(spent).toEqual({
      status: 124,
      stdout: '',
      stderr: 'lucet-wasi: the fuel is spent (--fuel 1000000)\n',
    });
    expect(run(['--fuel', '1000000', 'program.wasm', 'exit', '3']).status).toBe(3);
    const plain = run(['--fuel', '1000000', 'alone.so']);
    expect(plain).toMatchObject({ status: 1, stdout: '' });
    expect(plain.stderr).toMatch(/--count-instructions/);
  });

  it('a stream that is closed is closed for the guest, whatever is opened meanwhile', () => {
    const shell = (redirect: string): number | null =>
      spawnSync('sh', ['-c', `'${bin}' --dir data '${path('alone.so')}' exit 5 ${redirect}`], { cwd: dir })
        .status;
    expect(shell('<&- >&- 2>&-')).toBe(5);
    const out = spawnSync('sh', ['-c', `'${bin}' --dir data '${path('alone.so')}' >&-`], {
      cwd: dir,
      encoding: 'utf8',
    });
    expect(out).toMatchObject({ stdout: '', stderr: '' });
  });

  it('keeps what it compiled, and compiles again what was damaged', () => {
    const cached = (): string[] =>
      readdirSync(path('cache2/lucet'), { recursive: true, encoding: 'utf8' }).filter(f => f.endsWith('.so'));
    const env = { XDG_CACHE_HOME: path('cache2') };
    const add = ['--invoke', 'add', 'lib.wat', '1', '2'];
    expect(run(add, { env }).stdout).toBe('3\n');
    const [file] = cached();
    const so = path(`cache2/lucet/${file}`);
    const { mtimeMs, ino, size } = statSync(so);
    expect(run(add, { env }).stdout).toBe('3\n');
    expect(statSync(so)).toMatchObject({ mtimeMs, ino });
    truncateSync(so, size - 100);
    expect(run(add, { env }).stdout).toBe('3\n');
    expect(statSync(so).size).toBe(size);
    expect(run(['--opt-level', '0', ...add], { env }).stdout).toBe('3\n');
    expect(cached()).toHaveLength(2);
    expect(run(['--no-cache', '--opt-level', '1', ...add], { env }).stdout).toBe('3\n');
    expect(cached()).toHaveLength(2);
    // A cache that can't be made is no reason not to run.
    expect(run(add, { env: { XDG_CACHE_HOME: '/proc/nowhere' } })).toEqual({
      status: 0,
      stdout: '3\n',
      stderr: '',
    });
  });

  it('--version and --help', () => {
    expect(run(['--version']).stdout).toMatch(/^lucet-wasi \d+\.\d+\.\d+\n$/);
    expect(JSON.parse(run(['--version', '--json']).stdout)).toMatchObject({ name: 'lucet-wasi' });
    expect(run(['--help'])).toMatchObject({ status: 0, stdout: helpText(), stderr: '' });
  });
});
