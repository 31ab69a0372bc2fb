#include "brood/channel/authkey.hpp"

#include <openssl/crypto.h>

#include <stdexcept>
#include <utility>

namespace brood {

authkey::~authkey() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

authkey& authkey::operator=(const authkey& other) {
  authkey copy(other);
  std::swap(bytes_, copy.bytes_);
  return *this;
}

void authkey::require_some() const {
  if (bytes_.empty()) throw std::invalid_argument("brood: an empty authentication key would let everyone in");
}

}  // namespace brood
