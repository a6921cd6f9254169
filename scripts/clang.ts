/**
 * C and C++ to WebAssembly with the clang that comes from npm: no system toolchain. For the demo, examples and test
 * fixtures.
 *
 * That clang is itself a WebAssembly module of 75 MB, and beginning it costs seconds of CPU in every process. So what
 * it makes is kept in node_modules/.cache, under a hash of all that it is made from.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Tree } from '@yowasp/clang';

class ClangError extends Error {
  override readonly name = 'ClangError';
}

/** Relative paths with slashes as nested folders. */
function tree(files: Record<string, string>): Tree {
  const root: Tree = {};
  for (const [path, text] of Object.entries(files)) {
    const parts = path.split('/');
    const name = parts.pop()!;
    let folder = root;
    for (const part of parts) folder = (folder[part] ??= {}) as Tree;
    folder[name] = text;
  }
  return root;
}

interface Compilation {
  readonly driver: 'clang' | 'clang++';
  readonly args: readonly string[];
  readonly sources: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  readonly output: string;
}

/** Where the result of a compilation is kept. */
function cachePath(compilation: Compilation): string {
  const bundle = createRequire(import.meta.url).resolve('@yowasp/clang');
  const manifest = readFileSync(join(dirname(bundle), '..', 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const key = createHash('sha256')
    .update(JSON.stringify([version, compilation]))
    .digest('hex');
  return join(bundle.slice(0, bundle.lastIndexOf('@yowasp')), '.cache', 'lucet-clang', `${key}.wasm`);
}

/** A cache that can't be read or written is as good as none. */
function cached(path: string): Uint8Array | null {
  try {
    return new Uint8Array(readFileSync(path));
  } catch {
    return null;
  }
}

/** By a rename: other processes see all of it or nothing. */
function keep(path: string, module: Uint8Array): void {
  const partial = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(partial, module);
    renameSync(partial, path);
  } catch {}
}

/**
 * Compile and link sources for wasm32-wasip1.
 * @param files relative path -> text, all of them; those ending in .c, .cc or .cpp are compiled
 * @param flags compiler flags, e.g. ['-g', '-O1']
 * @returns the linked module
 * @throws ClangError with clang's messages
 */
export async function clang(files: Record<string, string>, flags: readonly string[]): Promise<Uint8Array> {
  const sources = Object.keys(files).filter(name => /\.(c|cc|cpp)$/.test(name));
  const driver = sources.some(name => !name.endsWith('.c')) ? 'clang++' : 'clang';
  // The linker writes the output's name into the module, as its own name: reports show it.
  const output = `${sources[0]!.replace(/^.*\/|\.\w+$/g, '')}.wasm`;
  const args = ['--target=wasm32-wasip1', ...flags, ...sources, '-o', output];
  const compilation = { driver, args, sources, files, output } as const;
  const path = cachePath(compilation);
  const old = cached(path);
  if (old !== null) return old;
  const module = await compile(compilation);
  keep(path, module);
  return module;
}

async function compile({ driver, args, sources, files, output }: Compilation): Promise<Uint8Array> {
  const { commands, runLLVM } = await import('@yowasp/clang');
  let messages = '';
  const decoder = new TextDecoder();
  try {
    // The driver's own calls would print how the toolchain is loaded: load it first.
    await runLLVM(undefined, {}, { fetchProgress: () => {} });
    const out = (await commands[driver]([...args], tree(files), {
      stdout: () => {},
      stderr: bytes => {
        if (bytes) messages += decoder.decode(bytes, { stream: true });
      },
    })) as Tree;
    return out[output] as Uint8Array;
  } catch (e) {
    throw new ClangError(`${sources.join(' ')}: ${messages.trim() || (e as Error).message}`);
  }
}
