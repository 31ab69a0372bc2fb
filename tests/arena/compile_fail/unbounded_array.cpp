// expect: an array of unknown size cannot travel
#include <memory>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::unique_ptr<int[]>());
