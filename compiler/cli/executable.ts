/**
 * Programs of their own: the lucet-wasi executable with an artifact behind it (`lucetc --emit exe`).
 *
 * Layout: the executable as it is; the artifact, at a multiple of 16; options of lucet-wasi (UTF-8, each with a
 * terminating zero); then a trailer of 32 bytes, by which runtime/native/cli/main.c finds the rest:
 *
 *     u64 offset of the artifact, u64 its length, u64 length of the options, 8 bytes "LUCETEXE"
 */
const TRAILER_MAGIC = 'LUCETEXE';
const TRAILER_SIZE = 32;

/**
 * @param runtime bytes of the lucet-wasi executable
 * @param options what the program is granted, as lucet-wasi's command line says it; no MODULE among them
 */
export function makeExecutable(
  runtime: Uint8Array,
  artifact: Uint8Array,
  options: readonly string[],
): Uint8Array {
  const text = new TextEncoder().encode(options.map(o => `${o}\0`).join(''));
  const offset = (runtime.length + 15) & ~15;
  const result = new Uint8Array(offset + artifact.length + text.length + TRAILER_SIZE);
  result.set(runtime);
  result.set(artifact, offset);
  result.set(text, offset + artifact.length);
  const trailer = new DataView(result.buffer, result.length - TRAILER_SIZE);
  trailer.setBigUint64(0, BigInt(offset), true);
  trailer.setBigUint64(8, BigInt(artifact.length), true);
  trailer.setBigUint64(16, BigInt(text.length), true);
  result.set(new TextEncoder().encode(TRAILER_MAGIC), result.length - 8);
  return result;
}
