/**
 * Watchpoints: a guest stops behind the instruction that changes, or touches, bytes of a memory, of a global, or of its
 * own stack.
 *
 * The debug registers are a thread's, and it is the thread that runs the guest which has them, from the moment it
 * enters guest code until the guest is left for the embedder to act. So a guest may go on on another thread, and nobody
 * else's accesses are seen. Host functions that the guest calls run meanwhile, and what they write is seen as well: the
 * signal then finds the thread in host code, and makes it a request, which stops the guest when they return. What the
 * *system* writes for them is not seen; therefore values are compared, too, when a host function has returned. The flag
 * BINDING_WATCHED of the instance's bindings leads there, so that it costs nobody else anything.
 *
 * A value is compared with what it was when it was last looked at. A write of the same value is no change, and does not
 * stop. Two signals at once, from an access to what two watchpoints watch, become one (and so do a watchpoint's and a
 * single step's), so all are compared at each.
 *
 * Any thread may set and clear them. What it changes is in force when the guest enters its code the next time, which a
 * request makes happen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "watch.h"

struct watch {
  /** NULL: it is not set. Memories and globals never move, and live as long as the instance. */
  const uint8_t *at;
  uint32_t size;
  bool reads;
  /** It is another one than the one that is open. */
  bool fresh;
  /** Of the thread that runs the guest; -1: not open. */
  int fd;
  /** Why it could not be opened, as errno; 0: it could. */
  int error;
  /** By the signal handler. */
  atomic_bool touched;
  uint64_t value;
  bool hit;
  uint64_t before;
};

struct watches {
  pthread_mutex_t lock;
  struct watch all[LUCET_WATCHPOINTS];
};

/** Signals carry the address of a watch, with this above it. Addresses have 47 bits. */
#define MARK ((uint64_t)0x4c57 << 48)

/** This thread reads what is watched, which is no access of the guest's. */
static _Thread_local volatile sig_atomic_t looking __attribute__((tls_model("initial-exec")));

/* Up to the handler's part with the lock held. */

static uint64_t value_of(const struct watch *w) {
  uint64_t value;
  looking = 1;
  switch (w->size) {
    case 1: value = __atomic_load_n(w->at, __ATOMIC_RELAXED); break;
    case 2: value = __atomic_load_n((const uint16_t *)(const void *)w->at, __ATOMIC_RELAXED); break;
    case 4: value = __atomic_load_n((const uint32_t *)(const void *)w->at, __ATOMIC_RELAXED); break;
    default: value = __atomic_load_n((const uint64_t *)(const void *)w->at, __ATOMIC_RELAXED); break;
  }
  looking = 0;
  return value;
}

static bool is_hit(const struct watch *w, bool touched) { return value_of(w) != w->value || (touched && w->reads); }

static void close_one(struct watch *w) {
  if (w->fd >= 0) lucet_watch_close(w->fd);
  w->fd = -1;
}

static struct watches *lock_of(struct lucet_instance *i) {
  struct watches *all = atomic_load(&i->watches);
  if (all != NULL) pthread_mutex_lock(&all->lock);
  return all;
}

void lucet_watch_arm(struct lucet_activation *a, bool compare) {
  struct watches *all = lock_of(a->instance);
  bool changed = false;
  for (struct watch *w = all->all; w < all->all + LUCET_WATCHPOINTS; w++) {
    if (w->fresh || w->at == NULL) close_one(w);
    if (w->at == NULL) continue;
    if (w->fresh || !compare) {
      w->value = value_of(w);
      atomic_store(&w->touched, false);
    }
    w->fresh = false;
    if (w->fd < 0) w->fd = lucet_watch_open(w->at, w->size, w->reads, MARK | (uint64_t)(uintptr_t)w);
    w->error = w->fd < 0 ? -w->fd : 0;
    changed |= is_hit(w, atomic_load(&w->touched));
  }
  pthread_mutex_unlock(&all->lock);
  if (changed) atomic_fetch_or(a->requests, REQUEST_WATCH);
}

