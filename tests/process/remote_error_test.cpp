// remote_error: exceptions that leave a child's function.
#include <stdexcept>
#include <system_error>

#include "bodies.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

namespace {

int throw_standard(std::string text) { throw std::out_of_range(text); }
int throw_number() { throw 17; }
void throw_system_error() { throw std::system_error(ENOENT, std::system_category(), "opening"); }
brood::task<int> throw_later() {
  co_await brood::yield();
  throw std::invalid_argument("later");
}
void throw_cancelled() { throw brood::cancelled(); }

brood::task<int> throw_in_grandchild() {
  auto grandchild = co_await brood::spawn<throw_standard>("from below").stderr_(brood::null);
  co_return co_await grandchild.result();
}

/// Cannot be decoded: it says so where it is loaded.
struct poisoned {
  template <class Archive>
  void save(Archive& archive) const {
    archive(1);
  }
  template <class Archive>
  void load(Archive&) {
    throw brood::decode_error("poison");
  }
};
void take(poisoned) {}
poisoned give() { return {}; }

/// Cannot be encoded.
struct stubborn {
  template <class Archive>
  void save(Archive&) const {
    throw std::domain_error("stubborn");
  }
  template <class Archive>
  void load(Archive&) {}
};
stubborn give_stubborn() { return {}; }
void take_stubborn(stubborn) {}

}  // namespace

TEST_CASE("an exception in a child arrives with its type, text, pid and name") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<throw_standard>("too far").name("thrower").stderr_(brood::null);
    try {
      co_await child.result();
      FAIL("a result of a child that threw");
    } catch (const brood::remote_error& e) {
      CHECK(e.type() == "std::out_of_range");
      CHECK(std::string(e.what()) == "too far");
      CHECK(e.pid() == child.pid());
      CHECK(e.process_name() == "thrower");
    }
    CHECK(child.exitcode() == 1);
    CHECK_THROWS_AS(co_await child.result(), brood::remote_error);
  });
}

TEST_CASE("exceptions of coroutines, of the system and of no class at all") {
  run_clean([]() -> brood::task<> {
    auto later = co_await brood::spawn<throw_later>().stderr_(brood::null);
    CHECK_THROWS_WITH(co_await later.result(), "later");
    auto system = co_await brood::spawn<throw_system_error>().stderr_(brood::null);
    CHECK_THROWS_WITH(co_await system.result(), contains_text("opening"));
    auto number = co_await brood::spawn<throw_number>().stderr_(brood::null);
    CHECK_THROWS_AS(co_await number.result(), brood::remote_error);
    auto cancelled = co_await brood::spawn<throw_cancelled>().stderr_(brood::null);
    CHECK_THROWS_AS(co_await cancelled.result(), brood::remote_error);
  });
}

TEST_CASE("an exception passes through a child of a child") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<throw_in_grandchild>().stderr_(brood::null);
    try {
      co_await child.result();
      FAIL("a result of a child whose child threw");
    } catch (const brood::remote_error& e) {
      CHECK_THAT(e.type(), contains_text("remote_error"));
      CHECK_THAT(e.what(), contains_text("from below"));
    }
  });
}

TEST_CASE("a long text of an error arrives whole, by result and on standard error") {
  run_clean([]() -> brood::task<> {
    const std::string text(200'000, 'e');
    auto child = co_await brood::spawn<throw_standard>(text).stderr_(brood::piped);
    const std::string printed = co_await child.stderr_().read_all();
    CHECK_THAT(printed, contains_text("std::out_of_range"));
    CHECK(printed.find(text) != std::string::npos);
    CHECK(printed.back() == '\n');
    CHECK_THROWS_WITH(co_await child.result(), text);
  });
}

TEST_CASE("an argument that cannot be decoded is a decode_error of that child") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<take>(poisoned()).name("victim").stderr_(brood::null);
    CHECK_THROWS_AS(co_await child.result(), brood::decode_error);
    CHECK_THROWS_WITH(co_await child.result(), contains_text("victim") && contains_text("poison"));
    CHECK(child.exitcode() == 1);
  });
}

TEST_CASE("a result that cannot be decoded is a decode_error in the parent") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<give>();
    CHECK_THROWS_AS(co_await child.result(), brood::decode_error);
    CHECK(child.exitcode() == 0);
  });
}

TEST_CASE("a result that cannot be encoded is an error of the child, an argument one at the call") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<give_stubborn>().stderr_(brood::null);
    CHECK_THROWS_WITH(co_await child.result(), "stubborn");
    CHECK_THROWS_AS(brood::spawn<take_stubborn>(stubborn()), std::domain_error);
  });
}
