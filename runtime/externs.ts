/** Memories, tables and globals of instances, as JavaScript holds them. */
import { StateError } from './errors.ts';
import { externrefHandle } from './externref.ts';
import { AT, native, Status, shared } from './ffi.ts';
import type { Func } from './func.ts';
import type { LinkedHome } from './group.ts';
import { objectAddress } from './object.ts';
import type { GlobalType, MemoryType, TableType, TagType } from './types.ts';
import { exnrefAddress, funcrefAddress, loadValue, storeValue, type ValueHome } from './values.ts';

/** The instance that an entity is reached through. */
export interface EntityHome extends ValueHome, LinkedHome {}

abstract class Entity {
  /**
   * @param home the instance that exports it
   * @param exportNumber position in the list of its module's exports
   * @param index in the index space of its kind
   */
  constructor(
    readonly home: EntityHome,
    readonly exportNumber: number,
    protected readonly index: number,
  ) {}
}

/** A linear memory. Its bytes are copied in and out: they are never shared with JavaScript. */
export class Memory extends Entity {
  constructor(
    home: EntityHome,
    exportNumber: number,
    index: number,
    readonly type: MemoryType,
  ) {
    super(home, exportNumber, index);
  }

  /** Bytes. */
  get size(): number {
    native().lucet_instance_memory(this.home.address, this.index, shared().out);
    return shared().block.word(AT.OUT);
  }

  get pages(): number {
    return this.size / this.type.pageSize;
  }

  /** Adds pages. @returns the number of pages before, or -1 when there can't be so many */
  grow(pages: number): number {
    if (!Number.isSafeInteger(pages) || pages < 0) throw new RangeError(`${pages} is no number of pages`);
    return native().lucet_instance_memory_grow(this.home.address, this.index, pages);
  }

  /** A copy of the bytes. @throws RangeError when they aren't all inside */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(bytes, offset);
    return bytes;
  }

  /** Fills the array from the memory. @throws RangeError */
  readInto(target: Uint8Array, offset: number): void {
    const from = this.#range(offset, target.length);
    if (target.length > 0) native().copyOut(target, from, target.length);
  }

  /** @throws RangeError, and nothing is written, when it wouldn't all be inside */
  write(offset: number, bytes: Uint8Array): void {
    const to = this.#range(offset, bytes.length);
    if (bytes.length > 0) native().copyIn(to, bytes, bytes.length);
  }

  /** Address of a range, after checking it against the present size. */
  #range(offset: number, length: number): number {
    const base = native().lucet_instance_memory(this.home.address, this.index, shared().out);
    const size = shared().block.word(AT.OUT);
    // Both are safe integers, so the sum is exact.
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
      throw new RangeError(`${length} bytes at ${offset} are not inside the memory of ${size} bytes`);
    }
    return base + offset;
  }
}

export class Table extends Entity {
  constructor(
    home: EntityHome,
    exportNumber: number,
    index: number,
    readonly type: TableType,
  ) {
    super(home, exportNumber, index);
  }

  get length(): number {
    return native().lucet_instance_table_size(this.home.address, this.index);
  }

  /** @throws RangeError */
  get(index: number): unknown {
    this.#check(index);
    const { block, out } = shared();
    native().lucet_instance_table_get(this.home.address, this.index, index, out);
    return loadValue(block, AT.OUT >> 3, this.type.element, this.home);
  }

  /** @throws RangeError; TypeError when a table of functions is given something else */
  set(index: number, value: unknown): void {
    this.#check(index);
    const word = this.#word(value);
    if (native().lucet_instance_table_set(this.home.address, this.index, index, word) !== Status.Ok) {
      throw new TypeError('the table takes references of another type');
    }
  }

  /** Adds elements. @returns the length before, or -1 when there can't be so many */
  grow(elements: number, value: unknown = null): number {
    if (!Number.isSafeInteger(elements) || elements < 0)
      throw new RangeError(`${elements} is no number of elements`);
    return native().lucet_instance_table_grow(this.home.address, this.index, elements, this.#word(value));
  }

  #check(index: number): void {
    const { length } = this;
    if (!Number.isSafeInteger(index) || index < 0 || index >= length) {
      throw new RangeError(`element ${index} is not inside the table of ${length} elements`);
    }
  }

  #word(value: unknown): number {
    switch (this.type.element) {
      case 'funcref':
        return funcrefAddress(value, this.home, 'the element');
      case 'exnref':
        return exnrefAddress(value, this.home, 'the element');
      case 'externref':
        return externrefHandle(value);
      case 'anyref':
        return objectAddress(value, 'the element');
    }
  }
}

export class Global extends Entity {
  constructor(
    home: EntityHome,
    exportNumber: number,
    index: number,
    readonly type: GlobalType,
  ) {
    super(home, exportNumber, index);
  }

  get value(): unknown {
    this.#fetch();
    return loadValue(shared().block, AT.OUT >> 3, this.type.type, this.home);
  }

  /** @throws StateError when it is immutable; TypeError */
  set value(value: unknown) {
    const { block } = shared();
    storeValue(block, AT.OUT >> 3, this.type.type, value, this.home, 'the global');
    this.#store();
  }

  /** The value's bits: 32, 64 or 128 of them; a reference's word. */
  get bits(): bigint {
    this.#fetch();
    const { block } = shared();
    const low = block.u64[AT.OUT >> 3]!;
    switch (this.type.type) {
      case 'i32':
      case 'f32':
        return low & 0xffff_ffffn;
      case 'v128':
        return low | (block.u64[(AT.OUT >> 3) + 1]! << 64n);
      default:
        return low;
    }
  }

  #fetch(): void {
    native().lucet_instance_global_get(this.home.address, this.index, shared().out);
  }

  #store(): void {
    const status = native().lucet_instance_global_set(this.home.address, this.index, shared().out);
    if (status === Status.Argument) throw new TypeError('the global takes references of another type');
    if (status !== Status.Ok) throw new StateError('the global is immutable');
  }
}

/** What exceptions are told apart by. */
export class Tag extends Entity {
  constructor(
    home: EntityHome,
    exportNumber: number,
    index: number,
    readonly type: TagType,
  ) {
    super(home, exportNumber, index);
  }

  /** The native tag: the same for the one that defines it and all that import it. */
  get address(): number {
    return native().lucet_instance_tag(this.home.address, this.index);
  }
}

/** What an instance can export. */
export type Extern = Func | Memory | Table | Global | Tag;
