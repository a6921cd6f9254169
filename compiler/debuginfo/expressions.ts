/** Location expressions (DWARF 5, section 2.5) with the WebAssembly extension DW_OP_WASM_location. */
import { Encoding } from './constants.ts';
import { Cursor, DwarfError } from './cursor.ts';
import { type DwarfSections, FormClass, type FormValue } from './forms.ts';
import { type Bases, formAddress, indexedAddress } from './ranges.ts';
import type { Unit } from './units.ts';

/** Where the parts of a stopped frame are read from. null everywhere: not known. */
export interface FrameReader {
  memory(address: number, length: number): Uint8Array | null;
  /** Raw bits, as an unsigned number. */
  local(index: number): bigint | null;
  global(index: number): bigint | null;
  /** Of the operand stack, from the bottom. */
  operand(index: number): bigint | null;
  /** Whether the function gets a local as a parameter, and never assigns it. */
  keepsParameter?(index: number): boolean;
  /**
   * Value of a frame's base where its own description can't be evaluated (a local that optimised code does not keep).
   */
  frameBase?(): number | null;
}

/** Where a variable is. */
export type Place =
  | { readonly kind: 'memory'; readonly address: number }
  | { readonly kind: 'local' | 'global' | 'operand'; readonly index: number }
  /** It has a value, but lives nowhere: bits, least significant first. */
  | { readonly kind: 'value'; readonly value: bigint }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'pieces'; readonly pieces: readonly Piece[] }
  | { readonly kind: 'missing'; readonly why: string };

interface Piece {
  /** Bytes. */
  readonly size: number;
  readonly place: Place;
}

const enum Op {
  addr = 0x03,
  deref = 0x06,
  const1u = 0x08,
  const1s = 0x09,
  const2u = 0x0a,
  const2s = 0x0b,
  const4u = 0x0c,
  const4s = 0x0d,
  const8u = 0x0e,
  const8s = 0x0f,
  constu = 0x10,
  consts = 0x11,
  dup = 0x12,
  drop = 0x13,
  over = 0x14,
  pick = 0x15,
  swap = 0x16,
  rot = 0x17,
  abs = 0x19,
  and = 0x1a,
  div = 0x1b,
  minus = 0x1c,
  mod = 0x1d,
  mul = 0x1e,
  neg = 0x1f,
  not = 0x20,
  or = 0x21,
  plus = 0x22,
  plus_uconst = 0x23,
  shl = 0x24,
  shr = 0x25,
  shra = 0x26,
  xor = 0x27,
  bra = 0x28,
  eq = 0x29,
  ge = 0x2a,
  gt = 0x2b,
  le = 0x2c,
  lt = 0x2d,
  ne = 0x2e,
  skip = 0x2f,
  lit0 = 0x30,
  lit31 = 0x4f,
  fbreg = 0x91,
  piece = 0x93,
  deref_size = 0x94,
  nop = 0x96,
  call_frame_cfa = 0x9c,
  bit_piece = 0x9d,
  implicit_value = 0x9e,
  stack_value = 0x9f,
  implicit_pointer = 0xa0,
  addrx = 0xa1,
  constx = 0xa2,
  entry_value = 0xa3,
  const_type = 0xa4,
  deref_type = 0xa6,
  convert = 0xa8,
  reinterpret = 0xa9,
  WASM_location = 0xed,
  GNU_entry_value = 0xf3,
}

const enum WasmKind {
  Local = 0,
  Global = 1,
  Operand = 2,
  /** A global by four bytes, for the linker to fill in. */
  GlobalFixed = 3,
}

const MAX_STEPS = 10_000;
const MAX_DEPTH = 1_000;
const MAX_PIECES = 256;
const OPTIMISED_AWAY = 'optimised away';

const missing = (why: string): Place => ({ kind: 'missing', why });

/** Raised by an operator whose operand is not known. */
class Missing extends Error {}

