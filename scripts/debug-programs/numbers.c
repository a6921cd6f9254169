// Every scalar type at its limits; globals, statics, constants.
#include "show.h"
#include <float.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int global_int = -42;
unsigned long long global_u64 = ULLONG_MAX;
static double file_static = 1e-300;
const float constant = 3.25f;
typedef uint16_t port_t;

static long long mix(signed char sc, unsigned char uc, short s, unsigned short us, long l, unsigned long ul, long long ll,
                     unsigned long long ull, float f, double d, bool b) {
  static int calls;
  calls++;
  long long all = sc + uc + s + us + l + (long long)ul + ll + (long long)ull + (long long)f + (long long)d + b;
  // The linker drops what nobody reads.
  all += *(const volatile float *)&constant > 100;
  AT(mix); // #BP mix
  I(calls), I(s), U(us), I(l), U(ul), I(ll), U(ull), F(f), F(d), B(b), I(all), I(global_int), U(global_u64), F(file_static), F(constant);
  I(sc), U(uc);
  return all;
}

int main(void) {
  volatile int counter = 0;
  port_t port = 8080;
  uint8_t bytes[4] = {0, 127, 128, 255};
  int8_t small = -128;
  float tiny = FLT_MIN, third = 1.0f / 3;
  double huge = DBL_MAX, minus_zero = -0.0;
  size_t size = sizeof bytes;
  wchar_t wide = 0x1F600;
  long long r = mix(SCHAR_MIN, UCHAR_MAX, SHRT_MIN, USHRT_MAX, LONG_MIN, ULONG_MAX, LLONG_MIN, ULLONG_MAX, -1.5f, 1e10, true);
  for (counter = 0; counter < 3; counter++)
    r += mix(1, 2, 3, 4, 5, 6, 7, 8, 0.1f, 0.1, false);
  bool yes = true, no = false;
  global_int = INT_MIN;
  AT(main); // #BP main
  I(counter), U(port), U(bytes[1]), U(bytes[2]), U(bytes[3]), I(small), F(tiny), F(third), F(huge), T(minus_zero, "-0"), U(size), I(r), B(yes), B(no),
      I(global_int), I(wide);
  return 0;
}
