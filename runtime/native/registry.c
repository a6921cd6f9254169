/**
 * Which addresses are guest code. The signal handler asks, so the answer takes no lock: it reads a sorted array that
 * is never changed but replaced.
 *
 * A replaced array is freed once no handler can be reading it: `readers` counts handlers inside
 * lucet_registry_is_guest, and a handler counts itself before it loads `current`. When, after the replacement, the
 * count is seen at 0, whoever comes later finds the new array; so every array retired until then is free. If it isn't
 * 0 the arrays wait for the next change. Sequentially consistent operations order the count and the pointer on both
 * sides.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct range {
  uint64_t start;
  uint64_t end;
  lucet_module *module;
};

struct snapshot {
  struct snapshot *retired_next;
  size_t count;
  struct range ranges[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct snapshot *) current;
static atomic_uint readers;
static struct snapshot *retired;

/** The range that holds pc, or NULL. */
static const struct range *find(const struct snapshot *s, uint64_t pc) {
  if (s == NULL) return NULL;
  size_t low = 0, high = s->count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (s->ranges[mid].end <= pc)
      low = mid + 1;
    else
      high = mid;
  }
  return low < s->count && s->ranges[low].start <= pc ? &s->ranges[low] : NULL;
}

bool lucet_registry_is_guest(uint64_t pc) {
  atomic_fetch_add(&readers, 1);
  bool found = find(atomic_load(&current), pc) != NULL;
  atomic_fetch_sub(&readers, 1);
  return found;
}

lucet_module *lucet_registry_find(uint64_t pc) {
  pthread_mutex_lock(&lock);
  const struct range *r = find(atomic_load(&current), pc);
  lucet_module *m = r != NULL ? r->module : NULL;
  pthread_mutex_unlock(&lock);
  return m;
}

/** Put `fresh` in the place of the present array. The lock is held. */
static void replace(struct snapshot *fresh) {
  struct snapshot *old = atomic_exchange(&current, fresh);
  if (old != NULL) {
    old->retired_next = retired;
    retired = old;
  }
  if (atomic_load(&readers) != 0) return;
  while (retired != NULL) {
    struct snapshot *next = retired->retired_next;
    free(retired);
    retired = next;
  }
}

static void keep(struct snapshot *fresh, const struct range *r) {
  if (r->module != NULL) fresh->ranges[fresh->count++] = *r;
}

bool lucet_registry_add(lucet_module *m) {
  uint64_t start = (uint64_t)(uintptr_t)m->text, size = m->meta.header->text_size;
  if (size == 0) return true;
  pthread_mutex_lock(&lock);
  struct snapshot *old = atomic_load(&current);
  size_t n = old != NULL ? old->count : 0, at = 0;
  struct snapshot *fresh = malloc(sizeof *fresh + (n + 1) * sizeof fresh->ranges[0]);
  if (fresh != NULL) {
    fresh->count = 0;
    /* Empty ranges go: one might begin where this module does, and hide it. */
    for (; at < n && old->ranges[at].start < start; at++) keep(fresh, &old->ranges[at]);
    keep(fresh, &(struct range){start, start + size, m});
    for (; at < n; at++) keep(fresh, &old->ranges[at]);
    replace(fresh);
  }
  pthread_mutex_unlock(&lock);
  return fresh != NULL;
}

void lucet_registry_remove(lucet_module *m) {
  pthread_mutex_lock(&lock);
  struct snapshot *old = atomic_load(&current);
  size_t n = old != NULL ? old->count : 0, at = 0;
  while (at < n && old->ranges[at].module != m) at++;
  if (at < n) {
    struct snapshot *fresh = malloc(sizeof *fresh + n * sizeof fresh->ranges[0]);
    if (fresh != NULL) {
      memcpy(fresh->ranges, old->ranges, at * sizeof fresh->ranges[0]);
      memcpy(fresh->ranges + at, old->ranges + at + 1, (n - at - 1) * sizeof fresh->ranges[0]);
      fresh->count = n - 1;
      replace(fresh);
    } else {
      /* No memory for a shorter array. An empty range is found by no address, and the order of the others stays. */
      old->ranges[at].end = old->ranges[at].start;
      old->ranges[at].module = NULL;
    }
  }
  pthread_mutex_unlock(&lock);
}
