// A listening socket, opened once for all instances of a service.
#pragma once

#include <string>
#include <vector>

#include "brood/service/detail/listening.hpp"
#include "brood/system/unique_fd.hpp"
#include "system/socket_file.hpp"

namespace brood::detail {

class listening_socket {
 public:
  explicit listening_socket(const listen_request& asked);

  int fd() const noexcept { return fd_.get(); }
  /// With the real port, where 0 was asked for.
  const address& where() const noexcept { return where_; }
  const std::string& name() const noexcept { return name_; }
  /// Programs expect to wait in accept(2), functions not to. Both share the setting, as they share the socket.
  void set_blocking(bool yes) const;
  /// For functions: one for all instances.
  shared_listener shared();

 private:
  unique_fd fd_;
  sys::socket_file file_;
  address where_;
  std::string name_;
  shared_fd shared_;
};

/// In a function's instance: those it was given. One list a process.
std::vector<shared_listener>& listeners_of_process() noexcept;

}  // namespace brood::detail
