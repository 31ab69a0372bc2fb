// expect: GCC 12 destroys a lambda with owning captures in a co_await expression twice
#include <string>

#include "brood/manager/manager.hpp"

brood::task<> f(brood::managed::condition c, brood::managed::lock_guard& held, std::string text) {
  co_await c.wait(held, [text] { return !text.empty(); });
}
