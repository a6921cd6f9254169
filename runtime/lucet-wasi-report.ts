/** A trap, told to people on a terminal: what happened, why, the line of source, and how the program came there. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import pc from 'picocolors';
import type { SourcePosition } from './source.ts';
import type { ReportFrame, TrapReport } from './trap-report.ts';

export interface ReportStyle {
  readonly color: boolean;
  /** All frames, with offsets and calls of the host. */
  readonly full: boolean;
}

/** Frames that a short backtrace shows. */
const SHORT_FRAMES = 12;
/** Larger files are no source code. */
const MAX_SOURCE_BYTES = 4 << 20;

/** Text that came out of a module: nothing in it may act on the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, c => `\\x${c.codePointAt(0)!.toString(16).padStart(2, '0')}`);
}

/** A function's name as its author knows it: without the hash that Rust appends. */
function shownName(frame: { readonly functionName: string; readonly functionIndex: number | null }): string {
  const name = printable(frame.functionName.replace(/::h[0-9a-f]{16}$/, ''));
  return name !== ''
    ? name
    : frame.functionIndex === null
      ? 'unknown function'
      : `function ${frame.functionIndex}`;
}

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
  for (const line of explain(report)) lines.push(`  ${line}`);
  const place = firstUserFrame(report) ?? report;
  if (place.source !== null) lines.push(...quote(place.source, c));
  lines.push(...backtrace(report, style, c));
  return `${lines.join('\n')}\n`;
}

// -------------------------------------------------------------------------------------------------------------- Explanation

const WORDS: Readonly<Record<string, string>> = {
  UncaughtException: 'The program threw an exception, and nothing caught it.',
  IntegerDivByZero: 'An integer was divided by zero.',
  IntegerOverflow: 'The result of a division, or of a conversion from floating point, does not fit its type.',
  BadConversionToInteger: 'A floating-point number that is not a number (NaN) was converted to an integer.',
  IndirectCallToNull: 'A function was called through a null function pointer.',
  BadSignature: 'A function was called through a pointer of another type than the function has.',
  TableOutOfBounds:
    'A function pointer, or another table index, is beyond the end of its table: likely a corrupted or uninitialised pointer.',
  Unreachable:
    'The program gave up: an abort, a failed assertion or a panic, or code that its compiler took for unreachable.',
};

function explain(report: TrapReport): string[] {
  if (report.code === 'HeapOutOfBounds' && report.access !== null) return [explainAccess(report.access)];
  if (report.code === 'StackOverflow') return [explainOverflow(report.frames)];
  const words = Object.hasOwn(WORDS, report.code) ? WORDS[report.code] : undefined;
  return words === undefined ? [] : [words];
}

const count = (n: bigint | number): string => n.toString().replace(/\B(?=(\d{3})+$)/g, ',');

function explainAccess(access: NonNullable<TrapReport['access']>): string {
  const offset = BigInt(access.offset);
  const size = BigInt(access.memorySize);
  const which = access.memory === 0 ? 'memory' : `memory ${access.memory}`;
  const pages =
    size % 65536n === 0n ? ` (${count(size / 65536n)} ${size === 65536n ? 'page' : 'pages'})` : '';
  const facts = `Accessed address 0x${offset.toString(16)}, but the ${which} has 0x${size.toString(16)} bytes${pages}`;
  const beyond = offset - size;
  if (beyond < 0n) return `${facts}: the access begins inside and ends outside.`;
  const near = 1n << 20n;
  if (offset >= (1n << 32n) - near && offset < (1n << 32n) + near) {
    return `${facts}: close to 4 GiB, so likely a negative index, or a null pointer with something subtracted.`;
  }
  return `${facts}: ${count(beyond)} bytes beyond its end.`;
}

