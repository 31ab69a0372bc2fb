// expect: a pointer cannot travel

#include "brood/arena/codec.hpp"

auto decoded = brood::decode<int*>(brood::bytes());
