// lock: held by one client at a time. A hold is known by the id of the call that got it, so what is released late, or
// twice, is never another's.
#pragma once

#include <vector>

#include "manager/parked.hpp"

namespace brood::remote {

/// Free, or held by `owner_` with one hold for each time it acquired it: more than one only if `recursive`.
class lock_object final : public object {
 public:
  lock_object(space& where, std::uint64_t type, bool recursive)
      : object(where, kind::lock, type), recursive_(recursive) {
    holds_.reserve(1);  // whoever is next gets it without need of memory
  }

  void handle(call& c) override;
  bool cancel(session& who, std::uint64_t id) override { return line_.drop(who, id); }
  void forget(session& who) override;

  bool is_held_by(session& who, std::uint64_t hold) const noexcept;
  /// Throws if it is not held so.
  void release(session& who, std::uint64_t hold);
  /// Answers the call, which is parked, with its hold when it has got the lock.
  void acquire(const parked_call& caller);
  /// The same for the first of a line, whose client this lock knows; it needs no memory.
  void acquire_first(waiting_line<>& line) noexcept;

 private:
  bool available_to(const session& who) const noexcept {
    return owner_ == nullptr || (recursive_ && owner_ == &who);
  }
  void grant(session& who, std::uint64_t id, bool told_whether);
  void pass_on();

  bool recursive_;
  session* owner_ = nullptr;
  std::vector<std::uint64_t> holds_;
  bool abandoned_ = false;  // the last owner died, and nobody has been told yet
  waiting_line<> line_;
};

}  // namespace brood::remote
