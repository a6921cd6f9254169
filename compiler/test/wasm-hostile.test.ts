/** Broken, absurd and huge modules: they are accepted or a CompileError, quickly, and V8 agrees which. */
import { describe, expect, it } from 'vitest';
import { CompileError } from '../diagnostics.ts';
import { compile, defaultOptions } from '../index.ts';
import { Func, ROW } from '../ir/func.ts';
import { verify } from '../ir/verify.ts';
import { compileParallel } from '../threads/parallel.ts';
import { decodeModule } from '../wasm/decode.ts';
import { LIMITS } from '../wasm/limits.ts';
import { lowerFunction, validateFunction } from '../wasm/lower.ts';
import { decodeAndLower, layoutOf, signatures } from './support/lower-all.ts';
import {
  body,
  F64,
  funcType,
  HEADER,
  I32,
  I64,
  leb,
  oneFunction,
  section,
  vec,
} from './support/module-builder.ts';
import { wat } from './support/wasm.ts';

const SAMPLE = `(module
  (type $t (func (param i32 i64) (result i32)))
  (import "env" "f" (func $f (type $t)))
  (import "env" "g" (global $g i32))
  (memory 1 2)
  (table 4 8 funcref)
  (global $m (mut i64) (i64.const -5))
  (export "run" (func $run))
  (start $init)
  (elem (i32.const 1) $run $f)
  (elem $passive funcref (ref.func $run) (ref.null func))
  (elem declare func $init)
  (data (i32.const 8) "hello")
  (data $p "passive")
  (func $init (global.set $m (i64.const 1)))
  (func $run (param i32 i64) (result i32) (local $x i32) (local $d f64)
    (local.set $d (f64.const 1.5))
    (block $out (result i32)
      (loop $again (param) (result i32)
        (local.set $x (i32.add (local.get $x) (i32.load8_s offset=3 (local.get 0))))
        (br_if $again (i32.lt_s (local.get $x) (i32.const 10)))
        (if (result i32) (i64.eqz (local.get 1))
          (then (br $out (call $f (local.get $x) (local.get 1))))
          (else (call_indirect (type $t) (i32.const 1) (global.get $m) (local.get 0))))))
    (br_table 0 0 (i32.and (local.get 0) (i32.const 1)))
    )
  (func $bulk (memory.init $p (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $p)
    (table.init $passive (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $passive)
    (drop (table.grow (ref.null func) (i32.const 1)))
    (memory.copy (i32.const 0) (i32.const 1) (i32.const 2))
    (i64.store offset=1 (i32.const 0) (i64.trunc_sat_f32_u (f32.const nan)))
    (drop (select (result funcref) (ref.func $init) (table.get 0 (i32.const 0)) (memory.size)))))`;

/** null: accepted */
function rejection(bytes: Uint8Array): CompileError | null {
  try {
    decodeAndLower(bytes);
    return null;
  } catch (e) {
    if (e instanceof CompileError) return e;
    throw e;
  }
}

const v8 = (bytes: Uint8Array) => WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>);

/** Does V8 reject it only because a proposal of ours is behind a flag of its? */
function lacking(bytes: Uint8Array): boolean {
  try {
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    return false;
  } catch (e) {
    return (e as Error).message.includes('enable with --experimental-wasm-typed-funcref');
  }
}

/** Ours and V8's verdict; null if they agree, or if we name the reason why they need not. */
function disagreement(bytes: Uint8Array, what: string): string | null {
  const e = rejection(bytes);
  if (e?.kind === 'unsupported' || e?.kind === 'limit') return null;
  if (v8(bytes) === (e === null) || (e === null && lacking(bytes))) return null;
  return `${what}: ${e?.describe() ?? 'accepted'}, V8 says otherwise`;
}

