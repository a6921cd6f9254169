/**
 * What a test lets fail: requests to the system and to the C heap, by the linker's --wrap. And what is in use of them.
 */
#ifndef LUCET_TEST_SYSTEM_H
#define LUCET_TEST_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

enum system_kind {
  SYSTEM_MAP,
  SYSTEM_PROTECT,
  SYSTEM_ADVICE,
  /** memfd_create, ftruncate, pipe2 */
  SYSTEM_FILE,
  SYSTEM_HEAP,
  SYSTEM_THREAD,
  /** Hardware watchpoints, for which /dev/null stands in: not every machine has them. */
  SYSTEM_WATCH,
  /** sigaltstack, sigaction, pthread_setspecific */
  SYSTEM_SIGNAL,
  SYSTEM_KINDS,
};

/** The n-th request of the kind from now on fails, once. */
void system_fail(enum system_kind kind, unsigned n);
/** Was there such a request? Ends it. */
bool system_reached(void);

struct system_usage {
  /** Of the C heap, by code that was linked with the wrappers. */
  long allocations;
  size_t mappings;
  size_t descriptors;
  size_t threads;
};
struct system_usage system_usage(void);

#endif
