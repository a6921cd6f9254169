/**
 * lucetc and lucetc-wasi. Everything that touches files, the terminal or the machine is here; the compiler proper is
 * pure.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ARTIFACT_VERSION, MEMORY_MODES, type MemoryMode } from '../abi/artifact.ts';
import { CompileError } from '../diagnostics.ts';
import { DEFAULT_FEATURES, type FeatureSet, featuresText, switchFeatures } from '../features.ts';
import { type CompileStats, emitIr } from '../index.ts';
import { nativeFeatures } from '../native-cpu.ts';
import { readArtifact } from '../object/artifact-reader.ts';
import type { CompileOptions } from '../options.ts';
import { printableLines } from '../printable.ts';
import { checkTriple, resolveFeatures } from '../target.ts';
import { compileParallel } from '../threads/parallel.ts';
import { type Bindings, mergeBindings, parseBindings, WASI_BINDINGS, WASI_MODULE } from '../wasi-bindings.ts';
import { decodeModule } from '../wasm/decode.ts';
import { ExternKind, type Module } from '../wasm/module.ts';
import { isWasm, translateWat } from '../wasm/wat.ts';
import { locate } from '../wat/locate.ts';
import { encodeWat } from '../wat/translate.ts';
import { helpText, NOT_YET, type OPTIONS, parseConfig, parseMessage } from './command-line.ts';
import { makeExecutable } from './executable.ts';
import { FileError, otherKind, printText, readInput, writeOutput } from './files.ts';
import {
  checkSignatureFlags,
  generateKeyFiles,
  isArtifact,
  openSecretKey,
  readPublicKey,
  signed,
  verifyInput,
} from './signing.ts';

declare const LUCET_VERSION: string;

type Flags = {
  [K in keyof typeof OPTIONS]?: (typeof OPTIONS)[K]['type'] extends 'boolean' ? boolean : string;
} & {
  'target-feature'?: string[];
  bindings?: string[];
  grant?: string[];
  'enable-feature'?: string[];
  'disable-feature'?: string[];
};

const OPT_LEVELS: Readonly<Record<string, 0 | 1 | 2>> = {
  '0': 0,
  none: 0,
  '1': 1,
  '2': 2,
  speed: 2,
  speed_and_size: 2,
};

const usage = (message: string): CompileError => new CompileError(message, -1, 'usage');

/** The input, when it is text; `bytes`: encoded, once it has been. */
interface TextSource {
  text: string | null;
  bytes: Uint8Array | null;
}

/** One error as lucetc prints it: a line for people, or a JSON object. */
function formatError(error: unknown, style: string, input: string, source: TextSource): string {
  const e = error instanceof Error ? error : new Error(String(error));
  const known = e instanceof CompileError;
  const placed =
    known && e.kind !== 'usage' && source.text !== null
      ? locate(e, source.text, source.bytes, DEFAULT_FEATURES)
      : null;
  if (style === 'json') {
    return JSON.stringify({
      error: {
        kind: known ? e.kind : 'io',
        message: placed?.message ?? e.message,
        ...(input ? { file: input } : {}),
        ...(known && e.offset >= 0 ? { offset: e.offset } : {}),
        ...(known && e.func >= 0 ? { function: e.func } : {}),
        ...placed?.position,
      },
    });
  }
  // The encoder's own messages have the place, the line and a mark.
  if (placed && source.bytes !== null) {
    const { line, column } = placed.position;
    return `Error: ${input}:${line}:${column}: ${known ? e.describe() : e.message}`;
  }
  const where = input && !(e instanceof FileError) && !(known && e.kind === 'usage') ? `${input}: ` : '';
  return `Error: ${where}${known ? e.describe() : e.message}`;
}

function parseFlags(tool: string, argv: string[]): { flags: Flags; positionals: string[] } {
  for (const arg of argv) {
    if (arg === '--') break;
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name !== undefined && NOT_YET[name] !== undefined) {
      throw usage(`--${name}: ${NOT_YET[name]} is not supported yet by this version of ${tool}`);
    }
  }
  try {
    const { values, positionals } = parseArgs({ args: argv, options: parseConfig(), allowPositionals: true });
    return { flags: values as Flags, positionals };
  } catch (e) {
    throw usage(`${parseMessage(e as Error)} (see ${tool} --help)`);
  }
}

function readBindings(paths: readonly string[]): Bindings[] {
  return paths.map(path => {
    const text = new TextDecoder().decode(readInput(path, 1 << 26));
    try {
      return parseBindings(text);
    } catch (e) {
      throw usage(`bindings file ${path}: ${(e as Error).message}`);
    }
  });
}

function workerCount(text: string | undefined): number {
  if (text === undefined) return Math.min(8, availableParallelism());
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 64)
    throw usage(`--workers ${text}: expected a number from 1 to 64`);
  return n;
}

function memoryMode(name: string): MemoryMode {
  const mode = MEMORY_MODES.find(m => m === name);
  if (mode === undefined) throw usage(`--memory ${name}: expected one of ${MEMORY_MODES.join(', ')}`);
  return mode;
}

