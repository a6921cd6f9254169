/**
 * The linker: compiled functions to one shared object. sections.ts says what is in it.
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
import { EM_X86_64, PlacedSections, SYM_SIZE, writeElf } from './elf.ts';
import { sha256, xxHash32 } from './hashes.ts';
import { buildMetadata, type Linked, NO_INDEX } from './metadata.ts';
import { artifactSections, debugSections } from './sections.ts';

const INT3 = 0xcc;
const UNDERSCORE = 0x5f;

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

/**
 * Link compiled functions to an artifact.
 * @param funcs by function index, then thunks (thunks.ts); null where an index has no code
 * @param layout moduleLayout(module)
 * @param digest SHA-256 of the module; given by callers that have a faster one than ours
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
  const entryTypes = entryThunkTypes(module);
  const metadata = buildMetadata({
    module,
    options,
    layout,
    funcs,
    code,
    ...recordTypes(module, entryTypes),
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

  const sections = new PlacedSections(
    artifactSections({
      ehFrameHeader: header,
      ehFrame: frame,
      metadata: metadata.bytes,
      // The table images lie behind all constants.
      rodataSize: code.rodataSize + imageBytes(module.tableImages),
      textSize: code.textSize,
      functions: present,
      symbolNames: names.w.done(),
      debug: options.debugInfo ? debugSections(module, options.debugCode) : [],
    }),
  );
  const text = sections.get(SECTION.text);
  const rodata = sections.get(SECTION.rodata);
  metadata.place({ text: text.offset, textSize: text.size, rodata: rodata.offset, rodataSize: rodata.size });
  eh.place(text.offset, sections.get('.eh_frame').offset, sections.get('.eh_frame_hdr').offset);
  const out = writeElf(sections, EM_X86_64);
  const images = rodata.offset + code.rodataSize;
  const placer = new Placer(
    out,
    funcs,
    code,
    text.offset,
    rodata.offset,
    images,
    sections.get('.symtab').offset + SYM_SIZE,
    names.at,
    sections.number(SECTION.text),
  );
  for (let i = 0; i < funcs.length; i++) if (funcs[i]) placer.place(funcs[i]!);
  writeImages(out, module, code, text.offset, images);
  const checksum = sections.get(SECTION.module).offset + metadata.checksumAt;
  new DataView(out.buffer).setUint32(checksum, xxHash32(out), true);
  return out;
}

/** The type index of each function and thunk, and the entry thunk of each type. */
function recordTypes(
  module: Module,
  entryTypes: ArrayLike<number>,
): Pick<Linked, 'typeIndices' | 'entryThunk'> {
  const functions = module.functions.length;
  const firstEntry = functions + module.importedFunctions;
  const typeIndices = new Int32Array(firstEntry + entryTypes.length);
  typeIndices.set(module.functions);
  typeIndices.set(module.functions.subarray(0, module.importedFunctions), functions);
  typeIndices.set(entryTypes, firstEntry);
  const entryOf = new Map(Array.from(entryTypes, (type, i) => [type, firstEntry + i]));
  return { typeIndices, entryThunk: type => entryOf.get(type) ?? NO_INDEX };
}