void lucet_watch_disarm(struct lucet_instance *i) {
  struct watches *all = lock_of(i);
  for (struct watch *w = all->all; w < all->all + LUCET_WATCHPOINTS; w++) close_one(w);
  pthread_mutex_unlock(&all->lock);
}

bool lucet_watch_look(struct lucet_instance *i) {
  struct watches *all = lock_of(i);
  if (all == NULL) return false;
  bool any = false;
  for (struct watch *w = all->all; w < all->all + LUCET_WATCHPOINTS; w++) {
    w->hit = w->at != NULL && !w->fresh && is_hit(w, atomic_exchange(&w->touched, false));
    if (!w->hit) continue;
    w->before = w->value;
    w->value = value_of(w);
    any = true;
  }
  pthread_mutex_unlock(&all->lock);
  return any;
}

void lucet_watch_returned(struct lucet_activation *a) {
  struct watches *all = lock_of(a->instance);
  if (all == NULL) return;
  bool changed = false;
  for (const struct watch *w = all->all; w < all->all + LUCET_WATCHPOINTS; w++) changed |= w->at != NULL && !w->fresh && is_hit(w, false);
  pthread_mutex_unlock(&all->lock);
  if (changed) atomic_fetch_or(a->requests, REQUEST_WATCH);
}

/** May have interrupted whoever holds the lock: it looks at addresses only. */
enum watch_owner lucet_watch_signalled(struct lucet_activation *a, uint64_t tagged, bool in_guest) {
  if (tagged >> 48 != MARK >> 48) return WATCH_NOBODYS;
  uint64_t mark = tagged & ~MARK;
  if (looking) return WATCH_OTHERS;
  for (struct lucet_activation *owner = a; owner != NULL; owner = owner->parent) {
    struct watches *all = atomic_load(&owner->instance->watches);
    if (all == NULL || mark < (uint64_t)(uintptr_t)all->all || mark >= (uint64_t)(uintptr_t)(all->all + LUCET_WATCHPOINTS)) continue;
    atomic_store(&((struct watch *)(uintptr_t)mark)->touched, true);
    if (owner == a && in_guest) return WATCH_OWN;
    atomic_fetch_or(owner->requests, REQUEST_WATCH);
    return WATCH_OTHERS;
  }
  /* By the host, on its way out of the guest. */
  return WATCH_OTHERS;
}

void lucet_watch_free(struct lucet_instance *i) {
  struct watches *all = atomic_exchange(&i->watches, NULL);
  if (all == NULL) return;
  for (struct watch *w = all->all; w < all->all + LUCET_WATCHPOINTS; w++) close_one(w);
  pthread_mutex_destroy(&all->lock);
  free(all);
}

/* ---- What embedders ask for */

/** NULL: there is no such place; `error` says so. */
static const uint8_t *place_of(lucet_instance *i, const lucet_watchpoint *p, lucet_error *error) {
  uint64_t length;
  const uint8_t *base;
  switch (p->kind) {
    case LUCET_WATCH_MEMORY:
      base = lucet_instance_memory(i, p->index, &length);
      if (base != NULL && p->address <= length && p->length <= length - p->address) return base + p->address;
      break;
    case LUCET_WATCH_GLOBAL:
      if (p->index < i->module->meta.global_count && p->address == 0) return i->globals[p->index];
      break;
    case LUCET_WATCH_STACK:
      if (lucet_stack_range(i, p->address, p->length)) return (const uint8_t *)(uintptr_t)p->address;
      break;
    default: break;
  }
  lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "there are no such %u bytes to watch", p->length);
  return NULL;
}

static struct watches *watches_of(struct lucet_instance *i) {
  struct watches *all = atomic_load(&i->watches), *none = NULL;
  if (all != NULL || (all = calloc(1, sizeof *all)) == NULL) return all;
  if (pthread_mutex_init(&all->lock, NULL) != 0) {
    free(all);
    return NULL;
  }
  for (struct watch *w = all->all; w < all->all + LUCET_WATCHPOINTS; w++) w->fd = -1;
  if (atomic_compare_exchange_strong(&i->watches, &none, all)) return all;
  pthread_mutex_destroy(&all->lock);
  free(all);
  return none;
}

