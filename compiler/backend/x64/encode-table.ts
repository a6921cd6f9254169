/**
 * The x86-64 instructions that the assembler knows, as data (Intel SDM volume 2; opcodes in its notation).
 *
 * An instruction has up to four *forms*, each one packed int32 (0: no such form):
 *  - load: `reg, r/m`          - store: `r/m, reg`
 *  - unary: `r/m` with a digit - imm: `r/m, imm` with a digit
 * An instruction whose load or store form carries the Imm8 flag takes a trailing immediate (`rri`, `rmi`, `mri`).
 */

export const enum Ins {
  // ALU group: the order is the x86 /digit.
  ADD,
  OR,
  ADC,
  SBB,
  AND,
  SUB,
  XOR,
  CMP,
  TEST,
  MOV,
  XCHG,
  LEA,
  MOVZX8,
  MOVZX16,
  MOVSX8,
  MOVSX16,
  MOVSXD,
  MOVBE,
  IMUL,
  // Unary on r/m
  NOT,
  NEG,
  MUL,
  IMUL1,
  DIV,
  IDIV,
  INC,
  DEC,
  PUSH,
  POP,
  CALL,
  JMP,
  BSWAP,
  // Shifts: by CL (r, m) or by an immediate (ri, mi)
  ROL,
  ROR,
  SHL,
  SHR,
  SAR,
  /** `rri(SHLD, size, dst, src, imm)`: dst is shifted, bits come from src. */
  SHLD,
  SHRD,
  BT,
  BTS,
  BTR,
  BTC,
  BSF,
  BSR,
  LZCNT,
  TZCNT,
  POPCNT,
  // BMI. Three-operand ones: vrr(ins, size, dst, vvvv, src): ANDN: dst = ~vvvv & src; shifts, BZHI, BEXTR: dst = src
  // shifted by vvvv.
  ANDN,
  BLSR,
  BLSMSK,
  BLSI,
  BZHI,
  BEXTR,
  SHLX,
  SHRX,
  SARX,
  RORX,
  PDEP,
  PEXT,
  /** dst = high, vvvv = low half of rdx * src. */
  MULX,
  CMPXCHG,
  XADD,
  CMPXCHG16B,
  // Condition code is added to the opcode.
  CMOV,
  SET,
  // Without operands
  CDQ,
  CQO,
  RET,
  HLT,
  NOP,
  INT3,
  UD2,
  PAUSE,
  MFENCE,
  VZEROUPPER,
  // Moves between and into xmm registers
  MOVSS,
  MOVSD,
  MOVAPS,
  MOVAPD,
  MOVUPS,
  MOVUPD,
  MOVDQA,
  MOVDQU,
  /** xmm <- r/m32 */
  MOVD_TO_X,
  /** r/m32 <- xmm */
  MOVD_FROM_X,
  MOVQ_TO_X,
  MOVQ_FROM_X,
  /** xmm <- xmm/m64, upper half zeroed; store form too. */
  MOVQ,
  MOVLPS,
  MOVHPS,
  MOVHLPS,
  MOVLHPS,
  MOVDDUP,
  MOVSHDUP,
  MOVSLDUP,
  MOVMSKPS,
  MOVMSKPD,
  PMOVMSKB,
  // Scalar arithmetic: SS, SD adjacent
  ADDSS,
  ADDSD,
  SUBSS,
  SUBSD,
  MULSS,
  MULSD,
  DIVSS,
  DIVSD,
  MINSS,
  MINSD,
  MAXSS,
  MAXSD,
  SQRTSS,
  SQRTSD,
  UCOMISS,
  UCOMISD,
  ROUNDSS,
  ROUNDSD,
  CMPSS,
  CMPSD,
  /** `size` is that of the integer. */
  CVTSI2SS,
  CVTSI2SD,
  CVTTSS2SI,
  CVTTSD2SI,
  CVTSS2SD,
  CVTSD2SS,
  // Packed: PS, PD adjacent
  ADDPS,
  ADDPD,
  SUBPS,
  SUBPD,
  MULPS,
  MULPD,
  DIVPS,
  DIVPD,
  MINPS,
  MINPD,
  MAXPS,
  MAXPD,
  SQRTPS,
  SQRTPD,
  ANDPS,
  ANDPD,
  ANDNPS,
  ANDNPD,
  ORPS,
  ORPD,
  XORPS,
  XORPD,
  CMPPS,
  CMPPD,
  ROUNDPS,
  ROUNDPD,
  UNPCKLPS,
  UNPCKLPD,
  UNPCKHPS,
  UNPCKHPD,
  SHUFPS,
  SHUFPD,
  BLENDVPS,
  BLENDVPD,
  CVTPS2PD,
  CVTPD2PS,
  CVTDQ2PS,
  CVTDQ2PD,
  CVTTPS2DQ,
  CVTTPD2DQ,
  // Packed integers
  PXOR,
  POR,
  PAND,
  PANDN,
  PADDB,
  PADDW,
  PADDD,
  PADDQ,
  PSUBB,
  PSUBW,
  PSUBD,
  PSUBQ,
  PADDSB,
  PADDSW,
  PADDUSB,
  PADDUSW,
  PSUBSB,
  PSUBSW,
  PSUBUSB,
  PSUBUSW,
  PMULLW,
  PMULLD,
  PMULHW,
  PMULHUW,
  PMULHRSW,
  PMULUDQ,
  PMULDQ,
  PMADDWD,
  PMADDUBSW,
  PAVGB,
  PAVGW,
  PMINSB,
  PMINSW,
  PMINSD,
  PMINUB,
  PMINUW,
  PMINUD,
  PMAXSB,
  PMAXSW,
  PMAXSD,
  PMAXUB,
  PMAXUW,
  PMAXUD,
  PABSB,
  PABSW,
  PABSD,
  PCMPEQB,
  PCMPEQW,
  PCMPEQD,
  PCMPEQQ,
  PCMPGTB,
  PCMPGTW,
  PCMPGTD,
  PCMPGTQ,
  PTEST,
  PBLENDVB,
  PBLENDW,
  PALIGNR,
  PSHUFB,
  PSHUFD,
  PSHUFLW,
  PSHUFHW,
  PACKSSWB,
  PACKSSDW,
  PACKUSWB,
  PACKUSDW,
  PUNPCKLBW,
  PUNPCKLWD,
  PUNPCKLDQ,
  PUNPCKLQDQ,
  PUNPCKHBW,
  PUNPCKHWD,
  PUNPCKHDQ,
  PUNPCKHQDQ,
  PMOVSXBW,
  PMOVSXWD,
  PMOVSXDQ,
  PMOVZXBW,
  PMOVZXWD,
  PMOVZXDQ,
  PMOVZXBD,
  PMOVZXBQ,
  PMOVZXWQ,
  // Shifts by an xmm (rr, rm) or by an immediate (ri)
  PSLLW,
  PSLLD,
  PSLLQ,
  PSRLW,
  PSRLD,
  PSRLQ,
  PSRAW,
  PSRAD,
  /** By bytes, immediate only. */
  PSLLDQ,
  PSRLDQ,
  // Lanes, with an immediate: PINSR by rri/rmi; PEXTR by rri/mri (the xmm is the source).
  PINSRB,
  PINSRW,
  PINSRD,
  PINSRQ,
  PEXTRB,
  PEXTRW,
  PEXTRD,
  PEXTRQ,
  INSERTPS,
  EXTRACTPS,
  // VEX only
  VBROADCASTSS,
  VPBROADCASTB,
  VPBROADCASTW,
  VPBROADCASTD,
  VPBROADCASTQ,
  VBLENDVPS,
  VBLENDVPD,
  VPBLENDVB,
  VPBLENDD,
  VPERMILPS,
  VFMADD213SS,
  VFMADD213SD,
  VFMADD213PS,
  VFMADD213PD,
  VFMADD231SS,
  VFMADD231SD,
  VFMADD231PS,
  VFMADD231PD,
  VFNMADD231SS,
  VFNMADD231SD,
  VFNMADD231PS,
  VFNMADD231PD,
  // EVEX only
  /** By an immediate: a truth table of destination, second and third operand. */
  VPTERNLOGD,
  /** dst's own lanes are the indices' first choice: of dst 0–3, of the last operand 4–7. vvvv: the indices. */
  VPERMT2D,
  VPMULLQ,
  VPSRAQ,
  VPABSQ,
  VCVTUDQ2PS,
  VCVTUDQ2PD,
  VCVTTPS2UDQ,
  VCVTTPD2UDQ,
  /** `size` is that of the integer. */
  VCVTUSI2SS,
  VCVTUSI2SD,
  VCVTTSS2USI,
  VCVTTSD2USI,
  COUNT,
}

