// expect: GCC 12 destroys a lambda with owning captures in a co_await expression twice
#include <string>
#include <vector>

#include "brood/pool/pool.hpp"

int twice(int x) { return 2 * x; }

brood::task<> f(brood::pool p, std::vector<int> items, std::string text) {
  co_await p.map<twice>(items).progress([text](std::uint64_t, std::uint64_t) {});
}
