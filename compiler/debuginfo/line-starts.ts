/** Where statements begin, over all line tables of a module: what debug code stops at. */
import { DwarfError } from './cursor.ts';
import { type DwarfSections, dwarfSections } from './forms.ts';
import { type LineTable, lineTableEnd, Row, RowFlag, readLineTable } from './lines.ts';
import { isTombstone } from './ranges.ts';

/**
 * Code offsets, from the first byte of the code section's contents, ascending, each once. What is broken is left out.
 * @param sections custom sections by name, with the leading dot
 */
export function lineTableStarts(sections: ReadonlyMap<string, Uint8Array>): Int32Array<ArrayBuffer> {
  const dwarf = dwarfSections(sections);
  const found: number[] = [];
  try {
    for (let at = 0; at < dwarf.line.length; ) {
      const end = lineTableEnd(dwarf.line, at);
      addStarts(dwarf, at, found);
      if (end <= at) break;
      at = end;
    }
  } catch (e) {
    if (!(e instanceof DwarfError)) throw e;
  }
  const sorted = Int32Array.from(found).sort();
  return sorted.filter((x, i) => i === 0 || x !== sorted[i - 1]);
}

function addStarts(dwarf: DwarfSections, at: number, found: number[]): void {
  let table: LineTable;
  try {
    table = readLineTable(dwarf, at, '', 0, () => {});
  } catch (e) {
    if (e instanceof DwarfError) return;
    throw e;
  }
  const { rows, sequences } = table;
  for (let s = 0; s < sequences.length; s += 2) {
    const first = sequences[s]!;
    if (isTombstone(table.address(first))) continue;
    for (let row = first; row < sequences[s + 1]!; row++) {
      const column = rows[row * Row.Size + Row.Column]!;
      if ((column & RowFlag.IsStmt) !== 0 && rows[row * Row.Size + Row.Line] !== 0)
        found.push(table.address(row));
    }
  }
}
