/**
 * Requests to the system fail, one by one: memory of each kind, descriptors, threads. What was asked for ends with an
 * error or does without, and nothing is left behind.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "slots.h"
#include "system.h"

static const uint8_t *artifact_bytes;
static size_t artifact_size;
/** The same as a file. */
static char artifact_path[] = "/tmp/lucet-failures-XXXXXX";

/** A life in which all kinds of memory are asked for. */
static lucet_status life_of_instances(lucet_region_kind kind) {
  lucet_module *m = NULL;
  lucet_region *r = NULL;
  lucet_instance *i = NULL, *j = NULL;
  const lucet_region_options o = {.kind = kind, .strategy = LUCET_SLOTS_RANDOM};
  lucet_status status = lucet_module_load_bytes(artifact_bytes, artifact_size, &m, &error);
  if (status == LUCET_OK) status = lucet_region_create_with(3, &o, &r, &error);
  if (status == LUCET_OK) status = lucet_instance_new(r, m, IMPORTS, 2, &i, &error);
  if (status == LUCET_OK) status = lucet_instance_new(r, m, IMPORTS, 2, &j, &error);
  if (status == LUCET_OK) {
    static uint64_t args[2];
    static const char key;
    lucet_event e;
    status = lucet_instance_call(i, lucet_instance_function(i, F_ADD), args, &e, &error);
    if (status == LUCET_OK && lucet_instance_memory_grow(i, 0, 1) < 0) status = LUCET_ERROR_RESOURCES;
    if (status == LUCET_OK && lucet_instance_table_grow(i, 0, 6, 0) < 0) status = LUCET_ERROR_RESOURCES;
    if (status == LUCET_OK) status = lucet_instance_embed_insert(i, &key, &error, NULL);
    if (status == LUCET_OK) status = lucet_instance_reset(i, &error);
  }
  lucet_instance_release(i);
  lucet_instance_release(j);
  lucet_region_release(r);
  lucet_module_release(m);
  return status;
}

/** From a file; two that are linked, stopped at a breakpoint, interrupted by calls, and thrown at. */
static lucet_status life_of_a_pair(lucet_region_kind kind) {
  static uint64_t args[3][2];
  lucet_module *m = NULL;
  lucet_region *r = NULL;
  lucet_instance *library = NULL, *i = NULL;
  lucet_event e;
  const lucet_region_options o = {.kind = kind};
  lucet_status status = lucet_module_load_file(artifact_path, &m, &error);
  if (status == LUCET_OK) status = lucet_region_create_with(2, &o, &r, &error);
  if (status == LUCET_OK) status = lucet_instance_new(r, m, IMPORTS, 2, &library, &error);
  if (status == LUCET_OK) {
    const lucet_import linked[] = {{.kind = LUCET_IMPORT_FUNCREF, .funcref = lucet_instance_function(library, F_CALL_NATIVE)}, IMPORTS[1]};
    status = lucet_instance_new(r, m, linked, 2, &i, &error);
  }
  if (status == LUCET_OK) status = lucet_instance_table_set(i, 0, 0, funcref_word(lucet_instance_function(library, F_ADD))) == LUCET_OK ? LUCET_OK : LUCET_ERROR_RESOURCES;
  if (status == LUCET_OK) status = lucet_module_set_breakpoint(m, m->meta.functions[F_ADD].code, &error);
  if (status == LUCET_OK) status = lucet_instance_call(i, lucet_instance_function(i, F_ADD), args[0], &e, &error);
  if (status == LUCET_OK && e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_RESOURCES) status = LUCET_ERROR_RESOURCES;
  if (status == LUCET_OK) CHECK(e.kind == LUCET_EVENT_STOPPED);
  /* The further ones need activations of their own. */
  for (int k = 1; k < 3 && status == LUCET_OK; k++) {
    status = lucet_instance_call(i, lucet_instance_function(i, F_CALL_HOST), args[k], &e, &error);
    if (status == LUCET_OK) CHECK(e.kind == LUCET_EVENT_HOSTCALL);
  }
  lucet_instance_release(i);
  lucet_instance_release(library);
  lucet_region_release(r);
  lucet_module_release(m);
  return status;
}

