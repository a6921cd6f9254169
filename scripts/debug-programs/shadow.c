// Names that hide each other, loops, switches, jumps.
#include "show.h"

int x = 1;

static int walk(int n) {
  int x = n * 10;
  int out = 0;
  AT(outer); // #BP outer
  I(n), I(x), I(out);
  for (int x = 0; x < 2; x++) {
    int y = x + 100;
    AT(loop); // #BP loop
    I(n), I(x), I(y), I(out);
    if (x) {
      long long x = -5;
      double y = 0.25;
      AT(inner); // #BP inner
      I(n), I(x), F(y), I(out);
      out += (int)x;
    } else {
      const char *x = "text";
      AT(other); // #BP other
      S(x), I(n), I(y), I(out);
    }
    out += y;
  }
  {
    int out = 7, x = 8;
    AT(block); // #BP block
    I(n), I(out), I(x);
  }
  AT(after); // #BP after
  I(n), I(x), I(out);
  return out;
}

int main(void) {
  int i = 0, state = 3, steps = 0;
again:
  switch (state) {
  case 3: {
    int once = 33;
    AT(three); // #BP three
    I(i), I(state), I(steps), I(once);
    state = 1;
    break;
  }
  case 1: {
    int other = 11;
    AT(one); // #BP one
    I(i), I(state), I(steps), I(other);
    state = 0;
    break;
  }
  default:
    i = walk(2);
  }
  if (++steps < 3)
    goto again;
  do {
    int left = 5 - steps;
    AT(left); // #BP left
    I(i), I(state), I(steps), I(left);
  } while (++steps < 5);
  return 0;
}
