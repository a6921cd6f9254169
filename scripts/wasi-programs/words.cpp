// Counts words: streams, containers, formatting and algorithms of the C++ library, with exceptions off.
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

int main() {
  std::map<std::string, int> counts;
  std::string line;
  int lines = 0;
  while (std::getline(std::cin, line)) {
    lines++;
    std::istringstream words(line);
    for (std::string word; words >> word;) counts[word]++;
  }
  std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.second > b.second; });
  for (const auto &[word, count] : sorted) std::cout << std::setw(8) << count << ' ' << word << '\n';
  std::cout << lines << " lines, " << std::fixed << std::setprecision(3) << static_cast<double>(lines) / static_cast<double>(sorted.size()) << std::endl;
  std::cerr << "done" << std::endl;
  return std::cin.eof() ? 0 : 1;
}
