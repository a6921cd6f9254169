/**
 * The part of lucet-wasi that is JavaScript: compiling, and trap reports with the lines of the source. The executable (runtime/native/cli/) runs
 * it when needed:
 *
 *     compile SOURCE OPT-LEVEL cache|no-cache    writes "cached PATH" or "temporary PATH" to descriptor 3
 *     report color|plain full|short JSON-PATH    reads a TrapReport without positions from stdin, prints it; writes it whole to JSON-PATH, if not empty
 *
 * Messages go to stderr. Exit status 0 or 1.
 */
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { LoadError } from './errors.ts';
import { compileSource } from './lucet-wasi-compile.ts';
import { formatTrap } from './lucet-wasi-report.ts';
import { Module } from './module.ts';
import { type TrapReport, withSources } from './trap-report.ts';

async function compile(path: string, level: string, cache: string): Promise<void> {
  let shown = false;
  const from = performance.now();
  try {
    const made = await compileSource(path, readFileSync(path), {
      optLevel: Number(level) as 0 | 1 | 2,
      cache: cache === 'cache',
      progress: (done, total) => {
        if (performance.now() - from < 500 || !isatty(2)) return;
        shown = true;
        writeSync(2, `\rcompiling: ${done}/${total} functions`);
      },
    });
    writeSync(3, `${made.temporary ? 'temporary' : 'cached'} ${made.path}`);
  } finally {
    if (shown) writeSync(2, '\r\x1b[K');
  }
}

function report(color: string, frames: string, jsonPath: string): void {
  const facts = JSON.parse(readFileSync(0, 'utf8')) as TrapReport;
  const whole = withSources(facts, openModule(facts));
  writeSync(2, formatTrap(whole, { color: color === 'color', full: frames === 'full' }));
  if (jsonPath !== '') writeFileSync(jsonPath, `${JSON.stringify(whole, null, 2)}\n`);
}

/** For its debug information only: a report without is better than none. */
function openModule({ modulePath }: TrapReport): Module | null {
  try {
    return modulePath === null ? null : Module.fromFile(modulePath);
  } catch (e) {
    if (e instanceof LoadError) return null;
    throw e;
  }
}

function describe(e: unknown, path: string): string {
  if (!(e instanceof Error)) throw e;
  if (e.name === 'CompileError') return `${path}: ${(e as Error & { describe(): string }).describe()}`;
  if (e.name === 'BugError' || 'code' in e) return e.message;
  throw e;
}

const [command, a = '', b = '', c = ''] = process.argv.slice(2);
try {
  if (command === 'compile') await compile(a, b, c);
  else report(a, b, c);
} catch (e) {
  writeSync(2, `lucet-wasi: ${describe(e, a)}\n`);
  process.exitCode = 1;
}
