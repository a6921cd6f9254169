/**
 * `npm run hostile [-- --seed N] [--only NAME]`: damaged input. Every prefix of a module and of an artifact, 10,000
 * byte-flipped ones of each, and thousands of mutated modules, texts, debug information, source maps and bindings must
 * give a clear error (CompileError with an offset; LoadError) or a valid result: never another exception, a crash or a
 * hang. Ends with "N passed, N failed".
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type CompileOptions, compile } from '../compiler/index.ts';
import { clang } from './clang.ts';
import {
  checkBindings,
  checkCompile,
  checkDebugInfo,
  checkLoad,
  checkLoadable,
  checkSourceMap,
  checkText,
  type Verdict,
} from './hostile-checks.ts';
import { mutated, random, wordsOf } from './hostile-mutate.ts';
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
  readonly inputs: (seed: number) => Iterable<readonly [name: string, bytes: Uint8Array]>;
  /** Returns what is wrong, or null. */
  readonly check: (input: Uint8Array) => Verdict | Promise<Verdict>;
}

function* mutants(
  bytes: Uint8Array,
  count: number,
  seed: number,
  tokens: readonly (readonly number[])[] = [],
): Generator<[name: string, bytes: Uint8Array]> {
  const next = random(seed);
  for (let i = 0; i < count; i++) yield [`mutant ${i} (seed ${seed})`, mutated(bytes, next, tokens)];
}

const VARIANTS: readonly Partial<CompileOptions>[] = [
  {},
  { optLevel: 0 },
  { optLevel: 0, debugCode: true },
  { memory: 'dense', countInstructions: true },
];
let variant = 0;
const checkMutant = (input: Uint8Array): Verdict =>
  checkCompile(input, VARIANTS[variant++ % VARIANTS.length]!);

const TEXT = `(module $m ;; a comment
  (type $t (func (param i32 i64) (result i32)))
  (import "env" "f" (func $f (type $t)))
  (memory 1 2) (table $tab 4 8 funcref) (tag $e (param i32))
  (global $g (mut i64) (i64.const -5))
  (export "run" (func $run)) (start $init)
  (elem (i32.const 1) $run $f)
  (data $d (i32.const 8) "hel\\6co\\u{1F600}")
  (func $init (global.set $g (i64.const 0x7fff_ffff_ffff_ffff)))
  (func $run (param $x i32) (param i64) (result i32) (local $y f64)
    (local.set $y (f64.const nan:0x1234)) (; a block ; comment ;)
    (block $out (result i32)
      (loop $again (result i32)
        (br_if $again (i32.lt_s (i32.load8_s offset=3 align=1 (local.get $x)) (i32.const 10)))
        (if (result i32) (i64.eqz (local.get 1))
          (then (br $out (call $f (local.get $x) (local.get 1))))
          (else (call_indirect $tab (type $t) (i32.const 1) (global.get $g) (local.get 0))))))
    br_table 0 0
    try_table (catch $e 0) (throw $e (i32.const 1)) end
    unreachable))
`;

const BINDINGS = JSON.stringify({ env: { log: 'host_log', abort: 'host_abort' }, other: { f: 'g' } });

const SOURCE_MAP = JSON.stringify({
  version: 3,
  sources: ['a.ts', null, '../b.ts'],
  sourceRoot: '/src',
  names: ['x', 'y'],
  sourcesContent: ['let x = 1;', null, ''],
  mappings: 'AAAA,IACEA,GAAG,CCCA,MDJHA,UEAa,sBAAA,KACf,8BC+GI',
});

interface Work {
  readonly module: Uint8Array;
  /** With names and debug information. */
  readonly program: Uint8Array;
  readonly text: Uint8Array;
  readonly seed: number;
  readonly only: string;
  readonly heartbeat: Int32Array;
}

function suitesOf({ module, program, text }: Work): Suite[] {
  const artifact = compile(module);
  const words = wordsOf(Buffer.from(text).toString());
  const map = Buffer.from(SOURCE_MAP);
  const bindings = Buffer.from(BINDINGS);
  return [
    { name: 'compiler', inputs: seed => damaged(module, seed), check: checkLoadable },
    { name: 'loader', inputs: seed => damaged(artifact, seed), check: checkLoad },
    { name: 'mutated modules', inputs: seed => mutants(module, 4000, seed), check: checkMutant },
    { name: 'mutated programs', inputs: seed => mutants(program, 1000, seed), check: checkMutant },
    { name: 'debug information', inputs: seed => mutants(program, 1500, seed), check: checkDebugInfo },
    { name: 'text', inputs: seed => mutants(text, 2000, seed, words), check: checkText },
    {
      name: 'source maps',
      inputs: seed => mutants(map, 4000, seed, wordsOf(SOURCE_MAP)),
      check: checkSourceMap,
    },
    {
      name: 'bindings',
      inputs: seed => mutants(bindings, 2000, seed, wordsOf(BINDINGS)),
      check: checkBindings,
    },
  ];
}

/** Runs in a worker: the main thread watches the heartbeat and notices a hang. */
async function work(given: Work): Promise<void> {
  let passed = 0;
  let failed = 0;
  for (const { name, inputs, check } of suitesOf(given)) {
    if (!name.includes(given.only)) continue;
    for (const [what, input] of inputs(given.seed)) {
      const verdict = await check(input);
      Atomics.add(given.heartbeat, 0, 1);
      if (verdict === null) passed++;
      else if (failed++ < 20) console.log(`${name}, ${what}: ${verdict}`);
    }
  }
  parentPort!.postMessage({ passed, failed });
}

async function main(): Promise<number> {
  const values = scriptOptions('Usage: npm run hostile -- [--seed N] [--only NAME]\n', {
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  });
  const module = await clang({ 'hostile.c': SOURCE }, [
    '-O1',
    '-nostdlib',
    '-Wl,--no-entry',
    '-Wl,--strip-all',
  ]);
  const program = await clang({ 'hostile.c': SOURCE }, ['-O1', '-g', '-nostdlib', '-Wl,--no-entry']);
  const text = Buffer.from(TEXT);
  const heartbeat = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), {
    workerData: {
      module,
      program,
      text,
      seed: Number(values.seed),
      only: values.only,
      heartbeat,
    } satisfies Work,
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
else await work(workerData as Work);
