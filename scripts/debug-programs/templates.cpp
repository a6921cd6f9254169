// Templates of functions and classes, with types and numbers as arguments.
#include "show.h"
int main();

template <typename T, int N> class Stack {
public:
  void push(const T &value) {
    items_[size_++] = value;
    AT(push); // #BP push
    I(this->size_), T(value, text(value)), T(this->items_[0], text(items_[0]));
  }
  T pop() {
    T last = items_[--size_];
    AT(pop); // #BP pop
    I(size_), T(last, text(last)), I(this->size_);
    return last;
  }
  static const char *text(double v) {
    static char buffer[2][40];
    static int turn;
    char *b = buffer[turn ^= 1];
    snprintf(b, 40, "%.17g", v);
    return b;
  }

private:
  friend int ::main();
  T items_[N];
  int size_ = 0;
};

template <typename A, typename B> struct Pair {
  A first;
  B second;
};

template <typename T> T largest(const T *values, int n) {
  T best = values[0];
  for (int i = 1; i < n; i++)
    if (best < values[i])
      best = values[i];
  AT(largest); // #BP largest
  T(best, (Stack<T, 1>::text(best))), I(n), T(values[1], (Stack<T, 1>::text(values[1])));
  return best;
}

template <typename... Args> void show_pack(Args... args) {
  int i = 0;
  (printf("args[%d]=%d\n", i++, args), ...);
}

template <typename... Args> int sum(Args... args) {
  int total = (0 + ... + args);
  AT(sum); // #BP sum
  I(total);
  show_pack(args...);
  return total;
}

template <int N> constexpr int factorial() {
  int result = N;
  if constexpr (N > 1)
    result *= factorial<N - 1>();
  AT(factorial); // #BP factorial
  I(result);
  return result;
}

int main() {
  Stack<int, 4> ints;
  ints.push(1);
  ints.push(20);
  Stack<double, 2> doubles;
  doubles.push(0.75);
  double popped = doubles.pop() + ints.pop();
  Pair<char, Pair<short, float>> nested{'n', {-7, 2.5f}};
  const long long many[] = {3, 1LL << 40, 2};
  long long most = largest(many, 3);
  const float few[] = {0.5f, 0.25f};
  float more = largest(few, 2);
  int added = sum(1, 2, 3);
  int f = factorial<3>();
  AT(main); // #BP main
  F(popped), C(nested.first), I(nested.second.first), F(nested.second.second), I(many[1]), I(most), F(few[0]), F(more), I(added), I(f);
  I(ints.items_[0]), I(ints.items_[1]), I(ints.size_), F(doubles.items_[0]), I(doubles.size_);
  return 0;
}
