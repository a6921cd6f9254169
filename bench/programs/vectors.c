/* Simple counted loops over arrays of integers and floats: sums, products, minima, conversions. */
#include "bench.h"

enum { N = 16384, ROUNDS = 12000 };
static float x[N], y[N], z[N];
static int32_t a[N], b[N], c[N];
static uint8_t u[N], v[N];

int main(void) {
  uint32_t seed = 31, sum = 0;
  for (int i = 0; i < N; i++) {
    x[i] = (float)(random32(&seed) % 1000), y[i] = (float)(random32(&seed) % 1000);
    a[i] = (int32_t)random32(&seed), b[i] = (int32_t)random32(&seed), u[i] = (uint8_t)random32(&seed);
  }
  bench_start();
  for (int r = 0; r < ROUNDS; r++) {
    for (int i = 0; i < N; i++) z[i] = x[i] * 0.5f + y[i];
    for (int i = 0; i < N; i++) c[i] = (a[i] & 0xffff) * b[i] + r;
    for (int i = 0; i < N; i++) v[i] = (uint8_t)(u[i] + (uint8_t)r) >> 1;
    int32_t most = 0;
    for (int i = 0; i < N; i++) most = c[i] > most ? c[i] : most;
    for (int i = 0; i < N; i++) sum += (uint32_t)c[i];
    sum += (uint32_t)most + v[r % N] + (uint32_t)z[r % N];
  }
  bench_end();
  printf("vectors %u\n", sum);
}
