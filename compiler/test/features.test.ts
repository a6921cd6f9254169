/**
 * Extensions that are switched off are refused by name, wherever they are used; what does not use them is not touched.
 */
import { describe, expect, it } from 'vitest';
import { CompileError } from '../diagnostics.ts';
import {
  DEFAULT_FEATURES,
  FEATURES,
  type Feature,
  type FeatureSet,
  featuresText,
  switchFeatures,
} from '../features.ts';
import { compile } from '../index.ts';
import { OPCODES } from '../wasm/opcodes.ts';
import { HEADER, name, section } from './support/module-builder.ts';
import { wat, watNewer } from './support/wasm.ts';

/** Modules that use one extension and no other, by extension. */
const USES: Readonly<Record<Feature, readonly string[]>> = {
  'sign-extension': ['(func (param i32) (result i32) (i32.extend8_s (local.get 0)))'],
  'nontrapping-float-to-int': ['(func (param f64) (result i32) (i32.trunc_sat_f64_s (local.get 0)))'],
  'multi-value': [
    '(func (result i32 i32) (i32.const 1) (i32.const 2))',
    '(func (param i32) (i32.const 1) (block (param i32) (drop)))',
  ],
  'bulk-memory': [
    '(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))',
    '(memory 1) (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0)))',
    '(memory 1) (data "passive")',
    '(table 1 funcref) (func $f) (elem func $f)',
  ],
  'reference-types': [
    '(func (param externref))',
    '(func (result funcref) (ref.null func))',
    '(func (local funcref))',
    '(table 1 externref)',
    '(table 1 funcref) (table 1 funcref)',
    '(table 1 funcref) (func (result i32) (table.size 0))',
    '(func (param i32) (drop (select (result i32) (i32.const 1) (i32.const 2) (local.get 0))))',
  ],
  exceptions: [],
  'extended-const': [
    '(global i32 (i32.add (i32.const 1) (i32.const 2)))',
    '(global i32 (i32.const 1)) (global i32 (global.get 0))',
  ],
  'multi-memory': ['(memory 1) (memory 1)', '(import "m" "a" (memory 1)) (import "m" "b" (memory 1))'],
  memory64: [
    '(memory i64 1)',
    '(import "m" "m" (memory i64 1))',
    '(memory i64 1) (func (drop (i32.load (i64.const 0))))',
  ],
  simd: [
    '(func (param v128))',
    '(func (drop (v128.const i32x4 1 2 3 4)))',
    '(func (block (result v128) (unreachable)) (drop))',
  ],
  'relaxed-simd': [],
  'function-references': [],
  'tail-call': ['(func $f (return_call $f))'],
  'custom-page-sizes': [],
  'wide-arithmetic': [],
  gc: [],
};
/** The same for what one parser or the other can't write: `wat` knows no page sizes. */
const NEWER_USES: Partial<Record<Feature, readonly string[]>> = {
  'custom-page-sizes': ['(memory 1 (pagesize 1))'],
  memory64: ['(table i64 1 funcref)'],
  'function-references': [
    '(type $t (func)) (func (param (ref null $t)))',
    '(func (param (ref func)))',
    '(type $t (func)) (func (param funcref) (drop (ref.as_non_null (local.get 0))))',
  ],
  exceptions: [
    '(tag)',
    '(import "m" "a" (tag))',
    '(func (try_table))',
    '(func (param exnref) (throw_ref (local.get 0)))',
    '(func (local exnref))',
    '(func (drop (ref.null noexn)))',
  ],
  'relaxed-simd': ['(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))'],
  gc: [
    '(rec (type $a (func)) (type $b (func (param i32)))) (func (type $a)) (func (type $b))',
    '(type $t (sub (func))) (func (type $t))',
    '(type $t (struct (field i32))) (func (param (ref null $t)))',
    '(type $t (array i8)) (func (param (ref null $t)))',
    '(func (param anyref))',
    '(func (param eqref) (drop (ref.eq (local.get 0) (local.get 0))))',
    '(type $t (array i8)) (global (ref $t) (array.new_default $t (i32.const 0)))',
  ],
  'wide-arithmetic': [
    '(func (param i64) (drop (i64.add (local.get 0) (i64.const 1))) (i64.mul_wide_u (local.get 0) (local.get 0)) (drop) (drop))',
  ],
};

