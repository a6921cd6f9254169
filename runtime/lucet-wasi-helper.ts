/**
 * The part of lucet-wasi that is JavaScript: compiling, signatures, and trap reports with the lines of the source. The
 * executable (runtime/native/cli/) runs it when needed:
 *
 *     compile SOURCE OPT-LEVEL cache|no-cache count|debug|plain PUBLIC-KEY|"" module|""
 *         writes "cached PATH" or "temporary PATH" to descriptor 3; with a public key, only if SOURCE.minisig fits it and the source. With module, a text that has to
 *         be compiled is written to descriptor 4 first, as a .wasm, and "module" and a new line to descriptor 3
 *     verify PATH PUBLIC-KEY
 *         reads an artifact from descriptor 4, and writes "verified" to descriptor 3 if its signature fits the key
 *     report color|plain full|short JSON-PATH CORE-PATH memory|""
 *         reads the facts of a trap from stdin (and what the guest's memory holds from descriptor 4), prints the report; writes it to JSON-PATH, and
 *         a core dump to CORE-PATH, if not empty
 *
 * Messages go to stderr. Exit status 0 or 1.
 */
import { readFileSync, readSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import { readInput, writeOutput } from '../compiler/cli/files.ts';
import { readPublicKey, verifyInput } from '../compiler/cli/signing.ts';
import { CompileError } from '../compiler/diagnostics.ts';
import { tuneEngine } from '../compiler/engine-tuning.ts';
import { SignatureError, verifyArtifact } from '../compiler/minisign.ts';
import { printableLines } from '../compiler/printable.ts';
import { makeCoredump } from './coredump.ts';
import { compileSource } from './lucet-wasi-compile.ts';
import { formatTrap } from './lucet-wasi-report.ts';
import { openSymbols } from './symbols.ts';
import { type StateCopy, stateOf, type TrapFacts } from './trap-facts.ts';
import { makeReport, signatureText } from './trap-report.ts';

async function compile(
  path: string,
  level: string,
  cache: string,
  extra: string,
  publicKey: string,
  module: string,
): Promise<void> {
  tuneEngine();
  let shown = false;
  const from = performance.now();
  try {
    const bytes = readInput(path);
    if (publicKey !== '') verifyInput(path, bytes, readPublicKey(publicKey));
    const made = await compileSource(path, bytes, {
      optLevel: Number(level) as 0 | 1 | 2,
      cache: cache === 'cache',
      countInstructions: extra === 'count',
      debugCode: extra === 'debug',
      ...(module === '' ? {} : { encoded: showModule }),
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

/** An artifact, or what an extra descriptor holds of the guest's memory; or where a module is written to. */
const EXTRA_DESCRIPTOR = 4;

function showModule(wasm: Uint8Array): void {
  for (let at = 0; at < wasm.length; ) at += writeSync(EXTRA_DESCRIPTOR, wasm, at, wasm.length - at, at);
  writeSync(3, 'module\n');
}

function verifyCompiled(path: string, publicKey: string): void {
  const pk = readPublicKey(publicKey);
  try {
    verifyArtifact(readFileSync(EXTRA_DESCRIPTOR), pk);
  } catch (e) {
    throw e instanceof SignatureError ? new SignatureError(`${path}: ${e.message}`) : e;
  }
  writeSync(3, 'verified');
}

interface Told {
  readonly facts: TrapFacts;
  readonly state: StateCopy;
  /** Where names of files in the debug information count from. */
  readonly folder: string;
}

function report(color: string, frames: string, jsonPath: string, corePath: string, memory: string): void {
  const { facts, state: copy, folder } = JSON.parse(readFileSync(0, 'utf8')) as Told;
  const symbols = facts.modules.map(({ path, hash }) =>
    path === null ? null : openSymbols({ bytes: null, path, hash }, { folder: resolve(folder) }),
  );
  const own = symbols[facts.module] ?? null;
  const state = stateOf(copy, {
    ...(memory === '' ? {} : { memory: readMemory }),
    signature: index => {
      const type = own?.artifact.types[own.artifact.func(index).typeIndex];
      return type === undefined ? '' : signatureText(type);
    },
  });
  const whole = makeReport(facts, m => symbols[facts.modules.indexOf(m)] ?? null, state);
  writeSync(2, formatTrap(whole, { color: color === 'color', full: frames === 'full' }));
  keep(jsonPath, () => Buffer.from(`${JSON.stringify(whole, null, 2)}\n`));
  keep(corePath, () => makeCoredump(facts, own, state));
}

/** The report has been printed: a file that can't be written is only told of. */
function keep(path: string, make: () => Uint8Array): void {
  if (path === '') return;
  try {
    writeOutput(resolve(path), make());
  } catch (e) {
    writeSync(2, `lucet-wasi: ${printableLines(describe(e, path))}\n`);
  }
}

function readMemory(address: number, length: number): Uint8Array | null {
  const bytes = new Uint8Array(length);
  return readSync(EXTRA_DESCRIPTOR, bytes, 0, length, address) === length ? bytes : null;
}

function describe(e: unknown, path: string): string {
  if (!(e instanceof Error)) throw e;
  if (e.name === 'SignatureError' || (e instanceof CompileError && e.kind === 'usage')) return e.message;
  if (e.name === 'CompileError') return `${path}: ${(e as Error & { describe(): string }).describe()}`;
  if (e.name === 'BugError' || e.name === 'FileError' || 'code' in e) return e.message;
  throw e;
}

async function main(args: readonly string[]): Promise<void> {
  const [command, a = '', b = '', c = '', d = '', e = '', module = ''] = args;
  try {
    if (command === 'compile') await compile(a, b, c, d, e, module);
    else if (command === 'verify') verifyCompiled(a, b);
    else report(a, b, c, d, e);
  } catch (error) {
    writeSync(2, `lucet-wasi: ${printableLines(describe(error, a))}\n`);
    process.exitCode = 1;
  }
}

void main(process.argv.slice(2));
