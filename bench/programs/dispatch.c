/* Objects of several kinds, each called by its pointers to functions. */
#include "bench.h"

enum { OBJECTS = 4096, ROUNDS = 12000 };
struct object {
  uint32_t (*step)(struct object *, uint32_t);
  uint32_t state;
};

static uint32_t add(struct object *o, uint32_t x) { return o->state += x; }
static uint32_t mix(struct object *o, uint32_t x) { return o->state = (o->state ^ x) * 0x9e3779b1u; }
static uint32_t turn(struct object *o, uint32_t x) { return o->state = (o->state << 7 | o->state >> 25) - x; }
static uint32_t count(struct object *o, uint32_t x) { return o->state += x & 1; }

int main(void) {
  static uint32_t (*const KINDS[])(struct object *, uint32_t) = {add, mix, turn, count};
  static struct object objects[OBJECTS];
  uint32_t seed = 3, x = 1;
  for (int i = 0; i < OBJECTS; i++) objects[i] = (struct object){KINDS[random32(&seed) % 4], random32(&seed)};
  bench_start();
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < OBJECTS; i++) x += objects[i].step(&objects[i], x);
  bench_end();
  printf("dispatch %u\n", x);
}
