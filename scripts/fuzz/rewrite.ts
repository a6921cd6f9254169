/**
 * Changes to a module that make what it does observable and comparable. All are made in the binary: nothing else of it
 * changes.
 */
import { decodeModule } from '../../compiler/wasm/decode.ts';
import type { Limits } from '../../compiler/wasm/module.ts';
import { Code, OPCODE_IMM, OpcodePage } from '../../compiler/wasm/opcodes.ts';
import { Reader } from '../../compiler/wasm/reader.ts';
import { skipImmediate } from '../../compiler/wasm/skip.ts';
import { valueTypeOf } from '../../runtime/types.ts';
import {
  exportEntry,
  KIND,
  limits,
  name,
  SECTION_ID,
  TYPE_CODE,
  uleb,
  vector,
} from '../../runtime/wasm-writer.ts';

/** Pages a memory, and elements a table, may grow by: few, so that both engines can always grant them. */
const MAX_GROWTH = 16n;

interface Section {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

function sectionsOf(bytes: Uint8Array): Section[] {
  const sections: Section[] = [];
  const r = new Reader(bytes, 8, bytes.length);
  while (r.pos < r.end) {
    const id = r.u8();
    const size = r.u32();
    sections.push({ id, start: r.pos, end: r.pos + size });
    r.pos += size;
  }
  return sections;
}

/** Where a section stands: the order is that of the numbers, but for tags and the data count. */
function placeOf(id: number): number {
  return id === SECTION_ID.tag ? SECTION_ID.memory + 0.5 : id === DATA_COUNT ? SECTION_ID.element + 0.5 : id;
}
const DATA_COUNT = 12;

/** Replaces the contents of sections, or adds them. */
export function withSections(bytes: Uint8Array, contents: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  const put = (id: number, body: Uint8Array): void => {
    parts.push(Uint8Array.of(id, ...uleb(body.length)), body);
  };
  const sections = sectionsOf(bytes);
  let added = [...contents].filter(([id]) => sections.every(s => s.id !== id));
  for (const { id, start, end } of sections) {
    if (id !== 0) {
      const place = placeOf(id);
      for (const [other, body] of added) if (placeOf(other) < place) put(other, body);
      added = added.filter(([other]) => placeOf(other) > place);
    }
    put(id, contents.get(id) ?? bytes.subarray(start, end));
  }
  for (const [id, body] of added) put(id, body);
  return Buffer.concat(parts);
}

/** A section of a vector with entries added to it, as an entry of withSections' map. */
export function extendedSection(
  bytes: Uint8Array,
  id: number,
  added: readonly (readonly number[])[],
): [number, Uint8Array] {
  const old = sectionsOf(bytes).find(s => s.id === id);
  const r = new Reader(bytes, old?.start ?? 0, old?.end ?? 0);
  const count = old === undefined ? 0 : r.u32();
  const contents = Buffer.concat([
    Uint8Array.from(uleb(count + added.length)),
    bytes.subarray(r.pos, r.end),
    Uint8Array.from(added.flat()),
  ]);
  return [id, contents];
}

/**
 * All memories, tables, globals and tags exported; memories and tables with a maximum that no engine's limits come
 * near.
 */
export function observable(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  const contents = new Map<number, Uint8Array>();

  const added: number[][] = [];
  const add = (kind: keyof typeof KIND, count: number): void => {
    for (let i = 0; i < count; i++) added.push(exportEntry(`fuzz:${kind}${i}`, KIND[kind], i));
  };
  add('memory', module.memories.length);
  add('table', module.tables.length);
  add('global', module.globalTypes.length);
  add('tag', module.tags.length);
  contents.set(...extendedSection(bytes, SECTION_ID.export, added));

  const capped = ({ min, max }: Limits, index64: boolean): number[] => {
    const cap = min + MAX_GROWTH;
    return limits({ min, max: max !== null && max < cap ? max : cap, index64 });
  };
  const replace = (id: number, entries: number[][]): void => {
    if (entries.length > 0) contents.set(id, Uint8Array.from(vector(entries)));
  };
  replace(
    SECTION_ID.memory,
    module.memories.slice(module.importedMemories).map(m => capped(m.limits, m.index64)),
  );
  replace(
    SECTION_ID.table,
    module.tables
      .slice(module.importedTables)
      .map(t => [TYPE_CODE[valueTypeOf(t.element)], ...capped(t.limits, t.index64)]),
  );
  return withSections(bytes, contents);
}

/**
 * The memory and the table, if there is one of each, are imported instead: generated code reaches them in another way.
 * To be applied after `observable`, which bounds them.
 */
export function withImports(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  const sections = sectionsOf(bytes);
  const contents = new Map<number, Uint8Array>();
  const added: Uint8Array[] = [];
  const move = (id: number, kind: number, text: string): void => {
    const s = sections.find(section => section.id === id)!;
    // Its only entry: what is behind the count of 1.
    const type = bytes.subarray(s.start + 1, s.end);
    added.push(Buffer.concat([Uint8Array.from([...name('fuzz'), ...name(text), kind]), type]));
    contents.set(id, Uint8Array.of(0));
  };
  if (module.memories.length === 1 && module.importedMemories === 0 && !module.memories[0]!.index64) {
    move(SECTION_ID.memory, KIND.memory, 'memory');
  }
  if (module.tables.length === 1 && module.importedTables === 0) move(SECTION_ID.table, KIND.table, 'table');
  const old = sections.find(s => s.id === SECTION_ID.import);
  const r = new Reader(bytes, old?.start ?? 0, old?.end ?? 0);
  const count = old === undefined ? 0 : r.u32();
  contents.set(
    SECTION_ID.import,
    Buffer.concat([Uint8Array.from(uleb(count + added.length)), bytes.subarray(r.pos, r.end), ...added]),
  );
  return withSections(bytes, contents);
}

/**
 * Operators that make bits of a NaN visible, by the type of the operand on top of the stack: stores, reinterpretation,
 * copysign, lanes.
 */
const SHOWS_BITS: ReadonlyMap<number, 'f32' | 'f64'> = new Map([
  [0x38, 'f32'],
  [0x39, 'f64'],
  [0xbc, 'f32'],
  [0xbd, 'f64'],
  [0x98, 'f32'],
  [0xa6, 'f64'],
  [OpcodePage.Simd + 0x13, 'f32'],
  [OpcodePage.Simd + 0x14, 'f64'],
  [OpcodePage.Simd + 0x20, 'f32'],
  [OpcodePage.Simd + 0x22, 'f64'],
]);

/** Vector operators that make NaNs; whoever uses the result sees their bits. First and last of ranges. */
const MAKES_NANS: readonly (readonly [number, number, 'f32x4' | 'f64x2'])[] = [
  [0x5e, 0x5e, 'f32x4'],
  [0x5f, 0x5f, 'f64x2'],
  [0x67, 0x6a, 'f32x4'],
  [0x74, 0x75, 'f64x2'],
  [0x7a, 0x7a, 'f64x2'],
  [0x94, 0x94, 'f64x2'],
  [0xe3, 0xe9, 'f32x4'],
  [0xef, 0xf5, 'f64x2'],
];

const NAN_F32 = [0, 0, 0xc0, 0x7f];
const NAN_F64 = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];
const simd = (n: number): number[] => [Code.SimdPrefix, ...uleb(n)];
/** How a NaN is replaced: the canonical one, the comparison that tells, and the choice between value and NaN. */
const CANONICAL_NAN = {
  f32: { nan: [Code.F32Const, ...NAN_F32], equal: [0x5b], select: [Code.Select] },
  f64: { nan: [Code.F64Const, ...NAN_F64], equal: [0x61], select: [Code.Select] },
  f32x4: {
    nan: [...simd(0x0c), ...NAN_F32, ...NAN_F32, ...NAN_F32, ...NAN_F32],
    equal: simd(0x41),
    select: simd(0x52),
  },
  f64x2: { nan: [...simd(0x0c), ...NAN_F64, ...NAN_F64], equal: simd(0x47), select: simd(0x52) },
} as const;

