// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <chrono>
#include <string>

#include "brood/coroutine/with_timeout.hpp"

struct operation {
  std::string text;
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  void await_resume() const {}
};

brood::task<> f() { co_await brood::with_timeout(std::chrono::seconds(1), operation{"x"}); }
