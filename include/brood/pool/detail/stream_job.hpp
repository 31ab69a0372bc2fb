// stream_job: a function over items that may never end, each result as it comes. Bounded by a window: so many
// items are under way or wait to be taken, and no more are asked for.
#pragma once

#include <deque>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/pool/detail/item_source.hpp"
#include "brood/pool/detail/scheduler.hpp"
#include "brood/runtime/runtime.hpp"

namespace brood::detail {

template <auto F, bool Ordered, bool Collect, class Items>
class stream_job final : public job {
 public:
  using R = typename child_function<F>::result;
  using result = outcome<R>;
  using source = item_source<Items>;

  stream_job(Items items, const job_settings& settings, std::uint64_t window)
      : job(pool_function<F>::token(), settings),
        source_(std::move(items)),
        window_(std::max(window, settings.chunk)) {}

  bool has_more() const noexcept override {
    return source_.has_some() && (source::is_asynchronous || given_ - taken_ + settings().chunk <= window_);
  }
  bool expects_more() const noexcept override { return source_.may_have_more(); }
  void produce(task_draft& draft) override {
    std::exception_ptr failure;
    given_ += source_.template write<F>(draft, given_, settings().chunk, scratch_, failure);
    if constexpr (Ordered) waiting_.resize(given_ - base_);
    if (!failure) return;
    ending_ = std::move(failure);
    changed_.notify_all();
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
  bool at_end() const noexcept { return !expects_more() && taken_ == given_; }
  /// With nothing left to be taken: throws what the items threw.
  void throw_ending() const {
    if (ending_) std::rethrow_exception(ending_);
  }
  void throw_if_failed() const {
    if (failure_) std::rethrow_exception(failure_);
  }
  /// The next result; asks for more when so much of the window is free that it is worth it.
  result take(scheduler& pool) {
    result next = std::move(waiting_.front());
    waiting_.pop_front();
    ++base_;
    ++taken_;
    if (waiting_.empty() || asked() - taken_ <= window_ - window_ / 4) {
      if constexpr (source::is_asynchronous) {
        room_.notify_all();
      } else if (has_more()) {
        pool.more(*this);
      }
    }
    return next;
  }
  local_event& changed() noexcept { return changed_; }

  // ---- of a generator ----

  /// Runs beside the stream: takes items as long as the window has room, until the generator ends or `stop`.
  static task<> feed(std::shared_ptr<stream_job> self, std::shared_ptr<scheduler> pool) {
    linked_scope scope(co_await current_scope());
    self->feeding_ = &scope;
    auto taking = self->take_items(*pool);
    taking.set_scope(scope);
    try {
      co_await std::move(taking);
    } catch (...) {
      if (self->expects_more()) self->ending_ = std::current_exception();
    }
    self->feeding_ = nullptr;
    self->source_.close();
    pool->more(*self);  // it may have been all that the pool waited for
    self->changed_.notify_all();
    self->fed_.set();
  }
  /// No item is wanted any more, nor what the generator may throw when it is cancelled.
  void stop() noexcept {
    source_.end();
    if (feeding_ != nullptr) feeding_->request_stop();
  }
  static task<> until_fed(std::shared_ptr<stream_job> self) { co_await self->fed_.wait(); }

 protected:
  void failed(std::exception_ptr why) override {
    failure_ = std::move(why);
    stop();
    changed_.set();
  }

 private:
  std::uint64_t asked() const noexcept { return given_ + source_.ahead(); }

  task<> take_items(scheduler& pool) {
    while (source_.may_have_more()) {
      if (asked() - taken_ >= window_) {
        co_await room_.wait();
        continue;
      }
      const bool taken = co_await source_.take();
      if (!taken) co_return;
      pool.more(*this);
      if (asked() % 64 == 0) co_await yield();  // one that never waits keeps nobody else waiting
    }
  }

  void put(std::uint64_t item, result&& ended) {
    if (!Collect && !ended.has_value()) stop();  // what precedes it is still delivered
    if constexpr (Ordered) {
      waiting_.at(item - base_) = std::move(ended);
    } else {
      waiting_.push_back(std::move(ended));
    }
  }

  source source_;
  const std::uint64_t window_;
  std::uint64_t given_ = 0;  // items
  std::uint64_t taken_ = 0;
  std::uint64_t base_ = 0;  // the item of the first in `waiting_`, if they are in order
  std::deque<result> waiting_;
  bytes scratch_;
  std::exception_ptr failure_;  // of the job as a whole
  std::exception_ptr ending_;   // what the items threw; comes after the results of those before
  local_event changed_;
  local_event room_;
  local_event fed_;
  linked_scope* feeding_ = nullptr;
};

/// Gives a stream's job up when the stream is dropped.
template <class Job>
class stream_guard {
 public:
  stream_guard(std::shared_ptr<scheduler> pool, std::shared_ptr<Job> owned) noexcept
      : pool_(std::move(pool)), job_(std::move(owned)) {}
  stream_guard(const stream_guard&) = delete;
  stream_guard& operator=(const stream_guard&) = delete;
  ~stream_guard() { give_up(interrupted_); }

