#include "process/caretaker.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <exception>
#include <span>
#include <vector>

#include "brood/arena/family_memory.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/death_watch.hpp"
#include "process/family.hpp"
#include "process/orphan_watch.hpp"
#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {
namespace {

/// Whoever reads what the family wrote is to see its end, and whoever it is connected with too.
void let_go_of_descriptors() {
  const int memory = family_memory::fd();
  if (memory > 3) sys::close_range(3, static_cast<unsigned>(memory) - 1, 0);
  sys::close_range(static_cast<unsigned>(memory) + 1, ~0u, 0);
  const unique_fd nothing(sys::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int number = 0; nothing && number < 3; ++number) sys::dup2(nothing.get(), number);
}

/// Relayed ones are this process's own: the kernel is to reap them.
void let_go_of_children() {
  ::signal(SIGCHLD, SIG_IGN);
  while (sys::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
  }
}

/// False if another one has cleaned up, or will.
bool become_caretaker() {
  for (;;) {
    const int other = family_memory::become_caretaker();
    if (other <= 0) return other == 0;
    if (const unique_fd pidfd = sys::open_process(other)) sys::await_end(pidfd.get(), -1);
  }
}

/// Watches those that are left, as the first process would.
task<> await_end_of_family() {
  runtime& loop = runtime::current();
  std::vector<left_child> none;
  local_event over;
  orphan_watch* orphans = nullptr;
  death_watch deaths(loop, [&](std::span<const mortal> dead) {
    for (const mortal& who : dead) orphans->on_death(who.number);
  });
  orphan_watch watch(loop, deaths, none, [&over] { over.set(); });
  orphans = &watch;
  co_await over.wait();
}

}  // namespace

void take_care_of_family() noexcept {
  try {
    let_go_of_descriptors();
    let_go_of_children();
    if (!become_caretaker()) return;
    runtime loop;
    loop.run_until_complete(await_end_of_family());
  } catch (const std::exception& e) {  // the next one goes on
    log_error("what is left of a family is not cleaned up after: {}", e.what());
  }
}

}  // namespace brood::detail
