/**
 * Binary format -> Module: header, sections in order, all validation of Wasm 2.0 that needs no function body
 * ("Validation", "Modules"). Bodies are decoded and validated by lower.ts.
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
          ? 'unknown binary version: this is a component (WASI 0.2); build a core module, for WASI preview 1 (wasm32-wasip1)'
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
      if (customSections.length > LIMITS.customSections)
        overLimit('too many custom sections', LIMITS.customSections, at);
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
  return new DecodedModule(bytes, features, customSections, s);
}

/**
 * A class with data properties. Of an object literal V8 makes the map anew when it is evaluated for the second time,
 * and discards code that relied on what the first module's properties hold; with an accessor it makes a dictionary. The
 * module is asked for something at every second operator.
 */
class DecodedModule implements Module {
  readonly types;
  readonly canonicalTypes;
  readonly imports;
  readonly functions;
  readonly importedFunctions;
  readonly tables;
  readonly importedTables;
  readonly tableInits;
  readonly memories;
  readonly importedMemories;
  readonly globalTypes;
  readonly importedGlobals;
  readonly globals;
  readonly tags;
  readonly importedTags;
  readonly exports;
  readonly start;
  readonly elems;
  readonly dataCount;
  readonly data;
  readonly bodies;
  readonly codeStart;
  readonly names;
  readonly tableImages;
  readonly tablesWritten;
  readonly escaping;

  constructor(
    readonly bytes: Uint8Array,
    readonly features: FeatureSet,
    readonly customSections: readonly CustomSection[],
    s: Sections,
  ) {
    const { images, written, refFunc } = tableFacts({ ...s, bytes });
    this.types = s.types;
    this.canonicalTypes = Int32Array.from(s.canonicalTypes);
    this.imports = s.imports;
    this.functions = Int32Array.from(s.functions);
    this.importedFunctions = s.importedFunctions;
    this.tables = s.tables;
    this.importedTables = s.importedTables;
    this.tableInits = s.tableInits;
    this.memories = s.memories;
    this.importedMemories = s.importedMemories;
    this.globalTypes = s.globalTypes;
    this.importedGlobals = s.importedGlobals;
    this.globals = s.globals;
    this.tags = s.tags;
    this.importedTags = s.importedTags;
    this.exports = s.exports;
    this.start = s.start;
    this.elems = s.elems;
    this.dataCount = s.dataCount;
    this.data = s.data;
    this.bodies = s.bodies;
    this.codeStart = s.codeStart;
    this.names = new LazyNames(bytes, customSections);
    this.tableImages = images;
    this.tablesWritten = written;
    this.escaping = s.escaping(images, refFunc);
  }
}
