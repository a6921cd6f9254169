/**
 * Dependencies point one way: extension -> debug-adapter -> runtime -> compiler; the compiler proper knows no files,
 * processes or editor.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const ROOMS = ['compiler', 'runtime', 'debug-adapter', 'extension'];

/**
 * What of the compiler may use Node: its command lines, its threads, signatures (OpenSSL), and what asks the machine or
 * the engine.
 */
const NODE_ALLOWED = /^compiler.(?:cli|threads|(?:minisign|native-cpu|engine-tuning)\.ts$)/;

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

  it('only the command lines, the threads and the signatures of the compiler use Node', () => {
    const wrong = sources('compiler')
      .filter(file => !NODE_ALLOWED.test(file))
      .filter(file => imports(file).some(spec => spec.startsWith('node:')));
    expect(wrong).toEqual([]);
  });
});
