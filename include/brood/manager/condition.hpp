// managed::condition: waiting in a manager for others to notify, with a lock given up meanwhile.
#pragma once

#include <concepts>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/manager/lock.hpp"

namespace brood::managed {

/// Waits for others to notify, with a `lock` given up meanwhile. `m.condition(lock)` makes one.
class condition : public remote::proxy_of<condition> {
  using method = remote::condition_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<>(remote::kind::condition); }

  /// Gives the lock up, waits until it is notified, and has it again. `guard` holds the condition's lock, and lives on.
  /// Cancellation: the guard then holds nothing, as to get the lock again could take for ever.
  task<> wait(lock_guard& guard) const { return wait_once(*this, guard); }
  /// Waits until `done()`, a plain function or a coroutine, is true; it is asked with the lock held.
  template <class Predicate>
    requires std::invocable<std::decay_t<Predicate>&>
  task<> wait(lock_guard& guard, Predicate&& done) const {
    detail::require_safe_function<Predicate>();
    return wait_for<std::decay_t<Predicate>>(*this, guard, std::forward<Predicate>(done));
  }
  /// Wakes as many as there are, at most `count`; gives how many. Nobody has to hold the lock.
  auto notify(std::size_t count = 1) const {
    remote::request what(object(), method::notify);
    what.count(count);
    return remote_call(std::move(what), remote::to_size());
  }
  auto notify_all() const { return asked(remote::to_size(), method::notify_all); }

 private:
  struct regained {
    std::uint64_t id;
    bool abandoned;
  };
  struct to_regained {
    regained operator()(remote::answer_reader& from) const {
      const std::uint64_t id = from.count();
      return {id, from.flag()};
    }
  };

  /// Of the lock, which nobody has taken over from the answer.
  static void release(remote::answer_reader& from) {
    remote::give_back(from.target(), static_cast<std::uint64_t>(method::release), to_regained()(from).id);
  }
  static task<> wait_once(condition self, lock_guard& guard) {
    if (!guard.is_held()) throw std::logic_error("brood: to wait on a condition its lock must be held");
    const remote::object_pointer lock = std::exchange(guard.object_, nullptr);
    remote::request what(self.object(), method::wait);
    what.count(guard.id_);
    remote_call waiting(std::move(what), to_regained(), &release);
    const regained got = co_await std::move(waiting);
    guard = lock_guard(lock, got.id, got.abandoned);
  }
  template <class Predicate>
  static task<> wait_for(condition self, lock_guard& guard, Predicate done) {
    for (;;) {
      if constexpr (std::is_convertible_v<std::invoke_result_t<Predicate&>, bool>) {
        if (done()) co_return;
      } else {
        const bool is_done = co_await done();
        if (is_done) co_return;
      }
      co_await wait_once(self, guard);
    }
  }
};

}  // namespace brood::managed
