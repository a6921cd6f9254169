/** lucet-objdump against binutils, and as a program: pipes, errors, options. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ARTIFACT_VERSION } from '../abi/artifact.ts';
import { main } from '../cli/objdump.ts';
import { formatReport, report } from '../objdump/report.ts';
import { readArtifact } from '../object/artifact-reader.ts';
import { decodeModule } from '../wasm/decode.ts';
import { type Sample, sample, sampleOf } from './support/object-sample.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'lucet-objdump-'));
const file = join(dir, 'sample.so');
const damaged = join(dir, 'damaged.so');
const bundle = join(dir, 'objdump.mjs');
let s: Sample;

beforeAll(async () => {
  s = await sample({ bindings: new Map([['env', new Map([['log', 'env_log']])]]) });
  const bytes = s.link();
  writeFileSync(file, bytes);
  bytes[0x1100]! ^= 1;
  writeFileSync(damaged, bytes);
  buildSync({
    absWorkingDir: root,
    entryPoints: ['compiler/cli/objdump-main.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: bundle,
    define: { LUCET_VERSION: '"0.0.0"' },
    alias: { 'iced-x86': join(root, 'node_modules/iced-x86/iced_x86.js') },
    external: [join(root, 'node_modules/*')],
  });
});
afterAll(() => rmSync(dir, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const streams = [new PassThrough(), new PassThrough()] as const;
  const texts = ['', ''];
  streams.forEach((stream, i) => {
    stream.setEncoding('utf8').on('data', (d: string) => {
      texts[i] += d;
    });
  });
  const code = await main(args, streams[0], streams[1]);
  for (const stream of streams) {
    stream.end();
    await new Promise(resolve => stream.on('end', resolve).resume());
  }
  return { code, out: texts[0]!, err: texts[1]! };
}

interface Row {
  readonly name: string;
  readonly start: number;
  readonly length: number;
}

describe('against binutils', () => {
  const missing = spawnSync('objdump', ['--version']).error !== undefined;
  if (missing) console.warn('SKIPPED: binutils are not installed: comparisons of lucet-objdump with them');

  test.skipIf(missing)('functions as readelf lists them', async () => {
    const report = JSON.parse((await run('--json', file)).out) as { functions: Row[] };
    const symbols = [
      ...execFileSync('readelf', ['-sW', file], { encoding: 'utf8' }).matchAll(
        /^ *\d+: ([0-9a-f]+) +(\d+) FUNC .* \d+ (.*)$/gm,
      ),
    ].map(([, address, size, name]) => ({
      name,
      start: Number.parseInt(address!, 16) - 0x3000,
      length: Number(size),
    }));
    expect(
      report.functions.filter(f => f.length > 0).map(({ name, start, length }) => ({ name, start, length })),
    ).toEqual(symbols);
  });

  test.skipIf(missing)('-d: the same instructions at the same addresses', async () => {
    const { out, code } = await run('-d', file);
    expect(code).toBe(0);
    const ours = [...out.matchAll(/^ {2}([0-9a-f]{8}) {2}((?:[0-9a-f]{2} )+)/gm)].map(
      ([, at, bytes]) => `${Number.parseInt(at!, 16)} ${bytes!.trim()}`,
    );
    const text = execFileSync('objdump', ['-d', '-M', 'intel', '--insn-width=16', file], {
      encoding: 'utf8',
    });
    const theirs = [...text.matchAll(/^ +([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*(.*)$/gm)]
      // Padding between functions.
      .filter(([, , , op]) => !op!.startsWith('int3'))
      .map(([, at, bytes]) => `${Number.parseInt(at!, 16)} ${bytes!.trim()}`);
    expect(ours).toEqual(theirs);
    expect(ours.length).toBeGreaterThan(80);
  });
});

describe('output', () => {
  test('report', async () => {
    const { out, code } = await run(file);
    expect(code).toBe(0);
    for (const line of [
      new RegExp(`format version {5}${ARTIFACT_VERSION}$`, 'm'),
      /needs +sse3 ssse3 sse4\.1 sse4\.2 popcnt$/m,
      /heap +guarded, 8589934592 bytes reserved$/m,
      /signature +none$/m,
      /debug information +DWARF, source map, names; name \d+; \.debug_info 22; \.debug_str 0; sourceMappingURL 6; module \d+$/m,
      /required symbols +env_log$/m,
      /start function +2$/m,
      /^ +0 {2}1\.\.7 pages {2}imported$/m,
      /^ +1 {2}2\.\.9 externref$/m,
      /^ +2 {2}f64 +1\.5$/m,
      /^ +1 {2}i32 +-5$/m,
      /^ +4 {2}mutable funcref {2}function 3$/m,
      /^ +2 {2}\(i32\) -> \(i32\) +same as 1$/m,
      /^ {2}function +0 {2}env\.log +\(i32\) -> \(i32\) +bound to env_log$/m,
      /^ {2}global +0 {2}g +mutable i64$/m,
      /^ +3 {2}0x000070 +62 +\d+ +1 +2 {2}second$/m,
      /^ +1 +- +- +- +0 +0 {2}exit +imported$/m,
      /^ +0 {2}active +0 +16 +5$/m,
      /^ +1 {2}passive +- +- +13$/m,
      /^ +0 {2}active +0 +1 {2}funcref +2$/m,
    ])
      expect(out).toMatch(line);
  });

  test('disassembly shows wasm offsets, callees, constants and traps', async () => {
    const { out, code } = await run('-d', '--function=second', '--function', '6', file);
    expect(code).toBe(0);
    expect(out.match(/^[0-9a-f]{8} <.*$/gm)).toEqual([
      expect.stringMatching(/^00003070 <second>: function 3, frame \d+$/),
      expect.stringMatching(/<host-thunk\[0\]>: function 6/),
    ]);
    expect(out).toMatch(
      /; wasm 0xbbd\n.* call 0x.*; wasm-function\[5\]\n *; wasm 0xbfe\n.* movsd .*; rodata\+0x[0-9a-f]+8\n/,
    );
    expect(out).toMatch(/; wasm 0xbbb\n.*f4 +hlt +; trap Unreachable\n/);
  });

  test('names of a module cannot disturb the terminal', async () => {
    const evil = join(dir, 'evil.so');
    // The export's name and the function's.
    const bytes = s.module.bytes.slice();
    let changed = 0;
    for (let at = 0; (at = Buffer.from(bytes).indexOf('second', at)) >= 0; changed++)
      bytes.set(Buffer.from('\u001b[31m!'), at);
    expect(changed).toBe(2);
    writeFileSync(evil, sampleOf(decodeModule(bytes)).link());
    for (const args of [[evil], ['-d', evil]]) {
      const { out } = await run(...args);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the point
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
      expect(out).toContain('\ufffd[31m!');
    }
  });
});

test('a module may have more of something than a call can have arguments', () => {
  const many = { ...report(readArtifact(s.link()), 'many.so') };
  const signatures = Array.from({ length: 300_000 }, (_, index) => ({ index, type: '()', canonical: index }));
  expect(formatReport({ ...many, signatures }).split('\n').length).toBeGreaterThan(300_000);
});

describe('as a program', () => {
  test('errors: exit code 1, one line on stderr, nothing on stdout', async () => {
    for (const [args, message] of [
      [[damaged], /damaged\.so: the file is damaged: its checksum is wrong/],
      [[join(dir, 'nothing.so')], /nothing\.so: no such file or directory/],
      [[fileURLToPath(import.meta.url)], /not an ELF file/],
      [[], /exactly one module/],
      [['a', 'b'], /exactly one module/],
      [['--source', file], /--source: interleaved source lines are not supported yet/],
      [['--signature-pk=x', file], /need each other/],
      [['--frobnicate', file], /unknown option/],
      [['a\u001b[31m'], /a\\x1b\[31m: no such file/],
      [['--json', '-d', file], /exclude each other/],
      [['--function=x', file], /needs --disassemble/],
      [['-d', '--function=nobody', file], /no code of a function "nobody"/],
    ] as const) {
      const { code, out, err } = await run(...args);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(message);
      expect(err).toMatch(/^Error: .*\n$/);
    }
  });

  test('help and version', () => {
    const run = (flag: string) => execFileSync('node', [bundle, flag], { encoding: 'utf8' });
    expect(run('--help')).toMatch(/^Usage: lucet-objdump[\s\S]*-d, --disassemble/);
    expect(run('-V')).toBe('lucet-objdump 0.0.0\n');
  });

  test('a reader that leaves early is no error', () => {
    // More output than a pipe holds.
    const args = ['-d', ...Array.from({ length: 500 }, () => '--function=second'), file];
    const r = spawnSync('bash', ['-c', 'set -o pipefail; node "$@" | head -n 1', 'bash', bundle, ...args], {
      encoding: 'utf8',
    });
    expect([r.status, r.stderr]).toEqual([0, '']);
    expect(r.stdout).toMatch(/^00003070 <second>.*\n$/);
    const whole = spawnSync('node', [bundle, ...args], { encoding: 'utf8', maxBuffer: 2 ** 24 });
    expect(whole.stdout.length).toBeGreaterThan(400_000);
  });
});
