// expect: a reference cannot travel
// expect: message

#include "brood/arena/codec.hpp"

struct message {
  int& number;
};
void f(const message& m) { static_cast<void>(brood::encode(m)); }
