/**
 * The record of a fault: one form for the command line, the editor and the debugger. It is plain data, good for JSON;
 * docs/trap-report.schema.json is its schema.
 */
import { ConstKind, SegmentMode } from '../compiler/abi/artifact.ts';
import { TRAPS } from '../compiler/abi/traps.ts';
import type { Call, FrameReader } from '../compiler/debuginfo/index.ts';
import { frameBases } from '../compiler/debuginfo/shadow-stack.ts';
import { shortTypeName } from '../compiler/debuginfo/type-names.ts';
import { Values } from '../compiler/debuginfo/values.ts';
import type { FuncType } from '../compiler/wasm/module.ts';
import { bitsText, typeName } from '../compiler/wasm/types.ts';
import { demangle } from './demangle.ts';
import { operatorAt, type TrapOperator } from './operators.ts';
import type { ModuleSymbols } from './symbols.ts';
import { explain } from './trap-explain.ts';
import type { FactFrame, FactModule, GuestState, TrapFacts } from './trap-facts.ts';

/** Bump when a field changes its meaning. */
export const TRAP_REPORT_VERSION = 2;

export interface SourcePosition {
  readonly file: string;
  /** From 1; 0: code of this file that belongs to no line. */
  readonly line: number;
  /** From 1, in bytes; 0: the whole line. */
  readonly column: number;
}

export interface ReportVariable {
  readonly name: string;
  readonly type: string;
  readonly kind: 'parameter' | 'local';
  /** One line; null: `missing` says why there is none. */
  readonly value: string | null;
  readonly missing: string | null;
}

export interface ReportFrame {
  /** host: here a host function was called which called the guest again. elided: `count` frames were left out. */
  readonly kind: 'wasm' | 'host' | 'elided';
  readonly moduleName: string;
  readonly functionIndex: number;
  /** Empty: unknown. */
  readonly functionName: string;
  /** The code of this call stands in the next frame's function: they have one native frame. */
  readonly isInlined: boolean;
  /** Byte offset in the wasm module. */
  readonly wasmOffset: number;
  /** Byte offset in .text; -1: unknown. Behind a call, except in the innermost frame. */
  readonly textOffset: number;
  readonly source: SourcePosition | null;
  /** Variables in scope, parameters first; null: nothing is known of them. */
  readonly variables: readonly ReportVariable[] | null;
  /** elided: number of frames. */
  readonly count: number;
}

export interface ReportAccess {
  readonly memory: number;
  /** Byte offset in the memory, decimal: the first one that could not be reached. */
  readonly offset: string;
  /** Size of the memory in bytes. */
  readonly memorySize: number;
  /** null: the operator is not known. */
  readonly operator: string | null;
  readonly write: boolean | null;
  /** Bytes of the access. */
  readonly size: number | null;
}

export interface ReportTable {
  readonly table: number;
  /** Elements; null: unknown. */
  readonly size: number | null;
  /** null: it can't be told from what is left of the guest. */
  readonly index: number | null;
  /** Signature of the call, `(i32) -> i32`. */
  readonly expected: string;
  /** Signature of the function that is there; null: none, or not known. */
  readonly actual: string | null;
  /** The function that is there. */
  readonly functionIndex: number | null;
  readonly functionName: string;
}

export interface TrapReport {
  readonly version: typeof TRAP_REPORT_VERSION;
  /**
   * trap: the guest's own fault. exception: thrown, and not caught. fault: generated code faulted where it can't, a
   * defect of the compiler or the runtime.
   */
  readonly kind: 'trap' | 'exception' | 'fault';
  /** Name of the trap code: "HeapOutOfBounds". */
  readonly code: string;
  /** "out of bounds memory access" */
  readonly message: string;
  /** What happened, from the facts: a sentence or two for people. */
  readonly explanation: string;
  readonly moduleName: string;
  /** The artifact's path, if it was loaded from a file. */
  readonly modulePath: string | null;
  /** First 16 bytes of the SHA-256 of the wasm module, in hex; empty: unknown. */
  readonly moduleHash: string;
  /** As lucetc recorded them; null: unknown. */
  readonly compileOptions: Readonly<Record<string, unknown>> | null;
  /** null: the trap has no place in the code (a segment that does not fit). */
  readonly functionIndex: number | null;
  readonly functionName: string;
  readonly wasmOffset: number | null;
  readonly source: SourcePosition | null;
  /** Index in `frames` of the first one that is the program's own: behind its language's panic or abort; null: none. */
  readonly userFrame: number | null;
  /** Memory access that trapped, where it is known. */
  readonly access: ReportAccess | null;
  /** Indirect call that trapped. */
  readonly table: ReportTable | null;
  /**
   * Number of the fault's signal; 4 (SIGILL) for a failed check of the guest's own; 0 when it was raised for the guest.
   */
  readonly signal: number;
  /** Addresses in hex; null: not a fault. */
  readonly faultAddress: string | null;
  readonly pc: string;
  /** x86-64, in hex; empty unless `signal`. */
  readonly registers: Readonly<Record<string, string>>;
  /** Innermost first; inlined calls included. */
  readonly frames: readonly ReportFrame[];
  /** Native frames of the whole backtrace; `frames` may tell fewer. */
  readonly totalFrames: number;
  readonly globals: readonly ReportGlobal[];
  /** Bytes around the access, or around the end of the memory where it is beyond; null: unknown. */
  readonly bytes: { readonly memory: number; readonly start: number; readonly hex: string } | null;
  /** What was found broken in the debug information. */
  readonly warnings: readonly string[];
}

