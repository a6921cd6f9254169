/**
 * The trap inspector as HTML, from a trap's view and the code of its function. Pure. Everything that comes from a
 * module (names, paths, bytes) passes `text()`: it can only ever be text.
 */
import type { FunctionCode } from '../tool/protocol.ts';
import {
  boundsOf,
  grouped,
  type MemoryBytes,
  type Position,
  placeOf,
  shownName,
  type TrapView,
  type Variable,
} from './view.ts';

/** Escape for element content and quoted attributes. Characters that turn or hide text are shown by their number. */
export function text(s: string | number): string {
  return String(s)
    .replace(/[\p{Cc}\p{Cf}]/gu, c =>
      c === '\t' ? '    ' : `\\x${c.codePointAt(0)!.toString(16).padStart(2, '0')}`,
    )
    .replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
}

export interface SourceLines {
  readonly position: Position;
  /** Path here; null: the file is not here. */
  readonly path: string | null;
  /** Number of the first of `lines`. */
  readonly from: number;
  readonly lines: readonly string[];
}

export interface Page {
  readonly view: TrapView;
  readonly code: FunctionCode | null;
  readonly source: SourceLines | null;
  /** Whether the program can be run again, and in the debugger. */
  readonly canRerun: boolean;
  readonly hasCoredump: boolean;
}

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;

