/** The machine state in a Linux signal frame. */
#define _GNU_SOURCE
#include <string.h>
#include <ucontext.h>

#include "internal.h"

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

uint64_t lucet_context_pc(const void *ucontext) { return (uint64_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP]; }

static size_t save_extended(const ucontext_t *u, uint8_t *to, size_t room) {
  const uint8_t *from = (const uint8_t *)u->uc_mcontext.fpregs;
  if (from == NULL || to == NULL) return 0;
  struct sw_reserved sw;
  memcpy(&sw, from + SW_RESERVED, sizeof sw);
  size_t size = sw.magic1 == XSTATE_MAGIC1 ? sw.xstate_size : 512;
  if (size > room) return 0;
  memcpy(to, from, size);
  return size;
}

void lucet_context_divert(void *ucontext, struct lucet_activation *a, uint8_t *extended, size_t room, size_t *used) {
  ucontext_t *u = ucontext;
  for (int k = 0; k < 18; k++) a->fault.registers[k] = (uint64_t)u->uc_mcontext.gregs[ORDER[k]];
  a->fault.registers[17] &= ~(uint64_t)TRAP_FLAG;
  *used = save_extended(u, extended, room);
  greg_t *r = u->uc_mcontext.gregs;
  r[REG_RDI] = (greg_t)(uintptr_t)a;
  r[REG_RSP] = (greg_t)a->host_rsp;
  r[REG_RIP] = (greg_t)(uintptr_t)lucet_fault_return;
  /* Interrupts on, direction flag clear, no single step. */
  r[REG_EFL] = 0x202;
}
