/**
 * `--count-instructions` against modules that count themselves, run by V8: the same number after each call, also of
 * calls that trap on purpose. And against numbers found by hand.
 */
import { afterAll, expect, it } from 'vitest';
import { type CompileOptions, compile } from '../../compiler/index.ts';
import { wat, watNewer } from '../../compiler/test/support/wasm.ts';
import { Instance, Module, Region, Trap } from '../../runtime/index.ts';
import { describeNative } from '../../runtime/test/support/guest.ts';
import { COUNTER, countingItself } from '../count-rewrite.ts';

interface Program {
  readonly name: string;
  readonly text: string;
  /** Exports to be called one after the other, with arguments. */
  readonly calls: readonly (readonly [string, ...number[]])[];
  /** The count after them, by hand. */
  readonly total?: bigint;
}

const FIB = `(func $fib (export "f") (param i32) (result i32)
  (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
    (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))`;

const PROGRAMS: readonly Program[] = [
  { name: 'nothing', text: '(func (export "f"))', calls: [['f'], ['f']], total: 0n },
  { name: 'a constant', text: '(func (export "f") (result i32) (i32.const 7))', calls: [['f']], total: 1n },
  {
    name: 'what is free',
    text: '(func (export "f") nop (block (loop (block nop))) (drop (i32.const 1)) nop)',
    calls: [['f']],
    total: 1n,
  },
  {
    name: 'a sequence',
    text: '(func (export "f") (param i32) (result i32) (i32.mul (i32.add (local.get 0) (i32.const 1)) (i32.const 3)))',
    calls: [['f', 1]],
    total: 5n,
  },
  {
    name: 'a return in the middle',
    text: '(func (export "f") (result i32) (return (i32.const 1)) (i32.const 2) (drop))',
    calls: [['f']],
    total: 2n,
  },
  {
    name: 'if and else',
    text: `(func (export "f") (param i32) (result i32)
      (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.add (i32.const 1) (i32.const 2)))))`,
    calls: [
      ['f', 0],
      ['f', 1],
    ],
    total: 5n + 3n,
  },
  {
    name: 'if without else',
    text: `(func (export "f") (param i32) (result i32)
      (if (local.get 0) (then (local.set 0 (i32.const 9)))) (local.get 0))`,
    calls: [
      ['f', 0],
      ['f', 1],
    ],
    total: 3n + 5n,
  },
  {
    name: 'a loop',
    text: `(func (export "f") (param i32) (result i32) (local i32)
      (loop $l (local.set 1 (i32.add (local.get 1) (local.get 0)))
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))`,
    calls: [
      ['f', 1],
      ['f', 10],
    ],
    total: 10n + 91n,
  },
  {
    name: 'loops in a loop, left from within',
    text: `(func (export "f") (param i32) (result i32) (local i32 i32)
      (block $out (loop $a (local.set 2 (local.get 0))
        (loop $b (local.set 1 (i32.add (local.get 1) (i32.const 1)))
          (br_if $out (i32.gt_u (local.get 1) (i32.const 50)))
          (br_if $b (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
        (br $a)))
      (local.get 1))`,
    calls: [
      ['f', 1],
      ['f', 7],
    ],
  },
  { name: 'recursion', text: FIB, calls: [['f', 12]] },
  {
    name: 'br_table',
    text: `(func (export "f") (param i32) (result i32)
      (block $c (block $b (block $a (br_table $a $b $c (local.get 0))) (return (i32.const 10)))
        (return (i32.add (i32.const 20) (local.get 0)))) (i32.const 30))`,
    calls: [
      ['f', 0],
      ['f', 1],
      ['f', 2],
      ['f', 99],
    ],
    total: 3n + 2n + (3n + 4n) + 2n * (3n + 1n),
  },
  {
    name: 'indirect calls, and those that trap',
    text: `(type $t (func (param i32) (result i32))) (table (export "t") 4 funcref) (elem (i32.const 0) $a $b $c)
      (func $a (param i32) (result i32) (local.get 0))
      (func $b (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func $c (result i32) (i32.const 0))
      (func (export "f") (param i32) (result i32) (call_indirect (type $t) (i32.const 5) (local.get 0)))`,
    calls: [
      ['f', 0],
      ['f', 1],
      ['f', 2],
      ['f', 3],
      ['f', 4],
    ],
    total: 5n * 4n + 1n + 3n,
  },
  {
    name: 'unreachable, below calls',
    text: `(func $g (param i32) (if (local.get 0) (then (drop (i32.const 1)) unreachable)) (drop (i32.const 2)))
      (func (export "f") (param i32) (drop (i32.const 3)) (call $g (local.get 0)) (drop (i32.const 4)))`,
    calls: [
      ['f', 0],
      ['f', 1],
    ],
    total: 1n + 2n + 2n + 1n + 1n + (1n + 2n + 2n + 2n),
  },
  {
    name: 'tail calls',
    text: `(func $even (export "f") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1)))) (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
      (func $odd (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0)))) (return_call $even (i32.sub (local.get 0) (i32.const 1))))`,
    calls: [
      ['f', 0],
      ['f', 25],
    ],
    total: 5n + (25n * 7n + 5n),
  },
  {
    name: 'tail calls through a table',
    text: `(type $t (func (param i32) (result i32))) (table (export "t") 2 funcref) (elem (i32.const 0) $a $b)
      (func $a (param i32) (result i32) (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))
      (func $b (export "f") (param i32) (result i32)
        (if (i32.lt_s (local.get 0) (i32.const 1)) (then (return (local.get 0))))
        (return_call_indirect (type $t) (local.get 0) (i32.const 0)))`,
    calls: [['f', 30]],
  },
  {
    name: 'blocks with values, and dead code',
    text: `(func (export "f") (param i32) (result i32)
      (i32.add (block $a (result i32) (drop (br_if $a (i32.const 1) (local.get 0))) (br $a (i32.const 2)) (drop (i32.const 5)) (i32.const 3))
        (block $b (result i32) (i32.const 6) (local.get 0) (br_if $b) (drop) (i32.const 7))))`,
    calls: [
      ['f', 0],
      ['f', 1],
    ],
  },
  {
    name: 'memory and globals',
    text: `(memory 1) (global $g (mut i64) (i64.const 0))
      (func $set (param i32) (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1))))
      (func (export "f") (param i32) (result i32) (local i32)
        (loop $l (call $set (i32.shl (local.get 1) (i32.const 2))) (global.set $g (i64.add (global.get $g) (i64.const 2)))
          (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (local.get 0))))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 100)) (i32.load (i32.const 96)))`,
    calls: [['f', 20]],
  },
  {
    name: 'a start function',
    text: '(global $g (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 1))) (start $s) (func (export "f") (result i32) (global.get $g))',
    calls: [['f']],
    total: 3n,
  },
];

