// pool: the workers of all hosts of a cluster.
#pragma once

#include <algorithm>
#include <deque>
#include <ranges>

#include "brood/cluster/connect.hpp"
#include "brood/cluster/detail/registry.hpp"
#include "brood/cluster/detail/task_table.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/sleep.hpp"

namespace brood::cluster {

namespace detail {

inline constexpr std::size_t chunk_bytes = 32 * 1024;

template <class T>
inline constexpr bool is_generator = false;
template <class T>
inline constexpr bool is_generator<generator<T>> = true;

/// The arguments of one call, from an item or, starred, from a tuple.
template <auto F, bool Star, class Item>
bytes arguments_of(Item&& item) {
  using function = brood::detail::child_function<F>;
  if constexpr (Star) {
    return std::apply([](auto&&... each) { return function::encode_arguments(each...); },
                      std::forward<Item>(item));
  } else {
    return function::encode_arguments(std::forward<Item>(item));
  }
}

template <class R>
task<R> await_call(membership_pointer of, chunk_items items, std::shared_ptr<call_results<R>> results) {
  const job_guard guard(of, results);
  give(of, std::move(items), true);
  co_await results->changed.wait();
  if constexpr (std::is_void_v<R>) {
    results->result.value();
  } else {
    co_return std::move(results->result).value();
  }
}

}  // namespace detail

/// The setters that every kind of call has.
template <class Self>
class call_setters {
 public:
  /// An item that runs longer is ended by SIGKILL, with its worker; it counts as lost with that (`child_died`).
  template <class Rep, class Period>
  Self&& deadline(std::chrono::duration<Rep, Period> d) && {
    const auto whole = brood::detail::saturating_ceil<std::chrono::nanoseconds>(d);
    settings_.deadline = std::max(std::chrono::nanoseconds(1), whole);  // 0 stands for none
    return static_cast<Self&&>(*this);
  }
  /// An item whose worker dies is tried again, up to `n` times, wherever that is.
  Self&& retries(std::uint32_t n) && {
    settings_.retries = n;
    return static_cast<Self&&>(*this);
  }
  /// So many hosts may be lost while they have the item; after that it fails with `host_lost`. Default 3.
  Self&& host_losses(std::uint32_t n) && {
    settings_.host_losses = n;
    return static_cast<Self&&>(*this);
  }

 protected:
  detail::task_settings settings_;
};

/// A call that runs meanwhile; see `pool::submit`. Copies name the same call. Dropping it does not end the call.
template <class R>
class [[nodiscard]] future {
 public:
  future(detail::membership_pointer of, std::shared_ptr<detail::call_results<R>> results)
      : of_(std::move(of)), results_(std::move(results)) {}

  /// Waits for the end; any number of times if `R` can be copied. Cancellation of the waiting: the call goes on.
  auto operator co_await() const { return brood::detail::owned_task<R>(wait(results_)); }
  bool is_ready() const noexcept { return results_->over(); }
  /// It never begins, or if it runs its worker is killed. Those who wait get `cancelled`. False if it had ended.
  bool cancel() const {
    if (results_->over()) return false;
    detail::give_up(of_, results_);
    results_->fail(std::make_exception_ptr(cancelled()));
    return true;
  }

 private:
  static task<R> wait(std::shared_ptr<detail::call_results<R>> results) {
    co_await results->changed.wait();
    if constexpr (std::is_void_v<R>) {
      results->result.value();
    } else {
      co_return results->result.value();
    }
  }

