/**
 * Node's streams as a guest's standard streams. A stream that has nothing to read, or has taken enough, says EAGAIN: the guest then yields
 * (lucet_wasi_waiting), and goes on when the stream is ready. So data is asked for when the guest wants it, and the event loop stays free.
 */
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { native } from './ffi.ts';

/** A stream that a guest may have to wait for. */
export interface WaitedFor {
  /** Settled when it is worth another try: there is data, room, or an end. */
  ready(): Promise<void>;
  /** The guest can't wait, since it is called synchronously: take its next output whether there is room or not. False: it is input. */
  takeAnyway(): boolean;
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

/** What the guest's innermost call, which has yielded, waits for; null: it yielded for another reason. */
export function streamWaitedFor(instance: number): WaitedFor | null {
  const data = native().lucet_wasi_waiting(instance);
  return data === 0 ? null : (streams.get(data) ?? null);
}

const AGAIN = -constants.errno.EAGAIN;

/** The first of the events. */
function first(stream: Readable | Writable, events: readonly string[]): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}

/** Input: bytes are copied from chunks of whatever size the stream has. */
export class Source implements WaitedFor {
  #chunk: Uint8Array | null = null;

  constructor(private readonly stream: Readable) {}

  /** Bytes to hand on, at most `length`; a number: -errno, or 0 at the end. */
  read(length: number): Uint8Array | number {
    const { stream } = this;
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

  async ready(): Promise<void> {
    const { stream } = this;
    if (stream.readableLength > 0 || stream.readableEnded || stream.destroyed) return;
    await first(stream, ['readable', 'end', 'error', 'close']);
  }

  takeAnyway(): boolean {
    return false;
  }
}

/** Output: the stream's own limit (highWaterMark) says when the guest has to wait. */
export class Sink implements WaitedFor {
  #anyway = false;

  constructor(private readonly stream: Writable) {}

  /** @param bytes a copy. @returns their number, or -errno */
  write(bytes: Uint8Array): number {
    const { stream } = this;
    if (!stream.writable) return -constants.errno.EPIPE;
    if (stream.writableNeedDrain && !this.#anyway) return AGAIN;
    this.#anyway = false;
    stream.write(bytes);
    return bytes.length;
  }

  async ready(): Promise<void> {
    const { stream } = this;
    if (stream.writable && stream.writableNeedDrain) await first(stream, ['drain', 'error', 'close']);
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
