import { configDefaults, defineConfig } from 'vitest/config';

/**
 * Few of these run guests, and none changes its process: what they import is loaded once for a worker process, not for
 * each file.
 */
const SHARED = ['compiler/test/**/*.test.ts', 'scripts/test/**/*.test.ts'];

export default defineConfig({
  test: {
    // Native code runs in the test process: a crash must take down one worker process, not the runner.
    pool: 'forks',
    // Many files begin clang, a WebAssembly module of 75 MB, for a second's work: V8's optimising compiler would cost
    // more than it saves.
    execArgv: ['--liftoff-only'],
    maxWorkers: 2,
    testTimeout: 30_000,
    projects: [
      { extends: true, test: { name: 'compiler', include: SHARED, isolate: false } },
      {
        extends: true,
        test: {
          name: 'all others',
          include: ['*/test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...SHARED],
        },
      },
    ],
  },
});