interface ReportGlobal {
  readonly index: number;
  readonly type: string;
  /** A number as text; null: can't be read. */
  readonly value: string | null;
}

/** Bytes shown on either side of an access. */
const WINDOW = 256;
const MAX_GLOBALS = 64;
const MAX_VARIABLES = 100;
/** Frames whose variables are told. */
const FRAMES_WITH_VARIABLES = 24;
const FRAME_KINDS = ['wasm', 'host', 'elided'] as const;

/** null: nothing is known of that module. */
export type SymbolSource = (module: FactModule) => ModuleSymbols | null;

export function trapWords(code: number): { readonly name: string; readonly message: string } {
  const trap = TRAPS[code];
  return { name: trap?.name ?? 'Unknown', message: trap?.spec ?? `trap code ${code}` };
}

/** Makes a report of what is known. */
export function makeReport(facts: TrapFacts, symbolsOf: SymbolSource, state: GuestState): TrapReport {
  const known = facts.modules.map(m => symbolsOf(m));
  const module = facts.modules[facts.module] ?? null;
  const symbols = known[facts.module] ?? null;
  const operator = symbols?.wasm ? operatorAt(symbols.wasm, facts.wasmOffset) : null;
  const frames = reportFrames(facts, known, state);
  const first = frames[0]?.kind === 'wasm' ? frames[0] : null;
  const { name, message } = trapWords(facts.code);
  const draft: Omit<TrapReport, 'explanation'> = {
    version: TRAP_REPORT_VERSION,
    kind: facts.kind,
    code: name,
    message,
    moduleName: module?.label ?? '',
    modulePath: module?.path ?? null,
    moduleHash: module?.hash ?? '',
    compileOptions: symbols?.artifact.options ?? null,
    functionIndex: first === null ? null : facts.functionIndex,
    functionName: first?.functionName ?? '',
    wasmOffset: first === null ? null : facts.wasmOffset,
    source: first?.source ?? null,
    userFrame: userFrame(frames),
    access: reportAccess(facts, operator),
    table: symbols === null ? null : reportTable(facts, operator, symbols, state),
    signal: facts.signal,
    faultAddress: facts.faultAddress,
    pc: facts.pc,
    registers: facts.registers,
    frames,
    totalFrames: facts.totalFrames,
    globals: symbols === null ? [] : reportGlobals(symbols, state),
    bytes: reportBytes(facts, state),
    warnings: [
      ...new Set(known.flatMap(s => (s === null ? [] : [...s.warnings, ...(s.debug?.warnings ?? [])]))),
    ],
  };
  return { ...draft, explanation: explain(draft, facts.aborted ?? null) };
}

function reportAccess(facts: TrapFacts, operator: TrapOperator | null): ReportAccess | null {
  if (facts.access === null) return null;
  const access = operator?.kind === 'access' ? operator : null;
  return {
    ...facts.access,
    operator: operator === null || operator.kind === 'call_indirect' ? null : operator.name,
    write: access?.write ?? null,
    size: access?.bytes ?? null,
  };
}

// ------------------------------------------------------------------------------------------------------------------- Frames

/**
 * A frame of optimised code: memory and globals are there, locals only if they hold an address of the frame in memory.
 */
export function frameReader(state: GuestState, bases: ReadonlyMap<number, number> | null): FrameReader {
  return {
    memory: (address, length) => state.memory(0, address, length),
    local(index) {
      const base = bases?.get(index);
      return base === undefined ? null : BigInt(base);
    },
    global: index => state.global(index),
    operand: () => null,
  };
}

