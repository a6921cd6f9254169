/** Values of guests to and from JavaScript, through arrays of 64-bit words. */
import { WasmException } from './exception.ts';
import { externrefHandle, externrefValue } from './externref.ts';
import { Block } from './ffi.ts';
import { Func } from './func.ts';
import { GuestObject, objectAddress } from './object.ts';
import type { ValueType } from './types.ts';

/** The instance that values go to or come from. */
export interface ValueHome {
  /** The native handle. @throws StateError when it is gone */
  readonly address: number;
  /** The function of a funcref record. */
  funcAt(address: number): Func;
  /** Keeps a function's instance alive as long as this one: it is about to hold a reference to it. */
  adopt(func: Func): void;
}

/** How a message names a value: the whole, or one of several, counted from 1. */
function subject(what: string, number: number): string {
  if (number === 0) return what;
  return what === ARGUMENTS ? `argument ${number}` : `${what}, value ${number},`;
}

/** `what` of a call's arguments. */
export const ARGUMENTS = 'the arguments';

/** Writes one value at a word. @throws TypeError, with `what` as subject: value `number` of several, or 0 */
export function storeValue(
  block: Block,
  word: number,
  type: ValueType,
  value: unknown,
  home: ValueHome,
  what: string,
  number = 0,
): void {
  switch (type) {
    case 'i32':
      if (typeof value !== 'number') throw mismatch(subject(what, number), type, 'a number', value);
      block.i32[word * 2] = value;
      block.i32[word * 2 + 1] = 0;
      return;
    case 'i64':
      if (typeof value !== 'bigint') throw mismatch(subject(what, number), type, 'a bigint', value);
      block.i64[word] = value;
      return;
    case 'f32':
      if (typeof value !== 'number') throw mismatch(subject(what, number), type, 'a number', value);
      block.f32[word * 2] = value;
      block.i32[word * 2 + 1] = 0;
      return;
    case 'f64':
      if (typeof value !== 'number') throw mismatch(subject(what, number), type, 'a number', value);
      block.f64[word] = value;
      return;
    case 'v128':
      if (!(value instanceof Uint8Array) || value.length !== 16) {
        throw mismatch(subject(what, number), type, 'a Uint8Array of 16 bytes', value);
      }
      block.u8.set(value, word * 8);
      return;
    case 'funcref':
      block.setWord(word * 8, funcrefAddress(value, home, what, number));
      return;
    case 'externref':
      block.setWord(word * 8, externrefHandle(value));
      return;
    case 'anyref':
      block.setWord(word * 8, objectAddress(value, subject(what, number)));
      return;
    case 'exnref':
      block.setWord(word * 8, exnrefAddress(value, home, what, number));
      return;
  }
}

export function funcrefAddress(value: unknown, home: ValueHome, what: string, number = 0): number {
  if (value === null) return 0;
  if (!(value instanceof Func)) throw mismatch(subject(what, number), 'funcref', 'a Func or null', value);
  home.adopt(value);
  return value.address;
}

export function exnrefAddress(value: unknown, home: ValueHome, what: string, number = 0): number {
  if (value === null) return 0;
  if (!(value instanceof WasmException))
    throw mismatch(subject(what, number), 'exnref', 'a WasmException or null', value);
  return value.addressFor(home);
}

/** "expected 2 arguments (i32, i64), got 1" */
function wrongNumber(what: string, types: readonly ValueType[], got: number): string {
  const [prefix, noun] = what === ARGUMENTS ? ['', 'argument'] : [`${what}: `, 'value'];
  const n = types.length;
  const wanted = n === 0 ? `no ${noun}s` : `${n} ${noun}${n === 1 ? '' : 's'} (${types.join(', ')})`;
  return `${prefix}expected ${wanted}, got ${got}`;
}

function mismatch(what: string, type: ValueType, wanted: string, value: unknown): TypeError {
  const got = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  return new TypeError(`${what} is ${type}: expected ${wanted}, got ${got}`);
}

export function loadValue(block: Block, word: number, type: ValueType, home: ValueHome): unknown {
  switch (type) {
    case 'i32':
      return block.i32[word * 2]!;
    case 'i64':
      return block.i64[word]!;
    case 'f32':
      return block.f32[word * 2]!;
    case 'f64':
      return block.f64[word]!;
    case 'v128':
      return block.u8.slice(word * 8, word * 8 + 16);
    case 'funcref': {
      const address = block.word(word * 8);
      return address === 0 ? null : home.funcAt(address);
    }
    case 'externref':
      return externrefValue(block.word(word * 8));
    case 'anyref': {
      const address = block.word(word * 8);
      return address === 0 ? null : new GuestObject(address);
    }
    case 'exnref': {
      const address = block.word(word * 8);
      return address === 0 ? null : WasmException.at(address, home, false);
    }
  }
}

/** Writes values from a word of the block on. @throws TypeError for a wrong number or type of values */
export function storeValues(
  block: Block,
  types: readonly ValueType[],
  values: readonly unknown[],
  home: ValueHome,
  what: string,
  from = 0,
): void {
  if (values.length !== types.length) {
    throw new TypeError(wrongNumber(what, types, values.length));
  }
  let word = from;
  for (let i = 0; i < types.length; i++) {
    const type = types[i]!;
    storeValue(block, word, type, values[i], home, what, what === ARGUMENTS || types.length > 1 ? i + 1 : 0);
    word += type === 'v128' ? 2 : 1;
  }
}

export function loadValues(block: Block, types: readonly ValueType[], home: ValueHome, from = 0): unknown[] {
  let word = from;
  const values: unknown[] = [];
  for (const type of types) {
    values.push(loadValue(block, word, type, home));
    word += type === 'v128' ? 2 : 1;
  }
  return values;
}

/** The results of a call: undefined, the value, or an array of several. */
export function loadResults(block: Block, types: readonly ValueType[], home: ValueHome, from = 0): unknown {
  if (types.length === 0) return undefined;
  if (types.length === 1) return loadValue(block, from, types[0]!, home);
  return loadValues(block, types, home, from);
}

const BLOCK_WORDS = 512;
const free: Block[] = [];

/** A block for an array of values; give it back with releaseBlock. Calls end in any order, so it is not a stack. */
export function acquireBlock(words: number): Block {
  return words <= BLOCK_WORDS ? (free.pop() ?? new Block(BLOCK_WORDS * 8)) : new Block(words * 8);
}

export function releaseBlock(block: Block): void {
  if (block.u8.length === BLOCK_WORDS * 8) free.push(block);
}
