/** Finding the native library. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LoadError } from './errors.ts';

const FILE = 'liblucet.so';

/**
 * Path of liblucet.so. `LUCET_LIBRARY` names it; else it is looked for in `native/` beside the bundle this code is in,
 * then in `dist/native/` of each directory above (which is where the project builds it).
 * @throws LoadError when it is nowhere
 */
export function libraryPath(): string {
  const named = process.env.LUCET_LIBRARY;
  if (named !== undefined && named !== '') return named;
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'native', FILE);
  if (existsSync(beside)) return beside;
  for (let dir = here; ; dir = dirname(dir)) {
    const built = join(dir, 'dist', 'native', FILE);
    if (existsSync(built)) return built;
    if (dirname(dir) === dir) break;
  }
  throw new LoadError(
    `the native library ${FILE} was not found near ${here}; build it, or name it in LUCET_LIBRARY`,
    'io',
    0,
  );
}

/** Whether guests can run here. Tests that need the library ask this. */
export function hasLibrary(): boolean {
  try {
    return existsSync(libraryPath());
  } catch {
    return false;
  }
}
