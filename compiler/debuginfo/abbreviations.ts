/** Abbreviation tables (.debug_abbrev): the shape of each kind of entry in .debug_info. */
import { Cursor, DwarfError } from './cursor.ts';
import { DW_FORM, type FormContext, fixedFormSize, ReferenceSize } from './forms.ts';

/**
 * No producer writes more; without a bound, units sharing one long list of zero-sized attributes cost quadratic time.
 */
const MAX_ATTRIBUTES = 1024;

/** One abbreviation: attributes as rows of (attribute, form, implicit constant). */
export class Abbreviation {
  /**
   * Bytes of an entry's values that don't depend on the unit, and how many addresses and offsets come on top; -1: they
   * vary.
   */
  private readonly fixed: number;
  private addresses = 0;
  private offsets = 0;

  constructor(
    readonly tag: number,
    readonly hasChildren: boolean,
    readonly attributes: Float64Array,
  ) {
    let fixed = 0;
    for (let i = 0; i < attributes.length; i += 3) {
      const size = fixedFormSize(attributes[i + 1]);
      if (size === ReferenceSize.Varies) {
        fixed = -1;
        break;
      }
      if (size === ReferenceSize.Address) this.addresses++;
      else if (size === ReferenceSize.Offset) this.offsets++;
      else fixed += size;
    }
    this.fixed = fixed;
  }

  /** Bytes that the values of an entry take, or -1 when they have to be read to know. */
  size(ctx: FormContext): number {
    return this.fixed < 0
      ? -1
      : this.fixed + this.addresses * ctx.addressSize + this.offsets * ctx.offsetSize;
  }
}

export class AbbreviationTables {
  private readonly tables = new Map<number, ReadonlyMap<number, Abbreviation>>();
  /** Distinct tables overlap only in broken input, so all of them together may not span more bytes than this. */
  private budget: number;

  constructor(private readonly section: Uint8Array) {
    this.budget = 2 * section.length + 64;
  }

  /** @throws DwarfError */
  at(offset: number): ReadonlyMap<number, Abbreviation> {
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
        const implicit = form === DW_FORM.implicit_const ? c.sleb() : 0;
        if (attribute === 0 && form === 0) break;
        if (rows.length >= 3 * MAX_ATTRIBUTES)
          throw new DwarfError(`abbreviation ${code} has too many attributes`);
        rows.push(attribute, form, implicit);
      }
      table.set(code, new Abbreviation(tag, hasChildren, Float64Array.from(rows)));
    }
    this.budget -= c.at - offset;
    this.tables.set(offset, table);
    return table;
  }
}
