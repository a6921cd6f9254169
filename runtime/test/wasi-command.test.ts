/** Programs that run once in each instance: the fused path, and every way off it. */
import { beforeAll, expect, it } from 'vitest';
import { clang } from '../../scripts/clang.ts';
import {
  type Imports,
  Instance,
  LimitError,
  Region,
  StateError,
  TerminatedError,
  Trap,
  WasiCommand,
} from '../index.ts';
import { describeNative, Guests } from './support/guest.ts';

const PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int runs;
static char flood[200000];
int main(int argc, char **argv) {
  const char *env = getenv("NAME");
  printf("run %d", ++runs);
  for (int i = 0; i < argc; i++) printf(" %s", argv[i]);
  if (env) printf(" NAME=%s", env);
  printf("\\n");
  for (int c; (c = getchar()) != EOF;) putchar(c >= 'a' && c <= 'z' ? c - 32 : c);
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "fail") == 0) { fputs("failed", stderr); exit(3); }
  if (argc > 1 && strcmp(argv[1], "trap") == 0) return *(volatile int *)0x7fffffff;
  if (argc > 1 && strcmp(argv[1], "spin") == 0) for (volatile int k = 0;; k++) {}
  if (argc > 1 && strcmp(argv[1], "flood") == 0) { memset(flood, 'x', sizeof flood); fwrite(flood, 1, sizeof flood, stdout); fputs("e", stderr); }
  return 0;
}`;

/** Writes 4 bytes of its memory, which host function "next" gives. */
const ASKING = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "next" (func $next (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\04\\00\\00\\00")
  (global $calls (mut i32) (i32.const 0))
  (func (export "_start")
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 16) (call $next (global.get $calls)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`;

describeNative('a command', () => {
  const guests = new Guests();
  let program: Uint8Array;

  beforeAll(async () => {
    program = await clang({ 'program.c': PROGRAM }, ['-O1']);
  }, 180_000);

  it('runs in a new instance each time, with what each run is given', async () => {
    using command = new WasiCommand(guests.region, await guests.module(program), { args: ['prog'] });
    const run = (...a: Parameters<typeof command.run>) => {
      const { exitCode, stdout, stderr } = command.run(...a);
      return [exitCode, stdout.toString(), stderr.toString()];
    };
    for (let k = 0; k < 3; k++) {
      expect(run({ stdin: Buffer.from(`input ${k}`) })).toEqual([0, `run 1 prog\nINPUT ${k}`, '']);
      expect(run()).toEqual([0, 'run 1 prog\n', '']);
      expect(run({ args: ['p', 'fail'], env: { NAME: 'x' }, stdin: Buffer.from('abc') })).toEqual([
        3,
        'run 1 p fail NAME=x\nABC',
        'failed',
      ]);
      // Nothing of that is left for the next.
      expect(run({ stdin: Buffer.alloc(0) })).toEqual([0, 'run 1 prog\n', '']);
      expect(guests.region.usedSlots).toBe(0);
    }
    const { stdout, stderr } = command.run({ args: ['p', 'flood'] });
    expect([stdout.length, stdout.subarray(-200_000).every(c => c === 120), stderr.toString()]).toEqual([
      'run 1 p flood\n'.length + 200_000,
      true,
      'e',
    ]);
    // What was handed out stays as it is.
    const first = command.run({ stdin: Buffer.from('first') });
    command.run({ stdin: Buffer.from('other') });
    expect(first.stdout.toString()).toBe('run 1 prog\nFIRST');
  });

  it('tells traps and ends that come from outside', async () => {
    using command = new WasiCommand(guests.region, await guests.module(program), {
      args: ['p'],
      timeout: 30,
    });
    expect(() => command.run({ args: ['p', 'trap'] })).toThrow(Trap);
    expect(() => command.run({ args: ['p', 'spin'] })).toThrow(
      expect.objectContaining({ name: 'TerminatedError', reason: 'timeout' }),
    );
    expect(() => command.run({ args: ['p', 'spin'] })).toThrow(TerminatedError);
    expect(command.run().stdout.toString()).toBe('run 1 p\n');
    expect(guests.region.usedSlots).toBe(0);
    const one = Region.create({ capacity: 1 });
    const module = await guests.module(program);
    const holder = Instance.create(one, await guests.module('(module)'));
    using full = new WasiCommand(one, module);
    expect(() => full.run()).toThrow(LimitError);
    holder.dispose();
    expect(full.run().exitCode).toBe(0);
    one.dispose();
    expect(() => full.run()).toThrow(StateError);
    expect(() => new WasiCommand(guests.region, module, { entry: 'nothing' })).toThrow(TypeError);
  });

  it('calls host functions of JavaScript', async () => {
    const module = await guests.module(ASKING);
    let next: (n: number) => unknown = () => 0;
    using command = new WasiCommand(guests.region, module, {
      imports: { env: { next: (n: number) => next(n) } },
    });
    for (let k = 0; k < 3; k++) {
      next = n => 0x30303030 + n;
      expect(command.run().stdout.toString()).toBe('1000');
      next = () => {
        throw new Error('no more');
      };
      expect(() => command.run()).toThrow('no more');
      next = () => Promise.resolve(1);
      expect(() => command.run()).toThrow(/promise|async/i);
      next = () => command.run().exitCode;
      expect(() => command.run()).toThrow('the command is running');
      next = () => {
        command.dispose();
        return 0;
      };
      expect(() => command.run()).toThrow('the command is running');
      expect(guests.region.usedSlots).toBe(0);
    }
    // Another command meanwhile, whose output is its own.
    using other = new WasiCommand(guests.region, module, { imports: { env: { next: () => 0x41414141 } } });
    next = () => {
      expect(other.run().stdout.toString()).toBe('AAAA');
      return 0x42424242;
    };
    expect(command.run().stdout.toString()).toBe('BBBB');
  });

  it('runs start functions first, and imports of other instances', async () => {
    const started = await guests.module(
      ASKING.replace(
        '(func (export "_start")',
        '(func $init (global.set $calls (i32.const 6)))\n(start $init)\n(func (export "_start")',
      ),
    );
    const imports = { env: { next: (n: number) => 0x30303030 + n } };
    using command = new WasiCommand(guests.region, started, { imports });
    for (let k = 0; k < 2; k++) expect(command.run().stdout.toString()).toBe('7000');
    const owner = await guests.instance(
      '(module (func (export "next") (param i32) (result i32) (i32.const 0x43434343)))',
    );
    using linked = new WasiCommand(guests.region, await guests.module(ASKING), {
      imports: { env: owner } satisfies Imports,
    });
    for (let k = 0; k < 2; k++) expect(linked.run().stdout.toString()).toBe('CCCC');
    expect(guests.region.usedSlots).toBe(1);
    owner.dispose();
  });

  it('is given back', async () => {
    const command = new WasiCommand(guests.region, await guests.module(program));
    command.run();
    command.dispose();
    command.dispose();
    expect(() => command.run()).toThrow(StateError);
  });
});
