// task_table: what this process has asked of the hosts and has no result of yet.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "brood/cluster/detail/membership.hpp"
#include "brood/cluster/error.hpp"
#include "brood/export.hpp"
#include "brood/pool/outcome.hpp"
#include "brood/runtime/detail/local_event.hpp"

namespace brood::cluster::detail {

/// What became of one item; `value` is an encoded result, or of a failure what `failure_of` reads.
struct item_result {
  enum class kind : std::uint8_t { value, thrown, died, refused, host_lost };
  kind what = kind::value;
  bytes value;
};

BROOD_API std::exception_ptr failure_of(const item_result& result);

struct task_settings {
  std::chrono::nanoseconds deadline{};
  std::uint32_t retries = 0;
  std::uint32_t host_losses = 3;
};

/// Whoever asked: gets each item's result once.
class BROOD_API remote_job {
 public:
  virtual ~remote_job();
  virtual void deliver(std::uint64_t item, item_result&& result) = 0;
  /// The whole of it has failed: nothing more comes.
  virtual void fail(std::exception_ptr why) = 0;

  bool wanted = true;      // else what it asked for is not to be run
  std::uint64_t open = 0;  // items without a result
  brood::detail::local_event changed;
};
using job_pointer = std::shared_ptr<remote_job>;

struct chunk_items {
  std::uint64_t function = 0;
  task_settings settings;
  job_pointer job;
  std::uint64_t first = 0;
  std::vector<bytes> arguments;
};

/// Gives the items to the hosts, packed: calls of the same function that find many others before them go together.
/// Throws `closed`, and `error` for a program whose builds cannot be told apart.
BROOD_API void give(const membership_pointer& of, chunk_items items, bool may_pack);
/// What of it has not begun never does, and what runs is ended.
BROOD_API void give_up(const membership_pointer& of, const job_pointer& job) noexcept;
/// How many workers the hosts of this build have; 1 at least.
BROOD_API task<std::uint64_t> count_workers(membership_pointer of);

/// The result of a call, or what it threw.
template <class R>
outcome<R> outcome_of(item_result&& result) {
  if (result.what != item_result::kind::value) return outcome<R>(failure_of(result));
  if constexpr (std::is_void_v<R>) {
    return outcome<R>(std::in_place);
  } else {
    try {
      return outcome<R>(std::in_place, decode<R>(result.value));
    } catch (...) {
      return outcome<R>(std::current_exception());
    }
  }
}

/// One call.
template <class R>
class call_results final : public remote_job {
 public:
  void deliver(std::uint64_t, item_result&& ended) override { set(outcome_of<R>(std::move(ended))); }
  void fail(std::exception_ptr why) override { set(outcome<R>(std::move(why))); }
  bool over() const noexcept { return changed.is_set(); }
  outcome<R> result;

 private:
  void set(outcome<R> ended) {
    if (over()) return;
    result = std::move(ended);
    changed.set();
  }
};

/// Calls whose results are taken one by one or all at the end.
template <class R>
class item_results final : public remote_job {
 public:
  void deliver(std::uint64_t item, item_result&& result) override {
    arrived.emplace_back(item, outcome_of<R>(std::move(result)));
    changed.notify_all();
  }
  void fail(std::exception_ptr why) override {
    failure = std::move(why);
    changed.notify_all();
  }
  std::vector<std::pair<std::uint64_t, outcome<R>>> arrived;
  std::exception_ptr failure;
};

/// Gives a job up when it goes out of scope.
struct job_guard {
  membership_pointer of;
  job_pointer job;
  job_guard(membership_pointer place, job_pointer whose) : of(std::move(place)), job(std::move(whose)) {}
  job_guard(const job_guard&) = delete;
  job_guard& operator=(const job_guard&) = delete;
  ~job_guard() { give_up(of, job); }
};

}  // namespace brood::cluster::detail
