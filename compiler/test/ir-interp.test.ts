/** The interpreter of the IR against V8: every numeric operator, memory, control flow, by way of the front end. */
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import { TrapCode } from '../abi/traps.ts';
import { layoutVmctx } from '../abi/vmctx.ts';
import { Func } from '../ir/func.ts';
import { verify } from '../ir/verify.ts';
import { optimize } from '../opt/pipeline.ts';
import { decodeModule } from '../wasm/decode.ts';
import { lowerFunction } from '../wasm/lower.ts';
import { f32Bits, f32Of, f64Bits, f64Of, IrTrap, Machine, type Val } from './support/interp.ts';

type WasmValue = number | bigint;

const I32 = [0, 1, 2, 7, 31, 32, 33, 255, 0x7fff, 0xffff, 0x7fffffff, -1, -2, -128, -0x80000000, 0x12345678];
const I64 = [
  ...I32.map(BigInt),
  1n << 32n,
  0x7fff_ffff_ffff_ffffn,
  -0x8000_0000_0000_0000n,
  0x1000_0010_0000_0001n,
  63n,
  64n,
];
const FLOATS = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  3.5,
  0.1,
  1e-45,
  3.5e38,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 32,
  2 ** 53 + 2,
  2 ** 63,
  2 ** 64,
];
const F64 = [
  ...FLOATS,
  ...FLOATS.map(x => -x * 1.1),
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
];
const INPUTS: Record<string, WasmValue[]> = { i32: I32, i64: I64, f32: F64.map(Math.fround), f64: F64 };

/** operators: signature */
const INT = 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr';
const INT_COMPARE = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u';
const FLOAT = 'add sub mul div min max copysign';
const FLOAT_UNARY = 'abs neg sqrt ceil floor trunc nearest';
const FLOAT_COMPARE = 'eq ne lt gt le ge';
const SIGNATURES: [string, string[], string][] = [];
for (const t of ['i32', 'i64']) {
  for (const op of INT.split(' ')) SIGNATURES.push([`${t}.${op}`, [t, t], t]);
  for (const op of INT_COMPARE.split(' ')) SIGNATURES.push([`${t}.${op}`, [t, t], 'i32']);
  for (const op of ['clz', 'ctz', 'popcnt', 'extend8_s', 'extend16_s'])
    SIGNATURES.push([`${t}.${op}`, [t], t]);
  SIGNATURES.push([`${t}.eqz`, [t], 'i32']);
  for (const f of ['f32', 'f64']) {
    for (const s of ['s', 'u']) {
      SIGNATURES.push([`${t}.trunc_${f}_${s}`, [f], t], [`${t}.trunc_sat_${f}_${s}`, [f], t]);
      SIGNATURES.push([`${f}.convert_${t}_${s}`, [t], f]);
    }
  }
}
for (const t of ['f32', 'f64']) {
  for (const op of FLOAT.split(' ')) SIGNATURES.push([`${t}.${op}`, [t, t], t]);
  for (const op of FLOAT_UNARY.split(' ')) SIGNATURES.push([`${t}.${op}`, [t], t]);
  for (const op of FLOAT_COMPARE.split(' ')) SIGNATURES.push([`${t}.${op}`, [t, t], 'i32']);
}
SIGNATURES.push(['i64.extend32_s', ['i64'], 'i64'], ['i32.wrap_i64', ['i64'], 'i32']);
SIGNATURES.push(['i64.extend_i32_s', ['i32'], 'i64'], ['i64.extend_i32_u', ['i32'], 'i64']);
SIGNATURES.push(['f64.promote_f32', ['f32'], 'f64'], ['f32.demote_f64', ['f64'], 'f32']);
SIGNATURES.push(['i32.reinterpret_f32', ['f32'], 'i32'], ['f64.reinterpret_i64', ['i64'], 'f64']);

function toVal(type: string, x: WasmValue): Val {
  return type === 'f32' ? f32Bits(x as number) : type === 'f64' ? f64Bits(x as number) : x;
}
function fromVal(type: string, x: Val): WasmValue {
  return type === 'f32' ? f32Of(x) : type === 'f64' ? f64Of(x) : x;
}

const TRAP_MESSAGES: Partial<Record<TrapCode, RegExp>> = {
  [TrapCode.IntegerDivByZero]: /divide by zero|remainder by zero/,
  [TrapCode.IntegerOverflow]: /divide result unrepresentable|float unrepresentable/,
  // V8 has one message for both.
  [TrapCode.BadConversionToInteger]: /float unrepresentable/,
  [TrapCode.HeapOutOfBounds]: /memory access out of bounds/,
  [TrapCode.Unreachable]: /unreachable/,
};

