/**
 * Node's streams as a guest's standard streams: waiting without blocking the event loop, backpressure, ends and errors.
 */
import { PassThrough, Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compile } from '../../compiler/index.ts';
import { translateWat } from '../../compiler/wasm/wat.ts';
import { clang } from '../../scripts/clang.ts';
import { GuestExit } from '../errors.ts';
import { Instance } from '../instance.ts';
import { Module } from '../module.ts';
import { Pool } from '../pool.ts';
import { Region } from '../region.ts';
import { WasiContext, type WasiOptions } from '../wasi.ts';

/**
 * Copies its input, 64 KiB at a time, and ends with how a read or a write failed; or polls, and says on standard error
 * what came of it.
 */
const GUEST = `
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
static char block[65536];
static int ready(int fd, int timeout) {
  struct pollfd p = {.fd = fd, .events = fd == 0 ? POLLIN : POLLOUT};
  return poll(&p, 1, timeout);
}
static int polls(void) {
  fprintf(stderr, "%d ", ready(0, 0));
  fprintf(stderr, "%d ", ready(0, 30));
  fprintf(stderr, "%d ", ready(0, 20000));
  fprintf(stderr, "%zd ", read(0, block, sizeof block));
  fprintf(stderr, "%d ", ready(0, -1));
  fprintf(stderr, "%zd ", read(0, block, sizeof block));
  fprintf(stderr, "%d ", ready(1, 0));
  write(1, block, sizeof block);
  fprintf(stderr, "%d ", ready(1, 0));
  struct pollfd both[2] = {{.fd = 1, .events = POLLOUT}, {.fd = 0, .events = POLLIN}};
  fprintf(stderr, "%d ", ready(1, -1));
  fprintf(stderr, "%d", poll(both, 2, -1));
  return 0;
}
int main(int argc, char **argv) {
  if (argc > 1) {
    if (argv[1][0] == 'p') return polls();
    fcntl(0, F_SETFL, O_NONBLOCK);
    return read(0, block, 1) < 0 && errno == EAGAIN ? 7 : 1;
  }
  for (;;) {
    ssize_t n = read(0, block, sizeof block);
    if (n == 0) return 0;
    if (n < 0) return errno == EIO ? 3 : 4;
    for (ssize_t at = 0; at < n;) {
      ssize_t k = write(1, block + at, n - at);
      if (k < 0) return errno == EPIPE ? 5 : 6;
      at += k;
    }
  }
}`;

let module: Module;
let region: Region;

beforeAll(async () => {
  module = Module.fromBytes(compile(await clang({ 'guest.c': GUEST }, ['-O1']), { countInstructions: true }));
  region = Region.create({ capacity: 4 });
}, 180_000);

afterAll(() => region.dispose());

type Start = (instance: Instance) => Promise<unknown>;
const STARTS: Record<string, Start> = {
  callAsync: instance => instance.callAsync('_start'),
  runAsync: instance => instance.runAsync('_start', [], 5000),
  pool: async instance => {
    using pool = new Pool({ threads: 1 });
    return await pool.call(instance, '_start');
  },
  run: async instance => {
    let r = instance.run('_start');
    for (; !r.done; r = instance.resume()) await r.value;
  },
};

async function run(options: WasiOptions, start: Start = STARTS.callAsync!): Promise<number> {
  using wasi = new WasiContext({ args: ['guest'], ...options });
  const instance = Instance.create(region, module, wasi.imports);
  try {
    await start(instance);
    return 0;
  } catch (e) {
    if (!(e instanceof GuestExit)) throw e;
    return e.status;
  } finally {
    instance.dispose();
  }
}

function collector(): { out: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const out = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { out, text: () => Buffer.concat(chunks).toString() };
}

it.each(Object.entries(STARTS))('input that comes in pieces, by %s', async (_name, start) => {
  let ticks = 0;
  const stdin = Readable.from(
    (async function* () {
      for (const piece of ['one', ' two', '', ' three']) {
        await sleep(10);
        ticks++;
        yield Buffer.from(piece);
      }
    })(),
    { objectMode: false },
  );
  const { out, text } = collector();
  expect(await run({ stdin, stdout: out }, start)).toBe(0);
  expect([ticks, text()]).toEqual([4, 'one two three']);
});

it.each(Object.entries(STARTS))('no more is read or written than fits, by %s', async (_name, start) => {
  const total = 4 << 20;
  let produced = 0;
  let taken = 0;
  let most = 0;
  const stdin = new Readable({
    highWaterMark: 65536,
    read() {
      // The guest's output limits what is asked for.
      most = Math.max(most, produced - taken);
      produced += 65536;
      this.push(Buffer.alloc(65536, 'x'));
      if (produced === total) this.push(null);
    },
  });
  const stdout = new Writable({
    highWaterMark: 65536,
    write(chunk: Buffer, _encoding, done) {
      setImmediate(() => {
        taken += chunk.length;
        done();
      });
    },
  });
  expect(await run({ stdin, stdout }, start)).toBe(0);
  await new Promise(resolve => stdout.end(resolve));
  expect(taken).toBe(total);
  expect(most).toBeLessThanOrEqual(6 * 65536);
});