/** What an expression may refer to outside of itself. */
export interface ExpressionContext {
  readonly unit: Unit;
  readonly sections: DwarfSections;
  readonly frame: FrameReader;
  /** The frame's base, from its function's DW_AT_frame_base; evaluated when asked for. */
  readonly frameBase: () => Place;
  /** Size and encoding of the base type at an offset of the unit. */
  readonly baseType: (unitOffset: number) => { readonly size: number; readonly encoding: number } | null;
}

/** Evaluates an expression to a place. Broken expressions give a missing place. */
export function evaluate(code: Uint8Array, x: ExpressionContext): Place {
  if (code.length === 0) return missing(OPTIMISED_AWAY);
  try {
    return new Machine(new Cursor(code, 0, code.length), x).run();
  } catch (e) {
    if (e instanceof Missing) return missing(e.message);
    if (e instanceof DwarfError) return missing(`broken location expression: ${e.message}`);
    throw e;
  }
}

class Machine {
  private readonly stack: bigint[] = [];
  /** The only thing done so far was to name this: it can be written to. */
  private register: Place | null = null;
  private readonly pieces: Piece[] = [];
  private readonly bits: number;

  constructor(
    private readonly c: Cursor,
    private readonly x: ExpressionContext,
  ) {
    this.bits = 8 * x.unit.addressSize;
  }

  run(): Place {
    const { c } = this;
    for (let steps = 0; !c.done; steps++) {
      if (steps > MAX_STEPS) throw new DwarfError('it does not end');
      const op = c.u8();
      if (op === Op.stack_value) {
        const place = this.valuePlace();
        if (c.done) return place;
        if (!this.pieceFollows(place)) throw new DwarfError('operators behind a stack value');
      } else if (op === Op.implicit_value) {
        const length = c.uleb();
        const at = c.at;
        c.skip(length);
        const place: Place = { kind: 'bytes', bytes: c.bytes.slice(at, at + length) };
        if (c.done) return place;
        if (!this.pieceFollows(place)) throw new DwarfError('operators behind an implicit value');
      } else if (op === Op.piece || op === Op.bit_piece) {
        this.piece(op, this.stack.length === 0 ? missing(OPTIMISED_AWAY) : this.memoryPlace());
      } else if (op === Op.implicit_pointer) {
        return missing('a pointer that was optimised away');
      } else this.step(op);
    }
    if (this.pieces.length > 0) return { kind: 'pieces', pieces: this.pieces };
    return this.memoryPlace();
  }

  /** An address, which the linker sets to all ones where it dropped what was there. */
  private linked(address: number): bigint {
    const { addressSize } = this.x.unit;
    if (address === (addressSize === 8 ? 2 ** 64 : 0xffff_ffff)) throw new Missing('dropped by the linker');
    return BigInt(address);
  }

  private memoryPlace(): Place {
    const address = BigInt.asUintN(this.bits, this.pop());
    this.register = null;
    return { kind: 'memory', address: Number(address) };
  }

  private valuePlace(): Place {
    const { register } = this;
    const value = this.pop();
    this.register = null;
    return register ?? { kind: 'value', value: BigInt.asUintN(64, value) };
  }

  private pieceFollows(place: Place): boolean {
    const op = this.c.u8();
    if (op !== Op.piece && op !== Op.bit_piece) return false;
    this.piece(op, place);
    return true;
  }

  private piece(op: Op, place: Place): void {
    let size = this.c.uleb();
    if (op === Op.bit_piece) {
      if (size % 8 !== 0 || this.c.uleb() !== 0) throw new DwarfError('pieces of single bits');
      size /= 8;
    }
    if (this.pieces.length >= MAX_PIECES || size > 65536) throw new DwarfError('too many pieces');
    this.pieces.push({ size, place });
    this.stack.length = 0;
    this.register = null;
  }

  private push(v: bigint): void {
    if (this.stack.length >= MAX_DEPTH) throw new DwarfError('the stack grows too large');
    this.stack.push(BigInt.asUintN(64, v));
    this.register = null;
  }