/** With other threads: a pool, a time limit, a kill switch. */
static lucet_status life_of_a_pool(lucet_region_kind kind) {
  static uint64_t args[2];
  lucet_module *m = NULL;
  lucet_region *r = NULL;
  lucet_instance *i = NULL;
  lucet_pool *p = NULL;
  lucet_kill_switch *k = NULL;
  const lucet_region_options o = {.kind = kind};
  const lucet_pool_options options = {.threads = 3};
  lucet_status status = lucet_module_load_bytes(artifact_bytes, artifact_size, &m, &error);
  if (status == LUCET_OK) status = lucet_region_create_with(1, &o, &r, &error);
  if (status == LUCET_OK) status = lucet_instance_new(r, m, IMPORTS, 2, &i, &error);
  if (status == LUCET_OK) status = lucet_pool_create(&options, &p, &error);
  if (status == LUCET_OK) status = lucet_instance_kill_switch(i, &k, &error);
  if (status == LUCET_OK) {
    lucet_instance_set_timeout(i, 60000000000u);
    args[0] = 40, args[1] = 2;
    status = lucet_pool_call(p, i, lucet_instance_function(i, F_ADD), args, 1, &error);
  }
  if (status == LUCET_OK) {
    lucet_pool_event e;
    CHECK(lucet_pool_wait(p, 20000000000u) == 1 && lucet_pool_take(p, &e, 1) == 1);
    status = (lucet_status)e.status;
    if (status == LUCET_OK) CHECK(e.event.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 42);
  }
  CHECK(status == LUCET_OK || p == NULL || i != NULL);
  lucet_kill_switch_release(k);
  lucet_pool_release(p);
  lucet_instance_release(i);
  lucet_region_release(r);
  lucet_module_release(m);
  return status;
}

/**
 * All watchpoints: set, opened for a run and for its resumption, exchanged and cleared between the two, and there at
 * the end.
 */
static lucet_status life_of_watchpoints(lucet_region_kind kind) {
  static uint64_t args[2];
  lucet_module *m = NULL;
  lucet_region *r = NULL;
  lucet_instance *i = NULL;
  lucet_event e;
  const lucet_region_options o = {.kind = kind};
  lucet_status status = lucet_module_load_bytes(artifact_bytes, artifact_size, &m, &error);
  if (status == LUCET_OK) status = lucet_region_create_with(1, &o, &r, &error);
  if (status == LUCET_OK) status = lucet_instance_new(r, m, IMPORTS, 2, &i, &error);
  for (uint32_t k = 0; k < LUCET_WATCHPOINTS && status == LUCET_OK; k++)
    status = lucet_instance_set_watchpoint(i, k, &(lucet_watchpoint){.kind = LUCET_WATCH_MEMORY, .address = 64 + 8 * k, .length = 8}, &error);
  if (status == LUCET_OK) status = lucet_instance_call(i, lucet_instance_function(i, F_CALL_HOST), args, &e, &error);
  if (status == LUCET_OK) CHECK(e.kind == LUCET_EVENT_HOSTCALL);
  lucet_status opened = LUCET_OK;
  for (uint32_t k = 0; k < LUCET_WATCHPOINTS && status == LUCET_OK && opened == LUCET_OK; k++) opened = lucet_instance_watchpoint_status(i, k, &error);
  if (status == LUCET_OK) {
    lucet_instance_clear_watchpoint(i, 0);
    status = lucet_instance_set_watchpoint(i, 1, &(lucet_watchpoint){.kind = LUCET_WATCH_GLOBAL, .length = 4}, &error);
  }
  /* One that is not to be had is told of, and keeps no guest from running. */
  if (status == LUCET_OK) status = lucet_instance_resume(i, &e, &error);
  if (status == LUCET_OK) CHECK(e.kind == LUCET_EVENT_RETURNED);
  for (uint32_t k = 0; k < LUCET_WATCHPOINTS && status == LUCET_OK && opened == LUCET_OK; k++) opened = lucet_instance_watchpoint_status(i, k, &error);
  lucet_instance_release(i);
  lucet_region_release(r);
  lucet_module_release(m);
  return status != LUCET_OK ? status : opened;
}

