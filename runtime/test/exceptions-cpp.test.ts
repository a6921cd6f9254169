/**
 * A C++ program full of exceptions, by LLVM with its instructions for them, against what the system's compiler makes of
 * the same program. Compiling takes a while, so LUCET_CPP=1 asks for it.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import { GuestExit, Instance, Linkage, WasiContext } from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const folder = join(import.meta.dirname, 'support');
const program = join(folder, 'cpp-exceptions.cc');
const read = (path: string): string => readFileSync(path, 'utf8');

const asked = process.env.LUCET_CPP === '1';

describeNative('a C++ program that throws', () => {
  const guests = new Guests();
  let expected: string;
  let module: Uint8Array;

  beforeAll(async () => {
    if (!asked) return;
    const temporary = mkdtempSync(join(tmpdir(), 'lucet-cpp-'));
    try {
      execFileSync('g++', ['-std=c++20', '-O1', '-o', join(temporary, 'program'), program]);
      expected = execFileSync(join(temporary, 'program'), { encoding: 'utf8' });
    } finally {
      rmSync(temporary, { recursive: true });
    }
    const sources = {
      'program.cc': read(program),
      'runtime.cc': read(join(folder, 'cpp-exceptions-runtime.cc')),
    };
    const flags = ['-O1', '-std=c++20', '-fwasm-exceptions', '-mllvm', '-wasm-use-legacy-eh=false'];
    module = await clang(sources, flags);
  }, 180_000);

  it
    .runIf(asked)
    .each([
      { optLevel: 2 },
      { optLevel: 0 },
      { optLevel: 2, memory: 'dense' },
      { optLevel: 0, debugCode: true },
    ] as const)('does what it does natively: %j', async options => {
    const wasi = new WasiContext({ stdout: 'buffer' });
    const instance = Instance.create(
      guests.region,
      Linkage.create(await guests.module(module, options), wasi.imports),
    );
    try {
      instance.call('_start');
    } catch (e) {
      if (!(e instanceof GuestExit && e.status === 0)) throw e;
    } finally {
      instance.dispose();
    }
    expect(Buffer.from(wasi.output(1)).toString()).toBe(expected);
    expect(expected.split('\n').length).toBeGreaterThan(80);
    wasi.dispose();
  });
});
