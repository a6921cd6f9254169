/** Errors of a module that was given as text: the line and column they belong to. */
import { CompileError } from '../diagnostics.ts';
import type { FeatureSet } from '../features.ts';
import { decodeModule } from '../wasm/decode.ts';
import { lineAt, lineStarts, parserProblems } from './check.ts';
import { modelOf, type Range } from './model.ts';
import { textRange } from './positions.ts';
import { parseTree } from './tree.ts';

export interface TextPosition {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

function textPosition(text: string, range: Range): TextPosition {
  const starts = lineStarts(text);
  const line = lineAt(starts, range.start);
  const endLine = lineAt(starts, range.end);
  return {
    line: line + 1,
    column: range.start - starts[line]! + 1,
    endLine: endLine + 1,
    endColumn: range.end - starts[endLine]! + 1,
  };
}

/**
 * @param bytes the encoded module; null: the encoder itself complained
 * @returns the place, and the message in one line
 */
export function locate(
  error: CompileError,
  text: string,
  bytes: Uint8Array | null,
  features: FeatureSet,
): { position: TextPosition; message: string } {
  if (bytes === null) {
    const first = parserProblems(error.message, text)[0]!;
    return { position: textPosition(text, first), message: first.message };
  }
  let module = null;
  try {
    module = decodeModule(bytes, features);
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
  }
  const range = textRange(modelOf(parseTree(text)), bytes, module, error.offset, error.func);
  return { position: textPosition(text, range), message: error.message };
}
