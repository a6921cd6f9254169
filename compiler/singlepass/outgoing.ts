/**
 * How large a body's outgoing area must be, found before the body is walked. Homes lie above that area, so its size stands in almost every instruction; a walk
 * that finds out on its way has to begin again, which was a sixth of all work on modules of C.
 */
import type { FuncBody, Module } from '../wasm/module.ts';
import { Code, Imm, OPCODE_IMM, OpcodePage } from '../wasm/opcodes.ts';

/** How to read past an operator, by its first byte. */
const enum Skip {
  /** So many numbers follow. */
  Nothing = 0,
  Number,
  Numbers,
  Block,
  Call,
  CallIndirect,
  Four,
  Eight,
  Labels,
  Prefixed,
  /** The single pass doesn't know it either. */
  Unknown,
}

function skipOf(imm: Imm): Skip {
  switch (imm) {
    case Imm.None:
      return Skip.Nothing;
    case Imm.Index:
    case Imm.HeapType:
    case Imm.I32:
    case Imm.I64:
      return Skip.Number;
    case Imm.MemArg:
    case Imm.IndexPair:
      return Skip.Numbers;
    case Imm.BlockType:
      return Skip.Block;
    case Imm.F32:
      return Skip.Four;
    case Imm.F64:
      return Skip.Eight;
    case Imm.LabelTable:
      return Skip.Labels;
    default:
      return Skip.Unknown;
  }
}

const SKIP = Uint8Array.from({ length: 256 }, (_, byte) => skipOf(OPCODE_IMM[byte]! as Imm));
SKIP[Code.Call] = Skip.Call;
SKIP[Code.CallIndirect] = Skip.CallIndirect;
SKIP[Code.MiscPrefix] = Skip.Prefixed;
SKIP[Code.SimdPrefix] = Skip.Unknown;

/** Bits of an operator's numbers, by its first byte, of which none is set where each has one byte. Bit 6 of an alignment says that there is a number more. */
const LONG_FIRST = Uint8Array.from(SKIP, (skip, byte) =>
  OPCODE_IMM[byte] === Imm.MemArg ? 0xc0 : skip === Skip.Nothing ? 0 : 0x80,
);
const LONG_SECOND = Uint8Array.from(SKIP, skip => (skip === Skip.Numbers ? 0x80 : 0));

/** Type prefixes `ref null` and `ref`: a heap type follows. */
const REF_NULL = 0x63;
const REF = 0x64;

/** Of one module. */
export class OutgoingAreas {
  private readonly bytes: Uint8Array;
  private readonly functions: ArrayLike<number>;
  /** Whether calls of any type need an area. */
  private readonly any: boolean;
  private at = 0;

  /** @param typeBytes for each type: bytes of stack arguments, or less than 0 where the single pass doesn't know */
  constructor(
    module: Pick<Module, 'bytes' | 'functions'>,
    private readonly typeBytes: Int32Array,
  ) {
    this.bytes = module.bytes;
    this.functions = module.functions;
    this.any = typeBytes.some(n => n > 0);
  }

  /** Bytes that the calls in a body need; calls that are never reached count. -1: it is one for the other path. */
  of(body: FuncBody): number {
    return this.any && this.mayPass(body) ? this.read(body) : 0;
  }

  /**
   * Whether calls in a body may need an area: somewhere in it is a byte that a call begins with, and behind that the number of a function or type that does. Most
   * bodies need none, and to look at their bytes takes a sixth of what reading their operators does.
   */
  private mayPass({ start, end }: FuncBody): boolean {
    const { bytes } = this;
    for (let i = start; i < end; i++) if ((bytes[i]! & 0xfe) === Code.Call && this.passes(i)) return true;
    return false;
  }

  /** Whether the call at `at`, if there is one, needs an area. */
  private passes(at: number): boolean {
    this.at = at + 1;
    const index = this.number();
    return (this.bytes[at] === Code.Call ? this.ofFunction(index) : this.ofType(index)) > 0;
  }

  private ofFunction(index: number): number {
    return index < this.functions.length ? this.ofType(this.functions[index]!) : 0;
  }
  private ofType(index: number): number {
    return index < this.typeBytes.length ? this.typeBytes[index]! : 0;
  }

  private read(body: FuncBody): number {
    const { bytes } = this;
    const { end } = body;
    this.at = body.start;
    for (let groups = this.number(); groups > 0 && this.at < end; groups--) {
      this.number();
      this.type();
    }
    // As locals: a file's constants are variables of the bundle, which would be read anew each time.
    const skips = SKIP;
    const longFirst = LONG_FIRST;
    const longSecond = LONG_SECOND;
    let most = 0;
    let { at } = this;
    while (at < end) {
      const first = bytes[at]!;
      const skip = skips[first]! as Skip;
      // Mostly without a branch that depends on the operator, which the processor couldn't foretell.
      if (
        skip <= Skip.Numbers &&
        ((bytes[at + 1]! & longFirst[first]!) | (bytes[at + 2]! & longSecond[first]!)) === 0
      ) {
        at += 1 + skip;
        continue;
      }
      this.at = at + 1;
      const needed = this.longer(first, skip);
      if (needed < 0) return -1;
      if (needed > most) most = needed;
      at = this.at;
    }
    return at === end ? most : -1;
  }

  /** Read past any operator whose first byte has been read: what it needs, or -1. */
  private longer(first: number, skip: Skip): number {
    switch (skip) {
      case Skip.Nothing:
      case Skip.Number:
      case Skip.Numbers:
        if (OPCODE_IMM[first] === Imm.MemArg && (this.bytes[this.at]! & 0x40) !== 0) skip++;
        for (let n: number = skip; n > 0; n--) this.past();
        return 0;
      case Skip.Block:
        this.type();
        return 0;
      case Skip.Call:
        return Math.max(0, this.ofFunction(this.number()));
      case Skip.CallIndirect: {
        const type = this.number();
        this.past();
        return Math.max(0, this.ofType(type));
      }
      case Skip.Four:
        this.at += 4;
        return 0;
      case Skip.Eight:
        this.at += 8;
        return 0;
      case Skip.Labels:
        for (let labels = this.number() + 1; labels > 0 && this.at < this.bytes.length; labels--) this.past();
        return 0;
      case Skip.Prefixed:
        return this.misc() ? 0 : -1;
      default:
        return -1;
    }
  }

  /** A LEB128 number that isn't asked for. Behind the file, everything ends. */
  private past(): void {
    const { bytes } = this;
    let { at } = this;
    while (bytes[at++]! >= 0x80);
    this.at = at;
  }

  /** One of up to 32 bits, unsigned. */
  private number(): number {
    const { bytes } = this;
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const b = bytes[this.at++]!;
      value |= (b & 0x7f) << shift;
      if (!(b >= 0x80)) return value >>> 0;
    }
  }

  /** A value type or block type. */
  private type(): void {
    const byte = this.bytes[this.at]!;
    if (byte === REF_NULL || byte === REF) this.at++;
    this.past();
  }

  private misc(): boolean {
    switch (OPCODE_IMM[OpcodePage.Misc + Math.min(this.number(), 255)]! as Imm) {
      case Imm.IndexPair:
        this.past();
        this.past();
        return true;
      case Imm.Index:
        this.past();
        return true;
      case Imm.None:
        return true;
      default:
        return false;
    }
  }
}
