// A host in a place where something is missing. usage: hampered_host ENOSYS|EPERM|proc|few|closed
//   ENOSYS, EPERM  a sandbox refuses clone3 with this error
//   proc           /proc is not mounted
//   few            it may have twelve descriptors
//   closed         it closes all of its descriptors after init
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "../bodies.hpp"
#include "brood/brood.hpp"
#include "program.hpp"

namespace {

int square(int x) { return x * x; }
brood::task<int> square_below(int x) {
  auto child = co_await brood::spawn<square>(x);
  co_return co_await child.result();
}

void refuse_clone3(unsigned error) {
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{4, filter};
  require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  require(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
  require(syscall(SYS_clone3, nullptr, 0) == -1 && errno == static_cast<int>(error),
          "the filter does nothing");
}

/// False where this process may not do that.
bool lose_proc() {
  return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         umount2("/proc", MNT_DETACH) == 0;
}

brood::task<int> application() {
  for (int i = 0; i < 3; ++i) {
    auto function = co_await brood::spawn<square>(7);
    const int value = co_await function.result();
    require(value == 49, "a function's result");
    auto image = co_await brood::spawn<square_below>(6).start_method(brood::start_method::exec);
    const int below = co_await image.result();
    require(below == 36, "a fresh image's child");
    const auto program = co_await brood::command("echo", "on").output();
    require(program.out == "on\n" && program.status.success(), "a program");
    kill(brood::fork_server_pid(), SIGKILL);
  }
  auto waiting = co_await brood::spawn<wait_for_ever>();
  waiting.kill();
  const auto status = co_await waiting.join();
  require(status.known && status.exitcode == -SIGKILL, "a status");
  tell("survived");
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc == 2 ? argv[1] : "";
  if (role == "ENOSYS" || role == "EPERM") refuse_clone3(role == "EPERM" ? EPERM : ENOSYS);
  if (role == "proc" && !lose_proc()) {
    tell("survived");
    return 0;
  }
  if (role == "few") {
    const rlimit few{12, 12};
    require(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
  }
  if (role == "closed") {
    brood::init(argc, argv, settings_under_test());
    close_range(3, ~0u, 0);
  }
  return brood::run(argc, argv, application, settings_under_test());
}
