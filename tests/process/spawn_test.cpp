// spawn: functions in children, their arguments and results.
#include "brood/process/spawn.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <set>

#include "bodies.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/process/current.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

int square(int x) { return x * x; }
int square_without_errors(int x) noexcept { return x * x; }
std::string repeat(const std::string& text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}
std::string give_back(std::string bytes) { return bytes; }
std::size_t length_of(const std::string& bytes) { return bytes.size(); }
std::string make_bytes(std::size_t size) { return std::string(size, 'x'); }
std::unique_ptr<int> give_back_pointer(std::unique_ptr<int> pointer) { return pointer; }
void do_nothing() {}

brood::task<int> square_later(int x) {
  co_await brood::sleep_for(1ms);
  co_return x* x;
}
brood::task<> do_nothing_later() { co_await brood::yield(); }

/// A child of its own for each level below; gives the pids from here down.
brood::task<std::vector<pid_t>> descend(int levels) {
  std::vector<pid_t> pids{getpid()};
  if (levels > 0) {
    auto child = co_await brood::spawn<descend>(levels - 1);
    const auto below = co_await child.result();
    pids.insert(pids.end(), below.begin(), below.end());
  }
  co_return pids;
}

brood::task<int> square_in_image(int x) {
  auto child = co_await brood::spawn<square>(x).start_method(brood::start_method::exec);
  co_return co_await child.result();
}

/// Counts the objects that live in this process.
struct counted {
  static inline int living = 0;
  int value = 0;
  counted() { ++living; }
  explicit counted(int v) : value(v) { ++living; }
  counted(const counted& other) : value(other.value) { ++living; }
  counted(counted&& other) noexcept : value(other.value) { ++living; }
  counted& operator=(const counted&) = default;
  ~counted() { --living; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
};
void keep(counted) { wait_for_end_of_input(); }

int sum_of_squares_of_children(std::vector<int> numbers) {
  return brood::sync_wait([](std::vector<int> all) -> brood::task<int> {
    std::vector<brood::process<int>> children;
    for (const int n : all) children.push_back(co_await brood::spawn<square>(n));
    int sum = 0;
    for (auto& child : children) sum += co_await child.result();
    co_return sum;
  }(std::move(numbers)));
}

}  // namespace

TEST_CASE("a spawn that is never awaited starts nothing") {
  run_clean([]() -> brood::task<> {
    {
      [[maybe_unused]] auto never = brood::spawn<square>(7);
    }
    CHECK(brood::active_children().empty());
    co_return;
  });
}

TEST_CASE("a function runs in a child and gives its result, as often as it is asked") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<square>(7);
    CHECK(child.pid() != getpid());
    const auto child_result = co_await child.result();
    CHECK(child_result == 49);
    const auto second_child_result = co_await child.result();
    CHECK(second_child_result == 49);
    CHECK(child.exitcode() == 0);
  });
}

TEST_CASE("functions that give nothing, cannot throw, are lambdas or coroutines") {
  run_clean([]() -> brood::task<> {
    auto nothing = co_await brood::spawn<do_nothing>();
    co_await nothing.result();
    auto no_errors = co_await brood::spawn<square_without_errors>(5);
    const auto no_errors_result = co_await no_errors.result();
    CHECK(no_errors_result == 25);
    auto lambda = co_await brood::spawn<[](int a, int b) { return a * b; }>(6, 7);
    const auto lambda_result = co_await lambda.result();
    CHECK(lambda_result == 42);
    auto coroutine = co_await brood::spawn<square_later>(9);
    const auto coroutine_result = co_await coroutine.result();
    CHECK(coroutine_result == 81);
    auto empty_coroutine = co_await brood::spawn<do_nothing_later>();
    co_await empty_coroutine.result();
  });
}

TEST_CASE("arguments convert to the function's parameters") {
  run_clean([]() -> brood::task<> {
    const std::string text = "ab";
    auto child = co_await brood::spawn<repeat>(text, 3);
    const auto child_result = co_await child.result();
    CHECK(child_result == "ababab");
    auto from_literal = co_await brood::spawn<repeat>("cd", short{2});
    const auto from_literal_result = co_await from_literal.result();
    CHECK(from_literal_result == "cdcd");
  });
}

