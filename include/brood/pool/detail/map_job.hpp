// map_job: a function over a range, all results together.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <ranges>
#include <vector>

#include "brood/pool/detail/item_codec.hpp"
#include "brood/pool/detail/scheduler.hpp"

namespace brood::detail {

/// Where the results of a map lie until all are there.
template <class R, bool Collect>
class result_store {
  /// Results that can be copied into place as they come.
  static constexpr bool plain = [] {
    if constexpr (std::is_void_v<R>) {
      return false;
    } else {
      return is_flat<R> && std::is_default_constructible_v<R>;
    }
  }();
  static constexpr bool contiguous = plain && !Collect;
  static constexpr bool nothing = std::is_void_v<R> && !Collect;
  struct none {};

  template <bool Contiguous, class T>
  struct choose {
    using type = std::vector<outcome<T>>;
  };
  template <class T>
  struct choose<true, T> {
    using type = std::vector<T>;
  };
  using stored = std::conditional_t<nothing, none, typename choose<contiguous, R>::type>;

 public:
  static auto result_type() {
    if constexpr (nothing) {
      return;
    } else if constexpr (Collect) {
      return std::vector<outcome<R>>();
    } else {
      return std::vector<R>();
    }
  }
  using type = decltype(result_type());

  explicit result_store(std::uint64_t count) {
    if constexpr (!nothing) values_.resize(count);
  }

  /// Calls `failed` with the exception of an item that is not kept; gives how many items there were.
  template <class Failed>
  std::uint64_t take(std::uint64_t first, result_reader& results, const Failed& failed) {
    if constexpr (contiguous) {
      std::uint64_t item = first;
      while (const auto record = results.next(sizeof(R))) {
        if (record->kind == record_kind::values) {
          if (item + record->count > values_.size()) throw decode_error("more results than there were items");
          std::memcpy(static_cast<void*>(values_.data() + item), record->bytes.data(), record->bytes.size());
        } else if (record->kind == record_kind::failure) {
          failed(results.failure(*record));
        }
        item += record->count;
      }
      return item - first;
    } else {
      return read_results<R>(first, results, [&](std::uint64_t item, outcome<R>&& ended) {
        if (!Collect && !ended.has_value()) return failed(ended.error());
        if constexpr (!nothing) values_.at(item) = std::move(ended);
      });
    }
  }
  void lose(std::uint64_t item, std::exception_ptr why) {
    if constexpr (Collect) values_.at(item) = outcome<R>(std::move(why));
  }

  type release() {
    if constexpr (nothing) {
      return;
    } else if constexpr (Collect || contiguous) {
      return std::move(values_);
    } else {
      std::vector<R> plain_values;
      plain_values.reserve(values_.size());
      for (auto& each : values_) plain_values.push_back(std::move(each).value());
      return plain_values;
    }
  }

 private:
  stored values_;
};

template <auto F, bool Star, bool Collect, class View>
class map_job final : public job {
 public:
  using R = typename child_function<F>::result;
  using store = result_store<R, Collect>;

  map_job(View items, std::uint64_t count, const job_settings& settings)
      : job(pool_function<F>::token(), settings),
        items_(std::move(items)),
        at_(std::ranges::begin(items_)),
        end_(std::ranges::end(items_)),
        total_(count),
        left_(count),
        results_(count) {}

  bool has_more() const noexcept override { return given_ != total_; }
  bool expects_more() const noexcept override { return has_more(); }
  void produce(task_draft& draft) override {
    const std::uint64_t most = std::min(settings().chunk, total_ - given_);
    std::exception_ptr failure;
    const std::uint64_t count = write_items<F, Star>(draft, given_, most, at_, end_, scratch_, failure);
    if (failure) std::rethrow_exception(failure);
    given_ += count;
    if (count == 0) throw error("brood::pool::map: the range has fewer items than it said");
  }
  void deliver(std::uint64_t first, result_reader& results) override {
    const auto failed = [this](std::exception_ptr why) { fail(std::move(why)); };
    count_down(results_.take(first, results, failed));
  }
  void lose(std::uint64_t item, std::exception_ptr why) override {
    if constexpr (Collect) {
      results_.lose(item, std::move(why));
      count_down(1);
    } else {
      fail(std::move(why));
    }
  }

  std::uint64_t total() const noexcept { return total_; }
  std::uint64_t done() const noexcept { return total_ - left_; }
  /// Set at the end; notified of every progress.
  local_event& changed() noexcept { return changed_; }
  typename store::type take() {
    if (failure_) std::rethrow_exception(failure_);
    return results_.release();
  }

 protected:
  void failed(std::exception_ptr why) override {
    failure_ = std::move(why);
    changed_.set();
  }

 private:
  void count_down(std::uint64_t items) {
    if (is_over()) return;
    left_ -= items;
    if (left_ != 0) return changed_.notify_all();
    finish();
    changed_.set();
  }

  View items_;
  std::ranges::iterator_t<View> at_;
  std::ranges::sentinel_t<View> end_;
  const std::uint64_t total_;
  std::uint64_t given_ = 0;
  std::uint64_t left_;
  bytes scratch_;
  store results_;
  std::exception_ptr failure_;
  local_event changed_;
};

/// Called on the loop with how many items are done, and of how many.
using progress_function = std::function<void(std::uint64_t done, std::uint64_t total)>;

template <class Job>
auto run_map(std::shared_ptr<Job> job, std::shared_ptr<scheduler> pool, std::shared_ptr<void> kept,
             progress_function progress) -> task<typename Job::store::type> {
  static_cast<void>(kept);
  if (pool->is_closed()) throw closed("the pool is closed");
  if (job->total() != 0) pool->add(job);
  try {
    std::uint64_t told = 0;
    while (job->total() != 0 && !job->changed().is_set()) {
      co_await job->changed().wait();
      if (progress && job->done() != told) progress(told = job->done(), job->total());
    }
  } catch (...) {  // cancelled, or by `progress`
    pool->cancel(*job, true);
    throw;
  }
  co_return job->take();
}

}  // namespace brood::detail
