/**
 * Making a used slot as new, in proportion to what was touched.
 *
 * The kernel lists the pages that an instance has of its own (PAGEMAP_SCAN, since Linux 6.7): anonymous ones that are
 * there, and copies of file pages. They are overwritten, with zeros or with the image; the next instance then finds
 * them mapped. Where there are too many, or where the kernel can't tell, the pages are dropped (MADV_DONTNEED), which
 * brings back zeros or the file's bytes; the next touch of each costs a fault, and what of the image isn't mapped is
 * copied again.
 *
 * Sandbox argument. A page of private anonymous memory that is neither present nor swapped out, or that is the kernel's
 * page of zeros, has no contents but zeros; a page of a private file mapping that is neither an anonymous copy nor
 * swapped out has the contents of the file, which nobody writes. The scan covers stack and heap up to what was
 * accessible; it counts as complete only if the kernel walked to the end, and every page that it lists is overwritten.
 * Nobody runs in the slot meanwhile. What was open before and is closed now was cleared when it was closed last
 * (memory.c), and can't be written. The vmctx, between the two, is not looked at: instance.c writes all of it before
 * the next instance runs, or region.c clears it.
 *
 * Asking takes most of the time of a small reset. After a run that the caller knows to have been this thread's alone
 * (command.c), the answer is known if the thread has had no page fault since the last one: a page comes to be a slot's
 * own only by a fault, which the kernel counts for the thread whose access or system call it was (mm_account_fault);
 * slots have no huge pages. What the last answer listed is then a superset still: pages only go if somebody drops them,
 * and are zero again then, or the image's. The fault counter is the thread's in this process, so both are part of the
 * comparison; every other way of resetting, or of turning the slot to another module, forgets the list.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "internal.h"

/**
 * More pages than this are dropped: it bounds the memory that a free slot keeps. Overwriting a page is cheaper than a
 * fault, so it isn't for time.
 */
#define MOST_KEPT_PAGES 256
/** Stretches of pages. */
#define MOST_STRETCHES 48

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
#define IS_FILE (1u << 2)
#define IS_PRESENT (1u << 3)
#define IS_SWAPPED (1u << 4)
#define IS_ZERO_PAGE (1u << 5)

bool lucet_reset_blind __attribute__((visibility("hidden")));

/**
 * The descriptor of /proc/self/pagemap belongs to the process that opened it: in a child made by fork it would tell
 * about the parent's memory. So it is kept in a page which the kernel empties in a child.
 */
struct kept {
  /** Descriptor + 1; 0: not opened in this process; -1: can't be had. */
  _Atomic(int) descriptor;
  /** A number that no other process has; 0: there is none. */
  _Atomic(uint64_t) process;
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
    uint64_t process = 0;
    if (getrandom(&process, sizeof process, GRND_NONBLOCK) != sizeof process) process = 0;
    uint64_t none = 0;
    (void)atomic_compare_exchange_strong(&kept->process, &none, process);
    if (atomic_compare_exchange_strong(&kept->descriptor, &value, fresh))
      value = fresh;
    else if (fd >= 0)
      close(fd);
  }
  return value > 0 ? value - 1 : -1;
}

/** The page-aligned stretch [from, to) of the heap gets what the image says. */
static void restore_heap(uint8_t *heap, const struct image *image, uint64_t from, uint64_t to) {
  for (uint32_t k = 0; image != NULL && k < image->extent_count && from < to; k++) {
    const struct image_extent *e = &image->extents[k];
    if (from >= e->offset + e->length) continue;
    if (to <= e->offset) break;
    if (from < e->offset) {
      memset(heap + from, 0, e->offset - from);
      from = e->offset;
    }
    uint64_t end = min_u64(to, e->offset + e->length);
    memcpy(heap + from, e->bytes + (from - e->offset), end - from);
    from = end;
  }
  if (from < to) memset(heap + from, 0, to - from);
}

/** A stretch that the kernel listed: from anywhere in the stack to anywhere in the heap. */
static void restore(const struct slot *s, const struct image *image, uint8_t *start, uint8_t *end) {
  if (start < s->stack_top) memset(start, 0, (size_t)((end < s->stack_top ? end : s->stack_top) - start));
  if (end > s->base) restore_heap(s->base, image, start > s->base ? (uint64_t)(start - s->base) : 0, (uint64_t)(end - s->base));
}

/** Page faults of this thread so far; -1: the system doesn't tell. */
static int64_t thread_faults(void) {
  struct rusage u;
  return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_minflt + u.ru_majflt : -1;
}

/** Never that of another thread of this process, even of one that has ended. */
static uint64_t thread_number(void) {
  static _Atomic(uint64_t) last;
  static _Thread_local uint64_t mine;
  if (mine == 0) mine = atomic_fetch_add(&last, 1) + 1;
  return mine;
}

static uint64_t process_number(void) { return kept != NULL ? atomic_load(&kept->process) : 0; }

