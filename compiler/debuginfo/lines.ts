/** The line number program (DWARF 4 and 5, section 6.2), decoded into packed rows. */
import { Cursor, DwarfError, readUnitLength } from './cursor.ts';
import { type DwarfSections, FormClass, type FormContext, formString, formValue, readForm } from './forms.ts';
import { isTombstone } from './ranges.ts';

/** A row is ROW.Size int32: what the machine's registers were when it was appended. */
export const enum Row {
  /** u32 */
  Address = 0,
  /** Index for `LineTable.file`. */
  File = 1,
  /** u32; 0: no source line */
  Line = 2,
  /** Column in the low 16 bits (saturated; 0: whole line), flags above. */
  Column = 3,
  Size = 4,
}

export const enum RowFlag {
  IsStmt = 1 << 16,
  BasicBlock = 1 << 17,
  PrologueEnd = 1 << 18,
  EpilogueBegin = 1 << 19,
  EndSequence = 1 << 20,
}

export const COLUMN_MASK = 0xffff;

const enum Lns {
  Extended = 0,
  Copy = 1,
  AdvancePc = 2,
  AdvanceLine = 3,
  SetFile = 4,
  SetColumn = 5,
  NegateStmt = 6,
  SetBasicBlock = 7,
  ConstAddPc = 8,
  FixedAdvancePc = 9,
  SetPrologueEnd = 10,
  SetEpilogueBegin = 11,
  SetIsa = 12,
}

const enum Lne {
  EndSequence = 1,
  SetAddress = 2,
  DefineFile = 3,
  SetDiscriminator = 4,
}

const enum Lnct {
  Path = 1,
  DirectoryIndex = 2,
}

/** Operand counts that the standard gives to opcodes 1..12: a table that disagrees makes these opcodes unknown ones. */
const STANDARD_OPERANDS = [0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

interface FileEntry {
  readonly name: string;
  readonly directory: number;
}

interface Header extends FormContext {
  readonly end: number;
  readonly program: number;
  readonly minInstLength: number;
  readonly maxOps: number;
  readonly defaultIsStmt: boolean;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  readonly operands: Uint8Array;
  readonly directories: string[];
  readonly files: FileEntry[];
}

export class LineTable {
  /** Joined on first use. */
  private readonly paths: (string | undefined)[] = [];

  /**
   * @param rows packed rows, grouped by sequence, ascending addresses within one
   * @param sequences row numbers: (first, last) of each sequence, `last` being its EndSequence row; ordered by first
   * address
   */
  constructor(
    readonly rows: Int32Array,
    readonly sequences: Int32Array,
    private readonly files: readonly FileEntry[],
    private readonly directories: readonly string[],
    private readonly version: number,
    private readonly compDir: string,
  ) {}

  address(row: number): number {
    return this.rows[row * Row.Size + Row.Address] >>> 0;
  }

  /** Number of the row in force at an address, or -1. */
  find(address: number): number {
    const { sequences } = this;
    let lo = 0;
    let hi = sequences.length >> 1;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.address(sequences[2 * mid]) <= address) lo = mid + 1;
      else hi = mid;
    }
    if (lo === 0) return -1;
    const first = sequences[2 * lo - 2];
    const last = sequences[2 * lo - 1];
    if (address >= this.address(last)) return -1;
    // The last row at or below the address: of several rows with one address, only the last covers any code.
    let a = first;
    let b = last;
    while (a < b) {
      const mid = (a + b) >> 1;
      if (this.address(mid) <= address) a = mid + 1;
      else b = mid;
    }
    return a - 1;
  }

  /** Path of a file as the compiler wrote it, completed with the directories; '' if the table has no such file. */
  file(index: number): string {
    const i = this.version >= 5 ? index : index - 1;
    const known = this.paths[i];
    if (known !== undefined) return known;
    const entry = this.files[i];
    if (entry === undefined) return '';
    // Version 5 lists the compilation directory as directory 0; before, 0 meant it and the list began with 1.
    const directory =
      this.version >= 5 || entry.directory > 0
        ? (this.directories[this.version >= 5 ? entry.directory : entry.directory - 1] ?? '')
        : '';
    const path = joinPath(this.compDir, joinPath(directory, entry.name));
    this.paths[i] = path;
    return path;
  }
}

/**
 * Paths may come from any system, or be mapped to a URL (wasi-sdk's `wasisdk://`): all of these forms count as
 * absolute.
 */
const ABSOLUTE = /^(?:\/|\\|[A-Za-z]:[\\/]|[A-Za-z][\w+.-]+:\/\/)/;

