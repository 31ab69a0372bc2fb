// Handles that were made before there was any shared memory: each process would make an object of its own.
#include <stdexcept>
#include <string>

#include "brood/channel/queue.hpp"
#include "brood/process/spawn.hpp"
#include "brood/sync/condition.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "catch.hpp"
#include "run_balanced.hpp"

namespace {

brood::queue<int> global_queue;
brood::lock global_lock;
brood::event global_event;
brood::condition global_condition;
brood::queue<int> assigned_later;

template <class F>
std::string refusal_of(F use) {
  try {
    use();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "";
}

std::string use_in_child() {
  return refusal_of([] { global_queue.try_put(1); });
}

brood::task<> put_into(brood::queue<int> q) { co_await q.put(7); }

}  // namespace

TEST_CASE("a global handle is refused at its first use, in every process") {
  run_balanced([]() -> brood::task<> {
    const std::string said = refusal_of([] { global_queue.try_put(1); });
    CHECK(said.find("before brood::init") != std::string::npos);
    CHECK(refusal_of([] { static_cast<void>(global_lock.try_acquire()); }) == said);
    CHECK(refusal_of([] { global_event.set(); }) == said);
    CHECK(refusal_of([] { global_condition.notify(); }) == said);
    CHECK(refusal_of([] { const brood::queue<int> copy(global_queue); }) == said);
    auto child = co_await brood::spawn<use_in_child>();
    const std::string in_child = co_await child.result();
    CHECK(in_child == said);
  });
}

TEST_CASE("a global handle that is assigned in the application names what it was assigned") {
  run_balanced([]() -> brood::task<> {
    assigned_later = brood::queue<int>(3);
    auto child = co_await brood::spawn<put_into>(assigned_later);
    const int got = co_await assigned_later.get();
    CHECK(got == 7);
    co_await child.join();
    assigned_later = brood::queue<int>();
  });
}
