// expect: it can be neither copied nor moved
// expect: mutex
#include <mutex>

#include "brood/arena/codec.hpp"

struct message {
  int number;
  std::mutex mutex;
};
void f(const message& m) { static_cast<void>(brood::encode(m)); }
