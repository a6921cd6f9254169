// Lambdas and what they capture, structured bindings, range loops, inlined functions, namespaces.
#include "show.h"

namespace geometry {
namespace detail {
int scale = 3;
}
static int calls = 0;
__attribute__((always_inline)) inline int square(int n) {
  int result = n * n;
  AT(square); // #BP square
  I(n), I(result);
  return result;
}
__attribute__((always_inline)) inline int twice_square(int n) {
  int once = square(n);
  calls++;
  AT(twice); // #BP twice
  I(n), I(once), I(geometry::calls), I(geometry::detail::scale);
  return 2 * once;
}
} // namespace geometry

static const int *base_of_main, *hits_of_main;

template <typename F> int apply(F f, int n) {
  int got = f(n);
  AT(apply); // #BP apply
  I(n), I(got), AS("f.base", *base_of_main);
  if constexpr (sizeof(F) > sizeof(int))
    AS("f.hits", *hits_of_main);
  return got;
}

struct Range {
  int from, to;
  struct It {
    int at;
    int operator*() const { return at; }
    bool operator!=(const It &o) const { return at != o.at; }
    It &operator++() { return ++at, *this; }
  };
  It begin() const { return {from}; }
  It end() const { return {to}; }
};

int main() {
  int base = 10, hits = 0;
  base_of_main = &base, hits_of_main = &hits;
  auto add = [base, &hits](int n) {
    int r = base + n;
    hits++;
    AT(lambda); // #BP lambda
    I(n), I(r), I(base), I(hits), AS("this->base", base), AS("this->hits", hits);
    return r;
  };
  int a = apply(add, 1);
  int b = apply([&](int n) { return n * base; }, 2);
  struct { int x; double y; } point{4, 0.5};
  auto [px, py] = point;
  auto &[rx, ry] = point;
  rx = 40;
  int total = 0;
  for (int n : Range{1, 4}) {
    total += n;
    AT(range); // #BP range -s
    I(n), I(total), I(base), I(hits), I(a), I(b), I(point.x), F(point.y), I(px), F(py), I(rx), F(ry);
    AS("add.base", base), AS("add.hits", hits);
  }
  int s = geometry::twice_square(a);
  AT(main); // #BP main
  I(s), I(total), I(hits), I(base), I(a), I(b), I(px), F(py), I(rx), F(ry), I(point.x), AS("add.base", base), AS("add.hits", hits);
  return 0;
}