/** Condition codes: the x86 numbers. */
export const enum CC {
  O = 0,
  NO,
  B,
  AE,
  E,
  NE,
  BE,
  A,
  S,
  NS,
  P,
  NP,
  L,
  GE,
  LE,
  G,
}

/**
 * A form: bits 0–7 opcode, 8–9 opcode map, 10–11 mandatory prefix (both numbered as VEX does), 12–14 digit, then flags.
 */
export const enum Form {
  Opcode = 0xff,
  MapShift = 8,
  Map0F = 1 << 8,
  Map0F38 = 2 << 8,
  Map0F3A = 3 << 8,
  MapMask = 3 << 8,
  PrefixShift = 10,
  P66 = 1 << 10,
  PF3 = 2 << 10,
  PF2 = 3 << 10,
  PrefixMask = 3 << 10,
  DigitShift = 12,
  /** The form exists (opcode 0 is ADD's). */
  Present = 1 << 15,
  /** Operand size prefix when `size` is 2. */
  Size16 = 1 << 16,
  /** REX.W (VEX.W) when `size` is 8. */
  WBySize = 1 << 17,
  /** REX.W (VEX.W) always. */
  W = 1 << 18,
  /** `size` 1 is opcode - 1, with byte registers. */
  Byte = 1 << 19,
  /** The register in r/m is a byte register, whatever `size` is. */
  Rm8 = 1 << 20,
  /** Encoded with VEX even by rr, rm and rri. */
  Vex = 1 << 21,
  /** The digit's place is in modrm.reg and the destination is vvvv (BLSI group; AVX shifts by an immediate). */
  DigitDst = 1 << 22,
  /** An 8-bit immediate follows, whatever `size` is. */
  Imm8 = 1 << 23,
  /** imm form of the ALU group: opcode + 2 takes a sign-extended imm8. */
  Short = 1 << 24,
  /** With Vex: the prefix is EVEX's, without masks and registers from 16 on. */
  Evex = 1 << 25,
  /** Of an EVEX form: log2 of the bytes that a displacement of one byte counts in; 0: an integer operand's size. */
  Disp8Shift = 26,
}