  private pop(): bigint {
    const v = this.stack.pop();
    if (v === undefined) throw new DwarfError('the stack is empty');
    return v;
  }

  /** An operand as a signed number: what fits an address is one of its size. */
  private signed(v: bigint): bigint {
    return BigInt.asIntN(v >> BigInt(this.bits) === 0n ? this.bits : 64, v);
  }

  private wrap(v: bigint, ...operands: bigint[]): bigint {
    const bits = BigInt(this.bits);
    return operands.every(o => o >> bits === 0n) ? BigInt.asUintN(this.bits, v) : v;
  }

  private step(op: number): void {
    const { c } = this;
    if (op >= Op.lit0 && op <= Op.lit31) {
      this.push(BigInt(op - Op.lit0));
      return;
    }
    switch (op) {
      case Op.addr:
        this.push(this.linked(c.uint(this.x.unit.addressSize)));
        return;
      case Op.addrx:
        this.push(this.linked(indexedAddress(c.uleb(), this.x.unit, this.x.unit.bases, this.x.sections)));
        return;
      case Op.constx:
        this.push(BigInt(indexedAddress(c.uleb(), this.x.unit, this.x.unit.bases, this.x.sections)));
        return;
      case Op.const1u:
        this.push(this.fixed(1));
        return;
      case Op.const1s:
        this.push(BigInt.asIntN(8, this.fixed(1)));
        return;
      case Op.const2u:
        this.push(this.fixed(2));
        return;
      case Op.const2s:
        this.push(BigInt.asIntN(16, this.fixed(2)));
        return;
      case Op.const4u:
        this.push(this.fixed(4));
        return;
      case Op.const4s:
        this.push(BigInt.asIntN(32, this.fixed(4)));
        return;
      case Op.const8u:
      case Op.const8s:
        this.push(this.fixed(8));
        return;
      case Op.constu:
        this.push(this.leb(false));
        return;
      case Op.consts:
        this.push(this.leb(true));
        return;
      case Op.dup:
        this.pick(0);
        return;
      case Op.over:
        this.pick(1);
        return;
      case Op.pick:
        this.pick(c.u8());
        return;
      case Op.drop:
        this.pop();
        return;
      case Op.swap: {
        const a = this.pop();
        const b = this.pop();
        this.push(a);
        this.push(b);
        return;
      }
      case Op.rot: {
        const a = this.pop();
        const b = this.pop();
        const d = this.pop();
        this.push(a);
        this.push(d);
        this.push(b);
        return;
      }
      case Op.deref:
        this.deref(this.x.unit.addressSize);
        return;
      case Op.deref_size:
        this.deref(c.u8());
        return;
      case Op.deref_type: {
        const size = c.u8();
        c.uleb();
        this.deref(size);
        return;
      }
      case Op.plus_uconst:
        this.push(this.wrapped(this.pop(), (a, b) => a + b, this.leb(false)));
        return;
      case Op.bra: {
        const distance = (c.u16() << 16) >> 16;
        if (this.pop() !== 0n) this.jump(distance);
        return;
      }
      case Op.skip:
        this.jump((c.u16() << 16) >> 16);
        return;
      case Op.nop:
        return;
      case Op.fbreg:
        this.frameRelative(this.leb(true));
        return;
      case Op.call_frame_cfa:
        throw new Missing('relative to a frame address that WebAssembly does not have');
      case Op.entry_value:
      case Op.GNU_entry_value:
        throw new Missing('it is known only as the value it had when the function was entered');
      case Op.const_type: {
        c.uleb();
        this.push(this.fixed(c.u8()));
        return;
      }
      case Op.convert:
      case Op.reinterpret:
        this.convert(c.uleb());
        return;
      case Op.WASM_location:
        this.wasmLocation();
        return;
      default:
        this.arithmetic(op);
        return;
    }
  }

