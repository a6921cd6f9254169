/**
 * Call frame information for debuggers and profilers: `.eh_frame` and its search table `.eh_frame_hdr` (Linux Standard
 * Base 5.0, 10.6; DWARF 5, 6.4). The runtime's own unwinder needs neither: it uses frame sizes.
 *
 * The frame address (CFA) is the end of the function's stack arguments, which its return pops (backend/x64/regs.ts);
 * from the last byte of a call whose callee pops to behind the instruction that takes the room back, the stack pointer
 * is that much higher.
 *
 * Rows are exact from the function's start through the prologue and the body. Epilogues are not described: in the few
 * instructions between `add rsp` and `ret`, or the jump of a tail call, the frame address is off. Nor is r15 where a
 * call into another module has changed it.
 */
import type { CompiledFunc } from '../backend/code.ts';
import { shiftCheckLength } from '../backend/x64/frame.ts';
import { ByteWriter } from './bytes.ts';

/** DWARF register numbers of the x86-64 ABI, by encoding. */
const DWARF = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15] as const;
const DWARF_RSP = 7;
const DWARF_RA = 16;

const CFA_ADVANCE = 0x40;
const CFA_ADVANCE1 = 0x02;
const CFA_ADVANCE2 = 0x03;
const CFA_ADVANCE4 = 0x04;
const CFA_OFFSET = 0x80;
const CFA_DEF_CFA = 0x0c;
const CFA_DEF_CFA_OFFSET = 0x0e;
/** Pointer encodings. */
const PCREL_SDATA4 = 0x1b;
const UDATA4 = 0x03;
const DATAREL_SDATA4 = 0x3b;
/** Of the search table. */
const HEADER_SIZE = 12;
const HEADER_ENTRY = 8;

/**
 * Bytes up to and with the `sub rsp, n` of the prologue, or `at` when there is none. Probes of a large frame may stand
 * before it.
 */
function afterSub(code: Uint8Array, at: number, n: number): number {
  const end = Math.min(code.length - 7, at + 4096);
  for (let i = at; i <= end; i++) {
    if (code[i] !== 0x48 || code[i + 2] !== 0xec) continue;
    if (code[i + 1] === 0x83 && code[i + 3] === n) return i + 4;
    const imm = code[i + 3]! | (code[i + 4]! << 8) | (code[i + 5]! << 16) | (code[i + 6]! << 24);
    if (code[i + 1] === 0x81 && imm === n) return i + 7;
  }
  return at;
}

function advance(w: ByteWriter, delta: number): void {
  if (delta === 0) return;
  if (delta < 64) w.u8(CFA_ADVANCE | delta);
  else if (delta < 256) {
    w.u8(CFA_ADVANCE1);
    w.u8(delta);
  } else if (delta < 65536) {
    w.u8(CFA_ADVANCE2);
    w.u16(delta);
  } else {
    w.u8(CFA_ADVANCE4);
    w.u32(delta);
  }
}

/** `mov r11, [rsp]` and `mov [rsp], r11` */
const MOVE_RETURN_LENGTH = 4;
/** Length of `sub rsp, n` */
function subLength(n: number): number {
  return n < 128 ? 4 : 7;
}

function setCfa(w: ByteWriter, offset: number): void {
  w.u8(CFA_DEF_CFA_OFFSET);
  w.uleb(offset);
}
function savedAt(w: ByteWriter, register: number, offset: number): void {
  w.u8(CFA_OFFSET | register);
  w.uleb(offset / 8);
}

