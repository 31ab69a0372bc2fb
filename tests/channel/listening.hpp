// What the tests of listener and connect share: addresses, good clients, and clients that speak no protocol of ours.
// Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.
#pragma once

#include "brood/channel/listener.hpp"

#include <sys/stat.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/runtime/stream.hpp"
#include "catch.hpp"
#include "channel/framing.hpp"
#include "channel/handshake.hpp"
#include "channel/socket_address.hpp"
#include "run_clean.hpp"
#include "scale.hpp"
#include "system/error.hpp"

using namespace std::chrono_literals;
using brood::address;
using brood::authkey;
using brood::connect;
using brood::listener;
using brood::task;

using text_connection = brood::connection<std::string, std::string>;

namespace listening {

const char* const key = "a key of this test";

/// A folder for socket files, which must be empty again at the end.
struct folder {
  folder() {
    std::string name = std::filesystem::temp_directory_path() / "listener_test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) brood::sys::throw_errno("mkdtemp");
    path = name;
  }
  ~folder() {
    CHECK(std::filesystem::is_empty(path));
    std::filesystem::remove_all(path);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  address at(const std::string& name) const { return "unix:" + (path / name).string(); }
  std::filesystem::path path;
};

inline std::string abstract_name() { return "unix:@brood-listener-test-" + std::to_string(getpid()); }

/// One address of each kind.
inline std::vector<address> every_kind(const folder& f) {
  return {f.at("socket"), address(abstract_name()), address("tcp:127.0.0.1:0"), address("tcp:localhost:0"),
          address()};
}

inline task<text_connection> accept_text(const listener& l) {
  auto c = co_await l.accept<std::string, std::string>();
  co_return c;
}

inline task<text_connection> connect_text(const listener& l) {
  auto c = co_await connect<std::string, std::string>(l.address(), key);
  co_return c;
}

struct two_ends {
  text_connection accepted;
  text_connection connected;
};

inline task<two_ends> both_ends(const listener& l) {
  auto accepting = accept_text(l);
  auto connecting = connect_text(l);
  auto [a, b] = co_await brood::when_all(std::move(accepting), std::move(connecting));
  two_ends ends;
  ends.accepted = std::move(a);
  ends.connected = std::move(b);
  co_return ends;
}

/// A client that speaks no protocol of ours.
inline brood::unique_fd raw_client(const address& where) {
  const auto there = brood::detail::endpoint_of(where);
  brood::unique_fd socket = brood::sys::stream_socket(there);
  const int code = brood::sys::start_connect(socket.get(), there);
  if (code != 0 && code != EINPROGRESS) brood::sys::throw_errno("connect", code);
  return socket;
}

inline task<> say(brood::unique_fd& socket, std::string words) {
  brood::writer out(brood::unique_fd(dup(socket.get())));
  co_await out.write(std::move(words));
}

/// Waits for the listener to end the connection; what it said before.
inline task<std::string> read_to_end(brood::unique_fd socket) {
  brood::reader in(std::move(socket));
  std::string said;
  for (;;) {
    std::string part;
    try {
      part = co_await in.read();
    } catch (const std::system_error&) {  // it left words of ours unread
    }
    if (part.empty()) co_return said;
    said += part;
  }
}

inline task<> exchange(const two_ends& ends) {
  const std::string there = "there";
  const std::string back = "back";
  co_await ends.connected.send(there);
  {
    const auto got = co_await ends.accepted.recv();
    CHECK(got == there);
  }
  co_await ends.accepted.send(back);
  {
    const auto got = co_await ends.connected.recv();
    CHECK(got == back);
  }
}

inline task<> exchange_with_a_good_client(const listener& l) {
  const two_ends ends = co_await both_ends(l);
  co_await exchange(ends);
}

inline task<> accept_and_drop(const listener& l) { co_await l.accept<int, int>(); }

template <class Error>
task<bool> accept_throws(const listener& l) {
  try {
    co_await l.accept<int, int>();
  } catch (const Error&) {
    co_return true;
  }
  co_return false;
}

/// The exception that connecting ends with.
inline task<std::exception_ptr> connect_failure(address where, authkey with,
                                                std::chrono::milliseconds deadline = 5s) {
  try {
    co_await connect<int, int>(where, with).deadline(deadline);
  } catch (...) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

inline int errno_of(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const std::system_error& e) {
    return e.code().value();
  } catch (...) {
  }
  return 0;
}

inline bool is_authentication_error(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const brood::authentication_error&) {
    return true;
  } catch (...) {
  }
  return false;
}

inline int errno_of_listening(const address& where) {
  try {
    const listener l(where, key);
  } catch (const std::system_error& e) {
    return e.code().value();
  }
  return 0;
}

inline std::string text_of(std::span<const std::byte> all) {
  return std::string(reinterpret_cast<const char*>(all.data()), all.size());
}

/// A client that knows the key and then does as it likes.
inline task<brood::unique_fd> authenticated_raw_client(const listener& l) {
  const authkey shared(key);
  brood::detail::handshake talk(brood::detail::handshake::role::connect, shared.bytes(),
                                brood::detail::fresh_nonce());
  brood::unique_fd socket = raw_client(l.address());
  brood::reader in(brood::unique_fd(dup(socket.get())));
  while (talk.state() == brood::detail::handshake::status::waiting) {
    const std::string heard = co_await in.read(talk.missing());
    talk.feed(std::as_bytes(std::span(heard)));
    const auto answer = talk.take_output();
    co_await say(socket, text_of(answer));
  }
  CHECK(talk.state() == brood::detail::handshake::status::authenticated);
  co_return socket;
}

inline std::string encoded(const std::string& value) { return text_of(brood::encode(value)); }
inline std::string frame(const std::string& message) {
  return text_of(brood::detail::frame_header(message.size())) + message;
}

inline std::string peer_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "channel" / "programs" /
         "socket_peer";
}

}  // namespace listening

using namespace listening;