const M1 = Form.Map0F;
const M2 = Form.Map0F38;
const M3 = Form.Map0F3A;
const P66 = Form.P66;
const PF3 = Form.PF3;
const PF2 = Form.PF2;
const W = Form.W;
const Z = Form.Size16 | Form.WBySize;
const B = Form.Byte;
const I8 = Form.Imm8;
const VEX = Form.Vex;
const digit = (d: number) => d << Form.DigitShift;

/** Columns of FORMS. */
export const F_LOAD = 0;
export const F_STORE = 1;
export const F_UNARY = 2;
export const F_IMM = 3;
/** Four forms for each instruction. */
export const FORMS = new Int32Array(Ins.COUNT * 4);

function put(ins: number, column: number, form: number): void {
  FORMS[ins * 4 + column] = form | Form.Present;
}
const load = (ins: Ins, form: number) => put(ins, F_LOAD, form);
const store = (ins: Ins, form: number) => put(ins, F_STORE, form);
const unary = (ins: Ins, form: number) => put(ins, F_UNARY, form);
const imm = (ins: Ins, form: number) => put(ins, F_IMM, form);
/** Consecutive instructions that differ in the opcode only. */
function loads(first: Ins, flags: number, ...opcodes: number[]): void {
  for (let i = 0; i < opcodes.length; i++) put(first + i, F_LOAD, flags | opcodes[i]!);
}

