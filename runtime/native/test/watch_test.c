/**
 * Watchpoints: by guest code, by host functions and by the system for them; while a guest runs; and where the system
 * gives none.
 */
#define _GNU_SOURCE
#include "control.h"

#include <dirent.h>
#include <errno.h>

#include "../watch.h"

/**
 * What the system answers in place of a descriptor, to the n-th request from now on and all later ones; 0: its own
 * answer.
 */
static int refusal;
static int granted;
int __real_lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark);
int __wrap_lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark);
int __wrap_lucet_watch_open(const void *at, uint32_t size, bool reads, uint64_t mark) {
  return refusal != 0 && granted-- <= 0 ? -refusal : __real_lucet_watch_open(at, size, reads, mark);
}

static lucet_error error;

static uint8_t *memory(lucet_instance *i) {
  uint64_t length;
  return lucet_instance_memory(i, 0, &length);
}
static void put(lucet_instance *i, uint32_t address, uint32_t v) { memcpy(memory(i) + address, &v, sizeof v); }
static lucet_status set(lucet_instance *i, uint32_t number, uint64_t address, uint32_t size, bool reads) {
  return lucet_instance_set_watchpoint(i, number, &(lucet_watchpoint){.kind = LUCET_WATCH_MEMORY, .address = address, .length = size, .reads = reads}, &error);
}
/** Behind which instruction of a function. */
static bool stopped(lucet_event e, uint32_t function, uint32_t behind) {
  return e.kind == LUCET_EVENT_STOPPED && e.code == LUCET_STOP_WATCHPOINT && e.id == (uint64_t)(uintptr_t)(module->text + module->meta.functions[function].code + behind);
}
static bool was(lucet_instance *i, uint32_t number, uint64_t old, uint64_t new) {
  uint64_t before, after;
  return lucet_instance_watchpoint_hit(i, number, &before, &after) && before == old && after == new;
}
static bool was_not(lucet_instance *i, uint32_t number) {
  uint64_t before, after;
  return !lucet_instance_watchpoint_hit(i, number, &before, &after);
}
static bool returned(lucet_event e) { return e.kind == LUCET_EVENT_RETURNED; }

static lucet_event store(lucet_instance *i, uint32_t address, uint32_t v) {
  static uint64_t args[2];
  lucet_event e = {.kind = 99};
  args[0] = address;
  args[1] = v;
  CHECK(lucet_instance_call(i, lucet_instance_function(i, F_STORE), args, &e, NULL) == LUCET_OK);
  return e;
}

/** Of F_STORE: behind its stores. */
enum { FIRST = 9, SECOND = 13 };

static unsigned descriptors(void) {
  unsigned n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (readdir(d) != NULL) n++;
  closedir(d);
  return n;
}

