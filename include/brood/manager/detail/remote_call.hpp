// A client's side of one call: what is sent, what is waited for, how the answer is read.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/detail/suspension.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/export.hpp"
#include "brood/manager/detail/protocol.hpp"

namespace brood::remote {

class client;

/// This process's hold on one object of a manager; handles share it. Lifetime: with the last of them the hold is given
/// back. Thread: the loop's.
struct BROOD_API reference {
  reference(std::shared_ptr<client> manager, std::uint64_t of_instance, number object,
            std::uint64_t object_type);
  ~reference();
  reference(const reference&) = delete;
  reference& operator=(const reference&) = delete;

  std::shared_ptr<client> home;
  std::uint64_t instance;
  number id;
  std::uint64_t type;       // 0: not known here
  std::uint64_t epoch = 0;  // the connection over which the hold is; 0: none yet
  std::uint64_t grants = 0;
};
using object_pointer = std::shared_ptr<reference>;

/// The connection that the object's manager has now; 0 for none.
BROOD_API std::uint64_t present_epoch(const reference& object) noexcept;

/// While one lives, handles of `home`'s objects are encoded as their numbers, gathered here, and decoded
/// as such. Scopes nest; the innermost counts.
class BROOD_API home_scope {
 public:
  explicit home_scope(client* home) noexcept;
  ~home_scope();
  home_scope(const home_scope&) = delete;
  home_scope& operator=(const home_scope&) = delete;

  static home_scope* current() noexcept;
  client* home() const noexcept { return home_; }
  std::vector<object_pointer> objects;

 private:
  client* home_;
  home_scope* outer_;
};

/// Appends a value and the numbers of the objects in it.
BROOD_API void put_encoded(bytes& out, std::span<const std::byte> data,
                           const std::vector<object_pointer>& objects);

/// Gives the objects whose handles are in the value.
template <class T>
std::vector<object_pointer> put_value(bytes& out, client* home, const T& value) {
  if constexpr (is_flat<T>) {
    put_count(out, sizeof(T) << 1);
    put_bytes(out, std::as_bytes(std::span(std::addressof(value), 1)));
    return {};
  } else {
    home_scope scope(home);
    const bytes data = encode(value);
    put_encoded(out, data, scope.objects);
    return std::move(scope.objects);
  }
}

/// A request but for its id.
class BROOD_API request {
 public:
  /// A call of an object's method.
  template <class Method>
  request(const object_pointer& target, Method method) : home_(target->home), target_(target) {
    body_.reserve(64);
    body_.push_back(static_cast<std::byte>(operation::call));
    put_count(body_, target->id);
    put_count(body_, static_cast<std::uint64_t>(method));
  }
  request(std::shared_ptr<client> home, kind what, std::uint64_t type, std::string_view name);
  request(std::shared_ptr<client> home, operation what);

  request& count(std::uint64_t n) & {
    put_count(body_, n);
    return *this;
  }
  /// For indices, which may be negative: zigzag.
  request& index(std::int64_t n) & {
    return count((static_cast<std::uint64_t>(n) << 1) ^ static_cast<std::uint64_t>(n >> 63));
  }
  request& fixed(std::uint64_t n) & {
    put_fixed(body_, n);
    return *this;
  }
  template <class T>
  request& value(const T& v) & {
    auto objects = put_value(body_, home_.get(), v);
    if (!objects.empty()) kept_.insert(kept_.end(), objects.begin(), objects.end());
    return *this;
  }
  request& raw(std::span<const std::byte> encoded) & {
    put_bytes(body_, encoded);
    return *this;
  }

  const std::shared_ptr<client>& home() const noexcept { return home_; }
  const object_pointer& target() const noexcept { return target_; }
  const bytes& body() const noexcept { return body_; }

 private:
  std::shared_ptr<client> home_;
  object_pointer target_;
  std::vector<object_pointer> kept_;  // so that what the values refer to is there when they arrive
  bytes body_;
};

/// Sends a request that wants no answer, if there is a connection.
BROOD_API void post(const request& what) noexcept;

/// What came back: bytes, or why there are none. The bytes live as long as the call of `settle`.
struct answer {
  std::span<const std::byte> body;
  std::exception_ptr failure;
};

/// Reads an answer. Every member throws `decode_error` rather than look beyond its end.
class BROOD_API answer_reader {
 public:
  answer_reader(const request& asked, std::span<const std::byte> body) : asked_(asked), in_(body) {}

  std::uint64_t count() { return in_.read_number(); }
  bool flag() { return in_.read_flag("flag of an answer"); }
  template <class T>
  T value() {
    const held_value held = take_value();
    const home_scope scope(home().get());
    return decode<T>(held.data);
  }
  /// A value that is there or is not.
  template <class T>
  std::optional<T> optional() {
    if (!flag()) return std::nullopt;
    return std::optional<T>(std::in_place, value<T>());
  }
  /// So many of something that takes a byte at least.
  std::size_t size() {
    const std::uint64_t announced = count();
    if (announced > in_.remaining()) throw decode_error("an answer of more elements than bytes");
    return static_cast<std::size_t>(announced);
  }
  template <class T>
  std::vector<T> values() {
    std::vector<T> result;
    const std::size_t announced = size();
    result.reserve(announced);
    for (std::size_t i = 0; i < announced; ++i) result.push_back(value<T>());
    return result;
  }
  /// A new object, which this process now holds once.
  object_pointer object(std::uint64_t type);

  const std::shared_ptr<client>& home() const noexcept { return asked_.home(); }
  const object_pointer& target() const noexcept { return asked_.target(); }

 private:
  struct held_value {
    std::span<const std::byte> data;
    std::vector<object_pointer> objects;  // until the value's own handles hold them
  };
  held_value take_value();

  const request& asked_;
  detail::byte_reader in_;
};

/// Takes back what an answer gave to a caller that was cancelled meanwhile.
using undo = void (*)(const request& asked, std::span<const std::byte> body);

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
    undo_(*request_, kept_);
    return true;
  }

 private:
  void settle(const answer& came) noexcept override {
    try {
      if (came.failure) std::rethrow_exception(came.failure);
      if (undo_ != nullptr) kept_.assign(came.body.begin(), came.body.end());
      answer_reader reader(*request_, came.body);
      if constexpr (std::is_void_v<result>) {
        finish_(reader);
      } else {
        result_.emplace(finish_(reader));
      }
    } catch (...) {
      failure_ = std::current_exception();
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
    return {std::move(request_), std::move(finish_), undo_};
  }

 private:
  std::shared_ptr<const remote::request> request_;
  Finish finish_;
  remote::undo undo_;
};

}  // namespace brood

namespace brood::remote {

struct to_nothing {
  void operator()(answer_reader&) const {}
};
struct to_flag {
  bool operator()(answer_reader& from) const { return from.flag(); }
};
struct to_size {
  std::size_t operator()(answer_reader& from) const { return static_cast<std::size_t>(from.count()); }
};
template <class T>
struct to_value {
  T operator()(answer_reader& from) const { return from.value<T>(); }
};
template <class T>
struct to_optional {
  std::optional<T> operator()(answer_reader& from) const { return from.optional<T>(); }
};
template <class T>
struct to_values {
  std::vector<T> operator()(answer_reader& from) const { return from.values<T>(); }
};

}  // namespace brood::remote