  /// The last `next()` was cancelled: unless there is another one, what runs is to end.
  void interrupted(bool yes) noexcept { interrupted_ = yes; }

  /// `kill`: also what runs.
  void give_up(bool kill) {
    job_->stop();
    pool_->cancel(*job_, kill);
  }

 private:
  std::shared_ptr<scheduler> pool_;
  std::shared_ptr<Job> job_;
  bool interrupted_ = false;
};

/// What the setters of a stream set, read when its first result is asked for.
struct stream_settings {
  job_settings job;
  std::uint64_t window = 0;  // items; 0: enough to keep every worker busy
};

template <auto F, bool Ordered, bool Collect, class Items, class Item>
generator<Item> run_stream(Items items, std::shared_ptr<stream_settings> settings,
                           std::shared_ptr<scheduler> pool, std::shared_ptr<void> kept) {
  using job_type = stream_job<F, Ordered, Collect, Items>;
  static_cast<void>(kept);
  if (settings->job.chunk == 0) settings->job.chunk = 1;
  if (settings->window == 0) settings->window = settings->job.chunk * lane_slots * pool->workers();
  settings->job.stop_at_error = !Collect;
  settings->job.name = function_name<F>();
  auto job = std::make_shared<job_type>(std::move(items), settings->job, settings->window);
  stream_guard<job_type> guard(pool, job);
  pool->add(job);
  if constexpr (job_type::source::is_asynchronous) runtime::current().start(job_type::feed(job, pool));
  std::exception_ptr failure;
  try {
    while (!job->at_end() || job->anything()) {
      if (!job->anything()) {
        job->throw_if_failed();
        passing_exception cancellation(nullptr);
        try {
          co_await job->changed().wait();
        } catch (const cancelled&) {
          cancellation.why = std::current_exception();
        }
        if (cancellation.why == nullptr) continue;
        guard.interrupted(true);
        co_yield cancellation;
        guard.interrupted(false);
        continue;
      }
      auto next = job->take(*pool);
      if constexpr (Collect) {
        co_yield std::move(next);
      } else if constexpr (std::is_void_v<typename child_function<F>::result>) {
        next.value();
        co_yield std::monostate();
      } else {
        auto value = std::move(next).value();
        co_yield moved{value};
      }
    }
    job->throw_if_failed();
    job->throw_ending();
  } catch (...) {
    failure = std::current_exception();
    guard.give_up(false);
  }
  if constexpr (job_type::source::is_asynchronous) {  // what the generator refers to may end with the stream
    task_scope uncancelled;
    auto end = job_type::until_fed(job);
    end.set_scope(uncancelled);
    co_await std::move(end);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace brood::detail
