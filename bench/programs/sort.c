/* Four million integers by quicksort, and half a million by heap sort with a comparator. */
#include "bench.h"

enum { N = 4000000, FEW = 500000 };
static int32_t numbers[N], few[FEW];

static void quicksort(int32_t *a, int32_t n) {
  while (n > 16) {
    int32_t pivot = a[n / 2], i = 0, j = n - 1;
    for (;;) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i >= j) break;
      int32_t t = a[i];
      a[i++] = a[j], a[j--] = t;
    }
    quicksort(a, i);
    a += i, n -= i;
  }
  for (int32_t i = 1; i < n; i++) {
    int32_t x = a[i], j = i;
    for (; j > 0 && a[j - 1] > x; j--) a[j] = a[j - 1];
    a[j] = x;
  }
}

static int compare(const int32_t *a, const int32_t *b) { return (*a > *b) - (*a < *b); }

__attribute__((noinline)) static void heapsort(int32_t *a, int32_t n, int (*order)(const int32_t *, const int32_t *)) {
  for (int32_t start = n / 2, end = n; end > 1;) {
    int32_t x, hole, child;
    if (start > 0) {
      x = a[--start];
    } else {
      x = a[--end];
      a[end] = a[0];
    }
    for (hole = start; (child = 2 * hole + 1) < end; hole = child) {
      if (child + 1 < end && order(&a[child], &a[child + 1]) < 0) child++;
      if (order(&x, &a[child]) >= 0) break;
      a[hole] = a[child];
    }
    a[hole] = x;
  }
}

int main(void) {
  uint32_t seed = 11;
  for (int i = 0; i < N; i++) numbers[i] = (int32_t)random32(&seed);
  for (int i = 0; i < FEW; i++) few[i] = (int32_t)random32(&seed);
  bench_start();
  quicksort(numbers, N);
  /* So that no compiler knows which function it is. */
  int (*volatile order)(const int32_t *, const int32_t *) = compare;
  heapsort(few, FEW, order);
  bench_end();
  uint32_t sum = 0;
  for (int i = 0; i < N; i++) sum = sum * 31 + (uint32_t)numbers[i];
  for (int i = 0; i < FEW; i++) sum = sum * 31 + (uint32_t)few[i];
  printf("sort %u\n", sum);
}
