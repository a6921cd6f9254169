/**
 * Programs that trap, in five languages: each is built, run, and its report held against what its source says, and
 * against an independent symbolizer (LLVM's; Node's own reader of source maps for AssemblyScript).
 * `npm run traps [-- NAME…]`. Rust needs Debian's rustc, libstd-rust-dev-wasm32 and lld-14; without them those programs
 * are left out, loudly.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ReportFrame, TrapReport } from '../runtime/trap-report.ts';
import { clang } from './clang.ts';
import { TRAP_CASES, type TrapCase } from './trap-cases.ts';

const root = resolve(import.meta.dirname, '..');
const RUSTC = '/usr/bin/rustc';
const hasRust = existsSync(RUSTC) && spawnSync('wasm-ld-14', ['--version']).status === 0;
const hasSymbolizer = spawnSync('llvm-symbolizer', ['--version']).status === 0;

const EXTENSION = { c: 'c', cpp: 'cpp', rust: 'rs', assemblyscript: 'ts', wat: 'wat' } as const;

/** Builds a program; the file to run. */
async function build(t: TrapCase, dir: string): Promise<string> {
  const base = t.name.replaceAll('-', '_');
  const source = join(dir, `${base}.${EXTENSION[t.language]}`);
  const out = join(dir, `${base}.wasm`);
  if (t.language === 'assemblyscript') {
    // Names of functions begin with the file's path.
    const entry = join(dir, 'assembly.ts');
    writeFileSync(entry, t.source);
    execFileSync(
      process.execPath,
      [
        join(root, 'node_modules/assemblyscript/bin/asc.js'),
        'assembly.ts',
        '-o',
        `${base}.wasm`,
        '--sourceMap',
        '--debug',
        '--use',
        'abort=',
      ],
      { cwd: dir, stdio: 'pipe' },
    );
    return out;
  }
  writeFileSync(source, t.source);
  switch (t.language) {
    case 'wat':
      return source;
    case 'rust':
      execFileSync(
        RUSTC,
        ['--target', 'wasm32-wasi', '-g', '-C', 'linker=wasm-ld-14', '-A', 'warnings', source, '-o', out],
        { stdio: 'pipe' },
      );
      return out;
    default:
      writeFileSync(
        out,
        await clang({ [`${base}.${EXTENSION[t.language]}`]: t.source }, [
          '-g',
          `-fdebug-compilation-dir=${dir}`,
          ...(t.flags ?? []),
        ]),
      );
      return out;
  }
}

function run(file: string, dir: string): TrapReport {
  const json = join(dir, 'trap.json');
  rmSync(json, { force: true });
  const { status, stderr } = spawnSync(join(root, 'bin/lucet-wasi'), ['--trap-json', json, file], {
    encoding: 'utf8',
    env: { ...process.env, XDG_CACHE_HOME: join(dir, 'cache') },
    timeout: 60_000,
  });
  if (status !== 134 || !existsSync(json)) throw new Error(`it did not trap: exit ${status}, ${stderr}`);
  return JSON.parse(readFileSync(json, 'utf8')) as TrapReport;
}

/** What is wrong with a report; empty: nothing. */
function check(t: TrapCase, report: TrapReport): string[] {
  const wrong: string[] = [];
  if (report.code !== t.code) wrong.push(`code ${report.code}, not ${t.code}`);
  if (!t.says.test(report.explanation)) wrong.push(`it says: ${report.explanation}`);
  if (report.code === 'BadSignature' && report.table?.index != null && report.table.actual === null)
    wrong.push(`entry ${report.table.index} is named, but not what is there`);
  const frames = report.frames.filter(f => f.kind === 'wasm');
  const user = report.userFrame === null ? 0 : report.userFrame;
  const own = report.frames.slice(user).filter(f => f.kind === 'wasm');
  const names = t.frames.filter(f => f !== '');
  names.forEach((name, i) => {
    if (!sameName(own[i]?.functionName ?? '', name))
      wrong.push(`frame ${i} is ${own[i]?.functionName}, not ${name}`);
  });
  const here = t.source.split('\n').findIndex(l => l.includes('// HERE')) + 1;
  if (here > 0 && t.name !== 'mutual-recursion' && own[0]?.source?.line !== here)
    wrong.push(`line ${own[0]?.source?.line}, not ${here}`);
  if (frames.length === 0) wrong.push('it has no frames');
  if (report.warnings.length > 0) wrong.push(`warnings: ${report.warnings.join('; ')}`);
  return wrong;
}

