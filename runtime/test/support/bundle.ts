/** The runtime as one file, for processes and threads that can't load TypeScript. */
import { join } from 'node:path';
import { build } from 'esbuild';
import { type CompileOptions, compile } from '../../../compiler/index.ts';
import { wat } from '../../../compiler/test/support/wasm.ts';

const root = join(import.meta.dirname, '../../..');

/** @param name of whoever wants it: test files run at the same time. @returns its path */
export async function runtimeBundle(name: string): Promise<string> {
  const outfile = join(root, 'dist/test', `${name}.mjs`);
  await build({
    entryPoints: [join(root, 'runtime/index.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'error',
  });
  return outfile;
}

/** The artifact of a module in text form. */
export async function artifact(source: string, options: Partial<CompileOptions> = {}): Promise<Uint8Array> {
  return compile(await wat(source), { verify: true, ...options });
}
