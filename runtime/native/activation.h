/**
 * Offsets in struct lucet_activation that the assembly uses; activation_check in run.c holds them against the struct.
 */
#ifndef LUCET_ACTIVATION_H
#define LUCET_ACTIVATION_H

#define ACT_HOST_RSP 0
#define ACT_GUEST_RSP 8
#define ACT_SAVED 16 /* rbx rbp r12 r13 r14 r15 */
#define ACT_ENTRY 64
#define ACT_CODE 72
#define ACT_ARGS 80
#define ACT_BASE 88

/* What lucet_enter and lucet_resume return. */
#define LUCET_LEFT_RETURNED 0
#define LUCET_LEFT_HOSTCALL 1
#define LUCET_LEFT_TRAP 2
#define LUCET_LEFT_TERMINATED 3
#define LUCET_LEFT_FAULT 4

#endif