describe('broken modules', () => {
  it('every prefix of a module is rejected, unless V8 accepts it', async () => {
    const bytes = await wat(SAMPLE);
    expect(rejection(bytes)).toBeNull();
    const wrong: (string | null)[] = [];
    for (let n = 0; n < bytes.length; n++) wrong.push(disagreement(bytes.slice(0, n), `prefix ${n}`));
    expect(wrong.filter(x => x !== null)).toEqual([]);
  });

  it('changed bytes: the verdict is that of V8', async () => {
    const original = await wat(SAMPLE);
    const wrong: string[] = [];
    let rejected = 0;
    for (let i = 8; i < original.length; i++) {
      for (const change of [1, 2, 4, 0x10, 0x40, 0x7f, 0x80, 0xff]) {
        const bytes = original.slice();
        bytes[i]! ^= change;
        if (!v8(bytes)) rejected++;
        const problem = disagreement(bytes, `byte ${i} ^ ${change}`);
        if (problem) wrong.push(problem);
      }
    }
    expect(wrong).toEqual([]);
    expect(rejected).toBeGreaterThan(1000);
  });

  it('vectors that claim 2^32-1 elements cost nothing', () => {
    const huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for (const id of [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]) {
      const e = rejection(Uint8Array.from([...HEADER, ...section(id, huge)]));
      expect(e?.kind, `section ${id}`).toBe('malformed');
    }
  });

  it('errors of bodies name the function and the operator', () => {
    const bytes = oneFunction([I32], [I32], [], [0x20, 0, 0x42, 5, 0x6a]);
    const e = rejection(bytes)!;
    expect(e.describe()).toBe(
      `invalid: type mismatch: expected i32, found i64 at offset 0x${(bytes.length - 2).toString(16)} (function 0)`,
    );
  });
});

/** IR of function 0. */
function lowered(bytes: Uint8Array): Func {
  const module = decodeModule(bytes);
  const func = new Func();
  lowerFunction(module, 0, layoutOf(module), func);
  verify(func, signatures(module));
  return func;
}

/** Words of IR: rows and lists. Time goes with it; a clock would measure what else the machine does. */
function size(func: Func): number {
  return func.count * ROW + func.poolEnd;
}

/** `n` times what `make` gives, without spreading. */
function repeat(n: number, make: (i: number) => readonly number[]): number[] {
  const out: number[] = [];
  for (let i = 0; i < n; i++) for (const b of make(i)) out.push(b);
  return out;
}