/** A module's functions, by V8 and by the interpreter (as lowered, and optimised). */
async function both(text: string) {
  const assembler = await wabt();
  const { buffer } = assembler.parseWat('test.wat', text).toBinary({});
  const bytes = new Uint8Array(buffer);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const module = decodeModule(bytes);
  const layout = layoutVmctx({
    memories: module.memories.length,
    tables: module.tables.length,
    globals: module.globalTypes.length,
    funcImports: module.importedFunctions,
  });
  const funcs = [0, 1, 2].map(level => {
    const all = new Map<number, Func>();
    module.functions.forEach((_, i) => {
      const f = new Func(i, `f${i}`);
      lowerFunction(module, i, layout, f);
      optimize(f, level as 0 | 1 | 2);
      verify(f);
      all.set(i, f);
    });
    return all;
  });
  const index = new Map(module.exports.map(e => [e.name, e.index]));
  const machines = funcs.map(
    all =>
      new Machine({
        funcs: all,
        memories: module.memories.map(() => ({ pages: 1, max: 2 })),
        vmctxSize: 4096,
        fuel: 1e9,
      }),
  );
  const compare = (name: string, types: string[], result: string, args: WasmValue[]) => {
    let want: unknown;
    let failure = '';
    try {
      want = (instance.exports[name] as (...a: WasmValue[]) => WasmValue)(...args);
    } catch (e) {
      failure = (e as Error).message;
    }
    machines.forEach((machine, level) => {
      const what = `${name}(${args.join(', ')}) at level ${level}`;
      try {
        const got = machine.run(
          funcs[level]!.get(index.get(name)!)!,
          args.map((x, i) => toVal(types[i]!, x)),
        );
        if (failure !== '' || !Object.is(fromVal(result, got[0]!), want)) {
          expect(fromVal(result, got[0]!), what).toBe(failure === '' ? want : failure);
        }
      } catch (e) {
        if (!(e instanceof IrTrap)) throw e;
        expect(failure, what).toMatch(TRAP_MESSAGES[e.code] ?? /^no such trap$/);
      }
    });
  };
  return { compare, instance, machines };
}

describe('the interpreter', () => {
  it('computes every numeric operator as V8 does', async () => {
    const functions = SIGNATURES.map(([op, params, result]) => {
      const gets = params.map((_, i) => `(local.get ${i})`).join(' ');
      return `(func (export "${op}") (param ${params.join(' ')}) (result ${result}) (${op} ${gets}))`;
    });
    const { compare } = await both(`(module ${functions.join('\n')})`);
    for (const [op, params, result] of SIGNATURES) {
      for (const x of INPUTS[params[0]!]!) {
        if (params.length === 1) compare(op, params, result, [x]);
        else for (const y of INPUTS[params[1]!]!) compare(op, params, result, [x, y]);
      }
    }
  });

  it('accesses memory as V8 does', async () => {
    const loads = [
      'i32.load',
      'i32.load8_s',
      'i32.load8_u',
      'i32.load16_s',
      'i32.load16_u',
      'i64.load',
      'i64.load8_s',
      'i64.load32_s',
      'i64.load32_u',
      'f32.load',
      'f64.load',
    ];
    const stores = [
      'i32.store',
      'i32.store8',
      'i32.store16',
      'i64.store',
      'i64.store8',
      'i64.store16',
      'i64.store32',
      'f32.store',
      'f64.store',
    ];
    const { compare, instance, machines } = await both(`(module (memory (export "memory") 1 2)
      ${loads.map(op => `(func (export "${op}") (param i32) (result ${op.slice(0, 3)}) (${op} offset=5 (local.get 0)))`).join('\n')}
      ${stores.map(op => `(func (export "${op}") (param i32 ${op.slice(0, 3)}) (result i32) (${op} offset=3 (local.get 0) (local.get 1)) (i32.const 0))`).join('\n')})`);
    const v8 = () => new Uint8Array((instance.exports.memory as { buffer: ArrayBuffer }).buffer);
    [v8(), ...machines.map(m => m.memories[0]!)].forEach(bytes => {
      for (let i = 0; i < 256; i++) bytes[i] = (i * 37) ^ 0x5a;
    });
    const addresses = [0, 1, 17, 100, 65520, 65530, 65531, 65535, 65536, -1, 0x7fffffff];
    for (const op of loads) for (const at of addresses) compare(op, ['i32'], op.slice(0, 3), [at]);
    for (const op of stores) {
      const type = op.slice(0, 3);
      for (const at of addresses)
        for (const x of INPUTS[type]!.slice(0, 9)) compare(op, ['i32', type], 'i32', [at, x]);
    }
    for (const m of machines) expect(Buffer.compare(m.memories[0]!, v8())).toBe(0);
  });

  it('follows control flow as V8 does', async () => {
    const { compare } = await both(`(module
      (func $fib (export "fib") (param i32) (result i32)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
          (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
      (func (export "sum") (param i32) (result i32) (local i32)
        (loop $l
          (local.set 1 (i32.add (local.get 1) (local.get 0)))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
      (func (export "switch") (param i32) (result i32)
        (block $d (block $b (block $a (br_table $a $b $d (local.get 0))) (return (i32.const 10))) (return (i32.const 20)))
        (i32.const 30))
      (func (export "nested") (param i32 i32) (result i32) (local i32 i32)
        (block $out
          (loop $outer
            (local.set 3 (local.get 1))
            (loop $inner
              (br_if $out (i32.gt_u (local.get 2) (i32.const 1000)))
              (local.set 2 (i32.add (local.get 2) (i32.mul (local.get 0) (local.get 3))))
              (br_if $inner (local.tee 3 (i32.shr_u (local.get 3) (i32.const 1)))))
            (br_if $outer (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1))))))
        (local.get 2))
      (func (export "never") (param i32) (result i32) (if (local.get 0) (then unreachable)) (i32.const 1)))`);
    for (const n of [0, 1, 2, 7, 12]) compare('fib', ['i32'], 'i32', [n]);
    for (const n of [1, 2, 100]) compare('sum', ['i32'], 'i32', [n]);
    for (const n of [0, 1, 2, 3, -1]) compare('switch', ['i32'], 'i32', [n]);
    for (const n of [0, 1, 5, 99])
      for (const m of [0, 3, 64]) compare('nested', ['i32', 'i32'], 'i32', [n, m]);
    for (const n of [0, 1]) compare('never', ['i32'], 'i32', [n]);
  });
});
