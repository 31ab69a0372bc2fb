// address: what is taken and what is rejected (TestInvalidFamily, TestInvalidHandle).
#include "brood/channel/address.hpp"

#include <stdexcept>

#include "brood/channel/authkey.hpp"
#include "brood/process/current.hpp"
#include "catch.hpp"

using brood::address;

TEST_CASE("good addresses keep their text") {
  for (const char* text :
       {"unix:/run/x.sock", "unix:x.sock", "unix:@name", "unix:@with space/and:colon", "tcp:127.0.0.1:5000",
        "tcp:0.0.0.0:0", "tcp:[::1]:65535", "tcp:[2001:db8::1]:80", "tcp:localhost:1"}) {
    CHECK(address(text).text() == text);
    CHECK(address(text) == address(std::string(text)));
  }
  CHECK(address().text().empty());
  CHECK(address().type() == address::kind::chosen_by_listener);
  CHECK(address("tcp:[::1]:65535").name() == "::1");
  CHECK(address("tcp:[::1]:65535").port() == 65535);
  CHECK(address("unix:@x").type() == address::kind::unix_abstract);
}

TEST_CASE("bad addresses are rejected at once, with what is wrong with them") {
  const std::string zero("a\0b", 3);
  for (const std::string& text : {std::string(),
                                  std::string("unix"),
                                  std::string("unix:"),
                                  std::string("unix:@"),
                                  std::string("unix:folder/"),
                                  std::string("/run/x.sock"),
                                  std::string("UNIX:x"),
                                  std::string("tcp:"),
                                  std::string("tcp:127.0.0.1"),
                                  std::string("tcp:127.0.0.1:"),
                                  std::string("tcp:127.0.0.1:65536"),
                                  std::string("tcp:127.0.0.1:-1"),
                                  std::string("tcp:127.0.0.1:+1"),
                                  std::string("tcp:127.0.0.1: 1"),
                                  std::string("tcp:127.0.0.1:1x"),
                                  std::string("tcp:127.0.0.1:99999999999999999999"),
                                  std::string("tcp:127.0.0:1"),
                                  std::string("tcp:256.0.0.1:1"),
                                  std::string("tcp:::1:80"),
                                  std::string("tcp:[::1:80"),
                                  std::string("tcp:[]:80"),
                                  std::string("tcp:[127.0.0.1]:80"),
                                  std::string("tcp::80"),
                                  std::string("tcp:example.org:80"),
                                  std::string("udp:127.0.0.1:1"),
                                  "unix:" + zero,
                                  "unix:@" + zero,
                                  "tcp:" + zero + ":1",
                                  "unix:" + std::string(108, 'x'),
                                  "unix:@" + std::string(108, 'x'),
                                  std::string(1'000'000, 'x')}) {
    CHECK_THROWS_AS(address(text), std::invalid_argument);
  }
  CHECK_NOTHROW(address("unix:" + std::string(107, 'x')));
  CHECK_NOTHROW(address("unix:@" + std::string(107, 'x')));
  CHECK_THROWS_WITH(address("tcp:example.org:80"),
                    contains_text("example.org") && contains_text("localhost"));
}

TEST_CASE("local addresses") {
  for (const char* text :
       {"unix:x", "unix:@x", "tcp:127.0.0.1:1", "tcp:127.9.9.9:1", "tcp:[::1]:1", "tcp:localhost:1"}) {
    CHECK(address(text).is_local());
  }
  for (const char* text : {"tcp:0.0.0.0:1", "tcp:[::]:1", "tcp:192.168.0.1:1", "tcp:128.0.0.1:1"}) {
    CHECK_FALSE(address(text).is_local());
  }
}

TEST_CASE("addresses travel; bytes that are none do not") {
  for (const address& original : {address(), address("unix:@x"), address("tcp:[::1]:7")}) {
    CHECK(brood::decode<address>(brood::encode(original)) == original);
  }
  CHECK_THROWS_AS(brood::decode<address>(brood::encode(std::string("unix:"))), brood::decode_error);
}

TEST_CASE("test_empty_authkey: no key is no key") {
  CHECK_THROWS_AS(brood::authkey(""), std::invalid_argument);
  CHECK_THROWS_AS(brood::authkey(std::vector<std::byte>()), std::invalid_argument);
  const auto own = brood::current_process().authkey();
  const brood::authkey family_key;
  CHECK(std::equal(own.begin(), own.end(), family_key.bytes().begin(), family_key.bytes().end()));
}
