// shielded: awaiting without being cancelled, for what must be done at the end of a cancelled operation.
#pragma once

#include <coroutine>
#include <utility>

namespace brood::detail {

/// Awaits what `Operation` makes, whether the task is asked to stop or not.
template <class Operation>
class shielded {
 public:
  explicit shielded(Operation operation) : awaiter_(std::move(operation).operator co_await()) {}
  bool await_ready() { return awaiter_.await_ready(); }
  auto await_suspend(std::coroutine_handle<> h) { return awaiter_.await_suspend(h); }  // untyped: of no scope
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  decltype(std::declval<Operation>().operator co_await()) awaiter_;
};

}  // namespace brood::detail
