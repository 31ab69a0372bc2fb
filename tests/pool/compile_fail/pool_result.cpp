// expect: std::shared_ptr cannot travel
#include <brood/pool/pool.hpp>

#include <memory>

std::shared_ptr<int> share(int value) { return std::make_shared<int>(value); }

brood::task<> app(brood::pool pool) {
  std::vector<int> items{1, 2};
  co_await pool.map<share>(items);
}
