// expect: a view cannot travel
#include <string_view>

#include "brood/arena/codec.hpp"

auto decoded = brood::decode_all<int, std::string_view>(brood::bytes());
