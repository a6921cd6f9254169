/**
 * What lucet-objdump shows: a report of a compiled module as plain data (`--json` prints that), and its text form.
 * Numbers over 2^53 are decimal strings in the report.
 */
import { ConstKind, SegmentMode } from '../abi/artifact.ts';
import { TRAPS } from '../abi/traps.ts';
import type { Artifact, CodeKind, ConstInfo, ExternType, TypeLinks } from '../object/artifact-reader.ts';
import {
  type ConstOp,
  ExternKind,
  type FuncType,
  type GlobalType,
  type Limits,
  type MemoryType,
  type TableType,
  ValType,
} from '../wasm/module.ts';
import { bitsText, typeName } from '../wasm/types.ts';

const KINDS: Readonly<Record<number, string>> = {
  [ExternKind.Func]: 'function',
  [ExternKind.Table]: 'table',
  [ExternKind.Memory]: 'memory',
  [ExternKind.Global]: 'global',
  [ExternKind.Tag]: 'tag',
};
const MODES = ['active', 'passive', 'declarative'] as const;
const MACHINES: Readonly<Record<number, string>> = { 62: 'x86-64', 183: 'aarch64' };

type Num = number | string;

export interface SignatureInfo {
  readonly key: string | null;
  readonly verified: boolean;
}

export interface ObjdumpReport {
  readonly file: string;
  readonly version: number;
  readonly name: string;
  readonly machine: string;
  readonly moduleHash: string;
  readonly checksum: string;
  readonly cpuFeatures: readonly string[];
  /** Whether calls see to the thread's floating-point modes. */
  readonly floats: boolean;
  readonly requiredSymbols: readonly string[];
  readonly heap: {
    readonly mode: string;
    readonly reservedBytes: Num;
    readonly memories: readonly {
      index: number;
      imported: boolean;
      type: string;
      minPages: Num;
      maxPages: Num | null;
    }[];
  };
  readonly vmctxBytes: number;
  readonly sizes: { readonly text: number; readonly rodata: number; readonly file: number };
  readonly tables: readonly { index: number; imported: boolean; type: string }[];
  readonly signatures: readonly { index: number; type: string; canonical: number }[];
  readonly functions: readonly {
    index: number;
    kind: CodeKind;
    name: string;
    signature: number;
    start: number;
    length: number;
    frameSize: number;
    trapSites: number;
    /** Number of trap sites of each kind. */
    traps: Readonly<Record<string, number>>;
  }[];
  readonly globals: readonly { index: number; imported: boolean; type: string; value: string | null }[];
  readonly tags: readonly { index: number; imported: boolean; type: string }[];
  readonly tryTables: readonly { index: number; parent: number | null; catches: readonly string[] }[];
  readonly landings: readonly { site: number; pad: number; tryTable: number }[];
  readonly imports: readonly {
    module: string;
    name: string;
    kind: string;
    index: number;
    type: string;
    symbol: string | null;
  }[];
  readonly exports: readonly { name: string; kind: string; index: number; type: string }[];
  readonly data: readonly {
    index: number;
    mode: string;
    memory: number;
    offset: string | null;
    length: number;
  }[];
  readonly elements: readonly {
    index: number;
    mode: string;
    table: number;
    offset: string | null;
    type: string;
    length: number;
  }[];
  readonly start: number | null;
  /** Key that the module is said to be signed by, and whether that was verified; null: it is not signed. */
  readonly signature: SignatureInfo | null;
  readonly debugInfo: {
    readonly kinds: readonly string[];
    readonly sections: readonly { name: string; length: number }[];
  };
  readonly options: Readonly<Record<string, unknown>>;
}

function num(v: bigint): Num {
  return v <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(v) : v.toString();
}

function limitsText(l: Limits): string {
  return l.max === null ? `${l.min}` : `${l.min}..${l.max}`;
}

function typeText(t: FuncType, links: TypeLinks): string {
  const text = ['', 'struct', 'array'][links.kind] || funcText(t);
  const above = links.supertype < 0 ? '' : ` below ${links.supertype}`;
  const last = links.group + links.groupSize - 1;
  return `${text}${above}${last > links.group ? `, recursive with ${links.group} to ${last}` : ''}`;
}

