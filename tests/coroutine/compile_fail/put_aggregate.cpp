// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/task.hpp"

struct job {
  std::string path;
};
template <class U>
brood::task<> put(U&& value) {
  brood::detail::require_safe_temporary<U>();
  auto hold = [](job) -> brood::task<> { co_return; };
  return hold(std::forward<U>(value));
}

brood::task<> f(std::string path) { co_await put(job{.path = path}); }
