/*
 * Calls of ready instances (call.c) on x86-64, System V: the way to the guest and back with everything in registers, at the top of the stack.
 *
 * lucet_status lucet_call_…(struct lucet_activation *, what, args, event, error, struct lucet_control *): C code jumps here at its end, and a guest that returns is met by code
 * of its own, which jumps to lucet_call_returned. What a call's time goes for is instructions, and jumps, calls and returns that are taken.
 *
 * A guest returns here only if it was not left before: lucet_call_left has others return behind lucet_enter. So nobody has written to its registers or stack, and the
 * host's frame is there, on this thread: the guest has kept the callee-saved registers, rbp leads to the frame, and of the others only the base needs to be put back. While
 * the activation is still its instance's ready one, there is nothing to be looked at. Otherwise, as after any other way of leaving the guest, host_return takes the
 * frame down, and returns to call_left.
 */
#include "abi.h"
#include "activation.h"
#include "border_x64.h"

/* Above the host's frame. */
#define SAVED_ACTIVATION 64
#define SAVED_EVENT 72
#define SAVED_ERROR 80
#define CALL_FRAME 88

        .text

.macro PUSH what
        pushq   \what
        .cfi_adjust_cfa_offset 8
.endm

/* `plain`: the thread's modes are good for this guest. */
.macro CALL name, plain
FUNCTION lucet_\name, 64
        .cfi_startproc
        leaq    call_left(%rip), %rax
        PUSH    %r8
        PUSH    %rcx
        PUSH    %rdi
        PUSH    %rax
        HOST_FRAME plain=\plain
        movq    ACT_STACK_TOP(%rdi), %r8
        movq    LUCET_FUNCREF_ENTRY(%rsi), %rax
        movq    LUCET_FUNCREF_VMCTX(%rsi), %r15
        movq    LUCET_FUNCREF_CODE(%rsi), %rsi
        movq    %rdx, %rdi
        movq    %rsp, %rbp
        .cfi_def_cfa rbp, CALL_FRAME+8
WINDOW \name
        cmpb    $0, (%r9)               /* lucet_control.requests */
        jne     lucet_stopped_enter
        movq    %r8, %rsp
        callq   *%rax
WINDOW_END \name
        .globl  lucet_\name\()_return
        .hidden lucet_\name\()_return
lucet_\name\()_return:
        movq    SAVED_ACTIVATION(%rbp), %rdi
        movq    ACT_INSTANCE(%rdi), %rdx
        cmpq    %rdi, INSTANCE_READY(%rdx)
        jne     returned_elsewhere
    .if !\plain
        cmpl    $0, HOST_FRAME_DIFFERS(%rbp)
        jne     .Lmodes\@
.Lsame\@:
    .endif
        movq    SAVED_EVENT(%rbp), %rdi
        movq    SAVED_ERROR(%rbp), %rsi
        movq    HOST_FRAME_BASE(%rbp), %r15
        leaq    CALL_FRAME(%rbp), %rsp
        .cfi_remember_state
        .cfi_def_cfa rsp, 8
        .cfi_restore rbx
        .cfi_restore r12
        .cfi_restore r13
        .cfi_restore r14
        .cfi_restore r15
        movq    HOST_FRAME_RBP(%rbp), %rbp
        .cfi_restore rbp
        jmp     lucet_call_returned
    .if !\plain
        .cfi_restore_state
.Lmodes\@:
        ldmxcsr (%rbp)
        jmp     .Lsame\@
    .endif
        .cfi_endproc
        .size   lucet_\name, .-lucet_\name
.endm

        CALL    call_function, 0
        CALL    call_plain, 1

FUNCTION returned_elsewhere
        .cfi_startproc
        xorl    %eax, %eax              /* LUCET_LEFT_RETURNED */
        jmp     leave_rdi
        .cfi_endproc
        .size   returned_elsewhere, .-returned_elsewhere

/* The host's frame of a call returns here; the byte before is for those that take every return address for one behind a call. */
FUNCTION called
        .cfi_startproc
        .cfi_def_cfa_offset 32
        nop
call_left:
        movq    %rax, %rdi
        movq    8(%rsp), %rsi
        movq    16(%rsp), %rdx
        addq    $24, %rsp
        .cfi_adjust_cfa_offset -24
        jmp     lucet_call_left
        .cfi_endproc
        .size   called, .-called

        .section .note.GNU-stack, "", @progbits
