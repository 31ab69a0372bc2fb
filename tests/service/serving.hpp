// Clients for the tests of services that listen: requests one after the other, and what became of each.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

#include "brood/channel/address.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/stream.hpp"
#include "channel/socket_address.hpp"
#include "system/stream_socket.hpp"

struct load_result {
  int answered = 0;
  int refused = 0;
  int cut_off = 0;
  std::string last;
};

/// One request over a connection of its own. Throws `std::system_error` if that is refused.
inline brood::task<std::string> ask(brood::address where) {
  const auto there = brood::detail::endpoint_of(where);
  brood::unique_fd socket = brood::sys::stream_socket(there);
  int error = brood::sys::start_connect(socket.get(), there);
  if (error == EINPROGRESS) {
    co_await brood::poll(socket.get(), brood::fd_watch::writable);
    error = brood::sys::pending_error(socket.get());
  }
  if (error != 0) throw std::system_error(error, std::system_category(), "connect");
  brood::unique_fd copy(::dup(socket.get()));
  brood::writer to(std::move(copy));
  brood::reader from(std::move(socket));
  co_await to.write("GET / HTTP/1.0\r\n\r\n");
  co_return co_await from.read_all();
}

/// Asks until `enough` says so.
template <class Enough>
brood::task<> load(brood::address where, load_result& result, Enough enough) {
  while (!enough()) {
    try {
      std::string answer = co_await ask(where);
      ++(answer.empty() ? result.cut_off : result.answered);
      result.last = std::move(answer);
    } catch (const std::system_error& e) {
      ++(e.code().value() == ECONNREFUSED ? result.refused : result.cut_off);
    } catch (const brood::closed&) {
      ++result.cut_off;
    }
  }
}
