/**
 * The extensions of WebAssembly that can be switched on and off: all those after version 1.0 that Lucet implements. One
 * that is off is refused by name wherever a module uses it, as are those that are not implemented.
 *
 * Names are those of the proposals. Every use of one is guarded either by its operators, listed here, or by
 * `needFeature` where it is read.
 */
import { CompileError } from './diagnostics.ts';

interface FeatureInfo {
  readonly name: string;
  readonly doc: string;
  /** Ranges of operator codes (wasm/opcodes.ts) that belong to it: [first, last]. */
  readonly operators: readonly (readonly [number, number])[];
}

export const FEATURES = [
  {
    name: 'sign-extension',
    doc: 'i32.extend8_s and its kin',
    operators: [[0xc0, 0xc4]],
  },
  {
    name: 'nontrapping-float-to-int',
    doc: 'saturating conversions from floating point',
    operators: [[0x100, 0x107]],
  },
  {
    name: 'multi-value',
    doc: 'several results of functions; parameters and several results of blocks',
    operators: [],
  },
  {
    name: 'bulk-memory',
    doc: 'memory.copy, memory.fill, passive segments, table.copy, table.init',
    operators: [[0x108, 0x10e]],
  },
  {
    name: 'reference-types',
    doc: 'funcref and externref as values, several tables, table.get and its kin',
    operators: [
      [0x1c, 0x1c],
      [0x25, 0x26],
      [0xd0, 0xd2],
      [0x10f, 0x111],
    ],
  },
  {
    name: 'simd',
    doc: 'vectors of 128 bits',
    operators: [
      [0x200, 0x299],
      [0x29b, 0x2a1],
      [0x2a3, 0x2a4],
      [0x2a7, 0x2ae],
      [0x2b1, 0x2b1],
      [0x2b5, 0x2ba],
      [0x2bc, 0x2c1],
      [0x2c3, 0x2c4],
      [0x2c7, 0x2ce],
      [0x2d1, 0x2d1],
      [0x2d5, 0x2e1],
      [0x2e3, 0x2ed],
      [0x2ef, 0x2ff],
    ],
  },
  {
    name: 'relaxed-simd',
    doc: 'vector operators whose results may differ between machines',
    operators: [[0x300, 0x313]],
  },
  {
    name: 'tail-call',
    doc: 'calls that replace their caller',
    operators: [[0x12, 0x13]],
  },
  {
    name: 'exceptions',
    doc: 'tags, throw, throw_ref, try_table, exnref',
    operators: [
      [0x08, 0x08],
      [0x0a, 0x0a],
      [0x1f, 0x1f],
    ],
  },
  {
    name: 'function-references',
    doc: 'typed references to functions, call_ref, br_on_null, tables with initialisers',
    operators: [
      [0x14, 0x15],
      [0xd4, 0xd6],
    ],
  },
  {
    name: 'gc',
    doc: 'recursion groups, subtypes, types of structures and arrays, ref.eq, arrays in constant expressions; other operators are yet to come',
    operators: [[0xd3, 0xd3]],
  },
  {
    name: 'extended-const',
    doc: "arithmetic in constant expressions, and reading the module's own globals there",
    operators: [],
  },
  { name: 'multi-memory', doc: 'several memories', operators: [] },
  { name: 'memory64', doc: 'memories and tables with 64-bit addresses', operators: [] },
  { name: 'custom-page-sizes', doc: 'memories with pages of one byte', operators: [] },
  {
    name: 'wide-arithmetic',
    doc: '128-bit sums and differences, double-width products',
    operators: [[0x113, 0x116]],
  },
] as const satisfies readonly FeatureInfo[];

export type Feature = (typeof FEATURES)[number]['name'];
export type FeatureSet = ReadonlySet<Feature>;

/** What is on unless it is switched off. */
export const DEFAULT_FEATURES: FeatureSet = new Set(FEATURES.map(f => f.name));

/** What there is of a proposal, or what to do instead. */
const ADVICE: Readonly<Record<string, string>> = {
  gc: ', of which there are only the types, ref.eq and array.new_default in constant expressions yet',
  'legacy-exceptions':
    ', which was replaced by that for exceptions: build with LLVM 20 or later and -mllvm -wasm-use-legacy-eh=false, or convert the module: wasm-opt --translate-to-exnref',
};

/** @throws CompileError (unsupported) */
export function unsupported(name: string, what: string, offset: number, func = -1): never {
  throw new CompileError(
    `${what} needs the ${name} proposal${ADVICE[name] ?? ''}`,
    offset,
    'unsupported',
    func,
  );
}

/** Refuse `what`, at `at`, if the feature is off. @throws CompileError (unsupported) */
export function needFeature(
  r: { readonly features: FeatureSet; readonly func: number },
  feature: Feature,
  what: string,
  at: number,
): void {
  if (!r.features.has(feature)) unsupported(feature, `${what} (it is switched off)`, at, r.func);
}

/** For each operator code the name of the feature that forbids it; null when all are on. */
export function forbiddenOperators(features: FeatureSet): ReadonlyMap<number, Feature> | null {
  const off = FEATURES.filter(f => !features.has(f.name));
  if (off.length === 0) return null;
  const forbidden = new Map<number, Feature>();
  for (const { name, operators } of off) {
    for (const [first, last] of operators)
      for (let code = first; code <= last; code++) forbidden.set(code, name);
  }
  return forbidden;
}

/**
 * Features by name, switched on or off one after the other.
 * @throws CompileError (usage) for a name that is not in the table
 */
export function switchFeatures(enable: readonly string[], disable: readonly string[]): FeatureSet {
  const set = new Set(DEFAULT_FEATURES);
  const find = (name: string): Feature => {
    const feature = FEATURES.find(f => f.name === name);
    if (feature) return feature.name;
    const names = FEATURES.map(f => f.name).join(', ');
    throw new CompileError(`there is no feature ${name}: expected one of ${names}`, -1, 'usage');
  };
  for (const name of enable) set.add(find(name));
  for (const name of disable) {
    const feature = find(name);
    if (enable.includes(name))
      throw new CompileError(`feature ${name} is both enabled and disabled`, -1, 'usage');
    set.delete(feature);
  }
  return set;
}

/** The table as text: a line for each feature. */
export function featuresText(features: FeatureSet): string {
  return FEATURES.map(f => `${f.name.padEnd(26)} ${features.has(f.name) ? 'on ' : 'off'}  ${f.doc}\n`).join(
    '',
  );
}
