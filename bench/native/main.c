/**
 * The native half of `npm run bench:instances`: engines side by side, interleaved in one run.
 *
 *     instances [--wasmtime LIBRARY] [--rounds N] HELLO.so HELLO-DENSE.so HELLO.wasm LARGE… MICRO…
 *
 * Prints a row of JSON for each engine and metric.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "instances.h"

enum { CYCLES = 100, BATCH = 1000, MOST_THREADS = 2, MOST_ENGINES = 3 };

/** Measured values of one metric; nanoseconds. */
struct series {
  double *values;
  size_t count;
  size_t room;
};

static void put(struct series *s, double value) {
  if (s->count == s->room) {
    s->room = s->room != 0 ? 2 * s->room : 1024;
    s->values = realloc(s->values, s->room * sizeof *s->values);
    if (s->values == NULL) abort();
  }
  s->values[s->count++] = value;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void row(const char *engine, const char *metric, double p50, double p99, const char *unit) {
  printf("{\"engine\":\"%s\",\"metric\":\"%s\",\"p50\":%.4g,\"p99\":%.4g,\"unit\":\"%s\"}\n", engine, metric, p50, p99, unit);
  fflush(stdout);
}

static void report(const char *engine, const char *metric, struct series *s) {
  if (s->count == 0) return;
  qsort(s->values, s->count, sizeof *s->values, ascending);
  row(engine, metric, s->values[s->count / 2], s->values[s->count * 99 / 100], "ns");
  free(s->values);
  *s = (struct series){.count = 0};
}

struct usage usage(void) {
  struct usage u = {.mappings = 0};
  char line[256];
  FILE *f = fopen("/proc/self/status", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) {
    unsigned long long k;
    if (sscanf(line, "VmRSS: %llu", &k) == 1) u.resident = k << 10;
    if (sscanf(line, "VmPTE: %llu", &k) == 1) u.page_tables = k << 10;
  }
  if (f != NULL) fclose(f);
  f = fopen("/proc/self/maps", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) u.mappings++;
  if (f != NULL) fclose(f);
  return u;
}

static struct files files;
static const struct engine *engines[MOST_ENGINES];
static uint32_t engine_count;
static unsigned rounds = 100;

/* ---- Cycles: make, run, drop */

struct cycle {
  struct series make, run, drop, rest;
};

struct worker {
  pthread_t thread;
  void *const *modules;
  bool runs;
  struct cycle cycles[MOST_ENGINES];
  bool ok;
};

static void *cycle(void *data) {
  struct worker *w = data;
  w->ok = true;
  for (unsigned r = 0; r < rounds; r++) {
    for (uint32_t e = 0; e < engine_count; e++) {
      const struct engine *x = engines[e];
      struct cycle *c = &w->cycles[e];
      for (int k = 0; k < CYCLES; k++) {
        uint64_t a = now_ns();
        void *i = x->make(w->modules[e]);
        uint64_t b = now_ns();
        if (w->runs) w->ok = x->run(i) && w->ok;
        uint64_t d = now_ns();
        x->drop(i);
        uint64_t f = now_ns();
        /* The first round warms up. */
        if (r == 0) continue;
        put(&c->make, (double)(b - a));
        put(&c->drop, (double)(f - d));
        if (!w->runs) continue;
        put(&c->run, (double)(d - b));
        put(&c->rest, (double)(f - b));
      }
    }
  }
  return NULL;
}

static void append(struct series *to, const struct series *from) {
  for (size_t k = 0; k < from->count; k++) put(to, from->values[k]);
  free(from->values);
}

static bool cycles(const char *what, const char *const *paths, bool runs, unsigned threads) {
  void *modules[MOST_ENGINES];
  for (uint32_t e = 0; e < engine_count; e++) modules[e] = engines[e]->load(paths[engines[e]->file], files.wasmtime, 16);
  struct worker workers[MOST_THREADS];
  memset(workers, 0, sizeof workers);
  for (unsigned t = 0; t < threads; t++) {
    workers[t].modules = modules;
    workers[t].runs = runs;
    pthread_create(&workers[t].thread, NULL, cycle, &workers[t]);
  }
  bool ok = true;
  for (unsigned t = 0; t < threads; t++) {
    pthread_join(workers[t].thread, NULL);
    ok = ok && workers[t].ok;
  }
  for (uint32_t e = 0; e < engine_count; e++) {
    struct cycle *c = &workers[0].cycles[e];
    for (unsigned t = 1; t < threads; t++) {
      append(&c->make, &workers[t].cycles[e].make);
      append(&c->run, &workers[t].cycles[e].run);
      append(&c->drop, &workers[t].cycles[e].drop);
      append(&c->rest, &workers[t].cycles[e].rest);
    }
    struct {
      const char *name;
      struct series *series;
    } all[] = {{"instantiate", &c->make}, {"first call", &c->run}, {"drop", &c->drop}, {"run and drop", &c->rest}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
      char metric[96];
      snprintf(metric, sizeof metric, "%s, %s%s", what, all[k].name, threads > 1 ? ", 2 threads" : "");
      report(engines[e]->name, metric, all[k].series);
    }
    engines[e]->unload(modules[e]);
  }
  return ok;
}

/* ---- Crossing the border */

static bool borders(void) {
  void *modules[MOST_ENGINES], *instances[MOST_ENGINES];
  struct series begun[MOST_ENGINES] = {{0}}, call[MOST_ENGINES] = {{0}}, prepared[MOST_ENGINES] = {{0}}, hostcall[MOST_ENGINES] = {{0}}, trap[MOST_ENGINES] = {{0}},
                check[MOST_ENGINES] = {{0}}, yield[MOST_ENGINES] = {{0}}, kills[MOST_ENGINES] = {{0}}, round_trip = {0}, delivery = {0};
  bool ok = true;
  for (unsigned r = 0; r < rounds; r++) {
    for (int k = 0; k < 20; k++) {
      put(&round_trip, signal_round_trip());
      put(&delivery, signal_delivery());
    }
    for (uint32_t e = 0; e < engine_count; e++) {
      const struct engine *x = engines[e];
      if (r == 0) {
        modules[e] = x->load(files.micro[x->file], files.wasmtime, 1);
        instances[e] = x->make(modules[e]);
        ok = ok && x->find(instances[e]);
        if (!ok) return false;
      }
      void *i = instances[e];
      /* The first of the calls find the caches and predictors of other work, and ours looks at signal handlers. */
      uint64_t a = now_ns();
      uint32_t sum = x->add(i, BATCH);
      put(&begun[e], (double)(now_ns() - a) / BATCH);
      ok = ok && sum == BATCH * (BATCH - 1) / 2;
      a = now_ns();
      sum = x->add(i, BATCH);
      put(&call[e], (double)(now_ns() - a) / BATCH);
      ok = ok && sum == BATCH * (BATCH - 1) / 2;
      if (x->add_prepared != NULL) {
        a = now_ns();
        sum = x->add_prepared(i, BATCH);
        put(&prepared[e], (double)(now_ns() - a) / BATCH);
        ok = ok && sum == BATCH * (BATCH - 1) / 2;
      }
      a = now_ns();
      ok = x->hostcalls(i, BATCH) && ok;
      put(&hostcall[e], (double)(now_ns() - a) / BATCH);
      if (x->yield != NULL) {
        a = now_ns();
        ok = x->yield(i) && ok;
        put(&yield[e], (double)(now_ns() - a) / BATCH);
      }
      for (int k = 0; k < 20; k++) {
        a = now_ns();
        ok = x->trap(i, false) && ok;
        put(&trap[e], (double)(now_ns() - a));
        a = now_ns();
        ok = x->trap(i, true) && ok;
        put(&check[e], (double)(now_ns() - a));
      }
    }
    /* Last, as what comes behind a second thread and a pause is slow for a while. */
    for (uint32_t e = 0; e < engine_count; e++) {
      if (engines[e]->kill == NULL) continue;
      uint64_t took = engines[e]->kill(instances[e]);
      put(&kills[e], (double)took);
      ok = ok && took != 0;
    }
  }
  report("system", "signal-round-trip", &round_trip);
  report("system", "trap: kernel's delivery alone", &delivery);
  for (uint32_t e = 0; e < engine_count; e++) {
    report(engines[e]->name, "call into a guest, behind other work", &begun[e]);
    report(engines[e]->name, "call into a guest", &call[e]);
    report(engines[e]->name, "prepared call into a guest", &prepared[e]);
    report(engines[e]->name, "native hostcall", &hostcall[e]);
    report(engines[e]->name, "trap caught: load out of bounds", &trap[e]);
    report(engines[e]->name, "trap caught: unreachable", &check[e]);
    report(engines[e]->name, "runaway guest killed", &kills[e]);
    report(engines[e]->name, "switch to the embedder and back", &yield[e]);
    engines[e]->drop(instances[e]);
    engines[e]->unload(modules[e]);
  }
  return ok;
}

/* ---- Many at a time: each in a process of its own, whose memory is measured */

static bool in_child(uint32_t e, uint32_t count) {
  pid_t child = fork();
  if (child == 0) {
    bool ok = engines[e]->file == 2 ? live_wasmtime(files.hello[2], files.wasmtime, count) : live_lucet(engines[e], files.hello[engines[e]->file], count);
    _exit(ok ? 0 : 1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv) {
  int k = 1;
  const char *only = NULL;
  uint32_t live[MOST_ENGINES] = {15000, 100000, 30000};
  for (; k < argc && strncmp(argv[k], "--", 2) == 0; k += 2) {
    if (k + 1 == argc) return 2;
    if (strcmp(argv[k], "--wasmtime") == 0) files.wasmtime = argv[k + 1];
    else if (strcmp(argv[k], "--rounds") == 0) rounds = (unsigned)atoi(argv[k + 1]) + 1;
    else if (strcmp(argv[k], "--only") == 0) only = argv[k + 1];
    else if (strcmp(argv[k], "--live") == 0) live[0] = live[1] = live[2] = (uint32_t)atoi(argv[k + 1]);
    else return 2;
  }
  if (argc - k != 9) return 2;
  for (int f = 0; f < 3; f++) {
    files.hello[f] = argv[k + f];
    files.large[f] = argv[k + 3 + f];
    files.micro[f] = argv[k + 6 + f];
  }
  engines[engine_count++] = &ENGINE_GUARDED;
  engines[engine_count++] = &ENGINE_DENSE;
  if (files.wasmtime != NULL) engines[engine_count++] = &ENGINE_WASMTIME;
  bool ok = true;
  /* First, as the children inherit the parent's memory. */
  for (uint32_t e = 0; e < engine_count && (only == NULL || strcmp(only, "live") == 0); e++) ok = in_child(e, live[e]) && ok;
  if (only == NULL || strcmp(only, "borders") == 0) ok = borders() && ok;
  for (unsigned threads = 1; threads <= MOST_THREADS && (only == NULL || strcmp(only, "cycles") == 0); threads++) {
    ok = cycles("hello", files.hello, true, threads) && ok;
    ok = cycles("large module", files.large, false, threads) && ok;
  }
  if (!ok) fprintf(stderr, "instances: a guest did something else than it should\n");
  return ok ? 0 : 1;
}
