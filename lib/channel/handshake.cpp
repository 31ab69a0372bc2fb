#include "channel/handshake.hpp"

#include <fmt/core.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::detail {
namespace {

constexpr std::size_t length_size = 4;
constexpr std::array magic{std::byte{'b'}, std::byte{'r'}, std::byte{'o'}, std::byte{'o'}, std::byte{'d'}};
constexpr std::size_t greeting_size = magic.size() + 1 + sizeof(nonce);
constexpr std::size_t mac_size = 32;
constexpr std::byte accepted{1};

// Padded to one size; see the header.
constexpr char listen_label[16] = "brood listen";
constexpr char connect_label[16] = "brood connect";

std::size_t length_in(std::span<const std::byte> prefix) noexcept {
  std::size_t length = 0;
  for (std::size_t i = length_size; i-- > 0;) length = length << 8 | std::to_integer<std::size_t>(prefix[i]);
  return length;
}

}  // namespace

nonce fresh_nonce() {
  nonce result;
  // Up to 256 bytes come whole and uninterrupted once the system's generator is seeded, getrandom(2).
  if (sys::getrandom(result.data(), result.size()) != static_cast<ssize_t>(result.size()))
    sys::throw_errno("getrandom");
  return result;
}

handshake::handshake(role own, std::span<const std::byte> key, const nonce& own_nonce)
    : role_(own), key_(key), own_(own_nonce) {
  if (role_ == role::listen) {
    begin_message(greeting_size);
    send_greeting();
  }
}

std::size_t handshake::missing() const noexcept {
  if (arrived_ < length_size) return length_size - arrived_;
  return length_size + length_in(input_) - arrived_;
}

std::size_t handshake::feed(std::span<const std::byte> arrived) {
  std::size_t taken = 0;
  while (state_ == status::waiting && taken < arrived.size()) {
    const std::size_t count = std::min(missing(), arrived.size() - taken);
    std::memcpy(input_.data() + arrived_, arrived.data() + taken, count);
    taken += count;
    arrived_ += count;
    if (arrived_ == length_size && length_in(input_) > longest_message) {
      refuse("a message longer than any of the handshake");
    } else if (arrived_ >= length_size && missing() == 0) {
      message_arrived();
      arrived_ = 0;
    }
  }
  return taken;
}

std::vector<std::byte> handshake::take_output() { return std::exchange(output_, {}); }

void handshake::message_arrived() {
  if (role_ == role::listen) return read_proof();
  return greeted_ ? read_verdict() : read_hello();
}

/// What both sides begin with. The version is looked at before the size, which may be another in another version.
bool handshake::read_greeting(nonce& theirs) {
  const std::size_t size = arrived_ - length_size;
  const std::byte* message = input_.data() + length_size;
  if (size <= magic.size() || !std::equal(magic.begin(), magic.end(), message)) {
    refuse("the other side does not speak this protocol");
    return false;
  }
  const auto spoken = std::to_integer<std::uint8_t>(message[magic.size()]);
  if (spoken != version) {
    refuse(fmt::format("the other side speaks version {} of the protocol, this one version {}", spoken,
                       version));
    return false;
  }
  if (size != greeting_size + (role_ == role::listen ? mac_size : 0)) {
    refuse("a message of the wrong size");
    return false;
  }
  std::memcpy(theirs.data(), message + magic.size() + 1, theirs.size());
  return true;
}

void handshake::read_hello() {
  if (!read_greeting(theirs_)) return;
  greeted_ = true;
  begin_message(greeting_size + mac_size);
  send_greeting();
  send(proof_of(role::connect));
}

void handshake::read_proof() {
  if (!read_greeting(theirs_)) return;
  const mac expected = proof_of(role::connect);
  if (memeql_sec(expected.data(), input_.data() + length_size + greeting_size, mac_size) == 0) {
    return refuse("the other side has another key");
  }
  begin_message(1 + mac_size);
  send(std::span(&accepted, 1));
  send(proof_of(role::listen));
  state_ = status::authenticated;
}

void handshake::read_verdict() {
  const std::size_t size = arrived_ - length_size;
  const std::byte* message = input_.data() + length_size;
  if (size == 1 && message[0] != accepted) return refuse("the listener has another key");
  if (size != 1 + mac_size || message[0] != accepted) return refuse("a message of the wrong size");
  const mac expected = proof_of(role::listen);
  if (memeql_sec(expected.data(), message + 1, mac_size) == 0)
    return refuse("the listener does not know the key");
  state_ = status::authenticated;
}

handshake::mac handshake::proof_of(role side) const {
  const nonce& of_listener = role_ == role::listen ? own_ : theirs_;
  const nonce& of_connector = role_ == role::listen ? theirs_ : own_;
  std::array<std::byte, sizeof listen_label + 1 + 2 * sizeof(nonce)> text;
  std::byte* at = text.data();
  const auto append = [&at](const void* part, std::size_t size) {
    std::memcpy(at, part, size);
    at += size;
  };
  append(side == role::listen ? listen_label : connect_label, sizeof listen_label);
  append(&version, 1);
  append(of_listener.data(), of_listener.size());
  append(of_connector.data(), of_connector.size());

  const auto octets = [](const auto& range) { return reinterpret_cast<const std::uint8_t*>(range.data()); };
  hmac_sha256_ctx context;
  hmac_sha256_set_key(&context, key_.size(), octets(key_));
  hmac_sha256_update(&context, text.size(), octets(text));
  mac result;
  hmac_sha256_digest(&context, result.size(), reinterpret_cast<std::uint8_t*>(result.data()));
  return result;
}

void handshake::send_greeting() {
  constexpr std::byte spoken{version};
  send(magic);
  send(std::span(&spoken, 1));
  send(own_);
}

void handshake::send(std::span<const std::byte> part) {
  output_.insert(output_.end(), part.begin(), part.end());
}

void handshake::begin_message(std::size_t size) {
  for (std::size_t i = 0; i < length_size; ++i) output_.push_back(static_cast<std::byte>(size >> (8 * i)));
}

void handshake::refuse(std::string reason) {
  state_ = status::refused;
  reason_ = std::move(reason);
  if (role_ != role::listen) return;
  constexpr std::byte refused{0};
  begin_message(1);
  send(std::span(&refused, 1));
}

}  // namespace brood::detail
