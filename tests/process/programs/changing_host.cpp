// A host that is no longer what it was when its family began. usage: changing_host ROLE; see main. Says "survived".
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "../bodies.hpp"
#include "brood/brood.hpp"
#include "leftovers.hpp"
#include "program.hpp"

using namespace std::chrono_literals;

namespace {

constexpr uid_t nobody = 65534;

/// What a clone inherits, as text.
std::string standing() {
  std::string text;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    for (const char* each : {"Umask:", "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp"}) {
      if (line.starts_with(each)) text += line + "\n";
    }
  }
  for (const char* each : {"uts", "user", "net", "mnt"})
    text += std::filesystem::read_symlink(std::string("/proc/self/ns/") + each).string() + "\n";
  for (const auto which : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE}) {
    rlimit limit{};
    getrlimit(which, &limit);
    text += "limit " + std::to_string(limit.rlim_max) + "\n";
  }
  return text;
}
std::string standing_below() {
  auto child = brood::sync_wait([]() -> brood::task<std::string> {
    auto below = co_await brood::spawn<standing>();
    co_return co_await below.result();
  }());
  return child;
}
uid_t user() { return geteuid(); }
int square(int x) { return x * x; }
std::string repeat(char letter) { return std::string(40'000, letter); }

void become_nobody() {
  const gid_t group = nobody;
  require(setgroups(1, &group) == 0 && setresgid(nobody, nobody, nobody) == 0 &&
              setresuid(nobody, nobody, nobody) == 0,
          "setresuid");
}

brood::task<> expect_equals() {
  const std::string own = standing();
  for (int i = 0; i < 2; ++i) {
    auto function = co_await brood::spawn<standing>();
    const auto of_function = co_await function.result();
    require(of_function == own, "a function: " + of_function + "\nis not " + own);
    auto image = co_await brood::spawn<standing>().start_method(brood::start_method::exec);
    const auto of_image = co_await image.result();
    require(of_image == own, "a fresh image: " + of_image + "\nis not " + own);
    auto below = co_await brood::spawn<standing_below>();
    const auto of_grandchild = co_await below.result();
    require(of_grandchild == own, "a grandchild: " + of_grandchild + "\nis not " + own);
  }
}

brood::task<std::string> output_of(std::string script) {
  const auto result = co_await brood::command("sh", "-c", std::move(script)).output();
  co_return result.out;
}

brood::task<> drop() {
  co_await expect_equals();
  become_nobody();
  umask(077);
  require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  co_await expect_equals();
  const auto seen = co_await output_of("id -u; umask; cat /etc/shadow 2>/dev/null");
  require(seen == "65534\n0077\n", "a program: " + seen);
  auto pool = co_await brood::pool::open(1);
  const uid_t of_worker = co_await pool.apply<user>();
  require(of_worker == nobody, "a worker");
  co_await pool.close();
  auto manager = co_await brood::start_manager();
  for (const auto& child : brood::active_children()) {
    struct stat owner{};
    const bool known = stat(("/proc/" + std::to_string(child.pid())).c_str(), &owner) == 0;
    require(known && (owner.st_uid == nobody || owner.st_uid == 0), "a manager's server");
    std::ifstream status("/proc/" + std::to_string(child.pid()) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("Uid:"))
        require(line.find("65534\t65534") != std::string::npos, "a manager's server: " + line);
  }
}

brood::task<> back_and_forth() {
  for (int i = 0; i < 3; ++i) {
    require(seteuid(nobody) == 0, "seteuid");
    auto as_nobody = co_await brood::spawn<user>();
    require(seteuid(0) == 0, "seteuid");
    auto as_root = co_await brood::spawn<user>();
    const uid_t first = co_await as_nobody.result();
    const uid_t second = co_await as_root.result();
    require(first == nobody && second == 0, "the user of the moment of the spawn");
  }
}

/// Neither needs another server.
brood::task<> mask_and_limits() {
  auto warm = co_await brood::spawn<square>(1);
  co_await warm.join();
  const pid_t server = brood::fork_server_pid();
  umask(027);
  const rlimit none{0, 0};
  const rlimit files{300, 300};
  require(setrlimit(RLIMIT_CORE, &none) == 0 && setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
  co_await expect_equals();
  const auto seen = co_await output_of("umask; ulimit -c; ulimit -n");
  require(seen == "0027\n0\n300\n", "a program: " + seen);
  require(brood::fork_server_pid() == server, "another server");
}

brood::task<> host_name() {
  if (unshare(CLONE_NEWUTS) != 0 || sethostname("brood-elsewhere", 15) != 0) co_return;
  co_await expect_equals();
  const auto seen = co_await output_of("uname -n");
  require(seen == "brood-elsewhere\n", "a program: " + seen);
}

void give_up(unsigned capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2];
  require(syscall(SYS_capget, &header, sets) == 0, "capget");
  sets[0].effective &= ~(1u << capability);
  sets[0].permitted &= ~(1u << capability);
  require(syscall(SYS_capset, &header, sets) == 0, "capset");
}

brood::task<> fewer_capabilities() {
  give_up(CAP_SYS_ADMIN);
  co_await expect_equals();
}

/// What the kernel tells only by a call or a line of its own.
brood::task<> one_thing_at_a_time() {
  co_await expect_equals();
  const gid_t groups[] = {nobody};
  require(setgroups(1, groups) == 0, "setgroups");
  co_await expect_equals();
  give_up(CAP_SYS_TIME);
  co_await expect_equals();
  require(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0) == 0, "the bounding set");
  co_await expect_equals();
  require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  co_await expect_equals();
}

brood::task<> cannot_kill() {
  auto before = co_await brood::spawn<wait_for_ever>().deadline(300ms);
  become_nobody();
  try {
    before.kill();
    require(false, "a signal to another user's process");
  } catch (const std::system_error& e) {
    require(e.code().value() == EPERM, e.what());
  }
  try {
    co_await before.result();
    require(false, "a result");
  } catch (const std::system_error& e) {
    require(e.code().value() == EPERM, e.what());
  }
  const auto status = co_await before.join();
  require(!status.known && status.deadline_passed, "a status");
}

brood::task<> with_stopped_server() {
  kill(brood::fork_server_pid(), SIGSTOP);
  tell("ready");
  static_cast<void>(co_await brood::spawn<square>(1));
}

brood::task<> many_in_flight() {
  std::vector<brood::task<>> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back([](int n) -> brood::task<> {
      auto child = co_await brood::spawn<square>(n).stdin_(brood::piped).stdout_(brood::piped);
      const int value = co_await child.result();
      require(value == n * n, "a value");
    }(i));
    all.push_back([](int n) -> brood::task<> {
      auto child = co_await brood::spawn<repeat>(static_cast<char>('a' + n % 26));
      std::this_thread::sleep_for(1ms);  // the loop is blocked: what is under way stays there
      const auto text = co_await child.result();
      require(text == repeat(static_cast<char>('a' + n % 26)), "a large result");
    }(i));
  }
  co_await brood::when_all(std::move(all));
}