describe('absurd functions', () => {
  const BLOCK = [0x02, 0x40];
  const LOOP = [0x03, 0x40];
  const END = [0x0b];

  it('100,000 nested blocks, loops and ifs', () => {
    const n = 100_000;
    for (const open of [BLOCK, LOOP, [0x20, 0, 0x04, 0x40]]) {
      const code = [
        ...repeat(n, () => open),
        ...[0x20, 0, 0x21, 1, 0x20, 0, 0x0d, ...leb(n - 1)],
        ...repeat(n, () => END),
      ];
      expect(size(lowered(oneFunction([I32], [], [[1, I32]], code)))).toBeLessThan(20 * code.length);
    }
  });

  it('100,000 nested loops, each with a back edge, around an assignment', () => {
    const n = 100_000;
    const code = [
      ...repeat(n, () => LOOP),
      ...[0x20, 1, 0x41, 1, 0x6a, 0x21, 1],
      ...repeat(n, () => [0x20, 0, 0x0d, 0, 0x0b]),
    ];
    expect(size(lowered(oneFunction([I32], [], [[1, I32]], code)))).toBeLessThan(20 * code.length);
  });

  it('10,000 locals and 100,000 blocks: the IR stays in proportion to the code', () => {
    const locals = 10_000;
    const set = (i: number) => [0x20, ...leb(i % locals), 0x41, 1, 0x6a, 0x21, ...leb((i * 7) % locals)];
    const code = [
      ...LOOP,
      ...BLOCK,
      ...repeat(100_000, i => [...BLOCK, 0x20, 0, 0x0d, i % 3, ...set(i), ...END]),
      ...END,
      ...END,
    ];
    expect(size(lowered(oneFunction([I32], [], [[locals, I32]], code)))).toBeLessThan(20 * code.length);
  });

  it('many nested constructs around assignments to many locals: the IR stays in proportion to the code', () => {
    const n = 1000;
    const set = (i: number) => [0x20, ...leb((i * 7) % n), 0x21, ...leb(i)];
    const ifs = [
      ...repeat(n, () => [0x20, 0, 0x04, 0x40]),
      ...repeat(n, i => [0x05, ...set(n - 1 - i), ...END]),
    ];
    const loops = [...repeat(n, () => LOOP), ...repeat(n, i => [...set(i), 0x20, 0, 0x0d, 0, ...END])];
    for (const code of [ifs, loops])
      expect(size(lowered(oneFunction([I32], [], [[n, I32]], code)))).toBeLessThan(50 * code.length);
  });

  it('temporaries of unoptimised code are no parameters of the loops around them', () => {
    const n = 2000;
    // Each block sets its own local, reads it, and may leave.
    const code = [
      ...LOOP,
      ...repeat(n, i => [...BLOCK, 0x20, 0, 0x22, ...leb(i + 1), 0x0d, 0, 0x20, ...leb(i + 1), 0x1a, ...END]),
      ...[0x20, 0, 0x0d, 0],
      ...END,
    ];
    const func = lowered(oneFunction([I32], [], [[n, I32]], code));
    let params = 0;
    for (let b = 1; b < func.blockCount; b++) params += func.paramCount(b);
    expect(params).toBe(0);
  });

  it('a branch table with many equal targets has one list of arguments', () => {
    const n = 60_000;
    const results = 100;
    const type = Array.from({ length: results }, () => I32);
    const values = repeat(results, () => [0x20, 0]);
    const code = [
      ...[0x02, 1],
      ...[0x02, 1, ...values, 0x20, 0, 0x0e, ...leb(n), ...repeat(n + 1, i => [i & 1]), ...END],
      ...[0x20, 0, 0x0d, 0],
      ...END,
      ...repeat(results, () => [0x1a]),
    ];
    const b = body([], code);
    const bytes = Uint8Array.from(
      [
        ...HEADER,
        ...section(1, vec([funcType([I32], []), funcType([], type)])),
        ...section(3, [1, 0]),
      ].concat([10], leb(b.length + 1), [1], b),
    );
    expect(lowered(bytes).poolEnd).toBeLessThan(5 * n);
  });

  it('each edge of a table that returns is written, wherever the lists are moved to larger arrays', () => {
    const n = 5000;
    const code = [0x02, 0x40, 0x20, 0, 0x0e, ...leb(n), ...repeat(n + 1, () => [1]), ...END];
    const func = lowered(oneFunction([I32], [], [], code));
    expect(func.poolEnd).toBeGreaterThan(2 * n);
  });

  it('and so is each edge of a landing pad to its clauses', () => {
    const n = 5000;
    const tries = [0x02, 0x40, 0x1f, 0x40, ...leb(n), ...repeat(n, () => [0, 0, 0]), 0x10, 0, ...END, ...END];
    const b = body([], tries);
    const bytes = Uint8Array.from(
      [
        ...HEADER,
        ...section(1, vec([funcType([], [])])),
        ...section(3, [1, 0]),
        ...section(13, [1, 0, 0]),
      ].concat([10], leb(b.length + 1), [1], b),
    );
    expect(lowered(bytes).poolEnd).toBeGreaterThan(2 * n);
  });

  it('limits', () => {
    const kind = (bytes: Uint8Array) => rejection(bytes)?.kind;
    expect(kind(oneFunction([], [], [[50_001, I32]], []))).toBe('limit');
    expect(kind(oneFunction([], [], [[50_000, I32]], []))).toBeUndefined();
    expect(kind(oneFunction(new Array<number>(1001).fill(I32), [], [], []))).toBe('limit');
    const big = [0x41, 0, 0x0e, ...leb(70_000), ...repeat(70_001, () => [0])];
    expect(kind(oneFunction([], [], [], big))).toBe('limit');
    // Results without end, three bytes for 1000 of them.
    const many = funcType([], new Array<number>(1000).fill(I64));
    const f = body(
      [],
      repeat(20_000, () => [0x10, 0, 0x00]),
    );
    const calls = body([], repeat(20_000, () => [0x10, 0]).concat([0x00]));
    const module = (code: readonly number[]) =>
      Uint8Array.from(
        [...HEADER, ...section(1, vec([many])), ...section(3, [1, 0])].concat(
          [10],
          leb(code.length + 1),
          [1],
          code as number[],
        ),
      );
    expect(kind(module(f))).toBeUndefined();
    expect(kind(module(calls))).toBe('limit');
  });

  it('calls that pass results on as parameters: four bytes for 2000 values', () => {
    const values = new Array<number>(1000).fill(I32);
    const module = (pairs: number) =>
      Uint8Array.from(
        [
          ...HEADER,
          ...section(1, vec([funcType([], values), funcType(values, []), funcType([], [])])),
          ...section(2, vec([0, 1].map(type => [1, 0x61, 1, 0x62 + type, 0, type]))),
          ...section(3, [1, 2]),
        ].concat(
          section(
            10,
            vec([
              body(
                [],
                repeat(pairs, () => [0x10, 0, 0x10, 1]),
              ),
            ]),
          ),
        ),
      );
    expect(rejection(module(100))).toBeNull();
    expect(rejection(module(1000))).toMatchObject({ kind: 'limit', message: /values/ });
  });

  it('many small functions that each pass a thousand values: the module as a whole has a limit', async () => {
    const values = new Array<number>(1000).fill(I64);
    const module = (bodies: number[][]) =>
      Uint8Array.from(
        [...HEADER, ...section(1, vec([funcType([], values)]))].concat(
          section(3, vec(new Array<number[]>(bodies.length).fill([0]))),
          section(10, vec(bodies)),
        ),
      );
    const small = body([], [0x10, 0]);
    const many = (n: number) => new Array<number[]>(n).fill(small);
    // Ten bytes that return a thousand values, a hundred times.
    const large = body(
      [],
      repeat(100, () => [0x02, 0x40, 0x41, 0, 0x0d, 0, 0x10, 0, 0x0f, 0x0b]).concat(0x10, 0),
    );
    const on = (threads: number, bodies: number[][]) =>
      compileParallel(decodeModule(module(bodies)), defaultOptions({ optLevel: 0 }), () => {}, threads);
    expect(compile(module(many(20))).length).toBeLessThan(2 ** 20);
    // The error names the function that has most of it. Those that are too much together may be compiled by several threads.
    for (const [threads, func, bodies] of [
      [1, 3, [...many(3), large, small]],
      [2, 0, many(90)],
    ] as const) {
      await expect(on(threads, [...bodies])).rejects.toMatchObject({
        kind: 'limit',
        func,
        message: expect.stringMatching(
          /words of intermediate code, of which the \d+ bytes of this function are \d+/,
        ),
      });
    }
    // An invalid function comes first, wherever it stands.
    await expect(on(1, [large, small, body([], [])])).rejects.toMatchObject({ kind: 'invalid', func: 2 });
  });

  it('many stubs with a dozen parameters each are no such module', () => {
    const stubs = new Array<number[]>(12_000);
    const bytes = Uint8Array.from(
      [...HEADER, ...section(1, vec([funcType(new Array<number>(12).fill(I32), [])]))].concat(
        section(3, vec(stubs.fill([0]).slice())),
        section(10, vec(stubs.fill(body([], [])))),
      ),
    );
    expect(compile(bytes, { optLevel: 0 }).length).toBeGreaterThan(0);
  });

  it('many small functions that each have thousands of locals, for debuggers: each gets a home', () => {
    const one = body([[49_000, 0x7b]], []);
    const module = (functions: number) =>
      Uint8Array.from([
        ...HEADER,
        ...section(1, vec([funcType([], [])])),
        ...section(3, vec(new Array<number[]>(functions).fill([0]))),
        ...section(10, vec(new Array<number[]>(functions).fill(one))),
      ]);
    expect(() => compile(module(40), { optLevel: 0, debugCode: true })).toThrowError(
      expect.objectContaining({ kind: 'limit', message: expect.stringMatching(/thousands of locals/) }),
    );
  });

  it('loops in seven bytes that carry a thousand values', () => {
    const values = new Array<number>(1000).fill(I64);
    const module = (loops: number) =>
      oneFunction(
        [I32],
        values,
        [],
        [...repeat(1000, () => [0x42, 0]), ...repeat(loops, () => [0x03, 1, 0x20, 0, 0x0d, 0, 0x0b])],
        [funcType(values, values)],
      );
    expect(rejection(module(50))).toBeNull();
    expect(rejection(module(1000))).toMatchObject({ kind: 'limit', message: /carry more than \d+ values/ });
  });

  it('imports of a thousand parameters each', () => {
    const values = new Array<number>(1000).fill(I64);
    const module = (imports: number) =>
      Uint8Array.from([
        ...HEADER,
        ...section(1, vec([funcType(values, values)])),
        ...section(2, vec(Array.from({ length: imports }, (_, i) => [1, 0x61, 1, i + 1, 0, 0]))),
      ]);
    expect(rejection(module(16))).toBeNull();
    expect(rejection(module(64))).toMatchObject({ kind: 'limit', message: /parameters of imports/ });
  });

  it('conditional returns: four bytes for 1000 values', () => {
    const results = new Array<number>(1000).fill(I32);
    const module = (returns: number) =>
      oneFunction(
        [I32],
        results,
        [],
        [...repeat(1000, () => [0x20, 0]), ...repeat(returns, () => [0x20, 0, 0x0d, 0])],
      );
    expect(rejection(module(100))).toBeNull();
    expect(rejection(module(2000))).toMatchObject({ kind: 'limit', message: /values/ });
  });

  it('20,000 tables of 65,536 functions, fifteen bytes each: few have an image, none is looked for among all segments', () => {
    const count = 20_000;
    const table = [0x40, 0, 0x70, 0, ...leb(65_536), 0xd2, 0, 0x0b];
    const segment = (t: number) => [2, ...leb(t), 0x41, 0, 0x0b, 0, 1, 0];
    const module = decodeModule(
      Uint8Array.from(
        [...HEADER, ...section(1, vec([funcType([], [])])), ...section(3, [1, 0])]
          .concat(section(4, vec(Array.from({ length: count }, () => table))))
          .concat(section(9, vec(Array.from({ length: count }, (_, t) => segment(t)))))
          .concat(section(10, vec([body([], [])]))),
      ),
    );
    const images = module.tableImages.filter(image => image !== null);
    expect(images.length).toBeGreaterThan(0);
    expect(images.reduce((n, image) => n + image.functions.length, 0)).toBeLessThan(2 ** 21);
  });

  it('validation alone agrees, and builds nothing', () => {
    const good = decodeModule(oneFunction([I32], [F64], [], [0x20, 0, 0xb7]));
    const bad = decodeModule(oneFunction([I32], [F64], [], [0x20, 0]));
    validateFunction(good, 0);
    expect(() => validateFunction(bad, 0)).toThrow(/^type mismatch/);
  });
});

