/*
 * Calls of ready instances (call.c) on x86-64, System V: from the embedder to the guest and back with everything in registers, at the top of the stack. What a call's time
 * goes for is instructions, and jumps, calls and returns that are taken: so this is one piece, from the embedder's call to the return to it.
 *
 * A guest returns here only if it was not left before: lucet_call_left has others return behind lucet_enter. So nobody has written to its registers or stack, and the
 * host's frame is there, on this thread: the guest has kept the callee-saved registers, rbp leads to the frame, and of the others only the base needs to be put back. While
 * the instance is still ready, there is nothing to be looked at. Otherwise, as after any other way of leaving the guest, host_return takes the
 * frame down, and returns to call_left.
 *
 * Stores and loads are in the order in which x86 has them seen: `where` before the requests are compared, and before the next run's number (control.c).
 */
#include "abi.h"
#include "activation.h"
#include "border_x64.h"

/* Above the host's frame. */
#define SAVED_INSTANCE 64
#define SAVED_EVENT 72
#define SAVED_ERROR 80
#define CALL_FRAME 88

/* The run's number is above the requests. */
#define ONE_RUN 0x100
#define RUN_UNLOOKED_BITS ((RUNS_UNLOOKED-1)<<8)

        .text

.macro PUSH what
        pushq   \what
        .cfi_adjust_cfa_offset 8
.endm

/*
 * Has a call of the instance something to look at (call.c)? Then it goes to `otherwise`, in C. rax: its activation, which is read first, as the number is taken away
 * first; r10: where the thread's part is.
 */
.macro LOOK instance, otherwise
        movq    lucet_here@gottpoff(%rip), %r10
        movq    INSTANCE_READY(\instance), %rax
        movq    %fs:HERE_TOKEN(%r10), %r11
        cmpq    %r11, INSTANCE_TOKEN(\instance)
        jne     \otherwise
        cmpb    $0, lucet_signals_stale(%rip)
        jne     \otherwise
        cmpq    $0, INSTANCE_INNERMOST(\instance)
        jne     \otherwise
.endm

/*
 * All of the call behind that. `what`: a lucet_funcref or a lucet_prepared_call, which begin alike. `plain`: the thread's modes are good for this guest.
 */
.macro CALL name, instance, what, args, event, error, plain
        movq    INSTANCE_CONTROL(\instance), %r11
        movq    %rax, INSTANCE_INNERMOST(\instance)
        TEST_POINT run_before_entering
        movl    $CONTROL_GUEST, CONTROL_WHERE(%r11)
        TEST_POINT run_after_entering
        movq    %rax, %fs:HERE_CURRENT(%r10)
        leaq    call_left(%rip), %r10
        PUSH    \error
        PUSH    \event
        PUSH    \instance
        PUSH    %r10
        HOST_FRAME plain=\plain, activation=%rax, scratch=%r10d
        movq    LUCET_FUNCREF_VMCTX(\what), %r15
        movq    LUCET_FUNCREF_CODE(\what), %r10
        movq    ACT_STACK_TOP(%rax), %r9
        movq    LUCET_FUNCREF_ENTRY(\what), %rax
        movq    \args, %rdi
        movq    %r10, %rsi
        movq    %rsp, %rbp
        .cfi_def_cfa rbp, CALL_FRAME+8
WINDOW \name
        cmpb    $0, (%r11)              /* lucet_control.requests */
        jne     lucet_stopped_enter
        movq    %r9, %rsp
        callq   *%rax
WINDOW_END \name
        .globl  lucet_\name\()_return
        .hidden lucet_\name\()_return
lucet_\name\()_return:
        movq    SAVED_INSTANCE(%rbp), %rdx
        cmpq    $0, INSTANCE_READY(%rdx)
        je      returned_elsewhere
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
        movq    lucet_here@gottpoff(%rip), %rax
        movq    INSTANCE_CONTROL(%rdx), %rcx
        movq    $0, %fs:HERE_CURRENT(%rax)
        movq    $0, (%rdi)              /* lucet_event: kind LUCET_EVENT_RETURNED, and code */
        movq    $0, INSTANCE_INNERMOST(%rdx)
        TEST_POINT run_before_ending
        movl    $CONTROL_IDLE, CONTROL_WHERE(%rcx)
        movq    (%rcx), %rax            /* As control_end_run: the next run, without requests. */
        xorb    %al, %al
        addq    $ONE_RUN, %rax
        movq    %rax, (%rcx)
        TEST_POINT run_after_ending
        testl   $RUN_UNLOOKED_BITS, %eax
        jz      .Llook\@
.Lerror\@:
        xorl    %eax, %eax              /* LUCET_OK */
        testq   %rsi, %rsi
        jnz     .Lclear\@
        retq
.Lclear\@:                              /* lucet_error: code and trap, offset, message */
        movq    %rax, (%rsi)
        movq    %rax, 8(%rsi)
        movb    %al, 16(%rsi)
        retq
.Llook\@:
        movq    $0, INSTANCE_TOKEN(%rdx)
        jmp     .Lerror\@
    .if !\plain
        .cfi_restore_state
.Lmodes\@:
        ldmxcsr (%rbp)
        jmp     .Lsame\@
    .endif
.endm

/* lucet_status lucet_instance_call(lucet_instance *, const lucet_funcref *, uint64_t *args, lucet_event *, lucet_error *) */
FUNCTION lucet_instance_call, 64, public=1
        .cfi_startproc
        LOOK    %rdi, lucet_call_unsettled
        movq    LUCET_FUNCREF_VMCTX(%rsi), %r11
        cmpq    %r11, INSTANCE_PLAIN_BASE(%rdi)
        jne     other_modes
call_plain:
        CALL    call_plain, instance=%rdi, what=%rsi, args=%rdx, event=%rcx, error=%r8, plain=1
        .cfi_endproc
        .size   lucet_instance_call, .-lucet_instance_call

FUNCTION other_modes, 64
        .cfi_startproc
        cmpq    %r11, INSTANCE_MODES_BASE(%rdi)
        jne     lucet_call_unsettled
call_function:
        CALL    call_function, instance=%rdi, what=%rsi, args=%rdx, event=%rcx, error=%r8, plain=0
        .cfi_endproc
        .size   other_modes, .-other_modes

/* lucet_status lucet_call_prepared(const lucet_prepared_call *, uint64_t *args, lucet_event *, lucet_error *) */
FUNCTION lucet_call_prepared, 64, public=1
        .cfi_startproc
        movq    PREPARED_INSTANCE(%rdi), %r8
        LOOK    %r8, lucet_call_prepared_unsettled
        CALL    call_prepared, instance=%r8, what=%rdi, args=%rsi, event=%rdx, error=%rcx, plain=1
        .cfi_endproc
        .size   lucet_call_prepared, .-lucet_call_prepared

.macro SETTLED name
FUNCTION lucet_\name
        .cfi_startproc
        movq    lucet_here@gottpoff(%rip), %r10
        movq    INSTANCE_READY(%rdi), %rax
        jmp     \name
        .cfi_endproc
        .size   lucet_\name, .-lucet_\name
.endm
        SETTLED call_plain
        SETTLED call_function

FUNCTION returned_elsewhere
        .cfi_startproc
        CURRENT %rdi
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
