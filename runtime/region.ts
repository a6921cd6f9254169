/** A pool of slots for instances. */
import koffi from 'koffi';
import { LimitError, StateError } from './errors.ts';
import { AT, errorMessage, native, RegionKind, SlotStrategy, STRUCTS, Status, shared } from './ffi.ts';
import { defaultLimits, type Limits, storeLimits } from './limits.ts';

/**
 * Guarded: a reservation of address space for each slot, and code without bounds checks; up to some 16,000 slots.
 * Dense: all slots side by side, for modules compiled with `memory: 'dense'`; for hundreds of thousands of slots.
 */
export type RegionType = 'guarded' | 'dense';

/** Which of the free slots (numbers from 0) the next instance gets: its position in the array. */
export type SlotChooser = (free: Uint32Array) => number;

export interface RegionOptions {
  /** Number of slots: instances that may exist at a time. */
  readonly capacity: number;
  /** Default: guarded. */
  readonly kind?: RegionType;
  /** What is not said has the kind's default. */
  readonly limits?: Partial<Limits>;
  /**
   * Which free slot is used next. `linear` (default): the one that the same module used last, which is the fastest;
   * `random`: any, so that guests can't foretell where they are; or a function.
   */
  readonly strategy?: 'linear' | 'random' | SlotChooser;
}

const OPTIONS = STRUCTS.lucet_region_options;

let chooserType: ReturnType<typeof koffi.pointer> | null = null;

/** A C function that asks `choose`. An error there can't cross C: it chooses the first. */
function registerChooser(choose: SlotChooser): unknown {
  chooserType ??= koffi.pointer(
    koffi.proto('uint32_t lucet_slot_chooser_js(uintptr_t free, uint32_t count, uintptr_t data)'),
  );
  return koffi.register((free: number, count: number): number => {
    try {
      const numbers = new Uint32Array(count);
      native().copyOut(new Uint8Array(numbers.buffer), Number(free), count * 4);
      return choose(numbers) >>> 0;
    } catch {
      return 0;
    }
  }, chooserType);
}

export class Region {
  readonly #address: number;
  readonly #chooser: unknown;
  readonly kind: RegionType;
  readonly capacity: number;
  readonly limits: Limits;
  #disposed = false;

  private constructor(address: number, options: RegionOptions, limits: Limits, chooser: unknown) {
    this.#address = address;
    this.#chooser = chooser;
    this.kind = options.kind ?? 'guarded';
    this.capacity = options.capacity;
    this.limits = limits;
  }

  /** @throws LimitError when the system gives no address space; RangeError for sizes that are none */
  static create(options: RegionOptions): Region {
    const { capacity, kind = 'guarded', strategy = 'linear' } = options;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > 0xffff_ffff) {
      throw new RangeError(`capacity: ${capacity} is no number of slots`);
    }
    if (kind !== 'guarded' && kind !== 'dense') throw new RangeError(`no such kind of region: ${kind}`);
    const limits: Limits = { ...defaultLimits(kind), ...options.limits };
    storeLimits(limits);
    const s = shared();
    const chooser = typeof strategy === 'function' ? registerChooser(strategy) : null;
    const { u32 } = s.block;
    u32[(AT.OPTIONS + OPTIONS.kind) >> 2] = kind === 'dense' ? RegionKind.Dense : RegionKind.Guarded;
    let code = strategy === 'random' ? SlotStrategy.Random : SlotStrategy.Linear;
    if (chooser !== null) code = SlotStrategy.Custom;
    u32[(AT.OPTIONS + OPTIONS.strategy) >> 2] = code;
    s.block.setWord(AT.OPTIONS + OPTIONS.chooser, chooser === null ? 0 : Number(koffi.address(chooser)));
    s.block.setWord(AT.OPTIONS + OPTIONS.chooser_data, 0);
    s.block.setWord(AT.OPTIONS + OPTIONS.limits, s.limits);
    const status = native().lucet_region_create_with(capacity, s.options, s.out, s.error);
    if (status !== Status.Ok) {
      if (chooser !== null) koffi.unregister(chooser as never);
      const cause = status === Status.Limit || status === Status.Argument ? 'limit' : 'resources';
      throw new LimitError(errorMessage(), cause);
    }
    return new Region(s.block.word(AT.OUT), options, limits, chooser);
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
    return native().lucet_region_free_slots(this.address);
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Gives the handle back: no more instances can be made. Those that exist live on. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    native().lucet_region_release(this.#address);
    // Only making instances asks it.
    if (this.#chooser !== null) koffi.unregister(this.#chooser as never);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
