// expect: a view cannot travel
// expect: string_view
#include <string_view>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::string_view("x"));
