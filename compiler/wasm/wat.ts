/** Text format -> binary, by WABT. Loaded only when it is asked for. */
import { CompileError } from '../diagnostics.ts';

/**
 * All features that WABT's parser has. What Lucet does not support is refused by the decoder, which names the proposal.
 */
const FEATURES = {
  multi_value: true,
  bulk_memory: true,
  reference_types: true,
  exceptions: true,
  threads: true,
  tail_call: true,
  memory64: true,
  extended_const: true,
  multi_memory: true,
  relaxed_simd: true,
};

type Encoder = Awaited<ReturnType<typeof import('wabt')>>;

/**
 * Starting WABT takes a hundred times as long as parsing a small module, so it is kept; but not after a large text,
 * since it would keep that much memory.
 */
let encoder: Promise<Encoder> | null = null;
const LARGE_TEXT = 1 << 20;

/** Whether the bytes begin as a binary module does. */
export function isWasm(bytes: Uint8Array): boolean {
  return bytes[0] === 0x00 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
}

/**
 * Translate a module in the text format to binary, with a name section for its identifiers.
 * @param fileName for messages
 * @throws CompileError (malformed) with line and column in its message. Nothing but the syntax has been checked.
 */
export async function translateWat(fileName: string, source: Uint8Array): Promise<Uint8Array> {
  // The parser takes the text as a NUL-terminated string: one inside of it would hide the rest.
  if (source.includes(0))
    throw new CompileError(`${fileName}: a NUL byte in the text`, source.indexOf(0), 'malformed');
  encoder ??= import('wabt').then(({ default: init }) => init());
  const wabt = await encoder;
  let module: ReturnType<Encoder['parseWat']> | null = null;
  try {
    // A copy: it takes no Buffer, only a plain Uint8Array.
    module = wabt.parseWat(fileName, new Uint8Array(source), FEATURES);
    return module.toBinary({ write_debug_names: true }).buffer;
  } catch (e) {
    // "file:line:column: error: what", then the source line and a marker; perhaps several of them.
    const text = e instanceof Error ? e.message : String(e);
    // WABT itself failed: the instance can't be relied on any more.
    if (!text.startsWith('parseWat failed')) encoder = null;
    throw new CompileError(text.replace(/^parseWat failed:\s*/, '').trim(), -1, 'malformed');
  } finally {
    module?.destroy();
    if (source.length > LARGE_TEXT) encoder = null;
  }
}
