/** What instruction selection makes of small functions, read back by an independent disassembler. */
import { describe, expect, it } from 'vitest';
import type { CpuFeature } from '../abi/artifact.ts';
import { asm, backendModule, count } from './support/x64.ts';

/** Any instruction with a heap operand. */
const HEAP = /\[r15\+/;

describe('memory operands', () => {
  it('merges a load into its only user', () => {
    const code = asm('v1: i32, v2: i32', 'v3 = load.i32 [v1+8]\nv4 = add.i32 v2, v3\nreturn v4', 'i32');
    expect(count(code, /^add e\w+,\[r15\+r\w+\+8\]$/)).toBe(1);
    expect(count(code, /^mov e\w+,\[/)).toBe(0);
  });

  it('merges the first operand of a commutative operator, not of a subtraction', () => {
    const first = (op: string) =>
      asm('v1: i32, v2: i32', `v3 = load.i32 [v1]\nv4 = ${op}.i32 v3, v2\nreturn v4`, 'i32');
    expect(count(first('xor'), /^xor e\w+,\[r15/)).toBe(1);
    expect(count(first('sub'), /^mov e\w+,\[r15/)).toBe(1);
    expect(count(first('sub'), /^sub e\w+,e\w+$/)).toBe(1);
  });

  it('does not merge a load across a store, a call, a trap or another load', () => {
    for (const between of [
      'store.i32 [v2], v2',
      'call f1()',
      'trap_nz v2, Unreachable',
      'v9 = div_u.i32 v1, v2',
      'v9 = load.i32 [v2]\nstore.i32 [v2+4], v9',
    ]) {
      const code = asm(
        'v1: i32, v2: i32',
        `v3 = load.i32 [v1+8]\n${between}\nv4 = add.i32 v2, v3\nreturn v4`,
        'i32',
      );
      expect(count(code, /^mov e\w+,\[r15\+r\w+\+8\]$/), between).toBe(1);
      expect(count(code, /^add e\w+,(e\w+|\[rsp(\+8)?\])$/), between).toBe(1);
    }
  });

  it('does not merge a load with two users or of another block', () => {
    const two = asm(
      'v1: i32, v2: i32',
      'v3 = load.i32 [v1]\nv4 = add.i32 v2, v3\nv5 = mul.i32 v4, v3\nreturn v5',
      'i32',
    );
    expect(count(two, HEAP)).toBe(1);
    expect(count(two, /^mov e\w+,\[r15/)).toBe(1);
    const other = asm(
      'v1: i32, v2: i32',
      'v3 = load.i32 [v1]\nbr_if v2, b1, b2\nb1:\nv4 = add.i32 v2, v3\nreturn v4\nb2:\nreturn v1',
      'i32',
    );
    expect(count(other, /^mov e\w+,\[r15/)).toBe(1);
  });

  it('does not merge a load whose user is taken apart by one of two that need it', () => {
    // The sum is made once as the address, without its constant, and once in one step with it.
    const code = asm(
      'v1: i32, v2: i64',
      'v9 = iconst.i64 0x123456789abc\nv3 = load.i64 [v1]\nv4 = add.i64 v9, v3\nv5 = iconst.i64 16\nv6 = add.i64 v4, v5\nv7 = gt_u.i64 v6, v2\ntrap_nz v7, Unreachable\nv8 = load.i64 [v6]\nreturn v8',
      'i64',
    );
    expect(count(code, HEAP)).toBe(2);
    expect(count(code, /^mov r\w+,\[r15/)).toBe(2);
  });

  it('does not merge a narrow or a wider load', () => {
    for (const load of ['load.i32.u8', 'load.i32.s16']) {
      const code = asm('v1: i32, v2: i32', `v3 = ${load} [v1]\nv4 = add.i32 v2, v3\nreturn v4`, 'i32');
      expect(count(code, /^mov[zs]x e\w+,\w+ ptr \[r15/), load).toBe(1);
    }
  });

  it('keeps a load whose value nobody wants, as it may trap', () => {
    expect(count(asm('v1: i32', 'v2 = load.i32 [v1+4]\nreturn'), HEAP)).toBe(1);
    expect(count(asm('v1: i64', 'v2 = raw_load.i64 [v1+4] args\nreturn'), /\[/)).toBe(0);
    expect(
      count(
        asm('v1: i64', 'v2 = raw_load.i64 [v1+4] read_only trap=IndirectCallToNull\nreturn'),
        /\[rdi\+4\]/,
      ),
    ).toBe(1);
  });

  it('moves a read-only raw load past a store, another one not', () => {
    const code = (region: string) =>
      asm(
        'v1: i64, v2: i64, v3: i32',
        `v4 = raw_load.i64 [v1] ${region}\nstore.i64 [v3], v2\nv5 = add.i64 v2, v4\nreturn v5`,
        'i64',
      );
    expect(count(code('read_only'), /^add r\w+,\[rdi\]$/)).toBe(1);
    expect(count(code('global'), /^add r\w+,r\w+$/)).toBe(1);
  });

  it('modifies memory in place', () => {
    const modify = (op: string, value: string, address = 'v1+8') =>
      asm(
        'v1: i32, v2: i32',
        `v3 = load.i32 [v1+8]\n${value}\nstore.i32 [${address}], v4\nreturn`.replace('OP', op),
      );
    expect(count(modify('add', 'v4 = OP.i32 v3, v2'), /^add \[r15\+r\w+\+8\],e\w+$/)).toBe(1);
    expect(count(modify('or', 'v4 = OP.i32 v2, v3'), /^or \[r15\+r\w+\+8\],e\w+$/)).toBe(1);
    expect(count(modify('and', 'v5 = iconst.i32 7\nv4 = OP.i32 v3, v5'), /^and dword ptr \[.*\],7$/)).toBe(1);
    // The subtrahend can't be the place, and another place is not the same one.
    expect(count(modify('sub', 'v4 = OP.i32 v2, v3'), HEAP)).toBe(2);
    expect(count(modify('add', 'v4 = OP.i32 v3, v2', 'v1+12'), HEAP)).toBe(2);
  });

  it('stores constants as immediates, and compares in memory', () => {
    expect(
      count(
        asm('v1: i32', 'v2 = iconst.i32 300\nstore.i32.u8 [v1], v2\nreturn'),
        /^mov byte ptr \[.*\],0x2c$/,
      ),
    ).toBe(1);
    expect(
      count(asm('v1: i32', 'v2 = iconst.i64 -1\nstore.i64 [v1], v2\nreturn'), /^mov qword ptr \[.*\],0xffff/),
    ).toBe(1);
    const wide = asm('v1: i32', 'v2 = iconst.i64 0x123456789a\nstore.i64 [v1], v2\nreturn');
    expect(count(wide, /^mov r\w+,0x123456789a$/)).toBe(1);
    const branch = (load: string, c: number) =>
      asm(
        'v1: i32',
        `v2 = ${load} [v1]\nv3 = iconst.i32 ${c}\nv4 = eq.i32 v2, v3\nbr_if v4, b1, b2\nb1:\nreturn v1\nb2:\nreturn v3`,
        'i32',
      );
    expect(count(branch('load.i32', 1000), /^cmp dword ptr \[r15\+r\w+\],0x3e8$/)).toBe(1);
    expect(count(branch('load.i32.u8', 200), /^cmp byte ptr \[r15\+r\w+\],0xc8$/)).toBe(1);
    // A byte is never 300.
    expect(count(branch('load.i32.u8', 300), /^movzx/)).toBe(1);
    expect(count(branch('load.i32.s8', 200), /^movsx/)).toBe(1);
  });

  it('reads the sign-extended part of memory where a load and an extension meet', () => {
    const code = asm('v1: i32', 'v2 = load.i32.u8 [v1]\nv3 = ext8_s.i32 v2\nreturn v3', 'i32');
    expect(count(code, /^movsx eax,byte ptr \[r15/)).toBe(1);
    const long = asm('v1: i32', 'v2 = load.i32 [v1]\nv3 = extend_s.i64 v2\nreturn v3', 'i64');
    expect(count(long, /^movsxd rax,\[r15/)).toBe(1);
  });
});

describe('heap addresses', () => {
  it('zero-extends what may have anything in its upper half: arguments, results, wrapped numbers', () => {
    expect(asm('v1: i32', 'v2 = load.i32 [v1]\nreturn v2', 'i32')).toEqual([
      'mov eax,edi',
      'mov eax,[r15+rax]',
      'ret',
    ]);
    const wrapped = asm('v1: i64', 'v2 = wrap.i32 v1\nv3 = load.i32 [v2]\nreturn v3', 'i32');
    expect(wrapped).toEqual(['mov eax,edi', 'mov eax,[r15+rax]', 'ret']);
    const result = asm('', 'v1 = iconst.i32 5\nv2 = call.i32 f0(v1)\nv3 = load.i32 [v2]\nreturn v3', 'i32');
    expect(result.slice(result.findIndex(l => l.startsWith('call')) + 1, -2)).toEqual([
      'mov eax,eax',
      'mov eax,[r15+rax]',
    ]);
  });

  it('does not extend what 32-bit instructions have made', () => {
    for (const make of [
      'v3 = add.i32 v1, v2',
      'v3 = shr_u.i32 v1, v2',
      'v3 = load.i32 [v1]',
      'v4 = lt_s.i32 v1, v2\nv3 = select.i32 v4, v1, v2',
      'v3 = ctz.i32 v1',
    ]) {
      const code = asm('v1: i32, v2: i32', `${make}\nv5 = load.i32 [v3+4]\nreturn v5`, 'i32');
      const last = code[code.length - 2]!;
      expect(last, make).toMatch(/^mov eax,\[r15\+r\w+\+4\]$/);
      const index = /r15\+(r\w+)\+/.exec(last)![1]!.replace(/^r/, 'e');
      expect(code[code.length - 3], make).not.toBe(`mov ${index},${index}`);
    }
  });

  it('makes unsigned extension free, and extends only for those who look', () => {
    const code = asm(
      'v1: i32, v2: i64',
      'v3 = shr_u.i32 v1, v1\nv4 = extend_u.i64 v3\nv5 = add.i64 v4, v2\nreturn v5',
      'i64',
    );
    expect(count(code, /^mov e\w+,e\w+$/)).toBe(0);
    const wrap = asm('v1: i64, v2: i32', 'v3 = wrap.i32 v1\nv4 = add.i32 v3, v2\nreturn v4', 'i32');
    expect(count(wrap, /^mov e\w+,e\w+$/)).toBe(0);
    const edge = asm(
      'v1: i64, v2: i32',
      'v3 = wrap.i32 v1\njump b1(v3)\nb1(v4: i32):\nv5 = load.i32 [v4]\nv6 = xor.i32 v4, v5\nbr_if v6, b1(v6), b2\nb2:\nreturn v5',
      'i32',
    );
    expect(count(edge, /^mov e\w+,edi$/)).toBe(1);
  });

  it('adds offsets that no displacement holds in 64 bits', () => {
    const code = asm('v1: i32', 'v2 = load.i32 [v1+2147483648]\nreturn v2', 'i32');
    expect(count(code, /^mov e\w+,0x80000000$/)).toBe(1);
    expect(count(code, /^lea (r\w+),\[r\w+\+r\w+\]$/)).toBe(1);
    expect(count(asm('v1: i32', 'v2 = load.i32 [v1+2147483647]\nreturn v2', 'i32'), /\+0x7fffffff\]/)).toBe(
      1,
    );
    const constant = asm('', 'v1 = iconst.i32 -16\nv2 = load.i32 [v1+4294967295]\nreturn v2', 'i32');
    expect(count(constant, /^mov r\w+,0x1ffffffef$/)).toBe(1);
  });

  it('takes additions and shifts into the address only where they cannot wrap', () => {
    const at = (x: string) => asm('v1: i32, v2: i32', `${x}\nv9 = load.i32 [v8+4]\nreturn v9`, 'i32');
    expect(count(at('v3 = iconst.i32 100\nv8 = add.i32 v1, v3'), /\[r15\+r\w+\+4\]/)).toBe(1);
    expect(
      count(
        at('v3 = iconst.i32 255\nv4 = and.i32 v1, v3\nv5 = iconst.i32 100\nv8 = add.i32 v4, v5'),
        /\[r15\+r\w+\+0x68\]/,
      ),
    ).toBe(1);
    expect(count(at('v3 = iconst.i32 2\nv8 = shl.i32 v1, v3'), /\*4/)).toBe(0);
    expect(
      count(at('v3 = load.i32.u16 [v1]\nv4 = iconst.i32 2\nv8 = shl.i32 v3, v4'), /\[r15\+r\w+\*4\+4\]/),
    ).toBe(1);
    // 2^30 times 4 is 2^32.
    const edge = (bits: number) =>
      at(`v3 = iconst.i32 ${bits}\nv4 = shr_u.i32 v1, v3\nv5 = iconst.i32 2\nv8 = shl.i32 v4, v5`);
    expect(count(edge(2), /\*4\+4\]/)).toBe(1);
    expect(count(edge(1), /\*4\+4\]/)).toBe(0);
  });

  it('reads the base of a further memory, once for a block', () => {
    const module = backendModule(3, 1);
    const code = asm(
      'v1: i32',
      'v2 = load.i32 [v1+4]\nv3 = load.i32 mem2[v1]\nstore.i32 mem2[v1+8], v2\nv4 = load.i32 mem1[v3]\nreturn v4',
      'i32',
      { module },
    );
    // Memory 1 is the first defined one. Entries lie at base - 128 - 48 + 16 * memory.
    expect(count(code, /^mov r\w+,\[r15-0xb0\]$/)).toBe(1);
    expect(count(code, /^mov r\w+,\[r15-0x90\]$/)).toBe(1);
    expect(count(code, /\[r15\+/)).toBe(1);
  });
});

describe('conditions', () => {
  const branch = (cond: string, params = 'v1: i32, v2: i32') =>
    asm(params, `${cond}\nbr_if v9, b1, b2\nb1:\ncall f1()\nreturn\nb2:\nreturn`);

  it('fuses comparison and branch', () => {
    expect(count(branch('v9 = lt_u.i32 v1, v2'), /^set/)).toBe(0);
    expect(branch('v9 = lt_u.i32 v1, v2').join(';')).toMatch(/cmp edi,esi;ja?[aeb]+ /);
    expect(count(branch('v3 = iconst.i32 5\nv9 = gt_s.i32 v3, v1'), /^cmp edi,5$/)).toBe(1);
    expect(
      count(branch('v3 = and.i32 v1, v2\nv4 = iconst.i32 0\nv9 = eq.i32 v3, v4'), /^test edi,esi$/),
    ).toBe(1);
    expect(count(branch('v9 = ne.i32 v1, v2'), /^test/)).toBe(0);
  });

  it('looks through comparisons with zero', () => {
    const code = branch('v3 = lt_s.i32 v1, v2\nv4 = iconst.i32 0\nv5 = eq.i32 v3, v4\nv9 = eq.i32 v5, v4');
    expect(count(code, /^(cmp|test)/)).toBe(1);
    expect(code.join(';')).toMatch(/cmp edi,esi;j(l|ge) /);
  });

  it('tests both flags of float equality, and one for the rest', () => {
    const params = 'v1: f64, v2: f64';
    expect(count(branch('v9 = feq.f64 v1, v2', params), /^j(ne|p|np|e) /)).toBe(2);
    expect(count(branch('v9 = flt.f64 v1, v2', params), /^ucomisd xmm1,xmm0$/)).toBe(1);
    expect(count(branch('v9 = fge.f64 v1, v2', params), /^ucomisd xmm0,xmm1$/)).toBe(1);
    expect(count(branch('v9 = fge.f64 v1, v2', params), /^j(ae|b) /)).toBe(1);
  });

  it('zeroes before setcc, not behind it', () => {
    const code = asm('v1: i32, v2: i32', 'v3 = lt_s.i32 v1, v2\nreturn v3', 'i32');
    expect(code).toEqual(['xor eax,eax', 'cmp edi,esi', 'setl al', 'ret']);
  });

  it('selects by cmov', () => {
    const code = asm(
      'v1: i32, v2: i32',
      'v3 = lt_s.i32 v1, v2\nv4 = select.i32 v3, v1, v2\nreturn v4',
      'i32',
    );
    expect(count(code, /^cmovl e/)).toBe(1);
    const ne = asm(
      'v1: f64, v2: f64, v3: i32, v4: i32',
      'v5 = feq.f64 v1, v2\nv6 = select.i32 v5, v3, v4\nreturn v6',
      'i32',
    );
    expect(count(ne, /^cmov(ne|p) /)).toBe(2);
  });

  it('traps out of line, one stub for each place', () => {
    const code = asm('v1: i32', 'trap_z v1, Unreachable\ntrap_nz v1, TableOutOfBounds\nreturn');
    expect(code.slice(-3)).toEqual(['ret', 'call qword ptr [r15-0x50]', 'call qword ptr [r15-0x50]']);
    expect(count(code, /^j(e|ne) /)).toBe(2);
  });
});

describe('integer arithmetic', () => {
  const one = (op: string, options = {}) => asm('v1: i64, v2: i64', `${op}\nreturn v9`, 'i64', options);

  it('uses lea where an operand lives on', () => {
    const code = asm(
      'v1: i32, v2: i32',
      'v3 = iconst.i32 4\nv4 = add.i32 v1, v3\nv5 = mul.i32 v4, v1\nreturn v5',
      'i32',
    );
    expect(count(code, /^lea e\w+,\[rdi\+4\]$/)).toBe(1);
    expect(
      count(one('v3 = iconst.i64 3\nv4 = shl.i64 v2, v3\nv9 = add.i64 v1, v4'), /^lea rax,\[rdi\+rsi\*8\]$/),
    ).toBe(1);
    expect(
      count(one('v3 = iconst.i64 7\nv4 = add.i64 v1, v2\nv9 = add.i64 v4, v3'), /^lea rax,\[rdi\+rsi\+7\]$/),
    ).toBe(1);
    expect(count(one('v3 = iconst.i64 5\nv9 = mul.i64 v1, v3'), /^lea rax,\[rdi\+rdi\*4\]$/)).toBe(1);
  });

  it('uses short forms of masks', () => {
    expect(count(one('v3 = iconst.i64 255\nv9 = and.i64 v1, v3'), /^movzx eax,dil$/)).toBe(1);
    expect(count(one('v3 = iconst.i64 4294967295\nv9 = and.i64 v1, v3'), /^mov eax,edi$/)).toBe(1);
    expect(count(one('v3 = iconst.i64 4294901760\nv9 = and.i64 v1, v3'), /^and e\w+,0xffff0000$/)).toBe(1);
    expect(count(one('v3 = iconst.i64 -2\nv9 = and.i64 v1, v3'), /^and r\w+,0xfffffffffffffffe$/)).toBe(1);
  });

  it('shifts by cl, or by any register with BMI2', () => {
    const plain = one('v9 = shr_s.i64 v1, v2');
    expect(count(plain, /^sar r\w+,cl$/)).toBe(1);
    expect(count(plain, /^mov rcx,rsi$/)).toBe(1);
    expect(one('v9 = shr_s.i64 v1, v2', { features: ['bmi2'] })).toEqual(['sarx rax,rdi,rsi', 'ret']);
    expect(one('v9 = shr_u.i64 v1, v2', { features: ['bmi2'] })).toEqual(['shrx rax,rdi,rsi', 'ret']);
    expect(count(one('v9 = rotl.i64 v1, v2', { features: ['bmi2'] }), /^rol r\w+,cl$/)).toBe(1);
    const not = one('v3 = iconst.i64 -1\nv4 = xor.i64 v2, v3\nv9 = and.i64 v1, v4', { features: ['bmi1'] });
    expect(not).toEqual(['andn rax,rsi,rdi', 'ret']);
  });

  it('guards the remainder of -1, and nothing else', () => {
    expect(count(one('v9 = rem_s.i64 v1, v2'), /^cmp rsi,0xff/)).toBe(1);
    expect(count(one('v9 = div_s.i64 v1, v2'), /^cmp/)).toBe(0);
    expect(count(one('v9 = rem_u.i64 v1, v2'), /^cmp/)).toBe(0);
    expect(count(one('v3 = iconst.i64 10\nv9 = rem_s.i64 v1, v3'), /^cmp/)).toBe(0);
    expect(count(one('v3 = iconst.i64 -1\nv9 = rem_s.i64 v1, v3'), /^cmp/)).toBe(1);
  });

  it('counts bits with what the features allow', () => {
    expect(count(one('v9 = clz.i64 v1', { features: ['lzcnt'] }), /^lzcnt/)).toBe(1);
    expect(count(one('v9 = clz.i64 v1'), /^bsr/)).toBe(1);
    expect(count(one('v9 = ctz.i64 v1', { features: ['bmi1'] }), /^tzcnt/)).toBe(1);
    expect(count(one('v9 = ctz.i64 v1'), /^bsf/)).toBe(1);
    expect(count(one('v9 = popcnt.i64 v1', { features: ['popcnt'] }), /^popcnt/)).toBe(1);
    expect(count(one('v9 = popcnt.i64 v1'), /^popcnt/)).toBe(0);
  });
});

describe('floats', () => {
  it('reads constants from memory, and makes zero', () => {
    const code = asm('v1: f64', 'v2 = fconst.f64 1.5\nv3 = fadd.f64 v2, v1\nreturn v3', 'f64');
    expect(count(code, /^addsd xmm0,\[rip/)).toBe(1);
    const zero = asm('', 'v1 = fconst.f64 0\nreturn v1', 'f64');
    expect(zero).toEqual(['xorps xmm0,xmm0', 'ret']);
    expect(count(asm('', 'v1 = fconst.f64 -0\nreturn v1', 'f64'), /^movsd xmm0,\[rip/)).toBe(1);
  });

  it('breaks the dependency on the destination of a conversion', () => {
    const code = asm('v1: i32, v2: f64', 'v3 = convert_s.f64 v1\nv4 = fadd.f64 v3, v2\nreturn v4', 'f64');
    const at = code.findIndex(l => l.startsWith('cvtsi2sd'));
    const xmm = /cvtsi2sd (xmm\d+)/.exec(code[at]!)![1];
    expect(code[at - 1]).toBe(`xorps ${xmm},${xmm}`);
    // In place there is no false dependency.
    expect(asm('v1: f64', 'v2 = fsqrt.f64 v1\nreturn v2', 'f64')).toEqual(['sqrtsd xmm0,xmm0', 'ret']);
  });

  it('uses three operands where the machine has AVX', () => {
    const sum = (features: readonly CpuFeature[]) =>
      asm('v1: f64, v2: f64', 'v3 = fsub.f64 v2, v1\nv4 = fmul.f64 v3, v2\nreturn v4', 'f64', { features });
    expect(sum(['avx'])).toEqual(['vsubsd xmm0,xmm1,xmm0', 'vmulsd xmm0,xmm0,xmm1', 'ret']);
    expect(count(sum([]), /^mulsd/)).toBe(1);
    expect(count(sum([]), /^v/)).toBe(0);
  });

  it('makes the lesser or the greater of two by one instruction, if it is the same for NaN and zeros', () => {
    const select = (op: string, yes: string, no: string, features: readonly CpuFeature[] = []) =>
      asm('v1: f64, v2: f64', `v3 = ${op} v1, v2\nv4 = select.f64 v3, ${yes}, ${no}\nreturn v4`, 'f64', {
        features,
      });
    expect(select('flt.f64', 'v1', 'v2')).toEqual(['minsd xmm0,xmm1', 'ret']);
    expect(select('flt.f64', 'v2', 'v1', ['avx'])).toEqual(['vmaxsd xmm0,xmm1,xmm0', 'ret']);
    expect(select('fgt.f64', 'v1', 'v2')).toEqual(['maxsd xmm0,xmm1', 'ret']);
    expect(select('fgt.f64', 'v2', 'v1', ['avx'])).toEqual(['vminsd xmm0,xmm1,xmm0', 'ret']);
    // Of two equal numbers that differ, zeros, the first would be wanted.
    for (const features of [[], ['avx']] as const)
      expect(count(select('fle.f64', 'v1', 'v2', features), /^v?(min|max)sd/)).toBe(0);
  });

  it('selects by a mask where the machine has AVX and floats of that size are compared', () => {
    const select = (comparison: string, features: readonly CpuFeature[]) =>
      asm('v1: f64, v2: f64, v3: i32', `v4 = ${comparison}\nv5 = select.f64 v4, v1, v2\nreturn v5`, 'f64', {
        features,
      });
    const blend = select('fge.f64 v1, v2', ['avx']);
    expect(count(blend, /^vcmplesd/)).toBe(1);
    expect(count(blend, /^vblendvpd/)).toBe(1);
    expect(count(blend, /^j/)).toBe(0);
    expect(count(select('fge.f64 v1, v2', []), /^j/)).toBe(1);
    expect(count(select('ne.i32 v3, v3', ['avx']), /^j/)).toBe(1);
  });
});
