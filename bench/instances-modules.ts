/** The guests of the instance benchmark, as WebAssembly. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { translateWat } from '../compiler/wasm/wat.ts';
import { clang } from '../scripts/clang.ts';

/** Calls across the border. */
const MICRO = `(module
  (import "env" "host" (func $host (param i32 i32) (result i32)))
  (import "env" "embedder" (func $embedder))
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "check") (param i32) (result i32) unreachable)
  (func (export "spin") (loop $again (br $again)))
  (func (export "hostcalls") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (call $host (local.get $sum) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "yield") (param $n i32)
    (loop $again
      (call $embedder)
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))`;

/** 1 MB of data, 10,000 functions, each of which is in a table: what instantiation must not be proportional to. */
function large(): string {
  const functions = 10_000;
  const data = 'lucet---'.repeat((1 << 20) / 8);
  const body = Array.from(
    { length: functions },
    (_, i) => `(func $f${i} (type $t) (i32.add (local.get 0) (i32.const ${i})))`,
  );
  return `(module
    (type $t (func (param i32) (result i32)))
    (memory (export "memory") 20)
    (data (i32.const 65536) "${data}")
    (table ${functions} funcref)
    (elem (i32.const 0) ${body.map((_, i) => `$f${i}`).join(' ')})
    ${body.join('\n')}
    (func (export "call") (param i32 i32) (result i32) (call_indirect (type $t) (local.get 0) (local.get 1))))`;
}

export interface Guests {
  readonly hello: Uint8Array;
  readonly large: Uint8Array;
  readonly micro: Uint8Array;
}

export async function guests(root: string): Promise<Guests> {
  const text = (name: string, source: string) => translateWat(name, Buffer.from(source));
  return {
    hello: await clang({ 'hello.c': readFileSync(join(root, 'examples', 'hello.c'), 'utf8') }, ['-O2']),
    large: await text('large.wat', large()),
    micro: await text('micro.wat', MICRO),
  };
}