/**
 * NaNs become the canonical one where their bits could be seen, since the specification leaves them open ("NaN
 * propagation"). Scalar arithmetic in between stays as it is.
 */
export function withCanonicalNans(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes);
  if (module.bodies.length === 0) return bytes;
  const bodies = module.bodies.map(({ start, end }, i) => {
    const { params } = module.types[module.functions[module.importedFunctions + i]!]!;
    const body = canonicalBody(bytes, start, end, params.length);
    return [...uleb(body.length), ...body];
  });
  return withSections(bytes, new Map([[SECTION_ID.code, Uint8Array.from(vector(bodies))]]));
}

function canonicalBody(bytes: Uint8Array, start: number, end: number, params: number): number[] {
  const r = new Reader(bytes, start, end);
  const groups = r.u32();
  const groupsStart = r.pos;
  let locals = params;
  for (let i = 0; i < groups; i++) {
    locals += r.u32();
    r.u8();
  }
  const groupsEnd = r.pos;
  const code: number[] = [];
  let vectors = false;
  const canonicalise = (type: keyof typeof CANONICAL_NAN): void => {
    const { nan, equal, select } = CANONICAL_NAN[type];
    vectors ||= type.includes('x');
    const local = uleb(locals + (type === 'f32' ? 0 : type === 'f64' ? 1 : 2));
    code.push(Code.LocalTee, ...local, ...nan, Code.LocalGet, ...local, Code.LocalGet, ...local);
    code.push(...equal, ...select);
  };
  while (r.pos < end) {
    const at = r.pos;
    let op = r.u8();
    if (op === Code.MiscPrefix) op = OpcodePage.Misc + r.u32();
    else if (op === Code.SimdPrefix) op = OpcodePage.Simd + r.u32();
    skipImmediate(r, OPCODE_IMM[op]!);
    const shown = SHOWS_BITS.get(op);
    if (shown !== undefined) canonicalise(shown);
    for (let i = at; i < r.pos; i++) code.push(bytes[i]!);
    const n = op - OpcodePage.Simd;
    const made = MAKES_NANS.find(([first, last]) => n >= first && n <= last);
    if (made !== undefined) canonicalise(made[2]);
  }
  const scratch = [1, TYPE_CODE.f32, 1, TYPE_CODE.f64, ...(vectors ? [1, TYPE_CODE.v128] : [])];
  return [
    ...uleb(groups + scratch.length / 2),
    ...bytes.subarray(groupsStart, groupsEnd),
    ...scratch,
    ...code,
  ];
}
