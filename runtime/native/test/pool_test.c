/** Pools: many instances on few threads, in slices. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "control.h"

enum { MANY = 60 };

static lucet_pool *pool(uint32_t threads, uint64_t slice) {
  lucet_pool *p;
  const lucet_pool_options options = {.threads = threads, .slice = slice};
  if (lucet_pool_create(&options, &p, NULL) != LUCET_OK) exit(1);
  return p;
}

static void submit(lucet_pool *p, lucet_instance *i, uint32_t function, uint64_t *args, uint64_t id) {
  CHECK(lucet_pool_call(p, i, lucet_instance_function(i, function), args, id, NULL) == LUCET_OK);
}

/** The next event, waited for. */
static lucet_pool_event next(lucet_pool *p) {
  lucet_pool_event e;
  memset(&e, 0xff, sizeof e);
  while (lucet_pool_take(p, &e, 1) == 0)
    if (!lucet_pool_wait(p, 20000000000u)) break;
  return e;
}

/** All get their turns, and every register back after each. */
static void test_slices(void) {
  section = "slices";
  lucet_pool *p = pool(2, 500000);
  lucet_instance *all[MANY];
  static uint64_t args[MANY][2];
  bool seen[MANY] = {false};
  for (uint64_t k = 0; k < MANY; k++) {
    all[k] = instance();
    args[k][0] = 3000000 + k * 10000;
    args[k][1] = 0;
    submit(p, all[k], F_KEEP, args[k], k);
  }
  for (int n = 0; n < MANY; n++) {
    lucet_pool_event e = next(p);
    CHECK(e.status == LUCET_OK && e.event.kind == LUCET_EVENT_RETURNED && e.id < MANY && !seen[e.id]);
    if (e.id >= MANY) break;
    CHECK(e.instance == all[e.id] && (uint32_t)args[e.id][0] == 0);
    seen[e.id] = true;
  }
  for (int k = 0; k < MANY; k++) lucet_instance_release(all[k]);
  lucet_pool_release(p);
}

/** One that never ends doesn't keep others from running, and can be killed. */
static void test_endless(void) {
  section = "an endless guest";
  lucet_pool *p = pool(1, 200000);
  lucet_instance *endless = instance(), *brief = instance();
  uint64_t none[2] = {0, 0}, sum[2];
  lucet_kill_switch *k = kill_switch(endless);
  hold(endless);
  submit(p, endless, F_WAIT, none, 1);
  for (int n = 0; n < 50; n++) {
    sum[0] = (uint64_t)n;
    sum[1] = 1;
    submit(p, brief, F_ADD, sum, 2);
    lucet_pool_event e = next(p);
    CHECK(e.id == 2 && e.event.kind == LUCET_EVENT_RETURNED && (uint32_t)sum[0] == (uint32_t)n + 1);
  }
  lucet_kill_result r = lucet_kill_switch_terminate(k);
  CHECK(r == LUCET_KILL_SIGNALLED || r == LUCET_KILL_PENDING);
  lucet_pool_event e = next(p);
  CHECK(e.id == 1 && is_killed(e.event));
  lucet_kill_switch_release(k);
  lucet_instance_release(endless);
  lucet_instance_release(brief);
  lucet_pool_release(p);
}

/** Pauses come through to the embedder; hostcalls are carried out by him. */
static void test_events(void) {
  section = "events of a pool";
  lucet_pool *p = pool(2, 0);
  lucet_instance *i = instance();
  uint64_t args[2] = {5, 0};
  submit(p, i, F_CALL_HOST, args, 9);
  lucet_pool_event e = next(p);
  CHECK(e.id == 9 && e.event.kind == LUCET_EVENT_HOSTCALL && e.event.args[0] == 5);
  e.event.args[0] = 50;
  CHECK(lucet_pool_resume(p, i, NULL, 10, NULL) == LUCET_OK);
  e = next(p);
  CHECK(e.id == 10 && e.event.kind == LUCET_EVENT_RETURNED && args[0] == 50);

  lucet_kill_switch *k = kill_switch(i);
  hold(i);
  args[0] = 0;
  submit(p, i, F_WAIT, args, 11);
  await_guest(i);
  CHECK(lucet_kill_switch_pause(k) == LUCET_KILL_SIGNALLED);
  e = next(p);
  CHECK(e.id == 11 && e.event.kind == LUCET_EVENT_INTERRUPTED && e.event.code == LUCET_INTERRUPTION_PAUSE);
  lucet_frame frame;
  CHECK(lucet_instance_backtrace(i, &frame, 1) == 1 && frame.function == F_WAIT);
  release(i);
  CHECK(lucet_pool_resume(p, i, NULL, 12, NULL) == LUCET_OK);
  e = next(p);
  CHECK(e.id == 12 && e.event.kind == LUCET_EVENT_RETURNED);
  lucet_kill_switch_release(k);

  /* What can't be run. */
  CHECK(lucet_pool_resume(p, i, NULL, 13, NULL) == LUCET_OK);
  e = next(p);
  CHECK(e.id == 13 && e.status == LUCET_ERROR_STATE);
  CHECK(lucet_pool_run_start(p, i, 14, NULL) == LUCET_OK);
  CHECK(next(p).status == LUCET_ERROR_STATE);
  lucet_instance_release(i);
  lucet_pool_release(p);
}

static atomic_int inside;
static atomic_int most_inside;
static void count_inside(lucet_vmctx *vm, uint64_t *args) {
  (void)vm;
  (void)args;
  int n = atomic_fetch_add(&inside, 1) + 1;
  if (n > atomic_load(&most_inside)) atomic_store(&most_inside, n);
  usleep(20000);
  atomic_fetch_sub(&inside, 1);
}