for (let i = 0; i < 8; i++) {
  put(Ins.ADD + i, F_LOAD, (i * 8 + 3) | B | Z);
  put(Ins.ADD + i, F_STORE, (i * 8 + 1) | B | Z);
  put(Ins.ADD + i, F_IMM, 0x81 | digit(i) | B | Z | Form.Short);
}
store(Ins.TEST, 0x85 | B | Z);
imm(Ins.TEST, 0xf7 | digit(0) | B | Z);
load(Ins.MOV, 0x8b | B | Z);
store(Ins.MOV, 0x89 | B | Z);
imm(Ins.MOV, 0xc7 | digit(0) | B | Z);
load(Ins.XCHG, 0x87 | B | Z);
store(Ins.XCHG, 0x87 | B | Z);
load(Ins.LEA, 0x8d | Z);
load(Ins.MOVZX8, M1 | 0xb6 | Z | Form.Rm8);
load(Ins.MOVZX16, M1 | 0xb7 | Form.WBySize);
load(Ins.MOVSX8, M1 | 0xbe | Z | Form.Rm8);
load(Ins.MOVSX16, M1 | 0xbf | Form.WBySize);
load(Ins.MOVSXD, 0x63 | W);
load(Ins.MOVBE, M2 | 0xf0 | Z);
store(Ins.MOVBE, M2 | 0xf1 | Z);
load(Ins.IMUL, M1 | 0xaf | Z);
// The only imm form whose modrm.reg is a register: `imul reg, r/m, imm`, by rri and rmi.
imm(Ins.IMUL, 0x69 | Z | Form.Short);

for (let i = 0; i < 6; i++) put(Ins.NOT + i, F_UNARY, 0xf7 | digit(2 + i) | B | Z);
unary(Ins.INC, 0xff | digit(0) | B | Z);
unary(Ins.DEC, 0xff | digit(1) | B | Z);
unary(Ins.PUSH, 0xff | digit(6));
unary(Ins.POP, 0x8f | digit(0));
unary(Ins.CALL, 0xff | digit(2));
unary(Ins.JMP, 0xff | digit(4));
unary(Ins.CMPXCHG16B, M1 | 0xc7 | digit(1) | W);
unary(Ins.SET, M1 | 0x90 | Form.Rm8);
load(Ins.CMOV, M1 | 0x40 | Z);
store(Ins.CMPXCHG, M1 | 0xb1 | B | Z);
store(Ins.XADD, M1 | 0xc1 | B | Z);

for (const [ins, d] of [
  [Ins.ROL, 0],
  [Ins.ROR, 1],
  [Ins.SHL, 4],
  [Ins.SHR, 5],
  [Ins.SAR, 7],
] as const) {
  unary(ins, 0xd3 | digit(d) | B | Z);
  imm(ins, 0xc1 | digit(d) | B | Z | I8);
}
store(Ins.SHLD, M1 | 0xa4 | Z | I8);
store(Ins.SHRD, M1 | 0xac | Z | I8);
for (let i = 0; i < 4; i++) {
  put(Ins.BT + i, F_STORE, M1 | (0xa3 + 8 * i) | Z);
  put(Ins.BT + i, F_IMM, M1 | 0xba | digit(4 + i) | Z | I8);
}
load(Ins.BSF, M1 | 0xbc | Z);
load(Ins.BSR, M1 | 0xbd | Z);
load(Ins.LZCNT, PF3 | M1 | 0xbd | Z);
load(Ins.TZCNT, PF3 | M1 | 0xbc | Z);
load(Ins.POPCNT, PF3 | M1 | 0xb8 | Z);

const BMI = VEX | Form.WBySize;
load(Ins.ANDN, M2 | 0xf2 | BMI);
for (let i = 0; i < 3; i++) put(Ins.BLSR + i, F_LOAD, M2 | 0xf3 | digit(1 + i) | BMI | Form.DigitDst);
load(Ins.BZHI, M2 | 0xf5 | BMI);
load(Ins.BEXTR, M2 | 0xf7 | BMI);
load(Ins.SHLX, P66 | M2 | 0xf7 | BMI);
load(Ins.SHRX, PF2 | M2 | 0xf7 | BMI);
load(Ins.SARX, PF3 | M2 | 0xf7 | BMI);
load(Ins.RORX, PF2 | M3 | 0xf0 | BMI | I8);
load(Ins.PDEP, PF2 | M2 | 0xf5 | BMI);
load(Ins.PEXT, PF3 | M2 | 0xf5 | BMI);
load(Ins.MULX, PF2 | M2 | 0xf6 | BMI);

