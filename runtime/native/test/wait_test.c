/**
 * Host functions that wait in the system: stopped there at once, and going on with what is left; nothing is lost,
 * nothing is done twice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>

#include "control.h"
#include "race.h"

/* ---- A host function that reads one byte, and is that byte */

static int ends[2];
static atomic_uint transfers;

static void read_anew(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data);

static const char TOLD[] = "told";

static void read_byte(lucet_vmctx *vm, uint64_t *args) {
  for (;;) {
    lucet_wait asked = lucet_vmctx_wait(vm);
    if (asked == LUCET_WAIT_STOPS) lucet_vmctx_stop(vm, (lucet_value){TOLD, 7}, read_anew, &transfers);
    if (asked != LUCET_WAIT_ON) return;
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    int got = ppoll(&p, 1, NULL, NULL);
    int why = errno;
    lucet_vmctx_waited(vm);
    if (got == 1) break;
    CHECK(got < 0 && why == EINTR);
  }
  uint8_t byte = 0;
  CHECK(read(ends[0], &byte, 1) == 1);
  atomic_fetch_add(&transfers, 1);
  args[0] = byte;
}

static void read_anew(lucet_vmctx *vm, uint64_t *args, lucet_value value, void *data) {
  /* The argument is as it was. */
  CHECK((uint32_t)args[0] == 0 && value.type == TOLD && value.bits == 7 && data == &transfers);
  read_byte(vm, args);
}

static void send_byte(uint8_t byte) { CHECK(write(ends[1], &byte, 1) == 1); }
static uint8_t byte_left(void) {
  struct pollfd p = {.fd = ends[0], .events = POLLIN};
  uint8_t byte = 0;
  CHECK(poll(&p, 1, 0) == 1 && read(ends[0], &byte, 1) == 1);
  return byte;
}
static bool is_empty(void) {
  struct pollfd p = {.fd = ends[0], .events = POLLIN};
  return poll(&p, 1, 0) == 0;
}

static bool is_paused(lucet_event e) { return e.kind == LUCET_EVENT_INTERRUPTED && e.code == LUCET_INTERRUPTION_PAUSE; }
static bool gave(lucet_event e, uint8_t byte) { return e.kind == LUCET_EVENT_RETURNED && (uint8_t)e.id == byte; }

static lucet_instance *its_instance;
static lucet_kill_switch *its_switch;
static struct runner its_runner;
static atomic_int result;

static void await_waiting(lucet_instance *i) {
  while (atomic_load(&lucet_control_of(i)->where) != CONTROL_WAITING) usleep(50);
}

static void begin(const char *name) {
  section = name;
  on_hostcall = read_byte;
  its_instance = instance();
  its_switch = kill_switch(its_instance);
  atomic_store(&result, -1);
  CHECK(is_empty());
}

static void finish(void) {
  on_hostcall = NULL;
  CHECK(is_empty() && usable(its_instance));
  lucet_kill_switch_release(its_switch);
  lucet_instance_release(its_instance);
}

/** Its run waits on a thread of its own. */
static void begin_waiting(const char *name) {
  begin(name);
  start(&its_runner, its_instance, F_CALL_NATIVE);
  await_waiting(its_instance);
}

static bool is_in_host(lucet_instance *i) {
  lucet_frame frames[4];
  uint32_t count = lucet_instance_backtrace(i, frames, 4);
  return count == 2 && frames[0].kind == LUCET_FRAME_WAITING && frames[0].module == module && frames[0].function == 0 && frames[1].kind == LUCET_FRAME_WASM &&
         frames[1].function == F_CALL_NATIVE && lucet_instance_registers(i) == NULL && lucet_instance_state(i) == LUCET_STATE_INTERRUPTED;
}

static bool is_behind_call(lucet_instance *i) {
  lucet_frame frames[4];
  return lucet_instance_backtrace(i, frames, 4) == 1 && frames[0].function == F_CALL_NATIVE && lucet_instance_registers(i) != NULL;
}

/* What a run returns is in the array that it was called with: of the thread that called. */
static struct {
  uint64_t args[2];
  lucet_event event;
  atomic_int ended;
  pthread_t thread;
} own;

static void *call_own(void *unused) {
  (void)unused;
  own.args[0] = 0;
  CHECK(lucet_instance_call(its_instance, lucet_instance_function(its_instance, F_CALL_NATIVE), own.args, &own.event, NULL) == LUCET_OK);
  atomic_store(&own.ended, 1);
  return NULL;
}

static void start_own(void) {
  atomic_store(&own.ended, 0);
  CHECK(lucet_control_of(its_instance) != NULL);
  pthread_create(&own.thread, NULL, call_own, NULL);
}

