// job: one call of `map`, `apply`, ... in the parent. The scheduler asks it for tasks when a lane has room,
// so that only what is in the lanes is in memory, and hands it their results.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/export.hpp"
#include "brood/pool/detail/lane.hpp"
#include "brood/pool/detail/task_run.hpp"
#include "brood/runtime/detail/local_event.hpp"

namespace brood::detail {

/// What the parent keeps for the length of a task: the block its request lies in, the objects the request
/// names.
class BROOD_API kept_request {
 public:
  kept_request() = default;
  kept_request(const kept_request&) = delete;
  kept_request& operator=(const kept_request&) = delete;
  ~kept_request();

  std::span<std::byte> allocate(arena& memory, std::size_t size);
  reference block() const noexcept;
  void keep(const std::vector<std::shared_ptr<shared_object>>& objects) {
    objects_.insert(objects_.end(), objects.begin(), objects.end());
  }

 private:
  arena* memory_ = nullptr;
  word* cell_ = nullptr;
  std::vector<std::shared_ptr<shared_object>> objects_;
};

/// A task being written.
class BROOD_API task_draft {
 public:
  /// `most`: how many items it may have.
  task_draft(arena& memory, lane_slot& slot, std::uint64_t most) noexcept
      : memory_(memory), slot_(slot), most_(most) {}

  std::uint64_t most() const noexcept { return most_; }
  /// Where a request of `size` bytes is to be written. Called once. Throws `arena_full`.
  std::span<std::byte> room(std::size_t size) {
    slot_.size = size;
    slot_.block = 0;
    return size <= inline_request ? std::span(slot_.request, size) : large_room(size);
  }
  /// The request's items; the first of them is number `first` of the job.
  void items(std::uint64_t first, std::uint64_t count) noexcept {
    first_ = first;
    slot_.first = 0;
    slot_.last = static_cast<std::uint32_t>(count);
  }
  void keep(const travelling_objects& travelling) {
    if (!travelling.objects().empty()) kept().keep(travelling.objects());
  }

  std::uint64_t first() const noexcept { return first_; }
  std::shared_ptr<kept_request> take_kept() noexcept { return std::move(kept_); }

 private:
  std::span<std::byte> large_room(std::size_t size);
  kept_request& kept();

  arena& memory_;
  lane_slot& slot_;
  std::uint64_t most_;
  std::uint64_t first_ = 0;
  std::shared_ptr<kept_request> kept_;
};

/// The results of a task, as its worker left them.
class BROOD_API result_reader {
 public:
  struct record {
    record_kind kind;
    std::uint64_t count;  // of results
    std::span<const std::byte> bytes;
  };

  result_reader(arena& memory, const lane_slot& slot, const std::string& worker, int pid) noexcept;

  std::uint32_t done() const noexcept { return done_; }
  /// The next record; `value_size` is that of results of fixed size. Throws `decode_error`.
  std::optional<record> next(std::size_t value_size);
  /// The exception of a record of kind `failure`.
  std::exception_ptr failure(const record& r) const;

 private:
  std::span<const std::byte> rest_;
  std::uint32_t done_;
  std::uint32_t left_;
  const std::string& worker_;
  int pid_;
};

/// A limit that a user sets, from the shortest on: 0 stands for none.
template <class Rep, class Period>
constexpr std::chrono::nanoseconds positive_time(std::chrono::duration<Rep, Period> d) noexcept {
  return std::max(std::chrono::nanoseconds(1), saturating_ceil<std::chrono::nanoseconds>(d));
}

struct job_settings {
  std::chrono::nanoseconds deadline{0};       // of an item; 0: none
  std::chrono::nanoseconds soft_deadline{0};  // the same
  std::chrono::nanoseconds stop_limit = std::chrono::seconds(2);
  /// The first of its deadlines; 0: none.
  std::chrono::nanoseconds shortest() const noexcept {
    if (deadline.count() == 0 || soft_deadline.count() == 0) return std::max(deadline, soft_deadline);
    return std::min(deadline, soft_deadline);
  }
  std::uint32_t retries = 0;
  std::uint64_t chunk = 0;  // 0: as many as seem good
  bool stop_at_error = true;
  std::string_view name = {};  // of the function
};

/// Loop thread only. Kept by the scheduler until nothing of it is in a lane any more and it expects nothing
/// more.
class BROOD_API job {
 public:
  job(function_token function, job_settings settings) noexcept : function_(function), settings_(settings) {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  virtual ~job() = default;

  /// Whether `produce` may be called now, and whether it ever may again.
  virtual bool has_more() const noexcept = 0;
  virtual bool expects_more() const noexcept = 0;
  /// Writes the next task. What it throws fails the job.
  virtual void produce(task_draft& draft) = 0;
  /// Results of items from `first`.
  virtual void deliver(std::uint64_t first, result_reader& results) = 0;
  /// The item was lost with its worker, for good.
  virtual void lose(std::uint64_t item, std::exception_ptr why) = 0;
  /// Fails as a whole, unless it is over. For good: nothing more is delivered.
  void fail(std::exception_ptr why) {
    if (over_) return;
    over_ = true;
    failed(std::move(why));
  }
  /// Nothing of it is wanted any more.
  void abandon() noexcept { over_ = true; }
  bool is_over() const noexcept { return over_; }

  function_token function() const noexcept { return function_; }
  job_settings& settings() noexcept { return settings_; }
  const job_settings& settings() const noexcept { return settings_; }

  // The scheduler's.
  std::uint64_t in_flight = 0;   // tasks in lanes or taken back from them
  std::size_t place = SIZE_MAX;  // among all jobs
  bool queued = false;           // among those that may have more

 protected:
  virtual void failed(std::exception_ptr why) = 0;
  void finish() noexcept { over_ = true; }

 private:
  function_token function_;
  job_settings settings_;
  bool over_ = false;
};

}  // namespace brood::detail
