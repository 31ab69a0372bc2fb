// What pool::map, starmap, imap and apply give: set what is to be set, then await it.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <ranges>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/pool/detail/call_job.hpp"
#include "brood/pool/detail/map_job.hpp"
#include "brood/pool/detail/stream_job.hpp"
#include "brood/pool/outcome.hpp"

namespace brood {

namespace detail {
/// A pool, as those hold it who need it.
struct pool_reference {
  std::shared_ptr<scheduler> pool;
  std::shared_ptr<void> kept;  // keeps it open
};
}  // namespace detail

/// The setters of a task, which `map`, `apply` and the streams share.
template <class Self>
class task_setters {
 public:
  /// An item that runs longer is ended by SIGKILL, with its worker and its whole process tree; it counts as
  /// lost with its worker (`child_died`, whose status says so). The next task runs in a new worker. Right to
  /// a few milliseconds.
  template <class Rep, class Period>
  Self&& deadline(std::chrono::duration<Rep, Period> d) && {
    self().job_settings().deadline = detail::positive_time(d);
    return std::move(self());
  }
  /// An item that runs longer is asked to end: a coroutine is cancelled, a plain function sees
  /// `this_process().stop_requested()`. If it unwinds it fails with `timed_out`, and its worker goes on with the next; if it
  /// gives a result all the same, that counts; if it does neither it runs on, to its `deadline` if it has one.
  template <class Rep, class Period>
  Self&& soft_deadline(std::chrono::duration<Rep, Period> d) && {
    self().job_settings().soft_deadline = detail::positive_time(d);
    return std::move(self());
  }
  /// For a single call: what runs when it is cancelled is asked to end; when `d` has passed (default 2 s) its worker is killed,
  /// at once if `d` is not positive. What runs of a map or a stream costs its worker at once.
  template <class Rep, class Period>
  Self&& stop_within(std::chrono::duration<Rep, Period> d) && {
    self().job_settings().stop_limit = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return std::move(self());
  }
  /// An item that is lost with its worker is tried again, up to `n` times. One that throws is not: it would
  /// again.
  Self&& retries(std::uint32_t n) && {
    self().job_settings().retries = n;
    return std::move(self());
  }

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }
};

/// A call in a pool; see `pool::apply`.
template <class R>
class [[nodiscard("nothing runs until this is awaited")]] apply_operation
    : public task_setters<apply_operation<R>> {
 public:
  apply_operation(std::shared_ptr<detail::call_job<R>> call, detail::pool_reference pool)
      : call_(std::move(call)), pool_(std::move(pool)) {}
  auto operator co_await() && {
    once_.spend();
    return detail::owned_task<R>(
        detail::result_of(std::move(call_), std::move(pool_.pool), std::move(pool_.kept)));
  }
  detail::job_settings& job_settings() noexcept { return call_->settings(); }

 private:
  std::shared_ptr<detail::call_job<R>> call_;
  detail::pool_reference pool_;
  brood::detail::await_once once_;
};

/// A function over a range in a pool; see `pool::map`.
template <auto F, bool Star, bool Collect, class View>
class [[nodiscard("nothing runs until this is awaited")]] map_operation
    : public task_setters<map_operation<F, Star, Collect, View>> {
  using job_type = detail::map_job<F, Star, Collect, View>;

 public:
  map_operation(View items, detail::job_settings settings, detail::progress_function progress,
                detail::pool_reference pool)
      : items_(std::move(items)),
        settings_(settings),
        progress_(std::move(progress)),
        pool_(std::move(pool)) {}

  /// Items a worker gets at a time; default: a quarter of its share, as in Python.
  map_operation&& chunk(std::uint64_t n) && {
    settings_.chunk = n;
    return std::move(*this);
  }
  /// Calls `told(done, total)` on the loop whenever there are more results, but not for each: once a turn.
  /// What it throws ends the map.
  template <class Told>
    requires std::constructible_from<detail::progress_function, Told>
  map_operation&& progress(Told&& told) && {
    detail::require_safe_function<Told>();
    progress_ = std::forward<Told>(told);
    return std::move(*this);
  }
  /// Gives `std::vector<outcome<R>>`: every item's result or exception, none ends the others. This operation is spent.
  map_operation<F, Star, true, View> collect() && {
    once_.spend();
    return {std::move(items_), settings_, std::move(progress_), std::move(pool_)};
  }

  auto operator co_await() && {
    once_.spend();
    const auto count = static_cast<std::uint64_t>(std::ranges::distance(items_));
    if (settings_.chunk == 0) {
      settings_.chunk =
          std::max<std::uint64_t>(1, (count + 4 * pool_.pool->workers() - 1) / (4 * pool_.pool->workers()));
    }
    settings_.stop_at_error = !Collect;
    settings_.name = detail::function_name<F>();
    auto job = std::make_shared<job_type>(std::move(items_), count, settings_);
    return detail::owned_task<typename job_type::store::type>(
        detail::run_map(std::move(job), std::move(pool_.pool), std::move(pool_.kept), std::move(progress_)));
  }
  detail::job_settings& job_settings() noexcept { return settings_; }

 private:
  View items_;
  detail::job_settings settings_;
  detail::progress_function progress_;
  detail::pool_reference pool_;
  brood::detail::await_once once_;
};

/// The results of a function over a range or a generator, one by one; see `pool::imap`. It is a `generator`
/// whose setters may be used before the first `next()`. Nothing begins before that.
template <auto F, bool Ordered, bool Collect, class Items, class Item>
class result_stream : public generator<Item>,
                      public task_setters<result_stream<F, Ordered, Collect, Items, Item>> {
 public:
  result_stream(Items items, std::shared_ptr<detail::stream_settings> settings, detail::pool_reference pool)
      : generator<Item>(detail::run_stream<F, Ordered, Collect, Items, Item>(std::move(items), settings,
                                                                             pool.pool, pool.kept)),
        settings_(std::move(settings)) {}

  /// Items a worker gets at a time; default 1.
  result_stream&& chunk(std::uint64_t n) && {
    settings_->job.chunk = n;
    return std::move(*this);
  }
  /// So many items are under way or wait to be taken, at most; default 128 chunks for each worker.
  result_stream&& window(std::uint64_t items) && {
    settings_->window = items;
    return std::move(*this);
  }
  detail::job_settings& job_settings() noexcept { return settings_->job; }

 private:
  std::shared_ptr<detail::stream_settings> settings_;
};

}  // namespace brood
