// expect: an iterator cannot travel
#include <map>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::map<int, int>().begin());
