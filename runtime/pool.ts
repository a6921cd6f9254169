/**
 * Guests on threads of their own: JavaScript's thread stays free, and calls are promises.
 *
 * The native pool tells of events by a byte in a pipe, which a socket of Node's event loop reads. Host functions run on
 * JavaScript's thread.
 */
import { Socket } from 'node:net';
import { type RunEvent, type Runner, readEvent } from './calls.ts';
import { LimitError, StateError } from './errors.ts';
import { AT, Block, errorMessage, native, STRUCTS, Status, shared } from './ffi.ts';
import type { Func } from './func.ts';
import type { Instance } from './instance.ts';

export interface PoolOptions {
  /** Default: as many as there are processors. */
  readonly threads?: number;
  /** Milliseconds that a guest runs before it must let others run that wait. Default: 10. */
  readonly slice?: number;
}

const EVENT = STRUCTS.lucet_pool_event;
const OPTIONS = STRUCTS.lucet_pool_options;
/** Events that are taken at a time. */
const BATCH = 64;

const cannotRun = (): string => 'the instance can not be run now: it runs elsewhere, or is lost';
const LOST: RunEvent = {
  status: Status.State,
  kind: 0,
  code: 0,
  instance: 0,
  args: 0,
  id: 0n,
  message: 'the pool was disposed',
  lost: true,
};

export class Pool {
  #address: number;
  readonly #socket: Socket;
  readonly #events = new Block(BATCH * EVENT.size);
  /** By id; ids are given anew. */
  readonly #jobs: (((event: RunEvent) => void) | null)[] = [];
  readonly #free: number[] = [];
  #pending = 0;
  readonly #runner: Runner;

  /** @throws LimitError when the system gives no threads */
  constructor(options: PoolOptions = {}) {
    const { threads = 0, slice = 0 } = options;
    if (!Number.isInteger(threads) || threads < 0)
      throw new RangeError(`threads: ${threads} is no number of threads`);
    if (!(slice >= 0)) throw new RangeError(`slice: ${slice} is no number of milliseconds`);
    const s = shared();
    s.block.u32[(AT.LIMITS + OPTIONS.threads) >> 2] = threads;
    s.block.setWord(AT.LIMITS + OPTIONS.slice, Math.ceil(slice * 1e6));
    if (native().lucet_pool_create(s.limits, s.out, s.error) !== Status.Ok)
      throw new LimitError(errorMessage(), 'resources');
    this.#address = s.block.word(AT.OUT);
    const fd = native().lucet_pool_descriptor(this.#address);
    if (fd < 0) {
      native().lucet_pool_release(this.#address);
      throw new LimitError('no descriptor for a pool', 'resources');
    }
    this.#socket = new Socket({ fd, readable: true, writable: false });
    this.#socket.on('data', () => this.#take());
    this.#socket.unref();
    this.#runner = {
      elsewhere: true,
      call: (instance, func, args) =>
        this.#submit((id, error) => native().lucet_pool_call(this.#address, instance, func, args, id, error)),
      start: instance =>
        this.#submit((id, error) => native().lucet_pool_run_start(this.#address, instance, id, error)),
      resume: instance =>
        this.#submit((id, error) => native().lucet_pool_resume(this.#address, instance, 0, id, error)),
      throwInto: (instance, exception) =>
        this.#submit((id, error) =>
          native().lucet_pool_resume_throw(this.#address, instance, exception, id, error),
        ),
    };
  }

  /**
   * Calls an export on one of the pool's threads. Meanwhile the instance, and those it is linked to, may not be
   * touched.
   */
  async call(instance: Instance, name: string, ...args: unknown[]): Promise<unknown> {
    return this.invoke(instance, instance.func(name), args);
  }

  async invoke(instance: Instance, func: Func, args: readonly unknown[]): Promise<unknown> {
    this.#check();
    return instance.invokeAsync(func, args, this.#runner);
  }

  /** Runs the start function, if there is one that has not been run. */
  async runStart(instance: Instance): Promise<void> {
    this.#check();
    await instance.runStartAsync(this.#runner);
  }

  /** Jobs that have not ended. */
  get pending(): number {
    return this.#pending;
  }

  #check(): void {
    if (this.#address === 0) throw new StateError('the pool was disposed');
  }

  #submit(job: (id: number, error: number) => Status): Promise<RunEvent> {
    this.#check();
    return new Promise((resolve, reject) => {
      const id = this.#free.pop() ?? this.#jobs.length;
      this.#jobs[id] = resolve;
      if (job(id, shared().error) !== Status.Ok) {
        this.#jobs[id] = null;
        this.#free.push(id);
        reject(new LimitError(errorMessage(), 'resources'));
        return;
      }
      // The process lives as long as there is something to wait for.
      if (this.#pending++ === 0) this.#socket.ref();
    });
  }

  #take(): void {
    const block = this.#events;
    for (let count = BATCH; count === BATCH && this.#address !== 0; ) {
      count = native().lucet_pool_take(this.#address, block.address, BATCH);
      for (let i = 0; i < count; i++) {
        const at = i * EVENT.size;
        const id = block.u32[(at + EVENT.id) >> 2]!;
        const resolve = this.#jobs[id];
        this.#jobs[id] = null;
        this.#free.push(id);
        if (--this.#pending === 0) this.#socket.unref();
        resolve?.(readEvent(block, at + EVENT.event, block.i32[(at + EVENT.status) >> 2]!, cannotRun));
      }
    }
  }

  /**
   * Kills what runs, and waits for the threads. Calls that have not ended are rejected with a StateError.
   */
  dispose(): void {
    if (this.#address === 0) return;
    const address = this.#address;
    this.#address = 0;
    native().lucet_pool_release(address);
    this.#socket.destroy();
    const lost = this.#jobs.splice(0);
    this.#pending = 0;
    for (const resolve of lost) {
      resolve?.({ ...LOST });
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
