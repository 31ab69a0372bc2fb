// Children that are asked to stop: they unwind, or are killed at their time.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "bodies.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int unwound = 128 + SIGTERM;

class temporary_folder {
 public:
  temporary_folder() {
    std::string name = std::filesystem::temp_directory_path() / "brood-stop-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  std::string file(int i) const { return path_ / std::to_string(i); }
  std::ptrdiff_t count() const {
    return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator());
  }

 private:
  std::filesystem::path path_;
};

struct temporary_file {
  explicit temporary_file(std::string p) : path(std::move(p)) { std::ofstream(path) << "here"; }
  ~temporary_file() { std::filesystem::remove(path); }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  std::string path;
};

brood::task<> keep_file(std::string path) {
  const temporary_file mine(std::move(path));
  say("ready");
  co_await brood::sleep_for(1h);
}

void keep_file_plainly(std::string path) {
  const temporary_file mine(std::move(path));
  say("ready");
  while (!brood::this_process().stop_requested()) std::this_thread::sleep_for(1ms);
  throw brood::cancelled();
}

void wait_plainly(std::string path) {
  const temporary_file mine(std::move(path));
  say("ready");
  brood::sync_wait(brood::sleep_for(1h));
}

brood::task<> keep_file_of_a_child(std::string own, std::string childs) {
  const temporary_file mine(std::move(own));
  co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
    auto child = co_await n.spawn<keep_file>(childs).stdout_(brood::piped);
    co_await child.stdout_().read_line();
    say("ready");
    co_await brood::sleep_for(1h);
  });
}

brood::task<> forget_a_child(std::string childs) {
  auto child = co_await brood::spawn<keep_file>(childs).stdout_(brood::piped);
  co_await child.stdout_().read_line();
  say("ready");
}

void ignore() {
  say("ready");
  for (;;) std::this_thread::sleep_for(1h);
}

brood::task<int> give_seven_when_stopped() {
  say("ready");
  try {
    co_await brood::sleep_for(1h);
  } catch (const brood::cancelled&) {
  }
  co_return 7;
}

brood::task<> fail_when_stopped() {
  say("ready");
  try {
    co_await brood::sleep_for(1h);
  } catch (const brood::cancelled&) {
    throw std::runtime_error("while it stopped");
  }
}

brood::task<> say_at_exit() {
  brood::at_exit([] { say("hook"); });
  say("ready");
  co_await brood::sleep_for(1h);
}

brood::task<> say_when_told() {
  say("ready");
  co_await brood::stop_requested();
  say("told");
}

template <class Child>
brood::task<> is_ready(Child& child) {
  const auto line = co_await child.stdout_().read_line();
  CHECK(line == "ready");
}

template <class Error, class R>
brood::task<bool> ends_with(brood::process<R> child) {
  try {
    static_cast<void>(co_await child.result());
  } catch (const Error&) {
    co_return true;
  }
  co_return false;
}

}  // namespace

TEST_CASE("each cancelled child removes its temporary file") {
  run_clean([]() -> brood::task<> {
    const temporary_folder folder;
    const int count = many(200);
    auto body = [&](brood::nursery& n) -> brood::task<> {
      std::vector<brood::process<void>> children;
      for (int i = 0; i < count; ++i)
        children.push_back(
            co_await n.spawn<keep_file>(folder.file(i)).stop_within(1min).stdout_(brood::piped));
      for (auto& each : children) co_await is_ready(each);
      CHECK(folder.count() == count);
      n.cancel();
    };
    co_await brood::with_nursery(body);
    CHECK(folder.count() == 0);
  });
}

TEST_CASE("a plain function unwinds when it looks, and when it waits for something of the library") {
  run_clean([]() -> brood::task<> {
    const temporary_folder folder;
    auto looks = co_await brood::spawn<keep_file_plainly>(folder.file(1)).stdout_(brood::piped);
    auto waits = co_await brood::spawn<wait_plainly>(folder.file(2)).stdout_(brood::piped);
    co_await is_ready(looks);
    co_await is_ready(waits);
    const auto first = co_await looks.stop(1min);
    const auto second = co_await waits.stop(1min);
    CHECK(first.exitcode == unwound);
    CHECK(second.exitcode == unwound);
    CHECK(first.stop_requested);
    const bool cancelled = co_await ends_with<brood::cancelled>(waits);
    CHECK(cancelled);
    CHECK(folder.count() == 0);
  });
}

TEST_CASE("hooks run at the end of a child that was asked to stop") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<say_at_exit>().stdout_(brood::piped);
    co_await is_ready(child);
    co_await child.stop(1min);
    const auto line = co_await child.stdout_().read_line();
    CHECK(line == "hook");
  });
}

