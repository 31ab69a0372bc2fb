#include "manager/lock_object.hpp"

#include <algorithm>
#include <stdexcept>

#include "manager/make_object.hpp"

namespace brood::remote {

bool lock_object::is_held_by(session& who, std::uint64_t hold) const noexcept {
  return owner_ == &who && std::find(holds_.begin(), holds_.end(), hold) != holds_.end();
}

void lock_object::grant(session& who, std::uint64_t id, bool told_whether) {
  involve(who);
  owner_ = &who;
  holds_.push_back(id);
  answering reply(who, id);
  if (told_whether) reply.flag(true);
  reply.count(id).flag(std::exchange(abandoned_, false));
}

void lock_object::acquire(const parked_call& caller) {
  if (available_to(*caller.who)) {
    grant(*caller.who, caller.id, false);
  } else {
    line_.add(caller);
  }
}

void lock_object::acquire_first(waiting_line<>& line) noexcept {
  if (!available_to(*line.first().who)) return line_.add_first_of(line);
  const parked_call next = line.take_first();
  grant(*next.who, next.id, false);
}

void lock_object::release(session& who, std::uint64_t hold) {
  if (!is_held_by(who, hold)) throw std::logic_error("the lock is not held");
  std::erase(holds_, hold);
  if (holds_.empty()) pass_on();
}

void lock_object::pass_on() {
  owner_ = nullptr;
  if (line_.empty()) return;
  const parked_call next = line_.take_first();
  grant(*next.who, next.id, false);
}

void lock_object::forget(session& who) {
  line_.forget(who);
  if (owner_ != &who) return;
  holds_.clear();
  abandoned_ = true;
  pass_on();
}

void lock_object::handle(call& c) {
  switch (static_cast<lock_method>(c.method)) {
    case lock_method::acquire:
      c.from.park(c.id, *this);
      return acquire({&c.from, c.id});
    case lock_method::try_acquire:
      if (available_to(c.from) && c.id != 0) return grant(c.from, c.id, true);
      answering(c.from, c.id).flag(false);
      return;
    case lock_method::release:
      release(c.from, c.count());
      answering(c.from, c.id);
      return;
    case lock_method::locked:
      answering(c.from, c.id).flag(owner_ != nullptr);
      return;
  }
  refuse_method(what());
}

object* make_lock(space& where, std::uint64_t type, call& c) {
  return new lock_object(where, type, c.flag());
}

}  // namespace brood::remote