static void test_stores(void) {
  section = "stores";
  lucet_instance *i = instance();
  unsigned before = descriptors();
  CHECK(returned(store(i, 64, 0x100)) && usable(i));
  CHECK(set(i, 0, 64, 4, false) == LUCET_OK);
  CHECK(stopped(store(i, 64, 0x100), F_STORE, FIRST) && was(i, 0, 0x100, 0x89) && was_not(i, 1) && was_not(i, 9));
  CHECK(stopped(resume(i), F_STORE, SECOND) && was(i, 0, 0x89, 0x100));
  CHECK(descriptors() == before && returned(resume(i)));
  /* The same value; and what the debugger writes. */
  CHECK(stopped(store(i, 64, 0x177), F_STORE, SECOND) && was(i, 0, 0x100, 0x177) && returned(resume(i)));
  put(i, 64, 5);
  CHECK(stopped(store(i, 64, 5), F_STORE, FIRST) && was(i, 0, 5, 5u - 0x77));
  put(i, 64, 5);
  CHECK(returned(resume(i)));
  /* Beside it, a part of it, and reads. */
  CHECK(returned(store(i, 68, 3)) && returned(store(i, 60, 3)));
  CHECK(stopped(store(i, 62, 0), F_STORE, FIRST) && was(i, 0, 5, 0xffff) && stopped(resume(i), F_STORE, SECOND) && was(i, 0, 0xffff, 0) && returned(resume(i)));
  CHECK(returned(call(i, F_LOAD, 64)));
  /* Two at once, of other sizes. */
  put(i, 64, 0);
  put(i, 68, 0);
  CHECK(set(i, 1, 65, 1, false) == LUCET_OK && set(i, 2, 66, 2, false) == LUCET_OK && set(i, 3, 64, 8, true) == LUCET_OK);
  CHECK(stopped(store(i, 64, 0x12340077), F_STORE, FIRST));
  CHECK(was(i, 0, 0, 0x12340000) && was_not(i, 1) && was(i, 2, 0, 0x1234) && was(i, 3, 0, 0x12340000));
  for (uint32_t n = 0; n < 3; n++) lucet_instance_clear_watchpoint(i, n);
  CHECK(stopped(resume(i), F_STORE, SECOND) && was(i, 3, 0x12340000, 0x12340077) && was_not(i, 0));
  CHECK(returned(resume(i)));
  /* Accesses. */
  CHECK(stopped(call(i, F_LOAD, 64), F_LOAD, 6) && was(i, 3, 0x12340077, 0x12340077) && returned(resume(i)));
  lucet_instance_clear_watchpoint(i, 3);
  CHECK(returned(store(i, 64, 1)) && returned(call(i, F_LOAD, 64)) && descriptors() == before);
  /* Killed while it is stopped there. */
  CHECK(set(i, 0, 64, 4, false) == LUCET_OK);
  lucet_kill_switch *k = kill_switch(i);
  CHECK(stopped(store(i, 64, 8), F_STORE, FIRST) && lucet_kill_switch_terminate(k) == LUCET_KILL_PENDING && is_killed(resume(i)));
  lucet_kill_switch_release(k);
  CHECK(descriptors() == before);
  /* A reset clears them. */
  CHECK(lucet_instance_reset(i, NULL) == LUCET_OK && returned(store(i, 64, 8)) && usable(i));
  /* It goes while it is stopped. */
  CHECK(set(i, 0, 64, 4, false) == LUCET_OK && stopped(store(i, 64, 9), F_STORE, FIRST));
  lucet_instance_release(i);
  CHECK(descriptors() == before);
}

/** With breakpoints behind the access and on it, and steps. */
static void test_with_breakpoints(void) {
  section = "watchpoints and breakpoints";
  lucet_instance *i = instance();
  uint32_t code = module->meta.functions[F_STORE].code;
  lucet_event e;
  CHECK(set(i, 0, 64, 4, false) == LUCET_OK && lucet_module_set_breakpoint(module, code + SECOND, NULL) == LUCET_OK);
  CHECK(stopped(store(i, 64, 0x100), F_STORE, FIRST) && stopped(resume(i), F_STORE, SECOND));
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_STOPPED && e.code == LUCET_STOP_BREAKPOINT && e.id == (uint64_t)(uintptr_t)(module->text + code + SECOND) && returned(resume(i)));
  CHECK(lucet_module_clear_breakpoint(module, code + SECOND, NULL) == LUCET_OK);
  /* The store itself is under a breakpoint, and done by a step of the processor's. */
  CHECK(lucet_module_set_breakpoint(module, code + FIRST, NULL) == LUCET_OK);
  CHECK(stopped(store(i, 64, 0x200), F_STORE, FIRST));
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_STOPPED && e.code == LUCET_STOP_BREAKPOINT);
  CHECK(stopped(resume(i), F_STORE, SECOND) && was(i, 0, 0x189, 0x200) && module->text[code + FIRST] == 0xcc && returned(resume(i)));
  CHECK(stopped(store(i, 64, 0x300), F_STORE, FIRST) && resume(i).code == LUCET_STOP_BREAKPOINT && lucet_instance_step(i, NULL) == LUCET_OK);
  CHECK(stopped(resume(i), F_STORE, SECOND) && was(i, 0, 0x289, 0x300) && lucet_instance_step(i, NULL) == LUCET_OK);
  e = resume(i);
  CHECK(e.code == LUCET_STOP_STEP && e.id == (uint64_t)(uintptr_t)(module->text + code + SECOND + 1) && returned(resume(i)));
  CHECK(lucet_module_clear_breakpoint(module, code + FIRST, NULL) == LUCET_OK);
  lucet_instance_release(i);
}

