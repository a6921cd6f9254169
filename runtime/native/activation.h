/**
 * Offsets in struct lucet_activation and struct machine_state that the assembly uses; run.c holds them against the
 * structs.
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
#define ACT_REQUESTS 96
#define ACT_MACHINE 104
#define ACT_RESULT 112
#define ACT_CLAUSE 120
#define ACT_STACK_TOP 128
#define ACT_INSTANCE 136

#define ACT_HOST_IMPORT 180
#define ACT_HOST_ARGS 192
#define ACT_HOST_BASE 200
#define ACT_YIELD_ASKED 248

/* In struct lucet_instance, lucet_control and lucet_prepared_call. */
#define INSTANCE_BINDINGS 104
#define INSTANCE_INNERMOST 152
#define INSTANCE_READY 160
#define INSTANCE_TOKEN 168
#define INSTANCE_PLAIN_BASE 176
#define INSTANCE_CONTROL 184
#define INSTANCE_MODES_BASE 192
#define CONTROL_WHERE 8
#define PREPARED_INSTANCE 16

/*
 * In struct binding; and the bits of its `refs` for which there is something to do when the host function has returned.
 */
#define BINDING_SIZE_LOG2 5
#define BINDING_FUNCTION 0
#define BINDING_DATA 8
#define BINDING_REFS 24
#define BINDING_LOOKED_AT 0x1a

/* In struct thread_here. */
#define HERE_CURRENT 0
#define HERE_TOKEN 8

/* Where the innermost activation of an instance is. */
#define CONTROL_IDLE 0
#define CONTROL_SUSPENDED 1
#define CONTROL_GUEST 2
#define CONTROL_HOST 3
/* In host code that waits in the system, and wants to hear of requests. */
#define CONTROL_WAITING 4

/*
 * Handlers are looked at once in so many runs of a thread, and of an instance that the thread calls again and again.
 * lucet.h says so. A power of two.
 */
#define RUNS_UNLOOKED 64

/* In struct thread_area. */
#define THREAD_MACHINE 8

/* Register n of the encoding order is at 8 * n. */
#define MACHINE_RIP 128
#define MACHINE_RFLAGS 136
#define MACHINE_EXTENDED 192

/* All but the six status flags; what guests have: round to nearest, all exceptions masked, no flushing. */
#define MXCSR_MODES 0xffc0
#define DEFAULT_MXCSR 0x1f80

/* Bytes of a call of the trap stub: `call [r15 - TRAP_STUB]`. */
#define TRAP_CALL_LENGTH 4

/* How guest code was left. */
#define LUCET_LEFT_RETURNED 0
#define LUCET_LEFT_HOSTCALL 1
#define LUCET_LEFT_TRAP 2
#define LUCET_LEFT_TERMINATED 3
#define LUCET_LEFT_FAULT 4
/*
 * There is a request. Nothing was run; the guest is behind a hostcall or builtin; it is anywhere, and was saved now, or
 * before.
 */
#define LUCET_LEFT_STOPPED_ENTERING 5
#define LUCET_LEFT_STOPPED_RETURNING 6
#define LUCET_LEFT_STOPPED 7
#define LUCET_LEFT_STOPPED_RESUMING 8
/* A host function has returned that asked for it. */
#define LUCET_LEFT_YIELDED 9
#define LUCET_LEFT_EXCEPTION 10
/* By the trap stub: a check has failed. */
#define LUCET_LEFT_CHECK 11

#endif
