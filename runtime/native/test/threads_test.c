/**
 * Many threads at once: instances made, run, stopped and dropped by each, kill switches used by others, time limits,
 * modules that come and go, pools that several threads give work to, WASI contexts of one template that go from thread
 * to thread. What goes wrong here is found by the sanitizers, above all the thread sanitizer.
 *
 *     threads_test N            N rounds on each thread (default: 60)
 */
#include "control.h"
#include "wasi.h"

enum { THREADS = 4 };
static unsigned rounds = 60;
static lucet_module *modules[2];

static unsigned draw(unsigned *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 12;
}

static lucet_instance *instance_from(unsigned which) {
  static const lucet_import imports[] = {{.kind = LUCET_IMPORT_NATIVE, .function = native_import}, {.kind = LUCET_IMPORT_HOSTCALL}};
  lucet_instance *i = NULL;
  CHECK(lucet_instance_new(region, modules[which % 2], imports, 2, &i, NULL) == LUCET_OK);
  return i;
}

/* ---- Everybody has instances of his own; kill switches go to others */

enum { BOXES = 8 };
static _Atomic(lucet_kill_switch *) boxes[BOXES];
static atomic_bool closing;

/** Takes kill switches out of the boxes, and uses them when the run may be about to begin, under way, or over. */
static void *killer(void *data) {
  unsigned seed = (unsigned)(uintptr_t)data;
  while (!atomic_load(&closing)) {
    unsigned n = draw(&seed);
    lucet_kill_switch *k = atomic_exchange(&boxes[n % BOXES], NULL);
    if (k == NULL) {
      usleep(20);
      continue;
    }
    if (n / BOXES % 3 == 0) usleep(n % 300);
    if (n / BOXES % 2 == 0) (void)lucet_kill_switch_pause(k);
    lucet_kill_result r = lucet_kill_switch_terminate(k);
    CHECK(r != LUCET_KILL_NOT_TERMINABLE);
    CHECK(lucet_kill_switch_terminate(k) >= LUCET_KILL_NOT_TERMINABLE);
    lucet_kill_switch_release(k);
  }
  return NULL;
}

/** An endless guest, which ends because of somebody else. */
static void run_until_killed(lucet_instance *i, unsigned n) {
  lucet_kill_switch *k = kill_switch(i), *old;
  lucet_kill_switch_retain(k);
  hold(i);
  old = atomic_exchange(&boxes[n % BOXES], k);
  if (old != NULL) {
    /* Of a guest that would wait for it for ever. */
    CHECK(lucet_kill_switch_terminate(old) != LUCET_KILL_NOT_TERMINABLE);
    lucet_kill_switch_release(old);
  }
  lucet_event e = call(i, F_WAIT, 0);
  while (e.kind == LUCET_EVENT_INTERRUPTED) e = resume(i);
  CHECK(is_killed(e) && lucet_instance_state(i) == LUCET_STATE_TERMINATED);
  CHECK(lucet_kill_switch_terminate(k) == LUCET_KILL_INVALID);
  lucet_kill_switch_release(k);
}

static void run_until_late(lucet_instance *i, unsigned n) {
  hold(i);
  lucet_instance_set_timeout(i, 20000 + n % 500000);
  lucet_event e = call(i, F_WAIT, 0);
  CHECK(e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_TIMEOUT);
  lucet_instance_set_timeout(i, 0);
}

static void come_and_go(void) {
  size_t size;
  uint8_t *file = guest_artifact(&size);
  lucet_module *m = NULL;
  CHECK(lucet_module_load_bytes(file, size, &m, NULL) == LUCET_OK);
  free(file);
  lucet_module_retain(m);
  lucet_module_release(m);
  lucet_module_release(m);
}

static void *user(void *data) {
  unsigned seed = (unsigned)(uintptr_t)data;
  for (unsigned n = 0; n < rounds; n++) {
    unsigned what = draw(&seed);
    lucet_instance *i = instance_from(what);
    lucet_event e;
    switch (what / 2 % 6) {
      case 0: run_until_killed(i, what); break;
      case 1: run_until_late(i, what); break;
      case 2:
        e = call(i, F_LOAD, 1 << 30);
        CHECK(e.kind == LUCET_EVENT_TRAPPED && lucet_instance_trap_info(i)->function == F_LOAD);
        break;
      case 3:
        e = call(i, F_CALL_HOST, what);
        CHECK(e.kind == LUCET_EVENT_HOSTCALL && e.args[0] == what);
        e = resume(i);
        CHECK(e.kind == LUCET_EVENT_RETURNED);
        break;
      case 4: come_and_go(); break;
      default: CHECK(lucet_instance_reset(i, NULL) == LUCET_OK);
    }
    CHECK(usable(i));
    lucet_instance_release(i);
  }
  return NULL;
}

