/**
 * What a module's debug information tells: DWARF 4 and 5 as compilers put it into custom sections.
 *
 * Nothing is parsed when it is opened. The first look-up reads each unit's root entry, to learn which unit covers which
 * code; a unit's line table, and its tree of entries, are decoded when something in it is asked for. Broken information
 * never throws: what is wrong becomes a warning and the rest is used.
 */
import { type Claim, claimAt, disjoint, type LazyTable } from './claims.ts';
import { DwarfError } from './cursor.ts';
import { type Die, Dies } from './dies.ts';
import type { FrameReader, Place } from './expressions.ts';
import { type DwarfSections, dwarfSections } from './forms.ts';
import {
  COLUMN_MASK,
  type LineTable,
  lineTableEnd,
  Row,
  RowFlag,
  readLineFiles,
  readLineTable,
} from './lines.ts';
import type { RangeBudget } from './ranges.ts';
import { type Scope, Scopes, type Variable } from './scopes.ts';
import type { Type } from './types.ts';
import { describe, readUnits, type Unit } from './units.ts';

export type { FrameReader, Place } from './expressions.ts';
export type { Variable } from './scopes.ts';
export { Type } from './types.ts';

export interface SourceLocation {
  /** As the compiler recorded it: absolute, or relative to an unknown directory. */
  readonly file: string;
  /** From 1; 0: code of this file that belongs to no line. */
  readonly line: number;
  /** From 1, in bytes; 0: the whole line. */
  readonly column: number;
}

/** A function whose code an address belongs to: the real one, or one that was inlined there. */
export interface Call {
  /** Qualified by its namespaces and types; without parameters. */
  readonly name: string;
  /** Mangled; '' where that is the same. */
  readonly linkageName: string;
  readonly isInlined: boolean;
  readonly source: SourceLocation | null;
  /** For `DebugInfo.variables`; null: nothing but the line is known. */
  readonly scope: Scope | null;
}

/** A place where a line begins: where a breakpoint on it goes. */
export interface LinePosition {
  readonly line: number;
  readonly column: number;
  /** From the first byte of the code section's contents. */
  readonly codeOffset: number;
}

/** All code offsets count from the first byte of the code section's contents, as DWARF addresses of wasm do. */
export interface DebugInfo {
  lookup(codeOffset: number): SourceLocation | null;
  /**
   * Functions that the code belongs to, innermost first: inlined calls, then the function itself. Empty: nothing is
   * known.
   */
  calls(codeOffset: number): readonly Call[];
  /** Variables in scope there, outermost block first: an inner one hides an outer one of its name. */
  variables(call: Call): readonly Variable[];
  /** Variables outside of functions, of the unit that the code belongs to. */
  statics(codeOffset: number): readonly Variable[];
  /** @param call null: of a variable outside of functions */
  locate(variable: Variable, call: Call | null, codeOffset: number, frame: FrameReader): Place;
  /** Paths of all files that code comes from, as the compiler recorded them. */
  readonly files: readonly string[];
  /** Statements of a file (one of `files`), by line, then code offset. */
  positions(file: string): readonly LinePosition[];
  /** Where the body of the function that starts at, or contains, an offset begins: behind its prologue. */
  bodyStart(codeOffset: number): number;
  /** A variable that an entry refers to (as an array may for its length), and where it is: what `Values` asks for. */
  referred(die: Die, call: Call | null, codeOffset: number, frame: FrameReader): { type: Type; place: Place };
  /** What a Rust table of functions of a trait is for, by its address; null: not known. */
  implementor(vtable: number): Type | null;
  /** By qualified name. */
  typeNamed(name: string): Type | null;
  /** Code offsets where a function was inlined, by its name or qualified name. */
  inlinedCalls(name: string): readonly number[];
  /** DW_LANG of the code's unit; 0: not known. */
  language(codeOffset: number): number;
  /** What was found broken so far, at most MAX_WARNINGS of them. */
  readonly warnings: readonly string[];
}

const MAX_WARNINGS = 100;

/**
 * @param sections custom sections by name, with the leading dot (`.debug_line`, …); others are ignored, all may be
 * absent
 */
export function openDebugInfo(sections: ReadonlyMap<string, Uint8Array>): DebugInfo {
  return new Dwarf(dwarfSections(sections));
}

class Dwarf implements DebugInfo {
  readonly warnings: string[] = [];
  /** Disjoint and ascending. */
  private claims: Claim[] | null = null;
  private tables: readonly LazyTable[] = [];
  private units: readonly Unit[] = [];
  private scopesOrNull: Scopes | null = null;
  private filesOrNull: ReadonlyMap<string, readonly LazyTable[]> | null = null;
  /** Line tables overlap only in broken input, so all of them together may not be longer than this. */
  private budget: number;
  private readonly rangeBudget: RangeBudget;

