/**
 * Activations: how they are stacked, entered and ended. What run.c and call.c share; inline, since all of it takes
 * fewer instructions than calling it would.
 *
 * An activation begins at the top of its instance's stack, or below the innermost activation that is there already; it
 * is always the innermost one that is resumed, so activations on a stack end in the reverse order of their beginning,
 * however host and guest call each other.
 */
#ifndef LUCET_ACTIVATIONS_H
#define LUCET_ACTIVATIONS_H

#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/** The next call has something to look at. */
static inline void instance_unready(struct lucet_instance *i) {
  __atomic_store_n(&i->token, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&i->ready, NULL, __ATOMIC_RELEASE);
}

/** A new innermost activation of `i`, which has a control block. NULL: out of memory. */
static inline struct lucet_activation *activation_push(struct lucet_instance *i) {
  bool ready = i->ready != NULL && i->innermost == NULL;
  struct lucet_activation *a = ready ? i->ready : i->spare;
  if (ready)
    instance_unready(i);
  else if (LIKELY(a != NULL))
    i->spare = NULL;
  else if ((a = calloc(1, sizeof *a)) == NULL)
    return NULL;
  a->instance = i;
  a->requests = &i->control->requests;
  a->path = RESUME_ENTER;
  a->yield.asked = a->yield.stops = false;
  memset(&a->step, 0, sizeof a->step);
  a->outer = i->innermost;
  uint64_t top = a->outer != NULL ? a->outer->guest_rsp & ~(uint64_t)15 : (uint64_t)(uintptr_t)i->slot->stack_top;
  a->stack_top = a->guest_rsp = top;
  i->innermost = a;
  return a;
}

static inline void activation_discard(const struct lucet_instance *i, struct lucet_activation *a) {
  free(a->machine);
  a->machine = NULL;
  if (a != i->first) free(a);
}

/** Drop the innermost activation. */
static inline void activation_pop(struct lucet_instance *i) {
  struct lucet_activation *a = i->innermost;
  i->innermost = a->outer;
  if (LIKELY(i->spare == NULL))
    i->spare = a;
  else
    activation_discard(i, a);
}

/** The innermost activation is over. */
static inline void activation_end(struct lucet_instance *i, uint32_t rest) {
  activation_pop(i);
  i->rest = rest;
  /* Calls of a ready instance leave it as it is. */
  if (rest != LUCET_STATE_READY) instance_unready(i);
  struct lucet_control *c = i->control;
  if (i->innermost != NULL) {
    control_move(c, i->innermost->state == ACTIVATION_RUNNING ? CONTROL_HOST : CONTROL_SUSPENDED);
    return;
  }
  if (c->deadline.control != NULL) {
    lucet_watchdog_disarm(&c->deadline);
    c->deadline.control = NULL;
  }
  control_end_run(c);
}

/** This thread is about to let it run. */
static inline void activation_begin(struct lucet_activation *a) {
  struct lucet_activation *parent = lucet_current;
  a->parent = parent;
  a->depth = parent != NULL ? parent->depth + 1 : 1;
  a->instance->trap_valid = false;
  thread_forget();
  atomic_store_explicit(&a->instance->control->thread, lucet_thread->thread, memory_order_relaxed);
}

/** One of the ways into the guest in stack_x64.S; returns how it was left. */
typedef uint64_t activation_path(struct lucet_activation *a);

static inline uint64_t activation_go(struct lucet_activation *a, activation_path *path) {
  struct lucet_instance *i = a->instance;
  a->state = ACTIVATION_RUNNING;
  TEST_POINT(run_before_entering);
  control_move(i->control, CONTROL_GUEST);
  TEST_POINT(run_after_entering);
  lucet_current = a;
  uint64_t outer_limit = lucet_stack_limit;
  lucet_stack_limit = (uint64_t)(uintptr_t)i->slot->stack_low + LUCET_STACK_RED_AREA;
  uint64_t left = path(a);
  lucet_stack_limit = outer_limit;
  lucet_current = a->parent;
  return left;
}

#endif
