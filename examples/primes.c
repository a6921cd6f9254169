// Computes for about a second: counts primes with a sieve, then checks the count another way.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 40000000 };

static int is_prime(uint32_t n) {
  if (n < 4) return n > 1;
  if (n % 2 == 0 || n % 3 == 0) return 0;
  for (uint32_t d = 5; (uint64_t)d * d <= n; d += 6) {
    if (n % d == 0 || n % (d + 2) == 0) return 0;
  }
  return 1;
}

int main(void) {
  uint8_t *composite = calloc(N, 1);
  if (!composite) {
    fprintf(stderr, "out of memory\n");
    return 1;
  }
  uint32_t sieved = 0;
  for (uint32_t i = 2; i < N; i++) {
    if (composite[i]) continue;
    sieved++;
    for (uint64_t j = (uint64_t)i * i; j < N; j += i) composite[j] = 1;
  }
  uint32_t divided = 0;
  for (uint32_t i = 2; i < N / 20; i++) divided += is_prime(i);
  printf("%u primes below %d, %u below %d\n", sieved, N, divided, N / 20);
  return 0;
}
