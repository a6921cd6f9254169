/** Where the operators of a body are, without looking at what they do. */
import { CompileError } from '../diagnostics.ts';
import type { Module } from './module.ts';
import { Reader } from './reader.ts';
import { readOpcode, skipImmediate } from './skip.ts';
import { readValType } from './types.ts';

/**
 * Byte offset of each operator of a defined function, the final `end` included; up to the first that can't be decoded.
 */
export function operatorOffsets(module: Module, index: number): number[] {
  const body = module.bodies[index - module.importedFunctions]!;
  const r = new Reader(module.bytes, body.start, body.end);
  r.features = module.features;
  const offsets: number[] = [];
  try {
    for (let runs = r.u32(); runs > 0; runs--) {
      r.u32();
      readValType(r, module.types.length);
    }
    while (r.pos < r.end) {
      offsets.push(r.pos);
      const op = readOpcode(r);
      if (op === undefined) break;
      skipImmediate(r, op.imm);
    }
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
  }
  return offsets;
}