static void write_word(lucet_vmctx *vm, uint64_t *args) {
  uint32_t v = 0xabcd;
  memcpy(lucet_vmctx_memory(vm, 64, 4), &v, 4);
  args[0] = 7;
}
static int from_pipe[2];
static void read_pipe(lucet_vmctx *vm, uint64_t *args) {
  CHECK(read(from_pipe[0], lucet_vmctx_memory(vm, 64, 4), 4) == 4);
  args[0] = 7;
}
static void read_word(lucet_vmctx *vm, uint64_t *args) { args[0] = *(volatile uint8_t *)lucet_vmctx_memory(vm, 64, 1); }

static void test_hosts(void) {
  section = "host functions and builtins";
  lucet_instance *i = instance();
  lucet_event e;
  const uint32_t native = module->meta.functions[F_CALL_NATIVE].code;
  CHECK(set(i, 0, 64, 4, false) == LUCET_OK);
  on_hostcall = write_word;
  e = call(i, F_CALL_NATIVE, 0);
  CHECK(e.kind == LUCET_EVENT_STOPPED && e.code == LUCET_STOP_WATCHPOINT && was(i, 0, 0, 0xabcd));
  lucet_frame frame;
  CHECK(lucet_instance_backtrace(i, &frame, 1) == 1 && frame.pc > (uint64_t)(uintptr_t)(module->text + native));
  CHECK(returned(resume(i)));
  /* The same again is no change. */
  CHECK(returned(call(i, F_CALL_NATIVE, 0)));
  CHECK(pipe(from_pipe) == 0 && write(from_pipe[1], "wxyzwxyz", 8) == 8);
  on_hostcall = read_pipe;
  CHECK(call(i, F_CALL_NATIVE, 0).code == LUCET_STOP_WATCHPOINT && was(i, 0, 0xabcd, 0x7a797877) && returned(resume(i)));
  CHECK(returned(call(i, F_CALL_NATIVE, 0)));
  close(from_pipe[0]);
  close(from_pipe[1]);
  on_hostcall = read_word;
  CHECK(returned(call(i, F_CALL_NATIVE, 0)) && set(i, 1, 64, 1, true) == LUCET_OK);
  CHECK(call(i, F_CALL_NATIVE, 0).code == LUCET_STOP_WATCHPOINT && was(i, 1, 0x77, 0x77) && was_not(i, 0) && returned(resume(i)));
  lucet_instance_clear_watchpoint(i, 1);
  on_hostcall = NULL;
  /* memory.fill */
  e = call(i, F_FILL, 56);
  CHECK(e.kind == LUCET_EVENT_STOPPED && e.code == LUCET_STOP_WATCHPOINT && was(i, 0, 0x7a797877, 0xabababab) && returned(resume(i)));
  /* The embedder's. */
  e = call(i, F_CALL_HOST, 0);
  CHECK(e.kind == LUCET_EVENT_HOSTCALL);
  put(i, 64, 3);
  e.args[0] = 0;
  e = resume(i);
  CHECK(e.kind == LUCET_EVENT_STOPPED && e.code == LUCET_STOP_WATCHPOINT && was(i, 0, 0xabababab, 3) && returned(resume(i)));
  lucet_instance_clear_watchpoint(i, 0);
  CHECK(usable(i) && returned(call(i, F_CALL_NATIVE, 0)));
  lucet_instance_release(i);
}

