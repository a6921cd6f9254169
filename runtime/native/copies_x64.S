/*
 * Copies and fills of few bytes within an instance's primary memory: programs make them by the million, and changing to the host's stack and calling C takes
 * longer than the work.
 *
 * lucet_builtin_stub jumps here with the current activation in r10, the guest's stack pointer kept there, and everything else as the guest left it. What has more
 * bytes than that, or is out of bounds, goes back unchanged to the way of all builtins (lucet_builtin_in_c). Nothing here can fault: all bytes lie below the memory's length,
 * which does not shrink. Nothing is written to the guest's stack. The request word is looked at afterwards, in a window, as behind every builtin.
 *
 * All bytes are loaded before the first is stored, so ranges may overlap. Loads and stores meet in the middle: one half counted from the start, the other from the end.
 */
#include "abi.h"
#include "activation.h"
#include "border_x64.h"

#define MOST_BYTES 128

/* Go back where n bytes at each of the addresses are too many, or out of bounds: where length - n is below 0 or an address is above it. Else r11 = the request word. */
.macro CHECKED n, at, other
        cmpq    $MOST_BYTES, \n
        ja      lucet_builtin_in_c
        movq    -LUCET_VMCTX_MEMORY_LENGTH(%r15), %r11
        subq    \n, %r11
        jb      lucet_builtin_in_c
        cmpq    %r11, \at
        ja      lucet_builtin_in_c
        .ifnb \other
        cmpq    %r11, \other
        ja      lucet_builtin_in_c
        addq    %r15, \other
        .endif
        addq    %r15, \at
        movq    ACT_REQUESTS(%r10), %r11
.endm

        .text

/* memory_copy_own: rsi = destination, rdx = source, rcx = bytes. */
FUNCTION lucet_copy_own
        .cfi_startproc
        CHECKED %rcx, %rsi, %rdx
        cmpl    $16, %ecx
        jb      3f
        movups  (%rdx), %xmm0
        movups  -16(%rdx,%rcx), %xmm1
        cmpl    $32, %ecx
        ja      1f
        movups  %xmm0, (%rsi)
        movups  %xmm1, -16(%rsi,%rcx)
        jmp     lucet_own_done
1:      movups  16(%rdx), %xmm2
        movups  -32(%rdx,%rcx), %xmm3
        cmpl    $64, %ecx
        jbe     2f
        movups  32(%rdx), %xmm4
        movups  48(%rdx), %xmm5
        movups  -64(%rdx,%rcx), %xmm6
        movups  -48(%rdx,%rcx), %xmm7
        movups  %xmm4, 32(%rsi)
        movups  %xmm5, 48(%rsi)
        movups  %xmm6, -64(%rsi,%rcx)
        movups  %xmm7, -48(%rsi,%rcx)
2:      movups  %xmm0, (%rsi)
        movups  %xmm2, 16(%rsi)
        movups  %xmm3, -32(%rsi,%rcx)
        movups  %xmm1, -16(%rsi,%rcx)
        jmp     lucet_own_done
3:      cmpl    $8, %ecx
        jb      4f
        movq    (%rdx), %rax
        movq    -8(%rdx,%rcx), %rdi
        movq    %rax, (%rsi)
        movq    %rdi, -8(%rsi,%rcx)
        jmp     lucet_own_done
4:      cmpl    $4, %ecx
        jb      5f
        movl    (%rdx), %eax
        movl    -4(%rdx,%rcx), %edi
        movl    %eax, (%rsi)
        movl    %edi, -4(%rsi,%rcx)
        jmp     lucet_own_done
5:      testl   %ecx, %ecx
        je      lucet_own_done
        /* The first, the one in the middle and the last of up to three. */
        movl    %ecx, %r8d
        shrl    $1, %r8d
        movzbl  (%rdx), %eax
        movzbl  (%rdx,%r8), %r9d
        movzbl  -1(%rdx,%rcx), %edi
        movb    %al, (%rsi)
        movb    %r9b, (%rsi,%r8)
        movb    %dil, -1(%rsi,%rcx)
        jmp     lucet_own_done
        .cfi_endproc
        .size   lucet_copy_own, .-lucet_copy_own

/* memory_fill_own: rsi = destination, dl = byte, rcx = bytes. */
FUNCTION lucet_fill_own
        .cfi_startproc
        CHECKED %rcx, %rsi
        movzbl  %dl, %edx
        movabsq $0x0101010101010101, %rax
        imulq   %rax, %rdx
        cmpl    $16, %ecx
        jb      3f
        movq    %rdx, %xmm0
        punpcklqdq %xmm0, %xmm0
        movups  %xmm0, (%rsi)
        movups  %xmm0, -16(%rsi,%rcx)
        cmpl    $32, %ecx
        jbe     lucet_own_done
        movups  %xmm0, 16(%rsi)
        movups  %xmm0, -32(%rsi,%rcx)
        cmpl    $64, %ecx
        jbe     lucet_own_done
        movups  %xmm0, 32(%rsi)
        movups  %xmm0, 48(%rsi)
        movups  %xmm0, -64(%rsi,%rcx)
        movups  %xmm0, -48(%rsi,%rcx)
        jmp     lucet_own_done
3:      cmpl    $8, %ecx
        jb      4f
        movq    %rdx, (%rsi)
        movq    %rdx, -8(%rsi,%rcx)
        jmp     lucet_own_done
4:      cmpl    $4, %ecx
        jb      5f
        movl    %edx, (%rsi)
        movl    %edx, -4(%rsi,%rcx)
        jmp     lucet_own_done
5:      testl   %ecx, %ecx
        je      lucet_own_done
        movl    %ecx, %r8d
        shrl    $1, %r8d
        movb    %dl, (%rsi)
        movb    %dl, (%rsi,%r8)
        movb    %dl, -1(%rsi,%rcx)
        jmp     lucet_own_done
        .cfi_endproc
        .size   lucet_fill_own, .-lucet_fill_own

/* Back to the guest, whose stack this still is; r11 = the request word. */
FUNCTION lucet_own_done
        .cfi_startproc
WINDOW own
        cmpb    $0, (%r11)
        jne     lucet_stopped_builtin
        retq
WINDOW_END own
        .cfi_endproc
        .size   lucet_own_done, .-lucet_own_done

        .section .note.GNU-stack, "", @progbits
