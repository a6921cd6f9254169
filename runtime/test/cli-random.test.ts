/**
 * The command lines of lucetc, lucetc-wasi, lucet-objdump and lucet-wasi, at random: whatever is asked for, a tool does
 * it, or says in a line of its own what is wrong and leaves all files as they were. LUCET_SEEDS=from-to runs others.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OPTIONS } from '../../compiler/cli/command-line.ts';
import { OPTIONS as OBJDUMP_OPTIONS } from '../../compiler/cli/objdump.ts';
import { compile } from '../../compiler/index.ts';
import {
  formatPublicKey,
  formatSecretKey,
  generateKeys,
  publicKeyOf,
  signArtifact,
} from '../../compiler/minisign.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { splitSignature } from '../../compiler/object/signature.ts';
import { ToolProcess, type ToolResult } from '../../compiler/test/support/tool-process.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { WASI_BINDINGS } from '../../compiler/wasi-bindings.ts';
import { Random } from '../../scripts/fuzz/random.ts';
import { OPTIONS as WASI_OPTIONS } from '../lucet-wasi-options.ts';
import { CommandLines } from './support/command-lines.ts';

const [FROM = 1, TO = 1] = (process.env.LUCET_SEEDS ?? '').split('-').filter(Boolean).map(Number);
const LINES = 150;

let dir = '';
let cache = '';
const tools = new ToolProcess();
const path = (name: string): string => join(dir, name);

const LONG = `${'n'.repeat(245)}.wat`;
/** Inputs, and what is none. */
const FILES: readonly string[] = [
  'good.wasm',
  'good.wat',
  'wasi.wasm',
  'good.so',
  'signed.so',
  'trap.so',
  'plain.so',
  'damaged.so',
  'invalid.wasm',
  'cut.wasm',
  'empty',
  'bindings.json',
  'broken.json',
  'pk',
  'sk',
  'folder',
  'folder/inner.wat',
  'link.wasm',
  'loop',
  'nowhere',
  'unreadable',
  'absent',
  'absent/below',
  'good.wasm/below',
  'naïve ünï \u{1f600}.wat',
  '-dash.wat',
  './-dash.wat',
  LONG,
  'old.so',
  '.',
  '..',
  '/dev/null',
  '/proc/self/mem',
];

/** Of a file's contents, and what it is: a change of either is seen. */
function snapshot(): Map<string, string> {
  const all = new Map<string, string>();
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    const file = path(name);
    const stat = lstatSync(file);
    const contents = stat.isSymbolicLink()
      ? readlinkSync(file)
      : stat.isFile()
        ? `${stat.mtimeMs} ${stat.size}`
        : '';
    all.set(name, `${stat.mode} ${contents}`);
  }
  return all;
}

let before = new Map<string, string>();
const contents = new Map<string, Buffer>();

/** What is there now and wasn't before, is gone, or is another. Puts everything back. */
function changes(): string[] {
  const after = snapshot();
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    n => before.get(n) !== after.get(n),
  );
  return changed.sort();
}

function putBack(changed: readonly string[]): void {
  for (const name of changed) {
    rmSync(path(name), { recursive: true, force: true });
    const old = contents.get(name);
    if (old) writeFileSync(path(name), old);
  }
  if (changed.length > 0) before = snapshot();
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-cli-random-'));
  cache = mkdtempSync(join(tmpdir(), 'lucet-cli-random-cache-'));
  const text =
    '(module (memory 1) (func (export "_start")) (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))';
  const good = await wat(text);
  const wasi = await wat(
    '(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))',
  );
  const trap = await wat('(module (memory 1) (func (export "_start") unreachable))');
  const bindings = WASI_BINDINGS;
  const artifact = compile(good);
  const sk = generateKeys();
  const invalid = Uint8Array.from(good);
  invalid[invalid.indexOf(0x6a)] = 0x7c;
  const damaged = Uint8Array.from(artifact);
  damaged[0x1100]! ^= 1;
  const files: Record<string, string | Uint8Array> = {
    'good.wasm': good,
    'good.wat': text,
    'wasi.wasm': wasi,
    'good.so': compile(wasi, { bindings }),
    'signed.so': signArtifact(artifact, sk, 'signed'),
    'trap.so': compile(trap),
    'plain.so': artifact,
    'damaged.so': damaged,
    'invalid.wasm': invalid,
    'cut.wasm': good.subarray(0, good.length - 3),
    empty: '',
    'bindings.json': '{"env":{"f":"host_f"}}',
    'broken.json': '{"env":{"f":1}',
    pk: formatPublicKey(publicKeyOf(sk)),
    sk: formatSecretKey(sk, null),
    unreadable: text,
    'naïve ünï \u{1f600}.wat': text,
    '-dash.wat': text,
    [LONG]: text,
    'old.so': artifact,
  };
  mkdirSync(path('folder'));
  files['folder/inner.wat'] = text;
  for (const [name, bytes] of Object.entries(files)) {
    writeFileSync(path(name), bytes);
    contents.set(name, Buffer.from(bytes));
  }
  symlinkSync('good.wasm', path('link.wasm'));
  symlinkSync('loop', path('loop'));
  symlinkSync('absent', path('nowhere'));
  chmodSync(path('unreadable'), 0);
  before = snapshot();
});

