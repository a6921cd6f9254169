/**
 * Tests of stopping guests from outside: kill switches and their races, deadlines, pauses at any instruction, yields, states, signal handlers.
 * Linked with objects that have test points. Prints what fails; exit status 1 if anything did.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../internal.h"
#include "guest.h"

#ifndef LUCET_TEST_POINTS
#error "to be compiled with test points"
#endif

static int failures, checks;
static const char *section = "";

#define CHECK(condition) \
  do { \
    checks++; \
    if (!(condition)) { \
      failures++; \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, section, #condition); \
    } \
  } while (0)

static lucet_module *module;
static lucet_region *region;

/** What the native import does. */
static void (*on_hostcall)(lucet_vmctx *vm, uint64_t *args);
static void native_import(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)data;
  if (on_hostcall != NULL) on_hostcall(vm, args);
}

static lucet_instance *instance(void) {
  static const lucet_import imports[] = {{.kind = LUCET_IMPORT_NATIVE, .function = native_import}, {.kind = LUCET_IMPORT_HOSTCALL}};
  lucet_instance *i;
  lucet_error error;
  if (lucet_instance_new(region, module, imports, 2, &i, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  return i;
}

static lucet_kill_switch *kill_switch(lucet_instance *i) {
  lucet_kill_switch *k;
  if (lucet_instance_kill_switch(i, &k, NULL) != LUCET_OK) exit(1);
  return k;
}

static lucet_event call(lucet_instance *i, uint32_t function, uint64_t a) {
  static _Thread_local uint64_t args[2];
  lucet_event e = {.kind = 99};
  args[0] = a;
  args[1] = 2;
  CHECK(lucet_instance_call(i, lucet_instance_function(i, function), args, &e, NULL) == LUCET_OK);
  if (e.kind == LUCET_EVENT_RETURNED) e.id = args[0];
  return e;
}

static lucet_event resume(lucet_instance *i) {
  lucet_event e = {.kind = 99};
  CHECK(lucet_instance_resume(i, &e, NULL) == LUCET_OK);
  return e;
}

static bool is_killed(lucet_event e) { return e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_REMOTE; }
/** It can be run again, and isn't hit by what was meant for an earlier run. */
static bool usable(lucet_instance *i) {
  lucet_event e = call(i, F_ADD, 40);
  return e.kind == LUCET_EVENT_RETURNED && (uint32_t)e.id == 42 && lucet_instance_state(i) == LUCET_STATE_READY;
}

static void await(atomic_int *flag) {
  while (atomic_load(flag) == 0) usleep(50);
}

/** Lets F_WAIT end. */
static void release(lucet_instance *i) {
  uint64_t length;
  atomic_store((atomic_int *)lucet_instance_memory(i, 0, &length), 1);
}
static void hold(lucet_instance *i) {
  uint64_t length;
  atomic_store((atomic_int *)lucet_instance_memory(i, 0, &length), 0);
}

static uint64_t now(void) { return lucet_now(); }

/* ---- A guest on a thread of its own */

struct runner {
  lucet_instance *instance;
  uint32_t function;
  bool resumes;
  lucet_event event;
  pthread_t thread;
  atomic_int ended;
};

static void *run(void *p) {
  struct runner *r = p;
  r->event = r->resumes ? resume(r->instance) : call(r->instance, r->function, 0);
  atomic_store(&r->ended, 1);
  return NULL;
}

static void start(struct runner *r, lucet_instance *i, uint32_t function) {
  memset(r, 0, sizeof *r);
  r->instance = i;
  r->function = function;
  pthread_create(&r->thread, NULL, run, r);
}

static lucet_event join(struct runner *r) {
  pthread_join(r->thread, NULL);
  return r->event;
}

/** Until the guest's code is on its processor, as far as can be told. */
static void await_guest(lucet_instance *i) {
  while (atomic_load(&lucet_control_of(i)->where) != CONTROL_GUEST) usleep(50);
  usleep(200);
}

/* ---- Races: at a test point, the thread that gets there waits until something was done */

static struct {
  const char *point;
  void (*act)(void);
  atomic_int armed;
} race;

static void at_test_point(const char *name) {
  int one = 1;
  if (race.point == NULL || strcmp(name, race.point) != 0 || !atomic_compare_exchange_strong(&race.armed, &one, 0)) return;
  race.act();
}

static void at(const char *point, void (*act)(void)) {
  race.act = act;
  race.point = point;
  atomic_store(&race.armed, 1);
}

static lucet_kill_switch *its_switch;
static lucet_instance *its_instance;
static struct runner its_runner;
static atomic_int result;

static void *kill_it(void *unused) {
  (void)unused;
  atomic_store(&result, (int)lucet_kill_switch_terminate(its_switch));
  return NULL;
}

/** Another thread kills while this one is where it is. */
static void kill_now(void) {
  pthread_t t;
  pthread_create(&t, NULL, kill_it, NULL);
  pthread_join(t, NULL);
}

static void begin(const char *name) {
  section = name;
  race.point = NULL;
  on_hostcall = NULL;
  its_instance = instance();
  its_switch = kill_switch(its_instance);
  atomic_store(&result, -1);
}

static void finish(void) {
  race.point = NULL;
  on_hostcall = NULL;
  CHECK(usable(its_instance));
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_INVALID);
  lucet_kill_switch_release(its_switch);
  lucet_instance_release(its_instance);
}

/** The run of `function` is killed when its thread is at `point`. */
static void killed_at(const char *point, uint32_t function, lucet_kill_result expected) {
  begin(point);
  at(point, kill_now);
  CHECK(is_killed(call(its_instance, function, 0)));
  CHECK(atomic_load(&result) == (int)expected);
  CHECK(lucet_instance_state(its_instance) == LUCET_STATE_TERMINATED);
  finish();
}

static void kill_in_hostcall(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  CHECK(!lucet_vmctx_terminating(vm));
  kill_now();
  CHECK(lucet_vmctx_terminating(vm));
  CHECK(lucet_instance_state(its_instance) == LUCET_STATE_TERMINATING);
}

/** The killer waits at its point while the run ends. */
static void let_it_end(void) {
  release(its_instance);
  await(&its_runner.ended);
}

/** … and another run of the same instance begins. */
static struct runner next_runner;
static void let_it_end_and_begin_another(void) {
  let_it_end();
  hold(its_instance);
  start(&next_runner, its_instance, F_WAIT);
  await_guest(its_instance);
}

static void kill_again(void) { atomic_store(&result, (int)lucet_kill_switch_terminate(its_switch)); }

static void test_races(void) {
  /* Before, and on the way in. */
  begin("before the run");
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_CANCELLED);
  CHECK(lucet_instance_state(its_instance) == LUCET_STATE_TERMINATING);
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_NOT_TERMINABLE);
  CHECK(is_killed(call(its_instance, F_UNREACHABLE, 0)));
  finish();
  killed_at("run_before_entering", F_UNREACHABLE, LUCET_KILL_CANCELLED);
  killed_at("run_after_entering", F_UNREACHABLE, LUCET_KILL_SIGNALLED);

  begin("in guest code");
  start(&its_runner, its_instance, F_WAIT);
  await_guest(its_instance);
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_SIGNALLED);
  CHECK(is_killed(join(&its_runner)));
  finish();

  /* Hostcalls. F_TOUR never ends by itself. */
  killed_at("hostcall_before_move", F_TOUR, LUCET_KILL_SIGNALLED);
  killed_at("hostcall_after_move", F_TOUR, LUCET_KILL_PENDING);
  begin("in a hostcall");
  on_hostcall = kill_in_hostcall;
  CHECK(is_killed(call(its_instance, F_TOUR, 0)) && atomic_load(&result) == LUCET_KILL_PENDING);
  finish();
  killed_at("hostcall_before_moving_back", F_TOUR, LUCET_KILL_PENDING);
  killed_at("hostcall_after_moving_back", F_TOUR, LUCET_KILL_SIGNALLED);

  /* On the way out. */
  begin("run_before_ending");
  at("run_before_ending", kill_now);
  CHECK(call(its_instance, F_ADD, 0).kind == LUCET_EVENT_RETURNED && atomic_load(&result) == LUCET_KILL_SIGNALLED);
  finish();
  begin("run_after_ending");
  at("run_after_ending", kill_now);
  CHECK(call(its_instance, F_ADD, 0).kind == LUCET_EVENT_RETURNED && atomic_load(&result) == LUCET_KILL_INVALID);
  finish();
  begin("run_before_ending, faulted");
  at("run_before_ending", kill_now);
  CHECK(call(its_instance, F_UNREACHABLE, 0).kind == LUCET_EVENT_TRAPPED && atomic_load(&result) == LUCET_KILL_SIGNALLED);
  finish();

  /* The killer is late. */
  static const struct {
    const char *point;
    lucet_kill_result expected;
  } LATE[] = {
      {"killer_before_request", LUCET_KILL_INVALID},
      {"killer_after_looking", LUCET_KILL_SIGNALLED},
  };
  for (size_t k = 0; k < 2; k++) {
    begin(LATE[k].point);
    hold(its_instance);
    start(&its_runner, its_instance, F_WAIT);
    await_guest(its_instance);
    at(LATE[k].point, let_it_end);
    kill_now();
    CHECK(atomic_load(&result) == (int)LATE[k].expected);
    lucet_event e = join(&its_runner);
    CHECK(e.kind == LUCET_EVENT_RETURNED || (k != 0 && is_killed(e)));
    finish();
    begin("killer is late for the next run");
    hold(its_instance);
    start(&its_runner, its_instance, F_WAIT);
    await_guest(its_instance);
    at(LATE[k].point, let_it_end_and_begin_another);
    kill_now();
    CHECK(atomic_load(&result) == (int)LATE[k].expected);
    (void)join(&its_runner);
    release(its_instance);
    CHECK(join(&next_runner).kind == LUCET_EVENT_RETURNED);
    finish();
  }

  /* The guest isn't kicked, but sees the request as it is about to go on. */
  begin("killer_after_request, guest enters a hostcall");
  start(&its_runner, its_instance, F_TOUR);
  await_guest(its_instance);
  at("killer_after_request", kill_again);
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_SIGNALLED && atomic_load(&result) == LUCET_KILL_NOT_TERMINABLE);
  CHECK(is_killed(join(&its_runner)));
  finish();

  /* In the handler. */
  static const char *const HANDLER[] = {"handler_before_looking", "handler_before_returning"};
  for (size_t k = 0; k < 2; k++) {
    begin(HANDLER[k]);
    start(&its_runner, its_instance, F_WAIT);
    await_guest(its_instance);
    at(HANDLER[k], kill_again);
    CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_SIGNALLED);
    CHECK(is_killed(join(&its_runner)) && atomic_load(&result) == LUCET_KILL_NOT_TERMINABLE);
    finish();
  }

  /* While it waits for the embedder. */
  begin("at a hostcall of the embedder's");
  CHECK(call(its_instance, F_CALL_HOST, 0).kind == LUCET_EVENT_HOSTCALL);
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_PENDING);
  CHECK(lucet_instance_state(its_instance) == LUCET_STATE_TERMINATING);
  CHECK(is_killed(resume(its_instance)));
  finish();

  begin("two at once");
  start(&its_runner, its_instance, F_WAIT);
  await_guest(its_instance);
  pthread_t t;
  pthread_create(&t, NULL, kill_it, NULL);
  lucet_kill_result mine = lucet_kill_switch_terminate(its_switch);
  pthread_join(t, NULL);
  CHECK(is_killed(join(&its_runner)));
  CHECK((mine == LUCET_KILL_SIGNALLED) != (atomic_load(&result) == LUCET_KILL_SIGNALLED));
  finish();

  section = "after the instance";
  lucet_instance *i = instance();
  lucet_kill_switch *k = kill_switch(i);
  lucet_instance_release(i);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_INVALID);
  lucet_kill_switch_release(k);
}

