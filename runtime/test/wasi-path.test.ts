/**
 * Builds the tests of confinement that are in C, and runs them; with LUCET_SANITIZE, as in .ci/run, under the
 * sanitizers, with which all of it is compiled anew.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const native = join(import.meta.dirname, '../native');
const sources = (dir: string): string[] =>
  readdirSync(join(native, dir))
    .filter(f => f.endsWith('.c'))
    .map(f => join(dir, f));
const wasi = sources('.').filter(f => f.startsWith('wasi'));
const attacks = [...wasi, 'test/wasi_host.c', ...sources('test/wasi_attack')];

it.each([
  ['no path leads out of its directory', [join(import.meta.dirname, 'wasi-path-test.c')], ['wasi_path.c']],
  ['no attack gets at what was not granted', [], attacks],
])(
  '%s',
  (_, tests, parts) => {
    const dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-path-'));
    try {
      const program = join(dir, 'test');
      const sanitized = process.env.LUCET_SANITIZE !== undefined;
      const flags = [
        '-std=gnu11',
        sanitized ? '-O1' : '-O0',
        '-g',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-pthread',
      ];
      const sanitize = sanitized ? ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'] : [];
      const files = [...tests, ...parts.map(f => join(native, f))];
      const built = spawnSync('gcc', [...flags, ...sanitize, ...files, '-o', program], { encoding: 'utf8' });
      expect(built.stderr).toBe('');
      const tree = join(dir, 'tree');
      mkdirSync(tree);
      const run = spawnSync(program, [tree], { encoding: 'utf8' });
      expect(run.stderr).toBe('');
      expect(run.stdout).toMatch(/^\d{5,} checks, 0 failed\n$/);
      expect(run.status).toBe(0);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
  60_000,
);