describe('features that are not there', () => {
  it.each([
    ['gc', [0xfb, 0]],
    ['threads', [0xfe, 0]],
    ['legacy-exceptions', [0x06, 0x40]],
    ['-wasm-use-legacy-eh=false', [0x06, 0x40]],
  ])('%s', (proposal, code) => {
    const e = rejection(oneFunction([], [], [], code))!;
    expect(e.kind).toBe('unsupported');
    expect(e.message).toContain(proposal);
  });

  it.each([['threads', section(5, [1, 3, 1, 1])]])('%s in a section', (proposal, bytes) => {
    const e = rejection(Uint8Array.from([...HEADER, ...bytes]))!;
    expect(e.kind).toBe('unsupported');
    expect(e.message).toContain(proposal);
  });
});

describe('type sections', () => {
  const rejected = (types: readonly number[]) =>
    rejection(Uint8Array.from([...HEADER, ...section(1, types)]))?.describe() ?? 'accepted';

  it.each([
    ['an empty group', [1, 0x4e, 0], /^accepted/],
    ['a group whose types name each other', [1, 0x4e, 2, 0x60, 1, 0x64, 1, 0, 0x5e, 0x63, 0, 1], /^accepted/],
    ['a type behind the group', [2, 0x4e, 1, 0x60, 1, 0x64, 1, 0, 0x60, 0, 0], /unknown type 1/],
    ['a group in a group', [1, 0x4e, 1, 0x4e, 1, 0x60, 0, 0], /malformed type form/],
    ['a supertype that is the type itself', [1, 0x50, 1, 0, 0x60, 0, 0], /unknown type 0/],
    [
      'two supertypes',
      [3, 0x50, 0, 0x5f, 0, 0x50, 0, 0x5f, 0, 0x50, 2, 0, 1, 0x5f, 0],
      /more than one supertype/,
    ],
    ['a supertype that is final', [2, 0x5f, 0, 0x50, 1, 0, 0x5f, 0], /sub type 1 does not match/],
    [
      'a supertype of another kind',
      [2, 0x50, 0, 0x5f, 0, 0x50, 1, 0, 0x60, 0, 0],
      /sub type 1 does not match/,
    ],
    ['a structure with fewer fields', [2, 0x50, 0, 0x5f, 1, 0x78, 0, 0x50, 1, 0, 0x5f, 0], /does not match/],
    [
      'a mutable field of another type',
      [2, 0x50, 0, 0x5f, 1, 0x6e, 1, 0x50, 1, 0, 0x5f, 1, 0x6d, 1],
      /does not match/,
    ],
    [
      'an immutable field of a lower type',
      [2, 0x50, 0, 0x5f, 1, 0x6e, 0, 0x50, 1, 0, 0x5f, 1, 0x6d, 0],
      /^accepted/,
    ],
    [
      'a packed field in the place of a reference',
      [2, 0x50, 0, 0x5f, 1, 0x78, 0, 0x50, 1, 0, 0x5f, 1, 0x71, 0],
      /does not match/,
    ],
    ['a field with a wrong mutability', [1, 0x5f, 1, 0x7f, 2], /malformed mutability/],
    [
      'a group of more types than there are bytes',
      [1, 0x4e, 0xff, 0xff, 0xff, 0xff, 0x0f],
      /length out of bounds/,
    ],
  ])('%s', (_, types, expected) => {
    expect(rejected(types)).toMatch(expected);
  });

  it('64 types above each other are too many', () => {
    const chain = (n: number) => [
      n,
      ...Array.from({ length: n }, (_, i) => [0x50, ...(i === 0 ? [0] : [1, i - 1]), 0x5f, 0]).flat(),
    ];
    expect(rejected(chain(64))).toBe('accepted');
    expect(rejected(chain(65))).toMatch(/the limit is 63/);
  });
});

it('names that no function or local can have are not kept, nor more of them than there may be', () => {
  const name = (index: number): number[] => [...leb(index), 1, 0x61];
  const map = (count: number, entry: (i: number) => number[]): number[] => [
    ...leb(count),
    ...Array.from({ length: count }, (_, i) => entry(i)).flat(),
  ];
  const sub = (id: number, contents: number[]): number[] => [id, ...leb(contents.length), ...contents];
  const contents = [
    ...sub(
      1,
      map(2, i => name(i * LIMITS.functions)),
    ),
    ...sub(2, [
      ...leb(3),
      ...leb(LIMITS.functions),
      ...map(1, name),
      1,
      ...map(0, name),
      2,
      ...map(2, i => name(i * LIMITS.locals)),
    ]),
  ];
  const { names } = decodeModule(
    Uint8Array.from([...HEADER, ...section(0, [4, ...Buffer.from('name'), ...contents])]),
  );
  expect([...names.functions.keys()]).toEqual([0]);
  expect([...names.locals].map(([f, locals]) => [f, [...locals.keys()]])).toEqual([[2, [0]]]);
});
