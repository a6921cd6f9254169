/** Address ranges of entries: .debug_ranges, .debug_rnglists, and addresses that are named by an index. */
import { Cursor, DwarfError } from './cursor.ts';
import { type DwarfSections, FormClass, type FormContext, type FormValue } from './forms.ts';

/** Bases that indexed forms of a unit count from, and what its range and location lists start from. */
export interface Bases {
  readonly strOffsets: number;
  readonly addr: number;
  readonly rnglists: number;
  readonly loclists: number;
}

/** Range entries that may still be read: bounds units which share one long list. */
export interface RangeBudget {
  entries: number;
}

/** What says which code an entry covers. */
export interface RangeAttributes {
  readonly lowPc: FormValue | null;
  readonly highPc: FormValue | null;
  readonly ranges: FormValue | null;
}

/**
 * Pairs (first address, address behind the last); null: the entry does not say.
 * @param base what a range list starts from: the unit's low_pc
 * @throws DwarfError
 */
export function entryRanges(
  entry: RangeAttributes,
  base: number,
  ctx: FormContext,
  bases: Bases,
  s: DwarfSections,
  budget: RangeBudget,
): number[] | null {
  const ranges: number[] = [];
  if (entry.ranges !== null) {
    if (ctx.version >= 5) readRnglist(entry.ranges, base, ctx, bases, s, budget, ranges);
    else readRanges(entry.ranges.int, base, ctx, s, budget, ranges);
  } else if (entry.lowPc !== null && entry.highPc !== null) {
    const low = formAddress(entry.lowPc, ctx, bases, s);
    const high = entry.highPc;
    const end =
      high.cls === FormClass.Constant || high.cls === FormClass.Signed
        ? low + high.int
        : formAddress(high, ctx, bases, s);
    addRange(ranges, low, end);
  } else {
    return null;
  }
  return ranges;
}

/**
 * A range that starts at 0 or in the last bytes of the address space is code that the linker dropped: address 0 is the
 * function count of the code section, never code, and wasm-ld writes -1 or -2 for what is gone.
 */
export function isTombstone(address: number): boolean {
  return address === 0 || !(address < 0xffff_fff0);
}

function addRange(ranges: number[], low: number, high: number): void {
  if (!isTombstone(low) && high > low) ranges.push(low, high);
}

export function indexedAddress(index: number, ctx: FormContext, bases: Bases, s: DwarfSections): number {
  const at = bases.addr + index * ctx.addressSize;
  if (!(at <= s.addr.length)) throw new DwarfError(`address index ${index} is outside its section`);
  return new Cursor(s.addr, at, s.addr.length).uint(ctx.addressSize);
}

/** An address-class value, in place or by index. */
export function formAddress(v: FormValue, ctx: FormContext, bases: Bases, s: DwarfSections): number {
  return v.cls === FormClass.AddressIndex ? indexedAddress(v.int, ctx, bases, s) : v.int;
}

/** DWARF 4, section 2.17.3. */
function readRanges(
  offset: number,
  low: number,
  ctx: FormContext,
  s: DwarfSections,
  budget: RangeBudget,
  out: number[],
): void {
  if (!(offset < s.ranges.length))
    throw new DwarfError(`range list 0x${offset.toString(16)} is outside its section`);
  const c = new Cursor(s.ranges, offset, s.ranges.length);
  const selectBase = ctx.addressSize === 4 ? 0xffff_ffff : 2 ** 64;
  let base = low;
  while (budget.entries-- > 0) {
    const from = c.uint(ctx.addressSize);
    const to = c.uint(ctx.addressSize);
    if (from === 0 && to === 0) return;
    if (from === selectBase) base = to;
    // Bounds of a dropped range are tombstones themselves: they must not be moved into code by the base.
    else if (from < 0xffff_fff0) addRange(out, base + from, base + to);
  }
  throw new DwarfError('range lists are longer than their section');
}

const enum Rle {
  EndOfList = 0,
  BaseAddressx = 1,
  StartxEndx = 2,
  StartxLength = 3,
  OffsetPair = 4,
  BaseAddress = 5,
  StartEnd = 6,
  StartLength = 7,
}

/** DWARF 5, section 7.25. */
function readRnglist(
  v: FormValue,
  low: number,
  ctx: FormContext,
  bases: Bases,
  s: DwarfSections,
  budget: RangeBudget,
  out: number[],
): void {
  let offset = v.int;
  if (v.cls === FormClass.RangeListIndex) {
    const at = bases.rnglists + v.int * ctx.offsetSize;
    if (!(at <= s.rnglists.length)) throw new DwarfError(`range list index ${v.int} is outside its section`);
    offset = bases.rnglists + new Cursor(s.rnglists, at, s.rnglists.length).uint(ctx.offsetSize);
  }
  if (!(offset < s.rnglists.length))
    throw new DwarfError(`range list 0x${offset.toString(16)} is outside its section`);
  const c = new Cursor(s.rnglists, offset, s.rnglists.length);
  let base = low;
  while (budget.entries-- > 0) {
    const kind = c.u8();
    switch (kind) {
      case Rle.EndOfList:
        return;
      case Rle.BaseAddressx:
        base = indexedAddress(c.uleb(), ctx, bases, s);
        break;
      case Rle.StartxEndx: {
        const from = indexedAddress(c.uleb(), ctx, bases, s);
        addRange(out, from, indexedAddress(c.uleb(), ctx, bases, s));
        break;
      }
      case Rle.StartxLength: {
        const from = indexedAddress(c.uleb(), ctx, bases, s);
        addRange(out, from, from + c.uleb());
        break;
      }
      case Rle.OffsetPair: {
        const from = base + c.uleb();
        const to = base + c.uleb();
        // Offsets from a dropped base are dropped, even if small.
        if (base < 0xffff_fff0) addRange(out, from, to);
        break;
      }
      case Rle.BaseAddress:
        base = c.uint(ctx.addressSize);
        break;
      case Rle.StartEnd: {
        const from = c.uint(ctx.addressSize);
        addRange(out, from, c.uint(ctx.addressSize));
        break;
      }
      case Rle.StartLength: {
        const from = c.uint(ctx.addressSize);
        addRange(out, from, from + c.uleb());
        break;
      }
      default:
        throw new DwarfError(`unknown range list entry ${kind}`);
    }
  }
  throw new DwarfError('range lists are longer than their section');
}
