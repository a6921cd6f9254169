/* Conway's game of life on bytes: a simple loop that a compiler can turn into vectors. */
#include "bench.h"

enum { W = 1024, H = 512, GENERATIONS = 250 };
static uint8_t grids[2][H + 2][W + 2];

int main(void) {
  uint32_t seed = 23;
  for (int y = 1; y <= H; y++)
    for (int x = 1; x <= W; x++) grids[0][y][x] = random32(&seed) % 3 == 0;
  bench_start();
  for (int g = 0; g < GENERATIONS; g++) {
    uint8_t(*from)[W + 2] = grids[g & 1], (*to)[W + 2] = grids[~g & 1];
    for (int y = 1; y <= H; y++)
      for (int x = 1; x <= W; x++) {
        uint8_t n = from[y - 1][x - 1] + from[y - 1][x] + from[y - 1][x + 1] + from[y][x - 1] + from[y][x + 1] + from[y + 1][x - 1] +
                    from[y + 1][x] + from[y + 1][x + 1];
        to[y][x] = (n == 3) | ((n == 2) & from[y][x]);
      }
  }
  bench_end();
  uint32_t alive = 0;
  for (int y = 1; y <= H; y++)
    for (int x = 1; x <= W; x++) alive += grids[GENERATIONS & 1][y][x] * (uint32_t)(x ^ y);
  printf("life %u\n", alive);
}
