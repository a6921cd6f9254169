/*
 * The border between host and guest stacks on x86-64, System V.
 *
 * The host's side of an activation is the frame that lucet_enter (or lucet_reenter) builds: callee-saved registers, then mxcsr. While the guest
 * runs, ACT_HOST_RSP names that frame; every way out of the guest switches back to it. Code of the runtime that works for the guest (builtins, host
 * functions) runs below it, so a guest stack holds frames of generated code only, and the stubs write nothing to it: a guest stack that is full
 * overflows in generated code, never here.
 *
 * Generated code uses neither x87 nor the upper halves of vector registers, so only mxcsr is switched: guests always see the default
 * (round to nearest, all exceptions masked, no flushing), host functions see what the host had.
 *
 * The current activation is found in a thread-local variable: nothing in a vmctx tells threads or runs apart.
 */
#include "activation.h"

        .section .rodata
        .balign 4
guest_mxcsr:
        .long   0x1f80

        .text

/* Load the current activation. */
.macro CURRENT reg
        movq    lucet_current@gottpoff(%rip), \reg
        movq    %fs:(\reg), \reg
.endm

.macro FUNCTION name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .balign 16
\name:
.endm

/* Build the host's frame for the activation in rdi. */
.macro HOST_FRAME
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
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        movq    %rsp, ACT_HOST_RSP(%rdi)
        ldmxcsr guest_mxcsr(%rip)
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

/* uint64_t lucet_enter(struct lucet_activation *): run an entry thunk from the top of the activation's part of the stack. */
FUNCTION lucet_enter
        .cfi_startproc
        HOST_FRAME
        movq    ACT_GUEST_RSP(%rdi), %rsp
        movq    ACT_BASE(%rdi), %r15
        movq    ACT_CODE(%rdi), %rsi
        movq    ACT_ENTRY(%rdi), %rax
        movq    ACT_ARGS(%rdi), %rdi
        callq   *%rax
        .globl  lucet_enter_return
        .hidden lucet_enter_return
lucet_enter_return:
        CURRENT %rdi
        xorl    %eax, %eax              /* LUCET_LEFT_RETURNED */
        movq    ACT_HOST_RSP(%rdi), %rsp
host_return:
        ldmxcsr (%rsp)
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
        retq
        .cfi_endproc
        .size   lucet_enter, .-lucet_enter

/* uint64_t lucet_reenter(struct lucet_activation *): go on behind a hostcall. */
FUNCTION lucet_reenter
        .cfi_startproc
        HOST_FRAME
        movq    %rdi, %r10
guest_return:
        movq    ACT_SAVED(%r10), %rbx
        movq    ACT_SAVED+8(%r10), %rbp
        movq    ACT_SAVED+16(%r10), %r12
        movq    ACT_SAVED+24(%r10), %r13
        movq    ACT_SAVED+32(%r10), %r14
        movq    ACT_SAVED+40(%r10), %r15
        movq    ACT_GUEST_RSP(%r10), %rsp
        retq
        .cfi_endproc
        .size   lucet_reenter, .-lucet_reenter

/* void lucet_leave(struct lucet_activation *, uint64_t left): from host code that runs for the guest, back to whoever entered. */
FUNCTION lucet_leave
        .cfi_startproc
        movq    ACT_HOST_RSP(%rdi), %rsp
        movq    %rsi, %rax
        jmp     host_return
        .cfi_endproc
        .size   lucet_leave, .-lucet_leave

/* Where the signal handler sends a thread whose guest faulted: rdi = activation, rsp = its host frame. */
FUNCTION lucet_fault_return
        .cfi_startproc
        movl    $LUCET_LEFT_FAULT, %eax
        jmp     host_return
        .cfi_endproc
        .size   lucet_fault_return, .-lucet_fault_return

/*
 * Called by generated code: eax = id, arguments in rsi rdx rcx r8 r9, result in rax. The callee-saved registers need no saving:
 * a builtin keeps them, as any function does.
 */
FUNCTION lucet_builtin_stub
        .cfi_startproc
        CURRENT %r10
        movq    %rsp, ACT_GUEST_RSP(%r10)
        movq    ACT_HOST_RSP(%r10), %rsp
        HOST_FRAME_CFI
        movl    %eax, %eax
        leaq    lucet_builtins(%rip), %r11
        movq    %r15, %rdi
        callq   *(%r11,%rax,8)
        CURRENT %r10
        movq    ACT_GUEST_RSP(%r10), %rsp
        retq
        .cfi_endproc
        .size   lucet_builtin_stub, .-lucet_builtin_stub

/* Called by host thunks: eax = number of the imported function, rdx = argument array. */
FUNCTION lucet_hostcall_stub
        .cfi_startproc
        CURRENT %r10
        movq    %rsp, ACT_GUEST_RSP(%r10)
        movq    %rbx, ACT_SAVED(%r10)
        movq    %rbp, ACT_SAVED+8(%r10)
        movq    %r12, ACT_SAVED+16(%r10)
        movq    %r13, ACT_SAVED+24(%r10)
        movq    %r14, ACT_SAVED+32(%r10)
        movq    %r15, ACT_SAVED+40(%r10)
        movq    ACT_HOST_RSP(%r10), %rsp
        HOST_FRAME_CFI
        ldmxcsr (%rsp)
        movq    %r10, %rdi
        movl    %eax, %esi
        movq    %r15, %rcx
        callq   lucet_hostcall          /* (activation, import, args, base) -> LUCET_LEFT_RETURNED: it is done; else how to leave */
        CURRENT %r10
        testq   %rax, %rax
        jnz     1f
        ldmxcsr guest_mxcsr(%rip)
        jmp     guest_return
1:      movq    ACT_HOST_RSP(%r10), %rsp
        jmp     host_return
        .cfi_endproc
        .size   lucet_hostcall_stub, .-lucet_hostcall_stub

/* uint64_t lucet_stack_limit_offset(void): where, from the thread pointer, each thread has its lucet_stack_limit. */
FUNCTION lucet_stack_limit_offset
        .cfi_startproc
        movq    lucet_stack_limit@gottpoff(%rip), %rax
        retq
        .cfi_endproc
        .size   lucet_stack_limit_offset, .-lucet_stack_limit_offset

        .section .note.GNU-stack, "", @progbits
