// expect: a function or callable object cannot travel

#include "brood/arena/codec.hpp"

int f(int x) { return x; }
auto encoded = brood::encode(&f);
