/**
 * The linker: compiled functions to one shared object.
 *
 *   [headers .hash .dynsym .dynstr .dynamic .eh_frame_hdr .eh_frame | .lucet.module | .rodata]  read-only
 *   [.text]                                                                                       executable
 *   [.lucet.wasm.* .symtab .strtab .shstrtab]                                                     in the file only
 *
 * File offsets and addresses are equal. The bytes depend on the arguments alone.
 */
import { SECTION } from '../abi/artifact.ts';
import type { VmctxLayout } from '../abi/vmctx.ts';
import { type CompiledFunc, RELOC, RelocKind } from '../backend/code.ts';
import { bug } from '../diagnostics.ts';
import type { CompileOptions } from '../options.ts';
import { entryThunkTypes } from '../thunks.ts';
import type { Module } from '../wasm/module.ts';
import { IMAGE_ENTRY, imageBytes, NULL_TYPE } from '../wasm/table-images.ts';
import { alignUp, ByteWriter } from './bytes.ts';
import { buildEhFrame } from './eh-frame.ts';
import {
  EM_X86_64,
  PAGE,
  type Placed,
  placeSections,
  putSymbol,
  type Section,
  SectionFlag,
  SectionType,
  SYM_SIZE,
  writeElf,
} from './elf.ts';
import { sha256, xxHash32 } from './hashes.ts';
import { buildMetadata, NO_INDEX } from './metadata.ts';

const CODE_ALIGN = 16;
const INT3 = 0xcc;
/** The name under which the metadata is exported. */
const MODULE_SYMBOL = 'lucet_module';

/** Where each function's code and constants lie in .text and .rodata. */
interface CodeLayout {
  readonly code: Float64Array;
  readonly rodata: Float64Array;
  /** The table images in .rodata, behind all constants. */
  readonly images: number;
  readonly textSize: number;
  readonly rodataSize: number;
}

function layOut(funcs: readonly (CompiledFunc | null)[], imageBytes: number): CodeLayout {
  const code = new Float64Array(funcs.length);
  const rodata = new Float64Array(funcs.length);
  let text = 0;
  let constants = 0;
  funcs.forEach((f, i) => {
    text = alignUp(text, CODE_ALIGN);
    constants = alignUp(constants, CODE_ALIGN);
    code[i] = text;
    rodata[i] = constants;
    if (!f) return;
    if (f.index !== i) bug(`function ${f.index} stands at ${i}`);
    text += f.code.length;
    constants += f.rodata.length;
  });
  const images = alignUp(constants, CODE_ALIGN);
  return { code, rodata, images, textSize: alignUp(text, CODE_ALIGN), rodataSize: images + imageBytes };
}

/** Table images: wasm/table-images.ts says what they look like. */
function writeImages(
  out: Uint8Array<ArrayBuffer>,
  module: Module,
  layout: CodeLayout,
  text: number,
  images: number,
): void {
  const view = new DataView(out.buffer);
  for (const image of module.tableImages) {
    if (!image) continue;
    const start = images + image.offset;
    image.functions.forEach((f, i) => {
      const at = start + i * IMAGE_ENTRY.SIZE;
      view.setInt32(
        at + IMAGE_ENTRY.TYPE,
        f < 0 ? NULL_TYPE : module.canonicalTypes[module.functions[f]!]!,
        true,
      );
      view.setInt32(at + IMAGE_ENTRY.CODE, f < 0 ? 0 : text + layout.code[f]! - at, true);
    });
  }
}

function relocate(
  out: Uint8Array<ArrayBuffer>,
  funcs: readonly (CompiledFunc | null)[],
  layout: CodeLayout,
  text: number,
  rodata: number,
): void {
  const view = new DataView(out.buffer);
  for (let i = 0; i < funcs.length; i++) {
    const f = funcs[i];
    if (!f) continue;
    const code = text + layout.code[i]!;
    const constants = rodata + layout.rodata[i]!;
    const r = f.relocs;
    for (let k = 0; k < r.length; k += RELOC) {
      const at = r[k + 1]!;
      const target = r[k + 2]!;
      const addend = r[k + 3]!;
      switch (r[k] as RelocKind) {
        case RelocKind.CallFunc: {
          if (!funcs[target]) bug(`function ${i} calls ${target}, which has no code`);
          view.setInt32(code + at, text + layout.code[target]! + addend - (code + at + 4), true);
          break;
        }
        case RelocKind.Rodata:
          view.setInt32(code + at, constants + addend - (code + at + 4), true);
          break;
        case RelocKind.Image:
          view.setInt32(code + at, rodata + layout.images + addend - (code + at + 4), true);
          break;
        case RelocKind.JumpTable:
          view.setInt32(constants + at, code + addend - (constants + target), true);
          break;
      }
    }
  }
}