  private arithmetic(op: number): void {
    if (op === Op.abs || op === Op.neg || op === Op.not) {
      const a = this.pop();
      const s = this.signed(a);
      this.push(this.wrap(op === Op.not ? ~a : op === Op.neg ? -s : s < 0n ? -s : s, a));
      return;
    }
    if (!(op >= Op.and && op <= Op.ne)) throw new DwarfError(`unknown operator 0x${op.toString(16)}`);
    const b = this.pop();
    this.push(this.wrapped(this.pop(), (a, z) => this.binary(op, a, z), b));
  }

  private wrapped(a: bigint, f: (a: bigint, b: bigint) => bigint, b: bigint): bigint {
    return this.wrap(f(a, b), a, b);
  }

  private binary(op: number, a: bigint, b: bigint): bigint {
    const sa = this.signed(a);
    const sb = this.signed(b);
    switch (op) {
      case Op.and:
        return a & b;
      case Op.or:
        return a | b;
      case Op.xor:
        return a ^ b;
      case Op.plus:
        return a + b;
      case Op.minus:
        return a - b;
      case Op.mul:
        return a * b;
      case Op.div:
        if (sb === 0n) throw new DwarfError('division by zero');
        return sa / sb;
      case Op.mod:
        if (b === 0n) throw new DwarfError('division by zero');
        return a % b;
      case Op.shl:
        return b < 64n ? a << b : 0n;
      case Op.shr:
        return b < 64n ? a >> b : 0n;
      case Op.shra:
        return sa >> (b < 63n ? b : 63n);
      case Op.eq:
        return sa === sb ? 1n : 0n;
      case Op.ne:
        return sa !== sb ? 1n : 0n;
      case Op.ge:
        return sa >= sb ? 1n : 0n;
      case Op.gt:
        return sa > sb ? 1n : 0n;
      case Op.le:
        return sa <= sb ? 1n : 0n;
      case Op.lt:
        return sa < sb ? 1n : 0n;
      default:
        throw new DwarfError(`unknown operator 0x${op.toString(16)}`);
    }
  }

  private pick(depth: number): void {
    const v = this.stack[this.stack.length - 1 - depth];
    if (v === undefined) throw new DwarfError('the stack is empty');
    this.push(v);
  }

  private jump(distance: number): void {
    const to = this.c.at + distance;
    if (!(to >= 0 && to <= this.c.end)) throw new DwarfError('a jump out of it');
    this.c.at = to;
  }

  private deref(size: number): void {
    if (size < 1 || size > 8) throw new DwarfError(`a read of ${size} bytes`);
    const address = Number(BigInt.asUintN(this.bits, this.pop()));
    const bytes = this.x.frame.memory(address, size);
    if (bytes === null) throw new Missing(`the memory at 0x${address.toString(16)} can't be read`);
    this.push(littleEndian(bytes));
  }

  private frameRelative(offset: bigint): void {
    const base = this.x.frameBase();
    this.push(BigInt.asUintN(this.bits, this.addressIn(base) + offset));
  }

  /** The frame's base is an address, or what a local holds. */
  private addressIn(place: Place): bigint {
    switch (place.kind) {
      case 'memory':
        return BigInt(place.address);
      case 'value':
        return place.value;
      case 'local':
      case 'global':
      case 'operand': {
        const v = readRegister(this.x.frame, place);
        const fallback = v === null ? this.x.frame.frameBase?.() : null;
        if (fallback !== null && fallback !== undefined) return BigInt(fallback);
        if (v === null) throw new Missing(whyNoRegister(place.kind));
        return v;
      }
      case 'missing':
        throw new Missing(place.why);
      default:
        throw new DwarfError('a frame base in pieces');
    }
  }

  private convert(unitOffset: number): void {
    if (unitOffset === 0) return;
    const type = this.x.baseType(unitOffset);
    if (type === null) throw new DwarfError('a conversion to an unknown type');
    const v = this.pop();
    const bits = 8 * Math.min(type.size, 8);
    const signed = type.encoding === Encoding.Signed || type.encoding === Encoding.SignedChar;
    this.push(signed ? BigInt.asIntN(bits, v) : BigInt.asUintN(bits, v));
  }

