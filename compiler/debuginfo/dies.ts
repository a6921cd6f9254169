/**
 * Debugging information entries (DIEs). A unit's tree is read whole when something in it is asked for, as four integers
 * for each entry; attributes are decoded from the section when they are wanted. An entry takes at least one byte, so
 * damaged input can't make more of them than it has.
 */
import type { Abbreviation } from './abbreviations.ts';
import { At, Tag } from './constants.ts';
import { Cursor, DwarfError, stringAt } from './cursor.ts';
import { type DwarfSections, FormClass, type FormValue, formString, formValue, readForm } from './forms.ts';
import { signatureText, type Unit } from './units.ts';

/** References that are followed from one entry (abstract origins, specifications, typedefs): more are a cycle. */
export const MAX_HOPS = 32;

class IntList {
  private items = new Int32Array(64);
  length = 0;

  push(v: number): void {
    if (this.length === this.items.length) {
      const grown = new Int32Array(2 * this.length);
      grown.set(this.items);
      this.items = grown;
    }
    this.items[this.length++] = v;
  }

  done(): Int32Array {
    return this.items.slice(0, this.length);
  }
}

/** One unit's entries, in the order of the file: index 0 is the root, children follow their parent. */
export class DieTree {
  /** Offsets in .debug_info, ascending. */
  readonly offsets: Int32Array;
  readonly parents: Int32Array;
  /** Index of the first entry behind an entry's descendants. */
  readonly ends: Int32Array;
  private readonly codes: Int32Array;

  constructor(
    readonly unit: Unit,
    private readonly sections: DwarfSections,
    warn: (message: string) => void,
  ) {
    const offsets = new IntList();
    const parents = new IntList();
    const codes = new IntList();
    const ends: number[] = [];
    const c = new Cursor(sections.info, unit.root, unit.end);
    const v = formValue();
    const open: number[] = [];
    try {
      while (c.at < c.end) {
        const offset = c.at;
        const code = c.uleb();
        if (code === 0) {
          const closed = open.pop();
          if (closed === undefined) break;
          ends[closed] = offsets.length;
          if (open.length === 0) break;
          continue;
        }
        const abbreviation = unit.abbreviations.get(code);
        if (abbreviation === undefined)
          throw new DwarfError(`abbreviation ${code} at 0x${offset.toString(16)} does not exist`);
        const size = abbreviation.size(unit);
        if (size >= 0) c.skip(size);
        else {
          const rows = abbreviation.attributes;
          for (let i = 0; i < rows.length; i += 3) readForm(c, rows[i + 1], rows[i + 2], unit, v);
        }
        const index = offsets.length;
        offsets.push(offset);
        parents.push(open.length === 0 ? -1 : open[open.length - 1]);
        codes.push(code);
        ends.push(index + 1);
        if (abbreviation.hasChildren) open.push(index);
        else if (open.length === 0) break;
      }
    } catch (e) {
      if (!(e instanceof DwarfError)) throw e;
      // What was read so far is whole: it is used.
      warn(`.debug_info+0x${unit.offset.toString(16)}: ${e.message}`);
    }
    for (const index of open) ends[index] = offsets.length;
    this.offsets = offsets.done();
    this.parents = parents.done();
    this.codes = codes.done();
    this.ends = Int32Array.from(ends);
  }

  get length(): number {
    return this.offsets.length;
  }

  private abbreviation(index: number): Abbreviation {
    return this.unit.abbreviations.get(this.codes[index])!;
  }

  tag(index: number): number {
    return this.abbreviation(index).tag;
  }

  /** Index of the entry at an offset of .debug_info, or -1. */
  indexAt(offset: number): number {
    let lo = 0;
    let hi = this.offsets.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.offsets[mid] < offset) lo = mid + 1;
      else hi = mid;
    }
    return this.offsets[lo] === offset ? lo : -1;
  }

  *children(index: number): Generator<number> {
    for (let k = index + 1; k < this.ends[index]; k = this.ends[k]) yield k;
  }

  /** Reads an attribute into `out`; false: the entry has none of that name. */
  find(index: number, attribute: number, out: FormValue): boolean {
    const rows = this.abbreviation(index).attributes;
    let last = -1;
    for (let i = 0; i < rows.length; i += 3) {
      if (rows[i] === attribute) {
        last = i;
        break;
      }
    }
    if (last < 0) return false;
    const c = new Cursor(this.sections.info, this.offsets[index], this.unit.end);
    c.uleb();
    for (let i = 0; i <= last; i += 3) readForm(c, rows[i + 1], rows[i + 2], this.unit, out);
    return true;
  }
}

/** One entry. Compare with `same`: there may be several objects for one entry. */
export class Die {
  constructor(
    readonly dies: Dies,
    readonly tree: DieTree,
    readonly index: number,
  ) {}

  get tag(): Tag {
    return this.tree.tag(this.index);
  }

  /** In .debug_info: identifies the entry. */
  get offset(): number {
    return this.tree.offsets[this.index];
  }

  get unit(): Unit {
    return this.tree.unit;
  }

  get parent(): Die | null {
    const p = this.tree.parents[this.index];
    return p < 0 ? null : new Die(this.dies, this.tree, p);
  }

  *children(): Generator<Die> {
    for (const k of this.tree.children(this.index)) yield new Die(this.dies, this.tree, k);
  }

