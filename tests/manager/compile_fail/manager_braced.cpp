// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/manager/manager.hpp"

struct job {
  std::string path;
};

brood::task<> f(brood::managed::queue<job> q, std::string path) { co_await q.put({path}); }
