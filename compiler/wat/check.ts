/** All that is wrong with a module in the text format, each with its place in the text. */
import { CompileError } from '../diagnostics.ts';
import type { FeatureSet } from '../features.ts';
import { decodeModule } from '../wasm/decode.ts';
import { validateFunction } from '../wasm/lower.ts';
import type { Module } from '../wasm/module.ts';
import { translateWat } from '../wasm/wat.ts';
import { type ModuleModel, modelOf, type Range } from './model.ts';
import { textRange } from './positions.ts';
import { parseTree } from './tree.ts';

export interface Problem extends Range {
  readonly message: string;
}

/** Problems of one module that are told; the rest is like them. */
const MAX_PROBLEMS = 100;

/** Start offset of each line (UTF-16 units). */
export function lineStarts(text: string): Int32Array {
  const starts = [0];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) starts.push(i + 1);
  return Int32Array.from(starts);
}

/** Line (from 0) of an offset. */
export function lineAt(starts: Int32Array, offset: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if (starts[mid]! <= offset) low = mid;
    else high = mid;
  }
  return low;
}

/**
 * What WABT's parser complains of: `file:line:column: error: what`, the line itself and a marker, perhaps several
 * times. Columns count bytes from 1.
 */
export function parserProblems(message: string, text: string): Problem[] {
  const starts = lineStarts(text);
  const found: Problem[] = [];
  for (const [, line, column, what] of message.matchAll(/^[^\n]*?:(\d+):(\d+): error: (.*)$/gm)) {
    const row = Math.min(Number(line), starts.length) - 1;
    const from = starts[row]!;
    const rest = text.slice(from, starts[row + 1] ?? text.length);
    const before = Buffer.from(rest)
      .subarray(0, Number(column) - 1)
      .toString();
    const start = from + Math.min(before.length, rest.trimEnd().length);
    const token = /^(?:\$?[^\s()";]+|"[^"\n]*"?|.)/.exec(text.slice(start, start + 200))?.[0] ?? '';
    found.push({ start, end: start + token.length, message: what! });
  }
  return found.length > 0
    ? found
    : [{ start: 0, end: Math.min(1, text.length), message: message.split('\n')[0]! }];
}

export interface Checked {
  readonly problems: readonly Problem[];
  /** null: it could not be encoded and decoded. */
  readonly module: Module | null;
  readonly model: ModuleModel;
}

/**
 * Check a module as far as compiling it does: syntax by the encoder, then the module, then every function (each up to
 * its first error).
 * @param stop asked between functions: true ends the check early
 */
export async function checkWat(
  fileName: string,
  text: string,
  features: FeatureSet | undefined,
  stop: () => boolean = () => false,
): Promise<Checked> {
  const model = modelOf(parseTree(text));
  let bytes: Uint8Array;
  try {
    bytes = await translateWat(fileName, new TextEncoder().encode(text));
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    return { problems: parserProblems(e.message, text).slice(0, MAX_PROBLEMS), module: null, model };
  }
  const problems: Problem[] = [];
  let module: Module | null = null;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (e) {
      if (!(e instanceof CompileError)) throw e;
      problems.push({ ...textRange(model, bytes, module, e.offset, e.func), message: e.message });
    }
  };
  attempt(() => {
    module = decodeModule(bytes, features);
  });
  const decoded = module as Module | null;
  if (decoded !== null) {
    for (let i = decoded.importedFunctions; i < decoded.functions.length; i++) {
      if (problems.length >= MAX_PROBLEMS || stop()) break;
      attempt(() => validateFunction(decoded, i));
    }
  }
  return { problems, module: decoded, model };
}
