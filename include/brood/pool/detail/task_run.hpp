// task_run: one task in the worker: the items of its request one after the other, and their results as they
// come.
//
// Results are written to shared memory item by item and counted in `progress` when they are whole, so that a
// worker that is killed in the middle of a chunk costs the item it was at and no other. They lie in the slot,
// or in a block that is replaced by a larger one when it is full: copied first, then `progress` names the new
// place.
//
// Form: records, each a header (kind << 56 | n) and what it announces:
//   values   n results of a fixed size, one behind the other; n = 0 in the last record: as many as `progress`
//   says value    one result, encoded in n bytes failure  one `task_failure`, encoded in n bytes
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>

#include "brood/arena/codec.hpp"
#include "brood/export.hpp"
#include "brood/pool/detail/lane.hpp"

namespace brood::detail {

enum class record_kind : std::uint8_t { values = 1, value = 2, failure = 3 };

constexpr std::uint64_t make_record(record_kind kind, std::uint64_t n) {
  return std::uint64_t{static_cast<std::uint8_t>(kind)} << 56 | n;
}
constexpr record_kind kind_of(std::uint64_t header) { return static_cast<record_kind>(header >> 56); }
constexpr std::uint64_t size_of(std::uint64_t header) { return header & 0xffffffffffffff; }
inline constexpr std::size_t record_header = sizeof(std::uint64_t);

constexpr std::uint64_t make_progress(std::uint64_t place, std::uint64_t done) { return place << 32 | done; }
constexpr unsigned place_of(std::uint64_t progress) { return static_cast<unsigned>(progress >> 32) & 3; }
constexpr std::uint32_t done_of(std::uint64_t progress) { return static_cast<std::uint32_t>(progress); }

enum class failure_kind : std::uint8_t { exception = 0, cannot_decode = 1, unknown_function = 2, asked = 3 };

/// An exception on its way from the worker.
struct task_failure {
  failure_kind kind = failure_kind::exception;
  std::string type;
  std::string what;
  std::string trace;
};

/// Worker's side, on its only thread.
class BROOD_API task_run {
 public:
  task_run(lane& where, std::uint32_t task);
  task_run(const task_run&) = delete;
  task_run& operator=(const task_run&) = delete;

  std::span<const std::byte> request() const noexcept { return request_; }
  std::uint32_t first() const noexcept { return slot_.first; }
  std::uint32_t left() const noexcept { return slot_.last - slot_.first - done_; }
  std::uint32_t done() const noexcept { return done_; }
  /// What a trace calls it.
  std::string_view name() const noexcept { return name_; }
  void set_name(std::string_view name) noexcept { name_ = name; }

  /// Begins an item; false if there is none left to be done.
  bool next_item() {
    if (stopped_ || left() == 0 || slot_.abandoned.load(std::memory_order_relaxed) != 0) return false;
    return !slot_.timed || begin_timed_item();
  }

  /// The item's result, or that it has none. Throws what encoding it throws, and `arena_full`; it then has no
  /// result yet.
  template <class R>
  void value(const R& result) {
    if constexpr (is_flat<R>) {
      append(&result, sizeof(R));
    } else {
      encode_value([&result](std::span<std::byte> out) { return encode_into(out, result); });
    }
  }
  void nothing() { append(nullptr, 0); }
  /// The item's end by an exception.
  void failure(const std::exception_ptr& thrown, failure_kind kind = failure_kind::exception);

  /// Publishes the task.
  void publish();

 private:
  void append(const void* data, std::size_t size) {
    const bool opens = run_header_ == none;
    const std::size_t needed = used_ + size + (opens ? record_header : 0);
    if (needed > capacity_) grow(needed + size * (left() - 1));
    if (opens) open_run();
    if (size != 0) std::memcpy(base_ + used_, data, size);
    used_ += size;
    ++in_run_;
    item_done();
  }
  template <class Encode>
  void encode_value(const Encode& encode) {
    const travelling_objects travelling;
    close_run();
    std::size_t size = encode(room_behind_header());
    if (used_ + record_header + size > capacity_) {
      grow(used_ + record_header + size + std::min(size * (left() - 1), most_foresight));
      const travelling_objects again;  // the same ones
      size = encode(room_behind_header());
    }
    commit_record(record_kind::value, size, travelling);
  }
  void item_done() {
    if (slot_.timed) end_timed_item();
    slot_.progress.store(make_progress(place_, ++done_), std::memory_order_release);
  }

  std::span<std::byte> room_behind_header() noexcept {
    if (capacity_ - used_ <= record_header) return {};
    return {base_ + used_ + record_header, capacity_ - used_ - record_header};
  }
  void open_run() noexcept;
  void close_run() noexcept;
  void commit_record(record_kind kind, std::size_t size, const travelling_objects& travelling);
  void attach(const travelling_objects& travelling);
  void grow(std::size_t wanted);
  bool begin_timed_item();
  void end_timed_item();
  void stop(task_ending why) noexcept;
  [[noreturn]] static void await_end() noexcept;

  static constexpr std::size_t none = SIZE_MAX;
  /// Room for results to come that are as large as this one, but no more of it: they need not be.
  static constexpr std::size_t most_foresight = std::size_t{1} << 20;

  lane& lane_;
  const std::uint32_t task_;
  lane_slot& slot_;
  std::span<const std::byte> request_;
  std::byte* base_;
  std::size_t capacity_;
  std::size_t used_ = 0;
  std::size_t run_header_ = none;  // where the open record of values begins
  std::uint32_t in_run_ = 0;
  std::uint32_t done_ = 0;
  unsigned place_ = 0;
  bool stopped_ = false;
  std::string_view name_;
};

}  // namespace brood::detail
