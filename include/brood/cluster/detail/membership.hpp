// What the handles of a cluster hold, and the parts of queues, dicts and permits that need no types.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brood/arena/codec.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"

namespace brood::cluster::detail {

class session;
class task_table;

/// This process's place in a cluster. It leaves when the last handle is gone.
struct BROOD_API membership {
  explicit membership(std::shared_ptr<session> of) noexcept;
  ~membership();
  membership(const membership&) = delete;
  membership& operator=(const membership&) = delete;

  std::shared_ptr<session> it;
  std::shared_ptr<task_table> tasks;  // made by the first pool
};
using membership_pointer = std::shared_ptr<membership>;

/// One item that this process has on lease.
struct leased_item {
  std::string id;
  std::string epoch;
  bytes value;
  std::uint32_t losses = 0;  // sessions that were lost with it
};

struct queue_state {
  std::uint64_t ready = 0;
  std::uint64_t leased = 0;
  bool closed = false;
};

class BROOD_API queue_core {
 public:
  queue_core(membership_pointer of, std::string name, std::uint64_t capacity)
      : of_(std::move(of)), name_(std::move(name)), capacity_(capacity) {}

  /// In order. How many are in the queue before the first that has no room; without `wait` that may be fewer than all.
  static task<std::size_t> put(std::shared_ptr<const queue_core> self, std::vector<bytes> values, bool wait);
  /// One at least, unless not to `wait`. Throws `closed`.
  static task<std::vector<leased_item>> take(std::shared_ptr<const queue_core> self, std::size_t most,
                                             bool wait);
  /// Whether each was still this process's.
  static task<bool> settle(std::shared_ptr<const queue_core> self, std::vector<std::string> ids,
                           std::string epoch);
  /// The same beside everything else; what fails is found by the next who takes it.
  void settle_later(std::vector<std::string> ids, const std::string& epoch) const;
  void give_back_later(std::vector<std::string> ids, const std::string& epoch) const;
  bool is_ours(const std::string& epoch) const;

  static task<queue_state> state(std::shared_ptr<const queue_core> self);
  static task<> close(std::shared_ptr<const queue_core> self);
  static task<> join(std::shared_ptr<const queue_core> self);
  static task<> destroy(std::shared_ptr<const queue_core> self);
  std::uint64_t capacity() const noexcept { return capacity_; }
  const std::string& name() const noexcept { return name_; }

 private:
  task<> declare() const;
  static task<std::vector<leased_item>> check(std::shared_ptr<const queue_core> self,
                                              std::vector<leased_item> items);

  membership_pointer of_;
  std::string name_;
  std::uint64_t capacity_;  // 0: unbounded
  mutable bool declared_ = false;
};

class BROOD_API dict_core {
 public:
  dict_core(membership_pointer of, std::string name) : of_(std::move(of)), name_(std::move(name)) {}

  using pointer = std::shared_ptr<const dict_core>;
  using text = std::optional<std::string>;

  static task<text> get(pointer self, std::string key);
  static task<> set(pointer self, std::string key, std::string value);
  static task<std::string> get_or_set(pointer self, std::string key, std::string value);
  static task<bool> erase(pointer self, std::string key);
  static task<text> pop(pointer self, std::string key);
  static task<std::string> add(pointer self, std::string key, std::string number);
  static task<bool> exchange(pointer self, std::string key, text expected, text desired);
  static task<std::uint64_t> size(pointer self);
  static task<> clear(pointer self);
  /// Some pairs from `cursor` on, which is "0" at the beginning and at the end.
  struct part {
    std::string cursor;
    std::vector<std::pair<std::string, std::string>> pairs;
  };
  static task<part> walk(pointer self, std::string cursor);

 private:
  membership_pointer of_;
  std::string name_;
};

/// A permit that this process holds or waits for.
struct permit_state;

class BROOD_API permit_hold {
 public:
  permit_hold() = default;
  explicit permit_hold(std::shared_ptr<permit_state> state) noexcept : state_(std::move(state)) {}
  permit_hold(permit_hold&&) noexcept = default;
  permit_hold& operator=(permit_hold&& other) noexcept;
  ~permit_hold();

  void release();
  explicit operator bool() const noexcept { return state_ != nullptr; }
  bool is_lost() const noexcept;
  bool abandoned() const noexcept;
  std::uint64_t token() const;

 private:
  void give_back() noexcept;
  std::shared_ptr<permit_state> state_;
};

/// Waits for one of `permits` permits under this name; empty only without `wait`.
BROOD_API task<std::optional<permit_hold>> acquire(membership_pointer of, std::string name,
                                                   std::uint64_t permits, bool wait);

BROOD_API task<> set_event(membership_pointer of, std::string name, bool yes);
BROOD_API task<bool> is_event_set(membership_pointer of, std::string name);
BROOD_API task<> wait_for_event(membership_pointer of, std::string name);

}  // namespace brood::cluster::detail
