/**
 * A pool runs many instances on a few threads, in time slices.
 *
 * Jobs wait in one queue; a worker takes the first that meets none of those that other workers run: neither in its own
 * group, nor in one that both import from, whose memories and tables know nothing of threads. While jobs wait, a ticker
 * asks for the processor of every job that has had it for a slice: the job is interrupted through the one path that all
 * requests take, and goes to the end of the queue. Events that the embedder must see go to a second queue; a byte in a
 * pipe tells that it isn't empty any more.
 *
 * The lock is held for moments only: never while a guest runs or a request is made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define MOST_THREADS 1024u
/** Host functions run on it. */
#define STACK_SIZE (1u << 20)
#define DEFAULT_SLICE 10000000u

struct job {
  struct job *next;
  enum { JOB_CALL, JOB_START, JOB_RESUME, JOB_THROW } what;
  lucet_instance *instance;
  const lucet_funcref *function;
  uint64_t *args;
  lucet_value value;
  lucet_exception *exception;
  lucet_pool_event done;
};

struct queue {
  struct job *first;
  struct job **end;
};

struct worker {
  struct lucet_pool *pool;
  pthread_t thread;
  /** While it runs a job. */
  struct job *job;
  uint64_t run;
  uint64_t since;
};

struct lucet_pool {
  pthread_mutex_t lock;
  pthread_cond_t work;
  pthread_cond_t crowded;
  pthread_cond_t told;
  struct queue waiting;
  struct queue done;
  uint64_t slice;
  /** [0]: to be read by the embedder. */
  int pipe[2];
  bool closing;
  bool ticking;
  /** `forks` when it was made. */
  unsigned process;
  pthread_t ticker;
  uint32_t count;
  struct worker workers[];
};

/**
 * How often this process has come out of fork. A child has its parent's pools in memory, but none of their threads, and
 * a lock that was held there is held for ever: so a pool of another process is told by its number, before anything of
 * it is touched.
 */
static atomic_uint forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;
static bool forks_counted;
static void count_fork(void) { atomic_fetch_add(&forks, 1); }
static void count_forks(void) { forks_counted = pthread_atfork(NULL, NULL, count_fork) == 0; }
static bool is_foreign(const struct lucet_pool *p) { return p->process != atomic_load(&forks); }

static void append(struct queue *q, struct job *j) {
  j->next = NULL;
  *q->end = j;
  q->end = &j->next;
}

/** `at` points to the pointer to the job. */
static struct job *take_out(struct queue *q, struct job **at) {
  struct job *j = *at;
  *at = j->next;
  if (j->next == NULL) q->end = at;
  return j;
}

static bool group_is_running(const struct lucet_pool *p, struct group *g) {
  for (uint32_t k = 0; k < p->count; k++)
    if (p->workers[k].job != NULL && lucet_groups_meet(p->workers[k].job->instance->group, g)) return true;
  return false;
}

/** The next job that may be run. The lock is held. */
static struct job *pick(struct lucet_pool *p) {
  for (struct job **at = &p->waiting.first; *at != NULL; at = &(*at)->next)
    if (!group_is_running(p, (*at)->instance->group)) return take_out(&p->waiting, at);
  return NULL;
}

static lucet_status run(struct job *j) {
  switch (j->what) {
    case JOB_CALL: return lucet_instance_call(j->instance, j->function, j->args, &j->done.event, NULL);
    case JOB_START: return lucet_instance_run_start(j->instance, &j->done.event, NULL);
    case JOB_THROW: return lucet_instance_resume_throw(j->instance, j->exception, &j->done.event, NULL);
    default: return lucet_instance_resume_with(j->instance, j->value, &j->done.event, NULL);
  }
}

/** Hands the job's event to the embedder. The lock is held. */
static void tell(struct lucet_pool *p, struct job *j) {
  bool first = p->done.first == NULL;
  append(&p->done, j);
  pthread_cond_broadcast(&p->told);
  /* A pipe that is full says enough already. */
  ssize_t written = first ? write(p->pipe[1], "", 1) : 0;
  (void)written;
}