/** A name as tools can print it: no control characters, which includes the terminator of ELF strings. */
function printable(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
  return name.replace(/[\u0000-\u0020\u007f]/g, '_');
}

function symbolName(module: Module, index: number, entryTypes: ArrayLike<number>): string {
  const functions = module.functions.length;
  if (index < functions) {
    const name = module.names.functions.get(index);
    return name === undefined || name === '' ? `wasm-function[${index}]` : printable(name);
  }
  const thunk = index - functions;
  if (thunk < module.importedFunctions) return `host-thunk[${thunk}]`;
  return `entry-thunk[type ${entryTypes[thunk - module.importedFunctions]}]`;
}

/** .symtab and .strtab: every function. */
function symbolTable(
  module: Module,
  funcs: readonly (CompiledFunc | null)[],
  layout: CodeLayout,
  entryTypes: ArrayLike<number>,
): {
  symbols: number;
  strings: ByteWriter;
  write: (out: Uint8Array<ArrayBuffer>, at: number, text: Placed, number: number) => void;
} {
  const strings = new ByteWriter(64 + funcs.length * 24);
  strings.u8(0);
  const names: number[] = [];
  funcs.forEach((f, i) => {
    if (!f) return;
    names.push(strings.length);
    strings.utf8(symbolName(module, i, entryTypes));
    strings.u8(0);
  });
  return {
    symbols: names.length + 1,
    strings,
    write(out, at, text, number) {
      const view = new DataView(out.buffer);
      let n = 0;
      funcs.forEach((f, i) => {
        if (!f) return;
        // STB_LOCAL, STT_FUNC
        putSymbol(
          view,
          at + (n + 1) * SYM_SIZE,
          names[n]!,
          2,
          number,
          text.offset + layout.code[i]!,
          f.code.length,
        );
        n++;
      });
    },
  };
}

const DEBUG_SECTION = /^(?:\.debug_[a-z_]{1,24}|sourceMappingURL|external_debug_info)$/;

/**
 * Debug information that the module brings along: the first section of each name, as many as are plausible. With it go the names, which
 * tell what locals are called. Code for debuggers has names and module always: without lines of its own it is shown as text.
 */
function debugSections(module: Module, debugCode: boolean): Section[] {
  const { customSections } = module;
  if (!debugCode && !customSections.some(s => DEBUG_SECTION.test(s.name))) return [];
  const seen = new Set<string>();
  const sections: Section[] = [];
  for (const s of customSections) {
    if (s.name !== 'name' && !DEBUG_SECTION.test(s.name)) continue;
    if (seen.has(s.name)) continue;
    seen.add(s.name);
    if (seen.size > 64) break;
    sections.push({
      name: SECTION.wasmPrefix + s.name,
      type: SectionType.Progbits,
      flags: 0,
      align: 1,
      size: s.end - s.start,
      write: (out, at) => out.set(module.bytes.subarray(s.start, s.end), at),
    });
  }
  return [...sections, moduleBytes(module)];
}

/**
 * With debug information goes the module itself, up to the end of its code: what shows functions as text, and knows how each of them
 * sets up its frame, is read from there.
 */
function moduleBytes(module: Module): Section {
  const end = module.bodies.at(-1)?.end ?? 0;
  return {
    name: SECTION.wasmPrefix + SECTION.wasmModule,
    type: SectionType.Progbits,
    flags: 0,
    align: 1,
    size: end,
    write: (out, at) => out.set(module.bytes.subarray(0, end), at),
  };
}

const enum DynamicTag {
  Null = 0,
  Hash = 4,
  Strtab = 5,
  Symtab = 6,
  Strsz = 10,
  Syment = 11,
}

const contents = (bytes: Uint8Array) => ({
  size: bytes.length,
  write: (out: Uint8Array<ArrayBuffer>, at: number) => out.set(bytes, at),
});

/**
 * @param funcs by function index, then thunks (thunks.ts); null where an index has no code
 * @param layout moduleLayout(module)
 * @param digest SHA-256 of the module, from whoever has a faster one than ours
 * @returns the bytes of the shared object
 * @throws CompileError: over 2 GiB
 */
