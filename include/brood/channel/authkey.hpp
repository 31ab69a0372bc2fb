// authkey: the secret by which the two sides of a connection know each other.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood {

/// The other side does not know the key, or does not speak this library's protocol.
class BROOD_API authentication_error : public error {
 public:
  explicit authentication_error(const std::string& wrong) : error("authentication failed: " + wrong) {}
};

/// Any bytes, but not none: an empty key would let everyone in and throws `std::invalid_argument`. Whoever can listen
/// on the wire can try out guesses, so let it be 32 random bytes rather than a word.
/// Lifetime: the bytes are overwritten when it is destroyed.
class BROOD_API authkey {
 public:
  /// The family's: `current_process().authkey()`. Throws `std::logic_error` without `brood::init`.
  /// (Defined with the processes, one storey up.)
  authkey();
  authkey(std::span<const std::byte> key) : bytes_(key.begin(), key.end()) { require_some(); }
  authkey(std::string_view key) : authkey(std::as_bytes(std::span(key))) {}
  authkey(const char* key) : authkey(std::string_view(key)) {}
  authkey(const std::vector<std::byte>& key) : authkey(std::span<const std::byte>(key)) {}
  authkey(const std::string& key) : authkey(std::string_view(key)) {}
  authkey(const authkey&) = default;
  authkey& operator=(const authkey& other);
  ~authkey();

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  void require_some() const;
  std::vector<std::byte> bytes_;
};

}  // namespace brood
