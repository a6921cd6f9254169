// The standard library: strings, containers, optional, smart pointers.
#include "show.h"
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

struct Person {
  std::string name;
  int age;
  std::vector<std::string> tags;
};

static size_t longest(const std::vector<std::string> &words, std::string_view prefix, std::string by_value) {
  size_t best = 0;
  for (const std::string &word : words) {
    if (word.size() > best && word.substr(0, prefix.size()) != prefix)
      best = word.size();
    AT(word); // #BP word
    STR(word), U(best), STR(words[0]);
    T(prefix, "\"pre\""), STR(by_value);
  }
  by_value += "!";
  AT(longest); // #BP longest
  STR(words[1]), U(best), T(prefix, "\"pre\""), STR(by_value);
  return best;
}

int main() {
  std::string small = "short", large = "a string that is too long for the object itself";
  std::vector<std::string> words = {small, large, "third"};
  size_t best = longest(words, "pre", "copied");
  std::vector<int> numbers;
  for (int i = 0; i < 5; i++)
    numbers.push_back(i * i);
  std::array<double, 3> fixed = {0.5, 1.5, 2.5};
  std::map<std::string, int> ages = {{"ann", 30}, {"bob", 40}};
  std::optional<int> some = 5, none;
  std::variant<int, std::string> either = std::string("text");
  auto unique = std::make_unique<Person>(Person{"Ada", 36, {"math", "engines"}});
  auto shared = std::make_shared<int>(77);
  std::pair<int, std::string> pair = {1, "one"};
  Person copy = *unique;
  copy.age++;
  AT(main); // #BP main
  STR(small), STR(large), STR(words[2]), U(best), I(numbers[4]), I(numbers[0]), F(fixed[1]), T(ages, "(2) {\"ann\": 30, \"bob\": 40}");
  T(some, "5"), T(none, "nullopt"), T(either, "\"text\""), STR(unique->name), I(unique->age), STR(unique->tags[1]), I(*shared);
  I(pair.first), STR(pair.second), STR(copy.name), I(copy.age), STR(copy.tags[0]);
  return 0;
}
