#include "service/listening.hpp"

#include <stdexcept>
#include <string>

#include "channel/socket_address.hpp"
#include "system/descriptor.hpp"
#include "system/stream_socket.hpp"

namespace brood::detail {

listening_socket::listening_socket(const listen_request& asked) : where_(asked.where), name_(asked.name) {
  if (where_.type() == address::kind::chosen_by_listener)
    throw std::invalid_argument("brood: a service listens at an address of its own: give one to `.listen`");
  const sys::endpoint there = endpoint_of(where_);
  fd_ = sys::stream_socket(there);
  if (where_.type() == address::kind::unix_path) {
    file_ = sys::socket_file(fd_.get(), where_.name());
    return;
  }
  sys::listen_at(fd_.get(), there, where_.text());
  if (where_.type() != address::kind::tcp || where_.port() != 0) return;
  std::string text = where_.text();
  text.replace(text.rfind(':') + 1, std::string::npos, std::to_string(sys::bound_port(fd_.get())));
  where_ = address(text);
}

void listening_socket::set_blocking(bool yes) const { sys::set_nonblocking(fd_.get(), !yes); }

shared_listener listening_socket::shared() {
  if (!shared_) shared_ = shared_fd::copy_of(fd_.get());
  return {name_, shared_};
}

std::vector<shared_listener>& listeners_of_process() noexcept {
  static std::vector<shared_listener> given;
  return given;
}

std::shared_ptr<listening_socket> open_listening_socket(const listen_request& asked) {
  return std::make_shared<listening_socket>(asked);
}

}  // namespace brood::detail