static lucet_event join_own(void) {
  pthread_join(own.thread, NULL);
  return own.event;
}

static lucet_event resume_own(void) {
  lucet_event e = resume(its_instance);
  if (e.kind == LUCET_EVENT_RETURNED) e.id = own.args[0];
  return e;
}

static void test_pause(void) {
  begin("paused while it waits");
  start_own();
  await_waiting(its_instance);
  usleep(1000);
  uint64_t asked = now();
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING);
  CHECK(is_paused(join_own()) && now() - asked < 1000000000);
  CHECK(is_in_host(its_instance));
  /* It goes on, on other threads. */
  uint64_t best = UINT64_MAX;
  for (int n = 0; n < 20; n++) {
    its_runner = (struct runner){.instance = its_instance, .resumes = true};
    pthread_create(&its_runner.thread, NULL, run, &its_runner);
    await_waiting(its_instance);
    usleep(300);
    asked = now();
    CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING);
    await(&its_runner.ended);
    uint64_t took = now() - asked;
    if (took < best) best = took;
    CHECK(is_paused(join(&its_runner)) && is_in_host(its_instance));
  }
  printf("stopped within a read after %llu us at best\n", (unsigned long long)best / 1000);
  unsigned before = atomic_load(&transfers);
  send_byte(41);
  CHECK(gave(resume_own(), 41) && atomic_load(&transfers) == before + 1);
  finish();
}

static void test_stopped_state(void) {
  begin_waiting("asked again while it is stopped");
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && lucet_kill_switch_pause(its_switch) == LUCET_KILL_NOT_TERMINABLE);
  /* It is still there, whoever asks: as soon as it waits again. */
  CHECK(is_paused(resume(its_instance)) && is_in_host(its_instance));
  CHECK(lucet_instance_step(its_instance, NULL) == LUCET_ERROR_STATE);
  /* A call on top of it, which waits, is stopped, and ends. */
  struct runner inner;
  start(&inner, its_instance, F_CALL_NATIVE);
  await_waiting(its_instance);
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&inner)));
  lucet_frame frames[8];
  CHECK(lucet_instance_backtrace(its_instance, frames, 8) == 4 && frames[0].kind == LUCET_FRAME_WAITING && frames[2].kind == LUCET_FRAME_HOST);
  send_byte(1);
  CHECK(resume(its_instance).kind == LUCET_EVENT_RETURNED);
  CHECK(is_in_host(its_instance));
  send_byte(2);
  CHECK(resume(its_instance).kind == LUCET_EVENT_RETURNED);
  finish();

  begin_waiting("killed while it waits");
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_PENDING && is_killed(join(&its_runner)));
  finish();

  begin_waiting("killed while it is stopped there");
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  send_byte(3);
  unsigned before = atomic_load(&transfers);
  CHECK(lucet_kill_switch_terminate(its_switch) == LUCET_KILL_PENDING);
  CHECK(lucet_instance_state(its_instance) == LUCET_STATE_TERMINATING);
  CHECK(is_killed(resume(its_instance)));
  /* It has taken nothing. */
  CHECK(atomic_load(&transfers) == before && byte_left() == 3);
  finish();

  begin_waiting("dropped while it is stopped there");
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  CHECK(lucet_instance_abort(its_instance, NULL) == LUCET_OK && lucet_kill_switch_terminate(its_switch) == LUCET_KILL_INVALID);
  finish();

  begin_waiting("made to trap while it is stopped there");
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  CHECK(lucet_instance_abort_with_trap(its_instance, LUCET_TRAP_INTERRUPT, NULL) == LUCET_OK);
  CHECK(lucet_instance_trap_info(its_instance)->code == LUCET_TRAP_INTERRUPT && lucet_instance_trap_info(its_instance)->function == F_CALL_NATIVE);
  finish();

  begin_waiting("reset, and given back, while it is stopped there");
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  CHECK(lucet_instance_reset(its_instance, NULL) == LUCET_OK);
  start(&its_runner, its_instance, F_CALL_NATIVE);
  await_waiting(its_instance);
  lucet_kill_switch_release(its_switch);
  its_switch = kill_switch(its_instance);
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  lucet_kill_switch_release(its_switch);
  lucet_instance_release(its_instance);

  begin("a deadline while it waits, and while it is stopped there");
  lucet_instance_set_timeout(its_instance, 5000000);
  lucet_event e = call(its_instance, F_CALL_NATIVE, 0);
  CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT);
  lucet_instance_set_timeout(its_instance, 200000000);
  start(&its_runner, its_instance, F_CALL_NATIVE);
  await_waiting(its_instance);
  lucet_kill_switch_release(its_switch);
  its_switch = kill_switch(its_instance);
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING && is_paused(join(&its_runner)));
  while (lucet_instance_state(its_instance) != LUCET_STATE_TERMINATING) usleep(1000);
  e = resume(its_instance);
  CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT);
  lucet_instance_set_timeout(its_instance, 0);
  finish();

  begin_waiting("requests that are for guest code only");
  unsigned resends = atomic_load(&lucet_control_resends);
  struct lucet_control *c = lucet_control_of(its_instance);
  CHECK(lucet_control_request(c, control_run(c), REQUEST_WATCH) == LUCET_KILL_PENDING);
  usleep(20000);
  CHECK(atomic_load(&its_runner.ended) == 0 && atomic_load(&lucet_control_resends) == resends);
  send_byte(4);
  CHECK(join(&its_runner).kind == LUCET_EVENT_RETURNED);
  finish();
}

