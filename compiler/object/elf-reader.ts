/** Reads the sections of an ELF64 little-endian file, trusting nothing. */
import { EHDR_SIZE, SHDR_SIZE } from './elf.ts';

/** A file is no artifact, is of another version, or is damaged. */
export class ArtifactError extends Error {
  override readonly name = 'ArtifactError';
  /**
   * @param message what is wrong, in one sentence
   * @param offset in the file, or -1 when it belongs to no place
   * @param kind format: not an artifact, or damaged; version: of another format version; checksum: bytes have changed
   */
  constructor(
    message: string,
    readonly offset: number,
    readonly kind: 'format' | 'version' | 'checksum' = 'format',
  ) {
    super(offset >= 0 ? `${message} (at 0x${offset.toString(16)})` : message);
  }
}

export interface FileSection {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly address: number;
}

/** A u64 that must be a file offset or a size: over 2^53 becomes a number that fits no file. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

// A name may begin with U+FEFF.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * All sections that have bytes in the file, in order.
 * @throws ArtifactError when the file is not a 64-bit little-endian ELF shared object or its headers lead out of it
 */
export function readSections(bytes: Uint8Array): { machine: number; sections: FileSection[] } {
  const fail = (message: string, offset: number): never => {
    throw new ArtifactError(message, offset);
  };
  if (bytes.length < 4 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46)
    fail('not an ELF file; lucetc makes one of a .wasm or .wat', 0);
  if (bytes.length < EHDR_SIZE) fail('file is cut off in its header', bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes[4] !== 2 || bytes[5] !== 1) fail('not a 64-bit little-endian ELF file', 4);
  const headers = u64(view, 40);
  const entry = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  const namesIndex = view.getUint16(62, true);
  if (entry !== SHDR_SIZE) fail('section headers of an unknown size', 58);
  if (headers + count * SHDR_SIZE > bytes.length) fail('section headers exceed the file', 40);
  if (namesIndex >= count) fail('no section names', 62);
  const range = (i: number) => {
    const at = headers + i * SHDR_SIZE;
    const offset = u64(view, at + 24);
    const size = u64(view, at + 32);
    if (offset + size > bytes.length) fail(`section ${i} exceeds the file`, at);
    return { offset, size, address: u64(view, at + 16), name: view.getUint32(at, true) };
  };
  const names = range(namesIndex);
  const sections: FileSection[] = [];
  // Section 0 is reserved.
  for (let i = 1; i < count; i++) {
    const s = range(i);
    if (s.name >= names.size)
      fail(`the name of section ${i} is outside of the names`, headers + i * SHDR_SIZE);
    const start = names.offset + s.name;
    const limit = names.offset + names.size;
    let end = start;
    while (end < limit && bytes[end] !== 0) end++;
    if (end === limit) fail(`the name of section ${i} does not end`, headers + i * SHDR_SIZE);
    sections.push({
      name: decoder.decode(bytes.subarray(start, end)),
      offset: s.offset,
      size: s.size,
      address: s.address,
    });
  }
  return { machine: view.getUint16(18, true), sections };
}
