// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/channel/queue.hpp"

struct job {
  std::string path;
};

brood::task<> f(brood::queue<job> q, std::string path) { co_await q.put(job{.path = path}); }
