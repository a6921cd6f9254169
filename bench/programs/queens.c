/* Solutions of the 14 queens puzzle: recursion over bit sets. */
#include "bench.h"

static uint64_t place(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == all) return 1;
  uint64_t found = 0;
  for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
    uint32_t bit = free & -free;
    found += place(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return found;
}

int main(void) {
  bench_start();
  uint64_t found = place((1u << 14) - 1, 0, 0, 0);
  bench_end();
  printf("queens %llu\n", (unsigned long long)found);
}
