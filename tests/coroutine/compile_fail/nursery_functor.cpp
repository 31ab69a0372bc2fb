// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/coroutine/nursery.hpp"

struct body {
  std::string text;
  brood::task<> operator()(brood::nursery&) const { co_return; }
};

brood::task<> f(std::string text) { co_await brood::with_nursery(body{text}); }
