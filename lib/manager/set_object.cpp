// set: values that are there once, in the order in which they came: the keys of a dict.
#include <stdexcept>

#include "manager/entry_table.hpp"
#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

class set_object final : public object {
 public:
  using object::object;

  void handle(call& c) override;
  void each_reference(const std::function<void(object&)>& visit) const override {
    entries_.each_reference(visit);
  }
  void let_go() override { entries_.clear(); }

 private:
  static void write(answering& reply, const entry_table::entry& e) { reply.value(e.key); }

  entry_table entries_;
};

void set_object::handle(call& c) {
  switch (static_cast<set_method>(c.method)) {
    case set_method::add: {
      const bool added = entries_.add(c.value(), {});
      answering(c.from, c.id).flag(added);
      return;
    }
    case set_method::update:
      for (stored_value& v : c.values()) entries_.add(std::move(v), {});
      answering(c.from, c.id);
      return;
    case set_method::erase:
      return entries_.erase(c);
    case set_method::contains:
      return entries_.contains(c);
    case set_method::pop_any: {
      if (entries_.empty()) throw std::out_of_range("the set is empty");
      const auto taken = entries_.take(entries_.begin());
      answering(c.from, c.id).value(taken.key);
      return;
    }
    case set_method::size:
      answering(c.from, c.id).count(entries_.size());
      return;
    case set_method::items:
      return entries_.answer_all(c, write);
    case set_method::walk:
      return entries_.walk(c, write);
    case set_method::clear:
      entries_.clear();
      answering(c.from, c.id);
      return;
  }
  refuse_method(what());
}

}  // namespace

object* make_set(space& where, std::uint64_t type, call&) { return new set_object(where, kind::set, type); }

}  // namespace brood::remote
