// expect: GCC 12 destroys an aggregate temporary in a co_await expression twice
#include <string>

#include "brood/channel/pipe.hpp"

struct job {
  std::string path;
};

brood::task<> f(brood::sender<job> to, std::string path) { co_await to.send({path}); }
