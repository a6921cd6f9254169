// Traps three calls deep: the index is far outside of the heap.
#include <stdio.h>
#include <stdlib.h>

struct table {
  int *cells;
  unsigned size;
};

__attribute__((noinline)) static int read_cell(const struct table *t, unsigned i) {
  return t->cells[i];
}

__attribute__((noinline)) static int sum(const struct table *t, unsigned from, unsigned step) {
  int s = 0;
  for (unsigned i = 0; i < 4; i++) s += read_cell(t, from + i * step);
  return s;
}

__attribute__((noinline)) static int report(const struct table *t) {
  return sum(t, 0, 1) + sum(t, 1, 0x10000000);
}

int main(void) {
  struct table t = {malloc(64 * sizeof(int)), 64};
  for (unsigned i = 0; i < t.size; i++) t.cells[i] = (int)i;
  printf("summing\n");
  printf("%d\n", report(&t));
  return 0;
}
