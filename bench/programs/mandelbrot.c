/* Points of the Mandelbrot set: a loop of doubles that can't be foreseen. */
#include "bench.h"

enum { SIZE = 900, LIMIT = 500 };

int main(void) {
  uint32_t sum = 0;
  bench_start();
  for (int y = 0; y < SIZE; y++)
    for (int x = 0; x < SIZE; x++) {
      double cr = 3.0 * x / SIZE - 2.25, ci = 3.0 * y / SIZE - 1.5, zr = 0, zi = 0;
      int n = 0;
      while (n < LIMIT && zr * zr + zi * zi < 4) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci, zr = t;
        n++;
      }
      sum += (uint32_t)n;
    }
  bench_end();
  printf("mandelbrot %u\n", sum);
}
