// expect: a function or callable object cannot travel
#include <functional>

#include "brood/arena/codec.hpp"

struct message {
  std::function<void()> on_end;
};
void f(const message& m) { static_cast<void>(brood::encode(m)); }
