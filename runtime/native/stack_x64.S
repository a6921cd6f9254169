/*
 * The border between host and guest stacks on x86-64, System V.
 *
 * The host's side of an activation is the frame that lucet_enter (or lucet_reenter) builds: callee-saved registers, then mxcsr. While the guest
 * runs, ACT_HOST_RSP names that frame; every way out of the guest switches back to it. Code of the runtime that works for the guest (builtins, host
 * functions) runs below it, so a guest stack holds frames of generated code only, and the stubs write nothing to it: a guest stack that is full
 * overflows in generated code, never here.
 *
 * Generated code uses neither x87 nor the upper halves of vector registers, so only mxcsr is switched: guests always see the default
 * (round to nearest, all exceptions masked, no flushing), host functions see what the host had. Loading it takes longer than everything else here, and hosts
 * have the default themselves as a rule: so it is loaded only where modes differ. Its status flags belong to nobody, as the ABI says.
 *
 * The current activation is found in a thread-local variable: nothing in a vmctx tells threads or runs apart.
 *
 * Requests. Every way into the guest first compares the low byte of the request word (control.c) with 0. What makes the request sends a signal
 * afterwards; it may arrive between the comparison and the first instruction of the guest. These stretches are *windows*: until their last
 * instruction they change nothing that isn't kept elsewhere, so the handler has them start over at their `stopped` label (lucet_context_rewind), which
 * needs no register but those that its window keeps, and no stack. Before a window the comparison is still to come; behind it there is guest code, where the handler saves all.
 */
#include "abi.h"
#include "activation.h"
#include "border_x64.h"

        .section .rodata
        .balign 4
        .globl  lucet_guest_mxcsr
        .hidden lucet_guest_mxcsr
lucet_guest_mxcsr:
        .long   DEFAULT_MXCSR

        .text

/* uint64_t lucet_enter(struct lucet_activation *): run an entry thunk from the top of the activation's part of the stack. */
FUNCTION lucet_enter
        .cfi_startproc
        HOST_FRAME
        movq    ACT_GUEST_RSP(%rdi), %rdx
        movq    ACT_BASE(%rdi), %r15
        movq    ACT_CODE(%rdi), %rsi
        movq    ACT_ENTRY(%rdi), %rax
        movq    ACT_REQUESTS(%rdi), %rcx
        movq    ACT_ARGS(%rdi), %rdi
enter:
        movq    %rsp, %rbp
WINDOW enter
        cmpb    $0, (%rcx)
        jne     lucet_stopped_enter
        movq    %rdx, %rsp
        callq   *%rax
WINDOW_END enter
        .globl  lucet_enter_return
        .hidden lucet_enter_return
lucet_enter_return:                     /* The guest has kept rbp. It is where the host's frame still is, unless another host resumed the guest: a comparison
                                           is predicted, while waiting for the stack pointer out of memory takes longer than all of the call. */
        CURRENT %rdi
        xorl    %eax, %eax              /* LUCET_LEFT_RETURNED */
        cmpq    %rbp, ACT_HOST_RSP(%rdi)
        jne     leave_rdi
        movq    %rbp, %rsp
host_return:
        HOST_MXCSR
        HOST_REGISTERS
        retq
        .cfi_endproc
        .size   lucet_enter, .-lucet_enter

FUNCTION leave_rdi
        .cfi_startproc
        movq    ACT_HOST_RSP(%rdi), %rsp
        jmp     host_return
        .cfi_endproc
        .size   leave_rdi, .-leave_rdi

/* Where windows are left for. */
FUNCTION stopped
        .cfi_startproc
STOPPED enter                           /* What to run may have been in registers only. */
        CURRENT %r10
        movq    %rax, ACT_ENTRY(%r10)
        movq    %rsi, ACT_CODE(%r10)
        movq    %r15, ACT_BASE(%r10)
        movq    %rdi, ACT_ARGS(%r10)
        movl    $LUCET_LEFT_STOPPED_ENTERING, %eax
        jmp     1f
