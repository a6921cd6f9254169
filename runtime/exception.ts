/** Exceptions of guests, as JavaScript holds them. */
import type { Tag } from './externs.ts';
import { AT, bytesAt, errorMessage, native, Status, shared } from './ffi.ts';
import type { RawTrap } from './raw-trap.ts';
import type { TrapReport } from './trap-report.ts';
import { type ValueType, valueTypeOf, wordsOf } from './types.ts';
import { acquireBlock, loadValues, releaseBlock, storeValues, type ValueHome } from './values.ts';

/** Native references of exceptions that JavaScript has dropped. */
const dropped = new FinalizationRegistry<number>(address => {
  if (known.get(address)?.deref() === undefined) known.delete(address);
  native().lucet_exception_release(address);
});
/** One object for each exception. */
const known = new Map<number, WeakRef<WasmException>>();

/**
 * A WebAssembly exception: one that left a guest uncaught, an exnref, or one that a host function throws into the
 * guest. A host function that doesn't catch a guest's exception passes it on to the guest that called it.
 */
export class WasmException extends Error {
  override readonly name = 'WasmException';
  /** What it carries, as the tag's type says. */
  readonly values: readonly unknown[];
  /** The native exception, on which a reference is held; 0: it has not been in a guest yet. */
  #address = 0;
  readonly #tag: number;
  readonly #types: readonly ValueType[];
  #raw: RawTrap | null = null;
  #report: TrapReport | null = null;

  /** @throws TypeError when the values are not of the tag's type */
  constructor(tag: Tag, values?: readonly unknown[]);
  /** @internal */
  constructor(
    tag: { readonly address: number; readonly types: readonly ValueType[] },
    values: readonly unknown[],
  );
  constructor(
    tag: Tag | { readonly address: number; readonly types: readonly ValueType[] },
    values: readonly unknown[] = [],
  ) {
    super('uncaught exception');
    this.#types = 'types' in tag ? tag.types : tag.type.params;
    this.#tag = tag.address;
    this.values = [...values];
    if (!('types' in tag)) this.#check(tag.home);
  }

  #check(home: ValueHome): void {
    const block = acquireBlock(wordsOf(this.#types));
    try {
      storeValues(block, this.#types, this.values, home, 'the exception');
    } finally {
      releaseBlock(block);
    }
  }

  /** The JavaScript object of a native exception. @param owned the caller hands over a reference that it holds */
  static at(address: number, home: ValueHome, owned: boolean): WasmException {
    const found = known.get(address)?.deref();
    if (found) {
      if (owned) native().lucet_exception_release(address);
      return found;
    }
    const s = shared();
    const tag = native().lucet_exception_tag(address);
    const typesAt = native().lucet_tag_types(tag, s.out);
    const types = Array.from(bytesAt(typesAt, s.block.u32[AT.OUT >> 2]!), valueTypeOf);
    const words = wordsOf(types);
    const block = acquireBlock(words);
    let values: unknown[];
    try {
      native().copy(block.address, native().lucet_exception_values(address), words * 8);
      values = loadValues(block, types, home);
    } finally {
      releaseBlock(block);
    }
    const exception = new WasmException({ address: tag, types }, values);
    if (!owned) native().lucet_exception_retain(address);
    exception.#hold(address);
    return exception;
  }

  #hold(address: number): void {
    this.#address = address;
    known.set(address, new WeakRef(this));
    dropped.register(this, address);
  }

  /** Notes the place of the last throw that nothing caught. */
  thrownAt(raw: RawTrap): void {
    this.#raw = raw;
    this.#report = null;
  }

  /** The native exception, made when it first goes to a guest. */
  addressFor(home: ValueHome): number {
    if (this.#address !== 0) return this.#address;
    const block = acquireBlock(wordsOf(this.#types));
    try {
      storeValues(block, this.#types, this.values, home, 'the exception');
      const s = shared();
      const status = native().lucet_exception_new(home.address, this.#tag, block.address, s.out, s.error);
      if (status === Status.Argument) throw new TypeError(errorMessage());
      if (status !== Status.Ok) throw new Error(errorMessage());
      this.#hold(s.block.word(AT.OUT));
    } finally {
      releaseBlock(block);
    }
    return this.#address;
  }

  /** Whether it was thrown with the tag. */
  is(tag: Tag): boolean {
    return tag.address === this.#tag;
  }

  /** Where it was thrown, with a backtrace, if it left a guest uncaught. */
  get report(): TrapReport | null {
    if (this.#report === null && this.#raw !== null) this.#report = this.#raw.report('exception');
    return this.#report;
  }
}
