/**
 * Regions: pools of slots (region.h draws one).
 *
 * *Guarded*: every slot is a reservation of its own, in which nothing is accessible but the stack, the vmctx and the
 * heap's pages. Generated code needs no bounds checks: what is outside faults. Two mappings of the kernel's for each
 * slot.
 *
 * *Dense*: all slots lie side by side in one readable and writable mapping. Generated code checks every access and
 * every frame. Hundreds of thousands of slots take one mapping and share page tables.
 *
 * Sandbox argument. Generated code reaches memory in three ways only. (1) Heap accesses, base + u32 index +
 * displacement, or base + checked index. They are never negative, so what is below the base (vmctx, stack) is out of
 * reach. Guarded: the compiler checks whatever may exceed the module's reserved_size, and lucet_instance_new refuses
 * modules whose reserved_size exceeds heap_address_space_size; an access of up to 16 bytes that begins below that ends
 * inside HEAP_GUARD. Memories with 64-bit addresses or small pages are compared with their length by the code itself
 * (compiler/wasm/bounds.ts). Dense: that comparison stands before every access, and lucet_instance_new takes only
 * modules whose memory_mode says so. (2) The stack, downwards. Guarded: frames above 32 KiB probe every page, so no
 * instruction skips STACK_GUARD. Dense: the prologue compares with lucet_stack_limit, which run.c sets to the end of
 * the stack that the thread runs on. What is above the stack is the vmctx of its own instance, and frames are never
 * addressed above the arguments of their own. (3) What the runtime gave it pointers to.
 *
 * Reuse. A slot that is given back is reset (reset_linux.c): its stack is zero, its heap is the module's image again.
 * If the system refuses that, the slot's memory is given back to the system and taken anew. Before another module gets
 * the slot, the image is zeroed too, and the vmctx; whatever a guest wrote is gone in either case. What was opened
 * stays open while the slot is free, since the next instance mostly wants the same; a heap that shall be smaller is
 * closed from its end on before the instance exists (memory.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define STACK_GUARD (64u << 10)
/**
 * A second line of defence below each dense slot, where the kernel has guards that are no mapping of their own (Linux
 * 6.13).
 */
#define DENSE_GUARD HOST_PAGE
#define ADVICE_GUARD_INSTALL 102
/**
 * What one page table maps; and how far above such a boundary a guarded slot's base lies. The upper part of the stack,
 * which is all that most guests use, shares its page table with the vmctx and the heap's bottom; below it there is
 * mostly none, so that resetting doesn't look at every page of the stack.
 */
#define TABLE_SPAN ((uint64_t)2 << 20)
#define ABOVE_TABLE ((uint64_t)128 << 10)

/** With less than this, even a small function could not call the host. */
#define LEAST_STACK (16u << 10)
/** User address space of x86-64; keeps sums of limits from overflowing. */
#define MOST_BYTES ((uint64_t)1 << 46)

void lucet_limits_default(lucet_limits *l) {
  l->heap_memory_size = (uint64_t)4 << 30;
  l->heap_address_space_size = (uint64_t)8 << 30;
  l->stack_size = 1u << 20;
  l->vmctx_size = 1u << 20;
  l->table_elements = 10000000;
  l->object_memory_size = (uint64_t)1 << 30;
}

void lucet_limits_default_dense(lucet_limits *l) {
  l->heap_memory_size = l->heap_address_space_size = 1u << 20;
  l->stack_size = 128u << 10;
  l->vmctx_size = 64u << 10;
  l->table_elements = 1000000;
  l->object_memory_size = 1u << 20;
}

/* ---- Creating and destroying */

static lucet_status check_limits(struct lucet_limits *l, bool dense, lucet_error *error) {
  if (l->heap_memory_size > MOST_BYTES || l->heap_address_space_size > MOST_BYTES || l->stack_size > MOST_BYTES || l->vmctx_size > MOST_BYTES ||
      l->object_memory_size > MOST_BYTES)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a limit exceeds the address space");
  if (l->stack_size < LEAST_STACK) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "stack_size is below %u", LEAST_STACK);
  if (l->vmctx_size == 0) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "vmctx_size is 0");
  if (l->heap_memory_size > l->heap_address_space_size && !dense)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "heap_memory_size exceeds heap_address_space_size");
  if (l->table_elements > MOST_BYTES / 8) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "table_elements exceeds the address space");
  if (dense) l->heap_address_space_size = l->heap_memory_size;
  l->heap_address_space_size = round_up(l->heap_address_space_size, HOST_PAGE);
  l->stack_size = round_up(l->stack_size, HOST_PAGE);
  l->vmctx_size = round_up(l->vmctx_size, HOST_PAGE);
  return LUCET_OK;
}