/* ---- At every instruction: the path from lucet_instance_call through host and guest is stepped, and the kick arrives at the n-th */

static struct {
  long steps;
  long at;
  bool done;
  /** It has reached the guest's endless loop. */
  bool looping;
  uint64_t last;
} stepping;

static void step(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info;
  ucontext_t *u = context;
  uint64_t pc = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
  stepping.looping = pc == stepping.last;
  stepping.last = pc;
  if (stepping.steps++ < stepping.at) return;
  stepping.done = true;
  u->uc_mcontext.gregs[REG_EFL] &= ~0x100;
  /* SIGURG is blocked here: it is delivered before the instruction that was to be next. */
  (void)lucet_kill_switch_terminate(its_switch);
}

static void step_on(void) { __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc"); }
static void step_off(void) { __asm__ volatile("pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc"); }

/** Restoring the guest's flags ends the stepping: then somebody has to end the guest. */
static void *kill_later(void *unused) {
  (void)unused;
  usleep(2000);
  (void)lucet_kill_switch_terminate(its_switch);
  return NULL;
}

/** One run, killed at its n-th instruction. `resumes`: of a run that was interrupted in its endless loop. */
static lucet_event step_run(uint32_t function, bool resumes, long n) {
  static struct runner r;
  if (resumes) {
    start(&r, its_instance, function);
    await_guest(its_instance);
  }
  its_switch = kill_switch(its_instance);
  if (resumes) {
    CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_SIGNALLED);
    CHECK(join(&r).kind == LUCET_EVENT_INTERRUPTED);
  }
  struct sigaction s = {.sa_sigaction = step, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
  sigemptyset(&s.sa_mask);
  sigaddset(&s.sa_mask, SIGURG);
  memset(&stepping, 0, sizeof stepping);
  stepping.at = n;
  uint64_t args[2] = {1, 2};
  const lucet_funcref *f = lucet_instance_function(its_instance, function);
  lucet_event e = {.kind = 99};
  CHECK(lucet_signals_ready());
  if (resumes) pthread_create(&r.thread, NULL, kill_later, NULL);
  sigaction(SIGTRAP, &s, &old);
  step_on();
  lucet_status status = resumes ? lucet_instance_resume(its_instance, &e, NULL) : lucet_instance_call(its_instance, f, args, &e, NULL);
  step_off();
  sigaction(SIGTRAP, &old, NULL);
  CHECK(status == LUCET_OK);
  if (resumes) pthread_join(r.thread, NULL);
  if (e.kind == LUCET_EVENT_RETURNED) CHECK((uint32_t)args[0] == 3);
  lucet_kill_switch_release(its_switch);
  return e;
}

/** A kick is never lost. Were one, the run would go on until the kick is repeated, which is not to be waited for. */
static void test_every_instruction(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  enum { STRIDE = 61 };
#else
  enum { STRIDE = 1 };
#endif
  static const struct {
    uint32_t function;
    bool resumes;
  } PATHS[] = {{F_TOUR, false}, {F_TOUR, true}, {F_ADD, false}};
  section = "at every instruction";
  on_hostcall = NULL;
  its_instance = instance();
  (void)call(its_instance, F_ADD, 1);
  lucet_test_patience = 3600000000000u;
  alarm(120);
  for (size_t k = 0; k < 3; k++) {
    long n = 0, ends = 0, returned = 0;
    for (bool over = false; !over; n += PATHS[k].resumes ? 3 * STRIDE : STRIDE) {
      lucet_event e = step_run(PATHS[k].function, PATHS[k].resumes, n);
      ends += is_killed(e);
      returned += e.kind == LUCET_EVENT_RETURNED;
      over = stepping.looping || !stepping.done || n > 100000;
    }
    CHECK(ends > 0 && n < 100000);
    CHECK(returned == 0 || PATHS[k].function == F_ADD);
  }
  alarm(0);
  lucet_test_patience = 1000000;
  CHECK(usable(its_instance));
  lucet_instance_release(its_instance);
}

/* ---- Interruptions keep everything */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  lucet_instance *instance;
  int turn;
  long interruptions;
  lucet_event event;
  atomic_int over;
} relay = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/** Two threads take turns at running one instance. */
static void *runs_in_turn(void *me) {
  int mine = me != NULL;
  pthread_mutex_lock(&relay.lock);
  while (relay.event.kind == LUCET_EVENT_INTERRUPTED) {
    if (relay.turn != mine) {
      pthread_cond_wait(&relay.changed, &relay.lock);
      continue;
    }
    pthread_mutex_unlock(&relay.lock);
    lucet_event e = resume(relay.instance);
    pthread_mutex_lock(&relay.lock);
    relay.interruptions += e.kind == LUCET_EVENT_INTERRUPTED;
    relay.event = e;
    relay.turn = 1 - mine;
    pthread_cond_signal(&relay.changed);
  }
  atomic_store(&relay.over, 1);
  pthread_cond_broadcast(&relay.changed);
  pthread_mutex_unlock(&relay.lock);
  return NULL;
}

