// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/manager/manager.hpp"

struct job {
  std::string path;
};

brood::task<> f(brood::managed::dict<int, job> d, std::string path) { co_await d.set(1, job{.path = path}); }
