// expect: GCC 12 destroys a lambda with owning captures in a co_await expression twice
#include <string>

#include "brood/coroutine/task.hpp"
#include "brood/sync/barrier.hpp"

brood::task<> f(brood::barrier b, std::string text) {
  co_await b.arrive([text]() mutable { text.clear(); });
}
