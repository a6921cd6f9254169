/* A walk through a shuffled ring of nodes: loads that wait for each other. */
#include "bench.h"

enum { NODES = 1 << 15, STEPS = 60000000 };
struct node {
  struct node *next;
  uint32_t value;
};

int main(void) {
  static struct node nodes[NODES];
  static uint32_t order[NODES];
  uint32_t seed = 5, sum = 0;
  for (uint32_t i = 0; i < NODES; i++) order[i] = i;
  for (uint32_t i = NODES - 1; i > 0; i--) {
    uint32_t j = random32(&seed) % (i + 1), t = order[i];
    order[i] = order[j], order[j] = t;
  }
  for (uint32_t i = 0; i < NODES; i++) nodes[order[i]] = (struct node){&nodes[order[(i + 1) % NODES]], i};
  bench_start();
  const struct node *n = nodes;
  for (int k = 0; k < STEPS; k++) {
    sum = sum * 3 + n->value;
    n = n->next;
  }
  bench_end();
  printf("chase %u\n", sum);
}
