/**
 * A trap's report as the inspector shows it. The report comes from a file or from the debug adapter: what is missing or
 * of another shape is left out, so that reports of older and newer versions are shown as far as they go. Pure: JSON in,
 * plain data out.
 */

export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1; 0: the whole line. */
  readonly column: number;
}

export interface ViewFrame {
  readonly kind: 'wasm' | 'host' | 'elided';
  readonly functionIndex: number;
  readonly functionName: string;
  readonly moduleName: string;
  readonly wasmOffset: number;
  readonly source: Position | null;
  /** Frames left out here. */
  readonly count: number;
  readonly inlined: boolean;
  readonly variables: readonly Variable[];
}

export interface Access {
  readonly memory: number;
  readonly offset: bigint;
  /** Bytes read or written; null: not known. */
  readonly size: number | null;
  readonly write: boolean | null;
  readonly memorySize: bigint;
  /** Bytes that the memory may grow to; null: not known. */
  readonly maxSize: bigint | null;
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly value: string;
  /** Why there is no value; empty: there is one. */
  readonly missing: string;
}

export interface MemoryBytes {
  readonly memory: number;
  readonly start: bigint;
  readonly bytes: Uint8Array;
}

export interface TrapView {
  readonly version: number;
  readonly code: string;
  readonly message: string;
  /** In sentences; may be empty. */
  readonly explanation: readonly string[];
  readonly moduleName: string;
  readonly modulePath: string | null;
  readonly moduleHash: string;
  readonly functionIndex: number | null;
  readonly functionName: string;
  readonly wasmOffset: number | null;
  readonly pc: string;
  readonly faultAddress: string | null;
  readonly source: Position | null;
  readonly access: Access | null;
  readonly frames: readonly ViewFrame[];
  readonly totalFrames: number;
  readonly registers: readonly (readonly [string, string])[];
  readonly globals: readonly Variable[];
  readonly table: {
    readonly table: string;
    readonly size: string;
    readonly index: string;
    readonly expected: string;
    readonly actual: string;
    readonly functionName: string;
  } | null;
  readonly memories: readonly MemoryBytes[];
  readonly options: readonly (readonly [string, string])[];
  /** Index in `frames`; -1: not told. */
  readonly userFrame: number;
  /** What was found broken in the debug information. */
  readonly warnings: readonly string[];
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);
const str = (v: unknown): string => (typeof v === 'string' ? v : '');
const num = (v: unknown, fallback: number): number =>
  typeof v === 'number' && Number.isFinite(v) ? v : fallback;
const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : []);

/** A number or a text of one, decimal or 0x…; null: neither. */
function big(v: unknown): bigint | null {
  if (typeof v === 'number' && Number.isSafeInteger(v)) return BigInt(v);
  if (typeof v === 'string' && /^(?:0x[0-9a-fA-F]{1,16}|-?\d{1,20})$/.test(v)) return BigInt(v);
  return null;
}

const text = (v: unknown): string =>
  typeof v === 'string'
    ? v
    : v === undefined || v === null
      ? ''
      : typeof v === 'object'
        ? JSON.stringify(v)
        : String(v);

function position(v: unknown): Position | null {
  if (!isObject(v) || str(v.file) === '') return null;
  return { file: str(v.file), line: num(v.line, 0), column: num(v.column, 0) };
}

function frames(v: unknown): ViewFrame[] {
  return list(v)
    .filter(isObject)
    .map(f => ({
      kind: f.kind === 'host' || f.kind === 'elided' ? f.kind : 'wasm',
      functionIndex: num(f.functionIndex, -1),
      functionName: str(f.functionName),
      moduleName: str(f.moduleName),
      wasmOffset: num(f.wasmOffset, -1),
      source: position(f.source),
      count: num(f.count, 0),
      inlined: f.isInlined === true,
      variables: variables(f.variables),
    }));
}

function variables(v: unknown): Variable[] {
  return list(v)
    .filter(isObject)
    .map(l => ({
      name: typeof l.name === 'string' ? l.name : text(l.index),
      type: str(l.type),
      value: text(l.value),
      missing: str(l.missing),
    }));
}

function memories(v: unknown): MemoryBytes[] {
  if (!isObject(v)) return [];
  const start = big(v.start);
  const hex = str(v.hex);
  if (start === null || !/^(?:[0-9a-fA-F]{2})+$/.test(hex)) return [];
  const bytes = Uint8Array.from(hex.match(/../g)!, b => Number.parseInt(b, 16));
  return [{ memory: num(v.memory, 0), start, bytes }];
}

function access(v: unknown): Access | null {
  if (!isObject(v)) return null;
  const offset = big(v.offset);
  const memorySize = big(v.memorySize);
  if (offset === null || memorySize === null) return null;
  return {
    memory: num(v.memory, 0),
    offset,
    size: typeof v.size === 'number' ? v.size : null,
    write: typeof v.write === 'boolean' ? v.write : null,
    memorySize,
    maxSize: big(v.maxSize),
  };
}

function pairs(v: unknown): (readonly [string, string])[] {
  return isObject(v) ? Object.entries(v).map(([k, x]) => [k, text(x)] as const) : [];
}

