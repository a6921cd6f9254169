/** A trap report for a terminal: what happened, why, the line of source, and the backtrace. */
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import pc from 'picocolors';
import { printable } from '../compiler/printable.ts';
import { count, shownName } from './trap-explain.ts';
import type { ReportFrame, ReportVariable, SourcePosition, TrapReport } from './trap-report.ts';

export interface ReportStyle {
  readonly color: boolean;
  /** All frames, with offsets and calls of the host. */
  readonly full: boolean;
}

/** Frames that a short backtrace shows. */
const SHORT_FRAMES = 12;
/** Larger files are no source code. */
const MAX_SOURCE_BYTES = 4 << 20;

function shownPosition(p: SourcePosition): string {
  const file = printable(p.file);
  if (p.line === 0) return file;
  return p.column === 0 ? `${file}:${p.line}` : `${file}:${p.line}:${p.column}`;
}

export function formatTrap(report: TrapReport, style: ReportStyle): string {
  const c = pc.createColors(style.color);
  const head =
    report.kind === 'fault'
      ? `internal fault (${report.code}): generated code failed where it can't. This is a defect of Lucet; please report it with the module.`
      : report.kind === 'exception'
        ? report.message
        : `trap: ${report.message} (${report.code})`;
  const lines = [c.bold(c.red(head))];
  if (report.explanation !== '') lines.push(`  ${report.explanation}`);
  const user = report.userFrame === null ? undefined : report.frames[report.userFrame];
  const source = user?.source ?? report.source;
  if (source !== null) lines.push(...quote(source, c));
  lines.push(...variables(user ?? report.frames[0], style, c));
  lines.push(...backtrace(report, style, c));
  return `${lines.join('\n')}\n`;
}

type Colors = ReturnType<typeof pc.createColors>;

/** The line with a mark under the column; nothing if the file can't be read. */
function quote(position: SourcePosition, c: Colors): string[] {
  const text = sourceLine(position);
  if (text === null) return [];
  const number = `${position.line}`;
  const shown = text.replace(/\t/g, '    ');
  const lines = ['', `  ${c.cyan(shownPosition(position))}`, `  ${c.dim(`${number} |`)} ${printable(shown)}`];
  if (position.column > 0) {
    // Columns count bytes.
    const before = Buffer.from(text)
      .subarray(0, position.column - 1)
      .toString()
      .replace(/\t/g, '    ');
    lines.push(
      `  ${c.dim(`${' '.repeat(number.length)} |`)} ${' '.repeat(printable(before).length)}${c.red('^')}`,
    );
  }
  return lines;
}

/**
 * The path comes from the module: only a plain file is read, and only one line of it. (Merely opening a device may do
 * something, and opening a pipe waits. A plain file without a size is the kernel's, in /proc.)
 */
function sourceLine({ file, line }: SourcePosition): string | null {
  if (line === 0 || file.includes('\0')) return null;
  let fd: number;
  try {
    if (!statSync(file).isFile()) return null;
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return null;
  }
  try {
    const st = fstatSync(fd);
    if (!st.isFile() || st.size === 0 || st.size > MAX_SOURCE_BYTES) return null;
    return readFileSync(fd, 'utf8').split('\n', line)[line - 1]?.replace(/\r$/, '') ?? null;
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

// --------------------------------------------------------------------------------------------------------------- Variables

/** Variables that a short report shows. */
const SHORT_VARIABLES = 10;

/** Those of the quoted line's frame; a short report leaves out what has no value. */
function variables(frame: ReportFrame | undefined, style: ReportStyle, c: Colors): string[] {
  const all = (frame?.variables ?? []).filter(v => style.full || v.value !== null);
  if (all.length === 0) return [];
  const shown = style.full ? all : all.slice(0, SHORT_VARIABLES);
  const lines = ['', ...shown.map(v => `  ${variable(v, c)}`)];
  if (all.length > shown.length) lines.push(c.dim(`  … ${all.length - shown.length} more`));
  return lines;
}

function variable(v: ReportVariable, c: Colors): string {
  const value = v.value === null ? c.dim(`(${printable(v.missing ?? '')})`) : printable(v.value);
  return `${printable(v.name)}: ${c.dim(printable(v.type))} = ${value}`;
}

// --------------------------------------------------------------------------------------------------------------- Backtrace

function backtrace(report: TrapReport, style: ReportStyle, c: Colors): string[] {
  // A short report leaves out what led from the program into its language's panic.
  const skipped = style.full ? 0 : (report.userFrame ?? 0);
  const rest = report.frames.slice(skipped, style.full ? undefined : languageStart(report.frames, skipped));
  const frames = style.full ? rest : rest.filter(f => f.kind !== 'host');
  if (frames.length === 0) return [];
  const shown = style.full ? frames : frames.slice(0, SHORT_FRAMES);
  const width = Math.max(...shown.map(f => (f.kind === 'wasm' ? Math.min(40, shownName(f).length) : 0)));
  const lines = ['', '  backtrace:'];
  let number = report.frames.slice(0, skipped).filter(f => f.kind === 'wasm' && !f.isInlined).length;
  if (skipped > 0) lines.push(c.dim(`        ... ${count(skipped)} of the language's own ...`));
  for (const frame of shown) {
    if (frame.kind === 'elided') {
      lines.push(c.dim(`        ... ${count(frame.count)} frames ...`));
      number += frame.count;
    } else if (frame.kind === 'host') {
      lines.push(c.dim('        (host)'));
    } else {
      const label = frame.isInlined ? '' : `#${number}`;
      lines.push(`  ${label.padStart(5)} ${shownName(frame).padEnd(width)} ${place(frame, style, c)}`);
      if (!frame.isInlined) number++;
    }
  }
  const left = report.totalFrames - number;
  if (left > 0)
    lines.push(c.dim(`        ... ${count(left)} more${style.full ? '' : ' (--backtrace full shows more)'}`));
  return lines;
}

/** Index of the first frame behind the program's outermost: Rust marks where its own code that calls `main` ends. */
function languageStart(frames: readonly ReportFrame[], from: number): number {
  let at = frames.findIndex((f, i) => i > from && f.functionName.includes('__rust_begin_short_backtrace'));
  if (at < 0) return frames.length;
  while (at > from + 1 && /^core::ops::function::/.test(frames[at - 1]!.functionName)) at--;
  return at;
}

function place(frame: ReportFrame, style: ReportStyle, c: Colors): string {
  const offset = `${printable(frame.moduleName)}+0x${frame.wasmOffset.toString(16)}`;
  if (frame.source === null) return `at ${c.dim(offset)}`;
  const inlined = frame.isInlined ? c.dim(' (inlined)') : '';
  return `at ${c.cyan(shownPosition(frame.source))}${inlined}${style.full ? c.dim(` (${offset})`) : ''}`;
}
