/**
 * Node's streams as a guest's standard streams. A stream that has nothing to read, or has taken enough, says EAGAIN:
 * the guest then yields (lucet_wasi_waiting), and goes on when the stream is ready. So data is asked for when the guest
 * wants it, and the event loop stays free.
 */
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { native } from './ffi.ts';

/** A stream that a guest may have to wait for. */
export interface WaitedFor {
  /** Settled when it is worth another try: there is data, room, or an end; at the latest when the signal is aborted. */
  ready(signal?: AbortSignal): Promise<void>;
  /**
   * The guest can't wait, since it is called synchronously: take its next output whether there is room or not. False:
   * it is input.
   */
  takeAnyway(): boolean;
}

/**
 * Milliseconds after which a guest that polls looks at its clocks: a timer that outlives a killed guest does so no
 * longer.
 */
const LONGEST_WAIT = 1000;
/** The same where nothing else can happen on this thread: a kill switch has to be noticed. */
const LONGEST_SLEEP = 10;
const NO_TIME = 2n ** 64n - 1n;

/** A guest that polls: streams, or none, and a time. */
class Polling implements WaitedFor {
  constructor(
    private readonly streams: readonly WaitedFor[],
    /** In milliseconds, or infinite. */
    private readonly timeout: number,
  ) {}

  async ready(signal?: AbortSignal): Promise<void> {
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const time = new Promise<void>(resolve => {
      const ms = Math.ceil(Math.min(this.timeout, LONGEST_WAIT));
      if (this.timeout !== Infinity) timer = setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([time, ...this.streams.map(s => s.ready(over.signal))]);
    clearTimeout(timer);
    over.abort();
  }

  /** Called synchronously, it can still wait for a time. */
  takeAnyway(): boolean {
    if (this.streams.filter(s => s.takeAnyway()).length > 0) return true;
    if (this.timeout === Infinity) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(this.timeout, LONGEST_SLEEP));
    return true;
  }
}

/** By the `data` of their lucet_wasi_stream. */
const streams = new Map<number, WaitedFor>();
let last = 0;

export function addStream(stream: WaitedFor): number {
  streams.set(++last, stream);
  return last;
}

export function removeStream(data: number): void {
  streams.delete(data);
}

/** struct lucet_wasi_wait: three streams, their number, nanoseconds. */
const wait = new BigUint64Array(5);

/** What the guest's innermost call, which has yielded, waits for; null: it yielded for another reason. */
export function streamWaitedFor(instance: number): WaitedFor | null {
  if (native().lucet_wasi_waiting(instance, wait) === 0) return null;
  const [timeout] = wait.subarray(4);
  const waited = Array.from(wait.subarray(0, Number(wait[3])), data => streams.get(Number(data)));
  const known = waited.filter(s => s !== undefined);
  if (known.length === 1 && timeout === NO_TIME) return known[0]!;
  if (known.length === 0 && timeout === NO_TIME) return null;
  return new Polling(known, timeout === NO_TIME ? Infinity : Number(timeout) / 1e6);
}

const AGAIN = -constants.errno.EAGAIN;

/** The first of the events, or the signal. */
function first(stream: Readable | Writable, events: readonly string[], signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Input: bytes are copied from chunks of whatever size the stream has. */
export class Source implements WaitedFor {
  #chunk: Uint8Array | null = null;

  constructor(private readonly stream: Readable) {}

  /** Would a read have to wait? */
  #waits(): boolean {
    const { stream } = this;
    if (this.#chunk !== null) return false;
    // Lets the stream fetch what it has, and end.
    if (stream.readableLength === 0) stream.read(0);
    return stream.readableLength === 0 && !stream.readableEnded && !stream.destroyed;
  }

  /** Bytes to hand on, at most `length`; a number: -errno, or 0 at the end. Of 0: would it have to wait? */
  read(length: number): Uint8Array | number {
    const { stream } = this;
    if (length === 0) return this.#waits() ? AGAIN : 0;
    if (this.#chunk === null) {
      const got: unknown = stream.read();
      if (got === null) {
        if (stream.errored) return -constants.errno.EIO;
        return stream.readableEnded || stream.destroyed ? 0 : AGAIN;
      }
      if (typeof got === 'string') this.#chunk = Buffer.from(got, stream.readableEncoding ?? 'utf8');
      else if (got instanceof Uint8Array) this.#chunk = got;
      else return -constants.errno.EIO;
    }
    const part = this.#chunk.subarray(0, length);
    this.#chunk = part.length < this.#chunk.length ? this.#chunk.subarray(part.length) : null;
    // An empty chunk is no end.
    return part.length === 0 ? AGAIN : part;
  }

  async ready(signal?: AbortSignal): Promise<void> {
    const { stream } = this;
    if (stream.readableLength > 0 || stream.readableEnded || stream.destroyed) return;
    await first(stream, ['readable', 'end', 'error', 'close'], signal);
  }

  takeAnyway(): boolean {
    return false;
  }
}

/** Output: the stream's own limit (highWaterMark) says when the guest has to wait. */
export class Sink implements WaitedFor {
  #anyway = false;

  constructor(private readonly stream: Writable) {}

  /** @param bytes a copy; none: would it have to wait? @returns their number, or -errno */
  write(bytes: Uint8Array): number {
    const { stream } = this;
    if (bytes.length === 0) return stream.writable && stream.writableNeedDrain && !this.#anyway ? AGAIN : 0;
    if (!stream.writable) return -constants.errno.EPIPE;
    if (stream.writableNeedDrain && !this.#anyway) return AGAIN;
    this.#anyway = false;
    stream.write(bytes);
    return bytes.length;
  }

  async ready(signal?: AbortSignal): Promise<void> {
    const { stream } = this;
    if (stream.writable && stream.writableNeedDrain) await first(stream, ['drain', 'error', 'close'], signal);
  }

  takeAnyway(): boolean {
    this.#anyway = true;
    return true;
  }
}

export function isReadable(s: object): s is Readable {
  return 'readableLength' in s && typeof (s as Readable).read === 'function' && 'on' in s;
}

export function isWritable(s: object): s is Writable {
  return 'writableNeedDrain' in s && typeof (s as Writable).write === 'function' && 'on' in s;
}
