// Calls that wait for something, first come first served.
#pragma once

#include <list>
#include <string_view>

#include "manager/session.hpp"

namespace brood::remote {

/// A call that waits. Objects add what they need to know of it.
struct parked_call {
  session* who;
  std::uint64_t id;
};

inline void answer_failure(const parked_call& p, outcome how, std::string_view what) noexcept {
  answering(*p.who, p.id, how).text(what);
}

/// Those that wait in one object for one thing. `Parked` is or derives from parked_call.
template <class Parked = parked_call>
class waiting_line {
 public:
  bool empty() const noexcept { return line_.empty(); }
  std::size_t size() const noexcept { return line_.size(); }
  void add(Parked p) { line_.push_back(std::move(p)); }
  /// The first of another line, without need of memory.
  void add_first_of(waiting_line& other) noexcept {
    line_.splice(line_.end(), other.line_, other.line_.begin());
  }
  Parked take_first() {
    Parked first = std::move(line_.front());
    line_.pop_front();
    return first;
  }
  Parked& first() noexcept { return line_.front(); }
  std::list<Parked> take_all() noexcept { return std::exchange(line_, {}); }

  /// False if it is not here.
  bool drop(session& who, std::uint64_t id) noexcept {
    return std::erase_if(line_, [&](const Parked& p) { return p.who == &who && p.id == id; }) > 0;
  }
  /// How many of the session's there were.
  std::size_t forget(session& who) noexcept {
    return std::erase_if(line_, [&](const Parked& p) { return p.who == &who; });
  }

 private:
  std::list<Parked> line_;
};

}  // namespace brood::remote