static void *starts(void *args) {
  CHECK(lucet_instance_call(relay.instance, lucet_instance_function(relay.instance, F_KEEP), args, &relay.event, NULL) == LUCET_OK);
  return NULL;
}

static void test_preemption(void) {
  section = "preemption";
  pthread_t a, b;
  uint64_t args[2] = {300000000, 0};
  relay.instance = instance();
  lucet_kill_switch *k = kill_switch(relay.instance);
  pthread_create(&a, NULL, starts, args);
  await_guest(relay.instance);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_SIGNALLED);
  pthread_join(a, NULL);
  CHECK(relay.event.kind == LUCET_EVENT_INTERRUPTED && relay.event.code == LUCET_INTERRUPTION_PAUSE);
  CHECK(lucet_instance_state(relay.instance) == LUCET_STATE_INTERRUPTED);
  lucet_frame frames[4];
  CHECK(lucet_instance_backtrace(relay.instance, frames, 4) == 1 && frames[0].function == F_KEEP);
  pthread_create(&a, NULL, runs_in_turn, NULL);
  pthread_create(&b, NULL, runs_in_turn, &relay);
  while (!atomic_load(&relay.over)) {
    (void)lucet_kill_switch_pause(k);
    usleep(20);
  }
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  CHECK(relay.event.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 0);
  CHECK(relay.interruptions > 50);
  lucet_kill_switch_release(k);
  lucet_instance_release(relay.instance);
}

