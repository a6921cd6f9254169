/**
 * What the tests of control have in common: the hand-written guest, on this thread or on one of its own. Each test is
 * one program that includes it.
 */
#ifndef LUCET_TEST_CONTROL_H
#define LUCET_TEST_CONTROL_H

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../internal.h"
#include "guest.h"

#ifndef LUCET_TEST_POINTS
#error "to be compiled with test points"
#endif

#define USABLE __attribute__((unused))

static int failures;
static atomic_int checks;
static const char *section = "";

#define CHECK(condition) \
  do { \
    atomic_fetch_add(&checks, 1); \
    if (!(condition)) { \
      failures++; \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, section, #condition); \
    } \
  } while (0)

static lucet_module *module;
static lucet_region *region;

/** What the native import does. */
static void (*on_hostcall)(lucet_vmctx *vm, uint64_t *args);
USABLE static void native_import(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)data;
  if (on_hostcall != NULL) on_hostcall(vm, args);
}

USABLE static lucet_instance *instance_of_module(lucet_module *m) {
  static const lucet_import imports[] = {{.kind = LUCET_IMPORT_NATIVE, .function = native_import}, {.kind = LUCET_IMPORT_HOSTCALL}};
  lucet_instance *i;
  lucet_error error;
  if (lucet_instance_new(region, m, imports, 2, &i, &error) != LUCET_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  return i;
}

USABLE static lucet_instance *instance(void) { return instance_of_module(module); }

USABLE static lucet_kill_switch *kill_switch(lucet_instance *i) {
  lucet_kill_switch *k;
  if (lucet_instance_kill_switch(i, &k, NULL) != LUCET_OK) exit(1);
  return k;
}

USABLE static lucet_event call(lucet_instance *i, uint32_t function, uint64_t a) {
  static _Thread_local uint64_t args[2];
  lucet_event e = {.kind = 99};
  args[0] = a;
  args[1] = 2;
  CHECK(lucet_instance_call(i, lucet_instance_function(i, function), args, &e, NULL) == LUCET_OK);
  if (e.kind == LUCET_EVENT_RETURNED) e.id = args[0];
  return e;
}

USABLE static lucet_event resume(lucet_instance *i) {
  lucet_event e = {.kind = 99};
  CHECK(lucet_instance_resume(i, &e, NULL) == LUCET_OK);
  return e;
}

USABLE static bool is_killed(lucet_event e) { return e.kind == LUCET_EVENT_TERMINATED && e.code == LUCET_REASON_REMOTE; }
/** It can be run again, and isn't hit by what was meant for an earlier run. */
USABLE static bool usable(lucet_instance *i) {
  lucet_event e = call(i, F_ADD, 40);
  return e.kind == LUCET_EVENT_RETURNED && (uint32_t)e.id == 42 && lucet_instance_state(i) == LUCET_STATE_READY;
}

USABLE static void await(atomic_int *flag) {
  while (atomic_load(flag) == 0) usleep(50);
}

/** Lets F_WAIT end. */
USABLE static void release(lucet_instance *i) {
  uint64_t length;
  atomic_store((atomic_int *)lucet_instance_memory(i, 0, &length), 1);
}
USABLE static void hold(lucet_instance *i) {
  uint64_t length;
  atomic_store((atomic_int *)lucet_instance_memory(i, 0, &length), 0);
}

/** What another thread, or the watchdog, brings about. */
USABLE static void await_state(const lucet_instance *i, uint32_t state) {
  uint64_t until = lucet_now() + 20000000000u;
  while (lucet_instance_state(i) != state && lucet_now() < until) usleep(50);
  CHECK(lucet_instance_state(i) == state);
}

USABLE static uint64_t now(void) { return lucet_now(); }

/* ---- A guest on a thread of its own */

struct runner {
  lucet_instance *instance;
  uint32_t function;
  bool resumes;
  lucet_event event;
  pthread_t thread;
  atomic_int ended;
};

USABLE static void *run(void *p) {
  struct runner *r = p;
  r->event = r->resumes ? resume(r->instance) : call(r->instance, r->function, 0);
  atomic_store(&r->ended, 1);
  return NULL;
}

USABLE static void start(struct runner *r, lucet_instance *i, uint32_t function) {
  memset(r, 0, sizeof *r);
  r->instance = i;
  r->function = function;
  /* Made before two threads look for it. */
  CHECK(lucet_control_of(i) != NULL);
  pthread_create(&r->thread, NULL, run, r);
}

USABLE static lucet_event join(struct runner *r) {
  pthread_join(r->thread, NULL);
  return r->event;
}

/** Until the guest's code is on its processor, as far as can be told. */
USABLE static void await_guest(lucet_instance *i) {
  while (atomic_load(&lucet_control_of(i)->where) != CONTROL_GUEST) usleep(50);
  usleep(200);
}

USABLE static void begin_tests(void) {
  size_t size;
  uint8_t *file = guest_artifact(&size);
  if (lucet_module_load_bytes(file, size, &module, NULL) != LUCET_OK || lucet_region_create(256, NULL, &region, NULL) != LUCET_OK) exit(1);
  free(file);
}

/** Prints the result; the exit status. */
USABLE static int end_tests(void) {
  CHECK(lucet_region_used_slots(region) == 0);
  lucet_region_release(region);
  lucet_module_release(module);
  printf("%d checks, %d failures\n", atomic_load(&checks), failures);
  return failures != 0;
}

#endif
