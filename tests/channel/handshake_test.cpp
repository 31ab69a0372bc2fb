// The handshake and the cutting into messages, without sockets (ChallengeResponseTest, test_answer_challenge_auth_failure).
#include "channel/handshake.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "brood/arena/codec.hpp"
#include "catch.hpp"
#include "channel/framing.hpp"

using namespace brood;
using detail::frame_header;
using detail::frame_reader;
using detail::fresh_nonce;
using detail::handshake;
using role = handshake::role;
using status = handshake::status;

namespace {

using message = std::vector<std::byte>;

message key_of(const std::string& text) {
  const auto all = std::as_bytes(std::span(text));
  return message(all.begin(), all.end());
}

/// Both sides' outputs to each other until nobody says anything more.
void converse(handshake& a, handshake& b) {
  for (;;) {
    const auto to_b = a.take_output();
    const auto to_a = b.take_output();
    if (to_a.empty() && to_b.empty()) return;
    CHECK(b.feed(to_b) == to_b.size());
    CHECK(a.feed(to_a) == to_a.size());
  }
}

message with_length(message body) {
  message whole;
  for (std::size_t i = 0; i < 4; ++i) whole.push_back(static_cast<std::byte>(body.size() >> (8 * i)));
  whole.insert(whole.end(), body.begin(), body.end());
  return whole;
}

}  // namespace

TEST_CASE("both sides with one key authenticate each other, however the bytes arrive") {
  const auto key = key_of("secret");
  handshake listener(role::listen, key, fresh_nonce());
  handshake connector(role::connect, key, fresh_nonce());
  for (const std::byte b : listener.take_output()) CHECK(connector.feed(std::span(&b, 1)) == 1);
  for (const std::byte b : connector.take_output()) CHECK(listener.feed(std::span(&b, 1)) == 1);
  CHECK(listener.state() == status::authenticated);
  CHECK(connector.state() == status::waiting);
  const auto verdict = listener.take_output();
  CHECK(connector.feed(verdict) == verdict.size());
  CHECK(connector.state() == status::authenticated);
  CHECK(listener.take_output().empty());
  CHECK(connector.take_output().empty());
}

TEST_CASE("another key: both sides refuse") {
  for (const char* other : {"secret2", "secre", "x"}) {
    const auto key = key_of("secret");
    const auto other_key = key_of(other);
    handshake listener(role::listen, key, fresh_nonce());
    handshake connector(role::connect, other_key, fresh_nonce());
    converse(listener, connector);
    CHECK(listener.state() == status::refused);
    CHECK(connector.state() == status::refused);
    CHECK(connector.reason() == "the listener has another key");
  }
}

TEST_CASE("a listener that does not know the key cannot pass itself off") {
  const auto key = key_of("secret");
  handshake listener(role::listen, key, fresh_nonce());
  handshake connector(role::connect, key, fresh_nonce());
  connector.feed(listener.take_output());
  connector.take_output();
  message verdict(33, std::byte{7});
  verdict[0] = std::byte{1};
  connector.feed(with_length(verdict));
  CHECK(connector.state() == status::refused);
}

TEST_CASE("a reflected or replayed proof is of no use") {
  const auto key = key_of("secret");
  handshake listener(role::listen, key, fresh_nonce());
  handshake connector(role::connect, key, fresh_nonce());
  connector.feed(listener.take_output());
  const auto proof = connector.take_output();

  // To another listener, with another nonce.
  handshake second(role::listen, key, fresh_nonce());
  second.take_output();
  second.feed(proof);
  CHECK(second.state() == status::refused);

  // Its own MAC back, as if it were the listener's.
  message verdict(proof.end() - 32, proof.end());
  verdict.insert(verdict.begin(), std::byte{1});
  connector.feed(with_length(verdict));
  CHECK(connector.state() == status::refused);
}

