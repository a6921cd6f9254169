/** The machine state in a Linux signal frame. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "internal.h"

_Static_assert(offsetof(struct machine_state, registers) == 0 && offsetof(struct machine_state, extended) == MACHINE_EXTENDED && MACHINE_RIP == 8 * 16 &&
                   MACHINE_RFLAGS == 8 * 17 && offsetof(struct thread_area, machine) == THREAD_MACHINE,
               "activation.h differs from struct machine_state");

/** REG_* of each register in encoding order, then rip and rflags. */
static const int ORDER[18] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
                              REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP, REG_EFL};

/**
 * arch/x86/include/uapi/asm/sigcontext.h: where the kernel describes the extended state, and how it says that there is
 * any.
 */
#define SW_RESERVED 464
#define XSTATE_MAGIC1 0x46505853u
#define TRAP_FLAG 0x100u
/** Offset of mxcsr in the extended state. */
#define MXCSR_AT 24
#define DEFAULT_X87 0x37fu

struct sw_reserved {
  uint32_t magic1;
  uint32_t extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size;
};

struct machine_state *lucet_machine_new(void) {
  struct machine_state *m = aligned_alloc(64, round_up(sizeof *m + lucet_xsave_size(), 64));
  if (m == NULL) return NULL;
  m->extended_size = 0;
  /* XSAVE writes the first word of its header only, and XRSTOR wants the others to be 0. */
  memset(m->extended, 0, lucet_xsave_size());
  return m;
}

uint64_t lucet_context_pc(const void *ucontext) { return (uint64_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP]; }

/**
 * Modes of the host's, which its code doesn't care for, must not go wherever the guest is resumed: it gets those of
 * guests.
 */
static void guest_modes(struct machine_state *m) {
  uint32_t mxcsr;
  memcpy(&mxcsr, m->extended + MXCSR_AT, sizeof mxcsr);
  if ((mxcsr & MXCSR_MODES) == DEFAULT_MXCSR) return;
  mxcsr = DEFAULT_MXCSR;
  memcpy(m->extended + MXCSR_AT, &mxcsr, sizeof mxcsr);
}

bool lucet_context_save(const void *ucontext, struct machine_state *m) {
  const ucontext_t *u = ucontext;
  for (int k = 0; k < 18; k++) m->registers[k] = (uint64_t)u->uc_mcontext.gregs[ORDER[k]];
  m->registers[17] &= ~(uint64_t)TRAP_FLAG;
  m->extended_size = 0;
  const uint8_t *from = (const uint8_t *)u->uc_mcontext.fpregs;
  if (from == NULL) return false;
  struct sw_reserved sw;
  memcpy(&sw, from + SW_RESERVED, sizeof sw);
  size_t size = sw.magic1 == XSTATE_MAGIC1 ? sw.xstate_size : 512;
  if (size > lucet_xsave_size()) return false;
  memcpy(m->extended, from, size);
  guest_modes(m);
  m->extended_size = (uint32_t)size;
  return true;
}

void lucet_context_divert(void *ucontext, const struct lucet_activation *a, uint64_t left) {
  greg_t *r = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
  r[REG_RAX] = (greg_t)left;
  r[REG_RSP] = (greg_t)a->host_rsp;
  r[REG_RIP] = (greg_t)(uintptr_t)lucet_fault_return;
  /* Interrupts on, direction flag clear, no single step. */
  r[REG_EFL] = 0x202;
}

/* asm/signal.h: the kernel took the alternate stack away, and sigreturn gives it back. */
#define AUTODISARM (1u << 31)
#define XSTATE_BV_AT 512
#define PKRU_BIT 0x200u

static uint32_t rights(void) {
  uint32_t a, d;
  __asm__ volatile("rdpkru" : "=a"(a), "=d"(d) : "c"(0));
  return a;
}

/**
 * Sandbox argument for leaving a handler without sigreturn, which takes a quarter of the round trip. What sigreturn
 * would restore is either dead, or as it was: general and vector registers are dead, since lucet_leave goes on behind a
 * call in C, and the callee-saved ones are in the host's frame. The mask is seen to. The rest is looked at here: that
 * the handler returns to the kernel, and not to one of somebody else's who has more to do (then the context lies where
 * the frame of the handler ends, as the kernel's signal frame has it); the alternate stack; the modes in mxcsr, which
 * the handler has as the kernel gives them to it, while the guest's may have been the host's; the x87 control word;
 * protection keys.
 */
bool lucet_context_may_leave(const void *ucontext, const void *cfa) {
  const ucontext_t *u = ucontext;
  const uint8_t *fp = (const uint8_t *)u->uc_mcontext.fpregs;
  uint16_t x87;
  uint32_t mxcsr;
  if (cfa != ucontext || fp == NULL || ((uint32_t)u->uc_stack.ss_flags & AUTODISARM) != 0) return false;
  memcpy(&x87, fp, sizeof x87);
  memcpy(&mxcsr, fp + MXCSR_AT, sizeof mxcsr);
  if (x87 != DEFAULT_X87 || (mxcsr & MXCSR_MODES) != DEFAULT_MXCSR) return false;
  if (lucet_pkru_offset == 0) return true;
  uint64_t present;
  uint32_t interrupted = 0;
  memcpy(&present, fp + XSTATE_BV_AT, sizeof present);
  if ((present & PKRU_BIT) != 0) memcpy(&interrupted, fp + lucet_pkru_offset, sizeof interrupted);
  return interrupted == rights();
}