function reportFrames(
  facts: TrapFacts,
  known: readonly (ModuleSymbols | null)[],
  state: GuestState,
): ReportFrame[] {
  const bases = stackBases(facts, known, state);
  return facts.frames.flatMap((frame, i) => {
    const symbols = known[frame.module] ?? null;
    const withVariables = i < FRAMES_WITH_VARIABLES && frame.module === facts.module;
    return expandFrame(
      frame,
      facts.modules[frame.module]?.label ?? '',
      symbols,
      withVariables ? frameReader(state, bases[i] ?? null) : null,
      state,
    );
  });
}

/**
 * Where each frame's variables in memory lie: see shadow-stack.ts. Frames of other modules, or that were left out, end
 * it.
 */
export function stackBases(
  facts: TrapFacts,
  known: readonly (ModuleSymbols | null)[],
  state: GuestState,
): (ReadonlyMap<number, number> | null)[] {
  const symbols = known[facts.module] ?? null;
  if (symbols?.wasm == null) return [];
  const { wasm } = symbols;
  const end = facts.frames.findIndex(f => f.kind !== 0 || f.module !== facts.module);
  const frames = end < 0 ? facts.frames : facts.frames.slice(0, end);
  return frameBases(frames, { bytes: wasm, body: f => symbols.body(f) }, global => {
    const v = state.global(global);
    return v === null ? null : Number(BigInt.asUintN(32, v));
  });
}

function expandFrame(
  frame: FactFrame,
  moduleName: string,
  symbols: ModuleSymbols | null,
  reader: FrameReader | null,
  state: GuestState,
): ReportFrame[] {
  const base: ReportFrame = {
    kind: FRAME_KINDS[frame.kind] ?? 'wasm',
    moduleName,
    functionIndex: frame.functionIndex,
    functionName: demangle(frame.functionName),
    isInlined: false,
    wasmOffset: frame.wasmOffset,
    textOffset: frame.textOffset,
    source: null,
    variables: null,
    count: frame.count,
  };
  const debug = symbols?.debug ?? null;
  if (frame.kind !== 0 || symbols === null || debug === null) return [base];
  const at = symbols.codeOffset(frame.wasmOffset);
  const calls = debug.calls(at);
  if (calls.length === 0) return [{ ...base, source: debug.lookup(at) }];
  return calls.map(call => ({
    ...base,
    functionName: callName(call, frame.functionName),
    isInlined: call.isInlined,
    source: call.source,
    variables: reader === null ? null : reportVariables(symbols, call, at, reader, state),
  }));
}

/** What clang calls C's `main`, by its parameters. */
const MAIN = /^__(?:original_main|main_void|main_argc_argv)$/;

/**
 * The name section's has parameters, or the name of a specialisation; inlined calls have only their own.
 * @param functionName in the name section; '': none
 */
export function callName(call: Call, functionName: string): string {
  const own = call.name || demangle(call.linkageName);
  const isOwn = call.isInlined || functionName === '' || (call.name === 'main' && MAIN.test(functionName));
  return isOwn ? own : demangle(functionName);
}

function reportVariables(
  symbols: ModuleSymbols,
  call: Call,
  at: number,
  reader: FrameReader,
  state: GuestState,
): ReportVariable[] {
  const { debug } = symbols;
  if (debug === null) return [];
  const values = valuesIn(symbols, state, call, at, reader);
  const found: ReportVariable[] = [];
  for (const v of debug.variables(call)) {
    if (found.length >= MAX_VARIABLES) break;
    if (v.kind === 'static') continue;
    const place = debug.locate(v, call, at, reader);
    const text = values.describe(values.value(v.type, place));
    const missing = place.kind === 'missing' || /^<.*>$/s.test(text) ? text.replace(/^<|>$/g, '') : null;
    found.push({
      name: v.name,
      type: shortTypeName(v.type.name),
      kind: v.kind,
      value: missing === null ? text : null,
      missing,
    });
  }
  return found;
}

/** The values of a frame's variables, with what the module and its state tell of them. */
export function valuesIn(
  symbols: ModuleSymbols,
  state: GuestState,
  call: Call | null,
  codeOffset: number,
  reader: FrameReader,
): Values {
  const { debug } = symbols;
  return new Values(reader, {
    functionAt: index => functionNameAt(symbols, state, index),
    referred: die => debug?.referred(die, call, codeOffset, reader) ?? null,
    implementor: vtable => debug?.implementor(vtable) ?? null,
  });
}

