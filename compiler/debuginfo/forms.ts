/**
 * Attribute forms (DWARF 5, section 7.5.6) as data: what class of value each has and how many bytes it takes. Readers
 * of any DIE, of the line table's version 5 headers and of anything to come go through `readForm`.
 */
import { Cursor, DwarfError, stringAt } from './cursor.ts';

export const enum FormClass {
  Address,
  AddressIndex,
  Constant,
  Signed,
  /** Uninterpreted bytes: FormValue.at and .length */
  Block,
  Expression,
  Flag,
  /** Relative to the unit's first byte. */
  UnitReference,
  /** Offset in .debug_info. */
  Reference,
  /** Type signature, or something in another file. */
  ForeignReference,
  /** In place: FormValue.at and .length */
  String,
  StringOffset,
  LineStringOffset,
  StringIndex,
  SectionOffset,
  LocListIndex,
  RangeListIndex,
}

const enum Size {
  /** 1 to 16: that many bytes. */
  Zero = 0,
  Uleb = 20,
  Sleb,
  Offset,
  Address,
  String,
  Block1,
  Block2,
  Block4,
  BlockUleb,
  /** The value stands in the abbreviation. */
  Implicit,
  /** The form itself stands before the value. */
  Indirect,
}

export const DW_FORM = {
  addr: 0x01,
  string: 0x08,
  strp: 0x0e,
  indirect: 0x16,
  implicit_const: 0x21,
  line_strp: 0x1f,
} as const;

const FORM_TABLE: readonly (readonly [form: number, cls: FormClass, size: Size | number])[] = [
  [0x01, FormClass.Address, Size.Address], // addr
  [0x03, FormClass.Block, Size.Block2], // block2
  [0x04, FormClass.Block, Size.Block4], // block4
  [0x05, FormClass.Constant, 2], // data2
  [0x06, FormClass.Constant, 4], // data4
  [0x07, FormClass.Constant, 8], // data8
  [0x08, FormClass.String, Size.String], // string
  [0x09, FormClass.Block, Size.BlockUleb], // block
  [0x0a, FormClass.Block, Size.Block1], // block1
  [0x0b, FormClass.Constant, 1], // data1
  [0x0c, FormClass.Flag, 1], // flag
  [0x0d, FormClass.Signed, Size.Sleb], // sdata
  [0x0e, FormClass.StringOffset, Size.Offset], // strp
  [0x0f, FormClass.Constant, Size.Uleb], // udata
  [0x10, FormClass.Reference, Size.Offset], // ref_addr (an address in version 2)
  [0x11, FormClass.UnitReference, 1], // ref1
  [0x12, FormClass.UnitReference, 2], // ref2
  [0x13, FormClass.UnitReference, 4], // ref4
  [0x14, FormClass.UnitReference, 8], // ref8
  [0x15, FormClass.UnitReference, Size.Uleb], // ref_udata
  [0x16, FormClass.Constant, Size.Indirect], // indirect
  [0x17, FormClass.SectionOffset, Size.Offset], // sec_offset
  [0x18, FormClass.Expression, Size.BlockUleb], // exprloc
  [0x19, FormClass.Flag, Size.Zero], // flag_present
  [0x1a, FormClass.StringIndex, Size.Uleb], // strx
  [0x1b, FormClass.AddressIndex, Size.Uleb], // addrx
  [0x1c, FormClass.ForeignReference, 4], // ref_sup4
  [0x1d, FormClass.ForeignReference, Size.Offset], // strp_sup
  [0x1e, FormClass.Block, 16], // data16
  [0x1f, FormClass.LineStringOffset, Size.Offset], // line_strp
  [0x20, FormClass.ForeignReference, 8], // ref_sig8
  [0x21, FormClass.Signed, Size.Implicit], // implicit_const
  [0x22, FormClass.LocListIndex, Size.Uleb], // loclistx
  [0x23, FormClass.RangeListIndex, Size.Uleb], // rnglistx
  [0x24, FormClass.ForeignReference, 8], // ref_sup8
  [0x25, FormClass.StringIndex, 1], // strx1
  [0x26, FormClass.StringIndex, 2], // strx2
  [0x27, FormClass.StringIndex, 3], // strx3
  [0x28, FormClass.StringIndex, 4], // strx4
  [0x29, FormClass.AddressIndex, 1], // addrx1
  [0x2a, FormClass.AddressIndex, 2], // addrx2
  [0x2b, FormClass.AddressIndex, 3], // addrx3
  [0x2c, FormClass.AddressIndex, 4], // addrx4
];

const FORM_LIMIT = 0x2d;
const CLASS = new Int8Array(FORM_LIMIT).fill(-1);
const SIZE = new Uint8Array(FORM_LIMIT);
for (const [form, cls, size] of FORM_TABLE) {
  CLASS[form] = cls;
  SIZE[form] = size;
}

/** Sizes of values that the form alone does not tell. */
export const enum ReferenceSize {
  Address = -1,
  Offset = -2,
  Varies = -3,
}

