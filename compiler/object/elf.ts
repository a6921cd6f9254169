/**
 * ELF64 shared objects, as far as an artifact needs them (System V gABI, chapters 4 and 5; x86-64 psABI).
 *
 * The caller gives sections in file order; file offset and virtual address of an allocated section are equal. Segments:
 * one readable for headers and read-only sections, one executable for `.text`, plus what tools expect of a shared
 * object: PT_DYNAMIC, PT_GNU_EH_FRAME, PT_GNU_STACK. There are no relocations and no constructors.
 */
import { bug, CompileError } from '../diagnostics.ts';
import { alignUp, ByteWriter } from './bytes.ts';

export const PAGE = 4096;
export const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
export const SHDR_SIZE = 64;
export const SYM_SIZE = 24;
export const EM_X86_64 = 62;
const ET_DYN = 3;

export const enum SectionType {
  Progbits = 1,
  Symtab = 2,
  Strtab = 3,
  Hash = 5,
  Dynamic = 6,
  Dynsym = 11,
}
export const enum SectionFlag {
  Alloc = 2,
  Exec = 4,
}
const enum SegmentType {
  Load = 1,
  Dynamic = 2,
  GnuEhFrame = 0x6474e550,
  GnuStack = 0x6474e551,
}
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;

export interface Section {
  readonly name: string;
  readonly type: SectionType;
  readonly flags: number;
  readonly align: number;
  readonly size: number;
  /** Name of the section that `sh_link` refers to. */
  readonly link?: string;
  readonly info?: number;
  readonly entrySize?: number;
  /** Writes the contents to out[at .. at + size - 1]; called when all places are known. */
  readonly write: (out: Uint8Array<ArrayBuffer>, at: number, places: PlacedSections) => void;
}

export interface Placed extends Section {
  /** File offset; the address too if allocated. */
  readonly offset: number;
}

const SEGMENTS = 5;

/** Sections get their places: in the order given, `.text` on pages of its own. */
export class PlacedSections {
  readonly all: readonly Placed[];

  constructor(sections: readonly Section[]) {
    let at = EHDR_SIZE + SEGMENTS * PHDR_SIZE;
    let wasText = false;
    this.all = sections.map(s => {
      const text = (s.flags & SectionFlag.Exec) !== 0;
      at = alignUp(at, text || wasText ? Math.max(PAGE, s.align) : s.align);
      wasText = text;
      const placed = { ...s, offset: at };
      at += s.size;
      return placed;
    });
  }

  get(name: string): Placed {
    return this.all[this.number(name) - 1]!;
  }

  /** As other sections and symbols refer to it. */
  number(name: string): number {
    const i = this.all.findIndex(s => s.name === name);
    return i < 0 ? bug(`no section ${name}`) : i + 1;
  }
}

/** st_name, st_info, st_shndx, st_value, st_size of a symbol table entry at `at`. */
export function putSymbol(
  view: DataView,
  at: number,
  name: number,
  info: number,
  section: number,
  value: number,
  size: number,
): void {
  view.setUint32(at, name, true);
  view.setUint8(at + 4, info);
  view.setUint8(at + 5, 0);
  view.setUint16(at + 6, section, true);
  putU64(view, at + 8, value);
  putU64(view, at + 16, size);
}

function putU64(view: DataView, at: number, v: number): void {
  view.setUint32(at, v % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(v / 2 ** 32), true);
}

function putSegment(
  view: DataView,
  at: number,
  type: SegmentType,
  flags: number,
  offset: number,
  size: number,
  align: number,
): void {
  view.setUint32(at, type, true); // p_type
  view.setUint32(at + 4, flags, true); // p_flags
  putU64(view, at + 8, offset); // p_offset
  putU64(view, at + 16, offset); // p_vaddr
  putU64(view, at + 24, offset); // p_paddr
  putU64(view, at + 32, size); // p_filesz
  putU64(view, at + 40, size); // p_memsz
  putU64(view, at + 48, align); // p_align
}

