/** The folder that tests open: programs that print, trap, and never end, with their sources. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { translateWat } from '../../compiler/wasm/wat.ts';
import { clang } from '../clang.ts';

const SPIN = `#include <stdio.h>

int main(void) {
  printf("spinning\\n");
  fflush(stdout);
  volatile unsigned n = 0;
  for (;;) n = n + 1;
}
`;

const STEP = `#include <stdio.h>

struct point {
  int x, y;
};

static int scale(int n, int by) {
  int product = n * by; // #inside
  return product;
}

int main(void) {
  struct point p = {3, 4};
  int sum = 0;
  for (int i = 1; i <= 3; i++) {
    sum += scale(p.x, i); // #loop
  }
  printf("sum %d\\n", sum); // #print
  return 0;
}
`;

/** Line 4 adds numbers of different types. */
const BROKEN_WAT = `(module
  (memory 1)
  (func (export "broken") (result i32)
    (i32.add (i32.const 1) (f64.const 2))))
`;

const COUNTER_WAT = `(module
  ;; Counts in memory; traps when it is asked to count somewhere else.
  (memory (export "memory") 1)
  (global $steps (mut i32) (i32.const 0))
  (func $bump (param $at i32) (result i32)
    (global.set $steps (i32.add (global.get $steps) (i32.const 1)))
    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
    (i32.load (local.get $at)))
  (func (export "count") (result i32)
    (drop (call $bump (i32.const 8)))
    (call $bump (i32.const 8)))
  (func (export "trap") (result i32)
    (call $bump (i32.const 0x7fffffff))))
`;

/** Some 2.5 MB of functions, each with a name and 20 additions. */
function large(): string {
  const addition =
    '(local.set 0 (i64.add (i64.mul (local.get 0) (i64.const 0x123456789)) (i64.const 0x1234567)))';
  const functions = Array.from(
    { length: LARGE_FUNCTIONS },
    (_, i) => `(func $f${i} (param i64) (result i64) ${addition.repeat(6)} (local.get 0))`,
  );
  return `(module ${functions.join('\n')} (export "first" (func $f0)))`;
}
const LARGE_FUNCTIONS = 20_000;

/** Write the folder. Sources are compiled under the path that they have there. */
export async function makeWorkspace(folder: string, root: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const sources: Record<string, string> = {
    'hello.c': readFileSync(join(root, 'examples/hello.c'), 'utf8'),
    'trap.c': readFileSync(join(root, 'examples/trap.c'), 'utf8'),
    'spin.c': SPIN,
    'step.c': STEP,
  };
  for (const [name, text] of Object.entries(sources)) {
    writeFileSync(join(folder, name), text);
    const level = name === 'step.c' ? '-O0' : '-O1';
    const wasm = await clang({ [name]: text }, ['-g', level, `-fdebug-compilation-dir=${folder}`]);
    writeFileSync(join(folder, name.replace(/\.c$/, '.wasm')), wasm);
  }
  const encoded = await translateWat('large.wat', new TextEncoder().encode(large()));
  writeFileSync(join(folder, 'large.wasm'), encoded);
  writeFileSync(join(folder, 'broken.wat'), BROKEN_WAT);
  writeFileSync(join(folder, 'counter.wat'), COUNTER_WAT);
}
