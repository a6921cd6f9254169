/**
 * Guests that wait in WASI: for times they leave the event loop alone, and a pause stops them there at once, with
 * nothing lost.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { translateWat } from '../../compiler/wasm/wat.ts';
import { TerminatedError } from '../errors.ts';
import type { Memory } from '../externs.ts';
import { Instance } from '../instance.ts';
import { Module } from '../module.ts';
import { Pool } from '../pool.ts';
import { Region } from '../region.ts';
import { WasiContext, type WasiOptions } from '../wasi.ts';

/**
 * `sleep` polls for one clock, `poll` for that or input; `read` and `write` move bytes at 256. Each returns how many
 * there were, or 1000 and the error.
 */
const GUEST = `(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $told (param $error i32) (result i32)
    (if (result i32) (local.get $error) (then (i32.add (i32.const 1000) (local.get $error))) (else (i32.load (i32.const 8)))))
  (func $clock (param $ns i64)
    (i32.store (i32.const 32) (i32.const 0)) (i32.store (i32.const 40) (i32.const 0))
    (i32.store (i32.const 48) (i32.const 1)) (i64.store (i32.const 56) (local.get $ns))
    (i64.store (i32.const 64) (i64.const 0)) (i64.store (i32.const 72) (i64.const 0)))
  (func (export "sleep") (param $ns i64) (result i32)
    (call $clock (local.get $ns))
    (call $told (call $poll (i32.const 32) (i32.const 160) (i32.const 1) (i32.const 8))))
  (func (export "poll") (param $ns i64) (result i32)
    (call $clock (local.get $ns))
    (i64.store (i32.const 80) (i64.const 1)) (i32.store (i32.const 88) (i32.const 1)) (i32.store (i32.const 96) (i32.const 0))
    (call $told (call $poll (i32.const 32) (i32.const 160) (i32.const 2) (i32.const 8))))
  (func (export "read") (result i32)
    (i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (i32.const 5))
    (call $told (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "write") (param $length i32) (result i32)
    (i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (local.get $length))
    (call $told (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))`;

const MS = 1_000_000n;

let module: Module;
let region: Region;
let dir: string;

beforeAll(async () => {
  module = Module.fromBytes(
    compile(await translateWat('waits.wat', Buffer.from(GUEST)), { countInstructions: true }),
  );
  region = Region.create({ capacity: 8 });
  dir = mkdtempSync(join(tmpdir(), 'lucet-waiting-'));
});

afterAll(() => {
  region.dispose();
  module.dispose();
  rmSync(dir, { recursive: true, force: true });
});

class Guest {
  readonly wasi: WasiContext;
  readonly instance: Instance;

  constructor(options: WasiOptions = {}) {
    this.wasi = new WasiContext(options);
    this.instance = Instance.create(region, module, this.wasi.imports);
  }

  bytes(length: number): string {
    return Buffer.from((this.instance.export('memory') as Memory).read(256, length)).toString();
  }

  [Symbol.dispose](): void {
    this.instance.dispose();
    this.wasi.dispose();
  }
}

type Start = (guest: Guest, name: string, ...args: unknown[]) => Promise<unknown>;
const HERE: readonly (readonly [string, Start])[] = [
  ['callAsync', ({ instance }, name, ...args) => instance.callAsync(name, ...args)],
  ['runAsync', ({ instance }, name, ...args) => instance.runAsync(name, args, 1000)],
];
const WAYS: readonly (readonly [string, Start])[] = [
  ...HERE,
  [
    'a pool',
    async ({ instance }, name, ...args) => {
      using pool = new Pool({ threads: 1 });
      return await pool.call(instance, name, ...args);
    },
  ],
];

/** How often the event loop came round. */
function rounds(): () => number {
  let count = 0;
  const timer = setInterval(() => count++, 5);
  return () => {
    clearInterval(timer);
    return count;
  };
}

it.each(HERE)('waiting for a time alone leaves the event loop to others, by %s', async (_name, start) => {
  using a = new Guest();
  using b = new Guest({ stdin: 'null' });
  const count = rounds();
  const begun = performance.now();
  const both = [start(a, 'sleep', 300n * MS), start(b, 'sleep', 250n * MS)];
  // It was called synchronously, and already waits.
  expect(performance.now() - begun).toBeLessThan(200);
  expect(await Promise.all(both)).toEqual([1, 1]);
  const took = performance.now() - begun;
  expect(took).toBeGreaterThanOrEqual(300);
  // One behind the other they would take 550.
  expect(took).toBeLessThan(540);
  expect(count()).toBeGreaterThan(10);
});

it.each(HERE)('so does waiting for a descriptor and a time, by %s', async (_name, start) => {
  const path = join(dir, 'fifo-poll');
  spawnSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR);
  using guest = new Guest({ stdin: { fd } });
  const count = rounds();
  expect(await start(guest, 'poll', 100n * MS)).toBe(1);
  expect(count()).toBeGreaterThan(3);
  const polling = start(guest, 'poll', 60_000n * MS);
  await sleep(30);
  writeSync(fd, 'x');
  expect(await polling).toBe(1);
  closeSync(fd);
  rmSync(path);
});

it('a synchronous call waits as ever, also within another one that may not', async () => {
  using guest = new Guest();
  const begun = performance.now();
  expect(guest.instance.call('sleep', 30n * MS)).toBe(1);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(30);
  const outer = guest.instance.callAsync('sleep', 40n * MS);
  expect(guest.instance.call('sleep', 100n * MS)).toBe(1);
  expect(await outer).toBe(1);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(130);
});

