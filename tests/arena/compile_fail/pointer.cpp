// expect: a pointer cannot travel
// expect-clang: cannot_travel<const char *
// expect-gcc: cannot_travel<const char*

#include "brood/arena/codec.hpp"

auto encoded = brood::encode("x", static_cast<const char*>("y"));