/** linux/signal.h: what rt_sigaction takes. */
struct kernel_action {
  void (*handler)(void);
  unsigned long flags;
  const uint8_t *restorer;
  uint64_t mask;
};
#define RESTORER 0x04000000ul

bool lucet_context_install(int sig, void (*handler)(void)) {
  const struct kernel_action a = {handler, SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | RESTORER, lucet_signal_return, 0};
  return syscall(SYS_rt_sigaction, sig, &a, NULL, sizeof a.mask) == 0;
}

/**
 * Installed as above, a handler has blocked nothing when the kernel calls it, and putting the mask back is a system
 * call. That it was the kernel, by that very installation, is told by the return address: a handler of somebody else's
 * that jumped to ours has the C library's, and a mask of its own.
 */
static bool mask_kept(const void *cfa) { return ((const uint8_t *const *)cfa)[-1] == lucet_signal_return; }

void lucet_context_restore_mask(const void *ucontext, const void *cfa) {
  if (mask_kept(cfa)) return;
  /* The kernel's mask is shorter than the library's. */
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &((const ucontext_t *)ucontext)->uc_sigmask, NULL, (size_t)8);
}

void lucet_context_end_step(void *ucontext) { ((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG; }

void lucet_machine_behind_call(struct machine_state *m, const struct lucet_activation *a) {
  static const int SAVED[6] = {3, 5, 12, 13, 14, 15};
  uint32_t mxcsr = DEFAULT_MXCSR;
  uint16_t x87 = DEFAULT_X87;
  memset(m->registers, 0, sizeof m->registers);
  for (int k = 0; k < 6; k++) m->registers[SAVED[k]] = a->saved[k];
  m->registers[0] = a->result;
  m->registers[2] = a->clause;
  m->registers[4] = a->guest_rsp + 8;
  memcpy(&m->registers[16], (const void *)(uintptr_t)a->guest_rsp, 8);
  m->registers[17] = 0x202;
  m->signal = 0;
  m->extended_size = (uint32_t)lucet_xsave_size();
  /* A header without components: all are at their beginning. */
  memset(m->extended, 0, m->extended_size);
  memcpy(m->extended, &x87, sizeof x87);
  memcpy(m->extended + MXCSR_AT, &mxcsr, sizeof mxcsr);
}

void lucet_machine_at_check(struct machine_state *m) {
  m->registers[17] &= ~(uint64_t)TRAP_FLAG;
  m->signal = SIGILL;
  m->trap_code = 0;
  m->address = 0;
  m->address_known = false;
  m->extended_size = (uint32_t)lucet_xsave_size();
  guest_modes(m);
}

#define WINDOW(name) extern const uint8_t lucet_window_##name[], lucet_window_end_##name[], lucet_stopped_##name[];
WINDOW(enter)
WINDOW(return)
WINDOW(machine)
WINDOW(builtin)
extern const uint8_t lucet_window_own[], lucet_window_end_own[];
extern const uint8_t lucet_window_call_function[], lucet_window_end_call_function[], lucet_window_call_plain[], lucet_window_end_call_plain[];
extern const uint8_t lucet_window_call_prepared[], lucet_window_end_call_prepared[];
extern const uint8_t lucet_window_hostcall[], lucet_window_end_hostcall[];
#undef WINDOW

struct window {
  const uint8_t *begin;
  const uint8_t *end;
  const uint8_t *stopped;
};
static const struct window WINDOWS[] = {
#define WINDOW(name) {lucet_window_##name, lucet_window_end_##name, lucet_stopped_##name}
    WINDOW(enter),
    WINDOW(return),
    WINDOW(machine),
    WINDOW(builtin),
#undef WINDOW
    {lucet_window_own, lucet_window_end_own, lucet_stopped_builtin},
    {lucet_window_call_function, lucet_window_end_call_function, lucet_stopped_enter},
    {lucet_window_call_plain, lucet_window_end_call_plain, lucet_stopped_enter},
    {lucet_window_call_prepared, lucet_window_end_call_prepared, lucet_stopped_enter},
    {lucet_window_hostcall, lucet_window_end_hostcall, lucet_stopped_return},
};

void lucet_context_rewind(void *ucontext) {
  ucontext_t *u = ucontext;
  const uint8_t *pc = (const uint8_t *)(uintptr_t)lucet_context_pc(u);
  for (size_t k = 0; k < sizeof WINDOWS / sizeof WINDOWS[0]; k++)
    if (pc >= WINDOWS[k].begin && pc < WINDOWS[k].end) u->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)WINDOWS[k].stopped;
}
