/**
 * Linked to a workload's own program (engine-native.ts): its imports bench.start and bench.end, and the time it took.
 */
#define _POSIX_C_SOURCE 199309L
#include "clock.h"

void bench_start(void) { clock_start(); }
void bench_end(void) { clock_stop(); }

static void at_exit(void) { clock_write(getenv("LUCET_BENCH_TIME")); }

__attribute__((constructor)) static void begin(void) {
  bench_clock.whole = cpu_ms();
  atexit(at_exit);
}
