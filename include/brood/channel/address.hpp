// address: where a listener listens, written as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "brood/arena/codec.hpp"
#include "brood/export.hpp"

namespace brood {

/// Where a listener is found, as text. One of
/// - `unix:/run/user/1000/x.sock`: a socket file; relative paths too
/// - `unix:@name`: an abstract Unix name (unix(7)): no file, but any local user may connect
/// - `tcp:127.0.0.1:5000`: an IPv4 address; `tcp:[::1]:5000` an IPv6 address; `tcp:localhost:5000` is 127.0.0.1
///
/// Names of hosts are not looked up. Port 0, and an address made by default, let the listener choose; ask its
/// `address()` then. A value; it can travel in messages.
class BROOD_API address {
 public:
  enum class kind : std::uint8_t { chosen_by_listener, unix_path, unix_abstract, tcp };

  /// A socket file in a new folder that only this user can enter; listener and folder end together.
  address() = default;
  /// Throws `std::invalid_argument`, with the text and what is wrong with it.
  address(std::string_view text);
  address(const std::string& text) : address(std::string_view(text)) {}
  address(const char* text) : address(std::string_view(text)) {}

  kind type() const noexcept { return kind_; }
  /// The path, the name without its '@', or the host as it was written, without brackets.
  const std::string& name() const noexcept { return name_; }
  std::uint16_t port() const noexcept { return port_; }
  /// Does nothing that is sent there leave this machine?
  bool is_local() const noexcept;
  /// What the constructor took; empty if made by default.
  std::string text() const;

  friend bool operator==(const address&, const address&) = default;

  template <class Archive>
  void save(Archive& archive) const {
    archive(text());
  }
  template <class Archive>
  void load(Archive& archive) {
    std::string written;
    archive(written);
    *this = from_message(written);
  }

 private:
  static address from_message(const std::string& text);

  kind kind_ = kind::chosen_by_listener;
  std::string name_;
  std::uint16_t port_ = 0;
};

}  // namespace brood
