/** Unit headers, abbreviations and root DIEs of .debug_info; the address ranges that a unit covers. */
import { Cursor, DwarfError, readUnitLength } from './cursor.ts';
import {
  type DwarfSections,
  FormClass,
  type FormContext,
  type FormValue,
  formString,
  formValue,
  readForm,
} from './forms.ts';

/** One abbreviation: attributes as rows of (attribute, form, implicit constant). */
export interface Abbreviation {
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly attributes: Float64Array;
}

const DW_TAG_compile_unit = 0x11;
const DW_TAG_skeleton_unit = 0x4a;

const enum At {
  Name = 0x03,
  StmtList = 0x10,
  LowPc = 0x11,
  HighPc = 0x12,
  CompDir = 0x1b,
  Ranges = 0x55,
  StrOffsetsBase = 0x72,
  AddrBase = 0x73,
  RnglistsBase = 0x74,
}

const enum UnitType {
  Compile = 1,
  Type = 2,
  Partial = 3,
  Skeleton = 4,
  SplitCompile = 5,
  SplitType = 6,
}

/** No producer writes more; without a bound, units sharing one long list of zero-sized attributes cost quadratic time. */
const MAX_ATTRIBUTES = 1024;

export interface Unit extends FormContext {
  /** Offset of the unit in .debug_info. */
  readonly offset: number;
  readonly end: number;
  readonly name: string;
  readonly compDir: string;
  /** Offset in .debug_line, or -1. */
  readonly lineOffset: number;
  /** Pairs (first address, address behind the last) of the code that was kept; null: the unit does not say. */
  readonly ranges: readonly number[] | null;
}

export class AbbreviationTables {
  private readonly tables = new Map<number, Map<number, Abbreviation>>();
  /** Distinct tables may overlap only in broken input; together they may not be read over more bytes than this. */
  private budget: number;

  constructor(private readonly section: Uint8Array) {
    this.budget = 2 * section.length + 64;
  }

  at(offset: number): Map<number, Abbreviation> {
    const known = this.tables.get(offset);
    if (known !== undefined) return known;
    if (!(offset < this.section.length))
      throw new DwarfError(`abbreviation offset 0x${offset.toString(16)} is outside its section`);
    const c = new Cursor(this.section, offset, Math.min(this.section.length, offset + this.budget));
    const table = new Map<number, Abbreviation>();
    const rows: number[] = [];
    for (;;) {
      const code = c.uleb();
      if (code === 0) break;
      const tag = c.uleb();
      const hasChildren = c.u8() !== 0;
      rows.length = 0;
      for (;;) {
        const attribute = c.uleb();
        const form = c.uleb();
        const implicit = form === 0x21 ? c.sleb() : 0;
        if (attribute === 0 && form === 0) break;
        if (rows.length >= 3 * MAX_ATTRIBUTES)
          throw new DwarfError(`abbreviation ${code} has too many attributes`);
        rows.push(attribute, form, implicit);
      }
      table.set(code, { tag, hasChildren, attributes: Float64Array.from(rows) });
    }
    this.budget -= c.at - offset;
    this.tables.set(offset, table);
    return table;
  }
}

/** Bases that indexed forms of a unit count from. The attributes that set them may follow those that use them. */
interface Bases {
  strOffsets: number;
  addr: number;
  rnglists: number;
}

/**
 * Reads every unit's header and root DIE. A broken unit is reported and passed over; a broken length ends the walk, because the next
 * unit can't be found.
 */
export function readUnits(sections: DwarfSections, warn: (message: string) => void): Unit[] {
  const units: Unit[] = [];
  const abbreviations = new AbbreviationTables(sections.abbrev);
  const budget: RangeBudget = { entries: sections.ranges.length + sections.rnglists.length + 16 };
  const { info } = sections;
  let at = 0;
  while (at < info.length) {
    const offset = at;
    let end: number;
    let offsetSize: 4 | 8;
    let c: Cursor;
    try {
      c = new Cursor(info, offset, info.length);
      ({ end, offsetSize } = readUnitLength(c));
    } catch (e) {
      warn(describe('.debug_info', offset, e));
      break;
    }
    at = end;
    try {
      c.end = end;
      const unit = readUnit(c, offset, offsetSize, sections, abbreviations, budget, warn);
      if (unit !== null) units.push(unit);
    } catch (e) {
      warn(describe('.debug_info', offset, e));
    }
  }
  return units;
}

/** Text of a warning; anything but a DwarfError is a defect and goes on. */
export function describe(section: string, offset: number, e: unknown): string {
  if (!(e instanceof DwarfError)) throw e;
  return `${section}+0x${offset.toString(16)}: ${e.message}`;
}

