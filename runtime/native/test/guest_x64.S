/*
 * A module in generated code's conventions, written by hand, so that the runtime can be tested without the compiler.
 * Its shape (types, imports, memory) is in guest.c, which makes an artifact of it; the vmctx offsets below follow from that shape.
 *
 * FUNCTION name, type, frame_size … END name: the function, and its record {code, length, type, frame size, pc map, its length}.
 */
#include "abi.h"

/* memories 2 (1 page each), tables 1, globals 1, function imports 2 */
#define VMCTX_MEMORIES (LUCET_VMCTX_HEADER_SIZE + 2 * LUCET_MEMORY_ENTRY_SIZE)
#define VMCTX_TABLES (VMCTX_MEMORIES + LUCET_TABLE_DESC_SIZE)
#define VMCTX_GLOBALS (VMCTX_TABLES + LUCET_GLOBAL_ENTRY_SIZE)
#define VMCTX_IMPORTS (VMCTX_GLOBALS + 2 * LUCET_IMPORT_ENTRY_SIZE)
#define VMCTX_SIZE VMCTX_IMPORTS

        .section .note.GNU-stack, "", @progbits
        .data
        .balign 16
        .globl guest_functions
guest_functions:
        .section .rodata
        .balign 16
        .globl guest_vmctx
guest_vmctx:
        .long VMCTX_MEMORIES, VMCTX_TABLES, VMCTX_GLOBALS, VMCTX_IMPORTS, VMCTX_SIZE

.macro FUNCTION name, type, frame
        .section .rodata
pcmap_\name:
        .set last_\name, 0
        .text
        .balign 16
\name:
        .set current_type, \type
        .set current_frame, \frame
.endm

/* A pc map entry at this place: wasm offset 10 more than the entry before, trap code or 0. */
.macro PC name, trap
.Lpc\@:
        .set here, .Lpc\@ - \name
        .section .rodata
        .if \trap
        .uleb128 ((here - last_\name) << 1) | 1
        .sleb128 10
        .byte \trap
        .else
        .uleb128 (here - last_\name) << 1
        .sleb128 10
        .endif
        .set last_\name, here
        .text
.endm

.macro END name
.Lend\@:
        .section .rodata
.Lpcend\@:
        .data
        .quad \name, .Lend\@ - \name, current_type, current_frame, pcmap_\name, .Lpcend\@ - pcmap_\name
        .text
.endm

/* An imported function: no code. */
.macro IMPORTED type
        .data
        .quad 0, 0, \type, 0, 0, 0
        .text
.endm

/* types: 0 (i32 i32) -> i32, 1 (i32) -> i32, 2 () -> (), 3 (i64) -> i64 */
        IMPORTED 1
        IMPORTED 3

/* 2 */
FUNCTION add, 0, 0
        leal    (%rdi,%rsi), %eax
        ret
END add

/* 3: i32.load */
FUNCTION load, 1, 0
        movl    %edi, %edi
        PC      load, LUCET_TRAP_HEAP_OUT_OF_BOUNDS
        movl    (%r15,%rdi), %eax
        PC      load, 0
        ret
END load

/* 4 */
FUNCTION unreachable, 2, 8
        subq    $8, %rsp
        PC      unreachable, LUCET_TRAP_UNREACHABLE
        hlt
END unreachable

/* 5: i32.div_s, divisor in a spill slot */
FUNCTION divide, 0, 24
        pushq   %rbx
        subq    $16, %rsp
        movl    %esi, 12(%rsp)
        movl    %edi, %eax
        cltd
        PC      divide, LUCET_TRAP_INTEGER_DIVISION
        idivl   12(%rsp)
        addq    $16, %rsp
        popq    %rbx
        ret
END divide

/* 6: never ends */
FUNCTION recurse, 2, 24
        pushq   %r12
        subq    $16, %rsp
        callq   recurse
        PC      recurse, 0
        addq    $16, %rsp
        popq    %r12
        ret
END recurse

/* 7, 8: call the imports */
.macro CALL_IMPORT name, number, type
FUNCTION \name, \type, 24
        pushq   %rbx
        subq    $16, %rsp
        movq    %r15, (%rsp)
        movl    $0x5eed, %ebx
        leaq    -VMCTX_IMPORTS+\number*LUCET_IMPORT_ENTRY_SIZE(%r15), %rax
        PC      \name, 0
        movq    LUCET_IMPORT_ENTRY_VMCTX(%rax), %r15
        callq   *LUCET_IMPORT_ENTRY_CODE(%rax)
        PC      \name, 0
        movq    (%rsp), %r15
        cmpl    $0x5eed, %ebx
        je      1f
        PC      \name, LUCET_TRAP_UNREACHABLE
        hlt
1:      addq    $16, %rsp
        popq    %rbx
        ret
END \name
.endm
        CALL_IMPORT call_native, 0, 1
        CALL_IMPORT call_host, 1, 3