static lucet_status make_slab(struct lucet_region *r, lucet_error *error) {
  const struct lucet_limits *l = &r->limits;
  r->pitch = DENSE_GUARD + l->stack_size + l->vmctx_size + l->heap_address_space_size;
  if (r->pitch > MOST_BYTES / r->capacity)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "%u slots of %llu bytes exceed the address space", r->capacity, (unsigned long long)r->pitch);
  /* The last slot's heap is followed by a guard as all others are. */
  uint64_t size = r->pitch * r->capacity + DENSE_GUARD;
  void *slab = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (slab == MAP_FAILED)
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no address space for %u slots of %llu bytes: %s", r->capacity, (unsigned long long)r->pitch,
                      strerror(errno));
  r->slab = slab;
  r->slab_size = size;
  /* Huge pages would make the first touch of a slot cost 2 MiB. Kernels built without them say EINVAL. */
  (void)madvise(slab, size, MADV_NOHUGEPAGE);
  (void)madvise(r->slab + size - DENSE_GUARD, DENSE_GUARD, ADVICE_GUARD_INSTALL);
  return LUCET_OK;
}

static void init_lock(pthread_mutex_t *lock) {
  /* Held for some dozens of instructions: going to sleep over it costs more than waiting. */
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ADAPTIVE_NP);
  pthread_mutex_init(lock, &a);
  pthread_mutexattr_destroy(&a);
}

/**
 * A mapped extent splits the mapping that it lies in: up to two more of the 65,530 that a process has by default, which
 * its heap and its threads need too. When so many extents are mapped, further slots get copies.
 */
#define MOST_MAPPED 16384
unsigned lucet_most_mapped = MOST_MAPPED;
static _Atomic(unsigned) mapped_extents;

static void forget_mapped(struct slot *s) {
  atomic_fetch_sub_explicit(&mapped_extents, (unsigned)__builtin_popcount(s->mapped_extents), memory_order_relaxed);
  s->mapped_extents = 0;
  s->mapped = 0;
}

static void destroy(struct lucet_region *r) {
  for (uint32_t k = 0; r->slots != NULL && k < r->capacity; k++) {
    struct slot *s = &r->slots[k];
    if (r->free.strategy == LUCET_SLOTS_LINEAR && k >= r->free.fresh) break;
    if (s->start != NULL) forget_mapped(s);
    if (s->start != NULL && !s->dense) munmap(s->start, s->size);
    if (s->host != NULL) lucet_host_block_drop(s->host);
    free(s->host);
  }
  if (r->slab != NULL) munmap(r->slab, r->slab_size);
  lucet_free_slots_destroy(&r->free);
  free(r->slots);
  pthread_mutex_destroy(&r->lock);
  free(r);
}

lucet_status lucet_region_create_with(uint32_t capacity, const lucet_region_options *options, lucet_region **region, lucet_error *error) {
  bool dense = options->kind == LUCET_REGION_DENSE;
  if (options->kind != LUCET_REGION_GUARDED && !dense) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "no such kind of region: %u", (unsigned)options->kind);
  if ((unsigned)options->strategy > LUCET_SLOTS_CUSTOM || (options->strategy == LUCET_SLOTS_CUSTOM && options->chooser == NULL))
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "no such slot strategy, or no chooser for it");
  if (sysconf(_SC_PAGESIZE) != HOST_PAGE) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "this system's page size isn't %u", HOST_PAGE);
  if (capacity == 0) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a region needs at least one slot");
  struct lucet_region *r = calloc(1, sizeof *r);
  if (r == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  r->kind = options->kind;
  r->capacity = capacity;
  init_lock(&r->lock);
  if (options->limits != NULL)
    r->limits = *options->limits;
  else if (dense)
    lucet_limits_default_dense(&r->limits);
  else
    lucet_limits_default(&r->limits);
  lucet_status status = check_limits(&r->limits, dense, error);
  if (status == LUCET_OK) {
    r->slots = calloc(capacity, sizeof *r->slots);
    if (r->slots == NULL || !lucet_free_slots_init(&r->free, r->slots, capacity, options))
      status = lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for %u slots", capacity);
  }
  if (status == LUCET_OK && dense) status = make_slab(r, error);
  if (status != LUCET_OK) {
    destroy(r);
    return status;
  }
  *region = r;
  return lucet_ok(error);
}

