// event: a flag that can be waited for.
#include "manager/make_object.hpp"
#include "manager/parked.hpp"

namespace brood::remote {
namespace {

class event_object final : public object {
 public:
  using object::object;

  void handle(call& c) override;
  bool cancel(session& who, std::uint64_t id) override { return line_.drop(who, id); }
  void forget(session& who) override { line_.forget(who); }

 private:
  bool set_ = false;
  waiting_line<> line_;
};

void event_object::handle(call& c) {
  switch (static_cast<event_method>(c.method)) {
    case event_method::wait:
      if (set_) {
        answering(c.from, c.id);
        return;
      }
      c.from.park(c.id, *this);
      line_.add({&c.from, c.id});
      return;
    case event_method::set:
      set_ = true;
      for (const parked_call& p : line_.take_all()) answering(*p.who, p.id);
      answering(c.from, c.id);
      return;
    case event_method::clear:
      set_ = false;
      answering(c.from, c.id);
      return;
    case event_method::is_set:
      answering(c.from, c.id).flag(set_);
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_event(space& where, std::uint64_t type, call&) {
  return new event_object(where, kind::event, type);
}

}  // namespace brood::remote