/** What was changed is to be in force: a guest that runs looks at it. */
static void put_in_force(struct lucet_instance *i) {
  for (uint32_t k = 0; k < i->module->meta.header->imported_functions; k++)
    __atomic_fetch_or(&i->bindings[k].refs, BINDING_WATCHED, __ATOMIC_RELAXED);
  /*
   * Any thread may be about to call it: that call comes before, or finds the watchpoints (settle in call.c). So does
   * the one behind a run that ends without having heard of the request.
   */
  __atomic_store_n(&i->token, 0, __ATOMIC_SEQ_CST);
  struct lucet_control *c = i->control;
  uint32_t where = c != NULL ? atomic_load(&c->where) : CONTROL_IDLE;
  if (where == CONTROL_GUEST || where == CONTROL_HOST || where == CONTROL_WAITING) (void)lucet_control_request(c, control_run(c), REQUEST_WATCH);
}

lucet_status lucet_instance_set_watchpoint(lucet_instance *i, uint32_t number, const lucet_watchpoint *p, lucet_error *error) {
  if (number >= LUCET_WATCHPOINTS)
    return lucet_fail(error, LUCET_ERROR_LIMIT, 0, "the processor watches %u places at most", LUCET_WATCHPOINTS);
  if (p->length == 0 || p->length > 8 || (p->length & (p->length - 1)) != 0)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "the processor watches 1, 2, 4 or 8 bytes, not %u", p->length);
  const uint8_t *at = place_of(i, p, error);
  if (at == NULL) return LUCET_ERROR_ARGUMENT;
  if (((uintptr_t)at & (p->length - 1)) != 0)
    return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "the processor watches %u bytes only at a multiple of %u", p->length, p->length);
  /* Whether there are watchpoints at all is better known now than when the guest goes on. */
  int fd = lucet_watch_open(at, p->length, p->reads != 0, MARK);
  if (fd < 0) {
    char why[200];
    lucet_watch_explain(-fd, why, sizeof why);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, (uint64_t)-fd, "%s", why);
  }
  lucet_watch_close(fd);
  struct watches *all = watches_of(i);
  if (all == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  pthread_mutex_lock(&all->lock);
  struct watch *w = &all->all[number];
  w->at = at;
  w->size = p->length;
  w->reads = p->reads != 0;
  w->fresh = true;
  w->hit = false;
  w->error = 0;
  pthread_mutex_unlock(&all->lock);
  put_in_force(i);
  return lucet_ok(error);
}

void lucet_instance_clear_watchpoint(lucet_instance *i, uint32_t number) {
  struct watches *all = number < LUCET_WATCHPOINTS ? lock_of(i) : NULL;
  if (all == NULL) return;
  all->all[number].at = NULL;
  all->all[number].hit = false;
  pthread_mutex_unlock(&all->lock);
  put_in_force(i);
}

int lucet_instance_watchpoint_hit(lucet_instance *i, uint32_t number, uint64_t *before, uint64_t *after) {
  struct watches *all = number < LUCET_WATCHPOINTS ? lock_of(i) : NULL;
  if (all == NULL) return 0;
  const struct watch *w = &all->all[number];
  bool hit = w->hit;
  *before = w->before;
  *after = w->value;
  pthread_mutex_unlock(&all->lock);
  return hit;
}

lucet_status lucet_instance_watchpoint_status(lucet_instance *i, uint32_t number, lucet_error *error) {
  struct watches *all = number < LUCET_WATCHPOINTS ? lock_of(i) : NULL;
  int failed = all != NULL ? all->all[number].error : 0;
  if (all != NULL) pthread_mutex_unlock(&all->lock);
  if (failed == 0) return lucet_ok(error);
  char why[200];
  lucet_watch_explain(failed, why, sizeof why);
  return lucet_fail(error, LUCET_ERROR_RESOURCES, (uint64_t)failed, "%s", why);
}