function wasmFeatures(flags: Flags): FeatureSet {
  const names = (given: readonly string[] = []) => given.flatMap(s => s.split(',')).filter(s => s !== '');
  return switchFeatures(names(flags['enable-feature']), names(flags['disable-feature']));
}

function compileOptions(tool: string, flags: Flags): CompileOptions {
  if (flags.target !== undefined) checkTriple(flags.target);
  const level = OPT_LEVELS[flags['opt-level'] ?? (flags.debug ? '0' : '2')];
  if (level === undefined)
    throw usage(`--opt-level ${flags['opt-level']}: expected one of ${Object.keys(OPT_LEVELS).join(', ')}`);
  if (flags.debug && level !== 0) throw usage('-g: code for debuggers is made at --opt-level 0 only');
  if (flags.debug && flags['strip-debug']) throw usage('-g and --strip-debug exclude each other');
  const switches = (flags['target-feature'] ?? []).flatMap(s => s.split(',')).filter(s => s !== '');
  const given = readBindings(flags.bindings ?? []);
  return {
    optLevel: level,
    features: resolveFeatures(flags['target-cpu'] ?? 'native', switches, nativeFeatures()),
    wasmFeatures: wasmFeatures(flags),
    memory: memoryMode(flags.memory ?? 'guarded'),
    reservedSize: 8 * 2 ** 30,
    canonicalizeNans: flags['canonicalize-nans'] ?? false,
    countInstructions: flags['count-instructions'] ?? false,
    debugCode: flags.debug ?? false,
    debugInfo: !flags['strip-debug'],
    workers: workerCount(flags.workers),
    bindings: mergeBindings(tool === 'lucetc-wasi' ? [WASI_BINDINGS, ...given] : given),
    verify: flags.verify ?? false,
  };
}

/** What a WASI command must have, and that lucetc-wasi knows every WASI import. */
function checkWasi(module: Module, tool: string, wasiExe: boolean): void {
  if (tool === 'lucetc-wasi') {
    if (module.imports.some(i => i.module === 'env' && i.name === '__linear_memory'))
      throw new CompileError(
        'an object file, which is no program yet: link it, by clang without -c, or by wasm-ld',
        -1,
        'invalid',
      );
    for (const { module: from, name } of module.imports) {
      if (from === WASI_MODULE && !WASI_BINDINGS.get(WASI_MODULE)!.has(name)) {
        throw new CompileError(`import '${from}'.'${name}' is no function of WASI preview1`, -1, 'invalid');
      }
    }
  }
  if (wasiExe && !module.exports.some(e => e.name === '_start' && e.kind === ExternKind.Func)) {
    throw new CompileError(
      "a program (--wasi_exe, --emit exe) starts at an exported function '_start', and the module has none",
      -1,
      'invalid',
    );
  }
}

function printStats(stats: CompileStats): void {
  const lines = [
    `functions ${stats.functions}, code ${stats.wasmCodeBytes} bytes of wasm -> ${stats.textBytes} bytes native, artifact ${stats.artifactBytes} bytes`,
    `time ${stats.totalMs.toFixed(1)} ms (${((stats.wasmCodeBytes / stats.totalMs) * 1e-3).toFixed(2)} MB/s)`,
    ...Object.entries(stats.counters)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, n]) => `  ${name.padEnd(32)} ${n}`),
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}

/** The lucet-wasi executable, which programs of their own begin with: built into dist/native/. */
function readExecutable(): Uint8Array {
  const here = dirname(fileURLToPath(import.meta.url));
  const places = [join(here, 'native/lucet-wasi'), join(here, '../../dist/native/lucet-wasi')];
  const path = places.find(p => existsSync(p));
  if (path === undefined)
    throw usage(`--emit exe: lucet-wasi, which the program begins with, is not at ${places[0]}`);
  return readFileSync(path);
}

/** Options only, each in one word: anything else would be taken for a module. */
function checkGrants(grants: readonly string[]): readonly string[] {
  const allowed =
    /^--(?:dir|readonly-dir|env|max-heap-size|heap-address-space|stack-size|timeout|color|backtrace|entrypoint|unknown-imports)=|^--inherit-env$/;
  const wrong = grants.find(g => !allowed.test(g) || g.includes('\0'));
  if (wrong !== undefined)
    throw usage(
      `--grant ${wrong}: expected an option of lucet-wasi as one word, such as --dir=data::/ or --inherit-env`,
    );
  return grants;
}

/** A progress line on a terminal, from half a second on. */
function progressLine(): { update: (done: number, total: number) => void; end: () => void } {
  const from = performance.now();
  let shown = false;
  return {
    update(done, total) {
      if (!process.stderr.isTTY || performance.now() - from < 500) return;
      shown = true;
      process.stderr.write(`\rcompiling: ${done}/${total} functions (${Math.floor((100 * done) / total)} %)`);
    },
    end() {
      if (shown) process.stderr.write('\r\x1b[K');
    },
  };
}

