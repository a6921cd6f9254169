import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['*/test/**/*.test.ts'],
    // Native code runs in the test process: a crash must take down one worker process, not the runner.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
  },
});
