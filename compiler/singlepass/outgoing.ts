/**
 * How large a body's outgoing area will probably be, guessed from its bytes before it is walked. Homes lie above that
 * area, so its size stands in almost every instruction, and a walk that needs a larger one begins again: on modules of C
 * that was a sixth of its work.
 */
import type { FuncBody, Module } from '../wasm/module.ts';
import { Code } from '../wasm/opcodes.ts';

/** The byte that one kind of call begins with is the next after that of the other. */
const CALLS = 0xfe;

/** Of one module. */
export class OutgoingAreas {
  private readonly bytes: Uint8Array;
  private readonly functions: ArrayLike<number>;
  private readonly tables: number;
  /** Whether calls of any type need an area. */
  private readonly any: boolean;
  private at = 0;

  /** @param typeBytes for each type: bytes of stack arguments, or less than 0 where the single pass doesn't know */
  constructor(
    module: Pick<Module, 'bytes' | 'functions' | 'tables'>,
    private readonly typeBytes: Int32Array,
  ) {
    this.bytes = module.bytes;
    this.functions = module.functions;
    this.tables = module.tables.length;
    this.any = typeBytes.some(n => n > 0);
  }

  /**
   * Bytes for whatever looks like a call in a body. It may be another operator's immediate, which costs some bytes of the
   * frame and nothing else. Calls of functions 0 to 127 are left out, since too much looks like them: an offset of 16,
   * the byte of `call`, in front of a `local.get` would be a call of function 32.
   */
  guess({ start, end }: FuncBody): number {
    if (!this.any) return 0;
    const { bytes } = this;
    let most = 0;
    for (let i = start; i < end; i++)
      if ((bytes[i]! & CALLS) === Code.Call) most = Math.max(most, this.neededBy(i));
    return most;
  }

  /** By the call at `at`, if it is one. */
  private neededBy(at: number): number {
    const { bytes, functions, typeBytes } = this;
    this.at = at + 1;
    const index = this.number();
    if (bytes[at] === Code.Call)
      return this.at > at + 2 && index < functions.length ? typeBytes[functions[index]!]! : 0;
    return index < typeBytes.length && this.number() < this.tables ? typeBytes[index]! : 0;
  }

  /** A LEB128 number of up to 32 bits. It ends where the file does. */
  private number(): number {
    const { bytes } = this;
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const b = bytes[this.at++]!;
      value |= (b & 0x7f) << shift;
      if (!(b >= 0x80)) return value >>> 0;
    }
  }
}
