// expect: a union cannot travel

#include "brood/arena/codec.hpp"

union number {
  int i;
  float f;
};
struct message {
  number n;
};
auto encoded = brood::encode(message{});
