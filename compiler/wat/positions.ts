/**
 * From byte offsets of an encoded module back to its text. Operators of a function are encoded in the order of the
 * text, so the n-th operator of a body is the n-th of the text; where the counts differ (text that this parser
 * understands otherwise than the encoder did), the function as a whole is meant.
 */
import { CompileError } from '../diagnostics.ts';
import type { Module } from '../wasm/module.ts';
import { operatorOffsets } from '../wasm/operators.ts';
import { Reader } from '../wasm/reader.ts';
import type { Definition, FunctionModel, ModuleModel, Range, Space } from './model.ts';
import { headOf, isList } from './tree.ts';

/** An operator of the module and its place in the text. */
export interface OperatorPosition {
  readonly offset: number;
  readonly range: Range;
}

const headRange = (definition: Definition): Range => definition.at;

/** Defined functions of the text, in order: the n-th is the n-th body. */
export function bodiesOf(model: ModuleModel): FunctionModel[] {
  return model.functions.filter(f => !f.definition.imported);
}

/** Positions of a function's operators; null: text and module disagree. */
export function operatorPositions(
  text: FunctionModel,
  module: Module,
  index: number,
): OperatorPosition[] | null {
  const offsets = operatorOffsets(module, index);
  if (offsets.length !== text.operators.length) return null;
  return offsets.map((offset, i) => ({ offset, range: text.operators[i]! }));
}

/**
 * The text that a byte of the encoded module comes from.
 * @param module null: it could not be decoded
 * @param index the function that the byte belongs to, if known; else -1
 */
export function textRange(
  model: ModuleModel,
  bytes: Uint8Array,
  module: Module | null,
  offset: number,
  index = -1,
): Range {
  if (module !== null) {
    const n =
      index >= 0
        ? index - module.importedFunctions
        : module.bodies.findIndex(b => offset >= b.start && offset < b.end);
    const text = bodiesOf(model)[n];
    if (text !== undefined) {
      const positions = operatorPositions(text, module, n + module.importedFunctions);
      const at = positions?.findLast(p => p.offset <= offset);
      return at?.range ?? headRange(text.definition);
    }
  }
  return fieldRange(model, bytes, offset) ?? wholeModule(model);
}

function wholeModule({ tree }: ModuleModel): Range {
  const module = tree.items.find(isList);
  const keyword = isList(module) ? (module.items[0] ?? module) : null;
  return keyword ? { start: keyword.start, end: keyword.end } : { start: 0, end: 0 };
}

/** Sections by id: the space whose definitions they hold. */
const SECTION_SPACES: readonly (Space | null)[] = [
  ...[
    null,
    'type',
    null,
    'func',
    'table',
    'memory',
    'global',
    null,
    null,
    'elem',
    'func',
    'data',
    'data',
    'tag',
  ],
] as (Space | null)[];
const enum Section {
  Import = 2,
  Export = 7,
  Start = 8,
}

/**
 * The field that a byte outside of bodies belongs to: of its section's definitions the one that can be told, else the
 * first.
 */
function fieldRange(model: ModuleModel, bytes: Uint8Array, offset: number): Range | null {
  const section = sectionAt(bytes, offset);
  if (section === null) return null;
  const text = model.tree.text;
  const fields = (head: string): Range[] => {
    const module = model.tree.items.find(i => headOf(text, i) === 'module');
    const items = isList(module) ? module.items : model.tree.items;
    return items.flatMap(i => (isList(i) && headOf(text, i) === head ? [i.items[0]!] : []));
  };
  if (section.id === Section.Start) return fields('start')[0] ?? null;
  const all = [...model.spaces.values()].flat().sort((a, b) => a.extent.start - b.extent.start);
  if (section.id === Section.Import) return all.find(d => d.imported)?.at ?? null;
  if (section.id === Section.Export) return exportRange(model, bytes, section, offset, fields('export'));
  const space = SECTION_SPACES[section.id];
  if (!space) return null;
  const defined = model.spaces.get(space)!.filter(d => !d.imported);
  return defined[0]?.at ?? null;
}

function sectionAt(bytes: Uint8Array, offset: number): { id: number; start: number; end: number } | null {
  const r = new Reader(bytes, 8, bytes.length);
  try {
    while (r.pos < r.end) {
      const start = r.pos;
      const id = r.u8();
      const size = r.u32();
      const contents = r.skip(size);
      if (offset >= start && offset < contents + size) return { id, start: contents, end: contents + size };
    }
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
  }
  return null;
}

/** Exports are encoded in the order of the text, inline ones where their definition stands. */
function exportRange(
  model: ModuleModel,
  bytes: Uint8Array,
  section: { start: number; end: number },
  offset: number,
  fields: readonly Range[],
): Range | null {
  const r = new Reader(bytes, section.start, section.end);
  try {
    for (let n = r.u32(); n > 0; n--) {
      const name = r.name();
      r.u8();
      r.u32();
      if (r.pos <= offset) continue;
      const all = [...model.spaces.values()].flat();
      return all.findLast(d => d.exports.includes(name))?.at ?? fields[0] ?? null;
    }
  } catch (e) {
    if (!(e instanceof CompileError)) throw e;
  }
  return fields[0] ?? null;
}
