/* Primes below 16 million by the sieve of Eratosthenes: strided stores. */
#include "bench.h"

enum { LIMIT = 16000000 };

int main(void) {
  uint8_t *composite = calloc(LIMIT, 1);
  bench_start();
  for (uint32_t p = 2; p * p < LIMIT; p++) {
    if (composite[p]) continue;
    for (uint32_t m = p * p; m < LIMIT; m += p) composite[m] = 1;
  }
  uint32_t primes = 0;
  for (uint32_t n = 2; n < LIMIT; n++) primes += !composite[n];
  bench_end();
  printf("sieve %u\n", primes);
}
