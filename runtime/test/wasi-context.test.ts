/** What TypeScript grants to guests: templates, contexts, streams, limits. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { clang } from '../../scripts/clang.ts';
import { GuestExit } from '../errors.ts';
import { Instance } from '../instance.ts';
import { Linkage } from '../linkage.ts';
import { Module } from '../module.ts';
import { Region } from '../region.ts';
import { WasiContext, type WasiContextOptions, type WasiOptions, WasiTemplate } from '../wasi.ts';

const GUEST = `
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "open") == 0) {
    int n = 0;
    while (open("/d/file", O_RDONLY) >= 0) n++;
    printf("%d %s", n, errno == EMFILE ? "EMFILE" : strerror(errno));
    return 0;
  }
  if (argc > 1 && strcmp(argv[1], "flood") == 0) {
    char block[1000] = {0};
    long total = 0;
    for (ssize_t n; (n = write(1, block, sizeof block)) > 0;) total += n;
    dprintf(2, "%s", errno == EDQUOT ? "EDQUOT" : strerror(errno));
    return total == 2500 ? 3 : 4;
  }
  for (int i = 1; i < argc; i++) fprintf(stderr, "arg %s\\n", argv[i]);
  for (char **e = environ; *e; e++) fprintf(stderr, "env %s\\n", *e);
  for (int c; (c = getchar()) != EOF;) putchar(c >= 'a' && c <= 'z' ? c - 32 : c);
  return 0;
}`;

let module: Module;
let region: Region;
let dir: string;

beforeAll(async () => {
  module = Module.fromBytes(compile(await clang({ 'guest.c': GUEST }, ['-O1'])));
  region = Region.create({ capacity: 2 });
  dir = mkdtempSync(join(tmpdir(), 'lucet-wasi-context-'));
  writeFileSync(join(dir, 'file'), 'from a file');
}, 180_000);

afterAll(() => {
  region.dispose();
  rmSync(dir, { recursive: true });
});

/** Exit status of a run with all that is granted in one context. */
function run(options: WasiOptions): { exit: number; out: string; err: string } {
  const wasi = new WasiContext(options);
  try {
    return { exit: start(Linkage.create(module, wasi.imports)), ...outputs(wasi) };
  } finally {
    wasi.dispose();
  }
}

function outputs(wasi: WasiContext): { out: string; err: string } {
  const text = (fd: 1 | 2): string => Buffer.from(wasi.output(fd)).toString();
  return { out: text(1), err: text(2) };
}

function start(linkage: Linkage, wasi?: WasiContext): number {
  const instance = Instance.create(region, linkage);
  try {
    wasi?.attach(instance);
    instance.call('_start');
    return 0;
  } catch (e) {
    if (e instanceof GuestExit) return e.status;
    throw e;
  } finally {
    instance.dispose();
  }
}

const BUFFERS = { stdout: 'buffer', stderr: 'buffer' } as const;

it('bytes in, memory out', () => {
  const input = Buffer.from('abc'.repeat(100_000));
  expect(run({ ...BUFFERS, stdin: input, args: ['g', 'x'], env: { A: 'b' } })).toEqual({
    exit: 0,
    out: 'ABC'.repeat(100_000),
    err: 'arg x\nenv A=b\n',
  });
});

it('one linkage and one template for many contexts, each with its own input, arguments and environment', () => {
  const template = new WasiTemplate({ ...BUFFERS, args: ['g', 'shared'], env: { ALL: '1' } });
  const linkage = Linkage.create(module, template.imports);
  const wasi = template.context();
  for (let i = 0; i < 50; i++) {
    const own: WasiContextOptions = i % 2 === 0 ? {} : { args: ['g', `n${i}`], env: {} };
    wasi.reset({ ...own, stdin: Buffer.from(`request ${i}`) });
    expect(start(linkage, wasi)).toBe(0);
    expect(outputs(wasi)).toEqual({
      out: `REQUEST ${i}`,
      err: i % 2 === 0 ? 'arg shared\nenv ALL=1\n' : `arg n${i}\n`,
    });
  }
  const other = template.context();
  template.dispose();
  // Contexts keep what they need.
  expect(start(linkage, other)).toBe(0);
  other.dispose();
  wasi.dispose();
  expect(() => wasi.output(1)).toThrow(/disposed/);
});

it('an instance without a context is ended, not left with whatever is there', () => {
  const template = new WasiTemplate();
  expect(() => start(Linkage.create(module, template.imports))).toThrow(/terminated/i);
  template.dispose();
});

it('streams of JavaScript', () => {
  const chunks = ['one ', 'two ', 'three'].map(s => Buffer.from(s));
  const written: string[] = [];
  const errors = new Writable({
    write(chunk, _encoding, done) {
      written.push(`err:${chunk}`);
      done();
    },
  });
  const exit = run({
    args: ['g', 'x'],
    stdin: { read: () => chunks.shift() ?? null },
    stdout: { write: bytes => void written.push(`out:${Buffer.from(bytes)}`) },
    stderr: errors,
  }).exit;
  expect(exit).toBe(0);
  expect(written).toContain('out:ONE TWO THREE');
  expect(written.filter(w => w.startsWith('err:')).join('')).toMatch(/x/);
});

it('a stream that throws is an error for the guest, and no more', () => {
  const fails = {
    read: (): never => {
      throw new Error('no');
    },
  };
  expect(run({ ...BUFFERS, stdin: fails })).toEqual({ exit: 0, out: '', err: '' });
});

it('files as streams', () => {
  const to = join(dir, 'out');
  expect(run({ stdin: { file: join(dir, 'file') }, stdout: { file: to } }).exit).toBe(0);
  expect(readFileSync(to, 'utf8')).toBe('FROM A FILE');
  expect(() => new WasiContext({ stdin: { file: join(dir, 'missing') } })).toThrow(/ENOENT/);
});

it('limits', () => {
  const preopens = [{ host: dir, guest: '/d', readonly: true }];
  expect(run({ ...BUFFERS, preopens, args: ['g', 'open'], maxDescriptors: 10 }).out).toBe('6 EMFILE');
  const flood = run({ stdout: 'buffer', stderr: 'buffer', args: ['g', 'flood'], maxWritten: 2500 });
  expect(flood).toMatchObject({ exit: 3, err: '' });
  expect(flood.out).toHaveLength(2500);
});