static void test_users(void) {
  section = "instances of many threads";
  pthread_t users[THREADS], killers[2];
  for (uintptr_t t = 0; t < 2; t++) CHECK(pthread_create(&killers[t], NULL, killer, (void *)(t + 100)) == 0);
  for (uintptr_t t = 0; t < THREADS; t++) CHECK(pthread_create(&users[t], NULL, user, (void *)(t + 1)) == 0);
  for (int t = 0; t < THREADS; t++) pthread_join(users[t], NULL);
  atomic_store(&closing, true);
  for (int t = 0; t < 2; t++) pthread_join(killers[t], NULL);
  for (int b = 0; b < BOXES; b++) lucet_kill_switch_release(atomic_exchange(&boxes[b], NULL));
}

/* ---- Pools: several threads give work, and take what others gave */

enum { JOBS = 6 };
struct client {
  pthread_t thread;
  lucet_pool *pool;
  unsigned seed;
  uint64_t args[JOBS][2];
  /** Set by whoever takes the event. */
  atomic_uint ended;
};
static struct client clients[THREADS];

static void take(lucet_pool *p) {
  lucet_pool_event events[4];
  (void)lucet_pool_wait(p, 1000000);
  uint32_t n = lucet_pool_take(p, events, 4);
  for (uint32_t k = 0; k < n; k++) {
    const lucet_pool_event *e = &events[k];
    CHECK(e->status == LUCET_OK);
    if (e->event.kind == LUCET_EVENT_HOSTCALL) {
      CHECK(lucet_pool_resume(p, e->instance, NULL, e->id, NULL) == LUCET_OK);
      continue;
    }
    CHECK(e->event.kind == LUCET_EVENT_RETURNED || is_killed(e->event));
    atomic_fetch_add(&clients[e->id].ended, 1);
  }
}

static void *client(void *data) {
  struct client *c = data;
  for (unsigned n = 0; n < rounds / 4; n++) {
    lucet_instance *all[JOBS];
    lucet_kill_switch *switches[JOBS];
    bool late[JOBS];
    atomic_store(&c->ended, 0);
    for (unsigned k = 0; k < JOBS; k++) {
      unsigned what = draw(&c->seed);
      static const uint32_t FUNCTIONS[] = {F_ADD, F_KEEP, F_CALL_HOST, F_WAIT, F_TOUR, F_CALL_NATIVE};
      uint32_t f = FUNCTIONS[what % 6];
      all[k] = instance_from(what);
      /* It may also be asked for when a worker has begun. */
      late[k] = what / 32 % 2 != 0;
      if (!late[k]) switches[k] = kill_switch(all[k]);
      hold(all[k]);
      c->args[k][0] = f == F_KEEP ? 20000 : f == F_WAIT ? 0 : what;
      c->args[k][1] = 0;
      CHECK(lucet_pool_call(c->pool, all[k], lucet_instance_function(all[k], f), c->args[k], (uint64_t)(c - clients), NULL) == LUCET_OK);
      if (late[k]) switches[k] = kill_switch(all[k]);
      if (what / 8 % 4 == 0) (void)lucet_kill_switch_terminate(switches[k]);
    }
    take(c->pool);
    for (unsigned k = 0; k < JOBS; k++) (void)lucet_kill_switch_terminate(switches[k]);
    while (atomic_load(&c->ended) < JOBS) take(c->pool);
    for (unsigned k = 0; k < JOBS; k++) {
      /* When the run was over before it was asked for, it is one for the next. */
      if (late[k]) (void)call(all[k], F_ADD, 1);
      CHECK(usable(all[k]));
      lucet_kill_switch_release(switches[k]);
      lucet_instance_release(all[k]);
    }
  }
  return NULL;
}

static void test_pool(void) {
  section = "a pool of many threads";
  const lucet_pool_options options = {.threads = 3, .slice = 100000};
  lucet_pool *p;
  CHECK(lucet_pool_create(&options, &p, NULL) == LUCET_OK);
  for (unsigned t = 0; t < THREADS; t++) {
    clients[t].pool = p;
    clients[t].seed = t + 50;
    CHECK(pthread_create(&clients[t].thread, NULL, client, &clients[t]) == 0);
  }
  for (int t = 0; t < THREADS; t++) pthread_join(clients[t].thread, NULL);
  lucet_pool_release(p);
}

