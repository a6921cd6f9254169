/** What was written is read back; what is damaged is refused, always by the same kind of error. */
import { describe, expect, test } from 'vitest';
import { ARTIFACT_HEADER, ARTIFACT_VERSION, ConstKind, recordLayout, SegmentMode } from '../abi/artifact.ts';
import { TrapCode } from '../abi/traps.ts';
import { type Artifact, ArtifactError, readArtifact } from '../object/artifact-reader.ts';
import { readSections } from '../object/elf-reader.ts';
import { xxHash32 } from '../object/hashes.ts';
import { ExternKind, ValType } from '../wasm/module.ts';
import { type Sample, sample } from './support/object-sample.ts';

const s: Sample = await sample({ bindings: new Map([['env', new Map([['log', 'env_log']])]]) });
const bytes = s.link();

const KIND_NAMES = {
  [ExternKind.Func]: 'function',
  [ExternKind.Table]: 'table',
  [ExternKind.Memory]: 'memory',
  [ExternKind.Global]: 'global',
};

describe('round trip', () => {
  const a = readArtifact(bytes);
  const module = s.module;

  test('imports and exports as V8 sees the module', () => {
    const v8 = new WebAssembly.Module(new Uint8Array(module.bytes));
    expect(
      a.exports.map(e => ({ name: e.name, kind: KIND_NAMES[e.desc.kind as keyof typeof KIND_NAMES] })),
    ).toEqual(WebAssembly.Module.exports(v8));
    expect(
      a.imports.map(i => ({
        module: i.module,
        name: i.name,
        kind: KIND_NAMES[i.desc.kind as keyof typeof KIND_NAMES],
      })),
    ).toEqual(WebAssembly.Module.imports(v8));
    expect(Buffer.from(a.debugSections.get('.debug_info')!).toString()).toBe('some debug information');
    // With them go the names, and the module itself.
    expect([...a.debugSections.keys()]).toEqual([
      'name',
      '.debug_info',
      '.debug_str',
      'sourceMappingURL',
      'module',
    ]);
  });

  test('header', () => {
    expect(a.version).toBe(ARTIFACT_VERSION);
    expect(a.machine).toBe(62);
    expect(a.memoryMode).toBe('guarded');
    expect(a.hasFloats).toBe(true);
    expect(a.cpuFeatures).toEqual(['sse3', 'ssse3', 'sse4.1', 'sse4.2', 'popcnt']);
    expect(a.reservedSize).toBe(8n << 30n);
    expect(a.name).toBe('sample');
    expect(a.start).toBe(2);
    expect(a.functionCount).toBe(6);
    expect(a.recordCount).toBe(6 + 2 + 3);
    expect([a.importedFunctions, a.importedTables, a.importedMemories, a.importedGlobals]).toEqual([
      2, 1, 1, 1,
    ]);
    expect(a.codeStart).toBe(module.codeStart);
    expect(a.options).toEqual({
      optLevel: 2,
      features: ['sse3', 'ssse3', 'sse4.1', 'sse4.2', 'popcnt'],
      memory: 'guarded',
      reservedSize: 2 ** 33,
      canonicalizeNans: false,
      countInstructions: false,
      debugCode: false,
      debugInfo: true,
    });
    expect(a.moduleHash).toMatch(/^[0-9a-f]{32}$/);
  });

  test('types and entities', () => {
    expect(a.types).toEqual(module.types.map(({ params, results }) => ({ params, results })));
    module.types.forEach(({ kind, supertype, final, group, groupSize }, i) => {
      expect(a.typeLinks[i]).toMatchObject({ kind, supertype, final, group, groupSize });
    });
    expect(a.typeLinks.map(t => t.canonical)).toEqual([0, 1, 1, 3]);
    expect(a.typeLinks.map(t => t.entryThunk)).toEqual([8, 9, 9, 10]);
    expect(a.memories).toEqual(module.memories);
    expect(a.tables).toEqual(module.tables);
    expect(a.globals.map(({ type, mutable }) => ({ type, mutable }))).toEqual(module.globalTypes);
    const f64 = new DataView(new ArrayBuffer(8));
    f64.setFloat64(0, 1.5);
    expect(a.globals.map(g => g.init)).toEqual([
      null,
      { kind: ConstKind.Bits, bits: 0xfffffffbn, index: 0, code: [] },
      { kind: ConstKind.Bits, bits: f64.getBigUint64(0), index: 0, code: [] },
      { kind: ConstKind.Bits, bits: 0xfffffffffffffffen, index: 0, code: [] },
      { kind: ConstKind.RefFunc, bits: 0n, index: 3, code: [] },
    ]);
    expect(a.findExport('g')).toEqual({
      name: 'g',
      index: 0,
      desc: { kind: ExternKind.Global, global: { type: ValType.I64, mutable: true } },
    });
    expect(a.findExport('log')!.desc).toEqual({ kind: ExternKind.Func, typeIndex: 1, type: a.types[1] });
    expect(a.findExport('nothing')).toBeUndefined();
    expect(a.findImport('env', 'log')!.symbol).toBe('env_log');
    expect(a.findImport('wasi', 'exit')).toMatchObject({ symbol: '', index: 1 });
    expect(a.findImport('env', 'memory')!.desc).toEqual({
      kind: ExternKind.Memory,
      memory: module.memories[0],
    });
    expect(a.findImport('env', 'table')!.desc).toEqual({ kind: ExternKind.Table, table: module.tables[0] });
    expect(a.escaping).toEqual([...module.escaping]);
  });

  test('segments', () => {
    expect(a.data.map(d => [d.mode, d.memory, d.offset.bits, Buffer.from(d.bytes).toString()])).toEqual([
      [SegmentMode.Active, 0, 16n, 'hello'],
      [SegmentMode.Passive, 0, 0n, 'passive\0bytes'],
    ]);
    const of = (kind: ConstKind, index: number) => ({ kind, bits: 0n, index, code: [] });
    expect(a.elems.map(e => [e.mode, e.table, e.type, e.offset.bits, e.items])).toEqual([
      [SegmentMode.Active, 0, ValType.FuncRef, 1n, [of(ConstKind.RefFunc, 3), of(ConstKind.RefFunc, 0)]],
      [SegmentMode.Passive, 0, ValType.FuncRef, 0n, [of(ConstKind.RefFunc, 4)]],
      [SegmentMode.Passive, 0, ValType.ExternRef, 0n, [of(ConstKind.RefNull, 0)]],
      [SegmentMode.Declarative, 0, ValType.FuncRef, 0n, [of(ConstKind.RefFunc, 2)]],
    ]);
  });

  test('functions, thunks and their names', () => {
    const all = Array.from({ length: a.recordCount }, (_, i) => a.func(i));
    expect(all.map(f => f.kind)).toEqual([
      ...['import', 'import', 'function', 'function', 'function', 'function'],
      ...['host-thunk', 'host-thunk', 'entry-thunk', 'entry-thunk', 'entry-thunk'],
    ]);
    expect(all.map(f => f.length > 0)).toEqual(all.map(f => f.index !== 1));
    expect(all.map(f => f.typeIndex)).toEqual([1, 0, 0, 2, 3, 0, 1, 0, 0, 1, 3]);
    expect(all.map(f => a.describe(f.index))).toEqual([
      ...['log', 'exit', 'first', 'second', 'third', 'wasm-function[5]'],
      ...[
        'host-thunk[0]',
        'host-thunk[1]',
        'entry-thunk[type 0]',
        'entry-thunk[type 1]',
        'entry-thunk[type 3]',
      ],
    ]);
    for (const f of s.funcs) if (f) expect(all[f.index]!.frameSize).toBe(f.frameSize);
    expect(() => a.func(11)).toThrow(RangeError);
  });

  test('code addresses lead to functions and wasm offsets', () => {
    for (const f of s.funcs) {
      if (!f) continue;
      const { start, length } = a.func(f.index);
      expect(a.functionAt(start)).toBe(f.index);
      expect(a.functionAt(start + length - 1)).toBe(f.index);
      expect(a.functionAt(start + length)).toBe(-1);
      const p = s.places.get(f.index)!;
      const wasm = 1000 * f.index;
      const at = (pc: number) => a.locate(start + pc);
      expect(at(0)).toEqual({ func: f.index, wasmOffset: -1, trap: TrapCode.None });
      expect(at(p.call - 1)).toEqual({ func: f.index, wasmOffset: wasm + 5, trap: TrapCode.None });
      // The address before the return address.
      expect(at(p.call + 3)).toEqual({ func: f.index, wasmOffset: wasm + 5, trap: TrapCode.None });
      expect(at(p.call + 4)).toEqual({ func: f.index, wasmOffset: wasm + 70, trap: TrapCode.None });
      expect(at(p.trap - 1)).toEqual({ func: f.index, wasmOffset: wasm + 70, trap: TrapCode.None });
      expect(at(p.trap)).toEqual({ func: f.index, wasmOffset: wasm + 3, trap: TrapCode.Unreachable });
      expect(a.pcMap(f.index).map(e => e.pc)).toEqual([p.call - 1, p.constant - 4, p.trap]);
    }
    expect(a.locate(a.text.length)).toBeNull();
    expect(a.locate(-1)).toBeNull();
  });
});

