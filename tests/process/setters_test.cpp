// The setters for what a process is to the system, for programs, functions and workers.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/pool/pool.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "brood/system/unique_fd.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

namespace {

constexpr uid_t nobody = 65534;

brood::command shell(std::string script) { return brood::command("sh", "-c", std::move(script)); }

// Which takes descriptors above 9.
brood::command bash(std::string script) { return brood::command("bash", "-c", std::move(script)); }

brood::task<std::string> out_of(brood::command what) {
  const auto result = co_await what.output();
  co_return result.out + result.err;
}

/// The errno that starting it fails with, and its text; 0 if it does not.
brood::task<std::pair<int, std::string>> refusal_of(brood::command what) {
  try {
    co_await what.status();
  } catch (const std::system_error& e) {
    co_return std::pair(e.code().value(), std::string(e.what()));
  }
  co_return std::pair(0, std::string());
}

/// What a function child sees of itself.
std::vector<std::int64_t> ids() { return {getuid(), geteuid(), getgid(), getegid(), getgroups(0, nullptr)}; }

std::vector<std::int64_t> place() {
  const mode_t mask = umask(0);
  int death_signal = -1;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  return {mask,
          prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
          sched_getscheduler(0),
          getsid(0) == getpid() ? 1 : 0,
          syscall(SYS_ioprio_get, 1, 0),
          death_signal};
}

bool ignores_and_blocks(int ignored, int blocked) {
  struct sigaction action{};
  sigaction(ignored, nullptr, &action);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  return action.sa_handler == SIG_IGN && sigismember(&mask, blocked) == 1;
}

int niceness() { return getpriority(PRIO_PROCESS, 0); }

brood::task<> answer(brood::queue<int> questions, brood::queue<int> answers) {
  const int question = co_await questions.get();
  co_await answers.put(2 * question);
}

/// In a child of another user: what that may and may not.
brood::task<std::vector<std::string>> as_ordinary_user() {
  std::vector<std::string> seen;
  seen.push_back(co_await out_of(shell("id -u; id -g")));
  const brood::command plain("true");
  for (const auto& refused :
       {brood::command(plain).uid(0), brood::command(plain).gid(0), brood::command(plain).groups({0}),
        brood::command(plain).root("/tmp"), brood::command(plain).scheduling(SCHED_FIFO, 1),
        brood::command(plain).oom_score_adj(-1000), brood::command(plain).io_priority(1)}) {
    const auto [error, text] = co_await refusal_of(refused);
    seen.push_back(error == EPERM || error == EACCES ? "refused" : std::to_string(error) + " " + text);
  }
  const auto own = co_await brood::command(plain).uid(getuid()).no_new_privs().umask(077).nice(3).status();
  seen.push_back(own.success() ? "itself" : "not itself");
  co_return seen;
}

}  // namespace

TEST_CASE("argv[0] is another name than the program's") {
  run_clean([]() -> brood::task<> {
    const auto name = co_await out_of(shell("echo $0").arg0("login"));
    CHECK(name == "login\n");
  });
}

