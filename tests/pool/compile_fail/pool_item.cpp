// expect: an item does not convert to the function's parameter
#include <brood/pool/pool.hpp>

#include <string>

int square(int x) { return x * x; }

brood::task<> app(brood::pool pool) {
  std::vector<std::string> items{"one"};
  co_await pool.map<square>(items);
}
