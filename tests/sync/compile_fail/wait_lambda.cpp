// expect: GCC 12 destroys a lambda with owning captures in a co_await expression twice
#include <string>

#include "brood/sync/condition.hpp"

brood::task<> f(brood::condition c, brood::lock_guard& held, std::string text) {
  co_await c.wait(held, [text] { return !text.empty(); });
}
