/**
 * Where an artifact's signature is: behind it. A signed artifact is
 *
 *     the artifact as the compiler wrote it | signature, as text | u64 length of the text | SIGNATURE_MAGIC
 *
 * so what is signed is an ordinary file, and the text is what minisign would have written beside it. Nothing of the
 * artifact has to be read to find the signature; whoever wants neither skips it by the last 16 bytes.
 */
import { MOST_SIGNATURE_BYTES, SIGNATURE_MAGIC } from '../abi/artifact.ts';

const TRAILER_BYTES = 16;

export interface SignedFile {
  /** What was signed. */
  readonly artifact: Uint8Array;
  /** The text, or null: there is no signature. */
  readonly signature: Uint8Array | null;
}

export function splitSignature(bytes: Uint8Array): SignedFile {
  const unsigned = { artifact: bytes, signature: null };
  const end = bytes.length - TRAILER_BYTES;
  if (end < 0) return unsigned;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < 8; i++)
    if (view.getUint8(end + 8 + i) !== SIGNATURE_MAGIC.charCodeAt(i)) return unsigned;
  const length = view.getBigUint64(end, true);
  if (length > MOST_SIGNATURE_BYTES || length > end) return unsigned;
  const start = end - Number(length);
  return { artifact: bytes.subarray(0, start), signature: bytes.subarray(start, end) };
}

/** @param text at most MOST_SIGNATURE_BYTES */
export function appendSignature(artifact: Uint8Array, text: Uint8Array): Uint8Array {
  const result = new Uint8Array(artifact.length + text.length + TRAILER_BYTES);
  result.set(artifact);
  result.set(text, artifact.length);
  new DataView(result.buffer).setBigUint64(artifact.length + text.length, BigInt(text.length), true);
  result.set(new TextEncoder().encode(SIGNATURE_MAGIC), result.length - 8);
  return result;
}

/** Number of the key that is said to have signed, as minisign shows it; nothing is verified. Null: it can't be read. */
export function signerOf(signature: Uint8Array): string | null {
  const line = new TextDecoder().decode(signature).split('\n')[1] ?? '';
  if (!/^[A-Za-z0-9+/]{96}/.test(line)) return null;
  const bytes = Uint8Array.from(atob(line.slice(0, 16)), c => c.charCodeAt(0));
  const id = bytes.subarray(2, 10).reverse();
  return Array.from(id, b => b.toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase();
}