/** A thread that keeps faulting is asked less and less often. */
#define MOST_MISSES 6

/** What the kernel found is kept, to be compared with at the next reset by this thread. */
static void remember(struct slot *s, const struct region_found *found, long n) {
  struct touched *t = &s->touched;
  if (t->wait > 0) {
    t->wait--;
    return;
  }
  if (n > MOST_REMEMBERED) return;
  t->process = process_number();
  t->thread = thread_number();
  t->faults = thread_faults();
  if (t->process == 0 || t->faults < 0) return;
  uint64_t low = (uint64_t)(uintptr_t)s->stack_low;
  for (long k = 0; k < n; k++) {
    t->stretches[k].from = (uint32_t)((found[k].start - low) / HOST_PAGE);
    t->stretches[k].to = (uint32_t)((found[k].end - low) / HOST_PAGE);
  }
  t->count = (uint8_t)n;
}

/** Overwrite the pages that are remembered. False: there may be others. */
static bool overwrite_remembered(struct slot *s, const struct image *image) {
  struct touched *t = &s->touched;
  if (t->count == 0) return false;
  if (lucet_reset_blind || t->process != process_number() || t->thread != thread_number() || t->faults != thread_faults()) {
    if (t->misses < MOST_MISSES) t->misses++;
    t->wait = (uint8_t)((1u << t->misses) - 2);
    return false;
  }
  t->misses = 0;
  t->hits++;
  /* What is closed by now was cleared then, and opens with a fault, or as zeros. */
  uint8_t *open = s->base + s->heap_open;
  for (uint32_t k = 0; k < t->count; k++) {
    uint8_t *from = s->stack_low + (uint64_t)t->stretches[k].from * HOST_PAGE, *to = s->stack_low + (uint64_t)t->stretches[k].to * HOST_PAGE;
    if (from < open) restore(s, image, from, to < open ? to : open);
  }
  return true;
}

/** Overwrite the pages that were touched. False: there are too many, or the kernel can't tell. */
static bool overwrite_touched(struct slot *s, const struct image *image, bool sole) {
  int fd = lucet_reset_blind ? -1 : pagemap();
  if (fd < 0) return false;
  struct region_found found[MOST_STRETCHES];
  struct scan scan = {
      .size = sizeof scan,
      .start = (uint64_t)(uintptr_t)s->stack_low,
      .end = (uint64_t)(uintptr_t)s->base + s->heap_open,
      .vec = (uint64_t)(uintptr_t)found,
      .vec_len = MOST_STRETCHES,
      .max_pages = MOST_KEPT_PAGES,
      .category_inverted = IS_FILE | IS_ZERO_PAGE,
      .category_mask = IS_FILE | IS_ZERO_PAGE,
      .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
      .return_mask = IS_PRESENT,
  };
  long n = ioctl(fd, SCAN_REQUEST, &scan);
  if (n < 0) {
    /* An older kernel. The descriptor stays open: another thread may be using it. */
    atomic_store(&kept->descriptor, -1);
    return false;
  }
  /* When one of the limits was reached the kernel stops there. */
  if (scan.walk_end != scan.end) return false;
  for (long k = 0; k < n; k++) restore(s, image, (uint8_t *)(uintptr_t)found[k].start, (uint8_t *)(uintptr_t)found[k].end);
  if (sole) remember(s, found, n);
  return true;
}

/** Drop all pages; copy what of the image isn't mapped. */
static bool drop(const struct slot *s, const struct image *image) {
  if (madvise(s->stack_low, (size_t)(s->stack_top - s->stack_low), MADV_DONTNEED) != 0) return false;
  if (s->heap_open != 0 && madvise(s->base, s->heap_open, MADV_DONTNEED) != 0) return false;
  for (uint32_t k = 0; image != NULL && k < image->extent_count; k++) {
    const struct image_extent *e = &image->extents[k];
    if ((s->mapped_extents >> k & 1) == 0) memcpy(s->base + e->offset, e->bytes, e->length);
  }
  return true;
}

bool lucet_slot_reset(struct slot *s, const struct image *image, bool sole) {
  if (sole && overwrite_remembered(s, image)) return true;
  s->touched.count = 0;
  return overwrite_touched(s, image, sole) || drop(s, image);
}

void lucet_zero(void *start, size_t size) {
  uint8_t *p = start, *from = (uint8_t *)(uintptr_t)round_up((uint64_t)(uintptr_t)p, HOST_PAGE);
  uint8_t *to = (uint8_t *)(uintptr_t)((uint64_t)(uintptr_t)(p + size) & ~(uint64_t)(HOST_PAGE - 1));
  /* The C heap is private anonymous memory: pages that are dropped come back as zeros. */
  if (size < MOST_KEPT_PAGES * HOST_PAGE || madvise(from, (size_t)(to - from), MADV_DONTNEED) != 0) {
    memset(p, 0, size);
    return;
  }
  memset(p, 0, (size_t)(from - p));
  memset(to, 0, (size_t)(p + size - to));
}