static void test_nested_interruption(void) {
  section = "called while it is interrupted";
  struct runner r;
  lucet_instance *i = instance();
  hold(i);
  start(&r, i, F_WAIT);
  await_guest(i);
  lucet_kill_switch *k = kill_switch(i);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_SIGNALLED && join(&r).kind == LUCET_EVENT_INTERRUPTED);
  CHECK((uint32_t)call(i, F_DEEP, 100).id == 100);
  CHECK(call(i, F_UNREACHABLE, 0).kind == LUCET_EVENT_TRAPPED);
  const lucet_trap_info *t = lucet_instance_trap_info(i);
  CHECK(t->total_frames == 3 && t->frames[1].kind == LUCET_FRAME_HOST && t->frames[2].function == F_WAIT);
  CHECK(lucet_instance_state(i) == LUCET_STATE_INTERRUPTED);
  release(i);
  CHECK(resume(i).kind == LUCET_EVENT_RETURNED);
  /* Dropped while it is interrupted. */
  hold(i);
  lucet_kill_switch_release(k);
  k = kill_switch(i);
  start(&r, i, F_WAIT);
  await_guest(i);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_SIGNALLED && join(&r).kind == LUCET_EVENT_INTERRUPTED);
  CHECK(lucet_instance_abort_with_trap(i, LUCET_TRAP_INTERRUPT, NULL) == LUCET_OK);
  CHECK(lucet_instance_trap_info(i)->code == LUCET_TRAP_INTERRUPT && lucet_instance_trap_info(i)->function == F_WAIT);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_INVALID && usable(i));
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
}

