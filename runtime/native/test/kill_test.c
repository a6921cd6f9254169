/** Kill switches and their races: at named points, at every instruction, and with signals of the host in between. */
#define _GNU_SOURCE
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "control.h"
#include "race.h"

/* ---- Races */

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
  atomic_store(&race.point, NULL);
  on_hostcall = NULL;
  its_instance = instance();
  its_switch = kill_switch(its_instance);
  atomic_store(&result, -1);
}

static void finish(void) {
  atomic_store(&race.point, NULL);
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
  /** Between the look at requests behind a host function and the guest. */
  bool in_window;
  /** Between the look at requests behind a builtin on the guest's stack and the guest. */
  bool in_own;
  /** Between the look at requests of a ready instance's call and the guest. */
  bool at_entry;
  /** Nothing is killed before the guest's endless loop: `critical` is written. */
  bool looks;
} stepping;

/** Instructions by which a kick is lost if it is anywhere: in the windows, and close to them. */
static uint8_t critical[1 << 16];

extern const uint8_t lucet_window_hostcall[], lucet_window_end_hostcall[];
extern const uint8_t lucet_window_own[], lucet_window_end_own[];
extern const uint8_t lucet_window_call_function[], lucet_window_end_call_function[], lucet_window_call_plain[], lucet_window_end_call_plain[];
extern const uint8_t lucet_window_call_prepared[], lucet_window_end_call_prepared[];

static bool within(uint64_t pc, const uint8_t *begin, const uint8_t *end) { return pc > (uint64_t)(uintptr_t)begin && pc < (uint64_t)(uintptr_t)end; }

static bool near(uint64_t pc, const uint8_t *begin, const uint8_t *end) {
  enum { BYTES = 64 };
  return pc > (uint64_t)(uintptr_t)begin - BYTES && pc < (uint64_t)(uintptr_t)end + BYTES;
}

static bool near_window(uint64_t pc) {
  return near(pc, lucet_window_hostcall, lucet_window_end_hostcall) || near(pc, lucet_window_own, lucet_window_end_own) ||
         near(pc, lucet_window_call_function, lucet_window_end_call_function) || near(pc, lucet_window_call_plain, lucet_window_end_call_plain) ||
         near(pc, lucet_window_call_prepared, lucet_window_end_call_prepared);
}

