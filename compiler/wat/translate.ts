/** A module in the text format, made ready to be compiled. */
import { CompileError } from '../diagnostics.ts';
import type { FeatureSet } from '../features.ts';
import { decodeModule } from '../wasm/decode.ts';
import { translateWat } from '../wasm/wat.ts';
import { withDebugLines } from './debug-lines.ts';
import { modelOf } from './model.ts';
import { parseTree } from './tree.ts';

/**
 * Encode a module, with debug information that maps its code to the text.
 * @param path absolute: it becomes the source file's name in the debug information, and so a part of the module's hash
 * @throws CompileError when the encoder finds an error. A module that does not decode is returned as it is: the
 * compiler will say why.
 */
export async function encodeWat(
  path: string,
  source: Uint8Array,
  features?: FeatureSet,
): Promise<Uint8Array> {
  const bytes = await translateWat(path, source);
  try {
    const module = decodeModule(bytes, features);
    const model = modelOf(parseTree(new TextDecoder().decode(source)));
    return withDebugLines(module, model, { directory: '', name: path });
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
    return bytes;
  }
}
