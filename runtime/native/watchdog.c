/**
 * One thread, started when it is first needed, that does what has to happen at a time: end runs whose time is over, and
 * repeat kicks that nobody heard.
 *
 * Its timers lie in a binary heap by time. An armed timer holds its control block. The lock is never held while a
 * request is made or a control block freed.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static bool started;
/** heap[1..count] */
static struct timer **heap;
static uint32_t count, room;

uint64_t lucet_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void put(uint32_t at, struct timer *t) {
  heap[at] = t;
  t->position = at;
}

/** Move the timer at `at` up or down to where it belongs. */
static void settle(uint32_t at) {
  struct timer *t = heap[at];
  for (; at > 1 && heap[at / 2]->when > t->when; at /= 2) put(at, heap[at / 2]);
  for (;;) {
    uint32_t child = at * 2;
    if (child > count) break;
    if (child < count && heap[child + 1]->when < heap[child]->when) child++;
    if (heap[child]->when >= t->when) break;
    put(at, heap[child]);
    at = child;
  }
  put(at, t);
}

/** The lock is held. */
static void take_out(struct timer *t) {
  uint32_t at = t->position;
  struct timer *last = heap[count--];
  t->position = 0;
  if (last == t) return;
  put(at, last);
  settle(at);
}

static void insert(struct timer *t) {
  put(++count, t);
  settle(count);
}

/** Longest time between two kicks that weren't heard, in nanoseconds. */
#define MOST_WAIT 64000000u

/** The time of a timer that was taken out has come. True: it is to be armed again. */
static bool fire(bool resend, struct lucet_control *c, uint64_t run) {
  if (resend) return lucet_control_resend(c, run);
  (void)lucet_control_request(c, run, REQUEST_TIMEOUT);
  return false;
}

static void *watch(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  for (;;) {
    uint64_t now = lucet_now();
    if (count == 0) {
      pthread_cond_wait(&changed, &lock);
    } else if (heap[1]->when > now) {
      struct timespec until = {(time_t)(heap[1]->when / 1000000000u), (long)(heap[1]->when % 1000000000u)};
      pthread_cond_timedwait(&changed, &lock, &until);
    } else {
      struct timer *t = heap[1];
      struct lucet_control *c = t->control;
      uint64_t run = t->run;
      take_out(t);
      pthread_mutex_unlock(&lock);
      bool again = fire(t == &c->resend, c, run);
      pthread_mutex_lock(&lock);
      /* Somebody may have armed it meanwhile, with a reference of his own. */
      if (again && t->position == 0 && count + 2 <= room) {
        t->when = now + t->wait;
        if (t->wait < MOST_WAIT) t->wait *= 2;
        insert(t);
      } else {
        pthread_mutex_unlock(&lock);
        lucet_control_release(c);
        pthread_mutex_lock(&lock);
      }
    }
  }
  return NULL;
}

/** A child made by fork has one thread only, and nothing runs in it. */
static void forget(void) {
  pthread_mutex_init(&lock, NULL);
  started = false;
  for (; count != 0; count--) heap[count]->position = 0;
}

static void at_fork(void) { pthread_atfork(NULL, NULL, forget); }

/** The lock is held. */
static bool start(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, at_fork);
  pthread_condattr_t clock;
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, old;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&changed, &clock);
  pthread_condattr_destroy(&clock);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256u << 10);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  started = pthread_create(&thread, &attributes, watch, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  return started;
}

bool lucet_watchdog_arm(struct timer *t, struct lucet_control *c, uint64_t run, uint64_t delay) {
  pthread_mutex_lock(&lock);
  bool ok = started || start();
  if (ok && count + 2 > room) {
    uint32_t more = room == 0 ? 64 : room * 2;
    struct timer **grown = realloc(heap, more * sizeof *heap);
    ok = grown != NULL;
    if (ok) {
      heap = grown;
      room = more;
    }
  }
  if (ok) {
    t->run = run;
    t->when = lucet_now() + delay;
    t->wait = delay < MOST_WAIT ? (uint32_t)delay : MOST_WAIT;
    t->control = c;
    if (t->position == 0) {
      lucet_control_retain(c);
      insert(t);
    } else {
      settle(t->position);
    }
    if (heap[1] == t) pthread_cond_signal(&changed);
  }
  pthread_mutex_unlock(&lock);
  return ok;
}

void lucet_watchdog_disarm(struct timer *t) {
  pthread_mutex_lock(&lock);
  bool armed = t->position != 0;
  struct lucet_control *c = t->control;
  if (armed) take_out(t);
  pthread_mutex_unlock(&lock);
  if (armed) lucet_control_release(c);
}
