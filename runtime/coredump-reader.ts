/** Reads core dumps (see coredump.ts), also those of other runtimes that write the same format. */

interface CoreFrame {
  readonly functionIndex: number;
  /** From the start of the function's body; 0: the function is all that is known. */
  readonly codeOffset: number;
  /** Raw bits; null: missing. */
  readonly locals: readonly (bigint | null)[];
  readonly stack: readonly (bigint | null)[];
}

export interface Coredump {
  readonly name: string;
  readonly threads: readonly { readonly name: string; readonly frames: readonly CoreFrame[] }[];
  /** Bytes of memory 0. */
  readonly memorySize: number;
  /** null: not inside, or not in the dump. */
  memory(address: number, length: number): Uint8Array | null;
  /** Raw bits. */
  readonly globals: readonly (bigint | null)[];
}

/** It is no core dump, or a damaged one. */
export class CoredumpError extends Error {
  override readonly name = 'CoredumpError';
}

const PAGE = 65536;
const MAX_FRAMES = 1_000_000;

class Reader {
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
    readonly end: number,
  ) {
    if (end > bytes.length) throw new CoredumpError('the core dump is cut off');
  }

  byte(): number {
    if (this.at >= this.end) throw new CoredumpError(`the core dump is cut off at 0x${this.at.toString(16)}`);
    return this.bytes[this.at++]!;
  }

  u32(): number {
    let value = 0;
    for (let scale = 1, n = 0; n < 5; n++, scale *= 128) {
      const b = this.byte();
      value += (b & 127) * scale;
      if (b < 128) return value;
    }
    throw new CoredumpError('a number is too long');
  }

  signed(bits: number): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const b = this.byte();
      value |= BigInt(b & 127) << shift;
      if (b < 128) return BigInt.asUintN(bits, b & 64 ? value - (1n << (shift + 7n)) : value);
    }
    throw new CoredumpError('a number is too long');
  }

  fixed(n: number): bigint {
    let value = 0n;
    for (let i = 0; i < n; i++) value |= BigInt(this.byte()) << BigInt(8 * i);
    return value;
  }

  take(n: number): Uint8Array {
    if (this.at + n > this.end) throw new CoredumpError('the core dump is cut off');
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  text(): string {
    return new TextDecoder().decode(this.take(this.u32()));
  }

  /** A value of a frame. */
  value(): bigint | null {
    switch (this.byte()) {
      case 0x01:
        return null;
      case 0x7f:
        return this.signed(32);
      case 0x7e:
        return this.signed(64);
      case 0x7d:
        return this.fixed(4);
      case 0x7c:
        return this.fixed(8);
      default:
        throw new CoredumpError('a value of an unknown type');
    }
  }

  values(): (bigint | null)[] {
    const count = this.u32();
    const found: (bigint | null)[] = [];
    for (let i = 0; i < count; i++) found.push(this.value());
    return found;
  }
}

/** @throws CoredumpError */
export function readCoredump(bytes: Uint8Array): Coredump {
  if (bytes.length < 8 || bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d)
    throw new CoredumpError('it is no core dump: a WebAssembly file is expected');
  const r = new Reader(bytes, 8, bytes.length);
  let name: string | null = null;
  const threads: { name: string; frames: CoreFrame[] }[] = [];
  const globals: (bigint | null)[] = [];
  const segments: { start: number; bytes: Uint8Array }[] = [];
  let memorySize = 0;
  while (r.at < r.end) {
    const id = r.byte();
    const size = r.u32();
    const s = new Reader(bytes, r.at, r.at + size);
    r.at = s.end;
    if (id === 0) {
      const custom = s.text();
      if (custom === 'core') {
        s.byte();
        name = s.text();
      } else if (custom === 'corestack') threads.push(readStack(s));
    } else if (id === 5 && s.u32() > 0) {
      s.byte();
      memorySize = s.u32() * PAGE;
    } else if (id === 6) {
      for (let n = s.u32(); n > 0; n--) globals.push(readGlobal(s));
    } else if (id === 11) {
      for (let n = s.u32(); n > 0; n--) {
        const memory = s.u32();
        if (s.byte() !== 0x41) throw new CoredumpError('data at an address that is no constant');
        const start = Number(s.signed(32));
        s.byte();
        const data = s.take(s.u32());
        if (memory === 0) segments.push({ start, bytes: data });
      }
    }
  }
  if (name === null) throw new CoredumpError('it is no core dump: it has no section "core"');
  segments.sort((a, b) => a.start - b.start);
  return { name, threads, memorySize, globals, memory: (at, n) => readMemory(segments, memorySize, at, n) };
}

/** The instance of a frame came with a later version of the format: it is told by the section of instances. */
function readStack(s: Reader): { name: string; frames: CoreFrame[] } {
  const withInstances = hasInstances(s.bytes);
  s.byte();
  const name = s.text();
  const frames: CoreFrame[] = [];
  for (let n = s.u32(); n > 0; n--) {
    if (frames.length >= MAX_FRAMES) throw new CoredumpError('too many frames');
    s.byte();
    if (withInstances) s.u32();
    frames.push({ functionIndex: s.u32(), codeOffset: s.u32(), locals: s.values(), stack: s.values() });
  }
  return { name, frames };
}

function hasInstances(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('coreinstances');
}

function readGlobal(s: Reader): bigint | null {
  s.byte();
  s.byte();
  const op = s.byte();
  const v =
    op === 0x41
      ? s.signed(32)
      : op === 0x42
        ? s.signed(64)
        : op === 0x43
          ? s.fixed(4)
          : op === 0x44
            ? s.fixed(8)
            : null;
  if (v === null) throw new CoredumpError('a global that is no constant');
  s.byte();
  return v;
}

function readMemory(
  segments: readonly { start: number; bytes: Uint8Array }[],
  size: number,
  address: number,
  length: number,
): Uint8Array | null {
  if (!(address >= 0 && length >= 0 && address + length <= size)) return null;
  const out = new Uint8Array(length);
  let lo = 0;
  let hi = segments.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (segments[mid]!.start + segments[mid]!.bytes.length <= address) lo = mid + 1;
    else hi = mid;
  }
  for (let i = lo; i < segments.length && segments[i]!.start < address + length; i++) {
    const s = segments[i]!;
    const from = Math.max(address, s.start);
    const to = Math.min(address + length, s.start + s.bytes.length);
    if (to > from) out.set(s.bytes.subarray(from - s.start, to - s.start), from - address);
  }
  return out;
}
