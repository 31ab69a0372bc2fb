// expect: a function or callable object cannot travel

#include "brood/arena/codec.hpp"

void f(int x) {
  static_cast<void>(brood::encode([&x] { return x; }));
}
