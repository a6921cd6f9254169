/** Small modules for tests, from text. */
import binaryen from 'binaryen';
import wabt from 'wabt';

const ready = wabt();

/** Translate WebAssembly text with wabt, independent of our own reader. */
export async function wat(text: string): Promise<Uint8Array> {
  const w = await ready;
  const module = w.parseWat('test.wat', text, {
    bulk_memory: true,
    reference_types: true,
    multi_value: true,
    extended_const: true,
    memory64: true,
    tail_call: true,
  });
  try {
    return module.toBinary({ write_debug_names: true }).buffer;
  } finally {
    module.destroy();
  }
}

const { Features } = binaryen;
const NEWER =
  Features.MutableGlobals |
  Features.NontrappingFPToInt |
  Features.BulkMemory |
  Features.BulkMemoryOpt |
  Features.SignExt |
  Features.ReferenceTypes |
  Features.Multivalue |
  Features.ExtendedConst |
  Features.MultiMemory |
  Features.ExceptionHandling |
  Features.TailCall |
  Features.SIMD128 |
  Features.Memory64 |
  // Without it typed references are written as plain ones.
  Features.GC |
  Features.CustomPageSizes |
  Features.WideArithmetic;

/** The same with Binaryen, which knows newer extensions; what it writes may be another, equal sequence of operators. */
export function watNewer(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  try {
    module.setFeatures(NEWER);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}
