// map: a function over a range, on all hosts.
#pragma once

#include <algorithm>
#include <functional>
#include <ranges>
#include <vector>

#include "brood/cluster/call.hpp"
#include "brood/coroutine/sleep.hpp"

namespace brood::cluster {

namespace detail {

inline constexpr std::size_t chunk_bytes = 32 * 1024;

}  // namespace detail

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

}  // namespace brood::cluster
