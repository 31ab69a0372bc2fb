// expect: the number of arguments is not the function's
#include <brood/pool/pool.hpp>

#include <tuple>

int add(int a, int b) { return a + b; }

brood::task<> app(brood::pool pool) {
  std::vector<std::tuple<int, int, int>> items{{1, 2, 3}};
  co_await pool.starmap<add>(items);
}
