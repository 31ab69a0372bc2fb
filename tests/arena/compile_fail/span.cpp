// expect: a view cannot travel
// expect: span<int
#include <span>
#include <tuple>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::tuple(1, std::span<int>()));
