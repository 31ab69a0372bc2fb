// pool: worker processes that run functions, by the million.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/export.hpp"
#include "brood/pool/future.hpp"
#include "brood/pool/map.hpp"
#include "brood/pool/outcome.hpp"
#include "brood/pool/statistics.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"

namespace brood {

class open_operation;

/// Worker processes that run functions of this program: plain ones, and coroutines, which may use queues and
/// have children of their own. A small handle; copies name the same pool.
///
/// A function is named as for `spawn`; its arguments are copied to the worker, what it throws arrives as
/// `remote_error` with its type, text and worker. A worker's death costs the item it was at, which fails with
/// `child_died` or is tried again (`.retries`); what had not begun goes to others, what was done counts, and
/// a new worker starts.
///
/// Memory: of a job only what the workers are given is in shared memory; `map` holds its results, the streams
/// their window. Cancellation of whatever is awaited here: what has not begun never does, and what runs is
/// asked to end, and its worker killed if it does not in time. `future`s go on, until `cancel()`, and streams, while somebody reads them. Lifetime: when the last handle is
/// dropped without `close`, the workers are killed and reaped in the background, and what is under way fails
/// with `closed`; standard error says so if anything was. Whatever is awaited holds a handle; a `future` does
/// not. Thread: the one that runs the loop the pool was opened on.
class BROOD_API pool {
 public:
  /// To move is to copy: there is no handle without a pool.
  pool(const pool&) = default;
  pool& operator=(const pool&) = default;

  /// `co_await` it for a pool of `workers` that have run their initializer. Default: one for each usable
  /// processor. Throws `std::invalid_argument` for less than one; why the workers could not start, when none
  /// is left.
  static open_operation open(int workers = cpu_count());

  /// Calls `F` with copies of `arguments` in a worker; gives its result.
  template <auto F, class... Arguments>
  auto apply(Arguments&&... arguments) const {
    detail::require_safe_temporary<Arguments...>();
    using R = typename detail::child_function<F>::result;
    return apply_operation<R>(detail::make_call_job<F>(std::forward<Arguments>(arguments)...), reference());
  }

  /// The same without waiting: begins soon, whether or not the `future` is awaited. Throws `closed`.
  template <auto F, class... Arguments>
  auto submit(Arguments&&... arguments) const {
    detail::require_safe_temporary<Arguments...>();
    using R = typename detail::child_function<F>::result;
    auto call = detail::make_call_job<F>(std::forward<Arguments>(arguments)...);
    self().add(call);
    return future<R>(std::move(call), handle_->pool);
  }

  /// Calls `F` with each item; gives `std::vector<R>` in the order of the items, or nothing if `F` does. The
  /// first exception ends the rest and is thrown: what runs comes to the end of its item, unheard. An lvalue
  /// range is read where it is, until the result is there; it must not change meanwhile.
  template <auto F, std::ranges::input_range Range>
  auto map(Range&& items) const {
    return map_over<F, false>(std::forward<Range>(items));
  }
  /// The same with items that are tuples of arguments.
  template <auto F, std::ranges::input_range Range>
  auto starmap(Range&& items) const {
    return map_over<F, true>(std::forward<Range>(items));
  }

  /// Calls `F` with each item of a range or of a `generator<T>&&`, either of which may never end; a
  /// `generator<R>` of the results, in the order of the items or in that of their ends, and so itself an
  /// input of the next. (`generator<std::monostate>` if `F` gives nothing.) What an item threw is thrown by
  /// the `next()` that would give its result, and ends the stream; what the range or the generator threw
  /// comes after the results of the items before. Dropping the stream gives the rest up. A `next()` that is cancelled has
  /// taken nothing, and the next one goes on; where the stream is dropped instead, what runs of it is ended too.
  ///
  /// A generator is awaited beside the stream, also while nobody waits for a result; with a `chunk` a task
  /// has as many items as are there, and at most so many. When the stream ends by itself or by an exception, the
  /// generator is cancelled and destroyed before `next()` returns; when it is dropped, within the next turns of the loop:
  /// what it refers to must live until then.
  template <auto F, detail::stream_items Items>
  auto imap(Items&& items) const {
    return stream_over<F, true, false>(std::forward<Items>(items));
  }
  template <auto F, detail::stream_items Items>
  auto imap_unordered(Items&& items) const {
    return stream_over<F, false, false>(std::forward<Items>(items));
  }
  /// The same as `generator<outcome<R>>`: every item's result or exception, none ends the stream.
  template <auto F, detail::stream_items Items>
  auto imap_collect(Items&& items) const {
    return stream_over<F, true, true>(std::forward<Items>(items));
  }
  template <auto F, detail::stream_items Items>
  auto imap_unordered_collect(Items&& items) const {
    return stream_over<F, false, true>(std::forward<Items>(items));
  }

  /// Takes no more jobs, waits until those there are have ended and then until every worker is reaped. A
  /// stream ends when it was read to its end, or is dropped. Once closed, whatever else is asked throws
  /// `closed`; closing again waits too. Cancellation: the pool goes on closing.
  [[nodiscard]] task<> close() const { return wait_for_end(handle_, true); }
  /// Kills the workers now, with all they started; whatever is under way fails with `closed`. `co_await
  /// join()` to see them reaped.
  void terminate() const noexcept { self().terminate(); }
  /// After `close` or `terminate`: waits until no worker is left.
  [[nodiscard]] task<> join() const { return wait_for_end(handle_, false); }