struct first_run {
  lucet_instance *instance;
  lucet_status status;
};
static void *run_first(void *data) {
  static uint64_t args[2];
  struct first_run *f = data;
  lucet_event e;
  args[0] = 40, args[1] = 2;
  f->status = lucet_instance_call(f->instance, lucet_instance_function(f->instance, F_ADD), args, &e, &error);
  if (f->status == LUCET_OK) {
    CHECK(e.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 42);
    return NULL;
  }
  /* What the system refused once, it may give at the next try: no thread is spoilt. */
  args[0] = 40;
  CHECK(lucet_instance_call(f->instance, lucet_instance_function(f->instance, F_ADD), args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED);
  CHECK(lucet_instance_call(f->instance, lucet_instance_function(f->instance, F_UNREACHABLE), args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_TRAPPED);
  return NULL;
}

/** The first run of a thread, which gets an alternate stack, after handlers of signals have been replaced. */
static lucet_status life_of_a_thread(lucet_region_kind kind) {
  lucet_module *m = NULL;
  lucet_region *r = NULL;
  struct first_run f = {.instance = NULL};
  const lucet_region_options o = {.kind = kind};
  lucet_status status = lucet_module_load_bytes(artifact_bytes, artifact_size, &m, &error);
  if (status == LUCET_OK) status = lucet_region_create_with(1, &o, &r, &error);
  if (status == LUCET_OK) status = lucet_instance_new(r, m, IMPORTS, 2, &f.instance, &error);
  if (status == LUCET_OK) {
    pthread_t t;
    lucet_signals_changed();
    if (pthread_create(&t, NULL, run_first, &f) == 0) {
      pthread_join(t, NULL);
      status = f.status;
    } else {
      status = LUCET_ERROR_RESOURCES;
    }
  }
  lucet_instance_release(f.instance);
  lucet_region_release(r);
  lucet_module_release(m);
  return status;
}

/** A thread that was joined is seen a moment longer. */
static struct system_usage settled(size_t threads) {
  struct system_usage u = system_usage();
  for (int n = 0; n < 1000 && u.threads > threads; n++) {
    usleep(1000);
    u = system_usage();
  }
  return u;
}

/**
 * Let the n-th request to the system fail, for each n. Either the life ends with an error, or it did without (advice,
 * images that are copied instead of mapped). Nothing may be left behind: allocations, mappings, descriptors, threads.
 */
static void test_failures(lucet_status (*life)(lucet_region_kind), lucet_region_kind kind, enum system_kind what) {
  const struct guest_options o = {.memory_mode = mode(kind), .pages = 3, .data_offset = 5000, .data_length = 150000};
  artifact_bytes = guest_artifact_of(&o, &artifact_size);
  FILE *f = fopen(artifact_path, "w");
  CHECK(f != NULL && fwrite(artifact_bytes, 1, artifact_size, f) == artifact_size);
  if (f != NULL) fclose(f);
  /* What is made once for the process. */
  CHECK(life(kind) == LUCET_OK);
  struct system_usage before = system_usage();
  bool pool = life == life_of_a_pool, threads = pool || life == life_of_a_thread;
  bool idle = (what == SYSTEM_THREAD && !threads) || (what == SYSTEM_WATCH && life != life_of_watchpoints);
  unsigned failed = 0, n = 1;
  for (;; n++) {
    system_fail(what, n);
    lucet_status status = life(kind);
    bool reached = system_reached();
    struct system_usage after = settled(before.threads);
    CHECK(after.allocations == before.allocations && after.descriptors == before.descriptors && after.threads == before.threads);
#ifndef __SANITIZE_ADDRESS__
    /*
     * Its heap maps memory when it likes; and so does the C library for threads, whose stacks and heaps it keeps: not
     * without end, though.
     */
    CHECK(threads ? after.mappings <= before.mappings + 16 : after.mappings == before.mappings);
#endif
    if (!reached) {
      CHECK(status == LUCET_OK);
      break;
    }
    failed += status != LUCET_OK;
    CHECK(status == LUCET_OK || status == LUCET_ERROR_RESOURCES);
    CHECK(n < 1000);
    if (n >= 1000) break;
  }
  /* It did ask, and most of it can't be done without. */
  CHECK((n > 1) != idle && (failed != 0 || what == SYSTEM_ADVICE || what == SYSTEM_FILE || idle));
  if (what == SYSTEM_THREAD && pool) CHECK(failed == 4 && n == 5);
  /* Four to see whether there are any, four for the run, one for the exchange, three for the rest of it. */
  if (what == SYSTEM_WATCH && !idle) CHECK(failed == 12 && n == 13);
  free((void *)(uintptr_t)artifact_bytes);
}

/** A time limit without a thread that could watch it is an error of the run, and of nothing else. */
static void test_no_watchdog(void) {
  lucet_module *m = guest(&GUEST_PLAIN);
  lucet_region *r = region_of(LUCET_REGION_GUARDED, 1, LUCET_SLOTS_LINEAR);
  lucet_instance *i = instance(r, m);
  uint64_t args[2] = {1, 2};
  lucet_event e;
  const lucet_funcref *add = lucet_instance_function(i, F_ADD);
  lucet_instance_set_timeout(i, 1000000000);
  system_fail(SYSTEM_THREAD, 1);
  CHECK(lucet_instance_call(i, add, args, &e, &error) == LUCET_ERROR_RESOURCES && error.message[0] != 0);
  CHECK(system_reached() && lucet_instance_state(i) == LUCET_STATE_READY);
  lucet_instance_set_timeout(i, 0);
  CHECK(lucet_instance_call(i, add, args, &e, NULL) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED && (uint32_t)args[0] == 3);
  lucet_instance_release(i);
  lucet_region_release(r);
  lucet_module_release(m);
}

int main(void) {
  int fd = mkstemp(artifact_path);
  if (fd < 0) return 1;
  close(fd);
  test_no_watchdog();
  for (int k = 0; k < 2; k++) {
    test_failures(life_of_a_thread, KINDS[k], SYSTEM_SIGNAL);
    for (int what = 0; what < SYSTEM_SIGNAL; what++) {
      test_failures(life_of_a_thread, KINDS[k], (enum system_kind)what);
      test_failures(life_of_instances, KINDS[k], (enum system_kind)what);
      test_failures(life_of_a_pair, KINDS[k], (enum system_kind)what);
      test_failures(life_of_a_pool, KINDS[k], (enum system_kind)what);
      test_failures(life_of_watchpoints, KINDS[k], (enum system_kind)what);
    }
  }
  unlink(artifact_path);
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
