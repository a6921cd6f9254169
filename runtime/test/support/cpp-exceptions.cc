// Prints what happens: order of destructors, which handler is chosen, values across frames.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

struct Trace {
  std::string name;
  explicit Trace(std::string n) : name(std::move(n)) {}
  Trace(const Trace &) = delete;
  ~Trace() { std::printf("  ~%s\n", name.c_str()); }
};

// ---- A parser of expressions, which reports errors from its depths.
struct SyntaxError : std::runtime_error {
  size_t at;
  SyntaxError(const std::string &what, size_t position) : std::runtime_error(what), at(position) {}
};
struct DivideByZero : std::exception {
  const char *what() const noexcept override { return "division by zero"; }
};

class Parser {
  std::string text;
  size_t at = 0;
  std::vector<std::unique_ptr<Trace>> open;

 public:
  explicit Parser(std::string t) : text(std::move(t)) {}
  // Libraries differ in the order in which a vector destroys.
  ~Parser() {
    while (!open.empty()) open.pop_back();
  }
  long parse() {
    long v = sum();
    if (at != text.size()) throw SyntaxError("trailing input", at);
    return v;
  }

 private:
  long sum() {
    long v = product();
    while (at < text.size() && (text[at] == '+' || text[at] == '-')) {
      char op = text[at++];
      long w = product();
      v = op == '+' ? v + w : v - w;
    }
    return v;
  }
  long product() {
    long v = factor();
    while (at < text.size() && (text[at] == '*' || text[at] == '/')) {
      char op = text[at++];
      long w = factor();
      if (op == '/' && w == 0) throw DivideByZero();
      v = op == '*' ? v * w : v / w;
    }
    return v;
  }
  long factor() {
    if (at == text.size()) throw SyntaxError("unexpected end", at);
    if (text[at] == '(') {
      open.push_back(std::make_unique<Trace>("paren " + std::to_string(at)));
      at++;
      long v = sum();
      if (at == text.size() || text[at] != ')') throw SyntaxError("missing )", at);
      at++;
      open.pop_back();
      return v;
    }
    if (text[at] < '0' || text[at] > '9') throw SyntaxError(std::string("unexpected '") + text[at] + "'", at);
    long v = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') v = 10 * v + (text[at++] - '0');
    return v;
  }
};

static void evaluate(const char *text) {
  try {
    std::printf("%s = %ld\n", text, Parser(text).parse());
  } catch (const SyntaxError &e) {
    std::printf("%s: %s at %zu\n", text, e.what(), e.at);
  } catch (const std::exception &e) {
    std::printf("%s: %s\n", text, e.what());
  }
}

// ---- Which handler: bases, several of them, references, pointers, numbers, rethrown ones.
struct Left { int64_t l = 11; virtual ~Left() = default; };
struct Right { double r = 2.5; virtual ~Right() = default; };
struct Both : Left, Right { int own = 7; };

static void throwing(int kind) {
  Trace t("throwing " + std::to_string(kind));
  switch (kind) {
    case 0: throw 42;
    case 1: throw 4.25;
    case 2: throw Both();
    case 3: throw "text";
    case 4: throw std::string("a string too long to be stored in place, so that its memory must be freed");
    case 5: throw std::make_unique<Trace>("thrown");
    case 6: throw static_cast<Left *>(new Both());
    default: std::printf("  nothing thrown\n");
  }
}

static void layer(int kind, int depth) {
  Trace t("layer " + std::to_string(depth));
  if (depth > 0) return layer(kind, depth - 1);
  try {
    throwing(kind);
  } catch (const Right &e) {
    std::printf("  as Right: %.2f, is Both: %d\n", e.r, dynamic_cast<const Both *>(&e) != nullptr);
    throw;
  } catch (double d) {
    std::printf("  double %.2f becomes an int\n", d);
    throw static_cast<int>(d);
  }
}

static void outcome(int kind) {
  std::printf("kind %d\n", kind);
  try {
    layer(kind, 3);
  } catch (int n) {
    std::printf("  int %d\n", n);
  } catch (const Both &e) {
    std::printf("  Both %d %lld\n", e.own, static_cast<long long>(e.l));
  } catch (const char *s) {
    std::printf("  %s\n", s);
  } catch (std::unique_ptr<Trace> &p) {
    std::printf("  a %s\n", p->name.c_str());
  } catch (const Left *p) {
    std::printf("  Left* %lld\n", static_cast<long long>(p->l));
    delete p;
  } catch (...) {
    std::printf("  something else\n");
  }
}

// ---- Constructors that throw, function-try-blocks, exceptions in handlers.
struct Part {
  Trace t;
  explicit Part(int n) : t("part " + std::to_string(n)) {
    if (n == 3) throw std::out_of_range("part 3");
  }
};
struct Whole {
  Part a{1}, b{2}, c;
  explicit Whole(int n) try : c(n) {
    std::printf("  whole\n");
  } catch (const std::out_of_range &e) {
    std::printf("  no whole: %s\n", e.what());
  }
};

static int nested(int n) {
  try {
    if (n == 0) throw 1;
    return nested(n - 1) + 1;
  } catch (int v) {
    try {
      throw v * 2;
    } catch (int w) {
      if (n < 5) throw w + 1;
      return w;
    }
  }
}

int main() {
  for (const char *text : {"1+2*3", "(4+5)*(6-7)", "8/(3-3)", "((1+2", "2*(3+x)", "", "7 "}) evaluate(text);
  for (int kind = 0; kind <= 7; kind++) outcome(kind);
  for (int n : {4, 3}) try {
      Whole w(n);
    } catch (const std::logic_error &e) {
      std::printf("  caught %s\n", e.what());
    }
  std::printf("nested %d\n", nested(9));
  long sum = 0;
  for (int k = 0; k < 20000; k++) try {
      if (k % 3 == 0) throw k;
      if (k % 3 == 1) throw std::to_string(k);
      sum++;
    } catch (int v) {
      sum += v;
    } catch (const std::string &s) {
      sum += static_cast<long>(s.size());
    }
  std::printf("sum %ld\n", sum);
  std::map<std::string, int> counts;
  for (int k = 0; k < 100; k++) try {
      std::variant<int, std::string> v;
      if (k & 1) v = std::to_string(k);
      if (v.index() == 1 && std::get<1>(v).size() > 1) throw std::invalid_argument(std::get<1>(v).substr(0, 1));
    } catch (const std::invalid_argument &e) {
      counts[e.what()]++;
    }
  for (const auto &[key, n] : counts) std::printf("%s:%d ", key.c_str(), n);
  std::printf("\n");
  return 0;
}