/* 9: memory.grow of memory 0 */
FUNCTION grow, 1, 8
        subq    $8, %rsp
        movl    %edi, %edx
        xorl    %esi, %esi
        movl    $LUCET_BUILTIN_MEMORY_GROW, %eax
        callq   *-LUCET_VMCTX_BUILTIN_STUB(%r15)
        addq    $8, %rsp
        ret
END grow

/* 10: memory.fill of memory 0 at the argument, 16 bytes of 0xab */
FUNCTION fill, 1, 8
        subq    $8, %rsp
        movl    %edi, %edx
        xorl    %esi, %esi
        movl    $0xab, %ecx
        movl    $16, %r8d
        movl    $LUCET_BUILTIN_MEMORY_FILL, %eax
        PC      fill, 0
        callq   *-LUCET_VMCTX_BUILTIN_STUB(%r15)
        PC      fill, 0
        movl    $1, %eax
        addq    $8, %rsp
        ret
END fill

/* 11: a frame that touches its pages first, then does nothing */
FUNCTION large, 2, 40960+8
        movl    $0, -4096(%rsp)
        movl    $0, -8192(%rsp)
        movl    $0, -12288(%rsp)
        movl    $0, -16384(%rsp)
        movl    $0, -20480(%rsp)
        movl    $0, -24576(%rsp)
        movl    $0, -28672(%rsp)
        movl    $0, -32768(%rsp)
        movl    $0, -36864(%rsp)
        movl    $0, -40960(%rsp)
        subq    $40968, %rsp
        callq   large
        PC      large, 0
        addq    $40968, %rsp
        ret
END large

/* 12: faults where no fault belongs */
FUNCTION broken, 2, 8
        subq    $8, %rsp
        movq    8, %rax
        hlt
END broken

/* 13: i32.load of the second memory */
FUNCTION load1, 1, 0
        movl    %edi, %edi
        movq    -VMCTX_MEMORIES+LUCET_MEMORY_ENTRY_SIZE+LUCET_MEMORY_ENTRY_BASE(%r15), %rax
        PC      load1, LUCET_TRAP_HEAP_OUT_OF_BOUNDS
        movl    (%rax,%rdi), %eax
        ret
END load1

/* 14: a null function reference's signature */
FUNCTION null_call, 2, 0
        xorl    %eax, %eax
        PC      null_call, LUCET_TRAP_INDIRECT_CALL_TO_NULL
        movl    LUCET_FUNCREF_SIG_ID(%rax), %eax
        ret
END null_call

/* 15: runs for a while with a frame of 15,000 bytes */
FUNCTION spin, 2, 15000
        subq    $15000, %rsp
        movl    $400000000, %eax
1:      decl    %eax
        jnz     1b
        addq    $15000, %rsp
        ret
END spin

/* 16: counts to the argument with a known value in every register; returns how many lost theirs */
.macro EACH_GPR op
        \op     rax, 0x1011
        \op     rcx, 0x1012
        \op     rdx, 0x1013
        \op     rbx, 0x1014
        \op     rbp, 0x1015
        \op     rsi, 0x1016
        \op     rdi, 0x1017
        \op     r8, 0x1018
        \op     r9, 0x1019
        \op     r10, 0x101a
        \op     r11, 0x101b
        \op     r12, 0x101c
        \op     r13, 0x101d
        \op     r14, 0x101e
.endm
.macro SET_GPR reg, value
        movabsq $0x0123456789ab0000+\value, %\reg
.endm
.macro TEST_GPR reg, value
        movq    %\reg, 8(%rsp)
        pushfq
        popfq
        pushq   %rax
        movabsq $0x0123456789ab0000+\value, %rax
        cmpq    %rax, 16(%rsp)
        popq    %rax
        je      1f
        incl    4(%rsp)
1:
.endm
FUNCTION keep, 1, 48
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        subq    $8, %rsp
        movl    %edi, %eax
        subq    $16, %rsp
        movl    %eax, (%rsp)
        movl    $0, 4(%rsp)
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movl    $0x2000+\n, %eax
        movd    %eax, %xmm\n
        pshufd  $0, %xmm\n, %xmm\n
        .endr
        EACH_GPR SET_GPR
2:      decl    (%rsp)
        jnz     2b
        EACH_GPR TEST_GPR
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        pextrw  $6, %xmm\n, %eax
        cmpl    $0x2000+\n, %eax
        je      3f
        incl    4(%rsp)
3:
        .endr
        movl    4(%rsp), %eax
        addq    $16, %rsp
        addq    $8, %rsp
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
END keep

/* 17: until the word at the argument isn't 0 */
FUNCTION wait, 1, 0
        movl    %edi, %edi
1:      movl    (%r15,%rdi), %eax
        testl   %eax, %eax
        jz      1b
        ret
END wait

