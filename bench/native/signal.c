/**
 * The system's own share of a trap that is caught: a load that faults, and a handler that goes on behind it, or is left
 * without returning from it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "instances.h"

/** A load, and behind it. Their place is all that matters. */
void lucet_bench_load(const void *address);
extern const char lucet_bench_behind[];
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl lucet_bench_load\nlucet_bench_load:\n movl (%rdi), %eax\n"
        ".globl lucet_bench_behind\nlucet_bench_behind:\n ret\n");
#define PROGRAM_COUNTER(u) ((u)->uc_mcontext.gregs[REG_RIP])
#else
#error "the load and the name of the program counter are for x86-64"
#endif

static void go_on(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info;
  PROGRAM_COUNTER((ucontext_t *)context) = (greg_t)(uintptr_t)lucet_bench_behind;
}

static void *back[5];
static void leave(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info, (void)context;
  __builtin_longjmp(back, 1);
}

/** Nanoseconds from the load until it was dealt with by `how`. */
static double caught(void (*how)(int, siginfo_t *, void *), int flags) {
  static void *closed;
  static uint8_t *stack;
  if (closed == NULL) {
    closed = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    stack = malloc(64u << 10);
  }
  stack_t now, ours = {.ss_sp = stack, .ss_size = 64u << 10};
  struct sigaction before, handler;
  memset(&handler, 0, sizeof handler);
  handler.sa_sigaction = how;
  handler.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
  if (closed == MAP_FAILED || stack == NULL || sigaltstack(&ours, &now) != 0 || sigaction(SIGSEGV, &handler, &before) != 0) abort();
  static volatile uint64_t from;
  if (__builtin_setjmp(back) == 0) {
    from = now_ns();
    lucet_bench_load(closed);
  }
  uint64_t took = now_ns() - from;
  sigaction(SIGSEGV, &before, NULL);
  sigaltstack(&now, NULL);
  return (double)took;
}

double signal_round_trip(void) { return caught(go_on, 0); }
/* No signal is blocked in the handler, so there is no mask to be put back. */
double signal_delivery(void) { return caught(leave, SA_NODEFER); }