/**
 * The file, with a `.shstrtab` added as the last section.
 * @throws CompileError when offsets would not fit into the 31 bits that relative addresses have
 */
export function writeElf(sections: PlacedSections, machine: number): Uint8Array<ArrayBuffer> {
  const placed = sections.all;
  const names = new ByteWriter();
  names.u8(0);
  const nameAt = [...placed.map(s => s.name), '.shstrtab'].map(name => {
    const at = names.length;
    names.utf8(`${name}\0`);
    return at;
  });
  const last = placed[placed.length - 1]!;
  const strtab = last.offset + last.size;
  const headers = alignUp(strtab + names.length, 8);
  const count = placed.length + 2;
  const total = headers + count * SHDR_SIZE;
  if (total > 0x7fffffff)
    throw new CompileError(`the compiled module takes ${total} bytes; the limit is 2 GiB`, -1, 'limit');
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);

  // e_ident: magic, 64 bits, little-endian, version 1.
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_DYN, true); // e_type
  view.setUint16(18, machine, true); // e_machine
  view.setUint32(20, 1, true); // e_version
  putU64(view, 32, EHDR_SIZE); // e_phoff
  putU64(view, 40, headers); // e_shoff
  view.setUint16(52, EHDR_SIZE, true); // e_ehsize
  view.setUint16(54, PHDR_SIZE, true); // e_phentsize
  view.setUint16(56, SEGMENTS, true); // e_phnum
  view.setUint16(58, SHDR_SIZE, true); // e_shentsize
  view.setUint16(60, count, true); // e_shnum
  view.setUint16(62, count - 1, true); // e_shstrndx

  const text = sections.get('.text');
  const dynamic = sections.get('.dynamic');
  const ehFrame = sections.get('.eh_frame_hdr');
  const readable = placed
    .filter(s => s.flags === SectionFlag.Alloc)
    .reduce((end, s) => Math.max(end, s.offset + s.size), 0);
  let at = EHDR_SIZE;
  for (const [type, flags, offset, size, align] of [
    [SegmentType.Load, PF_R, 0, readable, PAGE],
    [SegmentType.Load, PF_R | PF_X, text.offset, text.size, PAGE],
    [SegmentType.Dynamic, PF_R, dynamic.offset, dynamic.size, 8],
    [SegmentType.GnuEhFrame, PF_R, ehFrame.offset, ehFrame.size, 4],
    [SegmentType.GnuStack, PF_R | PF_W, 0, 0, 16],
  ] as const) {
    putSegment(view, at, type, flags, offset, size, align);
    at += PHDR_SIZE;
  }

  at = headers + SHDR_SIZE;
  placed.forEach((s, i) => {
    view.setUint32(at, nameAt[i]!, true); // sh_name
    view.setUint32(at + 4, s.type, true); // sh_type
    putU64(view, at + 8, s.flags); // sh_flags
    if (s.flags & SectionFlag.Alloc) putU64(view, at + 16, s.offset); // sh_addr
    putU64(view, at + 24, s.offset); // sh_offset
    putU64(view, at + 32, s.size); // sh_size
    view.setUint32(at + 40, s.link === undefined ? 0 : sections.number(s.link), true); // sh_link
    view.setUint32(at + 44, s.info ?? 0, true); // sh_info
    putU64(view, at + 48, s.align); // sh_addralign
    putU64(view, at + 56, s.entrySize ?? 0); // sh_entsize
    at += SHDR_SIZE;
    s.write(out, s.offset, sections);
  });
  view.setUint32(at, nameAt[placed.length]!, true);
  view.setUint32(at + 4, SectionType.Strtab, true);
  putU64(view, at + 24, strtab);
  putU64(view, at + 32, names.length);
  putU64(view, at + 48, 1);
  out.set(names.done(), strtab);
  return out;
}