afterAll(() => {
  tools.stop();
  for (const d of [dir, cache]) rmSync(d, { recursive: true, force: true });
});

/** What no user should ever see. */
const INTERNAL =
  /^\s+at .+(?:\(|:\d+:\d+)|node:internal|\b(?:Type|Range|Reference|Syntax)Error\b|\[object |undefined|JavaScript heap|Sanitizer|Segmentation|internal error|DEP0|Warning:/m;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const ACTING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;

/** What is wrong with what a tool that failed has said. */
function complaint(stderr: string, begins: RegExp): string {
  if (!begins.test(stderr)) return 'no message of its own';
  if (INTERNAL.test(stderr)) return 'it shows its inside';
  if (ACTING.test(stderr)) return 'something in it acts on the terminal';
  if (!stderr.endsWith('\n')) return 'no whole line';
  if (stderr.length > 100_000) return 'too long';
  return '';
}

/** Names of the files that a line may write, below the folder. */
function outputs(args: readonly string[], names: readonly string[]): string[] {
  const found = args.flatMap((word, i) => {
    const [flag, ...rest] = word.split('=');
    if (!names.includes(flag!)) return /^-o./.test(word) ? [word.slice(2)] : [];
    return [rest.length > 0 ? rest.join('=') : (args[i + 1] ?? '')];
  });
  return [...found, 'a.out'].map(name => {
    const whole = resolve(dir, name.replace(/^raw:/, ''));
    return whole.startsWith(`${dir}/`) ? whole.slice(dir.length + 1) : whole;
  });
}

/** Where a link of ours points. */
const behind = (name: string): string => ({ nowhere: 'absent', 'link.wasm': 'good.wasm' })[name] ?? name;

/** What a tool wrote is whole: an artifact that can be read, or something else that isn't empty. */
function isWhole(name: string): boolean {
  const bytes = readFileSync(name.startsWith('/') ? name : path(name));
  // A program of its own is longer than any artifact here.
  if (bytes.subarray(0, 4).toString('latin1') !== '\x7fELF' || bytes.length > 400_000)
    return bytes.length > 0;
  try {
    return readArtifact(splitSignature(bytes).artifact).bytes.length > 0;
  } catch {
    return false;
  }
}

/** What the tool did wrong, or ''. */
function judge(
  args: readonly string[],
  { status, stdout, stderr }: ToolResult,
  statuses: readonly number[],
  names: readonly string[],
  begins: RegExp,
): string {
  const changed = changes();
  try {
    if (status === null) return 'it crashed or hung';
    if (!statuses.includes(status)) return `exit status ${status}`;
    if (INTERNAL.test(stderr)) return 'it shows its inside';
    const allowed = status === 1 ? [] : outputs(args, names).map(behind);
    const others = changed.filter(name => !allowed.includes(name));
    if (others.length > 0) return `it changed ${others.join(', ')}`;
    const broken = changed.filter(name => !isWhole(name));
    if (broken.length > 0) return `${broken.join(', ')}: not whole`;
  } finally {
    putBack(changed);
  }
  if (status !== 1) return '';
  if (stdout !== '') return 'output, of what failed';
  if (!stderr.startsWith('{')) return complaint(stderr, begins);
  const { error } = JSON.parse(stderr) as { error: { message: string } };
  return error.message === '' ? 'an error without a message' : '';
}

const COMPILER_VALUES = {
  FILE: FILES,
  '[raw:]FILE': ['raw:sk', 'sk', 'raw:absent', 'raw:'],
  'so|exe|ir': ['so', 'so', 'exe', 'ir', 'obj'],
  OPTION: ['--dir=.', '--env=A=1', '--inherit-env', '--dir', 'x'],
  TRIPLE: ['x86_64-linux', 'x86_64-unknown-linux-gnu', 'aarch64-linux', 'wasm32-wasi'],
  CPU: ['native', 'baseline', 'x86-64-v2', 'x86-64-v3', 'z80'],
  '±F,…': ['+avx', '-bmi1', '+avx,-avx', '+nothing', 'avx', ','],
  LEVEL: ['0', '1', '2', 'none', 'speed', '3'],
  'NAME,…': ['simd', 'tail-call', 'simd,gc', 'all', 'nothing', ','],
  N: ['1', '2', '0', '64', '65', '-1', '1.5'],
};
const OUTPUTS = [
  'old.so',
  'new.so',
  'folder',
  'folder/new.so',
  'absent/new.so',
  'nowhere',
  '/dev/null',
  '/dev/full',
  '-',
  LONG,
];

const compilerLines = new CommandLines(OPTIONS, COMPILER_VALUES, FILES, [
  ...FILES.slice(0, 9).map(f => [f]),
  ...OUTPUTS.map(o => ['good.wasm', '-o', o]),
  ...OUTPUTS.map(o => ['invalid.wasm', '-o', o]),
  ['good.wasm', 'good.wat'],
]);
const objdumpLines = new CommandLines(
  OBJDUMP_OPTIONS,
  { FUNCTION: ['0', '1', 'x', '-1'], FILE: FILES },
  FILES,
  [...FILES.slice(0, 9).map(f => [f]), ['good.so', 'trap.so']],
);

const wasiLines = new CommandLines(
  WASI_OPTIONS,
  {
    NAME: ['add', '_start', 'absent'],
    DIR: [
      '.',
      'folder::/x',
      'folder:/x',
      '..::/',
      'loop',
      'absent',
      'nowhere::/',
      'good.wasm::/',
      'link.wasm',
      'folder/..::a/../b',
      '::',
      'a:b:c',
    ],
    'NAME[=VALUE]': ['A=1', 'PATH', 'ABSENT', '=x', 'A==', 'A=\n'],
    FD: ['0', '1', '2', '3', '99', '-1', '2147483647', '2147483648'],
    SIZE: ['1MiB', '64KiB', '4GiB', '0', '1', '16777216TiB', '18446744073709551615', '1e3'],
    TIME: ['1s', '30s', '0', '1ms', '9999999999999h'],
    N: ['0', '1', '1000', '18446744073709551615'],
    LEVEL: ['0', '1', '2', '3'],
    SHELL: ['bash', 'zsh', 'fish', 'sh'],
    FILE: ['new.json', 'old.so', 'folder', 'absent/x', 'pk', '/dev/full'],
  },
  FILES,
  [
    ...FILES.slice(0, 9).map(f => [f]),
    ...['good.so', 'trap.so', 'trap.so', 'plain.so'].map(f => [f, 'word', '--dir', '.']),
    ['--invoke', 'add', 'plain.so', '1', '2'],
    ['--invoke=add', 'plain.so', '1'],
    ['--invoke=add', 'plain.so', '1', 'x'.repeat(1000)],
  ],
);

const lucetWasi = join(import.meta.dirname, '../../bin/lucet-wasi');

/** @param node whether it finds one, which most ways don't need */
function runWasi(args: readonly string[], node: boolean): ToolResult {
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: join(cache, 'home'),
    XDG_CACHE_HOME: cache,
    ...(node ? {} : { LUCET_NODE: '/nonexistent/node' }),
  };
  const { status, stdout, stderr } = spawnSync(lucetWasi, args, {
    cwd: dir,
    env,
    input: '',
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

const SEEDS = Array.from({ length: TO - FROM + 1 }, (_, i) => FROM + i);

function expectNothing(faults: readonly string[]): void {
  expect(faults.join('\n\n')).toBe('');
}

it.each(SEEDS)(
  'lucetc, lucetc-wasi and lucet-objdump: lines of seed %i',
  async seed => {
    const next = new Random(seed, 1);
    const faults: string[] = [];
    for (let i = 0; i < LINES; i++) {
      const tool = next.pick(['lucetc', 'lucetc', 'lucetc-wasi', 'lucet-objdump'] as const);
      const args = (tool === 'lucet-objdump' ? objdumpLines : compilerLines).line(next);
      const result = await tools.run(tool, args, dir);
      const fault = judge(
        args,
        result,
        [0, 1],
        tool === 'lucet-objdump' ? [] : ['-o', '--output', '--signature-pk', '--signature-sk'],
        /^Error: ./,
      );
      if (fault !== '')
        faults.push(`${tool} ${JSON.stringify(args)}: ${fault}\n${result.stderr.slice(0, 1000)}`);
    }
    expectNothing(faults);
  },
  300_000,
);

it.each(SEEDS)(
  'lucet-wasi: lines of seed %i',
  seed => {
    const next = new Random(seed, 2);
    const faults: string[] = [];
    for (let i = 0; i < LINES; i++) {
      const args = wasiLines.line(next);
      const result = runWasi(args, next.below(12) === 0);
      const fault = judge(
        args,
        result,
        [0, 1, 3, 7, 124, 134],
        ['--trap-json', '--coredump'],
        /^lucet-wasi: ./,
      );
      if (fault !== '')
        faults.push(`lucet-wasi ${JSON.stringify(args)}: ${fault}\n${result.stderr.slice(0, 1000)}`);
    }
    expectNothing(faults);
  },
  300_000,
);