async function modules(feature: Feature): Promise<Uint8Array[]> {
  const older = await Promise.all(USES[feature].map(text => wat(`(module ${text})`)));
  return [...older, ...(NEWER_USES[feature] ?? []).map(text => watNewer(`(module ${text})`))];
}

function failure(bytes: Uint8Array, wasmFeatures: FeatureSet): CompileError | null {
  try {
    compile(bytes, { wasmFeatures, optLevel: 0 });
    return null;
  } catch (e) {
    if (e instanceof CompileError) return e;
    throw e;
  }
}

describe('extensions', () => {
  it.each(FEATURES.map(f => f.name))('%s can be switched off', async feature => {
    const off = switchFeatures([], [feature]);
    const uses = await modules(feature);
    expect(uses.length).toBeGreaterThan(0);
    for (const bytes of uses) {
      expect(failure(bytes, DEFAULT_FEATURES)).toBe(null);
      const e = failure(bytes, off);
      expect(e?.kind).toBe('unsupported');
      expect(e?.message).toContain(`the ${feature} proposal`);
      expect(e?.offset).toBeGreaterThan(0);
    }
  });

  it('all off is WebAssembly 1.0', async () => {
    const none: FeatureSet = new Set();
    const text = `(module (import "m" "g" (global $g i32)) (table 2 funcref) (memory 1 2)
      (global i32 (global.get $g)) (elem (i32.const 0) $f) (data (i32.const 8) "bytes")
      (func $f (param i32) (result i32) (local i64)
        (if (result i32) (local.get 0) (then (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))
          (else (i32.load offset=4 (memory.grow (i32.const 1)))))))`;
    expect(failure(await wat(text), none)).toBe(null);
    for (const { name } of FEATURES) {
      for (const bytes of await modules(name)) expect(failure(bytes, none)?.kind).toBe('unsupported');
    }
  });

  it('needs no function body to find one out', () => {
    const count = Uint8Array.from([...HEADER, ...section(12, [0])]);
    expect(failure(count, switchFeatures([], ['bulk-memory']))?.message).toContain('data count section');
    const exported = Uint8Array.from([...HEADER, ...section(7, [1, ...name('x'), 0, 0])]);
    expect(failure(exported, new Set())?.kind).toBe('invalid');
  });

  it('operators in the table exist, and belong to one extension', () => {
    const seen = new Set<number>();
    for (const { operators } of FEATURES) {
      for (const [first, last] of operators) {
        for (let code: number = first; code <= last; code++) {
          expect(OPCODES[code], `operator ${code}`).toBeDefined();
          expect(seen.has(code)).toBe(false);
          seen.add(code);
        }
      }
    }
    // All that came after 1.0: those behind the prefix byte, and a few plain ones.
    const later = OPCODES.filter(o => o !== undefined && (o.code >= 256 || o.code > 0xbf));
    expect(later.map(o => o!.code).filter(code => !seen.has(code))).toEqual([]);
  });

  it('are switched by name', () => {
    expect(switchFeatures([], [])).toEqual(DEFAULT_FEATURES);
    expect(switchFeatures(['memory64'], [])).toEqual(DEFAULT_FEATURES);
    expect(switchFeatures([], ['memory64']).has('memory64')).toBe(false);
    expect(() => switchFeatures(['teleport'], [])).toThrow('there is no feature teleport');
    expect(() => switchFeatures(['memory64'], ['memory64'])).toThrow('both enabled and disabled');
    const text = featuresText(switchFeatures([], ['memory64']));
    expect(text).toMatch(/^memory64 +off /m);
    expect(text.match(/ on /g)!.length).toBe(FEATURES.length - 1);
  });
});
