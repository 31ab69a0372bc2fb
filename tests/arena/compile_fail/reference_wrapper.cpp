// expect: a reference cannot travel
// expect: reference_wrapper<int>
#include <functional>
#include <vector>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::vector<std::reference_wrapper<int>>());
