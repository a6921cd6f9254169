/**
 * Core dumps in the format of the WebAssembly tool conventions (Coredump.md): a binary module with the memory as data,
 * the globals as constants, and the stack in custom sections.
 */

import type { ModuleSymbols } from './symbols.ts';
import type { GuestState, TrapFacts } from './trap-facts.ts';
import { frameReader, stackBases } from './trap-report.ts';

const enum Section {
  Custom = 0,
  Memory = 5,
  Global = 6,
  Data = 11,
}

const MISSING = 0x01;
const I32 = 0x7f;
/** Runs of zeros of at least this length are left out of the data. */
const GAP = 256;
const PAGE = 65536;
const CHUNK = 1 << 20;

class Bytes {
  private readonly parts: Uint8Array[] = [];
  length = 0;

  raw(bytes: Uint8Array): this {
    this.parts.push(bytes);
    this.length += bytes.length;
    return this;
  }

  byte(...bytes: number[]): this {
    return this.raw(Uint8Array.from(bytes));
  }

  u32(n: number): this {
    const out: number[] = [];
    let rest = n >>> 0;
    while (rest > 127) {
      out.push((rest & 127) | 128);
      rest >>>= 7;
    }
    return this.byte(...out, rest);
  }

  /** Signed LEB128. */
  signed(n: bigint): this {
    const out: number[] = [];
    let rest = n;
    for (;;) {
      const low = Number(rest & 127n);
      rest >>= 7n;
      if ((rest === 0n && low < 64) || (rest === -1n && low >= 64)) return this.byte(...out, low);
      out.push(low | 128);
    }
  }

  name(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u32(bytes.length).raw(bytes);
  }

  append(other: Bytes): this {
    for (const part of other.parts) this.raw(part);
    return this;
  }

  section(id: Section, body: Bytes): this {
    return this.byte(id).u32(body.length).append(body);
  }

  done(): Uint8Array {
    const out = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

/** A core dump of one thread of one instance. Values that are not known are marked as missing. */
export function makeCoredump(facts: TrapFacts, symbols: ModuleSymbols | null, state: GuestState): Uint8Array {
  const file = new Bytes().byte(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  const label = facts.modules[facts.module]?.label ?? 'module';
  const custom = (name: string, body: Bytes): Bytes =>
    file.section(Section.Custom, new Bytes().name(name).append(body));
  custom('core', new Bytes().byte(0).name(label));
  custom('coremodules', new Bytes().u32(1).byte(0).name(label));
  const size = state.memorySize(0);
  const globals = globalSection(symbols, state);
  const instance = new Bytes()
    .u32(1)
    .byte(0)
    .u32(0)
    .u32(size === null ? 0 : 1);
  if (size !== null) instance.u32(0);
  instance.u32(globals.count);
  for (let i = 0; i < globals.count; i++) instance.u32(i);
  custom('coreinstances', instance);
  custom('corestack', stack(facts, symbols, state));
  if (size !== null) {
    const pages = Math.ceil(size / PAGE);
    file.section(Section.Memory, new Bytes().u32(1).byte(0).u32(pages));
  }
  if (globals.count > 0) file.section(Section.Global, globals.body);
  if (size !== null) file.section(Section.Data, memoryData(state, size));
  return file.done();
}

function stack(facts: TrapFacts, symbols: ModuleSymbols | null, state: GuestState): Bytes {
  const known = facts.modules.map((_, i) => (i === facts.module ? symbols : null));
  const bases = stackBases(facts, known, state);
  const frames = facts.frames.flatMap((frame, i) => {
    if (frame.kind !== 0 || frame.module !== facts.module) return [];
    const start = symbols?.body(frame.functionIndex)?.start ?? null;
    const out = new Bytes().byte(0).u32(0).u32(frame.functionIndex);
    out.u32(start === null ? 0 : frame.wasmOffset - start);
    const reader = frameReader(state, bases[i] ?? null);
    const count = Math.max(-1, ...(bases[i]?.keys() ?? [])) + 1;
    out.u32(count);
    for (let local = 0; local < count; local++) {
      const v = reader.local(local);
      if (v === null) out.byte(MISSING);
      else out.byte(I32).signed(BigInt.asIntN(32, v));
    }
    return [out.u32(0)];
  });
  const body = new Bytes().byte(0).name('main').u32(frames.length);
  for (const frame of frames) body.append(frame);
  return body;
}

/** Constants of the number types; others end the list, as what follows must keep its index. */
function globalSection(symbols: ModuleSymbols | null, state: GuestState): { body: Bytes; count: number } {
  const list = new Bytes();
  let count = 0;
  for (const { type } of symbols?.artifact.globals ?? []) {
    const bits = state.global(count);
    if (bits === null || type < 1 || type > 4) break;
    list.byte(0x80 - type, 0, 0x40 + type);
    if (type === 1) list.signed(BigInt.asIntN(32, bits));
    else if (type === 2) list.signed(BigInt.asIntN(64, bits));
    else {
      const raw = new Uint8Array(8);
      new DataView(raw.buffer).setBigUint64(0, bits, true);
      list.raw(raw.subarray(0, type === 3 ? 4 : 8));
    }
    list.byte(0x0b);
    count++;
  }
  return { body: new Bytes().u32(count).append(list), count };
}

/** Active segments of what isn't zero. */
function memoryData(state: GuestState, size: number): Bytes {
  const segments = new Bytes();
  let count = 0;
  for (let base = 0; base < size; base += CHUNK) {
    const chunk = state.memory(0, base, Math.min(CHUNK, size - base));
    if (chunk === null) continue;
    for (let at = 0; at < chunk.length; ) {
      if (chunk[at] === 0) {
        at++;
        continue;
      }
      const start = at;
      let end = at;
      for (; at < chunk.length && at - end < GAP; at++) if (chunk[at] !== 0) end = at + 1;
      segments
        .u32(0)
        .byte(0x41)
        .signed(BigInt.asIntN(32, BigInt(base + start)))
        .byte(0x0b);
      segments.u32(end - start).raw(chunk.slice(start, end));
      count++;
    }
  }
  return new Bytes().u32(count).append(segments);
}
