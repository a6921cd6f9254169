/**
 * What C programs that embed Lucet and are run by tests have in common: the first thing that is not as expected ends
 * them.
 */
#ifndef LUCET_TEST_NATIVE_EXPECT_H
#define LUCET_TEST_NATIVE_EXPECT_H

#include <stdio.h>
#include <stdlib.h>

#include "lucet.h"

static lucet_error error;

#define EXPECT(condition) \
  do { \
    if (!(condition)) { \
      printf("%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, error.message); \
      exit(1); \
    } \
  } while (0)

#endif
