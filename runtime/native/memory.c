/**
 * Linear memories: a base that never moves, a length that only grows, and address space reserved behind it.
 *
 * Sandbox argument, guarded. Bytes from `base` up to `open` are accessible, and nothing else up to `reserved` +
 * HEAP_GUARD ever is; `length` <= `open` <= `reserved`. `open` is `length` rounded up to host pages: for memories whose
 * size is a multiple of the wasm page size both are equal, so a fault is exact. Pages are opened before the length says
 * they are there. Dense: `length` <= `reserved`, all of which is accessible and belongs to this memory; every access
 * was compared with the length, which never shrinks, so what is behind the length has not been written and is zero when
 * the memory grows.
 *
 * Memories beside the primary one keep their address space as long as their slot is warm for the module. Only bytes
 * below `open` can ever have been written, and all of these pages are dropped before the next instance: they come back
 * as zeros.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "internal.h"

uint8_t *lucet_memory_reserve(uint64_t reserved) {
  void *p = mmap(NULL, reserved + HEAP_GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return NULL;
  (void)madvise(p, reserved + HEAP_GUARD, MADV_NOHUGEPAGE);
  return p;
}

void lucet_memory_unreserve(uint8_t *base, uint64_t reserved) { munmap(base, reserved + HEAP_GUARD); }

void lucet_memory_recycle(struct memory *m) {
  if (m->base == NULL || m->open == 0 || madvise(m->base, m->open, MADV_DONTNEED) == 0) return;
  lucet_memory_unreserve(m->base, m->reserved);
  m->base = NULL;
}

/** Open the pages up to `length`. */
static bool open_to(struct memory *m, uint64_t length) {
  uint64_t open = round_up(length, HOST_PAGE);
  if (open <= m->open || m->all_open) return true;
  if (mprotect(m->base + m->open, open - m->open, PROT_READ | PROT_WRITE) != 0) return false;
  m->open = open;
  return true;
}

/** Close what the slot's last instance left open behind `length`. */
static bool close_from(struct memory *m, uint64_t length) {
  uint64_t open = round_up(length, HOST_PAGE);
  if (open >= m->open || m->all_open) return true;
  if (mprotect(m->base + open, m->open - open, PROT_NONE) != 0) return false;
  m->open = open;
  return true;
}

lucet_status lucet_memory_init(struct memory *m, const struct lucet_memory_record *type, const struct lucet_limits *limits, uint32_t index,
                               lucet_error *error) {
  m->page_log2 = type->page_size_log2;
  m->flags = type->flags;
  m->declared_max = type->max;
  /*
   * A 32-bit memory has at most 2^32 bytes, and a size in pages that is an i32; what a 64-bit one may have at most
   * doesn't fit any region.
   */
  uint64_t most = min_u64(limits->heap_memory_size, limits->heap_address_space_size) >> m->page_log2;
  if ((m->flags & 1) == 0) most = min_u64(most, min_u64(UINT32_MAX, (uint64_t)1 << (32 - m->page_log2)));
  m->max = min_u64(type->max, most);
  if (type->min > m->max)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "memory %u has %llu pages of %llu bytes at the start, the region allows %llu", index,
                      (unsigned long long)type->min, 1ull << m->page_log2, (unsigned long long)m->max);
  if (!close_from(m, type->min << m->page_log2) || !open_to(m, type->min << m->page_log2))
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no memory for memory %u (%llu pages)", index, (unsigned long long)type->min);
  *m->length = type->min << m->page_log2;
  return LUCET_OK;
}

uint64_t lucet_memory_grow(struct memory *m, uint64_t delta) {
  uint64_t pages = *m->length >> m->page_log2;
  /* pages <= max always, so the difference can't wrap, and a sum that passes is <= max <= reserved >> page_log2. */
  if (delta > m->max - pages || !open_to(m, (pages + delta) << m->page_log2)) return UINT64_MAX;
  *m->length = (pages + delta) << m->page_log2;
  return pages;
}

bool lucet_memory_holds(const struct memory *m, uint64_t offset, uint64_t length) {
  uint64_t n = *m->length;
  return offset <= n && length <= n - offset;
}
