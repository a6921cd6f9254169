/**
 * The compiler's entry point: bytes of a module in, bytes of a shared object out. Pure: no files, no process, no
 * threads.
 */
import type { CompiledFunc } from './backend/code.ts';
import { rejection } from './budget.ts';
import { CompileError } from './diagnostics.ts';
import { printFunc } from './ir/text-print.ts';
import { link } from './object/artifact-writer.ts';
import { type CompileOptions, defaultOptions } from './options.ts';
import { type Counters, codeCount, FunctionCompiler, moduleLayout } from './pipeline.ts';
import { decodeModule } from './wasm/decode.ts';
import type { Module } from './wasm/module.ts';

export { CompileError } from './diagnostics.ts';
export { type CompileOptions, defaultOptions } from './options.ts';

export interface CompileStats {
  /** Functions with a body. */
  readonly functions: number;
  readonly wasmCodeBytes: number;
  readonly textBytes: number;
  readonly artifactBytes: number;
  readonly totalMs: number;
  readonly counters: Counters;
}

/** Compile a decoded module on this thread. */
export function compileModule(
  module: Module,
  options: CompileOptions,
): { funcs: (CompiledFunc | null)[]; counters: Counters } {
  const compiler = new FunctionCompiler(module, options);
  const funcs: (CompiledFunc | null)[] = [];
  try {
    const count = codeCount(module);
    for (let i = 0; i < count; i++) funcs.push(compiler.compile(i));
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    throw rejection(module, options, moduleLayout(module), funcs.length, e);
  }
  return { funcs, counters: compiler.counters };
}

/**
 * Compile a module.
 * @param bytes a WebAssembly binary
 * @returns an ELF shared object (object/artifact-writer.ts)
 * @throws CompileError when the module is malformed, invalid, over a limit or needs a feature that is not there
 */
export function compile(bytes: Uint8Array, options: Partial<CompileOptions> = {}): Uint8Array {
  const all = defaultOptions(options);
  const module = decodeModule(bytes, all.wasmFeatures);
  return link(module, compileModule(module, all).funcs, moduleLayout(module), all);
}

/** The optimised intermediate code of all functions and thunks, as text. */
export function emitIr(module: Module, options: CompileOptions): string {
  const compiler = new FunctionCompiler(module, options);
  let text = '';
  for (let i = 0; i < codeCount(module); i++) {
    const func = compiler.ssa(i);
    if (func) text += `${printFunc(func)}\n`;
  }
  return text;
}
