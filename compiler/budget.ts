/**
 * How much intermediate code and machine code a module may become as a whole, in proportion to its bytes
 * (wasm/limits.ts). Compile time follows from both, so a hostile module takes time in proportion to its size, however
 * it spreads its demands over functions.
 *
 * Each thread counts what it makes, and the sum is checked. Which function exceeds the budget depends on the order in
 * which threads compile, so the error a thread throws names no function; `rejection` finds the place, which is the same
 * for any number of threads.
 */
import type { VmctxLayout } from './abi/vmctx.ts';
import type { CompiledFunc } from './backend/code.ts';
import { CompileError } from './diagnostics.ts';
import { Func } from './ir/func.ts';
import type { CompileOptions } from './options.ts';
import { irWordsLimit, machineBytesLimit } from './wasm/limits.ts';
import { lowerFunction, validateFunction } from './wasm/lower.ts';
import type { Module } from './wasm/module.ts';

/** Bytes of all bodies. */
export function wasmCodeBytes(module: Module): number {
  return module.bodies.reduce((sum, b) => sum + b.end - b.start, 0);
}

/**
 * Size of a function's intermediate code: rows, and elements of lists (values that calls and branches pass are such).
 */
export function irWords(func: Func): number {
  return func.count + func.poolEnd;
}

const CAUSE =
  'So much becomes of calls, blocks, branches or imports that pass hundreds of values, and of functions with thousands of locals';

/** The module as a whole is over a limit. */
function tooMuch(what: string, limit: number, codeBytes: number): CompileError {
  return new CompileError(
    `too much code for ${codeBytes} bytes of functions: more than ${limit} ${what}. ${CAUSE}`,
    -1,
    'limit',
  );
}

/** What may still be made of a module's functions. */
export class ModuleBudget {
  private readonly codeBytes: number;
  private readonly irLimit: number;
  private irLeft: number;
  private codeLeft: number;

  constructor(module: Module) {
    this.codeBytes = wasmCodeBytes(module);
    this.irLimit = irWordsLimit(module.bodies.length, this.codeBytes);
    this.irLeft = this.irLimit;
    this.codeLeft = machineBytesLimit(this.codeBytes);
  }

  /** @throws CompileError without a function when all that were taken are too many */
  takeIr(words: number): void {
    this.irLeft -= words;
    if (this.irLeft < 0) throw tooMuch('words of intermediate code', this.irLimit, this.codeBytes);
  }

  /** @throws CompileError without a function when all that were taken are too many */
  takeCode(compiled: CompiledFunc | null): void {
    if (!compiled) return;
    this.codeLeft -= compiled.code.length + compiled.rodata.length;
    if (this.codeLeft < 0)
      throw tooMuch('bytes of machine code', machineBytesLimit(this.codeBytes), this.codeBytes);
  }
}

/**
 * The error for a module whose first functions, up to `end`, become too much intermediate code; it names the function
 * that has most of it. Null: they stay within the budget.
 * @throws CompileError of the first function that is over a limit of its own
 */
function tooMuchIr(
  module: Module,
  options: CompileOptions,
  layout: VmctxLayout,
  end: number,
): CompileError | null {
  const codeBytes = wasmCodeBytes(module);
  const limit = irWordsLimit(module.bodies.length, codeBytes);
  const func = new Func();
  let sum = 0;
  let most = 0;
  let largest = module.importedFunctions;
  for (let i = module.importedFunctions; i < end && sum <= limit; i++) {
    lowerFunction(module, i, layout, func, options);
    const words = irWords(func);
    sum += words;
    if (words <= most) continue;
    most = words;
    largest = i;
  }
  if (sum <= limit) return null;
  const body = module.bodies[largest - module.importedFunctions]!;
  return new CompileError(
    `too much code for ${codeBytes} bytes of functions: more than ${limit} words of intermediate code, of which the ${body.end - body.start} bytes of this function ` +
      `are ${most}. ${CAUSE}; keep values in memory instead`,
    body.start,
    'limit',
    largest,
  );
}

function validate(module: Module, end: number): void {
  for (let i = module.importedFunctions; i < end; i++) validateFunction(module, i);
}

/**
 * The error that a module is rejected with, whatever was met first: that of its first invalid function; else of the
 * first function that is over a limit; else that the module as a whole is too much.
 * @param index of the function that `error` was met in
 */
export function rejection(
  module: Module,
  options: CompileOptions,
  layout: VmctxLayout,
  index: number,
  error: Error,
): Error {
  const all = module.functions.length;
  const isLimit = error instanceof CompileError && error.kind === 'limit';
  const ofModule = isLimit && error.func < 0;
  try {
    validate(module, ofModule ? all : Math.min(index, all));
    if (!isLimit) return error;
    const ir = tooMuchIr(module, options, layout, ofModule ? all : Math.min(index + 1, all));
    if (!ir) return error;
    validate(module, all);
    return ir;
  } catch (e) {
    if (e instanceof CompileError) return e;
    throw e;
  }
}
