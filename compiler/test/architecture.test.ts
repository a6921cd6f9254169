/** Dependencies point one way: extension -> debug-adapter -> runtime -> compiler; the compiler proper knows no files, processes or editor. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const ROOMS = ['compiler', 'runtime', 'debug-adapter', 'extension'];

/** Files of the compiler that may use Node: its command line, its threads, and its signatures (OpenSSL). */
const NODE_ALLOWED = new Set(
  [
    'cli.ts',
    'cli-options.ts',
    'cli-files.ts',
    'cli-signature.ts',
    'minisign.ts',
    'engine-tuning.ts',
    'native-cpu.ts',
    'parallel.ts',
    'worker.ts',
    'objdump-cli.ts',
  ].map(f => join('compiler', f)),
);

function sources(room: string): string[] {
  return readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
    .filter(f => f.endsWith('.ts') && !f.split(sep).includes('test'))
    .map(f => join(room, f));
}

function imports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(m => m[1]!);
}

describe('dependencies', () => {
  it.each(ROOMS.map((room, i) => [room, ROOMS.slice(i + 1)] as const))(
    '%s imports nothing of %j',
    (room, later) => {
      const files = sources(room);
      expect(files.length).toBeGreaterThan(0);
      const wrong = files.flatMap(file =>
        imports(file)
          .filter(spec => spec.startsWith('.'))
          .map(spec => relative(root, join(root, dirname(file), spec)).split(sep)[0]!)
          .filter(target => (later as readonly string[]).includes(target))
          .map(target => `${file} -> ${target}`),
      );
      expect(wrong).toEqual([]);
    },
  );

  it('only the command line, the threads and the signatures of the compiler use Node', () => {
    const wrong = sources('compiler')
      .filter(file => !NODE_ALLOWED.has(file))
      .filter(file => imports(file).some(spec => spec.startsWith('node:')));
    expect(wrong).toEqual([]);
  });
});
