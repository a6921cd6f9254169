/**
 * `npm run wasi-programs`: programs in C and C++ that work on many files and much data, built for WASI, compiled, and
 * run by lucet-wasi; what they leave behind is compared with what the host's own tools, or a few lines of JavaScript,
 * make of the same.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clang } from './clang.ts';

const dist = dirname(fileURLToPath(import.meta.url));
const sources = join(dist, '../scripts/wasi-programs');
const SORT_BYTES = 100e6;

/** Builds a program. @returns path of the artifact */
async function build(dir: string, source: string, flags: readonly string[]): Promise<string> {
  const text = readFileSync(join(sources, source), 'utf8');
  const wasm = join(dir, `${source}.wasm`);
  const so = join(dir, `${source}.so`);
  writeFileSync(wasm, await clang({ [source]: text }, flags));
  execFileSync(process.execPath, [join(dist, 'lucetc-wasi.js'), wasm, '-o', so]);
  return so;
}

/** Runs one with files as its streams. @throws if it does not exit with 0 */
function run(so: string, options: readonly string[], input: string, output: string): void {
  const stdio = [openSync(input, 'r'), openSync(output, 'w'), 'pipe'] as const;
  const child = spawnSync(join(dist, 'native/lucet-wasi'), [...options, so], {
    stdio: [...stdio],
    encoding: 'utf8',
  });
  closeSync(stdio[0]);
  closeSync(stdio[1]);
  if (child.status !== 0) throw new Error(`exit ${child.status ?? child.signal}: ${child.stderr}`);
}

function expectEqual(got: string, expected: string, what: string): void {
  if (got !== expected)
    throw new Error(
      `${what}: ${JSON.stringify(got.slice(0, 300))}, expected ${JSON.stringify(expected.slice(0, 300))}`,
    );
}

/** Deterministic 32-bit numbers (xorshift). */
function numbers(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

async function words(dir: string): Promise<void> {
  const so = await build(dir, 'words.cpp', ['-O2', '-std=c++17', '-fno-exceptions']);
  const next = numbers(7);
  const lines = Array.from({ length: 5000 }, () =>
    Array.from({ length: next() % 12 }, () => `w${next() % 500}`).join(' '),
  );
  writeFileSync(join(dir, 'in'), lines.map(l => `${l}\n`).join(''));
  run(so, [], join(dir, 'in'), join(dir, 'out'));
  const counts = new Map<string, number>();
  for (const word of lines.flatMap(l => l.split(' ')).filter(w => w !== ''))
    counts.set(word, (counts.get(word) ?? 0) + 1);
  const sorted = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const table = sorted.map(([word, n]) => `${String(n).padStart(8)} ${word}\n`).join('');
  const expected = `${table}${lines.length} lines, ${(lines.length / sorted.length).toFixed(3)}\n`;
  expectEqual(readFileSync(join(dir, 'out'), 'utf8'), expected, 'words');
}

async function tree(dir: string): Promise<void> {
  const so = await build(dir, 'tree.c', ['-O2']);
  mkdirSync(join(dir, 'tree'));
  run(so, ['--dir', `${join(dir, 'tree')}::tree`], '/dev/null', join(dir, 'out'));
  expectEqual(readFileSync(join(dir, 'out'), 'utf8'), '111 1000\n', 'directories and removed files');
  let files = 0;
  for (let d = 0; d < 100; d++) {
    const folder = join(dir, 'tree', String(Math.floor(d / 10)), String(d));
    const names = readdirSync(folder);
    files += names.length;
    for (const name of names)
      expectEqual(
        readFileSync(join(folder, name), 'utf8'),
        `THIS IS FILE ${name.replace('file-', '')} OF ${d}\n`,
        `${d}/${name}`,
      );
  }
  expectEqual(String(files), '9000', 'files left');
}

function writeLines(path: string): void {
  const next = numbers(3);
  const fd = openSync(path, 'w');
  for (let written = 0; written < SORT_BYTES; ) {
    let chunk = '';
    for (let k = 0; k < 20_000; k++)
      chunk += `${next().toString(36)} ${next().toString(16)} ${'x'.repeat(next() % 160)}\n`;
    written += writeSync(fd, chunk);
  }
  closeSync(fd);
}

async function hash(path: string): Promise<string> {
  const h = createHash('sha256');
  for await (const chunk of createReadStream(path)) h.update(chunk as Buffer);
  return h.digest('hex');
}

async function sort(dir: string): Promise<void> {
  const so = await build(dir, 'sort.c', ['-O2']);
  const [input, output, expected] = ['in', 'out', 'expected'].map(f => join(dir, f)) as [
    string,
    string,
    string,
  ];
  writeLines(input);
  run(so, [], input, output);
  execFileSync('sort', [input, '-o', expected], { env: { ...process.env, LC_ALL: 'C', TMPDIR: dir } });
  expectEqual(await hash(output), await hash(expected), 'hash of the sorted lines');
}

const PROGRAMS = { words, tree, sort };

let passed = 0;
let failed = 0;
for (const [name, test] of Object.entries(PROGRAMS)) {
  const dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-programs-'));
  const from = performance.now();
  try {
    await test(dir);
    passed++;
    console.log(`ok     ${name}: ${((performance.now() - from) / 1000).toFixed(1)} s`);
  } catch (e) {
    failed++;
    console.log(`FAILED ${name}: ${(e as Error).message}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