function funcText(t: FuncType): string {
  const list = (types: readonly ValType[]) => `(${types.map(typeName).join(', ')})`;
  return `${list(t.params)} -> ${list(t.results)}`;
}

function memoryText(m: MemoryType): string {
  const pages = m.pageSizeLog2 === 16 ? 'pages' : `pages of ${2 ** m.pageSizeLog2} bytes`;
  return `${m.index64 ? 'i64 ' : ''}${limitsText(m.limits)} ${pages}${m.shared ? ', shared' : ''}`;
}

function tableText(t: TableType): string {
  return `${t.index64 ? 'i64 ' : ''}${limitsText(t.limits)} ${typeName(t.element)}`;
}

function globalText(g: GlobalType): string {
  return `${g.mutable ? 'mutable ' : ''}${typeName(g.type)}`;
}

function externText(t: ExternType): string {
  switch (t.kind) {
    case ExternKind.Func:
      return funcText(t.type);
    case ExternKind.Table:
      return tableText(t.table);
    case ExternKind.Memory:
      return memoryText(t.memory);
    case ExternKind.Global:
      return globalText(t.global);
    case ExternKind.Tag:
      return funcText(t.type);
  }
}

function constText(c: ConstInfo, type: ValType): string {
  switch (c.kind) {
    case ConstKind.GlobalGet:
      return `global ${c.index}`;
    case ConstKind.RefNull:
      return 'null';
    case ConstKind.RefFunc:
      return `function ${c.index}`;
    case ConstKind.Code:
      return c.code.map(constOpText).join(' ');
    case ConstKind.Bits:
      return bitsText(c.bits, type);
  }
}

/** Postfix, as in the text format. */
function constOpText(op: ConstOp): string {
  switch (op.op) {
    case 'const':
      return bitsText(op.bits, op.type);
    case 'global.get':
      return `global ${op.index}`;
    case 'ref.null':
      return 'null';
    case 'ref.func':
      return `function ${op.index}`;
    case 'array.new_default':
      return `array.new_default ${op.index}`;
    default:
      return `${typeName(op.type)}.${op.op}`;
  }
}

/** Which kinds of debug information an artifact has. */
function debugKinds(a: Artifact): string[] {
  const names = [...a.debugSections.keys()];
  const kinds: string[] = [];
  if (names.some(n => n.startsWith('.debug_'))) kinds.push('DWARF');
  if (names.includes('sourceMappingURL')) kinds.push('source map');
  if (names.includes('external_debug_info')) kinds.push('external');
  for (let i = 0; i < a.functionCount; i++) {
    if (a.func(i).name !== '') {
      kinds.push('names');
      break;
    }
  }
  return kinds;
}

function functionReport(a: Artifact, i: number): ObjdumpReport['functions'][number] {
  const f = a.func(i);
  const traps: Record<string, number> = {};
  let trapSites = 0;
  for (const e of a.pcMap(i)) {
    if (e.trap === 0) continue;
    const name = TRAPS[e.trap]!.name;
    traps[name] = (traps[name] ?? 0) + 1;
    trapSites++;
  }
  return {
    index: i,
    kind: f.kind,
    name: a.describe(i),
    signature: f.typeIndex,
    start: f.start,
    length: f.length,
    frameSize: f.frameSize,
    trapSites,
    traps,
  };
}

function heapReport(a: Artifact): ObjdumpReport['heap'] {
  return {
    mode: a.memoryMode,
    reservedBytes: num(a.reservedSize),
    memories: a.memories.map((m, index) => ({
      index,
      imported: index < a.importedMemories,
      type: memoryText(m),
      minPages: num(m.limits.min),
      maxPages: m.limits.max === null ? null : num(m.limits.max),
    })),
  };
}

