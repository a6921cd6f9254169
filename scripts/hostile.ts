/**
 * `npm run hostile [-- --seed N]`: damaged input. Every prefix of a module and of an artifact, and 10,000 byte-flipped ones of each, must give
 * a clear error (CompileError with an offset; LoadError) or a valid result: never another exception, a crash or a hang.
 * Ends with "N passed, N failed".
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { CompileError, compile } from '../compiler/index.ts';
import { LoadError, Module } from '../runtime/index.ts';
import { clang } from './clang.ts';
import { scriptOptions } from './options.ts';

/** A program with everything: calls, tables, floats, a data segment; small enough for thousands of compilations. */
const SOURCE = `
typedef int (*op)(int, int);
static int add(int a, int b) { return a + b; }
static int divide(int a, int b) { return a / b; }
static op ops[] = {add, divide};
static double scale = 0.5;
__attribute__((import_module("env"), import_name("log"))) void log_value(int x);
__attribute__((export_name("run"))) int run(int n) {
  int s = 0;
  for (int i = 0; i < n; i++) {
    s = ops[i & 1](s, (int)(i * scale) + 1);
    log_value(s);
  }
  return s;
}
`;

const FLIPS = 10_000;
/** No single input may take longer. */
const LIMIT_MS = 10_000;

function random(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

function* damaged(bytes: Uint8Array, seed: number): Generator<[name: string, bytes: Uint8Array]> {
  for (let n = 0; n < bytes.length; n++) yield [`prefix of ${n} bytes`, bytes.slice(0, n)];
  const next = random(seed);
  for (let i = 0; i < FLIPS; i++) {
    const copy = Uint8Array.from(bytes);
    const flips = 1 + (next() % 3);
    for (let k = 0; k < flips; k++) copy[next() % copy.length]! ^= 1 + (next() % 255);
    yield [`flip ${i} (seed ${seed})`, copy];
  }
}

interface Suite {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Returns what is wrong, or null. */
  readonly check: (input: Uint8Array) => string | null;
}

function checkCompile(input: Uint8Array): string | null {
  try {
    Module.fromBytes(compile(input, { verify: true })).dispose();
    return null;
  } catch (e) {
    if (!(e instanceof CompileError)) return `threw ${(e as Error).stack ?? String(e)}`;
    return e.offset >= 0 || e.kind === 'limit' ? null : `CompileError without an offset: ${e.message}`;
  }
}

function checkLoad(input: Uint8Array): string | null {
  try {
    Module.fromBytes(input).dispose();
    return 'a damaged artifact was accepted';
  } catch (e) {
    return e instanceof LoadError ? null : `threw ${(e as Error).stack ?? String(e)}`;
  }
}

/** Runs in a worker: the main thread watches the heartbeat and notices a hang. */
function work(module: Uint8Array, seed: number, heartbeat: Int32Array): void {
  const suites: Suite[] = [
    { name: 'compiler', bytes: module, check: checkCompile },
    { name: 'loader', bytes: compile(module), check: checkLoad },
  ];
  let passed = 0;
  let failed = 0;
  for (const { name, bytes, check } of suites) {
    for (const [what, input] of damaged(bytes, seed)) {
      const wrong = check(input);
      Atomics.add(heartbeat, 0, 1);
      if (wrong === null) passed++;
      else if (failed++ < 20) console.log(`${name}, ${what}: ${wrong}`);
    }
  }
  parentPort!.postMessage({ passed, failed });
}

async function main(): Promise<number> {
  const values = scriptOptions('Usage: npm run hostile -- [--seed N]\n', {
    seed: { type: 'string', default: '1' },
  });
  const module = await clang({ 'hostile.c': SOURCE }, [
    '-O1',
    '-nostdlib',
    '-Wl,--no-entry',
    '-Wl,--strip-all',
  ]);
  const heartbeat = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { module, seed: Number(values.seed), heartbeat },
  });
  let last = -1;
  const watchdog = setInterval(() => {
    const now = Atomics.load(heartbeat, 0);
    if (now === last) {
      console.log(`input number ${now} hangs: no answer within ${LIMIT_MS} ms\n${now} passed, 1 failed`);
      process.exit(1);
    }
    last = now;
  }, LIMIT_MS);
  const result = await new Promise<{ passed: number; failed: number }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  clearInterval(watchdog);
  console.log(`${result.passed} passed, ${result.failed} failed`);
  return result.failed === 0 ? 0 : 1;
}

if (isMainThread) process.exitCode = await main();
else work(workerData.module, workerData.seed, workerData.heartbeat);