/** Bytes of a value of this form, or why they aren't known. */
export function fixedFormSize(form: number): number {
  if (!(form < FORM_LIMIT) || CLASS[form] < 0) return ReferenceSize.Varies;
  const size = SIZE[form];
  if (size <= 16) return size;
  switch (size) {
    case Size.Implicit:
      return 0;
    case Size.Address:
      return ReferenceSize.Address;
    case Size.Offset:
      // An address in version 2: not worth a case of its own.
      return form === 0x10 ? ReferenceSize.Varies : ReferenceSize.Offset;
    default:
      return ReferenceSize.Varies;
  }
}

/** Facts of a unit (or line table) that the size of a form depends on. */
export interface FormContext {
  readonly version: number;
  readonly addressSize: number;
  readonly offsetSize: 4 | 8;
}

/** Scratch that `readForm` fills: no allocation for each attribute. */
export interface FormValue {
  cls: FormClass;
  /** Number, offset or index. */
  int: number;
  /** Bytes of a string (without its zero) or block, in the section that is read. */
  at: number;
  length: number;
}

export function formValue(): FormValue {
  return { cls: FormClass.Constant, int: 0, at: 0, length: 0 };
}

/** Reads, or skips over, one attribute value. `implicit`: the constant in the abbreviation. */
export function readForm(c: Cursor, form: number, implicit: number, ctx: FormContext, out: FormValue): void {
  let f = form;
  // An indirect form that names `indirect` again is not valid: it could repeat without end.
  if (f === DW_FORM.indirect) {
    f = c.uleb();
    if (f === DW_FORM.indirect || f === DW_FORM.implicit_const) throw new DwarfError('nested indirect form');
  }
  if (!(f < FORM_LIMIT) || CLASS[f] < 0) throw new DwarfError(`unknown form 0x${f.toString(16)}`);
  out.cls = CLASS[f];
  out.at = c.at;
  const size = SIZE[f];
  switch (size) {
    case Size.Zero:
      out.int = 1;
      out.length = 0;
      return;
    case Size.Uleb:
      out.int = c.uleb();
      break;
    case Size.Sleb:
      out.int = c.sleb();
      break;
    case Size.Offset:
      out.int = f === 0x10 && ctx.version <= 2 ? c.uint(ctx.addressSize) : c.uint(ctx.offsetSize);
      break;
    case Size.Address:
      out.int = c.uint(ctx.addressSize);
      break;
    case Size.String:
      out.length = c.skipString();
      return;
    case Size.Block1:
      block(c, c.u8(), out);
      return;
    case Size.Block2:
      block(c, c.u16(), out);
      return;
    case Size.Block4:
      block(c, c.u32(), out);
      return;
    case Size.BlockUleb:
      block(c, c.uleb(), out);
      return;
    case Size.Implicit:
      out.int = implicit;
      out.length = 0;
      return;
    case 16:
      block(c, 16, out);
      return;
    default:
      out.int = c.uint(size);
      break;
  }
  out.length = c.at - out.at;
}

function block(c: Cursor, length: number, out: FormValue): void {
  out.at = c.at;
  out.length = length;
  c.skip(length);
}

/** The debug sections of a module, by name without the leading `.debug_`; an absent one is empty. */
export interface DwarfSections {
  readonly info: Uint8Array;
  readonly abbrev: Uint8Array;
  readonly line: Uint8Array;
  readonly str: Uint8Array;
  readonly lineStr: Uint8Array;
  readonly strOffsets: Uint8Array;
  readonly addr: Uint8Array;
  readonly ranges: Uint8Array;
  readonly rnglists: Uint8Array;
  readonly loc: Uint8Array;
  readonly loclists: Uint8Array;
}

/** The debug sections among a module's custom sections, by name with the leading dot. */
export function dwarfSections(sections: ReadonlyMap<string, Uint8Array>): DwarfSections {
  const empty = new Uint8Array(0);
  const get = (name: string): Uint8Array => sections.get(`.debug_${name}`) ?? empty;
  return {
    info: get('info'),
    abbrev: get('abbrev'),
    line: get('line'),
    str: get('str'),
    lineStr: get('line_str'),
    strOffsets: get('str_offsets'),
    addr: get('addr'),
    ranges: get('ranges'),
    rnglists: get('rnglists'),
    loc: get('loc'),
    loclists: get('loclists'),
  };
}

const decoder = new TextDecoder();

/**
 * The text of a string-class value that `c` was just used to read; null for a class that is no string (or lies in
 * another file).
 */
export function formString(
  c: Cursor,
  v: FormValue,
  s: DwarfSections,
  ctx: FormContext,
  strOffsetsBase: number,
): string | null {
  switch (v.cls) {
    case FormClass.String:
      return decoder.decode(c.bytes.subarray(v.at, v.at + v.length));
    case FormClass.StringOffset:
      return stringAt(s.str, v.int);
    case FormClass.LineStringOffset:
      return stringAt(s.lineStr, v.int);
    case FormClass.StringIndex: {
      const at = strOffsetsBase + v.int * ctx.offsetSize;
      if (!(at <= s.strOffsets.length)) throw new DwarfError(`string index ${v.int} is outside its section`);
      return stringAt(s.str, new Cursor(s.strOffsets, at, s.strOffsets.length).uint(ctx.offsetSize));
    }
    default:
      return null;
  }
}
