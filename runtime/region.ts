/** A pool of slots for instances. */
import { LimitError, StateError } from './errors.ts';
import { AT, errorMessage, native, Status, shared } from './ffi.ts';
import { defaultLimits, type Limits, storeLimits } from './limits.ts';

export interface RegionOptions {
  /** Number of slots: instances that may exist at a time. */
  readonly capacity: number;
  /** What is not said has its default. */
  readonly limits?: Partial<Limits>;
}

export class Region {
  readonly #address: number;
  readonly capacity: number;
  readonly limits: Limits;
  #disposed = false;

  private constructor(address: number, capacity: number, limits: Limits) {
    this.#address = address;
    this.capacity = capacity;
    this.limits = limits;
  }

  /** @throws LimitError when the system gives no address space; RangeError for sizes that are none */
  static create(options: RegionOptions): Region {
    const { capacity } = options;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > 0xffff_ffff) {
      throw new RangeError(`capacity: ${capacity} is no number of slots`);
    }
    const limits: Limits = { ...defaultLimits(), ...options.limits };
    storeLimits(limits);
    const s = shared();
    const status = native().lucet_region_create(capacity, s.limits, s.out, s.error);
    if (status === Status.Limit || status === Status.Argument) throw new LimitError(errorMessage(), 'limit');
    if (status !== Status.Ok) throw new LimitError(errorMessage(), 'resources');
    return new Region(s.block.word(AT.OUT), capacity, limits);
  }

  /** The native handle. @throws StateError when disposed */
  get address(): number {
    if (this.#disposed) throw new StateError('the region was disposed');
    return this.#address;
  }

  get usedSlots(): number {
    return native().lucet_region_used_slots(this.address);
  }

  get freeSlots(): number {
    return this.capacity - this.usedSlots;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Gives the handle back: no more instances can be made. Those that exist live on. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    native().lucet_region_release(this.#address);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