/** A module that has been compiled already: verifies it if that was asked for, and signs it if that was. */
async function signCompiled(flags: Flags, bytes: Uint8Array): Promise<void> {
  const { output } = flags;
  if (!flags['signature-create']) {
    if (output !== undefined)
      throw usage('a compiled module is verified, and nothing is written: leave -o out');
    return;
  }
  if (output === undefined)
    throw usage('--signature-create of a compiled module needs -o: where to write it');
  // Only what this version could load.
  readArtifact(bytes);
  writeOutput(output, signed(bytes, await openSecretKey(flags['signature-sk']!), output));
}

async function run(tool: string, flags: Flags, input: string, source: TextSource): Promise<void> {
  const options = compileOptions(tool, flags);
  const emit = flags.emit ?? 'so';
  if (emit === 'obj') throw usage('--emit obj is not supported yet by this version');
  if (emit !== 'so' && emit !== 'exe' && emit !== 'ir') throw usage(`--emit ${emit}: expected so, exe or ir`);
  if (emit === 'exe' && flags.output === '-') throw usage('--emit exe: a program needs a file, -o FILE');
  if (emit !== 'exe' && flags.grant !== undefined) throw usage('--grant is for --emit exe');
  if (emit !== 'so' && flags['signature-create'])
    throw usage('--signature-create signs shared objects: lucet-wasi verifies them when it loads them');
  const runtime = emit === 'exe' ? readExecutable() : null;
  const pk = flags['signature-verify'] ? readPublicKey(flags['signature-pk']!) : null;
  let bytes = readInput(input);
  if (bytes.length === 0) throw new CompileError('the file is empty', 0, 'malformed');
  // Before anything else looks at it.
  if (pk !== null) verifyInput(input, bytes, pk);
  if (isArtifact(bytes) && (pk !== null || flags['signature-create'])) {
    await signCompiled(flags, bytes);
    return;
  }
  if (!isWasm(bytes)) {
    if (flags['no-translate-wat']) throw new CompileError('not a WebAssembly binary', 0, 'malformed');
    const other = otherKind(input, bytes);
    if (other !== null) throw new CompileError(other, -1, 'malformed');
    source.text = new TextDecoder().decode(bytes);
    bytes = options.debugInfo
      ? await encodeWat(resolve(input), bytes, options.wasmFeatures)
      : await translateWat(resolve(input), bytes);
    source.bytes = bytes;
  }
  const module = decodeModule(bytes, options.wasmFeatures);
  checkWasi(module, tool, flags.wasi_exe ?? emit === 'exe');
  const output = flags.output ?? 'a.out';
  if (emit === 'ir') {
    writeOutput(output, new TextEncoder().encode(emitIr(module, options)));
    return;
  }
  const sk = flags['signature-create'] ? await openSecretKey(flags['signature-sk']!) : null;
  const progress = progressLine();
  try {
    const { artifact, stats } = await compileParallel(module, options, progress.update);
    let result = artifact;
    if (runtime !== null) result = makeExecutable(runtime, artifact, checkGrants(flags.grant ?? []));
    else if (sk !== null) result = signed(artifact, sk, output);
    writeOutput(output, result, runtime === null ? 0o666 : 0o777);
    progress.end();
    if (flags.stats) printStats(stats);
  } finally {
    progress.end();
  }
}

/** Run the tool; the result is the exit code. */
export async function runLucetc(tool: 'lucetc' | 'lucetc-wasi', argv: string[]): Promise<number> {
  let style = 'human';
  let input = '';
  const source: TextSource = { text: null, bytes: null };
  try {
    const { flags, positionals } = parseFlags(tool, argv);
    style = flags['error-style'] ?? 'human';
    if (style !== 'human' && style !== 'json') {
      style = 'human';
      throw usage(`--error-style ${flags['error-style']}: expected human or json`);
    }
    if (flags.help) {
      printText(helpText(tool));
      return 0;
    }
    if (flags.features) {
      printText(featuresText(wasmFeatures(flags)));
      return 0;
    }
    if (flags.version || flags['version-info']) {
      const info = flags['version-info']
        ? `artifact format ${ARTIFACT_VERSION}\nnode ${process.version}\n`
        : '';
      printText(`${tool} ${LUCET_VERSION}\n${info}`);
      return 0;
    }
    checkSignatureFlags(flags);
    if (flags['signature-keygen']) {
      if (positionals.length > 0) throw usage('--signature-keygen takes no INPUT');
      await generateKeyFiles(flags);
      return 0;
    }
    if (positionals.length !== 1)
      throw usage(`expected one INPUT file, got ${positionals.length} (see ${tool} --help)`);
    input = positionals[0]!;
    if (input === '') throw usage('the name of the INPUT is empty');
    await run(tool, flags, input, source);
    return 0;
  } catch (e) {
    const text = formatError(e, style, input, source);
    // Names and lines of the input are in it. JSON escapes them itself.
    process.stderr.write(`${style === 'json' ? text : printableLines(text)}\n`);
    if (e instanceof Error && e.name === 'BugError' && process.env.LUCET_DEBUG)
      process.stderr.write(`${e.stack}\n`);
    return 1;
  }
}