/** Everything that can be asked. */
function exercise(a: Artifact): void {
  for (let i = 0; i < a.recordCount; i++) {
    a.func(i);
    a.describe(i);
    a.pcMap(i);
  }
  for (let pc = 0; pc < Math.min(a.text.length, 4096); pc += 7) a.locate(pc);
  void [a.name, a.types, a.typeLinks, a.imports, a.exports, a.memories, a.tables, a.globals, a.elems, a.data];
  void [a.escaping, a.options, a.debugSections, a.findExport('x'), a.findImport('x', 'y')];
}

/** Whether reading worked; anything but an ArtifactError is thrown on. */
function reads(b: Uint8Array): boolean {
  try {
    exercise(readArtifact(b));
    return true;
  } catch (e) {
    if (e instanceof ArtifactError) return false;
    throw e;
  }
}

describe('damage', () => {
  const metadata = readSections(bytes).sections.find(x => x.name === '.lucet.module')!;
  const checksumAt = metadata.offset + recordLayout(ARTIFACT_HEADER).offsets.checksum!;

  test('every prefix is refused', () => {
    expect(reads(bytes)).toBe(true);
    for (let n = 0; n < bytes.length; n++) expect(reads(bytes.subarray(0, n)), `prefix of ${n}`).toBe(false);
  });

  test('every flipped bit is noticed', () => {
    const b = bytes.slice();
    for (let k = 0; k < 2000; k++) {
      const at = (k * 7919) % b.length;
      b[at]! ^= 1 << (k % 8);
      expect(reads(b), `byte ${at}`).toBe(false);
      b[at] = bytes[at]!;
    }
  });

  test('with a right checksum, damage never leads to another error', () => {
    const b = bytes.slice();
    const view = new DataView(b.buffer);
    let refused = 0;
    const attempt = (at: number, value: number) => {
      b[at] = value;
      view.setUint32(checksumAt, xxHash32(b, checksumAt), true);
      if (!reads(b)) refused++;
      b[at] = bytes[at]!;
    };
    // All of the metadata and of the ELF headers, with the values most likely to matter.
    const headers = view.getUint32(40, true);
    for (let at = 0; at < 64; at++) for (const v of [0, 255]) attempt(at, v);
    for (let at = metadata.offset; at < metadata.offset + metadata.size; at++) {
      if (at >= checksumAt && at < checksumAt + 4) continue;
      attempt(at, bytes[at]! ^ (1 << (at % 8)));
      attempt(at, at % 3 === 0 ? 255 : 128);
    }
    for (let at = headers; at < bytes.length; at++) attempt(at, 255 - bytes[at]!);
    expect(refused).toBeGreaterThan(500);
  });

  test('errors say what and where', () => {
    const kindOf = (change: (b: Uint8Array, v: DataView) => void): ArtifactError => {
      const b = bytes.slice();
      change(b, new DataView(b.buffer));
      try {
        readArtifact(b);
      } catch (e) {
        if (e instanceof ArtifactError) return e;
      }
      throw new Error('accepted');
    };
    const h = recordLayout(ARTIFACT_HEADER).offsets;
    const version = kindOf((_, v) => v.setUint32(metadata.offset + h.version!, 99, true));
    expect(version).toMatchObject({ kind: 'version', offset: metadata.offset + h.version! });
    expect(version.message).toContain(`format version 99, this is version ${ARTIFACT_VERSION}`);
    expect(kindOf((_, v) => v.setUint32(checksumAt, 1, true))).toMatchObject({
      kind: 'checksum',
      offset: checksumAt,
    });
    expect(kindOf(b => b.fill(0, 0, 4)).message).toMatch(/not an ELF file/);
    expect(kindOf(b => b.fill(0, metadata.offset, metadata.offset + 4)).message).toMatch(/wrong magic/);
    expect(() => readArtifact(new Uint8Array(0))).toThrow(ArtifactError);
  });
});
