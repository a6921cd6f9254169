/** The native WASI functions under a guest that tries what well-behaved programs don't, on Node's engine. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WASI_BINDINGS, WASI_MODULE } from '../../compiler/wasi-bindings.ts';
import { clang } from '../../scripts/clang.ts';
import { type Walk, WasiOnV8 } from './wasi-v8.ts';

let guest: Uint8Array;
let wasi: WasiOnV8;
let dir: string;

beforeAll(async () => {
  wasi = new WasiOnV8();
  const source = readFileSync(join(import.meta.dirname, 'support/wasi-guest.c'), 'utf8');
  guest = await clang({ 'guest.c': source }, ['-O1', '-Wall', '-Werror']);
}, 180_000);

afterAll(() => {
  wasi.close();
});

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-calls-'));
  mkdirSync(join(dir, 'd/sub'), { recursive: true });
  mkdirSync(join(dir, 'outside'));
  mkdirSync(join(dir, 'w'));
  writeFileSync(join(dir, 'w/mine'), 'mine');
  writeFileSync(join(dir, 'd/file'), 'content');
  writeFileSync(join(dir, 'd/sub/inner'), 'inner');
  writeFileSync(join(dir, 'outside/secret'), 'secret');
  return () => {
    rmSync(dir, { recursive: true });
  };
});

function run(
  part: string,
  options: { readonly?: boolean; stdin?: string; env?: Record<string, string> } = {},
): string {
  const { exit, trap, stdout, stderr } = wasi.run(guest, {
    args: ['guest', part],
    env: options.env ?? {},
    stdin: options.stdin ?? '',
    preopens: [
      { host: join(dir, 'd'), guest: '/d', readonly: options.readonly ?? false },
      ...(options.readonly ? [{ host: join(dir, 'w'), guest: '/w' }] : []),
    ],
  });
  expect({ exit, trap, stderr: stderr.replace(/^told\n/, '') }).toEqual({ exit: 42, trap: null, stderr: '' });
  return stdout;
}

describe.each<Walk>(['openat2', 'components'])('walking with %s', walk => {
  beforeEach(() => {
    wasi.setWalk(walk);
  });

  it('nothing outside of a granted directory can be reached', () => {
    symlinkSync('../outside', join(dir, 'd/up'));
    symlinkSync(join(dir, 'outside/secret'), join(dir, 'd/abs'));
    run('escape');
    expect(readFileSync(join(dir, 'outside/secret'), 'utf8')).toBe('secret');
    expect(readdirSync(join(dir, 'outside'))).toEqual(['secret']);
  });

  it('nothing in a read-only directory can be changed', () => {
    run('readonly', { readonly: true });
    expect(readdirSync(join(dir, 'd')).sort()).toEqual(['file', 'sub']);
    expect(readFileSync(join(dir, 'd/file'), 'utf8')).toBe('content');
    expect(readdirSync(join(dir, 'w'))).toEqual(['mine']);
  });

  it('files', () => {
    run('files');
    expect(readFileSync(join(dir, 'd/x/moved'), 'utf8')).toBe('Xbcd');
    expect(existsSync(join(dir, 'd/empty'))).toBe(true);
  });
});

it.each(['pointers', 'raw_paths', 'directories', 'scatter', 'waiting', 'rights'])('%s', part => {
  run(part);
});

it('standard streams, and no descriptors or variables but those that were given', () => {
  expect(run('streams', { stdin: 'line\n', env: { ONLY: 'this' } })).toBe('got line\nONLY=this\n');
});

it('every function that lucetc-wasi binds is there, and only those', () => {
  const bound = [...WASI_BINDINGS.get(WASI_MODULE)!.keys()];
  expect(bound).toHaveLength(46);
  for (const name of bound) {
    const signature = wasi.signature(WASI_MODULE, name);
    expect(signature, name).toMatch(/^[iI]*:i?$/);
    expect(wasi.signature('wasi_unstable', name), name).toBe(signature);
  }
  expect(wasi.signature(WASI_MODULE, 'fd_nothing')).toBeNull();
  expect(wasi.signature('env', 'fd_read')).toBeNull();
});
