// The operating system's errors as exceptions that name the call.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace brood::sys {

[[noreturn]] inline void throw_errno(const std::string& what, int code = errno) {
  throw std::system_error(code, std::system_category(), what);
}

}  // namespace brood::sys
