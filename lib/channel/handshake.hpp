// The handshake that begins every connection between unrelated processes: each side proves that it knows the key,
// without showing it. Bytes in, bytes out; it touches no socket, so it can be fuzzed.
//
//   listener                                                     connecting side
//      ── hello    "brood" version nonce_l                       ──▶
//      ◀─ proof    "brood" version nonce_c MAC("connect", …)     ──
//      ── verdict  1 MAC("listen", …), or 0 and the end          ──▶
//
//   MAC(role, …) = HMAC-SHA-256(key, role padded to 16 bytes ‖ version ‖ nonce_l ‖ nonce_c)
//
// Every message has its length in front, 4 bytes, little-endian. The parts of what is authenticated have fixed sizes, so
// no two readings of it exist. A side's own nonce makes replays useless, the role makes reflections useless. The
// connecting side proves itself first: the listener answers strangers with nothing that depends on the key. There is one
// version and one algorithm and so nothing to negotiate down. It authenticates; it does not encrypt, and whoever can
// change bytes on the wire can change those that follow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace brood::detail {

using nonce = std::array<std::byte, 32>;

/// Random bytes of the system's. Throws `std::system_error`.
nonce fresh_nonce();

/// State machine: each side alternates between `waiting` for one message and sending the next; it ends in
/// `authenticated` or in `refused`, after which nothing is read any more.
class handshake {
 public:
  enum class role : std::uint8_t { listen, connect };
  enum class status : std::uint8_t { waiting, authenticated, refused };

  static constexpr std::uint8_t version = 1;
  static constexpr std::size_t longest_message = 1024;  // bytes, before authentication

  /// `key` must outlive this.
  handshake(role own, std::span<const std::byte> key, const nonce& own_nonce);

  /// How many bytes to receive, at most, so that none is taken that follows the handshake. Not 0 while `waiting`.
  std::size_t missing() const noexcept;
  /// Reads what has arrived; gives how many bytes of it that took.
  std::size_t feed(std::span<const std::byte> arrived);
  /// What is to be sent now; empty most of the time. To be sent also once `refused`, if the other side still listens.
  std::vector<std::byte> take_output();

  status state() const noexcept { return state_; }
  /// Why, once `refused`.
  const std::string& reason() const noexcept { return reason_; }

 private:
  using mac = std::array<std::byte, 32>;

  void message_arrived();
  void read_hello();
  void read_proof();
  void read_verdict();
  bool read_greeting(nonce& theirs);
  mac proof_of(role side) const;
  void send_greeting();
  void send(std::span<const std::byte> part);
  void begin_message(std::size_t size);
  void refuse(std::string reason);

  role role_;
  status state_ = status::waiting;
  bool greeted_ = false;  // connecting side: the hello has been answered
  std::span<const std::byte> key_;
  nonce own_;
  nonce theirs_{};
  std::array<std::byte, 4 + longest_message> input_{};
  std::size_t arrived_ = 0;  // bytes of the present message, its length included
  std::vector<std::byte> output_;
  std::string reason_;
};

}  // namespace brood::detail
