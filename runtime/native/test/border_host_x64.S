/*
 * void border_call(void (*f)(void *), void *data, const struct host_state *planted, struct host_state *found): calls with the planted values in every register that a function has to
 * keep, and in those that it hasn't; what is found behind it. Leaves the default modes.
 */
#define CALLEE 0
#define RSP 48
#define RFLAGS 56
#define VECTOR 64
#define MXCSR 96
#define X87_CONTROL 100
#define X87_TAG 102

        .section .rodata
        .balign 4
default_mxcsr:
        .long   0x1f80
default_x87:
        .word   0x37f

        .text
        .globl  border_call
        .type   border_call, @function
border_call:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %rcx
        movq    %rsp, RSP(%rdx)
        movq    %rdi, %rax
        movq    %rsi, %rdi
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movdqu  VECTOR(%rdx), %xmm\n
        .endr
        ldmxcsr MXCSR(%rdx)
        fldcw   X87_CONTROL(%rdx)
        movq    CALLEE(%rdx), %rbx
        movq    CALLEE+8(%rdx), %rbp
        movq    CALLEE+16(%rdx), %r12
        movq    CALLEE+24(%rdx), %r13
        movq    CALLEE+32(%rdx), %r14
        movq    CALLEE+40(%rdx), %r15
        callq   *%rax
        pushfq
        movq    8(%rsp), %rax
        popq    RFLAGS(%rax)
        cld
        movq    %rsp, RSP(%rax)
        movq    %rbx, CALLEE(%rax)
        movq    %rbp, CALLEE+8(%rax)
        movq    %r12, CALLEE+16(%rax)
        movq    %r13, CALLEE+24(%rax)
        movq    %r14, CALLEE+32(%rax)
        movq    %r15, CALLEE+40(%rax)
        stmxcsr MXCSR(%rax)
        fnstcw  X87_CONTROL(%rax)
        subq    $32, %rsp
        fnstenv (%rsp)
        movw    8(%rsp), %dx
        addq    $32, %rsp
        movw    %dx, X87_TAG(%rax)
        ldmxcsr default_mxcsr(%rip)
        fldcw   default_x87(%rip)
        popq    %rcx
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .size   border_call, .-border_call

        .section .note.GNU-stack, "", @progbits