/** A global (nothing in the test's code writes it: a host function does), and a place in a frame. */
static void write_global(lucet_vmctx *vm, uint64_t *args) {
  const uint64_t v[2] = {0x1122, 0};
  CHECK(lucet_instance_global_set(lucet_vmctx_instance(vm), 0, v) == LUCET_OK);
  args[0] = 7;
}
static void test_places(void) {
  section = "globals and stacks";
  lucet_instance *i = instance();
  uint64_t old[2], args[2] = {84, 2};
  lucet_event e;
  CHECK(lucet_instance_global_get(i, 0, old) == LUCET_OK);
  CHECK(lucet_instance_set_watchpoint(i, 0, &(lucet_watchpoint){.kind = LUCET_WATCH_GLOBAL, .length = 4}, NULL) == LUCET_OK);
  on_hostcall = write_global;
  CHECK(call(i, F_CALL_NATIVE, 0).code == LUCET_STOP_WATCHPOINT && was(i, 0, (uint32_t)old[0], 0x1122) && returned(resume(i)));
  on_hostcall = NULL;
  /* The divisor's home: 12(%rsp), behind two pushes. */
  uint32_t at = module->meta.functions[F_DIVIDE].code + 1;
  CHECK(lucet_module_set_breakpoint(module, at, NULL) == LUCET_OK);
  CHECK(lucet_instance_call(i, lucet_instance_function(i, F_DIVIDE), args, &e, NULL) == LUCET_OK && e.code == LUCET_STOP_BREAKPOINT);
  lucet_watchpoint p = {.kind = LUCET_WATCH_STACK, .address = lucet_instance_registers(i)[4] - 4, .length = 4};
  CHECK(lucet_instance_stack_write(i, p.address, &(uint32_t){5}, 4) == LUCET_OK);
  CHECK(lucet_instance_set_watchpoint(i, 0, &p, NULL) == LUCET_OK);
  e = resume(i);
  CHECK(stopped(e, F_DIVIDE, 9));
  CHECK(was(i, 0, 5, 2) && returned(resume(i)) && args[0] == 42);
  CHECK(lucet_module_clear_breakpoint(module, at, NULL) == LUCET_OK);
  /* Nowhere. */
  CHECK(lucet_instance_set_watchpoint(i, 0, &p, &error) == LUCET_ERROR_ARGUMENT);
  CHECK(set(i, 0, 65536, 4, false) == LUCET_ERROR_ARGUMENT && set(i, 0, UINT64_MAX - 1, 4, false) == LUCET_ERROR_ARGUMENT && set(i, 0, 65532, 4, false) == LUCET_OK);
  CHECK(set(i, 0, 66, 4, false) == LUCET_ERROR_ARGUMENT && strstr(error.message, "multiple of 4") != NULL);
  CHECK(set(i, 0, 64, 3, false) == LUCET_ERROR_ARGUMENT && set(i, 0, 64, 16, false) == LUCET_ERROR_ARGUMENT && set(i, 0, 64, 0, false) == LUCET_ERROR_ARGUMENT);
  CHECK(set(i, 4, 64, 4, false) == LUCET_ERROR_LIMIT);
  p = (lucet_watchpoint){.kind = LUCET_WATCH_GLOBAL, .index = 99, .length = 4};
  CHECK(lucet_instance_set_watchpoint(i, 0, &p, NULL) == LUCET_ERROR_ARGUMENT);
  p.kind = 7;
  CHECK(lucet_instance_set_watchpoint(i, 0, &p, NULL) == LUCET_ERROR_ARGUMENT);
  lucet_instance_release(i);
}

/** Set and cleared while a guest runs elsewhere; it goes on on other threads. */
static void test_running(void) {
  section = "watchpoints for running guests";
  lucet_instance *i = instance();
  lucet_pool *p;
  lucet_pool_event e;
  uint64_t args[2] = {4, 0};
  CHECK(lucet_pool_create(&(lucet_pool_options){.threads = 2, .slice = 200000}, &p, NULL) == LUCET_OK);
  hold(i);
  CHECK(lucet_pool_call(p, i, lucet_instance_function(i, F_WAIT), args, 1, NULL) == LUCET_OK);
  await_guest(i);
  for (int n = 0; n < 50; n++) {
    /* It reads its word without end. */
    CHECK(set(i, (uint32_t)n % 4, 4, 4, true) == LUCET_OK);
    CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && e.event.kind == LUCET_EVENT_STOPPED && e.event.code == LUCET_STOP_WATCHPOINT);
    if (n % 2 == 0) lucet_instance_clear_watchpoint(i, (uint32_t)n % 4);
    CHECK(lucet_pool_resume(p, i, NULL, 1, NULL) == LUCET_OK);
    if (n % 2 == 0) continue;
    CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && e.event.code == LUCET_STOP_WATCHPOINT);
    lucet_instance_clear_watchpoint(i, (uint32_t)n % 4);
    CHECK(lucet_pool_resume(p, i, NULL, 1, NULL) == LUCET_OK);
    await_guest(i);
  }
  /* Cleared while it runs, and many times; killed in between. */
  for (int n = 0; n < 500; n++) {
    CHECK(set(i, 0, 128, 4, n % 2 == 0) == LUCET_OK);
    lucet_instance_clear_watchpoint(i, 0);
  }
  CHECK(set(i, 0, 128, 4, false) == LUCET_OK);
  lucet_kill_switch *k = kill_switch(i);
  (void)lucet_kill_switch_terminate(k);
  CHECK(lucet_pool_wait(p, 20000000000u) && lucet_pool_take(p, &e, 1) == 1 && is_killed(e.event));
  lucet_kill_switch_release(k);
  lucet_instance_release(i);
  lucet_pool_release(p);
}