/** @throws ArtifactError when what is shown is damaged */
export function report(a: Artifact, file: string, signature: SignatureInfo | null = null): ObjdumpReport {
  // Offsets of segments are addresses: unsigned.
  const offsetOf = (mode: SegmentMode, c: ConstInfo): string | null =>
    mode !== SegmentMode.Active ? null : c.kind === ConstKind.Bits ? `${c.bits}` : constText(c, ValType.I64);
  const importedTags = a.imports.filter(i => i.desc.kind === ExternKind.Tag).length;
  return {
    file,
    version: a.version,
    name: a.name,
    machine: MACHINES[a.machine] ?? `machine ${a.machine}`,
    moduleHash: a.moduleHash,
    checksum: a.checksum.toString(16).padStart(8, '0'),
    cpuFeatures: a.cpuFeatures,
    floats: a.hasFloats,
    requiredSymbols: a.imports.filter(i => i.symbol !== '').map(i => i.symbol),
    heap: heapReport(a),
    vmctxBytes: a.vmctx.size,
    sizes: { text: a.text.length, rodata: a.rodata.length, file: a.bytes.length },
    tables: a.tables.map((t, index) => ({ index, imported: index < a.importedTables, type: tableText(t) })),
    signatures: a.types.map((t, index) => ({
      index,
      type: typeText(t, a.typeLinks[index]!),
      canonical: a.typeLinks[index]!.canonical,
    })),
    functions: Array.from({ length: a.recordCount }, (_, i) => functionReport(a, i)),
    globals: a.globals.map((g, index) => ({
      index,
      imported: g.init === null,
      type: globalText(g),
      value: g.init === null ? null : constText(g.init, g.type),
    })),
    tags: a.tags.map((t, index) => ({
      index,
      imported: index < importedTags,
      type: funcText(a.types[t]!),
    })),
    tryTables: a.tryScopes.map(({ parent, clauses }, index) => ({
      index,
      parent,
      catches: clauses.map(c => (c.tag === null ? 'all' : `tag ${c.tag}`)),
    })),
    landings: a.landings.map(({ site, pad, scope }) => ({ site, pad, tryTable: scope })),
    imports: a.imports.map(i => ({
      module: i.module,
      name: i.name,
      kind: KINDS[i.desc.kind]!,
      index: i.index,
      type: externText(i.desc),
      symbol: i.symbol === '' ? null : i.symbol,
    })),
    exports: a.exports.map(e => ({
      name: e.name,
      kind: KINDS[e.desc.kind]!,
      index: e.index,
      type: externText(e.desc),
    })),
    data: a.data.map((d, index) => ({
      index,
      mode: MODES[d.mode]!,
      memory: d.memory,
      offset: offsetOf(d.mode, d.offset),
      length: d.bytes.length,
    })),
    elements: a.elems.map((e, index) => ({
      index,
      mode: MODES[e.mode]!,
      table: e.table,
      offset: offsetOf(e.mode, e.offset),
      type: typeName(e.type),
      length: e.items.length,
    })),
    start: a.start,
    signature,
    debugInfo: {
      kinds: debugKinds(a),
      sections: [...a.debugSections].map(([name, bytes]) => ({ name, length: bytes.length })),
    },
    options: a.options,
  };
}

const hex = (n: number, width = 0) => `0x${n.toString(16).padStart(width, '0')}`;

/** Columns of numbers, whatever the table. */
const NUMBERS: ReadonlySet<string> = new Set(
  'index start length frame traps signature memory table offset'.split(' '),
);