/* ---- Deadlines, and how fast it all is */

static void test_timeouts(void) {
  section = "timeouts";
  lucet_instance *i = instance();
  hold(i);
  lucet_instance_set_timeout(i, 5000000);
  for (int n = 0; n < 3; n++) {
    uint64_t begun = now();
    lucet_event e = call(i, F_WAIT, 0);
    CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT && now() - begun >= 5000000);
    CHECK(usable(i));
  }
  /* What host functions and the embedder take counts. */
  CHECK(call(i, F_CALL_HOST, 0).kind == LUCET_EVENT_HOSTCALL);
  usleep(20000);
  lucet_event e = resume(i);
  CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT);
  for (int n = 0; n < 10000; n++) CHECK(usable(i));
  lucet_instance_set_timeout(i, 0);
  CHECK(usable(i));
  /* Many at once, in any order. */
  enum { MANY = 40 };
  lucet_instance *all[MANY];
  for (int n = 0; n < MANY; n++) {
    all[n] = instance();
    lucet_instance_set_timeout(all[n], 1000000u * (unsigned)((n * 7) % MANY + 1));
    CHECK(call(all[n], F_CALL_HOST, 0).kind == LUCET_EVENT_HOSTCALL);
  }
  for (int n = 0; n < MANY; n += 3) CHECK(lucet_instance_abort(all[n], NULL) == LUCET_OK);
  usleep(80000);
  for (int n = 0; n < MANY; n++) {
    CHECK(lucet_instance_state(all[n]) == (n % 3 == 0 ? LUCET_STATE_TERMINATED : LUCET_STATE_TERMINATING));
    lucet_instance_release(all[n]);
  }
  lucet_instance_release(i);
}

