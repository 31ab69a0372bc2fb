// dict: values by keys, in the order in which the keys came, as Python's.
#include <stdexcept>

#include "manager/apply.hpp"
#include "manager/arithmetic.hpp"
#include "manager/entry_table.hpp"
#include "manager/make_object.hpp"

namespace brood::remote {
namespace {

using entry = entry_table::entry;
using place = entry_table::place;

class dict_object final : public object {
 public:
  using object::object;

  void handle(call& c) override;
  void each_reference(const std::function<void(object&)>& visit) const override {
    entries_.each_reference(visit);
  }
  void let_go() override { entries_.clear(); }

 private:
  void update(call& c);
  void compare_exchange(call& c);
  void fetch_add(call& c);
  void apply(call& c);

  entry_table entries_;
};

void dict_object::update(call& c) {
  std::vector<entry> read;  // all or nothing
  const std::size_t size = c.size();
  for (std::size_t i = 0; i < size; ++i) {
    stored_value key = c.value();
    stored_value value = c.value();
    read.push_back({std::move(key), std::move(value)});
  }
  for (entry& e : read) entries_.put(std::move(e.key), std::move(e.value));
  answering(c.from, c.id);
}

void dict_object::compare_exchange(call& c) {
  stored_value key = c.value();
  const bool expects_one = c.flag();
  const std::string expected = expects_one ? c.key() : std::string();
  const bool wants_one = c.flag();
  stored_value desired = wants_one ? c.value() : stored_value();
  const place found = entries_.find(key.data);
  const bool present = found != entries_.end();
  const bool equal = present == expects_one && (!present || found->value.data == expected);
  if (equal && wants_one) entries_.put(std::move(key), std::move(desired));
  if (equal && !wants_one && present) entries_.take(found);
  answering(c.from, c.id).flag(equal);
}

void dict_object::fetch_add(call& c) {
  stored_value key = c.value();
  const auto type = static_cast<arithmetic>(c.in.read_byte());
  const std::string added = c.key();
  const place found = entries_.find(key.data);
  stored_value before;
  before.data = found == entries_.end() ? std::string(added.size(), '\0') : found->value.data;
  stored_value after;
  after.data = sum(type, before.data, added);
  entries_.put(std::move(key), std::move(after));
  answering(c.from, c.id).value(before);
}

void dict_object::apply(call& c) {
  stored_value key = c.value();
  const place found = entries_.find(key.data);
  stored_value after = apply_function(c, found == entries_.end() ? nullptr : &found->value);
  entries_.put(key, after);
  answering(c.from, c.id).value(after);
}

void dict_object::handle(call& c) {
  switch (static_cast<dict_method>(c.method)) {
    case dict_method::get: {
      const place found = entries_.find(c.key());
      answering(c.from, c.id).optional(found == entries_.end() ? nullptr : &found->value);
      return;
    }
    case dict_method::at: {
      const place found = entries_.require(c.key());
      answering(c.from, c.id).value(found->value);
      return;
    }
    case dict_method::set: {
      stored_value key = c.value();
      entries_.put(std::move(key), c.value());
      answering(c.from, c.id);
      return;
    }
    case dict_method::get_or_set: {
      stored_value key = c.value();
      const std::string name = key.data;
      entries_.add(std::move(key), c.value());
      answering(c.from, c.id).value(entries_.find(name)->value);
      return;
    }
    case dict_method::erase:
      return entries_.erase(c);
    case dict_method::contains:
      return entries_.contains(c);
    case dict_method::pop: {
      const entry taken = entries_.take(entries_.require(c.key()));
      answering(c.from, c.id).value(taken.value);
      return;
    }
    case dict_method::pop_any: {
      if (entries_.empty()) throw std::out_of_range("the dict is empty");
      const entry taken = entries_.take(std::prev(entries_.end()));
      answering(c.from, c.id).value(taken.key).value(taken.value);
      return;
    }
    case dict_method::size:
      answering(c.from, c.id).count(entries_.size());
      return;
    case dict_method::keys:
      return entries_.answer_all(c, [](answering& reply, const entry& e) { reply.value(e.key); });
    case dict_method::values:
      return entries_.answer_all(c, [](answering& reply, const entry& e) { reply.value(e.value); });
    case dict_method::items:
      return entries_.answer_all(c,
                                 [](answering& reply, const entry& e) { reply.value(e.key).value(e.value); });
    case dict_method::walk:
      return entries_.walk(c, [](answering& reply, const entry& e) { reply.value(e.key).value(e.value); });
    case dict_method::update:
      return update(c);
    case dict_method::clear:
      entries_.clear();
      answering(c.from, c.id);
      return;
    case dict_method::compare_exchange:
      return compare_exchange(c);
    case dict_method::fetch_add:
      return fetch_add(c);
    case dict_method::apply:
      return apply(c);
  }
  refuse_method(what());
}

}  // namespace

object* make_dict(space& where, std::uint64_t type, call&) {
  return new dict_object(where, kind::dict, type);
}

}  // namespace brood::remote
