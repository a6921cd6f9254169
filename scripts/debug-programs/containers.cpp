// Containers, adaptors and wrappers of the standard library; what each holds is told by its own iterators and functions.
#include "show.h"
#include <atomic>
#include <bitset>
#include <deque>
#include <forward_list>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <stack>
#include <string>
#include <tuple>

static char text[8000];
static int length;
static void put(int value) { length += snprintf(text + length, sizeof text - length, "%d", value); }
static void put(const std::string &value) { length += snprintf(text + length, sizeof text - length, "\"%s\"", value.c_str()); }
template <typename K, typename V> void put(const std::pair<const K, V> &entry) {
  put(entry.first);
  length += snprintf(text + length, sizeof text - length, ": ");
  put(entry.second);
}

// As a debugger's line has it: the first eight.
template <typename C> const char *listed(const C &container, const char *brackets = "[]") {
  length = 0;
  text[length++] = brackets[0];
  int n = 0;
  for (const auto &element : container) {
    if (n > 0) length += snprintf(text + length, sizeof text - length, ", ");
    if (n++ == 8) {
      length += snprintf(text + length, sizeof text - length, "\u2026");
      break;
    }
    put(element);
  }
  text[length++] = brackets[1];
  text[length] = 0;
  return text;
}

static int twice(int x) { return 2 * x; }

int main() {
  std::deque<int> numbers;
  for (int i = 0; i < 3000; i++) numbers.push_back(i);
  for (int i = 0; i < 1500; i++) numbers.pop_front();
  std::deque<std::string> words{"b", "c"};
  words.push_front("a");
  std::deque<int> none;
  std::map<int, int> squares;
  for (int i = 0; i < 600; i++) squares[i] = i * i;
  std::stack<int> stacked(std::deque<int>{4, 5});
  std::queue<int> queued(std::deque<int>{6, 7});
  std::priority_queue<int> best;
  for (int i : {2, 9, 4}) best.push(i);
  std::forward_list<std::string> linked{"x", "y"};
  std::tuple<int, std::string, bool> triple{1, "two", true};
  std::atomic<int> counter{5};
  std::bitset<10> few(0b1011);
  std::bitset<70> many("1" + std::string(69, '0'));
  std::function<int(int)> plain = twice, empty;
  auto shared = std::make_shared<int>(8);
  std::weak_ptr<int> weak = shared;
  int n = 3;
  std::reference_wrapper<int> wrapped(n);
  unsigned char bytes[4] = {0, 1, 2, 255};
  const unsigned char *behind = bytes;
  char name[8] = "abc";
  AT(main); // #BP main
  T(numbers, listed(numbers));
  T(words, listed(words));
  T(none, listed(none));
  T(squares, listed(squares, "{}"));
  printf("stacked=[4, 5]\nqueued=[6, 7]\nbest=[%d, 2, 4]\n", best.top());
  T(linked, listed(linked));
  printf("triple=(%d, \"%s\", %s)\n", std::get<0>(triple), std::get<1>(triple).c_str(), std::get<2>(triple) ? "true" : "false");
  I(counter);
  T(few, few.to_string().c_str());
  T(many, many.to_string().c_str());
  T(plain, plain(4) == 8 ? "\u2192 twice(int)" : "?");
  T(empty, empty ? "?" : "empty");
  printf("shared=\u2192 %d\nweak=\u2192 %d\n", *shared, *weak.lock());
  I(wrapped);
  T(bytes, "[0, 1, 2, 255]");
  S(name);
  AS("*behind", *behind);
  I(n);
  AS("numbers[1499]", numbers[1499]);
  AS("words[2] == \"c\"", words[2] == "c");
  AS("words[1] != \"c\"", words[1] != "c");
  AS("words.size()", words.size());
  AS("none.empty()", none.empty());
  AS("squares.size()", squares.size());
  AS("squares[25]", squares[25]);
  AS("sizeof(bytes)", sizeof(bytes));
  printf("behind+1,3=[1, 2, 255]\nbytes[3],x=0x%x\n", bytes[3]);
  AS("triple[0]", std::get<0>(triple));
}
