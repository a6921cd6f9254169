/** What is in a module, as lists of texts for a view. */
import {
  ExternKind,
  type GlobalType,
  type Limits,
  type MemoryType,
  type Module,
  type TableType,
} from '../../compiler/wasm/module.ts';
import { functionType, signatureText } from '../../compiler/wasm/print.ts';
import { Reader } from '../../compiler/wasm/reader.ts';
import { typeName } from '../../compiler/wasm/types.ts';
import type { ExternInfo, ModuleSummary, SectionInfo } from './protocol.ts';

const SECTION_NAMES = [
  'custom',
  'type',
  'import',
  'function',
  'table',
  'memory',
  'global',
  'export',
  'start',
  'element',
  'code',
  'data',
  'data count',
  'tag',
];
const KINDS: Readonly<Record<number, string>> = {
  [ExternKind.Func]: 'func',
  [ExternKind.Table]: 'table',
  [ExternKind.Memory]: 'memory',
  [ExternKind.Global]: 'global',
  [ExternKind.Tag]: 'tag',
};

const limits = ({ min, max }: Limits): string => (max === null ? `${min}` : `${min} ${max}`);
const memoryText = (m: MemoryType): string =>
  `${m.index64 ? 'i64 ' : ''}${limits(m.limits)}${m.shared ? ' shared' : ''}`;
const tableText = (t: TableType): string =>
  `${t.index64 ? 'i64 ' : ''}${limits(t.limits)} ${typeName(t.element)}`;
const globalText = (g: GlobalType): string => (g.mutable ? `(mut ${typeName(g.type)})` : typeName(g.type));

/** Sections in the order of the file. The module has been decoded: they are well-formed. */
function sections(module: Module): SectionInfo[] {
  const found: SectionInfo[] = [];
  const r = new Reader(module.bytes, 8, module.bytes.length);
  while (r.pos < r.end) {
    const start = r.pos;
    const id = r.u8();
    const size = r.u32();
    const contents = r.skip(size);
    let name = SECTION_NAMES[id] ?? `section ${id}`;
    if (id === 0) name = `custom "${new Reader(module.bytes, contents, contents + size).name()}"`;
    found.push({ name, start, size: contents - start + size });
  }
  return found;
}

/** Fields of the section "producers" (tool-conventions, ProducersSection). It is a hint: what is broken is left out. */
function producers(module: Module): string[] {
  const section = module.customSections.find(s => s.name === 'producers');
  if (!section) return [];
  const found: string[] = [];
  try {
    const r = new Reader(module.bytes, section.start, section.end);
    for (let fields = r.u32(); fields > 0 && found.length < 32; fields--) {
      const field = r.name();
      for (let n = r.u32(); n > 0 && found.length < 32; n--)
        found.push(`${field}: ${r.name()} ${r.name()}`.trim());
    }
  } catch {}
  return found;
}

export function summarize(path: string, module: Module, hash: string): ModuleSummary {
  const counts = [0, 0, 0, 0, 0];
  const externType = (kind: ExternKind, index: number): string => {
    switch (kind) {
      case ExternKind.Func:
        return signatureText(functionType(module, index));
      case ExternKind.Table:
        return ` ${tableText(module.tables[index]!)}`;
      case ExternKind.Memory:
        return ` ${memoryText(module.memories[index]!)}`;
      case ExternKind.Global:
        return ` ${globalText(module.globalTypes[index]!)}`;
      default:
        return '';
    }
  };
  const imports = module.imports.map((i): ExternInfo & { module: string } => {
    const kind: ExternKind = i.desc.kind;
    const index = counts[kind]!++;
    return { kind: KINDS[kind]!, module: i.module, name: i.name, index, type: externType(kind, index) };
  });
  return {
    path,
    bytes: module.bytes.length,
    hash,
    sections: sections(module),
    imports,
    exports: module.exports.map(e => ({
      kind: KINDS[e.kind]!,
      name: e.name,
      index: e.index,
      type: externType(e.kind, e.index),
    })),
    functions: module.bodies.map((body, i) => {
      const index = module.importedFunctions + i;
      return {
        index,
        name: module.names.functions.get(index) ?? '',
        type: signatureText(functionType(module, index)).trim(),
        size: body.end - body.start,
      };
    }),
    memories: module.memories.map(memoryText),
    tables: module.tables.map(tableText),
    globals: module.globalTypes.map(globalText),
    data: module.data.map((d, i) => `${i}: ${d.mode}, memory ${d.memory}, ${d.end - d.start} bytes`),
    elements: module.elems.map((e, i) => `${i}: ${e.mode}, ${e.items.length} of ${typeName(e.type)}`),
    producers: producers(module),
    hasDebugInfo: module.customSections.some(s => s.name.startsWith('.debug_')),
  };
}