TEST_CASE("a child that is asked asks its own children, in a scope or not") {
  run_clean([]() -> brood::task<> {
    const temporary_folder folder;
    auto child =
        co_await brood::spawn<keep_file_of_a_child>(folder.file(1), folder.file(2)).stdout_(brood::piped);
    auto waiting = co_await brood::spawn<forget_a_child>(folder.file(3)).stdout_(brood::piped);
    co_await is_ready(child);
    co_await is_ready(waiting);
    const auto status = co_await child.stop(1min);
    CHECK(status.exitcode == unwound);
    const auto second = co_await waiting.stop(1min);
    CHECK(second.exitcode == 0);
    CHECK(folder.count() == 0);
  });
}

TEST_CASE("a child that ignores the request is killed at its time, and says so") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::process<void>> children;
    auto body = [&](brood::nursery& n) -> brood::task<> {
      children.push_back(co_await n.spawn<ignore>().stop_within(20ms).stdout_(brood::piped));
      children.push_back(co_await n.spawn<ignore>().stop_within(0ms).stdout_(brood::piped));
      for (auto& each : children) co_await is_ready(each);
      n.cancel();
    };
    co_await brood::with_nursery(body);
    for (const auto& each : children) {
      const auto status = co_await each.join();
      CHECK(status.signal == SIGKILL);
      CHECK(status.stop_overran);
      const bool died = co_await ends_with<brood::child_died>(each);
      CHECK(died);
    }
    const auto first = co_await children[0].join();
    CHECK_THAT(brood::describe(first), contains_text("did not stop in time"));
  });
}

TEST_CASE("a second request kills at once") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<ignore>().stdout_(brood::piped);
    co_await is_ready(child);
    bool waits = true;
    try {
      co_await brood::with_timeout(1ms, child.stop(24h));
      waits = false;
    } catch (const brood::timed_out&) {
    }
    CHECK(waits);
    CHECK(child.is_alive());
    const auto status = co_await child.stop(24h);
    CHECK(status.signal == SIGKILL);
  });
}

TEST_CASE("a child that was asked is killed at its time, also if nobody waits for it any more") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<ignore>().stdout_(brood::piped);
    co_await is_ready(child);
    CHECK_THROWS_AS(co_await brood::with_timeout(1ms, child.stop(20ms)), brood::timed_out);
    const auto status = co_await child.join();
    CHECK(status.stop_overran);
  });
}

TEST_CASE("a result that crosses the request is the result, and so is an error") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<give_seven_when_stopped>().stdout_(brood::piped);
    co_await is_ready(child);
    co_await child.stop(1min);
    const auto seven = co_await child.result();
    CHECK(seven == 7);
    auto failing = co_await brood::spawn<fail_when_stopped>().stdout_(brood::piped).stderr_(brood::null);
    co_await is_ready(failing);
    co_await failing.stop(1min);
    const bool failed = co_await ends_with<brood::remote_error>(failing);
    CHECK(failed);
  });
}

TEST_CASE("a child that is asked at any moment of its start ends as cancelled") {
  run_clean([]() -> brood::task<> {
    const temporary_folder folder;
    for (int i = 0; i < many(100); ++i) {
      auto child = co_await brood::spawn<keep_file>(folder.file(i)).stdout_(brood::null);
      if (i % 2 == 1) co_await brood::sleep_for(i * 20us);
      co_await child.stop(1min);
      const bool cancelled = co_await ends_with<brood::cancelled>(child);
      CHECK(cancelled);
    }
    CHECK(folder.count() == 0);
  });
}

TEST_CASE("SIGTERM that is no request ends a child as ever") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<keep_file_plainly>("/dev/null/nowhere").stdout_(brood::piped);
    co_await is_ready(child);
    kill(child.pid(), SIGTERM);
    const auto status = co_await child.join();
    CHECK(status.signal == SIGTERM);
    CHECK_FALSE(status.stop_requested);
    const bool died = co_await ends_with<brood::child_died>(child);
    CHECK(died);
  });
}

TEST_CASE("a coroutine can wait for the request") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<say_when_told>().stdout_(brood::piped);
    co_await is_ready(child);
    const auto status = co_await child.stop(1min);
    CHECK(status.exitcode == 0);
    const auto line = co_await child.stdout_().read_line();
    CHECK(line == "told");
  });
}

TEST_CASE("a program is asked by SIGTERM, or by its stop signal") {
  run_clean([]() -> brood::task<> {
    auto plain = co_await brood::command("sleep", "1000").spawn();
    const auto status = co_await plain.stop();
    CHECK(status.signal == SIGTERM);
    const std::string script = "trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done";
    auto trapping =
        co_await brood::command("sh", "-c", script).stop_signal(SIGINT).stdout_(brood::piped).spawn();
    co_await is_ready(trapping);
    const auto trapped = co_await trapping.stop(1min);
    CHECK(trapped.exitcode == 5);
    CHECK(trapped.stop_requested);
  });
}