/** Bytes of the instructions without operands, little-endian, their number in bits 24–31. */
export const PLAIN = new Int32Array(Ins.COUNT);
function plain(ins: Ins, ...bytes: number[]): void {
  PLAIN[ins] = bytes.reduce((v, b, i) => v | (b << (8 * i)), bytes.length << 24);
}
plain(Ins.CDQ, 0x99);
plain(Ins.CQO, 0x48, 0x99);
plain(Ins.RET, 0xc3);
plain(Ins.HLT, 0xf4);
plain(Ins.NOP, 0x90);
plain(Ins.INT3, 0xcc);
plain(Ins.UD2, 0x0f, 0x0b);
plain(Ins.PAUSE, 0xf3, 0x90);
plain(Ins.MFENCE, 0x0f, 0xae, 0xf0);
plain(Ins.VZEROUPPER, 0xc5, 0xf8, 0x77);

const PS = M1;
const PD = M1 | P66;
const SS = M1 | PF3;
const SD = M1 | PF2;

function move(ins: Ins, flags: number, loadOpcode: number, storeOpcode: number): void {
  load(ins, flags | loadOpcode);
  store(ins, flags | storeOpcode);
}
move(Ins.MOVSS, SS, 0x10, 0x11);
move(Ins.MOVSD, SD, 0x10, 0x11);
move(Ins.MOVAPS, PS, 0x28, 0x29);
move(Ins.MOVAPD, PD, 0x28, 0x29);
move(Ins.MOVUPS, PS, 0x10, 0x11);
move(Ins.MOVUPD, PD, 0x10, 0x11);
move(Ins.MOVDQA, PD, 0x6f, 0x7f);
move(Ins.MOVDQU, SS, 0x6f, 0x7f);
move(Ins.MOVLPS, PS, 0x12, 0x13);
move(Ins.MOVHPS, PS, 0x16, 0x17);
load(Ins.MOVD_TO_X, PD | 0x6e);
store(Ins.MOVD_FROM_X, PD | 0x7e);
load(Ins.MOVQ_TO_X, PD | W | 0x6e);
store(Ins.MOVQ_FROM_X, PD | W | 0x7e);
load(Ins.MOVQ, SS | 0x7e);
store(Ins.MOVQ, PD | 0xd6);
load(Ins.MOVHLPS, PS | 0x12);
load(Ins.MOVLHPS, PS | 0x16);
load(Ins.MOVDDUP, SD | 0x12);
load(Ins.MOVSHDUP, SS | 0x16);
load(Ins.MOVSLDUP, SS | 0x12);
load(Ins.MOVMSKPS, PS | 0x50);
load(Ins.MOVMSKPD, PD | 0x50);
load(Ins.PMOVMSKB, PD | 0xd7);

for (const [scalar, packed, opcode] of [
  [Ins.ADDSS, Ins.ADDPS, 0x58],
  [Ins.SUBSS, Ins.SUBPS, 0x5c],
  [Ins.MULSS, Ins.MULPS, 0x59],
  [Ins.DIVSS, Ins.DIVPS, 0x5e],
  [Ins.MINSS, Ins.MINPS, 0x5d],
  [Ins.MAXSS, Ins.MAXPS, 0x5f],
  [Ins.SQRTSS, Ins.SQRTPS, 0x51],
  [Ins.CMPSS, Ins.CMPPS, 0xc2 | I8],
] as const) {
  load(scalar, SS | opcode);
  put(scalar + 1, F_LOAD, SD | opcode);
  load(packed, PS | opcode);
  put(packed + 1, F_LOAD, PD | opcode);
}
for (const [ins, opcode] of [
  [Ins.UCOMISS, 0x2e],
  [Ins.ANDPS, 0x54],
  [Ins.ANDNPS, 0x55],
  [Ins.ORPS, 0x56],
  [Ins.XORPS, 0x57],
  [Ins.UNPCKLPS, 0x14],
  [Ins.UNPCKHPS, 0x15],
  [Ins.SHUFPS, 0xc6 | I8],
] as const) {
  load(ins, PS | opcode);
  put(ins + 1, F_LOAD, PD | opcode);
}
loads(Ins.ROUNDSS, P66 | M3 | I8, 0x0a, 0x0b);
loads(Ins.ROUNDPS, P66 | M3 | I8, 0x08, 0x09);
loads(Ins.BLENDVPS, P66 | M2, 0x14, 0x15);
load(Ins.CVTSI2SS, SS | 0x2a | Form.WBySize);
load(Ins.CVTSI2SD, SD | 0x2a | Form.WBySize);
load(Ins.CVTTSS2SI, SS | 0x2c | Form.WBySize);
load(Ins.CVTTSD2SI, SD | 0x2c | Form.WBySize);
load(Ins.CVTSS2SD, SS | 0x5a);
load(Ins.CVTSD2SS, SD | 0x5a);
load(Ins.CVTPS2PD, PS | 0x5a);
load(Ins.CVTPD2PS, PD | 0x5a);
load(Ins.CVTDQ2PS, PS | 0x5b);
load(Ins.CVTDQ2PD, SS | 0xe6);
load(Ins.CVTTPS2DQ, SS | 0x5b);
load(Ins.CVTTPD2DQ, PD | 0xe6);