function positionText(p: Position): string {
  const file = p.file.replace(/^.*\//, '');
  return p.line === 0 ? file : p.column === 0 ? `${file}:${p.line}` : `${file}:${p.line}:${p.column}`;
}

/** A link that the script of the page sends to the extension. */
function sourceLink(p: Position): string {
  return `<a href="#" class="source" data-file="${text(p.file)}" data-line="${p.line}" data-column="${p.column}" title="${text(p.file)}">${text(positionText(p))}</a>`;
}

export function renderPage(page: Page): string {
  const { view } = page;
  return [header(page), explanation(view), bounds(view), columns(page), backtrace(view), tabs(page)].join(
    '\n',
  );
}

function header({ view, canRerun, hasCoredump }: Page): string {
  const { source } = placeOf(view);
  const place = source ? `<span class="at">at ${sourceLink(source)}</span>` : '';
  const name = shownName(view.functionName, view.functionIndex);
  const action = (command: string, label: string) =>
    `<button type="button" data-command="${command}">${label}</button>`;
  const buttons = [
    ...(canRerun ? [action('debug', 'Debug'), action('rerun', 'Re-run')] : []),
    ...(hasCoredump ? [action('coredump', 'Export Core Dump…')] : []),
    action('copy', 'Copy Report'),
    action('save', 'Save Report…'),
  ];
  return `<header>
  <div class="title"><span class="icon" aria-hidden="true">⚠</span><h1>${text(view.message || view.code)}</h1><code class="code">${text(view.code)}</code></div>
  <div class="place">in <code>${text(name)}</code> ${place}</div>
  <div class="actions" role="toolbar" aria-label="Actions">${buttons.join('')}</div>
</header>`;
}

function explanation(view: TrapView): string {
  const sentences = view.explanation.length > 0 ? view.explanation : defaultExplanation(view);
  if (sentences.length === 0) return '';
  return `<section class="explanation">${sentences.map(s => `<p>${text(s)}</p>`).join('')}</section>`;
}

/** Explanations for reports that have none of their own. */
const WORDS: Readonly<Record<string, string>> = {
  HeapOutOfBounds: 'The program accessed memory outside of its bounds.',
  StackOverflow: 'The stack is full: deep recursion, or large variables on the stack.',
  IntegerDivByZero: 'An integer was divided by zero.',
  IntegerOverflow: 'The result of a division, or of a conversion from floating point, does not fit its type.',
  BadConversionToInteger: 'A floating-point number that is not a number (NaN) was converted to an integer.',
  IndirectCallToNull: 'A function was called through a null function pointer.',
  BadSignature: 'A function was called through a pointer of another type than the function has.',
  TableOutOfBounds: 'A function pointer, or another table index, is beyond the end of its table.',
  Unreachable:
    'The program gave up: an abort, a failed assertion or a panic, or code that its compiler took for unreachable.',
};

function defaultExplanation(view: TrapView): string[] {
  return Object.hasOwn(WORDS, view.code) ? [WORDS[view.code]!] : [];
}

function bounds(view: TrapView): string {
  if (view.access === null) return '';
  const b = boundsOf(view.access);
  const percent = (n: number) => `${(n * 100).toFixed(2)}%`;
  // An SVG: the page's policy allows no inline styles.
  const bars = b.parts.map(
    p =>
      `<rect class="${p.kind}" x="${percent(p.from)}" y="8" width="${percent(p.to - p.from)}" height="16"><title>${text(p.label)}</title></rect>` +
      `<text class="label" x="${percent((p.from + p.to) / 2)}" y="38" text-anchor="middle">${text(p.label)}</text>`,
  );
  return `<section class="bounds" aria-label="Where the access lies">
  <svg role="img" aria-label="${text(b.words)}" width="100%" height="44">${bars.join('')}<line class="tick" x1="${percent(b.tick)}" x2="${percent(b.tick)}" y1="2" y2="28"/></svg>
  ${view.explanation.length > 0 ? '' : `<p class="facts">${text(b.words)}</p>`}
</section>`;
}

// ---- Source │ WAT │ native

function columns({ view, code, source }: Page): string {
  if (code === null && source === null) return '';
  const parts: string[] = [];
  if (source) parts.push(column('source', 'Source', sourceRows(source, view, code)));
  if (code?.wat) parts.push(column('wat', 'WAT', watRows(code, view)));
  if (code?.native) parts.push(column('native', 'x86-64', nativeRows(code, view)));
  const note = code?.note ? `<p class="note">${text(code.note)}</p>` : '';
  return `<section class="columns" aria-label="Code">${parts.join('')}</section>${note}`;
}

function column(kind: string, title: string, rows: string): string {
  return `<div class="column ${kind}"><h2>${title}</h2><div class="rows" tabindex="0" role="list" aria-label="${title}">${rows}</div></div>`;
}

/** A row: `offsets` are the bytes of wasm that it stands for, which link the three columns. */
function row(
  offsets: readonly number[],
  fault: boolean,
  gutter: string,
  contents: string,
  extra = '',
): string {
  const data = offsets.length === 0 ? '' : ` data-offsets="${offsets.join(' ')}"`;
  return `<div role="listitem" class="row${fault ? ' fault' : ''}"${data}${extra}><span class="gutter">${gutter}</span><span class="text">${contents}</span></div>`;
}

function sourceRows(source: SourceLines, view: TrapView, code: FunctionCode | null): string {
  const file = code?.files.indexOf(source.position.file) ?? -1;
  const byLine = new Map<number, number[]>();
  for (const r of code?.wat ?? []) {
    if (r.file !== file || file < 0) continue;
    const known = byLine.get(r.line);
    if (known) known.push(r.offset);
    else byLine.set(r.line, [r.offset]);
  }
  const at = view.source?.file === source.position.file ? view.source.line : source.position.line;
  return source.lines
    .map((line, i) => {
      const n = source.from + i;
      return row(byLine.get(n) ?? [], n === at, String(n), text(line) || ' ');
    })
    .join('');
}

function watRows(code: FunctionCode, view: TrapView): string {
  return code
    .wat!.map(r =>
      row(
        [r.offset],
        r.offset === view.wasmOffset && r.depth > 0,
        hex(r.offset),
        `${'  '.repeat(Math.min(r.depth, 40))}${text(r.text)}`,
      ),
    )
    .join('');
}

function nativeRows(code: FunctionCode, view: TrapView): string {
  // Of the instructions of the operator that trapped, the one that can: its note says so.
  const ofTrap = code.native!.filter(r => r.wasmOffset === view.wasmOffset);
  const fault = ofTrap.find(r => r.note.includes(`trap ${view.code}`)) ?? ofTrap[0];
  return code
    .native!.map(r => {
      const note = r.note === '' ? '' : ` <span class="comment">; ${text(r.note)}</span>`;
      return row(
        r.wasmOffset < 0 ? [] : [r.wasmOffset],
        r === fault,
        hex(r.address),
        `${text(r.text)}${note}`,
      );
    })
    .join('');
}

// ---- Backtrace

function backtrace(view: TrapView): string {
  if (view.frames.length === 0) return '';
  let number = 0;
  const rows = view.frames.map(f => {
    if (f.kind === 'elided') {
      number += f.count;
      return `<tr class="elided"><td></td><td colspan="2">${grouped(f.count)} frames left out</td></tr>`;
    }
    if (f.kind === 'host') return '<tr class="elided"><td></td><td colspan="2">(host)</td></tr>';
    const place = f.source
      ? sourceLink(f.source)
      : `<span class="comment">${text(f.moduleName)}+${hex(Math.max(0, f.wasmOffset))}</span>`;
    const name = `<code>${text(shownName(f.functionName, f.functionIndex))}</code>${f.inlined ? ' <span class="comment">inlined</span>' : ''}`;
    return `<tr><td class="number">#${number++}</td><td>${name}</td><td>${place}</td></tr>`;
  });
  const left = view.totalFrames - number;
  if (left > 0) rows.push(`<tr class="elided"><td></td><td colspan="2">${grouped(left)} more</td></tr>`);
  return `<section class="backtrace"><h2>Backtrace</h2><table>${rows.join('')}</table></section>`;
}

// ---- Tabs

function tabs(page: Page): string {
  const all: (readonly [id: string, title: string, contents: string])[] = [
    ['locals', 'Locals', locals(page.view)],
    ['registers', 'Registers', registers(page.view)],
    ['memory', 'Memory', memory(page.view)],
    ['globals', 'Globals', variableTable(page.view.globals, 'The report has no globals.')],
    ['table', 'Table', table(page.view)],
    ['module', 'Module', moduleFacts(page.view)],
  ];
  const first = all.findIndex(([, , contents]) => !contents.startsWith('<p class="note">'));
  const buttons = all.map(
    ([id, title], i) =>
      `<button type="button" role="tab" id="tab-${id}" aria-controls="panel-${id}" aria-selected="${i === first}" tabindex="${i === first ? 0 : -1}">${title}</button>`,
  );
  const panels = all.map(
    ([id, , contents], i) =>
      `<div role="tabpanel" id="panel-${id}" aria-labelledby="tab-${id}"${i === first ? '' : ' hidden'}>${contents}</div>`,
  );
  return `<section class="tabs"><div role="tablist" aria-label="Details">${buttons.join('')}</div>${panels.join('')}</section>`;
}

/** Frames whose variables are shown. */
const MAX_VARIABLE_FRAMES = 16;

function locals(view: TrapView): string {
  const frames = view.frames.filter(f => f.variables.length > 0).slice(0, MAX_VARIABLE_FRAMES);
  if (frames.length === 0)
    return '<p class="note">There is no debug information of variables: build with -g to see them.</p>';
  return frames
    .map(f => `<h3>${text(shownName(f.functionName, f.functionIndex))}</h3>${variableTable(f.variables, '')}`)
    .join('');
}

function variableTable(variables: readonly Variable[], none: string): string {
  if (variables.length === 0) return `<p class="note">${text(none)}</p>`;
  const rows = variables.map(v => {
    const value =
      v.missing === '' ? `<code>${text(v.value)}</code>` : `<span class="comment">${text(v.missing)}</span>`;
    return `<tr><td><code>${text(v.name)}</code></td><td>${value}</td><td class="comment">${text(v.type)}</td></tr>`;
  });
  return `<table><tr><th>Name</th><th>Value</th><th>Type</th></tr>${rows.join('')}</table>`;
}

const REGISTER_MEANINGS: Readonly<Record<string, string>> = {
  r15: 'first byte of memory 0',
  rsp: 'top of the stack',
  rip: 'the instruction that trapped',
};

function registers(view: TrapView): string {
  if (view.registers.length === 0)
    return '<p class="note">No fault raised this trap: there are no registers.</p>';
  const base = view.registers.find(([name]) => name === 'r15')?.[1];
  const cells = view.registers.map(([name, value]) => {
    let meaning = REGISTER_MEANINGS[name] ?? '';
    // A register that points into the heap is more useful as an address of the guest's.
    if (
      meaning === '' &&
      base &&
      view.access &&
      /^0x[0-9a-f]{1,16}$/.test(value) &&
      /^0x[0-9a-f]{1,16}$/.test(base)
    ) {
      const offset = BigInt(value) - BigInt(base);
      if (offset >= 0n && offset < view.access.memorySize) meaning = `memory + ${hex(offset)}`;
      else if (BigInt(value) === view.access.offset) meaning = 'the address';
    }
    return `<tr><td><code>${text(name)}</code></td><td><code>${text(value)}</code></td><td class="comment">${text(meaning)}</td></tr>`;
  });
  return `<table>${cells.join('')}</table>`;
}

const DUMP_WIDTH = 16n;

function memory(view: TrapView): string {
  if (view.memories.length === 0) {
    const why =
      view.access && view.access.offset >= view.access.memorySize
        ? 'There are no bytes at the address: it is outside of the memory.'
        : 'The report has no bytes of memory.';
    return `<p class="note">${why}</p>`;
  }
  return view.memories.map(m => dump(m, view)).join('');
}

function dump(m: MemoryBytes, view: TrapView): string {
  const at = view.access?.memory === m.memory ? view.access.offset : null;
  const lines: string[] = [];
  const end = m.start + BigInt(m.bytes.length);
  for (let line = m.start - (m.start % DUMP_WIDTH); line < end; line += DUMP_WIDTH) {
    const cells: string[] = [];
    let chars = '';
    for (let i = 0n; i < DUMP_WIDTH; i++) {
      const address = line + i;
      const b = address >= m.start && address < end ? m.bytes[Number(address - m.start)]! : null;
      const mark = address === at ? ' class="at"' : '';
      cells.push(`<td${mark}>${b === null ? '' : b.toString(16).padStart(2, '0')}</td>`);
      chars += b === null ? ' ' : b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.';
    }
    lines.push(
      `<tr><td class="address">${hex(line)}</td>${cells.join('')}<td class="chars">${text(chars)}</td></tr>`,
    );
  }
  return `<h3>Memory ${m.memory}</h3><table class="dump">${lines.join('')}</table>`;
}

function table(view: TrapView): string {
  if (view.table === null) return '<p class="note">This trap is not about a table.</p>';
  const { table: number, size, index, expected, actual, functionName } = view.table;
  const facts: [string, string][] = [
    ['Table', size === '' ? number : `${number}, of ${size} elements`],
    ['Element', index],
    ['Expected', expected],
    ['Found', actual || 'nothing'],
    ['Function', functionName],
  ];
  return factTable(facts.filter(([, v]) => v !== ''));
}

function factTable(facts: readonly (readonly [string, string])[]): string {
  return `<table>${facts.map(([k, v]) => `<tr><th scope="row">${text(k)}</th><td><code>${text(v)}</code></td></tr>`).join('')}</table>`;
}

function moduleFacts(view: TrapView): string {
  const facts: [string, string][] = [
    ['Module', view.moduleName],
    ['Artifact', view.modulePath ?? 'in memory'],
    ['Hash', view.moduleHash],
    ['Function', view.functionIndex === null ? '' : String(view.functionIndex)],
    ['Wasm offset', view.wasmOffset === null ? '' : hex(view.wasmOffset)],
    ['Program counter', view.pc],
    ['Faulting address', view.faultAddress ?? ''],
  ];
  const warnings = view.warnings.map(w => ['Debug information', w] as const);
  return factTable([...facts.filter(([, v]) => v !== ''), ...view.options, ...warnings]);
}
