// expect: its dynamic type would be lost
// expect: unique_ptr<shape
#include <memory>

#include "brood/arena/codec.hpp"

struct shape {
  virtual ~shape() = default;
};
auto encoded = brood::encode(std::unique_ptr<shape>());