  private wasmLocation(): void {
    const kind = this.c.u8();
    const index = kind === WasmKind.GlobalFixed ? this.c.u32() : this.c.uleb();
    const names = {
      [WasmKind.Local]: 'local',
      [WasmKind.Global]: 'global',
      [WasmKind.Operand]: 'operand',
    } as const;
    const name = kind === WasmKind.GlobalFixed ? 'global' : names[kind as WasmKind.Local];
    if (name === undefined) throw new DwarfError(`WebAssembly location of kind ${kind}`);
    const place = { kind: name, index } as const;
    const alone = this.stack.length === 0;
    const v = readRegister(this.x.frame, place);
    // What follows may need no more than its name.
    const { c } = this;
    const named = alone && (c.done ? false : c.bytes[c.at] === Op.stack_value);
    if (v === null && !named) throw new Missing(whyNoRegister(name));
    this.push(v ?? 0n);
    if (named) this.register = place;
  }

  private fixed(n: number): bigint {
    if (n > 8) throw new DwarfError(`a constant of ${n} bytes`);
    const at = this.c.at;
    this.c.skip(n);
    return littleEndian(this.c.bytes.subarray(at, at + n));
  }

  /** Exact, where Cursor's are doubles. */
  private leb(signed: boolean): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 112n; shift += 7n) {
      const b = this.c.u8();
      value |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return signed && b & 0x40 ? value - (1n << (shift + 7n)) : value;
    }
    throw new DwarfError('overlong LEB128 number');
  }
}

export function littleEndian(bytes: Uint8Array): bigint {
  let v = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) v = (v << 8n) | BigInt(bytes[i]);
  return v;
}

function readRegister(frame: FrameReader, place: Place): bigint | null {
  switch (place.kind) {
    case 'local':
      return frame.local(place.index);
    case 'global':
      return frame.global(place.index);
    case 'operand':
      return frame.operand(place.index);
    default:
      return null;
  }
}

/** Why a named place has no value: told to people. */
export function whyNoRegister(kind: string): string {
  return kind === 'global'
    ? 'it is in a global that can not be read'
    : 'not kept by optimised code: compile with -g -O0 (lucetc) to see it';
}

// ---------------------------------------------------------------------------------------------------------- Location lists

const enum Lle {
  EndOfList = 0,
  BaseAddressx = 1,
  StartxEndx = 2,
  StartxLength = 3,
  OffsetPair = 4,
  DefaultLocation = 5,
  BaseAddress = 6,
  StartEnd = 7,
  StartLength = 8,
}

const MAX_LIST_ENTRIES = 100_000;

interface ListEntry {
  readonly from: number;
  readonly to: number;
  readonly code: Uint8Array;
  /** It holds where no other does. */
  readonly isDefault: boolean;
}

/**
 * The expression in force at an address: of an attribute that is one, or of a location list.
 * @returns null: there is none at this address
 * @throws DwarfError
 */
export function expressionAt(v: FormValue, address: number, unit: Unit, s: DwarfSections): Uint8Array | null {
  if (v.cls === FormClass.Expression || v.cls === FormClass.Block)
    return s.info.subarray(v.at, v.at + v.length);
  let fallback: Uint8Array | null = null;
  for (const { from, to, code, isDefault } of listOf(v, unit, s)) {
    if (isDefault) fallback = code;
    else if (address >= from && address < to) return code;
  }
  return fallback;
}

/**
 * The index of the parameter that holds a variable's address from the start of its function on; -1: there is none.
 *
 * Unoptimised code gets large arguments by address, and LLVM describes them by a list with one entry, which ends with
 * the first block of the code, where its analysis does. The variable stays where it was: whoever knows that the
 * parameter is never assigned may read it through there at the function's end too.
 */
