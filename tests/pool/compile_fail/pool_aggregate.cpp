// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/pool/pool.hpp"

struct job {
  std::string path;
};
int run(job) { return 0; }

brood::task<> f(brood::pool p, std::string path) { co_await p.apply<run>(job{.path = path}); }
