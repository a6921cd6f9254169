/* Product of two matrices of doubles, rows in the inner loop. */
#include "bench.h"

enum { N = 512, ROUNDS = 4 };
static double a[N][N], b[N][N], c[N][N];

int main(void) {
  uint32_t seed = 1;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (int)(random32(&seed) % 100) - 50;
      b[i][j] = (int)(random32(&seed) % 100) - 50;
    }
  bench_start();
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < N; i++)
      for (int k = 0; k < N; k++) {
        double x = a[i][k] + r;
        for (int j = 0; j < N; j++) c[i][j] += x * b[k][j];
      }
  bench_end();
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += c[i][j] * (i ^ j);
  printf("matmul %.0f\n", sum);
}