/* ---- WASI: contexts of one template, each used by instances of one thread after the other */

static lucet_wasi_template *template;
static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static lucet_wasi_ctx *contexts[THREADS];

/** Its errno. Arguments that it does not take are not looked at. */
static uint32_t wasi(lucet_vmctx *vm, const char *name, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  const char *signature;
  uint64_t args[10] = {a, b, c, d};
  lucet_wasi_lookup("wasi_snapshot_preview1", name, &signature)(vm, args, NULL);
  return (uint32_t)args[0];
}

enum { TEXT = 64, IOVEC = 256, RESULT = 512 };

/** What a program does: a clock, random bytes, arguments, a write, a look at the granted directory. */
static void use_wasi(lucet_vmctx *vm, uint64_t *args) {
  uint8_t *memory = lucet_vmctx_memory(vm, 0, 1024);
  uint32_t iovec[2] = {TEXT, 8}, written = 0;
  memcpy(memory + TEXT, args, 8);
  memcpy(memory + IOVEC, iovec, sizeof iovec);
  CHECK(wasi(vm, "clock_time_get", 1, 0, RESULT, 0) == 0 && wasi(vm, "random_get", RESULT, 16, 0, 0) == 0);
  CHECK(wasi(vm, "args_sizes_get", RESULT, RESULT + 4, 0, 0) == 0 && wasi(vm, "fd_prestat_get", 3, RESULT, 0, 0) == 0);
  CHECK(wasi(vm, "fd_write", 1, IOVEC, 1, RESULT) == 0);
  memcpy(&written, memory + RESULT, sizeof written);
  CHECK(written == 8);
}

static lucet_wasi_ctx *exchange(unsigned n, lucet_wasi_ctx *ctx) {
  pthread_mutex_lock(&contexts_lock);
  lucet_wasi_ctx *old = contexts[n % THREADS];
  contexts[n % THREADS] = ctx;
  pthread_mutex_unlock(&contexts_lock);
  return old;
}

static void *program(void *data) {
  unsigned seed = (unsigned)(uintptr_t)data;
  for (unsigned n = 0; n < rounds; n++) {
    unsigned what = draw(&seed);
    lucet_wasi_ctx *ctx = exchange(what, NULL);
    if (ctx == NULL) ctx = lucet_wasi_ctx_new(template);
    else lucet_wasi_ctx_reset(ctx);
    lucet_instance *i = instance_from(what);
    lucet_instance_set_wasi(i, ctx);
    uint64_t args[2] = {what, 0}, written;
    lucet_event e;
    CHECK(lucet_instance_call(i, lucet_instance_function(i, F_CALL_NATIVE), args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED);
    size_t length = 0;
    const void *output = lucet_wasi_ctx_output(ctx, 1, &length);
    CHECK(length == sizeof written);
    if (length == sizeof written) {
      memcpy(&written, output, sizeof written);
      CHECK((uint32_t)written == what);
    }
    lucet_instance_release(i);
    ctx = exchange(what / THREADS, ctx);
    if (ctx != NULL) lucet_wasi_ctx_free(ctx);
  }
  return NULL;
}

static void test_wasi(void) {
  section = "WASI contexts of many threads";
  template = lucet_wasi_template_new();
  CHECK(lucet_wasi_template_set_args(template, "program", 8, 1) == 0 && lucet_wasi_template_set_stdio(template, 1, LUCET_WASI_STDIO_BUFFER, -1) == 0);
  CHECK(lucet_wasi_template_preopen(template, "/", "/", 0) == 0);
  on_hostcall = use_wasi;
  pthread_t programs[THREADS];
  for (uintptr_t t = 0; t < THREADS; t++) CHECK(pthread_create(&programs[t], NULL, program, (void *)(t + 200)) == 0);
  for (int t = 0; t < THREADS; t++) pthread_join(programs[t], NULL);
  on_hostcall = NULL;
  for (unsigned t = 0; t < THREADS; t++) {
    lucet_wasi_ctx *ctx = exchange(t, NULL);
    if (ctx != NULL) lucet_wasi_ctx_free(ctx);
  }
  lucet_wasi_template_release(template);
}

int main(int argc, char **argv) {
  if (argc > 1) rounds = (unsigned)atoi(argv[1]);
  begin_tests();
  modules[0] = module;
  size_t size;
  uint8_t *file = guest_artifact(&size);
  if (lucet_module_load_bytes(file, size, &modules[1], NULL) != LUCET_OK) return 1;
  free(file);
  test_users();
  test_pool();
  test_wasi();
  lucet_module_release(modules[1]);
  return end_tests();
}
