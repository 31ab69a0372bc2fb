// event: something that has happened, or not yet, for coroutines of any processes of the family.
#pragma once

#include <memory>

#include "brood/arena/detail/wait_operation.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/primitive.hpp"

namespace brood {
namespace detail {

struct event_state {
  word state;  // how often it was set << 1 | whether it is; changed by compare-and-swap
  word spare[7];
  wait_list waiters;
};
static_assert(sizeof(event_state) == 64 + sizeof(wait_list));

/// One word, and those who wait for it. Between the change and the wakes the event stands in the setter's
/// intent, so that the clean-up after it wakes them.
class BROOD_API event_core final : public primitive<event_state> {
 public:
  static constexpr std::uint8_t kind_number = event_kind;
  event_core(arena& memory, reference block, word& cell) : primitive(memory, block, event_kind, cell) {}
  event_core(arena& memory, object_name name) : primitive(memory, name, event_kind) {}

  void set();
  void clear() noexcept;
  bool is_set() const noexcept { return (load() & 1) != 0; }
  std::uint64_t load() const noexcept { return state().state.load(std::memory_order_acquire); }
  wait_list& waiters() noexcept { return state().waiters; }
};

class event_awaiter : public wait_operation<event_awaiter> {
 public:
  explicit event_awaiter(std::shared_ptr<event_core> core) noexcept
      : core_(std::move(core)), times_set_(core_->load() >> 1) {}
  bool attempt() const noexcept {
    const std::uint64_t now = core_->load();
    return (now & 1) != 0 || now >> 1 != times_set_;
  }
  static constexpr bool more() noexcept { return false; }
  wait_list& list() const noexcept { return core_->waiters(); }
  arena& memory() const noexcept { return core_->memory(); }
  void await_resume() { take(); }

 private:
  std::shared_ptr<event_core> core_;
  std::uint64_t times_set_;  // when the wait began
};

class event_operation {
 public:
  explicit event_operation(std::shared_ptr<event_core> core) noexcept : core_(std::move(core)) {}
  event_awaiter operator co_await() && {
    once_.spend();
    return event_awaiter(std::move(core_));
  }

 private:
  std::shared_ptr<event_core> core_;
  brood::detail::await_once once_;
};

}  // namespace detail

/// A small handle: copies name the same event, in this process, in others and inside messages. It lives until
/// the last handle of the last process and message is gone. Clear at first. Thread: the one that runs this
/// process's loop.
class BROOD_API event : public detail::shared_handle<event, detail::event_core> {
 public:
  /// The memory is taken at the first use; then `arena_full`, and `std::logic_error` without `brood::init`.
  event() = default;

  /// Returns when the event is set; at once if it is. Who waited when it was set goes on, also if it was
  /// cleared again at once. Cancellation: nothing is lost.
  [[nodiscard]] detail::event_operation wait() const { return detail::event_operation(core()); }
  /// Wakes everybody who waits, each once. A waiter's death costs nothing. Setting twice is fine.
  void set() const { core()->set(); }
  void clear() const { core()->clear(); }
  bool is_set() const { return core()->is_set(); }
  /// Coroutines, of all processes, that wait at this moment.
  std::uint64_t waiting() const { return core()->waiters().count().load(std::memory_order_relaxed); }

 private:
  friend class detail::shared_handle<event, detail::event_core>;
  std::shared_ptr<detail::event_core> make() const;
};

}  // namespace brood