loads(Ins.PXOR, PD, 0xef, 0xeb, 0xdb, 0xdf);
loads(Ins.PADDB, PD, 0xfc, 0xfd, 0xfe, 0xd4);
loads(Ins.PSUBB, PD, 0xf8, 0xf9, 0xfa, 0xfb);
loads(Ins.PADDSB, PD, 0xec, 0xed, 0xdc, 0xdd);
loads(Ins.PSUBSB, PD, 0xe8, 0xe9, 0xd8, 0xd9);
load(Ins.PMULLW, PD | 0xd5);
load(Ins.PMULLD, P66 | M2 | 0x40);
loads(Ins.PMULHW, PD, 0xe5, 0xe4);
load(Ins.PMULHRSW, P66 | M2 | 0x0b);
load(Ins.PMULUDQ, PD | 0xf4);
load(Ins.PMULDQ, P66 | M2 | 0x28);
load(Ins.PMADDWD, PD | 0xf5);
load(Ins.PMADDUBSW, P66 | M2 | 0x04);
loads(Ins.PAVGB, PD, 0xe0, 0xe3);
load(Ins.PMINSB, P66 | M2 | 0x38);
load(Ins.PMINSW, PD | 0xea);
load(Ins.PMINSD, P66 | M2 | 0x39);
load(Ins.PMINUB, PD | 0xda);
loads(Ins.PMINUW, P66 | M2, 0x3a, 0x3b);
load(Ins.PMAXSB, P66 | M2 | 0x3c);
load(Ins.PMAXSW, PD | 0xee);
load(Ins.PMAXSD, P66 | M2 | 0x3d);
load(Ins.PMAXUB, PD | 0xde);
loads(Ins.PMAXUW, P66 | M2, 0x3e, 0x3f);
loads(Ins.PABSB, P66 | M2, 0x1c, 0x1d, 0x1e);
loads(Ins.PCMPEQB, PD, 0x74, 0x75, 0x76);
load(Ins.PCMPEQQ, P66 | M2 | 0x29);
loads(Ins.PCMPGTB, PD, 0x64, 0x65, 0x66);
load(Ins.PCMPGTQ, P66 | M2 | 0x37);
load(Ins.PTEST, P66 | M2 | 0x17);
load(Ins.PBLENDVB, P66 | M2 | 0x10);
load(Ins.PBLENDW, P66 | M3 | 0x0e | I8);
load(Ins.PALIGNR, P66 | M3 | 0x0f | I8);
load(Ins.PSHUFB, P66 | M2 | 0x00);
load(Ins.PSHUFD, PD | 0x70 | I8);
load(Ins.PSHUFLW, SD | 0x70 | I8);
load(Ins.PSHUFHW, SS | 0x70 | I8);
loads(Ins.PACKSSWB, PD, 0x63, 0x6b, 0x67);
load(Ins.PACKUSDW, P66 | M2 | 0x2b);
loads(Ins.PUNPCKLBW, PD, 0x60, 0x61, 0x62, 0x6c);
loads(Ins.PUNPCKHBW, PD, 0x68, 0x69, 0x6a, 0x6d);
loads(Ins.PMOVSXBW, P66 | M2, 0x20, 0x23, 0x25);
loads(Ins.PMOVZXBW, P66 | M2, 0x30, 0x33, 0x35, 0x31, 0x32, 0x34);

