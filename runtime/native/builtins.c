/**
 * Operations that generated code leaves to C (abi/builtins.ts). They run on the host's stack, called by
 * lucet_builtin_stub with the caller's base; indices of memories, tables and segments come from validated code. A trap
 * is raised before anything is written, as the specification of bulk operations wants.
 */
#include <string.h>

#include "internal.h"

/** Read by stack_x64.S. */
extern uint64_t (*const lucet_builtins[LUCET_BUILTIN_COUNT])(uint8_t *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static void raise_if(bool condition, uint32_t code) {
  if (condition) lucet_raise(LUCET_LEFT_TRAP, code, 0);
}

/** Is [at, at + n) outside of `length` elements? */
static bool outside(uint64_t at, uint64_t n, uint64_t length) { return at > length || n > length - at; }

uint64_t lucet_builtin_memory_grow(uint8_t *base, uint64_t memory, uint64_t delta) {
  return lucet_memory_grow(instance_of(base)->memories[memory], delta);
}

uint64_t lucet_builtin_memory_fill(uint8_t *base, uint64_t memory, uint64_t dst, uint64_t byte, uint64_t n) {
  const struct memory *m = instance_of(base)->memories[memory];
  raise_if(!lucet_memory_holds(m, dst, n), LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  memset(m->base + dst, (int)(byte & 0xff), n);
  return 0;
}

uint64_t lucet_builtin_memory_copy(uint8_t *base, uint64_t memories, uint64_t dst, uint64_t src, uint64_t n, uint64_t unused) {
  (void)unused;
  const struct memory *to = instance_of(base)->memories[(uint32_t)memories], *from = instance_of(base)->memories[memories >> 32];
  raise_if(!lucet_memory_holds(to, dst, n) || !lucet_memory_holds(from, src, n), LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
  memmove(to->base + dst, from->base + src, n);
  return 0;
}

/* Of what copies_x64.S leaves. */
static void check_own(uint8_t *base, uint64_t at, uint64_t n) {
  raise_if(outside(at, n, VMCTX_FIELD(base, LUCET_VMCTX_MEMORY_LENGTH, uint64_t)), LUCET_TRAP_HEAP_OUT_OF_BOUNDS);
}

uint64_t lucet_builtin_memory_copy_own(uint8_t *base, uint64_t dst, uint64_t src, uint64_t n) {
  check_own(base, dst, n);
  check_own(base, src, n);
  memmove(base + dst, base + src, n);
  return 0;
}

uint64_t lucet_builtin_memory_fill_own(uint8_t *base, uint64_t dst, uint64_t byte, uint64_t n) {
  check_own(base, dst, n);
  memset(base + dst, (int)(byte & 0xff), n);
  return 0;
}

uint64_t lucet_builtin_memory_init(uint8_t *base, uint64_t memory, uint64_t segment, uint64_t dst, uint64_t src, uint64_t n) {
  uint32_t trap = lucet_data_init(instance_of(base), (uint32_t)memory, (uint32_t)segment, dst, src, n);
  raise_if(trap != 0, trap);
  return 0;
}

uint64_t lucet_builtin_data_drop(uint8_t *base, uint64_t segment) {
  instance_of(base)->data_dropped[segment] = true;
  return 0;
}

uint64_t lucet_builtin_table_grow(uint8_t *base, uint64_t table, uint64_t value, uint64_t delta) {
  return lucet_table_grow(instance_of(base)->tables[table], delta, value);
}

uint64_t lucet_builtin_table_fill(uint8_t *base, uint64_t table, uint64_t dst, uint64_t value, uint64_t n) {
  const struct table_desc *t = instance_of(base)->tables[table]->desc;
  raise_if(outside(dst, n, t->length), LUCET_TRAP_TABLE_OUT_OF_BOUNDS);
  for (uint64_t k = 0; k < n; k++) t->elements[dst + k] = value;
  return 0;
}

uint64_t lucet_builtin_table_copy(uint8_t *base, uint64_t to, uint64_t from, uint64_t dst, uint64_t src, uint64_t n) {
  const struct table_desc *t = instance_of(base)->tables[to]->desc, *f = instance_of(base)->tables[from]->desc;
  raise_if(outside(dst, n, t->length) || outside(src, n, f->length), LUCET_TRAP_TABLE_OUT_OF_BOUNDS);
  memmove(t->elements + dst, f->elements + src, n * LUCET_TABLE_ELEMENT_SIZE);
  return 0;
}

uint64_t lucet_builtin_table_init(uint8_t *base, uint64_t table, uint64_t segment, uint64_t dst, uint64_t src, uint64_t n) {
  uint32_t trap = lucet_elem_init(instance_of(base), (uint32_t)table, (uint32_t)segment, dst, src, n);
  raise_if(trap != 0, trap);
  return 0;
}

uint64_t lucet_builtin_elem_drop(uint8_t *base, uint64_t segment) {
  instance_of(base)->elem_dropped[segment] = true;
  return 0;
}

uint64_t lucet_builtin_make_funcref(uint8_t *base, uint64_t position) {
  struct lucet_instance *i = instance_of(base);
  return funcref_word(lucet_instance_funcref(i, i->module->meta.escaping[position].function));
}

uint64_t lucet_builtin_signature_matches(uint8_t *base, uint64_t id, uint64_t other) {
  (void)base;
  return lucet_signature_matches((uint32_t)id, (uint32_t)other);
}

/**
 * The stub that called this sees the request on its way back, and stops the guest there. Whoever resumes it sets
 * another bound, or none.
 */
uint64_t lucet_builtin_yield_bound(uint8_t *base) {
  VMCTX_FIELD(base, LUCET_VMCTX_INSTRUCTION_BOUND, uint64_t) = UINT64_MAX;
  atomic_fetch_or(lucet_current->requests, REQUEST_BOUND);
  return 0;
}

/* A function that takes fewer arguments ignores what is in the remaining argument registers. */
typedef uint64_t (*builtin)(uint8_t *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
#pragma GCC diagnostic ignored "-Wcast-function-type"
builtin const lucet_builtins[LUCET_BUILTIN_COUNT] __attribute__((visibility("hidden"))) = {
#define ENTRY(name, id, args) [id] = (builtin)lucet_builtin_##name,
    LUCET_BUILTINS(ENTRY)
#undef ENTRY
};
