// brood-traces, with which this program is linked: where an exception was thrown, as the parent sees it.
#include <stdexcept>

#include "bodies.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/pool/pool.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

/// Named in the trace, as this program shows its symbols.
[[gnu::visibility("default"), gnu::noinline]] void thrower(const std::string& text) {
  throw std::out_of_range(text);
}

namespace {

struct noisy {
  ~noisy() {
    for (int i = 0; i < 3; ++i) {
      try {
        throw i;
      } catch (int) {
      }
    }
  }
};

int throw_past_others(std::string text) {
  const noisy other;
  thrower(text);
  return 0;
}

brood::task<int> throw_in_a_coroutine(std::string text) {
  co_await brood::yield();
  thrower(text);
  co_return 0;
}

int rethrow(std::string text) {
  std::exception_ptr kept;
  try {
    thrower(text);
  } catch (...) {
    kept = std::current_exception();
  }
  std::rethrow_exception(kept);
}

int throw_for(int x) {
  thrower(std::to_string(x));
  return x;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

template <class Operation>
brood::task<> expect_trace(Operation operation) {
  try {
    co_await std::move(operation);
    FAIL_CHECK("did not throw");
  } catch (const brood::remote_error& e) {
    CHECK(e.type() == "std::out_of_range");
    CHECK_THAT(first_line(e.trace()), contains_text("thrower(") && contains_text("throw_trace_test+0x"));
  }
}

}  // namespace

TEST_CASE("the trace begins where it was thrown: in a function, in a coroutine, before it was thrown again") {
  run_clean([]() -> brood::task<> {
    auto plain = co_await brood::spawn<throw_past_others>("text").stderr_(brood::null);
    co_await expect_trace(plain.result());
    auto coroutine = co_await brood::spawn<throw_in_a_coroutine>("text").stderr_(brood::null);
    co_await expect_trace(coroutine.result());
    auto again = co_await brood::spawn<rethrow>("text").stderr_(brood::null);
    co_await expect_trace(again.result());
  });
}

TEST_CASE("it is printed on the child's standard error") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<throw_past_others>("text").stderr_(brood::piped);
    const std::string printed = co_await child.stderr_().read_all();
    CHECK_THAT(printed, contains_text("std::out_of_range: text\nthrower("));
    co_await child.join();
  });
}

TEST_CASE("a pool's task has one, too") {
  run_clean([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    co_await expect_trace(pool.apply<throw_for>(7));
    co_await pool.close();
  });
}
