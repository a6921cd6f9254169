/**
 * Races: at a test point, the thread that gets there waits until something was done. A test program makes
 * `at_test_point` its lucet_test_point.
 */
#ifndef LUCET_TEST_RACE_H
#define LUCET_TEST_RACE_H

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static struct {
  _Atomic(const char *) point;
  _Atomic(void (*)(void)) act;
  atomic_int armed;
} race;

static void at_test_point(const char *name) {
  int one = 1;
  const char *point = atomic_load(&race.point);
  if (point == NULL || strcmp(name, point) != 0 || !atomic_compare_exchange_strong(&race.armed, &one, 0)) return;
  atomic_load(&race.act)();
}

/** The next time that a thread gets there. */
static void at(const char *point, void (*act)(void)) {
  atomic_store(&race.act, act);
  atomic_store(&race.point, point);
  atomic_store(&race.armed, 1);
}

#endif