loads(Ins.PSLLW, PD, 0xf1, 0xf2, 0xf3);
loads(Ins.PSRLW, PD, 0xd1, 0xd2, 0xd3);
loads(Ins.PSRAW, PD, 0xe1, 0xe2);
for (const [ins, opcode, d] of [
  [Ins.PSLLW, 0x71, 6],
  [Ins.PSLLD, 0x72, 6],
  [Ins.PSLLQ, 0x73, 6],
  [Ins.PSRLW, 0x71, 2],
  [Ins.PSRLD, 0x72, 2],
  [Ins.PSRLQ, 0x73, 2],
  [Ins.PSRAW, 0x71, 4],
  [Ins.PSRAD, 0x72, 4],
  [Ins.PSLLDQ, 0x73, 7],
  [Ins.PSRLDQ, 0x73, 3],
] as const) {
  imm(ins, PD | opcode | digit(d) | I8 | Form.DigitDst);
}
load(Ins.PINSRB, P66 | M3 | 0x20 | I8);
load(Ins.PINSRW, PD | 0xc4 | I8);
load(Ins.PINSRD, P66 | M3 | 0x22 | I8);
load(Ins.PINSRQ, P66 | M3 | 0x22 | W | I8);
store(Ins.PEXTRB, P66 | M3 | 0x14 | I8);
store(Ins.PEXTRW, P66 | M3 | 0x15 | I8);
store(Ins.PEXTRD, P66 | M3 | 0x16 | I8);
store(Ins.PEXTRQ, P66 | M3 | 0x16 | W | I8);
load(Ins.INSERTPS, P66 | M3 | 0x21 | I8);
store(Ins.EXTRACTPS, P66 | M3 | 0x17 | I8);

load(Ins.VBROADCASTSS, P66 | M2 | VEX | 0x18);
loads(Ins.VPBROADCASTB, P66 | M2 | VEX, 0x78, 0x79, 0x58, 0x59);
loads(Ins.VBLENDVPS, P66 | M3 | VEX | I8, 0x4a, 0x4b, 0x4c);
load(Ins.VPBLENDD, P66 | M3 | VEX | I8 | 0x02);
load(Ins.VPERMILPS, P66 | M3 | VEX | I8 | 0x04);
for (const [ins, scalar, packed] of [
  [Ins.VFMADD213SS, 0xa9, 0xa8],
  [Ins.VFMADD231SS, 0xb9, 0xb8],
  [Ins.VFNMADD231SS, 0xbd, 0xbc],
] as const) {
  const fma = P66 | M2 | VEX;
  load(ins, fma | scalar);
  put(ins + 1, F_LOAD, fma | W | scalar);
  put(ins + 2, F_LOAD, fma | packed);
  put(ins + 3, F_LOAD, fma | W | packed);
}

/** @param log2 bytes of the memory operand */
const evex = (log2: number) => VEX | Form.Evex | (log2 << Form.Disp8Shift);
load(Ins.VPTERNLOGD, P66 | M3 | evex(4) | I8 | 0x25);
load(Ins.VPERMT2D, P66 | M2 | evex(4) | 0x7e);
load(Ins.VPMULLQ, P66 | M2 | evex(4) | W | 0x40);
load(Ins.VPSRAQ, PD | evex(4) | W | 0xe2);
imm(Ins.VPSRAQ, PD | evex(4) | W | 0x72 | digit(4) | I8 | Form.DigitDst);
load(Ins.VPABSQ, P66 | M2 | evex(4) | W | 0x1f);
load(Ins.VCVTUDQ2PS, SD | evex(4) | 0x7a);
load(Ins.VCVTUDQ2PD, SS | evex(3) | 0x7a);
load(Ins.VCVTTPS2UDQ, PS | evex(4) | 0x78);
load(Ins.VCVTTPD2UDQ, PS | evex(4) | W | 0x78);
load(Ins.VCVTUSI2SS, SS | evex(0) | Form.WBySize | 0x7b);
load(Ins.VCVTUSI2SD, SD | evex(0) | Form.WBySize | 0x7b);
load(Ins.VCVTTSS2USI, SS | evex(2) | Form.WBySize | 0x78);
load(Ins.VCVTTSD2USI, SD | evex(3) | Form.WBySize | 0x78);
