// Why children ended: what the evidence says, and unknown where there is none.
#include "process/cause.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bodies.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;
using brood::death_cause;
using brood::detail::evidence;
using brood::detail::memory_witness;
using verdict = memory_witness::verdict;

namespace {

/// Files that look like those of the kernel.
class fake_system {
 public:
  fake_system() { std::filesystem::create_directories(root_ / "a"); }
  ~fake_system() { std::filesystem::remove_all(root_); }
  void kills(int anywhere, int here, int at_limit) const {
    std::ofstream(root_ / "vmstat") << "nr_free_pages 17\noom_kill " << anywhere << "\n";
    std::ofstream(root_ / "a" / "memory.events")
        << "low 0\nhigh 0\nmax 3\noom " << at_limit << "\noom_kill " << here << "\n";
  }
  memory_witness witness() const {
    std::ofstream(root_ / "own") << "0::/a\n";
    return memory_witness(brood::sys::memory_kills(root_ / "own", root_, root_ / "vmstat"));
  }
  memory_witness blind_witness() const {
    return memory_witness(brood::sys::memory_kills(root_ / "none", root_, root_ / "none"));
  }

 private:
  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("brood-kills-" + std::to_string(getpid()));
};

brood::exit_status killed_by(int signal) {
  brood::exit_status status;
  status.signal = signal;
  status.exitcode = -signal;
  return status;
}

int give_seven() { return 7; }
void exit_with_three() { _exit(3); }
void spin() {
  for (;;) asm volatile("");
}
void write_much() {
  const std::vector<char> much(1 << 20);
  const std::string name =
      std::filesystem::temp_directory_path() / ("brood-much-" + std::to_string(getpid()));
  std::ofstream file(name);
  std::filesystem::remove(name);
  for (;;) file.write(much.data(), static_cast<std::streamsize>(much.size())).flush();
}
void touch_nothing() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::signal(SIGSEGV, SIG_DFL);  // a sanitizer has one
  *static_cast<volatile int*>(nullptr) = 1;
}

template <class Child>
brood::task<death_cause> cause_of(Child child) {
  const auto status = co_await child.join();
  co_return status.cause();
}

}  // namespace

TEST_CASE("want of memory is a cause only where the kernel counts it") {
  const fake_system system;
  system.kills(5, 2, 0);
  auto witness = system.witness();
  CHECK(witness.judge(true) == verdict::not_it);
  system.kills(6, 3, 0);
  CHECK(witness.judge(true) == verdict::out_of_memory);
  CHECK(witness.judge(true) == verdict::not_it);
  system.kills(7, 4, 1);
  CHECK(witness.judge(true) == verdict::memory_limit);
  system.kills(8, 4, 1);  // in another cgroup
  CHECK(witness.judge(true) == verdict::unknown);
  system.kills(9, 5, 1);  // one of several
  CHECK(witness.judge(false) == verdict::unknown);
  auto blind = system.blind_witness();
  CHECK(blind.judge(true) == verdict::unknown);
}