TEST_CASE("a program gets descriptors under numbers of its own") {
  run_clean([]() -> brood::task<> {
    int first[2];
    int second[2];
    REQUIRE(pipe2(first, O_CLOEXEC) == 0);
    REQUIRE(pipe2(second, O_CLOEXEC) == 0);
    const brood::unique_fd ends[] = {brood::unique_fd(first[0]), brood::unique_fd(first[1]),
                                     brood::unique_fd(second[0]), brood::unique_fd(second[1])};
    REQUIRE(write(first[1], "one\n", 4) == 4);
    REQUIRE(write(second[1], "two\n", 4) == 4);
    // Many numbers, also those that the fork server uses for its own.
    for (const int number : {3, 4, 5, 6, 7, 8, 9, 11}) {
      const brood::command read_both =
          bash("read a <&" + std::to_string(number) + "; read b <&10; echo $a $b; ls /proc/self/fd | wc -l");
      const auto seen = co_await out_of(brood::command(read_both).fd(number, first[0]).fd(10, second[0]));
      CHECK(seen.starts_with("one two\n"));
      REQUIRE(write(first[1], "one\n", 4) == 4);
      REQUIRE(write(second[1], "two\n", 4) == 4);
    }
    // Each has the number of the other.
    const auto swapped = co_await out_of(bash("read a <&" + std::to_string(first[0]) + "; echo $a")
                                             .fd(first[0], second[0])
                                             .fd(second[0], first[0]));
    CHECK(swapped == "two\n");
    const auto low = co_await refusal_of(brood::command("true").fd(2, first[0]));
    CHECK(low.first == EINVAL);
    const auto closed = co_await refusal_of(brood::command("true").fd(3, 1'000'000));
    CHECK(closed.first == EBADF);
    const auto high = co_await refusal_of(brood::command("true").fd(2'000'000'000, first[0]));
    CHECK(high.second.find("giving it a descriptor") != std::string::npos);
  });
}

TEST_CASE("user, group and groups of a program") {
  if (geteuid() != 0) return;
  run_clean([]() -> brood::task<> {
    const std::vector<gid_t> groups{nobody, 4};
    const auto seen = co_await out_of(shell("id -u; id -g; id -G").uid(nobody).gid(nobody).groups(groups));
    CHECK(seen == "65534\n65534\n65534 4\n");
    const auto alone = co_await out_of(shell("id -ru; id -G").uid(nobody).gid(nobody));
    CHECK(alone == "65534\n65534\n");
    const auto none = co_await refusal_of(brood::command("true").uid(static_cast<uid_t>(-1)));
    CHECK(none.first == EINVAL);
    const auto dead =
        co_await brood::command("sleep", "1000").uid(nobody).deadline(std::chrono::milliseconds(50)).status();
    CHECK(dead.deadline_passed);
  });
}

TEST_CASE("user and group of a function, which uses the family's memory all the same") {
  if (geteuid() != 0) return;
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<ids>().uid(nobody).gid(nobody);
    const auto seen = co_await child.result();
    CHECK(seen == std::vector<std::int64_t>{nobody, nobody, nobody, nobody, 0});
    const brood::queue<int> questions(4);
    const brood::queue<int> answers(4);
    auto answering = co_await brood::spawn<answer>(questions, answers).uid(nobody).gid(nobody);
    co_await questions.put(21);
    const int answered = co_await answers.get();
    CHECK(answered == 42);
    co_await answering.result();
  });
}

TEST_CASE("what an ordinary user may and may not, each refusal with its errno") {
  if (geteuid() != 0) return;
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<as_ordinary_user>().uid(nobody).gid(nobody);
    const auto seen = co_await child.result();
    const std::vector<std::string> expected{"65534\n65534\n", "refused", "refused", "refused", "refused",
                                            "refused",        "refused", "refused", "itself"};
    CHECK(seen == expected);
  });
}

TEST_CASE("umask, session, scheduling, no_new_privs and oom_score_adj of a program") {
  run_clean([]() -> brood::task<> {
    const auto mask = co_await out_of(shell("umask").umask(027));
    CHECK(mask == "0027\n");
    const auto oom = co_await out_of(shell("cat /proc/self/oom_score_adj").oom_score_adj(500));
    CHECK(oom == "500\n");
    std::ifstream own("/proc/self/oom_score_adj");
    int score = -1;
    own >> score;
    CHECK(score != 500);
    const auto privs = co_await out_of(shell("grep NoNewPrivs /proc/self/status").no_new_privs());
    CHECK(privs == "NoNewPrivs:\t1\n");
    auto session = co_await brood::command("sleep", "1000").session().spawn();
    CHECK(getsid(session.pid()) == session.pid());
    auto joined = co_await brood::command("sleep", "1000").process_group(getpgid(0)).spawn();
    CHECK(getpgid(joined.pid()) == getpgid(0));
    auto idle = co_await brood::command("sleep", "1000").scheduling(SCHED_IDLE).io_priority(3).spawn();
    CHECK(sched_getscheduler(idle.pid()) == SCHED_IDLE);
    CHECK(syscall(SYS_ioprio_get, 1, idle.pid()) >> 13 == 3);
    for (const auto& each : {session, joined, idle}) {
      each.kill();
      co_await each.join();
    }
    const auto no_group = co_await refusal_of(brood::command("true").process_group(1));
    CHECK(no_group.first == EPERM);
    CHECK(no_group.second.find("setpgid") != std::string::npos);
    const auto no_policy = co_await refusal_of(brood::command("true").scheduling(99));
    CHECK(no_policy.first == EINVAL);
  });
}

