// The connecting side of a connection between unrelated processes.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "brood/channel/listener.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "channel/authenticated_socket.hpp"
#include "channel/fd_waiter.hpp"
#include "channel/handshake.hpp"
#include "channel/socket_address.hpp"
#include "channel/socket_channel.hpp"
#include "system/error.hpp"
#include "system/stream_socket.hpp"

namespace brood::detail {
namespace {

using outcome = sys::stream_result::outcome;
using namespace std::chrono_literals;

constexpr int most_tries = 5;

/// The listener's queue is full, or it is still being started or restarted. Nothing tells when it is not, connect(2).
bool may_change(int code, absent_listener absent) noexcept {
  if (code == EAGAIN) return true;
  return absent == absent_listener::awaited && (code == ECONNREFUSED || code == ENOENT);
}

/// `refusal`: the errno of the last try, while another one is waited for.
task<unique_fd> connected_socket(const address& where, absent_listener absent, int& refusal) {
  const sys::endpoint there = endpoint_of(where);
  for (clock::duration wait = 1ms;; wait = std::min<clock::duration>(2 * wait, 64ms)) {
    unique_fd socket = sys::stream_socket(there);
    int code = sys::start_connect(socket.get(), there);
    if (code == EINPROGRESS) {
      fd_waiter waiter(socket.get());
      co_await waiter.wait(fd_watch::writable);
      code = sys::pending_error(socket.get());
    }
    refusal = code;
    if (code == 0) {
      sys::tune(socket.get());
      co_return socket;
    }
    if (!may_change(code, absent)) sys::throw_errno("connect " + where.text(), code);
    co_await sleep_for(wait);
  }
}

/// Authenticates both sides; false if the listener dropped the connection without a word, as it does with clients that
/// are slow while it has many.
task<bool> authenticate(int socket, const authkey& key) {
  handshake talk(handshake::role::connect, key.bytes(), fresh_nonce());
  fd_waiter waiter(socket);
  while (talk.state() == handshake::status::waiting) {
    std::byte space[256];
    const auto got =
        sys::receive_some(socket, std::span(space).first(std::min(talk.missing(), sizeof space)));
    if (got.state == outcome::gone) co_return false;
    if (got.state == outcome::would_block) {
      co_await waiter.wait(fd_watch::readable);
      continue;
    }
    talk.feed(std::span(space).first(got.count));
    const std::vector<std::byte> answer = talk.take_output();
    for (std::span<const std::byte> rest = answer; !rest.empty();) {
      const auto sent = sys::send_some(socket, rest);
      if (sent.state == outcome::gone) co_return false;
      if (sent.state == outcome::would_block) co_await waiter.wait(fd_watch::writable);
      rest = rest.subspan(sent.count);
    }
  }
  if (talk.state() == handshake::status::refused) throw authentication_error(talk.reason());
  co_return true;
}

task<unique_fd> connect_and_authenticate(const address& where, const authkey& key, absent_listener absent,
                                         int& refusal) {
  auto wait = 10ms;
  for (int tries = 1;; ++tries, wait *= 2) {
    unique_fd socket = co_await connected_socket(where, absent, refusal);
    const bool authenticated = co_await authenticate(socket.get(), key);
    if (authenticated) co_return socket;
    if (tries == most_tries) break;
    socket.reset();
    co_await sleep_for(wait);  // one that is closing down refuses the next try
  }
  throw closed("the listener at " + where.text() + " ends every connection before its authentication");
}

}  // namespace

task<unique_fd> authenticated_socket(address where, authkey key, std::chrono::nanoseconds deadline,
                                     absent_listener absent) {
  if (where.type() == address::kind::chosen_by_listener) {
    throw std::invalid_argument("brood: connect needs the address that the listener has chosen");
  }
  int refusal = 0;
  try {
    auto connecting = connect_and_authenticate(where, key, absent, refusal);
    co_return co_await with_timeout(deadline, std::move(connecting));
  } catch (const timed_out&) {
    if (refusal == 0 || refusal == EAGAIN) throw;  // somebody listens there
    sys::throw_errno("connect " + where.text(), refusal);
  }
}

task<std::shared_ptr<message_channel>> connect(address where, authkey key, std::uint64_t max_message,
                                               std::chrono::nanoseconds deadline) {
  unique_fd socket = co_await authenticated_socket(std::move(where), std::move(key), deadline);
  co_return std::make_shared<socket_channel>(std::move(socket), max_message);
}

}  // namespace brood::detail
