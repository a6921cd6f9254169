/**
 * A division faults for a zero divisor and for an overflowing quotient alike; which of them it was is told by the
 * divisor, found by decoding the instruction (Intel SDM vol. 2A, section 2.1: ModRM and SIB).
 */
#include <string.h>

#include "internal.h"

struct decoder {
  const uint8_t *p;
  const uint8_t *end;
  const uint64_t *registers;
};

static bool take(struct decoder *d, void *to, size_t n) {
  if ((size_t)(d->end - d->p) < n) return false;
  memcpy(to, d->p, n);
  d->p += n;
  return true;
}

/** Address of a memory operand. */
static bool effective_address(struct decoder *d, uint8_t rex, uint8_t modrm, uint64_t *address) {
  unsigned mod = modrm >> 6, rm = modrm & 7;
  uint64_t sum = 0;
  bool base = true, rip = false;
  unsigned base_register = rm | (rex & 1u) << 3;
  if (rm == 4) {
    uint8_t sib;
    if (!take(d, &sib, 1)) return false;
    unsigned index = (sib >> 3 & 7u) | (rex & 2u) << 2;
    if (index != 4) sum += d->registers[index] << (sib >> 6);
    base_register = (sib & 7u) | (rex & 1u) << 3;
    base = !((sib & 7) == 5 && mod == 0);
  } else if (rm == 5 && mod == 0) {
    base = false;
    rip = true;
  }
  if (base) sum += d->registers[base_register];
  if (mod == 1) {
    int8_t disp;
    if (!take(d, &disp, 1)) return false;
    sum += (uint64_t)(int64_t)disp;
  } else if (mod == 2 || !base) {
    int32_t disp;
    if (!take(d, &disp, 4)) return false;
    sum += (uint64_t)(int64_t)disp;
  }
  if (rip) sum += (uint64_t)(uintptr_t)d->p;
  *address = sum;
  return true;
}

/**
 * A divisor in memory is a spilled value (guest stack), or loaded from a memory, a global or a constant of the running
 * instance.
 */
static bool readable(const struct lucet_activation *a, const struct lucet_instance *i, uint64_t address, uint64_t size) {
  if (lucet_stack_holds(a, address, size)) return true;
  const struct lucet_artifact_header *h = i->module->meta.header;
  uint64_t base = (uint64_t)(uintptr_t)i->base;
  if (address >= base - h->vmctx_size && address < base && size <= base - address) return true;
  for (uint32_t k = 0; k < i->module->meta.memory_count; k++) {
    uint64_t start = (uint64_t)(uintptr_t)i->memories[k]->base;
    if (address >= start && lucet_memory_holds(i->memories[k], address - start, size)) return true;
  }
  return false;
}

bool lucet_divisor(const struct lucet_activation *a, const struct machine_state *m, struct lucet_instance *i, uint64_t *divisor) {
  uint64_t pc = m->registers[16], start = (uint64_t)(uintptr_t)i->module->text;
  if (pc < start || pc - start >= i->module->meta.header->text_size) return false;
  struct decoder d = {.p = (const uint8_t *)(uintptr_t)pc, .end = i->module->text + i->module->meta.header->text_size,
                      .registers = m->registers};
  uint8_t byte, rex = 0, modrm;
  if (!take(&d, &byte, 1)) return false;
  if ((byte & 0xf0) == 0x40) {
    rex = byte;
    if (!take(&d, &byte, 1)) return false;
  }
  /* F7 /6 div, F7 /7 idiv */
  if (byte != 0xf7 || !take(&d, &modrm, 1) || (modrm >> 3 & 6) != 6) return false;
  unsigned size = (rex & 8) != 0 ? 8 : 4;
  uint64_t value = 0;
  if (modrm >> 6 == 3) {
    value = m->registers[(modrm & 7u) | (rex & 1u) << 3];
    if (size == 4) value = (uint32_t)value;
  } else {
    uint64_t address;
    if (!effective_address(&d, rex, modrm, &address) || !readable(a, i, address, size)) return false;
    memcpy(&value, (const void *)(uintptr_t)address, size);
  }
  *divisor = value;
  return true;
}