  pool_statistics stats() const { return self().statistics(); }
  /// How many workers it may have.
  std::uint32_t workers() const noexcept { return self().workers(); }
  /// Those of the workers that are ready.
  std::vector<int> worker_pids() const { return self().pids(); }

 private:
  friend class open_operation;
  struct handle {
    explicit handle(std::shared_ptr<detail::scheduler> p) noexcept : pool(std::move(p)) {}
    handle(const handle&) = delete;
    handle& operator=(const handle&) = delete;
    ~handle();
    std::shared_ptr<detail::scheduler> pool;
  };

  explicit pool(std::shared_ptr<detail::scheduler> opened)
      : handle_(std::make_shared<handle>(std::move(opened))) {}

  detail::scheduler& self() const noexcept { return *handle_->pool; }
  detail::pool_reference reference() const { return {handle_->pool, handle_}; }

  static task<> wait_for_end(std::shared_ptr<handle> of, bool close);

  template <auto F, bool Star, class Range>
  auto map_over(Range&& items) const {
    detail::require_safe_temporary<Range>();
    using R = typename detail::child_function<F>::result;
    if constexpr (!std::is_void_v<R>) detail::require_codable<R>();
    if constexpr (std::ranges::forward_range<Range>) {
      using view = std::views::all_t<Range>;
      return map_operation<F, Star, false, view>(std::views::all(std::forward<Range>(items)), {}, nullptr,
                                                 reference());
    } else {  // to know how many there are
      std::vector<std::ranges::range_value_t<Range>> all;
      for (auto&& each : items) all.emplace_back(std::forward<decltype(each)>(each));
      using view = std::ranges::owning_view<decltype(all)>;
      return map_operation<F, Star, false, view>(view(std::move(all)), {}, nullptr, reference());
    }
  }
  template <auto F, bool Ordered, bool Collect, class Items>
  auto stream_over(Items&& items) const {
    detail::require_safe_temporary<Items>();
    using R = typename detail::child_function<F>::result;
    using kept = decltype(detail::kept_items(std::forward<Items>(items)));
    using item = std::conditional_t<Collect, outcome<R>, detail::value_or_unit<R>>;
    if constexpr (!std::is_void_v<R>) detail::require_codable<R>();
    return result_stream<F, Ordered, Collect, kept, item>(detail::kept_items(std::forward<Items>(items)),
                                                          std::make_shared<detail::stream_settings>(),
                                                          reference());
  }

  std::shared_ptr<handle> handle_;
};

/// What `pool::open` gives: set what is to be set, then `co_await` it. What is set for children (`.nice(5)`, `.limit(...)`)
/// holds for every worker.
/// Cancellation: the workers that were started are killed and reaped.
class [[nodiscard("no pool is opened until this is awaited")]] BROOD_API open_operation
    : public launch_setters<open_operation, detail::workers> {
 public:
  explicit open_operation(detail::pool_settings settings) noexcept : settings_(std::move(settings)) {}

  /// Calls `F` with copies of `arguments` in each worker before its first task. If it throws, `open` does.
  template <auto F, class... Arguments>
  open_operation&& initializer(Arguments&&... arguments) && {
    detail::require_safe_temporary<Arguments...>();
    auto call = detail::make_call<F>(std::forward<Arguments>(arguments)...);
    settings_.initializer = {call.function, std::move(call.arguments)};
    settings_.initializer_objects = std::move(call.objects);
    return std::move(*this);
  }
  /// A worker is replaced when it has run so many items. Throws `std::invalid_argument` for less than one.
  open_operation&& max_tasks_per_worker(std::int64_t n) && {
    if (n < 1) throw std::invalid_argument("brood::pool: a worker must run at least one task");
    settings_.max_tasks = static_cast<std::uint64_t>(n);
    return std::move(*this);
  }
  /// Workers that had nothing to do for so long end, down to `min`; with work new ones start.
  template <class Rep, class Period>
  open_operation&& idle_timeout(std::chrono::duration<Rep, Period> d) && {
    settings_.idle_timeout = detail::positive_time(d);
    return std::move(*this);
  }
  /// `open` starts so many, and they are kept; more start when there is work for them. Default: all of them,
  /// or with an `idle_timeout` 1. Throws `std::invalid_argument` for a negative number.
  open_operation&& min(int n) && {
    if (n < 0) throw std::invalid_argument("brood::pool: a negative number of workers");
    fewest_ = n;
    return std::move(*this);
  }

  auto operator co_await() && {
    once_.spend();
    return detail::owned_task<pool>(start(with_fewest()));
  }

 private:
  detail::pool_settings with_fewest() {
    const bool shrinks = settings_.idle_timeout.count() > 0;
    const std::uint32_t usual = shrinks ? 1 : settings_.workers;
    settings_.plan = std::move(plan_);
    settings_.fewest = fewest_ < 0 ? usual : std::min(static_cast<std::uint32_t>(fewest_), settings_.workers);
    return std::move(settings_);
  }
  static task<pool> start(detail::pool_settings settings);

  detail::pool_settings settings_;
  int fewest_ = -1;
  brood::detail::await_once once_;
};

}  // namespace brood
