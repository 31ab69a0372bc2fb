// libFuzzer target: requests of two clients to a manager's core, as they arrive behind the handshake. The input is a list of
// messages: a byte that says whose it is, two bytes of length, the message. Whatever they say, every answer is a whole
// frame, and when both are gone nothing but what has a name is left.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "brood/manager/manager.hpp"
#include "manager/session.hpp"

using namespace brood;
using remote::session;
using remote::space;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

class tally {
 public:
  explicit tally(int start) : sum_(start) {}
  int add(int n) { return sum_ = static_cast<int>(static_cast<unsigned>(sum_) + static_cast<unsigned>(n)); }
  std::string said(const std::string& text) { return text + text; }

 private:
  int sum_;
};

// Names that the corpus can hold.
const registered_class<tally, int> tally_name("tally");
const registered_method<tally, &tally::add> add_name("add");
const registered_method<tally, &tally::said> said_name("said");

void check_answers(session& s) {
  const bytes out = std::exchange(s.out(), {});
  for (std::span<const std::byte> rest = out; !rest.empty();) {
    check(rest.size() >= 10);
    std::uint64_t size = 0;
    std::memcpy(&size, rest.data(), sizeof size);
    check(size >= 2 && size <= rest.size() - 8);
    rest = rest.subspan(8 + static_cast<std::size_t>(size));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  space all({});
  std::unique_ptr<session> clients[2] = {std::make_unique<session>(all), std::make_unique<session>(all)};
  std::span rest(reinterpret_cast<const std::byte*>(data), size);
  while (rest.size() >= 3) {
    auto& whose = clients[std::to_integer<unsigned>(rest[0]) & 1];
    const std::size_t length = std::min(
        std::to_integer<std::size_t>(rest[1]) | std::to_integer<std::size_t>(rest[2]) << 8, rest.size() - 3);
    // Its own memory, so that the sanitizer sees a byte too many.
    const bytes message(rest.begin() + 3, rest.begin() + 3 + static_cast<std::ptrdiff_t>(length));
    rest = rest.subspan(3 + length);
    try {
      whose->handle(message);
    } catch (const decode_error&) {
      whose = std::make_unique<session>(all);  // dropped; another one connects
    }
    for (const auto& each : clients) check_answers(*each);
  }
  return 0;
}
