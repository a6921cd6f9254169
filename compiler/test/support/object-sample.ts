/**
 * A linked module with made-up code, for tests of the object writer and its readers: independent of the code generator.
 */
import { TrapCode } from '../../abi/traps.ts';
import { layoutVmctx } from '../../abi/vmctx.ts';
import { type CompiledFunc, RelocKind } from '../../backend/code.ts';
import { Assembler, CC, Ins, NO_REG, RIP } from '../../backend/x64/encode.ts';
import { link } from '../../object/artifact-writer.ts';
import { ByteWriter } from '../../object/bytes.ts';
import { type CompileOptions, defaultOptions } from '../../options.ts';
import { decodeModule } from '../../wasm/decode.ts';
import { hasAddress } from '../../wasm/escape.ts';
import type { Module } from '../../wasm/module.ts';
import { wat } from './wasm.ts';

const SAMPLE_WAT = `(module $sample
  (type $v (func))
  (type $ii (func (param i32) (result i32)))
  (type $same (func (param i32) (result i32)))
  (type $mix (func (param i64 f32 f64 externref) (result f64 i64)))
  (import "env" "log" (func $log (type $ii)))
  (import "env" "memory" (memory 1 7))
  (import "env" "table" (table 3 funcref))
  (import "env" "g" (global $g (mut i64)))
  (import "wasi" "exit" (func $exit (type $v)))
  (table $own 2 9 externref)
  (global $h i32 (i32.const -5))
  (global $d f64 (f64.const 1.5))
  (global $k i64 (i64.const -2))
  (global $f (mut funcref) (ref.func $second))
  (func $first (type $v))
  (func $second (export "second") (type $same) local.get 0)
  (func $third (export "third") (export "again") (type $mix) f64.const 0 i64.const 0)
  (func (type $v))
  (export "mem" (memory 0))
  (export "own" (table $own))
  (export "g" (global $g))
  (export "log" (func $log))
  (elem $e (i32.const 1) func $second $log)
  (elem $p func $third)
  (elem $x externref (ref.null extern))
  (elem declare func $first)
  (data $a (i32.const 16) "hello")
  (data $b "passive\\00bytes")
  (start $first))`;

function pcMap(
  entries: readonly (readonly [pc: number, wasm: number, trap?: TrapCode])[],
  wasmStart: number,
): Uint8Array {
  const w = new ByteWriter();
  let lastPc = 0;
  let lastWasm = wasmStart;
  const sleb = (v: number) => {
    for (;;) {
      const b = v & 0x7f;
      v >>= 7;
      if ((v === 0 && !(b & 0x40)) || (v === -1 && b & 0x40)) {
        w.u8(b);
        return;
      }
      w.u8(b | 0x80);
    }
  };
  for (const [pc, wasm, trap] of entries) {
    w.uleb(((pc - lastPc) << 1) | (trap === undefined ? 0 : 1));
    sleb(wasm - lastWasm);
    if (trap !== undefined) w.u8(trap);
    lastPc = pc;
    lastWasm = wasm;
  }
  return w.done().slice();
}

/** Places in a sample function's code. */
interface SamplePlaces {
  readonly call: number;
  readonly constant: number;
  readonly trap: number;
}

/**
 * push…, sub, a call of `callee`, a load from rodata, a jump table of two entries, a trap, epilogue.
 * @param large frame with a `sub` of 4 bytes immediate
 */
