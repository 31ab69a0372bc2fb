// stream_job: a function over a range that may never end, each result as it comes. Bounded by a window: so
// many items are under way or wait to be taken, and no more are asked of the range.
#pragma once

#include <deque>
#include <iterator>
#include <ranges>

#include "brood/coroutine/generator.hpp"
#include "brood/pool/detail/item_codec.hpp"
#include "brood/pool/detail/scheduler.hpp"

namespace brood::detail {

template <auto F, bool Ordered, bool Collect, class View>
class stream_job final : public job {
 public:
  using R = typename child_function<F>::result;
  using result = outcome<R>;

  stream_job(View items, const job_settings& settings, std::uint64_t window)
      : job(pool_function<F>::token(), settings),
        items_(std::move(items)),
        at_(std::ranges::begin(items_)),
        end_(std::ranges::end(items_)),
        exhausted_(at_ == end_),
        window_(std::max(window, settings.chunk)) {}

  bool has_more() const noexcept override {
    return !exhausted_ && given_ - taken_ + settings().chunk <= window_;
  }
  bool expects_more() const noexcept override { return !exhausted_; }
  void produce(task_draft& draft) override {
    // If the range throws, the job fails and is asked no more. The range has not ended then: a consumer that
    // has taken all there was must still hear of it.
    given_ += write_items<F, false>(draft, given_, settings().chunk, at_, end_, scratch_);
    exhausted_ = exhausted_ || at_ == end_;
    if constexpr (Ordered) waiting_.resize(given_ - base_);
  }
  void deliver(std::uint64_t first, result_reader& results) override {
    read_results<R>(first, results,
                    [this](std::uint64_t item, result&& ended) { put(item, std::move(ended)); });
    changed_.notify_all();
  }
  void lose(std::uint64_t item, std::exception_ptr why) override {
    put(item, result(std::move(why)));
    changed_.notify_all();
  }

  /// Whether a result can be taken, and whether none will come any more.
  bool anything() const noexcept {
    if constexpr (Ordered) {
      return !waiting_.empty() && (waiting_.front().has_value() || waiting_.front().error() != nullptr);
    } else {
      return !waiting_.empty();
    }
  }
  bool at_end() const noexcept { return exhausted_ && taken_ == given_; }
  result take() {
    result next = std::move(waiting_.front());
    waiting_.pop_front();
    ++base_;
    ++taken_;
    return next;
  }
  /// Whether so much of the window is free that it is worth to ask for more.
  bool has_room() const noexcept {
    return has_more() && (waiting_.empty() || given_ - taken_ <= window_ - window_ / 4);
  }

  local_event& changed() noexcept { return changed_; }
  void throw_if_failed() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 protected:
  void failed(std::exception_ptr why) override {
    failure_ = std::move(why);
    changed_.set();
  }

 private:
  void put(std::uint64_t item, result&& ended) {
    if (!Collect && !ended.has_value()) exhausted_ = true;  // what precedes it is still delivered
    if constexpr (Ordered) {
      waiting_.at(item - base_) = std::move(ended);
    } else {
      waiting_.push_back(std::move(ended));
    }
  }

  View items_;
  std::ranges::iterator_t<View> at_;
  std::ranges::sentinel_t<View> end_;
  bool exhausted_;
  const std::uint64_t window_;
  std::uint64_t given_ = 0;  // items
  std::uint64_t taken_ = 0;
  std::uint64_t base_ = 0;  // the item of the first in `waiting_`, if they are in order
  std::deque<result> waiting_;
  bytes scratch_;
  std::exception_ptr failure_;
  local_event changed_;
};

/// Gives a stream's job up when the stream is dropped.
class job_guard {
 public:
  job_guard(std::shared_ptr<scheduler> pool, std::shared_ptr<job> owned) noexcept
      : pool_(std::move(pool)), job_(std::move(owned)) {}
  job_guard(const job_guard&) = delete;
  job_guard& operator=(const job_guard&) = delete;
  ~job_guard() { pool_->cancel(*job_, kill); }

  bool kill = false;

 private:
  std::shared_ptr<scheduler> pool_;
  std::shared_ptr<job> job_;
};

/// What the setters of a stream set, read when its first result is asked for.
struct stream_settings {
  job_settings job;
  std::uint64_t window = 0;  // items; 0: enough to keep every worker busy
};

template <auto F, bool Ordered, bool Collect, class View, class Item>
generator<Item> run_stream(View items, std::shared_ptr<stream_settings> settings,
                           std::shared_ptr<scheduler> pool, std::shared_ptr<void> kept) {
  static_cast<void>(kept);
  if (settings->job.chunk == 0) settings->job.chunk = 1;
  if (settings->window == 0) settings->window = settings->job.chunk * lane_slots * pool->workers();
  settings->job.stop_at_error = !Collect;
  auto job = std::make_shared<stream_job<F, Ordered, Collect, View>>(std::move(items), settings->job,
                                                                     settings->window);
  job_guard guard(pool, job);
  pool->add(job);
  while (!job->at_end() || job->anything()) {
    if (!job->anything()) {
      job->throw_if_failed();
      try {
        co_await job->changed().wait();
      } catch (const cancelled&) {
        guard.kill = true;
        throw;
      }
      continue;
    }
    auto next = job->take();
    if (job->has_room()) pool->more(*job);
    if constexpr (Collect) {
      co_yield std::move(next);
    } else if constexpr (std::is_void_v<typename child_function<F>::result>) {
      next.value();
      co_yield std::monostate();
    } else {
      co_yield std::move(next).value();
    }
  }
}

}  // namespace brood::detail
