/** Functions of guests, as JavaScript holds them. */
import { AT, native, shared } from './ffi.ts';
import type { LinkedHome } from './group.ts';
import { funcTypeAt } from './module.ts';
import { type FuncType, wordsOf } from './types.ts';

/** The instance through which a function was reached, and on whose stack it runs. */
export interface FuncHome extends LinkedHome {
  invoke(func: Func, args: readonly unknown[]): unknown;
  invokeAsync(func: Func, args: readonly unknown[]): Promise<unknown>;
  invokeRaw(func: Func, words: BigUint64Array): BigUint64Array;
}

/**
 * A wasm function: an export, an element of a table, a result. One instance gives the same object for the same
 * function. Values: i32, f32 and f64 are numbers, i64 a bigint, v128 a Uint8Array of 16 bytes, a funcref a Func or
 * null, an externref any value or null, an anyref a GuestObject or null.
 */
export class Func {
  readonly home: FuncHome;
  readonly #address: number;
  #type: FuncType | null;
  #words = -1;

  constructor(home: FuncHome, address: number, type: FuncType | null = null) {
    this.home = home;
    this.#address = address;
    this.#type = type;
  }

  /** The funcref record. */
  get address(): number {
    this.home.assertAlive();
    return this.#address;
  }

  get type(): FuncType {
    if (this.#type === null) {
      const s = shared();
      const types = native().lucet_funcref_type(this.address, s.out, s.out + 4);
      const [params, results] = s.block.u32.subarray(AT.OUT >> 2);
      this.#type = funcTypeAt(types, params!, results!);
    }
    return this.#type;
  }

  /** Words of an array that holds its arguments, then its results. */
  get words(): number {
    if (this.#words < 0) this.#words = Math.max(wordsOf(this.type.params), wordsOf(this.type.results));
    return this.#words;
  }

  /** In the module it is defined in. */
  get index(): number {
    return native().lucet_funcref_index(this.address);
  }

  /**
   * Runs it to its end. @returns undefined, the result, or an array of several
   * @throws Trap, GuestExit, TypeError for arguments of wrong types, and whatever a host function throws
   */
  call(...args: unknown[]): unknown {
    return this.home.invoke(this, args);
  }

  /** Like `call`, but host functions may return promises: the guest waits for them. */
  callAsync(...args: unknown[]): Promise<unknown> {
    return this.home.invokeAsync(this, args);
  }

  /**
   * Like `call`, with values as bits: a word each (i32 and f32 in its low half), two for a v128. Externrefs are
   * handles.
   */
  callRaw(words: BigUint64Array): BigUint64Array {
    return this.home.invokeRaw(this, words);
  }
}