/// The children of a server that a thread has started, when this thread ends.
int outlive_thread(int argc, char** argv) {
  std::promise<void> begun;
  std::promise<void> over;
  std::thread first([&] {
    brood::init(argc, argv, settings_under_test());
    begun.set_value();
    over.get_future().wait();
  });
  begun.get_future().wait();
  brood::sync_wait([](std::promise<void>& end, std::thread& thread) -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_end_of_input>().stdin_(brood::piped);
    end.set_value();
    thread.join();
    co_await brood::sleep_for(50ms);  // a signal would be on its way
    require(child.is_alive(), "the child ended with the thread");
    child.stdin_().close();
    const auto status = co_await child.join();
    require(status.success(), "the child was killed with the thread");
  }(over, first));
  tell("survived");
  return 0;
}

/// The server has made an heir, and is retired before this process hears of it.
brood::task<> retire_before_heir() {
  const auto has = [](pid_t server) {
    const auto pids = brood::detail::fork_servers().pids;
    return std::find(pids.begin(), pids.end(), server) != pids.end();
  };
  for (int i = 0; i < 2; ++i) {
    auto child = co_await brood::spawn<square>(i);
    co_await child.join();
  }
  const auto servers = brood::detail::fork_servers().pids;
  if (servers.size() < 2) co_return;  // of a model without heirs
  kill(servers.back(), SIGKILL);
  while (has(servers.back())) co_await brood::yield();
  while (brood::detail::fork_servers().pids.size() < 2) std::this_thread::yield();  // the loop hears nothing
  require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  auto child = co_await brood::spawn<square>(3);
  co_await child.join();
  require(!has(servers.front()), "the server was not retired");
}

/// Whether processes are left when a runtime has ended, apart from the servers that it knows.
int leave_no_heir(int argc, char** argv) {
  brood::init(argc, argv, settings_under_test());
  {
    brood::runtime loop;
    loop.run_until_complete(retire_before_heir());
  }
  require(leftovers::now().children.empty(), "an heir is left");
  tell("survived");
  return 0;
}

brood::task<int> application(std::vector<std::string> words) {
  const std::string role = words.at(1);
  if (role == "drop") co_await drop();
  if (role == "back") co_await back_and_forth();
  if (role == "limits") co_await mask_and_limits();
  if (role == "namespace") co_await host_name();
  if (role == "capabilities") co_await fewer_capabilities();
  if (role == "one") co_await one_thing_at_a_time();
  if (role == "kill") co_await cannot_kill();
  if (role == "stopped") co_await with_stopped_server();
  if (role == "in_flight") co_await many_in_flight();
  tell("survived");
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc == 2 ? argv[1] : "";
  if (role == "heir") return leave_no_heir(argc, argv);
  if (role == "thread") return outlive_thread(argc, argv);
  const bool needs_root = role == "drop" || role == "back" || role == "namespace" || role == "capabilities" ||
                          role == "one" || role == "kill";
  if (needs_root && geteuid() != 0) {
    tell("survived");
    return 0;
  }
  if (role == "in_flight") {
    // Root may have any number of descriptors under way.
    if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(54322) != 0 || setuid(54322) != 0)) {
      tell("survived");
      return 0;
    }
    const rlimit few{64, 2048};
    require(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
  }
  return brood::run(argc, argv, application, settings_under_test());
}