  constructor(private readonly sections: DwarfSections) {
    this.budget = 2 * sections.line.length;
    // Units, functions, blocks: each may be asked for more than once.
    this.rangeBudget = { entries: 4 * (sections.ranges.length + sections.rnglists.length) + 1_000_000 };
  }

  private readonly warn = (message: string): void => {
    if (this.warnings.length < MAX_WARNINGS) this.warnings.push(message);
  };

  private claimAt(codeOffset: number): Claim | null {
    return claimAt((this.claims ??= this.index()), codeOffset);
  }

  private get scopes(): Scopes {
    this.claims ??= this.index();
    return (this.scopesOrNull ??= new Scopes(
      new Dies(this.units, this.sections, this.warn),
      this.rangeBudget,
    ));
  }

  lookup(codeOffset: number): SourceLocation | null {
    const claim = this.claimAt(codeOffset);
    const table = claim === null ? null : this.load(claim.table);
    const row = table === null ? -1 : table.find(codeOffset);
    if (table === null || row < 0) return null;
    const at = row * Row.Size;
    return {
      file: table.file(table.rows[at + Row.File]),
      line: table.rows[at + Row.Line] >>> 0,
      column: table.rows[at + Row.Column] & COLUMN_MASK,
    };
  }

  calls(codeOffset: number): readonly Call[] {
    let source = this.lookup(codeOffset);
    const claim = this.claimAt(codeOffset);
    if (claim === null || claim.table.unit === null) return [];
    const scopes = this.scopes.at(claim.table.unit, codeOffset);
    const table = this.load(claim.table);
    return scopes.map(scope => {
      const call: Call = {
        name: scope.name,
        linkageName: scope.linkageName,
        isInlined: scope.isInlined,
        source,
        scope,
      };
      if (scope.call !== null) {
        const { file, line, column } = scope.call;
        source = { file: table?.file(file) ?? '', line, column };
      }
      return call;
    });
  }

  variables(call: Call): readonly Variable[] {
    return call.scope === null ? [] : this.scopes.variables(call.scope);
  }

  statics(codeOffset: number): readonly Variable[] {
    const unit = this.claimAt(codeOffset)?.table.unit ?? null;
    return unit === null ? [] : this.scopes.statics(unit);
  }

  locate(variable: Variable, call: Call | null, codeOffset: number, frame: FrameReader): Place {
    return this.scopes.locate(variable, call?.scope ?? null, codeOffset, frame);
  }

  referred(
    die: Die,
    call: Call | null,
    codeOffset: number,
    frame: FrameReader,
  ): { type: Type; place: Place } {
    const variable = this.scopes.referred(die);
    return { type: variable.type, place: this.locate(variable, call, codeOffset, frame) };
  }

  implementor(vtable: number): Type | null {
    return this.scopes.implementor(vtable);
  }

  typeNamed(name: string): Type | null {
    return this.scopes.types.named(name);
  }

  inlinedCalls(name: string): readonly number[] {
    return this.scopes.inlinedCalls(name);
  }

  language(codeOffset: number): number {
    return this.claimAt(codeOffset)?.table.unit?.language ?? 0;
  }

  private get fileTables(): ReadonlyMap<string, readonly LazyTable[]> {
    if (this.filesOrNull !== null) return this.filesOrNull;
    this.claims ??= this.index();
    const files = new Map<string, LazyTable[]>();
    for (const lazy of this.tables) {
      try {
        const { compDir } = lazy.unit ?? { compDir: '' };
        for (const file of new Set(readLineFiles(this.sections, lazy.offset, compDir, this.strOffsetsBase))) {
          const known = files.get(file);
          if (known === undefined) files.set(file, [lazy]);
          else known.push(lazy);
        }
      } catch (e) {
        this.warn(describe('.debug_line', lazy.offset, e));
      }
    }
    return (this.filesOrNull = files);
  }

  get files(): readonly string[] {
    return [...this.fileTables.keys()];
  }

