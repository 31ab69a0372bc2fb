// expect: it holds an address that means nothing in another process
// expect: error_code
#include <system_error>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::error_code());
