/*
 * The boot sector of a machine that does nothing but run compiled functions (kernel.c): loads what follows it on the disk, maps the first GiB as it is, and
 * enters 64-bit mode with AVX-512 switched on.
 */
#define KERNEL_SECTORS 32
#define TABLES 0x70000
#define STACK 0x90000

  .code16
  .globl _start
_start:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7c00, %sp
  movw $packet, %si
  movb $0x42, %ah
  int $0x13
  jc .
  inb $0x92, %al
  orb $2, %al
  outb %al, $0x92
  lgdt gdtr
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmp $8, $protected

  .code32
protected:
  movw $16, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl $TABLES, %edi
  xorl %eax, %eax
  movl $0xc00, %ecx
  rep stosl
  movl $TABLES + 0x1003, TABLES
  movl $TABLES + 0x2003, TABLES + 0x1000
  /* Pages of 2 MiB. */
  movl $TABLES + 0x2000, %edi
  movl $0x83, %eax
  movl $512, %ecx
1:
  movl %eax, (%edi)
  addl $0x200000, %eax
  addl $8, %edi
  loop 1b
  movl $TABLES, %eax
  movl %eax, %cr3
  /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
  movl %cr4, %eax
  orl $0x40620, %eax
  movl %eax, %cr4
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x100, %eax
  wrmsr
  movl %cr0, %eax
  andl $~0xc, %eax
  orl $0x80000002, %eax
  movl %eax, %cr0
  ljmp $24, $long

  .code64
long:
  xorl %ecx, %ecx
  xorl %edx, %edx
  movl $0xe7, %eax
  xsetbv
  movl $STACK, %esp
  call run
  hlt

  .align 8
gdt:
  .quad 0
  .quad 0x00cf9a000000ffff
  .quad 0x00cf92000000ffff
  .quad 0x00af9a000000ffff
gdtr:
  .word 31
  .long gdt
/* Sectors from 1 on, to the bytes behind this one. */
packet:
  .word 16, KERNEL_SECTORS, 0x7e00, 0
  .quad 1

  .org 510
  .word 0xaa55

/* void call_guest(const void *code, void *base, uint32_t argument): the compiled code's convention (backend/x64/regs.ts). */
  .globl call_guest
call_guest:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  movq %rdi, %rax
  movq %rsi, %r15
  movl %edx, %edi
  subq $8, %rsp
  call *%rax
  addq $8, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