static void step(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info;
  ucontext_t *u = context;
  uint64_t pc = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
  stepping.looping = pc == stepping.last;
  stepping.last = pc;
  if (stepping.looks) {
    if ((size_t)stepping.steps < sizeof critical) critical[stepping.steps] = near_window(pc);
    stepping.steps++;
    if (!(stepping.looping && lucet_registry_is_guest(pc))) return;
  } else if (stepping.steps++ < stepping.at) return;
  stepping.done = true;
  stepping.in_window = within(pc, lucet_window_hostcall, lucet_window_end_hostcall);
  stepping.in_own = within(pc, lucet_window_own, lucet_window_end_own);
  stepping.at_entry = within(pc, lucet_window_call_function, lucet_window_end_call_function) || within(pc, lucet_window_call_plain, lucet_window_end_call_plain) ||
                      within(pc, lucet_window_call_prepared, lucet_window_end_call_prepared);
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

/** Calls of instances that are ready have ways of their own. */
enum way { ANY, READY, PREPARED };

/** Instead of a number of an instruction: none is killed, and what is critical is learned. */
enum { LOOK = -1 };

/** One run, killed at its n-th instruction. `resumes`: of a run that was interrupted in its endless loop. */
static lucet_event step_run(uint32_t function, bool resumes, enum way way, long n) {
  static struct runner r;
  if (resumes) {
    start(&r, its_instance, function);
    await_guest(its_instance);
  }
  if (way == ANY) lucet_call_unready(its_instance);
  /* The first makes it ready, the second settles it, unless its handlers are to be looked at. */
  for (int k = 0; way != ANY && k < 3; k++) (void)call(its_instance, F_ADD, 1);
  CHECK(way == ANY || its_instance->ready != NULL);
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
  stepping.looks = n == LOOK;
  uint64_t args[2] = {1, 2};
  const lucet_funcref *f = lucet_instance_function(its_instance, function);
  lucet_event e = {.kind = 99};
  lucet_prepared_call c;
  CHECK(lucet_call_prepare(its_instance, f, &c, NULL) == LUCET_OK);
  CHECK(lucet_signals_ready());
  if (resumes) pthread_create(&r.thread, NULL, kill_later, NULL);
  sigaction(SIGTRAP, &s, &old);
  step_on();
  lucet_status status;
  if (resumes) status = lucet_instance_resume(its_instance, &e, NULL);
  else if (way == PREPARED) status = lucet_call_prepared(&c, args, &e, NULL);
  else status = lucet_instance_call(its_instance, f, args, &e, NULL);
  step_off();
  sigaction(SIGTRAP, &old, NULL);
  CHECK(status == LUCET_OK);
  if (resumes) pthread_join(r.thread, NULL);
  if (e.kind == LUCET_EVENT_RETURNED) CHECK((uint32_t)args[0] == (function == F_ADD ? 3 : 1));
  lucet_kill_switch_release(its_switch);
  return e;
}

/**
 * A kick is never lost. Were one, the run would go on until the kick is repeated, which is not to be waited for. All
 * instructions that are critical have their turn, and every `stride`-th of the others: to get to one takes a signal for
 * each before it.
 */
__attribute__((unused)) static void test_every_instruction(long stride) {
#ifdef __SANITIZE_ADDRESS__
  stride = 61;
#endif
  static const struct {
    uint32_t function;
    bool resumes;
    enum way way;
  } PATHS[] = {{F_TOUR, false, ANY},      {F_TOUR, true, ANY},    {F_ADD, false, ANY},        {F_TOUR, false, READY},         {F_ADD, false, READY},
               {F_TOUR, false, PREPARED}, {F_ADD, false, PREPARED}, {F_CALL_NATIVE, false, PREPARED}, {F_CHECK, false, ANY}, {F_CHECK, false, READY},
               {F_CHECK, false, PREPARED}};
  section = "at every instruction";
  on_hostcall = NULL;
  unsigned in_window = 0, in_own = 0, at_entry = 0;
  its_instance = instance();
  (void)call(its_instance, F_ADD, 1);
  lucet_test_patience = 3600000000000u;
  alarm(120);
  for (size_t k = 0; k < sizeof PATHS / sizeof *PATHS; k++) {
    memset(critical, 0, sizeof critical);
    (void)step_run(PATHS[k].function, PATHS[k].resumes, PATHS[k].way, LOOK);
    long n = 0, ends = 0, returned = 0, every = PATHS[k].resumes ? 3 * stride : stride;
    for (bool over = false; !over;) {
      lucet_event e = step_run(PATHS[k].function, PATHS[k].resumes, PATHS[k].way, n);
      ends += is_killed(e);
      in_window += stepping.in_window;
      in_own += stepping.in_own;
      at_entry += stepping.at_entry;
      CHECK(!(stepping.in_window || stepping.in_own || stepping.at_entry) || is_killed(e));
      returned += e.kind == LUCET_EVENT_RETURNED;
      /* In the trap stub, it is too late. */
      if (PATHS[k].function == F_CHECK) CHECK(is_killed(e) || (e.kind == LUCET_EVENT_TRAPPED && e.code == LUCET_TRAP_UNREACHABLE));
      over = stepping.looping || !stepping.done || n > 100000;
      do n++;
      while (n % every != 0 && !critical[n & (long)(sizeof critical - 1)]);
    }
    CHECK(ends > 0 && n < 100000);
    CHECK(returned == 0 || PATHS[k].function != F_TOUR);
  }
  alarm(0);
  CHECK(in_window > 0 && in_own > 0 && at_entry > 0);
  lucet_test_patience = 1000000;
  CHECK(usable(its_instance));
  lucet_instance_release(its_instance);
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
static atomic_uint resends_before;
/** Until a kick was sent again, for ten seconds at most. */
static void slow_handler(int sig) {
  (void)sig;
  atomic_store(&in_handler, 1);
  for (uint64_t until = now() + 10000000000u; now() < until && atomic_load(&lucet_control_resends) == atomic_load(&resends_before);) {
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
  atomic_store(&resends_before, atomic_load(&lucet_control_resends));
  pthread_kill(r.thread, SIGUSR2);
  await(&in_handler);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_SIGNALLED && is_killed(join(&r)));
  CHECK(atomic_load(&lucet_control_resends) > atomic_load(&resends_before));
  sigaction(SIGUSR2, &old, NULL);
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
}

static atomic_int alarms;
static void on_alarm(int signal) {
  (void)signal;
  atomic_fetch_add(&alarms, 1);
}

/**
 * A handler that doesn't ask for the alternate stack, as most do not: there may be no room for it where the guest is.
 */
static void test_handlers_on_full_stacks(void) {
  section = "handlers on full stacks";
  lucet_instance *i = instance();
  CHECK(usable(i));
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, old, now;
  sigaction(SIGALRM, &action, &old);
  lucet_signals_changed();
  /* The most that fits: 32 bytes for each. */
  uint64_t depth = (uint64_t)(i->slot->stack_top - i->slot->stack_low) / 32;
  while (call(i, F_DEEP, depth).kind != LUCET_EVENT_RETURNED) depth--;
  const struct itimerval often = {.it_interval = {.tv_usec = 50}, .it_value = {.tv_usec = 50}}, never = {.it_value = {.tv_usec = 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  for (int n = 0; n < 2000 || (atomic_load(&alarms) < 500 && n < 200000); n++) CHECK(call(i, F_DEEP, depth).kind == LUCET_EVENT_RETURNED);
  setitimer(ITIMER_REAL, &never, NULL);
  CHECK(atomic_load(&alarms) >= 500);
  CHECK(sigaction(SIGALRM, &action, &now) == 0 && now.sa_handler == on_alarm && (now.sa_flags & SA_RESTART) != 0);
  /* Without being told, it takes some ticks of the coarse clock. */
  uint64_t until = lucet_now() + 10000000000u;
  do usable(i);
  while (sigaction(SIGALRM, NULL, &now) == 0 && (now.sa_flags & SA_ONSTACK) == 0 && lucet_now() < until);
  CHECK((now.sa_flags & SA_ONSTACK) != 0);
  sigaction(SIGALRM, &old, NULL);
  lucet_instance_release(i);
}

/**
 * In a child of a process that has run guests, but has had no need of a watchdog yet: the thread has another number
 * there.
 */
static void test_child(void) {
  section = "a child made by fork";
  lucet_instance *i = instance();
  CHECK(usable(i));
  pid_t child = fork();
  if (child == 0) {
    /* If nobody stops it. */
    alarm(20);
    hold(i);
    lucet_instance_set_timeout(i, 20000000);
    lucet_event e = call(i, F_WAIT, 0);
    bool over = e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT;
    _exit(over && usable(i) ? 0 : 1);
  }
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(usable(i));
  lucet_instance_release(i);
}

/** `kill_test every`: kills at every instruction. */
int main(int argc, char **argv) {
  bool every = argc > 1 && strcmp(argv[1], "every") == 0;
  begin_tests();
  test_child();
  test_handlers_on_full_stacks();
  lucet_test_point = at_test_point;
  test_races();
  test_foreign_urgent();
  test_kick_in_foreign_handler();
#ifndef __SANITIZE_THREAD__
  /* Most of them would be the sanitizer's. */
  test_every_instruction(every ? 1 : 7);
#else
  (void)every;
#endif
  return end_tests();
}