/** Rows from the function's start to its end. */
function rows(w: ByteWriter, f: CompiledFunc): void {
  let pc = 0;
  let cfa = 8 + f.argBytes;
  const shift = f.popped - f.argBytes;
  if (f.popped > 0) {
    setCfa(w, cfa);
    savedAt(w, DWARF_RA, cfa);
  }
  if (shift > 0) {
    pc = shiftCheckLength(f.code) + MOVE_RETURN_LENGTH + subLength(shift);
    cfa += shift;
    advance(w, pc);
    setCfa(w, cfa);
    advance(w, MOVE_RETURN_LENGTH);
    pc += MOVE_RETURN_LENGTH;
    savedAt(w, DWARF_RA, cfa);
  }
  for (const reg of f.saved) {
    const length = reg < 8 ? 1 : 2;
    pc += length;
    cfa += 8;
    advance(w, length);
    setCfa(w, cfa);
    savedAt(w, DWARF[reg]!, cfa);
  }
  const rest = f.frameSize - f.saved.length * 8;
  if (rest > 0) {
    const behind = afterSub(f.code, pc, rest);
    advance(w, behind - pc);
    pc = behind;
    cfa = f.frameSize + 8 + f.popped;
    setCfa(w, cfa);
  }
  for (const site of f.popSites) {
    const short = f.code[site + 1] === 0x83;
    const popped = short ? f.code[site + 3]! : f.code[site + 3]! | (f.code[site + 4]! << 8);
    // No instruction starts at a call's last byte, but that is where a return address less one leads.
    advance(w, site - 1 - pc);
    setCfa(w, cfa - popped);
    advance(w, 1 + (short ? 4 : 7));
    setCfa(w, cfa);
    pc = site + (short ? 4 : 7);
  }
}

/** Both sections. What depends on addresses is filled in by `place`. */
export class EhFrame {
  private readonly w: ByteWriter;
  private readonly h: ByteWriter;
  /** Of each function: where its entry is in `frame`, and its code in .text. */
  private readonly places: Int32Array;
  private readonly offsets: Float64Array;
  private count = 0;

  /** @param functions their number */
  constructor(private readonly functions: number) {
    this.places = new Int32Array(functions);
    this.offsets = new Float64Array(functions);
    const w = new ByteWriter(64 + functions * 48);
    // CIE: version 1, augmentation "zR", code alignment 1, data alignment -8.
    w.u32(0);
    w.u32(0);
    w.u8(1);
    w.utf8('zR\0');
    w.uleb(1);
    w.u8(0x78);
    w.uleb(DWARF_RA);
    w.uleb(1);
    w.u8(PCREL_SDATA4);
    w.u8(CFA_DEF_CFA);
    w.uleb(DWARF_RSP);
    w.uleb(8);
    w.u8(CFA_OFFSET | DWARF_RA);
    w.uleb(1);
    w.align(8);
    w.view.setUint32(0, w.length - 4, true);
    this.w = w;
    const h = new ByteWriter(HEADER_SIZE + functions * HEADER_ENTRY);
    h.u8(1);
    h.u8(PCREL_SDATA4);
    h.u8(UDATA4);
    h.u8(DATAREL_SDATA4);
    h.u32(0);
    h.u32(functions);
    h.reserve(functions * HEADER_ENTRY);
    this.h = h;
  }

  /** The next function in ascending code order, and its offset in .text. */
  add(f: CompiledFunc, offset: number): void {
    const { w } = this;
    const at = w.length;
    this.places[this.count] = at;
    this.offsets[this.count++] = offset;
    w.u32(0);
    w.u32(at + 4);
    w.u32(0);
    w.u32(f.code.length);
    w.uleb(0);
    rows(w, f);
    w.align(8);
    w.view.setUint32(at, w.length - at - 4, true);
  }

  /** All functions have been added: the contents of `.eh_frame` and of `.eh_frame_hdr`. */
  finish(): { readonly frame: Uint8Array; readonly header: Uint8Array } {
    this.w.u32(0);
    return { frame: this.w.done(), header: this.h.done() };
  }

  /** @param text address of .text; likewise those of the two sections */
  place(text: number, frame: number, header: number): void {
    const { places, offsets, w, h } = this;
    h.view.setInt32(4, frame - (header + 4), true);
    const entries = new Int32Array(w.bytes.buffer, 0, w.length >> 2);
    const table = new Int32Array(h.bytes.buffer, HEADER_SIZE, this.functions * 2);
    for (let i = 0; i < places.length; i++) {
      const place = places[i]!;
      const start = text + offsets[i]!;
      entries[(place + 8) >> 2] = start - (frame + place + 8);
      table[2 * i] = start - header;
      table[2 * i + 1] = frame + place - header;
    }
  }
}