/* ---- Races */

static void *pause_it(void *unused) {
  (void)unused;
  atomic_store(&result, (int)lucet_kill_switch_pause(its_switch));
  return NULL;
}
static void pause_now(void) {
  pthread_t t;
  pthread_create(&t, NULL, pause_it, NULL);
  pthread_join(t, NULL);
}
static void *kill_it(void *unused) {
  (void)unused;
  atomic_store(&result, (int)lucet_kill_switch_terminate(its_switch));
  return NULL;
}
static void kill_now(void) {
  pthread_t t;
  pthread_create(&t, NULL, kill_it, NULL);
  pthread_join(t, NULL);
}

static void let_it_read(void) {
  send_byte(9);
  await(&own.ended);
}

static void test_races(void) {
  static const struct {
    const char *point;
    /** Where it is stopped: within the host function, or behind it. */
    bool within;
  } OWN[] = {
      {"hostcall_before_move", true}, {"hostcall_after_move", true},         {"wait_after_moving", true},
      {"wait_after_looking", true},   {"wait_before_moving_back", false},    {"hostcall_before_moving_back", false},
      {"hostcall_after_moving_back", false},
  };
  for (size_t n = 0; n < sizeof OWN / sizeof OWN[0]; n++) {
    begin(OWN[n].point);
    if (!OWN[n].within) send_byte(8);
    unsigned before = atomic_load(&transfers);
    at(OWN[n].point, pause_now);
    start_own();
    lucet_event e = join_own();
    /* Before it has moved, the kick meets what is still guest code for all that anybody knows. */
    CHECK(is_paused(e));
    CHECK(OWN[n].within ? is_in_host(its_instance) : is_behind_call(its_instance));
    CHECK(atomic_load(&transfers) == before + !OWN[n].within);
    if (OWN[n].within) send_byte(8);
    CHECK(gave(resume_own(), 8) && atomic_load(&transfers) == before + 1);
    finish();

    begin(OWN[n].point);
    if (!OWN[n].within) send_byte(8);
    at(OWN[n].point, kill_now);
    start_own();
    CHECK(is_killed(join_own()));
    finish();
  }
  /* On its way into the stop, and as it goes on. */
  begin("killed as it stops");
  at("killer_after_request", kill_now);
  start_own();
  await_waiting(its_instance);
  (void)lucet_kill_switch_pause(its_switch);
  CHECK(is_killed(join_own()));
  finish();

  static const char *const ASKING[] = {"killer_before_request", "killer_after_request", "killer_after_looking", "killer_after_kick"};
  for (size_t n = 0; n < sizeof ASKING / sizeof ASKING[0]; n++) {
    begin(ASKING[n]);
    start_own();
    await_waiting(its_instance);
    unsigned before = atomic_load(&transfers);
    at(ASKING[n], let_it_read);
    lucet_kill_result r = lucet_kill_switch_pause(its_switch);
    lucet_event e = join_own();
    if (n == 0) {
      CHECK(r == LUCET_KILL_INVALID && e.kind == LUCET_EVENT_RETURNED && (uint8_t)own.args[0] == 9);
    } else {
      /* It was asked before the byte came; the kick may have come before it has read, or after. */
      CHECK(is_paused(e));
      CHECK(is_in_host(its_instance) ? atomic_load(&transfers) == before : is_behind_call(its_instance) && atomic_load(&transfers) == before + 1);
      CHECK(gave(resume_own(), 9));
    }
    CHECK(atomic_load(&transfers) == before + 1);
    finish();
  }
  atomic_store(&race.point, NULL);
}

/* ---- In a pool */

