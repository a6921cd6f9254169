/**
 * Debug information for a module that was written as text: DWARF 4 sections that map each operator to its line and
 * column, so that traps, breakpoints and stepping work on a .wat as they do on C (DWARF 4 standard, sections 6.2 and 7;
 * addresses are relative to the code section's contents, "DWARF for WebAssembly"). The module's own bytes do not
 * change: custom sections are appended.
 */
import { ByteWriter } from '../object/bytes.ts';
import type { Module } from '../wasm/module.ts';
import { lineAt, lineStarts } from './check.ts';
import type { ModuleModel } from './model.ts';
import { bodiesOf, operatorPositions } from './positions.ts';

const enum At {
  Name = 0x03,
  StmtList = 0x10,
  LowPc = 0x11,
  HighPc = 0x12,
  CompDir = 0x1b,
  Producer = 0x25,
}
const enum Form {
  Addr = 0x01,
  Data4 = 0x06,
  String = 0x08,
  SecOffset = 0x17,
}
const TAG_COMPILE_UNIT = 0x11;
/** Standard opcodes of line programs. */
const enum Lns {
  Copy = 1,
  AdvancePc = 2,
  AdvanceLine = 3,
  SetColumn = 5,
}
/** Extended ones. */
const enum Lne {
  EndSequence = 1,
  SetAddress = 2,
}
/** Number of operands of each standard opcode, 1 to 12. */
const OPCODE_LENGTHS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

export interface SourceFile {
  /** Folder that it was compiled in; may be empty. */
  readonly directory: string;
  /** Absolute, or relative to that. */
  readonly name: string;
}

/** @returns the module with debug sections; its own bytes, when no line is known */
export function withDebugLines(module: Module, model: ModuleModel, file: SourceFile): Uint8Array {
  const program = lineProgram(module, model, file.name);
  if (program === null) return module.bytes;
  const out = new ByteWriter(module.bytes.length + program.length + 256);
  out.put(module.bytes);
  const sections: [string, Uint8Array][] = [
    ['.debug_abbrev', abbreviations()],
    ['.debug_info', unit(module, file)],
    ['.debug_line', program],
  ];
  for (const [name, bytes] of sections) {
    // Every name is shorter than 128 bytes: its length takes one.
    out.u8(0);
    out.uleb(1 + name.length + bytes.length);
    out.uleb(name.length);
    out.utf8(name);
    out.put(bytes);
  }
  return out.done();
}

/** Zero-terminated; a zero inside ends it. */
function string(w: ByteWriter, text: string): void {
  w.utf8(text.replace(/\0.*/s, ''));
  w.u8(0);
}

const UNIT_ATTRIBUTES: readonly (readonly [At, Form])[] = [
  [At.Producer, Form.String],
  [At.Name, Form.String],
  [At.CompDir, Form.String],
  [At.StmtList, Form.SecOffset],
  [At.LowPc, Form.Addr],
  [At.HighPc, Form.Data4],
];

function abbreviations(): Uint8Array {
  const w = new ByteWriter(64);
  // Abbreviation 1: a unit without children.
  w.put([1, TAG_COMPILE_UNIT, 0]);
  for (const attribute of UNIT_ATTRIBUTES) w.put(attribute);
  w.put([0, 0, 0]);
  return w.done();
}

function unit(module: Module, file: SourceFile): Uint8Array {
  const w = new ByteWriter(256);
  // Version, offset of the abbreviations, size of an address.
  w.u16(4);
  w.u32(0);
  w.u8(4);
  w.uleb(1);
  string(w, 'lucetc');
  string(w, file.name);
  string(w, file.directory);
  w.u32(0);
  // Not 0, which linkers write for code that they have removed.
  const start = module.bodies[0]?.start ?? module.codeStart;
  w.u32(start - module.codeStart);
  w.u32((module.bodies.at(-1)?.end ?? start) - start);
  return withLength(w);
}

/** Behind their number (32-bit DWARF). */
function withLength(w: ByteWriter): Uint8Array {
  const out = new ByteWriter(w.length + 4);
  out.u32(w.length);
  out.put(w.done());
  return out.done();
}

function lineProgram(module: Module, model: ModuleModel, name: string): Uint8Array | null {
  const starts = lineStarts(model.tree.text);
  const rows = new ByteWriter();
  let some = false;
  for (const [n, text] of bodiesOf(model).entries()) {
    const body = module.bodies[n];
    if (body === undefined) break;
    const positions = operatorPositions(text, module, module.importedFunctions + n);
    if (positions === null) continue;
    some = true;
    // Each function is a sequence: the registers start anew.
    let pc = body.start - module.codeStart;
    let line = 1;
    let column = 0;
    rows.put([0, 5, Lne.SetAddress]);
    rows.u32(pc);
    const advance = (offset: number): void => {
      rows.u8(Lns.AdvancePc);
      rows.uleb(offset - module.codeStart - pc);
      pc = offset - module.codeStart;
    };
    const row = (offset: number, at: number): void => {
      const toLine = lineAt(starts, at) + 1;
      const toColumn = at - starts[toLine - 1]! + 1;
      if (offset - module.codeStart !== pc) advance(offset);
      if (toLine !== line) {
        rows.u8(Lns.AdvanceLine);
        rows.sleb(toLine - line);
      }
      if (toColumn !== column) {
        rows.u8(Lns.SetColumn);
        rows.uleb(toColumn);
      }
      rows.u8(Lns.Copy);
      line = toLine;
      column = toColumn;
    };
    row(body.start, text.definition.at.start);
    for (const { offset, range } of positions) row(offset, range.start);
    advance(body.end);
    rows.put([0, 1, Lne.EndSequence]);
  }
  if (!some) return null;

  const header = new ByteWriter(256);
  // Shortest instruction, operations in one, statements by default, line_base -5, line_range 14, first special opcode.
  header.put([1, 1, 1, 0xfb, 14, OPCODE_LENGTHS.length + 1]);
  header.put(OPCODE_LENGTHS);
  // No directories but the unit's own; one file, in it.
  header.u8(0);
  string(header, name);
  header.put([0, 0, 0, 0]);
  const table = new ByteWriter(rows.length + 256);
  table.u16(4);
  table.u32(header.length);
  table.put(header.done());
  table.put(rows.done());
  return withLength(table);
}