/* rax and the callee-saved registers are the guest's. */
STOPPED builtin
        CURRENT %r10
        movq    %rax, ACT_RESULT(%r10)
        movq    %rbx, ACT_SAVED(%r10)
        movq    %rbp, ACT_SAVED+8(%r10)
        movq    %r12, ACT_SAVED+16(%r10)
        movq    %r13, ACT_SAVED+24(%r10)
        movq    %r14, ACT_SAVED+32(%r10)
        movq    %r15, ACT_SAVED+40(%r10)
STOPPED return
        movl    $LUCET_LEFT_STOPPED_RETURNING, %eax
        jmp     1f
STOPPED machine
        movl    $LUCET_LEFT_STOPPED_RESUMING, %eax
1:      CURRENT %rdi
        jmp     leave_rdi
        .cfi_endproc
        .size   stopped, .-stopped

/* uint64_t lucet_reenter(struct lucet_activation *): go on behind a hostcall or builtin, or at a landing pad. */
FUNCTION lucet_reenter
        .cfi_startproc
        HOST_FRAME
        movq    %rdi, %r10
guest_return:
        movq    ACT_REQUESTS(%r10), %r11
WINDOW return
        cmpb    $0, (%r11)
        jne     lucet_stopped_return
        movq    ACT_RESULT(%r10), %rax
        movq    ACT_CLAUSE(%r10), %rdx
        movq    ACT_SAVED(%r10), %rbx
        movq    ACT_SAVED+8(%r10), %rbp
        movq    ACT_SAVED+16(%r10), %r12
        movq    ACT_SAVED+24(%r10), %r13
        movq    ACT_SAVED+32(%r10), %r14
        movq    ACT_SAVED+40(%r10), %r15
        movq    ACT_GUEST_RSP(%r10), %rsp
        retq
WINDOW_END return
        .cfi_endproc
        .size   lucet_reenter, .-lucet_reenter

/* uint64_t lucet_reenter_continuing(struct lucet_activation *): the same, after the rest of the host function. */
FUNCTION lucet_reenter_continuing
        .cfi_startproc
        HOST_FRAME
        HOST_MXCSR
        callq   lucet_hostcall_continue
        jmp     hostcall_done
        .cfi_endproc
        .size   lucet_reenter_continuing, .-lucet_reenter_continuing

/*
 * uint64_t lucet_reenter_machine(struct lucet_activation *): go on at any instruction, with everything as it was. iretq loads the last five registers
 * at once, from the host's stack: so no register is left over, and nothing is written to the guest's stack. x87 state is nobody's.
 */
FUNCTION lucet_reenter_machine
        .cfi_startproc
        HOST_FRAME
        movq    ACT_MACHINE(%rdi), %rcx
        movq    ACT_REQUESTS(%rdi), %r11
        movl    lucet_xrstor_mask(%rip), %eax
        xorl    %edx, %edx
WINDOW machine
        cmpb    $0, (%r11)
        jne     lucet_stopped_machine
        testl   %eax, %eax
        jz      1f
        xrstor64 MACHINE_EXTENDED(%rcx)
        jmp     2f
1:      fxrstor64 MACHINE_EXTENDED(%rcx)
2:      movl    %ss, %eax
        pushq   %rax
        pushq   8*4(%rcx)
        pushq   MACHINE_RFLAGS(%rcx)
        movl    %cs, %eax
        pushq   %rax
        pushq   MACHINE_RIP(%rcx)
        movq    8*0(%rcx), %rax
        movq    8*2(%rcx), %rdx
        movq    8*3(%rcx), %rbx
        movq    8*5(%rcx), %rbp
        movq    8*6(%rcx), %rsi
        movq    8*7(%rcx), %rdi
        movq    8*8(%rcx), %r8
        movq    8*9(%rcx), %r9
        movq    8*10(%rcx), %r10
        movq    8*11(%rcx), %r11
        movq    8*12(%rcx), %r12
        movq    8*13(%rcx), %r13
        movq    8*14(%rcx), %r14
        movq    8*15(%rcx), %r15
        movq    8*1(%rcx), %rcx
        iretq
