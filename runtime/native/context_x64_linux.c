/** The machine state in a Linux signal frame. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "internal.h"

_Static_assert(offsetof(struct machine_state, registers) == 0 && offsetof(struct machine_state, extended) == MACHINE_EXTENDED && MACHINE_RIP == 8 * 16 &&
                   MACHINE_RFLAGS == 8 * 17,
               "activation.h differs from struct machine_state");

/** REG_* of each register in encoding order, then rip and rflags. */
static const int ORDER[18] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
                              REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP, REG_EFL};

/** arch/x86/include/uapi/asm/sigcontext.h: where the kernel describes the extended state, and how it says that there is any. */
#define SW_RESERVED 464
#define XSTATE_MAGIC1 0x46505853u
#define TRAP_FLAG 0x100u

struct sw_reserved {
  uint32_t magic1;
  uint32_t extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size;
};

struct machine_state *lucet_machine_new(void) {
  struct machine_state *m = aligned_alloc(64, round_up(sizeof *m + lucet_xsave_size(), 64));
  if (m != NULL) m->extended_size = 0;
  return m;
}

uint64_t lucet_context_pc(const void *ucontext) { return (uint64_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP]; }

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

void lucet_context_end_step(void *ucontext) { ((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG; }

/** Offset of mxcsr in the extended state; its default. */
#define MXCSR_AT 24
#define DEFAULT_MXCSR 0x1f80u
#define DEFAULT_X87 0x37fu

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

#define WINDOW(name) extern const uint8_t lucet_window_##name[], lucet_window_end_##name[], lucet_stopped_##name[];
WINDOW(enter)
WINDOW(return)
WINDOW(machine)
WINDOW(builtin)
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
    {lucet_window_hostcall, lucet_window_end_hostcall, lucet_stopped_return},
};

void lucet_context_rewind(void *ucontext) {
  ucontext_t *u = ucontext;
  const uint8_t *pc = (const uint8_t *)(uintptr_t)lucet_context_pc(u);
  for (size_t k = 0; k < sizeof WINDOWS / sizeof WINDOWS[0]; k++)
    if (pc >= WINDOWS[k].begin && pc < WINDOWS[k].end) u->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)WINDOWS[k].stopped;
}
