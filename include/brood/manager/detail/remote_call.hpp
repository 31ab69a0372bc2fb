// A client's side of one call: it is sent, its answer waited for.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/suspension.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/export.hpp"
#include "brood/manager/detail/answer.hpp"

namespace brood::remote {

/// Takes back what an answer gave to a caller that was cancelled meanwhile.
using undo = void (*)(answer_reader& from);

/// `again`: the answer was read before. What cannot be read is nobody's.
BROOD_API void take_back(undo how, const request& asked, std::span<const std::byte> body,
                         bool again) noexcept;

/// Somebody who waits for an answer.
class pending_call {
 public:
  virtual void settle(const answer& came) noexcept = 0;

 protected:
  ~pending_call() = default;
};

/// Sends the request once there is a connection; gives its id.
BROOD_API std::uint64_t submit(std::shared_ptr<const request> what, pending_call& waiter);
/// Nobody waits any more. What the answer gives, if it does, is undone.
BROOD_API void abandon(const request& what, std::uint64_t id, undo take_back) noexcept;

/// `Finish` reads the result out of an `answer_reader&`.
template <class Finish>
class call_awaiter final : public detail::suspension<call_awaiter<Finish>>, private pending_call {
 public:
  using result = std::invoke_result_t<Finish&, answer_reader&>;

  call_awaiter(std::shared_ptr<const request> what, Finish finish, undo take_back)
      : request_(std::move(what)), finish_(std::move(finish)), undo_(take_back) {}

  bool await_ready() const noexcept { return false; }
  result await_resume() {
    this->take();
    if (failure_) std::rethrow_exception(failure_);
    if constexpr (!std::is_void_v<result>) return std::move(*result_);
  }

  void start() { id_ = submit(request_, *this); }
  void abandon() noexcept { remote::abandon(*request_, id_, undo_); }
  bool give_back() noexcept {
    if (undo_ == nullptr || failure_) return false;
    take_back(undo_, *request_, kept_, true);
    return true;
  }

 private:
  void settle(const answer& came) noexcept override {
    bool begun = false;
    try {
      if (came.failure) std::rethrow_exception(came.failure);
      if (undo_ != nullptr) kept_.assign(came.body.begin(), came.body.end());
      answer_reader reader(*request_, came.body);
      begun = true;
      if constexpr (std::is_void_v<result>) {
        finish_(reader);
      } else {
        result_.emplace(finish_(reader));
      }
    } catch (...) {
      failure_ = std::current_exception();
      if (undo_ != nullptr && !came.failure) take_back(undo_, *request_, came.body, begun);
    }
    this->complete();
  }

  std::shared_ptr<const request> request_;
  Finish finish_;
  undo undo_;
  std::uint64_t id_ = 0;
  bytes kept_;
  std::exception_ptr failure_;
  std::optional<detail::value_or_unit<result>> result_;
};

}  // namespace brood::remote

namespace brood {

/// What a member of a handle of the manager's gives. Nothing is sent before it is awaited; the requests of all
/// coroutines that run in one turn of the loop leave in one write. Throws `remote_error` with what the object threw,
/// `disconnected`, `object_gone`, `call_refused`.
/// Cancellation: ends at once. A call that waits in the server is taken back there, and what it takes all the same goes
/// back (an item to the front of its queue, a lock to the next). A call that changes something may have done so.
/// Lifetime: keeps the object alive.
template <class Finish>
class [[nodiscard("nothing is sent until this is awaited")]] remote_call {
 public:
  remote_call(remote::request what, Finish finish, remote::undo take_back = nullptr)
      : request_(std::make_shared<const remote::request>(std::move(what))),
        finish_(std::move(finish)),
        undo_(take_back) {}

  remote::call_awaiter<Finish> operator co_await() && {
    once_.spend();
    return {std::move(request_), std::move(finish_), undo_};
  }

 private:
  std::shared_ptr<const remote::request> request_;
  Finish finish_;
  remote::undo undo_;
  brood::detail::await_once once_;
};

}  // namespace brood
