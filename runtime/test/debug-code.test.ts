/**
 * Debug code: at each sequence point every local and operand is in its home, and what is written there is what goes on.
 * The judge stops the guest by ptrace (runtime/native/test/debug_step.c); what must be seen is what these programs say
 * by themselves.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDebugInfo } from '../../compiler/debuginfo/index.ts';
import { type CompileOptions, compile } from '../../compiler/index.ts';
import { readArtifact } from '../../compiler/object/artifact-reader.ts';
import { readDebugFunctions } from '../../compiler/object/debug-reader.ts';
import { wat } from '../../compiler/test/support/wasm.ts';
import { clang } from '../../scripts/clang.ts';
import { describeNative } from './support/guest.ts';

const run = promisify(execFile);
const native = join(import.meta.dirname, '../native');
const DEBUG: Partial<CompileOptions> = { optLevel: 0, debugCode: true, verify: true };

interface Stop {
  readonly at: number;
  readonly locals: readonly bigint[];
  readonly operands: readonly bigint[];
}

/** All types; values on the stack of a block, below one, and across a call. */
const TYPES = `(module (memory 1)
  (func $id (param i64) (result i64) (local.get 0))
  (func (export "f") (param i64) (result i64) (local i32 f32 f64 v128 i64)
    (local.set 1 (i32.const 7))
    (local.set 2 (f32.const 1.5))
    (local.set 3 (f64.const -2.5))
    (local.set 4 (v128.const i64x2 0x1122334455667788 9))
    (local.set 5 (i64.add (i64.const 1000)
      (block (result i64)
        (nop)
        (local.set 1 (i32.const 8))
        (call $id (local.get 0)))))
    (i64.add (local.get 5)
      (i64.add (i64.extend_i32_s (local.get 1))
        (i64.add (i64.trunc_f32_s (f32.mul (local.get 2) (f32.const 2)))
          (i64.add (i64.trunc_f64_s (local.get 3)) (i64x2.extract_lane 1 (local.get 4))))))))`;

const FACTORIAL = `(module
  (func (export "f") (param i64) (result i64) (local i64)
    (local.set 1 (i64.const 1))
    (block $done (loop $l
      (br_if $done (i64.eqz (local.get 0)))
      (local.set 1 (i64.mul (local.get 1) (local.get 0)))
      (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
      (br $l)))
    (local.get 1)))`;

