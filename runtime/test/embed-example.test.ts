/** examples/embed.c, as its head says to build and run it. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { libraryPath } from '../library.ts';
import { artifact } from './support/bundle.ts';
import { describeNative } from './support/guest.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');

describeNative('the example of embedding', () => {
  it('builds without warnings, as C and as C++, and does what it says', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lucet-embed-'));
    try {
      const module = join(dir, 'embed.so');
      await writeFile(module, await artifact(await readFile(join(root, 'examples/embed.wat'), 'utf8')));
      const program = join(dir, 'embed');
      const library = dirname(libraryPath());
      const flags = ['-Wall', '-Wextra', '-Werror', '-I', join(root, 'runtime/native')];
      const source = join(root, 'examples/embed.c');
      await run('cc', [source, ...flags, '-L', library, '-llucet', `-Wl,-rpath,${library}`, '-o', program]);
      const { stdout } = await run(program, [module]);
      expect(stdout.split('\n')).toEqual([
        ...[1071, 462, 147, 21].map(n => `guest says ${n}`),
        'gcd 21',
        'trap IntegerDivByZero in divide',
        'took too long',
        ...[48, 36, 12].map(n => `guest says ${n}`),
        'gcd 12 beside a guest that never ends',
        'killed',
        '',
      ]);
      // The header alone.
      const header = join(dir, 'header.cc');
      await writeFile(header, '#include "lucet.h"\nint main() { return 0; }\n');
      await run('g++', [header, ...flags, '-fsyntax-only']);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('a host function in C++ hands its exception on behind the call; one that gets out ends the process', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lucet-embed-'));
    try {
      const module = join(dir, 'embed.so');
      await writeFile(module, await artifact(await readFile(join(root, 'examples/embed.wat'), 'utf8')));
      const program = join(dir, 'exceptions');
      const library = dirname(libraryPath());
      const source = join(import.meta.dirname, 'embed-exceptions.cc');
      const flags = [source, '-std=c++17', '-Wall', '-Wextra', '-Werror', '-I', join(root, 'runtime/native')];
      await run('g++', [...flags, '-L', library, '-llucet', `-Wl,-rpath,${library}`, '-o', program]);
      expect((await run(program, [module, 'kept'])).stdout).toBe('no such thing\n');
      await expect(run(program, [module, 'escapes'])).rejects.toMatchObject({
        signal: 'SIGABRT',
        stderr: expect.stringMatching(/terminate called .*\n.*no such thing/),
      });
      await expect(run('g++', [...flags, '-DREFUSED', '-fsyntax-only'])).rejects.toThrow(
        /invalid conversion.*noexcept/,
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