  /** null: no such attribute, or a broken one. */
  attribute(name: At): FormValue | null {
    const v = formValue();
    return this.tree.find(this.index, name, v) ? v : null;
  }

  /** An attribute of the entry or of what it is an instance or a completion of. */
  inherited(name: At): FormValue | null {
    let die: Die | null = this;
    for (let hops = 0; die !== null && hops < MAX_HOPS; hops++) {
      const v = die.attribute(name);
      if (v !== null) return v;
      die = die.origin();
    }
    return null;
  }

  /** What it is an instance of (abstract origin), or completes (specification). */
  origin(): Die | null {
    return this.reference(At.AbstractOrigin) ?? this.reference(At.Specification);
  }

  reference(name: At): Die | null {
    const v = this.attribute(name);
    return v === null ? null : this.dies.resolve(this, v);
  }

  /** The type it refers to, itself or through its origin; null: void, or unknown. */
  type(): Die | null {
    let die: Die | null = this;
    for (let hops = 0; die !== null && hops < MAX_HOPS; hops++) {
      const found = die.reference(At.Type);
      if (found !== null) return found;
      die = die.origin();
    }
    return null;
  }

  flag(name: At): boolean {
    const v = this.attribute(name);
    return v !== null && v.int !== 0;
  }

  /** A constant attribute; `absent` without one, or when it is no number. */
  number(name: At, absent: number): number {
    const v = this.attribute(name);
    return v !== null && (v.cls === FormClass.Constant || v.cls === FormClass.Signed) ? v.int : absent;
  }

  text(name: At): string {
    const v = this.attribute(name);
    return v === null ? '' : this.dies.text(this.unit, v);
  }

  /** Its name or its origin's; '' without one. */
  get name(): string {
    const v = this.inherited(At.Name);
    // The string's offset may be relative to another unit, but string sections are shared.
    return v === null ? '' : this.dies.text(this.unit, v);
  }

  /** The name with those of the namespaces and types around it, as C++ and Rust write it. */
  get qualifiedName(): string {
    let die: Die = this;
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      const origin = die.origin();
      if (origin === null) break;
      die = origin;
    }
    const parts: string[] = [];
    for (let p: Die | null = die; p !== null && parts.length < MAX_HOPS; p = p.parent) {
      if (p !== die && !QUALIFIERS.has(p.tag)) break;
      const name = p.text(At.Name);
      if (name !== '') parts.unshift(name);
      else if (p.tag === Tag.Namespace) parts.unshift('(anonymous namespace)');
    }
    return parts.join('::');
  }
}

const QUALIFIERS: ReadonlySet<number> = new Set([
  Tag.Namespace,
  Tag.StructureType,
  Tag.ClassType,
  Tag.UnionType,
  Tag.EnumerationType,
]);

/** All entries of a module. */
export class Dies {
  private readonly trees = new Map<Unit, DieTree>();
  private readonly byOffset: readonly Unit[];
  private signatures: Map<string, Unit> | null = null;

  constructor(
    readonly units: readonly Unit[],
    readonly sections: DwarfSections,
    readonly warn: (message: string) => void,
  ) {
    this.byOffset = [...units].sort((a, b) => a.offset - b.offset);
  }

  tree(unit: Unit): DieTree {
    let tree = this.trees.get(unit);
    if (tree === undefined) this.trees.set(unit, (tree = new DieTree(unit, this.sections, this.warn)));
    return tree;
  }

  root(unit: Unit): Die | null {
    const tree = this.tree(unit);
    return tree.length === 0 ? null : new Die(this, tree, 0);
  }

  at(tree: DieTree, index: number): Die {
    return new Die(this, tree, index);
  }

  resolve(from: Die, v: FormValue): Die | null {
    switch (v.cls) {
      case FormClass.UnitReference:
        return this.entryAt(from.unit, from.unit.offset + v.int);
      case FormClass.Reference:
        return this.entryAtOffset(v.int);
      case FormClass.ForeignReference: {
        if (v.length !== 8) return null;
        this.signatures ??= new Map(this.units.filter(u => u.typeEntry >= 0).map(u => [u.signature, u]));
        const unit = this.signatures.get(signatureText(this.sections.info.subarray(v.at, v.at + 8)));
        return unit === undefined ? null : this.entryAt(unit, unit.typeEntry);
      }
      default:
        return null;
    }
  }

  /** The entry at an offset of .debug_info; null: there is none. */
  entryAtOffset(offset: number): Die | null {
    const { byOffset } = this;
    let lo = 0;
    let hi = byOffset.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (byOffset[mid].offset <= offset) lo = mid + 1;
      else hi = mid;
    }
    return lo === 0 ? null : this.entryAt(byOffset[lo - 1], offset);
  }

  private entryAt(unit: Unit, offset: number): Die | null {
    const tree = this.tree(unit);
    const index = tree.indexAt(offset);
    return index < 0 ? null : new Die(this, tree, index);
  }

  text(unit: Unit, v: FormValue): string {
    try {
      if (v.cls === FormClass.StringOffset) return stringAt(this.sections.str, v.int);
      const c = new Cursor(this.sections.info, unit.root, unit.end);
      return formString(c, v, this.sections, unit, unit.bases.strOffsets) ?? '';
    } catch (e) {
      if (!(e instanceof DwarfError)) throw e;
      this.warn(`.debug_info+0x${unit.offset.toString(16)}: ${e.message}`);
      return '';
    }
  }
}
