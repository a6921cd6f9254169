// Functions as values, structures by value and as results, many parameters, variable arguments.
#include "show.h"
#include <stdarg.h>
#include <stdlib.h>

typedef struct { double re, im; } complex_t;
typedef int (*compare_t)(const void *, const void *);
struct handler { const char *name; int (*run)(struct handler *, int); int state; };

static int by_value(const void *a, const void *b) {
  const int *x = a, *y = b;
  static int comparisons;
  comparisons++;
  AT(compare); // #BP compare
  I(*x), I(*y), I(comparisons), P(a), P(b);
  return (*x > *y) - (*x < *y);
}

static complex_t multiply(complex_t a, complex_t b) {
  complex_t r = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  AT(multiply); // #BP multiply
  F(a.re), F(a.im), F(b.re), F(b.im), F(r.re), F(r.im);
  return r;
}

static int add(struct handler *self, int n) {
  self->state += n;
  AT(add); // #BP add
  S(self->name), I(self->state), I(n);
  return self->state;
}

static int total(int n, ...) {
  va_list list;
  va_start(list, n);
  int sum = 0;
  for (int i = 0; i < n; i++) {
    int next = va_arg(list, int);
    sum += next;
    AT(total); // #BP total
    I(n), I(sum), I(i), I(next), P(list);
  }
  va_end(list);
  return sum;
}

int main(void) {
  int data[3] = {3, 1, 2};
  compare_t compare = by_value;
  qsort(data, 3, sizeof *data, compare);
  complex_t i = {0, 1}, square = multiply(i, i);
  struct handler h = {"adder", add, 0};
  int state = h.run(&h, 4) + h.run(&h, 5);
  int sum = total(3, 10, 20, 30);
  AT(main); // #BP main
  I(data[0]), I(data[1]), I(data[2]), F(square.re), F(square.im), F(i.im), S(h.name), I(h.state), I(state), I(sum);
  printf("compare=function %lu <by_value>\n", (unsigned long)compare);
  printf("h.run=function %lu <add>\n", (unsigned long)h.run);
  return 0;
}
