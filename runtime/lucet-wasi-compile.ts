/** Compiling what lucet-wasi is given as .wasm or .wat, and the cache of what was compiled. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ARTIFACT_VERSION } from '../compiler/abi/artifact.ts';
import type { CompileOptions } from '../compiler/options.ts';
import { LoadError } from './errors.ts';
import { Module } from './module.ts';

declare const LUCET_VERSION: string | undefined;

/** "dev" when it runs from its sources. */
const VERSION = typeof LUCET_VERSION === 'string' ? LUCET_VERSION : 'dev';

export interface SourceOptions {
  readonly optLevel: 0 | 1 | 2;
  readonly cache: boolean;
  readonly countInstructions: boolean;
  /** For a debugger: level 0 only. */
  readonly debugCode: boolean;
  /** Gets the binary form of a text before it is compiled; not called if the result is in the cache. */
  readonly encoded?: (wasm: Uint8Array) => void;
  /** Compiling has begun, or goes on. */
  readonly progress?: (done: number, total: number) => void;
}

/** `$XDG_CACHE_HOME/lucet`, or `~/.cache/lucet`. */
function cacheDirectory(): string {
  const base = process.env.XDG_CACHE_HOME;
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'lucet');
}

/** Node's own recursive mkdir never returns where a parent exists in which nothing can be made (/proc). */
function makeDirectory(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(dir) === dir) throw e;
    makeDirectory(dirname(dir));
    mkdirSync(dir, { mode: 0o700 });
  }
}

/**
 * The cache holds code that will be run: only a directory that nobody else can write to will do. Null: there is none.
 */
function openCache(): string | null {
  try {
    const dir = cacheDirectory();
    makeDirectory(dir);
    const { uid, mode } = statSync(dir);
    return uid === process.getuid!() && (mode & 0o022) === 0 ? dir : null;
  } catch {
    return null;
  }
}

/** Identifies the compiler: the version alone would not tell one build of a developer's from the next. */
function buildIdentity(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const files = readdirSync(here).filter(f => /\.(?:c?js|ts)$/.test(f));
  const identity = files.sort().map(f => {
    const { size, mtimeMs } = statSync(join(here, f));
    return `${f} ${size} ${mtimeMs}`;
  });
  return [VERSION, ARTIFACT_VERSION, ...identity].join('\n');
}

/** @param path of a module in text form, which its debug information names; else empty */
function cacheKey(path: string, bytes: Uint8Array, options: CompileOptions): string {
  const shown = { ...options, features: [...options.features].sort(), bindings: [], workers: 0 };
  return createHash('sha256')
    .update(buildIdentity())
    .update('\0')
    .update(JSON.stringify(shown))
    .update('\0')
    .update(path)
    .update('\0')
    .update(bytes)
    .digest('hex');
}

/** Where a compiled module is. */
export interface Compiled {
  readonly path: string;
  /** The artifact was not cached: it has to be removed after use. */
  readonly temporary: boolean;
}

/** What a source is compiled with, and where the result is kept; null: nowhere. */
interface Plan {
  readonly options: CompileOptions;
  /** Named like the source, for reports. */
  readonly name: string;
  readonly kept: string | null;
}

async function planOf(path: string, bytes: Uint8Array, source: SourceOptions): Promise<Plan> {
  const [{ isWasm }, { resolveFeatures }, { nativeFeatures }, { defaultOptions }] = await Promise.all([
    import('../compiler/wasm/wat.ts'),
    import('../compiler/target.ts'),
    import('../compiler/native-cpu.ts'),
    import('../compiler/options.ts'),
  ]);
  const options = defaultOptions({
    optLevel: source.optLevel,
    countInstructions: source.countInstructions,
    debugCode: source.debugCode,
    features: resolveFeatures('native', [], nativeFeatures()),
    workers: Math.min(8, (await import('node:os')).availableParallelism()),
  });
  const dir = source.cache ? openCache() : null;
  const name = `${basename(path).replace(/\.[^.]*$/, '')}.so`;
  const key = dir === null ? '' : cacheKey(isWasm(bytes) ? '' : resolve(path), bytes, options);
  return { options, name, kept: dir === null ? null : join(dir, key, name) };
}

/**
 * The artifact of a .wasm or .wat that has been compiled before; null: it has not. @throws an error of the file system
 */
export async function keptArtifact(path: string, source: SourceOptions): Promise<string | null> {
  const { kept } = await planOf(path, readFileSync(path), source);
  return kept !== null && isWhole(kept) ? kept : null;
}

/**
 * The artifact of a .wasm or .wat: from the cache, or compiled.
 * @throws CompileError; an error of the file system
 */
export async function compileSource(
  path: string,
  bytes: Uint8Array,
  source: SourceOptions,
): Promise<Compiled> {
  const { options, name, kept } = await planOf(path, bytes, source);
  if (kept !== null && isWhole(kept)) return { path: kept, temporary: false };
  const [{ isWasm }, { encodeWat }, { decodeModule }, { compileParallel }] = await Promise.all([
    import('../compiler/wasm/wat.ts'),
    import('../compiler/wat/translate.ts'),
    import('../compiler/wasm/decode.ts'),
    import('../compiler/threads/parallel.ts'),
  ]);
  const wasm = isWasm(bytes) ? bytes : await encodeWat(resolve(path), bytes);
  if (wasm !== bytes) source.encoded?.(wasm);
  const { artifact } = await compileParallel(decodeModule(wasm), options, source.progress);
  if (kept !== null && store(kept, artifact)) return { path: kept, temporary: false };
  const temporary = join(tmpdir(), `lucet-${process.pid}-${randomBytes(8).toString('hex')}-${name}`);
  writeFileSync(temporary, artifact, { flag: 'wx', mode: 0o600 });
  return { path: temporary, temporary: true };
}

/** Whether there is a cached artifact, and it is whole. The loader compares its checksum. */
function isWhole(path: string): boolean {
  try {
    Module.fromFile(path).dispose();
    return true;
  } catch (e) {
    if (!(e instanceof LoadError)) throw e;
    return false;
  }
}

/** Readers see the old file or the whole new one. False: it could not be written, which is no reason not to run. */
function store(path: string, artifact: Uint8Array): boolean {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    makeDirectory(dirname(path));
    writeFileSync(temporary, artifact, { flag: 'wx', mode: 0o600 });
    renameSync(temporary, path);
    return true;
  } catch {
    rmSync(temporary, { force: true });
    return false;
  }
}
