// expect: an aggregate with a base class cannot travel by its fields
// expect: message

#include "brood/arena/codec.hpp"

struct base {
  int a;
};
struct message : base {
  int b;
};
auto encoded = brood::encode(message{});