static lucet_instance *importer_of(lucet_instance *library) {
  const lucet_import imports[] = {{.kind = LUCET_IMPORT_FUNCREF, .funcref = lucet_instance_function(library, F_CALL_NATIVE)}, {.kind = LUCET_IMPORT_HOSTCALL}};
  lucet_instance *i;
  if (lucet_instance_new(region, module, imports, 2, &i, NULL) != LUCET_OK) exit(1);
  return i;
}

/**
 * The groups of those that import from one instance are apart, but it is not to be run by two threads at a time; nor
 * with them.
 */
static void test_shared(void) {
  section = "what two import from";
  lucet_pool *p = pool(3, 0);
  lucet_instance *library = instance(), *a = importer_of(library), *b = importer_of(library), *c = importer_of(a), *other = instance();
  CHECK(a->group != b->group && a->group != library->group);
  on_hostcall = count_inside;
  static uint64_t args[4][2];
  submit(p, a, F_CALL_NATIVE, args[0], 0);
  submit(p, b, F_CALL_NATIVE, args[1], 1);
  submit(p, c, F_CALL_NATIVE, args[2], 2);
  submit(p, library, F_CALL_NATIVE, args[3], 3);
  for (int n = 0; n < 4; n++) CHECK(next(p).event.kind == LUCET_EVENT_RETURNED);
  CHECK(atomic_load(&most_inside) == 1);
  /* Others do run beside it. */
  for (int round = 0; round < 50 && atomic_load(&most_inside) == 1; round++) {
    submit(p, a, F_CALL_NATIVE, args[0], 0);
    submit(p, other, F_CALL_NATIVE, args[1], 1);
    CHECK(next(p).event.kind == LUCET_EVENT_RETURNED && next(p).event.kind == LUCET_EVENT_RETURNED);
  }
  CHECK(atomic_load(&most_inside) == 2);
  on_hostcall = NULL;
  lucet_instance_release(c);
  lucet_instance_release(a);
  lucet_instance_release(b);
  lucet_instance_release(other);
  lucet_instance_release(library);
  lucet_pool_release(p);
}

/** Its descriptor is readable exactly while there are events. */
static void test_descriptor(void) {
  section = "descriptor";
  lucet_pool *p = pool(1, 0);
  lucet_instance *i = instance();
  int fd = lucet_pool_descriptor(p);
  char byte;
  CHECK(fd >= 0 && read(fd, &byte, 1) < 0);
  for (int n = 0; n < 20; n++) {
    uint64_t args[2] = {1, 2};
    submit(p, i, F_ADD, args, 1);
    CHECK(lucet_pool_wait(p, 20000000000u));
    lucet_pool_event e[4];
    CHECK(read(fd, &byte, 1) == 1 && lucet_pool_take(p, e, 4) == 1 && read(fd, &byte, 1) < 0);
  }
  close(fd);
  lucet_instance_release(i);
  lucet_pool_release(p);
}

/** Released while guests run and wait: nothing is left behind. */
static void test_release(void) {
  section = "release";
  for (int round = 0; round < 10; round++) {
    lucet_pool *p = pool(2, 100000);
    lucet_instance *all[6];
    static uint64_t args[6][2];
    for (uint64_t k = 0; k < 6; k++) {
      all[k] = instance();
      args[k][0] = 0;
      submit(p, all[k], k % 2 == 0 ? F_WAIT : F_TOUR, args[k], k);
    }
    usleep((unsigned)round * 300);
    lucet_pool_release(p);
    for (int k = 0; k < 6; k++) lucet_instance_release(all[k]);
  }
}

/**
 * A child made by fork, while guests run and somebody may hold the lock: the pool is refused, and one of its own works.
 */
USABLE static void test_child(void) {
  section = "a child made by fork";
  lucet_pool *p = pool(2, 100000);
  lucet_instance *busy = instance(), *i = instance();
  static uint64_t args[2][2];
  submit(p, busy, F_WAIT, args[0], 1);
  for (int round = 0; round < 10; round++) {
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      lucet_error error;
      lucet_pool_event e;
      const lucet_funcref *f = lucet_instance_function(i, F_ADD);
      args[1][0] = 1;
      args[1][1] = 2;
      bool ok = lucet_pool_call(p, i, f, args[1], 2, &error) == LUCET_ERROR_STATE && strstr(error.message, "fork") != NULL;
      ok = ok && lucet_pool_wait(p, 20000000000u) == 0 && lucet_pool_take(p, &e, 1) == 0 && lucet_pool_descriptor(p) == -1;
      lucet_pool_release(p);
      lucet_pool *own = pool(1, 100000);
      ok = ok && lucet_pool_call(own, i, f, args[1], 3, NULL) == LUCET_OK && next(own).id == 3 && (uint32_t)args[1][0] == 3;
      lucet_pool_release(own);
      _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  release(busy);
  CHECK(next(p).event.kind == LUCET_EVENT_RETURNED);
  lucet_pool_release(p);
  lucet_instance_release(busy);
  lucet_instance_release(i);
}

int main(void) {
  begin_tests();
  test_events();
  test_descriptor();
  test_endless();
  test_release();
  test_slices();
  test_shared();
#ifndef __SANITIZE_THREAD__
  /* It doesn't want threads to be made in a child of a process that has several. */
  test_child();
#endif
  return end_tests();
}
