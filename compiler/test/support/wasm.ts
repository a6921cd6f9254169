/** Small modules for tests, from text. */
import wabt from 'wabt';

const ready = wabt();

/** Translate WebAssembly text with wabt, independent of our own reader. */
export async function wat(text: string): Promise<Uint8Array> {
  const w = await ready;
  const module = w.parseWat('test.wat', text, {
    bulk_memory: true,
    reference_types: true,
    multi_value: true,
    tail_call: true,
  });
  try {
    return module.toBinary({ write_debug_names: true }).buffer;
  } finally {
    module.destroy();
  }
}