WINDOW_END machine
        .cfi_endproc
        .size   lucet_reenter_machine, .-lucet_reenter_machine

/* void lucet_land(struct lucet_activation *): the same from host code that works for the guest. */
FUNCTION lucet_land
        .cfi_startproc
        movq    %rdi, %r10
        movq    ACT_HOST_RSP(%rdi), %rsp
        GUEST_MXCSR
        jmp     guest_return
        .cfi_endproc
        .size   lucet_land, .-lucet_land

/* void lucet_leave(struct lucet_activation *, uint64_t left): from host code that runs for the guest, back to whoever entered. */
FUNCTION lucet_leave
        .cfi_startproc
        movq    %rsi, %rax
        jmp     leave_rdi
        .cfi_endproc
        .size   lucet_leave, .-lucet_leave

/* Where the signal handler sends a thread out of guest code: rax = how it is left, rsp = the activation's host frame. */
FUNCTION lucet_fault_return
        .cfi_startproc
        jmp     host_return
        .cfi_endproc
        .size   lucet_fault_return, .-lucet_fault_return

/*
 * Where the kernel has the handler of faults return to, in the place of the C library's: so the handler can tell that it was the kernel who called it
 * (context_x64_linux.c, mask_kept). Some unwinders know a signal's frame by these very bytes, rt_sigreturn, and some by the description, which says where in the
 * ucontext, at rsp, each register is; it begins with the byte before, where those look that take every return address for one behind a call.
 */
.macro AT_RSP register, low, high:vararg
        .ifb \high
        .cfi_escape 0x10, \register, 2, 0x77, \low
        .else
        .cfi_escape 0x10, \register, 3, 0x77, \low, \high
        .endif
.endm
.macro GREG register, offset
        .if \offset < 64
        AT_RSP  \register, \offset
        .else
        AT_RSP  \register, 0x80|(\offset&0x7f), \offset>>7
        .endif
.endm
        .balign 16
        .cfi_startproc
        .cfi_signal_frame
        .cfi_escape 0x0f, 4, 0x77, 0xa0, 1, 6   /* CFA: the word at rsp + 160, REG_RSP */
        GREG    8, 40
        GREG    9, 48
        GREG    10, 56
        GREG    11, 64
        GREG    12, 72
        GREG    13, 80
        GREG    14, 88
        GREG    15, 96
        GREG    5, 104                          /* rdi */
        GREG    4, 112                          /* rsi */
        GREG    6, 120                          /* rbp */
        GREG    3, 128                          /* rbx */
        GREG    1, 136                          /* rdx */
        GREG    0, 144                          /* rax */
        GREG    2, 152                          /* rcx */
        GREG    7, 160                          /* rsp */
        GREG    16, 168                         /* rip */
        nop
        .globl  lucet_signal_return
        .hidden lucet_signal_return
        .type   lucet_signal_return, @function
lucet_signal_return:
        movq    $15, %rax
        syscall
        .cfi_endproc
        .size   lucet_signal_return, .-lucet_signal_return

/*
 * Called by generated code where a check has failed, and never returned from: what a signal handler would find goes to the thread's machine state. Every register is
 * the guest's but xmm15, which its code keeps for the emitter (regs.ts). The return address is all that the guest's stack is used for. Flags stay as they are until
 * they are saved. Nothing of the guest is left to be stopped here: a request that arrives from now on is told or dropped as at a fault.
 */
