/** C and C++ to WebAssembly with the clang that comes from npm: no system toolchain. For the demo, examples and test fixtures. */
import { commands, runLLVM, type Tree } from '@yowasp/clang';

export class ClangError extends Error {
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

/**
 * Compile and link sources for wasm32-wasip1.
 * @param files relative path -> text, all of them; those ending in .c, .cc or .cpp are compiled
 * @param flags compiler flags, e.g. ['-g', '-O1']
 * @returns the linked module
 */
export async function clang(files: Record<string, string>, flags: readonly string[]): Promise<Uint8Array> {
  const sources = Object.keys(files).filter(name => /\.(c|cc|cpp)$/.test(name));
  const driver = sources.some(name => !name.endsWith('.c')) ? 'clang++' : 'clang';
  // The linker writes the output's name into the module, as its own name: reports show it.
  const output = `${sources[0]!.replace(/^.*\/|\.\w+$/g, '')}.wasm`;
  let messages = '';
  const decoder = new TextDecoder();
  try {
    // The driver's own calls would print how the toolchain is loaded: load it first.
    await runLLVM(undefined, {}, { fetchProgress: () => {} });
    const out = (await commands[driver](
      ['--target=wasm32-wasip1', ...flags, ...sources, '-o', output],
      tree(files),
      {
        stdout: () => {},
        stderr: bytes => {
          if (bytes) messages += decoder.decode(bytes, { stream: true });
        },
      },
    )) as Tree;
    return out[output] as Uint8Array;
  } catch (e) {
    throw new ClangError(`${sources.join(' ')}: ${messages.trim() || (e as Error).message}`);
  }
}
