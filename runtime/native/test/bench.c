/**
 * What crossing the border between host and guest costs: medians and minima in nanoseconds, one line each.
 *
 *     make -C runtime/native bench
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../internal.h"
#include "guest.h"

enum { ROUNDS = 41 };

static lucet_instance *instance;
static const lucet_funcref *functions[F_CHECK + 1];
static lucet_error error;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void native_import(lucet_vmctx *vm, uint64_t *args, void *data) {
  (void)vm, (void)data;
  args[0]++;
}

static int ascending(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

static void expect(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s: %s\n", what, error.message);
  exit(1);
}

static void run_with(uint64_t argument, uint32_t function, uint32_t kind, const char *what) {
  lucet_event e;
  uint64_t args[2] = {argument, 1};
  expect(lucet_instance_call(instance, functions[function], args, &e, &error) == LUCET_OK && e.kind == kind, what);
}

static void run(uint32_t function, uint32_t kind, const char *what) { run_with(1u << 16, function, kind, what); }

static void call(void) { run(F_ADD, LUCET_EVENT_RETURNED, "call"); }
/** In the embedder's own loop: each calls with the result of the one before. */
enum { IN_A_ROW = 100 };
static lucet_prepared_call add;
static void prepared(void) {
  lucet_event e;
  uint64_t args[2] = {1, 1};
  for (int k = 0; k < IN_A_ROW; k++) lucet_call_prepared(&add, args, &e, NULL);
  expect((uint32_t)args[0] == 1 + IN_A_ROW, "prepared call");
}
static void hostcall(void) { run(F_CALL_NATIVE, LUCET_EVENT_RETURNED, "native hostcall"); }
static void event(void) {
  lucet_event e;
  run(F_CALL_HOST, LUCET_EVENT_HOSTCALL, "hostcall event");
  expect(lucet_instance_resume(instance, &e, &error) == LUCET_OK && e.kind == LUCET_EVENT_RETURNED, "resume");
}
static void memory_trap(void) { run(F_LOAD, LUCET_EVENT_TRAPPED, "trap"); }
static void halt_trap(void) { run(F_UNREACHABLE, LUCET_EVENT_TRAPPED, "trap"); }
static void check_trap(void) { run_with(0, F_CHECK, LUCET_EVENT_TRAPPED, "trap"); }
static void described_trap(void) {
  memory_trap();
  expect(lucet_instance_trap_info(instance)->frame_count == 1, "trap info");
}

static const struct {
  const char *name;
  void (*body)(void);
  int repeats;
  /** What a repeat does as many times; 0: once. */
  int times;
} CASES[] = {
    {"call into a guest", call, 20000, 0},
    {"prepared call into a guest", prepared, 200, IN_A_ROW},
    {"call with a native hostcall", hostcall, 20000, 0},
    {"call with a hostcall event", event, 20000, 0},
    {"trap, memory access", memory_trap, 500, 0},
    {"trap, hlt", halt_trap, 500, 0},
    {"trap, failed check", check_trap, 5000, 0},
    {"trap, described", described_trap, 500, 0},
};
enum { CASE_COUNT = sizeof CASES / sizeof CASES[0] };

int main(void) {
  static double times[CASE_COUNT][ROUNDS];
  size_t size;
  uint8_t *file = guest_artifact(&size);
  lucet_module *m;
  lucet_region *r;
  const lucet_import imports[] = {{.kind = LUCET_IMPORT_NATIVE, .function = native_import}, {.kind = LUCET_IMPORT_HOSTCALL}};
  expect(lucet_module_load_bytes(file, size, &m, &error) == LUCET_OK, "load");
  expect(lucet_region_create(1, NULL, &r, &error) == LUCET_OK, "region");
  expect(lucet_instance_new(r, m, imports, 2, &instance, &error) == LUCET_OK, "instance");
  for (uint32_t f = F_ADD; f <= F_CHECK; f++) functions[f] = lucet_instance_function(instance, f);
  expect(lucet_call_prepare(instance, functions[F_ADD], &add, &error) == LUCET_OK, "prepare");
  for (int round = 0; round < ROUNDS; round++)
    for (int c = 0; c < CASE_COUNT; c++) {
      uint64_t start = now();
      for (int k = 0; k < CASES[c].repeats; k++) CASES[c].body();
      times[c][round] = (double)(now() - start) / CASES[c].repeats / (CASES[c].times != 0 ? CASES[c].times : 1);
    }
  for (int c = 0; c < CASE_COUNT; c++) {
    qsort(times[c], ROUNDS, sizeof times[c][0], ascending);
    printf("%-32s median %8.1f ns, minimum %8.1f ns\n", CASES[c].name, times[c][ROUNDS / 2], times[c][0]);
  }
  lucet_instance_release(instance);
  lucet_region_release(r);
  lucet_module_release(m);
  free(file);
  return 0;
}
