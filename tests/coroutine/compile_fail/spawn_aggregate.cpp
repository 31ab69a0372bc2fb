// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/process/spawn.hpp"

struct job {
  std::string path;
};
void work(job) {}

brood::task<> f(std::string path) { co_await brood::spawn<work>(job{.path = path}).name("worker"); }