  detail::membership_pointer of_;
  std::shared_ptr<detail::call_results<R>> results_;
};

/// One call; see `pool::apply`.
template <class R>
class [[nodiscard("nothing runs until this is awaited")]] apply_operation
    : public call_setters<apply_operation<R>> {
 public:
  apply_operation(detail::membership_pointer of, std::uint64_t function, bytes arguments)
      : of_(std::move(of)), function_(function), arguments_(std::move(arguments)) {}

  auto operator co_await() && {
    auto results = std::make_shared<detail::call_results<R>>();
    detail::chunk_items items;
    fill(items, results);
    return brood::detail::owned_task<R>(
        detail::await_call<R>(std::move(of_), std::move(items), std::move(results)));
  }
  /// Begins without being awaited.
  future<R> start() && {
    auto results = std::make_shared<detail::call_results<R>>();
    detail::chunk_items items;
    fill(items, results);
    detail::give(of_, std::move(items), true);
    return future<R>(of_, std::move(results));
  }

 private:
  void fill(detail::chunk_items& items, const std::shared_ptr<detail::call_results<R>>& results) {
    items.function = function_;
    items.settings = this->settings_;
    items.job = results;
    items.arguments.push_back(std::move(arguments_));
  }

  detail::membership_pointer of_;
  std::uint64_t function_;
  bytes arguments_;
};

/// A function over a range; see `pool::map`.
template <auto F, bool Star, bool Collect, class View>
class [[nodiscard("nothing runs until this is awaited")]] map_operation
    : public call_setters<map_operation<F, Star, Collect, View>> {
  using R = typename brood::detail::child_function<F>::result;
  using item = std::conditional_t<Collect, outcome<R>, brood::detail::value_or_unit<R>>;
  using result = std::conditional_t<std::is_void_v<R> && !Collect, void, std::vector<item>>;

 public:
  map_operation(View items, detail::membership_pointer of) : items_(std::move(items)), of_(std::move(of)) {}

  /// Items that travel together; default: a quarter of a worker's share, 4096 and 32 KiB at most.
  map_operation&& chunk(std::uint64_t n) && {
    chunk_ = std::max<std::uint64_t>(n, 1);
    return std::move(*this);
  }
  /// Calls `told(done, total)` on the loop as results come.
  map_operation&& progress(std::function<void(std::uint64_t, std::uint64_t)> told) && {
    progress_ = std::move(told);
    return std::move(*this);
  }
  /// Gives `std::vector<outcome<R>>`: every item's result or exception, none ends the others.
  map_operation<F, Star, true, View> collect() && {
    map_operation<F, Star, true, View> all(std::move(items_), of_);
    all.take_settings(this->settings_, chunk_, std::move(progress_));
    return all;
  }
  auto operator co_await() && {
    return brood::detail::owned_task<result>(
        run(std::move(items_), this->settings_, chunk_, std::move(progress_), std::move(of_)));
  }
  void take_settings(const detail::task_settings& settings, std::uint64_t chunk,
                     std::function<void(std::uint64_t, std::uint64_t)> progress) {
    this->settings_ = settings;
    chunk_ = chunk;
    progress_ = std::move(progress);
  }

 private:
  static task<result> run(View items, detail::task_settings settings, std::uint64_t chunk,
                          std::function<void(std::uint64_t, std::uint64_t)> progress,
                          detail::membership_pointer of) {
    const auto total = static_cast<std::uint64_t>(std::ranges::distance(items));
    if (chunk == 0) {
      const std::uint64_t workers = co_await detail::count_workers(of);
      chunk = std::clamp<std::uint64_t>(total / (4 * workers), 1, 4096);
    }
    const auto results = std::make_shared<detail::item_results<R>>();
    const detail::job_guard guard(of, results);
    std::vector<outcome<R>> all(total);
    std::uint64_t given = 0;
    auto at = std::ranges::begin(items);
    for (std::uint64_t done = 0; done < total || given < total;) {
      for (int some = 0; given < total && some < 16; ++some) {
        detail::chunk_items part;
        part.function = detail::registered_function<F>::key();
        part.settings = settings;
        part.job = results;
        part.first = given;
        for (std::size_t size = 0;
             given < total && part.arguments.size() < chunk && size < detail::chunk_bytes; ++at, ++given) {
          part.arguments.push_back(detail::arguments_of<F, Star>(*at));
          size += part.arguments.back().size() + 8;
        }
        detail::give(of, std::move(part), false);
      }
      if (given < total) {
        co_await yield();
      } else if (results->arrived.empty() && !results->failure) {
        co_await results->changed.wait();
      }
      if (results->failure) std::rethrow_exception(results->failure);
      auto arrived = std::exchange(results->arrived, {});
      for (auto& [index, ended] : arrived) {
        if (!Collect && ended.error()) std::rethrow_exception(ended.error());
        all[index] = std::move(ended);
      }
      done += arrived.size();
      if (progress && !arrived.empty()) progress(done, total);
    }
    if constexpr (Collect) {
      co_return all;
    } else if constexpr (!std::is_void_v<R>) {
      std::vector<R> values;
      values.reserve(all.size());
      for (auto& each : all) values.push_back(std::move(each).value());
      co_return values;
    }
  }

  View items_;
  detail::membership_pointer of_;
  std::uint64_t chunk_ = 0;
  std::function<void(std::uint64_t, std::uint64_t)> progress_;
};

/// The results of a function over a range or a generator, one by one; see `pool::imap`.
template <auto F, bool Ordered, bool Collect, class Items>
class stream_operation : public call_setters<stream_operation<F, Ordered, Collect, Items>> {
  using R = typename brood::detail::child_function<F>::result;
  using item = std::conditional_t<Collect, outcome<R>, brood::detail::value_or_unit<R>>;

