// managed::pool: workers of a manager's server, for any of its clients. Pool and manager do not know each other; this
// stands above both.
#pragma once

#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "brood/manager/manager.hpp"
#include "brood/pool/pool.hpp"
#include "brood/runtime/detail/local_event.hpp"

namespace brood::remote {

/// The object in the server. Its methods are registered as those of the user's classes are, by being named.
class shared_pool {
 public:
  explicit shared_pool(int workers) : workers_(workers) {
    if (workers < 1) throw std::invalid_argument("brood::pool: a pool has at least one worker");
  }

  /// Whoever comes first opens it; one that is cancelled meanwhile leaves that to the next. Each call asks: one that finds
  /// it by its name in a manager that has come back finds it new.
  task<> open() {
    while (!pool_) {
      if (opening_) {
        co_await changed_.wait();
        continue;
      }
      const opening here(*this);
      pool_.emplace(co_await brood::pool::open(workers_));
    }
  }
  template <auto F>
  using result = typename detail::child_function<F>::result;
  template <auto F>
  using results =
      std::conditional_t<std::is_void_v<result<F>>, void, std::vector<detail::value_or_unit<result<F>>>>;

  template <auto F, class... A>
  task<result<F>> apply(A... arguments) {
    co_await open();
    co_return co_await pool_->template apply<F>(std::move(arguments)...);
  }
  template <auto F, class T>
  task<results<F>> map(std::vector<T> items) {
    co_await open();
    co_return co_await pool_->template map<F>(items);
  }
  template <auto F, class T>
  task<results<F>> starmap(std::vector<T> items) {
    co_await open();
    co_return co_await pool_->template starmap<F>(items);
  }
  template <auto F, class T>
  generator<result<F>> imap(std::vector<T> items) {
    co_await open();
    auto stream = pool_->template imap<F>(std::move(items));
    for (;;) {
      auto one = co_await stream.next();
      if (!one) co_return;
      co_yield moved{*one};
    }
  }
  task<> close() {
    if (pool_) co_await pool_->close();
  }
  void terminate() {
    if (pool_) pool_->terminate();
  }

 private:
  struct opening {
    explicit opening(shared_pool& p) noexcept : whose(p) { whose.opening_ = true; }
    ~opening() {
      whose.opening_ = false;
      whose.changed_.notify_all();
    }
    shared_pool& whose;
  };

  int workers_;
  bool opening_ = false;
  std::optional<brood::pool> pool_;
  detail::local_event changed_;
};

}  // namespace brood::remote

namespace brood::managed {

/// A `brood::pool` in the manager's server, of which the workers are children. What its clients ask for
/// shares them; a client that dies gives up what it has asked for. Errors arrive as `remote_error`, also
/// `child_died`.
class pool : public object<remote::shared_pool> {
 public:
  using shared = remote::shared_pool;
  using object::object;

  /// `R` of a call of `F` with copies of `arguments`.
  template <auto F, class... A>
  auto apply(A&&... arguments) const {
    return call<&shared::apply<F, remote::traveller<A>...>>(std::forward<A>(arguments)...);
  }
  /// `std::vector<R>` of calls with each item; all travel in one request, and the results in one answer.
  template <auto F, class T>
  auto map(const std::vector<T>& items) const {
    return call<&shared::map<F, T>>(items);
  }
  /// The same with items that are tuples of arguments.
  template <auto F, class T>
  auto starmap(const std::vector<T>& items) const {
    return call<&shared::starmap<F, T>>(items);
  }
  /// `generator<R>`, in the order of the items; the pool works ahead of it within a window.
  template <auto F, class T>
  auto imap(const std::vector<T>& items) const {
    return each<&shared::imap<F, T>>(items);
  }
  /// As `brood::pool`'s.
  auto close() const { return call<&shared::close>(); }
  auto terminate() const { return call<&shared::terminate>(); }

 private:
  friend class brood::manager;
  static task<pool> open(remote_call<remote::to_proxy<pool>> making) {
    const pool made = co_await std::move(making);
    co_await made.call<&shared::open>();
    co_return made;
  }
};

}  // namespace brood::managed
