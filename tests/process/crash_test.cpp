// The stack of a crash, with brood-traces.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "brood/process/exit_status.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

// Not in a namespace without a name: functions that the program shows.
namespace crashing {

void without_core() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

[[gnu::noinline]] void write_to(volatile int* where) {
  *where = 1;
  asm volatile("");
}
volatile bool for_ever = true;
[[gnu::noinline]] int recurse_for_ever(volatile char* above) {
  volatile char room[4096];
  room[0] = above != nullptr ? *above : 'x';
  return for_ever ? recurse_for_ever(room) + room[0] : 0;
}
[[gnu::noinline]] void give_up() {
  std::abort();
  asm volatile("");
}
[[gnu::noinline]] void free_twice() {
  void* const block = std::malloc(64);
  void* volatile again = block;
  std::free(block);
  std::free(again);
  asm volatile("");
}
[[gnu::noinline]] void thrower() { throw std::runtime_error("through noexcept"); }
[[gnu::noinline]] void throw_out() noexcept {
  thrower();
  asm volatile("");
}

void fault() {
  without_core();
  write_to(reinterpret_cast<volatile int*>(std::uintptr_t{0x40}));
}
void overflow() {
  without_core();
  recurse_for_ever(nullptr);
}
void abort_on_purpose() {
  without_core();
  give_up();
}
void double_free() {
  without_core();
  free_twice();
}
void terminate() {
  without_core();
  throw_out();
}
void leave_by_own_handler() {
  std::signal(SIGSEGV, [](int) { _exit(9); });
  write_to(reinterpret_cast<volatile int*>(std::uintptr_t{0x40}));
}
void wait_for_signal() {
  without_core();
  std::puts("ready");
  std::fflush(stdout);
  for (;;) pause();
}

}  // namespace crashing

namespace {

struct death {
  brood::exit_status status;
  std::string stack;
};

template <class Child>
brood::task<death> death_of(Child child) {
  death found;
  try {
    co_await child.result();
    FAIL_CHECK("it lives");
  } catch (const brood::child_died& e) {
    found = {e.status(), e.stack()};
    CHECK(e.cause() == e.status().cause());
  }
  co_return found;
}

template <auto F>
brood::task<death> crash_of() {
  auto child = co_await brood::spawn<F>().stderr_(brood::null);
  co_return co_await death_of(child);
}

void expect(const death& found, int signal, const char* function) {
  CHECK(found.status.signal == signal);
  CHECK(found.status.cause() == brood::death_cause::crash);
  CHECK_THAT(found.stack, contains_text(function));
}

}  // namespace

TEST_CASE("the stack of a crash names who crashed: a fault, an overflow, an abort") {
  run_clean([]() -> brood::task<> {
    const auto fault = co_await crash_of<crashing::fault>();
    expect(fault, SIGSEGV, "crashing::write_to(");
    CHECK(fault.status.fault_address == 0x40u);
    const auto overflow = co_await crash_of<crashing::overflow>();
    expect(overflow, SIGSEGV, "crashing::recurse_for_ever(");
    const auto aborted = co_await crash_of<crashing::abort_on_purpose>();
    expect(aborted, SIGABRT, "crashing::give_up(");
    CHECK_FALSE(aborted.status.fault_address.has_value());
  });
}

TEST_CASE("the stack of a crash names who freed twice, and who let an exception through noexcept") {
  run_clean([]() -> brood::task<> {
    const auto freed = co_await crash_of<crashing::double_free>();
    expect(freed, SIGABRT, "crashing::free_twice(");
    const auto thrown = co_await crash_of<crashing::terminate>();
    expect(thrown, SIGABRT, "crashing::throw_out(");
  });
}

TEST_CASE("a fresh image's crash has names too") {
  run_clean([]() -> brood::task<> {
    auto child =
        co_await brood::spawn<crashing::fault>().start_method(brood::start_method::exec).stderr_(brood::null);
    const auto found = co_await death_of(child);
    expect(found, SIGSEGV, "crashing::write_to(");
  });
}

TEST_CASE("a child's own handler goes before") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<crashing::leave_by_own_handler>();
    const auto status = co_await child.join();
    CHECK(status.exitcode == 9);
    CHECK(child.stack().empty());
  });
}

TEST_CASE("a crash signal that somebody sent is no crash") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<crashing::wait_for_signal>().stdout_(brood::piped);
    const auto line = co_await child.stdout_().read_line();
    CHECK(line == "ready");
    kill(child.pid(), SIGSEGV);
    const auto found = co_await death_of(child);
    CHECK(found.status.signal == SIGSEGV);
    CHECK(found.status.cause() == brood::death_cause::signal_from_outside);
  });
}
