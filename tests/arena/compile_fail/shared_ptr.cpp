// expect: std::shared_ptr cannot travel
// expect: shared_ptr<int>
#include <memory>
#include <variant>

#include "brood/arena/codec.hpp"

auto encoded = brood::encode(std::variant<int, std::shared_ptr<int>>(1));