function sampleFunction(
  index: number,
  callee: number,
  saved: number[],
  large = false,
): { func: CompiledFunc; places: SamplePlaces } {
  const asm = new Assembler();
  const relocs: number[] = [];
  for (const r of saved) asm.r(Ins.PUSH, 8, r);
  const sub = (large ? 4096 : 32) + (saved.length % 2 === 0 ? 8 : 0);
  asm.ri(Ins.SUB, 8, 4, sub);
  asm.callRel();
  const call = asm.lastDisp;
  relocs.push(RelocKind.CallFunc, call, callee, 0);
  asm.rm(Ins.MOVSD, 8, 3, RIP, NO_REG, 0, 0);
  const constant = asm.lastDisp;
  relocs.push(RelocKind.Rodata, constant, 0, 8);
  const out = asm.newLabel();
  const end = asm.newLabel();
  asm.rr(Ins.TEST, 4, 0, 0);
  asm.jcc(CC.E, out);
  asm.ri(Ins.MOV, 4, 0, index);
  asm.align(16);
  asm.bind(end);
  asm.ri(Ins.ADD, 8, 4, sub);
  for (const r of [...saved].reverse()) asm.r(Ins.POP, 8, r);
  asm.plain(Ins.RET);
  asm.bind(out);
  const trap = asm.here();
  asm.plain(Ins.HLT);
  const code = asm.finish();
  for (let k = 1; k < relocs.length; k += 4) relocs[k] = asm.map(relocs[k]!);
  // [jump table of 2][8 bytes of constant]
  relocs.push(RelocKind.JumpTable, 0, 0, asm.labelPos(end), RelocKind.JumpTable, 4, 0, asm.labelPos(out));
  const rodata = new Uint8Array(16);
  new DataView(rodata.buffer).setFloat64(8, index + 0.5, true);
  const wasmStart = 1000 * index;
  const places = { call: asm.map(call), constant: asm.map(constant), trap: asm.map(trap) };
  return {
    func: {
      index,
      code,
      relocs: Int32Array.from(relocs),
      rodata,
      pcMap: pcMap(
        [
          [places.call - 1, wasmStart + 5],
          [places.constant - 4, wasmStart + 70],
          [places.trap, wasmStart + 3, TrapCode.Unreachable],
        ],
        wasmStart,
      ),
      wasmStart,
      frameSize: sub + saved.length * 8,
      argBytes: 0,
      popped: 0,
      popSites: new Int32Array(0),
      saved,
      savesBase: false,
      landings: new Int32Array(0),
      scopes: [],
      debug: null,
    },
    places,
  };
}

export interface Sample {
  readonly module: Module;
  readonly funcs: (CompiledFunc | null)[];
  readonly places: Map<number, SamplePlaces>;
  readonly options: CompileOptions;
  /** With other functions than `funcs`, if given. */
  readonly link: (funcs?: (CompiledFunc | null)[]) => Uint8Array<ArrayBuffer>;
}

/** Appends custom sections to a module. */
function withCustom(bytes: Uint8Array, sections: Readonly<Record<string, string>>): Uint8Array {
  const w = new ByteWriter();
  w.put(bytes);
  for (const [name, text] of Object.entries(sections)) {
    const body = new ByteWriter();
    body.uleb(name.length);
    body.utf8(name + text);
    w.u8(0);
    w.uleb(body.length);
    w.put(body.done());
  }
  return w.done().slice();
}

/** Every function and thunk of a module gets code; imports only those that escape. */
export function sampleOf(module: Module, given: Partial<CompileOptions> = {}): Sample {
  const options = defaultOptions(given);
  const places = new Map<number, SamplePlaces>();
  const saved = [[], [3], [3, 5, 12], [3, 5, 12, 13, 14], [14]];
  const escaping = new Set(module.escaping);
  const entries = new Set(Array.from(escaping, f => module.canonicalTypes[module.functions[f]!])).size;
  const count = module.functions.length + module.importedFunctions + entries;
  const callee =
    module.importedFunctions < module.functions.length
      ? module.functions.length - 1
      : module.functions.length;
  const funcs = Array.from({ length: count }, (_, i) => {
    if (i < module.importedFunctions && !hasAddress(module, i)) return null;
    const s = sampleFunction(i, callee, saved[i % saved.length]!, i % 3 === 2);
    places.set(i, s.places);
    return s.func;
  });
  const layout = layoutVmctx({
    memories: module.memories.length,
    tables: module.tables.length,
    globals: module.globalTypes.length,
    funcImports: module.importedFunctions,
  });
  return { module, funcs, places, options, link: (other = funcs) => link(module, other, layout, options) };
}

export async function sample(given: Partial<CompileOptions> = {}): Promise<Sample> {
  const bytes = withCustom(await wat(SAMPLE_WAT), {
    '.debug_info': 'some debug information',
    '.debug_str': '',
    sourceMappingURL: '\u0005x.map',
    other: 'not kept',
  });
  return sampleOf(decodeModule(bytes), given);
}