FUNCTION lucet_trap_stub
        .cfi_startproc
        movq    %rax, %xmm15
        CURRENT %rax, lucet_thread
        movq    THREAD_MACHINE(%rax), %rax
        movq    %rcx, 8*1(%rax)
        movq    %xmm15, %rcx
        movq    %rcx, 8*0(%rax)
        movq    %rdx, 8*2(%rax)
        movq    %rbx, 8*3(%rax)
        leaq    8(%rsp), %rcx
        movq    %rcx, 8*4(%rax)
        movq    %rbp, 8*5(%rax)
        movq    %rsi, 8*6(%rax)
        movq    %rdi, 8*7(%rax)
        movq    %r8, 8*8(%rax)
        movq    %r9, 8*9(%rax)
        movq    %r10, 8*10(%rax)
        movq    %r11, 8*11(%rax)
        movq    %r12, 8*12(%rax)
        movq    %r13, 8*13(%rax)
        movq    %r14, 8*14(%rax)
        movq    %r15, 8*15(%rax)
        movq    (%rsp), %rcx
        leaq    -TRAP_CALL_LENGTH(%rcx), %rcx
        movq    %rcx, MACHINE_RIP(%rax)
        movq    %rax, %rcx
        CURRENT %rdi
        movq    ACT_HOST_RSP(%rdi), %rsp
        HOST_FRAME_CFI
        pushfq
        .cfi_adjust_cfa_offset 8
        popq    MACHINE_RFLAGS(%rcx)
        .cfi_adjust_cfa_offset -8
        movl    lucet_xrstor_mask(%rip), %eax
        xorl    %edx, %edx
        testl   %eax, %eax
        jz      1f
        /* x87 with it, so that its part isn't somebody else's. Components that aren't saved are told to be at their beginning. */
        orl     $1, %eax
        movq    $0, MACHINE_EXTENDED+512(%rcx)
        xsave64 MACHINE_EXTENDED(%rcx)
        jmp     2f
1:      fxsave64 MACHINE_EXTENDED(%rcx)
2:      movl    $LUCET_LEFT_CHECK, %eax
        jmp     host_return
        .cfi_endproc
        .size   lucet_trap_stub, .-lucet_trap_stub

/*
 * Called by generated code: eax = id, arguments in rsi rdx rcx r8 r9, result in rax. The callee-saved registers need no saving:
 * a builtin keeps them, as any function does. Two of them begin, and mostly end, in copies_x64.S.
 */
FUNCTION lucet_builtin_stub
        .cfi_startproc
        CURRENT %r10
        movq    %rsp, ACT_GUEST_RSP(%r10)
        cmpl    $LUCET_BUILTIN_MEMORY_COPY_OWN, %eax
        je      lucet_copy_own
        cmpl    $LUCET_BUILTIN_MEMORY_FILL_OWN, %eax
        je      lucet_fill_own
        .globl  lucet_builtin_in_c
        .hidden lucet_builtin_in_c
lucet_builtin_in_c:
        movq    ACT_HOST_RSP(%r10), %rsp
        HOST_FRAME_CFI
        movl    %eax, %eax
        leaq    lucet_builtins(%rip), %r11
        movq    %r15, %rdi
        callq   *(%r11,%rax,8)
        CURRENT %r10
        movq    ACT_REQUESTS(%r10), %r11
WINDOW builtin
        cmpb    $0, (%r11)
        jne     lucet_stopped_builtin
        movq    ACT_GUEST_RSP(%r10), %rsp
        retq
WINDOW_END builtin
        .cfi_endproc
        .size   lucet_builtin_stub, .-lucet_builtin_stub

/* Builtins that need the guest's callee-saved registers. Their arguments are those of the C functions. */
.macro SAVING name, target
FUNCTION \name
        .cfi_startproc
        CURRENT %r10
        movq    %rbx, ACT_SAVED(%r10)
        movq    %rbp, ACT_SAVED+8(%r10)
        movq    %r12, ACT_SAVED+16(%r10)
        movq    %r13, ACT_SAVED+24(%r10)
        movq    %r14, ACT_SAVED+32(%r10)
        movq    %r15, ACT_SAVED+40(%r10)
        jmp     \target
        .cfi_endproc
        .size   \name, .-\name
.endm

        SAVING lucet_builtin_throw, lucet_throw
        SAVING lucet_builtin_throw_ref, lucet_throw_ref

