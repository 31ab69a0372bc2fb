// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/coroutine/generator.hpp"

struct job {
  std::string path;
};

brood::generator<job> f(std::string path) { co_yield job{path}; }
