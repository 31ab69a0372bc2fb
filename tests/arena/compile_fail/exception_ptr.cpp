// expect: std::exception_ptr cannot travel
#include <exception>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::exception_ptr());