/* Where the instance is, for others (control.c); and the fence where the system has no membarrier. */
.macro MOVE where, control
        movl    $\where, CONTROL_WHERE(\control)
        cmpb    $0, lucet_control_fences(%rip)
        jne     .Lfence\@
.Lmoved\@:
        .subsection 1
.Lfence\@:
        mfence
        jmp     .Lmoved\@
        .previous
.endm

/*
 * Called by host thunks: eax = number of the imported function, rdx = argument array. All of a call of a native host function, as long as it asks for nothing and there is nothing
 * to look at in its results. The guest's callee-saved registers are in the activation, for whatever the host function does; meanwhile they are: rbx the guest's stack pointer, rbp the activation,
 * r12 the control block of its instance, r13 the instance, r14 the binding, r15 as always the base.
 */
FUNCTION lucet_hostcall_stub, 64
        .cfi_startproc
        CURRENT %r10
        movq    %rsp, ACT_GUEST_RSP(%r10)
        movq    %rbx, ACT_SAVED(%r10)
        movq    %rbp, ACT_SAVED+8(%r10)
        movq    %r12, ACT_SAVED+16(%r10)
        movq    %r13, ACT_SAVED+24(%r10)
        movq    %r14, ACT_SAVED+32(%r10)
        movq    %r15, ACT_SAVED+40(%r10)
        movq    %rsp, %rbx
        movq    %r10, %rbp
        movq    ACT_HOST_RSP(%r10), %rsp
        HOST_FRAME_CFI
        movq    ACT_INSTANCE(%r10), %r13
        movq    -LUCET_VMCTX_INSTANCE(%r15), %r11
        movl    %eax, %r14d
        movl    %eax, ACT_HOST_IMPORT(%r10)
        movq    INSTANCE_CONTROL(%r13), %r12
        shlq    $BINDING_SIZE_LOG2, %r14
        addq    INSTANCE_BINDINGS(%r11), %r14
        HOST_MXCSR
        TEST_POINT hostcall_before_move
        MOVE    CONTROL_HOST, %r12
        TEST_POINT hostcall_after_move
        movq    %rdx, ACT_HOST_ARGS(%rbp)
        movq    %r15, ACT_HOST_BASE(%rbp)
        movq    BINDING_FUNCTION(%r14), %rax
        testq   %rax, %rax
        jz      embedders_hostcall
        movq    %r15, %rdi
        movq    %rdx, %rsi
        movq    BINDING_DATA(%r14), %rdx
        callq   *%rax                   /* (vmctx, args, data) */
        TEST_POINT hostcall_before_moving_back
        cmpq    %rbp, INSTANCE_INNERMOST(%r13)
        jne     1f
        testb   $BINDING_LOOKED_AT, BINDING_REFS(%r14)
        jnz     1f
        cmpb    $0, ACT_YIELD_ASKED(%rbp)
        jne     1f
        MOVE    CONTROL_GUEST, %r12
        TEST_POINT hostcall_after_moving_back
        GUEST_MXCSR
WINDOW hostcall                         /* C code has kept the callee-saved registers; all of the guest's are in the activation. */
        cmpb    $0, (%r12)              /* lucet_control.requests */
        jne     lucet_stopped_return
        movq    %rbx, %rsp
        movq    ACT_SAVED(%rbp), %rbx
        movq    ACT_SAVED+16(%rbp), %r12
        movq    ACT_SAVED+24(%rbp), %r13
        movq    ACT_SAVED+32(%rbp), %r14
        movq    ACT_SAVED+40(%rbp), %r15
        movq    ACT_SAVED+8(%rbp), %rbp
        retq
WINDOW_END hostcall
1:      movq    %rbp, %rdi
        callq   lucet_hostcall_done
        jmp     hostcall_done
embedders_hostcall:
        movl    $LUCET_LEFT_HOSTCALL, %eax
hostcall_done:                          /* rax: LUCET_LEFT_RETURNED when the guest goes on; else how to leave */
        CURRENT %r10
        testq   %rax, %rax
        jnz     1f
        GUEST_MXCSR
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