function joinPath(directory: string, name: string): string {
  if (directory === '' || ABSOLUTE.test(name)) return name;
  if (name === '') return directory;
  const separator = /^[A-Za-z]:\\|^\\\\/.test(directory) ? '\\' : '/';
  return directory.endsWith('/') || directory.endsWith('\\')
    ? directory + name
    : directory + separator + name;
}

/**
 * Decodes one line program.
 *
 * @param compDir compilation directory of the unit that refers to it, or ''
 * @throws DwarfError
 */
export function readLineTable(
  sections: DwarfSections,
  offset: number,
  compDir: string,
  strOffsetsBase: number,
  warn: (message: string) => void,
): LineTable {
  if (!(offset < sections.line.length)) throw new DwarfError('the line table is outside its section');
  const c = new Cursor(sections.line, offset, sections.line.length);
  const header = readHeader(c, sections, strOffsetsBase);
  c.at = header.program;
  const rows = new RowBuffer();
  try {
    new LineMachine(c, header, rows).run();
  } catch (e) {
    if (!(e instanceof DwarfError)) throw e;
    // What was decoded up to the last complete sequence is still right.
    warn(`.debug_line+0x${offset.toString(16)}: ${e.message}`);
    rows.abandonSequence();
  }
  return rows.finish(header, compDir);
}

/**
 * Paths of a line table's files, without decoding its rows.
 * @throws DwarfError
 */
export function readLineFiles(
  sections: DwarfSections,
  offset: number,
  compDir: string,
  strOffsetsBase: number,
): string[] {
  if (!(offset < sections.line.length)) throw new DwarfError('the line table is outside its section');
  const header = readHeader(
    new Cursor(sections.line, offset, sections.line.length),
    sections,
    strOffsetsBase,
  );
  const none = new Int32Array(0);
  const table = new LineTable(none, none, header.files, header.directories, header.version, compDir);
  return header.files.map((_, i) => table.file(header.version >= 5 ? i : i + 1));
}

/** End of the line program at an offset, for a walk over all of them. */
export function lineTableEnd(section: Uint8Array, offset: number): number {
  return readUnitLength(new Cursor(section, offset, section.length)).end;
}

function readHeader(c: Cursor, s: DwarfSections, strOffsetsBase: number): Header {
  const { end, offsetSize } = readUnitLength(c);
  c.end = end;
  const version = c.u16();
  if (version < 2 || version > 5) throw new DwarfError(`line table version ${version} is not known`);
  let addressSize = 4;
  if (version >= 5) {
    addressSize = c.u8();
    c.u8(); // segment selector size
  }
  const headerLength = c.uint(offsetSize);
  const program = c.at + headerLength;
  if (program > end) throw new DwarfError('the line table header exceeds the table');
  c.end = program;
  const minInstLength = c.u8();
  const maxOps = version >= 4 ? c.u8() : 1;
  const defaultIsStmt = c.u8() !== 0;
  const lineBase = (c.u8() << 24) >> 24;
  const lineRange = c.u8();
  const opcodeBase = c.u8();
  if (opcodeBase === 0) throw new DwarfError('opcode base is 0');
  const operands = new Uint8Array(opcodeBase);
  for (let i = 1; i < opcodeBase; i++) operands[i] = c.u8();

  const ctx: FormContext = { version, addressSize, offsetSize };
  const directories: string[] = [];
  const files: FileEntry[] = [];
  if (version >= 5) {
    readEntries(c, ctx, s, strOffsetsBase, name => directories.push(name));
    readEntries(c, ctx, s, strOffsetsBase, (name, directory) => files.push({ name, directory }));
  } else {
    for (;;) {
      const directory = c.string();
      if (directory === '') break;
      directories.push(directory);
    }
    for (;;) {
      const name = c.string();
      if (name === '') break;
      files.push(fileEntry(c, name));
    }
  }
  c.end = end;
  return {
    ...ctx,
    end,
    program,
    minInstLength,
    maxOps,
    defaultIsStmt,
    lineBase,
    lineRange,
    opcodeBase,
    operands,
    directories,
    files,
  };
}

/** Directory, time of change and length follow a file's name up to version 4. */
function fileEntry(c: Cursor, name: string): FileEntry {
  const directory = c.uleb();
  c.uleb();
  c.uleb();
  return { name, directory };
}

/**
 * A version 5 entry list: a format, then rows of it. Content types that are not known (MD5, source text, …) are skipped
 * by their form.
 */
