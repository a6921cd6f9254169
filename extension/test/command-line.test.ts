/** Command lines, the problem matchers on what the tools print, and where sources are looked for. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { formatTrap } from '../../runtime/lucet-wasi-report.ts';
import type { TrapReport } from '../../runtime/trap-report.ts';
import {
  compileArguments,
  grantsOf,
  outputPath,
  parseEnvFile,
  runArguments,
  saysRefused,
} from '../command-line.ts';
import { findSource } from '../sources.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { problemMatchers } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).contributes;
const folder = mkdtempSync(join(tmpdir(), 'lucet-sources-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('command lines', () => {
  it('take variables from a file', () => {
    expect(
      parseEnvFile('# of the program\nA=1\r\n export B = "x y" \n\nC=\nnot a variable\nD=a=b #c\n'),
    ).toEqual({
      A: '1',
      B: 'x y',
      C: '',
      D: 'a=b #c',
    });
  });

  it('put options before the module and the program’s arguments behind it', () => {
    const args = runArguments({
      program: 'a.so',
      args: ['--not-ours'],
      env: { K: 'v' },
      dirs: ['x::y', { host: '/h', guest: '/g', readonly: true }],
      trapJson: 't.json',
      coredump: 't.core',
      invoke: 'f',
    });
    expect(args).toEqual([
      ...[
        '--trap-json',
        't.json',
        '--coredump',
        't.core',
        '--dir',
        'x::y',
        '--readonly-dir',
        '/h::/g',
        '--env',
        'K=v',
        '--invoke',
        'f',
      ],
      ...['a.so', '--not-ours'],
    ]);
    const request = {
      input: 'a.wat',
      output: 'o.so',
      optLevel: '1',
      targetCpu: 'native',
      debugInfo: false,
      args: ['--verify'],
    };
    expect(compileArguments(request)).toEqual(
      '--opt-level 1 --target-cpu native --strip-debug --verify a.wat -o o.so'.split(' '),
    );
  });

  it('put artifacts beside their source, or where the settings say', () => {
    expect(outputPath('/w/a/x.wasm', '', '/w')).toBe('/w/a/x.so');
    expect(outputPath('/w/a/x.wat', 'out', '/w')).toBe('/w/out/x.so');
    expect(outputPath('/w/a/x.wat', '/abs', '/w')).toBe('/abs/x.so');
  });
});

interface Pattern {
  readonly regexp: string;
  readonly [group: string]: number | string;
}
/** What a problem matcher makes of a text: as the editor does, line by line. */
function match(name: string, output: string): Record<string, string> | null {
  const { pattern } = problemMatchers.find((m: { name: string }) => m.name === name);
  const patterns: Pattern[] = Array.isArray(pattern) ? pattern : [pattern];
  const lines = output.split('\n');
  for (let i = 0; i + patterns.length <= lines.length; i++) {
    const found: Record<string, string> = {};
    const all = patterns.every((p, n) => {
      const m = new RegExp(p.regexp).exec(lines[i + n]!);
      for (const [key, group] of Object.entries(p))
        if (m && typeof group === 'number') found[key] = m[group]!;
      return m !== null;
    });
    if (all) return found;
  }
  return null;
}

describe('problem matchers', () => {
  it('$lucetc finds the place of an error in text', () => {
    expect(
      match('lucetc', 'Error: /w/a.wat:3:5: invalid: type mismatch at offset 0x20 (function 0)'),
    ).toEqual({
      file: '/w/a.wat',
      line: '3',
      column: '5',
      message: 'invalid: type mismatch at offset 0x20 (function 0)',
    });
    expect(match('lucetc', 'Error: /w/a.wat: /w/a.wat:1:8: error: unexpected token "x"\n...')).toMatchObject({
      line: '1',
      column: '8',
    });
  });

  it('$lucet-trap finds the line of a trap in what lucet-wasi prints', () => {
    const file = join(folder, 'm.c');
    writeFileSync(file, 'one\ntwo\n');
    const source = { file, line: 2, column: 2 };
    const frame = {
      kind: 'wasm',
      moduleName: 'm',
      functionIndex: 1,
      functionName: 'f',
      wasmOffset: 9,
      source,
      count: 0,
    };
    const report = {
      version: 1,
      kind: 'trap',
      code: 'IntegerDivByZero',
      message: 'integer divide by zero',
      moduleName: 'm',
      modulePath: null,
      moduleHash: '',
      functionIndex: 1,
      functionName: 'f',
      wasmOffset: 9,
      source,
      access: null,
      signal: 8,
      faultAddress: null,
      pc: '0x0',
      registers: {},
      frames: [frame],
      totalFrames: 1,
    } as unknown as TrapReport;
    expect(match('lucet-trap', formatTrap(report, { color: false, full: false }))).toEqual({
      message: 'integer divide by zero',
      file,
      line: '2',
      column: '2',
    });
  });
});

describe('findSource', () => {
  mkdirSync(join(folder, 'src', 'deep'), { recursive: true });
  const file = join(folder, 'src', 'a.c');
  writeFileSync(file, '');
  const find = (name: string, sourceMap = {}, folders: string[] = []) =>
    findSource(name, { sourceMap, folders });

  it('takes absolute paths, the source map, and folders and those above them', () => {
    expect(find(file)).toBe(file);
    expect(find('/build/x/src/a.c')).toBeNull();
    expect(find('/build/x/src/a.c', { '/build': '/none', '/build/x': folder })).toBe(file);
    expect(find('src/a.c', {}, [join(folder, 'src', 'deep')])).toBe(file);
    expect(find('./a.c', {}, ['/none', join(folder, 'src')])).toBe(file);
  });

  it('finds no folders, nothing without a name, and nothing with a zero in it', () => {
    expect(find(folder)).toBeNull();
    expect(find('')).toBeNull();
    expect(find(`${file}\0`)).toBeNull();
  });
});

it('a program that was refused a file is known by the words of its language', () => {
  for (const words of [
    'open: Capabilities insufficient',
    'Error: failed to find a pre-opened file descriptor through which "x" could be opened',
    'open x: Capabilities insufficient',
    'error: NotCapable',
    'PermissionError: [Errno 76] ENOTCAPABLE',
  ])
    expect(saysRefused(words), words).toBe(true);
  for (const words of ['open: No such file or directory', 'os error 760', 'capable', ''])
    expect(saysRefused(words), words).toBe(false);
  const granted = [
    { host: '/w', guest: '.' },
    { host: '/w', guest: '/w' },
  ];
  expect(grantsOf('/w', undefined)).toEqual(granted);
  expect(grantsOf('/w', ['a::b'])).toEqual(['a::b', ...granted]);
});
