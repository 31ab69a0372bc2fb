// The awaitable of `locked()`: a lock's, that gives what it protects along with the guard.
#pragma once

#include <utility>

#include "brood/channel/shared_buffer.hpp"
#include "brood/sync/lock.hpp"

namespace brood::detail {

/// `Result` is made of the guard, the memory and the view of it.
template <class Result, class View>
class locked_awaiter : public acquire_awaiter<lock_core, lock_guard> {
 public:
  locked_awaiter(std::shared_ptr<lock_core> core, shared_buffer memory, View view) noexcept
      : acquire_awaiter(std::move(core)), memory_(std::move(memory)), view_(view) {}
  Result await_resume() { return Result(acquire_awaiter::await_resume(), std::move(memory_), view_); }

 private:
  shared_buffer memory_;
  View view_;
};

template <class Result, class View>
class locked_operation {
 public:
  locked_operation(acquire_operation<lock_core, lock_guard> operation, shared_buffer memory,
                   View view) noexcept
      : core_(std::move(operation).core()), memory_(std::move(memory)), view_(view) {}
  locked_awaiter<Result, View> operator co_await() && {
    once_.spend();
    return locked_awaiter<Result, View>(std::move(core_), std::move(memory_), view_);
  }

 private:
  std::shared_ptr<lock_core> core_;
  shared_buffer memory_;
  View view_;
  brood::detail::await_once once_;
};

}  // namespace brood::detail