export function parameterAddress(v: FormValue, unit: Unit, s: DwarfSections): number {
  if (v.cls === FormClass.Expression || v.cls === FormClass.Block) return -1;
  let only: Uint8Array | null = null;
  for (const { code } of listOf(v, unit, s)) {
    if (only !== null) return -1;
    only = code;
  }
  if (only === null) return -1;
  const c = new Cursor(only, 0, only.length);
  if (c.u8() !== Op.WASM_location || c.u8() !== WasmKind.Local) return -1;
  const index = c.uleb();
  return c.done ? index : -1;
}

function listOf(v: FormValue, unit: Unit, s: DwarfSections): Generator<ListEntry> {
  switch (v.cls) {
    case FormClass.LocListIndex: {
      const at = unit.bases.loclists + v.int * unit.offsetSize;
      if (!(at <= s.loclists.length))
        throw new DwarfError(`location list index ${v.int} is outside its section`);
      const offset = new Cursor(s.loclists, at, s.loclists.length).uint(unit.offsetSize);
      return fromLoclists(unit.bases.loclists + offset, unit, unit.bases, s);
    }
    case FormClass.SectionOffset:
    case FormClass.Constant:
      return unit.version >= 5 ? fromLoclists(v.int, unit, unit.bases, s) : fromLoc(v.int, unit, s);
    default:
      throw new DwarfError('a location of an unexpected form');
  }
}

/** DWARF 5, section 7.7.3. */
function* fromLoclists(offset: number, unit: Unit, bases: Bases, s: DwarfSections): Generator<ListEntry> {
  if (!(offset < s.loclists.length)) throw new DwarfError('a location list outside of its section');
  const c = new Cursor(s.loclists, offset, s.loclists.length);
  let base = unit.lowPc;
  const indexed = (): number =>
    formAddress({ cls: FormClass.AddressIndex, int: c.uleb(), at: 0, length: 0 }, unit, bases, s);
  for (let n = 0; n < MAX_LIST_ENTRIES; n++) {
    const kind = c.u8();
    let from = 0;
    let to = 0;
    switch (kind) {
      case Lle.EndOfList:
        return;
      case Lle.BaseAddressx:
        base = indexed();
        continue;
      case Lle.BaseAddress:
        base = c.uint(unit.addressSize);
        continue;
      case Lle.StartxEndx:
        from = indexed();
        to = indexed();
        break;
      case Lle.StartxLength:
        from = indexed();
        to = from + c.uleb();
        break;
      case Lle.OffsetPair:
        from = base + c.uleb();
        to = base + c.uleb();
        break;
      case Lle.DefaultLocation:
        break;
      case Lle.StartEnd:
        from = c.uint(unit.addressSize);
        to = c.uint(unit.addressSize);
        break;
      case Lle.StartLength:
        from = c.uint(unit.addressSize);
        to = from + c.uleb();
        break;
      default:
        throw new DwarfError(`unknown location list entry ${kind}`);
    }
    const length = c.uleb();
    const at = c.at;
    c.skip(length);
    const code = c.bytes.subarray(at, at + length);
    yield { from, to, code, isDefault: kind === Lle.DefaultLocation };
  }
  throw new DwarfError('a location list without an end');
}

/** DWARF 4, section 2.6.2. */
function* fromLoc(offset: number, unit: Unit, s: DwarfSections): Generator<ListEntry> {
  if (!(offset < s.loc.length)) throw new DwarfError('a location list outside of its section');
  const c = new Cursor(s.loc, offset, s.loc.length);
  const selectBase = unit.addressSize === 4 ? 0xffff_ffff : 2 ** 64;
  let base = unit.lowPc;
  for (let n = 0; n < MAX_LIST_ENTRIES; n++) {
    const from = c.uint(unit.addressSize);
    const to = c.uint(unit.addressSize);
    if (from === 0 && to === 0) return;
    if (from === selectBase) {
      base = to;
      continue;
    }
    const length = c.u16();
    const at = c.at;
    c.skip(length);
    yield {
      from: base + from,
      to: base + to,
      code: c.bytes.subarray(at, at + length),
      isDefault: false,
    };
  }
  throw new DwarfError('a location list without an end');
}
