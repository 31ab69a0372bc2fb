#include "system/execute.hpp"

#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>

#include "system/calls.hpp"
#include "system/fail_point.hpp"
#include "system/signals.hpp"

namespace brood::sys {
namespace {

std::string path_of_image = "/proc/self/exe";

/// In the caller's memory until execve: it changes nothing there but `failure`.
[[noreturn]] void become(const image& what, volatile int& failure) noexcept {
  reset_signal_handlers();  // the caller's must not run here
  bool done = what.directory == nullptr || sys::chdir(what.directory) == 0;
  for (const auto& [from, to] : what.descriptors) done = done && sys::dup2(from, to) == to;
  set_signal_mask(what.mask);
  if (done) sys::execve(what.path, what.arguments, what.environment);
  failure = errno;
  _exit(127);
}

/// A function of its own, as what lives across vfork may be lost, vfork(2).
[[gnu::noinline]] pid_t fork_and_become(const image& what, volatile int& failure) noexcept {
  const pid_t pid = fail_point("vfork", {EAGAIN, ENOMEM, EPERM}) ? -1 : vfork();
  if (pid == 0) become(what, failure);
  return pid;
}

}  // namespace

pid_t execute(const image& what) noexcept {
  volatile int failure = 0;
  const sigset_t mask = block_all_signals();
  const pid_t pid = fork_and_become(what, failure);
  const int error = pid < 0 ? errno : failure;
  set_signal_mask(mask);
  if (pid > 0 && error != 0) {
    while (sys::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  errno = error;
  return error == 0 ? pid : -1;
}

const char* own_image() noexcept { return path_of_image.c_str(); }

void remember_own_image() {
  if (sys::access(path_of_image.c_str(), F_OK) == 0) return;
  const auto* started_as = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  char whole[PATH_MAX];
  if (started_as != nullptr && realpath(started_as, whole) != nullptr) path_of_image = whole;
}

}  // namespace brood::sys
