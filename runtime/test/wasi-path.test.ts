/** Builds wasi-path-test.c with the sanitizers and runs it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('no path leads out of its directory', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-path-'));
  try {
    const program = join(dir, 'test');
    const sources = [
      join(import.meta.dirname, 'wasi-path-test.c'),
      join(import.meta.dirname, '../native/wasi_path.c'),
    ];
    const flags = ['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-pthread'];
    const sanitize = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
    const built = spawnSync('gcc', [...flags, ...sanitize, ...sources, '-o', program], { encoding: 'utf8' });
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
});
