/**
 * Every form of every instruction, over registers and addressing modes, against an independent disassembler (iced-x86).
 */
import { readFileSync } from 'node:fs';
import {
  Decoder,
  DecoderOptions,
  type Instruction,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import { describe, expect, test } from 'vitest';
import { Assembler, CC, Ins, NO_REG, RIP } from '../backend/x64/encode.ts';
import { F_IMM, F_LOAD, F_STORE, F_UNARY, FORMS, Form, PLAIN } from '../backend/x64/encode-table.ts';

/** Methods that the tests of this file have called. */
const called = new Set<string>();
/** Forms that they have encoded. */
const encoded = new Set<number>();
const METHODS = Object.getOwnPropertyNames(Assembler.prototype);
for (const name of METHODS) {
  if (name === 'constructor') continue;
  const methods = Assembler.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  const original = methods[name]!;
  methods[name] = function (this: Assembler, ...args) {
    called.add(name);
    if (name === 'head' || name === 'vexHead') encoded.add(args[0] as number);
    return original.apply(this, args);
  };
}

const source = readFileSync(new URL('../backend/x64/encode-table.ts', import.meta.url), 'utf8');
const body = /enum Ins \{([^}]*)\}/
  .exec(source)![1]!
  .replace(/\/\*\*.*?\*\//g, '')
  .replace(/\/\/.*$/gm, '');
const NAMES = body
  .split(',')
  .map(s => s.trim())
  .filter(s => s !== '' && s !== 'COUNT');

const G64 = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const G32 = 'eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d'.split(' ');
const G16 = 'ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w'.split(' ');
const G8 = 'al cl dl bl spl bpl sil dil r8l r9l r10l r11l r12l r13l r14l r15l'.split(' ');
function gpr(size: number, n: number): string {
  return (size === 8 ? G64 : size === 4 ? G32 : size === 2 ? G16 : G8)[n]!;
}
const xmm = (n: number, size = 16) => `${size === 32 ? 'ymm' : 'xmm'}${n}`;

type Address = readonly [base: number, index: number, scale: number, disp: number];
function address([base, index, scale, disp]: Address): string {
  const b = base === RIP ? 'rip' : base === NO_REG ? '-' : G64[base];
  const i = index === NO_REG ? '-' : `${G64[index]}*${1 << scale}`;
  return `[${b} ${i} ${disp}]`;
}
const lower = (table: object, n: number) => (table as Record<number, string>)[n]!.toLowerCase();

/** What the disassembler says: mnemonic and operands, immediates as unsigned numbers of the first operand's width. */
function text(i: Instruction): string {
  const ops: string[] = [];
  for (let k = 0; k < i.opCount; k++) {
    const kind = i.opKind(k);
    if (kind === OpKind.Register) ops.push(lower(Register, i.opRegister(k)));
    else if (kind === OpKind.Memory) {
      const rip = i.memoryBase === Register.RIP;
      const disp = Number(BigInt.asIntN(64, i.memoryDisplacement - (rip ? i.nextIP : 0n)));
      const b = i.memoryBase === Register.None ? '-' : lower(Register, i.memoryBase);
      const x =
        i.memoryIndex === Register.None ? '-' : `${lower(Register, i.memoryIndex)}*${i.memoryIndexScale}`;
      ops.push(`m${MemorySizeExt.size(i.memorySize)}[${b} ${x} ${disp}]`);
    } else {
      const width =
        i.opKind(0) === OpKind.Memory ? MemorySizeExt.size(i.memorySize) : RegisterExt.size(i.op0Register);
      ops.push(`${BigInt.asUintN(8 * Math.min(width, 8), i.immediate(k))}`);
    }
  }
  return `${lower(Mnemonic, i.mnemonic)} ${ops.join(',')}`.trim();
}

/** Collects calls with what they must disassemble to; `*` in an expectation stands for any memory size. */
class Check {
  readonly asm = new Assembler();
  readonly wanted: string[] = [];
  readonly sizes: number[] = [];
  add(want: string, emit: (a: Assembler) => void): void {
    const before = this.asm.here();
    emit(this.asm);
    this.wanted.push(want);
    this.sizes.push(this.asm.here() - before);
  }
  verify(): void {
    const code = this.asm.finish();
    const decoder = new Decoder(64, code, DecoderOptions.None);
    const wrong: string[] = [];
    let at = 0;
    this.wanted.forEach((want, i) => {
      const ins = decoder.decode();
      const got = text(ins);
      const same = got === want || got.replace(/m\d+\[/, '*[') === want;
      if (!same || ins.length !== this.sizes[i]) {
        const bytes = [...code.subarray(at, at + this.sizes[i]!)].map(b => b.toString(16)).join(' ');
        wrong.push(`want ${want}, got ${got} (${bytes})`);
      }
      at += this.sizes[i]!;
      decoder.position = at;
      decoder.ip = BigInt(at);
      ins.free();
    });
    decoder.free();
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(this.wanted.length).toBeGreaterThan(0);
  }
}

const REGS = [0, 1, 3, 4, 5, 6, 7, 8, 12, 13, 15];
const ADDRESSES: Address[] = [
  [0, NO_REG, 0, 0],
  [3, 1, 2, 8],
  [4, NO_REG, 0, 0],
  [4, 5, 0, -128],
  [5, NO_REG, 0, 0],
  [5, 13, 1, 0],
  [12, NO_REG, 0, 127],
  [12, 12, 3, 0],
  [13, NO_REG, 0, 0],
  [13, 8, 1, 128],
  [15, 0, 0, 0x12345678],
  [NO_REG, NO_REG, 0, 0x1000],
  [NO_REG, 9, 3, -4],
  [RIP, NO_REG, 0, 0x100],
];

test('addressing modes', () => {
  const c = new Check();
  for (const base of [RIP, NO_REG, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    for (const index of base === RIP ? [NO_REG] : [NO_REG, 0, 5, 8, 12, 13, 15])
      for (const scale of index === NO_REG ? [0] : [0, 1, 2, 3])
        for (const disp of [0, 1, -1, 127, -128, 128, -129, 0x7fffffff, -0x80000000]) {
          const a: Address = [base, index, scale, disp];
          c.add(`mov r9,m8${address(a)}`, s => s.rm(Ins.MOV, 8, 9, ...a));
        }
  c.verify();
});

/** Sizes of integer instructions other than all of 1, 2, 4, 8 (form with Byte) or 2, 4, 8. */
function sizesOf(name: string, form: number): number[] {
  if (name === 'MOVZX16' || name === 'MOVSX16') return [4, 8];
  if (name === 'MOVSXD') return [8];
  if (name === 'BSWAP' || form & Form.Vex) return [4, 8];
  return form & Form.Byte ? [1, 2, 4, 8] : [2, 4, 8];
}
const last = NAMES.indexOf('XADD');
const MNEMONICS: Record<string, string> = {
  MOVZX8: 'movzx',
  MOVZX16: 'movzx',
  MOVSX8: 'movsx',
  MOVSX16: 'movsx',
  IMUL1: 'imul',
  MOVD_TO_X: 'movd',
  MOVD_FROM_X: 'movd',
  MOVQ_TO_X: 'movq',
  MOVQ_FROM_X: 'movq',
};
const mnemonic = (name: string) => MNEMONICS[name] ?? name.toLowerCase();
const unsigned = (v: number, size: number) => BigInt.asUintN(size * 8, BigInt(v));

describe('integer instructions', () => {
  /** Width of the r/m operand where it isn't `size`. */
  const SOURCE: Record<string, number> = { MOVZX8: 1, MOVSX8: 1, MOVZX16: 2, MOVSX16: 2, MOVSXD: 4 };
  const THREE = new Set('ANDN BZHI BEXTR SHLX SHRX SARX PDEP PEXT MULX'.split(' '));
  // SDM: the value is in r/m and the control in vvvv, which stands last in the text.
  const VVVV_LAST = new Set('BZHI BEXTR SHLX SHRX SARX'.split(' '));

  test('load and store forms', () => {
    const c = new Check();
    for (let ins = 0; ins <= last; ins++) {
      const name = NAMES[ins]!;
      const m = mnemonic(name);
      for (const column of [F_LOAD, F_STORE]) {
        const form = FORMS[ins * 4 + column]!;
        if (form === 0 || form & Form.Imm8 || THREE.has(name)) continue;
        for (const size of sizesOf(name, form)) {
          const width = SOURCE[name] ?? size;
          for (const r of REGS) {
            for (const q of REGS) {
              if (name === 'LEA' || name === 'MOVBE' || (column === F_STORE && FORMS[ins * 4 + F_LOAD]))
                break;
              c.add(`${m} ${gpr(size, r)},${gpr(width, q)}`, s => s.rr(ins, size, r, q));
            }
            for (const a of ADDRESSES) {
              if (column === F_LOAD) {
                const mem = name === 'LEA' ? '*' : `m${width}`;
                c.add(`${m} ${gpr(size, r)},${mem}${address(a)}`, s => s.rm(ins, size, r, ...a));
              } else c.add(`${m} m${size}${address(a)},${gpr(size, r)}`, s => s.mr(ins, size, ...a, r));
            }
          }
        }
      }
    }
    // The disassembler writes `xchg r/m, reg`.
    c.wanted.forEach((w, i) => {
      const swap = /^xchg (.*),(.*)$/.exec(w);
      if (swap && !swap[1]!.startsWith('m')) c.wanted[i] = `xchg ${swap[2]},${swap[1]}`;
    });
    c.verify();
  });

  test('three operands (BMI)', () => {
    const c = new Check();
    for (const name of THREE) {
      const ins = NAMES.indexOf(name);
      for (const size of [4, 8])
        for (const r of REGS)
          for (const v of REGS) {
            const order = (rm: string) =>
              VVVV_LAST.has(name) ? `${rm},${gpr(size, v)}` : `${gpr(size, v)},${rm}`;
            for (const q of [0, 4, 13])
              c.add(`${mnemonic(name)} ${gpr(size, r)},${order(gpr(size, q))}`, s =>
                s.vrr(ins, size, r, v, q),
              );
            if (r === 0 || v === 15)
              for (const a of ADDRESSES)
                c.add(`${mnemonic(name)} ${gpr(size, r)},${order(`m${size}${address(a)}`)}`, s =>
                  s.vrm(ins, size, r, v, ...a),
                );
          }
    }
    c.verify();
  });

  test('unary forms', () => {
    const c = new Check();
    for (let ins = 0; ins <= last; ins++) {
      const name = NAMES[ins]!;
      const form = FORMS[ins * 4 + F_UNARY]!;
      const stack = ['PUSH', 'POP', 'CALL', 'JMP'].includes(name);
      if (form === 0 && name !== 'BSWAP') continue;
      for (const size of stack ? [8] : sizesOf(name, form)) {
        const cl = FORMS[ins * 4 + F_IMM]! !== 0 ? ',cl' : '';
        const wide = name === 'CMPXCHG16B';
        for (const r of REGS)
          if (!wide) c.add(`${mnemonic(name)} ${gpr(size, r)}${cl}`, s => s.r(ins, size, r));
        if (name === 'BSWAP') continue;
        for (const a of ADDRESSES)
          c.add(`${mnemonic(name)} m${wide ? 16 : size}${address(a)}${cl}`, s => s.m(ins, size, ...a));
      }
    }
    for (const a of ADDRESSES) c.add(`cmpxchg16b m16${address(a)}`, s => s.m(Ins.CMPXCHG16B, 8, ...a));
    c.verify();
  });

  test('immediates', () => {
    const c = new Check();
    for (let ins = 0; ins <= last; ins++) {
      const name = NAMES[ins]!;
      const form = FORMS[ins * 4 + F_IMM]!;
      if (form === 0) continue;
      for (const size of sizesOf(name, form)) {
        const bits = size * 8;
        const values =
          form & Form.Imm8
            ? [1, 2, bits - 1]
            : [0, 1, -1, 127, -128, 128, 200, -129, 0x7fff, 0x7fffffff, -0x80000000];
        for (const v of values) {
          const text = `${form & Form.Imm8 ? v : unsigned(v, size)}`;
          if (size < 4 && BigInt.asIntN(bits, BigInt(v)) !== BigInt(v) && v !== 200) continue;
          for (const r of REGS) {
            // A 64-bit move of a non-negative number is written as the 32-bit one.
            const short = name === 'MOV' && size === 8 && v >= 0;
            const dst = gpr(short ? 4 : size, r);
            const want = name === 'IMUL' ? `imul ${dst},${dst},${text}` : `${mnemonic(name)} ${dst},${text}`;
            c.add(want, s => s.ri(ins, size, r, v));
          }
          for (const a of ADDRESSES) {
            if (name === 'IMUL') {
              c.add(`imul ${gpr(size, 9)},m${size}${address(a)},${text}`, s => s.rmi(ins, size, 9, ...a, v));
              c.add(`imul ${gpr(size, 9)},${gpr(size, 4)},${text}`, s => s.rri(ins, size, 9, 4, v));
            } else {
              c.add(`${mnemonic(name)} m${size}${address(a)},${text}`, s => s.mi(ins, size, ...a, v));
            }
          }
        }
      }
    }
    for (const size of [4, 8])
      for (const r of REGS)
        for (const q of REGS) {
          const ops = (m: string) => `${m} ${gpr(size, r)},${gpr(size, q)},13`;
          c.add(ops('rorx'), s => s.rri(Ins.RORX, size, r, q, 13));
          c.add(ops('shld'), s => s.rri(Ins.SHLD, size, r, q, 13));
          c.add(ops('shrd'), s => s.rri(Ins.SHRD, size, r, q, 13));
        }
    for (const a of ADDRESSES) {
      c.add(`rorx r10,m8${address(a)},13`, s => s.rmi(Ins.RORX, 8, 10, ...a, 13));
      c.add(`shld m4${address(a)},edi,13`, s => s.mri(Ins.SHLD, 4, ...a, 7, 13));
      c.add(`shrd m8${address(a)},r9,13`, s => s.mri(Ins.SHRD, 8, ...a, 9, 13));
    }
    c.verify();
  });

  test('64-bit constants', () => {
    const c = new Check();
    const halves = [0, 1, -1, 0x7fffffff, -0x80000000, 0x12345678];
    for (const r of REGS)
      for (const lo of halves)
        for (const hi of halves) {
          const v = BigInt.asUintN(64, (BigInt(hi) << 32n) | BigInt(lo >>> 0));
          const size = hi === 0 ? 4 : 8;
          c.add(`mov ${gpr(size, r)},${v}`, s => s.movabs(r, lo, hi));
        }
    c.verify();
    expect(Math.max(...c.sizes)).toBe(10);
  });

  test('lengths: the shortest encodings are taken', () => {
    const a = new Assembler();
    const length = (emit: () => void) => {
      const before = a.here();
      emit();
      return a.here() - before;
    };
    expect(length(() => a.ri(Ins.ADD, 4, 3, 5))).toBe(3);
    expect(length(() => a.ri(Ins.ADD, 4, 0, 500))).toBe(5);
    expect(length(() => a.ri(Ins.ADD, 4, 3, 500))).toBe(6);
    expect(length(() => a.ri(Ins.ADD, 2, 3, 0xffff))).toBe(4);
    expect(length(() => a.ri(Ins.TEST, 4, 0, 500))).toBe(5);
    expect(length(() => a.ri(Ins.SHL, 4, 3, 1))).toBe(2);
    expect(length(() => a.ri(Ins.MOV, 8, 3, 7))).toBe(5);
    expect(length(() => a.ri(Ins.MOV, 8, 3, -7))).toBe(7);
    expect(length(() => a.movabs(9, 1, 0))).toBe(6);
    expect(length(() => a.rr(Ins.ADD, 4, 3, 5))).toBe(2);
    expect(length(() => a.rr(Ins.MOV, 1, 3, 1))).toBe(2);
    expect(length(() => a.rr(Ins.MOV, 1, 6, 1))).toBe(3);
    expect(length(() => a.rm(Ins.MOV, 4, 3, 5, NO_REG, 0, 0))).toBe(3);
    expect(length(() => a.rm(Ins.MOV, 4, 3, 0, NO_REG, 0, 0))).toBe(2);
    expect(length(() => a.vrr(Ins.ADDSD, 8, 1, 2, 3))).toBe(4);
    expect(length(() => a.vrr(Ins.ADDSD, 8, 1, 2, 8))).toBe(5);
  });

  test('conditions', () => {
    const c = new Check();
    const cc = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');
    cc.forEach((name, n) => {
      for (const r of REGS) {
        c.add(`set${name} ${gpr(1, r)}`, s => s.setcc(n, r));
        for (const size of [4, 8]) {
          c.add(`cmov${name} ${gpr(size, r)},${gpr(size, 6)}`, s => s.cmov(n, size, r, 6));
          for (const a of ADDRESSES)
            c.add(`cmov${name} ${gpr(size, r)},m${size}${address(a)}`, s => s.cmovm(n, size, r, ...a));
        }
      }
    });
    c.verify();
    expect([CC.O, CC.E, CC.NP, CC.G]).toEqual([0, 4, 11, 15]);
  });

  test('without operands', () => {
    const c = new Check();
    const all = NAMES.map((_, i) => i).filter(i => PLAIN[i] !== 0);
    for (const ins of all) c.add(mnemonic(NAMES[ins]!), s => s.plain(ins));
    c.add('nop', s => s.nop());
    c.verify();
    expect(all.length).toBe(10);
    const lock = new Assembler();
    lock.lock();
    lock.mr(Ins.CMPXCHG, 8, 15, 1, 0, 0, 2);
    const decoder = new Decoder(64, lock.finish(), DecoderOptions.None);
    const i = decoder.decode();
    expect(i.hasLockPrefix && text(i)).toBe('cmpxchg m8[r15 rcx*1 0],rdx');
    const segment = new Assembler();
    segment.threadPointer();
    segment.rm(Ins.CMP, 8, 4, 11, -1, 0, 0);
    const compare = new Decoder(64, segment.finish(), DecoderOptions.None).decode();
    expect(compare.segmentPrefix === Register.FS && text(compare)).toBe('cmp rsp,m8[r11 - 0]');
  });
});

describe('vector instructions', () => {
  /**
   * Operand kinds of load forms: first operand, r/m as register, r/m as memory. X vector, I integer by size, D r32, -
   * none.
   */
  const KINDS: Record<string, string> = {
    CVTSI2SS: 'XII',
    CVTSI2SD: 'XII',
    CVTTSS2SI: 'IXX',
    CVTTSD2SI: 'IXX',
    MOVD_TO_X: 'XDD',
    MOVQ_TO_X: 'XQX',
    MOVMSKPS: 'DX-',
    MOVMSKPD: 'DX-',
    PMOVMSKB: 'DX-',
    MOVLPS: 'X-X',
    MOVHPS: 'X-X',
    MOVHLPS: 'XX-',
    MOVLHPS: 'XX-',
    PINSRB: 'XDD',
    PINSRW: 'XDD',
    PINSRD: 'XDD',
    PINSRQ: 'XQX',
    VCVTUSI2SS: 'XII',
    VCVTUSI2SD: 'XII',
    VCVTTSS2USI: 'IXX',
    VCVTTSD2USI: 'IXX',
  };
  /** Legacy only: xmm0 is an operand that isn't written. */
  const XMM0 = new Set(['BLENDVPS', 'BLENDVPD', 'PBLENDVB']);
  const reg = (kind: string, size: number, n: number) =>
    kind === 'X' ? xmm(n, size) : kind === 'I' ? gpr(size, n) : kind === 'D' ? gpr(4, n) : gpr(8, n);
  const loads = NAMES.map((name, ins) => ({ name, ins, form: FORMS[ins * 4 + F_LOAD]! })).filter(
    f => f.ins >= NAMES.indexOf('MOVSS') && f.form !== 0,
  );

  test('legacy load forms', () => {
    const c = new Check();
    for (const { name, ins, form } of loads) {
      if (form & Form.Vex) continue;
      const kinds = KINDS[name] ?? 'XXX';
      const imm = form & Form.Imm8;
      const tail = imm ? ',3' : '';
      const m = mnemonic(name);
      for (const size of form & Form.WBySize ? [4, 8] : [8])
        for (const r of REGS) {
          const dst = reg(kinds[0]!, size, r);
          for (const q of REGS)
            if (kinds[1] !== '-')
              c.add(`${m} ${dst},${reg(kinds[1]!, size, q)}${tail}`, s =>
                imm ? s.rri(ins, size, r, q, 3) : s.rr(ins, size, r, q),
              );
          for (const a of ADDRESSES)
            if (kinds[2] !== '-')
              c.add(`${m} ${dst},*${address(a)}${tail}`, s =>
                imm ? s.rmi(ins, size, r, ...a, 3) : s.rm(ins, size, r, ...a),
              );
        }
    }
    c.verify();
  });

  test('store forms', () => {
    const c = new Check();
    for (let ins = NAMES.indexOf('MOVSS'); ins < Ins.COUNT; ins++) {
      const name = NAMES[ins]!;
      const form = FORMS[ins * 4 + F_STORE]!;
      if (form === 0) continue;
      const imm = form & Form.Imm8;
      const only = FORMS[ins * 4 + F_LOAD] === 0;
      const kind = form & Form.W ? 'Q' : 'D';
      for (const r of REGS) {
        for (const a of ADDRESSES) {
          c.add(`${mnemonic(name)} *${address(a)},${xmm(r)}${imm ? ',1' : ''}`, s =>
            imm ? s.mri(ins, 8, ...a, r, 1) : s.mr(ins, 8, ...a, r),
          );
          if (!imm) c.add(`v${mnemonic(name)} *${address(a)},${xmm(r)}`, s => s.vmr(ins, 8, ...a, r));
        }
        for (const q of REGS) {
          if (!only) break;
          const dst = reg(kind, 8, q);
          c.add(`${mnemonic(name)} ${dst},${xmm(r)}${imm ? ',1' : ''}`, s =>
            imm ? s.rri(ins, 8, q, r, 1) : s.rr(ins, 8, q, r),
          );
          c.add(`v${mnemonic(name)} ${dst},${xmm(r)}${imm ? ',1' : ''}`, s =>
            imm ? s.vrri(ins, 8, q, 0, r, 1) : s.vstore(ins, 8, q, r),
          );
        }
      }
    }
    c.verify();
  });

  test('shifts by an immediate', () => {
    const c = new Check();
    for (let ins = NAMES.indexOf('MOVSS'); ins < Ins.COUNT; ins++) {
      if (FORMS[ins * 4 + F_IMM] === 0) continue;
      for (const r of REGS) {
        const vex = (FORMS[ins * 4 + F_IMM]! & Form.Vex) !== 0;
        const v = vex ? mnemonic(NAMES[ins]!) : `v${mnemonic(NAMES[ins]!)}`;
        if (!vex) c.add(`${mnemonic(NAMES[ins]!)} ${xmm(r)},5`, s => s.ri(ins, 16, r, 5));
        for (const q of REGS) {
          c.add(`${v} ${xmm(r)},${xmm(q)},5`, s => s.vri(ins, 16, r, q, 5));
          c.add(`${v} ${xmm(r, 32)},${xmm(q, 32)},5`, s => s.vri(ins, 32, r, q, 5));
        }
      }
    }
    c.verify();
  });

  /** VEX forms with two operands; the others take three. */
  const TWO =
    /^(MOV(?!HLPS|LHPS|LPS|HPS)|UCOMI|PTEST|SQRTP|ROUNDP|CVT(?!SI2|SS2SD|SD2SS)|PABS|PSHUF[DLH]|PMOV|VBROAD|VPBROAD|VPERMIL|VPABS|VCVT(?!USI))/;
  test('VEX forms', () => {
    const c = new Check();
    for (const { name, ins, form } of loads) {
      if (XMM0.has(name)) continue;
      const kinds = KINDS[name] ?? 'XXX';
      const two = TWO.test(name);
      const is4 = /^V.*BLENDV/.test(name);
      const imm = form & Form.Imm8;
      const m = form & Form.Vex ? mnemonic(name) : `v${mnemonic(name)}`;
      for (const size of form & Form.WBySize ? [4, 8] : [8])
        for (const r of REGS)
          for (const v of two ? [0] : REGS) {
            const head = `${m} ${reg(kinds[0]!, size, r)},${two ? '' : `${xmm(v)},`}`;
            const tail = is4 ? ',xmm13' : imm ? ',3' : '';
            const value = is4 ? 13 << 4 : 3;
            for (const q of [0, 4, 7, 13])
              if (kinds[1] !== '-' && !(name === 'MOVSS' || name === 'MOVSD'))
                c.add(`${head}${reg(kinds[1]!, size, q)}${tail}`, s =>
                  imm ? s.vrri(ins, size, r, v, q, value) : s.vrr(ins, size, r, v, q),
                );
            if (kinds[2] !== '-' && (r === 13 || v === 13 || two))
              for (const a of ADDRESSES)
                c.add(`${head}*${address(a)}${tail}`, s =>
                  imm ? s.vrmi(ins, size, r, v, ...a, value) : s.vrm(ins, size, r, v, ...a),
                );
          }
    }
    for (const r of REGS)
      for (const q of REGS) {
        c.add(`vmovss xmm${r},xmm${q},xmm3`, s => s.vrr(Ins.MOVSS, 4, r, q, 3));
        c.add(`vmovsd xmm${r},xmm${q},xmm9`, s => s.vrr(Ins.MOVSD, 4, r, q, 9));
        c.add(`vaddps ymm${r},ymm${q},ymm3`, s => s.vrr(Ins.ADDPS, 32, r, q, 3));
        c.add(`vmovups ymm${r},m32${address([13, 9, 1, 4])}`, s => s.vrm(Ins.MOVUPS, 32, r, 0, 13, 9, 1, 4));
      }
    c.verify();
  });
});

test('the tests above see every form of the table', () => {
  const integers = NAMES.slice(0, last + 1);
  expect(NAMES.length).toBe(Ins.COUNT);
  expect(integers).toContain('BLSI');
  const empty = NAMES.filter(
    (_, i) => FORMS.subarray(i * 4, i * 4 + 4).every(f => f === 0) && PLAIN[i] === 0,
  );
  expect(empty).toEqual(['BSWAP']);
});

test('RIP-relative operands give the place to relocate', () => {
  const a = new Assembler();
  a.rm(Ins.LEA, 8, 3, RIP, NO_REG, 0, 0x11223344);
  expect([a.lastDisp, a.lastTail, a.here()]).toEqual([3, 0, 7]);
  a.mi(Ins.CMP, 4, RIP, NO_REG, 0, 0x11223344, 1000);
  expect([a.lastDisp, a.lastTail, a.here()]).toEqual([9, 4, 17]);
  a.mi(Ins.CMP, 4, RIP, NO_REG, 0, 0x11223344, 10);
  expect([a.lastDisp, a.lastTail, a.here()]).toEqual([19, 1, 24]);
  a.rmi(Ins.ROUNDSD, 8, 3, RIP, NO_REG, 0, 0x11223344, 1);
  expect([a.lastDisp, a.lastTail, a.here()]).toEqual([29, 1, 34]);
  a.callRel();
  expect([a.lastDisp, a.lastTail, a.here()]).toEqual([35, 0, 39]);
  const code = a.finish();
  const view = new DataView(code.buffer);
  for (const at of [3, 9, 19, 29]) expect(view.getInt32(at, true)).toBe(0x11223344);
});

test('jumps and returns of tail calls', () => {
  const decoded = (emit: (a: Assembler) => void): string => {
    const a = new Assembler();
    emit(a);
    const bytes = a.finish();
    const i = new Decoder(64, bytes, DecoderOptions.None).decode();
    expect(i.length).toBe(bytes.length);
    return `${Mnemonic[i.mnemonic]} ${OpKind[i.op0Kind]} ${i.op0Kind === OpKind.Register ? Register[i.op0Register] : i.op0Kind === OpKind.Immediate16 ? i.immediate16 : i.nearBranchTarget}`;
  };
  for (let n = 0; n < 16; n++) {
    if (n === 4) continue;
    expect(decoded(a => a.jmpTail(n))).toBe(`Jmp Register ${G64[n]!.toUpperCase()}`);
  }
  for (const n of [8, 16, 0x1230, 0xfff0]) expect(decoded(a => a.retPop(n))).toBe(`Ret Immediate16 ${n}`);
  expect(decoded(a => a.jmpRel())).toBe('Jmp NearBranch64 5');
  expect(decoded(a => a.callRel())).toBe('Call NearBranch64 5');
});

test('the frequent instructions of code for debuggers', () => {
  const c = new Check();
  for (const size of [4, 8])
    for (const reg of REGS) {
      for (const disp of [0, 8, 127, -128, 128, 0x12345678]) {
        const m = address([4, NO_REG, 0, disp]);
        c.add(`mov ${gpr(size, reg)},m${size}${m}`, a => a.stack(0x8b, size, reg, disp));
        c.add(`mov m${size}${m},${gpr(size, reg)}`, a => a.stack(0x89, size, reg, disp));
        c.add(`cmp ${gpr(size, reg)},m${size}${m}`, a => a.stack(0x3b, size, reg, disp));
      }
      for (const rm of REGS) {
        c.add(`mov ${gpr(size, reg)},${gpr(size, rm)}`, a => a.pair(0x8b, size, reg, rm));
        c.add(`xor ${gpr(size, reg)},${gpr(size, rm)}`, a => a.pair(0x33, size, reg, rm));
      }
    }
  c.verify();
});

test('patches', () => {
  const a = new Assembler();
  for (let k = 0; k < 2; k++) a.mr(Ins.MOV, 8, 4, NO_REG, 0, 0x12345678, 3);
  expect(a.here()).toBe(16);
  a.patch32(4, 0x1000);
  a.patchNop8(8);
  const decoder = new Decoder(64, a.finish(), DecoderOptions.None);
  expect(text(decoder.decode())).toBe('mov m8[rsp - 4096],rbx');
  const nop = decoder.decode();
  expect([nop.mnemonic, nop.length]).toEqual([Mnemonic.Nop, 8]);
});

test('misuse is refused', () => {
  const a = new Assembler();
  expect(() => a.rm(Ins.TEST, 4, 0, 1, NO_REG, 0, 0)).toThrow(/has no form/);
  expect(() => a.plain(Ins.ADD)).toThrow(/has operands/);
  const l = a.newLabel();
  a.jmp(l);
  expect(() => a.finish()).toThrow(/not bound/);
  a.bind(l);
  expect(() => a.bind(l)).toThrow(/bound twice/);
});

/** What encodes nothing by itself, or is in encode-labels.test.ts. */
const ELSEWHERE =
  'constructor reset here newLabel bind isBound jmp jcc align finish map labelPos itemsBefore branch finishBranches'.split(
    ' ',
  );

test('every method of the assembler has been held against the disassembler', () => {
  const missing = METHODS.filter(name => !called.has(name) && !ELSEWHERE.includes(name));
  // The others are parts of these: they can't be reached but through one.
  expect(missing).toEqual([]);
});

test('every form of the table has been held against the disassembler', () => {
  // An immediate's form is used as such, with the short immediate, or as a shift by one.
  const missing = NAMES.flatMap((name, ins) =>
    [F_LOAD, F_STORE, F_IMM, F_UNARY]
      .map(column => ({ name, column, form: FORMS[ins * 4 + column]! }))
      .filter(({ form }) => form !== 0 && ![form, form + 2, form + 0x10].some(f => encoded.has(f))),
  );
  expect(missing).toEqual([]);
  expect(encoded.size).toBeGreaterThan(300);
});
