/** From IR text to disassembled x86-64 code, for tests of the backend: decoded by iced-x86, not by us. */
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import type { CpuFeature } from '../../abi/artifact.ts';
import { layoutVmctx } from '../../abi/vmctx.ts';
import { checkAllocation } from '../../backend/checker.ts';
import type { CompiledFunc } from '../../backend/code.ts';
import { MachFunc } from '../../backend/mach.ts';
import { allocate } from '../../backend/regalloc.ts';
import { Emitter } from '../../backend/x64/emit.ts';
import { Lowering } from '../../backend/x64/lower.ts';
import { printMach } from '../../backend/x64/print.ts';
import { X64_REGS } from '../../backend/x64/regs.ts';
import { DEFAULT_FEATURES } from '../../features.ts';
import { Cfg } from '../../ir/cfg.ts';
import { parseFuncs } from '../../ir/text-parse.ts';
import { verify } from '../../ir/verify.ts';
import { type FuncType, type MemoryType, type Module, plainFuncType, ValType } from '../../wasm/module.ts';

const I32 = ValType.I32;
const I64 = ValType.I64;
const F64 = ValType.F64;

/** Function types by index: function n has type n. Function 0 is imported. */
const TYPES: readonly FuncType[] = [
  { params: [I32], results: [I32] },
  { params: [], results: [] },
  { params: [I32, I64, F64], results: [I32, F64, I64] },
  { params: Array(8).fill(I32), results: Array(8).fill(I64) },
];

const memory: MemoryType = {
  limits: { min: 1n, max: null },
  index64: false,
  shared: false,
  pageSizeLog2: 16,
};

/** A module with `memories` memories, of which `imported` are imports, as far as the backend looks at it. */
export function backendModule(memories = 1, imported = 0): Module {
  return {
    bytes: new Uint8Array(0),
    features: DEFAULT_FEATURES,
    types: TYPES.map((t, i) => plainFuncType(i, t)),
    canonicalTypes: Int32Array.from(TYPES, (_, i) => i),
    imports: [],
    functions: Int32Array.from(TYPES, (_, i) => i),
    importedFunctions: 1,
    tables: [],
    importedTables: 0,
    tableInits: [],
    memories: Array(memories).fill(memory),
    importedMemories: imported,
    globalTypes: [],
    importedGlobals: 0,
    globals: [],
    tags: [],
    importedTags: 0,
    exports: [],
    start: null,
    elems: [],
    dataCount: -1,
    data: [],
    bodies: [],
    codeStart: 0,
    customSections: [],
    names: { module: null, functions: new Map(), globals: new Map(), locals: new Map() },
    tableImages: [],
    tablesWritten: [],
    escaping: new Int32Array(0),
  };
}

export interface Options {
  readonly features?: readonly CpuFeature[];
  readonly module?: Module;
}

function select(text: string, { features = [], module = backendModule() }: Options) {
  const func = parseFuncs(text)[0]!;
  verify(func);
  const cfg = new Cfg();
  cfg.compute(func);
  const m = new MachFunc();
  const layout = layoutVmctx({ memories: module.memories.length, tables: 0, globals: 0, funcImports: 1 });
  const unit = new Lowering({ module, layout, features: new Set(features) }).lower(func, cfg, m);
  return { func, m, unit };
}

/** Compile the function of an IR text, with the verifier and the allocation checker. */
export function compileIr(text: string, options: Options = {}): CompiledFunc {
  const { func, m, unit } = select(text, options);
  allocate(m, X64_REGS);
  checkAllocation(m, X64_REGS);
  return new Emitter().emit(func, m, unit);
}

/** The machine rows of a function before and after register allocation, printed. */
export function listings(text: string): { before: string; after: string } {
  const { m } = select(text, {});
  const before = printMach(m);
  allocate(m, X64_REGS);
  return { before, after: printMach(m) };
}

/** Instructions as text, and where they are; targets of branches are hexadecimal offsets. */
export function instructions(code: Uint8Array): { pc: number; text: string }[] {
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.spaceAfterOperandSeparator = false;
  formatter.branchLeadingZeros = false;
  formatter.showBranchSize = false;
  formatter.ripRelativeAddresses = true;
  const decoder = new Decoder(64, code, DecoderOptions.None);
  const out: { pc: number; text: string }[] = [];
  while (decoder.canDecode) {
    const i = decoder.decode();
    out.push({ pc: Number(i.ip), text: formatter.format(i) });
    i.free();
  }
  decoder.free();
  formatter.free();
  return out;
}

export function disassemble(code: Uint8Array): string[] {
  return instructions(code).map(i => i.text);
}

/**
 * A function with body `body` and parameters `params`, compiled and disassembled. The blocks' text follows `b0`'s head.
 */
export function asm(params: string, body: string, results = '', options: Options = {}): string[] {
  const arrow = results === '' ? '' : ` -> ${results}`;
  return disassemble(compileIr(`func 1 "f"${arrow} {\nb0(${params}):\n${body}\n}`, options).code);
}

/** How many instructions match. */
export function count(lines: readonly string[], pattern: RegExp): number {
  return lines.filter(l => pattern.test(l)).length;
}