  positions(file: string): readonly LinePosition[] {
    const found: LinePosition[] = [];
    for (const lazy of this.fileTables.get(file) ?? []) {
      const table = this.load(lazy);
      if (table === null) continue;
      const { rows, sequences } = table;
      for (let s = 0; s < sequences.length; s += 2) {
        for (let row = sequences[s]; row < sequences[s + 1]; row++) {
          const at = row * Row.Size;
          const column = rows[at + Row.Column];
          // Of several rows with one address the last one counts; code of another unit's copy isn't this table's.
          if ((column & RowFlag.IsStmt) === 0 || table.address(row + 1) === table.address(row)) continue;
          if (rows[at + Row.Line] === 0 || table.file(rows[at + Row.File]) !== file) continue;
          const codeOffset = table.address(row);
          if (this.claimAt(codeOffset)?.table !== lazy) continue;
          found.push({ line: rows[at + Row.Line] >>> 0, column: column & COLUMN_MASK, codeOffset });
        }
      }
    }
    return found.sort((a, b) => a.line - b.line || a.codeOffset - b.codeOffset);
  }

  bodyStart(codeOffset: number): number {
    const claim = this.claimAt(codeOffset);
    const table = claim === null ? null : this.load(claim.table);
    if (table === null || claim?.table.unit == null) return codeOffset;
    const extent = this.scopes.functionAt(claim.table.unit, codeOffset);
    if (extent === null) return codeOffset;
    const first = table.find(extent.low);
    if (first < 0) return codeOffset;
    // Where no row ends the prologue, the second line of the function does.
    let second = -1;
    for (let row = first; table.address(row) < extent.high; row++) {
      const column = table.rows[row * Row.Size + Row.Column];
      if ((column & RowFlag.EndSequence) !== 0) break;
      if ((column & RowFlag.PrologueEnd) !== 0) return table.address(row);
      if (second < 0 && table.address(row) > extent.low && (column & RowFlag.IsStmt) !== 0)
        second = table.address(row);
    }
    return second < 0 ? extent.low : second;
  }

  private load(lazy: LazyTable): LineTable | null {
    if (lazy.table !== undefined) return lazy.table;
    lazy.table = null;
    try {
      this.budget -= lineTableEnd(this.sections.line, lazy.offset) - lazy.offset;
      if (this.budget < 0) throw new DwarfError('line tables overlap');
      const compDir = lazy.unit?.compDir ?? '';
      lazy.table = readLineTable(this.sections, lazy.offset, compDir, this.strOffsetsBase, this.warn);
    } catch (e) {
      this.warn(describe('.debug_line', lazy.offset, e));
    }
    return lazy.table;
  }

  /** A line table has no base of its own for indexed strings; producers that use them there have one table for all. */
  private readonly strOffsetsBase = 8;

  private index(): Claim[] {
    const claims: Claim[] = [];
    const tables = new Map<number, LazyTable>();
    /** Units without ranges of their own: their line tables tell what they cover. */
    const silent: LazyTable[] = [];
    const claim = (lineOffset: number, ranges: readonly number[] | null, unit: Unit | null): void => {
      if (!(lineOffset >= 0 && lineOffset < this.sections.line.length)) return;
      let table = tables.get(lineOffset);
      if (table === undefined) {
        table = { order: tables.size, offset: lineOffset, unit, table: undefined };
        tables.set(lineOffset, table);
        if (ranges === null) silent.push(table);
      }
      if (ranges === null) return;
      for (let i = 0; i < ranges.length; i += 2) claims.push({ low: ranges[i], high: ranges[i + 1], table });
    };
    this.units = readUnits(this.sections, this.rangeBudget, this.warn);
    for (const unit of this.units) if (unit.typeEntry < 0) claim(unit.lineOffset, unit.ranges, unit);
    this.claimOrphans(tables, lineOffset => claim(lineOffset, null, null));
    for (const lazy of silent) {
      const table = this.load(lazy);
      if (table === null) continue;
      // There may be as many as the section has bytes for.
      if (table.sequences.length === 0) lazy.table = null;
      for (let i = 0; i < table.sequences.length; i += 2) {
        const low = table.address(table.sequences[i]);
        claims.push({ low, high: table.address(table.sequences[i + 1]), table: lazy });
      }
    }
    this.tables = [...tables.values()];
    for (const unit of this.units)
      if (unit.dwoName !== '')
        // The skeleton that stays behind need not have the unit's name.
        this.warn(
          `split DWARF: what ${unit.dwoName} holds is not read: its lines are known, its variables are not; build without -gsplit-dwarf`,
        );
    return disjoint(claims);
  }

  /** Line tables that no unit refers to: assemblers and strippers leave some. */
  private claimOrphans(known: ReadonlyMap<number, unknown>, claim: (offset: number) => void): void {
    const { line } = this.sections;
    let at = 0;
    while (at < line.length) {
      const offset = at;
      try {
        at = lineTableEnd(line, offset);
      } catch (e) {
        this.warn(describe('.debug_line', offset, e));
        return;
      }
      if (!known.has(offset)) claim(offset);
    }
  }
}
