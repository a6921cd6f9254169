/**
 * `npm run debug-programs [-- NAME…]`: programs in C, C++, Rust, AssemblyScript and WebAssembly text
 * (scripts/debug-programs/), compiled without optimisation, stopped at each marked line by the debug adapter, and every
 * local in scope compared with what the program itself prints (debug-check.ts). Rust needs Debian's rustc,
 * libstd-rust-dev-wasm32 and lld-14; without them those programs are left out, loudly.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildProgram, hasRust, PROGRAMS } from './debug-build.ts';
import { checkProgram } from './debug-check.ts';

const root = resolve(import.meta.dirname, '..');
const withRust = hasRust();

/** Files that others include. */
const isHeader = (name: string): boolean => name.startsWith('show.');

const wanted = process.argv.slice(2);
let passed = 0;
let failed = 0;
let skipped = 0;
let values = 0;
for (const name of readdirSync(PROGRAMS).sort()) {
  if (isHeader(name) || (wanted.length > 0 && !wanted.some(w => name.startsWith(w)))) continue;
  if (name.endsWith('.rs') && !withRust) {
    skipped++;
    continue;
  }
  const dir = mkdtempSync(join(tmpdir(), 'lucet-debug-'));
  try {
    const result = await checkProgram(await buildProgram(name, dir), join(root, 'dist/debug-adapter.cjs'));
    values += result.values;
    if (result.problems.length === 0) passed++;
    else {
      failed++;
      console.log(`${name}:\n${result.problems.map(p => `  ${p}`).join('\n')}`);
    }
  } catch (e) {
    failed++;
    console.log(`${name}: ${(e as Error).message}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
if (skipped > 0)
  console.log(
    `SKIPPED: ${skipped} programs in Rust: Debian's rustc, libstd-rust-dev-wasm32 and lld-14 are not installed`,
  );
console.log(`${values} values compared`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