 public:
  stream_operation(Items items, detail::membership_pointer of)
      : items_(std::move(items)), of_(std::move(of)) {}

  /// Items that travel together, if so many are there; default 1, and then those that wait are packed.
  stream_operation&& chunk(std::uint64_t n) && {
    chunk_ = std::max<std::uint64_t>(n, 1);
    return std::move(*this);
  }
  /// So many items are under way or wait to be taken, at most. Default 1024.
  stream_operation&& window(std::uint64_t items) && {
    window_ = std::max<std::uint64_t>(items, 1);
    return std::move(*this);
  }
  /// Begins: `while (auto result = co_await g.next())`. Setters are of no use any more.
  generator<item> results() && {
    return run(std::move(items_), this->settings_, chunk_, std::max(window_, chunk_), std::move(of_));
  }

 private:
  static generator<item> run(Items items, detail::task_settings settings, std::uint64_t chunk,
                             std::uint64_t window, detail::membership_pointer of) {
    const auto results = std::make_shared<detail::item_results<R>>();
    const detail::job_guard guard(of, results);
    std::deque<outcome<R>> ready;
    std::vector<bool> there;  // of an ordered stream: which of `ready` have come
    std::uint64_t given = 0, taken = 0;
    bool more = true;
    bool filling =
        true;  // a window that was full is filled again when a quarter of it is free: many go together
    auto at = [&] {
      if constexpr (detail::is_generator<Items>) {
        return 0;
      } else {
        return std::ranges::begin(items);
      }
    }();
    std::exception_ptr ending;
    for (;;) {
      if (results->failure) std::rethrow_exception(results->failure);
      for (auto& [index, ended] : std::exchange(results->arrived, {})) {
        if constexpr (Ordered) {
          ready[index - taken] = std::move(ended);
        } else {
          ready.push_back(std::move(ended));
        }
      }
      const bool some = !ready.empty() && (ready.front().has_value() || ready.front().error());
      if (given - taken >= window) filling = false;
      if (given - taken <= window - (window + 3) / 4) filling = true;
      if (!some && more && filling) {
        detail::chunk_items part;
        part.first = given;
        try {
          if constexpr (detail::is_generator<Items>) {
            auto next = co_await items.next();
            more = next.has_value();
            if (more) part.arguments.push_back(detail::arguments_of<F, false>(std::move(*next)));
          } else {
            while (part.arguments.size() < chunk && (more = at != std::ranges::end(items))) {
              part.arguments.push_back(detail::arguments_of<F, false>(*at));
              ++at;
            }
          }
        } catch (const cancelled&) {
          throw;
        } catch (...) {  // comes after the results of the items before
          ending = std::current_exception();
          more = false;
        }
        given += part.arguments.size();
        if constexpr (Ordered) ready.resize(given - taken);
        part.function = detail::registered_function<F>::key();
        part.settings = settings;
        part.job = results;
        if (!part.arguments.empty()) detail::give(of, std::move(part), chunk == 1);
        continue;
      }
      if (some) {
        outcome<R> next = std::move(ready.front());
        ready.pop_front();
        ++taken;
        if constexpr (Collect) {
          co_yield std::move(next);
        } else if constexpr (std::is_void_v<R>) {
          next.value();
          co_yield std::monostate();
        } else {
          auto value = std::move(next).value();
          co_yield brood::moved{value};
        }
        continue;
      }
      if (!more && given == taken) break;
      if (!results->arrived.empty()) continue;
      brood::detail::passing_exception cancellation(nullptr);
      try {
        co_await results->changed.wait();
      } catch (const cancelled&) {
        cancellation.why = std::current_exception();
      }
      if (cancellation.why != nullptr) co_yield cancellation;  // the `next()` after it goes on
    }
    if (ending) std::rethrow_exception(ending);
  }

