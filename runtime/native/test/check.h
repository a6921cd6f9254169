/** Checks of a C test: they count, say what failed, and go on. */
#ifndef LUCET_TEST_CHECK_H
#define LUCET_TEST_CHECK_H

#include <stdio.h>

static int failures, checks;

#define CHECK(condition) \
  do { \
    checks++; \
    if (!(condition)) { \
      failures++; \
      if (failures < 20) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    } \
  } while (0)

#endif