/* 18: a hostcall, builtins on the host's stack and on its own, then never ends */
FUNCTION tour, 2, 24
        pushq   %rbx
        subq    $16, %rsp
        movq    %r15, (%rsp)
        movl    $0x5eed, %ebx
        xorl    %edi, %edi
        leaq    -VMCTX_IMPORTS(%r15), %rax
        movq    LUCET_IMPORT_ENTRY_VMCTX(%rax), %r15
        callq   *LUCET_IMPORT_ENTRY_CODE(%rax)
        PC      tour, 0
        movq    (%rsp), %r15
        xorl    %edx, %edx
        xorl    %esi, %esi
        movl    $LUCET_BUILTIN_MEMORY_GROW, %eax
        callq   *-LUCET_VMCTX_BUILTIN_STUB(%r15)
        movl    $1024, %esi
        movl    $0x5e, %edx
        movl    $3, %ecx
        movl    $LUCET_BUILTIN_MEMORY_FILL_OWN, %eax
        callq   *-LUCET_VMCTX_BUILTIN_STUB(%r15)
        movl    $1030, %esi
        movl    $1024, %edx
        movl    $20, %ecx
        movl    $LUCET_BUILTIN_MEMORY_COPY_OWN, %eax
        callq   *-LUCET_VMCTX_BUILTIN_STUB(%r15)
        cmpl    $0x5e5e5e, 1030(%r15)
        jne     2f
        cmpl    $0x5eed, %ebx
        je      1f
2:      PC      tour, LUCET_TRAP_UNREACHABLE
        hlt
1:      jmp     1b
END tour

/* 19: the argument many frames of 32 bytes, then back */
FUNCTION deep, 1, 24
        pushq   %r12
        subq    $16, %rsp
        xorl    %eax, %eax
        decl    %edi
        js      1f
        callq   deep
        PC      deep, 0
        incl    %eax
1:      addq    $16, %rsp
        popq    %r12
        ret
END deep

/* 20: the control and status register of the vector unit */
FUNCTION modes, 1, 8
        subq    $8, %rsp
        nop
        stmxcsr (%rsp)
        movl    (%rsp), %eax
        addq    $8, %rsp
        ret
END modes

/* 21: the argument many frames of 8 bytes, then a check that fails, with rsp plus its number in each register */
.macro NUMBER at, register, more:vararg
        leaq    \at(%rsp), \register
        .ifnb \more
        NUMBER \more
        .endif
.endm
FUNCTION check, 1, 0
        movq    %rsp, %xmm3
        decl    %edi
        js      1f
        callq   check
        ret
1:      NUMBER  0, %rax, 1, %rcx, 2, %rdx, 3, %rbx, 5, %rbp, 6, %rsi, 7, %rdi, 8, %r8, 9, %r9, 10, %r10, 11, %r11, 12, %r12, 13, %r13, 14, %r14
        PC      check, LUCET_TRAP_UNREACHABLE
        callq   *-LUCET_VMCTX_TRAP_STUB(%r15)
END check

/* 22: a hostcall, then as 20 */
FUNCTION call_modes, 1, 24
        pushq   %rbx
        subq    $16, %rsp
        movq    %r15, (%rsp)
        leaq    -VMCTX_IMPORTS(%r15), %rax
        movq    LUCET_IMPORT_ENTRY_VMCTX(%rax), %r15
        callq   *LUCET_IMPORT_ENTRY_CODE(%rax)
        PC      call_modes, 0
        movq    (%rsp), %r15
        stmxcsr 8(%rsp)
        movl    8(%rsp), %eax
        addq    $16, %rsp
        popq    %rbx
        ret
END call_modes

/* 23: i32.store of the second argument, twice; the first time of 0x77 less */
FUNCTION store, 0, 0
        movl    %edi, %edi
        leal    -0x77(%rsi), %eax
        PC      store, LUCET_TRAP_HEAP_OUT_OF_BOUNDS
        movl    %eax, (%r15,%rdi)
        PC      store, LUCET_TRAP_HEAP_OUT_OF_BOUNDS
        movl    %esi, (%r15,%rdi)
        PC      store, 0
        nop
        ret
END store

/* 24, 25: host thunks; one word in, one word out */
.macro HOST_THUNK name, number, type
FUNCTION \name, \type, 24
        subq    $24, %rsp
        movq    %rdi, (%rsp)
        movl    $\number, %eax
        movq    %rsp, %rdx
        callq   *-LUCET_VMCTX_HOSTCALL_STUB(%r15)
        movq    (%rsp), %rax
        addq    $24, %rsp
        ret
END \name
.endm
        HOST_THUNK host_thunk0, 0, 1
        HOST_THUNK host_thunk1, 1, 3

/* 26-29: entry thunks, two words in at most, one out */
.macro ENTRY_THUNK name, type
FUNCTION \name, \type, 8
        pushq   %rbx
        movq    %rdi, %rbx
        movq    %rsi, %rax
        movq    8(%rbx), %rsi
        movq    (%rbx), %rdi
        callq   *%rax
        movq    %rax, (%rbx)
        popq    %rbx
        ret
END \name
.endm
        ENTRY_THUNK entry0, 0
        ENTRY_THUNK entry1, 1
        ENTRY_THUNK entry2, 2
        ENTRY_THUNK entry3, 3

        .data
.Lfunctions_end:
        .globl guest_function_count
guest_function_count:
        .long (.Lfunctions_end - guest_functions) / 48
