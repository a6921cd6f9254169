/**
 * Which modules' code depends on no floating-point mode: calls of these leave the thread's modes as they are. Operators
 * are told by their names; what their code is made of, by objdump.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { valueTypeOf } from '../../runtime/types.ts';
import { type NumberType, vectorSignature } from '../../scripts/fuzz/operators.ts';
import { type CompileOptions, compile } from '../index.ts';
import { Op } from '../ir/ops.ts';
import { readArtifact } from '../object/artifact-reader.ts';
import type { ValType } from '../wasm/module.ts';
import { OPCODES, type Opcode, OpcodeClass } from '../wasm/opcodes.ts';
import { translateWat } from '../wasm/wat.ts';

/** Operand types and the result's, of value operators and accesses without immediates that vary. */
function signature(o: Opcode): [operands: NumberType[], result: NumberType] | null {
  const type = (t: ValType | 0): NumberType => valueTypeOf(t) as NumberType;
  switch (o.class) {
    case OpcodeClass.Unary:
    case OpcodeClass.Eqz:
      return [[type(o.operand)], type(o.result)];
    case OpcodeClass.Binary:
      return [[type(o.operand), type(o.operand)], type(o.result)];
    case OpcodeClass.Load:
      return [['i32'], type(o.result)];
    case OpcodeClass.Vector:
      return vectorSignature(o.name, o.op);
  }
  return null;
}

function functionOf(o: Opcode): string {
  const [params, result] = signature(o)!;
  const lane = o.op === Op.VExtract || o.op === Op.VReplace ? ' 0' : '';
  const operands = params.map((_, i) => `(local.get ${i})`).join(' ');
  return `(func (export "${o.name}") (param ${params.join(' ')}) (result ${result}) (${o.name}${lane} ${operands}))`;
}

const operators = OPCODES.filter((o): o is Opcode => o !== undefined && signature(o) !== null);
const isFloat = (o: Opcode): boolean => {
  const [params, result] = signature(o)!;
  return [...params, result].some(t => t[0] === 'f') || /f(32x4|64x2)/.test(o.name);
};

async function compiled(
  funcs: readonly string[],
  options: Partial<CompileOptions> = {},
): Promise<Uint8Array> {
  const wasm = await translateWat('t.wat', Buffer.from(`(module (memory 1) ${funcs.join('\n')})`));
  return compile(wasm, options);
}

/** Instructions whose result, or whose exceptions, depend on MXCSR (Intel SDM vol. 2). */
const DEPENDS =
  /^v?((add|sub|mul|div|sqrt|min|max|rcp|rsqrt|hadd|hsub|addsub|dp|round|rndscale|cmp\w*)[sp][sd]|u?comis[sd]|cvt\w+|f(n?m)(add|sub)\w+)$/;

function dependent(so: Uint8Array): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'lucet-no-floats-'));
  try {
    writeFileSync(join(dir, 't.so'), so);
    const text = execFileSync('objdump', ['-d', '--no-show-raw-insn', join(dir, 't.so')], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    return [...text.matchAll(/^ +[0-9a-f]+:\t(\S+)/gm)].map(m => m[1]!).filter(m => DEPENDS.test(m));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const VARIANTS: [string, Partial<CompileOptions>][] = [
  ['optimised', {}],
  ['dense', { memory: 'dense' }],
  ['not optimised', { optLevel: 0 }],
  ['for debuggers', { optLevel: 0, debugCode: true }],
];

describe('code of operators on integers depends on no floating-point mode', () => {
  const integers = operators.filter(o => !isFloat(o));
  test.each(VARIANTS)('%s', async (_name, options) => {
    expect(integers.length).toBeGreaterThan(200);
    const so = await compiled(integers.map(functionOf), options);
    expect(readArtifact(so).hasFloats).toBe(false);
    expect(dependent(so)).toEqual([]);
  });
  test('which objdump would tell', async () => {
    const f64Add = operators.find(o => o.name === 'f64.add')!;
    expect(dependent(await compiled([functionOf(f64Add)]))).toContain('addsd');
  });
});

test('each operator on floating-point numbers is one', async () => {
  const floats = operators.filter(isFloat);
  expect(floats.length).toBeGreaterThan(130);
  const integer = '(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 0x0fd)))';
  for (const o of floats)
    expect([o.name, readArtifact(await compiled([integer, functionOf(o)])).hasFloats]).toEqual([
      o.name,
      true,
    ]);
});

test('constants, and code that is never reached', async () => {
  expect(readArtifact(await compiled(['(func (drop (f32.const 1)))'])).hasFloats).toBe(true);
  expect(readArtifact(await compiled(['(func unreachable (drop (f64.const 1)))'])).hasFloats).toBe(true);
  // Bytes of other operators' immediates say nothing.
  expect(readArtifact(await compiled(['(func (result i64) (i64.const 0x4343434343434343))'])).hasFloats).toBe(
    false,
  );
});
