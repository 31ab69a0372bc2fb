// Those who mean a manager harm: before their authentication, and after it.
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "channel/authenticated_socket.hpp"
#include "channel/fd_waiter.hpp"
#include "channel/framing.hpp"
#include "channel/socket_address.hpp"
#include "manager/session.hpp"
#include "messages.hpp"
#include "scale.hpp"
#include "served.hpp"
#include "system/error.hpp"
#include "system/stream_socket.hpp"

using namespace std::chrono_literals;
using brood::address;
using brood::bytes;
using brood::manager;
using brood::task;
namespace sys = brood::sys;
using outcome = sys::stream_result::outcome;

namespace {

const char* const key = "a key of this test";

brood::unique_fd raw_connection(const address& where) {
  const sys::endpoint there = brood::detail::endpoint_of(where);
  brood::unique_fd socket = sys::stream_socket(there);
  const int code = sys::start_connect(socket.get(), there);
  if (code != 0 && code != EAGAIN && code != EINPROGRESS) sys::throw_errno("connect", code);
  return socket;
}

/// Waits until the other side ends the connection; gives how many bytes came before.
task<std::size_t> read_to_end(int socket) {
  brood::detail::fd_waiter waiter(socket);
  for (std::size_t all = 0;;) {
    std::byte space[4096];
    const auto got = sys::receive_some(socket, space);
    if (got.state == outcome::gone) co_return all;
    if (got.state == outcome::would_block) co_await waiter.wait(brood::fd_watch::readable);
    all += got.count;
  }
}

/// Says what is no handshake, stays, and gives how much it has been told.
task<std::size_t> intrude(address where, std::string said) {
  const auto socket = raw_connection(where);
  sys::send_some(socket.get(), std::as_bytes(std::span(said)));
  co_return co_await read_to_end(socket.get());
}

/// One after the other.
template <class Body>
task<> repeat(int count, Body body) {
  for (int i = 0; i < count; ++i) co_await body(i);
}

std::ptrdiff_t descriptors_of(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return std::distance(begin(all), end(all));
}

/// A client that is none of theirs: works until it is told to stop, and has every answer.
class bystander {
 public:
  explicit bystander(brood::managed::event e) : own_(std::move(e)) {}

  task<> work() {
    while (!stop) {
      co_await own_.set();
      co_await own_.is_set();
      ++calls;
    }
  }

  bool stop = false;
  int calls = 0;

 private:
  brood::managed::event own_;
};

}  // namespace

TEST_CASE(
    "a thousand wrong keys, truncated, oversized and slow handshakes get in nowhere and disturb nobody") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().key(key);
    const address where = m.address();
    const std::string hello("\x66\0\0\0brood\x01", 10);
    const int each = many(1000);
    int refused = 0;
    std::size_t told = 0;  // bytes, beyond a challenge
    int ended = 0;
    const auto count = [&](std::size_t came) {
      told = std::max(told, came);
      ++ended;
    };
    const auto wrong = [&](int) -> task<> {
      const std::string key_of_nobody = "wrong " + std::to_string(refused);
      const std::string error =
          co_await error_of(brood::detail::authenticated_socket(where, key_of_nobody, 60s));
      refused += error == "brood::authentication_error";
    };
    const auto truncated = [&](int i) -> task<> {
      const auto socket = raw_connection(where);
      const auto part = std::as_bytes(std::span(hello)).first(static_cast<std::size_t>(i) % hello.size());
      sys::send_some(socket.get(), part);
      ::shutdown(socket.get(), SHUT_WR);
      count(co_await read_to_end(socket.get()));
    };
    const auto oversized = [&](int i) -> task<> {
      const std::string lengths[] = {"\xff\xff\xff\xff", std::string("\x01\x04\0\0", 4),
                                     std::string("\0\0\1\0", 4)};
      count(co_await intrude(where, lengths[i % 3] + std::string(2000, 'x')));
    };
    const auto slow = [&](int i) -> task<> {
      count(co_await intrude(where, hello.substr(0, static_cast<std::size_t>(i) % hello.size())));
    };
    auto e = co_await m.event();
    const auto before = descriptors_of(m.pid());
    bystander good(e);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(good.work());
      co_await brood::with_nursery([&](brood::nursery& attack) -> task<> {
        // The slow ones all at once, the others a few at a time.
        for (int i = 0; i < each; ++i) attack.start(slow(i));
        for (int lane = 0; lane < 10; ++lane) {
          attack.start(repeat(each / 10, wrong));
          attack.start(repeat(each / 10, truncated));
          attack.start(repeat(each / 10, oversized));
        }
        const auto fresh = co_await brood::detail::authenticated_socket(where, key, 60s);
        CHECK(fresh);
      });
      good.stop = true;
    });
    CHECK(refused == each / 10 * 10);
    CHECK(ended == each + each / 10 * 20);
    CHECK(told <= 47);  // the challenge and the refusal: nothing that depends on the key
    CHECK(good.calls > 0);
    for (auto now = before + 1; now > before; now = descriptors_of(m.pid())) co_await e.is_set();
    const std::size_t objects = co_await m.objects();
    CHECK(objects == 1);
    co_await m.shutdown();
  });
}

