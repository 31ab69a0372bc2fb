// condition: waiting, with a lock given up meanwhile, until somebody notifies. To wait and to give up the lock is one step
// here, so no notification comes in between.
#include <stdexcept>

#include "manager/lock_object.hpp"
#include "manager/make_object.hpp"
#include "manager/outcome_error.hpp"

namespace brood::remote {
namespace {

class condition_object final : public object {
 public:
  condition_object(space& where, std::uint64_t type, object_ref lock)
      : object(where, kind::condition, type), lock_(std::move(lock)) {}

  void handle(call& c) override;
  // Once notified, a call waits in the lock's line.
  bool cancel(session& who, std::uint64_t id) override {
    return line_.drop(who, id) || lock().cancel(who, id);
  }
  void forget(session& who) override { line_.forget(who); }
  void each_reference(const std::function<void(object&)>& visit) const override {
    if (lock_) visit(*lock_);
  }

 private:
  lock_object& lock() const noexcept { return static_cast<lock_object&>(*lock_); }
  std::uint64_t notify(std::uint64_t most);

  object_ref lock_;
  waiting_line<> line_;
};

std::uint64_t condition_object::notify(std::uint64_t most) {
  std::uint64_t woken = 0;
  for (; woken < most && !line_.empty(); ++woken) {
    lock().acquire_first(line_);  // which has known its client since that held it
  }
  return woken;
}

void condition_object::handle(call& c) {
  switch (static_cast<condition_method>(c.method)) {
    case condition_method::wait: {
      const std::uint64_t hold = c.count();
      if (!lock().is_held_by(c.from, hold))
        throw std::logic_error("to wait, the condition's lock must be held");
      c.from.park(c.id, *this);
      line_.add({&c.from, c.id});
      lock().release(c.from, hold);
      return;
    }
    case condition_method::release:
      lock().release(c.from, c.count());
      answering(c.from, c.id);
      return;
    case condition_method::notify: {
      const std::uint64_t woken = notify(c.count());
      answering(c.from, c.id).count(woken);
      return;
    }
    case condition_method::notify_all: {
      const std::uint64_t woken = notify(line_.size());
      answering(c.from, c.id).count(woken);
      return;
    }
  }
  refuse_method(what());
}

}  // namespace

object* make_condition(space& where, std::uint64_t type, call& c) {
  const stored_value handle = c.value();
  if (handle.references.size() != 1 || handle.references.front()->what() != kind::lock) {
    throw failure(outcome::refused, "brood: a condition needs a lock of the same manager");
  }
  return new condition_object(where, type, handle.references.front());
}

}  // namespace brood::remote