static atomic_int is_set;
static void *set_one(void *i) {
  const lucet_watchpoint p = {.kind = LUCET_WATCH_MEMORY, .address = 64, .length = 4};
  lucet_error own;
  CHECK(lucet_instance_set_watchpoint(i, 0, &p, &own) == LUCET_OK);
  atomic_store(&is_set, 1);
  return NULL;
}

/**
 * Set by another thread while this one calls the instance again and again, which then has nothing to look at: each call
 * is with it or without, and those behind it are with it.
 */
static void test_between_calls(void) {
  section = "between calls";
  for (int n = 0; n < 200; n++) {
    lucet_instance *i = instance();
    pthread_t t;
    for (int k = 0; k < 3; k++) CHECK(usable(i));
    CHECK(i->token == lucet_here.token);
    atomic_store(&is_set, 0);
    pthread_create(&t, NULL, set_one, i);
    while (atomic_load(&is_set) == 0) {
      lucet_event e = call(i, F_ADD, 1);
      CHECK(e.kind == LUCET_EVENT_RETURNED && (uint32_t)e.id == 3);
    }
    CHECK(stopped(store(i, 64, 1), F_STORE, FIRST) && i->token != lucet_here.token);
    pthread_join(t, NULL);
    lucet_instance_release(i);
  }
}

/** The system gives none. */
static void test_refusals(void) {
  section = "refusals";
  static const struct {
    int error;
    const char *says;
  } REFUSALS[] = {
      {EACCES, "perf_event_paranoid"}, {EPERM, "perf_event_paranoid"},   {ENOENT, "this machine"},   {EOPNOTSUPP, "this machine"}, {ENOSYS, "perf_event_open"},
      {EINVAL, "Linux 5.13"},          {ENOSPC, "all of the processor"}, {EMFILE, "Too many open"}, {ENODEV, "this machine"},     {E2BIG, "Linux 5.13"},
  };
  lucet_instance *i = instance();
  for (size_t k = 0; k < sizeof REFUSALS / sizeof *REFUSALS; k++) {
    refusal = REFUSALS[k].error;
    granted = 0;
    CHECK(set(i, 0, 64, 4, false) == LUCET_ERROR_RESOURCES && strstr(error.message, REFUSALS[k].says) != NULL);
    CHECK(returned(store(i, 64, (uint32_t)k)) && usable(i));
  }
  refusal = 0;
  lucet_instance_release(i);
}

/** It did at first. */
static void test_lost(void) {
  section = "watchpoints that the system takes away";
  lucet_instance *i = instance();
  refusal = ENOSPC;
  granted = 1;
  CHECK(set(i, 0, 64, 4, false) == LUCET_OK && lucet_instance_watchpoint_status(i, 0, NULL) == LUCET_OK);
  CHECK(returned(store(i, 64, 1)));
  CHECK(lucet_instance_watchpoint_status(i, 0, &error) == LUCET_ERROR_RESOURCES && strstr(error.message, "in use") != NULL);
  CHECK(lucet_instance_watchpoint_status(i, 1, NULL) == LUCET_OK && lucet_instance_watchpoint_status(i, 5, NULL) == LUCET_OK);
  refusal = 0;
  CHECK(stopped(store(i, 64, 1), F_STORE, FIRST) && lucet_instance_watchpoint_status(i, 0, NULL) == LUCET_OK && returned(resume(i)) == false);
  lucet_instance_release(i);
}

int main(void) {
  begin_tests();
  test_refusals();
  lucet_instance *i = instance();
  bool none = set(i, 0, 64, 4, false) == LUCET_ERROR_RESOURCES;
  lucet_instance_release(i);
  if (none) {
    fprintf(stderr, "SKIPPED: watchpoints that are hit: the kernel refuses: %s\n", error.message);
    return end_tests();
  }
  test_lost();
  test_stores();
  test_with_breakpoints();
  test_hosts();
  test_places();
  test_running();
  test_between_calls();
  return end_tests();
}
