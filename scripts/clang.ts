/** C and C++ to WebAssembly with the clang that comes from npm: no system toolchain. For the demo, examples and test fixtures. */
import { commands, type Tree } from '@yowasp/clang';

export class ClangError extends Error {
  override readonly name = 'ClangError';
}

/**
 * Compile and link sources for wasm32-wasip1.
 * @param files file name -> text, all of them; those ending in .c, .cc or .cpp are compiled
 * @param flags compiler flags, e.g. ['-g', '-O1']
 * @returns the linked module
 */
export async function clang(files: Record<string, string>, flags: readonly string[]): Promise<Uint8Array> {
  const sources = Object.keys(files).filter(name => /\.(c|cc|cpp)$/.test(name));
  const driver = sources.some(name => !name.endsWith('.c')) ? 'clang++' : 'clang';
  let messages = '';
  const decoder = new TextDecoder();
  try {
    const out = (await commands[driver](
      ['--target=wasm32-wasip1', ...flags, ...sources, '-o', 'out.wasm'],
      { ...files },
      {
        stdout: () => {},
        stderr: bytes => {
          if (bytes) messages += decoder.decode(bytes, { stream: true });
        },
        fetchProgress: () => {},
      },
    )) as Tree;
    return out['out.wasm'] as Uint8Array;
  } catch (e) {
    throw new ClangError(`${sources.join(' ')}: ${messages.trim() || (e as Error).message}`);
  }
}
