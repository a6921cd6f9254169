/**
 * Source positions of code: DWARF 4 and 5 as compilers put it into custom sections of a module.
 *
 * Nothing is parsed when it is opened. The first look-up reads each unit's root entry, to learn which unit covers which code; a unit's
 * line table is decoded when an address in it is asked for. Broken information never throws: what is wrong becomes a warning and the
 * rest is used.
 */
import { DwarfError } from './cursor.ts';
import type { DwarfSections } from './forms.ts';
import { COLUMN_MASK, type LineTable, lineTableEnd, Row, readLineTable } from './lines.ts';
import { describe, readUnits, type Unit } from './units.ts';

export interface SourceLocation {
  /** As the compiler recorded it: absolute, or relative to an unknown directory. */
  readonly file: string;
  /** From 1; 0: code of this file that belongs to no line. */
  readonly line: number;
  /** From 1, in bytes; 0: the whole line. */
  readonly column: number;
}

export interface DebugInfo {
  /** @param codeOffset from the first byte of the code section's contents, as DWARF addresses of wasm are */
  lookup(codeOffset: number): SourceLocation | null;
  /** What was found broken so far, at most MAX_WARNINGS of them. */
  readonly warnings: readonly string[];
}

const MAX_WARNINGS = 100;

/** A stretch of code that a unit says it covers. */
interface Claim {
  readonly low: number;
  readonly high: number;
  readonly table: LazyTable;
}

interface LazyTable {
  /** Order of the units in .debug_info. */
  readonly order: number;
  readonly offset: number;
  readonly compDir: string;
  table: LineTable | null | undefined;
}

/**
 * @param sections custom sections by name, with the leading dot (`.debug_line`, …); others are ignored, all may be absent
 */
export function openDebugInfo(sections: ReadonlyMap<string, Uint8Array>): DebugInfo {
  const empty = new Uint8Array(0);
  const get = (name: string): Uint8Array => sections.get(`.debug_${name}`) ?? empty;
  return new Dwarf({
    info: get('info'),
    abbrev: get('abbrev'),
    line: get('line'),
    str: get('str'),
    lineStr: get('line_str'),
    strOffsets: get('str_offsets'),
    addr: get('addr'),
    ranges: get('ranges'),
    rnglists: get('rnglists'),
  });
}

class Dwarf implements DebugInfo {
  readonly warnings: string[] = [];
  /** Disjoint and ascending. */
  private claims: Claim[] | null = null;
  /** Line tables may share bytes only in broken input: together they may not be longer than this. */
  private budget: number;

  constructor(private readonly sections: DwarfSections) {
    this.budget = 2 * sections.line.length;
  }

  lookup(codeOffset: number): SourceLocation | null {
    const claims = (this.claims ??= this.index());
    let lo = 0;
    let hi = claims.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (claims[mid].low <= codeOffset) lo = mid + 1;
      else hi = mid;
    }
    const claim = claims[lo - 1];
    if (claim === undefined || claim.high <= codeOffset) return null;
    const table = this.load(claim.table);
    const row = table === null ? -1 : table.find(codeOffset);
    if (table === null || row < 0) return null;
    const at = row * Row.Size;
    return {
      file: table.file(table.rows[at + Row.File]),
      line: table.rows[at + Row.Line] >>> 0,
      column: table.rows[at + Row.Column] & COLUMN_MASK,
    };
  }

  private readonly warn = (message: string): void => {
    if (this.warnings.length < MAX_WARNINGS) this.warnings.push(message);
  };

  private load(lazy: LazyTable): LineTable | null {
    if (lazy.table !== undefined) return lazy.table;
    lazy.table = null;
    try {
      this.budget -= lineTableEnd(this.sections.line, lazy.offset) - lazy.offset;
      if (this.budget < 0) throw new DwarfError('line tables overlap');
      lazy.table = readLineTable(this.sections, lazy.offset, lazy.compDir, this.strOffsetsBase, this.warn);
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
    /** Units that don't say what they cover: their line table has to. */
    const silent: LazyTable[] = [];
    const claim = (unit: Pick<Unit, 'lineOffset' | 'compDir' | 'ranges'>): void => {
      if (!(unit.lineOffset >= 0 && unit.lineOffset < this.sections.line.length)) return;
      let table = tables.get(unit.lineOffset);
      if (table === undefined) {
        table = { order: tables.size, offset: unit.lineOffset, compDir: unit.compDir, table: undefined };
        tables.set(unit.lineOffset, table);
        if (unit.ranges === null) silent.push(table);
      }
      if (unit.ranges === null) return;
      for (let i = 0; i < unit.ranges.length; i += 2) {
        claims.push({ low: unit.ranges[i], high: unit.ranges[i + 1], table });
      }
    };
    for (const unit of readUnits(this.sections, this.warn)) claim(unit);
    this.claimOrphans(tables, lineOffset => claim({ lineOffset, compDir: '', ranges: null }));
    for (const lazy of silent) {
      const table = this.load(lazy);
      if (table === null) continue;
      for (let i = 0; i < table.sequences.length; i += 2) {
        claims.push({
          low: table.address(table.sequences[i]),
          high: table.address(table.sequences[i + 1]),
          table: lazy,
        });
      }
    }
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

/**
 * Several units may claim the same code: of an inline function that many of them compiled, the linker keeps one copy and resolves all
 * others' addresses to it. The first unit wins, as it does for the linker.
 */
function disjoint(claims: readonly Claim[]): Claim[] {
  const starts = [...claims].sort((a, b) => a.low - b.low || a.table.order - b.table.order);
  const result: Claim[] = [];
  /** Claims that have begun, as a heap by order; those that have ended leave when they come to the top. */
  const open: Claim[] = [];
  let at = 0;
  let next = 0;
  while (next < starts.length || open.length > 0) {
    while (open.length > 0 && open[0].high <= at) heapPop(open);
    if (open.length === 0) {
      if (next === starts.length) break;
      at = starts[next].low;
    }
    while (next < starts.length && starts[next].low <= at) heapPush(open, starts[next++]);
    const top = open[0];
    const low = at;
    // As far as the top claim goes, or to the first start of one that precedes it.
    at = top.high;
    while (next < starts.length && starts[next].low < at) {
      if (starts[next].table.order < top.table.order) at = starts[next].low;
      else heapPush(open, starts[next++]);
    }
    if (at > low) result.push({ low, high: at, table: top.table });
  }
  return result;
}

function heapPush(heap: Claim[], claim: Claim): void {
  let i = heap.length;
  heap.push(claim);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (heap[parent].table.order <= claim.table.order) break;
    heap[i] = heap[parent];
    i = parent;
  }
  heap[i] = claim;
}

function heapPop(heap: Claim[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1].table.order < heap[child].table.order) child++;
    if (heap[child].table.order >= last.table.order) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
}
