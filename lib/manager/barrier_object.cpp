// barrier: `parties` calls that wait for each other. One of them that dies or gives up breaks it.
#include <stdexcept>

#include "manager/make_object.hpp"
#include "manager/outcome_error.hpp"
#include "manager/parked.hpp"

namespace brood::remote {
namespace {

class barrier_object final : public object {
 public:
  barrier_object(space& where, std::uint64_t type, std::uint64_t parties)
      : object(where, kind::barrier, type), parties_(parties) {}

  void handle(call& c) override;
  bool cancel(session& who, std::uint64_t id) override {
    const bool dropped = line_.drop(who, id);
    if (dropped) break_it();
    return dropped;
  }
  void forget(session& who) override {
    if (line_.forget(who) > 0) break_it();
  }

 private:
  static constexpr const char* why = "the barrier is broken";

  void arrive(call& c);
  void break_it() {
    broken_ = true;
    free_all();
  }
  void free_all() {
    for (const parked_call& p : line_.take_all()) answer_failure(p, outcome::broken, why);
  }

  std::uint64_t parties_;
  bool broken_ = false;
  waiting_line<> line_;
};

void barrier_object::arrive(call& c) {
  if (broken_) throw failure(outcome::broken, why);
  if (line_.size() + 1 < parties_) {
    c.from.park(c.id, *this);
    line_.add({&c.from, c.id});
    return;
  }
  std::uint64_t index = 0;
  for (const parked_call& p : line_.take_all()) answering(*p.who, p.id).count(index++);
  answering(c.from, c.id).count(index);
}

void barrier_object::handle(call& c) {
  switch (static_cast<barrier_method>(c.method)) {
    case barrier_method::arrive:
      return arrive(c);
    case barrier_method::reset:
      broken_ = false;
      free_all();
      answering(c.from, c.id);
      return;
    case barrier_method::abort:
      break_it();
      answering(c.from, c.id);
      return;
    case barrier_method::broken:
      answering(c.from, c.id).flag(broken_);
      return;
    case barrier_method::waiting:
      answering(c.from, c.id).count(line_.size());
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_barrier(space& where, std::uint64_t type, call& c) {
  const std::uint64_t parties = c.count();
  if (parties == 0) throw std::invalid_argument("a barrier needs a party at least");
  return new barrier_object(where, type, parties);
}

}  // namespace brood::remote
