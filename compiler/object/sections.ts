/**
 * The sections of an artifact, in the order of the file:
 *
 *   [.hash .dynsym .dynstr .dynamic .eh_frame_hdr .eh_frame | .lucet.module | .rodata]  read-only
 *   [.text]                                                                             executable
 *   [.lucet.wasm.* .symtab .strtab]                                                     in the file only
 */
import { SECTION } from '../abi/artifact.ts';
import type { Module } from '../wasm/module.ts';
import { ByteWriter } from './bytes.ts';
import { PAGE, putSymbol, type Section, SectionFlag, SectionType, SYM_SIZE } from './elf.ts';

/** The name under which the metadata is exported. */
const MODULE_SYMBOL = 'lucet_module';

const enum DynamicTag {
  Null = 0,
  Hash = 4,
  Strtab = 5,
  Symtab = 6,
  Strsz = 10,
  Syment = 11,
}

const DYN_SIZE = 16;

const contents = (bytes: Uint8Array): Pick<Section, 'size' | 'write'> => ({
  size: bytes.length,
  write: (out, at) => out.set(bytes, at),
});

/** A section of the file only, with bytes of the module. */
const carried = (name: string, bytes: Uint8Array): Section => ({
  name: SECTION.wasmPrefix + name,
  type: SectionType.Progbits,
  flags: 0,
  align: 1,
  ...contents(bytes),
});

const DEBUG_SECTION = /^(?:\.debug_[a-z_]{1,24}|sourceMappingURL|external_debug_info)$/;

/**
 * The module's own debug information: the first section of each name, up to a plausible number of them. The name
 * section goes with it, since it tells what locals are called. Code for debuggers always carries names and module:
 * without line tables it is shown as text.
 */
export function debugSections(module: Module, debugCode: boolean): Section[] {
  const { customSections } = module;
  if (!debugCode && !customSections.some(s => DEBUG_SECTION.test(s.name))) return [];
  const seen = new Set<string>();
  const sections: Section[] = [];
  for (const s of customSections) {
    if (s.name !== 'name' && !DEBUG_SECTION.test(s.name)) continue;
    if (seen.has(s.name)) continue;
    seen.add(s.name);
    if (seen.size > 64) break;
    sections.push(carried(s.name, module.bytes.subarray(s.start, s.end)));
  }
  // The module itself, up to the end of its code: functions are shown as text from it, and it tells how each of them
  // sets up its frame.
  sections.push(carried(SECTION.wasmModule, module.bytes.subarray(0, module.bodies.at(-1)?.end ?? 0)));
  return sections;
}

/** The linker writes these function by function, when all others are there. */
const writtenByLinker = (): void => {};

/** What a dynamic linker needs to find the one symbol that an artifact exports: its metadata. */
function dynamicSections(): Section[] {
  const dynstr = new ByteWriter();
  dynstr.utf8(`\0${MODULE_SYMBOL}\0`);
  // One bucket, one symbol.
  const hash = new ByteWriter();
  for (const v of [1, 2, 1, 0, 0]) hash.u32(v);
  return [
    {
      name: '.hash',
      type: SectionType.Hash,
      flags: SectionFlag.Alloc,
      align: 8,
      link: '.dynsym',
      entrySize: 4,
      ...contents(hash.done()),
    },
    {
      name: '.dynsym',
      type: SectionType.Dynsym,
      flags: SectionFlag.Alloc,
      align: 8,
      link: '.dynstr',
      info: 1,
      entrySize: SYM_SIZE,
      size: 2 * SYM_SIZE,
      write: (out, at, places) => {
        const { offset, size } = places.get(SECTION.module);
        const section = places.number(SECTION.module);
        // Entry 0 stays empty. STB_GLOBAL, STT_OBJECT; the name is the first of .dynstr, at 1.
        putSymbol(new DataView(out.buffer), at + SYM_SIZE, 1, 0x11, section, offset, size);
      },
    },
    {
      name: '.dynstr',
      type: SectionType.Strtab,
      flags: SectionFlag.Alloc,
      align: 1,
      ...contents(dynstr.done()),
    },
    {
      name: '.dynamic',
      type: SectionType.Dynamic,
      flags: SectionFlag.Alloc,
      align: 8,
      link: '.dynstr',
      entrySize: DYN_SIZE,
      size: 6 * DYN_SIZE,
      write: (out, at, places) => {
        const view = new DataView(out.buffer);
        const entries = [
          [DynamicTag.Hash, places.get('.hash').offset],
          [DynamicTag.Strtab, places.get('.dynstr').offset],
          [DynamicTag.Symtab, places.get('.dynsym').offset],
          [DynamicTag.Strsz, places.get('.dynstr').size],
          [DynamicTag.Syment, SYM_SIZE],
          [DynamicTag.Null, 0],
        ] as const;
        entries.forEach(([tag, value], i) => {
          view.setUint32(at + DYN_SIZE * i, tag, true);
          view.setUint32(at + DYN_SIZE * i + 8, value, true);
        });
      },
    },
  ];
}

/** The parts of an artifact that are known before its sections have places. */
export interface ArtifactContents {
  readonly ehFrameHeader: Uint8Array;
  readonly ehFrame: Uint8Array;
  readonly metadata: Uint8Array;
  /** Sizes of what the linker writes itself. */
  readonly rodataSize: number;
  readonly textSize: number;
  /** Number of functions that have code: each has a symbol. */
  readonly functions: number;
  readonly symbolNames: Uint8Array;
  /** What the module itself brings along. */
  readonly debug: readonly Section[];
}

/** The contents of .rodata and .text, and the symbols, are left to the linker. */
export function artifactSections(a: ArtifactContents): Section[] {
  const readable = { type: SectionType.Progbits, flags: SectionFlag.Alloc };
  return [
    ...dynamicSections(),
    { name: '.eh_frame_hdr', ...readable, align: 4, ...contents(a.ehFrameHeader) },
    { name: '.eh_frame', ...readable, align: 8, ...contents(a.ehFrame) },
    { name: SECTION.module, ...readable, align: PAGE, ...contents(a.metadata) },
    { name: SECTION.rodata, ...readable, align: PAGE, size: a.rodataSize, write: writtenByLinker },
    {
      name: SECTION.text,
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc | SectionFlag.Exec,
      align: PAGE,
      size: a.textSize,
      write: writtenByLinker,
    },
    ...a.debug,
    {
      name: '.symtab',
      type: SectionType.Symtab,
      flags: 0,
      align: 8,
      link: '.strtab',
      // The first symbol that isn't local: there is none.
      info: a.functions + 1,
      entrySize: SYM_SIZE,
      size: (a.functions + 1) * SYM_SIZE,
      write: writtenByLinker,
    },
    { name: '.strtab', type: SectionType.Strtab, flags: 0, align: 1, ...contents(a.symbolNames) },
  ];
}