function readEntries(
  c: Cursor,
  ctx: FormContext,
  s: DwarfSections,
  strOffsetsBase: number,
  add: (name: string, directory: number) => void,
): void {
  const columns = c.u8();
  const format = new Float64Array(2 * columns);
  for (let i = 0; i < 2 * columns; i++) format[i] = c.uleb();
  const count = c.uleb();
  const v = formValue();
  for (let i = 0; i < count; i++) {
    const start = c.at;
    let name = '';
    let directory = 0;
    for (let k = 0; k < columns; k++) {
      readForm(c, format[2 * k + 1], 0, ctx, v);
      switch (format[2 * k]) {
        case Lnct.Path:
          name = formString(c, v, s, ctx, strOffsetsBase) ?? '';
          break;
        case Lnct.DirectoryIndex:
          if (v.cls !== FormClass.Constant) throw new DwarfError('a directory index is no number');
          directory = v.int;
          break;
      }
    }
    // Rows of no bytes would let a count of a few bytes run for ever.
    if (c.at === start) throw new DwarfError('entries of a line table take no bytes');
    add(name, directory);
  }
}

class RowBuffer {
  private rows = new Int32Array(256 * Row.Size);
  private count = 0;
  private first = 0;
  private readonly sequences: number[] = [];
  /** Addresses went backwards in this sequence. */
  private unordered = false;

  push(address: number, file: number, line: number, column: number, flags: number): void {
    let at = this.count * Row.Size;
    if (at === this.rows.length) {
      const grown = new Int32Array(2 * at);
      grown.set(this.rows);
      this.rows = grown;
    }
    if (this.count > this.first && this.rows[at - Row.Size + Row.Address] >>> 0 > address)
      this.unordered = true;
    this.rows[at++] = address;
    this.rows[at++] = file;
    this.rows[at++] = line;
    this.rows[at] = Math.min(column, COLUMN_MASK) | flags;
    this.count++;
  }

  abandonSequence(): void {
    this.count = this.first;
    this.unordered = false;
  }

  endSequence(): void {
    const last = this.count - 1;
    if (this.unordered) this.sort(this.first, last);
    if (this.rows[last * Row.Size] >>> 0 > this.rows[this.first * Row.Size] >>> 0) {
      this.sequences.push(this.first, last);
      this.first = this.count;
    }
    this.abandonSequence();
  }

  /** Sequences are in order by the standard; sorting those that aren't keeps the search right. */
  private sort(first: number, end: number): void {
    const order = Array.from({ length: end - first }, (_, i) => first + i);
    const { rows } = this;
    order.sort((a, b) => (rows[a * Row.Size] >>> 0) - (rows[b * Row.Size] >>> 0) || a - b);
    const copy = rows.slice(first * Row.Size, end * Row.Size);
    order.forEach((from, i) => {
      const at = (from - first) * Row.Size;
      rows.set(copy.subarray(at, at + Row.Size), (first + i) * Row.Size);
    });
  }

  finish(header: Header, compDir: string): LineTable {
    const { rows, sequences } = this;
    const order = Array.from({ length: sequences.length / 2 }, (_, i) => i);
    const start = (i: number): number => rows[sequences[2 * i] * Row.Size] >>> 0;
    order.sort((a, b) => start(a) - start(b) || a - b);
    const sorted = new Int32Array(sequences.length);
    order.forEach((from, i) => {
      sorted[2 * i] = sequences[2 * from];
      sorted[2 * i + 1] = sequences[2 * from + 1];
    });
    return new LineTable(
      rows.slice(0, this.count * Row.Size),
      sorted,
      header.files,
      header.directories,
      header.version,
      compDir,
    );
  }
}

/**
 * The state machine, with its registers (DWARF 5, section 6.2.2). Each step consumes at least a byte and appends at
 * most one row, so time and memory are bounded by the program's length.
 */
class LineMachine {
  private address = 0;
  private opIndex = 0;
  private file = 1;
  private line = 1;
  private column = 0;
  private flags = 0;
  private isStmt = false;
  /** Until an address is set, a sequence starts at 0, where no code is. */
  private dead = true;
  /**
   * For each standard opcode: 1 if it has the operands of the standard; 0: it is unknown, and its operands are skipped.
   */
  private readonly known = new Uint8Array(256);
  // Of the header, for each step.
  private readonly lineBase: number;
  private readonly lineRange: number;
  private readonly minInstLength: number;
  private readonly maxOps: number;

