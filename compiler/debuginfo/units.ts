/** Unit headers and root entries of .debug_info. */
import { type Abbreviation, AbbreviationTables } from './abbreviations.ts';
import { At, Tag } from './constants.ts';
import { Cursor, DwarfError, readUnitLength } from './cursor.ts';
import {
  type DwarfSections,
  type FormContext,
  type FormValue,
  formString,
  formValue,
  readForm,
} from './forms.ts';
import { type Bases, entryRanges, formAddress, type RangeBudget } from './ranges.ts';

const enum UnitType {
  Compile = 1,
  Type = 2,
  Partial = 3,
  Skeleton = 4,
  SplitCompile = 5,
  SplitType = 6,
}

export interface Unit extends FormContext {
  /** Offset of the unit in .debug_info. */
  readonly offset: number;
  readonly end: number;
  /** Offset of its root entry. */
  readonly root: number;
  readonly abbreviations: ReadonlyMap<number, Abbreviation>;
  readonly bases: Bases;
  readonly name: string;
  readonly compDir: string;
  readonly producer: string;
  /** DW_LANG, or 0. */
  readonly language: number;
  /** Offset in .debug_line, or -1. */
  readonly lineOffset: number;
  /** What range and location lists count from. */
  readonly lowPc: number;
  /** Pairs (first address, address behind the last) of the code that was kept; null: the unit does not say. */
  readonly ranges: readonly number[] | null;
  /** Type unit: offset of the type's entry; otherwise -1. */
  readonly typeEntry: number;
  /** Type unit: the signature, as hex digits. */
  readonly signature: string;
  /** Skeleton: the file with the rest; '' for others. */
  readonly dwoName: string;
}

/**
 * Reads every unit's header and root DIE. A broken unit is reported and passed over; a broken length ends the walk,
 * because the next unit can't be found.
 */
export function readUnits(
  sections: DwarfSections,
  budget: RangeBudget,
  warn: (message: string) => void,
): Unit[] {
  const units: Unit[] = [];
  const abbreviations = new AbbreviationTables(sections.abbrev);
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

/** Text of a warning. Anything but a DwarfError is a defect of ours, and is thrown on. */
export function describe(section: string, offset: number, e: unknown): string {
  if (!(e instanceof DwarfError)) throw e;
  return `${section}+0x${offset.toString(16)}: ${e.message}`;
}

/** What stands before a unit's root entry. */
interface UnitHeader extends FormContext {
  readonly abbrevOffset: number;
  /** Type unit: offset of the type's entry, and the signature; otherwise -1 and ''. */
  readonly typeEntry: number;
  readonly signature: string;
}

/** DWARF 5, section 7.5.1; up to version 4 the fields came in another order, and all units were compilation units. */
function readUnitHeader(c: Cursor, offset: number, offsetSize: 4 | 8): UnitHeader {
  const version = c.u16();
  if (version < 2 || version > 5) throw new DwarfError(`DWARF version ${version} is not known`);
  let addressSize: number;
  let abbrevOffset: number;
  let typeEntry = -1;
  let signature = '';
  if (version >= 5) {
    const type = c.u8();
    addressSize = c.u8();
    abbrevOffset = c.uint(offsetSize);
    if (type === UnitType.Skeleton || type === UnitType.SplitCompile) c.skip(8);
    else if (type === UnitType.Type || type === UnitType.SplitType) {
      signature = signatureText(c.bytes.subarray(c.at, c.at + 8));
      c.skip(8);
      typeEntry = offset + c.uint(offsetSize);
    } else if (type !== UnitType.Compile && type !== UnitType.Partial)
      throw new DwarfError(`unknown unit type ${type}`);
  } else {
    abbrevOffset = c.uint(offsetSize);
    addressSize = c.u8();
  }
  if (addressSize !== 4 && addressSize !== 8)
    throw new DwarfError(`address size ${addressSize} is not known`);
  return { version, addressSize, offsetSize, abbrevOffset, typeEntry, signature };
}

/** null: the unit is empty, or its root is no unit's entry. */
function readUnit(
  c: Cursor,
  offset: number,
  offsetSize: 4 | 8,
  s: DwarfSections,
  abbreviations: AbbreviationTables,
  budget: RangeBudget,
  warn: (message: string) => void,
): Unit | null {
  const { abbrevOffset, typeEntry, signature, ...ctx } = readUnitHeader(c, offset, offsetSize);

  const start = c.at;
  const code = c.uleb();
  if (code === 0) return null;
  const table = abbreviations.at(abbrevOffset);
  const abbreviation = table.get(code);
  if (abbreviation === undefined) throw new DwarfError(`abbreviation ${code} does not exist`);
  const { tag } = abbreviation;
  if (tag !== Tag.CompileUnit && tag !== Tag.SkeletonUnit && tag !== Tag.PartialUnit && tag !== Tag.TypeUnit)
    return null;

  const root = readRoot(c, abbreviation, ctx);
  // Where a unit has indexed forms but no base attribute, the base is the first unit's table: behind its header.
  const header = offsetSize === 4 ? 8 : 16;
  const bases: Bases = {
    strOffsets: root.strOffsetsBase ?? header,
    addr: root.addrBase ?? header,
    rnglists: root.rnglistsBase ?? header + 4,
    loclists: root.loclistsBase ?? header + 4,
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
  let lowPc = 0;
  try {
    if (root.lowPc !== null) lowPc = formAddress(root.lowPc, ctx, bases, s);
    ranges = typeEntry >= 0 ? [] : entryRanges(root, lowPc, ctx, bases, s, budget);
  } catch (e) {
    // The line table tells the ranges as well, at the price of decoding it.
    warn(describe('.debug_info', offset, e));
  }
  return {
    ...ctx,
    offset,
    end: c.end,
    root: start,
    abbreviations: table,
    bases,
    name: text(root.name),
    compDir: text(root.compDir),
    producer: text(root.producer),
    language: root.language,
    lineOffset: root.lineOffset,
    lowPc,
    ranges,
    typeEntry,
    signature,
    dwoName: text(root.dwoName),
  };
}

interface Root {
  name: FormValue | null;
  compDir: FormValue | null;
  producer: FormValue | null;
  dwoName: FormValue | null;
  lowPc: FormValue | null;
  highPc: FormValue | null;
  ranges: FormValue | null;
  language: number;
  lineOffset: number;
  strOffsetsBase: number | null;
  addrBase: number | null;
  rnglistsBase: number | null;
  loclistsBase: number | null;
}

/** A type's signature as it stands in the bytes of a reference to it. */
export function signatureText(bytes: Uint8Array): string {
  return Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('');
}

function readRoot(c: Cursor, abbreviation: Abbreviation, ctx: FormContext): Root {
  const root: Root = {
    name: null,
    compDir: null,
    producer: null,
    dwoName: null,
    language: 0,
    lowPc: null,
    highPc: null,
    ranges: null,
    lineOffset: -1,
    strOffsetsBase: null,
    addrBase: null,
    rnglistsBase: null,
    loclistsBase: null,
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
      case At.Producer:
        root.producer = { ...v };
        break;
      case At.DwoName:
      case At.GnuDwoName:
        root.dwoName = { ...v };
        break;
      case At.Language:
        root.language = v.int;
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
      case At.Loclists:
        root.loclistsBase = v.int;
        break;
    }
  }
  return root;
}
