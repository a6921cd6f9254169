/**
 * Requests to a guest from other threads: kill it, pause it, take the processor from it.
 *
 * Who makes a request sets a bit in the request word, then orders his store before the loads of all threads
 * (membarrier), then reads where the guest is. Whoever is about to enter guest code stores where he is, then compares
 * the word with 0. One of the two therefore sees the other: either the guest isn't entered, or the kick is sent to the
 * thread that entered it. The entering side pays a store and a load; where the kernel has no membarrier, a fence.
 *
 * The bits are taken back by the guest's own thread only: single ones when they are told to the embedder, all of them
 * when the run ends, along with counting its number up. That last one is a plain store, which may overwrite a bit that
 * was set at that moment: the run has ended, so nothing is lost. A request names the run that it is for, so one that
 * comes late never hits the next run.
 *
 * Kicks to a guest in host code are for its system calls' sake (signals_linux.c). Killers send them always, since what
 * becomes of the call doesn't matter any more; others only to host code that says that it waits (lucet_vmctx_wait), as
 * no other expects that its system calls are interrupted. It says so in the same order: first where it is, then the
 * look at the requests. A kick that comes between that look and the system call is lost, and repeated.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/** Nanoseconds until a kick is sent again; the watchdog doubles them each time. */
#ifdef LUCET_TEST_POINTS
void (*lucet_test_point)(const char *name);
uint64_t lucet_test_patience = 1000000;
#define PATIENCE lucet_test_patience
#else
#define PATIENCE 1000000u
#endif

/* linux/membarrier.h */
enum { PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };

atomic_bool lucet_control_fences;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void register_barrier(void) {
  if (syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) atomic_store(&lucet_control_fences, true);
}

/** All threads see what was stored before, and what they stored before is seen from now on. */
static void barrier_on_all_threads(void) {
  atomic_thread_fence(memory_order_seq_cst);
  if (!atomic_load(&lucet_control_fences)) syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0);
}

struct lucet_control *lucet_control_of(struct lucet_instance *i) {
  if (i->control != NULL) return i->control;
  pthread_once(&once, register_barrier);
  struct lucet_control *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  atomic_init(&c->references, 1);
  return i->control = c;
}

void lucet_control_retain(struct lucet_control *c) { atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed); }

void lucet_control_release(struct lucet_control *c) {
  if (c != NULL && atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) == 1) free(c);
}

/** Is a kick for these requests of use to a guest that is there? */
static bool hears(uint32_t where, uint32_t requests) {
  switch (where) {
    case CONTROL_GUEST: return true;
    case CONTROL_WAITING: return (requests & REQUEST_WAKES) != 0;
    case CONTROL_HOST: return (requests & REQUEST_ENDS) != 0;
    default: return false;
  }
}

lucet_kill_result lucet_control_request(struct lucet_control *c, uint64_t run, uint32_t request) {
  uint64_t word = atomic_load(&c->requests), same = request;
  /* Whoever is being killed can't be killed again. */
  if ((request & REQUEST_ENDS) != 0) same = REQUEST_ENDS;
  do {
    if (word >> 8 != run) return LUCET_KILL_INVALID;
    if ((word & same) != 0) return LUCET_KILL_NOT_TERMINABLE;
    TEST_POINT(killer_before_request);
  } while (!atomic_compare_exchange_weak(&c->requests, &word, word | request));
  TEST_POINT(killer_after_request);
  barrier_on_all_threads();
  uint32_t where = atomic_load(&c->where);
  TEST_POINT(killer_after_looking);
  if (where == CONTROL_IDLE) return control_run(c) == run ? LUCET_KILL_CANCELLED : LUCET_KILL_INVALID;
  if (where == CONTROL_SUSPENDED) return LUCET_KILL_PENDING;
  if (hears(where, request)) {
    lucet_signals_kick(atomic_load(&c->thread));
    TEST_POINT(killer_after_kick);
    /* Without a thread for it, the kick is heard at once but for the rare case that it is there for. */
    (void)lucet_watchdog_arm(&c->resend, c, run, PATIENCE);
  }
  return where == CONTROL_GUEST ? LUCET_KILL_SIGNALLED : LUCET_KILL_PENDING;
}

atomic_uint lucet_control_resends;

bool lucet_control_resend(struct lucet_control *c, uint64_t run) {
  uint64_t word = atomic_load(&c->requests);
  uint32_t where = atomic_load(&c->where);
  uint32_t requests = (uint32_t)(word & REQUEST_BITS);
  if (word >> 8 != run || requests == 0 || (where != CONTROL_HOST && !hears(where, requests))) return false;
  atomic_fetch_add(&lucet_control_resends, 1);
  if (hears(where, requests)) lucet_signals_kick(atomic_load(&c->thread));
  return true;
}

/* ---- Kill switches */

struct lucet_kill_switch {
  atomic_uint references;
  struct lucet_control *control;
  uint64_t run;
};

lucet_status lucet_instance_kill_switch(lucet_instance *i, lucet_kill_switch **out, lucet_error *error) {
  struct lucet_control *c = lucet_control_of(i);
  lucet_kill_switch *k = c != NULL ? malloc(sizeof *k) : NULL;
  if (k == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  atomic_init(&k->references, 1);
  lucet_control_retain(c);
  k->control = c;
  k->run = control_run(c);
  *out = k;
  return lucet_ok(error);
}

lucet_kill_result lucet_kill_switch_terminate(lucet_kill_switch *k) { return lucet_control_request(k->control, k->run, REQUEST_KILL); }
lucet_kill_result lucet_kill_switch_pause(lucet_kill_switch *k) { return lucet_control_request(k->control, k->run, REQUEST_PAUSE); }
void lucet_kill_switch_retain(lucet_kill_switch *k) { atomic_fetch_add_explicit(&k->references, 1, memory_order_relaxed); }

void lucet_kill_switch_release(lucet_kill_switch *k) {
  if (k == NULL || atomic_fetch_sub_explicit(&k->references, 1, memory_order_acq_rel) != 1) return;
  lucet_control_release(k->control);
  free(k);
}

void lucet_instance_set_timeout(lucet_instance *i, uint64_t nanoseconds) {
  i->timeout = nanoseconds;
  lucet_call_unready(i);
}