/** Name of the function that a function pointer means: an index in table 0. */
function functionNameAt(symbols: ModuleSymbols, state: GuestState, index: number): string | null {
  const functionIndex = isImage(symbols, state, 0)
    ? initialElement(symbols, 0, index)
    : (state.tableElement(0, index)?.functionIndex ?? null);
  return functionIndex === null ? null : demangle(symbols.artifact.describe(functionIndex));
}

/** The elements of a table that never changes are not kept with the instance. */
function isImage(symbols: ModuleSymbols, state: GuestState, table: number): boolean {
  return (
    symbols.artifact.tables[table] !== undefined &&
    (!state.tableSize(table) || state.tableElement(table, 0) === null)
  );
}

/** What languages call when they give up: the interesting place is who called it. */
const MACHINERY =
  /^(?:_?abort$|_?_?assert_fail|__assert_fail|_Exit$|__wasi_proc_exit|__cxa_|std::terminate|std::__\w+::|rust_panic|__?rust_|rust_begin_unwind|core::|std::|alloc::|panic_abort::|<(?:core|std|alloc)|<.* as core::|~lib\/|runtime\.(?:_panic|nilPanic|lookupPanic|slicePanic|runtimePanic|abort)|(?:os|posix)\.abort$|builtin\.(?:default_panic|panic\w)|debug\.(?:panic|defaultPanic|FullPanic)|dlabort|emscripten_|undefined:|undefined_weak:)/;
const LIBRARY_FILE =
  /(?:^|[\\/])(?:rustc[\\/][0-9a-f]{40}|library[\\/](?:std|core|alloc)|libc-top-half|libc-bottom-half|include[\\/]c\+\+|lib[\\/](?:zig[\\/])?std(?=.*\.zig$))[\\/]|^wasisdk:|^~lib\//;

/** Index of the first frame that is of the program, not of its language. */
export function userFrame(frames: readonly ReportFrame[]): number | null {
  const own = (f: ReportFrame): boolean =>
    f.kind === 'wasm' && !MACHINERY.test(f.functionName) && !LIBRARY_FILE.test(f.source?.file ?? '');
  const withLine = frames.findIndex(f => own(f) && f.source !== null && f.source.line > 0);
  // Frames without a line in front of one with: the library's, compiled without debug information.
  const at = withLine >= 0 ? withLine : frames.findIndex(own);
  return at < 0 ? null : at;
}

// -------------------------------------------------------------------------------------------------------------------- State

function reportGlobals(symbols: ModuleSymbols, state: GuestState): ReportGlobal[] {
  return symbols.artifact.globals.slice(0, MAX_GLOBALS).map(({ type }, index) => {
    const bits = state.global(index);
    return {
      index,
      type: typeName(type),
      value: bits === null ? null : bitsText(bits, type),
    };
  });
}

function reportBytes(facts: TrapFacts, state: GuestState): TrapReport['bytes'] {
  if (facts.access === null) return null;
  const { memory, offset, memorySize } = facts.access;
  const centre = Math.min(Number(BigInt(offset)), memorySize);
  const start = Math.max(0, centre - WINDOW);
  const bytes = state.memory(memory, start, Math.min(memorySize, centre + WINDOW) - start);
  return bytes === null || bytes.length === 0
    ? null
    : { memory, start, hex: Buffer.from(bytes).toString('hex') };
}

const INDIRECT = new Set(['IndirectCallToNull', 'BadSignature', 'TableOutOfBounds']);
/** Elements of a table that are searched for the one in a register. */
const MAX_TABLE = 100_000;
/** Bytes of an entry in the image of a table that never changes. */
const IMAGE_ENTRY = 8;

/**
 * Of an indirect call. Optimised code leaves the index and the element in whatever register it had them in; at the trap
 * all registers are as they were at the check, which tells most of it. A table that never changes is an image in
 * .rodata: two registers point into it, to its start and to the entry. Of others a register holds the address of an
 * element.
 */