/** Columns, each as wide as its widest cell. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((h, i) => rows.reduce((w, r) => Math.max(w, r[i]!.length), h.length));
  const line = (cells: readonly string[]) =>
    `  ${cells.map((c, i) => (NUMBERS.has(head[i]!) ? c.padStart(widths[i]!) : c.padEnd(widths[i]!))).join('  ')}`.trimEnd();
  return [line(head), ...rows.map(line)];
}

/** For printing: control characters would disturb the terminal, and names are the module's. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

const KIND_NOTES: Readonly<Record<CodeKind, string>> = {
  function: '',
  import: 'wrapper of an import',
  'host-thunk': 'to the host',
  'entry-thunk': 'from the host',
};

function signatureLine(s: SignatureInfo | null): string {
  if (s === null) return 'none';
  return `by key ${s.key ?? '(unreadable)'}, ${s.verified ? 'verified' : 'not verified'}`;
}

function facts(r: ObjdumpReport): [name: string, value: string][] {
  return [
    ['format version', `${r.version}`],
    ['machine', r.machine],
    ['needs', r.cpuFeatures.join(' ') || 'nothing beyond the baseline'],
    ['floating point', r.floats ? 'yes' : 'none'],
    ['module name', r.name === '' ? 'none' : r.name],
    ['module SHA-256', `${r.moduleHash}\u2026`],
    ['checksum', r.checksum],
    ['heap', `${r.heap.mode}, ${r.heap.reservedBytes} bytes reserved`],
    ['instance data', `${r.vmctxBytes} bytes`],
    ['size', `code ${r.sizes.text}, constants ${r.sizes.rodata}, file ${r.sizes.file} bytes`],
    ['start function', r.start === null ? 'none' : `${r.start}`],
    ['signature', signatureLine(r.signature)],
    [
      'debug information',
      [
        r.debugInfo.kinds.join(', ') || 'none',
        ...r.debugInfo.sections.map(s => `${s.name} ${s.length}`),
      ].join('; '),
    ],
    ['options', JSON.stringify(r.options)],
    ['required symbols', r.requiredSymbols.join(' ') || 'none'],
  ];
}

type Section = readonly [title: string, head: readonly string[], rows: readonly (readonly string[])[]];

const imported = (flag: boolean): string => (flag ? 'imported' : '');

/** What a module has, by the order of its sections. */
function moduleSections(r: ObjdumpReport): Section[] {
  return [
    [
      'Memories',
      ['index', 'type', ''],
      r.heap.memories.map(m => [`${m.index}`, m.type, imported(m.imported)]),
    ],
    ['Tables', ['index', 'type', ''], r.tables.map(t => [`${t.index}`, t.type, imported(t.imported)])],
    [
      'Globals',
      ['index', 'type', 'value'],
      r.globals.map(g => [`${g.index}`, g.type, g.value ?? 'imported']),
    ],
    [
      'Signatures',
      ['index', 'type', ''],
      r.signatures.map(s => [`${s.index}`, s.type, s.canonical === s.index ? '' : `same as ${s.canonical}`]),
    ],
    [
      'Imports',
      ['kind', 'index', 'name', 'type', ''],
      r.imports.map(i => [
        i.kind,
        `${i.index}`,
        `${i.module}.${i.name}`,
        i.type,
        i.symbol === null ? '' : `bound to ${i.symbol}`,
      ]),
    ],
    [
      'Exports',
      ['kind', 'index', 'name', 'type'],
      r.exports.map(e => [e.kind, `${e.index}`, e.name, e.type]),
    ],
  ];
}

/** Code and data. */
function contentSections(r: ObjdumpReport): Section[] {
  return [
    [
      'Functions',
      ['index', 'start', 'length', 'frame', 'traps', 'signature', 'name', ''],
      r.functions.map(f => [
        `${f.index}`,
        f.length === 0 ? '-' : hex(f.start, 6),
        f.length === 0 ? '-' : `${f.length}`,
        f.length === 0 ? '-' : `${f.frameSize}`,
        `${f.trapSites}`,
        `${f.signature}`,
        f.name,
        f.length === 0 ? 'imported' : KIND_NOTES[f.kind],
      ]),
    ],
    [
      'Data segments',
      ['index', 'mode', 'memory', 'offset', 'length'],
      r.data.map(d => [
        `${d.index}`,
        d.mode,
        d.offset === null ? '-' : `${d.memory}`,
        d.offset ?? '-',
        `${d.length}`,
      ]),
    ],
    [
      'Element segments',
      ['index', 'mode', 'table', 'offset', 'type', 'length'],
      r.elements.map(e => [
        `${e.index}`,
        e.mode,
        e.offset === null ? '-' : `${e.table}`,
        e.offset ?? '-',
        e.type,
        `${e.length}`,
      ]),
    ],
  ];
}

/** The report for people. */
export function formatReport(r: ObjdumpReport): string {
  const lines = [r.file, ...facts(r).map(([name, value]) => `  ${name.padEnd(18)} ${value}`)];
  for (const [title, head, rows] of [...moduleSections(r), ...contentSections(r)]) {
    if (rows.length === 0) continue;
    lines.push('', `${title} (${rows.length})`);
    // A table may have more lines than a call can have arguments.
    for (const line of table(head, rows)) lines.push(line);
  }
  return `${lines.map(clean).join('\n')}\n`;
}
