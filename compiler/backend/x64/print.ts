/** Readable listing of machine rows, before or after register allocation: for debugging and tests. */
import {
  EDIT,
  EditKind,
  M_AUX,
  M_FLAGS,
  M_IMM,
  M_IMM2,
  M_OP,
  M_OPD,
  M_OPDS,
  type MachFunc,
  MROW,
  Opd,
  opdArg,
  SLOT_BASE,
} from '../mach.ts';
import { ADDR_BASE_MASK, ADDR_INDEX, ADDR_SCALE_SHIFT, X_NAMES, xIns, xShape, xSize, xSub } from './insts.ts';
import { X64_REGS } from './regs.ts';

const BASES = ['', 'ctx', 'reg', 'slot', 'out', 'in', 'rodata'];

function place(alloc: number): string {
  return alloc < 0 ? '-' : alloc >= SLOT_BASE ? `s${alloc - SLOT_BASE}` : X64_REGS.name(alloc);
}

function operand(m: MachFunc, o: number): string {
  const flags = m.operands[o * 2 + 1]!;
  const cross = (flags & Opd.Cross) !== 0 ? '!' : '';
  let constraint = '';
  switch (flags & Opd.ConstraintMask) {
    case Opd.Any:
      constraint = ':any';
      break;
    case Opd.Fixed:
      constraint = `:${X64_REGS.name(opdArg(flags))}`;
      break;
    case Opd.Reuse:
      constraint = `:=${opdArg(flags)}`;
      break;
  }
  const at = m.allocs.length > o ? `@${place(m.allocs[o]!)}` : '';
  return `${(flags & Opd.Def) !== 0 ? '*' : ''}v${m.operands[o * 2]}${constraint}${cross}${at}`;
}

function printRow(m: MachFunc, row: number): string {
  const at = row * MROW;
  const word = m.insts[at + M_OP]!;
  const parts = [X_NAMES[xShape(word)]!];
  const ins = xIns(word);
  parts.push(`i${ins}.${xSize(word)}`);
  if (xSub(word) !== 0) parts.push(`sub=${xSub(word)}`);
  const first = m.insts[at + M_OPD]!;
  for (let i = 0; i < m.insts[at + M_OPDS]!; i++) parts.push(operand(m, first + i));
  const aux = m.insts[at + M_AUX]!;
  if (aux !== 0) {
    const index = (aux & ADDR_INDEX) !== 0 ? `+x*${1 << ((aux >> ADDR_SCALE_SHIFT) & 3)}` : '';
    parts.push(`[${BASES[aux & ADDR_BASE_MASK]}${index}+${m.insts[at + M_IMM2]}]`);
  }
  if (m.insts[at + M_IMM] !== 0) parts.push(`#${m.insts[at + M_IMM]}`);
  const trap = (m.insts[at + M_FLAGS]! >>> 8) & 0xff;
  if (trap !== 0) parts.push(`trap=${trap}`);
  return parts.join(' ');
}

function printEdits(m: MachFunc, position: number, out: string[]): void {
  for (let e = 0; e < m.editCount; e++) {
    if (m.edits[e * EDIT] !== position) continue;
    const kind = m.edits[e * EDIT + 1]! & 0xff;
    const from = m.edits[e * EDIT + 2]!;
    const to = place(m.edits[e * EDIT + 3]!);
    if (kind === EditKind.Remat) out.push(`      ${to} <- row ${from}`);
    else out.push(`      ${place(from)} ${kind === EditKind.Swap ? '<->' : '->'} ${to}`);
  }
}

export function printMach(m: MachFunc): string {
  const out: string[] = [];
  for (let b = 0; b < m.blockCount; b++) {
    const params = m.blockParams[b]!.map(v => `v${v}`).join(', ');
    out.push(`block ${b}(${params}) depth ${m.loopDepth[b]}${m.cold[b] ? ' cold' : ''}`);
    for (let row = m.blockStart[b]!; row < m.blockStart[b + 1]!; row++) {
      printEdits(m, 2 * row, out);
      out.push(`  ${row}: ${printRow(m, row)}`);
      printEdits(m, 2 * row + 1, out);
    }
    for (let e = m.succStart[b]!; e < m.succStart[b + 1]!; e++) {
      const args = m.edgeArgs.slice(m.edgeArgStart[e]!, m.edgeArgStart[e + 1]!).map(v => `v${v}`);
      out.push(`    -> ${m.edgeTarget[e]}(${args.join(', ')})`);
    }
  }
  return out.join('\n');
}