TEST_CASE("messages that are too long, too short or of another protocol") {
  const auto key = key_of("secret");
  const auto refused = [&key](role side, const message& said) {
    handshake h(side, key, fresh_nonce());
    h.feed(said);
    return h.state() == status::refused;
  };
  const auto text = [](const std::string& s) { return key_of(s); };
  for (const role side : {role::listen, role::connect}) {
    CHECK(refused(side, text("GET / HTTP/1.1\r\n\r\n")));
    CHECK(refused(side,
                  text(std::string("\x01\x04\0\0", 4))));  // 1025 bytes announced: refused before they come
    CHECK(refused(side, text("\xff\xff\xff\xff")));
    CHECK(refused(side, with_length({})));
    CHECK(refused(side, with_length(text("brood"))));
    CHECK(refused(side, with_length(text("brood\x01"))));
    CHECK(refused(side, with_length(text("brood\x02" + std::string(32, 'n')))));
    CHECK(refused(side, with_length(text("brood\x01" + std::string(31, 'n')))));
    CHECK(refused(side, with_length(text("brood\x01" + std::string(65, 'n')))));
    CHECK(refused(side, with_length(message(1024))));
    CHECK_FALSE(refused(side, text(std::string("\0\x04\0\0", 4))));
  }
}

TEST_CASE("a refused side reads no more, and an authenticated one takes nothing that follows") {
  const auto key = key_of("secret");
  handshake refused(role::listen, key, fresh_nonce());
  refused.feed(key_of("\xff\xff\xff\xff"));
  CHECK(refused.feed(key_of("more")) == 0);

  handshake listener(role::listen, key, fresh_nonce());
  handshake connector(role::connect, key, fresh_nonce());
  connector.feed(listener.take_output());
  auto proof = connector.take_output();
  const std::size_t size = proof.size();
  proof.resize(size + 10);
  CHECK(listener.feed(proof) == size);
  CHECK(listener.state() == status::authenticated);
}

namespace {

/// As `bytes` arrive, at most `at_a_time` of them.
std::vector<message> cut(const message& stream, std::uint64_t longest, std::size_t at_a_time) {
  frame_reader reader(longest);
  std::vector<message> found;
  for (std::size_t fed = 0;;) {
    while (auto next = reader.next()) found.push_back(std::move(*next));
    if (fed == stream.size()) return found;
    const auto space = reader.space();
    const std::size_t count = std::min({space.size(), at_a_time, stream.size() - fed});
    std::memcpy(space.data(), stream.data() + fed, count);
    reader.filled(count);
    fed += count;
  }
}

}  // namespace

TEST_CASE("messages are never merged or split, whatever their sizes and however they arrive") {
  std::vector<message> sent;
  message stream;
  for (const std::size_t size :
       {0u, 1u, 7u, 8u, 0u, 65'527u, 65'528u, 65'529u, 65'536u, 200'000u, 3u, 1'000'000u, 0u}) {
    sent.emplace_back(size, static_cast<std::byte>(size % 251));
    const auto header = frame_header(size);
    stream.insert(stream.end(), header.begin(), header.end());
    stream.insert(stream.end(), sent.back().begin(), sent.back().end());
  }
  for (const std::size_t at_a_time : {1u, 9u, 1000u, 65'536u, 10'000'000u}) {
    CHECK((cut(stream, 1'000'000, at_a_time) == sent));
  }
}

TEST_CASE(
    "a length above the limit is a decode_error, now and ever after; one within it costs what has arrived") {
  frame_reader reader(1000);
  auto header = frame_header(1001);
  auto space = reader.space();
  std::copy(header.begin(), header.end(), space.begin());
  reader.filled(header.size());
  CHECK(reader.has_next());
  CHECK_THROWS_AS(reader.next(), decode_error);
  CHECK_THROWS_AS(reader.next(), decode_error);

  frame_reader trusting(~std::uint64_t{0});
  header = frame_header(~std::uint64_t{0});
  space = trusting.space();
  std::copy(header.begin(), header.end(), space.begin());
  trusting.filled(header.size());
  for (std::size_t arrived = 0; arrived < 1'000'000;) {
    CHECK_FALSE(trusting.has_next());
    const auto next = trusting.space();
    REQUIRE_FALSE(next.empty());
    REQUIRE(next.size() <= 65'536 + arrived);
    trusting.filled(next.size());
    arrived += next.size();
  }
}
