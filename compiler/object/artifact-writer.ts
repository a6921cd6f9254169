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
import { ByteWriter } from './bytes.ts';
import { CODE_ALIGN, CodeLayout } from './code-layout.ts';
import { EhFrame } from './eh-frame.ts';
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

const INT3 = 0xcc;
const UNDERSCORE = 0x5f;
/** The name under which the metadata is exported. */
const MODULE_SYMBOL = 'lucet_module';

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

/** Puts functions into the file: code, constants, relocations, symbols. */
class Placer {
  private readonly view: DataView;
  private readonly words: Uint32Array;
  private count = 0;

  /**
   * @param text address of .text; likewise those of .rodata and of the images in it
   * @param symbols place of the first function's entry in .symtab
   * @param names where the name of each is in .strtab
   * @param section number of .text
   */
  constructor(
    private readonly out: Uint8Array<ArrayBuffer>,
    private readonly funcs: readonly (CompiledFunc | null)[],
    private readonly layout: CodeLayout,
    private readonly text: number,
    private readonly rodata: number,
    private readonly images: number,
    private readonly symbols: number,
    private readonly names: Int32Array,
    private readonly section: number,
  ) {
    this.view = new DataView(out.buffer);
    this.words = new Uint32Array(out.buffer, 0, out.length >> 2);
  }

  /** The next function in ascending order. */
  place(f: CompiledFunc): void {
    const { out, words } = this;
    const { index } = f;
    const code = this.text + this.layout.code[index]!;
    const constants = this.rodata + this.layout.rodata[index]!;
    out.set(f.code, code);
    let end = code + f.code.length;
    while ((end & (CODE_ALIGN - 1)) !== 0) out[end++] = INT3;
    if (f.rodata.length > 0) out.set(f.rodata, constants);
    if (f.relocs.length > 0) this.relocate(f, code, constants);
    const n = this.count++;
    const at = (this.symbols + n * SYM_SIZE) >> 2;
    words[at] = this.names[n]!;
    // STB_LOCAL, STT_FUNC
    words[at + 1] = 2 | (this.section << 16);
    words[at + 2] = code;
    words[at + 3] = 0;
    words[at + 4] = f.code.length;
    words[at + 5] = 0;
  }

  private relocate(f: CompiledFunc, code: number, constants: number): void {
    const { view, text, funcs, images } = this;
    const offsets = this.layout.code;
    const r = f.relocs;
    for (let k = 0; k < r.length; k += RELOC) {
      const at = r[k + 1]!;
      const target = r[k + 2]!;
      const addend = r[k + 3]!;
      switch (r[k] as RelocKind) {
        case RelocKind.CallFunc: {
          if (!funcs[target]) bug(`function ${f.index} calls ${target}, which has no code`);
          view.setInt32(code + at, text + offsets[target]! + addend - (code + at + 4), true);
          break;
        }
        case RelocKind.Rodata:
          view.setInt32(code + at, constants + addend - (code + at + 4), true);
          break;
        case RelocKind.Image:
          view.setInt32(code + at, images + addend - (code + at + 4), true);
          break;
        case RelocKind.JumpTable:
          view.setInt32(constants + at, code + addend - (constants + target), true);
          break;
      }
    }
  }
}

/** .strtab: a name for every function. */
class SymbolNames {
  readonly w: ByteWriter;
  /** Where each of them begins. */
  readonly at: Int32Array;
  private readonly given: ReadonlyMap<number, string>;
  private count = 0;

  /** @param functions number of those that have code */
  constructor(
    private readonly module: Module,
    private readonly entryTypes: ArrayLike<number>,
    functions: number,
  ) {
    this.w = new ByteWriter(64 + functions * 24);
    this.w.u8(0);
    this.given = module.names.functions;
    this.at = new Int32Array(functions);
  }

  add(index: number): void {
    const { w, module } = this;
    this.at[this.count++] = w.length;
    const name = index < module.functions.length ? this.given.get(index) : '';
    if (name === undefined || name === '') w.utf8(this.madeUp(index));
    else {
      const from = w.length;
      w.utf8(name);
      // As tools can print it: no control characters, which includes the terminator of ELF strings.
      const { bytes, length } = w;
      for (let i = from; i < length; i++) if (bytes[i]! <= 0x20 || bytes[i] === 0x7f) bytes[i] = UNDERSCORE;
    }
    w.u8(0);
  }

  private madeUp(index: number): string {
    const { functions, importedFunctions } = this.module;
    if (index < functions.length) return `wasm-function[${index}]`;
    const thunk = index - functions.length;
    if (thunk < importedFunctions) return `host-thunk[${thunk}]`;
    return `entry-thunk[type ${this.entryTypes[thunk - importedFunctions]}]`;
  }
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

/** Sections that are written when the others are there, function by function. */
const byPlacer = (): void => {};

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
  const code = new CodeLayout(funcs.length);
  for (let i = 0; i < funcs.length; i++) code.add(i, funcs[i]!);
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
    code,
    typeIndices,
    entryThunk: type => entryOf.get(type) ?? NO_INDEX,
    machine: EM_X86_64,
    digest,
  });
  const { present } = code;
  const eh = new EhFrame(present);
  const names = new SymbolNames(module, entryTypes, present);
  for (let i = 0; i < funcs.length; i++) {
    const f = funcs[i];
    if (!f) continue;
    eh.add(f, code.code[i]!);
    names.add(i);
  }
  const { frame, header } = eh.finish();

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
      ...contents(header),
    },
    {
      name: '.eh_frame',
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc,
      align: 8,
      ...contents(frame),
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
      // The table images lie behind all constants.
      size: code.rodataSize + imageBytes(module.tableImages),
      write: byPlacer,
    },
    {
      name: SECTION.text,
      type: SectionType.Progbits,
      flags: SectionFlag.Alloc | SectionFlag.Exec,
      align: PAGE,
      size: code.textSize,
      write: byPlacer,
    },
    ...(options.debugInfo ? debugSections(module, options.debugCode) : []),
    {
      name: '.symtab',
      type: SectionType.Symtab,
      flags: 0,
      align: 8,
      link: '.strtab',
      info: present + 1,
      entrySize: SYM_SIZE,
      size: (present + 1) * SYM_SIZE,
      write: byPlacer,
    },
    { name: '.strtab', type: SectionType.Strtab, flags: 0, align: 1, ...contents(names.w.done()) },
  ];
  const placed = placeSections(sections);
  const place = (name: string): Placed => placed.find(s => s.name === name) ?? bug(`no section ${name}`);
  const number = (name: string): number => placed.findIndex(s => s.name === name) + 1;

  const text = place(SECTION.text);
  const rodata = place(SECTION.rodata);
  metadata.place({ text: text.offset, textSize: text.size, rodata: rodata.offset, rodataSize: rodata.size });
  eh.place(text.offset, place('.eh_frame').offset, place('.eh_frame_hdr').offset);
  const out = writeElf(placed, EM_X86_64);
  const images = rodata.offset + code.rodataSize;
  const placer = new Placer(
    out,
    funcs,
    code,
    text.offset,
    rodata.offset,
    images,
    place('.symtab').offset + SYM_SIZE,
    names.at,
    number(SECTION.text),
  );
  for (let i = 0; i < funcs.length; i++) if (funcs[i]) placer.place(funcs[i]!);
  writeImages(out, module, code, text.offset, images);
  new DataView(out.buffer).setUint32(place(SECTION.module).offset + metadata.checksumAt, xxHash32(out), true);
  return out;
}