function explainOverflow(frames: readonly ReportFrame[]): string {
  const wasm = frames.filter(f => f.kind === 'wasm');
  const period = repeatingPeriod(wasm.map(f => f.functionIndex));
  const advice = 'Deep recursion, or large variables on the stack; --stack-size gives it more.';
  if (period === 0) return `The stack is full. ${advice}`;
  const names = wasm.slice(0, period).map(shownName).reverse();
  const cycle =
    period === 1 ? `${names[0]} calls itself` : `${names.join(' calls ')}, which calls ${names[0]} again`;
  return `The stack is full: ${cycle}, without end or too deeply. ${advice}`;
}

/** Length of the shortest cycle that the innermost frames repeat at least three times; 0: none. */
export function repeatingPeriod(functions: readonly number[]): number {
  for (let period = 1; period <= 16 && 3 * period <= functions.length; period++) {
    let i = period;
    while (i < 3 * period && functions[i] === functions[i - period]) i++;
    if (i === 3 * period) return period;
  }
  return 0;
}

/** What languages call when they give up: the interesting place is who called it. */
const MACHINERY =
  /^(?:abort|_?_?assert_fail|__assert_fail|_Exit|__wasi_proc_exit|__cxa_|std::terminate|rust_panic|__?rust_|rust_begin_unwind|core::panicking|core::option::(?:unwrap|expect)_failed|core::result::unwrap_failed|core::slice::index|std::panicking|std::process::abort|std::sys|std::alloc|alloc::alloc|alloc::raw_vec|~lib\/|runtime\.(?:_panic|nilPanic|lookupPanic|slicePanic|runtimePanic|abort)|dlabort|emscripten_|undefined:|undefined_weak:)/;

function firstUserFrame(report: TrapReport): ReportFrame | null {
  const frames = report.frames.filter(f => f.kind === 'wasm');
  const user = frames.find(f => !MACHINERY.test(f.functionName));
  return user ?? frames[0] ?? null;
}

// ------------------------------------------------------------------------------------------------------------ Source lines

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

/** The path is the module's word: only a plain file is read, and of it one line. */
function sourceLine({ file, line }: SourcePosition): string | null {
  if (line === 0 || file.includes('\0')) return null;
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return null;
  }
  try {
    const st = fstatSync(fd);
    if (!st.isFile() || st.size > MAX_SOURCE_BYTES) return null;
    return readFileSync(fd, 'utf8').split('\n', line)[line - 1]?.replace(/\r$/, '') ?? null;
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

// --------------------------------------------------------------------------------------------------------------- Backtrace

function backtrace(report: TrapReport, style: ReportStyle, c: Colors): string[] {
  const frames = style.full ? report.frames : report.frames.filter(f => f.kind !== 'host');
  if (frames.length === 0) return [];
  const shown = style.full ? frames : frames.slice(0, SHORT_FRAMES);
  const width = Math.max(...shown.map(f => (f.kind === 'wasm' ? Math.min(40, shownName(f).length) : 0)));
  const lines = ['', '  backtrace:'];
  let number = 0;
  for (const frame of shown) {
    if (frame.kind === 'elided') {
      lines.push(c.dim(`        ... ${count(frame.count)} frames ...`));
      number += frame.count;
    } else if (frame.kind === 'host') {
      lines.push(c.dim('        (host)'));
    } else {
      lines.push(`  ${`#${number}`.padStart(5)} ${shownName(frame).padEnd(width)} ${place(frame, style, c)}`);
      number++;
    }
  }
  const left = report.totalFrames - number;
  if (left > 0)
    lines.push(c.dim(`        ... ${count(left)} more${style.full ? '' : ' (--backtrace full shows more)'}`));
  return lines;
}

function place(frame: ReportFrame, style: ReportStyle, c: Colors): string {
  const offset = `${printable(frame.moduleName)}+0x${frame.wasmOffset.toString(16)}`;
  if (frame.source === null) return `at ${c.dim(offset)}`;
  return `at ${c.cyan(shownPosition(frame.source))}${style.full ? c.dim(` (${offset})`) : ''}`;
}