describeNative('debug code', () => {
  let dir: string;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lucet-debug-'));
    await run('make', ['-s', '-C', native, '../../dist/native/debug_step']);
  }, 120_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** All stops of a run, and its result. */
  async function stops(
    path: string,
    ...args: (string | number)[]
  ): Promise<{ stops: Stop[]; result: bigint }> {
    const { stdout } = await run(join(native, '../../dist/native/debug_step'), [
      path,
      'f',
      ...args.map(String),
    ]);
    const lines = stdout.trim().split('\n');
    const result = BigInt(lines.pop()!.replace('result ', ''));
    const values = (text: string) =>
      text
        .trim()
        .split(' ')
        .filter(s => s !== '')
        .map(s => BigInt(`0x${s}`));
    return {
      result,
      stops: lines.map(line => {
        const [, at, locals, operands] = /^([0-9a-f]+):(.*)\|(.*)$/.exec(line)!;
        return { at: Number.parseInt(at!, 16), locals: values(locals!), operands: values(operands!) };
      }),
    };
  }

  async function artifact(name: string, text: string): Promise<string> {
    const path = join(dir, `${name}.so`);
    writeFileSync(path, compile(await wat(text), DEBUG));
    return path;
  }

  it('locals have their values at each stop, and what is written to one goes on', async () => {
    const path = await artifact('factorial', FACTORIAL);
    const seen = await stops(path, 5);
    expect(seen.result).toBe(120n);
    // Each state of (n, product) in turn, as the loop makes them.
    const states = seen.stops.map(s => s.locals.join()).filter((s, i, all) => s !== all[i - 1]);
    const wanted = ['5,0', '5,1', '5,5', '4,5', '4,20', '3,20', '3,60', '2,60', '2,120', '1,120', '0,120'];
    expect(states).toEqual(wanted);
    const first = seen.stops.findIndex(s => s.locals.join() === '5,1');
    expect((await stops(path, 5, first, 'local', 1, 1000)).result).toBe(120_000n);
    expect((await stops(path, 5, first, 'local', 0, 3)).result).toBe(6n);
  });

  it('locals and operands of all types are in their homes', async () => {
    const path = await artifact('types', TYPES);
    const { stops: seen, result } = await stops(path, 42);
    expect(result).toBe(1000n + 42n + 8n + 3n - 2n + 9n);
    const last = seen.filter(s => s.locals.length === 6).at(-1)!;
    const f32 = BigInt(new Uint32Array(Float32Array.of(1.5).buffer)[0]!);
    const f64 = new BigUint64Array(Float64Array.of(-2.5).buffer)[0]!;
    const low = (x: bigint) => x & 0xffff_ffffn;
    const [p, i, f, d, v, l] = last.locals as [bigint, bigint, bigint, bigint, bigint, bigint];
    expect([p, low(i), low(f), d, v, l]).toEqual([42n, 8n, f32, f64, 0x1122334455667788n, 1042n]);
  });

  it('an operand below a construct is in its home too, and can be changed', async () => {
    const path = await artifact('operands', TYPES);
    const functions = readDebugFunctions(readArtifact(compile(await wat(TYPES), DEBUG)));
    const outer = functions.find(f => f.locals.length === 6)!;
    // Points within the block see the 1000 that waits for the sum.
    expect(outer.points.some(point => point.operands.length === 1)).toBe(true);
    const { stops: seen } = await stops(path, 42);
    const at = seen.findIndex(
      s => s.locals.length === 6 && s.operands.length === 1 && s.operands[0] === 1000n,
    );
    expect(at).toBeGreaterThan(0);
    expect((await stops(path, 42, at, 'operand', 0, 5000)).result).toBe(5000n + 42n + 8n + 3n - 2n + 9n);
  });
});

describe('sequence points', () => {
  const C = `int twice(int x) {
  if (x > 1000)
    return 1000;
  return 2 * x;
}

int sum(int n) {
  int s = 0;
  for (int i = 0; i < n; i++)
    s += twice(i);
  return s;
}
`;

  it('stand where the line table says that a statement begins', async () => {
    const wasm = await clang({ 'sum.c': C }, [
      '-g',
      '-O0',
      '-nostdlib',
      '-Wl,--no-entry',
      '-Wl,--export-all',
    ]);
    const a = readArtifact(compile(wasm, DEBUG));
    const sections = a.debugSections;
    const info = openDebugInfo(sections);
    const lines = new Set<number>();
    const points = readDebugFunctions(a).flatMap(f => f.points);
    for (const { wasmOffset, pc } of points) {
      expect(a.text[pc]).toBe(0x90);
      const where = info.lookup(wasmOffset - a.codeStart);
      expect(where?.file).toMatch(/sum\.c$/);
      lines.add(where!.line);
    }
    // Every line that has code, and no other.
    expect([...lines].sort((x, y) => x - y)).toEqual([1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
    // Both ways: the place of a point in the code is that of its operator.
    for (const { pc, wasmOffset } of points) expect(a.locate(pc)).toMatchObject({ wasmOffset });
  });

  it('release code is the same with debug information and without', async () => {
    const flags = ['-O0', '-nostdlib', '-Wl,--no-entry', '-Wl,--export-all', '-Wl,--strip-debug'];
    const plain = await clang({ 'sum.c': C }, flags);
    const described = await clang({ 'sum.c': C }, ['-g', ...flags.slice(0, -1)]);
    for (const optLevel of [0, 2] as const) {
      const texts = [
        compile(plain, { optLevel }),
        compile(described, { optLevel }),
        compile(described, { optLevel, debugInfo: false }),
      ].map(so => Buffer.from(readArtifact(so).text).toString('hex'));
      expect(texts[0]!.length).toBeGreaterThan(100);
      expect(texts[1]).toBe(texts[0]);
      expect(texts[2]).toBe(texts[0]);
    }
  });

  it('none in release code', async () => {
    expect(readDebugFunctions(readArtifact(compile(await wat(FACTORIAL))))).toEqual([]);
  });
});
