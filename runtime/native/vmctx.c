/** What host functions may ask of the instance that calls them. */
#include "guest_memory.h"
#include "internal.h"

static struct lucet_instance *caller(lucet_vmctx *vm) { return instance_of((const uint8_t *)(void *)vm); }

/** Memory 0 as the module numbers it, own or imported; NULL: it has none. */
static struct memory *memory0(lucet_vmctx *vm) {
  const struct lucet_instance *i = caller(vm);
  return i->module->meta.memory_count != 0 ? i->memories[0] : NULL;
}

lucet_instance *lucet_vmctx_instance(lucet_vmctx *vm) {
  caller(vm)->told = true;
  return caller(vm);
}

void *lucet_vmctx_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) {
  caller(vm)->told = true;
  return lucet_guest_memory(vm, offset, length);
}

void *lucet_guest_memory(lucet_vmctx *vm, uint64_t offset, uint64_t length) {
  const struct memory *m = memory0(vm);
  return m != NULL && lucet_memory_holds(m, offset, length) ? m->base + offset : NULL;
}

uint64_t lucet_vmctx_memory_length(lucet_vmctx *vm) {
  const struct memory *m = memory0(vm);
  return m != NULL ? *m->length : 0;
}

int64_t lucet_vmctx_memory_grow(lucet_vmctx *vm, uint64_t delta) {
  struct memory *m = memory0(vm);
  return m != NULL ? (int64_t)lucet_memory_grow(m, delta) : -1;
}

void lucet_vmctx_trap(lucet_vmctx *vm, uint32_t code) {
  (void)vm;
  lucet_raise(LUCET_LEFT_TRAP, code, 0);
}

void lucet_vmctx_terminate(lucet_vmctx *vm, uint32_t reason, uint64_t details) {
  (void)vm;
  lucet_raise(LUCET_LEFT_TERMINATED, reason, details);
}