function reportTable(
  facts: TrapFacts,
  operator: TrapOperator | null,
  symbols: ModuleSymbols,
  state: GuestState,
): ReportTable | null {
  const code = trapWords(facts.code).name;
  if (operator?.kind !== 'call_indirect' || !INDIRECT.has(code)) return null;
  const type = symbols.artifact.types[operator.typeIndex];
  if (type === undefined) return null;
  const { table } = operator;
  const live = state.tableSize(table);
  const declared = symbols.artifact.tables[table];
  const image = declared !== undefined && isImage(symbols, state, table);
  const size = image ? Number(declared.limits.min) : live;
  const registers = Object.entries(facts.registers)
    .filter(([name]) => name !== 'rip' && name !== 'rflags' && name !== 'rsp')
    .map(([, v]) => BigInt(v));
  const expected = signatureText(type);
  const base = { table, size, index: null, expected, actual: null, functionIndex: null, functionName: '' };
  if (code === 'TableOutOfBounds')
    return { ...base, index: size === null ? null : indexBeyond(registers, size) };
  const index = image
    ? imageIndex(facts, symbols, registers, size ?? 0)
    : liveIndex(code, table, size ?? 0, expected, registers, state);
  if (index === null || code === 'IndirectCallToNull') return { ...base, index };
  const functionIndex = image
    ? initialElement(symbols, table, index)
    : (state.tableElement(table, index)?.functionIndex ?? null);
  // Registers may hold other things that look so: neither an empty entry nor a function of the expected type fails this check.
  if (functionIndex === null) return base;
  const { artifact } = symbols;
  const actual = artifact.types[artifact.func(functionIndex).typeIndex];
  if (actual !== undefined && signatureText(actual) === expected) return base;
  return {
    ...base,
    index,
    actual: actual === undefined ? null : signatureText(actual),
    functionIndex,
    functionName: demangle(artifact.describe(functionIndex)),
  };
}

/** The check leaves the index in a register, often in two. */
function indexBeyond(registers: readonly bigint[], size: number): number | null {
  const low = registers.filter(v => v < 1n << 32n && v >= BigInt(size)).map(Number);
  const distinct = [...new Set(low)];
  if (distinct.length === 1) return distinct[0]!;
  const twice = distinct.filter(v => low.filter(x => x === v).length > 1);
  return twice.length === 1 ? twice[0]! : null;
}

function imageIndex(
  facts: TrapFacts,
  symbols: ModuleSymbols,
  registers: readonly bigint[],
  size: number,
): number | null {
  const innermost = facts.frames[0];
  if (innermost === undefined || innermost.textOffset < 0) return null;
  const { artifact } = symbols;
  const text = BigInt(facts.pc) - BigInt(innermost.textOffset);
  const rodata = text + BigInt(artifact.rodataAddress - artifact.textAddress);
  const inside = registers
    .filter(v => v >= rodata && v < rodata + BigInt(artifact.rodata.length))
    .map(v => Number(v - rodata));
  if (inside.length < 2) return null;
  const distance = Math.max(...inside) - Math.min(...inside);
  const index = distance / IMAGE_ENTRY;
  return Number.isInteger(index) && index < size ? index : null;
}

function liveIndex(
  code: string,
  table: number,
  size: number,
  expected: string,
  registers: readonly bigint[],
  state: GuestState,
): number | null {
  const held = new Set(registers);
  const low = new Set(registers.filter(v => v < 1n << 32n).map(Number));
  const fits: number[] = [];
  for (let i = 0; i < Math.min(size, MAX_TABLE); i++) {
    const element = state.tableElement(table, i);
    if (element === null) continue;
    if (code === 'IndirectCallToNull') {
      if (element.functionIndex === null && low.has(i)) fits.push(i);
    } else if (element.functionIndex !== null && held.has(element.record) && element.signature !== expected)
      fits.push(i);
  }
  if (fits.length === 1) return fits[0]!;
  // One function may be in several slots: the one whose number is in a register as well.
  const numbered = fits.filter(i => low.has(i));
  return code === 'BadSignature' && numbered.length === 1 ? numbered[0]! : null;
}

/** What an element segment with a constant offset puts into a table. */
function initialElement(symbols: ModuleSymbols, table: number, index: number): number | null {
  for (const elem of symbols.artifact.elems) {
    if (elem.mode !== SegmentMode.Active || elem.table !== table || elem.offset.kind !== ConstKind.Bits)
      continue;
    const item = elem.items[index - Number(elem.offset.bits)];
    if (item?.kind === ConstKind.RefFunc) return item.index;
  }
  return null;
}

/** `(i32, i64) -> f32` */
export function signatureText(type: FuncType): string {
  const results = type.results.map(typeName);
  return `(${type.params.map(typeName).join(', ')}) -> ${results.length === 1 ? results[0] : `(${results.join(', ')})`}`;
}