/** Results of the calls, traps as one word: they are compared elsewhere. */
function outcomes(calls: Program['calls'], call: (name: string, args: number[]) => unknown): unknown[] {
  return calls.map(([name, ...args]) => {
    try {
      return call(name, args);
    } catch (e) {
      if (e instanceof Trap || e instanceof WebAssembly.RuntimeError) return 'trap';
      throw e;
    }
  });
}

describeNative('counting instructions', () => {
  const region = Region.create({ capacity: 4 });
  afterAll(() => region.dispose());

  const variants: readonly Partial<CompileOptions>[] = [
    { optLevel: 0 },
    { optLevel: 2 },
    { optLevel: 2, memory: 'dense' },
  ];

  it.each(PROGRAMS.map(p => [p.name, p] as const))('%s', async (_, { text, calls, total }) => {
    const bytes = await wat(`(module ${text})`);
    const counting = new Uint8Array(countingItself(bytes));
    const peer = new WebAssembly.Instance(new WebAssembly.Module(counting)).exports;
    const counted = () => (peer[COUNTER] as WebAssembly.Global).value as bigint;
    const counts: bigint[] = [];
    const wanted = outcomes(calls, (name, args) => (peer[name] as (...a: number[]) => unknown)(...args));
    // Once more, one by one, for the counts between calls.
    const again = new WebAssembly.Instance(new WebAssembly.Module(counting)).exports;
    for (const one of calls) {
      outcomes([one], (name, args) => (again[name] as (...a: number[]) => unknown)(...args));
      counts.push((again[COUNTER] as WebAssembly.Global).value as bigint);
    }
    if (total !== undefined) expect(counted()).toBe(total);
    for (const options of variants) {
      const module = Module.fromBytes(compile(bytes, { ...options, countInstructions: true, verify: true }));
      const instance = Instance.create(region, module);
      const found = calls.map(c => {
        const [outcome] = outcomes([c], (name, args) => instance.call(name, ...args));
        return [outcome, instance.instructionCount];
      });
      expect(found, JSON.stringify(options)).toEqual(wanted.map((outcome, i) => [outcome, counts[i]]));
      instance.dispose();
      module.dispose();
    }
  });

  // By hand: V8 has no exnref yet.
  it('exceptions, caught here and further out', async () => {
    const bytes = watNewer(`(module (tag $a (param i32)) (tag $b)
      (func $g (param i32)
        (if (i32.eqz (local.get 0)) (then (throw $a (i32.const 7))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $b))))
      (func $h (param i32) (result i32)
        (block $caught (result i32) (try_table (catch $a $caught) (call $g (local.get 0)) (drop (i32.const 1))) (i32.const 5)))
      (func (export "f") (param i32) (result i32)
        (block $b (return (try_table (result i32) (catch $b $b) (i32.add (call $h (local.get 0)) (i32.const 1))))) (i32.const 9)))`);
    for (const options of variants) {
      const module = Module.fromBytes(compile(bytes, { ...options, countInstructions: true, verify: true }));
      const instance = Instance.create(region, module);
      const counts = [0, 1, 2].map(x => [instance.call('f', x), instance.instructionCount]);
      // f and h: 2 each up to the call; g: 5, 8 or 7; behind it, h: 0, - or 2, f: 3, 1 or 3.
      expect(counts).toEqual([
        [8, 2n + 2n + 5n + 3n],
        [9, 12n + 2n + 2n + 8n + 1n],
        [6, 25n + 2n + 2n + 7n + 2n + 3n],
      ]);
      instance.dispose();
      module.dispose();
    }
  });

  it('costs nothing when it is not asked for', async () => {
    const bytes = await wat(`(module ${FIB})`);
    const module = Module.fromBytes(compile(bytes));
    const instance = Instance.create(region, module);
    instance.call('f', 10);
    expect(instance.instructionCount).toBe(0n);
    instance.dispose();
    module.dispose();
  });
});