TEST_CASE("an authenticated client that sends nonsense is dropped, alone") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().key(key).max_message(1 << 20);
    auto d = co_await m.dict<int, int>();
    const std::uint64_t too_large = (std::uint64_t{1} << 20) + 1;
    for (const std::uint64_t size : {std::uint64_t{1} << 40, too_large, std::uint64_t{0}, std::uint64_t{3}}) {
      auto socket = co_await brood::detail::authenticated_socket(m.address(), key, 10s);
      brood::bytes nonsense;
      const auto header = brood::detail::frame_header(size);
      nonsense.insert(nonsense.end(), header.begin(), header.end());
      nonsense.resize(nonsense.size() + 3, std::byte{0xee});
      sys::send_some(socket.get(), nonsense);
      co_await read_to_end(socket.get());
      co_await d.set(1, 1);
    }
    co_await m.shutdown();
  });
}

TEST_CASE("twenty thousand mutated requests: every answer is whole, and nothing is left") {
  brood::remote::space all({});
  remote_test::mutator random(20'240'501);
  std::vector<std::unique_ptr<brood::remote::session>> clients(4);
  int dropped = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto& client = clients[static_cast<std::size_t>(i) % clients.size()];
    if (!client || i % 1000 == 0) {
      client = std::make_unique<brood::remote::session>(all);
      for (const bytes& good : remote_test::good_requests()) {
        if (good.size() > 1 && good[1] == static_cast<std::byte>(brood::remote::operation::create))
          client->handle(good);
      }
    }
    try {
      client->handle(random.next());
    } catch (const brood::decode_error&) {
      client = nullptr;
      ++dropped;
    }
    for (const auto& each : clients) {
      if (!each) continue;
      const bytes out = std::exchange(each->out(), {});
      for (std::span<const std::byte> rest = out; !rest.empty();) {
        std::uint64_t size = 0;
        REQUIRE(rest.size() >= sizeof size);
        std::memcpy(&size, rest.data(), sizeof size);
        REQUIRE(size <= rest.size() - sizeof size);
        rest = rest.subspan(sizeof size + static_cast<std::size_t>(size));
      }
    }
  }
  clients.clear();
  all.end_loans(brood::clock::now() + 2min);
  CHECK(all.size() <= 3);  // those that got a name
  CHECK(dropped > 100);
}

TEST_CASE("twenty thousand mutated requests over connections disturb no other client") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().key(key);
    auto e = co_await m.event();
    bystander good(e);
    remote_test::mutator random(20'240'502);
    const int connections = many(200);
    const auto attack = [&](int) -> task<> {
      const auto socket = co_await brood::detail::authenticated_socket(m.address(), key, 60s);
      bytes burst;
      for (int i = 0; i < 100; ++i) {
        const bytes request = random.next();
        if (remote_test::asks_for_the_end(request)) continue;
        const auto header = brood::detail::frame_header(request.size());
        burst.insert(burst.end(), header.begin(), header.end());
        burst.insert(burst.end(), request.begin(), request.end());
      }
      sys::send_some(socket.get(), burst);
      ::shutdown(socket.get(), SHUT_WR);
      co_await read_to_end(socket.get());
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(good.work());
      co_await brood::with_nursery([&](brood::nursery& all) -> task<> {
        for (int lane = 0; lane < 4; ++lane) all.start(repeat(connections / 4, attack));
        co_return;
      });
      good.stop = true;
    });
    CHECK(good.calls > 0);
    co_await m.shutdown();
  });
}