TEST_CASE("the same of a function") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<place>()
                     .umask(027)
                     .no_new_privs()
                     .scheduling(SCHED_BATCH)
                     .session()
                     .io_priority(2, 7);
    const auto seen = co_await child.result();
    CHECK(seen == std::vector<std::int64_t>{027, 1, SCHED_BATCH, 1, 2 << 13 | 7, SIGKILL});
  });
}

TEST_CASE("a root folder") {
  if (geteuid() != 0) return;
  run_clean([]() -> brood::task<> {
    const auto none = co_await refusal_of(brood::command("/bin/true").root("/no/such/folder"));
    CHECK(none.first == ENOENT);
    CHECK(none.second.find("chroot") != std::string::npos);
    const auto empty = co_await refusal_of(brood::command("sh").root("/proc/self/fdinfo"));
    CHECK(empty.first == ENOENT);
    const auto same = co_await out_of(shell("pwd; cd usr; pwd").root("/"));
    CHECK(same == "/\n/usr\n");
    const auto below = co_await out_of(shell("pwd").root("/").cwd("/usr"));
    CHECK(below == "/usr\n");
  });
}

TEST_CASE("signals that a child ignores and blocks") {
  run_clean([]() -> brood::task<> {
    // Not by way of a shell, which changes them.
    // Named, as GCC 12 takes no lists in what is awaited.
    const std::vector<int> first{SIGUSR1};
    const std::vector<int> second{SIGUSR2};
    const std::vector<int> kill{SIGKILL};
    const std::vector<int> no_signal{1000};
    const auto seen = co_await out_of(brood::command("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
                                          .ignore_signals(first)
                                          .block_signals(second));
    CHECK(seen.find("SigBlk:\t0000000000000800") != std::string::npos);
    CHECK(seen.find("SigIgn:\t0000000000000200") != std::string::npos);
    auto child = co_await brood::spawn<ignores_and_blocks>(SIGUSR1, SIGUSR2)
                     .ignore_signals(first)
                     .block_signals(second);
    const bool both = co_await child.result();
    CHECK(both);
    const auto none = co_await refusal_of(brood::command("true").ignore_signals(kill));
    CHECK(none.first == EINVAL);
    const auto wrong = co_await refusal_of(brood::command("true").block_signals(no_signal));
    CHECK(wrong.second.find("signals") != std::string::npos);
  });
}

TEST_CASE("the signal at the parent's death, also of another user") {
  run_clean([]() -> brood::task<> {
    const std::string script =
        "python3 -c 'import ctypes; s = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(s)); "
        "print(s.value)'";
    const auto usual = co_await out_of(shell("exec " + script));
    const auto none = co_await out_of(shell("exec " + script).parent_death_signal(0));
    const auto term = co_await out_of(shell("exec " + script).parent_death_signal(SIGTERM));
    if (usual == "9\n") {  // where the first thread of this process has started the fork server
      CHECK(none == "0\n");
      CHECK(term == "15\n");
    }
    if (geteuid() == 0) {
      const auto other = co_await out_of(shell("exec " + script).uid(nobody));
      CHECK(other == usual);
    }
  });
}

TEST_CASE("workers of a pool get what was set for them") {
  run_clean([]() -> brood::task<> {
    auto workers = co_await brood::pool::open(2).nice(7).umask(077);
    const int nice = co_await workers.apply<niceness>();
    CHECK(nice == niceness() + 7 - niceness());
    co_await workers.close();
  });
}