  Items items_;
  detail::membership_pointer of_;
  std::uint64_t chunk_ = 1;
  std::uint64_t window_ = 1024;
};

/// The workers of all hosts of this build. As `brood::pool`, but that workers are on other machines: arguments and results
/// travel as bytes, handles to shared memory cannot. A result arrives exactly once. A function may run more than once, at
/// most 1 + `retries` + `host_losses` times, or more if the engine has lost its data: its effects must bear that.
/// An item whose worker dies fails with `child_died` or is tried again; one that throws gives `remote_error`.
/// Order of start: as asked. Hosts come and go at any time; without any, calls wait.
/// Cancellation of whatever is awaited here: what has not begun never does, what runs is ended by killing its worker.
class pool {
 public:
  explicit pool(const client& in) noexcept : of_(in.place()) {}

  /// Calls `F` with copies of `arguments` in a worker of some host; `co_await` gives its result.
  template <auto F, class... Arguments>
  auto apply(Arguments&&... arguments) const {
    brood::detail::require_safe_temporary<Arguments...>();
    using function = brood::detail::child_function<F>;
    return apply_operation<typename function::result>(
        of_, detail::registered_function<F>::key(),
        function::encode_arguments(std::forward<Arguments>(arguments)...));
  }
  /// The same without waiting. For setters: `apply<F>(...).retries(2).start()`.
  template <auto F, class... Arguments>
  auto submit(Arguments&&... arguments) const {
    return apply<F>(std::forward<Arguments>(arguments)...).start();
  }
  /// Calls `F` with each item; gives `std::vector<R>` in their order. The first exception ends the rest and is thrown. An
  /// lvalue range is read where it is, until the result is there.
  template <auto F, std::ranges::forward_range Range>
  auto map(Range&& items) const {
    brood::detail::require_safe_temporary<Range>();
    using view = std::views::all_t<Range>;
    return map_operation<F, false, false, view>(std::views::all(std::forward<Range>(items)), of_);
  }
  /// The same with items that are tuples of arguments.
  template <auto F, std::ranges::forward_range Range>
  auto starmap(Range&& items) const {
    brood::detail::require_safe_temporary<Range>();
    using view = std::views::all_t<Range>;
    return map_operation<F, true, false, view>(std::views::all(std::forward<Range>(items)), of_);
  }
  /// Calls `F` with each item of a range or of a `generator<T>&&`, either of which may never end; `.results()` of it is a
  /// `generator<R>` of the results in the order of the items, or in that of their ends. A generator is asked for more only
  /// while somebody waits in `next()` and no result is there.
  template <auto F, class Items>
  auto imap(Items&& items) const {
    return stream<F, true, false>(std::forward<Items>(items));
  }
  template <auto F, class Items>
  auto imap_unordered(Items&& items) const {
    return stream<F, false, false>(std::forward<Items>(items));
  }
  /// The same with `outcome<R>` for each item, none of which ends the stream.
  template <auto F, class Items>
  auto imap_collect(Items&& items) const {
    return stream<F, true, true>(std::forward<Items>(items));
  }
  template <auto F, class Items>
  auto imap_unordered_collect(Items&& items) const {
    return stream<F, false, true>(std::forward<Items>(items));
  }

 private:
  template <auto F, bool Ordered, bool Collect, class Items>
  auto stream(Items&& items) const {
    if constexpr (detail::is_generator<std::remove_cvref_t<Items>>) {
      return stream_operation<F, Ordered, Collect, std::remove_cvref_t<Items>>(std::forward<Items>(items),
                                                                               of_);
    } else {
      using view = std::views::all_t<Items>;
      return stream_operation<F, Ordered, Collect, view>(std::views::all(std::forward<Items>(items)), of_);
    }
  }

  detail::membership_pointer of_;
};

}  // namespace brood::cluster
