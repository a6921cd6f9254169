import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['*/test/**/*.test.ts'],
    // Native code runs in the test process: a crash must take down one worker process, not the runner.
    pool: 'forks',
    // Many files begin clang, a WebAssembly module of 75 MB, for a second's work: V8's optimising compiler would cost more than it saves.
    execArgv: ['--liftoff-only'],
    maxWorkers: 2,
    testTimeout: 30_000,
  },
});