static void *work(void *argument) {
  struct worker *w = argument;
  struct lucet_pool *p = w->pool;
  pthread_mutex_lock(&p->lock);
  while (!p->closing) {
    struct job *j = pick(p);
    if (j == NULL) {
      pthread_cond_wait(&p->work, &p->lock);
      continue;
    }
    struct lucet_control *c = lucet_control_of(j->instance);
    w->run = c != NULL ? control_run(c) : 0;
    w->since = lucet_now();
    w->job = j;
    if (p->waiting.first != NULL) pthread_cond_signal(&p->crowded);
    pthread_mutex_unlock(&p->lock);
    j->done.status = (int32_t)run(j);
    pthread_mutex_lock(&p->lock);
    w->job = NULL;
    if (j->done.status == LUCET_OK && j->done.event.kind == LUCET_EVENT_INTERRUPTED && j->done.event.code == LUCET_INTERRUPTION_SLICE) {
      j->what = JOB_RESUME;
      j->value = (lucet_value){NULL, 0};
      append(&p->waiting, j);
    } else {
      tell(p, j);
    }
    /* Others may have waited for its group. */
    if (p->waiting.first != NULL) pthread_cond_signal(&p->work);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/** Ask every job for `request` that has run since before `then`. The lock is held, and let go of meanwhile. */
static void request(struct lucet_pool *p, uint32_t what, uint64_t then) {
  for (uint32_t k = 0; k < p->count; k++) {
    const struct worker *w = &p->workers[k];
    if (w->job == NULL || w->since > then || w->job->instance->control == NULL) continue;
    struct lucet_control *c = w->job->instance->control;
    uint64_t run_number = w->run;
    lucet_control_retain(c);
    pthread_mutex_unlock(&p->lock);
    (void)lucet_control_request(c, run_number, what);
    lucet_control_release(c);
    pthread_mutex_lock(&p->lock);
  }
}

static void *tick(void *argument) {
  struct lucet_pool *p = argument;
  pthread_mutex_lock(&p->lock);
  while (!p->closing) {
    if (p->waiting.first == NULL) {
      pthread_cond_wait(&p->crowded, &p->lock);
      continue;
    }
    uint64_t now = lucet_now(), next = now + p->slice;
    for (uint32_t k = 0; k < p->count; k++)
      if (p->workers[k].job != NULL && p->workers[k].since + p->slice < next) next = p->workers[k].since + p->slice;
    if (next > now) {
      struct timespec until = {(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
      pthread_cond_timedwait(&p->crowded, &p->lock, &until);
      now = lucet_now();
    }
    if (p->waiting.first != NULL) request(p, REQUEST_SLICE, now - p->slice);
    /* Whoever was asked stops within microseconds: don't ask again meanwhile. */
    uint64_t then = lucet_now() + p->slice / 4 + 20000;
    struct timespec soon = {(time_t)(then / 1000000000u), (long)(then % 1000000000u)};
    if (!p->closing) pthread_cond_timedwait(&p->crowded, &p->lock, &soon);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

static bool start(pthread_t *thread, void *(*body)(void *), void *argument) {
  pthread_attr_t attributes;
  sigset_t all, old;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_SIZE);
  /* Signals of the process are for others; those that guests need are let in when the first guest is run. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool ok = pthread_create(thread, &attributes, body, argument) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  return ok;
}

static void drop(struct queue *q) {
  while (q->first != NULL) {
    struct job *j = take_out(q, &q->first);
    lucet_instance_release(j->instance);
    free(j);
  }
}

void lucet_pool_release(lucet_pool *p) {
  if (p == NULL) return;
  if (is_foreign(p)) {
    close(p->pipe[0]);
    close(p->pipe[1]);
    free(p);
    return;
  }
  pthread_mutex_lock(&p->lock);
  p->closing = true;
  pthread_cond_broadcast(&p->work);
  pthread_cond_broadcast(&p->crowded);
  request(p, REQUEST_KILL, UINT64_MAX);
  pthread_mutex_unlock(&p->lock);
  for (uint32_t k = 0; k < p->count; k++) pthread_join(p->workers[k].thread, NULL);
  if (p->ticking) pthread_join(p->ticker, NULL);
  drop(&p->waiting);
  drop(&p->done);
  if (p->pipe[0] >= 0) close(p->pipe[0]);
  if (p->pipe[1] >= 0) close(p->pipe[1]);
  pthread_cond_destroy(&p->work);
  pthread_cond_destroy(&p->crowded);
  pthread_cond_destroy(&p->told);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

lucet_status lucet_pool_create(const lucet_pool_options *options, lucet_pool **out, lucet_error *error) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t threads = options != NULL && options->threads != 0 ? options->threads : processors > 0 ? (uint32_t)processors : 1;
  if (threads > MOST_THREADS) return lucet_fail(error, LUCET_ERROR_ARGUMENT, 0, "a pool has at most %u threads", MOST_THREADS);
  pthread_once(&forks_once, count_forks);
  lucet_pool *p = forks_counted ? calloc(1, sizeof *p + threads * sizeof p->workers[0]) : NULL;
  if (p == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  p->process = atomic_load(&forks);
  p->slice = options != NULL && options->slice != 0 ? options->slice : DEFAULT_SLICE;
  p->waiting.end = &p->waiting.first;
  p->done.end = &p->done.first;
  pthread_mutex_init(&p->lock, NULL);
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&p->work, NULL);
  pthread_cond_init(&p->crowded, &clock);
  pthread_cond_init(&p->told, &clock);
  pthread_condattr_destroy(&clock);
  if (pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
    int why = errno;
    p->pipe[0] = p->pipe[1] = -1;
    lucet_pool_release(p);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no descriptors for a pool: %s", strerror(why));
  }
  p->ticking = start(&p->ticker, tick, p);
  bool ok = p->ticking;
  while (ok && p->count < threads) {
    struct worker *w = &p->workers[p->count];
    w->pool = p;
    ok = start(&w->thread, work, w);
    pthread_mutex_lock(&p->lock);
    p->count += ok;
    pthread_mutex_unlock(&p->lock);
  }
  if (!ok) {
    lucet_pool_release(p);
    return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "no threads for a pool");
  }
  *out = p;
  return lucet_ok(error);
}

static lucet_status submit(lucet_pool *p, struct job job, uint64_t id, lucet_error *error) {
  if (is_foreign(p)) return lucet_fail(error, LUCET_ERROR_STATE, 0, "the pool is of the process that this one was forked from: a child makes pools of its own");
  /* Its control is made here: the embedder may ask for a kill switch from now on, while a worker begins the run. */
  struct job *j = lucet_control_of(job.instance) != NULL ? malloc(sizeof *j) : NULL;
  if (j == NULL) return lucet_fail(error, LUCET_ERROR_RESOURCES, 0, "out of memory");
  *j = job;
  j->done.id = id;
  j->done.instance = j->instance;
  lucet_instance_retain(j->instance);
  pthread_mutex_lock(&p->lock);
  append(&p->waiting, j);
  pthread_cond_signal(&p->work);
  pthread_cond_signal(&p->crowded);
  pthread_mutex_unlock(&p->lock);
  return lucet_ok(error);
}

lucet_status lucet_pool_call(lucet_pool *p, lucet_instance *i, const lucet_funcref *f, uint64_t *args, uint64_t id, lucet_error *error) {
  return submit(p, (struct job){.what = JOB_CALL, .instance = i, .function = f, .args = args}, id, error);
}

lucet_status lucet_pool_run_start(lucet_pool *p, lucet_instance *i, uint64_t id, lucet_error *error) {
  return submit(p, (struct job){.what = JOB_START, .instance = i}, id, error);
}

lucet_status lucet_pool_resume(lucet_pool *p, lucet_instance *i, const lucet_value *value, uint64_t id, lucet_error *error) {
  return submit(p, (struct job){.what = JOB_RESUME, .instance = i, .value = value != NULL ? *value : (lucet_value){NULL, 0}}, id, error);
}

lucet_status lucet_pool_resume_throw(lucet_pool *p, lucet_instance *i, lucet_exception *e, uint64_t id, lucet_error *error) {
  return submit(p, (struct job){.what = JOB_THROW, .instance = i, .exception = e}, id, error);
}

uint32_t lucet_pool_take(lucet_pool *p, lucet_pool_event *events, uint32_t limit) {
  uint32_t n = 0;
  char bytes[64];
  struct job *taken = NULL;
  if (is_foreign(p)) return 0;
  pthread_mutex_lock(&p->lock);
  while (n < limit && p->done.first != NULL) {
    struct job *j = take_out(&p->done, &p->done.first);
    events[n++] = j->done;
    j->next = taken;
    taken = j;
  }
  /* Before the queue can be filled again; the byte may have been read by somebody else. */
  if (p->done.first == NULL) {
    while (read(p->pipe[0], bytes, sizeof bytes) > 0) {
    }
  }
  pthread_mutex_unlock(&p->lock);
  while (taken != NULL) {
    struct job *next = taken->next;
    lucet_instance_release(taken->instance);
    free(taken);
    taken = next;
  }
  return n;
}

int lucet_pool_wait(lucet_pool *p, uint64_t nanoseconds) {
  if (is_foreign(p)) return 0;
  uint64_t until = lucet_now() + nanoseconds;
  struct timespec t = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
  pthread_mutex_lock(&p->lock);
  while (p->done.first == NULL && pthread_cond_timedwait(&p->told, &p->lock, &t) == 0) {
  }
  int any = p->done.first != NULL;
  pthread_mutex_unlock(&p->lock);
  return any;
}

int lucet_pool_descriptor(const lucet_pool *p) { return is_foreign(p) ? -1 : fcntl(p->pipe[0], F_DUPFD_CLOEXEC, 3); }
