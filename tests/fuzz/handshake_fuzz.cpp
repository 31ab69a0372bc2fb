// libFuzzer target: the first byte chooses a game and how many bytes arrive at a time.
//   strangers: the rest is what the other side says. Nobody can be authenticated, as no input holds a MAC over our nonce.
//   a forger between two that know the key: the rest says which bytes on the wire to change. Each side is authenticated
//   exactly if no byte was changed up to then.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "channel/handshake.hpp"

using brood::detail::handshake;
using brood::detail::nonce;

namespace {

constexpr std::byte key[3] = {std::byte{'k'}, std::byte{'e'}, std::byte{'y'}};

void check(bool holds) {
  if (!holds) std::abort();
}

nonce nonce_of(std::uint8_t fill) {
  nonce result;
  result.fill(std::byte{fill});
  return result;
}

/// Gives `said` to `side`, a few bytes at a time, never more than it wants.
void say(handshake& side, std::span<const std::byte> said, std::size_t at_a_time) {
  while (!said.empty() && side.state() == handshake::status::waiting) {
    check(side.missing() > 0 && side.missing() <= handshake::longest_message);
    const std::size_t count = std::min({said.size(), at_a_time, side.missing()});
    check(side.feed(said.first(count)) == count);
    said = said.subspan(count);
  }
}

void play_stranger(handshake::role role, std::span<const std::byte> input, std::size_t at_a_time) {
  handshake side(role, key, nonce_of(1));
  std::size_t sent = side.take_output().size();
  say(side, input, at_a_time);
  sent += side.take_output().size();
  check(side.state() != handshake::status::authenticated);
  check(side.state() == handshake::status::waiting || !side.reason().empty());
  check(sent <= 2 * handshake::longest_message);
}

/// One message on the wire. `changes`: pairs of a place, counted over all that is sent, and what to xor the byte there
/// with. True if the message arrives as it was sent.
bool forge(std::vector<std::byte>& message, std::size_t first_place, std::span<const std::byte> changes) {
  const auto sent = message;
  for (std::size_t i = 0; i + 1 < changes.size(); i += 2) {
    const auto place = std::to_integer<std::size_t>(changes[i]);
    if (place >= first_place && place < first_place + message.size())
      message[place - first_place] ^= changes[i + 1];
  }
  return message == sent;
}

void play_forger(std::span<const std::byte> changes, std::size_t at_a_time) {
  handshake listener(handshake::role::listen, key, nonce_of(1));
  handshake connector(handshake::role::connect, key, nonce_of(2));
  auto hello = listener.take_output();
  bool honest = forge(hello, 0, changes);
  say(connector, hello, at_a_time);
  auto proof = connector.take_output();
  honest = forge(proof, hello.size(), changes) && honest;
  say(listener, proof, at_a_time);
  check((listener.state() == handshake::status::authenticated) == honest);
  auto verdict = listener.take_output();
  honest = forge(verdict, hello.size() + proof.size(), changes) && honest;
  say(connector, verdict, at_a_time);
  check((connector.state() == handshake::status::authenticated) == honest);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const std::size_t at_a_time = data[0] / 4 + 1;
  switch (data[0] % 4) {
    case 0:
      play_stranger(handshake::role::listen, input, at_a_time);
      break;
    case 1:
      play_stranger(handshake::role::connect, input, at_a_time);
      break;
    default:
      play_forger(input, at_a_time);
  }
  return 0;
}