  constructor(
    private readonly c: Cursor,
    private readonly h: Header,
    private readonly rows: RowBuffer,
  ) {
    for (let i = 1; i < h.opcodeBase; i++) {
      this.known[i] = i < STANDARD_OPERANDS.length && h.operands[i] === STANDARD_OPERANDS[i] ? 1 : 0;
    }
    this.isStmt = h.defaultIsStmt;
    this.lineBase = h.lineBase;
    this.lineRange = h.lineRange;
    this.minInstLength = h.minInstLength;
    this.maxOps = h.maxOps;
  }

  run(): void {
    const { c, h, known } = this;
    const { opcodeBase, operands } = h;
    while (!c.done) {
      const opcode = c.u8();
      if (opcode >= opcodeBase) this.special(opcode - opcodeBase);
      else if (opcode === Lns.Extended) this.extended();
      else if (known[opcode] !== 0) this.standard(opcode);
      else for (let i = 0; i < operands[opcode]; i++) c.uleb();
    }
    // Rows without an end of sequence cover no known range.
    this.rows.abandonSequence();
  }

  private reset(): void {
    this.address = 0;
    this.opIndex = 0;
    this.file = 1;
    this.line = 1;
    this.column = 0;
    this.flags = 0;
    this.isStmt = this.h.defaultIsStmt;
    this.dead = true;
  }

  private advance(operations: number): void {
    const { maxOps, minInstLength } = this;
    if (maxOps <= 1) this.address += minInstLength * operations;
    else {
      const total = this.opIndex + operations;
      this.address += minInstLength * Math.floor(total / maxOps);
      this.opIndex = total % maxOps;
    }
  }

  private append(extra: number): void {
    if (!this.dead) {
      const { address } = this;
      if (!(address <= 0xffff_ffff)) throw new DwarfError('an address of the line table is out of range');
      const flags = this.flags | extra | (this.isStmt ? RowFlag.IsStmt : 0);
      this.rows.push(address, this.file, this.line, this.column, flags);
    }
    this.flags = 0;
  }

  /** The operations that a special opcode advances by, from its adjusted number. */
  private operations(adjusted: number): number {
    if (this.lineRange === 0) throw new DwarfError('line range is 0');
    return Math.floor(adjusted / this.lineRange);
  }

  private special(adjusted: number): void {
    this.advance(this.operations(adjusted));
    this.line += this.lineBase + (adjusted % this.lineRange);
    this.append(0);
  }

  private extended(): void {
    const { c } = this;
    const length = c.uleb();
    if (length === 0) return;
    const end = c.at + length;
    if (end > c.end) throw new DwarfError('an extended opcode exceeds the line table');
    switch (c.u8()) {
      case Lne.EndSequence:
        this.append(RowFlag.EndSequence);
        if (!this.dead) this.rows.endSequence();
        this.reset();
        break;
      case Lne.SetAddress:
        // Its length tells the size of the address, whatever the header said.
        if (length - 1 !== 4 && length - 1 !== 8) throw new DwarfError(`an address of ${length - 1} bytes`);
        this.address = c.uint(length - 1);
        this.opIndex = 0;
        this.dead = isTombstone(this.address);
        break;
      case Lne.DefineFile:
        this.h.files.push(fileEntry(c, c.string()));
        break;
      default:
        // SetDiscriminator and vendors' own
        break;
    }
    c.at = end;
  }

  private standard(opcode: number): void {
    const { c } = this;
    switch (opcode) {
      case Lns.Copy:
        this.append(0);
        break;
      case Lns.AdvancePc:
        this.advance(c.uleb());
        break;
      case Lns.AdvanceLine:
        this.line += c.sleb();
        break;
      case Lns.SetFile:
        this.file = c.uleb();
        break;
      case Lns.SetColumn:
        this.column = c.uleb();
        break;
      case Lns.NegateStmt:
        this.isStmt = !this.isStmt;
        break;
      case Lns.SetBasicBlock:
        this.flags |= RowFlag.BasicBlock;
        break;
      case Lns.ConstAddPc:
        this.advance(this.operations(255 - this.h.opcodeBase));
        break;
      case Lns.FixedAdvancePc:
        this.address += c.u16();
        this.opIndex = 0;
        break;
      case Lns.SetPrologueEnd:
        this.flags |= RowFlag.PrologueEnd;
        break;
      case Lns.SetEpilogueBegin:
        this.flags |= RowFlag.EpilogueBegin;
        break;
      case Lns.SetIsa:
        c.uleb();
        break;
    }
  }
}