export function link(
  module: Module,
  funcs: readonly (CompiledFunc | null)[],
  layout: VmctxLayout,
  options: CompileOptions,
  digest: Uint8Array = sha256(module.bytes),
): Uint8Array<ArrayBuffer> {
  const places = layOut(funcs, imageBytes(module.tableImages));
  const functions = module.functions.length;
  const entryTypes = entryThunkTypes(module);
  const firstEntry = functions + module.importedFunctions;
  const entryOf = new Map(Array.from(entryTypes, (type, i) => [type, firstEntry + i]));
  const typeIndices = new Int32Array(funcs.length);
  typeIndices.set(module.functions);
  typeIndices.set(module.functions.subarray(0, module.importedFunctions), functions);
  typeIndices.set(entryTypes, firstEntry);
  const metadata = buildMetadata({
    module,
    options,
    layout,
    funcs,
    codeOffsets: places.code,
    typeIndices,
    entryThunk: type => entryOf.get(type) ?? NO_INDEX,
    machine: EM_X86_64,
    digest,
  });
  const present = funcs.filter(f => f !== null);
  const eh = buildEhFrame(
    present,
    Float64Array.from(present, f => places.code[f.index]!),
  );
  const symtab = symbolTable(module, funcs, places, entryTypes);

  const dynstr = new ByteWriter();
  dynstr.utf8(`\0${MODULE_SYMBOL}\0`);
  // One bucket, one symbol.
  const hash = new ByteWriter();
  for (const v of [1, 2, 1, 0, 0]) hash.u32(v);
  const sections: Section[] = [
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
      write: (out, at) => {
        const target = place(SECTION.module);
        // STB_GLOBAL, STT_OBJECT
        putSymbol(
          new DataView(out.buffer),
          at + SYM_SIZE,
          1,
          0x11,
          number(SECTION.module),
          target.offset,
          target.size,
        );
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
      entrySize: 16,
      size: 6 * 16,
      write: (out, at) => {
        const view = new DataView(out.buffer);
        const entries = [
          [DynamicTag.Hash, place('.hash').offset],
          [DynamicTag.Strtab, place('.dynstr').offset],
          [DynamicTag.Symtab, place('.dynsym').offset],
          [DynamicTag.Strsz, place('.dynstr').size],
          [DynamicTag.Syment, SYM_SIZE],
          [DynamicTag.Null, 0],
        ] as const;
        entries.forEach(([tag, value], i) => {
          view.setUint32(at + 16 * i, tag, true);
          view.setUint32(at + 16 * i + 8, value, true);
        });
      },
    },
    {
      name: '.eh_frame_hdr',
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc,
      align: 4,
      ...contents(eh.header),
    },
    {
      name: '.eh_frame',
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc,
      align: 8,
      ...contents(eh.frame),
    },
    {
      name: SECTION.module,
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc,
      align: PAGE,
      ...contents(metadata.bytes),
    },
    {
      name: SECTION.rodata,
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc,
      align: PAGE,
      size: places.rodataSize,
      write: (out, at) => {
        funcs.forEach((f, i) => {
          if (f) out.set(f.rodata, at + places.rodata[i]!);
        });
      },
    },
    {
      name: SECTION.text,
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc | SectionFlag.Exec,
      align: PAGE,
      size: places.textSize,
      write: (out, at) => {
        out.fill(INT3, at, at + places.textSize);
        funcs.forEach((f, i) => {
          if (f) out.set(f.code, at + places.code[i]!);
        });
      },
    },
    ...(options.debugInfo ? debugSections(module, options.debugCode) : []),
    {
      name: '.symtab',
      type: SectionType.Symtab,
      flags: 0,
      align: 8,
      link: '.strtab',
      info: symtab.symbols,
      entrySize: SYM_SIZE,
      size: symtab.symbols * SYM_SIZE,
      write: (out, at) => symtab.write(out, at, place(SECTION.text), number(SECTION.text)),
    },
    { name: '.strtab', type: SectionType.Strtab, flags: 0, align: 1, ...contents(symtab.strings.done()) },
  ];
  const placed = placeSections(sections);
  const place = (name: string): Placed => placed.find(s => s.name === name) ?? bug(`no section ${name}`);
  const number = (name: string): number => placed.findIndex(s => s.name === name) + 1;

  const text = place(SECTION.text);
  const rodata = place(SECTION.rodata);
  metadata.place({ text: text.offset, textSize: text.size, rodata: rodata.offset, rodataSize: rodata.size });
  eh.place(text.offset, place('.eh_frame').offset, place('.eh_frame_hdr').offset);
  const out = writeElf(placed, EM_X86_64);
  relocate(out, funcs, places, text.offset, rodata.offset);
  writeImages(out, module, places, text.offset, rodata.offset + places.images);
  new DataView(out.buffer).setUint32(place(SECTION.module).offset + metadata.checksumAt, xxHash32(out), true);
  return out;
}
