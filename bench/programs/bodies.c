/* Five bodies that attract each other: doubles, square roots, divisions. */
#include <math.h>
#include "bench.h"

enum { BODIES = 5, STEPS = 1500000 };
static struct body {
  double x, y, z, vx, vy, vz, mass;
} bodies[BODIES];

static void advance(double dt) {
  for (int i = 0; i < BODIES; i++) {
    struct body *p = &bodies[i];
    for (int j = i + 1; j < BODIES; j++) {
      struct body *q = &bodies[j];
      double dx = p->x - q->x, dy = p->y - q->y, dz = p->z - q->z;
      double d2 = dx * dx + dy * dy + dz * dz + 0.01;
      double pull = dt / (d2 * sqrt(d2));
      p->vx -= dx * q->mass * pull, p->vy -= dy * q->mass * pull, p->vz -= dz * q->mass * pull;
      q->vx += dx * p->mass * pull, q->vy += dy * p->mass * pull, q->vz += dz * p->mass * pull;
    }
  }
  for (int i = 0; i < BODIES; i++) {
    struct body *p = &bodies[i];
    p->x += dt * p->vx, p->y += dt * p->vy, p->z += dt * p->vz;
  }
}

int main(void) {
  uint32_t seed = 7;
  for (int i = 0; i < BODIES; i++) {
    double *field = &bodies[i].x;
    for (int k = 0; k < 7; k++) field[k] = (double)(random32(&seed) % 1000) / 500 - (k < 6 ? 1 : 0);
  }
  bench_start();
  for (int k = 0; k < STEPS; k++) advance(0.001);
  bench_end();
  double sum = 0;
  for (int i = 0; i < BODIES; i++) sum += bodies[i].x * bodies[i].vx;
  printf("bodies %.6e\n", sum);
}
