/**
 * What the engines of the instance benchmark have in common. Native, because what is measured takes less time than
 * JavaScript's way in.
 */
#ifndef LUCET_BENCH_INSTANCES_H
#define LUCET_BENCH_INSTANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/** Files that bench/instances.ts has written. */
struct files {
  /** The same modules for each engine: compiled guarded, compiled dense, and as WebAssembly. */
  const char *hello[3];
  const char *large[3];
  const char *micro[3];
  /** NULL: there is no wasmtime here. */
  const char *wasmtime;
};

/**
 * One engine, with one module loaded. Every thread has a state of its own (`open`), with at most one instance at a
 * time. Functions that return bool return false when the guest did anything but what it should.
 */
struct engine {
  const char *name;
  /** Which of the three files it takes. */
  int file;
  /**
   * For hello: with WASI, whose output is discarded. For micro: with one native import. `capacity`: instances at a
   * time, over all threads.
   */
  void *(*load)(const char *path, const char *wasmtime, uint32_t capacity);
  void (*unload)(void *module);
  /** A new instance. */
  void *(*make)(void *module);
  /** Run _start to its end. */
  bool (*run)(void *instance);
  /** To a new instance's state, or away with it: what an embedder does between two requests. */
  void (*drop)(void *instance);
  /** micro: find its functions. */
  bool (*find)(void *instance);
  /**
   * micro: the sum of all k < n by n calls of add(sum, k). The loop is the engine's, as it is an embedder's: a call
   * through here takes a fifth of what is measured.
   */
  uint32_t (*add)(void *instance, uint32_t n);
  /** micro: the same by what the engine has for callers who call a function often; NULL: nothing. */
  uint32_t (*add_prepared)(void *instance, uint32_t n);
  /** micro: a loop in the guest that calls its import n times; false: wrong. */
  bool (*hostcalls)(void *instance, uint32_t n);
  /** micro: an access out of bounds or, as `check`, `unreachable`, caught. */
  bool (*trap)(void *instance, bool check);
  /** micro: out of the guest into the embedder and back by its resume/yield; NULL: it has none. */
  bool (*yield)(void *instance);
  /**
   * micro: an endless loop on another thread is ended: nanoseconds from the request until that thread has its end; 0:
   * it went wrong. NULL: it can't.
   */
  uint64_t (*kill)(void *instance);
};

extern const struct engine ENGINE_GUARDED, ENGINE_DENSE, ENGINE_WASMTIME;

/**
 * `count` instances of hello at a time, each stopped in the middle of its run where the engine can, then finished.
 * Prints rows.
 */
bool live_lucet(const struct engine *e, const char *path, uint32_t count);
bool live_wasmtime(const char *path, const char *library, uint32_t most);

/**
 * What the system takes for a fault that a handler corrects, in nanoseconds: nobody who catches traps as faults and
 * returns from the handler takes less.
 */
double signal_round_trip(void);
/** The same where the handler is left for good, without returning from it: as little as a trap by a fault can take. */
double signal_delivery(void);

void row(const char *engine, const char *metric, double p50, double p99, const char *unit);
/** Resident bytes, bytes of page tables, and mappings of this process. */
struct usage {
  uint64_t resident;
  uint64_t page_tables;
  uint64_t mappings;
};
struct usage usage(void);

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