/** Names have parameters in the one, and none in the other. */
function sameName(shown: string, wanted: string): boolean {
  const bare = shown.replace(/\(.*$/s, '').replace(/^(?:int|double|auto) /, '');
  return shown === wanted || bare === wanted || bare.endsWith(`::${wanted}`) || shown.includes(wanted);
}

/** Module offset of the code section's contents, and of what else is looked for: read independently of our readers. */
function codeStart(wasm: Uint8Array): number {
  let at = 8;
  for (;;) {
    const id = wasm[at++];
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const b = wasm[at++]!;
      size |= (b & 127) << shift;
      if (b < 128) break;
    }
    if (id === 10) return at;
    at += size;
  }
}

/** Each native frame's positions, innermost first, against LLVM's. */
function compareWithSymbolizer(file: string, report: TrapReport): string[] {
  const wasm = readFileSync(file);
  const start = codeStart(wasm);
  const groups: ReportFrame[][] = [];
  let group: ReportFrame[] = [];
  for (const f of report.frames.filter(x => x.kind === 'wasm')) {
    group.push(f);
    if (f.isInlined) continue;
    groups.push(group);
    group = [];
  }
  const addresses = groups.map(g => `0x${(g[0]!.wasmOffset - start).toString(16)}`);
  const text = execFileSync(
    'llvm-symbolizer',
    [`--obj=${file}`, '--inlines', '--output-style=JSON', ...addresses],
    { encoding: 'utf8', maxBuffer: 1 << 26 },
  );
  type Answer = { Symbol: { FileName: string; Line: number; Column: number }[] };
  // One line for each address, or one array: it depends on the version.
  const answers = text
    .trim()
    .split('\n')
    .flatMap(l => JSON.parse(l) as Answer | Answer[]);
  return groups.flatMap((g, i) => {
    const expected = (answers[i]?.Symbol ?? [])
      .filter(s => s.FileName !== '')
      .map(s => `${s.FileName.split('/').at(-1)}:${s.Line}:${s.Column}`);
    const ours = g
      .filter(f => f.source !== null)
      .map(f => `${f.source!.file.split('/').at(-1)}:${f.source!.line}:${f.source!.column}`);
    return ours.join() === expected.join()
      ? []
      : [`frame ${i} is at ${ours.join()}, symbolizer: ${expected.join()}`];
  });
}

/** Lines of AssemblyScript against Node's reader of source maps. */
function compareWithSourceMap(file: string, report: TrapReport): string[] {
  const map = new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMapPayload);
  return report.frames.flatMap((f, i) => {
    const entry = map.findEntry(0, f.wasmOffset);
    if (!('originalLine' in entry) || entry.originalSource === undefined) return [];
    const expected = `${entry.originalSource.split('/').at(-1)}:${entry.originalLine + 1}`;
    const ours = f.source === null ? '' : `${f.source.file.split('/').at(-1)}:${f.source.line}`;
    return ours === expected ? [] : [`frame ${i} is at ${ours}, source map: ${expected}`];
  });
}

async function one(t: TrapCase, dir: string): Promise<string[]> {
  const file = await build(t, dir);
  const report = run(file, dir);
  const wrong = check(t, report);
  if (t.language === 'assemblyscript') wrong.push(...compareWithSourceMap(file, report));
  else if (t.language !== 'wat' && hasSymbolizer) wrong.push(...compareWithSymbolizer(file, report));
  return wrong;
}

const wanted = new Set(process.argv.slice(2));
let passed = 0;
let failed = 0;
let skipped = 0;
if (!hasSymbolizer)
  console.log('SKIPPED: comparison with llvm-symbolizer: it is not installed (Debian: llvm)');
for (const t of TRAP_CASES) {
  if (wanted.size > 0 && !wanted.has(t.name)) continue;
  if (t.language === 'rust' && !hasRust) {
    skipped++;
    continue;
  }
  const dir = mkdtempSync(join(tmpdir(), 'lucet-traps-'));
  try {
    const wrong = await one(t, dir);
    if (wrong.length === 0) passed++;
    else {
      failed++;
      console.log(`${t.language} ${t.name}:\n${wrong.map(w => `  ${w}`).join('\n')}`);
    }
  } catch (e) {
    failed++;
    console.log(`${t.language} ${t.name}: ${(e as Error).message}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
if (skipped > 0)
  console.log(
    `SKIPPED: ${skipped} programs in Rust: Debian's rustc, libstd-rust-dev-wasm32 and lld-14 are not installed`,
  );
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