TEST_CASE("arguments and results of every size: none, around a message's, many megabytes") {
  const std::size_t sizes[] = {0, 1, 32 * 1024 - 200, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 3 * 1024 * 1024};
  run_clean([&]() -> brood::task<> {
    for (const std::size_t size : sizes) {
      const std::string text(size, 'a');
      auto echo = co_await brood::spawn<give_back>(text);
      const std::string back = co_await echo.result();
      CHECK((back == text));
    }
  });
}

TEST_CASE("a hundred mebibytes travel to a child and from one") {
  run_clean([]() -> brood::task<> {
    const std::size_t size = std::size_t{100} << 20;
    const std::string text(size, 'b');
    auto there = co_await brood::spawn<length_of>(text);
    const auto there_result = co_await there.result();
    CHECK(there_result == size);
    auto back = co_await brood::spawn<make_bytes>(size);
    const std::string made = co_await back.result();
    CHECK(made.size() == size);
    CHECK(made.find_first_not_of('x') == std::string::npos);
  });
}

TEST_CASE("what can only be moved travels both ways") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<give_back_pointer>(std::make_unique<int>(11));
    const std::unique_ptr<int> back = co_await child.result();
    REQUIRE(back != nullptr);
    CHECK(*back == 11);
  });
}

TEST_CASE("the parent keeps no argument once the child is started") {
  run_clean([]() -> brood::task<> {
    const int before = counted::living;
    auto child = co_await brood::spawn<keep>(counted(3)).stdin_(brood::piped);
    CHECK(counted::living == before);
    child.stdin_().close();
    co_await child.result();
  });
}

TEST_CASE("children spawn children, three levels deep") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<descend>(3);
    const auto pids = co_await child.result();
    CHECK(pids.size() == 4);
    CHECK(pids.front() == child.pid());
    CHECK(std::set<pid_t>(pids.begin(), pids.end()).size() == 4);
  });
}

TEST_CASE("a plain function in a child waits for children of its own") {
  run_clean([]() -> brood::task<> {
    const std::vector<int> numbers{1, 2, 3};
    auto child = co_await brood::spawn<sum_of_squares_of_children>(numbers);
    const auto child_result = co_await child.result();
    CHECK(child_result == 14);
  });
}

TEST_CASE("a child spawns its children as fresh images") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<square_in_image>(12);
    const auto child_result = co_await child.result();
    CHECK(child_result == 144);
    auto image = co_await brood::spawn<square_in_image>(13).start_method(brood::start_method::exec);
    const auto image_result = co_await image.result();
    CHECK(image_result == 169);
    auto deep = co_await brood::spawn<descend>(3).start_method(brood::start_method::exec);
    const auto deep_result = co_await deep.result();
    CHECK(deep_result.size() == 4);
  });
}

TEST_CASE("many spawns at once each get their own result") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::task<int>> all;
    const int count = many(500);
    for (int i = 0; i < count; ++i) {
      all.push_back([](int n) -> brood::task<int> {
        auto child = co_await brood::spawn<square>(n);
        co_return co_await child.result();
      }(i));
    }
    const std::vector<int> results = co_await brood::when_all(std::move(all));
    for (int i = 0; i < count; ++i) CHECK(results[static_cast<std::size_t>(i)] == i * i);
  });
}

TEST_CASE("a spawn that is assigned to itself while it is set up keeps what it had") {
  run_clean([]() -> brood::task<> {
    auto operation = brood::spawn<square>(7);
    operation = std::move(operation).name("itself");
    auto child = co_await std::move(operation);
    const int result = co_await child.result();
    CHECK(result == 49);
    CHECK(child.name() == "itself");
  });
}

TEST_CASE("an integer argument that the parameter cannot hold is refused, not cut") {
  CHECK_THROWS_AS(brood::spawn<square>(std::int64_t{1} << 40), std::out_of_range);
  CHECK_THROWS_AS(brood::spawn<square>(3'000'000'000u), std::out_of_range);
  CHECK_THROWS_AS((brood::spawn<[](unsigned char c) { return c; }>(-1)), std::out_of_range);
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<square>(std::int64_t{9});
    const int result = co_await child.result();
    CHECK(result == 81);
  });
}
