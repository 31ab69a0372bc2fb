// semaphore: permits. One that was acquired belongs to its client and comes back with its end; `release` adds permits
// that belong to nobody.
#include <limits>
#include <set>
#include <stdexcept>

#include "manager/make_object.hpp"
#include "manager/parked.hpp"

namespace brood::remote {
namespace {

class semaphore_object final : public object {
 public:
  semaphore_object(space& where, std::uint64_t type, std::uint64_t value, bool bounded)
      : object(where, kind::semaphore, type),
        value_(value),
        most_(bounded ? value : std::numeric_limits<std::uint64_t>::max()) {}

  void handle(call& c) override;
  bool cancel(session& who, std::uint64_t id) override { return line_.drop(who, id); }
  void forget(session& who) override;

 private:
  void grant(session& who, std::uint64_t id, bool told_whether);
  void add(std::uint64_t permits);

  std::uint64_t value_;
  std::uint64_t most_;
  std::unordered_map<session*, std::set<std::uint64_t>> held_;
  std::uint64_t held_count_ = 0;
  waiting_line<> line_;
};

void semaphore_object::grant(session& who, std::uint64_t id, bool told_whether) {
  involve(who);
  held_[&who].insert(id);
  --value_;
  ++held_count_;
  answering reply(who, id);
  if (told_whether) reply.flag(true);
  reply.count(id);
}

void semaphore_object::add(std::uint64_t permits) {
  value_ += permits;
  while (value_ > 0 && !line_.empty()) {
    const parked_call next = line_.take_first();
    try {
      grant(*next.who, next.id, false);
    } catch (const std::bad_alloc&) {
      next.who->give_up();
    }
  }
}

void semaphore_object::forget(session& who) {
  line_.forget(who);
  const auto found = held_.find(&who);
  if (found == held_.end()) return;
  const std::uint64_t count = found->second.size();
  held_.erase(found);
  held_count_ -= count;
  add(count);
}

void semaphore_object::handle(call& c) {
  switch (static_cast<semaphore_method>(c.method)) {
    case semaphore_method::acquire:
      c.from.park(c.id, *this);
      if (value_ > 0) return grant(c.from, c.id, false);
      line_.add({&c.from, c.id});
      return;
    case semaphore_method::try_acquire:
      if (value_ > 0 && c.id != 0) return grant(c.from, c.id, true);
      answering(c.from, c.id).flag(false);
      return;
    case semaphore_method::give_back: {
      const std::uint64_t hold = c.count();
      const auto found = held_.find(&c.from);
      if (found == held_.end() || found->second.erase(hold) == 0)
        throw std::logic_error("the permit is not held");
      --held_count_;
      answering(c.from, c.id);
      return add(1);
    }
    case semaphore_method::release: {
      const std::uint64_t count = c.count();
      if (count > most_ - std::min(most_, value_ + held_count_)) {
        throw std::overflow_error("a bounded semaphore was released too often");
      }
      answering(c.from, c.id);
      return add(count);
    }
    case semaphore_method::value:
      answering(c.from, c.id).count(value_);
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_semaphore(space& where, std::uint64_t type, call& c) {
  const std::uint64_t value = c.count();
  const bool bounded = c.flag();
  return new semaphore_object(where, type, value, bounded);
}

}  // namespace brood::remote