static void blocked(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  /* Nobody ever writes: the kick interrupts it. */
  int ends[2];
  char byte;
  CHECK(pipe(ends) == 0);
  while (read(ends[0], &byte, 1) < 0 && errno == EINTR && !lucet_vmctx_terminating(vm)) {
  }
  close(ends[0]);
  close(ends[1]);
}

static void test_blocked_hostcall(void) {
  section = "a hostcall that waits";
  lucet_instance *i = instance();
  struct runner r;
  lucet_kill_switch *k = kill_switch(i);
  on_hostcall = blocked;
  start(&r, i, F_TOUR);
  while (atomic_load(&lucet_control_of(i)->where) != CONTROL_HOST) usleep(50);
  usleep(2000);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_PENDING && is_killed(join(&r)));
  on_hostcall = NULL;
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
}

static void test_latency(void) {
  section = "latency";
  lucet_instance *i = instance();
  uint64_t best = UINT64_MAX;
  for (int n = 0; n < 30; n++) {
    struct runner r;
    lucet_kill_switch *k = kill_switch(i);
    hold(i);
    start(&r, i, F_WAIT);
    await_guest(i);
    uint64_t asked = now();
    CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_SIGNALLED);
    while (!atomic_load(&r.ended)) {
    }
    uint64_t took = now() - asked;
    if (took < best) best = took;
    CHECK(is_killed(join(&r)));
    lucet_kill_switch_release(k);
  }
  printf("killed within %llu us at best\n", (unsigned long long)best / 1000);
  CHECK(best < 100000);
  lucet_instance_release(i);
}

/* ---- Yields */

static const char TEXT[] = "text", NUMBER[] = "number";

static void doubled(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) {
  (void)vm;
  args[0] = value.bits * 2 + *(uint64_t *)data;
}
static void yields(lucet_vmctx *vm, uint64_t *args) {
  static uint64_t extra;
  extra = args[0];
  lucet_vmctx_yield(vm, (lucet_value){TEXT, (uint64_t)(uintptr_t) "question"}, NUMBER, doubled, &extra);
  CHECK(lucet_instance_state(lucet_vmctx_instance(vm)) == LUCET_STATE_YIELDING);
}
static void yields_nothing(lucet_vmctx *vm, uint64_t *args) {
  args[0] = 5;
  lucet_vmctx_yield(vm, (lucet_value){NULL, 0}, NULL, NULL, NULL);
}
static void traps_after(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) {
  (void)args, (void)value, (void)data;
  lucet_vmctx_trap(vm, LUCET_TRAP_CAST_FAILURE);
}
static void yields_then_traps(lucet_vmctx *vm, uint64_t *args) {
  (void)args;
  lucet_vmctx_yield(vm, (lucet_value){NULL, 0}, NULL, traps_after, NULL);
}
static void yields_again(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) {
  (void)data;
  args[0] += value.bits;
  if (value.bits != 0) lucet_vmctx_yield(vm, (lucet_value){NUMBER, args[0]}, NUMBER, yields_again, NULL);
}
static void yields_often(lucet_vmctx *vm, uint64_t *args) { lucet_vmctx_yield(vm, (lucet_value){NUMBER, args[0]}, NUMBER, yields_again, NULL); }

