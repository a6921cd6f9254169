/**
 * Guarded regions: a pool of slots, each one reservation of address space.
 *
 *      start                                                                                        start + size
 *      | vmctx, grows down | heap_address_space_size    | HEAP_GUARD | STACK_GUARD | stack, grows down | page |
 *      | (top pages open)  ^ base: heap, bottom open    |   never    |    never    |      open         | never|
 *
 * Sandbox argument. Generated code reaches memory in three ways only. (1) Heap accesses, base + u32 index +
 * displacement: the compiler checks whatever may exceed the module's reserved_size, and lucet_instance_new refuses
 * modules whose reserved_size exceeds heap_address_space_size; an access of up to 16 bytes that begins below that ends
 * inside HEAP_GUARD. Memories with 64-bit addresses or small pages are compared with their length by the code itself
 * (compiler/wasm/bounds.ts). A heap access is never negative, so the vmctx below the base is out of reach. (2) The stack:
 * frames above 32 KiB probe every page, so no instruction skips STACK_GUARD. (3) What the runtime gave it pointers to.
 * Everything else in the slot is PROT_NONE, so an access outside of what was opened faults, and the handler turns the
 * fault into a trap.
 *
 * Reuse. A slot that is given back is zeroed (reset_linux.c); if the system refuses that, the slot is unmapped instead
 * of being kept. What was opened stays open while the slot is free, since the next instance mostly wants the same; a
 * heap that shall be smaller is closed from its end on before the instance exists (memory.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define STACK_GUARD (64u << 10)

/** Below this a hostcall out of a small function couldn't be served. */
#define LEAST_STACK (16u << 10)
/** User address space of x86-64; keeps sums of limits from overflowing. */
#define MOST_BYTES ((uint64_t)1 << 46)

void lucet_limits_default(lucet_limits *l) {
  l->heap_memory_size = (uint64_t)4 << 30;
  l->heap_address_space_size = (uint64_t)8 << 30;
  l->stack_size = 1u << 20;
  l->vmctx_size = 1u << 20;
  l->table_elements = 10000000;
}

lucet_status lucet_region_create(uint32_t capacity, const lucet_limits *limits, lucet_region **region, lucet_error *error) {
  lucet_limits l;
  lucet_limits_default(&l);
  if (limits != NULL) l = *limits;
  if (sysconf(_SC_PAGESIZE) != HOST_PAGE) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "this system's page size isn't %u", HOST_PAGE);
  if (capacity == 0) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a region needs at least one slot");
  if (l.heap_address_space_size > MOST_BYTES || l.stack_size > MOST_BYTES || l.vmctx_size > MOST_BYTES)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a limit exceeds the address space");
  if (l.stack_size < LEAST_STACK) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "stack_size is below %u", LEAST_STACK);
  if (l.heap_memory_size > l.heap_address_space_size)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "heap_memory_size exceeds heap_address_space_size");
  if (l.table_elements > MOST_BYTES / 8) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "table_elements exceeds the address space");
  l.heap_address_space_size = round_up(l.heap_address_space_size, HOST_PAGE);
  l.stack_size = round_up(l.stack_size, HOST_PAGE);
  l.vmctx_size = round_up(l.vmctx_size, HOST_PAGE);
  struct lucet_region *r = calloc(1, sizeof *r);
  if (r == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  r->limits = l;
  r->capacity = capacity;
  atomic_init(&r->references, 1);
  pthread_mutex_init(&r->lock, NULL);
  *region = r;
  return lucet_ok(error);
}

void lucet_region_release(lucet_region *r) {
  if (r == NULL || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) != 1) return;
  while (r->free != NULL) {
    struct slot *s = r->free;
    r->free = s->next;
    munmap(s->start, s->size);
    free(s);
  }
  pthread_mutex_destroy(&r->lock);
  free(r);
}

uint32_t lucet_region_capacity(const lucet_region *r) { return r->capacity; }
uint32_t lucet_region_used_slots(lucet_region *r) { return atomic_load_explicit(&r->used, memory_order_relaxed); }

/** Reserve a slot's address space and open its stack. */
static struct slot *make_slot(const struct lucet_limits *l) {
  struct slot *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->size = l->vmctx_size + l->heap_address_space_size + HEAP_GUARD + STACK_GUARD + l->stack_size + HOST_PAGE;
  void *start = mmap(NULL, s->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) {
    free(s);
    return NULL;
  }
  s->start = start;
  s->base = s->start + l->vmctx_size;
  s->stack_guard = s->base + l->heap_address_space_size + HEAP_GUARD;
  s->stack_low = s->stack_guard + STACK_GUARD;
  s->stack_top = s->stack_low + l->stack_size;
  /* Huge pages would make the first touch of each stack and vmctx cost 2 MiB. Kernels built without them say EINVAL. */
  (void)madvise(start, s->size, MADV_NOHUGEPAGE);
  if (mprotect(s->stack_low, l->stack_size, PROT_READ | PROT_WRITE) != 0) {
    munmap(start, s->size);
    free(s);
    return NULL;
  }
  return s;
}

lucet_status lucet_region_take(lucet_region *r, uint64_t vmctx_size, struct slot **slot, lucet_error *error) {
  uint64_t open = round_up(vmctx_size, HOST_PAGE);
  if (open > r->limits.vmctx_size)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "the module's globals, tables and imports need %llu bytes, the region's vmctx_size is %llu",
                      (unsigned long long)open, (unsigned long long)r->limits.vmctx_size);
  if (atomic_fetch_add_explicit(&r->used, 1, memory_order_relaxed) >= r->capacity) {
    atomic_fetch_sub_explicit(&r->used, 1, memory_order_relaxed);
    return lucet_fail(error, LUCET_ERROR_REGION_FULL, 0, "all %u slots of the region are in use", r->capacity);
  }
  pthread_mutex_lock(&r->lock);
  struct slot *s = r->free;
  if (s != NULL) r->free = s->next;
  pthread_mutex_unlock(&r->lock);
  if (s == NULL) s = make_slot(&r->limits);
  if (s == NULL || (open > s->vmctx_open && mprotect(s->base - open, open - s->vmctx_open, PROT_READ | PROT_WRITE) != 0)) {
    int why = errno;
    if (s != NULL) {
      munmap(s->start, s->size);
      free(s);
    }
    atomic_fetch_sub_explicit(&r->used, 1, memory_order_relaxed);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no address space for an instance: %s", strerror(why));
  }
  if (open > s->vmctx_open) s->vmctx_open = open;
  atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
  *slot = s;
  return LUCET_OK;
}

void lucet_region_give(lucet_region *r, struct slot *s) {
  if (lucet_slot_reset(s)) {
    pthread_mutex_lock(&r->lock);
    s->next = r->free;
    r->free = s;
    pthread_mutex_unlock(&r->lock);
  } else {
    munmap(s->start, s->size);
    free(s);
  }
  atomic_fetch_sub_explicit(&r->used, 1, memory_order_relaxed);
  lucet_region_release(r);
}

bool lucet_region_close_heap(struct slot *s) {
  if (s->heap_open == 0) return true;
  if (mprotect(s->base, s->heap_open, PROT_NONE) != 0) return false;
  s->heap_open = 0;
  return true;
}
