// start_method and process models: how children come to be, and what they inherit of that.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "bodies.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "preload.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

namespace {

int preloaded() { return preloaded_value; }
const void* address_of_code() { return reinterpret_cast<const void*>(&preloaded); }
std::uintptr_t where() { return reinterpret_cast<std::uintptr_t>(address_of_code()); }
int square(int x) { return x * x; }

/// A clone has its parent's words in memory; a fresh image was started with words of its own.
bool is_fresh_image() { return preloaded_value == 0; }

brood::task<std::vector<bool>> images_of_descendants(std::vector<brood::start_method> methods) {
  std::vector<bool> result{is_fresh_image()};
  if (methods.empty()) co_return result;
  const brood::start_method next = methods.front();
  methods.erase(methods.begin());
  auto child = co_await brood::spawn<images_of_descendants>(std::move(methods)).start_method(next);
  const std::vector<bool> below = co_await child.result();
  result.insert(result.end(), below.begin(), below.end());
  co_return result;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::size_t descriptors_with(const std::string&) { return open_descriptors(); }

}  // namespace

TEST_CASE("a clone of the fork server has what preload has loaded, a fresh image has not") {
  CHECK(preloaded_value == 0);  // it ran in the fork server, not here
  run_clean([]() -> brood::task<> {
    auto clone = co_await brood::spawn<preloaded>().start_method(brood::start_method::fork_server);
    const auto clone_result = co_await clone.result();
    CHECK(clone_result == 42);
    auto image = co_await brood::spawn<preloaded>().start_method(brood::start_method::exec);
    const auto image_result = co_await image.result();
    CHECK(image_result == 0);
    auto usual = co_await brood::spawn<preloaded>();
    const auto usual_result = co_await usual.result();
    CHECK(usual_result == (every_child_is_a_fresh_image() ? 0 : 42));
  });
}

TEST_CASE("both methods are mixed freely, side by side") {
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 5; ++i) {
      auto clone = co_await brood::spawn<square>(i).start_method(brood::start_method::fork_server);
      auto image = co_await brood::spawn<square>(i).start_method(brood::start_method::exec);
      const auto clone_result = co_await clone.result();
      CHECK(clone_result == i * i);
      const auto image_result = co_await image.result();
      CHECK(image_result == i * i);
    }
  });
}

TEST_CASE("both methods are mixed freely, one below the other") {
  using brood::start_method;
  run_clean([]() -> brood::task<> {
    const std::vector<start_method> below{start_method::fork_server, start_method::exec};
    auto image = co_await brood::spawn<images_of_descendants>(below).start_method(start_method::exec);
    const auto first = co_await image.result();
    CHECK(first == std::vector<bool>{true, true, true});  // a clone of a fresh image is as fresh
    auto clone = co_await brood::spawn<images_of_descendants>(below).start_method(start_method::fork_server);
    const auto second = co_await clone.result();
    CHECK(second == std::vector<bool>{false, false, true});
  });
}

TEST_CASE("clones have their parent's addresses, a function is found in a fresh image too") {
  run_clean([]() -> brood::task<> {
    auto clone = co_await brood::spawn<where>().start_method(brood::start_method::fork_server);
    const auto clone_result = co_await clone.result();
    CHECK(clone_result == where());
  });
}

TEST_CASE("a child has as few descriptors with many siblings as with none") {
  run_clean([]() -> brood::task<> {
    auto alone = co_await brood::spawn<open_descriptors>();
    const std::size_t before = co_await alone.result();
    std::vector<brood::process<void>> siblings;
    for (int i = 0; i < many(100); ++i) {
      siblings.push_back(
          co_await brood::spawn<wait_for_end_of_input>().stdin_(brood::piped).stdout_(brood::piped));
    }
    auto late = co_await brood::spawn<open_descriptors>();
    const auto late_result = co_await late.result();
    CHECK(late_result == before);
    std::vector<brood::task<std::size_t>> at_once;
    for (int i = 0; i < many(100); ++i) {
      at_once.push_back([]() -> brood::task<std::size_t> {
        auto child = co_await brood::spawn<open_descriptors>();
        co_return co_await child.result();
      }());
    }
    for (const std::size_t count : co_await brood::when_all(std::move(at_once))) CHECK(count == before);
    auto large = co_await brood::spawn<descriptors_with>(std::string(100'000, 'x')).stdout_(brood::piped);
    const auto large_result = co_await large.result();
    CHECK(large_result == before);
    for (const auto& sibling : siblings) sibling.stdin_().close();
    for (const auto& sibling : siblings) co_await sibling.join();
  });
}

TEST_CASE("neither programs nor functions inherit descriptors that nobody gave them") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);  // not close-on-exec, on purpose
  run_clean([&]() -> brood::task<> {
    const auto program = co_await brood::command("sh", "-c", "ls /proc/self/fd").output();
    CHECK(program.out == "0\n1\n2\n3\n");  // 3 is ls's own, of the folder
    auto function = co_await brood::spawn<[](int fd) { return fcntl(fd, F_GETFD) >= 0; }>(ends[1]);
    const bool open_in_child = co_await function.result();
    CHECK_FALSE(open_in_child);
    // The end of the stream comes although the child lives: it does not hold the other end.
    auto child = co_await brood::spawn<wait_for_ever>();
    close(ends[1]);
    char byte;
    CHECK(read(ends[0], &byte, 1) == 0);
    ends[1] = open("/dev/null", O_RDONLY);  // as many descriptors as before
    child.kill();
    co_await child.join();
  });
  close(ends[0]);
  close(ends[1]);
}
