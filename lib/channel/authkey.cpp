#include "brood/channel/authkey.hpp"

#include <string.h>

#include <stdexcept>
#include <utility>

namespace brood {

authkey::~authkey() { explicit_bzero(bytes_.data(), bytes_.size()); }

authkey& authkey::operator=(const authkey& other) {
  authkey copy(other);
  std::swap(bytes_, copy.bytes_);
  return *this;
}

void authkey::require_some() const {
  if (bytes_.empty()) throw std::invalid_argument("brood: an empty authentication key would let everyone in");
}

}  // namespace brood