lucet_status lucet_region_create(uint32_t capacity, const lucet_limits *limits, lucet_region **region, lucet_error *error) {
  const lucet_region_options options = {.kind = LUCET_REGION_GUARDED, .strategy = LUCET_SLOTS_LINEAR, .limits = limits};
  return lucet_region_create_with(capacity, &options, region, error);
}

void lucet_region_release(lucet_region *r) {
  if (r == NULL) return;
  pthread_mutex_lock(&r->lock);
  r->released = true;
  bool last = r->used == 0;
  pthread_mutex_unlock(&r->lock);
  if (last) destroy(r);
}

lucet_region_kind lucet_region_kind_of(const lucet_region *r) { return r->kind; }
uint32_t lucet_region_capacity(const lucet_region *r) { return r->capacity; }

uint32_t lucet_region_used_slots(lucet_region *r) {
  pthread_mutex_lock(&r->lock);
  uint32_t used = r->used;
  pthread_mutex_unlock(&r->lock);
  return used;
}

uint32_t lucet_region_free_slots(lucet_region *r) {
  pthread_mutex_lock(&r->lock);
  uint32_t n = r->capacity - r->used - r->lost;
  pthread_mutex_unlock(&r->lock);
  return n;
}

/* ---- A slot's memory */

/** Give a slot its address space. */
static bool make_slot(const struct lucet_region *r, struct slot *s) {
  const struct lucet_limits *l = &r->limits;
  s->number = (uint32_t)(s - r->slots);
  if (r->kind == LUCET_REGION_DENSE) {
    s->dense = true;
    s->size = r->pitch;
    s->start = r->slab + s->number * r->pitch;
    s->base = s->start + DENSE_GUARD + l->stack_size + l->vmctx_size;
    (void)madvise(s->start, DENSE_GUARD, ADVICE_GUARD_INSTALL);
  } else {
    uint64_t below = STACK_GUARD + l->stack_size + l->vmctx_size, size = below + TABLE_SPAN + l->heap_address_space_size + HEAP_GUARD;
    void *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return false;
    (void)madvise(start, size, MADV_NOHUGEPAGE);
    s->size = size;
    s->start = start;
    uint64_t least = (uint64_t)(uintptr_t)start + below;
    s->base = (uint8_t *)(uintptr_t)(round_up(least - ABOVE_TABLE, TABLE_SPAN) + ABOVE_TABLE);
  }
  s->stack_guard = s->start;
  /* Nothing of the stack is open yet. */
  s->stack_low = s->stack_top = s->base;
  s->heap_open = 0;
  s->mapped = 0;
  s->mapped_extents = 0;
  s->warm = 0;
  s->touched = (struct touched){0};
  return true;
}

