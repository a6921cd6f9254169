/**
 * Implementation limits: no module within them makes the compiler use memory or time out of proportion to its size.
 * Where the WebAssembly JavaScript Interface ("Implementation-defined Limits") has a number, it is that number, so that
 * what runs in a browser compiles here.
 */
import { CompileError } from '../diagnostics.ts';

export const LIMITS = {
  moduleSize: 2 ** 30,
  types: 1_000_000,
  functions: 1_000_000,
  imports: 1_000_000,
  exports: 1_000_000,
  globals: 1_000_000,
  dataSegments: 100_000,
  elemSegments: 10_000_000,
  elemItems: 10_000_000,
  tables: 100_000,
  tags: 1_000_000,
  /** Clauses of the try_tables of one function. */
  catchClauses: 65_520,
  /** Each reserves address space. */
  memories: 100,
  params: 1_000,
  results: 1_000,
  /** Of a structure. */
  fields: 10_000,
  subtypeDepth: 63,
  bodySize: 7_654_321,
  locals: 50_000,
  /**
   * Parameters and results of all function imports together, beyond IMPORT_VALUES_PER_BYTE: each import gets a thunk
   * that moves them all.
   */
  importValues: 2 ** 15,
  brTableTargets: 65_520,
  /** Bytes of names that are kept from the name section; what comes later has none. */
  nameBytes: 2 ** 26,
  /** Names of locals, of all functions: a name takes three bytes there, and dozens in memory. */
  localNames: 4_000_000,
  /** Of three bytes at least. */
  customSections: 1_000_000,
  /** IR rows of one function. */
  rows: 2 ** 22,
  /**
   * Values that the branches of one function carry to labels, beyond BRANCH_VALUES_PER_BYTE: a loop in seven bytes may
   * carry 1,000.
   */
  branchValues: 2 ** 16,
  /**
   * Values that the calls and returns of one function pass, both ways, beyond CALL_VALUES_PER_BYTE: a call of two bytes
   * may pass 2,000, results to parameters.
   */
  callValues: 2 ** 18,
  /** Machine code and constants of a module, beyond MACHINE_BYTES_PER_BYTE. */
  machineBytes: 2 ** 21,
  /** Intermediate code of a module, beyond IR_WORDS_PER_BYTE and IR_WORDS_PER_FUNCTION. */
  irWords: 2 ** 17,
  /** Elements of tables' images beyond a few for each element of a segment (table-images.ts). */
  imageElements: 2 ** 20,
} as const;

/** What code that makes each value by itself stays far below. */
export const CALL_VALUES_PER_BYTE = 8;
/** With locals in memory, so these are operands only. */
const BRANCH_VALUES_PER_BYTE = 16;
/** For each byte of the section of imports. */
export const IMPORT_VALUES_PER_BYTE = 4;

/**
 * For each byte of bodies. Compiled programs have 2 to 8. `npm run code-size` looks for what has most: single operators
 * stay below 100, of which some are there only to be so long; what passes a thousand values by naming a type would have
 * up to 5,000.
 */
const MACHINE_BYTES_PER_BYTE = 128;

/** Bytes of machine code and constants that a module may become. */
export function machineBytesLimit(codeBytes: number): number {
  return LIMITS.machineBytes + MACHINE_BYTES_PER_BYTE * codeBytes;
}

/**
 * For each byte of bodies. Compiled programs have 0.5 to 1.2, code for debuggers up to 1.9; the modules of the official
 * suite stay within 350 words of that. A value that is passed to a call, a block or a branch is a word, so what passes
 * a thousand of them in a few bytes is stopped here, before it takes time.
 */
const IR_WORDS_PER_BYTE = 8;
/** For each function: a stub with a dozen parameters has two bytes. */
const IR_WORDS_PER_FUNCTION = 16;

/** Words of intermediate code (budget.ts) that functions with so many bytes of bodies may become. */
export function irWordsLimit(functions: number, codeBytes: number): number {
  return LIMITS.irWords + IR_WORDS_PER_FUNCTION * functions + IR_WORDS_PER_BYTE * codeBytes;
}

/**
 * Values that the branches of a body of that size may carry to labels before its locals move to memory (ssa.ts): each
 * becomes an argument, and mostly a move. Compiled programs stay below one for each byte; nested constructs that all
 * assign all locals have as many as the square of their size.
 */
export function carriedValues(bodyBytes: number): number {
  return Math.min(2 ** 22, 2 ** 15 + 4 * bodyBytes);
}

/** Values that the branches of a body of that size may carry to labels in any case. */
export function mostBranchValues(bodyBytes: number): number {
  return Math.min(2 ** 24, LIMITS.branchValues + BRANCH_VALUES_PER_BYTE * bodyBytes);
}

export function overLimit(what: string, limit: number, offset: number, func = -1): never {
  throw new CompileError(`${what}: the limit is ${limit}`, offset, 'limit', func);
}
