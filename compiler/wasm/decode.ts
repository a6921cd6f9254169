/**
 * Binary format -> Module: header, sections in order, all validation of Wasm 2.0 that needs no function body ("Validation", "Modules").
 * Bodies are decoded and validated by lower.ts.
 */
import { DEFAULT_FEATURES, type FeatureSet } from '../features.ts';
import { Sections } from './decode-sections.ts';
import { LIMITS, overLimit } from './limits.ts';
import type { CustomSection, Module } from './module.ts';
import { LazyNames } from './names.ts';
import { Reader } from './reader.ts';
import { tableFacts } from './table-images.ts';

const enum SectionId {
  Custom = 0,
  Type = 1,
  Import = 2,
  Function = 3,
  Table = 4,
  Memory = 5,
  Global = 6,
  Export = 7,
  Start = 8,
  Elem = 9,
  Code = 10,
  Data = 11,
  DataCount = 12,
  Tag = 13,
}
/** Position of each section in a module, by its number: custom ones have none. */
const ORDER = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6];

function header(r: Reader): void {
  const magic = [0x00, 0x61, 0x73, 0x6d];
  for (const b of magic) if (r.u8() !== b) r.fail('magic header not detected', 0);
  const version = [1, 0, 0, 0];
  for (const b of version) {
    if (r.u8() !== b) {
      // Layer 1 in the upper half of the version field: a component.
      const component = r.bytes[6] === 1 && r.bytes[7] === 0;
      r.fail(
        component
          ? 'unknown binary version: this is a component, not a core module'
          : 'unknown binary version',
        4,
      );
    }
  }
}

function section(s: Sections, id: number): void {
  switch (id) {
    case SectionId.Type:
      s.typeSection();
      break;
    case SectionId.Import:
      s.importSection();
      break;
    case SectionId.Function:
      s.functionSection();
      break;
    case SectionId.Table:
      s.tableSection();
      break;
    case SectionId.Memory:
      s.memorySection();
      break;
    case SectionId.Tag:
      s.tagSection();
      break;
    case SectionId.Global:
      s.globalSection();
      break;
    case SectionId.Export:
      s.exportSection();
      break;
    case SectionId.Start:
      s.startSection();
      break;
    case SectionId.Elem:
      s.elemSection();
      break;
    case SectionId.DataCount:
      s.dataCountSection();
      break;
    case SectionId.Code:
      s.codeSection();
      break;
    case SectionId.Data:
      s.dataSection();
      break;
  }
}

/**
 * Decode a module and validate all of it but its function bodies.
 * @param features extensions that the module may use
 * @throws CompileError: malformed, invalid, unsupported (names the proposal) or limit, with the offset
 */
export function decodeModule(bytes: Uint8Array, features: FeatureSet = DEFAULT_FEATURES): Module {
  if (bytes.length > LIMITS.moduleSize) overLimit('module too large', LIMITS.moduleSize, 0);
  const r = new Reader(bytes, 0, bytes.length);
  r.features = features;
  header(r);
  const s = new Sections(r);
  const customSections: CustomSection[] = [];
  let last = 0;
  while (r.pos < bytes.length) {
    const at = r.pos;
    const id = r.u8();
    if (id > SectionId.Tag) r.fail('malformed section id', at);
    const size = r.u32();
    const start = r.skip(size);
    const end = start + size;
    r.pos = start;
    r.end = end;
    r.endMessage = 'unexpected end of section or function';
    if (id === SectionId.Custom) {
      const name = r.name();
      customSections.push({ name, start: r.pos, end });
      r.pos = end;
    } else {
      if (ORDER[id]! <= last) r.fail('unexpected content after last section', at);
      last = ORDER[id]!;
      section(s, id);
      if (r.pos !== end) r.fail('section size mismatch', r.pos);
    }
    r.end = bytes.length;
    r.endMessage = 'unexpected end';
  }
  s.finish();
  return assemble(bytes, features, s, customSections);
}

function assemble(
  bytes: Uint8Array,
  features: FeatureSet,
  s: Sections,
  customSections: CustomSection[],
): Module {
  const { images, written, refFunc } = tableFacts({ ...s, bytes });
  // Data properties only: with an accessor V8 makes a dictionary of it, and the module is asked for something at every second operator.
  return {
    bytes,
    features,
    types: s.types,
    canonicalTypes: Int32Array.from(s.canonicalTypes),
    imports: s.imports,
    functions: Int32Array.from(s.functions),
    importedFunctions: s.importedFunctions,
    tables: s.tables,
    importedTables: s.importedTables,
    tableInits: s.tableInits,
    memories: s.memories,
    importedMemories: s.importedMemories,
    globalTypes: s.globalTypes,
    importedGlobals: s.importedGlobals,
    globals: s.globals,
    tags: s.tags,
    importedTags: s.importedTags,
    exports: s.exports,
    start: s.start,
    elems: s.elems,
    dataCount: s.dataCount,
    data: s.data,
    bodies: s.bodies,
    codeStart: s.codeStart,
    customSections,
    names: new LazyNames(bytes, customSections),
    tableImages: images,
    tablesWritten: written,
    escaping: s.escaping(images, refFunc),
  };
}
