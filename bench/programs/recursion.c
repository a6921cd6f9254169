/* Ackermann's function: calls, and little else. */
#include "bench.h"

__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

int main(void) {
  uint32_t sum = 0;
  bench_start();
  for (int k = 0; k < 40; k++) sum += ackermann(2, 1500 + k) + ackermann(3, 7);
  bench_end();
  printf("recursion %u\n", sum);
}