/** @throws Error: it is no report at all */
export function trapView(report: unknown): TrapView {
  if (!isObject(report) || str(report.code) === '')
    throw new Error('this is not a trap report: it has no "code"');
  const table = report.table;
  const explanation = report.explanation;
  return {
    version: num(report.version, 0),
    code: str(report.code),
    message: str(report.message),
    explanation: Array.isArray(explanation)
      ? explanation.map(text)
      : str(explanation) === ''
        ? []
        : [str(explanation)],
    moduleName: str(report.moduleName),
    modulePath: str(report.modulePath) || null,
    moduleHash: str(report.moduleHash),
    functionIndex: typeof report.functionIndex === 'number' ? report.functionIndex : null,
    functionName: str(report.functionName),
    wasmOffset: typeof report.wasmOffset === 'number' ? report.wasmOffset : null,
    pc: str(report.pc),
    faultAddress: str(report.faultAddress) || null,
    source: position(report.source),
    access: access(report.access),
    frames: frames(report.frames),
    totalFrames: num(report.totalFrames, list(report.frames).length),
    registers: pairs(report.registers),
    globals: variables(report.globals),
    table: isObject(table)
      ? {
          table: text(table.table),
          size: text(table.size),
          index: text(table.index),
          expected: text(table.expected),
          actual: text(table.actual),
          functionName: str(table.functionName),
        }
      : null,
    memories: memories(report.bytes),
    options: pairs(report.compileOptions),
    userFrame: num(report.userFrame, -1),
    warnings: list(report.warnings).map(text),
  };
}

/** The frame whose source is the trap's place: the program's own, behind its language's panic or abort. */
export function placeOf(view: TrapView): {
  readonly source: Position | null;
  readonly frame: ViewFrame | null;
} {
  const frame = view.frames[view.userFrame] ?? view.frames.find(f => f.kind === 'wasm') ?? null;
  return { source: frame?.source ?? view.source, frame };
}

/** A function's name as its author knows it: without the hash that Rust appends. */
export function shownName(functionName: string, functionIndex: number | null): string {
  const name = functionName.replace(/::h[0-9a-f]{16}$/, '');
  return name !== ''
    ? name
    : functionIndex === null || functionIndex < 0
      ? 'unknown function'
      : `function ${functionIndex}`;
}

export const grouped = (n: bigint | number): string => n.toString().replace(/\B(?=(\d{3})+$)/g, ',');

const PAGE = 65536n;

/** Where an access lies in its memory, in parts of the whole bar, and in words. */
export interface Bounds {
  readonly parts: readonly {
    readonly kind: 'heap' | 'growable' | 'guard';
    readonly from: number;
    readonly to: number;
    readonly label: string;
  }[];
  /** 0 to 1. */
  readonly tick: number;
  readonly words: string;
}

export function boundsOf({ memory, offset, size, write, memorySize, maxSize }: Access): Bounds {
  // Not to scale: an address four gigabytes away would leave nothing of the heap. Each part has its share, the tick its
  // place within.
  const heap = 0.5;
  const growable = maxSize !== null && maxSize > memorySize ? 0.75 : heap;
  const within = (low: bigint, high: bigint): number =>
    high <= low ? 0 : Math.min(1, Number(((offset - low) * 10000n) / (high - low)) / 10000);
  const limit = maxSize !== null && maxSize > memorySize ? maxSize : memorySize;
  const top = limit + (1n << 33n);
  let tick: number;
  if (offset < memorySize) tick = heap * within(0n, memorySize);
  else if (offset < limit) tick = heap + (growable - heap) * within(memorySize, limit);
  // Logarithmic: a few bytes and a few gigabytes beyond the end can both be told.
  else {
    const beyond = Number(offset - limit);
    tick = growable + (1 - growable) * Math.min(1, Math.log2(1 + beyond) / Math.log2(Number(top - limit)));
  }
  const parts: Bounds['parts'][number][] = [
    { kind: 'heap', from: 0, to: heap, label: `memory ${memory}: ${grouped(memorySize)} bytes` },
  ];
  if (growable > heap)
    parts.push({ kind: 'growable', from: heap, to: growable, label: `may grow to ${grouped(limit)} bytes` });
  parts.push({ kind: 'guard', from: growable, to: 1, label: 'guard' });
  const pages =
    memorySize % PAGE === 0n
      ? ` (${grouped(memorySize / PAGE)} ${memorySize === PAGE ? 'page' : 'pages'})`
      : '';
  const what =
    write === null
      ? 'Accessed'
      : `${write ? 'Wrote' : 'Read'}${size === null ? '' : ` ${size} ${size === 1 ? 'byte' : 'bytes'}`} at`;
  const where =
    offset < memorySize
      ? 'it begins inside and ends outside'
      : `${grouped(offset - memorySize)} bytes beyond the end`;
  return {
    parts,
    tick,
    words: `${what} 0x${offset.toString(16)}; memory ${memory} has 0x${memorySize.toString(16)} bytes${pages}: ${where}.`,
  };
}