it('text is encoded; an end, errors and closed streams reach the guest', async () => {
  const { out, text } = collector();
  const stdin = new PassThrough();
  stdin.setEncoding('utf8');
  stdin.end('żółw');
  expect(await run({ stdin, stdout: out })).toBe(0);
  expect(text()).toBe('żółw');
  expect(await run({ stdin: Readable.from([], { objectMode: false }), stdout: 'null' })).toBe(0);
  const broken = new PassThrough();
  broken.on('error', () => {});
  setTimeout(() => broken.destroy(new Error('gone')), 20);
  expect(await run({ stdin: broken, stdout: 'null' })).toBe(3);
  const closed = new PassThrough();
  closed.destroy();
  expect(await run({ stdin: Readable.from([Buffer.from('x')]), stdout: closed })).toBe(5);
  // Objects are no input.
  expect(await run({ stdin: Readable.from([{ a: 1 }]), stdout: 'null' })).toBe(3);
});

it('a guest that asked not to wait gets EAGAIN', async () => {
  const stdin = new PassThrough();
  expect(await run({ stdin, args: ['guest', 'x'] })).toBe(7);
  expect(stdin.destroy().listenerCount('readable')).toBe(0);
});

it.each(Object.entries(STARTS))(
  'a guest that polls waits for streams and times, by %s',
  async (_name, start) => {
    const stdin = new PassThrough();
    const errors = collector();
    let drained = 0;
    const stdout = new Writable({
      highWaterMark: 1000,
      write: (_chunk, _encoding, done) =>
        void setTimeout(() => {
          drained++;
          done();
        }, 30),
    });
    let ticks = 0;
    const ticking = setInterval(() => {
      if (++ticks === 12) stdin.write('four');
      if (ticks === 16) stdin.end();
    }, 10);
    const options = { args: ['guest', 'poll'], stdin, stdout, stderr: errors.out };
    expect(await run(options, start)).toBe(0);
    clearInterval(ticking);
    // Nothing at once, nor within 30 ms; then input, the end; room for output, none, room again; and both at last.
    expect(errors.text()).toBe('0 0 1 4 1 0 1 0 1 2');
    expect(drained).toBe(1);
    expect(stdin.listenerCount('readable')).toBe(0);
  },
);

it('called synchronously, a guest that polls can wait for a time', async () => {
  const errors = collector();
  const from = performance.now();
  const call: Start = async instance => instance.call('_start');
  const options = {
    args: ['guest', 'poll'],
    stdin: new PassThrough(),
    stdout: 'null',
    stderr: errors.out,
  } as const;
  // 30 ms, then 20 s: the deadline ends that.
  await expect(
    run(options, async instance => {
      instance.timeout = 300;
      return await call(instance);
    }),
  ).rejects.toThrow(expect.objectContaining({ name: 'TerminatedError' }));
  expect(errors.text()).toBe('0 0 ');
  expect(performance.now() - from).toBeLessThan(5000);
});

it('a guest that waits can be killed; the stream is as before', async () => {
  for (const start of [STARTS.callAsync!, STARTS.pool!]) {
    const stdin = new PassThrough();
    const killed = run({ stdin, stdout: 'null' }, instance => {
      const killer = instance.killSwitch();
      setTimeout(() => killer.terminate(), 20);
      return start(instance);
    });
    await expect(killed).rejects.toThrow(
      expect.objectContaining({ name: 'TerminatedError', reason: 'remote' }),
    );
    stdin.end('left');
    const { out, text } = collector();
    expect(await run({ stdin, stdout: out })).toBe(0);
    expect(text()).toBe('left');
  }
});

it('a synchronous call: output goes anyway, input that is not there is an error', async () => {
  const { out, text } = collector();
  const call: Start = async instance => instance.call('_start');
  const big = 'y'.repeat(300_000);
  const stdin = Buffer.from(big);
  const slow = new Writable({
    highWaterMark: 1000,
    write: (chunk, _e, done) => void out.write(chunk, () => setImmediate(done)),
  });
  expect(await run({ stdin, stdout: slow }, call)).toBe(0);
  await new Promise(resolve => slow.end(resolve));
  expect(text()).toBe(big);
  await expect(run({ stdin: new PassThrough(), stdout: 'null' }, call)).rejects.toThrow(/waits for a stream/);
});

it('two guests wait at the same time', async () => {
  const inputs = [new PassThrough(), new PassThrough()] as const;
  const outputs = [collector(), collector()] as const;
  const runs = inputs.map((stdin, i) => run({ stdin, stdout: outputs[i]!.out }));
  await sleep(10);
  inputs[1].write('b');
  await sleep(10);
  inputs[0].end('a');
  inputs[1].end('c');
  expect(await Promise.all(runs)).toEqual([0, 0]);
  expect(outputs.map(o => o.text())).toEqual(['a', 'bc']);
});

it('one call of a guest hands on 16 MiB at most, although its vectors come to a thousand times its memory', async () => {
  const greedy = `(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "greedy") (param $fd i32) (result i32) (local $at i32)
      (loop $next
        (i32.store offset=4 (local.get $at) (i32.const 65536))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 8192))))
      (if (call $write (local.get $fd) (i32.const 0) (i32.const 1024) (i32.const 8192)) (then (unreachable)))
      (i32.load (i32.const 8192))))`;
  const wasm = await translateWat('greedy.wat', Buffer.from(greedy));
  let told = 0;
  using wasi = new WasiContext({
    stdout: 'buffer',
    stderr: {
      write(bytes) {
        told += bytes.length;
      },
    },
  });
  using instance = Instance.create(region, Module.fromBytes(compile(wasm)), wasi.imports);
  expect(instance.call('greedy', 1)).toBe(16 << 20);
  expect(wasi.output(1).length).toBe(16 << 20);
  expect(instance.call('greedy', 2)).toBe(16 << 20);
  expect(told).toBe(16 << 20);
});
