/**
 * Assembler macros of what crosses the border between host and guest (stack_x64.S, call_x64.S): host frames,
 * floating-point modes, windows.
 */
#ifndef LUCET_BORDER_X64_H
#define LUCET_BORDER_X64_H

/*
 * The host's frame, from ACT_HOST_RSP: mxcsr, whether its modes are others than the guest's, r15, r14, r13, r12, rbx,
 * rbp, the return address.
 */
#define HOST_FRAME_DIFFERS 4
#define HOST_FRAME_BASE 8
#define HOST_FRAME_RBP 48

/* [begin, end) and where to go instead; read by context_x64_linux.c. */
.macro WINDOW name
        .globl  lucet_window_\name
        .hidden lucet_window_\name
lucet_window_\name:
.endm
.macro WINDOW_END name
        .globl  lucet_window_end_\name
        .hidden lucet_window_end_\name
lucet_window_end_\name:
.endm
.macro STOPPED name
        .globl  lucet_stopped_\name
        .hidden lucet_stopped_\name
lucet_stopped_\name:
.endm

/* Load the current activation, or another pointer of the thread's. */
.macro CURRENT reg, pointer=lucet_here
        movq    \pointer@gottpoff(%rip), \reg
        movq    %fs:(\reg), \reg
.endm

/*
 * Load the guest's or the host's mxcsr, where the host's, at the stack pointer, has other modes than the guest's: then
 * the word behind it isn't 0.
 */
.macro GUEST_MXCSR
        cmpl    $0, HOST_FRAME_DIFFERS(%rsp)
        je      .Lsame\@
        ldmxcsr lucet_guest_mxcsr(%rip)
.Lsame\@:
.endm
.macro HOST_MXCSR
        cmpl    $0, HOST_FRAME_DIFFERS(%rsp)
        jne     .Lother\@
.Lsame\@:
        .subsection 1
.Lother\@:
        ldmxcsr (%rsp)
        jmp     .Lsame\@
        .previous
.endm

/* As in run.h: every register that C code may change is kept. */
#ifdef LUCET_TEST_POINTS
.macro TEST_POINT name
        .pushsection .rodata.str1.1, "aMS", @progbits, 1
.Lname\@:
        .asciz  "\name"
        .popsection
        cmpq    $0, lucet_test_point(%rip)
        je      .Lpassed\@
        pushq   %rbx
        movq    %rsp, %rbx
        .irp    register, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
        pushq   %\register
        .endr
        andq    $-16, %rsp
        leaq    .Lname\@(%rip), %rdi
        callq   *lucet_test_point(%rip)
        leaq    -72(%rbx), %rsp
        .irp    register, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        popq    %\register
        .endr
        popq    %rbx
.Lpassed\@:
.endm
#else
.macro TEST_POINT name
.endm
#endif

.macro FUNCTION name, align=16, public=0
        .globl  \name
    .if !\public
        .hidden \name
    .endif
        .type   \name, @function
        .balign \align
\name:
.endm

/*
 * Build the host's frame for the activation. `plain`: its modes are good for the guest, so they aren't asked for, which takes 17 cycles, and don't change; unless
 * they come to matter after all (lucet_modes_matter).
 */
.macro HOST_FRAME plain=0, activation=%rdi, scratch=%eax
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
    .if \plain
        pushq   $DEFAULT_MXCSR
        .cfi_adjust_cfa_offset 8
        movq    %rsp, ACT_HOST_RSP(\activation)
    .else
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movq    %rsp, ACT_HOST_RSP(\activation)
        stmxcsr (%rsp)
        movl    (%rsp), \scratch
        andl    $MXCSR_MODES, \scratch
        subl    $DEFAULT_MXCSR, \scratch
        movl    \scratch, HOST_FRAME_DIFFERS(%rsp)
        jz      .Lplain\@
        ldmxcsr lucet_guest_mxcsr(%rip)
.Lplain\@:
    .endif
.endm

/* Take it down, but for its return address. */
.macro HOST_REGISTERS
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
.endm

/* The same frame as a debugger finds it again once rsp is back on the host's stack. */
.macro HOST_FRAME_CFI
        .cfi_def_cfa rsp, 64
        .cfi_offset rbp, -16
        .cfi_offset rbx, -24
        .cfi_offset r12, -32
        .cfi_offset r13, -40
        .cfi_offset r14, -48
        .cfi_offset r15, -56
.endm

#endif