static lucet_pool_event next_event(lucet_pool *p) {
  lucet_pool_event e = {.id = 99};
  for (int n = 0; n < 100 && lucet_pool_take(p, &e, 1) == 0; n++) (void)lucet_pool_wait(p, 100000000);
  return e;
}

static void test_pool(void) {
  begin("others run while one waits");
  lucet_pool *p;
  uint64_t args[2] = {0, 0}, others[2] = {40, 2};
  lucet_instance *other = instance();
  const lucet_pool_options options = {.threads = 1, .slice = 1000000};
  CHECK(lucet_pool_create(&options, &p, NULL) == LUCET_OK);
  CHECK(lucet_pool_call(p, its_instance, lucet_instance_function(its_instance, F_CALL_NATIVE), args, 1, NULL) == LUCET_OK);
  await_waiting(its_instance);
  CHECK(lucet_pool_call(p, other, lucet_instance_function(other, F_ADD), others, 2, NULL) == LUCET_OK);
  lucet_pool_event e = next_event(p);
  CHECK(e.id == 2 && e.event.kind == LUCET_EVENT_RETURNED && (uint32_t)others[0] == 42);
  await_waiting(its_instance);
  CHECK(lucet_kill_switch_pause(its_switch) == LUCET_KILL_PENDING);
  e = next_event(p);
  CHECK(e.id == 1 && is_paused(e.event) && is_in_host(its_instance));
  send_byte(5);
  CHECK(lucet_pool_resume(p, its_instance, NULL, 3, NULL) == LUCET_OK);
  e = next_event(p);
  CHECK(e.id == 3 && e.event.kind == LUCET_EVENT_RETURNED && (uint8_t)args[0] == 5);
  /* The pool goes while one waits. */
  CHECK(lucet_pool_call(p, its_instance, lucet_instance_function(its_instance, F_CALL_NATIVE), args, 4, NULL) == LUCET_OK);
  await_waiting(its_instance);
  lucet_pool_release(p);
  lucet_instance_release(other);
  finish();
}

/* ---- All at once */

enum { BYTES = 3000 };
static atomic_int over;

static void *writes(void *unused) {
  (void)unused;
  uint32_t seed = 12345;
  for (int n = 0; n < BYTES; n++) {
    seed = seed * 1664525 + 1013904223;
    if (seed >> 30 == 0) usleep(seed >> 8 & 127);
    send_byte((uint8_t)n);
  }
  return NULL;
}

static void *pauses(void *unused) {
  (void)unused;
  uint32_t seed = 54321;
  while (!atomic_load(&over)) {
    lucet_kill_switch *k = kill_switch(its_instance);
    (void)lucet_kill_switch_pause(k);
    lucet_kill_switch_release(k);
    seed = seed * 1664525 + 1013904223;
    usleep(seed >> 8 & 63);
  }
  return NULL;
}

static void test_everything(void) {
  begin("bytes, and pauses at any time");
  CHECK(lucet_control_of(its_instance) != NULL);
  pthread_t writer, pauser;
  pthread_create(&writer, NULL, writes, NULL);
  pthread_create(&pauser, NULL, pauses, NULL);
  long within = 0, elsewhere = 0;
  for (int n = 0; n < BYTES; n++) {
    own.args[0] = 0;
    CHECK(lucet_instance_call(its_instance, lucet_instance_function(its_instance, F_CALL_NATIVE), own.args, &own.event, NULL) == LUCET_OK);
    while (own.event.kind == LUCET_EVENT_INTERRUPTED) {
      if (is_in_host(its_instance)) within++;
      else elsewhere++;
      own.event = resume(its_instance);
    }
    CHECK(own.event.kind == LUCET_EVENT_RETURNED && (uint8_t)own.args[0] == (uint8_t)n);
  }
  atomic_store(&over, 1);
  pthread_join(writer, NULL);
  pthread_join(pauser, NULL);
  printf("stopped %ld times within a read, %ld times elsewhere\n", within, elsewhere);
  CHECK(within > 0);
  /* One may be left for a run that has not begun. */
  lucet_event e = call(its_instance, F_ADD, 40);
  if (e.kind == LUCET_EVENT_INTERRUPTED) e = resume(its_instance);
  CHECK(e.kind == LUCET_EVENT_RETURNED);
  finish();
}

int main(void) {
  if (pipe(ends) != 0) return 1;
  begin_tests();
  lucet_test_point = at_test_point;
  test_pause();
  test_stopped_state();
  test_races();
  test_pool();
  test_everything();
  close(ends[0]);
  close(ends[1]);
  return end_tests();
}
