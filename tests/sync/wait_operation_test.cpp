// wait_operation: what the base of every wait for shared memory promises to those that are made of it.
#include "brood/arena/detail/wait_operation.hpp"

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/sync/event.hpp"
#include "catch.hpp"
#include "memory.hpp"

using namespace brood;
using test::in_loop;
using test::memory;

namespace {

/// Finds what it waits for only at its second look, which is the one after it entered the list.
class second_look : public detail::wait_operation<second_look> {
 public:
  explicit second_look(detail::event_core& core) noexcept : core_(core) {}
  bool attempt() noexcept { return ++looks_ > 1; }
  static constexpr bool more() noexcept { return false; }
  detail::wait_list& list() const noexcept { return core_.waiters(); }
  arena& memory() const noexcept { return core_.memory(); }
  int await_resume() {
    take();
    return looks_;
  }

 private:
  detail::event_core& core_;
  int looks_ = 0;
};

}  // namespace

TEST_CASE(
    "a stop that comes within the expression of a wait that found something at its second look reaches "
    "nobody") {
  memory m;
  in_loop([]() -> task<> {
    const auto core =
        detail::create_primitive<detail::event_core>(family_memory::get(), [](detail::event_state&) {});
    int looks = 0;
    int after = 0;
    co_await with_nursery([&](nursery& n) -> task<> {
      const auto stop = [&n](int found) {
        n.cancel();  // the awaiter lives until the semicolon, and must not be posted
        return found;
      };
      looks = stop(co_await second_look(*core));
      ++after;
    });
    co_await yield();
    CHECK(looks == 2);
    CHECK(after == 1);
  });
}