static void test_yields(void) {
  section = "yields";
  lucet_instance *i = instance();
  lucet_event e;
  uint64_t args[2] = {7, 0};
  const lucet_funcref *f = lucet_instance_function(i, F_CALL_NATIVE);
  on_hostcall = yields;
  CHECK(lucet_instance_call(i, f, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_YIELDED && e.code == 1);
  CHECK(lucet_instance_state(i) == LUCET_STATE_YIELDED && strcmp((const char *)(uintptr_t)e.id, "question") == 0);
  CHECK(lucet_instance_yielded(i).type == TEXT);
  CHECK(lucet_instance_resume(i, &e, NULL) == LUCET_ERROR_YIELD_TYPE);
  CHECK(lucet_instance_resume_with(i, (lucet_value){TEXT, 1}, &e, NULL) == LUCET_ERROR_YIELD_TYPE);
  CHECK(lucet_instance_state(i) == LUCET_STATE_YIELDED);
  CHECK(lucet_instance_resume_with(i, (lucet_value){NUMBER, 20}, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 47);
  CHECK(lucet_instance_yielded(i).type == NULL);

  on_hostcall = yields_nothing;
  CHECK(lucet_instance_call(i, f, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_YIELDED && e.code == 0);
  CHECK(lucet_instance_resume_with(i, (lucet_value){NUMBER, 20}, &e, NULL) == LUCET_ERROR_YIELD_TYPE);
  /* On another thread. */
  struct runner r = {.instance = i, .resumes = true};
  pthread_create(&r.thread, NULL, run, &r);
  CHECK(join(&r).kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 5);

  on_hostcall = yields_then_traps;
  CHECK(lucet_instance_call(i, f, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_YIELDED);
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_TRAPPED && e.code == LUCET_TRAP_CAST_FAILURE && lucet_instance_trap_info(i)->function == F_CALL_NATIVE);
  CHECK(lucet_instance_state(i) == LUCET_STATE_FAULTED);

  on_hostcall = yields_often;
  args[0] = 1;
  CHECK(lucet_instance_call(i, f, args, &e, NULL) == LUCET_OK);
  for (uint64_t n = 1, sum = 1; n < 50; n++) {
    CHECK(e.kind == LUCET_EVENT_YIELDED && e.id == sum);
    sum += n;
    CHECK(lucet_instance_resume_with(i, (lucet_value){NUMBER, n}, &e, NULL) == LUCET_OK);
  }
  CHECK(lucet_instance_resume_with(i, (lucet_value){NUMBER, 0}, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 1226);

  /* Killed while it is yielded, and dropped. */
  on_hostcall = yields;
  lucet_kill_switch *k = kill_switch(i);
  CHECK(lucet_instance_call(i, f, args, &e, NULL) == LUCET_OK && lucet_kill_switch_terminate(k) == LUCET_KILL_PENDING);
  CHECK(lucet_instance_resume_with(i, (lucet_value){NUMBER, 0}, &e, NULL) == LUCET_OK && is_killed(e));
  lucet_kill_switch_release(k);
  CHECK(lucet_instance_call(i, f, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_YIELDED);
  CHECK(usable(i) == false && lucet_instance_abort(i, NULL) == LUCET_OK && usable(i));
  on_hostcall = NULL;
  lucet_instance_release(i);
}

/* ---- Signal handlers and states */

static int asked;
static lucet_signal_behavior behaviour;
static lucet_signal_behavior on_signal(lucet_instance *i, const lucet_trap_info *trap, void *data) {
  CHECK(data == &asked && trap->code == LUCET_TRAP_HEAP_OUT_OF_BOUNDS && trap->function == F_LOAD && trap->frame_count == 1);
  asked++;
  if (behaviour == LUCET_SIGNAL_CONTINUE) {
    CHECK(lucet_instance_memory_grow(i, 0, 1) == 1);
  }
  return behaviour;
}

static void test_signal_handler(void) {
  section = "signal handlers";
  lucet_instance *i = instance();
  CHECK(lucet_instance_state(i) == LUCET_STATE_READY);
  lucet_instance_set_signal_handler(i, on_signal, &asked);
  behaviour = LUCET_SIGNAL_DEFAULT;
  lucet_event e = call(i, F_LOAD, 1 << 16);
  CHECK(e.kind == LUCET_EVENT_TRAPPED && asked == 1 && lucet_instance_state(i) == LUCET_STATE_FAULTED);
  behaviour = LUCET_SIGNAL_TERMINATE;
  e = call(i, F_LOAD, 1 << 16);
  CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_SIGNAL && e.id == SIGSEGV && asked == 2);
  /* The handler makes the access good: it is done again. */
  behaviour = LUCET_SIGNAL_CONTINUE;
  e = call(i, F_LOAD, 1 << 16);
  CHECK(e.kind == LUCET_EVENT_RETURNED && (uint32_t)e.id == 0 && asked == 3 && lucet_instance_trap_info(i) == NULL);
  CHECK(usable(i));
  lucet_instance_release(i);
}

static int fatal;
static void on_fatal(lucet_instance *i, const lucet_trap_info *trap, void *data) {
  (void)i, (void)data;
  fatal += trap->function == F_BROKEN;
}
static void test_fatal_handler(void) {
  section = "fatal handler";
  lucet_instance *i = instance();
  lucet_instance_set_fatal_handler(i, on_fatal, NULL);
  CHECK(call(i, F_BROKEN, 0).kind == LUCET_EVENT_FAULTED && fatal == 1 && lucet_instance_state(i) == LUCET_STATE_POISONED);
  lucet_instance_release(i);
}

/** One frame more than fits overflows, one less doesn't; and a full stack has no room for a hostcall's frames either. */
static void test_depth(void) {
  section = "depth";
  for (uint64_t size = 16 << 10; size <= 64 << 10; size += 4096) {
    lucet_limits l;
    lucet_region *r, *kept = region;
    lucet_limits_default(&l);
    l.stack_size = size;
    CHECK(lucet_region_create(1, &l, &r, NULL) == LUCET_OK);
    region = r;
    lucet_instance *i = instance();
    region = kept;
    /* 24 bytes for two return addresses and the entry thunk's push, 8 for the last frame's push, 32 for each of the others. */
    uint64_t fits = (size - 24 - 8) / 32;
    lucet_event e = call(i, F_DEEP, fits);
    CHECK(e.kind == LUCET_EVENT_RETURNED && (uint32_t)e.id == fits);
    e = call(i, F_DEEP, fits + 1);
    CHECK(e.kind == LUCET_EVENT_TRAPPED && e.code == LUCET_TRAP_STACK_OVERFLOW);
    CHECK(usable(i));
    lucet_instance_release(i);
    lucet_region_release(r);
  }
}

/* ---- The host's own SIGURG */

static atomic_int urgent;
static void on_urgent(int sig) {
  (void)sig;
  atomic_fetch_add(&urgent, 1);
}

static void test_foreign_urgent(void) {
  section = "SIGURG of the host";
  signal(SIGURG, on_urgent);
  lucet_signals_changed();
  lucet_instance *i = instance();
  struct runner r;
  lucet_kill_switch *k = kill_switch(i);
  hold(i);
  start(&r, i, F_WAIT);
  await_guest(i);
  pthread_kill(r.thread, SIGURG);
  await(&urgent);
  CHECK(!atomic_load(&r.ended));
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_SIGNALLED && is_killed(join(&r)));
  CHECK(atomic_load(&urgent) == 1);
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
}

/* ---- Somebody's handler between the guest and the kick */

static atomic_int in_handler;
static void slow_handler(int sig) {
  (void)sig;
  atomic_store(&in_handler, 1);
  for (uint64_t until = now() + 3000000; now() < until;) {
  }
}
static void test_kick_in_foreign_handler(void) {
  section = "a kick while another handler runs";
  struct sigaction s = {.sa_handler = slow_handler, .sa_flags = SA_ONSTACK | SA_RESTART}, old;
  sigaction(SIGUSR2, &s, &old);
  lucet_instance *i = instance();
  struct runner r;
  lucet_kill_switch *k = kill_switch(i);
  hold(i);
  start(&r, i, F_WAIT);
  await_guest(i);
  unsigned resends = atomic_load(&lucet_control_resends);
  pthread_kill(r.thread, SIGUSR2);
  await(&in_handler);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_SIGNALLED && is_killed(join(&r)));
  CHECK(atomic_load(&lucet_control_resends) > resends);
  sigaction(SIGUSR2, &old, NULL);
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
}

int main(void) {
  size_t size;
  uint8_t *file = guest_artifact(&size);
  if (lucet_module_load_bytes(file, size, &module, NULL) != LUCET_OK || lucet_region_create(64, NULL, &region, NULL) != LUCET_OK) return 1;
  free(file);
  lucet_test_point = at_test_point;
  test_races();
  test_yields();
  test_signal_handler();
  test_fatal_handler();
  test_depth();
  test_nested_interruption();
  test_timeouts();
  test_blocked_hostcall();
  test_latency();
  test_preemption();
  test_foreign_urgent();
  test_kick_in_foreign_handler();
  test_every_instruction();
  CHECK(lucet_region_used_slots(region) == 0);
  lucet_region_release(region);
  lucet_module_release(module);
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