it.each(WAYS)('a guest that sleeps can be killed, by %s', async (_name, start) => {
  using guest = new Guest();
  const begun = performance.now();
  const sleeping = start(guest, 'sleep', 60_000n * MS);
  sleeping.catch(() => {});
  await sleep(20);
  guest.instance.killSwitch().terminate();
  await expect(sleeping).rejects.toThrow(TerminatedError);
  expect(performance.now() - begun).toBeLessThan(10_000);
});

/** Pauses the guest, and says where it is. It goes on when `until` is settled. */
async function pauses(guest: Guest, until: Promise<unknown>): Promise<{ where: string; after: number }> {
  const asked = performance.now();
  const place = new Promise<{ where: string; after: number }>(resolve => {
    guest.instance.onStop = async stop => {
      const [top, caller] = stop.frames();
      const within = stop.isInHost && top!.isImport && top!.module === module;
      const callee = within ? module.imports[top!.functionIndex]!.name : '?';
      resolve({
        where: `${stop.reason} ${callee} ${caller?.functionIndex}`,
        after: performance.now() - asked,
      });
      expect(() => stop.registers).toThrow('not stopped at an instruction');
      await until;
      return 'continue' as const;
    };
  });
  guest.instance.killSwitch().pause();
  return place;
}

const exported = (name: string): number => module.exports.find(e => e.name === name)!.index;

it.each(WAYS)(
  'a guest that sleeps is paused at once, and sleeps no longer for that, by %s',
  async (_name, start) => {
    using guest = new Guest();
    const begun = performance.now();
    const sleeping = start(guest, 'sleep', 700n * MS);
    await sleep(20);
    for (let n = 0; n < 3; n++) {
      const { where, after } = await pauses(guest, sleep(100));
      expect(where).toBe(`pause poll_oneoff ${exported('sleep')}`);
      expect(after).toBeLessThan(400);
      await sleep(120);
    }
    expect(await sleeping).toBe(1);
    const took = performance.now() - begun;
    expect(took).toBeGreaterThanOrEqual(700);
    // It would be 1000 if the time stood still, and 1400 if it began anew.
    expect(took).toBeLessThan(980);
  },
);

it('a pause while it reads from a pipe takes nothing, and what is written meanwhile is read', async () => {
  const path = join(dir, 'fifo');
  spawnSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR);
  using guest = new Guest({ stdin: { fd } });
  using pool = new Pool({ threads: 1 });
  const reading = pool.call(guest.instance, 'read');
  await sleep(20);
  let go = (): void => {};
  const { where, after } = await pauses(
    guest,
    new Promise<void>(resolve => {
      go = resolve;
    }),
  );
  expect(where).toBe(`pause fd_read ${exported('read')}`);
  expect(after).toBeLessThan(400);
  writeSync(fd, 'hello, world');
  go();
  expect(await reading).toBe(5);
  expect(guest.bytes(5)).toBe('hello');
  // Killed where it is stopped, it reads no more.
  const again = pool.call(guest.instance, 'read');
  expect(await again).toBe(5);
  expect(await pool.call(guest.instance, 'read')).toBe(2);
  const last = pool.call(guest.instance, 'read');
  last.catch(() => {});
  await sleep(20);
  await pauses(
    guest,
    new Promise<void>(resolve => {
      go = resolve;
    }),
  );
  writeSync(fd, 'rest');
  guest.instance.killSwitch().terminate();
  go();
  await expect(last).rejects.toThrow(TerminatedError);
  expect(await pool.call(guest.instance, 'read')).toBe(4);
  expect(guest.bytes(4)).toBe('rest');
  closeSync(fd);
  rmSync(path);
});

it.each(WAYS)('one that waits for a stream is paused at once, by %s', async (_name, start) => {
  const stdin = new PassThrough();
  const taken: (() => void)[] = [];
  const stdout = new Writable({ highWaterMark: 4, write: (_chunk, _encoding, done) => taken.push(done) });
  using guest = new Guest({ stdin, stdout });
  const reading = start(guest, 'read');
  await sleep(20);
  const read = await pauses(guest, sleep(30));
  expect(read.where).toBe(`pause fd_read ${exported('read')}`);
  expect(read.after).toBeLessThan(400);
  stdin.write('abc');
  expect(await reading).toBe(3);
  expect(guest.bytes(3)).toBe('abc');
  expect(await start(guest, 'write', 8)).toBe(8);
  const writing = start(guest, 'write', 8);
  await sleep(20);
  const write = await pauses(guest, sleep(30));
  expect(write.where).toBe(`pause fd_write ${exported('write')}`);
  expect(taken).toHaveLength(1);
  taken[0]!();
  expect(await writing).toBe(8);
});

it('while one waits, another runs on the only thread of a pool', async () => {
  const path = join(dir, 'fifo-pool');
  spawnSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR);
  using waits = new Guest({ stdin: { fd } });
  using runs = new Guest({ stdin: new Uint8Array([1, 2, 3]) });
  using pool = new Pool({ threads: 1 });
  const reading = pool.call(waits.instance, 'read');
  expect(await pool.call(runs.instance, 'read')).toBe(3);
  expect(await pool.call(runs.instance, 'sleep', 30n * MS)).toBe(1);
  writeSync(fd, 'abcde');
  expect(await reading).toBe(5);
  closeSync(fd);
  rmSync(path);
});