TEST_CASE("evidence is weighed: what this process did itself comes first") {
  const fake_system system;
  system.kills(0, 0, 0);
  auto memory = system.witness();
  evidence known;
  const auto judge = [&](const brood::exit_status& status) {
    return brood::detail::judge(status, known, memory, true);
  };
  CHECK(judge(brood::exit_status()) == death_cause::exited);
  CHECK(judge(killed_by(SIGKILL)) == death_cause::signal_from_outside);
  CHECK(judge(killed_by(SIGTERM)) == death_cause::signal_from_outside);
  CHECK(judge(killed_by(SIGPIPE)) == death_cause::unknown);
  CHECK(judge(killed_by(SIGSEGV)) == death_cause::crash);
  CHECK(judge(killed_by(SIGXFSZ)) == death_cause::unknown);
  auto late = killed_by(SIGKILL);
  late.deadline_passed = true;
  CHECK(judge(late) == death_cause::deadline);
  brood::exit_status lost;
  lost.known = false;
  CHECK(judge(lost) == death_cause::unknown);

  known.crash = {SIGSEGV, false};
  CHECK(judge(killed_by(SIGSEGV)) == death_cause::signal_from_outside);
  known.crash.reset();
  known.cpu_limit = 1s;
  CHECK(judge(killed_by(SIGXCPU)) == death_cause::unknown);
  auto spent = killed_by(SIGKILL);
  spent.usage.user_time = 2s;
  CHECK(judge(spent) == death_cause::cpu_limit);
  known.cpu_limit.reset();
  known.may_die_with_server = true;
  CHECK(judge(killed_by(SIGKILL)) == death_cause::unknown);
  known.sent = std::uint64_t{1} << SIGKILL;
  CHECK(judge(killed_by(SIGKILL)) == death_cause::asked);
  known.asked = true;
  CHECK(judge(brood::exit_status()) == death_cause::asked);
  known.gave_result = true;
  CHECK(judge(brood::exit_status()) == death_cause::exited);
}

TEST_CASE("children say why they ended") {
  run_clean([]() -> brood::task<> {
    auto returned = co_await brood::spawn<give_seven>();
    const auto of_returned = co_await cause_of(returned);
    CHECK(of_returned == death_cause::exited);
    auto exited = co_await brood::spawn<exit_with_three>();
    const auto of_exited = co_await cause_of(exited);
    CHECK(of_exited == death_cause::exited);
    auto late = co_await brood::spawn<wait_for_ever>().deadline(10ms);
    const auto of_late = co_await cause_of(late);
    CHECK(of_late == death_cause::deadline);
    auto stopped = co_await brood::spawn<wait_for_ever>();
    co_await stopped.stop(1min);
    const auto of_stopped = co_await cause_of(stopped);
    CHECK(of_stopped == death_cause::asked);
    auto terminated = co_await brood::spawn<wait_for_ever>();
    terminated.terminate();
    const auto of_terminated = co_await cause_of(terminated);
    CHECK(of_terminated == death_cause::asked);
  });
}

TEST_CASE("a child killed from outside is never out of memory") {
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 5; ++i) {
      auto child = co_await brood::spawn<wait_for_ever>();
      kill(child.pid(), SIGKILL);
      const auto cause = co_await cause_of(child);
      const bool fine = cause == death_cause::signal_from_outside || cause == death_cause::unknown;
      CHECK(fine);
    }
  });
}

TEST_CASE("limits that end a child are the cause") {
  run_clean([]() -> brood::task<> {
    auto spinning =
        co_await brood::spawn<spin>().limit(brood::resource::cpu_time, 1).limit(brood::resource::core, 0);
    const auto of_spinning = co_await cause_of(spinning);
    CHECK(of_spinning == death_cause::cpu_limit);
    auto writing = co_await brood::spawn<write_much>()
                       .limit(brood::resource::file_size, 4096)
                       .limit(brood::resource::core, 0);
    const auto of_writing = co_await cause_of(writing);
    CHECK(of_writing == death_cause::file_size_limit);
    auto crashed = co_await brood::spawn<touch_nothing>();
    const auto of_crashed = co_await cause_of(crashed);
    CHECK(of_crashed == death_cause::crash);
  });
}

TEST_CASE("child_died says the cause, and the last words of a child whose standard error is piped") {
  run_clean([]() -> brood::task<> {
    const std::string script = "echo one >&2; echo two >&2; kill -KILL $$";
    auto program = co_await brood::command("sh", "-c", script).stderr_(brood::piped).spawn();
    const auto status = co_await program.join();
    CHECK(status.signal == SIGKILL);
    CHECK(program.last_words() == "one\ntwo\n");
    const auto first = co_await program.stderr_().read_line();
    CHECK(first == "one");  // nothing is taken from who reads
    CHECK(program.last_words() == "one\ntwo\n");
  });
}