function readUnit(
  c: Cursor,
  offset: number,
  offsetSize: 4 | 8,
  s: DwarfSections,
  abbreviations: AbbreviationTables,
  budget: RangeBudget,
  warn: (message: string) => void,
): Unit | null {
  const version = c.u16();
  if (version < 2 || version > 5) throw new DwarfError(`DWARF version ${version} is not known`);
  let addressSize: number;
  let abbrevOffset: number;
  if (version >= 5) {
    const type = c.u8();
    addressSize = c.u8();
    abbrevOffset = c.uint(offsetSize);
    if (type === UnitType.Skeleton || type === UnitType.SplitCompile) c.skip(8);
    else if (type === UnitType.Type || type === UnitType.SplitType) return null;
    else if (type !== UnitType.Compile && type !== UnitType.Partial)
      throw new DwarfError(`unknown unit type ${type}`);
  } else {
    abbrevOffset = c.uint(offsetSize);
    addressSize = c.u8();
  }
  if (addressSize !== 4 && addressSize !== 8)
    throw new DwarfError(`address size ${addressSize} is not known`);
  const ctx: FormContext = { version, addressSize, offsetSize };

  const code = c.uleb();
  if (code === 0) return null;
  const abbreviation = abbreviations.at(abbrevOffset).get(code);
  if (abbreviation === undefined) throw new DwarfError(`abbreviation ${code} does not exist`);
  if (abbreviation.tag !== DW_TAG_compile_unit && abbreviation.tag !== DW_TAG_skeleton_unit) return null;

  const root = readRoot(c, abbreviation, ctx);
  // Where a unit has indexed forms but no base attribute, the base is the first unit's table: behind its header.
  const header = offsetSize === 4 ? 8 : 16;
  const bases: Bases = {
    strOffsets: root.strOffsetsBase ?? header,
    addr: root.addrBase ?? header,
    rnglists: root.rnglistsBase ?? header + 4,
  };
  const text = (v: FormValue | null): string => {
    if (v === null) return '';
    try {
      return formString(c, v, s, ctx, bases.strOffsets) ?? '';
    } catch (e) {
      warn(describe('.debug_info', offset, e));
      return '';
    }
  };
  let ranges: number[] | null = null;
  try {
    ranges = unitRanges(root, ctx, bases, s, budget);
  } catch (e) {
    // The line table tells the ranges as well, at the price of decoding it.
    warn(describe('.debug_info', offset, e));
  }
  return {
    ...ctx,
    offset,
    end: c.end,
    name: text(root.name),
    compDir: text(root.compDir),
    lineOffset: root.lineOffset,
    ranges,
  };
}

interface Root {
  name: FormValue | null;
  compDir: FormValue | null;
  lowPc: FormValue | null;
  highPc: FormValue | null;
  ranges: FormValue | null;
  lineOffset: number;
  strOffsetsBase: number | null;
  addrBase: number | null;
  rnglistsBase: number | null;
}

function readRoot(c: Cursor, abbreviation: Abbreviation, ctx: FormContext): Root {
  const root: Root = {
    name: null,
    compDir: null,
    lowPc: null,
    highPc: null,
    ranges: null,
    lineOffset: -1,
    strOffsetsBase: null,
    addrBase: null,
    rnglistsBase: null,
  };
  const rows = abbreviation.attributes;
  const v = formValue();
  for (let i = 0; i < rows.length; i += 3) {
    readForm(c, rows[i + 1], rows[i + 2], ctx, v);
    switch (rows[i]) {
      case At.Name:
        root.name = { ...v };
        break;
      case At.CompDir:
        root.compDir = { ...v };
        break;
      case At.LowPc:
        root.lowPc = { ...v };
        break;
      case At.HighPc:
        root.highPc = { ...v };
        break;
      case At.Ranges:
        root.ranges = { ...v };
        break;
      case At.StmtList:
        root.lineOffset = v.int;
        break;
      case At.StrOffsetsBase:
        root.strOffsetsBase = v.int;
        break;
      case At.AddrBase:
        root.addrBase = v.int;
        break;
      case At.RnglistsBase:
        root.rnglistsBase = v.int;
        break;
    }
  }
  return root;
}

/** Range entries that may still be read: bounds units which share one long list. */
interface RangeBudget {
  entries: number;
}

function unitRanges(
  root: Root,
  ctx: FormContext,
  bases: Bases,
  s: DwarfSections,
  budget: RangeBudget,
): number[] | null {
  const low = root.lowPc === null ? 0 : address(root.lowPc, ctx, bases, s);
  const ranges: number[] = [];
  if (root.ranges !== null) {
    if (ctx.version >= 5) readRnglist(root.ranges, low, ctx, bases, s, budget, ranges);
    else readRanges(root.ranges.int, low, ctx, s, budget, ranges);
  } else if (root.lowPc !== null && root.highPc !== null) {
    const high = root.highPc;
    const end =
      high.cls === FormClass.Constant || high.cls === FormClass.Signed
        ? low + high.int
        : address(high, ctx, bases, s);
    addRange(ranges, low, end);
  } else {
    return null;
  }
  return ranges;
}

/**
 * A range that starts at 0 or in the last bytes of the address space is code that the linker dropped: address 0 is the function count
 * of the code section, never code, and wasm-ld writes -1 or -2 for what is gone.
 */
export function isTombstone(address: number): boolean {
  return address === 0 || !(address < 0xffff_fff0);
}

function addRange(ranges: number[], low: number, high: number): void {
  if (!isTombstone(low) && high > low) ranges.push(low, high);
}

function indexedAddress(index: number, ctx: FormContext, bases: Bases, s: DwarfSections): number {
  const at = bases.addr + index * ctx.addressSize;
  if (!(at <= s.addr.length)) throw new DwarfError(`address index ${index} is outside its section`);
  return new Cursor(s.addr, at, s.addr.length).uint(ctx.addressSize);
}

function address(v: FormValue, ctx: FormContext, bases: Bases, s: DwarfSections): number {
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