/** Give back what can't be reset. False: the slot is lost. */
static bool unmake_slot(struct slot *s) {
  s->warm = 0;
  forget_mapped(s);
  bool gone;
  if (!s->dense)
    gone = munmap(s->start, s->size) == 0;
  else
    gone = mmap(s->start, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  if (gone && s->dense) (void)madvise(s->start, s->size, MADV_NOHUGEPAGE);
  s->start = NULL;
  return gone;
}

/** Over a part of the heap: fresh memory of the slot's kind, zero. */
static bool map_fresh(struct slot *s, uint64_t offset, uint64_t length) {
  void *p = mmap(s->base + offset, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (p == MAP_FAILED) return false;
  (void)madvise(p, length, MADV_NOHUGEPAGE);
  return true;
}

/** Zero all that an instance of another module left: its image and its vmctx. */
static bool scrub(struct slot *s) {
  if (s->mapped != 0 && !map_fresh(s, 0, s->mapped)) return false;
  forget_mapped(s);
  if (!lucet_slot_reset(s, NULL, false)) return false;
  memset(s->stack_top, 0, (size_t)(s->base - s->stack_top));
  return true;
}

/**
 * Open the stack and the vmctx where a vmctx of that size wants them; what is below the stack is closed. All of it is
 * zero.
 */
static bool place_stack(const struct lucet_region *r, struct slot *s, uint64_t vmctx) {
  uint8_t *top = s->base - vmctx, *low = top - r->limits.stack_size;
  if (!s->dense) {
    if (low < s->stack_low && mprotect(low, (size_t)(s->stack_low - low), PROT_READ | PROT_WRITE) != 0) return false;
    if (low > s->stack_low && mprotect(s->stack_low, (size_t)(low - s->stack_low), PROT_NONE) != 0) return false;
  }
  s->stack_low = low;
  s->stack_top = top;
  return true;
}

/** `length` bytes of the heap become accessible. */
static bool open_heap(struct slot *s, uint64_t length) {
  uint64_t open = round_up(length, HOST_PAGE);
  if (open <= s->heap_open) return true;
  if (!s->dense && mprotect(s->base + s->heap_open, open - s->heap_open, PROT_READ | PROT_WRITE) != 0) return false;
  s->heap_open = open;
  return true;
}

static bool load_image(struct slot *s, const struct image *image) {
  for (uint32_t k = 0; k < image->extent_count; k++) {
    const struct image_extent *e = &image->extents[k];
    bool map = image->file >= 0 && atomic_load_explicit(&mapped_extents, memory_order_relaxed) < lucet_most_mapped;
    if (map && lucet_image_map(image, e, s->base)) {
      s->mapped = e->offset + e->length;
      s->mapped_extents |= 1u << k;
      atomic_fetch_add_explicit(&mapped_extents, 1, memory_order_relaxed);
      continue;
    }
    /* A mapping that failed may have left a hole. */
    if (map && !map_fresh(s, e->offset, e->length)) return false;
    memcpy(s->base + e->offset, e->bytes, e->length);
  }
  return true;
}

/**
 * Make a slot that is warm for another module, or for none, ready for `m`. Afterwards only `warm` and the host block
 * are missing.
 */
static lucet_status refill(const struct lucet_region *r, struct slot *s, const lucet_module *m, lucet_error *error) {
  const struct metadata *d = &m->meta;
  s->warm = 0;
  uint64_t heap = 0;
  if (d->header->imported_memories != d->memory_count) {
    const struct lucet_memory_record *t = &d->memories[d->header->imported_memories];
    uint64_t most = min_u64(r->limits.heap_memory_size, r->limits.heap_address_space_size);
    if (t->min > most >> t->page_size_log2)
      return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "memory %u has %llu pages of %llu bytes at the start, the region allows %llu",
                        d->header->imported_memories, (unsigned long long)t->min, 1ull << t->page_size_log2,
                        (unsigned long long)(most >> t->page_size_log2));
    heap = t->min << t->page_size_log2;
  }
  bool ok = scrub(s) && place_stack(r, s, round_up(d->header->vmctx_size, HOST_PAGE)) && open_heap(s, heap);
  if (!ok) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for an instance: %s", strerror(errno));
  if (!load_image(s, &m->heap_image)) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for a data image: %s", strerror(errno));
  return LUCET_OK;
}

/* ---- Taking and giving back */

lucet_status lucet_region_take(lucet_region *r, const lucet_module *m, struct slot **slot, lucet_error *error) {
  uint64_t vmctx = round_up(m->meta.header->vmctx_size, HOST_PAGE);
  if (vmctx > r->limits.vmctx_size)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "the module's globals, tables and imports need %llu bytes, the region's vmctx_size is %llu",
                      (unsigned long long)vmctx, (unsigned long long)r->limits.vmctx_size);
  pthread_mutex_lock(&r->lock);
  struct slot *s = NULL;
  if (r->used < r->capacity - r->lost) {
    r->used++;
    s = lucet_free_slots_take(&r->free, m->serial);
  }
  pthread_mutex_unlock(&r->lock);
  if (s == NULL) return lucet_fail(error, LUCET_ERROR_REGION_FULL, 0, "all %u slots of the region are in use", r->capacity);
  lucet_status status = LUCET_OK;
  if (s->start == NULL && !make_slot(r, s))
    status = lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no address space for an instance: %s", strerror(errno));
  else if (s->warm != m->serial)
    status = refill(r, s, m, error);
  if (status != LUCET_OK) {
    lucet_region_give(r, s, m, false);
    return status;
  }
  *slot = s;
  return LUCET_OK;
}

void lucet_region_give(lucet_region *r, struct slot *s, const lucet_module *m, bool sole) {
  bool kept = s->start == NULL || lucet_slot_reset(s, s->warm != 0 ? &m->heap_image : NULL, sole) || unmake_slot(s);
  pthread_mutex_lock(&r->lock);
  if (kept)
    lucet_free_slots_give(&r->free, s);
  else
    r->lost++;
  bool last = --r->used == 0 && r->released;
  pthread_mutex_unlock(&r->lock);
  if (last) destroy(r);
}

bool lucet_region_close_heap(struct slot *s) {
  if (s->heap_open == 0 || s->dense) return true;
  if (mprotect(s->base, s->heap_open, PROT_NONE) != 0) return false;
  s->heap_open = 0;
  return true;
}
