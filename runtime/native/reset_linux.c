/**
 * Making a used slot as new, in proportion to what was touched.
 *
 * A slot in which few pages were touched is cleared in place: the kernel lists the pages that are there (PAGEMAP_SCAN,
 * since Linux 6.7), and they are overwritten with zeros; the next instance then finds them mapped. Otherwise, or where
 * the kernel can't tell, the pages are dropped (MADV_DONTNEED), and the next touch of each costs a fault. What was
 * open before and is closed now was cleared when it was closed last (region.c), and is not looked at: it can't be
 * written.
 *
 * Sandbox argument. A page of private anonymous memory that is neither present nor swapped out has no contents but
 * zeros. The scans cover all that is open in the slot; one counts as complete only if the kernel walked to the
 * end, and every page that it lists is cleared. Nobody runs in the slot meanwhile.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/** More pages than this are dropped: it bounds both the time that clearing takes and the memory that a free slot keeps. */
#define MOST_CLEARED 32

/* linux/fs.h has these since 6.7. */
struct region_found {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct scan {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
#define SCAN_REQUEST _IOWR('f', 16, struct scan)
#define IS_PRESENT (1u << 3)
#define IS_SWAPPED (1u << 4)

/**
 * The descriptor of /proc/self/pagemap belongs to the process that opened it: in a child made by fork it would tell
 * about the parent's memory. So it is kept in a page which the kernel empties in a child.
 */
struct kept {
  /** Descriptor + 1; 0: not opened in this process; -1: can't be had. */
  _Atomic(int) descriptor;
};
static struct kept *kept;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_kept(void) {
  void *p = mmap(NULL, HOST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return;
  if (madvise(p, HOST_PAGE, MADV_WIPEONFORK) != 0)
    munmap(p, HOST_PAGE);
  else
    kept = p;
}

/** Descriptor of this process's pagemap, or -1. */
static int pagemap(void) {
  pthread_once(&once, make_kept);
  if (kept == NULL) return -1;
  int value = atomic_load(&kept->descriptor);
  if (value == 0) {
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    int fresh = fd >= 0 ? fd + 1 : -1;
    if (atomic_compare_exchange_strong(&kept->descriptor, &value, fresh))
      value = fresh;
    else if (fd >= 0)
      close(fd);
  }
  return value > 0 ? value - 1 : -1;
}

/** Clear the pages in [start, end) that are there. False: there are too many, or the kernel can't tell. */
static bool clear_touched(const uint8_t *start, const uint8_t *end) {
  int fd = pagemap();
  if (fd < 0) return false;
  struct region_found found[MOST_CLEARED + 1];
  struct scan s = {
      .size = sizeof s,
      .start = (uint64_t)(uintptr_t)start,
      .end = (uint64_t)(uintptr_t)end,
      .vec = (uint64_t)(uintptr_t)found,
      .vec_len = MOST_CLEARED + 1,
      .max_pages = MOST_CLEARED + 1,
      .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
      .return_mask = IS_PRESENT | IS_SWAPPED,
  };
  long n = ioctl(fd, SCAN_REQUEST, &s);
  if (n < 0) {
    /* An older kernel. The descriptor stays open: another thread may be using it. */
    atomic_store(&kept->descriptor, -1);
    return false;
  }
  uint64_t pages = 0;
  for (long k = 0; k < n; k++) pages += (found[k].end - found[k].start) / HOST_PAGE;
  if (n > MOST_CLEARED || pages > MOST_CLEARED || s.walk_end != s.end) return false;
  for (long k = 0; k < n; k++) memset((void *)(uintptr_t)found[k].start, 0, found[k].end - found[k].start);
  return true;
}

static bool reset(uint8_t *start, const uint8_t *end) {
  return start == end || clear_touched(start, end) || madvise(start, (size_t)(end - start), MADV_DONTNEED) == 0;
}

/* Two scans: between heap and stack lie gigabytes without pages, and the kernel's walk takes its time over them. */
bool lucet_slot_reset(const struct slot *s) { return reset(s->base - s->vmctx_open, s->base + s->heap_open) && reset(s->stack_low, s->stack_top); }
