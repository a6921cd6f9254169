/**
 * x86-64 registers and the calling convention of wasm code.
 *
 * r15 is pinned: the vmctx base, which is also the first byte of the primary memory (abi/vmctx.ts). rsp is the stack.
 * No frame pointer: frames have fixed sizes after the prologue. Integer registers are numbered as encoded; xmm n is
 * FLOAT_BASE + n. xmm15 is never allocated: the emitter's scratch for slot-to-slot moves of vectors and for moves of
 * float cycles.
 *
 * Arguments, in order, from two independent sequences: integers and references rdi rsi rdx rcx r8 r9, floats and
 * vectors xmm0–xmm7; what doesn't fit goes to the stack. Results likewise: rax rdx rcx rsi rdi r8, xmm0–xmm7. Stack
 * arguments lie at [rsp at the call instruction + 0, 8, …] (a v128 takes 16, 16-aligned), in order; stack results
 * follow behind the stack arguments (16-aligned start) in the same area, which belongs to the caller's frame. rsp is
 * 16-aligned at every call. The *callee* pops the stack arguments, rounded up to 16 (`ret n`), and the caller takes the
 * room back by `sub rsp, n` directly behind the call. So the address behind the stack arguments, where the results are,
 * is the same for caller and callee, and a tail call may replace the arguments by more or fewer of them below that
 * address, with the return address moved accordingly: no caller has to know who returns to it. A tail call jumps with
 * the frame gone, the callee-saved registers restored, and the return address directly below the new callee's stack
 * arguments. Callee-saved: rbx rbp r12 r13 r14 (and r15, by everybody's not touching it). All xmm registers are
 * clobbered. rax at a CallImport is the address of the import entry; rax and r10, r11 never carry arguments. Upper
 * halves of registers that hold i32 arguments and results are undefined.
 */
import { FLOAT_BASE, type RegSet } from '../mach.ts';

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;
export const R8 = 8;
export const R9 = 9;
export const R10 = 10;
export const R11 = 11;
export const R12 = 12;
export const R13 = 13;
export const R14 = 14;
export const R15 = 15;
export const XMM0 = FLOAT_BASE;
export const XMM_SCRATCH = FLOAT_BASE + 15;
export const BASE_REG = R15;

export const INT_ARGS = [RDI, RSI, RDX, RCX, R8, R9] as const;
export const INT_RESULTS = [RAX, RDX, RCX, RSI, RDI, R8] as const;
export const FLOAT_ARGS = [0, 1, 2, 3, 4, 5, 6, 7].map(n => FLOAT_BASE + n);
export const FLOAT_RESULTS = FLOAT_ARGS;
/** Arguments of builtins and of the C runtime behind the vmctx (rdi). */
export const BUILTIN_ARGS = [RSI, RDX, RCX, R8, R9] as const;

/** What is in registers at a landing pad (abi/exceptions.ts). */
export const CAUGHT_EXCEPTION = RAX;
export const CAUGHT_CLAUSE = RDX;

const bit = (regs: readonly number[]) => regs.reduce((m, r) => m | (1 << (r & 31)), 0);

export const CALLEE_SAVED = [RBX, RBP, R12, R13, R14] as const;
/** Clobbered by every call of wasm code. */
export const CALLER_SAVED: readonly [number, number] = [
  bit([RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11]),
  0xffff,
];

const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

export const X64_REGS: RegSet = {
  allocatable: [0xffff & ~bit([RSP, R15]), 0x7fff],
  calleeSaved: [bit(CALLEE_SAVED), 0],
  order: [
    [RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, RBX, RBP, R12, R13, R14],
    Array.from({ length: 15 }, (_, i) => FLOAT_BASE + i),
  ],
  name: r => (r < FLOAT_BASE ? NAMES[r]! : `xmm${r - FLOAT_BASE}`),
};
