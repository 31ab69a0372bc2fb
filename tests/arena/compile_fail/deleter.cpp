// expect: with a deleter of its own cannot travel
#include <cstdio>
#include <memory>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::unique_ptr<std::FILE, int (*)(std::FILE*)>(nullptr, nullptr));
