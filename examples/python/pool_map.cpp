// The squares of 1 to 5, computed by the workers of a pool.
#include <fmt/ranges.h>

#include <brood/brood.hpp>
#include <vector>

int square(int x) { return x * x; }

brood::task<> app() {
  auto pool = co_await brood::pool::open(4);
  const std::vector<int> numbers{1, 2, 3, 4, 5};
  fmt::print("{}\n", co_await pool.map<square>(numbers));
  co_await pool.close();
}

int main(int argc, char** argv) { return brood::run(argc, argv, app); }
