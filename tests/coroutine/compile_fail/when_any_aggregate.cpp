// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_any.hpp"

struct operation {
  std::string text;
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  void await_resume() const {}
};

brood::task<> f() { co_await brood::when_any(brood::yield(), operation{"x"}); }
